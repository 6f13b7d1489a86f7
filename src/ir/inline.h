/* Inlining: calls of model-local functions, and operators that state an expansion, become
 * the nodes of the body.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_INLINE_H
#define PLN_IR_INLINE_H

#include "src/ir/graph.h"

/* Can be inlined: calls a function of the model, or its row has an expansion. */
bool pln_node_is_inlinable(const pln_node *n);
/* The node is replaced by the body's nodes, newly named; its outputs' names go to the
 * values that take their place. Calls in the body stay calls. */
pln_status pln_node_inline(pln_node *n, pln_error *err);
/* All calls of model-local functions, in bodies too, until none is left; the functions
 * are then dropped. A function that calls itself, at whatever remove, is PLN_E_FORMAT. */
pln_status pln_model_inline(pln_model *m, pln_error *err);

/* Operators of our own become the standard operators that the file states for them; those
 * that it states nothing for stay. */
pln_status pln_model_unfuse(pln_model *m, pln_error *err);

/* Copies the nodes and constants of `body`, a body of node n, to before n, as one
 * iteration: in[body->n_inputs] are its inputs there, out[body->n_outputs] get what it
 * gives. */
pln_status pln_body_copy_out(pln_node *n, const pln_graph *body, pln_value *const *in,
                             pln_value **out, pln_error *err);

/* Functions of domain `planish` that are one operator and the nodes that make its
 * constants (passes/absorb_made.c) become those nodes; the operator has the name of the
 * call. */
pln_status pln_model_free_makers(pln_model *m, pln_error *err);

#endif
