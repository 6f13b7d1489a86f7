/* Operators that hand a state to the next call: LinearAttention, CausalConvWithState.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/type_sets.h"
#include "src/ir/op.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

static double *scratch(pln_call *c, size_t n, pln_error *err)
{
    size_t bytes;
    double *p = NULL;
    if (pln_size_mul(&bytes, n, sizeof *p))
        p = (double *)pln_call_scratch(c, bytes);
    if (!p)
        pln_oom(err);
    return p;
}

/* ---- LinearAttention --------------------------------------------------------------- */

typedef struct linear_attrs {
    int64_t q_num_heads, kv_num_heads, chunk_size;
    float scale;
    int update_rule; /* bit 0: gated, bit 1: delta */
} linear_attrs;

static const pln_attr_spec linear_spec[] = {
    { .name = "q_num_heads",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(linear_attrs, q_num_heads) },
    { .name = "kv_num_heads",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(linear_attrs, kv_num_heads) },
    PLN_A_INT(linear_attrs, chunk_size, 64), /* a hint that changes no result */
    PLN_A_FLOAT(linear_attrs, scale, 0.0f),
    PLN_A_ENUM(linear_attrs, update_rule, "linear|gated|delta|gated_delta",
               "gated_delta"),
    PLN_A_END,
};

typedef struct linear {
    const pln_call *c;
    int64_t batch, steps, q_heads, heads, k_dim, v_dim;
    int64_t n_decay, n_beta; /* last dimensions of decay and beta; 0: absent */
    double scale;
} linear;

/* Last dimension of an optional [batch, steps, n], one of two sizes. */
static pln_status gate_size(const linear *l, uint32_t i, bool wanted, int64_t a,
                            int64_t b, int64_t *n, pln_error *err)
{
    const pln_tensor *t = pln_call_has(l->c, i) ? l->c->in[i] : NULL;
    *n = 0;
    if (wanted != (t != NULL))
        return pln_call_fail(l->c, err, PLN_E_RUN, "input %u is %s by this update_rule",
                             i, wanted ? "required" : "forbidden");
    if (!t)
        return PLN_OK;
    if (t->rank != 3 || t->dims[0] != l->batch || t->dims[1] != l->steps ||
        (t->dims[2] != a && t->dims[2] != b))
        return pln_call_fail(l->c, err, PLN_E_RUN, "input %u does not fit to the query",
                             i);
    *n = t->dims[2];
    return PLN_OK;
}

static pln_status linear_find(const pln_call *c, linear *l, pln_error *err)
{
    const linear_attrs *a = (const linear_attrs *)c->attrs;
    const pln_tensor *q = c->in[0], *k = c->in[1], *v = c->in[2];
    const int64_t qh = a->q_num_heads, h = a->kv_num_heads;
    if (q->rank != 3 || k->rank != 3 || v->rank != 3 || qh < 1 || h < 1 || qh % h ||
        q->dims[2] % qh || k->dims[2] % h || v->dims[2] % h ||
        q->dims[2] / qh != k->dims[2] / h)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "query, key and value do not make %lld and %lld heads",
                             (long long)qh, (long long)h);
    for (int d = 0; d < 2; d++)
        if (k->dims[d] != q->dims[d] || v->dims[d] != q->dims[d])
            return pln_call_fail(c, err, PLN_E_RUN, "key or value differ in dimension %d",
                                 d);
    *l = (linear){ .c = c,
                   .batch = q->dims[0],
                   .steps = q->dims[1],
                   .q_heads = qh,
                   .heads = h,
                   .k_dim = q->dims[2] / qh,
                   .v_dim = v->dims[2] / h };
    l->scale = a->scale != 0 ? a->scale : 1 / sqrt((double)l->k_dim);
    PLN_TRY(gate_size(l, 4, a->update_rule & 1, h, h * l->k_dim, &l->n_decay, err));
    PLN_TRY(gate_size(l, 5, a->update_rule & 2, h, 1, &l->n_beta, err));
    const int64_t want[4] = { l->batch, h, l->k_dim, l->v_dim };
    const pln_tensor *past = pln_call_has(c, 3) ? c->in[3] : NULL;
    for (int d = 0; past && d < 4; d++)
        if (past->rank != 4 || past->dims[d] != want[d])
            return pln_call_fail(c, err, PLN_E_RUN, "past_state does not fit");
    return PLN_OK;
}

/* One step of one key head: the state decays, is corrected and takes in k v^T. */
static void update(const linear *l, int64_t b, int64_t h, int64_t t, double *state,
                   double *k, double *v)
{
    const int64_t row = b * l->steps + t;
    const pln_tensor *decay = l->n_decay ? l->c->in[4] : NULL;
    pln_block_load(PLN_DT_F64, k, l->c->in[1], (row * l->heads + h) * l->k_dim, 1,
                   l->k_dim);
    pln_block_load(PLN_DT_F64, v, l->c->in[2], (row * l->heads + h) * l->v_dim, 1,
                   l->v_dim);
    for (int64_t i = 0; decay && i < l->k_dim; i++) {
        const int64_t at = l->n_decay == l->heads ? h : h * l->k_dim + i;
        const double g = exp(pln_tensor_get_f64(decay, row * l->n_decay + at));
        for (int64_t m = 0; m < l->v_dim; m++)
            state[i * l->v_dim + m] *= g;
    }
    if (l->n_beta) {
        const double beta =
            pln_tensor_get_f64(l->c->in[5], row * l->n_beta + (l->n_beta == 1 ? 0 : h));
        for (int64_t m = 0; m < l->v_dim; m++) {
            double held = 0;
            for (int64_t i = 0; i < l->k_dim; i++)
                held += state[i * l->v_dim + m] * k[i];
            v[m] = beta * (v[m] - held);
        }
    }
    for (int64_t i = 0; i < l->k_dim; i++)
        for (int64_t m = 0; m < l->v_dim; m++)
            state[i * l->v_dim + m] += k[i] * v[m];
}

static void read_state(const linear *l, int64_t b, int64_t qh, int64_t t,
                       const double *state, double *q, double *y)
{
    const int64_t row = b * l->steps + t;
    pln_block_load(PLN_DT_F64, q, l->c->in[0], (row * l->q_heads + qh) * l->k_dim, 1,
                   l->k_dim);
    for (int64_t m = 0; m < l->v_dim; m++) {
        y[m] = 0;
        for (int64_t i = 0; i < l->k_dim; i++)
            y[m] += q[i] * state[i * l->v_dim + m];
        y[m] *= l->scale;
    }
    if (pln_call_wants(l->c, 0))
        pln_block_store(l->c->out[0], (row * l->q_heads + qh) * l->v_dim, 1, PLN_DT_F64,
                        y, l->v_dim);
}

static pln_status linear_ref(pln_call *c, pln_error *err)
{
    linear l = { 0 };
    size_t n;
    PLN_TRY(linear_find(c, &l, err));
    if (!pln_size_mul(&n, (size_t)l.k_dim, (size_t)l.v_dim) || n > SIZE_MAX / 64)
        return pln_oom(err);
    double *state = scratch(c, n + (size_t)(2 * l.k_dim + 2 * l.v_dim), err);
    if (!state)
        return PLN_E_NOMEM;
    double *k = state + n, *q = k + l.k_dim, *v = q + l.k_dim, *y = v + l.v_dim;
    const int64_t group = l.q_heads / l.heads;
    for (int64_t r = 0; r < l.batch * l.heads; r++) {
        const int64_t b = r / l.heads, h = r % l.heads;
        memset(state, 0, n * sizeof *state);
        if (pln_call_has(c, 3))
            pln_block_load(PLN_DT_F64, state, c->in[3], r * (int64_t)n, 1, (int64_t)n);
        for (int64_t t = 0; t < l.steps; t++) {
            update(&l, b, h, t, state, k, v);
            for (int64_t g = 0; g < group; g++)
                read_state(&l, b, h * group + g, t, state, q, y);
        }
        if (pln_call_wants(c, 1))
            pln_block_store(c->out[1], r * (int64_t)n, 1, PLN_DT_F64, state, (int64_t)n);
    }
    return PLN_OK;
}

static pln_status linear_infer(pln_infer *inf, pln_error *err)
{
    const linear_attrs *a = (const linear_attrs *)inf->attrs;
    const pln_dim qh = pln_dim_of(a->q_num_heads), h = pln_dim_of(a->kv_num_heads);
    const pln_dtype dt = pln_infer_dtype(inf, 0);
    pln_shape y = pln_infer_shape(inf, 3), s = pln_infer_shape(inf, 4);
    if (y.rank != 3 || s.rank != 4)
        return pln_oom(err);
    if (a->q_num_heads < 1 || a->kv_num_heads < 1)
        return pln_infer_fail(inf, err, "%lld and %lld heads", (long long)a->q_num_heads,
                              (long long)a->kv_num_heads);
    const pln_dim v_dim = pln_dim_div(inf->syms, pln_infer_dim(inf, 2, 2), h);
    y.dims[0] = s.dims[0] = pln_infer_dim(inf, 0, 0);
    y.dims[1] = pln_infer_dim(inf, 0, 1);
    y.dims[2] = pln_dim_mul(inf->syms, v_dim, qh);
    s.dims[1] = h;
    s.dims[2] = pln_dim_div(inf->syms, pln_infer_dim(inf, 0, 2), qh);
    s.dims[3] = v_dim;
    pln_infer_set(inf, 0, dt, y);
    pln_infer_set(inf, 1, pln_infer_has(inf, 3) ? pln_infer_dtype(inf, 3) : dt, s);
    return PLN_OK;
}

/* ---- CausalConvWithState ----------------------------------------------------------- */

typedef struct causal_attrs {
    int activation; /* 0 none, 1 silu, 2 swish */
} causal_attrs;

static const pln_attr_spec causal_spec[] = {
    PLN_A_ENUM(causal_attrs, activation, "none|silu|swish", "none"),
    PLN_A_END,
};

static pln_status causal_check(const pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0], *w = c->in[1];
    const pln_tensor *past = pln_call_has(c, 3) ? c->in[3] : NULL;
    if (x->rank != 3 || w->rank != 3 || w->dims[0] != x->dims[1] || w->dims[1] != 1 ||
        w->dims[2] < 1)
        return pln_call_fail(c, err, PLN_E_RUN, "weight is not [channels, 1, k]");
    if (pln_call_has(c, 2) && pln_tensor_size(c->in[2]) != x->dims[1])
        return pln_call_fail(c, err, PLN_E_RUN, "bias is not one for each channel");
    if (past && (past->rank != 3 || past->dims[0] != x->dims[0] ||
                 past->dims[1] != x->dims[1] || past->dims[2] != w->dims[2] - 1))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "past_state is not [batch, channels, k - 1]");
    return PLN_OK;
}

/* The sum is rounded to the tensor's type before the activation, as the standard's
 * function has a tensor there. */
static double causal_point(const pln_call *c, const double *x, const double *w, int64_t k,
                           double bias)
{
    const causal_attrs *a = (const causal_attrs *)c->attrs;
    const pln_dtype dt = (pln_dtype)c->in[0]->dtype;
    double v = bias;
    char raw[8];
    for (int64_t i = 0; i < k; i++)
        v += x[i] * w[i];
    pln_block_convert(dt, raw, PLN_DT_F64, &v, 1);
    pln_block_convert(PLN_DT_F64, &v, dt, raw, 1);
    return a->activation ? v / (1 + exp(-v)) : v;
}

static pln_status causal_ref(pln_call *c, pln_error *err)
{
    PLN_TRY(causal_check(c, err));
    const pln_tensor *x = c->in[0];
    const int64_t channels = x->dims[1], len = x->dims[2], k = c->in[1]->dims[2];
    double *p = scratch(c, (size_t)(2 * len + 2 * k), err);
    if (!p)
        return PLN_E_NOMEM;
    double *y = p + len + k - 1, *w = y + len;
    for (int64_t r = 0; r < x->dims[0] * channels; r++) {
        const int64_t ch = r % channels;
        const double bias = pln_call_has(c, 2) ? pln_tensor_get_f64(c->in[2], ch) : 0;
        memset(p, 0, (size_t)(k - 1) * sizeof *p);
        if (pln_call_has(c, 3))
            pln_block_load(PLN_DT_F64, p, c->in[3], r * (k - 1), 1, k - 1);
        pln_block_load(PLN_DT_F64, p + k - 1, x, r * len, 1, len);
        pln_block_load(PLN_DT_F64, w, c->in[1], ch * k, 1, k);
        for (int64_t i = 0; i < len; i++)
            y[i] = causal_point(c, p + i, w, k, bias);
        if (pln_call_wants(c, 0))
            pln_block_store(c->out[0], r * len, 1, PLN_DT_F64, y, len);
        if (pln_call_wants(c, 1))
            pln_block_store(c->out[1], r * (k - 1), 1, PLN_DT_F64, p + len, k - 1);
    }
    return PLN_OK;
}

static pln_status causal_infer(pln_infer *inf, pln_error *err)
{
    const pln_dim k = pln_infer_dim(inf, 1, 2);
    pln_shape s = pln_infer_shape(inf, 3);
    PLN_TRY(pln_infer_same(inf, err));
    if (s.rank != 3)
        return pln_oom(err);
    s.dims[0] = pln_infer_dim(inf, 0, 0);
    s.dims[1] = pln_infer_dim(inf, 0, 1);
    s.dims[2] = pln_dim_sub(inf->syms, k, pln_dim_of(1));
    if (pln_dim_is(k, 0))
        return pln_infer_fail(inf, err, "weight has no elements");
    pln_infer_set(inf, 1, pln_infer_dtype(inf, 0), s);
    return PLN_OK;
}

#define FLOATS "float,float16,bfloat16"

const pln_op_desc pln_ops_stateful[] = {
    { .name = "LinearAttention",
      .domain = "",
      .since = 27,
      .in = { 3, 6 },
      .out = { 1, 2 },
      .types = "T:" FLOATS ";S:" FLOATS,
      .sig = "T,T,T,S?,T?,T?->T,S?",
      .attrs = linear_spec,
      .attrs_size = sizeof(linear_attrs),
      .infer = linear_infer,
      .ref = linear_ref },
    { .name = "CausalConvWithState",
      .domain = "",
      .since = 27,
      .in = { 2, 4 },
      .out = { 1, 2 },
      .types = "T:" FLOATS,
      .sig = "T,T,T?,T?->T,T?",
      .attrs = causal_spec,
      .attrs_size = sizeof(causal_attrs),
      .infer = causal_infer,
      .ref = causal_ref },
    { .name = NULL },
};
