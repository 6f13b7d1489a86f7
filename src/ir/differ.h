/* Nodes and attributes of two models side by side.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_DIFFER_H
#define PLN_IR_DIFFER_H

#include "src/ir/graph.h"
#include "src/util/text.h"

/* Appends what is different as JSON strings, with commas between; nothing when the nodes
 * say the same. Values count as the same when their names are, or when raising made both
 * and their contents are. Bodies are not looked into. */
void pln_node_differ(const pln_node *a, const pln_node *b, pln_text *out);
/* The same number: for finding candidates. Equal nodes have equal hashes. */
uint64_t pln_node_hash(const pln_node *n);

#endif
