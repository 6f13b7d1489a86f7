/* Exact products of 8-bit integers with zero points: what MatMulInteger, ConvInteger, the
 * QLinear and the fused quantized operators are made of. Sums are int32 and wrap.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_INT_PRODUCT_H
#define PLN_KERNELS_INT_PRODUCT_H

#include "kernels/conv.h"
#include "kernels/product.h"

/* Bytes of u8 or s8: value = (byte ^ flip) - flip. */
static inline int pln_byte_flip(pln_dtype dt)
{
    return dt == PLN_DT_S8 ? 0x80 : 0;
}
static inline int32_t pln_byte_value(uint8_t b, int flip)
{
    return (b ^ flip) - flip;
}

/* A zero point: one, one for each row or column (step 1), and perhaps for each matrix of
 * a batch (n of them in `batch` matrices). */
typedef struct pln_zero {
    const uint8_t *v; /* NULL: 0 */
    int flip;
    int64_t step, batch; /* batch: matrices that have their own; 1 where they share */
    int64_t len;         /* values of one matrix */
} pln_zero;

/* t may be NULL. n: rows (of A) or columns (of B). false: its size fits nothing. */
bool pln_zero_set(pln_zero *z, const pln_tensor *t, int64_t n);
static inline int32_t pln_zero_at(const pln_zero *z, int64_t batch, int64_t i)
{
    if (!z->v)
        return 0;
    return pln_byte_value(z->v[(batch % z->batch) * z->len + i * z->step], z->flip);
}

/* acc[batch][m][n] = (a - a_zero) x (b - b_zero). */
pln_status pln_int_mm_ref(const pln_call *c, const pln_mm *g, const pln_tensor *a,
                          const pln_tensor *b, const pln_zero *a_zero,
                          const pln_zero *b_zero, int32_t *acc);
/* acc[n][m][out] of a convolution; w_zero by output channel or one. */
pln_status pln_int_conv_ref(const pln_call *c, const pln_conv_geom *g,
                            const pln_tensor *x, const pln_tensor *w,
                            const pln_zero *x_zero, const pln_zero *w_zero, int32_t *acc);

/* ---- from sums to results -------------------------------------------------------- */

/* f = (acc + int bias) x (a_scale x b_scale[col]) + float bias, by channel. */
typedef struct pln_dequant {
    float a_scale;
    const float *b_scale; /* one (b_step 0) or one for each channel (1) */
    int64_t b_step;
    const int32_t *bias_int; /* NULL, or one for each channel */
    const float *bias;
    int64_t bias_step;
} pln_dequant;

/* In place: `rows` runs of `len` values; the channel is the row modulo `channels`, or
 * with channels 0 the position in the run. */
void pln_dequant_apply(const pln_call *c, const pln_dequant *q, void *acc, int64_t rows,
                       int64_t len, int64_t channels);
/* y = saturate(round_even(f / scale) + zero), u8 or s8. */
static inline uint8_t pln_quantize_byte(float f, float scale, int32_t zero, int flip)
{
    const float r = __builtin_rintf(f / scale);
    const float lo = (float)(-flip - zero), hi = (float)(255 - flip - zero);
    /* NaN gives the lowest value. */
    const float v = r > lo ? (r < hi ? r : hi) : lo;
    return (uint8_t)((int32_t)v + zero);
}

#endif
