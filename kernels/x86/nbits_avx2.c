/* Loops over 4-bit weights for AVX2.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/nbits.h"

#include <immintrin.h>

/* 8 bytes: the low nibbles, and the high ones. */
static inline void nibbles(const uint8_t *q, __m256 *low, __m256 *high)
{
    const __m256i v = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)q));
    *low = _mm256_cvtepi32_ps(_mm256_and_si256(v, _mm256_set1_epi32(15)));
    *high = _mm256_cvtepi32_ps(_mm256_srli_epi32(v, 4));
}

static inline float total(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    s = _mm_add_ss(s, _mm_movehdup_ps(s));
    return _mm_cvtss_f32(s);
}

static inline __attribute__((always_inline)) void
dot_rows(const int rows, float *y, int64_t y_step, const float *a, int64_t a_step,
         const uint8_t *q, const float *scales, const float *zeros, int64_t blocks,
         int64_t block)
{
    __m256 sum[4];
    for (int r = 0; r < rows; r++)
        sum[r] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; b++) {
        const __m256 zero = _mm256_set1_ps(zeros[b]), scale = _mm256_set1_ps(scales[b]);
        __m256 part[4];
        for (int r = 0; r < rows; r++)
            part[r] = _mm256_setzero_ps();
        for (int64_t i = 0; i < block; i += 16, q += 8, a += 16) {
            __m256 lo, hi;
            nibbles(q, &lo, &hi);
            lo = _mm256_sub_ps(lo, zero);
            hi = _mm256_sub_ps(hi, zero);
            for (int r = 0; r < rows; r++) {
                part[r] = _mm256_fmadd_ps(lo, _mm256_loadu_ps(a + r * a_step), part[r]);
                part[r] =
                    _mm256_fmadd_ps(hi, _mm256_loadu_ps(a + r * a_step + 8), part[r]);
            }
        }
        for (int r = 0; r < rows; r++)
            sum[r] = _mm256_fmadd_ps(part[r], scale, sum[r]);
    }
    for (int r = 0; r < rows; r++)
        y[r * y_step] += total(sum[r]);
}

static void dot4(float *y, int64_t y_step, const float *a, int64_t a_step, int rows,
                 const uint8_t *q, const float *scales, const float *zeros,
                 int64_t blocks, int64_t block)
{
    switch (rows) {
    case 1:
        dot_rows(1, y, y_step, a, a_step, q, scales, zeros, blocks, block);
        break;
    case 2:
        dot_rows(2, y, y_step, a, a_step, q, scales, zeros, blocks, block);
        break;
    case 3:
        dot_rows(3, y, y_step, a, a_step, q, scales, zeros, blocks, block);
        break;
    default:
        dot_rows(4, y, y_step, a, a_step, q, scales, zeros, blocks, block);
    }
}

static void dequant4(float *out, const uint8_t *q, const float *scales,
                     const float *zeros, int64_t blocks, int64_t block)
{
    for (int64_t b = 0; b < blocks; b++) {
        const __m256 zero = _mm256_set1_ps(zeros[b]), scale = _mm256_set1_ps(scales[b]);
        for (int64_t i = 0; i < block; i += 16, q += 8, out += 16) {
            __m256 lo, hi;
            nibbles(q, &lo, &hi);
            _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_sub_ps(lo, zero), scale));
            _mm256_storeu_ps(out + 8, _mm256_mul_ps(_mm256_sub_ps(hi, zero), scale));
        }
    }
}

const pln_nbits_fns pln_nbits_avx2 = { 8, dot4, dequant4 };
