/* Operator set versions: nodes are raised to the newest meaning of their operators when a
 * model is read, and lowered again when it is written for an older set.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_VERSION_H
#define PLN_IR_VERSION_H

#include "src/ir/graph.h"

/* The newest version of the operator sets that the rows describe. */
#define PLN_OPSET_NEWEST    28
#define PLN_OPSET_NEWEST_ML 5

/* The version of ai.onnx that brought the operator. */
int pln_op_first_version(const char *name);
/* Every node, bodies and functions included, from the model's operator sets (a function's
 * own in its body) to the newest meaning. How the node stood is kept as its origin. */
pln_status pln_model_raise(pln_model *model, pln_error *err);
/* One node from the meaning of `version` of its domain's operator set. */
pln_status pln_node_raise(pln_node *n, int64_t version, pln_error *err);
/* Whether the node can be written as it stood in the file, but for renamed or replaced
 * inputs: no rewrite touched what raising changed. */
bool pln_node_is_as_read(const pln_node *n);
/* A constant that is in no file: only nodes that are as read have it, where raising put
 * it. */
bool pln_value_is_raised(const pln_value *v);
/* Whether writing it for that version of its operator set means changing it. */
bool pln_node_needs_lowering(const pln_node *n, int64_t version);
/* From the newest meaning to that of `version`; changes the node and may add others
 * before it. PLN_E_UNSUPPORTED with node and operator named where that version can't say
 * it. */
pln_status pln_node_lower(pln_node *n, int64_t version, pln_error *err);
/* Whether that would be done; it leaves no trace. */
pln_status pln_node_try_lowering(pln_node *n, int64_t version, pln_error *why);
/* A copy of n before it, to try what changes it; its bodies are those of n. NULL: no
 * memory. */
pln_node *pln_node_trial(pln_node *n);
/* Removes the nodes between two, and the constants made since `last` was the last
 * value. */
void pln_trial_remove(pln_graph *g, pln_node *after, pln_node *before, pln_value *last);
/* Lowers every node that is not as it was read to the model's operator sets. */
pln_status pln_model_lower(pln_model *model, pln_error *err);
/* Whether the operator's meaning differs between these versions of its set. */
bool pln_node_changes_between(const pln_node *n, int64_t from, int64_t to);
/* Whether that version of ai.onnx has the operator, in whatever form. */
bool pln_node_is_in_set(const pln_node *n, int64_t version);

#endif
