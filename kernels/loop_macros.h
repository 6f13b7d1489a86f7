/* Macros that spell loops of elementwise kernels, one for each element type.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_MAP_MACROS_H
#define PLN_KERNELS_MAP_MACROS_H

#include "kernels/bcast.h"

/* suffix, C type, enumerator */
#define PLN_UINT_TYPES(X, ...)         \
    X(u8, uint8_t, U8, __VA_ARGS__)    \
    X(u16, uint16_t, U16, __VA_ARGS__) \
    X(u32, uint32_t, U32, __VA_ARGS__) \
    X(u64, uint64_t, U64, __VA_ARGS__)
#define PLN_SINT_TYPES(X, ...)        \
    X(s8, int8_t, S8, __VA_ARGS__)    \
    X(s16, int16_t, S16, __VA_ARGS__) \
    X(s32, int32_t, S32, __VA_ARGS__) \
    X(s64, int64_t, S64, __VA_ARGS__)
#define PLN_FLOAT_TYPES(X, ...)     \
    X(f32, float, F32, __VA_ARGS__) \
    X(f64, double, F64, __VA_ARGS__)
#define PLN_INT_TYPES(X, ...)      \
    PLN_UINT_TYPES(X, __VA_ARGS__) \
    PLN_SINT_TYPES(X, __VA_ARGS__)
#define PLN_NUM_TYPES(X, ...)     \
    PLN_INT_TYPES(X, __VA_ARGS__) \
    PLN_FLOAT_TYPES(X, __VA_ARGS__)

/* An entry of a table by type. */
#define PLN_LOOP_ENTRY(suffix, type, dt, name) [PLN_DT_##dt] = name##_##suffix,

/* y = expr of v, in type `type`; `expr` may use a, the attributes' pointer. */
#define PLN_LOOP_UNARY(fn, ty, type, expr)                                        \
    static void fn(void *py, const void *const *px, const int64_t *sx, int64_t n, \
                   const void *arg)                                               \
    {                                                                             \
        ty *y = (ty *)py;                                                         \
        const type *x = (const type *)px[0];                                      \
        (void)sx, (void)arg;                                                      \
        for (int64_t i = 0; i < n; i++) {                                         \
            const type v = x[i];                                                  \
            y[i] = (ty)(expr);                                                    \
        }                                                                         \
    }

/* y = expr of a, b. The three loops let the compiler vectorize each. */
#define PLN_LOOP_BINARY(fn, ty, type_a, type_b, expr)                             \
    static void fn(void *py, const void *const *px, const int64_t *sx, int64_t n, \
                   const void *arg)                                               \
    {                                                                             \
        ty *y = (ty *)py;                                                         \
        const type_a *pa = (const type_a *)px[0];                                 \
        const type_b *pb = (const type_b *)px[1];                                 \
        (void)arg;                                                                \
        if (sx[0] && sx[1]) {                                                     \
            for (int64_t i = 0; i < n; i++) {                                     \
                const type_a a = pa[i];                                           \
                const type_b b = pb[i];                                           \
                y[i] = (ty)(expr);                                                \
            }                                                                     \
        } else if (sx[0]) {                                                       \
            const type_b b = pb[0];                                               \
            for (int64_t i = 0; i < n; i++) {                                     \
                const type_a a = pa[i];                                           \
                y[i] = (ty)(expr);                                                \
            }                                                                     \
        } else {                                                                  \
            const type_a a = pa[0];                                               \
            for (int64_t i = 0; i < n; i++) {                                     \
                const type_b b = pb[i * sx[1]];                                   \
                y[i] = (ty)(expr);                                                \
            }                                                                     \
        }                                                                         \
    }

#endif
