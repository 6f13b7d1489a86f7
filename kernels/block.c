/* Conversion of blocks of elements between storage types.
 *
 * Every pair goes through at most one of three middles: float, double, int64.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"

#include "kernels/typed.h"
#include "kernels/vec.h"
#include "src/ir/numeric.h"

#include <math.h>
#include <string.h>

#define MIDDLE 256 /* elements converted at a time */

typedef void (*convert_fn)(void *y, const void *x, int64_t n);

/* Conversions of double to the integers as x86 does them, with the undefined cases given
 * its results: out of range and NaN become the lowest value of the register. */
static inline int64_t f64_s64(double v)
{
    return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
}

static inline int32_t f64_s32(double v)
{
    return v > -2147483649.0 && v < 2147483648.0 ? (int32_t)v : INT32_MIN;
}

static inline uint64_t f64_u64(double v)
{
    return v >= 0x1p63 && v < 0x1p64 ? (uint64_t)(v - 0x1p63) + (UINT64_C(1) << 63)
                                     : (uint64_t)f64_s64(v);
}

/* float that keeps whether anything was lost in its last bit (round to odd), so that
 * rounding it again to a shorter format rounds the double once. */
static inline float f64_odd(double v)
{
    float f = (float)v;
    if ((double)f == v || v != v || isinf(f))
        return f;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if (fabs((double)f) > fabs(v))
        u--;
    u |= 1;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline int s4(uint8_t v)
{
    return (int)((v & 15) ^ 8) - 8;
}

static inline int s2(uint8_t v)
{
    return (int)((v & 3) ^ 2) - 2;
}

#define LOOP(name, ty, tx, expr)                                                  \
    __attribute__((unused)) static void name(void *py, const void *px, int64_t n) \
    {                                                                             \
        ty *y = (ty *)py;                                                         \
        const tx *x = (const tx *)px;                                             \
        for (int64_t i = 0; i < n; i++) {                                         \
            const tx v = x[i];                                                    \
            y[i] = (ty)(expr);                                                    \
        }                                                                         \
    }

/* name, C type, from float, from double, from int64 */
#define PLAIN_TYPES(X)                          \
    X(u8, uint8_t, f64_s32(v), f64_s32(v), v)   \
    X(s8, int8_t, f64_s32(v), f64_s32(v), v)    \
    X(u16, uint16_t, f64_s32(v), f64_s32(v), v) \
    X(s16, int16_t, f64_s32(v), f64_s32(v), v)  \
    X(s32, int32_t, f64_s32(v), f64_s32(v), v)  \
    X(s64, int64_t, f64_s64(v), f64_s64(v), v)  \
    X(u32, uint32_t, f64_s64(v), f64_s64(v), v) \
    X(u64, uint64_t, f64_u64(v), f64_u64(v), v) \
    X(f32, float, v, v, v)                      \
    X(f64, double, v, v, v)

#define X(name, type, f32, f64, s64)          \
    LOOP(name##_from_f32, type, float, f32)   \
    LOOP(name##_from_f64, type, double, f64)  \
    LOOP(name##_from_s64, type, int64_t, s64) \
    LOOP(name##_to_f32, float, type, v)       \
    LOOP(name##_to_f64, double, type, v)      \
    LOOP(name##_to_s64, int64_t, type, (int64_t)v)
PLAIN_TYPES(X)
#undef X

/* Types whose values need a function: name, storage, to float, from float, from double,
 * from int64. int64 goes to the short floats through double, which rounds once. */
#define CODED_TYPES(X)                                                              \
    X(bool, uint8_t, v != 0, v != 0, v != 0, v != 0)                                \
    X(u4, uint8_t, v & 15, f64_s32(v) & 15, f64_s32(v) & 15, v & 15)                \
    X(s4, int8_t, s4((uint8_t)v), s4((uint8_t)f64_s32(v)), s4((uint8_t)f64_s32(v)), \
      s4((uint8_t)v))                                                               \
    X(u2, uint8_t, v & 3, f64_s32(v) & 3, f64_s32(v) & 3, v & 3)                    \
    X(s2, int8_t, s2((uint8_t)v), s2((uint8_t)f64_s32(v)), s2((uint8_t)f64_s32(v)), \
      s2((uint8_t)v))                                                               \
    X(f4, uint8_t, pln_f4_to_f32(v), pln_f32_to_f4(v), pln_f32_to_f4(f64_odd(v)),   \
      pln_f32_to_f4(f64_odd((double)v)))                                            \
    F8(X, e4m3, PLN_DT_F8E4M3FN)                                                    \
    F8(X, e4m3uz, PLN_DT_F8E4M3FNUZ)                                                \
    F8(X, e5m2, PLN_DT_F8E5M2)                                                      \
    F8(X, e5m2uz, PLN_DT_F8E5M2FNUZ)                                                \
    F6(X, e2m3, PLN_DT_F6E2M3)                                                      \
    F6(X, e3m2, PLN_DT_F6E3M2)                                                      \
    F8(X, e8m0, PLN_DT_F8E8M0)                                                      \
    X(f16, uint16_t, pln_f16_to_f32(v), pln_f32_to_f16(v), pln_f64_to_f16(v),       \
      pln_f64_to_f16((double)v))                                                    \
    X(bf16, uint16_t, pln_bf16_to_f32(v), pln_f32_to_bf16(v), pln_f64_to_bf16(v),   \
      pln_f64_to_bf16((double)v))
#define F6(X, name, dt)                                          \
    X(name, uint8_t, pln_f6_to_f32(dt, v), pln_f32_to_f6(dt, v), \
      pln_f32_to_f6(dt, f64_odd(v)), pln_f32_to_f6(dt, f64_odd((double)v)))
#define F8(X, name, dt)                                                \
    X(name, uint8_t, pln_f8_to_f32(dt, v), pln_f32_to_f8(dt, v, true), \
      pln_f32_to_f8(dt, f64_odd(v), true), pln_f32_to_f8(dt, f64_odd((double)v), true))

#define X(name, type, to_f32, f32, f64, s64)  \
    LOOP(name##_from_f32, type, float, f32)   \
    LOOP(name##_from_f64, type, double, f64)  \
    LOOP(name##_from_s64, type, int64_t, s64) \
    LOOP(name##_to_f32, float, type, to_f32)  \
    LOOP(name##_to_f64, double, type, to_f32) \
    LOOP(name##_to_s64, int64_t, type, f64_s64((double)(to_f32)))
CODED_TYPES(X)
#undef X

LOOP(f32_from_u64, float, uint64_t, v)

/* Short conversions by the processor where it has them. */
static void f16_to_f32_vec(void *y, const void *x, int64_t n)
{
    pln_vec()->f16_f32((float *)y, (const uint16_t *)x, n);
}
static void f16_from_f32_vec(void *y, const void *x, int64_t n)
{
    pln_vec()->f32_f16((uint16_t *)y, (const float *)x, n);
}
static void bf16_to_f32_vec(void *y, const void *x, int64_t n)
{
    pln_vec()->bf16_f32((float *)y, (const uint16_t *)x, n);
}
static void bf16_from_f32_vec(void *y, const void *x, int64_t n)
{
    pln_vec()->f32_bf16((uint16_t *)y, (const float *)x, n);
}

static void u8_to_f32_vec(void *y, const void *x, int64_t n)
{
    pln_vec()->dequant_u8((float *)y, (const uint8_t *)x, n, 1.0f, 0);
}
static void s8_to_f32_vec(void *y, const void *x, int64_t n)
{
    pln_vec()->dequant_s8((float *)y, (const int8_t *)x, n, 1.0f, 0);
}

typedef enum middle { NO, F32, F64, S64 } middle;

typedef struct conversions {
    middle via; /* the narrowest of the three that holds every value */
    convert_fn to_f32, to_f64, to_s64, from_f32, from_f64, from_s64;
} conversions;

#define ROW(name, via)                                                     \
    {                                                                      \
        via, name##_to_f32, name##_to_f64, name##_to_s64, name##_from_f32, \
            name##_from_f64, name##_from_s64                               \
    }
#define ROW_VEC(name)                                                              \
    {                                                                              \
        F32, name##_to_f32_vec, name##_to_f64, name##_to_s64, name##_from_f32_vec, \
            name##_from_f64, name##_from_s64                                       \
    }

#define ROW_BYTES(name)                                                        \
    {                                                                          \
        S64, name##_to_f32_vec, name##_to_f64, name##_to_s64, name##_from_f32, \
            name##_from_f64, name##_from_s64                                   \
    }

static const conversions table[PLN_DT_COUNT] = {
    [PLN_DT_F32] = ROW(f32, F32),
    [PLN_DT_U8] = ROW_BYTES(u8),
    [PLN_DT_S8] = ROW_BYTES(s8),
    [PLN_DT_U16] = ROW(u16, S64),
    [PLN_DT_S16] = ROW(s16, S64),
    [PLN_DT_S32] = ROW(s32, S64),
    [PLN_DT_S64] = ROW(s64, S64),
    [PLN_DT_BOOL] = ROW(bool, S64),
    [PLN_DT_F16] = ROW_VEC(f16),
    [PLN_DT_F64] = ROW(f64, F64),
    [PLN_DT_U32] = ROW(u32, S64),
    [PLN_DT_U64] = ROW(u64, S64),
    [PLN_DT_BF16] = ROW_VEC(bf16),
    [PLN_DT_F8E4M3FN] = ROW(e4m3, F32),
    [PLN_DT_F8E4M3FNUZ] = ROW(e4m3uz, F32),
    [PLN_DT_F8E5M2] = ROW(e5m2, F32),
    [PLN_DT_F8E5M2FNUZ] = ROW(e5m2uz, F32),
    [PLN_DT_U4] = ROW(u4, S64),
    [PLN_DT_S4] = ROW(s4, S64),
    [PLN_DT_F4E2M1] = ROW(f4, F32),
    [PLN_DT_F8E8M0] = ROW(e8m0, F32),
    [PLN_DT_U2] = ROW(u2, S64),
    [PLN_DT_S2] = ROW(s2, S64),
    [PLN_DT_F6E2M3] = ROW(e2m3, F32),
    [PLN_DT_F6E3M2] = ROW(e3m2, F32),
};

/* uint64 on its way to a short float format: its upper half is not int64. */
static const conversions u64_as_float = { .via = F64, .to_f64 = u64_to_f64 };

bool pln_block_can(pln_dtype dt)
{
    return (unsigned)dt < PLN_DT_COUNT && table[dt].via != NO;
}

pln_dtype pln_block_work(pln_dtype dt)
{
    if (!pln_block_can(dt))
        return PLN_DT_NONE;
    const middle via = table[dt].via;
    if (via == F32)
        return PLN_DT_F32;
    return via == F64 || pln_dtype_size(dt) >= 4 ? PLN_DT_F64 : PLN_DT_F32;
}

/* Through the middle of the source: no pair loses more than its rounding. */
static void convert_middle(const conversions *d, void *dst, size_t dst_size,
                           const conversions *s, const void *src, size_t src_size,
                           int64_t n)
{
    union {
        float f32[MIDDLE];
        double f64[MIDDLE];
        int64_t s64[MIDDLE];
    } m;
    for (int64_t i = 0; i < n; i += MIDDLE) {
        const int64_t k = n - i < MIDDLE ? n - i : MIDDLE;
        const char *x = (const char *)src + (size_t)i * src_size;
        char *y = (char *)dst + (size_t)i * dst_size;
        if (s->via == F32) {
            s->to_f32(m.f32, x, k);
            d->from_f32(y, m.f32, k);
        } else if (s->via == F64) {
            s->to_f64(m.f64, x, k);
            d->from_f64(y, m.f64, k);
        } else {
            s->to_s64(m.s64, x, k);
            d->from_s64(y, m.s64, k);
        }
    }
}

/* Bytes to short floats, and short floats to double: exact in float, which has
 * vectors. */
static bool short_through_float(pln_dtype dst, pln_dtype src)
{
    const bool to_half = dst == PLN_DT_F16 || dst == PLN_DT_BF16;
    return (to_half && (src == PLN_DT_BOOL || src == PLN_DT_U8 || src == PLN_DT_S8)) ||
           (dst == PLN_DT_F64 && (src == PLN_DT_F16 || src == PLN_DT_BF16));
}

static void through_float(const conversions *d, void *dst, size_t dst_size,
                          pln_dtype src_dt, const void *src, size_t src_size, int64_t n)
{
    const convert_fn typed = pln_typed()->convert[PLN_DT_F32][src_dt];
    const convert_fn to_f32 = typed ? typed : table[src_dt].to_f32;
    float m[MIDDLE];
    for (int64_t i = 0; i < n; i += MIDDLE) {
        const int64_t k = n - i < MIDDLE ? n - i : MIDDLE;
        to_f32(m, (const char *)src + (size_t)i * src_size, k);
        d->from_f32((char *)dst + (size_t)i * dst_size, m, k);
    }
}

bool pln_block_convert(pln_dtype dst_dt, void *dst, pln_dtype src_dt, const void *src,
                       int64_t n)
{
    if (!pln_block_can(dst_dt) || !pln_block_can(src_dt))
        return false;
    const conversions *d = &table[dst_dt], *s = &table[src_dt];
    const size_t dst_size = pln_dtype_size(dst_dt), src_size = pln_dtype_size(src_dt);
    convert_fn direct = NULL;
    if (src_dt == PLN_DT_U64 && d->via != S64) /* its upper half is not int64 */
        direct = dst_dt == PLN_DT_F32   ? f32_from_u64
                 : dst_dt == PLN_DT_F64 ? s->to_f64
                                        : NULL;
    else if (dst_dt == PLN_DT_F32)
        direct = s->to_f32;
    else if (dst_dt == PLN_DT_F64)
        direct = s->to_f64;
    else if (dst_dt == PLN_DT_S64 && s->via == S64)
        direct = s->to_s64;
    else if (src_dt == PLN_DT_F32)
        direct = d->from_f32;
    else if (src_dt == PLN_DT_F64)
        direct = d->from_f64;
    const convert_fn typed = pln_typed()->convert[dst_dt][src_dt];
    if (short_through_float(dst_dt, src_dt)) {
        through_float(d, dst, dst_size, src_dt, src, src_size, n);
        return true;
    }
    if (dst_dt == src_dt)
        memmove(dst, src, (size_t)n * dst_size);
    else if (typed)
        typed(dst, src, n);
    else if (direct)
        direct(dst, src, n);
    else if (src_dt == PLN_DT_U64 && d->via != S64)
        convert_middle(d, dst, dst_size, &u64_as_float, src, src_size, n);
    else
        convert_middle(d, dst, dst_size, s, src, src_size, n);
    return true;
}

void pln_block_load(pln_dtype work, void *dst, const pln_tensor *t, int64_t offset,
                    int64_t stride, int64_t n)
{
    const pln_dtype dt = (pln_dtype)t->dtype;
    const size_t size = pln_dtype_size(dt), work_size = pln_dtype_size(work);
    const char *x = (const char *)t->data + (size_t)offset * size;
    char raw[MIDDLE * 8];
    if (stride == 1) {
        pln_block_convert(work, dst, dt, x, n);
        return;
    }
    for (int64_t i = 0; i < n; i += MIDDLE) {
        const int64_t k = n - i < MIDDLE ? n - i : MIDDLE;
        for (int64_t j = 0; j < k; j++)
            memcpy(raw + (size_t)j * size, x + (size_t)((i + j) * stride) * size, size);
        pln_block_convert(work, (char *)dst + (size_t)i * work_size, dt, raw, k);
    }
}

void pln_block_store(pln_tensor *t, int64_t offset, int64_t stride, pln_dtype work,
                     const void *src, int64_t n)
{
    const pln_dtype dt = (pln_dtype)t->dtype;
    const size_t size = pln_dtype_size(dt), work_size = pln_dtype_size(work);
    char *y = (char *)t->data + (size_t)offset * size;
    char raw[MIDDLE * 8];
    if (stride == 1) {
        pln_block_convert(dt, y, work, src, n);
        return;
    }
    for (int64_t i = 0; i < n; i += MIDDLE) {
        const int64_t k = n - i < MIDDLE ? n - i : MIDDLE;
        pln_block_convert(dt, raw, work, (const char *)src + (size_t)i * work_size, k);
        for (int64_t j = 0; j < k; j++)
            memcpy(y + (size_t)((i + j) * stride) * size, raw + (size_t)j * size, size);
    }
}

void pln_block_round(pln_dtype dt, double *v, int64_t n)
{
    uint64_t raw[MIDDLE];
    for (int64_t i = 0; dt != PLN_DT_F64 && i < n; i += MIDDLE) {
        const int64_t k = n - i < MIDDLE ? n - i : MIDDLE;
        pln_block_convert(dt, raw, PLN_DT_F64, v + i, k);
        pln_block_convert(PLN_DT_F64, v + i, dt, raw, k);
    }
}

pln_axis pln_axis_of(const pln_tensor *t, int first, int last)
{
    pln_axis a = { 1, 1, 1 };
    for (int i = 0; i < t->rank; i++)
        *(i < first ? &a.outer : i < last ? &a.n : &a.inner) *= t->dims[i];
    return a;
}

bool pln_axis_normal(int64_t axis, int rank, int *out)
{
    if (axis < -(int64_t)rank || axis >= rank)
        return false;
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}
