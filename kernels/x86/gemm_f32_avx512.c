/* Float product tiles of 14 x 32 for AVX-512.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_f32.h"

#include <immintrin.h>

#define VL 16
#define NV 2
#define MR 14
#define SET1(x) ((vec)_mm512_set1_ps(x))
#define FMA1(a, b, c) __builtin_fmaf(a, b, c)
#define FMA(a, b, c) ((vec)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define CASES                                                                            \
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10)     \
    CASE(11) CASE(12) CASE(13) CASE(14)
#include "kernels/gemm_f32_tmpl.h"

const pln_gemm_fns pln_gemm_avx512 = { .mr = MR, .nr = NV * VL, .tile = tile,
                                     .axpy_strided = axpy_strided };
