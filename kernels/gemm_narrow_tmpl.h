/* The loops of one narrow type, for vectors of VL floats, NV of them across, MR rows;
 * included after gemm_f32_tmpl.h once for each type. FEW rows at most, FEW_CASES one for
 * each number of them. T is the type of the elements, NARROW(name) the function's name,
 * WIDE(p) VL elements at p as floats.
 * SPDX-License-Identifier: Apache-2.0 */

/* `scaled` and `shifted` are constants where this is expanded. */
static inline __attribute__((always_inline)) vec
NARROW(at)(const T *b, int v, const vec *s, const vec *z, bool scaled, bool shifted)
{
    vec x = WIDE(b + v * VL);
    if (shifted)
        x = x - z[v];
    return scaled ? x * s[v] : x;
}

static inline __attribute__((always_inline)) void NARROW(load)(vec *out,
                                                               const float *from)
{
    for (int v = 0; v < NV; v++)
        out[v] = from ? *(const vec_u *)(from + v * VL) : (vec){ 0 };
}

static inline __attribute__((always_inline)) void
NARROW(widen_as)(float *out, const T *b, int64_t k, const float *scale, const float *zero,
                 bool scaled, bool shifted)
{
    vec s[NV], z[NV];
    NARROW(load)(s, scale);
    NARROW(load)(z, zero);
    for (int64_t p = 0; p < k; p++, b += NV * VL, out += NV * VL) {
        /* What stands there was pushed out of the first cache by A: stores would wait for
           it. */
        __builtin_prefetch(out + 16 * NV * VL, 1);
        if (NV * VL > 16)
            __builtin_prefetch(out + 16 * NV * VL + 16, 1);
        for (int v = 0; v < NV; v++)
            *(vec_u *)(out + v * VL) = NARROW(at)(b, v, s, z, scaled, shifted);
    }
}

static void NARROW(widen)(float *out, const void *b, int64_t k, const float *scale,
                          const float *zero)
{
    if (zero)
        NARROW(widen_as)(out, b, k, scale, zero, true, true);
    else if (scale)
        NARROW(widen_as)(out, b, k, scale, zero, true, false);
    else
        NARROW(widen_as)(out, b, k, scale, zero, false, false);
}

static inline __attribute__((always_inline)) void
NARROW(rows_as)(const int R, int64_t k, const float *a, int64_t lda, const T *b,
                const float *scale, const float *zero, float *c, int64_t ldc, bool add,
                bool scaled, bool shifted)
{
    vec s[NV], z[NV], sum[FEW][NV];
    NARROW(load)(s, scale);
    NARROW(load)(z, zero);
    for (int r = 0; r < R; r++) {
        for (int v = 0; v < NV; v++)
            sum[r][v] = add ? *(const vec_u *)(c + r * ldc + v * VL) : (vec){ 0 };
    }
    for (int64_t p = 0; p < k; p++, b += NV * VL) {
        vec bv[NV];
        for (int v = 0; v < NV; v++)
            bv[v] = NARROW(at)(b, v, s, z, scaled, shifted);
        for (int r = 0; r < R; r++) {
            const vec av = SET1(a[r * lda + p]);
            for (int v = 0; v < NV; v++)
                sum[r][v] = FMA(av, bv[v], sum[r][v]);
        }
    }
    for (int r = 0; r < R; r++) {
        for (int v = 0; v < NV; v++)
            *(vec_u *)(c + r * ldc + v * VL) = sum[r][v];
    }
}

static void NARROW(rows)(int rows, int64_t k, const float *a, int64_t lda, const T *b,
                         const float *scale, const float *zero, float *c, int64_t ldc,
                         bool add)
{
    switch (rows) {
        FEW_CASES
    }
}

static void NARROW(tile)(int64_t k, const float *a, int64_t lda, const void *b,
                         const float *scale, const float *zero, float *c, int64_t ldc,
                         int rows, int cols, bool add)
{
    if (cols == NV * VL) {
        NARROW(rows)(rows, k, a, lda, b, scale, zero, c, ldc, add);
        return;
    }
    float edge[FEW * NV * VL] __attribute__((aligned(64)));
    for (int r = 0; add && r < rows; r++) {
        for (int j = 0; j < NV * VL; j++)
            edge[r * NV * VL + j] = j < cols ? c[r * ldc + j] : 0.0f;
    }
    NARROW(rows)(rows, k, a, lda, b, scale, zero, edge, NV * VL, add);
    for (int r = 0; r < rows; r++) {
        for (int j = 0; j < cols; j++)
            c[r * ldc + j] = edge[r * NV * VL + j];
    }
}

#undef T
#undef NARROW
#undef WIDE
