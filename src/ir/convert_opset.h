/* Bringing a model to another version of ai.onnx.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_CONVERT_OPSET_H
#define PLN_IR_CONVERT_OPSET_H

#include "src/ir/graph.h"
#include "src/util/text.h"

/* The model is then written for that version; nodes that it has no form for become others
 * where their row knows how. Every node that stands in the way is listed in `blockers` (a
 * JSON array of node, op, domain, why), and the first of them is the error:
 * PLN_E_UNSUPPORTED. The model is then half converted, so that callers work on a copy. */
pln_status pln_model_convert(pln_model *m, int64_t version, pln_text *blockers,
                             pln_error *err);
/* The least IR version for a version of ai.onnx, and for what the model uses. */
int64_t pln_ir_version_of_opset(int64_t version);
int64_t pln_ir_version_needed(const pln_model *m);

#endif
