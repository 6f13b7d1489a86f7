/* Includes PLN_TMPL once for each 8-bit and 16-bit integer type, like each_float.h. Sums
 * are unsigned so that they wrap.
 * SPDX-License-Identifier: Apache-2.0 */
#define T         uint8_t
#define ACC       uint32_t
#define SUFFIX    u8
#define LOAD(x)   ((uint32_t)(x))
#define STORE(x)  ((uint8_t)(x))
#define SCALE(f, x) scale_u8((f), (x))
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE
#undef SCALE

#define T         int8_t
#define ACC       uint32_t
#define SUFFIX    s8
#define LOAD(x)   ((uint32_t)(x))
#define STORE(x)  ((int8_t)(x))
#define SCALE(f, x) scale_s8((f), (x))
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE
#undef SCALE

#define T         uint16_t
#define ACC       uint32_t
#define SUFFIX    u16
#define LOAD(x)   ((uint32_t)(x))
#define STORE(x)  ((uint16_t)(x))
#define SCALE(f, x) scale_u16((f), (x))
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE
#undef SCALE

#define T         int16_t
#define ACC       uint32_t
#define SUFFIX    s16
#define LOAD(x)   ((uint32_t)(x))
#define STORE(x)  ((int16_t)(x))
#define SCALE(f, x) scale_s16((f), (x))
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE
#undef SCALE
