/* The double matrix product: both matrices packed, tiles of the result in registers.
 * SPDX-License-Identifier: Apache-2.0 */
#define LANES   2
#define MR      4
#define VECTORS 2
#define TABLE   pln_gemm64_c
#define FMA(a, b, c) ((a) * (b) + (c))
#include "kernels/gemm_f64.h"

extern const pln_gemm64_fns pln_gemm64_c;
#include "kernels/gemm_f64_tmpl.h"

#include "src/util/cpu.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

#define DEPTH 256 /* of a block: panels of it stay in the caches */

const pln_gemm64_fns *pln_gemm64_for(int isa)
{
    if (isa == PLN_ISA_C)
        return &pln_gemm64_c;
#if defined(__x86_64__)
    const uint32_t cpu = pln_cpu_flags();
    if (isa == PLN_ISA_AVX2)
        return cpu & PLN_CPU_AVX2 ? &pln_gemm64_avx2 : NULL;
    if (isa == PLN_ISA_AVX512)
        return cpu & PLN_CPU_AVX512 ? &pln_gemm64_avx512 : NULL;
#endif
    return NULL;
}

const pln_gemm64_fns *pln_gemm64(void)
{
    const pln_gemm64_fns *f = pln_gemm64_for(PLN_ISA_AVX512);
    f = f ? f : pln_gemm64_for(PLN_ISA_AVX2);
    return f ? f : &pln_gemm64_c;
}

typedef struct work {
    const pln_gemm64_job *j;
    const pln_gemm64_fns *f;
    double *a, *b; /* [panel][k][mr], [panel][k][nr], zeros beyond the edges */
} work;

/* out[k][width] from `rows` <= width rows at a distance rs. */
static void pack(double *out, const double *x, int64_t rs, int64_t cs, int64_t rows,
                 int width, int64_t k)
{
    const int n = rows < width ? (int)rows : width;
    if (n < width)
        memset(out, 0, (size_t)(k * width) * sizeof *out);
    if (cs == 1)
        for (int r = 0; r < n; r++)
            for (int64_t p = 0; p < k; p++)
                out[p * width + r] = x[r * rs + p];
    else
        for (int64_t p = 0; p < k; p++)
            for (int r = 0; r < n; r++)
                out[p * width + r] = x[r * rs + p * cs];
}

static void pack_a(void *arg, int64_t begin, int64_t end)
{
    const work *w = arg;
    const pln_gemm64_job *j = w->j;
    const int mr = w->f->mr;
    for (int64_t i = begin; i < end; i++)
        pack(w->a + i * mr * j->k, j->a + i * mr * j->a_rs, j->a_rs, j->a_cs,
             j->m - i * mr, mr, j->k);
}

static void pack_b(void *arg, int64_t begin, int64_t end)
{
    const work *w = arg;
    const pln_gemm64_job *j = w->j;
    const int nr = w->f->nr;
    for (int64_t i = begin; i < end; i++)
        pack(w->b + i * nr * j->k, j->b + i * nr * j->b_cs, j->b_cs, j->b_rs,
             j->n - i * nr, nr, j->k);
}

/* One tile over `k` steps; at the edges by way of a whole one. */
static void one_tile(const work *w, int64_t row, int64_t col, int64_t k0, int64_t k)
{
    const pln_gemm64_job *j = w->j;
    const int mr = w->f->mr, nr = w->f->nr;
    const double *a = w->a + row * j->k + k0 * mr, *b = w->b + col * j->k + k0 * nr;
    const int64_t rows = j->m - row < mr ? j->m - row : mr;
    const int64_t cols = j->n - col < nr ? j->n - col : nr;
    double *c = j->c + row * j->ldc + col;
    if (rows == mr && cols == nr) {
        w->f->tile(k, a, b, c, j->ldc);
        return;
    }
    double whole[PLN_GEMM64_MR_MAX * PLN_GEMM64_NR_MAX] = { 0 };
    w->f->tile(k, a, b, whole, nr);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < cols; i++)
            c[r * j->ldc + i] += whole[r * nr + i];
}

static void columns(void *arg, int64_t begin, int64_t end)
{
    const work *w = arg;
    const pln_gemm64_job *j = w->j;
    for (int64_t k0 = 0; k0 < j->k; k0 += DEPTH)
        for (int64_t p = begin; p < end; p++)
            for (int64_t row = 0; row < j->m; row += w->f->mr)
                one_tile(w, row, p * w->f->nr, k0, j->k - k0 < DEPTH ? j->k - k0 : DEPTH);
}

/* ---- a few rows or columns: B is read as it lies ---- */

static void few_rows(void *arg, int64_t begin, int64_t end)
{
    const pln_gemm64_job *j = arg;
    for (int64_t p = 0; p < j->k; p++)
        for (int64_t i = 0; i < j->m; i++) {
            const double a = j->a[i * j->a_rs + p * j->a_cs], *b = j->b + p * j->b_rs;
            double *y = j->c + i * j->ldc;
            for (int64_t n = begin; n < end; n++)
                y[n] += a * b[n];
        }
}

static void few_columns(void *arg, int64_t begin, int64_t end)
{
    const pln_gemm64_job *j = arg;
    for (int64_t i = begin; i < end; i++)
        for (int64_t n = 0; n < j->n; n++) {
            const double *a = j->a + i * j->a_rs, *b = j->b + n * j->b_cs;
            double sum[4] = { 0 };
            int64_t p = 0;
            for (; p + 4 <= j->k; p += 4)
                for (int l = 0; l < 4; l++)
                    sum[l] += a[(p + l) * j->a_cs] * b[(p + l) * j->b_rs];
            for (; p < j->k; p++)
                sum[0] += a[p * j->a_cs] * b[p * j->b_rs];
            j->c[i * j->ldc + n] += sum[0] + sum[1] + (sum[2] + sum[3]);
        }
}

static bool run_few(pln_call *c, pln_gemm64_job *j)
{
    const int64_t grain = 1 + 16384 / (j->k + 1);
    if (j->m <= 4 && j->b_cs == 1)
        pln_parallel_for(c->n_threads, j->n, grain > 256 ? grain : 256, few_rows, j);
    else if (j->n <= 4 || (j->m <= 4 && j->b_rs == 1))
        pln_parallel_for(c->n_threads, j->m, grain, few_columns, j);
    else
        return false;
    return true;
}

pln_status pln_gemm64_run(pln_call *c, pln_gemm64_job *j, pln_error *err)
{
    if (run_few(c, j))
        return PLN_OK;
    work w = { .j = j, .f = pln_gemm64() };
    const int64_t rows = (j->m + w.f->mr - 1) / w.f->mr,
                  cols = (j->n + w.f->nr - 1) / w.f->nr;
    int64_t na, nb;
    size_t sa, sb;
    if (!pln_i64_mul(&na, rows * w.f->mr, j->k) ||
        !pln_i64_mul(&nb, cols * w.f->nr, j->k) ||
        !pln_size_mul(&sa, (size_t)na, sizeof(double)) ||
        !pln_size_mul(&sb, (size_t)nb, sizeof(double)) || sa > SIZE_MAX / 4 ||
        sb > SIZE_MAX / 4 ||
        !(j->room = j->room ? j->room : pln_call_scratch(c, sa + sb + 64)))
        return pln_oom(err);
    w.a = j->room;
    w.b = w.a + na;
    const int64_t grain = 1 + 4096 / (j->k + 1);
    pln_parallel_for(c->n_threads, rows, grain, pack_a, &w);
    pln_parallel_for(c->n_threads, cols, grain, pack_b, &w);
    const double each = (double)j->m * (double)j->k * w.f->nr;
    pln_parallel_for(c->n_threads, cols, 1 + (int64_t)(65536 / (each + 1)), columns, &w);
    return PLN_OK;
}
