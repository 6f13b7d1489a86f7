/* The vector loops for AVX-512 (F, BW, DQ, VL).
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec.h"
#include "src/ir/numeric.h"

#include <immintrin.h>
#include <math.h>

#define VL 16
typedef __m512 vf;
typedef int32_t vi __attribute__((vector_size(64)));
typedef __mmask16 vm, tm;

#define NEAREST          (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define SUFFIX(name)     name##_avx512
#define SET1(x)          _mm512_set1_ps(x)
#define SET1I(x)         ((vi)_mm512_set1_epi32(x))
#define LOAD(p)          _mm512_loadu_ps(p)
#define STORE(p, v)      _mm512_storeu_ps(p, v)
#define MAX(a, b)        _mm512_max_ps(a, b)
#define MIN(a, b)        _mm512_min_ps(a, b)
#define FMA(a, b, c)     _mm512_fmadd_ps(a, b, c)
#define SQRT(a)          _mm512_sqrt_ps(a)
#define ROUND(a)         _mm512_roundscale_ps(a, NEAREST)
#define FLOOR(a) \
    _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
#define CEIL(a) \
    _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)
#define ABS(a)           _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a)
#define NEG(a)           _mm512_xor_ps(_mm512_set1_ps(-0.0f), a)
#define COPYSIGN(a, s)   _mm512_or_ps(a, _mm512_and_ps(_mm512_set1_ps(-0.0f), s))
#define LT(a, b)         _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)
#define EQ(a, b)         _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ)
#define UNORD(a)         _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q)
#define OR(a, b)         ((__mmask16)((a) | (b)))
#define ANY(m)           ((m) != 0)
#define ALL(m)           ((m) == 0xffff)
#define SELECT(m, a, b)  _mm512_mask_blend_ps(m, b, a)
#define SELECTI(m, a, b) ((vi)_mm512_mask_blend_epi32(m, (__m512i)(b), (__m512i)(a)))
#define AS_INT(a)        ((vi)(a))
#define AS_FLOAT(a)      ((vf)(a))
#define TO_INT(a)        ((vi)_mm512_cvtps_epi32(a))
#define TO_FLOAT(a)      _mm512_cvtepi32_ps((__m512i)(a))
/* These wrap; the operators of signed vectors must not overflow. */
#define ADDI(a, b)       ((vi)_mm512_add_epi32((__m512i)(a), (__m512i)(b)))
#define SUBI(a, b)       ((vi)_mm512_sub_epi32((__m512i)(a), (__m512i)(b)))
#define SRAI(a, n)       ((vi)_mm512_srai_epi32((__m512i)(a), n))
#define SRLI(a, n)       ((vi)_mm512_srli_epi32((__m512i)(a), n))
#define SLLI(a, n)       ((vi)_mm512_slli_epi32((__m512i)(a), n))
#define LOADM(m, p)      _mm512_maskz_loadu_ps(m, p)
#define STOREM(m, p, v)  _mm512_mask_storeu_ps(p, m, v)
#define ZEROM(m, v)      _mm512_maskz_mov_ps(m, v)
#define FILLM(m, v, w)   _mm512_mask_blend_ps(m, w, v)
#define LOAD_U8(p)       ((vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define LOAD_S8(p)       ((vi)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define LOAD_U16(p) \
    ((vi)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p))))
#define LOAD_S32(p)      _mm512_loadu_si512(p)
#define FROM_F16(p)      _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p)))
#define STORE_F16(p, v)  _mm256_storeu_si256((__m256i *)(p), _mm512_cvtps_ph(v, NEAREST))
#define SCALE(v, n)      _mm512_scalef_ps(v, n)
#define TAIL(n)          ((__mmask16)((1u << (n)) - 1))
#define STORE_U8(p, v) \
    _mm_storeu_si128((__m128i *)(p), _mm512_cvtepi32_epi8((__m512i)(v)))
#define STORE_S8(p, v) STORE_U8(p, v)
#define STORE_U16(p, v) \
    _mm256_storeu_si256((__m256i *)(p), _mm512_cvtepi32_epi16((__m512i)(v)))

#include "kernels/x86/vec_tmpl.h"
