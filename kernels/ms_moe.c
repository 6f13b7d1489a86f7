/* MoE of com.microsoft: each token goes through the k experts that its router prefers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_f32.h"
#include "kernels/ms_attention.h"
#include "kernels/vec.h"
#include "src/util/size.h"

#include <math.h>
#include <string.h>

typedef struct moe_attrs {
    int64_t k, use_sparse_mixer, normalize_routing_weights, swiglu_fusion;
    int64_t swiglu_limit_after_activation;
    float activation_alpha, activation_beta, swiglu_limit;
    bool has_limit;
    int activation_type;
} moe_attrs;

enum { RELU, GELU, SILU, SWIGLU, IDENTITY };

static const pln_attr_spec moe_spec[] = {
    PLN_A_INT(moe_attrs, k, 1),
    PLN_A_INT(moe_attrs, use_sparse_mixer, 0),
    PLN_A_INT(moe_attrs, normalize_routing_weights, 0),
    PLN_A_INT(moe_attrs, swiglu_fusion, 0),
    PLN_A_INT(moe_attrs, swiglu_limit_after_activation, 0),
    PLN_A_FLOAT(moe_attrs, activation_alpha, 1.0f),
    PLN_A_FLOAT(moe_attrs, activation_beta, 0.0f),
    { .name = "swiglu_limit",
      .type = PLN_ATTR_FLOAT,
      .offset = offsetof(moe_attrs, swiglu_limit),
      .has_offset = offsetof(moe_attrs, has_limit) },
    PLN_A_ENUM(moe_attrs, activation_type, "relu|gelu|silu|swiglu|identity", "relu"),
    PLN_A_END,
};

enum { X, ROUTER, FC1, FC1_BIAS, FC2, FC2_BIAS, FC3, FC3_BIAS };

typedef struct moe {
    pln_call *c;
    const moe_attrs *at;
    bool plain;
    int64_t tokens, hidden, inter, wide, experts; /* wide: columns of fc1 */
    const float *x, *router, *w[3], *bias[3];     /* of fc1, fc2, fc3 */
    float *y, *share; /* share[token][expert]: 0 where it is not chosen */
    int64_t *rows;    /* tokens of an expert */
    float *in, *up, *gate, *out, *packed;
} moe;

/* ---- sizes ----------------------------------------------------------------------------
 */

static bool is_matrix(const pln_tensor *t, int64_t a, int64_t b, int64_t c)
{
    return t->rank == 3 && t->dims[0] == a && t->dims[1] == b && t->dims[2] == c;
}

static pln_status find(moe *m, pln_error *err)
{
    pln_call *c = m->c;
    const moe_attrs *at = m->at;
    const pln_tensor *x = c->in[X], *r = c->in[ROUTER], *w1 = c->in[FC1];
    if (at->use_sparse_mixer || at->swiglu_limit_after_activation)
        return pln_call_fail(
            c, err, PLN_E_UNSUPPORTED,
            "use_sparse_mixer and swiglu_limit_after_activation can't be "
            "run");
    if ((x->rank != 2 && x->rank != 3) || r->rank != 2 || w1->rank != 3)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "input, router_probs and weights have ranks "
                             "%d, %d, %d",
                             x->rank, r->rank, w1->rank);
    const bool gated = at->activation_type == SWIGLU, fused = gated && at->swiglu_fusion;
    m->hidden = x->dims[x->rank - 1];
    m->tokens = x->rank == 3 ? x->dims[0] * x->dims[1] : x->dims[0];
    m->experts = r->dims[1];
    m->wide = w1->dims[1];
    m->inter = fused ? m->wide / 2 : m->wide;
    if (r->dims[0] != m->tokens || at->k < 1 || at->k > m->experts ||
        (fused && m->wide % 2) || (gated && !fused) != pln_call_has(c, FC3) ||
        !is_matrix(w1, m->experts, m->wide, m->hidden) ||
        !is_matrix(c->in[FC2], m->experts, m->hidden, m->inter) ||
        (pln_call_has(c, FC3) && !is_matrix(c->in[FC3], m->experts, m->inter, m->hidden)))
        return pln_call_fail(
            c, err, PLN_E_RUN,
            "%lld tokens, %lld experts of %lld x %lld: the inputs do not fit",
            (long long)m->tokens, (long long)m->experts, (long long)m->wide,
            (long long)m->hidden);
    const int64_t size[3] = { m->wide, m->hidden, m->inter };
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t w = FC1 + 2 * i, b = FC1_BIAS + 2 * i;
        if (pln_call_has(c, b) && pln_tensor_size(c->in[b]) != m->experts * size[i])
            return pln_call_fail(c, err, PLN_E_RUN, "bias (input %u) does not fit", b);
        if (pln_call_has(c, w))
            PLN_TRY(pln_ms_input(c, w, &m->w[i], err));
        if (pln_call_has(c, b))
            PLN_TRY(pln_ms_input(c, b, &m->bias[i], err));
    }
    PLN_TRY(pln_ms_input(c, X, &m->x, err));
    return pln_ms_input(c, ROUTER, &m->router, err);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static pln_status find_room(moe *m, pln_error *err)
{
    pln_call *c = m->c;
    const pln_gemm_fns *f = pln_gemm();
    const int64_t packed = larger(pln_gemm_packed_size(f, m->hidden, m->wide),
                                  pln_gemm_packed_size(f, m->inter, m->hidden));
    int64_t n;
    if (!pln_i64_mul(&n, m->tokens, larger(m->wide, larger(m->hidden, m->experts))) ||
        n > INT64_MAX / 64)
        return pln_oom(err);
    PLN_TRY(pln_ms_floats(c, m->tokens * m->experts, &m->share, err));
    PLN_TRY(pln_ms_floats(c, m->tokens * m->hidden, &m->in, err));
    PLN_TRY(pln_ms_floats(c, m->tokens * m->hidden, &m->out, err));
    PLN_TRY(pln_ms_floats(c, m->tokens * m->wide, &m->up, err));
    PLN_TRY(pln_ms_floats(c, m->tokens * m->wide, &m->gate, err));
    PLN_TRY(pln_ms_floats(c, packed, &m->packed, err));
    m->rows = pln_call_scratch(c, (size_t)(m->tokens + 1) * sizeof *m->rows);
    return m->rows ? PLN_OK : pln_oom(err);
}

/* ---- routing
 * ---------------------------------------------------------------------------- */

/* The k largest, the first of equals; their softmax, over all experts unless normalized.
 */
static void route(const moe *m, int64_t t)
{
    const float *p = m->router + t * m->experts;
    float *share = m->share + t * m->experts;
    double top = -INFINITY, all = 0, sum = 0;
    for (int64_t e = 0; e < m->experts; e++) {
        top = p[e] > top ? p[e] : top;
        share[e] = 0;
    }
    for (int64_t e = 0; e < m->experts; e++)
        all += exp(p[e] - top);
    for (int64_t i = 0; i < m->at->k; i++) {
        int64_t best = -1;
        for (int64_t e = 0; e < m->experts; e++)
            if (share[e] == 0 && (best < 0 || p[e] > p[best]))
                best = e;
        if (best < 0)
            return;
        share[best] = (float)exp(p[best] - top);
        share[best] = share[best] > 0 ? share[best] : 1e-38f;
        sum += share[best];
    }
    const double by = m->at->normalize_routing_weights ? sum : all;
    for (int64_t e = 0; e < m->experts; e++)
        share[e] = (float)(share[e] / by);
}

/* ---- one expert
 * --------------------------------------------------------------------------- */

/* y[rows][n] = a[rows][k] x W^T + bias, for matrix `which` of expert e. */
static void product(const moe *m, int which, int64_t e, const float *a, int64_t rows,
                    int64_t n, int64_t k, float *y)
{
    const float *w = m->w[which] + e * n * k;
    const pln_gemm_fns *f = pln_gemm();
    if (m->plain) {
        for (int64_t i = 0; i < rows * n; i++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += (double)a[i / n * k + p] * w[i % n * k + p];
            y[i] = (float)sum;
        }
    } else {
        pln_gemm_pack(f, m->packed, w, 1, k, k, n, 0, (n + f->nr - 1) / f->nr);
        const pln_gemm_job g = { .fns = f,
                                 .m = rows,
                                 .n = n,
                                 .k = k,
                                 .a = a,
                                 .a_rs = k,
                                 .a_cs = 1,
                                 .b = m->packed,
                                 .c = y,
                                 .ldc = n };
        pln_gemm_parallel(&g, m->c->n_threads);
    }
    for (int64_t i = 0; m->bias[which] && i < rows; i++)
        pln_vec()->add_to(y + i * n, m->bias[which] + e * n, n);
}

static float swiglu(const moe_attrs *at, float g, float l)
{
    if (at->has_limit) {
        g = g < at->swiglu_limit ? g : at->swiglu_limit;
        l = l < at->swiglu_limit ? l : at->swiglu_limit;
        l = l > -at->swiglu_limit ? l : -at->swiglu_limit;
    }
    return g / (1 + expf(-at->activation_alpha * g)) * (l + at->activation_beta);
}

/* m->up becomes [rows][inter]. */
static void activate(const moe *m, int64_t rows)
{
    const int64_t n = m->inter, fusion = m->at->swiglu_fusion;
    for (int64_t i = 0; i < rows; i++) {
        const float *from = m->up + i * m->wide;
        float *to = m->up + i * n; /* never ahead of what is read */
        for (int64_t j = 0; j < n; j++) {
            const float v = from[j];
            switch (m->at->activation_type) {
            case RELU:
                to[j] = v > 0 ? v : 0;
                break;
            case GELU:
                to[j] = 0.5f * v * (1 + tanhf(0.79788456f * (v + 0.044715f * v * v * v)));
                break;
            case SILU:
                to[j] = v / (1 + expf(-v));
                break;
            case SWIGLU:
                m->gate[i * n + j] = fusion == 0 ? swiglu(m->at, v, m->gate[i * n + j])
                                     : fusion == 1
                                         ? swiglu(m->at, from[2 * j], from[2 * j + 1])
                                         : swiglu(m->at, v, from[n + j]);
                break;
            default:
                to[j] = v;
            }
        }
    }
    if (m->at->activation_type == SWIGLU)
        memcpy(m->up, m->gate, (size_t)(rows * n) * sizeof *m->up);
}

static void expert(const moe *m, int64_t e)
{
    int64_t rows = 0;
    for (int64_t t = 0; t < m->tokens; t++) {
        if (m->share[t * m->experts + e] == 0)
            continue;
        memcpy(m->in + rows * m->hidden, m->x + t * m->hidden,
               (size_t)m->hidden * sizeof *m->in);
        m->rows[rows++] = t;
    }
    if (rows == 0)
        return;
    product(m, 0, e, m->in, rows, m->wide, m->hidden, m->up);
    if (m->w[2])
        product(m, 2, e, m->in, rows, m->inter, m->hidden, m->gate);
    activate(m, rows);
    product(m, 1, e, m->up, rows, m->hidden, m->inter, m->out);
    for (int64_t i = 0; i < rows; i++)
        pln_vec()->axpy(m->y + m->rows[i] * m->hidden, m->out + i * m->hidden,
                        m->share[m->rows[i] * m->experts + e], m->hidden);
}

static pln_status moe_any(pln_call *c, bool plain, pln_error *err)
{
    moe m = { .c = c, .at = c->attrs, .plain = plain };
    PLN_TRY(find(&m, err));
    PLN_TRY(find_room(&m, err));
    PLN_TRY(pln_ms_output(c, 0, &m.y, err));
    if (!m.y)
        return PLN_OK;
    memset(m.y, 0, (size_t)(m.tokens * m.hidden) * sizeof *m.y);
    for (int64_t t = 0; t < m.tokens; t++)
        route(&m, t);
    for (int64_t e = 0; e < m.experts; e++)
        expert(&m, e);
    pln_ms_store(c, 0, m.y);
    return PLN_OK;
}

static pln_status moe_ref(pln_call *c, pln_error *err)
{
    return moe_any(c, true, err);
}

static pln_status moe_run(pln_call *c, pln_error *err)
{
    return moe_any(c, false, err);
}

static const pln_impl moe_cpu = { "moe_f32", pln_ms_prepare, moe_run, NULL };

const pln_op_desc pln_ops_ms_moe[] = {
    { .name = "MoE",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 5, 8 },
      .out = { 1, 1 },
      .types = "T:float,float16,bfloat16",
      .sig = "T,T,T,T?,T,T?,T?,T?->T",
      .attrs = moe_spec,
      .attrs_size = sizeof(moe_attrs),
      .infer = pln_infer_same,
      .ref = moe_ref,
      .cpu = &moe_cpu },
    { .name = NULL },
};
