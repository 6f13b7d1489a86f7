/* Normalizations of float tensors by the vector loops.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/norm.h"

#include "kernels/vec.h"
#include "src/util/parallel.h"

#include <math.h>

typedef struct job {
    const float *x, *scale, *bias;
    float *y, *mean, *inv;
    pln_axis a;
    float epsilon;
    bool rms;
    int64_t each;       /* channels of a group */
    bool scale_by_group; /* as before version 21 */
} job;

/* ---- rows: LayerNormalization, RMSNormalization ------------------------------------ */

static void norm_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const pln_vec_fns *f = pln_vec();
    const int64_t n = j->a.n;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * n;
        const float mean = j->rms ? 0 : f->sum(x, n) / (float)n;
        const float var = f->sum_square(x, n, mean) / (float)n;
        const float inv = 1.0f / sqrtf(var + j->epsilon);
        f->normalize(j->y + r * n, x, j->scale, j->bias, mean, inv, n);
        if (j->mean)
            j->mean[r] = mean;
        if (j->inv)
            j->inv[r] = inv;
    }
}

static bool is_f32(const pln_tensor *t)
{
    return !t || t->dtype == PLN_DT_F32;
}

static int64_t size_from(const pln_tensor *x, int axis)
{
    int64_t n = 1;
    for (int i = axis; i < x->rank; i++)
        n *= x->dims[i];
    return n;
}

/* The scale and bias have exactly the normalized shape, which is what models have. */
static bool plain_affine(const pln_tensor *t, const pln_tensor *x, int axis)
{
    if (!t)
        return true;
    if (t->rank > x->rank - axis)
        return false;
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] != x->dims[x->rank - t->rank + i])
            return false;
    return size_from(x, axis) == pln_tensor_size(t);
}

static pln_status prepare_rows(pln_prep *p, pln_error *err)
{
    const pln_norm_attrs *a = (const pln_norm_attrs *)p->attrs;
    const pln_tensor *x = p->in[0];
    int axis;
    (void)err;
    if (!pln_axis_normal(a->axis, x->rank, &axis))
        return PLN_E_UNSUPPORTED;
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (!is_f32(p->in[i]) || (i && !plain_affine(p->in[i], x, axis)))
            return PLN_E_UNSUPPORTED;
        p->layout_in[i] = PLN_LAYOUT_PLAIN;
    }
    for (uint32_t i = 0; i < p->n_out; i++)
        if (!is_f32(p->out[i]))
            return PLN_E_UNSUPPORTED;
    for (int i = axis; i < x->rank; i++)
        if (x->dims[i] < 0)
            return PLN_E_UNSUPPORTED;
    return PLN_OK;
}

static pln_status run_rows(pln_call *c, bool rms, pln_error *err)
{
    const pln_norm_attrs *at = (const pln_norm_attrs *)c->attrs;
    int axis;
    (void)err;
    pln_axis_normal(at->axis, c->in[0]->rank, &axis);
    job j = {
        .x = PLN_DATA(const float, c->in[0]),
        .scale = PLN_DATA(const float, c->in[1]),
        .bias = pln_call_has(c, 2) ? PLN_DATA(const float, c->in[2]) : NULL,
        .y = PLN_DATA(float, c->out[0]),
        .mean = !rms && pln_call_wants(c, 1) ? PLN_DATA(float, c->out[1]) : NULL,
        .a = pln_axis_of(c->in[0], axis, c->in[0]->rank),
        .epsilon = at->epsilon,
        .rms = rms,
    };
    if (pln_call_wants(c, PLN_NORM_INV(rms)))
        j.inv = PLN_DATA(float, c->out[PLN_NORM_INV(rms)]);
    if (j.a.n > 0)
        pln_parallel_for(c->n_threads, j.a.outer, 1 + 16384 / j.a.n, norm_rows, &j);
    return PLN_OK;
}

static pln_status run_layer(pln_call *c, pln_error *err)
{
    return run_rows(c, false, err);
}

static pln_status run_rms(pln_call *c, pln_error *err)
{
    return run_rows(c, true, err);
}

const pln_impl pln_layer_norm_cpu = { "layer_norm_f32", prepare_rows, run_layer, NULL };
const pln_impl pln_rms_norm_cpu = { "rms_norm_f32", prepare_rows, run_rms, NULL };

/* ---- InstanceNormalization: a row for each channel --------------------------------- */

static void instance_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const pln_vec_fns *f = pln_vec();
    const int64_t n = j->a.inner;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * n;
        const float mean = f->sum(x, n) / (float)n;
        const float var = f->sum_square(x, n, mean) / (float)n;
        const float g = j->scale[r % j->a.n] / sqrtf(var + j->epsilon);
        f->linear(j->y + r * n, x, n, 1.0f, -mean);
        f->linear(j->y + r * n, j->y + r * n, n, g, j->bias[r % j->a.n]);
    }
}

static pln_status prepare_channels(pln_prep *p, pln_error *err)
{
    (void)err;
    for (uint32_t i = 0; i < p->n_in; i++) {
        if (!is_f32(p->in[i]))
            return PLN_E_UNSUPPORTED;
        if (i)
            p->layout_in[i] = PLN_LAYOUT_PLAIN;
    }
    return p->in[0]->rank < 2 ? PLN_E_UNSUPPORTED : PLN_OK;
}

static pln_status prepare_instance(pln_prep *p, pln_error *err)
{
    const int64_t channels = p->in[0]->rank > 1 ? p->in[0]->dims[1] : -1;
    p->layout_in[0] = PLN_LAYOUT_PLAIN;
    if (channels < 0 || pln_tensor_size(p->in[1]) != channels ||
        pln_tensor_size(p->in[2]) != channels)
        return PLN_E_UNSUPPORTED;
    return prepare_channels(p, err);
}

/* Of a norm along the channels, which are dimension 1. */
static job channel_job(const pln_call *c)
{
    return (job){
        .x = PLN_DATA(const float, c->in[0]),
        .scale = PLN_DATA(const float, c->in[1]),
        .bias = PLN_DATA(const float, c->in[2]),
        .y = PLN_DATA(float, c->out[0]),
        .a = pln_axis_of(c->in[0], 1, 2),
        .epsilon = ((const pln_norm_attrs *)c->attrs)->epsilon,
    };
}

static pln_status run_instance(pln_call *c, pln_error *err)
{
    job j = channel_job(c);
    (void)err;
    if (j.a.inner > 0)
        pln_parallel_for(c->n_threads, j.a.outer * j.a.n, 1 + 16384 / j.a.inner,
                         instance_rows, &j);
    return PLN_OK;
}

const pln_impl pln_instance_norm_cpu = { "instance_norm_f32", prepare_instance,
                                         run_instance, NULL };

/* ---- GroupNormalization: a row is a group ---------------------------------------- */

static void group_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const pln_vec_fns *f = pln_vec();
    const int64_t inner = j->a.inner, n = j->each * inner, groups = j->a.n / j->each;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * n;
        float *y = j->y + r * n;
        const float mean = f->sum(x, n) / (float)n;
        const float inv = 1 / sqrtf(f->sum_square(x, n, mean) / (float)n + j->epsilon);
        f->linear(y, x, n, 1.0f, -mean);
        for (int64_t k = 0; k < j->each; k++) {
            const int64_t g = r % groups, p = j->scale_by_group ? g : g * j->each + k;
            f->linear(y + k * inner, y + k * inner, inner, inv * j->scale[p], j->bias[p]);
        }
    }
}

static pln_status prepare_group(pln_prep *p, pln_error *err)
{
    const pln_norm_attrs *at = (const pln_norm_attrs *)p->attrs;
    const int64_t channels = p->in[0]->rank > 1 ? p->in[0]->dims[1] : -1;
    const int64_t n = pln_tensor_size(p->in[1]), groups = at->num_groups;
    p->layout_in[0] = PLN_LAYOUT_PLAIN;
    if (channels < 1 || groups < 1 || channels % groups ||
        pln_tensor_size(p->in[2]) != n || (n != channels && n != groups))
        return PLN_E_UNSUPPORTED;
    return prepare_channels(p, err);
}

static pln_status run_group(pln_call *c, pln_error *err)
{
    const pln_norm_attrs *at = (const pln_norm_attrs *)c->attrs;
    (void)err;
    job j = channel_job(c);
    j.each = j.a.n / at->num_groups;
    j.scale_by_group = pln_tensor_size(c->in[1]) == at->num_groups;
    if (j.a.inner > 0)
        pln_parallel_for(c->n_threads, j.a.outer * at->num_groups,
                         1 + 16384 / (j.each * j.a.inner), group_rows, &j);
    return PLN_OK;
}

const pln_impl pln_group_norm_cpu = { "group_norm_f32", prepare_group, run_group, NULL };

/* ---- BatchNormalization of inference: y = scale x + shift -------------------------- */

static void batch_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const int64_t n = j->a.inner;
    for (int64_t r = begin; r < end; r++)
        pln_vec()->linear(j->y + r * n, j->x + r * n, n, j->scale[r % j->a.n],
                          j->bias[r % j->a.n]);
}

static void batch_last(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const int64_t n = j->a.n;
    for (int64_t r = begin; r < end; r++)
        pln_vec()->scale_shift(j->y + r * n, j->x + r * n, j->scale, j->bias, n);
}

static pln_status prepare_batch(pln_prep *p, pln_error *err)
{
    const pln_norm_attrs *a = (const pln_norm_attrs *)p->attrs;
    if (a->training_mode)
        return PLN_E_UNSUPPORTED;
    PLN_TRY(prepare_channels(p, err));
    p->layout_out[0] = p->layout_in[0];
    return PLN_OK;
}

static pln_status run_batch(pln_call *c, pln_error *err)
{
    const pln_norm_attrs *at = (const pln_norm_attrs *)c->attrs;
    const pln_tensor *x = c->in[0];
    const pln_axis a = pln_axis_of(x, 1, 2);
    PLN_TRY(pln_batch_norm_check(c, err));
    float *scale = (float *)pln_norm_scratch(c, a.n, 1, err);
    if (!scale)
        return PLN_E_NOMEM;
    float *shift = scale + a.n;
    for (int64_t i = 0; i < a.n; i++) {
        const double g = PLN_DATA(const float, c->in[1])[i] /
                         sqrt((double)PLN_DATA(const float, c->in[4])[i] + at->epsilon);
        scale[i] = (float)g;
        shift[i] = (float)(PLN_DATA(const float, c->in[2])[i] -
                           g * PLN_DATA(const float, c->in[3])[i]);
    }
    job j = { .x = PLN_DATA(const float, x),
              .y = PLN_DATA(float, c->out[0]),
              .a = a,
              .scale = scale,
              .bias = shift };
    if (a.n == 0 || a.inner == 0)
        return PLN_OK;
    if (x->layout == PLN_LAYOUT_CHANNELS_LAST)
        pln_parallel_for(c->n_threads, a.outer * a.inner, 1 + 16384 / a.n, batch_last,
                         &j);
    else
        pln_parallel_for(c->n_threads, a.outer * a.n, 1 + 16384 / a.inner, batch_rows,
                         &j);
    return PLN_OK;
}

const pln_impl pln_batch_norm_cpu = { "batch_norm_f32", prepare_batch, run_batch, NULL };
