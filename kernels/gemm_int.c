/* The integer product's blocking, zero points and C tile.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_int.h"
#include "src/util/cpu.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#define VL 4
#define NV 2
#define MR 4
#define GROUP 2
#define A_T int16_t
#define B_T int16_t
#define A_OFFSET 0
#define B_OFFSET 0
#define A_OF(byte, flip) pln_byte_value((byte), (flip))
#define B_OF(byte, flip) pln_byte_value((byte), (flip))
/* Both halves of each lane, sign-extended. */
#define DOT(sum, b, a)                                                        \
    ((ivec)((uvec)(sum) +                                                     \
            (uvec)(((ivec)((uvec)(b) << 16) >> 16) * (int32_t)(int16_t)(a)) + \
            (uvec)(((b) >> 16) * ((a) >> 16))))
#define CASES CASE(1) CASE(2) CASE(3) CASE(4)
#include "kernels/gemm_int_tmpl.h"

static const pln_igemm_fns igemm_c = IGEMM_FNS;

const pln_igemm_fns *pln_igemm_for(int isa)
{
    if (isa == PLN_ISA_C)
        return &igemm_c;
#if defined(__x86_64__)
    const uint32_t cpu = pln_cpu_flags();
    if (isa == PLN_ISA_AVX2)
        return cpu & PLN_CPU_AVX2 ? &pln_igemm_avx2 : NULL;
    if (isa == PLN_ISA_AVX512)
        return cpu & PLN_CPU_AVX512 ? &pln_igemm_avx512 : NULL;
    if (isa == PLN_ISA_AVX512_VNNI)
        return cpu & PLN_CPU_AVX512_VNNI ? &pln_igemm_avx512_vnni : NULL;
#endif
    return NULL;
}

const pln_igemm_fns *pln_igemm(void)
{
    static const int best_first[] = { PLN_ISA_AVX512_VNNI, PLN_ISA_AVX512, PLN_ISA_AVX2 };
    for (int i = 0; i < 3; i++) {
        const pln_igemm_fns *f = pln_igemm_for(best_first[i]);
        if (f)
            return f;
    }
    return &igemm_c;
}

static int64_t parts(int64_t n, int64_t step)
{
    return n / step + (n % step != 0);
}

/* Bytes of one panel of B. */
static int64_t panel_size(const pln_igemm_fns *f, int64_t k)
{
    return parts(k, f->group) * f->nr * 4;
}

size_t pln_igemm_packed_size(const pln_igemm_fns *f, int64_t k, int64_t n)
{
    const int64_t panels = parts(n, f->nr);
    int64_t bytes, all;
    if (k > INT64_MAX / 1024 || !pln_i64_mul(&bytes, panel_size(f, k), panels) ||
        !pln_i64_add(&all, bytes, panels * f->nr * (int64_t)sizeof(int32_t)))
        return 0;
    return pln_align_up((size_t)all + 1, 64);
}

pln_igemm_b pln_igemm_view(const pln_igemm_fns *f, const void *packed, int64_t k,
                           int64_t n)
{
    const unsigned char *p = packed;
    return (pln_igemm_b){ p, (const int32_t *)(const void *)(p + panel_size(f, k) *
                                                                    parts(n, f->nr)) };
}

void pln_igemm_pack(const pln_igemm_fns *f, void *out, const uint8_t *b, int64_t rs,
                    int64_t cs, int64_t k, int64_t n, int flip)
{
    const int64_t size = panel_size(f, k), panels = parts(n, f->nr);
    int32_t *sums = (int32_t *)(void *)((unsigned char *)out + size * panels);
    for (int64_t p = 0; p < panels; p++) {
        const int64_t left = n - p * f->nr;
        f->pack_b((unsigned char *)out + p * size, sums + p * f->nr, b + p * f->nr * cs,
                  rs, cs, k, left < f->nr ? (int)left : f->nr, flip);
    }
}

/* What the zero points take from the sums of packed values. */
static void correct_row(const pln_igemm_job *g, int32_t *row, int64_t i, int32_t a_sum,
                        int64_t j0, int64_t j1)
{
    const int32_t a_off = g->a_flip ? 0 : g->fns->a_offset_u8;
    const int32_t b_off = g->b_flip ? g->fns->b_offset_s8 : 0;
    const uint32_t az = (uint32_t)(pln_zero_at(g->a_zero, g->batch, i) - a_off);
    const bool one = !g->b_zero->v || g->b_zero->step == 0;
    const uint32_t bz0 = (uint32_t)(pln_zero_at(g->b_zero, g->batch, 0) + b_off);
    const uint32_t fixed = az * (uint32_t)g->k;
    if (one) {
        g->fns->correct(row, g->b.sums + j0, bz0 * ((uint32_t)a_sum - fixed), az,
                        j1 - j0);
        return;
    }
    for (int64_t j = j0; j < j1; j++) {
        const uint32_t bz = (uint32_t)(pln_zero_at(g->b_zero, g->batch, j) + b_off);
        row[j - j0] = (int32_t)((uint32_t)row[j - j0] - bz * ((uint32_t)a_sum - fixed) -
                                az * (uint32_t)g->b.sums[j]);
    }
}

static void run_panel(const pln_igemm_job *g, int64_t i, int64_t i1, int64_t j0,
                      int64_t j1)
{
    const pln_igemm_fns *f = g->fns;
    const int rows = i1 - i < f->mr ? (int)(i1 - i) : f->mr;
    const int64_t size = panel_size(f, g->k);
    int32_t a[PLN_IGEMM_KC * PLN_IGEMM_MR_MAX / 2] __attribute__((aligned(64)));
    int32_t sums[PLN_IGEMM_MR_MAX] = { 0 };
    for (int64_t k0 = 0; k0 == 0 || k0 < g->k; k0 += PLN_IGEMM_KC) {
        const int64_t kn = g->k - k0 < PLN_IGEMM_KC ? g->k - k0 : PLN_IGEMM_KC;
        f->pack_a(a, sums, g->a + i * g->a_rs + k0 * g->a_cs, g->a_rs, g->a_cs, kn, rows,
                  g->a_flip);
        for (int64_t j = j0; j < j1; j += f->nr) {
            const int cols = j1 - j < f->nr ? (int)(j1 - j) : f->nr;
            f->tile(parts(kn, f->group), a,
                    g->b.panels + j / f->nr * size + k0 / f->group * f->nr * 4,
                    g->c + i * g->ldc + j, g->ldc, rows, cols, k0 > 0);
        }
    }
    for (int r = 0; r < rows; r++) {
        int32_t *row = g->c + (i + r) * g->ldc + j0;
        correct_row(g, row, i + r, sums[r], j0, j1);
        if (g->finish)
            g->finish(g->user, row, i + r, j0, j1);
    }
}

void pln_igemm_run(const pln_igemm_job *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    for (int64_t i = i0; i < i1; i += g->fns->mr)
        run_panel(g, i, i1, j0, j1);
}

typedef struct part {
    const pln_igemm_job *g;
    int64_t step;
} part;

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const part *p = arg;
    const int64_t i1 = end * p->step;
    pln_igemm_run(p->g, begin * p->step, i1 < p->g->m ? i1 : p->g->m, 0, p->g->n);
}

static void run_columns(void *arg, int64_t begin, int64_t end)
{
    const part *p = arg;
    const int64_t j1 = end * p->step;
    pln_igemm_run(p->g, 0, p->g->m, begin * p->step, j1 < p->g->n ? j1 : p->g->n);
}

void pln_igemm_parallel(const pln_igemm_job *g, int n_threads)
{
    if (g->m <= 0 || g->n <= 0)
        return;
    const double work = 2.0 * (double)g->m * (double)g->n * (double)(g->k > 0 ? g->k : 1);
    if (n_threads <= 1 || work < 4e5) {
        pln_igemm_run(g, 0, g->m, 0, g->n);
        return;
    }
    const int64_t rows = parts(g->m, g->fns->mr), cols = parts(g->n, g->fns->nr);
    if (rows >= 2 * n_threads || rows >= cols) {
        part p = { g, g->fns->mr };
        pln_parallel_for(n_threads, rows, 1, run_rows, &p);
    } else {
        part p = { g, g->fns->nr };
        pln_parallel_for(n_threads, cols, 1, run_columns, &p);
    }
}
