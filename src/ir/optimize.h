/* What the runtime asks of the rewriter, which lies in a layer that it does not see.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_OPTIMIZE_H
#define PLN_IR_OPTIMIZE_H

#include "src/ir/graph.h"

/* Rewrites for running here: the fused operators, whatever the file's opset. Should a
 * pass fail, the model stays as it was, and the log says so. */
pln_status pln_model_optimize_for_session(pln_model *model, pln_error *err);

/* Gradient nodes become the nodes that compute them; before anything else changes the
 * graph, since they name values of it. PLN_E_UNSUPPORTED with the operator that has no
 * rule: the model stays as it was. */
pln_status pln_model_expand_gradients(pln_model *model, pln_error *err);
bool pln_model_has_gradients(pln_model *model);

#endif
