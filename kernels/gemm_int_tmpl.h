/* Packing and the tile of an integer product, for vectors of VL sums, NV of them across,
 * MR rows. A_T and B_T are the packed elements, GROUP of them in 4 bytes; A_OF and B_OF
 * make them from a byte and its flip; DOT(sum, b, a) adds the products of the groups, a
 * in all lanes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

/* One row whose bytes follow each other, whole groups only: the form that has to be
 * quick. */
static void pack_row(A_T *o, const uint8_t *row, int64_t k, int flip)
{
#if GROUP == 4
    const uint32_t mask = 0x01010101u * (uint8_t)A_OF(0, flip);
    for (int64_t p = 0; p + GROUP <= k; p += GROUP, o += MR * GROUP) {
        uint32_t v;
        memcpy(&v, row + p, sizeof v);
        v ^= mask;
        memcpy(o, &v, sizeof v);
    }
#else
    for (int64_t p = 0; p + GROUP <= k; p += GROUP, o += MR * GROUP) {
        for (int q = 0; q < GROUP; q++)
            o[q] = (A_T)A_OF(row[p + q], flip);
    }
#endif
}

static int32_t sum_row(const uint8_t *row, int64_t cs, int64_t k, int flip)
{
    int32_t sum = 0;
    if (cs == 1) {
        for (int64_t p = 0; p < k; p++)
            sum += A_OF(row[p], flip);
        return sum;
    }
    for (int64_t p = 0; p < k; p++)
        sum += A_OF(row[p * cs], flip);
    return sum;
}

static void pack_a(void *out, int32_t *sums, const uint8_t *a, int64_t rs, int64_t cs,
                   int64_t k, int rows, int flip)
{
    for (int r = 0; r < rows; r++) {
        A_T *o = (A_T *)out + r * GROUP;
        const uint8_t *row = a + r * rs;
        int64_t p = 0;
        if (cs == 1) {
            pack_row(o, row, k, flip);
            p = k / GROUP * GROUP;
        }
        for (; p < k; p += GROUP) {
            for (int q = 0; q < GROUP; q++)
                o[p * MR + q] = p + q < k ? (A_T)A_OF(row[(p + q) * cs], flip) : 0;
        }
        sums[r] = (int32_t)((uint32_t)sums[r] + (uint32_t)sum_row(row, cs, k, flip));
    }
}

/* A full panel whose rows are dense, whole groups only; returns the rows done. */
static int64_t pack_b_dense(uint32_t *o, int32_t *sums, const uint8_t *b, int64_t rs,
                            int64_t k, int flip)
{
    int64_t p = 0;
    for (; p + GROUP <= k; p += GROUP, o += NV * VL) {
        const uint8_t *r0 = b + p * rs, *r1 = r0 + rs;
#if GROUP == 4
        const uint8_t *r2 = r1 + rs, *r3 = r2 + rs;
        for (int j = 0; j < NV * VL; j++) {
            const uint32_t v0 = B_OF(r0[j], flip), v1 = B_OF(r1[j], flip);
            const uint32_t v2 = B_OF(r2[j], flip), v3 = B_OF(r3[j], flip);
            o[j] = v0 | v1 << 8 | v2 << 16 | v3 << 24;
            sums[j] += (int32_t)(v0 + v1 + v2 + v3);
        }
#else
        for (int j = 0; j < NV * VL; j++) {
            const int32_t v0 = B_OF(r0[j], flip), v1 = B_OF(r1[j], flip);
            o[j] = ((uint32_t)v0 & 0xffff) | (uint32_t)v1 << 16;
            sums[j] += v0 + v1;
        }
#endif
    }
    return p;
}

static void pack_b(void *out, int32_t *sums, const uint8_t *b, int64_t rs, int64_t cs,
                   int64_t k, int cols, int flip)
{
    memset(sums, 0, NV * VL * sizeof *sums);
    int64_t p = 0;
    if (cs == 1 && cols == NV * VL)
        p = pack_b_dense(out, sums, b, rs, k, flip);
    B_T *o = (B_T *)out + p * NV * VL;
    for (; p < k; p += GROUP, o += NV * VL * GROUP) {
        memset(o, 0, NV * VL * 4);
        for (int q = 0; q < GROUP && p + q < k; q++) {
            const uint8_t *row = b + (p + q) * rs;
            for (int j = 0; j < cols; j++) {
                const B_T v = (B_T)B_OF(row[j * cs], flip);
                o[j * GROUP + q] = v;
                sums[j] += v;
            }
        }
    }
}

typedef int32_t ivec __attribute__((vector_size(VL * 4)));
typedef uint32_t uvec __attribute__((vector_size(VL * 4)));
typedef int32_t ivec_u __attribute__((vector_size(VL * 4), aligned(4)));

static inline __attribute__((always_inline)) void tile_rows(const int R, int64_t groups,
                                                            const int32_t *a,
                                                            const int32_t *b, int32_t *c,
                                                            int64_t ldc, bool add)
{
    ivec sum[MR][NV];
    for (int r = 0; r < R; r++) {
        for (int v = 0; v < NV; v++) {
            if (add)
                sum[r][v] = *(const ivec_u *)(c + r * ldc + v * VL);
            else
                sum[r][v] = (ivec){ 0 };
        }
    }
    for (int64_t p = 0; p < groups; p++) {
        ivec bv[NV];
        for (int v = 0; v < NV; v++)
            bv[v] = *(const ivec_u *)(b + v * VL);
        for (int r = 0; r < R; r++) {
            for (int v = 0; v < NV; v++)
                sum[r][v] = DOT(sum[r][v], bv[v], a[r]);
        }
        a += MR;
        b += NV * VL;
    }
    for (int r = 0; r < R; r++) {
        for (int v = 0; v < NV; v++)
            *(ivec_u *)(c + r * ldc + v * VL) = sum[r][v];
    }
}

#define CASE(R)                                  \
    case R:                                      \
        tile_rows(R, groups, a, b, c, ldc, add); \
        break;

static void tile_full(int64_t groups, const int32_t *a, const int32_t *b, int32_t *c,
                      int64_t ldc, int rows, bool add)
{
    switch (rows) {
        CASES
    }
}

static void tile(int64_t groups, const void *a, const void *b, int32_t *c, int64_t ldc,
                 int rows, int cols, bool add)
{
    if (cols == NV * VL) {
        tile_full(groups, a, b, c, ldc, rows, add);
        return;
    }
    int32_t edge[MR * NV * VL] __attribute__((aligned(64)));
    for (int r = 0; add && r < rows; r++) {
        for (int j = 0; j < NV * VL; j++)
            edge[r * NV * VL + j] = j < cols ? c[r * ldc + j] : 0;
    }
    tile_full(groups, a, b, edge, NV * VL, rows, add);
    for (int r = 0; r < rows; r++) {
        for (int j = 0; j < cols; j++)
            c[r * ldc + j] = edge[r * NV * VL + j];
    }
}

static void correct(int32_t *row, const int32_t *sums, uint32_t fixed, uint32_t az,
                    int64_t n)
{
    int64_t j = 0;
    for (; j + VL <= n; j += VL) {
        const uvec v = (uvec)*(ivec_u *)(void *)(row + j) - fixed -
                       (uvec)*(const ivec_u *)(const void *)(sums + j) * az;
        *(ivec_u *)(void *)(row + j) = (ivec)v;
    }
    for (; j < n; j++)
        row[j] = (int32_t)((uint32_t)row[j] - fixed - az * (uint32_t)sums[j]);
}

typedef float fvec __attribute__((vector_size(VL * 4)));
typedef uint8_t bvec_u __attribute__((vector_size(VL), aligned(1)));

/* The number is rounded by adding 1.5 x 2^23 to it, whose last bit is worth 1: it has
 * been brought between lo and hi by then. */
static void requant(uint8_t *y, const int32_t *row, const int32_t *sums, uint32_t fixed,
                    uint32_t az, float scale, int32_t zero, int flip, int64_t n)
{
    const float lo = (float)(-flip - zero), hi = (float)(255 - flip - zero);
    const fvec vlo = (fvec){ 0 } + lo, vhi = (fvec){ 0 } + hi;
    int64_t j = 0;
    for (; j + VL <= n; j += VL) {
        const uvec v = (uvec)*(const ivec_u *)(const void *)(row + j) - fixed -
                       (uvec)*(const ivec_u *)(const void *)(sums + j) * az;
        fvec f = __builtin_convertvector((ivec)v, fvec) * scale;
        const ivec above = f > vlo;
        f = (fvec)(((ivec)f & above) | ((ivec)vlo & ~above));
        const ivec below = f < vhi;
        f = (fvec)(((ivec)f & below) | ((ivec)vhi & ~below));
        const uvec r = (uvec)(f + 12582912.0f) - 0x4b400000u + (uint32_t)zero;
        *(bvec_u *)(y + j) = __builtin_convertvector(r, bvec_u);
    }
    for (; j < n; j++) {
        const int32_t v = (int32_t)((uint32_t)row[j] - fixed - az * (uint32_t)sums[j]);
        const float r = __builtin_rintf((float)v * scale);
        const float f = r > lo ? (r < hi ? r : hi) : lo;
        y[j] = (uint8_t)((int32_t)f + zero);
    }
}

static void axpy(int32_t *restrict acc, const uint8_t *restrict x, int64_t step,
                 int32_t w, int32_t zero, int flip, int64_t n)
{
    if (step == 1) {
        for (int64_t j = 0; j < n; j++)
            acc[j] = (int32_t)((uint32_t)acc[j] +
                               (uint32_t)(w * (((x[j] ^ flip) - flip) - zero)));
        return;
    }
    for (int64_t j = 0; j < n; j++)
        acc[j] = (int32_t)((uint32_t)acc[j] +
                           (uint32_t)(w * (((x[j * step] ^ flip) - flip) - zero)));
}

typedef uint8_t bytes_u __attribute__((vector_size(VL), aligned(1)));

static void taps(int32_t *acc, const uint8_t *const *x, const int32_t *w, int n_taps,
                 int32_t zero, int flip, int64_t n)
{
    uint32_t fixed = 0;
    for (int t = 0; t < n_taps; t++)
        fixed += (uint32_t)(w[t] * (zero + flip));
    int64_t j = 0;
    for (; j + VL <= n; j += VL) {
        uvec sum = (uvec){ 0 } - fixed;
        for (int t = 0; t < n_taps; t++) {
            const bytes_u b = *(const bytes_u *)(x[t] + j) ^ (uint8_t)flip;
            sum += __builtin_convertvector(b, uvec) * (uint32_t)w[t];
        }
        *(ivec_u *)(void *)(acc + j) = (ivec)sum;
    }
    for (; j < n; j++) {
        uint32_t sum = 0 - fixed;
        for (int t = 0; t < n_taps; t++)
            sum += (uint32_t)(w[t] * (x[t][j] ^ flip));
        acc[j] = (int32_t)sum;
    }
}

#define IGEMM_FNS                                                                  \
    {                                                                              \
        .mr = MR, .nr = NV * VL, .group = GROUP, .a_offset_u8 = A_OFFSET,          \
        .b_offset_s8 = B_OFFSET, .pack_a = pack_a, .pack_b = pack_b, .tile = tile, \
        .correct = correct, .requant = requant, .axpy = axpy, .taps = taps         \
    }
