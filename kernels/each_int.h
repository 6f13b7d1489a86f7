/* Includes PLN_TMPL once for each integer type of MatMul and Gemm, like each_float.h.
 * Sums are unsigned so that they wrap.
 * SPDX-License-Identifier: Apache-2.0 */
#define T         uint32_t
#define ACC       uint32_t
#define SUFFIX    u32
#define LOAD(x)   ((uint32_t)(x))
#define STORE(x)  ((uint32_t)(x))
#define SCALE(f, x) scale_u32((f), (x))
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE
#undef SCALE

#define T         int32_t
#define ACC       uint32_t
#define SUFFIX    s32
#define LOAD(x)   ((uint32_t)(x))
#define STORE(x)  ((int32_t)(x))
#define SCALE(f, x) scale_s32((f), (x))
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE
#undef SCALE

#define T         uint64_t
#define ACC       uint64_t
#define SUFFIX    u64
#define LOAD(x)   ((uint64_t)(x))
#define STORE(x)  ((uint64_t)(x))
#define SCALE(f, x) scale_u64((f), (x))
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE
#undef SCALE

#define T         int64_t
#define ACC       uint64_t
#define SUFFIX    s64
#define LOAD(x)   ((uint64_t)(x))
#define STORE(x)  ((int64_t)(x))
#define SCALE(f, x) scale_s64((f), (x))
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE
#undef SCALE
