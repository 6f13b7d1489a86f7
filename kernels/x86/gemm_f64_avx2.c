/* The double product's tile for AVX2.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#define LANES   4
#define MR      6
#define VECTORS 2
#define TABLE   pln_gemm64_avx2
#define FMA(a, b, c) ((vd)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c)))
#include "kernels/gemm_f64_tmpl.h"
