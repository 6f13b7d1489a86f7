/* Float product tiles of 14 x 32 for AVX-512.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_narrow.h"

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
                                     .correlate = correlate };

#define FEW          8
#define FEW_CASES    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#define BYTES16(p)   _mm_loadu_si128((const __m128i *)(p))
#define WORDS16(p)   _mm256_loadu_si256((const __m256i *)(p))
#define WIDE_S8(p)   ((vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(BYTES16(p))))
#define WIDE_U8(p)   ((vec)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(BYTES16(p))))
#define WIDE_F16(p)  ((vec)_mm512_cvtph_ps(WORDS16(p)))
#define WIDE_BF16(p) ((vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(WORDS16(p)), 16))
#include "kernels/gemm_narrow_types.h"

const pln_narrow_fns pln_narrow_avx512 = { .gemm = &pln_gemm_avx512, .few = FEW,
                                           .loops = NARROW_LOOPS };
