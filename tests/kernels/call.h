/* Runs a row's kernels without a session: plan time and one call, with guard bytes behind
 * each output and the scratch memory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_TESTS_KERNELS_CALL_H
#define PLN_TESTS_KERNELS_CALL_H

#include "src/ir/op.h"

#define TK_MAX 12

typedef struct tk_case {
    const pln_op_desc *op;
    const void *attrs;
    int n_threads;
    uint32_t n_in;
    const pln_tensor *in[TK_MAX]; /* NULL: absent */
    bool constant[TK_MAX];        /* known at plan time */
    pln_dtype out_dtype;
    int out_rank;
    int64_t out_dims[PLN_MAX_RANK];
} tk_case;

/* Runs impl (NULL: the row's reference) and gives the output, to be freed with tk_free.
 * PLN_E_UNSUPPORTED: it declined. Aborts with a message where guards were overwritten. */
pln_status tk_run(const tk_case *c, const pln_impl *impl, pln_tensor **out,
                  pln_error *err);
/* The same call again and again: seconds of the quickest. */
double tk_bench(const tk_case *c, const pln_impl *impl, double seconds, pln_error *err);

pln_tensor *tk_tensor(pln_dtype dt, int rank, const int64_t *dims);
void tk_free(pln_tensor *t);
/* Integers: whole values. */
void tk_random(pln_tensor *t, uint64_t seed, double lo, double hi);
const pln_op_desc *tk_row(const pln_op_desc *rows, const char *name);

#endif
