/* The double product's tile for AVX-512.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#define LANES   8
#define MR      8
#define VECTORS 2
#define TABLE   pln_gemm64_avx512
#define FMA(a, b, c) ((vd)_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c)))
#include "kernels/gemm_f64_tmpl.h"
