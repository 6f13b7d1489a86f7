/* Adagrad, Adam and Momentum: one step of an optimizer for several tensors at once.
 *
 * The inputs are the rate R and the count T, then groups of n tensors each: X, the
 * gradients G, and what the optimizer keeps between steps. The outputs are the groups of
 * new X and of what is kept.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/block.h"
#include "src/ir/op.h"

#include <math.h>

#define BLOCK  256
#define GROUPS 4 /* at most: X, G and two that are kept */

typedef struct optimizer_attrs {
    float norm_coefficient, norm_coefficient_post, decay_factor, epsilon, alpha, beta;
    int mode; /* Momentum: 0 standard, 1 nesterov */
} optimizer_attrs;

#define FLOAT(field, def) PLN_A_FLOAT(optimizer_attrs, field, def)
#define NEEDED(field)                                             \
    {                                                             \
        .name = #field, .type = PLN_ATTR_FLOAT, .required = true, \
        .offset = offsetof(optimizer_attrs, field)                \
    }

static const pln_attr_spec adagrad_spec[] = { FLOAT(norm_coefficient, 0.0f),
                                              FLOAT(decay_factor, 0.0f),
                                              FLOAT(epsilon, 1e-6f), PLN_A_END };
static const pln_attr_spec adam_spec[] = {
    FLOAT(norm_coefficient, 0.0f), FLOAT(norm_coefficient_post, 0.0f),
    FLOAT(epsilon, 1e-6f),         FLOAT(alpha, 0.9f),
    FLOAT(beta, 0.999f),           PLN_A_END
};
static const pln_attr_spec momentum_spec[] = {
    NEEDED(norm_coefficient),
    NEEDED(alpha),
    NEEDED(beta),
    { .name = "mode",
      .type = PLN_ATTR_STRING,
      .required = true,
      .offset = offsetof(optimizer_attrs, mode),
      .choices = "standard|nesterov" },
    PLN_A_END,
};

/* What an element's step needs beside the element: the rate as adjusted for T, and the
 * coefficient of the gradient. */
typedef struct step {
    const optimizer_attrs *a;
    double rate, beta;
} step;

/* v: one element of each group; the new X and what is kept replace theirs. */
typedef void (*step_fn)(const step *s, double *v);

static void adagrad_step(const step *s, double *v)
{
    const double g = s->a->norm_coefficient * v[0] + v[1];
    v[2] += g * g;
    v[0] -= s->rate * g / (sqrt(v[2]) + s->a->epsilon);
}

static void adam_step(const step *s, double *v)
{
    const optimizer_attrs *a = s->a;
    const double g = a->norm_coefficient * v[0] + v[1];
    v[2] = a->alpha * v[2] + (1 - (double)a->alpha) * g;
    v[3] = a->beta * v[3] + (1 - (double)a->beta) * g * g;
    v[0] -= s->rate * v[2] / (sqrt(v[3]) + a->epsilon);
    v[0] *= 1 - (double)a->norm_coefficient_post;
}

static void momentum_step(const step *s, double *v)
{
    const optimizer_attrs *a = s->a;
    const double g = a->norm_coefficient * v[0] + v[1];
    v[2] = a->alpha * v[2] + s->beta * g;
    v[0] -= s->rate * (a->mode == 1 ? g + a->alpha * v[2] : v[2]);
}

/* ---- running ----------------------------------------------------------------------- */

static pln_status check_tensors(const pln_call *c, uint32_t n, uint32_t groups,
                                pln_error *err)
{
    for (uint32_t i = 0; i < 2; i++)
        if (pln_tensor_size(c->in[i]) != 1)
            return pln_call_fail(c, err, PLN_E_RUN, "input %u is no single number", i);
    for (uint32_t i = 0; i < groups * n; i++) {
        const pln_tensor *x = c->in[2 + i % n], *t = c->in[2 + i];
        bool same = t && x && t->rank == x->rank && t->dtype == x->dtype;
        for (int d = 0; same && d < t->rank; d++)
            same = t->dims[d] == x->dims[d];
        if (!same)
            return pln_call_fail(c, err, PLN_E_RUN, "input %u is unlike tensor %u", 2 + i,
                                 i % n);
    }
    return PLN_OK;
}

static void one_tensor(pln_call *c, uint32_t at, uint32_t n, uint32_t groups,
                       const step *s, step_fn fn)
{
    double v[GROUPS][BLOCK], e[GROUPS];
    const int64_t size = pln_tensor_size(c->in[2 + at]);
    for (int64_t i = 0; i < size; i += BLOCK) {
        const int64_t len = size - i < BLOCK ? size - i : BLOCK;
        for (uint32_t g = 0; g < groups; g++)
            pln_block_load(PLN_DT_F64, v[g], c->in[2 + g * n + at], i, 1, len);
        for (int64_t k = 0; k < len; k++) {
            for (uint32_t g = 0; g < groups; g++)
                e[g] = v[g][k];
            fn(s, e);
            for (uint32_t g = 0; g < groups; g++)
                v[g][k] = e[g];
        }
        for (uint32_t g = 0; g < groups; g++) /* G is not given back */
            if (g != 1 && pln_call_wants(c, (g ? g - 1 : 0) * n + at))
                pln_block_store(c->out[(g ? g - 1 : 0) * n + at], i, 1, PLN_DT_F64, v[g],
                                len);
    }
}

static pln_status run_steps(pln_call *c, uint32_t groups, const step *s, step_fn fn,
                            pln_error *err)
{
    const uint32_t n = (c->n_in - 2) / groups;
    PLN_TRY(check_tensors(c, n, groups, err));
    for (uint32_t i = 0; i < n; i++)
        one_tensor(c, i, n, groups, s, fn);
    return PLN_OK;
}

static pln_status adagrad_ref(pln_call *c, pln_error *err)
{
    const optimizer_attrs *a = (const optimizer_attrs *)c->attrs;
    step s = { .a = a };
    if (pln_tensor_size(c->in[0]) == 1 && pln_tensor_size(c->in[1]) == 1)
        s.rate = pln_tensor_get_f64(c->in[0], 0) /
                 (1 + pln_tensor_get_f64(c->in[1], 0) * a->decay_factor);
    return run_steps(c, 3, &s, adagrad_step, err);
}

static pln_status adam_ref(pln_call *c, pln_error *err)
{
    const optimizer_attrs *a = (const optimizer_attrs *)c->attrs;
    step s = { .a = a };
    if (pln_tensor_size(c->in[0]) == 1 && pln_tensor_size(c->in[1]) == 1) {
        const double t = pln_tensor_get_f64(c->in[1], 0);
        s.rate = pln_tensor_get_f64(c->in[0], 0);
        if (t > 0)
            s.rate *= sqrt(1 - pow(a->beta, t)) / (1 - pow(a->alpha, t));
    }
    return run_steps(c, 4, &s, adam_step, err);
}

static pln_status momentum_ref(pln_call *c, pln_error *err)
{
    const optimizer_attrs *a = (const optimizer_attrs *)c->attrs;
    step s = { .a = a, .beta = 1 };
    if (pln_tensor_size(c->in[0]) == 1 && pln_tensor_size(c->in[1]) == 1) {
        s.rate = pln_tensor_get_f64(c->in[0], 0);
        s.beta = pln_tensor_get_i64(c->in[1], 0) > 0 ? a->beta : 1;
    }
    return run_steps(c, 3, &s, momentum_step, err);
}

/* ---- inference --------------------------------------------------------------------- */

static pln_status steps_infer(pln_infer *inf, uint32_t groups, pln_error *err)
{
    const uint32_t n = (inf->n_in - 2) / groups;
    if (n < 1 || n * groups + 2 != inf->n_in || inf->n_out != n * (groups - 1))
        return pln_infer_fail(inf, err, "%u tensors and %u outputs, want %u for each X",
                              inf->n_in - 2, inf->n_out, groups);
    for (uint32_t o = 0; o < inf->n_out; o++)
        if (pln_infer_has(inf, 2 + o % n))
            inf->out[o] = *inf->in[2 + o % n];
    return PLN_OK;
}

static pln_status infer_3(pln_infer *inf, pln_error *err)
{
    return steps_infer(inf, 3, err);
}

static pln_status infer_4(pln_infer *inf, pln_error *err)
{
    return steps_infer(inf, 4, err);
}

#define ROW(op, groups, spec, fn)                                                      \
    {                                                                                  \
        .name = op, .domain = "ai.onnx.preview.training", .since = 1,                  \
        .in = { 3, PLN_VARIADIC }, .out = { 1, PLN_VARIADIC },                         \
        .types = "T1:float,double;T3:float,double", .sig = "T1,int64,T3+->T3+",        \
        .attrs = spec, .attrs_size = sizeof(optimizer_attrs), .infer = infer_##groups, \
        .ref = fn                                                                      \
    }

const pln_op_desc pln_ops_optimizer[] = {
    ROW("Adagrad", 3, adagrad_spec, adagrad_ref),
    ROW("Adam", 4, adam_spec, adam_ref),
    ROW("Momentum", 3, momentum_spec, momentum_ref),
    { .name = NULL },
};
