/* Integer product tiles for AVX2: 16-bit multiply-adds, which hold every sum of byte
 * products.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_int.h"

#include <immintrin.h>

#define VL 8
#define NV 2
#define MR 6
#define GROUP 2
#define A_T int16_t
#define B_T int16_t
#define A_OFFSET 0
#define B_OFFSET 0
#define A_OF(byte, flip) pln_byte_value((byte), (flip))
#define B_OF(byte, flip) pln_byte_value((byte), (flip))
#define DOT(sum, b, a)                      \
    ((ivec)_mm256_add_epi32((__m256i)(sum), \
                            _mm256_madd_epi16((__m256i)(b), _mm256_set1_epi32(a))))
#define CASES CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#include "kernels/gemm_int_tmpl.h"

const pln_igemm_fns pln_igemm_avx2 = IGEMM_FNS;
