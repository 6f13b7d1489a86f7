/* The C versions of the vector loops, and the choice by instruction set.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec.h"

#include "config.h"
#include "src/ir/numeric.h"
#include "src/util/cpu.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

static inline float sigmoid1(float x)
{
    if (x >= 0)
        return 1.0f / (1.0f + expf(-x));
    const float e = expf(x);
    return e / (1.0f + e);
}

static inline float softplus1(float x)
{
    return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x));
}

static inline float gelu_tanh1(float x)
{
    return 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
}

static inline float unit1(float x)
{
    return x <= 0 ? 0 : x >= 1 ? 1 : x; /* NaN stays */
}

static inline float max1(float a, float b)
{
    return a > b || a != a ? a : b;
}

static inline float min1(float a, float b)
{
    return a < b || a != a ? a : b;
}

#define UNARY(name, expr)                                                               \
    static void name##_c(float *y, const float *px, int64_t n, float alpha, float beta) \
    {                                                                                   \
        (void)alpha, (void)beta;                                                        \
        for (int64_t i = 0; i < n; i++) {                                               \
            const float x = px[i];                                                      \
            y[i] = (expr);                                                              \
        }                                                                               \
    }
UNARY(relu, x < 0 ? 0 : x)
UNARY(leaky_relu, x < 0 ? alpha * x : x)
UNARY(clip, x<alpha ? alpha : x> beta ? beta : x)
UNARY(sigmoid, sigmoid1(x))
UNARY(tanh, tanhf(x))
UNARY(gelu, 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)))
UNARY(gelu_tanh, gelu_tanh1(x))
UNARY(swish, x *sigmoid1(alpha *x))
UNARY(hard_sigmoid, unit1(alpha *x + beta))
UNARY(hard_swish, x *unit1(alpha *x + beta))
UNARY(elu, x < 0 ? alpha * expm1f(x) : x)
UNARY(softplus, softplus1(x))
UNARY(mish, x *tanhf(softplus1(x)))
UNARY(exp, expf(x))
UNARY(log, logf(x))
UNARY(sqrt, sqrtf(x))
UNARY(abs, fabsf(x))
UNARY(neg, -x)
UNARY(linear, alpha *x + beta)
UNARY(erf, erff(x))
UNARY(reciprocal, 1.0f / x)
UNARY(floor, floorf(x))
UNARY(ceil, ceilf(x))
UNARY(round, rintf(x))
UNARY(square, x *x)
UNARY(sin, sinf(x))
UNARY(cos, cosf(x))
UNARY(atan, atanf(x))
UNARY(selu, beta *(x <= 0 ? alpha * expm1f(x) : x))
UNARY(celu, x < 0 ? alpha * expm1f(x / alpha) : x)
UNARY(softsign, x / (1.0f + fabsf(x)))
UNARY(thresholded_relu, x > alpha || x != x ? x : 0)

#define BINARY(name, expr)                                                       \
    static void name##_c(float *y, const float *pa, int64_t sa, const float *pb, \
                         int64_t sb, int64_t n)                                  \
    {                                                                            \
        for (int64_t i = 0; i < n; i++) {                                        \
            const float a = pa[i * sa], b = pb[i * sb];                          \
            y[i] = (expr);                                                       \
        }                                                                        \
    }
BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(div, a / b)
BINARY(max, max1(a, b))
BINARY(min, min1(a, b))
BINARY(prelu, a < 0 ? b * a : a)

static float exp_sum_c(float *y, const float *x, int64_t n, float shift)
{
    float sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const float e = expf(x[i] - shift);
        y[i] = e;
        sum += e;
    }
    return sum;
}

static void softmax_columns_c(float *s, int64_t n, int64_t width, float *max, float *sum,
                              float *factor)
{
    for (int64_t j = 0; j < width; j++) {
        float top = max[j], total = 0;
        for (int64_t i = 0; i < n; i++)
            top = s[i * width + j] > top ? s[i * width + j] : top;
        const float shift = top == -INFINITY ? 0 : top;
        factor[j] = expf(max[j] - shift);
        for (int64_t i = 0; i < n; i++)
            total += s[i * width + j] = expf(s[i * width + j] - shift);
        sum[j] = sum[j] * factor[j] + total;
        max[j] = top;
    }
}

static float log_sum_exp_c(const float *x, int64_t n, float shift)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += expf(x[i] - shift);
    return (float)log(sum);
}

static float sum_c(const float *x, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += x[i];
    return (float)s;
}

static float sum_abs_c(const float *x, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += fabsf(x[i]);
    return (float)s;
}

static float sum_square_c(const float *x, int64_t n, float shift)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += ((double)x[i] - shift) * ((double)x[i] - shift);
    return (float)s;
}

static float dot_c(const float *a, const float *b, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += (double)a[i] * b[i];
    return (float)s;
}

static float max_of_c(const float *x, int64_t n)
{
    float m = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        m = max1(m, x[i]);
    return m;
}

static float min_of_c(const float *x, int64_t n)
{
    float m = INFINITY;
    for (int64_t i = 0; i < n; i++)
        m = min1(m, x[i]);
    return m;
}

static void add_to_c(float *acc, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += x[i];
}

static void add_square_to_c(float *acc, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] += x[i] * x[i];
}

static void axpy_c(float *y, const float *x, float a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void gemv_c(float *y, const float *m, int64_t ld, const float *x, int64_t k,
                   int64_t n)
{
    for (int64_t i = 0; i < k; i++)
        axpy_c(y, m + i * ld, x[i], n);
}

static void normalize_c(float *y, const float *x, const float *gamma, const float *beta,
                        float mean, float inv, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float v = (x[i] - mean) * inv;
        if (gamma)
            v *= gamma[i];
        y[i] = beta ? v + beta[i] : v;
    }
}

static void scale_shift_c(float *y, const float *x, const float *scale,
                          const float *shift, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * scale[i] + shift[i];
}

static inline float quant1(float x, float scale, int32_t zero, float lo, float hi)
{
    const float q = rintf(x / scale) + (float)zero;
    return !(q > lo) ? lo : q < hi ? q : hi;
}

static void quant_u8_c(uint8_t *y, const float *x, int64_t n, float scale, int32_t zero)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (uint8_t)quant1(x[i], scale, zero, 0, 255);
}

static void quant_s8_c(int8_t *y, const float *x, int64_t n, float scale, int32_t zero)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (int8_t)quant1(x[i], scale, zero, -128, 127);
}

static void dequant_u8_c(float *y, const uint8_t *x, int64_t n, float scale, int32_t zero)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(x[i] - zero) * scale;
}

static void dequant_s8_c(float *y, const int8_t *x, int64_t n, float scale, int32_t zero)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(x[i] - zero) * scale;
}

static void dequant_s32_c(float *y, const int32_t *x, int64_t n, float scale)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)x[i] * scale;
}

static void f16_f32_c(float *y, const uint16_t *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = pln_f16_to_f32(x[i]);
}

static void f32_f16_c(uint16_t *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = pln_f32_to_f16(x[i]);
}

static void bf16_f32_c(float *y, const uint16_t *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = pln_bf16_to_f32(x[i]);
}

static void f32_bf16_c(uint16_t *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = pln_f32_to_bf16(x[i]);
}

static void map_bytes_c(uint8_t *restrict y, const uint8_t *x, int64_t n,
                        const uint8_t table[256])
{
    for (int64_t i = 0; i < n; i++)
        y[i] = table[x[i]];
}

static const pln_vec_fns fns_c = {
#define X(name) .name = name##_c,
    PLN_VEC_UNARY(X) PLN_VEC_BINARY(X)
#undef X
        .exp_sum = exp_sum_c,
    .log_sum_exp = log_sum_exp_c,
    .softmax_columns = softmax_columns_c,
    .sum = sum_c,
    .sum_abs = sum_abs_c,
    .sum_square = sum_square_c,
    .dot = dot_c,
    .max_of = max_of_c,
    .min_of = min_of_c,
    .add_to = add_to_c,
    .add_square_to = add_square_to_c,
    .axpy = axpy_c,
    .gemv = gemv_c,
    .normalize = normalize_c,
    .scale_shift = scale_shift_c,
    .quant_u8 = quant_u8_c,
    .quant_s8 = quant_s8_c,
    .map_bytes = map_bytes_c,
    .dequant_u8 = dequant_u8_c,
    .dequant_s8 = dequant_s8_c,
    .dequant_s32 = dequant_s32_c,
    .f16_f32 = f16_f32_c,
    .f32_f16 = f32_f16_c,
    .bf16_f32 = bf16_f32_c,
    .f32_bf16 = f32_bf16_c,
};

static pln_vec_fns tables[PLN_ISA_COUNT];
static bool has[PLN_ISA_COUNT];
static const pln_vec_fns *best;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_tables(void)
{
    pln_vec_fns f = fns_c;
    int top = PLN_ISA_C;
    tables[PLN_ISA_C] = f;
    has[PLN_ISA_C] = true;
#if PLN_X86
    const uint32_t cpu = pln_cpu_flags();
    if (cpu & PLN_CPU_AVX2) {
        pln_vec_init_avx2(&f);
        tables[top = PLN_ISA_AVX2] = f;
        has[top] = true;
    }
    if (cpu & PLN_CPU_AVX512) {
        pln_vec_init_avx512(&f);
        tables[top = PLN_ISA_AVX512] = f;
        has[top] = true;
    }
#endif
    best = &tables[top];
}

const pln_vec_fns *pln_vec(void)
{
    pthread_once(&once, init_tables);
    return best;
}

const pln_vec_fns *pln_vec_for(int isa)
{
    pthread_once(&once, init_tables);
    return isa >= 0 && isa < PLN_ISA_COUNT && has[isa] ? &tables[isa] : NULL;
}
