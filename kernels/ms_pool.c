/* Pooling of com.microsoft: QLinearAveragePool, QLinearGlobalAveragePool, NhwcMaxPool,
 * MaxpoolWithMask; planish.QAveragePool and QGlobalAveragePool are the first two.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/int_product.h"
#include "kernels/ms_qlinear.h"
#include "kernels/nhwc.h"
#include "kernels/pool.h"
#include "kernels/vec.h"

#include <float.h>

typedef struct ms_pool_attrs {
    pool_attrs pool; /* first: what the standard operators have */
    int64_t channels_last;
} ms_pool_attrs;

#define KERNEL(needed)                                                       \
    {                                                                        \
        .name = "kernel_shape", .type = PLN_ATTR_INTS, .required = (needed), \
        .offset = offsetof(ms_pool_attrs, pool.kernel_shape)                 \
    }
#define WINDOW                                            \
    { .name = "auto_pad",                                 \
      .type = PLN_ATTR_STRING,                            \
      .s = "NOTSET",                                      \
      .choices = "NOTSET|SAME_UPPER|SAME_LOWER|VALID",    \
      .offset = offsetof(ms_pool_attrs, pool.auto_pad) }, \
        { .name = "pads",                                 \
          .type = PLN_ATTR_INTS,                          \
          .offset = offsetof(ms_pool_attrs, pool.pads) }, \
    {                                                     \
        .name = "strides", .type = PLN_ATTR_INTS,         \
        .offset = offsetof(ms_pool_attrs, pool.strides)   \
    }
#define INT_ATTR(text, field)                                                          \
    {                                                                                  \
        .name = (text), .type = PLN_ATTR_INT, .offset = offsetof(ms_pool_attrs, field) \
    }

static const pln_attr_spec average_spec[] = {
    WINDOW,
    KERNEL(true),
    INT_ATTR("ceil_mode", pool.ceil_mode),
    INT_ATTR("count_include_pad", pool.count_include_pad),
    INT_ATTR("channels_last", channels_last),
    PLN_A_END,
};
static const pln_attr_spec global_spec[] = { INT_ATTR("channels_last", channels_last),
                                             PLN_A_END };
static const pln_attr_spec max_spec[] = {
    WINDOW,
    KERNEL(true),
    INT_ATTR("ceil_mode", pool.ceil_mode),
    { .name = "dilations",
      .type = PLN_ATTR_INTS,
      .offset = offsetof(ms_pool_attrs, pool.dilations) },
    PLN_A_END,
};
static const pln_attr_spec mask_spec[] = {
    WINDOW,
    KERNEL(true),
    INT_ATTR("storage_order", pool.storage_order),
    PLN_A_END,
};

/* ---- NhwcMaxPool ----------------------------------------------------------------- */

static pln_status nhwc_infer(pln_infer *inf, pln_error *err)
{
    return pln_nhwc_infer(inf, 1, pool_infer, err);
}

/* The tensors seen with their channels second and that layout, which the kernels know. */
static pln_status run_view(pln_call *c, pln_kernel_fn inner, const pln_tensor *x,
                           pln_tensor *y, bool last, pln_error *err)
{
    pln_tensor vx = last ? pln_nhwc_view(x) : *x, vy = last ? pln_nhwc_view(y) : *y;
    const pln_tensor *in[1] = { &vx };
    pln_tensor *out[1] = { &vy };
    pln_call sub = *c;
    sub.in = in;
    sub.n_in = 1;
    sub.out = out;
    sub.n_out = 1;
    return inner(&sub, err);
}

static pln_status nhwc_max_ref(pln_call *c, pln_error *err)
{
    return run_view(c, pool_max_run, c->in[0], c->out[0], true, err);
}

/* ---- QLinearAveragePool: the float operator between the two conversions ---------- */

static pln_status average_infer(pln_infer *inf, pln_error *err)
{
    const ms_pool_attrs *at = inf->attrs;
    return at->channels_last ? nhwc_infer(inf, err) : pool_infer(inf, err);
}

typedef struct convert_job {
    const uint8_t *bytes;
    uint8_t *out;
    float *f;
    pln_qparam q;
    int flip;
} convert_job;

static void to_float(void *arg, int64_t begin, int64_t end)
{
    const convert_job *j = arg;
    const int64_t n = end - begin;
    if (j->flip)
        pln_vec()->dequant_s8(j->f + begin, (const int8_t *)j->bytes + begin, n,
                              j->q.scale, j->q.zero);
    else
        pln_vec()->dequant_u8(j->f + begin, j->bytes + begin, n, j->q.scale, j->q.zero);
}

static void to_bytes(void *arg, int64_t begin, int64_t end)
{
    const convert_job *j = arg;
    const int64_t n = end - begin;
    if (j->flip)
        pln_vec()->quant_s8((int8_t *)j->out + begin, j->f + begin, n, j->q.scale,
                            j->q.zero);
    else
        pln_vec()->quant_u8(j->out + begin, j->f + begin, n, j->q.scale, j->q.zero);
}

/* A float tensor of t's shape in scratch memory. */
static pln_status float_like(pln_call *c, const pln_tensor *t, pln_tensor *out,
                             pln_error *err)
{
    size_t bytes;
    *out = *t;
    out->dtype = PLN_DT_F32;
    out->borrowed = true;
    out->data = NULL;
    if (pln_size_mul(&bytes, (size_t)pln_tensor_size(t) + 1, sizeof(float)))
        out->data = pln_call_scratch(c, bytes);
    return out->data ? PLN_OK : pln_oom(err);
}

static pln_status average_ref(pln_call *c, pln_error *err)
{
    const ms_pool_attrs *at = c->attrs;
    const int flip = pln_byte_flip((pln_dtype)c->in[0]->dtype);
    pln_qparam from, to;
    pln_tensor x, y;
    PLN_TRY(pln_qparam_get(c, 1, 2, &from, err));
    PLN_TRY(pln_qparam_get(c, 3, 4, &to, err));
    PLN_TRY(float_like(c, c->in[0], &x, err));
    PLN_TRY(float_like(c, c->out[0], &y, err));
    convert_job in = { .bytes = c->in[0]->data, .f = x.data, .q = from, .flip = flip };
    convert_job out = { .out = c->out[0]->data, .f = y.data, .q = to, .flip = flip };
    if (pln_tensor_size(&y) == 0)
        return PLN_OK;
    pln_parallel_for(c->n_threads, pln_tensor_size(&x), 65536, to_float, &in);
    PLN_TRY(run_view(c, pool_average_run, &x, &y, at->channels_last != 0, err));
    pln_parallel_for(c->n_threads, pln_tensor_size(&y), 65536, to_bytes, &out);
    return PLN_OK;
}

/* ---- QLinearGlobalAveragePool: exact sums ---------------------------------------- */

static pln_status global_infer(pln_infer *inf, pln_error *err)
{
    const ms_pool_attrs *at = inf->attrs;
    return at->channels_last ? pln_nhwc_infer(inf, 1, pool_global_infer, err)
                             : pool_global_infer(inf, err);
}

typedef struct global_job {
    const uint8_t *x;
    uint8_t *y;
    int64_t channels, pixels, step_c, step_p; /* steps of a channel and of a pixel */
    int flip;
    int32_t zero, y_zero;
    float factor;
} global_job;

static void global_channels(void *arg, int64_t begin, int64_t end)
{
    const global_job *j = arg;
    for (int64_t i = begin; i < end; i++) {
        const int64_t image = i / j->channels, ch = i % j->channels;
        const uint8_t *x = j->x + image * j->channels * j->pixels + ch * j->step_c;
        int64_t sum = -(int64_t)j->zero * j->pixels;
        for (int64_t p = 0; p < j->pixels; p++)
            sum += pln_byte_value(x[p * j->step_p], j->flip);
        j->y[i] = pln_quantize_byte((float)sum * j->factor, 1.0f, j->y_zero, j->flip);
    }
}

static pln_status global_ref(pln_call *c, pln_error *err)
{
    const ms_pool_attrs *at = c->attrs;
    const pln_tensor *x = c->in[0];
    pln_qparam from, to;
    PLN_TRY(pln_qparam_get(c, 1, 2, &from, err));
    PLN_TRY(pln_qparam_get(c, 3, 4, &to, err));
    const bool last = at->channels_last != 0;
    global_job j = { .x = x->data,
                     .y = c->out[0]->data,
                     .zero = from.zero,
                     .y_zero = to.zero,
                     .flip = pln_byte_flip((pln_dtype)x->dtype),
                     .channels = x->dims[last ? x->rank - 1 : 1] };
    j.pixels = last ? pln_move_count(x->dims, 1, x->rank - 1)
                    : pln_move_count(x->dims, 2, x->rank);
    j.step_c = last ? 1 : j.pixels;
    j.step_p = last ? j.channels : 1;
    if (j.pixels == 0 && pln_tensor_size(c->out[0]))
        return pln_call_fail(c, err, PLN_E_RUN, "an average of no pixels");
    j.factor = from.scale / (to.scale * (float)j.pixels);
    pln_parallel_for(c->n_threads, pln_tensor_size(c->out[0]), 1 + 16384 / (j.pixels + 1),
                     global_channels, &j);
    return PLN_OK;
}

/* ---- MaxpoolWithMask --------------------------------------------------------------- */

/* A row of a window ends at the first pixel whose mask is 0; pixel 0 of a plane is always
 * looked at. The mask's planes repeat. */

typedef struct mask_window {
    const float *x;
    const int32_t *mask;
    pool_axis ax[3]; /* depth, height, width; unused ones are of size 1 */
} mask_window;

static float masked_max(const mask_window *w, const int64_t o[3])
{
    int64_t lo[3], hi[3];
    float best = -FLT_MAX;
    for (int d = 0; d < 3; d++) {
        const int64_t start = o[d] * w->ax[d].stride - w->ax[d].before;
        const int64_t end = start + w->ax[d].k;
        lo[d] = start > 0 ? start : 0;
        hi[d] = end < w->ax[d].in ? end : w->ax[d].in;
    }
    for (int64_t i = lo[0]; i < hi[0]; i++)
        for (int64_t j = lo[1]; j < hi[1]; j++)
            for (int64_t k = lo[2]; k < hi[2]; k++) {
                const int64_t at = (i * w->ax[1].in + j) * w->ax[2].in + k;
                if (at > 0 && w->mask[at] == 0)
                    break;
                best = w->x[at] > best ? w->x[at] : best;
            }
    return best;
}

static pln_status mask_axes(const pln_call *c, mask_window *w, pln_error *err)
{
    const ms_pool_attrs *at = c->attrs;
    const pln_tensor *x = c->in[0];
    const int s = x->rank - 2;
    if (s < 1 || s > 3)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "rank %d, want 3 to 5", x->rank);
    for (int i = 0; i < 3; i++) {
        pool_axis *ax = &w->ax[i];
        const int d = i - (3 - s);
        *ax = (pool_axis){ .in = 1, .out = 1, .k = 1, .stride = 1, .dil = 1 };
        if (d < 0)
            continue;
        ax->in = x->dims[2 + d];
        if (!pool_axis_attrs(&at->pool, s, d, ax) || !pool_axis_size(&at->pool, ax))
            return pln_call_fail(c, err, PLN_E_RUN, "no window fits dimension %d", 2 + d);
    }
    return PLN_OK;
}

static pln_status mask_ref(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0], *m = c->in[1], *y = c->out[0];
    mask_window w = { .x = NULL };
    PLN_TRY(mask_axes(c, &w, err));
    const int64_t pixels = w.ax[0].in * w.ax[1].in * w.ax[2].in;
    const int64_t out = w.ax[0].out * w.ax[1].out * w.ax[2].out;
    const int64_t n_mask = pln_tensor_size(m), n = pln_tensor_size(y);
    if (n && (pixels == 0 || n_mask < pixels || n_mask % pixels))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "the mask does not fit planes of %lld pixels",
                             (long long)pixels);
    for (int64_t i = 0; i < n; i++) {
        const int64_t plane = i / out, at = i % out;
        w.x = PLN_DATA(const float, x) + plane * pixels;
        w.mask = PLN_DATA(const int32_t, m) + plane * pixels % n_mask;
        const int64_t o[3] = { at / (w.ax[1].out * w.ax[2].out),
                               at / w.ax[2].out % w.ax[1].out, at % w.ax[2].out };
        PLN_DATA(float, y)[i] = masked_max(&w, o);
    }
    return PLN_OK;
}

#define MS                                                  \
    .domain = "com.microsoft", .since = 1, .out = { 1, 1 }, \
    .attrs_size = sizeof(ms_pool_attrs)
#define OWN                                           \
    .domain = "planish", .since = 1, .out = { 1, 1 }, \
    .attrs_size = sizeof(ms_pool_attrs)
#define Q .types = "T:uint8,int8", .sig = "T,float,T?,float,T?->T"

const pln_op_desc pln_ops_ms_pool[] = {
    { MS, Q, .name = "QLinearAveragePool", .in = { 4, 5 }, .attrs = average_spec,
      .infer = average_infer, .ref = average_ref },
    { MS, Q, .name = "QLinearGlobalAveragePool", .in = { 5, 5 }, .attrs = global_spec,
      .infer = global_infer, .ref = global_ref },
    { OWN, Q, .name = "QAveragePool", .in = { 4, 5 }, .attrs = average_spec,
      .infer = average_infer, .ref = average_ref },
    { OWN, Q, .name = "QGlobalAveragePool", .in = { 4, 5 }, .attrs = global_spec,
      .infer = global_infer, .ref = global_ref },
    { MS, .name = "NhwcMaxPool", .in = { 1, 1 }, .types = "T:int8,uint8", .sig = "T->T",
      .attrs = max_spec, .infer = nhwc_infer, .ref = nhwc_max_ref },
    { MS, .name = "MaxpoolWithMask", .in = { 2, 2 }, .sig = "float,int32->float",
      .attrs = mask_spec, .infer = pool_infer, .ref = mask_ref },
    { .name = NULL },
};
