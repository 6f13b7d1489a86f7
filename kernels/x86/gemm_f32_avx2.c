/* Float product tiles of 6 x 16 for AVX2.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_narrow.h"

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
                                     .correlate = correlate };

#define FEW          4
#define FEW_CASES    CASE(1) CASE(2) CASE(3) CASE(4)
#define BYTES8(p)    _mm_loadl_epi64((const __m128i *)(p))
#define WORDS8(p)    _mm_loadu_si128((const __m128i *)(p))
#define WIDE_S8(p)   ((vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(BYTES8(p))))
#define WIDE_U8(p)   ((vec)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(BYTES8(p))))
#define WIDE_F16(p)  ((vec)_mm256_cvtph_ps(WORDS8(p)))
#define WIDE_BF16(p) ((vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(WORDS8(p)), 16))
#include "kernels/gemm_narrow_types.h"

const pln_narrow_fns pln_narrow_avx2 = { .gemm = &pln_gemm_avx2, .few = FEW,
                                         .loops = NARROW_LOOPS };
