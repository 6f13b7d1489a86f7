/* Our own double matrix product.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_GEMM_F64_H
#define PLN_KERNELS_GEMM_F64_H

#include "src/ir/op.h"

#define PLN_GEMM64_MR_MAX 8
#define PLN_GEMM64_NR_MAX 16

typedef struct pln_gemm64_fns {
    int mr, nr;
    /* c[mr][nr] += a[k][mr] x b[k][nr] */
    void (*tile)(int64_t k, const double *a, const double *b, double *c, int64_t ldc);
} pln_gemm64_fns;

const pln_gemm64_fns *pln_gemm64(void);
const pln_gemm64_fns *pln_gemm64_for(int isa); /* NULL: not on this processor */
#if defined(__x86_64__)
extern const pln_gemm64_fns pln_gemm64_avx2, pln_gemm64_avx512;
#endif

/* c[m][n] += a x b, strides in elements. */
typedef struct pln_gemm64_job {
    int64_t m, n, k;
    const double *a, *b;
    int64_t a_rs, a_cs, b_rs, b_cs;
    double *c;
    int64_t ldc;
    double *room; /* NULL at first; kept for further products of these sizes */
} pln_gemm64_job;
/* Packs into memory of the call. */
pln_status pln_gemm64_run(pln_call *c, pln_gemm64_job *j, pln_error *err);

#endif
