/* Axes counted from the front, as operators did before version 11 of ai.onnx.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_FRONT_H
#define PLN_IR_FRONT_H

#include "src/ir/graph.h"

/* Negative axes of the node, in attributes and constants, become positive ones: what it
 * does stays. PLN_E_UNSUPPORTED where that takes a rank that is not known. */
pln_status pln_node_count_from_front(pln_node *n, pln_error *err);

#endif
