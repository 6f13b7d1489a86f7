/* Loops over 4-bit weights for AVX-512: a table of 16 values for each block.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/nbits.h"

#include <immintrin.h>

/* The 16 values of a block. */
static inline __m512 table_of(float scale, float zero)
{
    const __m512 q = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_mul_ps(_mm512_sub_ps(q, _mm512_set1_ps(zero)), _mm512_set1_ps(scale));
}

/* 16 bytes: the low nibbles; the table's index ignores what is above. */
static inline __m512i bytes_at(const uint8_t *q)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)q));
}

static inline __attribute__((always_inline)) void
dot_rows(const int rows, float *y, int64_t y_step, const float *a, int64_t a_step,
         const uint8_t *q, const float *scales, const float *zeros, int64_t blocks,
         int64_t block)
{
    __m512 low[4], high[4];
    for (int r = 0; r < rows; r++)
        low[r] = high[r] = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b++) {
        const __m512 table = table_of(scales[b], zeros[b]);
        for (int64_t i = 0; i < block; i += 32, q += 16, a += 32) {
            const __m512i v = bytes_at(q);
            const __m512 lo = _mm512_permutexvar_ps(v, table);
            const __m512 hi = _mm512_permutexvar_ps(_mm512_srli_epi32(v, 4), table);
            for (int r = 0; r < rows; r++) {
                low[r] = _mm512_fmadd_ps(lo, _mm512_loadu_ps(a + r * a_step), low[r]);
                high[r] =
                    _mm512_fmadd_ps(hi, _mm512_loadu_ps(a + r * a_step + 16), high[r]);
            }
        }
    }
    for (int r = 0; r < rows; r++)
        y[r * y_step] += _mm512_reduce_add_ps(_mm512_add_ps(low[r], high[r]));
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
        const __m512 table = table_of(scales[b], zeros[b]);
        for (int64_t i = 0; i < block; i += 32, q += 16, out += 32) {
            const __m512i v = bytes_at(q);
            _mm512_storeu_ps(out, _mm512_permutexvar_ps(v, table));
            _mm512_storeu_ps(out + 16,
                             _mm512_permutexvar_ps(_mm512_srli_epi32(v, 4), table));
        }
    }
}

const pln_nbits_fns pln_nbits_avx512 = { 16, dot4, dequant4 };
