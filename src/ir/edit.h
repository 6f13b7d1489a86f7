/* Editing by hand: cutting a part out of a graph, giving names.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_EDIT_H
#define PLN_IR_EDIT_H

#include "src/ir/graph.h"

/* Keeps what is needed to compute the values `outputs` (none: the graph's outputs) from
 * the values `inputs` (none: the graph's inputs that are still needed). PLN_E_USAGE with
 * the name of a value that is not there, or of an input that the outputs need beside.
 * Half done after a failure. */
pln_status pln_model_cut(pln_model *m, const char *const *inputs, size_t n_inputs,
                         const char *const *outputs, size_t n_outputs, pln_error *err);
/* Nodes of g that nobody needs, then initializers and, with `inputs`, inputs. Bodies are
 * left alone. */
void pln_graph_drop_dead(pln_graph *g, bool inputs);
/* Functions that nobody calls any more. */
pln_status pln_model_drop_functions(pln_model *m);

/* Both fail with PLN_E_USAGE where the new name is taken, and set *found when there was
 * something of the old one. */
pln_status pln_model_rename_values(pln_model *m, const char *from, const char *to,
                                   bool *found, pln_error *err);
pln_status pln_model_rename_nodes(pln_model *m, const char *from, const char *to,
                                  bool *found, pln_error *err);

#endif
