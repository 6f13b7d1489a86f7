/* Products with weights of a few bits: rows of blocks, each with a scale and a zero
 * point. SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_NBITS_H
#define PLN_KERNELS_NBITS_H

#include "src/ir/kernel.h"

/* B[n][k]: element i of a row lies at bit i * bits of it, low bits first, and stands for
 * (q - zero) * scale of its block. */
typedef struct pln_nbits {
    int bits; /* 2, 3, 4 or 8 */
    int64_t n, k;
    int64_t block, blocks; /* of a row; the last may reach beyond k */
    const uint8_t *data;
    int64_t row_bytes;
    const float *scales; /* [n][blocks] */
    /* Zero points: packed like the data, rows `zero_bytes` apart (or, `zeros_across`, one
     * for each row, packed along n); or floats [n][blocks]; or 2^(bits - 1). */
    const uint8_t *zeros;
    int64_t zero_bytes;
    bool zeros_across;
    const float *float_zeros;
    const int32_t *groups; /* [k]: which block's scale an element has; NULL: its own */
} pln_nbits;

/* What an instruction set brings. `a` is in groups of 2 x `half` values: first those at
 * even places, which are the low nibbles, then the others. block is a multiple of 2 x
 * half. */
typedef struct pln_nbits_fns {
    int half;
    /* y[r y_step] = a row r (a_step apart) times one row of B, for rows <= 4. */
    void (*dot4)(float *y, int64_t y_step, const float *a, int64_t a_step, int rows,
                 const uint8_t *q, const float *scales, const float *zeros,
                 int64_t blocks, int64_t block);
    /* One row of B, in the order of `a`. */
    void (*dequant4)(float *out, const uint8_t *q, const float *scales,
                     const float *zeros, int64_t blocks, int64_t block);
} pln_nbits_fns;

const pln_nbits_fns *pln_nbits_loops(void);
const pln_nbits_fns *pln_nbits_loops_for(int isa); /* NULL: not on this processor */
#if defined(__x86_64__)
extern const pln_nbits_fns pln_nbits_avx2, pln_nbits_avx512;
#endif

/* Elements [k0, k1) of a row as floats. */
void pln_nbits_values(const pln_nbits *w, int64_t row, int64_t k0, int64_t k1,
                      float *out);

/* y[m][n] = a[m][k] x B^T + bias[n] (may be NULL). `plain`: by the definition. */
typedef struct pln_nbits_job {
    const pln_nbits *w;
    const float *a, *bias;
    float *y;
    int64_t m;
} pln_nbits_job;
pln_status pln_nbits_product(const pln_nbits_job *j, pln_call *c, bool plain,
                             pln_error *err);

#endif
