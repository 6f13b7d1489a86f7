/* Evaluation by the reference kernels: for constant folding and for checking rewrites.
 * Slow and simple; runs of models are src/rt's business.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_EVAL_H
#define PLN_IR_EVAL_H

#include "src/ir/op.h"

/* Has a reference kernel, and gives the same outputs whenever it gets the same inputs. */
bool pln_node_is_pure(const pln_node *n);
/* Runs one node on tensors: in[n->n_in] (NULL: absent), out[n->n_out] receives new
 * references (NULL where nobody wants the output). Bodies may read constants of the
 * graphs around them, nothing else. PLN_E_UNSUPPORTED: no kernel. */
pln_status pln_node_eval(pln_node *n, pln_tensor *const *in, pln_tensor **out,
                         pln_error *err);
/* The contents of a Constant node become its output's contents; other nodes stay
 * alone. */
void pln_node_take_constant(pln_node *n);
/* Runs a graph: in[g->n_inputs] (NULL where there is a default), out[g->n_outputs]
 * receives new references. `work` as below. */
pln_status pln_graph_eval(const pln_graph *g, pln_tensor *const *in, pln_tensor **out,
                          double *work, pln_error *err);
/* Runs nodes of one graph in this order. `values` (value to pln_tensor, references that
 * the caller gives back) has what they read, unless it is constant, and receives what
 * they give. `work` (may be NULL) counts down the floating-point operations that may be
 * done: PLN_E_LIMIT when they are used up. */
pln_status pln_nodes_eval(pln_node *const *node, size_t n, pln_map *values, double *work,
                          pln_error *err);

#endif
