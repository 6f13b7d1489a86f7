/* Our own exact product of 8-bit integers: packed panels, tiles of int32 sums in
 * registers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_GEMM_INT_H
#define PLN_KERNELS_GEMM_INT_H

#include "kernels/int_product.h"

#define PLN_IGEMM_MR_MAX 14
#define PLN_IGEMM_KC     1024 /* depth of a block of A on the stack */

/* Operands are packed as a' = a - a_offset and b' = b + b_offset, which fit the
 * instruction: int8 x uint8 in groups of 4 for VNNI, else int16 x int16 in groups of 2
 * (whose products of bytes never saturate). A group is 4 bytes either way, filled with
 * zeros. */
typedef struct pln_igemm_fns {
    int mr, nr, group;
    int32_t a_offset_u8, b_offset_s8; /* of the other types 0 */
    /* rows x k of A as [k / group][mr][group]; sums[r] += the row's a'. */
    void (*pack_a)(void *out, int32_t *sums, const uint8_t *a, int64_t rs, int64_t cs,
                   int64_t k, int rows, int flip);
    /* k x cols of B as [k / group][nr][group]; sums[j]: the column's b'. */
    void (*pack_b)(void *out, int32_t *sums, const uint8_t *b, int64_t rs, int64_t cs,
                   int64_t k, int cols, int flip);
    void (*tile)(int64_t groups, const void *a, const void *b, int32_t *c, int64_t ldc,
                 int rows, int cols, bool add);
    /* row[j] -= fixed + az sums[j], wrapping. */
    void (*correct)(int32_t *row, const int32_t *sums, uint32_t fixed, uint32_t az,
                    int64_t n);
    /* The same, and on to bytes as pln_quantize_byte(row scale, 1, zero, flip) has
       them. */
    void (*requant)(uint8_t *y, const int32_t *row, const int32_t *sums, uint32_t fixed,
                    uint32_t az, float scale, int32_t zero, int flip, int64_t n);
    /* acc[j] += w (x[j step] - zero), of bytes with that flip. */
    void (*axpy)(int32_t *acc, const uint8_t *x, int64_t step, int32_t w, int32_t zero,
                 int flip, int64_t n);
    /* acc[j] = sum over t of w[t] (x[t][j] - zero). */
    void (*taps)(int32_t *acc, const uint8_t *const *x, const int32_t *w, int n_taps,
                 int32_t zero, int flip, int64_t n);
} pln_igemm_fns;

const pln_igemm_fns *pln_igemm(void);
const pln_igemm_fns *pln_igemm_for(int isa); /* NULL: not on this processor */
#if defined(__x86_64__)
extern const pln_igemm_fns pln_igemm_avx2, pln_igemm_avx512, pln_igemm_avx512_vnni;
#endif

/* B as it is packed: panels, then the sums of the columns. */
typedef struct pln_igemm_b {
    const unsigned char *panels;
    const int32_t *sums;
} pln_igemm_b;

/* Bytes of the packed form, sums included; 0: too large. */
size_t pln_igemm_packed_size(const pln_igemm_fns *f, int64_t k, int64_t n);
void pln_igemm_pack(const pln_igemm_fns *f, void *out, const uint8_t *b, int64_t rs,
                    int64_t cs, int64_t k, int64_t n, int flip);
pln_igemm_b pln_igemm_view(const pln_igemm_fns *f, const void *packed, int64_t k,
                           int64_t n);

typedef struct pln_igemm_job {
    const pln_igemm_fns *fns;
    int64_t m, n, k;
    const uint8_t *a;
    int64_t a_rs, a_cs;
    int a_flip, b_flip;
    pln_igemm_b b;
    const pln_zero *a_zero, *b_zero;
    int64_t batch; /* which matrix of the zero points */
    int32_t *c;
    int64_t ldc;
    /* Called with finished sums: columns [j0, j1) of row i lie at `row`. NULL:
       nothing. */
    void (*finish)(const void *user, int32_t *row, int64_t i, int64_t j0, int64_t j1);
    const void *user;
} pln_igemm_job;

/* Rows [i0, i1) x columns [j0, j1); j0 is a multiple of nr, i0 of mr. */
void pln_igemm_run(const pln_igemm_job *g, int64_t i0, int64_t i1, int64_t j0,
                   int64_t j1);
void pln_igemm_parallel(const pln_igemm_job *g, int n_threads);

#endif
