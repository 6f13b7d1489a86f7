/* Includes PLN_TMPL once for each floating-point type of products: T the element, ACC
 * what sums are kept in, SUFFIX for names, LOAD and STORE between them, SCALE for alpha
 * and beta. No include guard: it is meant to be included again with another template.
 * SPDX-License-Identifier: Apache-2.0 */
#define SCALE(f, x) ((ACC)(f) * (x))

#define T         float
#define ACC       double
#define SUFFIX    f32
#define LOAD(x)   ((double)(x))
#define STORE(x)  ((float)(x))
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE

#define T         double
#define ACC       double
#define SUFFIX    f64
#define LOAD(x)   (x)
#define STORE(x)  (x)
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE

#define T         uint16_t
#define ACC       float
#define SUFFIX    f16
#define LOAD(x)   pln_f16_to_f32(x)
#define STORE(x)  pln_f32_to_f16(x)
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE

#define T         uint16_t
#define ACC       float
#define SUFFIX    bf16
#define LOAD(x)   pln_bf16_to_f32(x)
#define STORE(x)  pln_f32_to_bf16(x)
#include PLN_TMPL
#undef T
#undef ACC
#undef SUFFIX
#undef LOAD
#undef STORE

#undef SCALE
