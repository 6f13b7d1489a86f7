/* Products with weights of a few bits.
 *
 * A few rows of A (decoding) multiply the weights as they are read; many rows multiply
 * panels that are made floats once for all of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/nbits.h"

#include "kernels/gemm_f32.h"
#include "kernels/vec.h"
#include "src/util/cpu.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

#define BLOCKS 256 /* whose zero points are unpacked at a time */
#define FEW    12  /* rows of A that go without panels */

/* ---- the definition -------------------------------------------------------------- */

static unsigned bits_at(const uint8_t *p, int bits, int64_t i)
{
    const int64_t at = i * bits;
    const int shift = (int)(at & 7);
    unsigned v = p[at >> 3] >> shift;
    if (shift + bits > 8)
        v |= (unsigned)p[(at >> 3) + 1] << (8 - shift);
    return v & ((1u << bits) - 1);
}

static float zero_at(const pln_nbits *w, int64_t row, int64_t b)
{
    if (w->float_zeros)
        return w->float_zeros[row * w->blocks + b];
    if (!w->zeros)
        return (float)(1 << (w->bits - 1));
    if (w->zeros_across)
        return (float)bits_at(w->zeros, w->bits, row);
    return (float)bits_at(w->zeros + row * w->zero_bytes, w->bits, b);
}

/* Elements [k0, k1), all of block b, whose bits fill bytes: 8 bits, or 2 from a byte
 * on. */
static void whole_values(const pln_nbits *w, const uint8_t *q, float scale, float zero,
                         int64_t k0, int64_t k1, float *out)
{
    if (w->bits == 8) {
        pln_vec()->dequant_u8(out, q + k0, k1 - k0, scale, (int32_t)zero);
        return;
    }
    const float level[4] = { -zero * scale, (1 - zero) * scale, (2 - zero) * scale,
                             (3 - zero) * scale };
    for (int64_t i = k0; i < k1; i += 4) {
        const uint8_t v = q[i / 4];
        *out++ = level[v & 3];
        *out++ = level[v >> 2 & 3];
        *out++ = level[v >> 4 & 3];
        *out++ = level[v >> 6];
    }
}

/* The same as pln_nbits_values() where weights are bytes or pairs of bits: a block at a
 * time. */
static bool block_values(const pln_nbits *w, int64_t row, int64_t k0, int64_t k1,
                         float *out)
{
    const bool bytes = w->bits == 8 && !w->float_zeros;
    const bool pairs = w->bits == 2 && w->block % 4 == 0 && k0 % 4 == 0 && k1 % 4 == 0;
    if (w->groups || (!bytes && !pairs))
        return false;
    const uint8_t *q = w->data + row * w->row_bytes;
    for (int64_t i = k0; i < k1;) {
        const int64_t b = i / w->block,
                      end = (b + 1) * w->block < k1 ? (b + 1) * w->block : k1;
        whole_values(w, q, w->scales[row * w->blocks + b], zero_at(w, row, b), i, end,
                     out + (i - k0));
        i = end;
    }
    return true;
}

void pln_nbits_values(const pln_nbits *w, int64_t row, int64_t k0, int64_t k1, float *out)
{
    const uint8_t *q = w->data + row * w->row_bytes;
    int64_t last = -1;
    float scale = 0, zero = 0;
    for (int64_t i = k0; i < k1; i++) {
        const int64_t b = w->groups ? w->groups[i] : i / w->block;
        if (b != last) {
            scale = w->scales[row * w->blocks + b];
            zero = zero_at(w, row, b);
            last = b;
        }
        out[i - k0] = ((float)bits_at(q, w->bits, i) - zero) * scale;
    }
}

static pln_status product_ref(const pln_nbits_job *j, pln_call *c, pln_error *err)
{
    const pln_nbits *w = j->w;
    float *row = pln_call_scratch(c, ((size_t)w->k + 1) * sizeof *row);
    if (!row)
        return pln_oom(err);
    for (int64_t n = 0; n < w->n; n++) {
        pln_nbits_values(w, n, 0, w->k, row);
        for (int64_t m = 0; m < j->m; m++) {
            double sum = j->bias ? j->bias[n] : 0;
            for (int64_t k = 0; k < w->k; k++)
                sum += (double)j->a[m * w->k + k] * row[k];
            j->y[m * w->n + n] = (float)sum;
        }
    }
    return PLN_OK;
}

/* ---- loops in C ------------------------------------------------------------------ */

static void dequant4_c(float *out, const uint8_t *q, const float *scales,
                       const float *zeros, int64_t blocks, int64_t block)
{
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t i = 0; i < block / 2; i++, q++) {
            *out++ = ((float)(*q & 15) - zeros[b]) * scales[b];
            *out++ = ((float)(*q >> 4) - zeros[b]) * scales[b];
        }
}

static void dot4_c(float *y, int64_t y_step, const float *a, int64_t a_step, int rows,
                   const uint8_t *q, const float *scales, const float *zeros,
                   int64_t blocks, int64_t block)
{
    for (int r = 0; r < rows; r++) {
        float sum = 0;
        for (int64_t b = 0; b < blocks; b++) {
            const uint8_t *p = q + b * block / 2;
            const float *x = a + r * a_step + b * block;
            float part = 0;
            for (int64_t i = 0; i < block / 2; i++)
                part += x[2 * i] * ((float)(p[i] & 15) - zeros[b]) +
                        x[2 * i + 1] * ((float)(p[i] >> 4) - zeros[b]);
            sum += part * scales[b];
        }
        y[r * y_step] += sum;
    }
}

static const pln_nbits_fns loops_c = { 1, dot4_c, dequant4_c };

const pln_nbits_fns *pln_nbits_loops_for(int isa)
{
    if (isa == PLN_ISA_C)
        return &loops_c;
#if defined(__x86_64__)
    const uint32_t cpu = pln_cpu_flags();
    if (isa == PLN_ISA_AVX2)
        return cpu & PLN_CPU_AVX2 ? &pln_nbits_avx2 : NULL;
    if (isa == PLN_ISA_AVX512)
        return cpu & PLN_CPU_AVX512 ? &pln_nbits_avx512 : NULL;
#endif
    return NULL;
}

const pln_nbits_fns *pln_nbits_loops(void)
{
    const pln_nbits_fns *f = pln_nbits_loops_for(PLN_ISA_AVX512);
    f = f ? f : pln_nbits_loops_for(PLN_ISA_AVX2);
    return f ? f : &loops_c;
}

/* ---- what both ways share -------------------------------------------------------- */

typedef struct job {
    const pln_nbits_job *j;
    const pln_nbits_fns *f;
    const pln_gemm_fns *g;
    bool nibbles;  /* the loops above serve: A is in their order */
    int64_t width; /* of a row of A: k, rounded up to whole blocks where nibbles */
    float *a;      /* rows of A in order; for panels packed [depth block][row block] */
} job;

/* `count` zero points from block b on. */
static void load_zeros(const pln_nbits *w, int64_t row, int64_t b, int64_t count,
                       float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = zero_at(w, row, b + i);
}

static void order_row(const job *t, float *out, const float *a)
{
    const int half = t->f->half;
    const int64_t k = t->j->w->k;
    memset(out, 0, (size_t)t->width * sizeof *out);
    if (!t->nibbles || half == 1) {
        memcpy(out, a, (size_t)k * sizeof *out);
        return;
    }
    for (int64_t i = 0; i < k; i++) {
        const int64_t in = i % (2 * half);
        out[i - in + (in & 1) * half + in / 2] = a[i];
    }
}

/* Row n of B, elements [k0, k1) in the order of A; whole blocks where nibbles. */
static void values(const job *t, int64_t n, int64_t k0, int64_t k1, float *out)
{
    const pln_nbits *w = t->j->w;
    if (!t->nibbles) {
        if (!block_values(w, n, k0, k1, out))
            pln_nbits_values(w, n, k0, k1, out);
        return;
    }
    const int64_t b1 = k1 / w->block;
    float zeros[BLOCKS];
    for (int64_t b = k0 / w->block; b < b1; b += BLOCKS) {
        const int64_t count = b1 - b < BLOCKS ? b1 - b : BLOCKS;
        load_zeros(w, n, b, count, zeros);
        t->f->dequant4(out + b * w->block - k0,
                       w->data + n * w->row_bytes + b * w->block / 2,
                       w->scales + n * w->blocks + b, zeros, count, w->block);
    }
}

/* ---- a few rows of A ------------------------------------------------------------- */

static void nibble_row(const job *t, int64_t n)
{
    const pln_nbits_job *j = t->j;
    const pln_nbits *w = j->w;
    float zeros[BLOCKS];
    for (int64_t b = 0; b < w->blocks; b += BLOCKS) {
        const int64_t count = w->blocks - b < BLOCKS ? w->blocks - b : BLOCKS;
        load_zeros(w, n, b, count, zeros);
        for (int64_t m = 0; m < j->m; m += 4)
            t->f->dot4(j->y + m * w->n + n, w->n, t->a + m * t->width + b * w->block,
                       t->width, j->m - m < 4 ? (int)(j->m - m) : 4,
                       w->data + n * w->row_bytes + b * w->block / 2,
                       w->scales + n * w->blocks + b, zeros, count, w->block);
    }
}

static void byte_row(const job *t, int64_t n)
{
    const pln_nbits_job *j = t->j;
    const pln_nbits *w = j->w;
    float part[1024];
    for (int64_t k = 0; k < w->k; k += 1024) {
        const int64_t k1 = k + 1024 < w->k ? k + 1024 : w->k;
        if (!block_values(w, n, k, k1, part))
            pln_nbits_values(w, n, k, k1, part);
        for (int64_t m = 0; m < j->m; m++)
            j->y[m * w->n + n] += pln_vec()->dot(j->a + m * w->k + k, part, k1 - k);
    }
}

static void few_rows(void *arg, int64_t begin, int64_t end)
{
    const job *t = arg;
    const pln_nbits_job *j = t->j;
    for (int64_t n = begin; n < end; n++) {
        for (int64_t m = 0; m < j->m; m++)
            j->y[m * j->w->n + n] = j->bias ? j->bias[n] : 0;
        if (t->nibbles)
            nibble_row(t, n);
        else
            byte_row(t, n);
    }
}

/* ---- many rows of A -------------------------------------------------------------- */

/* Depth of a block: whole blocks of the weights, the gemm's own depth at most where they
 * allow it. */
static int64_t depth(const job *t)
{
    const int64_t block = t->nibbles ? t->j->w->block : 16;
    return block >= PLN_GEMM_KC ? PLN_GEMM_KC / 16 * 16 : PLN_GEMM_KC / block * block;
}

static void pack_block(void *arg, int64_t begin, int64_t end)
{
    const job *t = arg;
    const int64_t step = depth(t), mr = t->g->mr, k = t->width, m = t->j->m;
    float *row =
        t->a + (m + mr - 1) / mr * mr * k; /* rows in order, behind the packed ones */
    for (int64_t i = begin; i < end; i++) {
        const int64_t n = m - i * mr < mr ? m - i * mr : mr;
        const float *rows[PLN_GEMM_MR_MAX];
        for (int64_t k0 = 0; k0 < k; k0 += step) {
            const int64_t kn = k - k0 < step ? k - k0 : step;
            for (int64_t r = 0; r < n; r++)
                rows[r] = row + (i * mr + r) * k + k0;
            pln_gemm_pack_rows(t->a + (m + mr - 1) / mr * mr * k0 + i * mr * kn, mr, rows,
                               n, kn);
        }
    }
}

/* Columns [n0, n0 + cols) of y: their weights become a panel, block by block. */
static void one_panel(const job *t, int64_t n0, int cols)
{
    const pln_nbits_job *j = t->j;
    const pln_nbits *w = j->w;
    const int64_t step = depth(t), mr = t->g->mr, padded = (j->m + mr - 1) / mr * mr;
    float rows_data[PLN_GEMM_NR_MAX * PLN_GEMM_KC];
    float panel[PLN_GEMM_NR_MAX * PLN_GEMM_KC] __attribute__((aligned(64)));
    const float *rows[PLN_GEMM_NR_MAX];
    for (int64_t k0 = 0; k0 < t->width; k0 += step) {
        const int64_t kn = t->width - k0 < step ? t->width - k0 : step;
        for (int c = 0; c < cols; c++) {
            rows[c] = rows_data + c * kn;
            values(t, n0 + c, k0, k0 + kn, rows_data + c * kn);
        }
        pln_gemm_pack_rows(panel, t->g->nr, rows, cols, kn);
        for (int64_t i = 0; i < j->m; i += mr)
            t->g->tile(kn, t->a + padded * k0 + i * kn, mr, panel, t->g->nr,
                       j->y + i * w->n + n0, w->n,
                       j->m - i < mr ? (int)(j->m - i) : (int)mr, cols, k0 > 0);
    }
    for (int64_t i = 0; j->bias && i < j->m; i++)
        pln_vec()->add_to(j->y + i * w->n + n0, j->bias + n0, cols);
}

static void panels(void *arg, int64_t begin, int64_t end)
{
    const job *t = arg;
    const int64_t nr = t->g->nr, n = t->j->w->n;
    for (int64_t p = begin; p < end; p++)
        one_panel(t, p * nr, n - p * nr < nr ? (int)(n - p * nr) : (int)nr);
}

/* ---- all of it ------------------------------------------------------------------- */

/* Blocks deeper than the gemm's must begin and end where its blocks do. */
static bool has_loops(const job *t)
{
    const pln_nbits *w = t->j->w;
    return w->bits == 4 && !w->groups && w->block % (2 * t->f->half) == 0;
}

pln_status pln_nbits_product(const pln_nbits_job *j, pln_call *c, bool plain,
                             pln_error *err)
{
    const pln_nbits *w = j->w;
    job t = { .j = j, .f = pln_nbits_loops(), .g = pln_gemm() };
    int64_t size, rows;
    size_t bytes;
    if (plain)
        return product_ref(j, c, err);
    if (j->m == 0 || w->n == 0)
        return PLN_OK;
    const bool few = j->m <= FEW;
    t.nibbles = has_loops(&t) && (few || w->block <= PLN_GEMM_KC);
    t.width = t.nibbles ? w->blocks * w->block : w->k;
    rows = few ? j->m : j->m + (j->m + t.g->mr - 1) / t.g->mr * t.g->mr;
    if (!pln_i64_mul(&size, rows, t.width) ||
        !pln_size_mul(&bytes, (size_t)size, sizeof(float)) ||
        !(t.a = pln_call_scratch(c, bytes + 1)))
        return pln_oom(err);
    float *ordered = t.a + (few ? 0 : (rows - j->m) * t.width);
    for (int64_t i = 0; i < j->m; i++)
        order_row(&t, ordered + i * t.width, j->a + i * w->k);
    if (few) {
        pln_parallel_for(c->n_threads, w->n, 65536 / (t.width + 1) + 1, few_rows, &t);
        return PLN_OK;
    }
    if (t.width == 0) {
        for (int64_t i = 0; i < j->m * w->n; i++)
            j->y[i] = j->bias ? j->bias[i % w->n] : 0;
        return PLN_OK;
    }
    pln_parallel_for(c->n_threads, (j->m + t.g->mr - 1) / t.g->mr, 1, pack_block, &t);
    pln_parallel_for(c->n_threads, (w->n + t.g->nr - 1) / t.g->nr, 1, panels, &t);
    return PLN_OK;
}
