/* Our own float matrix product: packed panels of B, tiles of C in registers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_GEMM_F32_H
#define PLN_KERNELS_GEMM_F32_H

#include "kernels/epilogue.h"
#include "kernels/product.h"

#define PLN_GEMM_MR_MAX 14
#define PLN_GEMM_NR_MAX 32
#define PLN_GEMM_KC     256 /* depth of a block: a panel of A stays in the first cache */

/* What an instruction set brings. */
typedef struct pln_gemm_fns {
    int mr, nr;
    /* c[rows][cols] (+)= a x b over k steps. From step to step, the rows of a lie lda
     * floats apart (mr where it is packed), the nr columns of b ldb floats. cols < nr: b
     * has all nr columns still. */
    void (*tile)(int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                 float *c, int64_t ldc, int rows, int cols, bool add);
    /* y[i] = the sum of w[r taps + q] x[r ld + at[q] + i] over rows and taps */
    void (*correlate)(float *y, const float *x, int64_t ld, int64_t rows, const float *w,
                      const int64_t *at, int64_t taps, int64_t n);
} pln_gemm_fns;

const pln_gemm_fns *pln_gemm(void);
const pln_gemm_fns *pln_gemm_for(int isa); /* NULL: not on this processor */
#if defined(__x86_64__)
extern const pln_gemm_fns pln_gemm_avx2, pln_gemm_avx512;
#endif

/* Floats of the packed form of a k x n matrix. */
int64_t pln_gemm_packed_size(const pln_gemm_fns *f, int64_t k, int64_t n);
/* Panels [p0, p1) of B, strides in elements. */
void pln_gemm_pack(const pln_gemm_fns *f, float *out, const float *b, int64_t rs,
                   int64_t cs, int64_t k, int64_t n, int64_t p0, int64_t p1);

/* out[k][width] = n <= width rows of k floats, zeros in the columns after them. */
void pln_gemm_pack_rows(float *out, int64_t width, const float *const *rows, int64_t n,
                        int64_t k);

/* One product: rows and columns of C that are wanted, and what to do with finished
 * rows. */
typedef struct pln_gemm_job {
    const pln_gemm_fns *fns;
    int64_t m, n, k;
    const float *a;
    int64_t a_rs, a_cs;
    const float *b;         /* packed, or with b_ld > 0 row-major as it is */
    int64_t b_ld;
    float *c;
    int64_t ldc;
    const pln_epilogue *epilogue; /* NULL */
    int64_t row0;                 /* of the epilogue, for row 0 of C */
} pln_gemm_job;

/* Rows [i0, i1) x columns [j0, j1); j0 is a multiple of nr, i0 of mr. */
void pln_gemm_run(const pln_gemm_job *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1);
/* All of it on up to n_threads. */
void pln_gemm_parallel(const pln_gemm_job *g, int n_threads);

#endif
