/* The tile of the double product for one instruction set. Before including it: LANES of a
 * vector, MR rows, VECTORS of a row, FMA of such vectors, TABLE the table's name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_f64.h"

typedef double vd __attribute__((vector_size(LANES * 8), aligned(8), may_alias));

#define SPLAT(x) ((vd){ 0 } + (x))

/* c[MR][NR] += a x b over k steps */
static void tile(int64_t k, const double *a, const double *b, double *c, int64_t ldc)
{
    vd acc[MR][VECTORS] = { { { 0 } } };
    for (int64_t p = 0; p < k; p++, a += MR, b += LANES * VECTORS)
        for (int r = 0; r < MR; r++)
            for (int v = 0; v < VECTORS; v++)
                acc[r][v] = FMA(SPLAT(a[r]), *(const vd *)(b + v * LANES), acc[r][v]);
    for (int r = 0; r < MR; r++)
        for (int v = 0; v < VECTORS; v++)
            *(vd *)(c + r * ldc + v * LANES) += acc[r][v];
}

const pln_gemm64_fns TABLE = { MR, LANES * VECTORS, tile };
