/* Mixture of experts: each token goes through the k experts that its router prefers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ms_attention.h"
#include "kernels/ms_moe.h"
#include "kernels/vec.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

enum { RELU, GELU, SILU, SWIGLU, IDENTITY, RELU2, GEGLU };

/* ---- sizes ---- */

static pln_status find_bias(pln_moe *m, int fc, pln_error *err)
{
    pln_call *c = m->c;
    if (!pln_call_has(c, m->b[fc]))
        return PLN_OK;
    if (pln_tensor_size(c->in[m->b[fc]]) != m->experts * m->n[fc])
        return pln_call_fail(c, err, PLN_E_RUN, "bias (input %u) does not fit", m->b[fc]);
    return pln_ms_input(c, m->b[fc], &m->bias[fc], err);
}

static pln_status check_attrs(const pln_moe *m, pln_error *err)
{
    const pln_moe_attrs *at = m->at;
    if (at->use_sparse_mixer && at->k != 2)
        return pln_call_fail(m->c, err, PLN_E_RUN,
                             "the sparse mixer takes 2 experts, not %lld",
                             (long long)at->k);
    if (at->swiglu_fusion < 0 || at->swiglu_fusion > 2 ||
        (at->activation_type == GEGLU && !at->swiglu_fusion))
        return pln_call_fail(m->c, err, PLN_E_RUN, "swiglu_fusion is %lld",
                             (long long)at->swiglu_fusion);
    return PLN_OK;
}

pln_status pln_moe_find(pln_moe *m, pln_error *err)
{
    pln_call *c = m->c;
    const pln_moe_attrs *at = m->at;
    const pln_tensor *x = c->in[0], *r = c->in[1], *w1 = c->in[m->w[PLN_MOE_FC1]];
    PLN_TRY(check_attrs(m, err));
    if ((x->rank != 2 && x->rank != 3) || r->rank != 2 || w1->rank != 3)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "input, router_probs and weights have ranks %d, %d, %d",
                             x->rank, r->rank, w1->rank);
    m->gated = at->activation_type == SWIGLU || at->activation_type == GEGLU;
    m->fused = m->gated && at->swiglu_fusion;
    m->hidden = x->dims[x->rank - 1];
    m->tokens = x->rank == 3 ? x->dims[0] * x->dims[1] : x->dims[0];
    m->experts = r->dims[1];
    m->wide = w1->dims[1];
    m->inter = m->fused ? m->wide / 2 : m->wide;
    if (r->dims[0] != m->tokens || at->k < 1 || at->k > m->experts ||
        (m->fused && m->wide % 2) ||
        (m->gated && !m->fused) != pln_call_has(c, m->w[PLN_MOE_FC3]))
        return pln_call_fail(
            c, err, PLN_E_RUN,
            "%lld tokens, %lld of %lld experts of %lld x %lld: the inputs do "
            "not fit",
            (long long)m->tokens, (long long)at->k, (long long)m->experts,
            (long long)m->wide, (long long)m->hidden);
    m->n[PLN_MOE_FC1] = m->wide;
    m->n[PLN_MOE_FC2] = m->k[PLN_MOE_FC1] = m->k[PLN_MOE_FC3] = m->hidden;
    m->n[PLN_MOE_FC3] = m->k[PLN_MOE_FC2] = m->inter;
    for (int fc = 0; fc < 3; fc++)
        PLN_TRY(find_bias(m, fc, err));
    PLN_TRY(pln_ms_input(c, 0, &m->x, err));
    return pln_ms_input(c, 1, &m->router, err);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static pln_status find_room(pln_moe *m, pln_error *err)
{
    pln_call *c = m->c;
    int64_t n;
    if (!pln_i64_mul(&n, m->tokens, larger(m->wide, larger(m->hidden, m->experts))) ||
        n > INT64_MAX / 64)
        return pln_oom(err);
    PLN_TRY(pln_ms_floats(c, m->tokens * m->experts, &m->share, err));
    PLN_TRY(pln_ms_floats(c, m->tokens * m->hidden, &m->in, err));
    PLN_TRY(pln_ms_floats(c, m->tokens * m->hidden, &m->out, err));
    PLN_TRY(pln_ms_floats(c, m->tokens * m->wide, &m->up, err));
    PLN_TRY(pln_ms_floats(c, m->tokens * m->wide, &m->gate, err));
    PLN_TRY(pln_ms_floats(c, m->inter, &m->g, err));
    PLN_TRY(pln_ms_floats(c, m->inter, &m->l, err));
    m->chosen = pln_call_scratch(c, (size_t)(m->tokens * m->experts) + 1);
    m->rows = pln_call_scratch(c, (size_t)(m->tokens + 1) * sizeof *m->rows);
    return m->rows && m->chosen ? PLN_OK : pln_oom(err);
}

/* ---- routing ---- */

/* The largest that is not chosen yet, the first of equals. */
static int64_t next_best(const float *p, const bool *chosen, int64_t n)
{
    int64_t best = -1;
    for (int64_t e = 0; e < n; e++)
        if (!chosen[e] && (best < 0 || p[e] > p[best]))
            best = e;
    return best;
}

/* The k largest and their softmax, over all experts or over the chosen ones. */
static void route(const pln_moe *m, const float *p, bool *chosen, float *share)
{
    double top = -INFINITY, all = 0, sum = 0;
    for (int64_t e = 0; e < m->experts; e++)
        top = p[e] > top ? p[e] : top;
    for (int64_t e = 0; e < m->experts; e++)
        all += exp(p[e] - top);
    for (int64_t i = 0; i < m->at->k; i++) {
        const int64_t best = next_best(p, chosen, m->experts);
        chosen[best] = true;
        share[best] = (float)exp(p[best] - top);
        sum += share[best];
    }
    const bool of_chosen = m->softmax_of_chosen || m->at->normalize_routing_weights;
    for (int64_t e = 0; e < m->experts; e++)
        share[e] = (float)(share[e] / (of_chosen ? sum : all));
}

/* Shares that are given, of the experts that the logits choose. */
static void route_mix(const pln_moe *m, const float *p, const float *mix, bool *chosen,
                      float *share)
{
    double sum = 0;
    for (int64_t i = 0; i < m->at->k; i++) {
        const int64_t best = next_best(p, chosen, m->experts);
        chosen[best] = true;
        share[best] = mix[best];
        sum += mix[best];
    }
    for (int64_t e = 0; m->at->normalize_routing_weights && sum != 0 && e < m->experts;
         e++)
        share[e] = (float)(share[e] / sum);
}

/* SparseMixer at inference: the two largest, each with its softmax among those that were
 * left and lie within 2% of it. */
static void route_sparse(const pln_moe *m, const float *p, bool *chosen, float *share)
{
    for (int i = 0; i < 2; i++) {
        const int64_t best = next_best(p, chosen, m->experts);
        double sum = 0;
        for (int64_t e = 0; e < m->experts; e++) {
            const float size = fabsf(p[e]) > p[best] ? fabsf(p[e]) : p[best];
            if (!chosen[e] && !((p[best] - p[e]) / size > 0.02f))
                sum += exp((double)p[e] - p[best]);
        }
        chosen[best] = true;
        share[best] = (float)(1 / sum);
    }
}

static void route_all(const pln_moe *m)
{
    memset(m->share, 0, (size_t)(m->tokens * m->experts) * sizeof *m->share);
    memset(m->chosen, 0, (size_t)(m->tokens * m->experts));
    for (int64_t t = 0; t < m->tokens; t++) {
        const int64_t at = t * m->experts;
        if (m->mix)
            route_mix(m, m->router + at, m->mix + at, m->chosen + at, m->share + at);
        else if (m->at->use_sparse_mixer)
            route_sparse(m, m->router + at, m->chosen + at, m->share + at);
        else
            route(m, m->router + at, m->chosen + at, m->share + at);
    }
}

/* ---- activations ---- */

static float gelu(float v)
{
    return 0.5f * v * (1 + tanhf(0.79788456f * (v + 0.044715f * v * v * v)));
}

static float gate(const pln_moe_attrs *at, float g, float l)
{
    const float limit = at->has_limit ? at->swiglu_limit : INFINITY;
    if (at->activation_type == GEGLU)
        return gelu(g) * l;
    if (!at->swiglu_limit_after_activation)
        g = g < limit ? g : limit;
    l = l < limit ? l : limit;
    l = l > -limit ? l : -limit;
    g = g / (1 + expf(-at->activation_alpha * g));
    if (at->swiglu_limit_after_activation)
        g = g < limit ? g : limit;
    return g * (l + at->activation_beta);
}

static float activation(int type, float v)
{
    switch (type) {
    case RELU:
        return v > 0 ? v : 0;
    case RELU2:
        return v > 0 ? v * v : 0;
    case GELU:
        return gelu(v);
    case SILU:
        return v / (1 + expf(-v));
    default:
        return v;
    }
}

/* Row i of what fc1 (and fc3) gave, as gates and values. */
static void split_row(const pln_moe *m, int64_t i, float *g, float *l)
{
    const int64_t n = m->inter;
    const float *from = m->up + i * m->wide;
    if (m->at->swiglu_fusion == 1) {
        for (int64_t j = 0; j < n; j++) {
            g[j] = from[2 * j];
            l[j] = from[2 * j + 1];
        }
    } else {
        memcpy(g, from, (size_t)n * sizeof *g);
        memcpy(l, m->fused ? from + n : m->gate + i * n, (size_t)n * sizeof *l);
    }
}

/* y = gate(g, l), where y may be g. */
static void gate_row(const pln_moe *m, float *y, float *g, float *l)
{
    const pln_moe_attrs *at = m->at;
    const pln_vec_fns *v = pln_vec();
    const int64_t n = m->inter;
    const float limit = at->has_limit ? at->swiglu_limit : INFINITY;
    if (m->plain || !(limit > 0)) {
        for (int64_t j = 0; j < n; j++)
            y[j] = gate(at, g[j], l[j]);
        return;
    }
    if (at->activation_type == GEGLU) {
        v->gelu_tanh(g, g, n, 0, 0);
        v->mul(y, g, 1, l, 1, n);
        return;
    }
    if (at->has_limit)
        v->clip(l, l, n, -limit, limit);
    if (at->has_limit && !at->swiglu_limit_after_activation)
        v->min(g, g, 1, &limit, 0, n);
    v->swish(g, g, n, at->activation_alpha, 0);
    if (at->has_limit && at->swiglu_limit_after_activation)
        v->min(g, g, 1, &limit, 0, n);
    v->linear(l, l, n, 1, at->activation_beta);
    v->mul(y, g, 1, l, 1, n);
}

static void activate_row(const pln_moe *m, float *x)
{
    const int type = m->at->activation_type;
    const pln_vec_fns *v = pln_vec();
    const pln_vec_unary by_type[] = { [RELU] = v->relu, [GELU] = v->gelu_tanh,
                                      [SILU] = v->swish };
    if (!m->plain && type <= SILU)
        by_type[type](x, x, m->inter, 1, 0);
    else
        for (int64_t j = 0; j < m->inter; j++)
            x[j] = activation(type, x[j]);
}

/* m->up becomes [rows][inter]; row by row, never ahead of what is read. */
static void activate(const pln_moe *m, int64_t rows)
{
    for (int64_t i = 0; i < rows; i++) {
        if (m->gated) {
            split_row(m, i, m->g, m->l);
            gate_row(m, m->up + i * m->inter, m->g, m->l);
        } else {
            activate_row(m, m->up + i * m->inter);
        }
    }
}

/* ---- one expert ---- */

static pln_status product(pln_moe *m, int fc, int64_t e, const float *a, int64_t rows,
                          float *y, pln_error *err)
{
    const int64_t n = m->n[fc];
    PLN_TRY(m->product(m, fc, e, a, rows, y, err));
    for (int64_t i = 0; m->bias[fc] && i < rows; i++)
        pln_vec()->add_to(y + i * n, m->bias[fc] + e * n, n);
    return PLN_OK;
}

static int64_t gather(const pln_moe *m, int64_t e)
{
    int64_t rows = 0;
    for (int64_t t = 0; t < m->tokens; t++) {
        if (!m->chosen[t * m->experts + e])
            continue;
        memcpy(m->in + rows * m->hidden, m->x + t * m->hidden,
               (size_t)m->hidden * sizeof *m->in);
        m->rows[rows++] = t;
    }
    return rows;
}

static pln_status expert(pln_moe *m, int64_t e, pln_error *err)
{
    const int64_t rows = gather(m, e);
    if (rows == 0)
        return PLN_OK;
    PLN_TRY(product(m, PLN_MOE_FC1, e, m->in, rows, m->up, err));
    if (m->gated && !m->fused)
        PLN_TRY(product(m, PLN_MOE_FC3, e, m->in, rows, m->gate, err));
    activate(m, rows);
    PLN_TRY(product(m, PLN_MOE_FC2, e, m->up, rows, m->out, err));
    for (int64_t i = 0; i < rows; i++)
        pln_vec()->axpy(m->y + m->rows[i] * m->hidden, m->out + i * m->hidden,
                        m->share[m->rows[i] * m->experts + e], m->hidden);
    return PLN_OK;
}

pln_status pln_moe_run(pln_moe *m, pln_error *err)
{
    PLN_TRY(find_room(m, err));
    PLN_TRY(pln_ms_output(m->c, 0, &m->y, err));
    if (!m->y)
        return PLN_OK;
    memset(m->y, 0, (size_t)(m->tokens * m->hidden) * sizeof *m->y);
    route_all(m);
    for (int64_t e = 0; e < m->experts; e++)
        PLN_TRY(expert(m, e, err));
    pln_ms_store(m->c, 0, m->y);
    return PLN_OK;
}
