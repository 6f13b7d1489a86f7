/* Integer product tiles for AVX-512 VNNI, whose sums of four do not saturate.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_int.h"

#include <immintrin.h>

#define VL 16
#define NV 2
#define MR 14
#define GROUP 4
#define A_T int8_t
#define B_T uint8_t
#define A_OFFSET 128
#define B_OFFSET 128
/* A becomes signed, B unsigned: B comes from memory, and A can be broadcast in the
 * instruction. */
#define A_OF(byte, flip) ((int8_t)((byte) ^ (flip) ^ 0x80))
#define B_OF(byte, flip) ((byte) ^ (flip))
#define DOT(sum, b, a) \
    ((ivec)_mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(b), _mm512_set1_epi32(a)))
#define CASES                                                                        \
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) \
    CASE(11) CASE(12) CASE(13) CASE(14)
#include "kernels/gemm_int_tmpl.h"

const pln_igemm_fns pln_igemm_avx512_vnni = IGEMM_FNS;
