/* The vector loops for AVX2, FMA and F16C.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec.h"
#include "src/ir/numeric.h"

#include <immintrin.h>
#include <math.h>

#define VL 8
typedef __m256 vf;
typedef int32_t vi __attribute__((vector_size(32)));
typedef __m256 vm;  /* a mask: all bits of a lane */
typedef __m256i tm; /* the first lanes, for tails */

#define SUFFIX(name)     name##_avx2
#define SET1(x)          _mm256_set1_ps(x)
#define SET1I(x)         ((vi)_mm256_set1_epi32(x))
#define LOAD(p)          _mm256_loadu_ps(p)
#define STORE(p, v)      _mm256_storeu_ps(p, v)
#define MAX(a, b)        _mm256_max_ps(a, b)
#define MIN(a, b)        _mm256_min_ps(a, b)
#define FMA(a, b, c)     _mm256_fmadd_ps(a, b, c)
#define SQRT(a)          _mm256_sqrt_ps(a)
#define ROUND(a)         _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define FLOOR(a)         _mm256_floor_ps(a)
#define CEIL(a)          _mm256_ceil_ps(a)
#define ABS(a)           _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
#define NEG(a)           _mm256_xor_ps(_mm256_set1_ps(-0.0f), a)
#define COPYSIGN(a, s)   _mm256_or_ps(a, _mm256_and_ps(_mm256_set1_ps(-0.0f), s))
#define LT(a, b)         _mm256_cmp_ps(a, b, _CMP_LT_OQ)
#define EQ(a, b)         _mm256_cmp_ps(a, b, _CMP_EQ_OQ)
#define UNORD(a)         _mm256_cmp_ps(a, a, _CMP_UNORD_Q)
#define OR(a, b)         _mm256_or_ps(a, b)
#define ANY(m)           (_mm256_movemask_ps(m) != 0)
#define ALL(m)           (_mm256_movemask_ps(m) == 0xff)
#define SELECT(m, a, b)  _mm256_blendv_ps(b, a, m)
#define SELECTI(m, a, b) ((vi)_mm256_blendv_ps((vf)(b), (vf)(a), m))
#define AS_INT(a)        ((vi)(a))
#define AS_FLOAT(a)      ((vf)(a))
#define TO_INT(a)        ((vi)_mm256_cvtps_epi32(a))
#define TO_FLOAT(a)      _mm256_cvtepi32_ps((__m256i)(a))
/* These wrap; the operators of signed vectors must not overflow. */
#define ADDI(a, b)       ((vi)_mm256_add_epi32((__m256i)(a), (__m256i)(b)))
#define SUBI(a, b)       ((vi)_mm256_sub_epi32((__m256i)(a), (__m256i)(b)))
#define SRAI(a, n)       ((vi)_mm256_srai_epi32((__m256i)(a), n))
#define SRLI(a, n)       ((vi)_mm256_srli_epi32((__m256i)(a), n))
#define SLLI(a, n)       ((vi)_mm256_slli_epi32((__m256i)(a), n))
#define LOADM(m, p)      _mm256_maskload_ps(p, m)
#define STOREM(m, p, v)  _mm256_maskstore_ps(p, m, v)
#define ZEROM(m, v)      _mm256_and_ps((vf)(m), v)
#define FILLM(m, v, w)   _mm256_blendv_ps(w, v, (vf)(m))
#define LOAD_U8(p)       ((vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#define LOAD_S8(p)       ((vi)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#define LOAD_U16(p) \
    ((vi)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define LOAD_S32(p)      _mm256_loadu_si256((const __m256i *)(p))
#define FROM_F16(p)      _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p)))
#define STORE_F16(p, v) \
    _mm_storeu_si128((__m128i *)(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT))

static inline tm TAIL(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* v 2^n in two steps, since n reaches past the exponents of normal numbers. */
static inline vf SCALE(vf v, vf n)
{
    const vi i = TO_INT(n), half = SRAI(i, 1);
    const vf a = AS_FLOAT(SLLI(half + SET1I(127), 23));
    const vf b = AS_FLOAT(SLLI(i - half + SET1I(127), 23));
    return v * a * b;
}

static inline __m128i narrow16(vi v)
{
    const __m256i w = (__m256i)v;
    return _mm_packs_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
}

static inline void STORE_U8(uint8_t *p, vi v)
{
    const __m128i h = narrow16(v);
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(h, h));
}

static inline void STORE_S8(int8_t *p, vi v)
{
    const __m128i h = narrow16(v);
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(h, h));
}

static inline void STORE_U16(uint16_t *p, vi v)
{
    const __m256i w = (__m256i)v;
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi32(_mm256_castsi256_si128(w),
                                                    _mm256_extracti128_si256(w, 1)));
}

#include "kernels/x86/vec_tmpl.h"
