/* Vector loops over float arrays: one table of pointers, filled for this processor.
 *
 * The C version of each is the definition. Error bounds of the others against exact
 * results, relative: exp, log, sigmoid, tanh, erf, gelu, swish, elu, softplus, mish, sin,
 * cos, atan, selu, celu 4e-7
 * (absolute 1e-7 where the result is near 0), sums as a float sum in another order; the
 * rest give the same bits. Destinations may lie exactly over a source of the same size.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_VEC_H
#define PLN_KERNELS_VEC_H

#include <stdint.h>

/* alpha and beta mean what they mean in postop.h. */
typedef void (*pln_vec_unary)(float *y, const float *x, int64_t n, float alpha,
                              float beta);
/* Strides sa, sb are 0 (one value for all) or 1. */
typedef void (*pln_vec_binary)(float *y, const float *a, int64_t sa, const float *b,
                               int64_t sb, int64_t n);

#define PLN_VEC_UNARY(X)                                   \
    X(relu)                                                \
    X(leaky_relu)                                          \
    X(clip)                                                \
    X(sigmoid)                                             \
    X(tanh)                                                \
    X(gelu)                                                \
    X(gelu_tanh)                                           \
    X(swish)        /* x sigmoid(alpha x) */               \
    X(hard_sigmoid) /* max(0, min(1, alpha x + beta)) */   \
    X(hard_swish)   /* x max(0, min(1, alpha x + beta)) */ \
    X(elu)                                                 \
    X(softplus)                                            \
    X(mish)                                                \
    X(exp)                                                 \
    X(log)                                                 \
    X(sqrt)                                                \
    X(abs)                                                 \
    X(neg)                                                 \
    X(linear) /* alpha x + beta, rounded twice */          \
    X(erf)                                                 \
    X(reciprocal)                                          \
    X(floor)                                               \
    X(ceil)                                                \
    X(round) /* ties to even */                            \
    X(square)                                              \
    X(sin)                                                 \
    X(cos)                                                 \
    X(atan)                                                \
    X(selu) /* beta alpha expm1(x) up to 0, beta x */      \
    X(celu) /* alpha expm1(x / alpha) up to 0, x */        \
    X(softsign)                                            \
    X(thresholded_relu)

#define PLN_VEC_BINARY(X) \
    X(add)                \
    X(sub)                \
    X(mul)                \
    X(div)                \
    X(max) /* NaN wins */ \
    X(min)                \
    X(prelu) /* a < 0 ? b a : a */

typedef struct pln_vec_fns {
#define X(name) pln_vec_unary name;
    PLN_VEC_UNARY(X)
#undef X
#define X(name) pln_vec_binary name;
    PLN_VEC_BINARY(X)
#undef X
    /* y[i] = exp(x[i] - shift); the sum of all. */
    float (*exp_sum)(float *y, const float *x, int64_t n, float shift);
    /* log of the sum of exp(x[i] - shift) */
    float (*log_sum_exp)(const float *x, int64_t n, float shift);
    float (*sum)(const float *x, int64_t n);
    float (*sum_abs)(const float *x, int64_t n);
    float (*sum_square)(const float *x, int64_t n, float shift); /* of x - shift */
    float (*dot)(const float *a, const float *b, int64_t n);
    /* -inf and +inf for n == 0; NaN if there is one. */
    float (*max_of)(const float *x, int64_t n);
    float (*min_of)(const float *x, int64_t n);
    /* acc[i] += x[i], += x[i]^2, max(acc[i], x[i]), min(...). */
    void (*add_to)(float *acc, const float *x, int64_t n);
    void (*add_square_to)(float *acc, const float *x, int64_t n);
    /* y += a x */
    void (*axpy)(float *y, const float *x, float a, int64_t n);
    /* y[j] += x[i] m[i ld + j], for i < k, j < n */
    void (*gemv)(float *y, const float *m, int64_t ld, const float *x, int64_t k,
                 int64_t n);
    /* One more block of a softmax along the rows of s[n][width], width a multiple of 16
     * (of 8 with AVX2, of 1 in C): the maxima so far grow, s becomes exp(s - max), the
     * sums become sum * factor + those of s, where factor = exp(old max - new max). */
    void (*softmax_columns)(float *s, int64_t n, int64_t width, float *max, float *sum,
                            float *factor);
    /* y = (x - mean) inv gamma + beta; gamma, beta may be NULL. */
    void (*normalize)(float *y, const float *x, const float *gamma, const float *beta,
                      float mean, float inv, int64_t n);
    /* y[i] = x[i] scale[i] + shift[i], rounded twice. */
    void (*scale_shift)(float *y, const float *x, const float *scale, const float *shift,
                        int64_t n);

    /* saturate(round(x / scale) + zero), ties to even; NaN gives the lowest value. */
    void (*quant_u8)(uint8_t *y, const float *x, int64_t n, float scale, int32_t zero);
    void (*quant_s8)(int8_t *y, const float *x, int64_t n, float scale, int32_t zero);
    /* (x - zero) scale */
    /* y[i] = table[x[i]] */
    void (*map_bytes)(uint8_t *y, const uint8_t *x, int64_t n, const uint8_t table[256]);
    void (*dequant_u8)(float *y, const uint8_t *x, int64_t n, float scale, int32_t zero);
    void (*dequant_s8)(float *y, const int8_t *x, int64_t n, float scale, int32_t zero);
    void (*dequant_s32)(float *y, const int32_t *x, int64_t n, float scale);

    /* Conversions. */
    void (*f16_f32)(float *y, const uint16_t *x, int64_t n);
    void (*f32_f16)(uint16_t *y, const float *x, int64_t n);
    void (*bf16_f32)(float *y, const uint16_t *x, int64_t n);
    void (*f32_bf16)(uint16_t *y, const float *x, int64_t n);
} pln_vec_fns;

/* The table for this processor (PLN_CPU lowers it). */
const pln_vec_fns *pln_vec(void);
/* The table of one instruction set; NULL where the processor or the build has none. */
const pln_vec_fns *pln_vec_for(int isa);

/* Overwrites what the set does better; used by vec.c alone. */
void pln_vec_init_avx2(pln_vec_fns *f);
void pln_vec_init_avx512(pln_vec_fns *f);

#endif
