/* Splicing: a body becomes part of the graph around it; nodes and bodies lose inputs and
 * outputs. For passes over If, Loop and Scan.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_SPLICE_H
#define PLN_IR_SPLICE_H

#include "src/ir/graph.h"

/* The nodes and constants of `body`, a body of owner, move to before owner, which goes.
 * Its inputs become in[body->n_inputs]; out[owner->n_out], values of the body or of
 * graphs around it, take the place of owner's outputs. PLN_E_NOMEM leaves the graph
 * unusable. */
pln_status pln_node_splice(pln_node *owner, pln_graph *body, pln_value *const *in,
                           pln_value *const *out);
/* Moves a node of a body to before the node that owns the body, with the constants of the
 * body that it reads. What it reads otherwise must be of the graphs around, and its
 * results no outputs of the body. PLN_E_NOMEM leaves the graph unusable. */
pln_status pln_node_hoist(pln_node *n);
/* The output must be unused. */
void pln_node_drop_output(pln_node *n, uint32_t i);
void pln_node_drop_input(pln_node *n, uint32_t i);
void pln_graph_drop_output(pln_graph *g, uint32_t i);

#endif
