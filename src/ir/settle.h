/* Integers that inference knows, as constants: what older operators want to read from an
 * attribute is often computed from shapes. SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_SETTLE_H
#define PLN_IR_SETTLE_H

#include "src/ir/graph.h"

/* Inputs of the node whose contents are known become constants; `*any`: one did. */
pln_status pln_node_settle_inputs(pln_node *n, bool *any);
/* What the node gives, if that is known, no output of a graph and all it gives, becomes a
 * constant, and the node goes (`*gone`). */
pln_status pln_node_settle(pln_node *n, bool *gone);

#endif
