/* The float product's blocking, packing and C tile.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_narrow.h"
#include "src/ir/numeric.h"
#include "src/util/cpu.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

#define VL 4
#define NV 2
#define MR 4
#define SET1(x) ((vec){ (x), (x), (x), (x) })
#define FMA1(a, b, c) ((a) * (b) + (c))
#define FMA(a, b, c) ((a) * (b) + (c))
#define CASES CASE(1) CASE(2) CASE(3) CASE(4)
#include "kernels/gemm_f32_tmpl.h"

#define FEW           4
#define FEW_CASES     CASE(1) CASE(2) CASE(3) CASE(4)
#define EACH4(f, p)   ((vec){ f((p)[0]), f((p)[1]), f((p)[2]), f((p)[3]) })
#define WIDE_S8(p)    EACH4((float), p)
#define WIDE_U8(p)    EACH4((float), p)
#define WIDE_F16(p)   EACH4(pln_f16_to_f32, p)
#define WIDE_BF16(p)  EACH4(pln_bf16_to_f32, p)
#include "kernels/gemm_narrow_types.h"

static const pln_gemm_fns gemm_c = { .mr = MR, .nr = NV * VL, .tile = tile,
                                      .correlate = correlate };

static const pln_narrow_fns narrow_c = { .gemm = &gemm_c,
                                         .few = FEW,
                                         .loops = NARROW_LOOPS };

const pln_narrow_fns *pln_narrow_for(int isa)
{
    const pln_gemm_fns *g = pln_gemm_for(isa);
#if defined(__x86_64__)
    if (g == &pln_gemm_avx2)
        return &pln_narrow_avx2;
    if (g == &pln_gemm_avx512)
        return &pln_narrow_avx512;
#endif
    return g ? &narrow_c : NULL;
}

const pln_gemm_fns *pln_gemm_for(int isa)
{
    if (isa == PLN_ISA_C)
        return &gemm_c;
#if defined(__x86_64__)
    const uint32_t cpu = pln_cpu_flags();
    if (isa == PLN_ISA_AVX2)
        return cpu & PLN_CPU_AVX2 ? &pln_gemm_avx2 : NULL;
    if (isa == PLN_ISA_AVX512)
        return cpu & PLN_CPU_AVX512 ? &pln_gemm_avx512 : NULL;
#endif
    return NULL;
}

const pln_gemm_fns *pln_gemm(void)
{
    const pln_gemm_fns *f = pln_gemm_for(PLN_ISA_AVX512);
    f = f ? f : pln_gemm_for(PLN_ISA_AVX2);
    return f ? f : &gemm_c;
}

int64_t pln_gemm_packed_size(const pln_gemm_fns *f, int64_t k, int64_t n)
{
    int64_t panels = n / f->nr + (n % f->nr != 0), size;
    if (!pln_i64_mul(&size, panels * f->nr, k))
        return -1;
    return size;
}

/* Four columns at a time keep the reads of a transposed B within a few lines. */
static void pack_transposed(float *out, const float *b, int64_t cs, int64_t k, int cols,
                            int nr)
{
    for (int64_t p0 = 0; p0 < k; p0 += 16) {
        const int64_t p1 = p0 + 16 < k ? p0 + 16 : k;
        for (int j = 0; j < cols; j++) {
            for (int64_t p = p0; p < p1; p++)
                out[p * nr + j] = b[p + j * cs];
        }
    }
}

void pln_gemm_pack(const pln_gemm_fns *f, float *out, const float *b, int64_t rs,
                   int64_t cs, int64_t k, int64_t n, int64_t p0, int64_t p1)
{
    const int nr = f->nr;
    for (int64_t p = p0; p < p1; p++) {
        float *o = out + p * nr * k;
        const float *from = b + p * nr * cs;
        const int cols = n - p * nr < nr ? (int)(n - p * nr) : nr;
        if (cols < nr)
            memset(o, 0, (size_t)(nr * k) * sizeof *o);
        if (rs == 1 && cs != 1) {
            pack_transposed(o, from, cs, k, cols, nr);
            continue;
        }
        for (int64_t i = 0; i < k; i++) {
            for (int j = 0; j < cols; j++)
                o[i * nr + j] = from[i * rs + j * cs];
        }
    }
}

typedef float quad __attribute__((vector_size(16)));
typedef float quad_u __attribute__((vector_size(16), aligned(4)));

/* Four rows of four as columns, `step` apart. */
static inline void transpose_4x4(float *out, int64_t step, const float *const *in)
{
    const quad a = *(const quad_u *)in[0], b = *(const quad_u *)in[1];
    const quad c = *(const quad_u *)in[2], d = *(const quad_u *)in[3];
    const quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const quad cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const quad ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const quad cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(quad_u *)out = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(quad_u *)(out + step) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(quad_u *)(out + 2 * step) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
    *(quad_u *)(out + 3 * step) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

/* Two rows of four, the same. */
static inline void transpose_2x4(float *out, int64_t step, const float *a, const float *b)
{
    const quad x = *(const quad_u *)a, y = *(const quad_u *)b;
    const quad low = __builtin_shufflevector(x, y, 0, 4, 1, 5);
    const quad high = __builtin_shufflevector(x, y, 2, 6, 3, 7);
    memcpy(out, &low, 8);
    memcpy(out + step, (const char *)&low + 8, 8);
    memcpy(out + 2 * step, &high, 8);
    memcpy(out + 3 * step, (const char *)&high + 8, 8);
}

void pln_gemm_pack_rows(float *out, int64_t width, const float *const *rows, int64_t n,
                      int64_t dim)
{
    int64_t r = 0;
    for (; r + 4 <= n; r += 4) {
        int64_t d = 0;
        for (; d + 4 <= dim; d += 4) {
            const float *in[4] = { rows[r] + d, rows[r + 1] + d, rows[r + 2] + d,
                                   rows[r + 3] + d };
            transpose_4x4(out + d * width + r, width, in);
        }
        for (; d < dim; d++)
            for (int64_t i = r; i < r + 4; i++)
                out[d * width + i] = rows[i][d];
    }
    for (; r + 2 <= n; r += 2) {
        int64_t d = 0;
        for (; d + 4 <= dim; d += 4)
            transpose_2x4(out + d * width + r, width, rows[r] + d, rows[r + 1] + d);
        for (; d < dim; d++)
            for (int64_t i = r; i < r + 2; i++)
                out[d * width + i] = rows[i][d];
    }
    for (; r < n; r++)
        for (int64_t d = 0; d < dim; d++)
            out[d * width + r] = rows[r][d];
    for (; r < width; r++)
        for (int64_t d = 0; d < dim; d++)
            out[d * width + r] = 0;
}

/* rows x k of A as [k][mr]; missing rows stay as they are: their sums are not stored. */
static void pack_a(float *out, const float *a, int64_t rs, int64_t cs, int64_t k,
                   int rows, int mr)
{
    if (cs == 1) {
        for (int r = 0; r < rows; r++) {
            for (int64_t p = 0; p < k; p++)
                out[p * mr + r] = a[r * rs + p];
        }
        return;
    }
    for (int64_t p = 0; p < k; p++) {
        for (int r = 0; r < rows; r++)
            out[p * mr + r] = a[r * rs + p * cs];
    }
}

/* One packed panel of A against columns [j0, j1). */
static void run_panel(const pln_gemm_job *g, const float *a, int64_t i, int rows,
                      int64_t k0, int64_t kn, int64_t j0, int64_t j1)
{
    const pln_gemm_fns *f = g->fns;
    for (int64_t j = j0; j < j1; j += f->nr) {
        const int cols = j1 - j < f->nr ? (int)(j1 - j) : f->nr;
        float *c = g->c + i * g->ldc + j;
        if (!g->b_ld) {
            f->tile(kn, a, f->mr, g->b + j * g->k + k0 * f->nr, f->nr, c, g->ldc, rows,
                    cols, k0 > 0);
            continue;
        }
        const float *b = g->b + k0 * g->b_ld + j;
        if (g->n - j >= f->nr) {
            f->tile(kn, a, f->mr, b, g->b_ld, c, g->ldc, rows, cols, k0 > 0);
            continue;
        }
        /* The last columns of a B that is used in place must not be read beyond. */
        float edge[PLN_GEMM_KC * PLN_GEMM_NR_MAX];
        for (int64_t p = 0; p < kn; p++) {
            for (int q = 0; q < f->nr; q++)
                edge[p * f->nr + q] = q < cols ? b[p * g->b_ld + q] : 0.0f;
        }
        f->tile(kn, a, f->mr, edge, f->nr, c, g->ldc, rows, cols, k0 > 0);
    }
}

static void finish_rows(const pln_gemm_job *g, int64_t i, int rows, int64_t j0,
                        int64_t j1)
{
    for (int r = 0; g->epilogue && g->epilogue->n && r < rows; r++)
        pln_epilogue_row(g->epilogue, g->c + (i + r) * g->ldc + j0, g->row0 + i + r, j0,
                         j1 - j0);
}

void pln_gemm_run(const pln_gemm_job *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    const int mr = g->fns->mr;
    float a[PLN_GEMM_KC * PLN_GEMM_MR_MAX] __attribute__((aligned(64)));
    /* k outside: a block of B serves all rows. An empty sum still stores zeros. */
    for (int64_t k0 = 0; k0 == 0 || k0 < g->k; k0 += PLN_GEMM_KC) {
        const int64_t kn = g->k - k0 < PLN_GEMM_KC ? g->k - k0 : PLN_GEMM_KC;
        for (int64_t i = i0; i < i1; i += mr) {
            const int rows = i1 - i < mr ? (int)(i1 - i) : mr;
            pack_a(a, g->a + i * g->a_rs + k0 * g->a_cs, g->a_rs, g->a_cs, kn, rows, mr);
            run_panel(g, a, i, rows, k0, kn, j0, j1);
            if (k0 + PLN_GEMM_KC >= g->k)
                finish_rows(g, i, rows, j0, j1);
        }
    }
}

typedef struct part {
    const pln_gemm_job *g;
    int64_t step; /* rows or columns of a part */
} part;

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const part *p = arg;
    const int64_t i1 = end * p->step;
    pln_gemm_run(p->g, begin * p->step, i1 < p->g->m ? i1 : p->g->m, 0, p->g->n);
}

static void run_columns(void *arg, int64_t begin, int64_t end)
{
    const part *p = arg;
    const int64_t j1 = end * p->step;
    pln_gemm_run(p->g, 0, p->g->m, begin * p->step, j1 < p->g->n ? j1 : p->g->n);
}

static int64_t parts(int64_t n, int64_t step)
{
    return (n + step - 1) / step;
}

void pln_gemm_parallel(const pln_gemm_job *g, int n_threads)
{
    if (g->m <= 0 || g->n <= 0)
        return;
    const double work = 2.0 * (double)g->m * (double)g->n * (double)(g->k > 0 ? g->k : 1);
    if (n_threads <= 1 || work < 2e5) {
        pln_gemm_run(g, 0, g->m, 0, g->n);
        return;
    }
    /* Each element is summed alone, so the split is free: rows, unless there are too
       few. */
    const int64_t rows = parts(g->m, g->fns->mr), cols = parts(g->n, g->fns->nr);
    if (rows >= 2 * n_threads || rows >= cols) {
        part p = { g, g->fns->mr };
        pln_parallel_for(n_threads, rows, 1, run_rows, &p);
    } else {
        part p = { g, g->fns->nr };
        pln_parallel_for(n_threads, cols, 1, run_columns, &p);
    }
}
