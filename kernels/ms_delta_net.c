/* GatedDeltaNet of com.microsoft: linear attention over packed sequences.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/ms_attention.h"
#include "kernels/stateful.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

typedef struct net_attrs {
    int64_t state_update_capacity, chunk_size, qk_l2_norm;
    float scale, gate_lower_bound;
    int beta_activation, gate_activation, update_rule;
} net_attrs;

enum { GATE_NONE, GATE_SOFTPLUS, GATE_QWEN, GATE_SIGMOID, GATE_KDA };

static const pln_attr_spec net_spec[] = {
    PLN_A_INT(net_attrs, state_update_capacity, 0),
    PLN_A_INT(net_attrs, chunk_size, 64), /* a hint that changes no result */
    PLN_A_INT(net_attrs, qk_l2_norm, 0),
    PLN_A_FLOAT(net_attrs, scale, 0.0f),
    PLN_A_FLOAT(net_attrs, gate_lower_bound, -5.0f),
    PLN_A_ENUM(net_attrs, beta_activation, "none|sigmoid", "none"),
    PLN_A_ENUM(net_attrs, gate_activation, "none|softplus|qwen|sigmoid|kda", "none"),
    PLN_A_ENUM(net_attrs, update_rule, "linear|gated|delta|gated_delta", "gated_delta"),
    PLN_A_END,
};

enum { Q, K, V, OFFSETS, DECAY, BETA, STATE, A_LOG, DT_BIAS, CAPTURE, ACTIVE };

typedef struct net {
    const pln_call *c;
    const net_attrs *at;
    int64_t batch, tokens, q_heads, heads, k_dim, v_dim;
    pln_attn_rows q, k, v;
    const float *decay, *beta, *a_log, *dt_bias, *state;
    int64_t n_decay, n_bias; /* of a head: 0, 1 or k_dim */
    bool captures;
    float *y, *last, *taken;
    double scale, *work; /* work of each slot */
    int64_t work_size, slots;
} net;

/* ---- sizes ----------------------------------------------------------------------- */

/* [tokens, heads, dim] or [batch, length, heads, dim] */
static bool set_rows(const net *n, uint32_t i, const float *p, int64_t *heads,
                     int64_t *dim, pln_attn_rows *r)
{
    const pln_tensor *t = n->c->in[i];
    if (t->rank != n->c->in[Q]->rank || t->rank < 3)
        return false;
    *heads = t->dims[t->rank - 2];
    *dim = t->dims[t->rank - 1];
    *r = (pln_attn_rows){ p, 0, *dim, *heads * *dim, n->tokens };
    return pln_tensor_size(t) == n->tokens * *heads * *dim;
}

static pln_status misfit(const net *n, const char *what, pln_error *err)
{
    return pln_call_fail(n->c, err, PLN_E_RUN, "%s does not fit to %lld tokens", what,
                         (long long)n->tokens);
}

/* One tensor [.., q + k + v], whose heads the state tells. */
static pln_status find_packed(net *n, const float *p, pln_error *err)
{
    const pln_tensor *q = n->c->in[Q],
                     *s = pln_call_has(n->c, STATE) ? n->c->in[STATE] : NULL;
    if (!s || s->rank != 4)
        return pln_call_fail(n->c, err, PLN_E_RUN, "packed QKV wants initial_state");
    const int64_t width = q->dims[q->rank - 1];
    n->heads = s->dims[1];
    n->v_dim = s->dims[2];
    n->k_dim = s->dims[3];
    const int64_t rest = width - n->heads * n->v_dim;
    if (n->k_dim < 1 || rest < 2 * n->k_dim || rest % (2 * n->k_dim))
        return misfit(n, "query", err);
    n->q_heads = rest / 2 / n->k_dim;
    n->tokens = 1;
    for (int d = 0; d + 1 < q->rank; d++)
        n->tokens *= q->dims[d];
    n->q = (pln_attn_rows){ p, 0, n->k_dim, width, n->tokens };
    n->k = n->v = n->q;
    n->k.p += n->q_heads * n->k_dim;
    n->v.p += 2 * n->q_heads * n->k_dim;
    n->v.head = n->v_dim;
    return PLN_OK;
}

static pln_status find_qkv(net *n, pln_call *c, pln_error *err)
{
    const pln_tensor *q = c->in[Q];
    const float *p, *kp, *vp;
    int64_t k_heads, k_dim;
    PLN_TRY(pln_ms_input(c, Q, &p, err));
    if (!pln_call_has(c, K) && !pln_call_has(c, V) && q->rank >= 2) {
        PLN_TRY(find_packed(n, p, err));
    } else {
        if (!pln_call_has(c, K) || !pln_call_has(c, V) || (q->rank != 3 && q->rank != 4))
            return misfit(n, "query, key or value", err);
        n->tokens = q->rank == 4 ? q->dims[0] * q->dims[1] : q->dims[0];
        PLN_TRY(pln_ms_input(c, K, &kp, err));
        PLN_TRY(pln_ms_input(c, V, &vp, err));
        if (!set_rows(n, Q, p, &n->q_heads, &n->k_dim, &n->q) ||
            !set_rows(n, K, kp, &k_heads, &k_dim, &n->k) || k_heads != n->q_heads ||
            k_dim != n->k_dim || !set_rows(n, V, vp, &n->heads, &n->v_dim, &n->v))
            return misfit(n, "query, key or value", err);
    }
    if (n->q_heads < 1 || n->heads < 1 || n->heads % n->q_heads)
        return pln_call_fail(c, err, PLN_E_RUN, "%lld heads of values, %lld of queries",
                             (long long)n->heads, (long long)n->q_heads);
    return PLN_OK;
}

static pln_status find_gates(net *n, pln_call *c, pln_error *err)
{
    const bool gated = n->at->update_rule & PLN_RULE_GATED;
    const bool delta = n->at->update_rule & PLN_RULE_DELTA;
    const int gate = n->at->gate_activation;
    if ((gated && !pln_call_has(c, DECAY)) || (delta && !pln_call_has(c, BETA)) ||
        (gated && gate != GATE_NONE && !pln_call_has(c, A_LOG)))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "this update_rule wants decay, beta or a_log");
    if (gated) {
        const int64_t size = pln_tensor_size(c->in[DECAY]), one = n->tokens * n->heads;
        n->n_decay = size == one ? 1 : n->k_dim;
        if (size != one * n->n_decay)
            return misfit(n, "decay", err);
        PLN_TRY(pln_ms_input(c, DECAY, &n->decay, err));
    }
    if (delta) {
        if (pln_tensor_size(c->in[BETA]) != n->tokens * n->heads)
            return misfit(n, "beta", err);
        PLN_TRY(pln_ms_input(c, BETA, &n->beta, err));
    }
    if (!gated || gate == GATE_NONE)
        return PLN_OK;
    if (pln_tensor_size(c->in[A_LOG]) != n->heads)
        return misfit(n, "a_log", err);
    PLN_TRY(pln_ms_input(c, A_LOG, &n->a_log, err));
    if (!pln_call_has(c, DT_BIAS))
        return PLN_OK;
    n->n_bias = pln_tensor_size(c->in[DT_BIAS]) == n->heads ? 1 : n->k_dim;
    if (pln_tensor_size(c->in[DT_BIAS]) != n->heads * n->n_bias)
        return misfit(n, "dt_bias", err);
    return pln_ms_input(c, DT_BIAS, &n->dt_bias, err);
}

static pln_status find_batch(net *n, pln_call *c, pln_error *err)
{
    const pln_tensor *s = pln_call_has(c, STATE) ? c->in[STATE] : NULL;
    const pln_tensor *offsets = pln_call_has(c, OFFSETS) ? c->in[OFFSETS] : NULL;
    n->batch = offsets               ? pln_tensor_size(offsets) - 1
               : s && s->rank == 4   ? s->dims[0]
               : c->in[Q]->rank == 4 ? c->in[Q]->dims[0]
                                     : 0;
    if (n->batch < 1 || (!offsets && n->tokens % n->batch))
        return pln_call_fail(
            c, err, PLN_E_RUN,
            "%lld tokens of how many sequences? cu_seqlens or initial_state "
            "must tell",
            (long long)n->tokens);
    if (s && (s->rank != 4 || s->dims[0] != n->batch || s->dims[1] != n->heads ||
              s->dims[2] != n->v_dim || s->dims[3] != n->k_dim))
        return misfit(n, "initial_state", err);
    for (int64_t b = 0; offsets && b <= n->batch; b++) {
        const int32_t *o = PLN_DATA(const int32_t, offsets);
        if (o[b] < (b ? o[b - 1] : 0) || (b == 0 && o[b]) ||
            (b == n->batch && o[b] != n->tokens))
            return pln_call_fail(c, err, PLN_E_RUN, "cu_seqlens[%lld] is %d",
                                 (long long)b, o[b]);
    }
    n->state = s ? PLN_DATA(const float, s) : NULL;
    return PLN_OK;
}

static pln_status find_capture(net *n, pln_call *c, pln_error *err)
{
    const int64_t capacity = n->at->state_update_capacity;
    if (capacity < 0 || capacity > 8 || (capacity > 0) != pln_call_has(c, CAPTURE) ||
        (capacity && pln_tensor_size(c->in[CAPTURE]) != n->batch))
        return pln_call_fail(
            c, err, PLN_E_RUN,
            "state_update_capacity is %lld; capture_count does not go with it",
            (long long)capacity);
    n->captures = capacity > 0;
    if (pln_call_has(c, ACTIVE) && pln_tensor_size(c->in[ACTIVE]) == 1)
        n->captures = n->captures && pln_tensor_get_i64(c->in[ACTIVE], 0) != 0;
    return PLN_OK;
}

/* ---- one head -------------------------------------------------------------------- */

static void load_row(double *out, const pln_attn_rows *r, int64_t h, int64_t t,
                     int64_t dim, bool normalize)
{
    const float *p = r->p + t * r->row + h * r->head;
    double sum = 0;
    for (int64_t i = 0; i < dim; i++) {
        out[i] = p[i];
        sum += out[i] * out[i];
    }
    for (int64_t i = 0; normalize && i < dim; i++)
        out[i] /= sqrt(sum + 1e-6);
}

/* The decays of a head at a token, in log-space. */
static void load_decay(const net *n, int64_t h, int64_t t, double *g)
{
    for (int64_t i = 0; i < n->n_decay; i++) {
        double v = n->decay[(t * n->heads + h) * n->n_decay + i];
        if (n->dt_bias)
            v += n->dt_bias[h * n->n_bias + (n->n_bias == 1 ? 0 : i)];
        switch (n->at->gate_activation) {
        case GATE_SOFTPLUS:
        case GATE_QWEN:
            v = -exp(n->a_log[h]) * (v > 30 ? v : log1p(exp(v)));
            break;
        case GATE_SIGMOID:
        case GATE_KDA:
            v = n->at->gate_lower_bound / (1 + exp(-exp(n->a_log[h]) * v));
            break;
        default:
            break;
        }
        g[i] = v;
    }
}

/* What replays token `at` of a sequence: decay factors, key, correction. */
static void capture(const net *n, int64_t b, int64_t h, int64_t at, const double *g,
                    const double *k, const double *v)
{
    const int64_t capacity = n->at->state_update_capacity;
    const int64_t n_decay = n->n_decay ? n->n_decay : 1, group = n->heads / n->q_heads;
    const int64_t decays = n->heads * n_decay, keys = n->q_heads * n->k_dim,
                  values = n->heads * n->v_dim;
    if (!n->captures || !n->taken || at >= capacity ||
        at >= PLN_DATA(const int32_t, n->c->in[CAPTURE])[b])
        return;
    float *row = n->taken + b * capacity * (decays + keys + values);
    for (int64_t i = 0; i < n_decay; i++)
        row[at * decays + h * n_decay + i] = n->n_decay ? (float)exp(g[i]) : 1;
    row += capacity * decays;
    for (int64_t i = 0; h % group == 0 && i < n->k_dim; i++)
        row[at * keys + h / group * n->k_dim + i] = (float)k[i];
    row += capacity * keys;
    for (int64_t i = 0; i < n->v_dim; i++)
        row[at * values + h * n->v_dim + i] = (float)v[i];
}

static void one_head(const net *n, int64_t b, int64_t h, double *state)
{
    const int64_t size = n->k_dim * n->v_dim, group = n->heads / n->q_heads;
    const int32_t *o =
        pln_call_has(n->c, OFFSETS) ? PLN_DATA(const int32_t, n->c->in[OFFSETS]) : NULL;
    const int64_t each = n->tokens / n->batch;
    const int64_t t0 = o ? o[b] : b * each, t1 = o ? o[b + 1] : t0 + each;
    const bool normalize = n->at->qk_l2_norm != 0;
    double *k = state + size, *q = k + n->k_dim, *g = q + n->k_dim, *v = g + n->k_dim,
           *y = v + n->v_dim;
    for (int64_t i = 0; i < size; i++) /* the tensors are [v][k] */
        state[i] = n->state ? n->state[(b * n->heads + h) * size +
                                       i % n->v_dim * n->k_dim + i / n->v_dim]
                            : 0;
    for (int64_t t = t0; t < t1; t++) {
        double beta = n->beta ? n->beta[t * n->heads + h] : 1;
        if (n->beta && n->at->beta_activation)
            beta = 1 / (1 + exp(-beta));
        load_row(q, &n->q, h / group, t, n->k_dim, normalize);
        load_row(k, &n->k, h / group, t, n->k_dim, normalize);
        load_row(v, &n->v, h, t, n->v_dim, false);
        load_decay(n, h, t, g);
        pln_state_step(state, n->k_dim, n->v_dim, g, n->n_decay, n->at->update_rule, beta,
                       k, v);
        capture(n, b, h, t - t0, g, k, v);
        pln_state_read(state, n->k_dim, n->v_dim, q, n->scale, y);
        for (int64_t i = 0; n->y && i < n->v_dim; i++)
            n->y[(t * n->heads + h) * n->v_dim + i] = (float)y[i];
    }
    for (int64_t i = 0; n->last && i < size; i++)
        n->last[(b * n->heads + h) * size + i % n->v_dim * n->k_dim + i / n->v_dim] =
            (float)state[i];
}

static void some_heads(void *arg, int64_t begin, int64_t end)
{
    const net *n = arg;
    const int64_t all = n->batch * n->heads;
    for (int64_t s = begin; s < end; s++)
        for (int64_t r = all * s / n->slots; r < all * (s + 1) / n->slots; r++)
            one_head(n, r / n->heads, r % n->heads, n->work + s * n->work_size);
}

static pln_status net_any(pln_call *c, int threads, pln_error *err)
{
    net n = { .c = c, .at = c->attrs, .slots = threads > 1 ? threads : 1 };
    int64_t size;
    size_t bytes;
    PLN_TRY(find_qkv(&n, c, err));
    PLN_TRY(find_gates(&n, c, err));
    PLN_TRY(find_batch(&n, c, err));
    PLN_TRY(find_capture(&n, c, err));
    n.scale = n.at->scale != 0 ? n.at->scale : 1 / sqrt((double)n.k_dim);
    PLN_TRY(pln_ms_output(c, 0, &n.y, err));
    PLN_TRY(pln_ms_output(c, 1, &n.last, err));
    PLN_TRY(pln_ms_output(c, 2, &n.taken, err));
    if (n.taken)
        memset(n.taken, 0, (size_t)pln_tensor_size(c->out[2]) * sizeof *n.taken);
    if (!pln_i64_mul(&size, n.k_dim, n.v_dim) || size > INT64_MAX / 16)
        return pln_oom(err);
    n.work_size = size + 3 * n.k_dim + 2 * n.v_dim;
    if (!pln_size_mul(&bytes, (size_t)n.work_size, (size_t)n.slots * sizeof *n.work) ||
        !(n.work = pln_call_scratch(c, bytes)))
        return pln_oom(err);
    pln_parallel_for(threads, n.slots, 1, some_heads, &n);
    pln_ms_store(c, 0, n.y);
    pln_ms_store(c, 1, n.last);
    pln_ms_store(c, 2, n.taken);
    return PLN_OK;
}

static pln_status net_ref(pln_call *c, pln_error *err)
{
    return net_any(c, 1, err);
}

static pln_status net_run(pln_call *c, pln_error *err)
{
    return net_any(c, c->n_threads, err);
}

static const pln_impl net_cpu = { "gated_delta_net", pln_ms_prepare, net_run, NULL };

/* ---- inference ------------------------------------------------------------------- */

typedef struct net_dims {
    pln_dim batch, q_heads, heads, k_dim, v_dim;
} net_dims;

static void find_dims(const pln_infer *inf, net_dims *d)
{
    const int rank = pln_infer_rank(inf, Q);
    if (pln_infer_has(inf, K)) {
        d->q_heads = pln_infer_dim(inf, Q, rank - 2);
        d->k_dim = pln_infer_dim(inf, Q, rank - 1);
        d->heads = pln_infer_dim(inf, V, rank - 2);
        d->v_dim = pln_infer_dim(inf, V, rank - 1);
    } else {
        d->heads = pln_infer_dim(inf, STATE, 1);
        d->v_dim = pln_infer_dim(inf, STATE, 2);
        d->k_dim = pln_infer_dim(inf, STATE, 3);
        d->q_heads = pln_dim_div(inf->syms,
                                 pln_dim_sub(inf->syms, pln_infer_dim(inf, Q, rank - 1),
                                             pln_dim_mul(inf->syms, d->heads, d->v_dim)),
                                 pln_dim_mul(inf->syms, pln_dim_of(2), d->k_dim));
    }
    d->batch = pln_dim_unknown();
    if (pln_infer_has(inf, STATE))
        d->batch = pln_infer_dim(inf, STATE, 0);
    else if (pln_infer_has(inf, OFFSETS))
        d->batch = pln_dim_sub(inf->syms, pln_infer_dim(inf, OFFSETS, 0), pln_dim_of(1));
    else if (rank == 4)
        d->batch = pln_infer_dim(inf, Q, 0);
}

static pln_dim taken_width(const pln_infer *inf, const net_dims *d)
{
    const net_attrs *at = inf->attrs;
    pln_syms *syms = inf->syms;
    const int rank = pln_infer_rank(inf, Q) - (pln_infer_has(inf, K) ? 0 : -1);
    const bool wide = pln_infer_has(inf, DECAY) && pln_infer_rank(inf, DECAY) == rank;
    const pln_dim decay = wide ? pln_dim_mul(syms, d->heads, d->k_dim) : d->heads;
    const pln_dim sum = pln_dim_add(
        syms, pln_dim_add(syms, decay, pln_dim_mul(syms, d->q_heads, d->k_dim)),
        pln_dim_mul(syms, d->heads, d->v_dim));
    return pln_dim_mul(syms, sum, pln_dim_of(at->state_update_capacity));
}

static pln_status net_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, Q);
    const pln_dtype dt = pln_infer_dtype(inf, Q);
    net_dims d;
    (void)err;
    for (uint32_t o = 0; o < inf->n_out && o < 3; o++)
        pln_infer_set(inf, o, o ? PLN_DT_F32 : dt, pln_shape_unknown());
    if (rank == PLN_RANK_UNKNOWN || rank < 2 || rank > 4)
        return PLN_OK;
    find_dims(inf, &d);
    pln_dim y[5];
    int n = 0;
    const int lead = pln_infer_has(inf, K) ? rank - 2 : rank - 1;
    for (int i = 0; i < lead; i++)
        y[n++] = pln_infer_dim(inf, Q, i);
    y[n++] = d.heads;
    y[n++] = d.v_dim;
    pln_ms_infer(inf, 0, dt, n, y);
    pln_ms_infer(inf, 1, PLN_DT_F32, 4,
                 (pln_dim[]){ d.batch, d.heads, d.v_dim, d.k_dim });
    pln_ms_infer(inf, 2, PLN_DT_F32, 2, (pln_dim[]){ d.batch, taken_width(inf, &d) });
    return PLN_OK;
}

#define FLOATS "float,float16,bfloat16"

const pln_op_desc pln_ops_ms_delta_net[] = {
    { .name = "GatedDeltaNet",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 1, 11 },
      .out = { 1, 3 },
      .types = "T:" FLOATS ";G:" FLOATS,
      .sig = "T,T?,T?,int32?,G?,G?,float?,float?,float?,int32?,int32?->T,float?,float?",
      .attrs = net_spec,
      .attrs_size = sizeof(net_attrs),
      .infer = net_infer,
      .ref = net_ref,
      .cpu = &net_cpu },
    { .name = NULL },
};
