/* Normalizations of com.microsoft over more than rows: GroupNorm, SkipGroupNorm,
 * BiasSoftmax. SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/norm.h"
#include "kernels/vec.h"
#include "src/util/parallel.h"

#include <math.h>

/* ---- GroupNorm, SkipGroupNorm ---------------------------------------------------- */

typedef struct group_attrs {
    float epsilon;
    int64_t groups, activation, channels_last;
} group_attrs;

#define REQUIRED(field)                                         \
    {                                                           \
        .name = #field, .type = PLN_ATTR_INT, .required = true, \
        .offset = offsetof(group_attrs, field)                  \
    }
static const pln_attr_spec group_spec[] = {
    PLN_A_FLOAT(group_attrs, epsilon, 1e-5f), REQUIRED(groups), REQUIRED(activation),
    PLN_A_INT(group_attrs, channels_last, 1), PLN_A_END,
};

static pln_status group_infer(pln_infer *inf, pln_error *err)
{
    PLN_TRY(pln_infer_same(inf, err));
    if (inf->n_out > 1)
        inf->out[1] = inf->out[0];
    return PLN_OK;
}

/* Element (image, channel, pixel) lies at image * all + channel * step_c + pixel *
 * step_p. */
typedef struct group_view {
    int64_t images, channels, pixels, step_c, step_p, all;
} group_view;

static pln_status view_of(const pln_call *c, group_view *v, pln_error *err)
{
    const group_attrs *at = c->attrs;
    const pln_tensor *x = c->in[0];
    const bool last = at->channels_last != 0;
    if (x->rank < 3)
        return pln_call_fail(c, err, PLN_E_RUN, "input 0 has rank %d, want 3 or more",
                             x->rank);
    v->images = x->dims[0];
    v->channels = x->dims[last ? x->rank - 1 : 1];
    v->pixels = last ? pln_move_count(x->dims, 1, x->rank - 1)
                     : pln_move_count(x->dims, 2, x->rank);
    v->step_c = last ? 1 : v->pixels;
    v->step_p = last ? v->channels : 1;
    v->all = v->channels * v->pixels;
    if (at->groups < 1 || v->channels % at->groups)
        return pln_call_fail(c, err, PLN_E_RUN, "%lld channels in %lld groups",
                             (long long)v->channels, (long long)at->groups);
    for (uint32_t i = 1; i < 3; i++)
        if (pln_tensor_size(c->in[i]) != v->channels)
            return pln_call_fail(c, err, PLN_E_RUN, "input %u has not a value a channel",
                                 i);
    return PLN_OK;
}

/* x, or x + skip + bias, which also goes to output 1. */
static pln_status add_skip(pln_call *c, const group_view *v, double **out, pln_error *err)
{
    const pln_tensor *x = c->in[0], *skip = pln_call_has(c, 3) ? c->in[3] : NULL;
    const pln_tensor *bias = pln_call_has(c, 4) ? c->in[4] : NULL;
    const int64_t n = pln_tensor_size(x), n_skip = skip ? pln_tensor_size(skip) : 0;
    double *s = pln_norm_scratch(c, n + 1, 1, err);
    if (!s)
        return PLN_E_NOMEM;
    const bool each = n_skip == n; /* else a value for each image and channel */
    if ((skip && !each && n_skip != v->images * v->channels) ||
        (bias && pln_tensor_size(bias) != v->channels))
        return pln_call_fail(c, err, PLN_E_RUN, "the skip or bias does not fit input 0");
    pln_block_load(PLN_DT_F64, s, x, 0, 1, n);
    for (int64_t i = 0; i < n && (skip || bias); i++) {
        const int64_t ch = i % v->all / v->step_c % v->channels;
        if (skip)
            s[i] += pln_tensor_get_f64(skip, each ? i : i / v->all * v->channels + ch);
        if (bias)
            s[i] += pln_tensor_get_f64(bias, ch);
    }
    if (pln_call_wants(c, 1))
        pln_block_store(c->out[1], 0, 1, PLN_DT_F64, s, n);
    *out = s;
    return PLN_OK;
}

static void normalize_group(const pln_call *c, const group_view *v, double *s,
                            int64_t image, int64_t first, int64_t each)
{
    const group_attrs *at = c->attrs;
    const double n = (double)(each * v->pixels);
    double mean = 0, var = 0;
    for (int pass = 0; pass < 3; pass++) {
        const double inv = 1 / sqrt(var / n + (double)at->epsilon);
        for (int64_t ch = first; ch < first + each; ch++) {
            const double g = pln_tensor_get_f64(c->in[1], ch);
            const double b = pln_tensor_get_f64(c->in[2], ch);
            double *p = s + image * v->all + ch * v->step_c;
            for (int64_t i = 0; i < v->pixels; i++, p += v->step_p) {
                if (pass == 0)
                    mean += *p / n;
                else if (pass == 1)
                    var += (*p - mean) * (*p - mean);
                else
                    *p = (*p - mean) * inv * g + b;
                if (pass == 2 && at->activation)
                    *p *= 1 / (1 + exp(-*p));
            }
        }
    }
}

static pln_status group_ref(pln_call *c, pln_error *err)
{
    const group_attrs *at = c->attrs;
    group_view v = { .images = 0 };
    double *s = NULL;
    PLN_TRY(view_of(c, &v, err));
    PLN_TRY(add_skip(c, &v, &s, err));
    const int64_t each = v.channels / at->groups;
    for (int64_t i = 0; i < v.images * at->groups; i++)
        normalize_group(c, &v, s, i / at->groups, i % at->groups * each, each);
    pln_block_store(c->out[0], 0, 1, PLN_DT_F64, s, pln_tensor_size(c->in[0]));
    return PLN_OK;
}

/* ---- BiasSoftmax: softmax(data + bias) over the dimensions from `axis` on ---------- */

/* Rows of the bias repeat for blocks of rows (inner broadcast) or in turn (outer). */

typedef struct bias_attrs {
    int64_t axis, is_inner_broadcast;
} bias_attrs;

static const pln_attr_spec bias_spec[] = {
    PLN_A_INT(bias_attrs, axis, 1),
    { .name = "is_inner_broadcast",
      .type = PLN_ATTR_INT,
      .required = true,
      .offset = offsetof(bias_attrs, is_inner_broadcast) },
    PLN_A_END,
};

static pln_status bias_rows(const pln_call *c, pln_axis *a, int64_t *n_bias,
                            pln_error *err)
{
    const bias_attrs *at = c->attrs;
    const pln_tensor *x = c->in[0];
    int axis;
    PLN_TRY(pln_move_axis(c, at->axis, x->rank, &axis, PLN_E_RUN, err));
    *a = pln_axis_of(x, axis, x->rank);
    const int64_t size = pln_tensor_size(c->in[1]);
    *n_bias = a->n ? size / a->n : 0;
    if (a->n && a->outer && (*n_bias == 0 || size % a->n || a->outer % *n_bias))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "the bias does not fit rows of %lld values",
                             (long long)a->n);
    return PLN_OK;
}

static int64_t bias_row(const bias_attrs *at, int64_t row, int64_t rows, int64_t n_bias)
{
    return at->is_inner_broadcast ? row / (rows / n_bias) : row % n_bias;
}

static pln_status bias_ref(pln_call *c, pln_error *err)
{
    pln_axis a;
    int64_t n_bias;
    PLN_TRY(bias_rows(c, &a, &n_bias, err));
    double *v = pln_norm_scratch(c, a.n + 1, 2, err), *b = v + a.n + 1;
    if (!v)
        return PLN_E_NOMEM;
    for (int64_t r = 0; a.n && r < a.outer; r++) {
        double most = -INFINITY, sum = 0;
        pln_block_load(PLN_DT_F64, v, c->in[0], r * a.n, 1, a.n);
        pln_block_load(PLN_DT_F64, b, c->in[1],
                       bias_row(c->attrs, r, a.outer, n_bias) * a.n, 1, a.n);
        for (int64_t i = 0; i < a.n; i++) {
            v[i] += b[i];
            most = v[i] > most ? v[i] : most;
        }
        for (int64_t i = 0; i < a.n; i++)
            sum += v[i] = exp(v[i] - most);
        for (int64_t i = 0; i < a.n; i++)
            v[i] /= sum;
        pln_block_store(c->out[0], r * a.n, 1, PLN_DT_F64, v, a.n);
    }
    return PLN_OK;
}

typedef struct bias_job {
    const pln_call *c;
    pln_axis a;
    int64_t n_bias;
} bias_job;

static void bias_f32(void *arg, int64_t begin, int64_t end)
{
    const bias_job *j = arg;
    const pln_vec_fns *f = pln_vec();
    const int64_t n = j->a.n;
    for (int64_t r = begin; r < end; r++) {
        float *y = PLN_DATA(float, j->c->out[0]) + r * n;
        f->add(y, PLN_DATA(const float, j->c->in[0]) + r * n, 1,
               PLN_DATA(const float, j->c->in[1]) +
                   bias_row(j->c->attrs, r, j->a.outer, j->n_bias) * n,
               1, n);
        const float sum = f->exp_sum(y, y, n, f->max_of(y, n));
        f->linear(y, y, n, 1.0f / sum, 0.0f);
    }
}

static pln_status bias_run(pln_call *c, pln_error *err)
{
    bias_job j = { .c = c };
    PLN_TRY(bias_rows(c, &j.a, &j.n_bias, err));
    if (j.a.n)
        pln_parallel_for(c->n_threads, j.a.outer, 1 + 8192 / j.a.n, bias_f32, &j);
    return PLN_OK;
}

static pln_status bias_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    p->layout_in[0] = p->layout_in[1] = PLN_LAYOUT_PLAIN;
    return p->in[0]->dtype == PLN_DT_F32 ? PLN_OK : PLN_E_UNSUPPORTED;
}

static const pln_impl bias_cpu = { "bias_softmax_f32", bias_prepare, bias_run, NULL };

#define MS .domain = "com.microsoft", .since = 1
#define GROUP                                                                     \
    .attrs = group_spec, .attrs_size = sizeof(group_attrs), .infer = group_infer, \
    .ref = group_ref, .types = "T:float16,float;M:float16,float"

const pln_op_desc pln_ops_ms_group_norm[] = {
    { MS, GROUP, .name = "GroupNorm", .in = { 3, 3 }, .out = { 1, 1 },
      .sig = "T,M,M->T" },
    { MS, GROUP, .name = "SkipGroupNorm", .in = { 4, 5 }, .out = { 1, 2 },
      .sig = "T,M,M,T,T?->T,T?" },
    { MS, .name = "BiasSoftmax", .in = { 2, 2 }, .out = { 1, 1 },
      .types = "T:float16,float,double", .sig = "T,T->T", .attrs = bias_spec,
      .attrs_size = sizeof(bias_attrs), .infer = pln_infer_same, .ref = bias_ref,
      .cpu = &bias_cpu },
    { .name = NULL },
};
