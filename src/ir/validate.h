/* Checking graphs: all faults at once, each with its place.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_VALIDATE_H
#define PLN_IR_VALIDATE_H

#include "src/ir/graph.h"

typedef struct pln_fault {
    const pln_node *node;   /* NULL: the graph or the model as a whole */
    const pln_graph *graph; /* NULL: the model */
    bool note;              /* worth knowing, but not wrong */
    const char *text;       /* without the node's name */
    struct pln_fault *next;
} pln_fault;

typedef struct pln_faults {
    pln_arena *arena; /* the caller's; owns the faults */
    pln_fault *first, *last;
    size_t n, n_errors;
    bool failed; /* no memory for one */
} pln_faults;

/* The graph and its bodies: links between values, uses and nodes, order, names,
 * operators, arity, attributes, types, and what inference says of them. The graph is not
 * changed. */
pln_status pln_graph_validate(pln_graph *g, pln_faults *out, pln_error *err);
/* The main graph, functions, operator sets and metadata. */
pln_status pln_model_validate(pln_model *m, pln_faults *out, pln_error *err);
/* The model's text with each fault on a line of its own before the guilty node. */
pln_status pln_faults_print(const pln_model *m, const pln_faults *faults, pln_text *out,
                            pln_error *err);

#endif
