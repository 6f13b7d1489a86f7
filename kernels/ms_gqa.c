/* GroupQueryAttention of com.microsoft.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ms_gqa.h"

#include "kernels/rotary.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

#define FIELD(f) offsetof(pln_gqa_attrs, f)
#define EPSILON(f, has)                                                                  \
    {                                                                                    \
        .name = #f, .type = PLN_ATTR_FLOAT, .offset = FIELD(f), .has_offset = FIELD(has) \
    }
#define HEADS(f)                                                               \
    {                                                                          \
        .name = #f, .type = PLN_ATTR_INT, .required = true, .offset = FIELD(f) \
    }
static const pln_attr_spec gqa_spec[] = {
    HEADS(num_heads),
    HEADS(kv_num_heads),
    PLN_A_INT(pln_gqa_attrs, do_rotary, 0),
    PLN_A_INT(pln_gqa_attrs, rotary_interleaved, 0),
    PLN_A_INT(pln_gqa_attrs, local_window_size, -1),
    PLN_A_INT(pln_gqa_attrs, smooth_softmax, -1),
    PLN_A_INT(pln_gqa_attrs, causal, 1),
    PLN_A_INT(pln_gqa_attrs, qk_output, 0),
    PLN_A_INT(pln_gqa_attrs, sliding_window_cache, 0),
    PLN_A_INT(pln_gqa_attrs, kv_cache_bit_width, 0),
    PLN_A_FLOAT(pln_gqa_attrs, scale, 0.0f),
    PLN_A_FLOAT(pln_gqa_attrs, softcap, 0.0f),
    PLN_A_FLOAT(pln_gqa_attrs, qk_norm_epsilon, 1e-6f),
    EPSILON(q_norm_epsilon, has_q_epsilon),
    EPSILON(k_norm_epsilon, has_k_epsilon),
    PLN_A_ENUM(pln_gqa_attrs, k_quant_type, "NONE|PER_TENSOR|PER_CHANNEL", "NONE"),
    PLN_A_ENUM(pln_gqa_attrs, v_quant_type, "NONE|PER_TENSOR|PER_CHANNEL", "NONE"),
    PLN_A_END,
};

/* ---- new rows: normalized, turned, put in their places --------------------------- */

typedef struct job {
    const pln_gqa *g;
    const float *cosine, *sine; /* NULL: no rotation */
    int64_t half;
    const float *q_norm, *k_norm;
    float q_epsilon, k_epsilon;
    const float *past_k, *past_v;
    float *q;     /* [batch][len][heads][dim] where they change, NULL */
    float *k, *v; /* [batch][kv_heads][key_rows][dim] */
    int64_t key_rows;
} job;

static int64_t position(const pln_gqa *g, int64_t b, int64_t i)
{
    const pln_call *c = g->c;
    if (!pln_call_has(c, PLN_GQA_POSITIONS))
        return g->e[b].past + i;
    const int64_t *p = PLN_DATA(const int64_t, c->in[PLN_GQA_POSITIONS]);
    if (pln_tensor_size(c->in[PLN_GQA_POSITIONS]) == 1)
        return p[0] + i;
    return p[b * g->len + i];
}

static pln_status find_rotation(job *j, pln_error *err)
{
    const pln_gqa *g = j->g;
    pln_call *c = g->c;
    if (!g->at->do_rotary)
        return PLN_OK;
    if (!pln_call_has(c, PLN_GQA_COS) || !pln_call_has(c, PLN_GQA_SIN))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "do_rotary wants cos_cache and sin_cache");
    const pln_tensor *cosine = c->in[PLN_GQA_COS], *sine = c->in[PLN_GQA_SIN];
    if (cosine->rank != 2 || sine->rank != 2 || cosine->dims[0] != sine->dims[0] ||
        cosine->dims[1] != sine->dims[1] || 2 * cosine->dims[1] > g->dim)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "cos_cache and sin_cache do not fit to heads of %lld",
                             (long long)g->dim);
    if (pln_call_has(c, PLN_GQA_POSITIONS)) {
        const int64_t n = pln_tensor_size(c->in[PLN_GQA_POSITIONS]);
        if (n != 1 && n != g->batch * g->len)
            return pln_call_fail(c, err, PLN_E_RUN, "position_ids has %lld numbers",
                                 (long long)n);
    }
    for (int64_t b = 0; b < g->batch; b++)
        for (int64_t i = 0; i < g->e[b].now; i++) {
            const int64_t at = position(g, b, i);
            if (at < 0 || at >= cosine->dims[0])
                return pln_call_fail(c, err, PLN_E_RUN, "position %lld of %lld",
                                     (long long)at, (long long)cosine->dims[0]);
        }
    j->half = cosine->dims[1];
    PLN_TRY(pln_ms_input(c, PLN_GQA_COS, &j->cosine, err));
    return pln_ms_input(c, PLN_GQA_SIN, &j->sine, err);
}

static pln_status find_norm(job *j, pln_error *err)
{
    const pln_gqa *g = j->g;
    pln_call *c = g->c;
    const bool q = pln_call_has(c, PLN_GQA_Q_NORM), k = pln_call_has(c, PLN_GQA_K_NORM);
    if (!q && !k)
        return PLN_OK;
    if (!q || !k || pln_tensor_size(c->in[PLN_GQA_Q_NORM]) != g->dim ||
        pln_tensor_size(c->in[PLN_GQA_K_NORM]) != g->dim)
        return pln_call_fail(
            c, err, PLN_E_RUN,
            "q_norm_weight and k_norm_weight are not both of %lld numbers",
            (long long)g->dim);
    const pln_gqa_attrs *at = g->at;
    j->q_epsilon = at->has_q_epsilon ? at->q_norm_epsilon : at->qk_norm_epsilon;
    j->k_epsilon = at->has_k_epsilon ? at->k_norm_epsilon : at->qk_norm_epsilon;
    PLN_TRY(pln_ms_input(c, PLN_GQA_Q_NORM, &j->q_norm, err));
    return pln_ms_input(c, PLN_GQA_K_NORM, &j->k_norm, err);
}

static void one_row(const job *j, float *y, const float *x, int64_t b, int64_t i,
                    const float *norm, float epsilon)
{
    const int64_t dim = j->g->dim;
    if (norm) {
        double sum = 0;
        for (int64_t d = 0; d < dim; d++)
            sum += (double)x[d] * x[d];
        const float inv = (float)(1 / sqrt(sum / (double)dim + epsilon));
        for (int64_t d = 0; d < dim; d++)
            y[d] = x[d] * inv * norm[d];
        x = y;
    }
    if (j->cosine) {
        const int64_t at = position(j->g, b, i) * j->half;
        pln_rotary_turn(y, x, j->cosine + at, j->sine + at, j->half, dim,
                        j->g->at->rotary_interleaved != 0);
    } else if (x != y) {
        memcpy(y, x, (size_t)dim * sizeof *y);
    }
}

static void queries(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const pln_gqa *g = j->g;
    for (int64_t l = begin; l < end; l++) {
        const int64_t b = l / g->len, i = l % g->len;
        float *y = j->q + l * g->heads * g->dim;
        if (i >= g->e[b].now) {
            memset(y, 0, (size_t)(g->heads * g->dim) * sizeof *y);
            continue;
        }
        for (int64_t h = 0; h < g->heads; h++)
            one_row(j, y + h * g->dim,
                    g->q.p + b * g->q.batch + h * g->q.head + i * g->q.row, b, i,
                    j->q_norm, j->q_epsilon);
    }
}

/* Old rows of a head, then new ones, then what the cache had there, or zeros. */
static void keys(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const pln_gqa *g = j->g;
    for (int64_t l = begin; l < end; l++) {
        const int64_t b = l / g->kv_heads, h = l % g->kv_heads;
        const pln_gqa_entry *e = &g->e[b];
        const int64_t old = e->past - e->base, from = l * g->past_rows * g->dim;
        const size_t row = (size_t)g->dim * sizeof(float);
        float *k = j->k + l * j->key_rows * g->dim, *v = j->v + l * j->key_rows * g->dim;
        int64_t kept = g->past_rows < j->key_rows ? g->past_rows : j->key_rows;
        kept = j->past_k ? kept : 0;
        if (kept) {
            memcpy(k, j->past_k + from, (size_t)kept * row);
            memcpy(v, j->past_v + from, (size_t)kept * row);
        }
        kept = kept > old ? kept : old;
        memset(k + kept * g->dim, 0, (size_t)(j->key_rows - kept) * row);
        memset(v + kept * g->dim, 0, (size_t)(j->key_rows - kept) * row);
        for (int64_t i = 0; i < e->now; i++) {
            one_row(j, k + (old + i) * g->dim,
                    g->k.p + b * g->k.batch + h * g->k.head + i * g->k.row, b, i,
                    j->k_norm, j->k_epsilon);
            memcpy(v + (old + i) * g->dim,
                   g->v.p + b * g->v.batch + h * g->v.head + i * g->v.row, row);
        }
    }
}

/* ---- where keys and values go ---------------------------------------------------- */

/* A full cache is made in present itself; a windowed one, which may lose rows that are
 * still to be read, beside it. */
static pln_status place_keys(job *j, float *present_k, float *present_v, pln_error *err)
{
    const pln_gqa *g = j->g;
    int64_t n, heads = g->batch * g->kv_heads;
    j->key_rows = g->rows;
    j->k = present_k;
    j->v = present_v;
    if (g->at->sliding_window_cache) {
        if (!pln_i64_add(&j->key_rows, g->rows, g->len))
            return pln_oom(err);
        j->k = j->v = NULL;
    }
    if (!pln_i64_mul(&n, heads, g->dim) || !pln_i64_mul(&n, n, j->key_rows))
        return pln_oom(err);
    if (!j->k)
        PLN_TRY(pln_ms_floats(g->c, n, &j->k, err));
    if (!j->v)
        PLN_TRY(pln_ms_floats(g->c, n, &j->v, err));
    if (pln_call_has(g->c, PLN_GQA_PAST_KEY)) {
        PLN_TRY(pln_ms_input(g->c, PLN_GQA_PAST_KEY, &j->past_k, err));
        PLN_TRY(pln_ms_input(g->c, PLN_GQA_PAST_VALUE, &j->past_v, err));
    }
    return PLN_OK;
}

static void close_window(const job *j, const float *from, float *present)
{
    const pln_gqa *g = j->g;
    const size_t row = (size_t)g->dim * sizeof *from;
    if (!present || present == from)
        return;
    for (int64_t l = 0; l < g->batch * g->kv_heads; l++) {
        const pln_gqa_entry *e = &g->e[l / g->kv_heads];
        const int64_t n = e->total - e->base - e->evicted;
        float *to = present + l * g->rows * g->dim;
        memcpy(to, from + (l * j->key_rows + e->evicted) * g->dim, (size_t)n * row);
        memset(to + n * g->dim, 0, (size_t)(g->rows - n) * row);
    }
}

/* ---- all of it ------------------------------------------------------------------- */

static void in_sight(const void *user, int64_t b, int64_t i, int64_t *first, int64_t *end)
{
    const pln_gqa *g = user;
    const pln_gqa_entry *e = &g->e[b];
    const int64_t at = e->past + i, window = g->at->local_window_size;
    *first = window > 0 ? at - window + 1 - e->base : 0;
    *end = (g->at->causal ? at + 1 : e->total) - e->base;
    if (i >= e->now)
        *end = 0;
}

/* Its columns are positions: each batch entry begins at another one. */
static pln_status shift_bias(const pln_gqa *g, const pln_attn *a, pln_attn_rows *r,
                             pln_error *err)
{
    const int64_t rows = a->q_heads * a->q_len;
    float *to;
    int64_t n;
    if (!r->p || !g->at->sliding_window_cache)
        return PLN_OK;
    if (!pln_i64_mul(&n, g->batch * rows, a->total))
        return pln_oom(err);
    PLN_TRY(pln_ms_floats(g->c, n, &to, err));
    for (int64_t l = 0; l < g->batch * rows; l++) {
        const int64_t b = l / rows, h = l % rows / a->q_len, i = l % a->q_len;
        const pln_gqa_entry *e = &g->e[b];
        const float *from = r->p + b * r->batch + h * r->head + i * r->row + e->base;
        memset(to + l * a->total, 0, (size_t)a->total * sizeof *to);
        memcpy(to + l * a->total, from, (size_t)(e->total - e->base) * sizeof *to);
    }
    *r = (pln_attn_rows){ to, rows * a->total, a->q_len * a->total, a->total, a->total };
    return PLN_OK;
}

static pln_status set_bias(const pln_gqa *g, pln_attn *a, pln_error *err)
{
    pln_attn whole = *a; /* the bias has a column for each position */
    whole.total = g->total_len;
    PLN_TRY(pln_ms_set_bias(g->c, PLN_GQA_BIAS, &whole, &a->bias[0], err));
    return shift_bias(g, a, &a->bias[0], err);
}

static pln_status set_sink(const pln_gqa *g, pln_attn *a, pln_error *err)
{
    pln_call *c = g->c;
    float *zeros;
    if (pln_call_has(c, PLN_GQA_SINK)) {
        if (pln_tensor_size(c->in[PLN_GQA_SINK]) != g->heads)
            return pln_call_fail(c, err, PLN_E_RUN, "head_sink is not one for each head");
        return pln_ms_input(c, PLN_GQA_SINK, &a->sink, err);
    }
    if (g->at->smooth_softmax != 1)
        return PLN_OK;
    PLN_TRY(pln_ms_floats(c, g->heads, &zeros, err));
    memset(zeros, 0, (size_t)g->heads * sizeof *zeros);
    a->sink = zeros;
    return PLN_OK;
}

static pln_status attend(const job *j, bool plain, pln_error *err)
{
    const pln_gqa *g = j->g;
    pln_call *c = g->c;
    pln_attn a = { .batch = g->batch,
                   .q_heads = g->heads,
                   .kv_heads = g->kv_heads,
                   .q_len = g->len,
                   .dim = g->dim,
                   .v_dim = g->dim,
                   .range = in_sight,
                   .user = g,
                   .q = g->q,
                   .softcap = g->at->softcap };
    if (j->q)
        a.q = (pln_attn_rows){ j->q, g->len * g->heads * g->dim, g->dim,
                               g->heads * g->dim, g->len };
    for (int64_t b = 0; b < g->batch; b++) {
        const int64_t n = g->e[b].total - g->e[b].base;
        a.total = n > a.total ? n : a.total;
    }
    PLN_TRY(pln_ms_output(c, 0, &a.y, err));
    PLN_TRY(pln_ms_output(c, 3, &a.qk, err));
    if (a.qk && g->at->sliding_window_cache)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED,
                             "output_qk of a windowed cache can't be given");
    if (a.qk)
        a.total = g->total_len;
    a.qk_stage = g->at->qk_output == 2 ? PLN_ATTN_SOFTMAX : PLN_ATTN_CAPPED;
    const int64_t step = j->key_rows * g->dim;
    a.k[0] = (pln_attn_rows){ j->k, g->kv_heads * step, step, g->dim, a.total };
    a.v[0] = a.k[0];
    a.v[0].p = j->v;
    a.y_head = g->dim;
    a.y_row = g->heads * g->dim;
    a.y_batch = g->len * a.y_row;
    a.scale = g->at->scale != 0 ? g->at->scale : (float)(1 / sqrt((double)g->dim));
    PLN_TRY(set_bias(g, &a, err));
    PLN_TRY(set_sink(g, &a, err));
    PLN_TRY(pln_ms_attend(&a, c, plain, err));
    pln_ms_store(c, 0, a.y);
    pln_ms_store(c, 3, a.qk);
    return PLN_OK;
}

static pln_status gqa_any(pln_call *c, bool plain, pln_error *err)
{
    pln_gqa g = { .c = c, .at = c->attrs };
    job j = { .g = &g };
    float *present_k, *present_v;
    PLN_TRY(pln_gqa_find(&g, err));
    PLN_TRY(find_rotation(&j, err));
    PLN_TRY(find_norm(&j, err));
    PLN_TRY(pln_ms_output(c, 1, &present_k, err));
    PLN_TRY(pln_ms_output(c, 2, &present_v, err));
    PLN_TRY(place_keys(&j, present_k, present_v, err));
    if (j.cosine || j.q_norm) {
        PLN_TRY(pln_ms_floats(c, g.batch * g.len * g.heads * g.dim, &j.q, err));
        pln_parallel_for(c->n_threads, g.batch * g.len, 4096 / (g.heads * g.dim + 1) + 1,
                         queries, &j);
    }
    pln_parallel_for(c->n_threads, g.batch * g.kv_heads,
                     16384 / (j.key_rows * g.dim + 1) + 1, keys, &j);
    PLN_TRY(attend(&j, plain, err));
    close_window(&j, j.k, present_k);
    close_window(&j, j.v, present_v);
    pln_ms_store(c, 1, present_k);
    pln_ms_store(c, 2, present_v);
    return PLN_OK;
}

static pln_status gqa_ref(pln_call *c, pln_error *err)
{
    return gqa_any(c, true, err);
}

static pln_status gqa_run(pln_call *c, pln_error *err)
{
    return gqa_any(c, false, err);
}

static const pln_impl gqa_cpu = { "attention_f32", pln_ms_prepare, gqa_run, NULL };

/* ---- inference ------------------------------------------------------------------- */

static pln_dim present_rows(const pln_infer *inf, pln_dim total)
{
    const pln_gqa_attrs *at = inf->attrs;
    if (!pln_infer_has(inf, PLN_GQA_PAST_KEY))
        return total;
    const pln_dim past = pln_infer_dim(inf, PLN_GQA_PAST_KEY, 2);
    return at->sliding_window_cache ? past : pln_dim_max(inf->syms, past, total);
}

static pln_status gqa_infer(pln_infer *inf, pln_error *err)
{
    const pln_gqa_attrs *at = inf->attrs;
    const pln_dtype dt = pln_infer_dtype(inf, 0);
    const pln_dtype cache = pln_infer_has(inf, PLN_GQA_PAST_KEY)
                                ? pln_infer_dtype(inf, PLN_GQA_PAST_KEY)
                                : dt;
    const pln_dim batch = pln_infer_dim(inf, 0, 0), len = pln_infer_dim(inf, 0, 1);
    const pln_dim heads = pln_dim_of(at->num_heads), kv = pln_dim_of(at->kv_num_heads);
    pln_dim hidden = pln_infer_dim(inf, 0, 2), total = pln_dim_unknown(), dim;
    pln_symval v;
    if (at->num_heads < 1 || at->kv_num_heads < 1)
        return pln_infer_fail(inf, err, "%lld and %lld heads", (long long)at->num_heads,
                              (long long)at->kv_num_heads);
    if (pln_infer_has(inf, PLN_GQA_KEY)) {
        dim = pln_dim_div(inf->syms, hidden, heads);
    } else {
        dim = pln_dim_div(inf->syms, hidden,
                          pln_dim_of(at->num_heads + 2 * at->kv_num_heads));
        hidden = pln_dim_mul(inf->syms, dim, heads);
    }
    if (pln_infer_ints(inf, PLN_GQA_TOTAL, &v) && v.n == 1)
        total = v.v[0];
    const pln_dim rows = present_rows(inf, total);
    pln_ms_infer(inf, 0, dt, 3, (pln_dim[]){ batch, len, hidden });
    pln_ms_infer(inf, 1, cache, 4, (pln_dim[]){ batch, kv, rows, dim });
    pln_ms_infer(inf, 2, cache, 4, (pln_dim[]){ batch, kv, rows, dim });
    pln_ms_infer(inf, 3, dt, 4, (pln_dim[]){ batch, heads, len, total });
    return PLN_OK;
}

static void gqa_cost(const pln_infer *inf, pln_cost *out)
{
    const pln_dim q = pln_shape_count(inf->syms, inf->in[0]->shape);
    pln_dim k = pln_infer_dim(inf, 0, 1);
    if (pln_infer_has(inf, PLN_GQA_PAST_KEY))
        k = pln_dim_add(inf->syms, k, pln_infer_dim(inf, PLN_GQA_PAST_KEY, 2));
    if (pln_dim_is_known(q) && pln_dim_is_known(k))
        out->flops = 4.0 * (double)q.value * (double)k.value;
    out->bytes = out->flops / 16;
}

#define FLOATS "float,float16,bfloat16"

const pln_op_desc pln_ops_ms_gqa[] = {
    { .name = "GroupQueryAttention",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 7, 17 },
      .out = { 1, 4 },
      .types = "T:" FLOATS ";C:" FLOATS ",uint8,int8,float8e4m3fn",
      .sig = "T,T?,T?,C?,C?,int32,int32,T?,T?,int64?,T?,T?,float?,float?,T?,T?,int32?->"
             "T,C?,C?,T?",
      .attrs = gqa_spec,
      .attrs_size = sizeof(pln_gqa_attrs),
      .infer = gqa_infer,
      .ref = gqa_ref,
      .cpu = &gqa_cpu,
      .cost = gqa_cost },
    { .name = NULL },
};
