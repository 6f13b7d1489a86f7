/* Checked size arithmetic: each returns false on overflow and leaves *out alone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_SIZE_H
#define PLN_UTIL_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool pln_size_add(size_t *out, size_t a, size_t b)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool pln_size_mul(size_t *out, size_t a, size_t b)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* Dimensions and indices are int64_t, as in ONNX. */
static inline bool pln_i64_add(int64_t *out, int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool pln_i64_mul(int64_t *out, int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline size_t pln_align_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

#endif
