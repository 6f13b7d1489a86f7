/* The tile of a float product, for vectors of VL floats, NV of them across, MR rows. FMA(a, b, c)
 * is a * b + c, SET1(x) x in all lanes.
 * SPDX-License-Identifier: Apache-2.0 */
typedef float vec __attribute__((vector_size(VL * 4)));
/* Sums stay in registers only where all loops over them are unrolled. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
typedef float vec_u __attribute__((vector_size(VL * 4), aligned(4)));

/* R is a constant where this is expanded: the sums stay in registers. */
static inline __attribute__((always_inline)) void tile_rows(const int R, int64_t k,
                                                            const float *a, int64_t lda,
                                                            const float *b, int64_t ldb,
                                                            float *c, int64_t ldc, bool add)
{
    vec sum[MR][NV];
    UNROLL
    for (int r = 0; r < R; r++) {
        for (int v = 0; v < NV; v++)
            sum[r][v] = (vec){ 0 };
    }
    for (int64_t p = 0; p < k; p++) {
        vec bv[NV];
        for (int v = 0; v < NV; v++)
            bv[v] = *(const vec_u *)(b + v * VL);
        UNROLL
        for (int r = 0; r < R; r++) {
            const vec av = SET1(a[r]);
            for (int v = 0; v < NV; v++)
                sum[r][v] = FMA(av, bv[v], sum[r][v]);
        }
        a += lda;
        b += ldb;
    }
    UNROLL
    for (int r = 0; r < R; r++) {
        for (int v = 0; v < NV; v++) {
            vec_u *to = (vec_u *)(c + r * ldc + v * VL);
            *to = add ? *to + sum[r][v] : sum[r][v];
        }
    }
}

#define CASE(R)                                       \
    case R:                                           \
        tile_rows(R, k, a, lda, b, ldb, c, ldc, add); \
        break;

static void tile_full(int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                      float *c, int64_t ldc, int rows, bool add)
{
    switch (rows) {
        CASES
    }
}

static void tile(int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                 int64_t ldc, int rows, int cols, bool add)
{
    if (cols == NV * VL) {
        tile_full(k, a, lda, b, ldb, c, ldc, rows, add);
        return;
    }
    float edge[MR * NV * VL] __attribute__((aligned(64)));
    for (int r = 0; add && r < rows; r++) {
        for (int j = 0; j < NV * VL; j++)
            edge[r * NV * VL + j] = j < cols ? c[r * ldc + j] : 0.0f;
    }
    tile_full(k, a, lda, b, ldb, edge, NV * VL, rows, add);
    for (int r = 0; r < rows; r++) {
        for (int j = 0; j < cols; j++)
            c[r * ldc + j] = edge[r * NV * VL + j];
    }
}

static void axpy_strided(float *y, const float *x, int64_t step, float a, int64_t n)
{
    if (step == 1) {
        const vec av = SET1(a);
        int64_t i = 0;
        for (; i + VL <= n; i += VL)
            *(vec_u *)(y + i) = FMA(av, *(const vec_u *)(x + i), *(const vec_u *)(y + i));
        for (; i < n; i++)
            y[i] = FMA1(a, x[i], y[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        y[i] = FMA1(a, x[i * step], y[i]);
}
