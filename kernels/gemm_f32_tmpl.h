/* The tile of a float product, for vectors of VL floats, NV of them across, MR rows.
 * FMA(a, b, c) is a * b + c, SET1(x) x in all lanes.
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
static inline __attribute__((always_inline)) void
tile_rows(const int R, int64_t k, const float *a, int64_t lda, const float *b,
          int64_t ldb, float *c, int64_t ldc, bool add)
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

static void tile(int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                 float *c, int64_t ldc, int rows, int cols, bool add)
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

/* B vectors side by side. */
static inline __attribute__((always_inline)) void
correlate_block(const int B, float *y, const float *x, int64_t ld, int64_t rows,
                const float *w, const int64_t *at, int64_t taps)
{
    vec sum[4];
    UNROLL
    for (int v = 0; v < B; v++)
        sum[v] = (vec){ 0 };
    for (int64_t r = 0; r < rows; r++)
        for (int64_t q = 0; q < taps; q++) {
            const vec wv = SET1(w[r * taps + q]);
            const float *p = x + r * ld + at[q];
            UNROLL
            for (int v = 0; v < B; v++)
                sum[v] = FMA(wv, *(const vec_u *)(p + v * VL), sum[v]);
        }
    UNROLL
    for (int v = 0; v < B; v++)
        *(vec_u *)(y + v * VL) = sum[v];
}

static void correlate(float *y, const float *x, int64_t ld, int64_t rows, const float *w,
                      const int64_t *at, int64_t taps, int64_t n)
{
    /* The last block may lie over the one before. */
    int64_t i = 0;
    for (; n >= 4 * VL && i < n; i += 4 * VL) {
        const int64_t to = i + 4 * VL <= n ? i : n - 4 * VL;
        correlate_block(4, y + to, x + to, ld, rows, w, at, taps);
    }
    for (; n >= VL && i < n; i += VL) {
        const int64_t to = i + VL <= n ? i : n - VL;
        correlate_block(1, y + to, x + to, ld, rows, w, at, taps);
    }
    for (; i < n; i++) {
        float sum = 0;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t q = 0; q < taps; q++)
                sum = FMA1(w[r * taps + q], x[r * ld + at[q] + i], sum);
        y[i] = sum;
    }
}
