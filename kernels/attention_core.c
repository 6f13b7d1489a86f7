/* Attention in float: the definition, and a query at a time by the vector loops.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attention_core.h"

#include "kernels/vec.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

void pln_attn_range(const pln_attn *a, int64_t b, int64_t i, int64_t *first, int64_t *end)
{
    *first = 0;
    *end = a->total;
    if (!a->range)
        return;
    a->range(a->user, b, i, first, end);
    *first = *first < 0 ? 0 : *first;
    *end = *end > a->total ? a->total : *end;
    if (*first >= *end)
        *first = *end = 0;
}

static const float *row_of(const pln_attn_rows *r, int64_t b, int64_t h, int64_t i)
{
    return r->p + b * r->batch + h * r->head + i * r->row;
}

/* Key or value j of both parts. */
static const float *part_row(const pln_attn_rows *r, int64_t b, int64_t h, int64_t j)
{
    return j < r[0].n ? row_of(&r[0], b, h, j) : row_of(&r[1], b, h, j - r[0].n);
}

static const uint8_t *flags_of(const pln_attn *a, int64_t b, int64_t h, int64_t i)
{
    const pln_attn_flags *f = &a->flags;
    return f->p ? f->p + b * f->batch + h * f->head + i * f->row : NULL;
}

static float *qk_row(const pln_attn *a, int64_t b, int64_t h, int64_t i)
{
    return a->qk + ((b * a->q_heads + h) * a->q_len + i) * a->total;
}

/* ---- the definition -------------------------------------------------------------- */

static void give_out(const pln_attn *a, pln_attn_stage stage, int64_t b, int64_t h,
                     int64_t i, const double *s)
{
    if (!a->qk || a->qk_stage != stage)
        return;
    float *out = qk_row(a, b, h, i);
    for (int64_t j = 0; j < a->total; j++)
        out[j] = (float)s[j];
}

static void bias_ref(const pln_attn *a, int64_t b, int64_t h, int64_t i, double *s)
{
    int64_t first, end;
    const uint8_t *flag = flags_of(a, b, h, i);
    pln_attn_range(a, b, i, &first, &end);
    for (int64_t j = 0; j < a->total; j++) {
        for (int m = 0; m < 2; m++)
            if (a->bias[m].p)
                s[j] += j < a->bias[m].n ? row_of(&a->bias[m], b, h, i)[j] : -INFINITY;
        if (flag && (flag[j] != 0) == a->hides)
            s[j] = a->fill;
        if (j < first || j >= end)
            s[j] = -INFINITY;
    }
}

static void softmax_ref(const pln_attn *a, int64_t h, double *s)
{
    double max = a->sink ? a->sink[h] : -INFINITY;
    for (int64_t j = 0; j < a->total; j++)
        max = s[j] > max || s[j] != s[j] ? s[j] : max;
    const double shift = max == -INFINITY ? 0 : max;
    double sum = a->sink ? exp(a->sink[h] - shift) : 0;
    for (int64_t j = 0; j < a->total; j++)
        sum += s[j] = exp(s[j] - shift);
    const bool none = sum == 0 || (a->zero_nan && sum != sum);
    for (int64_t j = 0; j < a->total; j++)
        s[j] = none ? 0 : s[j] / sum;
}

static void one_ref(const pln_attn *a, int64_t b, int64_t h, int64_t i, double *s)
{
    const int64_t kv = h / (a->q_heads / a->kv_heads);
    const float *q = row_of(&a->q, b, h, i);
    for (int64_t j = 0; j < a->total; j++) {
        const float *k = part_row(a->k, b, kv, j);
        s[j] = 0;
        for (int64_t d = 0; d < a->dim; d++)
            s[j] += (double)q[d] * k[d];
        s[j] *= a->scale;
    }
    give_out(a, PLN_ATTN_SCALED, b, h, i, s);
    for (int64_t j = 0; a->softcap > 0 && j < a->total; j++)
        s[j] = a->softcap * tanh(s[j] / a->softcap);
    give_out(a, PLN_ATTN_CAPPED, b, h, i, s);
    bias_ref(a, b, h, i, s);
    give_out(a, PLN_ATTN_BIASED, b, h, i, s);
    softmax_ref(a, h, s);
    give_out(a, PLN_ATTN_SOFTMAX, b, h, i, s);
    float *y = a->y + b * a->y_batch + h * a->y_head + i * a->y_row;
    for (int64_t d = 0; a->y && d < a->v_dim; d++) {
        double sum = 0;
        for (int64_t j = 0; j < a->total; j++) /* hidden keys may hold anything */
            sum += s[j] == 0 ? 0 : s[j] * part_row(a->v, b, kv, j)[d];
        y[d] = (float)sum;
    }
}

pln_status pln_attn_ref(const pln_attn *a, pln_call *c, pln_error *err)
{
    size_t bytes;
    double *s = NULL;
    if (pln_size_mul(&bytes, (size_t)a->total + 1, sizeof *s))
        s = pln_call_scratch(c, bytes);
    if (!s)
        return pln_oom(err);
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t h = 0; h < a->q_heads; h++)
            for (int64_t i = 0; i < a->q_len; i++)
                one_ref(a, b, h, i, s);
    return PLN_OK;
}

/* ---- a few queries at a time ----------------------------------------------------- */

#define KEYS 64 /* keys that all queries of a head take in turn, while they are near */

typedef struct job {
    const pln_attn *a;
    float *scores; /* of each slot: rows x total */
    int64_t rows, slots;
} job;

static void dots(const pln_attn *a, int64_t b, int64_t kv, const float *q, int64_t j0,
                 int64_t j1, float *s)
{
    const pln_vec_fns *f = pln_vec();
    for (int64_t j = j0; j < j1; j++)
        s[j] = f->dot(q, part_row(a->k, b, kv, j), a->dim) * a->scale;
}

static void keep(const pln_attn *a, pln_attn_stage stage, int64_t b, int64_t h, int64_t i,
                 const float *s)
{
    if (a->qk && a->qk_stage == stage)
        memcpy(qk_row(a, b, h, i), s, (size_t)a->total * sizeof *s);
}

static void add_bias(const pln_attn *a, int64_t b, int64_t h, int64_t i, float *s)
{
    int64_t first, end;
    pln_attn_range(a, b, i, &first, &end);
    for (int m = 0; m < 2; m++) {
        const pln_attn_rows *r = &a->bias[m];
        const int64_t n = r->n < a->total ? r->n : a->total;
        if (!r->p)
            continue;
        pln_vec()->add_to(s, row_of(r, b, h, i), n);
        for (int64_t j = n; j < a->total; j++)
            s[j] = -INFINITY;
    }
    const uint8_t *flag = flags_of(a, b, h, i);
    for (int64_t j = 0; flag && j < a->total; j++)
        s[j] = (flag[j] != 0) == a->hides ? a->fill : s[j];
    for (int64_t j = 0; j < first; j++)
        s[j] = -INFINITY;
    for (int64_t j = end; j < a->total; j++)
        s[j] = -INFINITY;
}

static void finish_scores(const pln_attn *a, int64_t b, int64_t h, int64_t i, float *s)
{
    const pln_vec_fns *f = pln_vec();
    const int64_t n = a->total;
    keep(a, PLN_ATTN_SCALED, b, h, i, s);
    if (a->softcap > 0) {
        f->linear(s, s, n, 1 / a->softcap, 0);
        f->tanh(s, s, n, 0, 0);
        f->linear(s, s, n, a->softcap, 0);
    }
    keep(a, PLN_ATTN_CAPPED, b, h, i, s);
    add_bias(a, b, h, i, s);
    keep(a, PLN_ATTN_BIASED, b, h, i, s);
    float max = f->max_of(s, n);
    if (a->sink && a->sink[h] > max)
        max = a->sink[h];
    if (max == -INFINITY) {
        memset(s, 0, (size_t)n * sizeof *s);
    } else {
        float sum = f->exp_sum(s, s, n, max);
        if (a->sink)
            sum += expf(a->sink[h] - max);
        if (a->zero_nan && sum != sum)
            memset(s, 0, (size_t)n * sizeof *s);
        else
            f->linear(s, s, n, 1 / sum, 0);
    }
    keep(a, PLN_ATTN_SOFTMAX, b, h, i, s);
}

/* y += the values [j0, j1) of one part, weighted. */
static void weigh(const pln_attn *a, int part, int64_t b, int64_t kv, const float *s,
                  int64_t j0, int64_t j1, float *y)
{
    const int64_t before = part ? a->v[0].n : 0;
    const int64_t from = j0 > before ? j0 : before;
    const int64_t to = j1 < before + a->v[part].n ? j1 : before + a->v[part].n;
    if (from < to)
        pln_vec()->gemv(y, row_of(&a->v[part], b, kv, from - before), a->v[part].row,
                        s + from, to - from, a->v_dim);
}

/* All queries that share the keys of one head. */
static void one_head(const job *w, int64_t b, int64_t kv, float *scores)
{
    const pln_attn *a = w->a;
    const int64_t group = a->q_heads / a->kv_heads;
    for (int64_t j = 0; j < a->total; j += KEYS) {
        const int64_t j1 = j + KEYS < a->total ? j + KEYS : a->total;
        for (int64_t r = 0; r < w->rows; r++)
            dots(a, b, kv, row_of(&a->q, b, kv * group + r / a->q_len, r % a->q_len), j,
                 j1, scores + r * a->total);
    }
    for (int64_t r = 0; r < w->rows; r++) {
        const int64_t h = kv * group + r / a->q_len, i = r % a->q_len;
        finish_scores(a, b, h, i, scores + r * a->total);
        if (a->y)
            memset(a->y + b * a->y_batch + h * a->y_head + i * a->y_row, 0,
                   (size_t)a->v_dim * sizeof *a->y);
    }
    for (int64_t j = 0; a->y && j < a->total; j += KEYS) {
        const int64_t j1 = j + KEYS < a->total ? j + KEYS : a->total;
        for (int64_t r = 0; r < w->rows; r++) {
            const int64_t h = kv * group + r / a->q_len, i = r % a->q_len;
            float *y = a->y + b * a->y_batch + h * a->y_head + i * a->y_row;
            int64_t first, end; /* hidden values may hold anything */
            pln_attn_range(a, b, i, &first, &end);
            first = first > j ? first : j;
            end = end < j1 ? end : j1;
            weigh(a, 0, b, kv, scores + r * a->total, first, end, y);
            weigh(a, 1, b, kv, scores + r * a->total, first, end, y);
        }
    }
}

static void heads(void *arg, int64_t begin, int64_t end)
{
    const job *w = arg;
    const int64_t n = w->a->batch * w->a->kv_heads;
    for (int64_t s = begin; s < end; s++)
        for (int64_t l = n * s / w->slots; l < n * (s + 1) / w->slots; l++)
            one_head(w, l / w->a->kv_heads, l % w->a->kv_heads,
                     w->scores + s * w->rows * w->a->total);
}

static pln_status by_rows(const pln_attn *a, pln_call *c, pln_error *err)
{
    const int64_t n = a->batch * a->kv_heads;
    job w = { .a = a, .rows = a->q_heads / a->kv_heads * a->q_len };
    size_t bytes;
    w.slots = n < c->n_threads ? n : c->n_threads > 0 ? c->n_threads : 1;
    if (!pln_size_mul(&bytes, (size_t)w.rows, (size_t)a->total) ||
        !pln_size_mul(&bytes, bytes, (size_t)w.slots * sizeof(float)) ||
        !(w.scores = pln_call_scratch(c, bytes + 1)))
        return pln_oom(err);
    pln_parallel_for(c->n_threads, w.slots, 1, heads, &w);
    return PLN_OK;
}

pln_status pln_attn_run(const pln_attn *a, pln_call *c, pln_error *err)
{
    if (a->batch == 0 || a->q_heads == 0 || a->q_len == 0)
        return PLN_OK;
    const pln_status st = pln_attn_blocks(a, c, err);
    return st == PLN_E_UNSUPPORTED ? by_rows(a, c, err) : st;
}
