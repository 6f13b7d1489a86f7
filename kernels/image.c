/* CenterCropPad, ReverseSequence, MaxUnpool, AffineGrid and GridSample.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/expand.h"
#include "kernels/move.h"
#include "kernels/raise.h"

/* ---- CenterCropPad --------------------------------------------------------------- */

typedef struct crop_attrs {
    pln_ints axes;
} crop_attrs;

static const pln_attr_spec crop_spec[] = {
    PLN_A_INTS(crop_attrs, axes),
    PLN_A_END,
};

static pln_status crop_infer(pln_infer *inf, pln_error *err)
{
    const crop_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    pln_shape out = pln_move_infer_like(inf, 0);
    pln_symval want;
    const bool known = pln_infer_ints(inf, 1, &want);
    const int n = a->axes.n ? (int)a->axes.n : rank;
    if (n > rank || (known && want.n != n))
        return pln_infer_fail(inf, err, "%d axes and %lld sizes for rank %d", n,
                              known ? (long long)want.n : -1, rank);
    for (int i = 0; i < n; i++) {
        int axis = i;
        if (a->axes.n)
            PLN_TRY(pln_infer_axis(inf, a->axes.v[i], rank, &axis, err));
        if (known && pln_dim_is_known(want.v[i]) && want.v[i].value < 0)
            return pln_infer_fail(inf, err, "size %d is %lld", i,
                                  (long long)want.v[i].value);
        out.dims[axis] = known ? want.v[i] : pln_dim_unknown();
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static pln_status crop_run(pln_call *c, pln_error *err)
{
    PLN_TRY(pln_move_ready(c, err));
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    const size_t size = pln_dtype_size((pln_dtype)x->dtype);
    int64_t ss[PLN_MAX_RANK], ds[PLN_MAX_RANK], dims[PLN_MAX_RANK];
    if (pln_tensor_size(y) == 0)
        return PLN_OK;
    pln_move_strides(x->rank, x->dims, size, ss);
    pln_move_strides(y->rank, y->dims, size, ds);
    const char *from = x->data;
    char *to = y->data;
    pln_move_begin(y);
    memset(y->data, 0, pln_move_bytes_of(y));
    for (int i = 0; i < x->rank; i++) {
        const int64_t d = y->dims[i] - x->dims[i];
        dims[i] = d > 0 ? x->dims[i] : y->dims[i];
        if (d > 0)
            to += d / 2 * ds[i];
        else
            from += -d / 2 * ss[i];
    }
    if (pln_tensor_size(x) > 0)
        pln_move_nd(to, ds, from, ss, dims, x->rank, size, c->n_threads);
    pln_move_end(y);
    return PLN_OK;
}

/* ---- ReverseSequence ------------------------------------------------------------- */

typedef struct reverse_attrs {
    int64_t batch_axis, time_axis;
} reverse_attrs;

static const pln_attr_spec reverse_spec[] = {
    PLN_A_INT(reverse_attrs, batch_axis, 1),
    PLN_A_INT(reverse_attrs, time_axis, 0),
    PLN_A_END,
};

static pln_status reverse_infer(pln_infer *inf, pln_error *err)
{
    const reverse_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    if (rank != PLN_RANK_UNKNOWN && (rank < 2 || a->batch_axis + a->time_axis != 1 ||
                                     a->batch_axis * a->time_axis != 0))
        return pln_infer_fail(inf, err, "rank %d with batch axis %lld and time axis %lld",
                              rank, (long long)a->batch_axis, (long long)a->time_axis);
    return pln_infer_same(inf, err);
}

static pln_status reverse_run(pln_call *c, pln_error *err)
{
    const reverse_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    const int64_t *lens = c->in[1]->data;
    const int64_t batches = x->dims[a->batch_axis], times = x->dims[a->time_axis];
    const size_t row =
        (size_t)pln_move_count(x->dims, 2, x->rank) * pln_dtype_size((pln_dtype)x->dtype);
    if (pln_tensor_size(c->in[1]) != batches)
        return pln_call_fail(c, err, PLN_E_RUN, "%lld lengths for %lld batches",
                             (long long)pln_tensor_size(c->in[1]), (long long)batches);
    for (int64_t b = 0; b < batches; b++)
        if (lens[b] < 0 || lens[b] > times)
            return pln_call_fail(c, err, PLN_E_RUN, "length %lld of %lld",
                                 (long long)lens[b], (long long)times);
    const size_t step_b = row * (size_t)(a->batch_axis == 0 ? times : 1);
    const size_t step_t = row * (size_t)(a->batch_axis == 0 ? 1 : batches);
    pln_move_begin(c->out[0]);
    for (int64_t b = 0; b < batches && row > 0; b++)
        for (int64_t t = 0; t < times; t++) {
            const int64_t from = t < lens[b] ? lens[b] - 1 - t : t;
            memcpy((char *)c->out[0]->data + (size_t)b * step_b + (size_t)t * step_t,
                   (const char *)x->data + (size_t)b * step_b + (size_t)from * step_t,
                   row);
        }
    pln_move_end(c->out[0]);
    return PLN_OK;
}

/* ---- MaxUnpool ------------------------------------------------------------------- */

typedef struct unpool_attrs {
    pln_ints kernel_shape, pads, strides;
} unpool_attrs;

static const pln_attr_spec unpool_spec[] = {
    { .name = "kernel_shape",
      .type = PLN_ATTR_INTS,
      .required = true,
      .offset = offsetof(unpool_attrs, kernel_shape) },
    PLN_A_INTS(unpool_attrs, pads),
    PLN_A_INTS(unpool_attrs, strides),
    PLN_A_END,
};

static bool unpool_fits(const unpool_attrs *a, int rank)
{
    const size_t s = (size_t)rank - 2;
    return rank >= 3 && a->kernel_shape.n == s && (!a->strides.n || a->strides.n == s) &&
           (!a->pads.n || a->pads.n == 2 * s);
}

/* size = (in - 1) * stride + constant */
static void unpool_terms(const unpool_attrs *a, int i, int64_t *stride, int64_t *plus)
{
    const size_t s = a->kernel_shape.n;
    *stride = a->strides.n ? a->strides.v[i] : 1;
    *plus = a->kernel_shape.v[i] -
            (a->pads.n ? a->pads.v[i] + a->pads.v[s + (size_t)i] : 0) - *stride;
}

static pln_status unpool_infer(pln_infer *inf, pln_error *err)
{
    const unpool_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), pln_shape_unknown());
    if (rank == PLN_RANK_UNKNOWN)
        return PLN_OK;
    if (!unpool_fits(a, rank))
        return pln_infer_fail(inf, err, "the attributes don't fit rank %d", rank);
    pln_shape out = pln_move_infer_like(inf, 0);
    pln_symval want;
    if (pln_infer_has(inf, 2)) {
        if (!pln_infer_ints(inf, 2, &want))
            return PLN_OK;
        if (want.n != rank)
            return pln_infer_fail(inf, err, "output_shape has %lld entries",
                                  (long long)want.n);
        for (int i = 0; i < rank; i++)
            out.dims[i] = want.v[i];
    } else {
        for (int i = 0; i < rank - 2; i++) {
            int64_t stride, plus;
            unpool_terms(a, i, &stride, &plus);
            out.dims[2 + i] = pln_dim_add(
                inf->syms, pln_dim_mul(inf->syms, out.dims[2 + i], pln_dim_of(stride)),
                pln_dim_of(plus));
        }
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

/* Positions are those in a tensor of the computed size, which lies in the corner of the
 * output. */
static pln_status unpool_run(pln_call *c, pln_error *err)
{
    const unpool_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    PLN_TRY(pln_move_ready(c, err));
    pln_tensor *y = c->out[0];
    int64_t dims[PLN_MAX_RANK], all = 1;
    const size_t size = pln_dtype_size((pln_dtype)x->dtype);
    for (int i = 0; i < x->rank; i++) {
        int64_t stride = 1, plus = 0;
        if (i >= 2)
            unpool_terms(a, i - 2, &stride, &plus);
        dims[i] = x->dims[i] * stride + plus;
        if (dims[i] < 0 || dims[i] > y->dims[i] || !pln_i64_mul(&all, all, dims[i]))
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "dimension %d of the output is too small", i);
    }
    if (pln_tensor_size(c->in[1]) != pln_tensor_size(x))
        return pln_call_fail(c, err, PLN_E_RUN,
                             "there are not as many indices as values");
    if (pln_tensor_size(y) > 0)
        memset(y->data, 0, pln_move_bytes_of(y));
    for (int64_t k = 0; k < pln_tensor_size(x); k++) {
        int64_t v = PLN_DATA(const int64_t, c->in[1])[k], at = 0, step = 1;
        if (v < 0 || v >= all)
            return pln_call_fail(c, err, PLN_E_RUN, "index %lld of %lld", (long long)v,
                                 (long long)all);
        for (int i = x->rank - 1; i >= 0; i--) {
            at += v % dims[i] * step;
            v /= dims[i];
            step *= y->dims[i];
        }
        memcpy((char *)y->data + (size_t)at * size,
               (const char *)x->data + (size_t)k * size, size);
    }
    return PLN_OK;
}

/* ---- AffineGrid ------------------------------------------------------------------ */

typedef struct affine_attrs {
    int64_t align_corners;
} affine_attrs;

static const pln_attr_spec affine_spec[] = {
    PLN_A_INT(affine_attrs, align_corners, 0),
    PLN_A_END,
};

static pln_status affine_infer(pln_infer *inf, pln_error *err)
{
    pln_symval size;
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), pln_shape_unknown());
    if (!pln_infer_ints(inf, 1, &size))
        return PLN_OK;
    if (size.n != 4 && size.n != 5)
        return pln_infer_fail(inf, err, "size has %lld entries, want 4 or 5",
                              (long long)size.n);
    const int s = (int)size.n - 2;
    pln_shape out = pln_infer_shape(inf, s + 2);
    out.dims[0] = size.v[0];
    for (int i = 0; i < s; i++)
        out.dims[1 + i] = size.v[2 + i];
    out.dims[s + 1] = pln_dim_of(s);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static double grid_position(int64_t i, int64_t n, bool align)
{
    if (align)
        return n > 1 ? -1 + 2.0 * (double)i / (double)(n - 1) : -1;
    return -1 + (2.0 * (double)i + 1) / (double)n;
}

static pln_status affine_run(pln_call *c, pln_error *err)
{
    const affine_attrs *a = c->attrs;
    PLN_TRY(pln_move_ready(c, err));
    const pln_tensor *t = c->in[0];
    pln_tensor *y = c->out[0];
    const int s = y->rank - 2;
    if (t->rank != 3 || t->dims[0] != y->dims[0] || t->dims[1] != s ||
        t->dims[2] != s + 1)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "theta does not fit a grid of %d dimensions", s);
    const int64_t points = pln_move_count(y->dims, 1, s + 1);
    for (int64_t p = 0; p < y->dims[0] * points; p++) {
        double at[4] = { 0 };
        int64_t rest = p % points;
        for (int i = s - 1; i >= 0; i--) { /* x comes first */
            at[s - 1 - i] = grid_position(rest % y->dims[1 + i], y->dims[1 + i],
                                          a->align_corners != 0);
            rest /= y->dims[1 + i];
        }
        at[s] = 1;
        for (int r = 0; r < s; r++) {
            double sum = 0;
            for (int k = 0; k <= s; k++)
                sum += at[k] * pln_tensor_get_f64(t, (p / points * s + r) * (s + 1) + k);
            pln_tensor_set_f64(y, p * s + r, sum);
        }
    }
    return PLN_OK;
}

/* ---- GridSample ------------------------------------------------------------------ */

typedef enum grid_mode { GRID_LINEAR, GRID_NEAREST, GRID_CUBIC } grid_mode;
typedef enum grid_padding { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION } grid_padding;

typedef struct grid_attrs {
    int64_t align_corners;
    int mode, padding;
    bool loose; /* com.microsoft's: borders leave the point where it is, and bound its
                   pixels */
} grid_attrs;

#define GRID_PADDING                                                         \
    { .name = "padding_mode", .type = PLN_ATTR_STRING, .s = "zeros",         \
      .offset = offsetof(grid_attrs, padding), .choices = "zeros|border|reflection" }

static const pln_attr_spec grid_spec[] = {
    PLN_A_INT(grid_attrs, align_corners, 0),
    PLN_A_ENUM(grid_attrs, mode, "linear|nearest|cubic", "linear"),
    GRID_PADDING,
    PLN_A_END,
};

/* Of com.microsoft: the names of the first version. */
static const pln_attr_spec ms_grid_spec[] = {
    PLN_A_INT(grid_attrs, align_corners, 0),
    PLN_A_ENUM(grid_attrs, mode, "bilinear|nearest|bicubic", "bilinear"),
    GRID_PADDING,
    PLN_A_END,
};

static pln_status ms_grid_check(pln_node *n, void *attrs, pln_error *err)
{
    (void)n, (void)err;
    ((grid_attrs *)attrs)->loose = true;
    return PLN_OK;
}

static pln_status grid_infer(pln_infer *inf, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0), grid = pln_infer_rank(inf, 1);
    if (rank == PLN_RANK_UNKNOWN || grid == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    if (rank < 3 || grid != rank)
        return pln_infer_fail(inf, err, "the input has rank %d, the grid %d", rank, grid);
    const pln_dim last = pln_infer_dim(inf, 1, rank - 1);
    if (pln_dim_is_known(last) && last.value != rank - 2)
        return pln_infer_fail(inf, err, "the grid's points have %lld coordinates",
                              (long long)last.value);
    pln_shape out = pln_move_infer_like(inf, 0);
    for (int i = 2; i < rank; i++)
        out.dims[i] = pln_infer_dim(inf, 1, i - 1);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static double reflect(double x, double lo, double hi)
{
    const double span = hi - lo;
    if (span <= 0)
        return lo;
    if (x >= lo && x <= hi)
        return x;
    const double d = x < lo ? lo - x : x - hi, n = floor(d / span), r = d - n * span;
    const bool even = fmod(n, 2) == 0;
    return (x < lo) == even ? lo + r : hi - r;
}

/* Pixel of one axis after padding; -1: a zero. */
static int64_t grid_pixel(const grid_attrs *a, double at, int64_t n)
{
    if (at >= 0 && at <= (double)(n - 1))
        return (int64_t)at;
    if (a->padding == GRID_ZEROS)
        return -1;
    if (a->padding == GRID_BORDER)
        return at < 0 ? 0 : n - 1;
    const double v = a->align_corners ? reflect(at, 0, (double)(n - 1))
                                      : reflect(at, -0.5, (double)n - 0.5);
    const int64_t i = (int64_t)v;
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

typedef struct grid_tap {
    int64_t pixel[4];
    double weight[4];
    int n;
} grid_tap;

static void cubic_weights(double t, double *w)
{
    const double a = -0.75;
    const double x[4] = { t + 1, t, 1 - t, 2 - t };
    for (int i = 0; i < 4; i++)
        w[i] = i == 1 || i == 2 ? ((a + 2) * x[i] - (a + 3)) * x[i] * x[i] + 1
                                : ((a * x[i] - 5 * a) * x[i] + 8 * a) * x[i] - 4 * a;
}

static void grid_taps(const grid_attrs *a, double g, int64_t n, grid_tap *t)
{
    const double size = (double)n;
    double at = a->align_corners ? (g + 1) / 2 * (size - 1) : ((g + 1) * size - 1) / 2;
    const double lo = a->align_corners ? 0 : -0.5,
                 hi = a->align_corners ? size - 1 : size - 0.5;
    if (!(fabs(at) < 1e15))
        at = at > 0 ? 1e15 : -1e15; /* NaN and far outside */
    if (a->mode == GRID_NEAREST)
        at = nearbyint(at);
    const bool bounded =
        a->padding == GRID_BORDER && !(a->loose && a->mode == GRID_CUBIC);
    if ((at < lo || at > hi) && bounded)
        at = at < 0 ? 0 : size - 1;
    else if ((at < lo || at > hi) && a->padding == GRID_REFLECTION)
        at = reflect(at, lo, hi);
    if (a->mode == GRID_NEAREST) {
        t->n = 1;
        t->pixel[0] = grid_pixel(a, nearbyint(at), n);
        t->weight[0] = 1;
        return;
    }
    const double base = floor(at), f = at - base;
    t->n = a->mode == GRID_CUBIC ? 4 : 2;
    if (a->mode == GRID_CUBIC) {
        cubic_weights(f, t->weight);
    } else {
        t->weight[0] = 1 - f;
        t->weight[1] = f;
    }
    for (int i = 0; i < t->n; i++)
        t->pixel[i] = grid_pixel(a, base + i - (a->mode == GRID_CUBIC), n);
}

/* All products of the axes' taps: offsets within a plane and weights. */
static int64_t grid_points(const grid_tap *taps, const int64_t *dims, int s,
                           int64_t *offset, double *weight)
{
    int64_t n = 1;
    offset[0] = 0;
    weight[0] = 1;
    for (int i = 0; i < s; i++) {
        const grid_tap *t = &taps[i];
        for (int64_t k = n - 1; k >= 0; k--) {
            const int64_t base = offset[k];
            const double w = weight[k];
            for (int j = t->n - 1; j >= 0; j--) {
                const bool none = base < 0 || t->pixel[j] < 0;
                offset[k * t->n + j] = none ? -1 : base * dims[i] + t->pixel[j];
                weight[k * t->n + j] = w * t->weight[j];
            }
        }
        n *= t->n;
    }
    return n;
}

static double sample_at(const pln_tensor *x, int64_t plane, const int64_t *offset,
                        const double *weight, int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += offset[k] < 0 ? 0 : weight[k] * pln_tensor_get_f64(x, plane + offset[k]);
    return sum;
}

typedef struct grid_job {
    pln_call *c;
    const grid_attrs *a;
    int s;
    int64_t in, out, tap_products;
} grid_job;

/* Nearest needs no arithmetic: it moves elements of every type. */
static void grid_move(const grid_job *j, int64_t batch, int64_t point, int64_t offset)
{
    const pln_tensor *x = j->c->in[0];
    pln_tensor *y = j->c->out[0];
    const size_t size = pln_dtype_size((pln_dtype)x->dtype);
    for (int64_t ch = 0; ch < x->dims[1]; ch++) {
        const int64_t plane = batch * x->dims[1] + ch;
        char *to = (char *)y->data + (size_t)(plane * j->out + point) * size;
        if (offset < 0)
            memset(to, 0, size);
        else
            memcpy(to, (const char *)x->data + (size_t)(plane * j->in + offset) * size,
                   size);
    }
}

#define GRID_TAPS 1024 /* of points side by side */

/* Points side by side that lie each between four pixels of a plane. */
static void sample_fours(float *y, const float *x, const int64_t *o, const double *w,
                         int64_t points)
{
    for (int64_t i = 0; i < points; i++, o += 4, w += 4)
        y[i] = (float)(w[0] * (double)x[o[0]] + w[1] * (double)x[o[1]] +
                       w[2] * (double)x[o[2]] + w[3] * (double)x[o[3]]);
}

static void sample_floats(float *y, const float *x, const int64_t *o, const double *w,
                          int64_t n, int64_t points)
{
    for (int64_t i = 0; i < points; i++, o += n, w += n) {
        double sum = 0;
        for (int64_t k = 0; k < n; k++)
            sum += o[k] < 0 ? 0 : w[k] * (double)x[o[k]];
        y[i] = (float)sum;
    }
}

/* Points side by side of one image, in all channels. */
static void grid_sample(const grid_job *j, int64_t batch, int64_t point, int64_t points,
                        const int64_t *offset, const double *weight, int64_t n)
{
    const pln_tensor *x = j->c->in[0];
    pln_tensor *y = j->c->out[0];
    bool inside = true;
    for (int64_t i = 0; i < points * n; i++)
        inside &= offset[i] >= 0;
    for (int64_t ch = 0; ch < x->dims[1]; ch++) {
        const int64_t plane = batch * x->dims[1] + ch, to = plane * j->out + point;
        for (int64_t i = 0; y->dtype != PLN_DT_F32 && i < points; i++)
            pln_tensor_set_f64(y, to + i, sample_at(x, plane * j->in, offset + i * n,
                                                    weight + i * n, n));
        if (y->dtype != PLN_DT_F32)
            continue;
        float *out = PLN_DATA(float, y) + to;
        const float *from = PLN_DATA(const float, x) + plane * j->in;
        if (inside && n == 4)
            sample_fours(out, from, offset, weight, points);
        else
            sample_floats(out, from, offset, weight, n, points);
    }
}

static void grid_range(void *arg, int64_t begin, int64_t end)
{
    const grid_job *j = arg;
    const pln_tensor *x = j->c->in[0], *grid = j->c->in[1];
    const int64_t n = j->tap_products, side = GRID_TAPS / n;
    int64_t offset[GRID_TAPS];
    double weight[GRID_TAPS];
    for (int64_t p = begin; p < end;) {
        const int64_t batch = p / j->out, point = p % j->out;
        int64_t points = j->out - point < side ? j->out - point : side;
        points = end - p < points ? end - p : points;
        for (int64_t k = 0; k < points; k++) {
            grid_tap taps[PLN_MAX_RANK];
            for (int i = 0; i < j->s; i++) /* x, the last dimension, comes first */
                grid_taps(j->a, pln_tensor_get_f64(grid, (p + k) * j->s + j->s - 1 - i),
                          x->dims[2 + i], &taps[i]);
            grid_points(taps, x->dims + 2, j->s, offset + k * n, weight + k * n);
        }
        if (j->a->mode == GRID_NEAREST)
            for (int64_t k = 0; k < points; k++)
                grid_move(j, batch, point + k, offset[k]);
        else
            grid_sample(j, batch, point, points, offset, weight, n);
        p += points;
    }
}

static pln_status grid_run(pln_call *c, pln_error *err)
{
    const grid_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    grid_job j = { .c = c, .a = a, .s = x->rank - 2 };
    const int per = a->mode == GRID_CUBIC ? 4 : a->mode == GRID_LINEAR ? 2 : 1;
    j.tap_products = 1;
    for (int i = 0; i < j.s; i++) {
        j.tap_products *= per;
        if (j.tap_products > GRID_TAPS)
            return pln_call_fail(c, err, PLN_E_LIMIT, "%d spatial dimensions", j.s);
    }
    j.in = pln_move_count(x->dims, 2, x->rank);
    j.out = pln_move_count(y->dims, 2, y->rank);
    if (c->in[1]->dims[0] != x->dims[0] || c->in[1]->dims[x->rank - 1] != j.s)
        return pln_call_fail(c, err, PLN_E_RUN, "the grid does not fit the input");
    if (pln_tensor_size(y) == 0)
        return PLN_OK;
    if (j.in == 0)
        return pln_call_fail(c, err, PLN_E_RUN, "the input is empty");
    if (a->mode != GRID_NEAREST &&
        (x->dtype == PLN_DT_STRING || pln_dtype_is_complex((pln_dtype)x->dtype)))
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "interpolation of %s",
                             pln_dtype_name((pln_dtype)x->dtype));
    pln_move_begin(y);
    pln_parallel_for(c->n_threads, y->dims[0] * j.out, 256, grid_range, &j);
    pln_move_end(y);
    return PLN_OK;
}

static pln_status rename_mode(pln_node *n, const char *const from[2],
                              const char *const to[2], pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "mode");
    for (int i = 0; a && a->type == PLN_ATTR_STRING && i < 2; i++)
        if (strcmp(a->s, from[i]) == 0)
            return pln_node_set_string(n, "mode", to[i], strlen(to[i])) == PLN_OK
                       ? PLN_OK
                       : pln_oom(err);
    return PLN_OK;
}

static const char *const grid_old[2] = { "bilinear", "bicubic" };
static const char *const grid_new[2] = { "linear", "cubic" };

static pln_status grid_raise_20(pln_node *n, pln_error *err)
{
    return rename_mode(n, grid_old, grid_new, err);
}

static pln_status grid_lower_20(pln_node *n, pln_error *err)
{
    const pln_shape s = n->in[0] ? n->in[0]->type.shape : pln_shape_unknown();
    if (s.rank != PLN_RANK_UNKNOWN && s.rank != 4)
        return pln_lower_fail(n, err,
                              "the older version takes images of two dimensions only");
    return rename_mode(n, grid_new, grid_old, err);
}

static const pln_version_change grid_versions[] = {
    { 20, grid_raise_20, grid_lower_20 },
    { 0 },
};

const pln_op_desc pln_ops_image[] = {
    { .name = "CenterCropPad",
      .expand = pln_expand_crop_pad,
      .domain = "",
      .since = 18,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD ";I:" PLN_TS_IND,
      .sig = "T,I->T",
      .attrs = crop_spec,
      .attrs_size = sizeof(crop_attrs),
      .infer = crop_infer,
      .ref = crop_run },
    { .name = "ReverseSequence",
      .domain = "",
      .since = 28,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD,
      .sig = "T,int64->T",
      .attrs = reverse_spec,
      .attrs_size = sizeof(reverse_attrs),
      .infer = reverse_infer,
      .ref = reverse_run },
    { .name = "MaxUnpool",
      .domain = "",
      .since = 22,
      .in = { 2, 3 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_FLOAT,
      .sig = "T,int64,int64?->T",
      .attrs = unpool_spec,
      .attrs_size = sizeof(unpool_attrs),
      .infer = unpool_infer,
      .ref = unpool_run },
    { .name = "AffineGrid",
      .domain = "",
      .since = 20,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_FLOAT,
      .sig = "T,int64->T",
      .attrs = affine_spec,
      .attrs_size = sizeof(affine_attrs),
      .infer = affine_infer,
      .ref = affine_run },
    { .name = "GridSample",
      .domain = "",
      .since = 22,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD ";G:" PLN_TS_FLOAT,
      .sig = "T,G->T",
      .attrs = grid_spec,
      .attrs_size = sizeof(grid_attrs),
      .infer = grid_infer,
      .ref = grid_run,
      .versions = grid_versions },
    { .name = "GridSample", .domain = "com.microsoft", .since = 1, .in = { 2, 2 },
      .out = { 1, 1 }, .types = "T:" PLN_TS_STD ";G:" PLN_TS_FLOAT, .sig = "T,G->T",
      .attrs = ms_grid_spec, .attrs_size = sizeof(grid_attrs), .check = ms_grid_check,
      .infer = grid_infer, .ref = grid_run },
    { .name = NULL },
};
