/* Links between values, uses and nodes; for src/ir/ only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_LINK_H
#define PLN_IR_LINK_H

#include "src/ir/graph.h"

void pln_use_link(pln_use *use, pln_value *v); /* v may be NULL */
void pln_use_unlink(pln_use *use);
/* name: interned or NULL. NULL: no memory, or the name is taken. */
pln_value *pln_value_new(pln_graph *g, pln_value_kind kind, const char *name);
void pln_value_unlink(pln_value *v);
/* The node alone: its uses and values still say what they said. */
void pln_node_move_to(pln_node *n, pln_graph *g, pln_node *before);

#endif
