/* Attention in float for many queries: a block of queries across, a block of keys down.
 *
 * Scores are kept transposed, keys x queries, as the tile of the float product gives them
 * for packed keys and a block of queries: the softmax runs down the columns, and its
 * result is at once the left factor of the product with the values. A block of keys after
 * the other, so that the scores never leave the near caches; the sums are rescaled when a
 * later block has a larger score.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attention_core.h"

#include "kernels/gemm_f32.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

#define KEYS 256 /* of a block, at most */
#define FEW  2   /* blocks of queries for which values are not copied */

typedef struct job {
    const pln_attn *a;
    const pln_gemm_fns *f;
    int64_t columns, blocks; /* queries that share a head of keys; blocks of them */
    int64_t k_size, v_size;  /* floats of a packed head */
    int64_t y_dim;           /* v_dim, whole panels of it */
    bool in_place;           /* values are used as they lie */
    int64_t work_size;
    int64_t heads, slots;
    float *packed, *work;
} job;

/* The queries of a block, and where its work lies. */
typedef struct block {
    const job *j;
    int64_t b, kv, column, n; /* n: columns in use */
    float *q, *s, *y, *max, *sum, *factor;
    const float *keys, *values; /* of the head */
    int64_t v_row, v_panel;     /* from key to key, from panel to panel of the values */
    int64_t first[PLN_GEMM_NR_MAX], end[PLN_GEMM_NR_MAX];
    int64_t first_all, end_all;
} block;

static int64_t head_of(const block *k, int64_t c)
{
    const pln_attn *a = k->j->a;
    return k->kv * (a->q_heads / a->kv_heads) + (k->column + c) / a->q_len;
}

static int64_t query_of(const block *k, int64_t c)
{
    return (k->column + c) % k->j->a->q_len;
}

/* ---- packing --------------------------------------------------------------------- */

static const float *part_row(const pln_attn_rows *r, int64_t b, int64_t h, int64_t j)
{
    const pln_attn_rows *p = j < r[0].n ? &r[0] : &r[1];
    return p->p + b * p->batch + h * p->head + (j < r[0].n ? j : j - r[0].n) * p->row;
}

/* As [panel of nr columns][key][nr]. */
static void pack_values(const job *j, int64_t b, int64_t kv, float *out)
{
    const pln_attn *a = j->a;
    const int nr = j->f->nr;
    for (int64_t key = 0; key < a->total; key++) {
        const float *row = part_row(a->v, b, kv, key);
        for (int64_t d = 0; d < a->v_dim; d += nr) {
            float *to = out + d * a->total + key * nr;
            const int n = a->v_dim - d < nr ? (int)(a->v_dim - d) : nr;
            int i = 0;
            for (; i + 4 <= n; i += 4)
                memcpy(to + i, row + d + i, 4 * sizeof *to);
            for (; i < nr; i++)
                to[i] = i < n ? row[d + i] : 0;
        }
    }
}

/* Keys as [panel of mr keys][dim][mr], and the values behind them. */
static void pack_head(const job *j, int64_t b, int64_t kv, float *out)
{
    const pln_attn *a = j->a;
    const int mr = j->f->mr;
    const float *rows[PLN_GEMM_MR_MAX];
    for (int64_t at = 0; at < a->total; at += mr) {
        const int64_t n = a->total - at < mr ? a->total - at : mr;
        for (int64_t r = 0; r < n; r++)
            rows[r] = part_row(a->k, b, kv, at + r);
        pln_gemm_pack_rows(out + at * a->dim, mr, rows, n, a->dim);
    }
    if (!j->in_place)
        pack_values(j, b, kv, out + j->k_size);
}

/* ---- one block of queries -------------------------------------------------------- */

static void take_head(block *k, const float *packed)
{
    const job *j = k->j;
    k->keys = packed;
    k->values = j->in_place ? part_row(j->a->v, k->b, k->kv, 0) : packed + j->k_size;
    k->v_row = j->in_place ? j->a->v[1].row : j->f->nr;
    k->v_panel = j->in_place ? j->f->nr : j->f->nr * j->a->total;
}

static void open_block(block *k)
{
    const pln_attn *a = k->j->a;
    const int64_t width = k->j->f->nr;
    const float *rows[PLN_GEMM_NR_MAX];
    for (int64_t c = 0; c < k->n; c++)
        rows[c] = a->q.p + k->b * a->q.batch + head_of(k, c) * a->q.head +
                  query_of(k, c) * a->q.row;
    pln_gemm_pack_rows(k->q, width, rows, k->n, a->dim);
    pln_vec()->linear(k->q, k->q, a->dim * width, a->scale, 0);
    k->first_all = a->total;
    k->end_all = 0;
    for (int64_t c = 0; c < width; c++) {
        const bool used = c < k->n;
        k->first[c] = k->end[c] = 0;
        if (used)
            pln_attn_range(a, k->b, query_of(k, c), &k->first[c], &k->end[c]);
        if (k->first[c] < k->end[c]) {
            k->first_all = k->first[c] < k->first_all ? k->first[c] : k->first_all;
            k->end_all = k->end[c] > k->end_all ? k->end[c] : k->end_all;
        }
        k->max[c] = used && a->sink ? a->sink[head_of(k, c)] : -INFINITY;
        k->sum[c] = k->max[c] != -INFINITY;
    }
}

static void bias_columns(const block *k, const pln_attn_rows *m, int64_t j0, int64_t n)
{
    const int64_t width = k->j->f->nr;
    const int64_t have = m->n - j0 < n ? m->n - j0 : n;
    const float *rows[PLN_GEMM_NR_MAX];
    bool same = true;
    for (int64_t c = 0; c < width; c++) {
        const int64_t u = c < k->n ? c : 0;
        rows[c] = m->p + k->b * m->batch + head_of(k, u) * m->head +
                  query_of(k, u) * m->row + j0;
        same &= rows[c] == rows[0];
    }
    for (int64_t i = 0; i < have; i++) {
        float *s = k->s + i * width;
        if (same) {
            const float v = rows[0][i];
            for (int64_t c = 0; c < width; c++)
                s[c] += v;
        } else {
            for (int64_t c = 0; c < width; c++)
                s[c] += rows[c][i];
        }
    }
    for (int64_t i = have > 0 ? have : 0; i < n; i++)
        for (int64_t c = 0; c < width; c++)
            k->s[i * width + c] = -INFINITY;
}

static void fill_columns(const block *k, int64_t j0, int64_t n)
{
    const pln_attn *a = k->j->a;
    const pln_attn_flags *f = &a->flags;
    const int64_t width = k->j->f->nr;
    const uint8_t *rows[PLN_GEMM_NR_MAX];
    bool same = true;
    for (int64_t c = 0; c < width; c++) {
        const int64_t u = c < k->n ? c : 0;
        rows[c] = f->p + k->b * f->batch + head_of(k, u) * f->head +
                  query_of(k, u) * f->row + j0;
        same &= rows[c] == rows[0];
    }
    for (int64_t i = 0; i < n; i++) {
        float *s = k->s + i * width;
        if (same && (rows[0][i] != 0) != a->hides)
            continue;
        for (int64_t c = 0; c < width; c++)
            s[c] = (rows[c][i] != 0) == a->hides ? a->fill : s[c];
    }
}

static void hide_columns(const block *k, int64_t j0, int64_t n)
{
    const int64_t width = k->j->f->nr;
    for (int64_t c = 0; c < k->n; c++) {
        const int64_t first = k->first[c] - j0 < n ? k->first[c] - j0 : n;
        const int64_t end = k->end[c] - j0 > 0 ? k->end[c] - j0 : 0;
        for (int64_t i = 0; i < first; i++)
            k->s[i * width + c] = -INFINITY;
        for (int64_t i = end; i < n; i++)
            k->s[i * width + c] = -INFINITY;
    }
}

/* Scores of the keys [j0, j0 + n); j0 is a multiple of mr. */
static void scores(const block *k, int64_t j0, int64_t n)
{
    const pln_attn *a = k->j->a;
    const pln_gemm_fns *f = k->j->f;
    const pln_vec_fns *v = pln_vec();
    for (int64_t i = 0; i < n; i += f->mr) {
        const int rows = n - i < f->mr ? (int)(n - i) : f->mr;
        f->tile(a->dim, k->keys + (j0 + i) * a->dim, f->mr, k->q, f->nr, k->s + i * f->nr,
                f->nr, rows, f->nr, false);
    }
    if (a->softcap > 0) {
        v->linear(k->s, k->s, n * f->nr, 1 / a->softcap, 0);
        v->tanh(k->s, k->s, n * f->nr, 0, 0);
        v->linear(k->s, k->s, n * f->nr, a->softcap, 0);
    }
    for (int m = 0; m < 2; m++)
        if (a->bias[m].p)
            bias_columns(k, &a->bias[m], j0, n);
    if (a->flags.p)
        fill_columns(k, j0, n);
    if (a->range)
        hide_columns(k, j0, n);
}

static void one_keys(const block *k, int64_t j0, int64_t n, bool more)
{
    const pln_gemm_fns *f = k->j->f;
    const int64_t width = f->nr, y_dim = k->j->y_dim;
    scores(k, j0, n);
    pln_vec()->softmax_columns(k->s, n, width, k->max, k->sum, k->factor);
    for (int64_t c = 0; more && c < k->n; c++)
        for (int64_t d = 0; d < y_dim; d++)
            k->y[c * y_dim + d] *= k->factor[c];
    for (int64_t p = 0; p < y_dim / width; p++)
        for (int64_t c = 0; c < k->n; c += f->mr) {
            const int rows = k->n - c < f->mr ? (int)(k->n - c) : f->mr;
            f->tile(n, k->s + c, width, k->values + p * k->v_panel + j0 * k->v_row,
                    k->v_row, k->y + c * y_dim + p * width, y_dim, rows, f->nr, more);
        }
}

static void close_block(const block *k, bool any)
{
    const pln_attn *a = k->j->a;
    for (int64_t c = 0; c < k->n; c++) {
        const float *sums = k->y + c * k->j->y_dim;
        const bool none = k->sum[c] == 0 || (a->zero_nan && k->sum[c] != k->sum[c]);
        const float inv = any && !none ? 1 / k->sum[c] : 0;
        float *y = a->y + k->b * a->y_batch + head_of(k, c) * a->y_head +
                   query_of(k, c) * a->y_row;
        for (int64_t d = 0; d < a->v_dim; d++)
            y[d] = inv == 0 ? 0 : sums[d] * inv;
    }
}

static void one_block(const job *j, int64_t b, int64_t kv, int64_t at,
                      const float *packed, float *work)
{
    const pln_attn *a = j->a;
    const int64_t width = j->f->nr, step = KEYS / j->f->mr * j->f->mr;
    block k = { .j = j, .b = b, .kv = kv, .column = at * width };
    k.n = j->columns - k.column < width ? j->columns - k.column : width;
    k.s = work;
    k.max = k.s + KEYS * width;
    k.sum = k.max + width;
    k.factor = k.sum + width;
    k.q = k.factor + width;
    k.y = k.q + a->dim * width;
    take_head(&k, packed);
    open_block(&k);
    bool more = false;
    for (int64_t i = k.first_all / step * step; i < k.end_all; i += step) {
        one_keys(&k, i, k.end_all - i < step ? k.end_all - i : step, more);
        more = true;
    }
    close_block(&k, more);
}

/* ---- all of it ------------------------------------------------------------------- */

/* Whole heads: each slot packs one and takes all its queries. */
static void whole_heads(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    for (int64_t s = begin; s < end; s++) {
        float *packed = j->packed + s * (j->k_size + j->v_size);
        for (int64_t l = j->heads * s / j->slots; l < j->heads * (s + 1) / j->slots;
             l++) {
            const int64_t b = l / j->a->kv_heads, kv = l % j->a->kv_heads;
            pack_head(j, b, kv, packed);
            for (int64_t at = 0; at < j->blocks; at++)
                one_block(j, b, kv, at, packed, j->work + s * j->work_size);
        }
    }
}

static void pack_heads(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    for (int64_t l = begin; l < end; l++)
        pack_head(j, l / j->a->kv_heads, l % j->a->kv_heads,
                  j->packed + l * (j->k_size + j->v_size));
}

static void some_blocks(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const int64_t n = j->heads * j->blocks;
    for (int64_t s = begin; s < end; s++)
        for (int64_t t = n * s / j->slots; t < n * (s + 1) / j->slots; t++) {
            const int64_t l = t / j->blocks;
            one_block(j, l / j->a->kv_heads, l % j->a->kv_heads, t % j->blocks,
                      j->packed + l * (j->k_size + j->v_size),
                      j->work + s * j->work_size);
        }
}

static bool set_sizes(job *j, int64_t packed_heads, size_t *packed, size_t *work)
{
    const pln_attn *a = j->a;
    const int64_t mr = j->f->mr, width = j->f->nr;
    const int64_t keys = (a->total + mr - 1) / mr * mr;
    int64_t n, w;
    j->y_dim = (a->v_dim + width - 1) / width * width;
    j->in_place = j->blocks <= FEW && j->y_dim == a->v_dim && !a->v[0].n;
    if (!pln_i64_mul(&j->k_size, keys, a->dim) ||
        !pln_i64_mul(&j->v_size, j->in_place ? 0 : j->y_dim, a->total) ||
        !pln_i64_add(&n, j->k_size, j->v_size) || !pln_i64_mul(&n, n, packed_heads) ||
        !pln_i64_add(&w, a->dim, j->y_dim) || !pln_i64_add(&w, w, KEYS + 3) ||
        !pln_i64_mul(&w, w, width))
        return false;
    j->work_size = w;
    return pln_size_mul(packed, (size_t)n, sizeof(float)) &&
           pln_size_mul(work, (size_t)w, (size_t)j->slots * sizeof(float));
}

pln_status pln_attn_blocks(const pln_attn *a, pln_call *c, pln_error *err)
{
    job j = { .a = a, .f = pln_gemm(), .heads = a->batch * a->kv_heads };
    const int threads = c->n_threads > 0 ? c->n_threads : 1;
    size_t packed, work;
    j.columns = a->q_heads / a->kv_heads * a->q_len;
    j.blocks = (j.columns + j.f->nr - 1) / j.f->nr;
    j.slots = threads;
    if (a->qk || !a->y || a->total == 0 || a->dim == 0 || 3 * j.columns < j.f->nr)
        return PLN_E_UNSUPPORTED;
    const bool whole = j.heads % threads == 0 || j.heads >= 4 * threads;
    if (!set_sizes(&j, whole ? threads : j.heads, &packed, &work))
        return pln_call_fail(c, err, PLN_E_LIMIT, "the attention is too large");
    j.packed = pln_call_scratch(c, packed);
    j.work = pln_call_scratch(c, work);
    if (!j.packed || !j.work)
        return pln_oom(err);
    if (whole) {
        pln_parallel_for(threads, j.slots, 1, whole_heads, &j);
        return PLN_OK;
    }
    pln_parallel_for(threads, j.heads, 1, pack_heads, &j);
    pln_parallel_for(threads, j.slots, 1, some_blocks, &j);
    return PLN_OK;
}
