/* Gates and norms of com.microsoft that stand around linear attention: GatedRMSNorm,
 * BranchwiseRMSNorm, GatedAdd, LinearAttentionGate. All compute in float.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "kernels/ms_attention.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"

#include <math.h>
#include <string.h>

typedef struct gate_attrs {
    float epsilon;
    int64_t num_branches;
    int activation; /* 0 silu, 1 swish, 2 sigmoid */
} gate_attrs;

static const pln_attr_spec gated_spec[] = {
    PLN_A_FLOAT(gate_attrs, epsilon, 1e-5f),
    PLN_A_ENUM(gate_attrs, activation, "silu|swish|sigmoid", "silu"),
    PLN_A_END,
};
static const pln_attr_spec branch_spec[] = {
    PLN_A_FLOAT(gate_attrs, epsilon, 1e-5f),
    PLN_A_INT(gate_attrs, num_branches, 0),
    PLN_A_END,
};

/* ---- the norms ---- */

typedef struct norm_job {
    const float *x, *scale, *gate; /* scale, gate: NULL where there is none */
    float *y;
    int64_t n, n_scales; /* of a row; rows of the scale, which take turns */
    float epsilon;
    bool sigmoid, plain;
} norm_job;

static void norm_rows(void *arg, int64_t begin, int64_t end)
{
    const norm_job *j = arg;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->n, *g = j->gate ? j->gate + r * j->n : NULL;
        const float *scale = j->scale ? j->scale + r % j->n_scales * j->n : NULL;
        float *y = j->y + r * j->n;
        double sum = 0;
        for (int64_t i = 0; j->plain && i < j->n; i++)
            sum += (double)x[i] * x[i];
        if (!j->plain)
            sum = pln_vec()->sum_square(x, j->n, 0);
        const float inv = (float)(1 / sqrt(sum / (double)j->n + (double)j->epsilon));
        for (int64_t i = 0; i < j->n; i++) {
            y[i] = x[i] * inv * (scale ? scale[i] : 1);
            if (g)
                y[i] *= (j->sigmoid ? 1 : g[i]) / (1 + expf(-g[i]));
        }
    }
}

static pln_status run_norm(pln_call *c, norm_job *j, uint32_t scale, pln_error *err)
{
    const int64_t size = pln_tensor_size(c->in[0]);
    PLN_TRY(pln_ms_input(c, 0, &j->x, err));
    if (pln_call_has(c, scale))
        PLN_TRY(pln_ms_input(c, scale, &j->scale, err));
    PLN_TRY(pln_ms_output(c, 0, &j->y, err));
    if (!j->y || size == 0)
        return PLN_OK;
    pln_parallel_for(c->n_threads, size / j->n, 1 + 8192 / j->n, norm_rows, j);
    pln_ms_store(c, 0, j->y);
    return PLN_OK;
}

static pln_status gated_any(pln_call *c, bool plain, pln_error *err)
{
    const gate_attrs *at = c->attrs;
    const pln_tensor *x = c->in[0], *scale = c->in[1], *gate = c->in[2];
    norm_job j = { .n = pln_tensor_size(scale), .n_scales = 1, .epsilon = at->epsilon,
                   .sigmoid = at->activation == 2, .plain = plain };
    if (x->rank < 1 || j.n < 1 || x->dims[x->rank - 1] % j.n || gate->rank != x->rank ||
        memcmp(gate->dims, x->dims, (size_t)x->rank * sizeof *x->dims))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "the gate or a scale of %lld does not fit to X",
                             (long long)j.n);
    PLN_TRY(pln_ms_input(c, 2, &j.gate, err));
    return run_norm(c, &j, 1, err);
}

static pln_status gated_ref(pln_call *c, pln_error *err)
{
    return gated_any(c, true, err);
}

static pln_status gated_run(pln_call *c, pln_error *err)
{
    return gated_any(c, false, err);
}

static pln_status branch_any(pln_call *c, bool plain, pln_error *err)
{
    const gate_attrs *at = c->attrs;
    const pln_tensor *x = c->in[0];
    const int64_t last = x->rank > 0 ? x->dims[x->rank - 1] : 0;
    const int64_t branches = at->num_branches > 0 ? at->num_branches
                             : x->rank > 1        ? x->dims[x->rank - 2]
                                                  : 0;
    norm_job j = { .n = at->num_branches > 0 ? last / branches : last, .n_scales = 1,
                   .epsilon = at->epsilon, .plain = plain };
    if (branches < 1 || j.n < 1 || (at->num_branches > 0 && last % branches))
        return pln_call_fail(c, err, PLN_E_RUN, "X has no %lld branches",
                             (long long)branches);
    if (pln_call_has(c, 1)) {
        const int64_t size = pln_tensor_size(c->in[1]);
        j.n_scales = size == j.n ? 1 : branches;
        if (size != j.n * j.n_scales)
            return pln_call_fail(c, err, PLN_E_RUN, "a scale of %lld for %lld x %lld",
                                 (long long)size, (long long)branches, (long long)j.n);
    }
    return run_norm(c, &j, 1, err);
}

static pln_status branch_ref(pln_call *c, pln_error *err)
{
    return branch_any(c, true, err);
}

static pln_status branch_run(pln_call *c, pln_error *err)
{
    return branch_any(c, false, err);
}

/* ---- GatedAdd: x + y gate, the product rounded to the type ---- */

static pln_status add_run(pln_call *c, pln_error *err)
{
    const pln_tensor *t = c->in[0], *gate = c->in[2];
    const float *x, *y, *g;
    float *out;
    const int64_t n = t->rank > 0 ? t->dims[t->rank - 1] : 0, size = pln_tensor_size(t);
    if (pln_call_has(c, 3))
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "gate_weight can't be run");
    if (n < 1 || pln_tensor_size(c->in[1]) != size || pln_tensor_size(gate) != size / n)
        return pln_call_fail(c, err, PLN_E_RUN, "Y or the gate does not fit to X");
    PLN_TRY(pln_ms_input(c, 0, &x, err));
    PLN_TRY(pln_ms_input(c, 1, &y, err));
    PLN_TRY(pln_ms_input(c, 2, &g, err));
    PLN_TRY(pln_ms_output(c, 0, &out, err));
    for (int64_t i = 0; out && i < size; i++) {
        double v = (double)(y[i] * g[i / n]);
        if (t->dtype != PLN_DT_F32)
            pln_block_round((pln_dtype)t->dtype, &v, 1);
        out[i] = x[i] + (float)v;
    }
    pln_ms_store(c, 0, out);
    return PLN_OK;
}

/* ---- LinearAttentionGate ---- */

static float softplus(float v)
{
    return (v > 0 ? v : 0) + log1pf(expf(-fabsf(v)));
}

static pln_status linear_run(pln_call *c, pln_error *err)
{
    const pln_tensor *t = c->in[0];
    const float *a, *b, *bias, *scale;
    float *decay, *beta;
    const int64_t h = t->rank > 0 ? t->dims[t->rank - 1] : 0, size = pln_tensor_size(t);
    if (pln_tensor_size(c->in[1]) != h || pln_tensor_size(c->in[2]) != h ||
        pln_call_has(c, 3) < pln_call_wants(c, 1) ||
        (pln_call_has(c, 3) && pln_tensor_size(c->in[3]) != size))
        return pln_call_fail(c, err, PLN_E_RUN, "the inputs do not fit to %lld heads",
                             (long long)h);
    PLN_TRY(pln_ms_input(c, 0, &a, err));
    PLN_TRY(pln_ms_input(c, 1, &bias, err));
    PLN_TRY(pln_ms_input(c, 2, &scale, err));
    PLN_TRY(pln_ms_output(c, 0, &decay, err));
    for (int64_t i = 0; decay && i < size; i++)
        decay[i] = scale[i % h] * softplus(a[i] + bias[i % h]);
    pln_ms_store(c, 0, decay);
    if (!pln_call_wants(c, 1))
        return PLN_OK;
    PLN_TRY(pln_ms_input(c, 3, &b, err));
    PLN_TRY(pln_ms_output(c, 1, &beta, err));
    for (int64_t i = 0; beta && i < size; i++)
        beta[i] = 1 / (1 + expf(-b[i]));
    pln_ms_store(c, 1, beta);
    return PLN_OK;
}

static pln_status linear_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_same(inf, err));
    if (inf->n_out > 1)
        inf->out[1] = inf->out[0];
    return PLN_OK;
}

static const pln_impl gated_cpu = { "gated_rms", pln_ms_prepare, gated_run, NULL };
static const pln_impl branch_cpu = { "branch_rms", pln_ms_prepare, branch_run, NULL };

#define MS                                                                    \
    .domain = "com.microsoft", .since = 1, .types = "T:float,float16,bfloat16" \
                                                    ";M:float,float16,bfloat16"
#define ATTRS .attrs_size = sizeof(gate_attrs)

const pln_op_desc pln_ops_ms_gate[] = {
    { MS, ATTRS, .name = "GatedRMSNorm", .in = { 3, 3 }, .out = { 1, 1 },
      .sig = "T,T,T->T",
      .attrs = gated_spec, .infer = pln_infer_same, .ref = gated_ref, .cpu = &gated_cpu },
    { MS, ATTRS, .name = "BranchwiseRMSNorm", .in = { 1, 2 }, .out = { 1, 1 },
      .sig = "T,M?->T", .attrs = branch_spec, .infer = pln_infer_same, .ref = branch_ref,
      .cpu = &branch_cpu },
    { MS, .name = "GatedAdd", .in = { 3, 4 }, .out = { 1, 1 }, .sig = "T,T,T,T?->T",
      .infer = pln_infer_same, .ref = add_run },
    { MS, .name = "LinearAttentionGate", .in = { 3, 4 }, .out = { 1, 2 },
      .sig = "T,float,float,T?->T,T?", .infer = linear_infer, .ref = linear_run },
    { .name = NULL },
};
