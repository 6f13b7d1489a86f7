/* CropAndResize of com.microsoft: boxes of images, resized to one size.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"

#include <math.h>

typedef struct crop_attrs {
    int mode; /* 0 bilinear, 1 nearest */
    float extrapolation_value;
} crop_attrs;

static const pln_attr_spec crop_spec[] = {
    PLN_A_ENUM(crop_attrs, mode, "bilinear|nearest", "bilinear"),
    PLN_A_FLOAT(crop_attrs, extrapolation_value, 0.0f),
    PLN_A_END,
};

static pln_status crop_infer(pln_infer *inf, pln_error *err)
{
    const int x = pln_infer_rank(inf, 0), rois = pln_infer_rank(inf, 1);
    const int64_t *size;
    size_t n;
    if ((x >= 0 && x != 4) || (rois >= 0 && rois != 2))
        return pln_infer_fail(inf, err, "ranks %d and %d, want 4 and 2", x, rois);
    pln_shape s = pln_infer_shape(inf, 4);
    s.dims[0] = rois == 2 ? pln_infer_dim(inf, 1, 0) : pln_dim_unknown();
    s.dims[1] = x == 4 ? pln_infer_dim(inf, 0, 1) : pln_dim_unknown();
    s.dims[2] = s.dims[3] = pln_dim_unknown();
    if (pln_infer_known_ints(inf, 3, &size, &n)) {
        if (n != 2 || size[0] < 1 || size[1] < 1)
            return pln_infer_fail(inf, err, "crop_size is no pair of positive numbers");
        s.dims[2] = pln_dim_of(size[0]);
        s.dims[3] = pln_dim_of(size[1]);
    }
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), s);
    return PLN_OK;
}

/* Where pixel i of `n` reads along a side of `in` pixels between lo and hi (parts of the
 * side). */
static double position(int64_t i, int64_t n, double lo, double hi, int64_t in)
{
    const double side = (double)(in - 1);
    if (n == 1)
        return 0.5 * (lo + hi) * side;
    return lo * side + (double)i * (hi - lo) * side / (double)(n - 1);
}

static double pixel(const pln_tensor *x, int64_t plane, double y, double at,
                    const crop_attrs *a)
{
    const int64_t h = x->dims[2], w = x->dims[3], first = plane * h * w;
    if (!(y >= 0 && y <= (double)(h - 1) && at >= 0 && at <= (double)(w - 1)))
        return (double)a->extrapolation_value;
    if (a->mode)
        return pln_tensor_get_f64(x, first + (int64_t)round(y) * w + (int64_t)round(at));
    const int64_t y0 = (int64_t)floor(y), y1 = (int64_t)ceil(y);
    const int64_t x0 = (int64_t)floor(at), x1 = (int64_t)ceil(at);
    const double fy = y - (double)y0, fx = at - (double)x0;
    const double top = pln_tensor_get_f64(x, first + y0 * w + x0) * (1 - fx) +
                       pln_tensor_get_f64(x, first + y0 * w + x1) * fx;
    const double bottom = pln_tensor_get_f64(x, first + y1 * w + x0) * (1 - fx) +
                          pln_tensor_get_f64(x, first + y1 * w + x1) * fx;
    return top * (1 - fy) + bottom * fy;
}

static pln_status crop_one(pln_call *c, int64_t r, pln_error *err)
{
    const crop_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    const int64_t image = PLN_DATA(const int32_t, c->in[2])[r];
    double box[4];
    if (image < 0 || image >= x->dims[0])
        return pln_call_fail(c, err, PLN_E_RUN, "image %lld of %lld", (long long)image,
                             (long long)x->dims[0]);
    for (int i = 0; i < 4; i++)
        box[i] = pln_tensor_get_f64(c->in[1], 4 * r + i);
    const int64_t ch = y->dims[2], cw = y->dims[3];
    for (int64_t i = 0; i < ch; i++) {
        const double py = position(i, ch, box[0], box[2], x->dims[2]);
        for (int64_t j = 0; j < cw; j++) {
            const double px = position(j, cw, box[1], box[3], x->dims[3]);
            for (int64_t ch_at = 0; ch_at < y->dims[1]; ch_at++)
                pln_tensor_set_f64(y, ((r * y->dims[1] + ch_at) * ch + i) * cw + j,
                                   pixel(x, image * x->dims[1] + ch_at, py, px, a));
        }
    }
    return PLN_OK;
}

static pln_status crop_ref(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0], *rois = c->in[1];
    int64_t size[2];
    size_t n;
    PLN_TRY(pln_move_read_ints(c, 3, size, 2, &n, err));
    if (n != 2 || size[0] < 1 || size[1] < 1 || size[0] > INT32_MAX ||
        size[1] > INT32_MAX)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "crop_size is no pair of positive numbers");
    if (rois->dims[1] != 4 || pln_tensor_size(c->in[2]) != rois->dims[0])
        return pln_call_fail(c, err, PLN_E_RUN, "the boxes and their images do not fit");
    const int64_t dims[4] = { rois->dims[0], x->dims[1], size[0], size[1] };
    PLN_TRY(pln_move_output(c, 0, (pln_dtype)x->dtype, 4, dims, err));
    if (pln_tensor_size(c->out[0]) && pln_tensor_size(x) == 0)
        return pln_call_fail(c, err, PLN_E_RUN, "the images are empty");
    for (int64_t r = 0; r < dims[0]; r++)
        PLN_TRY(crop_one(c, r, err));
    return PLN_OK;
}

const pln_op_desc pln_ops_ms_crop[] = {
    { .name = "CropAndResize",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 4, 4 },
      .out = { 1, 1 },
      .types = "T1:float16,float,double",
      .sig = "T1,T1,int32,int32->T1",
      .attrs = crop_spec,
      .attrs_size = sizeof(crop_attrs),
      .infer = crop_infer,
      .ref = crop_ref },
    { .name = NULL },
};
