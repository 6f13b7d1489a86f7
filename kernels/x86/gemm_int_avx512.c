/* Integer product tiles for AVX-512 without VNNI: 16-bit multiply-adds.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_int.h"

#include <immintrin.h>

#define VL 16
#define NV 2
#define MR 12
#define GROUP 2
#define A_T int16_t
#define B_T int16_t
#define A_OFFSET 0
#define B_OFFSET 0
#define A_OF(byte, flip) pln_byte_value((byte), (flip))
#define B_OF(byte, flip) pln_byte_value((byte), (flip))
#define DOT(sum, b, a)                      \
    ((ivec)_mm512_add_epi32((__m512i)(sum), \
                            _mm512_madd_epi16((__m512i)(b), _mm512_set1_epi32(a))))
#define CASES                                                                        \
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) \
    CASE(11) CASE(12)
#include "kernels/gemm_int_tmpl.h"

const pln_igemm_fns pln_igemm_avx512 = IGEMM_FNS;
