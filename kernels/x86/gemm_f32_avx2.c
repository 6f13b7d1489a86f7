/* Float product tiles of 6 x 16 for AVX2.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_f32.h"

#include <immintrin.h>

#define VL 8
#define NV 2
#define MR 6
#define SET1(x) ((vec)_mm256_set1_ps(x))
#define FMA1(a, b, c) __builtin_fmaf(a, b, c)
#define FMA(a, b, c) ((vec)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define CASES CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#include "kernels/gemm_f32_tmpl.h"

const pln_gemm_fns pln_gemm_avx2 = { .mr = MR, .nr = NV * VL, .tile = tile,
                                     .axpy_strided = axpy_strided };
