/* Float products whose B stays as it is stored: bytes with scales and zero points, or
 * floats of 16 bits. It is widened where it is used: in registers for a few rows, else a
 * block at a time in the first cache.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_GEMM_NARROW_H
#define PLN_KERNELS_GEMM_NARROW_H

#include "kernels/gemm_f32.h"

#define PLN_NARROW_KC   128 /* depth of a block: it leaves room for a panel of A */
#define PLN_NARROW_ROWS 252 /* rows of A on a widened block; a multiple of each mr */

typedef enum pln_narrow_type {
    PLN_NARROW_S8,
    PLN_NARROW_U8,
    PLN_NARROW_F16,
    PLN_NARROW_BF16,
    PLN_NARROW_TYPES
} pln_narrow_type;

/* What an instruction set brings for a type. b is a packed panel, k steps of nr columns;
 * scale and zero hold nr numbers each, or are NULL: (b - zero) scale. */
typedef struct pln_narrow_loops {
    void (*widen)(float *out, const void *b, int64_t k, const float *scale,
                  const float *zero);
    /* c[rows][cols] (+)= a x b for rows <= few, a as it is in rows lda apart */
    void (*tile)(int64_t k, const float *a, int64_t lda, const void *b,
                 const float *scale, const float *zero, float *c, int64_t ldc, int rows,
                 int cols, bool add);
} pln_narrow_loops;

typedef struct pln_narrow_fns {
    const pln_gemm_fns *gemm; /* of the same instruction set */
    int few; /* rows up to which B is widened in registers */
    pln_narrow_loops loops[PLN_NARROW_TYPES];
} pln_narrow_fns;

const pln_narrow_fns *pln_narrow(void);
const pln_narrow_fns *pln_narrow_for(int isa); /* NULL: not on this processor */
#if defined(__x86_64__)
extern const pln_narrow_fns pln_narrow_avx2, pln_narrow_avx512;
#endif

/* B in panels. */
typedef struct pln_narrow_b {
    const pln_allocator *alloc;
    pln_narrow_type type;
    int64_t k, n;
    int64_t group; /* steps of k that share a scale */
    uint8_t *data;
    float *scale, *zero; /* [panel][group][nr]; NULL: none */
} pln_narrow_b;

/* How B lies in its tensors. */
typedef struct pln_narrow_source {
    const pln_tensor *b, *scale, *zero; /* scale and zero may be NULL */
    bool transposed;                    /* b is [n][k] */
    int64_t block;                      /* along k; 0: none */
} pln_narrow_source;

/* The type that a tensor's elements have in a panel; false: it can't be one. */
bool pln_narrow_type_of(pln_dtype dt, pln_narrow_type *out);
/* Do scale and zero have the sizes that B asks for? */
bool pln_narrow_fits(const pln_narrow_source *s);
/* PLN_E_NOMEM or PLN_E_LIMIT. */
pln_status pln_narrow_pack(const pln_allocator *a, const pln_narrow_fns *f,
                           const pln_narrow_source *s, pln_narrow_b **out,
                           pln_error *err);
void pln_narrow_free(void *b);

/* c[m][n] = a x b, then the epilogue, on up to n_threads. */
typedef struct pln_narrow_job {
    const pln_narrow_fns *fns;
    const pln_narrow_b *b;
    int64_t m;
    const float *a;
    int64_t a_rs;
    float *c;
    const pln_epilogue *epilogue;
} pln_narrow_job;
void pln_narrow_run(const pln_narrow_job *j, int n_threads);

#endif
