/* MultiHeadAttention and DecoderMaskedMultiHeadAttention of com.microsoft.
 *
 * They differ in the order of their inputs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ms_attention.h"

#include "kernels/type_sets.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

typedef struct mha_attrs {
    int64_t num_heads, unidirectional, past_present_share_buffer, output_qk;
    float scale, mask_filter_value;
} mha_attrs;

#define HEADS                                                        \
    {                                                                \
        .name = "num_heads", .type = PLN_ATTR_INT, .required = true, \
        .offset = offsetof(mha_attrs, num_heads)                     \
    }
static const pln_attr_spec mha_spec[] = {
    HEADS,
    PLN_A_INT(mha_attrs, unidirectional, 0),
    PLN_A_FLOAT(mha_attrs, scale, 0.0f),
    PLN_A_FLOAT(mha_attrs, mask_filter_value, -10000.0f),
    PLN_A_END,
};
static const pln_attr_spec decoder_spec[] = {
    HEADS,
    PLN_A_INT(mha_attrs, past_present_share_buffer, 0),
    PLN_A_INT(mha_attrs, output_qk, 0),
    PLN_A_FLOAT(mha_attrs, scale, 0.0f),
    PLN_A_FLOAT(mha_attrs, mask_filter_value, -10000.0f),
    PLN_A_END,
};

/* Where the inputs after query, key and value are. */
typedef struct places {
    uint32_t bias, mask, attention_bias, past_key, past_value, past_len, beams,
        indirection;
} places;
#define NOWHERE UINT32_MAX
static const places mha_places = { 3, 4, 5, 6, 7, 8, NOWHERE, 9 };
static const places decoder_places = { 10, 3, 4, 5, 6, 7, 8, 9 };

static bool is_decoder(const pln_node *n)
{
    return n->op_type[0] == 'D';
}

static const places *places_of(const pln_node *n)
{
    return is_decoder(n) ? &decoder_places : &mha_places;
}

typedef struct mha {
    pln_call *c;
    const mha_attrs *at;
    const places *in;
    pln_attn a;
    int64_t past, rows; /* old keys; rows of present */
} mha;

static pln_status misfit(const mha *m, const char *what, pln_error *err)
{
    return pln_call_fail(m->c, err, PLN_E_RUN, "%s with %lld heads", what,
                         (long long)m->at->num_heads);
}

static pln_attn_rows rows_at(const float *p, int64_t len, int64_t row, int64_t head)
{
    return (pln_attn_rows){ p, len * row, head, row, len };
}

/* ---- query, key and value in all their forms ------------------------------------- */

/* One tensor [batch, len, heads, 3, dim], or [batch, len, heads x (dim + dim + v_dim)]
 * for the decoder. */
static pln_status packed_qkv(mha *m, const pln_tensor *q, const float *p, pln_error *err)
{
    pln_attn *a = &m->a;
    const int64_t heads = m->at->num_heads, *d = q->dims;
    if (q->rank == 5 && d[2] == heads && d[3] == 3) {
        a->dim = a->v_dim = d[4];
        a->q = rows_at(p, d[1], heads * 3 * a->dim, 3 * a->dim);
    } else if (q->rank == 3 && is_decoder(m->c->node) && d[2] % (3 * heads) == 0) {
        a->dim = a->v_dim = d[2] / 3 / heads;
        a->q = rows_at(p, d[1], d[2], a->dim);
    } else {
        return misfit(m, "query is no packed QKV", err);
    }
    const int64_t step = q->rank == 5 ? a->dim : heads * a->dim;
    a->k[1] = a->v[1] = a->q;
    a->k[1].p += step;
    a->v[1].p += 2 * step;
    return PLN_OK;
}

static pln_status packed_kv(mha *m, const pln_tensor *k, const float *p, pln_error *err)
{
    const int64_t heads = m->at->num_heads, *d = k->dims;
    if (d[0] != m->a.batch || d[2] != heads || d[3] != 2 || d[4] != m->a.dim)
        return misfit(m, "key is no packed KV", err);
    m->a.v_dim = d[4];
    m->a.k[1] = m->a.v[1] = rows_at(p, d[1], heads * 2 * d[4], 2 * d[4]);
    m->a.v[1].p += d[4];
    return PLN_OK;
}

/* [batch, len, heads x dim] or [batch, heads, len, dim]; *dim is found. */
static bool plain_rows(const mha *m, const pln_tensor *t, const float *p, int64_t *dim,
                       pln_attn_rows *r)
{
    const int64_t heads = m->at->num_heads, *d = t->dims;
    if ((t->rank != 3 && t->rank != 4) || d[0] != m->a.batch)
        return false;
    if (t->rank == 4) {
        *dim = d[3];
        *r = (pln_attn_rows){ p, heads * d[2] * d[3], d[2] * d[3], d[3], d[2] };
        return d[1] == heads;
    }
    *dim = d[2] / heads;
    *r = rows_at(p, d[1], d[2], *dim);
    return d[2] % heads == 0;
}

static pln_status find_qkv(mha *m, pln_error *err)
{
    pln_call *c = m->c;
    pln_attn *a = &m->a;
    const pln_tensor *q = c->in[0];
    const float *qp, *kp, *vp;
    int64_t k_dim = 0;
    if (m->at->num_heads < 1 || q->rank < 3)
        return misfit(m, "query", err);
    a->batch = q->dims[0];
    a->q_heads = a->kv_heads = m->at->num_heads;
    PLN_TRY(pln_ms_input(c, 0, &qp, err));
    if (!pln_call_has(c, 1)) {
        PLN_TRY(packed_qkv(m, q, qp, err));
    } else {
        const pln_tensor *k = c->in[1];
        if (q->rank != 3 || !plain_rows(m, q, qp, &a->dim, &a->q))
            return misfit(m, "query", err);
        PLN_TRY(pln_ms_input(c, 1, &kp, err));
        if (k->rank == 5) {
            PLN_TRY(packed_kv(m, k, kp, err));
        } else {
            if (!pln_call_has(c, 2) || !plain_rows(m, k, kp, &k_dim, &a->k[1]) ||
                k_dim != a->dim)
                return misfit(m, "key or value", err);
            PLN_TRY(pln_ms_input(c, 2, &vp, err));
            if (!plain_rows(m, c->in[2], vp, &a->v_dim, &a->v[1]) ||
                a->v[1].n != a->k[1].n)
                return misfit(m, "value", err);
        }
    }
    a->q_len = a->q.n;
    return PLN_OK;
}

static pln_status add_biases(mha *m, pln_error *err)
{
    pln_call *c = m->c;
    pln_attn *a = &m->a;
    const float *p;
    if (!pln_call_has(c, m->in->bias))
        return PLN_OK;
    const int64_t hidden = a->q_heads * a->dim, v_hidden = a->q_heads * a->v_dim;
    const bool crossed = pln_call_has(c, 1) && c->in[1]->rank == 4;
    if (pln_tensor_size(c->in[m->in->bias]) != 2 * hidden + v_hidden)
        return misfit(m, "bias", err);
    PLN_TRY(pln_ms_input(c, m->in->bias, &p, err));
    PLN_TRY(pln_ms_add_bias(c, &a->q, a->batch, a->q_heads, a->dim, p, err));
    if (crossed) /* keys and values of the encoder have theirs already */
        return PLN_OK;
    PLN_TRY(pln_ms_add_bias(c, &a->k[1], a->batch, a->q_heads, a->dim, p + hidden, err));
    return pln_ms_add_bias(c, &a->v[1], a->batch, a->q_heads, a->v_dim, p + 2 * hidden,
                           err);
}

/* ---- the cache ------------------------------------------------------------------- */

static pln_status one_cache(mha *m, uint32_t i, int64_t dim, pln_attn_rows *r,
                            pln_error *err)
{
    const pln_tensor *t = m->c->in[i];
    const int64_t heads = m->a.q_heads, *d = t->dims;
    const float *p;
    if (t->rank != 4 || d[0] != m->a.batch || d[1] != heads || d[3] != dim ||
        (m->rows && d[2] != m->rows))
        return pln_call_fail(m->c, err, PLN_E_RUN,
                             "input %u is not [batch, heads, length, head size]", i);
    PLN_TRY(pln_ms_input(m->c, i, &p, err));
    m->rows = d[2];
    *r = (pln_attn_rows){ p, heads * d[2] * dim, d[2] * dim, dim, d[2] };
    return PLN_OK;
}

static bool is_shared(const mha *m)
{
    return pln_call_has(m->c, m->in->past_len) &&
           (!is_decoder(m->c->node) || m->at->past_present_share_buffer);
}

static pln_status find_past(mha *m, pln_error *err)
{
    pln_call *c = m->c;
    pln_attn *a = &m->a;
    const bool has = pln_call_has(c, m->in->past_key);
    if (has != pln_call_has(c, m->in->past_value))
        return pln_call_fail(c, err, PLN_E_RUN, "past_key and past_value go together");
    m->past = 0;
    if (has) {
        PLN_TRY(one_cache(m, m->in->past_key, a->dim, &a->k[0], err));
        PLN_TRY(one_cache(m, m->in->past_value, a->v_dim, &a->v[0], err));
        m->past = m->rows;
        if (is_shared(m)) {
            const pln_tensor *len = c->in[m->in->past_len];
            m->past = pln_tensor_size(len) == 1 ? pln_tensor_get_i64(len, 0) : -1;
            if (m->past < 0 || m->past > m->rows - a->k[1].n)
                return pln_call_fail(c, err, PLN_E_RUN,
                                     "past_sequence_length %lld and %lld new rows in a "
                                     "cache of %lld",
                                     (long long)m->past, (long long)a->k[1].n,
                                     (long long)m->rows);
            a->k[0].n = a->v[0].n = m->past;
        }
    }
    if (!has || !is_shared(m))
        m->rows = m->past + a->k[1].n;
    a->total = m->past + a->k[1].n;
    return PLN_OK;
}

/* Old rows of a beam come from the beams that cache_indirection names. */
static pln_status gather_beams(mha *m, const int32_t *from, int64_t beams, int64_t len,
                               int64_t dim, pln_attn_rows *r, pln_error *err)
{
    pln_call *c = m->c;
    const int64_t heads = m->a.q_heads, n = m->past;
    float *to;
    int64_t size;
    if (!pln_i64_mul(&size, m->a.batch * heads, n * dim))
        return pln_oom(err);
    PLN_TRY(pln_ms_floats(c, size, &to, err));
    for (int64_t b = 0; b < m->a.batch; b++)
        for (int64_t j = 0; j < n; j++) {
            const int64_t beam = from[b * len + j];
            if (beam < 0 || beam >= beams)
                return pln_call_fail(c, err, PLN_E_RUN,
                                     "cache_indirection has beam %lld "
                                     "of %lld",
                                     (long long)beam, (long long)beams);
            const int64_t source = b / beams * beams + beam;
            for (int64_t h = 0; h < heads; h++)
                memcpy(to + ((b * heads + h) * n + j) * dim,
                       r->p + source * r->batch + h * r->head + j * r->row,
                       (size_t)dim * sizeof *to);
        }
    *r = (pln_attn_rows){ to, heads * n * dim, n * dim, dim, n };
    return PLN_OK;
}

static pln_status follow_beams(mha *m, pln_error *err)
{
    pln_call *c = m->c;
    if (!pln_call_has(c, m->in->indirection) || m->past == 0)
        return PLN_OK;
    const pln_tensor *t = c->in[m->in->indirection];
    if (t->rank != 3 || t->dims[1] < 1 || t->dims[0] * t->dims[1] != m->a.batch ||
        t->dims[2] < m->past)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "cache_indirection is not [batch, beams, length]");
    if (pln_call_has(c, m->in->beams) &&
        pln_tensor_get_i64(c->in[m->in->beams], 0) != t->dims[1])
        return pln_call_fail(c, err, PLN_E_RUN, "beam_width is not %lld",
                             (long long)t->dims[1]);
    const int32_t *from = PLN_DATA(const int32_t, t);
    PLN_TRY(gather_beams(m, from, t->dims[1], t->dims[2], m->a.dim, &m->a.k[0], err));
    return gather_beams(m, from, t->dims[1], t->dims[2], m->a.v_dim, &m->a.v[0], err);
}

/* ---- all of it ------------------------------------------------------------------- */

/* Counted from the end of the past; the last query sees all keys, also where there are
 * more new keys than queries: so ONNX Runtime defines it. */
static void causal(const void *user, int64_t b, int64_t i, int64_t *first, int64_t *end)
{
    (void)b, (void)first;
    const mha *m = user;
    const int64_t here = i + 1 == m->a.q_len ? m->a.total : m->past + i + 1;
    *end = here < *end ? here : *end;
}

static pln_status attend(mha *m, bool plain, pln_error *err)
{
    pln_call *c = m->c;
    pln_attn *a = &m->a;
    PLN_TRY(pln_ms_output(c, 0, &a->y, err));
    PLN_TRY(pln_ms_output(c, 3, &a->qk, err));
    a->qk_stage = PLN_ATTN_SCALED;
    a->y_head = a->v_dim;
    a->y_row = a->q_heads * a->v_dim;
    a->y_batch = a->q_len * a->y_row;
    PLN_TRY(pln_ms_attend(a, c, plain, err));
    pln_ms_store(c, 0, a->y);
    pln_ms_store(c, 3, a->qk);
    return PLN_OK;
}

static pln_status mha_any(pln_call *c, bool plain, pln_error *err)
{
    const mha_attrs *at = (const mha_attrs *)c->attrs;
    mha m = { .c = c, .at = at, .in = places_of(c->node) };
    float *present_k, *present_v;
    PLN_TRY(find_qkv(&m, err));
    PLN_TRY(add_biases(&m, err));
    PLN_TRY(find_past(&m, err));
    m.a.scale = at->scale != 0 ? at->scale : (float)(1 / sqrt((double)m.a.dim));
    PLN_TRY(pln_ms_set_mask(c, m.in->mask, &m.a, m.past, at->mask_filter_value,
                            &m.a.bias[0], err));
    PLN_TRY(pln_ms_set_bias(c, m.in->attention_bias, &m.a, &m.a.bias[1], err));
    if (at->unidirectional) {
        m.a.range = causal;
        m.a.user = &m;
    }
    PLN_TRY(pln_ms_output(c, 1, &present_k, err));
    PLN_TRY(pln_ms_output(c, 2, &present_v, err));
    pln_ms_present(present_k, m.rows, m.a.batch, m.a.q_heads, m.a.dim, &m.a.k[0],
                   &m.a.k[1]);
    pln_ms_present(present_v, m.rows, m.a.batch, m.a.q_heads, m.a.v_dim, &m.a.v[0],
                   &m.a.v[1]);
    pln_ms_store(c, 1, present_k);
    pln_ms_store(c, 2, present_v);
    PLN_TRY(follow_beams(&m, err));
    return attend(&m, plain, err);
}

static pln_status mha_ref(pln_call *c, pln_error *err)
{
    return mha_any(c, true, err);
}

static pln_status mha_run(pln_call *c, pln_error *err)
{
    return mha_any(c, false, err);
}

static const pln_impl mha_cpu = { "attention_f32", pln_ms_prepare, mha_run, NULL };

/* ---- inference ------------------------------------------------------------------- */

typedef struct sizes {
    pln_dim batch, q_len, kv_len, dim, v_hidden, v_dim;
} sizes;

static bool find_sizes(const pln_infer *inf, const mha_attrs *at, sizes *s)
{
    pln_syms *syms = inf->syms;
    const pln_dim heads = pln_dim_of(at->num_heads);
    const int rank = pln_infer_rank(inf, 0), k_rank = pln_infer_rank(inf, 1),
              v_rank = pln_infer_rank(inf, 2);
    if (rank == PLN_RANK_UNKNOWN || (pln_infer_has(inf, 1) && k_rank == PLN_RANK_UNKNOWN))
        return false;
    s->batch = pln_infer_dim(inf, 0, 0);
    s->q_len = s->kv_len = pln_infer_dim(inf, 0, 1);
    if (!pln_infer_has(inf, 1)) {
        s->dim = rank == 5 ? pln_infer_dim(inf, 0, 4)
                           : pln_dim_div(syms, pln_infer_dim(inf, 0, 2),
                                         pln_dim_of(3 * at->num_heads));
        s->v_dim = s->dim;
    } else {
        s->dim = pln_dim_div(syms, pln_infer_dim(inf, 0, 2), heads);
        s->kv_len = pln_infer_dim(inf, 1, k_rank == 4 ? 2 : 1);
        s->v_dim = k_rank == 5   ? s->dim
                   : v_rank == 4 ? pln_infer_dim(inf, 2, 3)
                                 : pln_dim_div(syms, pln_infer_dim(inf, 2, 2), heads);
    }
    s->v_hidden = pln_infer_has(inf, 1) && v_rank == 3
                      ? pln_infer_dim(inf, 2, 2)
                      : pln_dim_mul(syms, s->v_dim, heads);
    return true;
}

static pln_status mha_infer(pln_infer *inf, pln_error *err)
{
    const mha_attrs *at = (const mha_attrs *)inf->attrs;
    const places *in = places_of(inf->node);
    const pln_dtype dt = pln_infer_dtype(inf, 0);
    sizes s;
    if (at->num_heads < 1)
        return pln_infer_fail(inf, err, "num_heads is %lld", (long long)at->num_heads);
    for (uint32_t o = 0; o < 4; o++)
        if (o < inf->n_out)
            pln_infer_set(inf, o, dt, pln_shape_unknown());
    if (!find_sizes(inf, at, &s))
        return PLN_OK;
    const pln_dim heads = pln_dim_of(at->num_heads);
    const bool cached = pln_infer_has(inf, in->past_key);
    const bool shared = cached && pln_infer_has(inf, in->past_len) &&
                        (!is_decoder(inf->node) || at->past_present_share_buffer);
    pln_dim rows = s.kv_len, total = s.kv_len;
    if (cached)
        rows = pln_infer_rank(inf, in->past_key) == 4
                   ? pln_infer_dim(inf, in->past_key, 2)
                   : pln_dim_unknown();
    if (cached && !shared)
        rows = pln_dim_add(inf->syms, rows, s.kv_len);
    if (cached)
        total = shared ? pln_dim_unknown() : rows;
    pln_ms_infer(inf, 0, dt, 3, (pln_dim[]){ s.batch, s.q_len, s.v_hidden });
    pln_ms_infer(inf, 1, dt, 4, (pln_dim[]){ s.batch, heads, rows, s.dim });
    pln_ms_infer(inf, 2, dt, 4, (pln_dim[]){ s.batch, heads, rows, s.v_dim });
    pln_ms_infer(inf, 3, dt, 4, (pln_dim[]){ s.batch, heads, s.q_len, total });
    return PLN_OK;
}

static void mha_cost(const pln_infer *inf, pln_cost *out)
{
    sizes s;
    if (!find_sizes(inf, (const mha_attrs *)inf->attrs, &s))
        return;
    const pln_dim count = pln_dim_mul(inf->syms, pln_dim_mul(inf->syms, s.batch, s.q_len),
                                      pln_dim_mul(inf->syms, s.kv_len, s.v_hidden));
    if (pln_dim_is_known(count))
        out->flops = 4.0 * (double)count.value;
    out->bytes = out->flops / 16;
}

#define FLOATS "float,float16,bfloat16"

const pln_op_desc pln_ops_ms_mha[] = {
    { .name = "MultiHeadAttention",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 1, 10 },
      .out = { 1, 4 },
      .types = "T:" FLOATS,
      .sig = "T,T?,T?,T?,int32?,T?,T?,T?,int32?,int32?->T,T?,T?,T?",
      .attrs = mha_spec,
      .attrs_size = sizeof(mha_attrs),
      .infer = mha_infer,
      .ref = mha_ref,
      .cpu = &mha_cpu,
      .cost = mha_cost },
    { .name = "DecoderMaskedMultiHeadAttention",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 1, 11 },
      .out = { 1, 4 },
      .types = "T:" FLOATS,
      .sig = "T,T?,T?,int32?,T?,T?,T?,int32?,int32?,int32?,T?->T,T?,T?,T?",
      .attrs = decoder_spec,
      .attrs_size = sizeof(mha_attrs),
      .infer = mha_infer,
      .ref = mha_ref,
      .cpu = &mha_cpu,
      .cost = mha_cost },
    { .name = NULL },
};
