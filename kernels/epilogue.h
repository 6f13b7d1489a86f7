/* Bias and post-ops over parts of a product's result while they are in cache.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_EPILOGUE_H
#define PLN_KERNELS_EPILOGUE_H

#include "kernels/postop.h"

typedef struct pln_epilogue_step {
    pln_postop op;
    const float *operand;        /* NULL: unary */
    int64_t step[PLN_MAX_RANK]; /* of the operand, by dimension of the result in memory */
} pln_epilogue_step;

/* The result is seen as rows of its last dimension in memory. */
typedef struct pln_epilogue {
    int n, rank;
    int64_t dims[PLN_MAX_RANK]; /* of the result, in the order of memory */
    pln_epilogue_step step[PLN_POSTOPS_MAX + 1];
} pln_epilogue;

/* For result `out` of call c. bias (may be NULL) has one value for each element of
 * dimension bias_axis, or broadcasts like an operand with bias_axis -1. A scale of other
 * than 1 comes before all. PLN_E_RUN where an operand does not broadcast. */
pln_status pln_epilogue_set(pln_epilogue *e, const pln_call *c,
                            const pln_postop_list *list, const pln_tensor *bias,
                            int bias_axis, float scale, const pln_tensor *out,
                            pln_error *err);
/* Sees the dimensions from `first` on as one, so that a row is all of them. false, and
 * nothing changed, where an operand's steps don't allow it. */
bool pln_epilogue_flatten(pln_epilogue *e, int first);
/* Columns [col, col + cols) of row `row`, at y. */
void pln_epilogue_row(const pln_epilogue *e, float *y, int64_t row, int64_t col,
                      int64_t cols);

#endif
