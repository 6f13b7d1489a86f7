/* Loop and Scan, for the passes that look into them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PASSES_LOOP_H
#define PLN_PASSES_LOOP_H

#include "passes/pass.h"

/* A Loop has trip count and condition before the state; a Scan has what it scans behind.
 */
typedef struct pln_loop {
    pln_node *n;
    pln_graph *g;
    bool scan;
    uint32_t n_state, n_scanned, n_results;
    uint32_t in_at, inner_at, out_at; /* of the state: in n->in, g->inputs, g->outputs */
} pln_loop;

/* false: n is none, or not as the standard has it. */
bool pln_loop_open(pln_loop *l, pln_node *n);
/* Entry i of a list such as scan_input_axes; 0: not there. */
int64_t pln_loop_listed(const pln_node *n, const char *name, uint32_t i);
/* The axis along which input i is scanned, of a value of that rank. */
int64_t pln_loop_axis(const pln_loop *l, uint32_t i, int rank);
/* Does the body of a Loop go on whatever happens in it? */
bool pln_loop_goes_on(const pln_loop *l);
/* How often it runs; -1: not known. */
int64_t pln_loop_trips(const pln_loop *l);
/* At least once; then what it does may as well be done before. */
bool pln_loop_runs(const pln_loop *l);

/* A number that a body counts: from + by * the number of the iteration. */
typedef struct pln_count {
    int64_t from, by;
} pln_count;

bool pln_loop_count_of(const pln_loop *l, const pln_value *v, pln_count *out);

/* A node of one or two inputs (b NULL), whose result has a name. NULL: no memory. */
pln_node *pln_loop_add(pln_node *before, const char *op, pln_value *a, pln_value *b);
/* A constant of one element, of rank 0 or 1. */
pln_value *pln_loop_constant(pln_graph *g, pln_dtype dt, int rank, int64_t v);

/* What a Loop counts for itself follows from the number of its iteration. */
pln_status pln_loop_count(pln_pass_ctx *ctx, pln_loop *l, pln_error *err);
/* What is carried, scanned or collected twice, is once. */
void pln_loop_merge(pln_pass_ctx *ctx, pln_loop *l);
/* Sequences that a Loop fills and that are stacked behind it are collected by the
 * Loop. */
pln_status pln_loop_collect(pln_pass_ctx *ctx, pln_loop *l, pln_error *err);

#endif
