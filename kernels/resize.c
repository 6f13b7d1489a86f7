/* Resize and the old Upsample.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/expand.h"
#include "kernels/move.h"
#include "kernels/resize.h"

typedef enum coord_mode {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_CROP_AND_RESIZE,
    TF_HALF_PIXEL_FOR_NN /* version 11 only */
} coord_mode;
#define COORD_MODES                                                                \
    "half_pixel|half_pixel_symmetric|pytorch_half_pixel|align_corners|asymmetric|" \
    "tf_crop_and_resize|tf_half_pixel_for_nn"

typedef enum resize_mode { NEAREST, LINEAR, CUBIC } resize_mode;
typedef enum nearest_mode { PREFER_FLOOR, PREFER_CEIL, FLOOR, CEIL } nearest_mode;
typedef enum aspect_policy { STRETCH, NOT_LARGER, NOT_SMALLER } aspect_policy;

typedef struct resize_attrs {
    int64_t antialias, exclude_outside;
    int64_t pln_downsample; /* before version 11: ceil along axes that shrink */
    pln_ints axes;
    int coords, policy, mode, nearest;
    float cubic_coeff_a, extrapolation_value;
} resize_attrs;

static const pln_attr_spec resize_spec[] = {
    PLN_A_INT(resize_attrs, antialias, 0),
    PLN_A_INT(resize_attrs, exclude_outside, 0),
    PLN_A_INT(resize_attrs, pln_downsample, 0),
    PLN_A_INTS(resize_attrs, axes),
    PLN_A_FLOAT(resize_attrs, cubic_coeff_a, -0.75f),
    PLN_A_FLOAT(resize_attrs, extrapolation_value, 0),
    PLN_A_ENUM(resize_attrs, mode, "nearest|linear|cubic", "nearest"),
    { .name = "coordinate_transformation_mode", .type = PLN_ATTR_STRING,
      .s = "half_pixel",
      .offset = offsetof(resize_attrs, coords), .choices = COORD_MODES },
    { .name = "keep_aspect_ratio_policy", .type = PLN_ATTR_STRING, .s = "stretch",
      .offset = offsetof(resize_attrs, policy),
      .choices = "stretch|not_larger|not_smaller" },
    { .name = "nearest_mode", .type = PLN_ATTR_STRING, .s = "round_prefer_floor",
      .offset = offsetof(resize_attrs, nearest),
      .choices = "round_prefer_floor|round_prefer_ceil|floor|ceil" },
    PLN_A_END,
};

/* ---- sizes ----------------------------------------------------------------------- */

/* The axes that scales and sizes speak of; false: they are none of this rank. */
static bool resize_axes(const resize_attrs *a, int rank, int *axes, int *n)
{
    *n = a->axes.n ? (int)a->axes.n : rank;
    if (a->axes.n > (size_t)rank)
        return false;
    for (int i = 0; i < *n; i++) {
        int64_t v = a->axes.n ? a->axes.v[i] : i;
        v += v < 0 ? rank : 0;
        if (v < 0 || v >= rank)
            return false;
        axes[i] = (int)v;
    }
    return true;
}

/* keep_aspect_ratio_policy: one scale for all axes, sizes follow from it. */
static double common_scale(int policy, const int64_t *in, const int64_t *sizes, int n)
{
    double scale = (double)sizes[0] / (double)in[0];
    for (int i = 1; i < n; i++) {
        const double s = (double)sizes[i] / (double)in[i];
        if (policy == NOT_LARGER ? s < scale : s > scale)
            scale = s;
    }
    return scale;
}

static bool scaled_size(int64_t in, float scale, int64_t *out)
{
    const double v = floor((double)((float)in * scale));
    if (!(scale > 0) || !(v < 1e15))
        return false;
    *out = (int64_t)v;
    return true;
}

static bool given_values(const pln_tensor *t)
{
    return t && pln_tensor_size(t) > 0;
}

static pln_dim scaled_symbolic(pln_infer *inf, pln_dim d, float scale)
{
    if (scale == 1.0f)
        return d;
    if (scale > 1 && scale < 65536 && scale == floorf(scale))
        return pln_dim_mul(inf->syms, d, pln_dim_of((int64_t)scale));
    const float inverse = 1 / scale;
    if (scale > 0 && scale < 1 && inverse < 65536 && inverse == floorf(inverse))
        return pln_dim_div(inf->syms, d, pln_dim_of((int64_t)inverse));
    return pln_dim_unknown();
}

static pln_status infer_scales(pln_infer *inf, const pln_tensor *t, const int *axes,
                               int n, pln_shape out, pln_error *err)
{
    const float *scales = t->data;
    if (pln_tensor_size(t) != n)
        return pln_infer_fail(inf, err, "%lld scales for %d axes",
                              (long long)pln_tensor_size(t), n);
    for (int i = 0; i < n; i++) {
        pln_dim *d = &out.dims[axes[i]];
        int64_t size;
        if (!pln_dim_is_known(*d))
            *d = scaled_symbolic(inf, *d, scales[i]);
        else if (scaled_size(d->value, scales[i], &size))
            *d = pln_dim_of(size);
        else
            return pln_infer_fail(inf, err, "scale %d is %g", i, (double)scales[i]);
    }
    return PLN_OK;
}

static pln_status infer_sizes(pln_infer *inf, const pln_symval *sizes, const int *axes,
                              int n, pln_shape out, pln_error *err)
{
    const resize_attrs *a = inf->attrs;
    if (sizes->n != n)
        return pln_infer_fail(inf, err, "%lld sizes for %d axes", (long long)sizes->n, n);
    int64_t in[PLN_MAX_RANK], want[PLN_MAX_RANK];
    bool known = true;
    for (int i = 0; i < n; i++) {
        const pln_dim d = out.dims[axes[i]], s = sizes->v[i];
        if (pln_dim_is_known(s) && s.value < 0)
            return pln_infer_fail(inf, err, "size %d is %lld", i, (long long)s.value);
        known &= pln_dim_is_known(d) && d.value > 0 && pln_dim_is_known(s);
        in[i] = d.value;
        want[i] = s.value;
    }
    const double scale =
        a->policy != STRETCH && known ? common_scale(a->policy, in, want, n) : 0;
    for (int i = 0; i < n; i++) {
        if (a->policy == STRETCH)
            out.dims[axes[i]] = sizes->v[i];
        else if (known)
            out.dims[axes[i]] = pln_dim_of((int64_t)floor(scale * (double)in[i] + 0.5));
        else
            out.dims[axes[i]] = pln_dim_unknown();
    }
    return PLN_OK;
}

static pln_status resize_infer(pln_infer *inf, pln_error *err)
{
    const resize_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    int axes[PLN_MAX_RANK], n;
    if (!resize_axes(a, rank, axes, &n))
        return pln_infer_fail(inf, err, "axes don't fit rank %d", rank);
    pln_shape out = pln_move_infer_like(inf, 0);
    const pln_tensor *scales = pln_move_infer_cst(inf, 2);
    pln_symval sizes = { 0 };
    if (pln_infer_ints(inf, 3, &sizes) && sizes.n > 0) {
        PLN_TRY(infer_sizes(inf, &sizes, axes, n, out, err));
    } else if (given_values(scales)) {
        PLN_TRY(infer_scales(inf, scales, axes, n, out, err));
    } else if (!pln_infer_has(inf, 2) && !pln_infer_has(inf, 3)) {
        return pln_infer_fail(inf, err, "neither scales nor sizes are given");
    } else {
        for (int i = 0; i < n; i++)
            out.dims[axes[i]] = pln_dim_unknown();
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

/* ---- what each axis does --------------------------------------------------------- */

typedef struct resize_axis {
    int64_t in, out;
    double scale, width; /* width: that of the output before it was rounded down */
    double roi_start,
        roi_width; /* in pixels from the first to the last, and as a share */
    bool same; /* nothing to do */
    int taps;
    int32_t *index; /* [out][taps], clamped to the input */
    double *weight; /* [out][taps] */
    bool *outside;  /* [out] takes the extrapolation value; NULL: none */
} resize_axis;

static bool all_scales(const pln_call *c, const int *axes, int n, resize_axis *ax)
{
    const pln_tensor *x = c->in[0];
    const resize_attrs *a = c->attrs;
    if (pln_call_has(c, 3) && given_values(c->in[3])) {
        int64_t in[PLN_MAX_RANK], want[PLN_MAX_RANK];
        if (pln_tensor_size(c->in[3]) != n)
            return false;
        for (int i = 0; i < n; i++) {
            in[i] = x->dims[axes[i]];
            want[i] = pln_move_index(c->in[3], i);
            if (in[i] == 0 || want[i] < 0)
                return false;
        }
        const double common =
            a->policy == STRETCH ? 0 : common_scale(a->policy, in, want, n);
        for (int i = 0; i < n; i++) {
            resize_axis *at = &ax[axes[i]];
            at->scale = a->policy == STRETCH ? (double)want[i] / (double)in[i] : common;
            at->width = at->scale * (double)in[i];
        }
        return true;
    }
    if (!pln_call_has(c, 2) || pln_tensor_size(c->in[2]) != n)
        return false;
    for (int i = 0; i < n; i++) {
        const float scale = PLN_DATA(const float, c->in[2])[i];
        ax[axes[i]].scale = scale;
        ax[axes[i]].width = scale * (float)x->dims[axes[i]];
    }
    return true;
}

/* In roi's own precision: which positions at the very edge are outside hangs on the last
 * bit. */
static void set_roi(resize_axis *ax, const pln_tensor *roi, int i, int n)
{
    const double start = pln_tensor_get_f64(roi, i), end = pln_tensor_get_f64(roi, n + i);
    const double last = (double)(ax->in - 1);
    const bool wide = roi->dtype == PLN_DT_F64;
    ax->roi_start = wide ? start * last : (float)start * (float)last;
    ax->roi_width = wide ? end - start : (float)end - (float)start;
}

static bool all_axes(const pln_call *c, resize_axis *ax)
{
    const resize_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0], *y = c->out[0];
    int axes[PLN_MAX_RANK], n;
    if (!resize_axes(a, x->rank, axes, &n))
        return false;
    for (int i = 0; i < x->rank; i++)
        ax[i] = (resize_axis){ .in = x->dims[i], .out = y->dims[i], .scale = 1,
                               .width = (double)x->dims[i], .roi_width = 1 };
    if (!all_scales(c, axes, n, ax))
        return false;
    const bool roi = a->coords == TF_CROP_AND_RESIZE;
    if (roi && (!pln_call_has(c, 1) || pln_tensor_size(c->in[1]) != 2 * n))
        return false;
    for (int i = 0; roi && i < n; i++)
        set_roi(&ax[axes[i]], c->in[1], i, n);
    for (int i = 0; i < x->rank; i++)
        ax[i].same = ax[i].in == ax[i].out && ax[i].scale == 1 && ax[i].roi_start == 0 &&
                     ax[i].roi_width == 1;
    return true;
}

/* Where output position x lies in the input. */
static double source(const resize_attrs *a, const resize_axis *ax, double x,
                     bool *outside)
{
    const double in = (double)ax->in, out = ax->width;
    *outside = false;
    switch ((coord_mode)a->coords) {
    case ALIGN_CORNERS:
        return out == 1 ? 0 : x * (in - 1) / (out - 1);
    case ASYMMETRIC:
        return x / ax->scale;
    case TF_HALF_PIXEL_FOR_NN:
        return (x + 0.5) / ax->scale;
    case PYTORCH_HALF_PIXEL:
        return out == 1 ? -0.5 : (x + 0.5) / ax->scale - 0.5;
    case HALF_PIXEL_SYMMETRIC:
        return in / 2 * (1 - (double)ax->out / out) + (x + 0.5) / ax->scale - 0.5;
    case TF_CROP_AND_RESIZE: {
        const double at =
            ax->roi_start + (out == 1 ? ax->roi_width * (in - 1) / 2
                                      : x * ax->roi_width * (in - 1) / (out - 1));
        *outside = at < 0 || at > in - 1;
        return at;
    }
    case HALF_PIXEL:
        break;
    }
    return (x + 0.5) / ax->scale - 0.5;
}

static double nearest_of(int mode, double at)
{
    switch ((nearest_mode)mode) {
    case PREFER_FLOOR:
        return ceil(at - 0.5);
    case PREFER_CEIL:
        return floor(at + 0.5);
    case CEIL:
        return ceil(at);
    case FLOOR:
        break;
    }
    return floor(at);
}

static double cubic_weight(double x, double a)
{
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static double linear_weight(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* Taps reach from `first` on, relative to the pixel left of the position. */
static void axis_reach(const resize_attrs *a, resize_axis *ax, int *first, double *shrink)
{
    const double reach = a->mode == CUBIC ? 2 : 1;
    *shrink = a->antialias && ax->scale < 1 ? ax->scale : 1;
    *first = a->mode == NEAREST ? 0 : (int)floor(-reach / *shrink) + 1;
    ax->taps = a->mode == NEAREST ? 1 : 2 - 2 * *first;
}

static int32_t clamp_index(double v, int64_t n)
{
    return v <= 0 ? 0 : v >= (double)(n - 1) ? (int32_t)(n - 1) : (int32_t)v;
}

static void axis_position(const resize_attrs *a, const resize_axis *ax, double at,
                          int first, double shrink, int32_t *index, double *weight)
{
    if (a->mode == NEAREST) {
        const int how = a->pln_downsample && ax->scale < 1 ? CEIL : a->nearest;
        index[0] = clamp_index(nearest_of(how, at), ax->in);
        weight[0] = 1;
        return;
    }
    /* The pixel left of the position, never the position itself: the ratio is in (0,
       1]. */
    const double base = ceil(at) - 1, ratio = at - base;
    double sum = 0;
    for (int t = 0; t < ax->taps; t++) {
        const double x = (first + t - ratio) * shrink, pixel = base + first + t;
        weight[t] =
            a->mode == CUBIC ? cubic_weight(x, a->cubic_coeff_a) : linear_weight(x);
        if (a->exclude_outside && (pixel < 0 || pixel > (double)(ax->in - 1)))
            weight[t] = 0;
        index[t] = clamp_index(pixel, ax->in);
        sum += weight[t];
    }
    if ((a->exclude_outside || shrink < 1) && sum != 0)
        for (int t = 0; t < ax->taps; t++)
            weight[t] /= sum;
}

static pln_status axis_tables(pln_call *c, resize_axis *ax, pln_error *err)
{
    const resize_attrs *a = c->attrs;
    int first;
    double shrink;
    if (ax->in == 0 || ax->in > INT32_MAX || !(ax->scale > 1e-7))
        return pln_call_fail(c, err, PLN_E_RUN, "a dimension of %lld can't be resized",
                             (long long)ax->in);
    axis_reach(a, ax, &first, &shrink);
    const size_t n = (size_t)ax->out * (size_t)ax->taps;
    ax->index = pln_call_scratch(c, n * sizeof *ax->index + 1);
    ax->weight = pln_call_scratch(c, n * sizeof *ax->weight + 1);
    if (a->coords == TF_CROP_AND_RESIZE)
        ax->outside = pln_call_scratch(c, (size_t)ax->out + 1);
    if (!ax->index || !ax->weight || (a->coords == TF_CROP_AND_RESIZE && !ax->outside))
        return pln_oom(err);
    for (int64_t x = 0; x < ax->out; x++) {
        bool outside;
        const double at = source(a, ax, (double)x, &outside);
        axis_position(a, ax, at, first, shrink, ax->index + x * ax->taps,
                      ax->weight + x * ax->taps);
        if (ax->outside)
            ax->outside[x] = outside;
    }
    return PLN_OK;
}

/* ---- nearest: a gather along every axis ------------------------------------------ */

typedef struct nearest_job {
    const char *x;
    char *y;
    const resize_axis *ax; /* in the order of memory */
    int rank;              /* axes before the row */
    int64_t stride[PLN_MAX_RANK];
    int64_t unit; /* bytes of one element of the last axis */
    bool twice;   /* every element of the last axis stands there twice */
} nearest_job;

/* What stores may alias is read once. */
#define SPREAD(W, size)                                                       \
    static void spread_##size(char *py, const char *px, const resize_axis *a, \
                              bool twice)                                     \
    {                                                                         \
        W *restrict y = (W *)py;                                              \
        const W *restrict x = (const W *)px;                                  \
        const int32_t *restrict index = a->index;                             \
        const int64_t n = a->out;                                             \
        for (int64_t i = 0; twice && i < n / 2; i++)                          \
            y[2 * i] = y[2 * i + 1] = x[i];                                   \
        for (int64_t i = 0; !twice && i < n; i++)                             \
            y[i] = x[index[i]];                                               \
    }
PLN_MOVE_SIZES(SPREAD)

static bool is_twice(const resize_axis *a)
{
    for (int64_t i = 0; i < a->out; i++)
        if (a->index[i] != i / 2)
            return false;
    return a->out % 2 == 0;
}

static void spread_any(char *y, const char *x, const resize_axis *a, int64_t unit)
{
    for (int64_t i = 0; i < a->out; i++)
        memcpy(y + i * unit, x + a->index[i] * unit, (size_t)unit);
}

/* Rows of the last resized axis; the same source row as before is copied from there. */
static void nearest_range(void *arg, int64_t begin, int64_t end)
{
    const nearest_job *j = arg;
    const resize_axis *last = &j->ax[j->rank - 1];
    const int64_t row = last->out * j->unit;
    const char *before = NULL;
    for (int64_t r = begin; r < end; r++) {
        const char *x = j->x;
        char *y = j->y + r * row;
        int64_t rest = r;
        for (int i = j->rank - 2; i >= 0; i--) {
            const resize_axis *a = &j->ax[i];
            const int64_t at = rest % a->out;
            x += (a->same ? at : a->index[at]) * j->stride[i];
            rest /= a->out;
        }
        if (x == before) {
            memcpy(y, y - row, (size_t)row);
            continue;
        }
        before = x;
        switch (j->unit) {
#define CASE(W, size)                        \
    case size:                               \
        spread_##size(y, x, last, j->twice); \
        break;
            PLN_MOVE_SIZES(CASE)
        default:
            spread_any(y, x, last, j->unit);
        }
    }
}

static void run_nearest(pln_call *c, const resize_axis *ax, int rank)
{
    pln_tensor *y = c->out[0];
    nearest_job j = { .x = c->in[0]->data, .y = y->data, .ax = ax };
    int last = rank - 1;
    while (last > 0 && ax[last].same)
        last--;
    j.rank = last + 1;
    j.unit = (int64_t)pln_dtype_size((pln_dtype)y->dtype);
    for (int i = last + 1; i < rank; i++)
        j.unit *= ax[i].in;
    int64_t s = j.unit, rows = 1;
    for (int i = last; i >= 0; i--) {
        j.stride[i] = s;
        s *= ax[i].in;
        rows *= i < last ? ax[i].out : 1;
    }
    const int64_t row = ax[last].out * j.unit;
    j.twice = is_twice(&ax[last]);
    pln_move_begin(y);
    pln_parallel_for(c->n_threads, rows, 1 + 131072 / (row + 1), nearest_range, &j);
    pln_move_end(y);
}

/* ---- interpolation: one axis after the other ------------------------------------- */

typedef struct axis_job {
    const resize_axis *axis;
    int64_t inner;
    const void *in;
    void *to;
} axis_job;

#define NAME(x) x##_f32
#define ACC float
#include "kernels/resize_tmpl.h"
#define NAME(x) x##_f64
#define ACC double
#include "kernels/resize_tmpl.h"

static void run_axis(const pln_call *c, const resize_axis *ax, int rank, int at,
                     const void *in, void *to, bool wide)
{
    /* Axes before `at` are done, those behind are not. */
    axis_job j = { .axis = &ax[at], .inner = 1, .in = in, .to = to };
    int64_t outer = 1;
    for (int i = 0; i < at; i++)
        outer *= ax[i].out;
    for (int i = at + 1; i < rank; i++)
        j.inner *= ax[i].in;
    if (j.inner == 1)
        pln_parallel_for(c->n_threads, outer, 1 + 16384 / (ax[at].out + 1),
                         wide ? line_range_f64 : line_range_f32, &j);
    else
        pln_parallel_for(c->n_threads, outer * ax[at].out, 1 + 16384 / j.inner,
                         wide ? axis_range_f64 : axis_range_f32, &j);
}

/* Elements after the axes up to `at` were resized. */
static int64_t stage_count(const resize_axis *ax, int rank, int at)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= i <= at ? ax[i].out : ax[i].in;
    return n;
}

static void load_doubles(const pln_tensor *x, double *to)
{
    const int64_t n = pln_tensor_size(x);
    for (int64_t i = 0; i < n; i++)
        to[i] = pln_tensor_get_f64(x, i);
}

static void store_doubles(pln_tensor *y, const double *from)
{
    const int64_t n = pln_tensor_size(y);
    for (int64_t i = 0; i < n; i++)
        pln_tensor_set_f64(y, i, from[i]);
}

static pln_status run_interpolated(pln_call *c, const resize_axis *ax, int rank,
                                   pln_error *err)
{
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    const bool wide = x->dtype != PLN_DT_F32;
    const size_t size = wide ? sizeof(double) : sizeof(float);
    const void *in = x->data;
    if (wide) {
        double *copy = pln_call_scratch(c, (size_t)pln_tensor_size(x) * size + 1);
        if (!copy)
            return pln_oom(err);
        load_doubles(x, copy);
        in = copy;
    }
    int last = rank - 1;
    while (last > 0 && ax[last].same)
        last--;
    for (int i = 0; i <= last; i++) {
        if (ax[i].same)
            continue;
        void *to = i == last && !wide
                       ? y->data
                       : pln_call_scratch(c, (size_t)stage_count(ax, rank, i) * size + 1);
        if (!to)
            return pln_oom(err);
        run_axis(c, ax, rank, i, in, to, wide);
        in = to;
    }
    if (wide)
        store_doubles(y, in);
    else if (in == x->data)
        pln_move_bytes(y->data, x->data, pln_move_bytes_of(y), c->n_threads);
    return PLN_OK;
}

static void fill_outside(pln_call *c, const resize_axis *ax)
{
    const resize_attrs *a = c->attrs;
    pln_tensor *y = c->out[0];
    const int64_t n = pln_tensor_size(y);
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i;
        bool outside = false;
        for (int k = y->rank - 1; k >= 0; k--) {
            outside |= ax[k].outside && ax[k].outside[rest % ax[k].out];
            rest /= ax[k].out;
        }
        if (outside)
            pln_tensor_set_f64(y, i, a->extrapolation_value);
    }
}

/* The axes in the order of memory. */
static void order_axes(const pln_tensor *x, resize_axis *ax)
{
    if (x->layout == PLN_LAYOUT_PLAIN)
        return;
    const resize_axis channels = ax[1];
    memmove(ax + 1, ax + 2, (size_t)(x->rank - 2) * sizeof *ax);
    ax[x->rank - 1] = channels;
}

static pln_status resize_run(pln_call *c, pln_error *err)
{
    const resize_attrs *a = c->attrs;
    PLN_TRY(pln_move_ready(c, err));
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    resize_axis ax[PLN_MAX_RANK];
    if (pln_tensor_size(y) == 0)
        return PLN_OK;
    if (!all_axes(c, ax))
        return pln_call_fail(c, err, PLN_E_RUN, "scales, sizes or roi don't fit rank %d",
                             (int)x->rank);
    bool any = false;
    for (int i = 0; i < x->rank; i++) {
        if (!ax[i].same)
            PLN_TRY(axis_tables(c, &ax[i], err));
        any |= !ax[i].same;
    }
    order_axes(x, ax);
    if (!any) {
        pln_move_begin(y);
        pln_move_bytes(y->data, x->data, pln_move_bytes_of(y), c->n_threads);
        pln_move_end(y);
    } else if (a->mode == NEAREST) {
        run_nearest(c, ax, x->rank);
    } else if (x->dtype == PLN_DT_STRING || pln_dtype_is_complex((pln_dtype)x->dtype)) {
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "interpolation of %s",
                             pln_dtype_name((pln_dtype)x->dtype));
    } else {
        PLN_TRY(run_interpolated(c, ax, x->rank, err));
    }
    if (a->coords == TF_CROP_AND_RESIZE && x->dtype != PLN_DT_STRING)
        fill_outside(c, ax);
    return PLN_OK;
}

/* ---- rows ------------------------------------------------------------------------ */

static const pln_attr_spec upsample_spec[] = {
    PLN_A_ENUM(resize_attrs, mode, "nearest|linear", "nearest"),
    PLN_A_END,
};

/* Only ever inferred and run as the Resize that it was raised to. */
static pln_status upsample_infer(pln_infer *inf, pln_error *err)
{
    return pln_move_infer_open(inf);
}

static void resize_cost(const pln_infer *inf, pln_cost *cost)
{
    const resize_attrs *a = inf->attrs;
    const pln_dim out = pln_shape_count(inf->syms, inf->out[0].shape);
    *cost = (pln_cost){ 0 };
    if (!pln_dim_is_known(out))
        return;
    cost->bytes =
        2.0 * (double)out.value * (double)pln_dtype_size(pln_infer_dtype(inf, 0));
    cost->flops = (a->mode == NEAREST  ? 0
                   : a->mode == LINEAR ? 8
                                       : 32) *
                  (double)out.value;
}

const pln_op_desc pln_ops_resize[] = {
    { .name = "Resize", .expand = pln_expand_resize, .domain = "", .since = 19,
      .in = { 1, 4 }, .out = { 1, 1 },
      .traits = PLN_OP_CHANNELS_LAST, .types = "T:" PLN_TS_STD ";R:float16,float,double",
      .sig = "T,R?,float?,int64?->T", .attrs = resize_spec,
      .attrs_size = sizeof(resize_attrs), .infer = resize_infer, .ref = resize_run,
      .cost = resize_cost, .versions = pln_resize_versions },
    { .name = "Upsample", .domain = "", .since = 9, .until = 10, .in = { 1, 2 },
      .out = { 1, 1 }, .types = "T:" PLN_TS_OLD, .sig = "T,float?->T",
      .attrs = upsample_spec, .attrs_size = sizeof(resize_attrs), .infer = upsample_infer,
      .ref = resize_run, .versions = pln_upsample_versions },
    { .name = NULL },
};
