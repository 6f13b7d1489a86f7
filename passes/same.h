/* What is equal bit by bit. SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_SAME_H
#define PLN_PASSES_SAME_H

#include "passes/pass.h"

/* Both have the same contents. */
bool pln_tensor_same_as(pln_tensor *a, pln_tensor *b);
/* The same attributes, absent ones by their defaults; those that are bodies count as
 * different. */
bool pln_node_same_attrs(const pln_node *a, const pln_node *b);

#endif
