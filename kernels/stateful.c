/* Operators that hand a state to the next call: LinearAttention, CausalConvWithState, of
 * the standard and of com.microsoft (which has more layouts, and windows of states).
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/stateful.h"

#include "kernels/block.h"
#include "kernels/type_sets.h"
#include "src/ir/op.h"
#include "src/util/parallel.h"
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

static bool is_ms(const pln_node *n)
{
    return *n->domain != 0;
}

/* ---- LinearAttention --------------------------------------------------------------- */

typedef struct linear_attrs {
    int64_t q_num_heads, kv_num_heads, chunk_size, state_window;
    float scale;
    int update_rule;
} linear_attrs;

#define LINEAR_SPEC                                                                  \
    { .name = "q_num_heads",                                                         \
      .type = PLN_ATTR_INT,                                                          \
      .required = true,                                                              \
      .offset = offsetof(linear_attrs, q_num_heads) },                               \
        { .name = "kv_num_heads",                                                    \
          .type = PLN_ATTR_INT,                                                      \
          .required = true,                                                          \
          .offset = offsetof(linear_attrs, kv_num_heads) },                          \
        PLN_A_INT(linear_attrs, chunk_size, 64), /* a hint that changes no result */ \
        PLN_A_FLOAT(linear_attrs, scale, 0.0f),                                      \
        PLN_A_ENUM(linear_attrs, update_rule, "linear|gated|delta|gated_delta",      \
                   "gated_delta")
static const pln_attr_spec linear_spec[] = { LINEAR_SPEC, PLN_A_END };
static const pln_attr_spec linear_ms_spec[] = {
    LINEAR_SPEC,
    PLN_A_INT(linear_attrs, state_window, 0),
    PLN_A_END,
};

typedef struct linear {
    const pln_call *c;
    int64_t batch, steps, q_heads, heads, k_dim, v_dim;
    int64_t group;  /* queries of a head of keys; below 1 the reverse: -n heads of
                       keys for a query */
    int64_t window; /* states that the state tensors hold; 0: one, no dimension */
    int64_t n_decay, n_beta; /* last dimensions of decay and beta; 0: absent */
    double scale;
    double *work; /* of each slot */
    int64_t work_size, slots;
} linear;

/* Last dimension of an optional [batch, steps, n], one of two sizes. */
static pln_status gate_size(const linear *l, uint32_t i, bool wanted, int64_t a,
                            int64_t b, int64_t *n, pln_error *err)
{
    const pln_tensor *t = pln_call_has(l->c, i) ? l->c->in[i] : NULL;
    *n = 0;
    if (t && !wanted && is_ms(l->c->node)) /* there it is ignored */
        return PLN_OK;
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

static pln_status check_past(const linear *l, pln_error *err)
{
    const pln_tensor *past = pln_call_has(l->c, 3) ? l->c->in[3] : NULL;
    const int64_t want[5] = { l->window, l->batch, l->heads, l->k_dim, l->v_dim };
    const int skip = l->window ? 0 : 1;
    for (int d = skip; past && d < 5; d++)
        if (past->rank != 5 - skip || past->dims[d - skip] != want[d])
            return pln_call_fail(l->c, err, PLN_E_RUN, "past_state does not fit");
    return PLN_OK;
}

static pln_status linear_find(const pln_call *c, linear *l, pln_error *err)
{
    const linear_attrs *a = (const linear_attrs *)c->attrs;
    const pln_tensor *q = c->in[0], *k = c->in[1], *v = c->in[2];
    const int64_t qh = a->q_num_heads, h = a->kv_num_heads;
    if (q->rank != 3 || k->rank != 3 || v->rank != 3 || qh < 1 || h < 1 ||
        (qh % h && (!is_ms(c->node) || h % qh)) || q->dims[2] % qh || k->dims[2] % h ||
        v->dims[2] % h || q->dims[2] / qh != k->dims[2] / h)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "query, key and value do not make %lld and %lld heads",
                             (long long)qh, (long long)h);
    for (int d = 0; d < 2; d++)
        if (k->dims[d] != q->dims[d] || v->dims[d] != q->dims[d])
            return pln_call_fail(c, err, PLN_E_RUN, "key or value differ in dimension %d",
                                 d);
    if (a->state_window < 0 || a->state_window > 8)
        return pln_call_fail(c, err, PLN_E_RUN, "state_window is %lld",
                             (long long)a->state_window);
    *l = (linear){ .c = c,
                   .batch = q->dims[0],
                   .steps = q->dims[1],
                   .q_heads = qh,
                   .heads = h,
                   .group = qh % h ? -(h / qh) : qh / h,
                   .window = a->state_window,
                   .k_dim = q->dims[2] / qh,
                   .v_dim = v->dims[2] / h };
    l->scale = a->scale != 0 ? a->scale : 1 / sqrt((double)l->k_dim);
    PLN_TRY(gate_size(l, 4, a->update_rule & PLN_RULE_GATED, h, h * l->k_dim, &l->n_decay,
                      err));
    PLN_TRY(gate_size(l, 5, a->update_rule & PLN_RULE_DELTA, h, 1, &l->n_beta, err));
    return check_past(l, err);
}

void pln_state_step(double *state, int64_t k_dim, int64_t v_dim, const double *decay,
                    int64_t n_decay, int rule, double beta, const double *k, double *v)
{
    for (int64_t i = 0; n_decay && i < k_dim; i++) {
        const double g = exp(decay[n_decay == 1 ? 0 : i]);
        for (int64_t m = 0; m < v_dim; m++)
            state[i * v_dim + m] *= g;
    }
    if (rule & PLN_RULE_DELTA) {
        for (int64_t i = 0; i < k_dim; i++)
            for (int64_t m = 0; m < v_dim; m++)
                v[m] -= state[i * v_dim + m] * k[i];
        for (int64_t m = 0; m < v_dim; m++)
            v[m] *= beta;
    }
    for (int64_t i = 0; i < k_dim; i++)
        for (int64_t m = 0; m < v_dim; m++)
            state[i * v_dim + m] += k[i] * v[m];
}

void pln_state_read(const double *state, int64_t k_dim, int64_t v_dim, const double *q,
                    double scale, double *y)
{
    memset(y, 0, (size_t)v_dim * sizeof *y);
    for (int64_t i = 0; i < k_dim; i++)
        for (int64_t m = 0; m < v_dim; m++)
            y[m] += q[i] * state[i * v_dim + m];
    for (int64_t m = 0; m < v_dim; m++)
        y[m] *= scale;
}

/* One step of one key head: the state decays, is corrected and takes in k v^T. */
static void update(const linear *l, int64_t b, int64_t h, int64_t t, double *state,
                   double *k, double *v, double *decay)
{
    const linear_attrs *a = (const linear_attrs *)l->c->attrs;
    const int64_t row = b * l->steps + t;
    const int64_t n = l->n_decay == 0 ? 0 : l->n_decay == l->heads ? 1 : l->k_dim;
    double beta = 1;
    pln_block_load(PLN_DT_F64, k, l->c->in[1], (row * l->heads + h) * l->k_dim, 1,
                   l->k_dim);
    pln_block_load(PLN_DT_F64, v, l->c->in[2], (row * l->heads + h) * l->v_dim, 1,
                   l->v_dim);
    if (n)
        pln_block_load(PLN_DT_F64, decay, l->c->in[4], row * l->n_decay + h * n, 1, n);
    if (l->n_beta)
        beta =
            pln_tensor_get_f64(l->c->in[5], row * l->n_beta + (l->n_beta == 1 ? 0 : h));
    pln_state_step(state, l->k_dim, l->v_dim, decay, n, a->update_rule, beta, k, v);
}

/* What query head qh reads from the state of a step becomes output head `out`. */
static void read_state(const linear *l, int64_t b, int64_t qh, int64_t out, int64_t t,
                       const double *state, double *q, double *y)
{
    const int64_t row = b * l->steps + t;
    const int64_t heads = l->group < 0 ? l->heads : l->q_heads;
    pln_block_load(PLN_DT_F64, q, l->c->in[0], (row * l->q_heads + qh) * l->k_dim, 1,
                   l->k_dim);
    pln_state_read(state, l->k_dim, l->v_dim, q, l->scale, y);
    if (pln_call_wants(l->c, 0))
        pln_block_store(l->c->out[0], (row * heads + out) * l->v_dim, 1, PLN_DT_F64, y,
                        l->v_dim);
}

static void one_head(const linear *l, int64_t r, double *state)
{
    const pln_call *c = l->c;
    const int64_t n = l->k_dim * l->v_dim, b = r / l->heads, h = r % l->heads;
    const int64_t slots = l->window ? l->window : 1, each = l->batch * l->heads * n;
    double *k = state + n, *q = k + l->k_dim, *v = q + l->k_dim, *y = v + l->v_dim,
           *decay = y + l->v_dim;
    memset(state, 0, (size_t)n * sizeof *state);
    for (int64_t j = 0; j < slots - l->steps && pln_call_wants(c, 1); j++)
        pln_block_store(c->out[1], j * each + r * n, 1, PLN_DT_F64, state, n);
    if (pln_call_has(c, 3))
        pln_block_load(PLN_DT_F64, state, c->in[3], (slots - 1) * each + r * n, 1, n);
    for (int64_t t = 0; t < l->steps; t++) {
        update(l, b, h, t, state, k, v, decay);
        for (int64_t g = 0; g < l->group; g++)
            read_state(l, b, h * l->group + g, h * l->group + g, t, state, q, y);
        if (l->group < 0)
            read_state(l, b, h / -l->group, h, t, state, q, y);
        const int64_t slot = slots - l->steps + t;
        if (slot >= 0 && pln_call_wants(c, 1))
            pln_block_store(c->out[1], slot * each + r * n, 1, PLN_DT_F64, state, n);
    }
    if (l->steps == 0 && pln_call_wants(c, 1))
        pln_block_store(c->out[1], (slots - 1) * each + r * n, 1, PLN_DT_F64, state, n);
}

static void some_heads(void *arg, int64_t begin, int64_t end)
{
    const linear *l = (const linear *)arg;
    const int64_t n = l->batch * l->heads;
    for (int64_t s = begin; s < end; s++)
        for (int64_t r = n * s / l->slots; r < n * (s + 1) / l->slots; r++)
            one_head(l, r, l->work + s * l->work_size);
}

static pln_status linear_any(pln_call *c, int threads, pln_error *err)
{
    linear l = { 0 };
    size_t n;
    PLN_TRY(linear_find(c, &l, err));
    l.slots = threads > 1 ? threads : 1;
    if (!pln_size_mul(&n, (size_t)l.k_dim, (size_t)l.v_dim) || n > SIZE_MAX / 64)
        return pln_oom(err);
    l.work_size = (int64_t)n + 3 * l.k_dim + 2 * l.v_dim + 1;
    if (!pln_size_mul(&n, (size_t)l.work_size, (size_t)l.slots))
        return pln_oom(err);
    l.work = scratch(c, n, err);
    if (!l.work)
        return PLN_E_NOMEM;
    pln_parallel_for(threads, l.slots, 1, some_heads, &l);
    return PLN_OK;
}

static pln_status linear_ref(pln_call *c, pln_error *err)
{
    return linear_any(c, 1, err);
}

static pln_status linear_run(pln_call *c, pln_error *err)
{
    return linear_any(c, c->n_threads, err);
}

static pln_status plain_layouts(pln_prep *p, pln_error *err)
{
    (void)err;
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    return PLN_OK;
}

static const pln_impl linear_cpu = { "linear_attention", plain_layouts, linear_run,
                                     NULL };

static pln_status linear_infer(pln_infer *inf, pln_error *err)
{
    const linear_attrs *a = (const linear_attrs *)inf->attrs;
    const int64_t most =
        a->q_num_heads > a->kv_num_heads ? a->q_num_heads : a->kv_num_heads;
    const pln_dim qh = pln_dim_of(a->q_num_heads), h = pln_dim_of(a->kv_num_heads);
    const pln_dtype dt = pln_infer_dtype(inf, 0);
    const int lead = a->state_window > 0;
    pln_shape y = pln_infer_shape(inf, 3), s = pln_infer_shape(inf, 4 + lead);
    if (y.rank != 3 || s.rank != 4 + lead)
        return pln_oom(err);
    if (a->q_num_heads < 1 || a->kv_num_heads < 1)
        return pln_infer_fail(inf, err, "%lld and %lld heads", (long long)a->q_num_heads,
                              (long long)a->kv_num_heads);
    const pln_dim v_dim = pln_dim_div(inf->syms, pln_infer_dim(inf, 2, 2), h);
    y.dims[0] = s.dims[lead] = pln_infer_dim(inf, 0, 0);
    y.dims[1] = pln_infer_dim(inf, 0, 1);
    y.dims[2] = pln_dim_mul(inf->syms, v_dim, pln_dim_of(most));
    if (lead)
        s.dims[0] = pln_dim_of(a->state_window);
    s.dims[lead + 1] = h;
    s.dims[lead + 2] = pln_dim_div(inf->syms, pln_infer_dim(inf, 0, 2), qh);
    s.dims[lead + 3] = v_dim;
    pln_infer_set(inf, 0, dt, y);
    pln_infer_set(inf, 1, pln_infer_has(inf, 3) ? pln_infer_dtype(inf, 3) : dt, s);
    return PLN_OK;
}

/* ---- CausalConvWithState ----------------------------------------------------------- */

typedef struct causal_attrs {
    int activation; /* 0 none, 1 silu, 2 swish */
    int64_t dilation, ndim, channels_last, state_window;
    int64_t state_update_capacity, state_channels_last, state_length,
        input_channel_offset, input_channels;
} causal_attrs;

static const pln_attr_spec causal_spec[] = {
    PLN_A_ENUM(causal_attrs, activation, "none|silu|swish", "none"),
    PLN_A_END,
};
static const pln_attr_spec causal_ms_spec[] = {
    PLN_A_ENUM(causal_attrs, activation, "none|silu|swish", "none"),
    PLN_A_INT(causal_attrs, dilation, 1),
    PLN_A_INT(causal_attrs, ndim, 1),
    PLN_A_INT(causal_attrs, channels_last, 0),
    PLN_A_INT(causal_attrs, state_window, 0),
    /* of CUDA's kernel alone */
    PLN_A_INT(causal_attrs, state_update_capacity, 0),
    PLN_A_INT(causal_attrs, state_channels_last, -1),
    PLN_A_INT(causal_attrs, state_length, 0),
    PLN_A_INT(causal_attrs, input_channel_offset, 0),
    PLN_A_INT(causal_attrs, input_channels, 0),
    PLN_A_END,
};

typedef struct causal {
    const pln_call *c;
    int64_t batch, channels, len, k, dilation, state, window;
    bool last; /* channels last */
    double *work;
    int64_t work_size, slots;
} causal;

static pln_status causal_check_attrs(pln_node *n, void *attrs, pln_error *err)
{
    const causal_attrs *a = (const causal_attrs *)attrs;
    char where[256];
    if (!is_ms(n))
        return PLN_OK;
    pln_node_where(n, where, sizeof where);
    if (a->ndim != 1 || a->state_update_capacity || a->state_channels_last != -1 ||
        a->state_length || a->input_channel_offset || a->input_channels)
        return pln_fail(err, PLN_E_UNSUPPORTED,
                        "%s: only one dimension (ndim 1) and none of the attributes for "
                        "CUDA alone can be run",
                        where);
    if (a->dilation < 1 || a->dilation > INT32_MAX || a->state_window < 0 ||
        a->state_window > 8)
        return pln_fail(err, PLN_E_FORMAT, "%s: dilation %lld, state_window %lld", where,
                        (long long)a->dilation, (long long)a->state_window);
    return PLN_OK;
}

static bool past_fits(const causal *f, const pln_tensor *past)
{
    const pln_tensor *x = f->c->in[0];
    const int lead = f->window > 0;
    if (past->rank != x->rank + lead || (lead && past->dims[0] != f->window))
        return false;
    for (int d = 0; d < x->rank; d++) {
        const bool along = d == (f->last ? 1 : 2);
        if (past->dims[d + lead] != (along ? f->state : x->dims[d]))
            return false;
    }
    return true;
}

static pln_status causal_find(const pln_call *c, causal *f, pln_error *err)
{
    const causal_attrs *a = (const causal_attrs *)c->attrs;
    const pln_tensor *x = c->in[0], *w = c->in[1];
    *f = (causal){ .c = c, .dilation = 1, .channels = 1 };
    if (is_ms(c->node)) {
        f->dilation = a->dilation;
        f->window = a->state_window;
        f->last = a->channels_last != 0;
    }
    if (f->last ? x->rank < 3 : x->rank != 3)
        return pln_call_fail(c, err, PLN_E_RUN, "input has rank %d", x->rank);
    f->batch = x->dims[0];
    f->len = x->dims[f->last ? 1 : 2];
    if (!f->last)
        f->channels = x->dims[1];
    for (int d = 2; f->last && d < x->rank; d++)
        f->channels *= x->dims[d];
    if (w->rank != 3 || w->dims[0] != f->channels || w->dims[1] != 1 || w->dims[2] < 1)
        return pln_call_fail(c, err, PLN_E_RUN, "weight is not [channels, 1, k]");
    f->k = w->dims[2];
    if (!pln_i64_mul(&f->state, f->k - 1, f->dilation))
        return pln_oom(err);
    if (pln_call_has(c, 2) && pln_tensor_size(c->in[2]) != f->channels)
        return pln_call_fail(c, err, PLN_E_RUN, "bias is not one for each channel");
    if (pln_call_has(c, 3) && !past_fits(f, c->in[3]))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "past_state does not fit to %lld positions",
                             (long long)f->state);
    return PLN_OK;
}

/* The sum is rounded to the tensor's type before the activation, as the standard's
 * function has a tensor there. */
static double causal_point(const causal *f, const double *x, const double *w, double bias)
{
    const causal_attrs *a = (const causal_attrs *)f->c->attrs;
    const pln_dtype dt = (pln_dtype)f->c->in[0]->dtype;
    double v = bias;
    char raw[8];
    for (int64_t i = 0; i < f->k; i++)
        v += x[i * f->dilation] * w[i];
    pln_block_convert(dt, raw, PLN_DT_F64, &v, 1);
    pln_block_convert(PLN_DT_F64, &v, dt, raw, 1);
    return a->activation ? v / (1 + exp(-v)) : v;
}

/* Where a run of n positions of one channel begins in [batch, channels, n], or with
 * channels last in [batch, n, channels]. */
static int64_t run_at(const causal *f, int64_t b, int64_t ch, int64_t n)
{
    return f->last ? b * n * f->channels + ch : (b * f->channels + ch) * n;
}

static void store_states(const causal *f, int64_t b, int64_t ch, double *p)
{
    const pln_call *c = f->c;
    const int64_t slots = f->window ? f->window : 1, step = f->last ? f->channels : 1;
    const int64_t at = run_at(f, b, ch, f->state),
                  each = f->batch * f->channels * f->state;
    for (int64_t j = 0; pln_call_wants(c, 1) && j < slots; j++) {
        const int64_t from = f->len - slots + j + 1; /* after that many positions */
        for (int64_t i = 0; i < f->state; i++) {
            const double zero = 0;
            const bool is_new = from > 0 || j == slots - 1;
            pln_block_store(c->out[1], j * each + at + i * step, 1, PLN_DT_F64,
                            is_new ? p + (from > 0 ? from : 0) + i : &zero, 1);
        }
    }
}

static void one_channel(const causal *f, int64_t r, double *p)
{
    const pln_call *c = f->c;
    const int64_t b = r / f->channels, ch = r % f->channels;
    const int64_t step = f->last ? f->channels : 1, slots = f->window ? f->window : 1;
    const double bias = pln_call_has(c, 2) ? pln_tensor_get_f64(c->in[2], ch) : 0;
    double *y = p + f->state + f->len, *w = y + f->len;
    memset(p, 0, (size_t)f->state * sizeof *p);
    if (pln_call_has(c, 3))
        pln_block_load(PLN_DT_F64, p, c->in[3],
                       (slots - 1) * f->batch * f->channels * f->state +
                           run_at(f, b, ch, f->state),
                       step, f->state);
    pln_block_load(PLN_DT_F64, p + f->state, c->in[0], run_at(f, b, ch, f->len), step,
                   f->len);
    pln_block_load(PLN_DT_F64, w, c->in[1], ch * f->k, 1, f->k);
    for (int64_t i = 0; i < f->len; i++)
        y[i] = causal_point(f, p + i, w, bias);
    if (pln_call_wants(c, 0))
        pln_block_store(c->out[0], run_at(f, b, ch, f->len), step, PLN_DT_F64, y, f->len);
    store_states(f, b, ch, p);
}

static void some_channels(void *arg, int64_t begin, int64_t end)
{
    const causal *f = (const causal *)arg;
    const int64_t n = f->batch * f->channels;
    for (int64_t s = begin; s < end; s++)
        for (int64_t r = n * s / f->slots; r < n * (s + 1) / f->slots; r++)
            one_channel(f, r, f->work + s * f->work_size);
}

static pln_status causal_any(pln_call *c, int threads, pln_error *err)
{
    causal f = { 0 };
    size_t n;
    PLN_TRY(causal_find(c, &f, err));
    f.slots = threads > 1 ? threads : 1;
    f.work_size = f.state + 2 * f.len + f.k + 1;
    if (!pln_size_mul(&n, (size_t)f.work_size, (size_t)f.slots))
        return pln_oom(err);
    f.work = scratch(c, n, err);
    if (!f.work)
        return PLN_E_NOMEM;
    pln_parallel_for(threads, f.slots, 1, some_channels, &f);
    return PLN_OK;
}

static pln_status causal_ref(pln_call *c, pln_error *err)
{
    return causal_any(c, 1, err);
}

static pln_status causal_run(pln_call *c, pln_error *err)
{
    return causal_any(c, c->n_threads, err);
}

static const pln_impl causal_cpu = { "causal_conv", plain_layouts, causal_run, NULL };

static pln_status causal_infer(pln_infer *inf, pln_error *err)
{
    const causal_attrs *a = (const causal_attrs *)inf->attrs;
    const bool ms = is_ms(inf->node);
    const int rank = pln_infer_rank(inf, 0), lead = ms && a->state_window > 0;
    const pln_dim k = pln_infer_dim(inf, 1, 2);
    PLN_TRY(pln_infer_same(inf, err));
    if (pln_dim_is(k, 0))
        return pln_infer_fail(inf, err, "weight has no elements");
    if (rank == PLN_RANK_UNKNOWN || rank + lead > PLN_MAX_RANK)
        return PLN_OK;
    pln_shape s = pln_infer_shape(inf, rank + lead);
    if (s.rank != rank + lead)
        return pln_oom(err);
    for (int d = 0; d < rank; d++)
        s.dims[d + lead] = pln_infer_dim(inf, 0, d);
    const int along = ms && a->channels_last ? 1 : 2;
    if (along < rank)
        s.dims[along + lead] =
            pln_dim_mul(inf->syms, pln_dim_sub(inf->syms, k, pln_dim_of(1)),
                        pln_dim_of(ms ? a->dilation : 1));
    if (lead)
        s.dims[0] = pln_dim_of(a->state_window);
    pln_infer_set(inf, 1, pln_infer_dtype(inf, 0), s);
    return PLN_OK;
}

#define FLOATS "float,float16,bfloat16"
#define LINEAR_ROW                                                      \
    .in = { 3, 6 }, .out = { 1, 2 }, .types = "T:" FLOATS ";S:" FLOATS, \
    .sig = "T,T,T,S?,T?,T?->T,S?", .attrs_size = sizeof(linear_attrs),  \
    .infer = linear_infer, .ref = linear_ref, .cpu = &linear_cpu
#define CAUSAL_ROW                                                            \
    .in = { 2, 4 }, .types = "T:" FLOATS, .attrs_size = sizeof(causal_attrs), \
    .check = causal_check_attrs, .infer = causal_infer, .ref = causal_ref,    \
    .cpu = &causal_cpu

const pln_op_desc pln_ops_stateful[] = {
    { .name = "LinearAttention",
      .domain = "",
      .since = 27,
      .attrs = linear_spec,
      LINEAR_ROW },
    { .name = "LinearAttention",
      .domain = "com.microsoft",
      .since = 1,
      .attrs = linear_ms_spec,
      LINEAR_ROW },
    { .name = "CausalConvWithState",
      .domain = "",
      .since = 27,
      .out = { 1, 2 },
      .sig = "T,T,T?,T?->T,T?",
      .attrs = causal_spec,
      CAUSAL_ROW },
    { .name = "CausalConvWithState",
      .domain = "com.microsoft",
      .since = 1,
      .out = { 1, 3 },
      .sig = "T,T,T?,T?->T,T?,T?",
      .attrs = causal_ms_spec,
      CAUSAL_ROW },
    { .name = NULL },
};
