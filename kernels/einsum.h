/* Einsum as loops over its labels.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_EINSUM_H
#define PLN_KERNELS_EINSUM_H

#include "src/ir/op.h"

#define PLN_EINSUM_TERMS  8                    /* inputs */
#define PLN_EINSUM_LABELS (52 + PLN_MAX_RANK)  /* letters, then the dimensions of "..." */

/* Loops: the result's dimensions, then those that are summed. */
typedef struct pln_einsum {
    int n_in, n_out, n_sum;
    int64_t size[PLN_EINSUM_LABELS];                   /* by loop */
    int64_t step[PLN_EINSUM_TERMS][PLN_EINSUM_LABELS]; /* of each input, by loop */
    int64_t n_elements, n_terms;                       /* of the result; in each sum */
    const void *in[PLN_EINSUM_TERMS];
    void *out;
    size_t unit; /* bytes of an element */
} pln_einsum;

/* In float or double, two inputs at a time by matrix products; the result has
 * elements. */
pln_status pln_einsum_fast(pln_call *c, const pln_einsum *s, pln_error *err);

#endif
