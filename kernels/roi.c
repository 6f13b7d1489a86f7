/* RoiAlign, MaxRoiPool and NonMaxSuppression: regions of images.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "kernels/move.h"
#include "kernels/raise.h"

/* ---- RoiAlign -------------------------------------------------------------------- */

typedef struct align_attrs {
    int coords, mode;
    int64_t output_height, output_width, sampling_ratio;
    float spatial_scale;
} align_attrs;

static const pln_attr_spec align_spec[] = {
    { .name = "coordinate_transformation_mode",
      .type = PLN_ATTR_STRING,
      .s = "half_pixel",
      .offset = offsetof(align_attrs, coords),
      .choices = "half_pixel|output_half_pixel" },
    PLN_A_ENUM(align_attrs, mode, "avg|max", "avg"),
    PLN_A_INT(align_attrs, output_height, 1),
    PLN_A_INT(align_attrs, output_width, 1),
    PLN_A_INT(align_attrs, sampling_ratio, 0),
    PLN_A_FLOAT(align_attrs, spatial_scale, 1),
    PLN_A_END,
};

static pln_status align_check(pln_node *n, void *attrs, pln_error *err)
{
    const align_attrs *a = attrs;
    if (a->output_height < 1 || a->output_width < 1 || a->sampling_ratio < 0 ||
        a->output_height > 1 << 20 || a->output_width > 1 << 20 ||
        a->sampling_ratio > 1 << 16)
        return pln_raise_fail(n, err,
                              "output_height, output_width or sampling_ratio is out of "
                              "range");
    return PLN_OK;
}

static pln_status roi_infer(pln_infer *inf, int64_t height, int64_t width,
                            int64_t columns, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0), rois = pln_infer_rank(inf, 1);
    if ((rank != PLN_RANK_UNKNOWN && rank != 4) ||
        (rois != PLN_RANK_UNKNOWN && rois != 2))
        return pln_infer_fail(inf, err, "input has rank %d, rois have %d", rank, rois);
    const pln_dim cols = rois == 2 ? pln_infer_dim(inf, 1, 1) : pln_dim_of(columns);
    if (pln_dim_is_known(cols) && cols.value != columns)
        return pln_infer_fail(inf, err, "rois have %lld columns, want %lld",
                              (long long)cols.value, (long long)columns);
    pln_shape out = pln_infer_shape(inf, 4);
    out.dims[0] = rois == 2 ? pln_infer_dim(inf, 1, 0) : pln_dim_unknown();
    out.dims[1] = rank == 4 ? pln_infer_dim(inf, 0, 1) : pln_dim_unknown();
    out.dims[2] = pln_dim_of(height);
    out.dims[3] = pln_dim_of(width);
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

static pln_status align_infer(pln_infer *inf, pln_error *err)
{
    const align_attrs *a = inf->attrs;
    return roi_infer(inf, a->output_height, a->output_width, 4, err);
}

/* Weights and pixels of a bilinear sample. */
typedef struct bilinear {
    double w[4];
    int64_t at[4];
} bilinear;

static bilinear bilinear_at(double y, double x, int64_t height, int64_t width)
{
    bilinear b = { { 0 }, { 0 } };
    if (!(y >= -1 && y <= (double)height && x >= -1 && x <= (double)width))
        return b;
    y = y < 0 ? 0 : y;
    x = x < 0 ? 0 : x;
    int64_t y0 = (int64_t)y, x0 = (int64_t)x, y1 = y0 + 1, x1 = x0 + 1;
    if (y0 >= height - 1)
        y = (double)(y0 = y1 = height - 1);
    if (x0 >= width - 1)
        x = (double)(x0 = x1 = width - 1);
    const double ly = y - (double)y0, lx = x - (double)x0;
    const double w[4] = { (1 - ly) * (1 - lx), (1 - ly) * lx, ly * (1 - lx), ly * lx };
    const int64_t at[4] = { y0 * width + x0, y0 * width + x1, y1 * width + x0,
                            y1 * width + x1 };
    memcpy(b.w, w, sizeof w);
    memcpy(b.at, at, sizeof at);
    return b;
}

typedef struct align_job {
    const pln_tensor *x;
    const align_attrs *a;
    int64_t height, width;
    double top, left, bin_h, bin_w;
    int64_t grid_h, grid_w;
} align_job;

static double align_bin(const align_job *j, int64_t plane, int64_t ph, int64_t pw)
{
    double sum = 0, top = 0;
    for (int64_t iy = 0; iy < j->grid_h; iy++) {
        const double y = j->top + (double)ph * j->bin_h +
                         ((double)iy + 0.5) * j->bin_h / (double)j->grid_h;
        for (int64_t ix = 0; ix < j->grid_w; ix++) {
            const double x = j->left + (double)pw * j->bin_w +
                             ((double)ix + 0.5) * j->bin_w / (double)j->grid_w;
            const bilinear b = bilinear_at(y, x, j->height, j->width);
            double most = 0;
            for (int k = 0; k < 4; k++) {
                const double v = b.w[k] * pln_tensor_get_f64(j->x, plane + b.at[k]);
                sum += v;
                most = k == 0 || v > most ? v : most;
            }
            top = (iy == 0 && ix == 0) || most > top ? most : top;
        }
    }
    const int64_t n = j->grid_h * j->grid_w;
    return j->a->mode == 1 ? top : sum / (double)(n > 0 ? n : 1);
}

static void align_setup(align_job *j, const pln_tensor *rois, int64_t r)
{
    const double offset = j->a->coords == 0 ? 0.5 : 0, scale = j->a->spatial_scale;
    j->left = pln_tensor_get_f64(rois, r * 4) * scale - offset;
    j->top = pln_tensor_get_f64(rois, r * 4 + 1) * scale - offset;
    double w = pln_tensor_get_f64(rois, r * 4 + 2) * scale - offset - j->left;
    double h = pln_tensor_get_f64(rois, r * 4 + 3) * scale - offset - j->top;
    if (j->a->coords == 1) {
        w = w > 1 ? w : 1;
        h = h > 1 ? h : 1;
    }
    j->bin_w = w / (double)j->a->output_width;
    j->bin_h = h / (double)j->a->output_height;
    const int64_t s = j->a->sampling_ratio;
    const double gw = ceil(j->bin_w), gh = ceil(j->bin_h);
    /* Samples beyond the image add nothing but time. */
    j->grid_w = s > 0 ? s : gw > 0 ? (gw < 65536 ? (int64_t)gw : 65536) : 0;
    j->grid_h = s > 0 ? s : gh > 0 ? (gh < 65536 ? (int64_t)gh : 65536) : 0;
}

static pln_status align_check_call(const pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const int64_t n = c->out[0]->dims[0];
    if (pln_tensor_size(c->in[2]) != n)
        return pln_call_fail(c, err, PLN_E_RUN, "%lld batch indices for %lld rois",
                             (long long)pln_tensor_size(c->in[2]), (long long)n);
    if (n > 0 && x->dims[2] * x->dims[3] == 0)
        return pln_call_fail(c, err, PLN_E_RUN, "the images are empty");
    for (int64_t r = 0; r < n; r++) {
        const int64_t batch = PLN_DATA(const int64_t, c->in[2])[r];
        if (batch < 0 || batch >= x->dims[0])
            return pln_call_fail(c, err, PLN_E_RUN, "batch index %lld of %lld",
                                 (long long)batch, (long long)x->dims[0]);
    }
    return PLN_OK;
}

static pln_status align_run(pln_call *c, pln_error *err)
{
    const align_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    pln_tensor *y = c->out[0];
    align_job j = { .x = x, .a = a, .height = x->dims[2], .width = x->dims[3] };
    const int64_t ch = x->dims[1], n = y->dims[0];
    int64_t to = 0;
    PLN_TRY(align_check_call(c, err));
    for (int64_t r = 0; r < n; r++) {
        const int64_t batch = PLN_DATA(const int64_t, c->in[2])[r];
        align_setup(&j, c->in[1], r);
        for (int64_t k = 0; k < ch; k++)
            for (int64_t ph = 0; ph < a->output_height; ph++)
                for (int64_t pw = 0; pw < a->output_width; pw++)
                    pln_tensor_set_f64(
                        y, to++,
                        align_bin(&j, (batch * ch + k) * j.height * j.width, ph, pw));
    }
    return PLN_OK;
}

/* ---- RoiAlign in float: the samples of a region are found once for all channels ---- */

#define SAMPLES_MAX (1 << 20) /* of a region */

typedef struct sample {
    float w[4];
    int32_t at[4];
} sample;

typedef struct planes_job {
    const align_job *j;
    const sample *samples; /* [bin][sample of it] */
    const float *x;        /* of the image */
    float *y;              /* of the region */
    int64_t bins, each;
} planes_job;

static void find_samples(const align_job *j, sample *out)
{
    for (int64_t bin = 0; bin < j->a->output_height * j->a->output_width; bin++)
        for (int64_t i = 0; i < j->grid_h * j->grid_w; i++, out++) {
            const double y =
                j->top + (double)(bin / j->a->output_width) * j->bin_h +
                ((double)(i / j->grid_w) + 0.5) * j->bin_h / (double)j->grid_h;
            const double x =
                j->left + (double)(bin % j->a->output_width) * j->bin_w +
                ((double)(i % j->grid_w) + 0.5) * j->bin_w / (double)j->grid_w;
            const bilinear b = bilinear_at(y, x, j->height, j->width);
            for (int k = 0; k < 4; k++) {
                out->w[k] = (float)b.w[k];
                out->at[k] = (int32_t)b.at[k];
            }
        }
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static void align_planes(void *arg, int64_t begin, int64_t end)
{
    const planes_job *p = arg;
    const bool max = p->j->a->mode == 1;
    for (int64_t ch = begin; ch < end; ch++) {
        const float *x = p->x + ch * p->j->height * p->j->width;
        const sample *s = p->samples;
        for (int64_t bin = 0; bin < p->bins; bin++) {
            float sum = 0, top = 0;
            for (int64_t i = 0; i < p->each; i++, s++) {
                const float a = s->w[0] * x[s->at[0]], b = s->w[1] * x[s->at[1]];
                const float d = s->w[2] * x[s->at[2]], e = s->w[3] * x[s->at[3]];
                const float most = larger(larger(a, b), larger(d, e));
                sum += a + b + (d + e);
                top = i == 0 ? most : larger(most, top);
            }
            p->y[ch * p->bins + bin] =
                max ? top : sum / (float)(p->each > 0 ? p->each : 1);
        }
    }
}

static pln_status align_run_f32(pln_call *c, pln_error *err)
{
    const align_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    align_job j = { .x = x, .a = a, .height = x->dims[2], .width = x->dims[3] };
    planes_job p = { .j = &j, .bins = a->output_height * a->output_width };
    const int64_t ch = x->dims[1], image = ch * j.height * j.width;
    sample *samples = NULL;
    int64_t room = 0;
    PLN_TRY(align_check_call(c, err));
    for (int64_t r = 0; r < c->out[0]->dims[0]; r++) {
        align_setup(&j, c->in[1], r);
        p.each = j.grid_h * j.grid_w;
        const int64_t n = p.bins * p.each;
        if (n > SAMPLES_MAX || j.height * j.width > INT32_MAX)
            return align_run(c, err);
        if (n > room) {
            room = n;
            samples = pln_call_scratch(c, (size_t)n * sizeof *samples);
            if (!samples)
                return pln_oom(err);
        }
        find_samples(&j, samples);
        p.samples = samples;
        p.x = PLN_DATA(const float, x) + PLN_DATA(const int64_t, c->in[2])[r] * image;
        p.y = PLN_DATA(float, c->out[0]) + r * ch * p.bins;
        pln_parallel_for(c->n_threads, ch, 1 + 16384 / (n + 1), align_planes, &p);
    }
    return PLN_OK;
}

static pln_status align_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    if (p->in[0]->dtype != PLN_DT_F32)
        return PLN_E_UNSUPPORTED;
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    return PLN_OK;
}

static const pln_impl align_cpu = { "roi_align_f32", align_prepare, align_run_f32, NULL };

static pln_status align_raise_16(pln_node *n, pln_error *err)
{
    static const char mode[] = "output_half_pixel";
    return pln_node_set_string(n, "coordinate_transformation_mode", mode,
                               sizeof mode - 1) == PLN_OK
               ? PLN_OK
               : pln_oom(err);
}

static pln_status align_lower_16(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "coordinate_transformation_mode");
    if (!a)
        return pln_lower_fail(n, err, "the older version has no half-pixel shift");
    return pln_lower_drop_string(n, "coordinate_transformation_mode", "output_half_pixel",
                                 err);
}

static const pln_version_change align_versions[] = {
    { 16, align_raise_16, align_lower_16 },
    { 0 },
};

/* ---- MaxRoiPool ------------------------------------------------------------------ */

typedef struct pool_attrs {
    pln_ints pooled_shape;
    float spatial_scale;
} pool_attrs;

static const pln_attr_spec pool_spec[] = {
    { .name = "pooled_shape",
      .type = PLN_ATTR_INTS,
      .required = true,
      .offset = offsetof(pool_attrs, pooled_shape) },
    PLN_A_FLOAT(pool_attrs, spatial_scale, 1),
    PLN_A_END,
};

static pln_status pool_infer(pln_infer *inf, pln_error *err)
{
    const pool_attrs *a = inf->attrs;
    if (a->pooled_shape.n != 2 || a->pooled_shape.v[0] < 1 || a->pooled_shape.v[1] < 1)
        return pln_infer_fail(inf, err, "pooled_shape has %zu entries",
                              a->pooled_shape.n);
    return roi_infer(inf, a->pooled_shape.v[0], a->pooled_shape.v[1], 5, err);
}

static int64_t bounded(double v, int64_t hi)
{
    return !(v > 0) ? 0 : v > (double)hi ? hi : (int64_t)v;
}

/* Pixels [*from, *to) of bin i of n over a region that begins at `start`. */
static void pool_range(double start, double length, int64_t i, int64_t n, int64_t limit,
                       int64_t *from, int64_t *to)
{
    const double bin = length / (double)n;
    *from = bounded(floor((double)i * bin) + start, limit);
    *to = bounded(ceil((double)(i + 1) * bin) + start, limit);
}

static double pool_bin(const pln_tensor *x, int64_t plane, int64_t h0, int64_t h1,
                       int64_t w0, int64_t w1)
{
    bool any = false;
    double best = 0;
    for (int64_t h = h0; h < h1; h++)
        for (int64_t w = w0; w < w1; w++) {
            const double v = pln_tensor_get_f64(x, plane + h * x->dims[3] + w);
            best = !any || v > best ? v : best;
            any = true;
        }
    return best;
}

static pln_status pool_run(pln_call *c, pln_error *err)
{
    const pool_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0], *rois = c->in[1];
    const int64_t ch = x->dims[1], ph = a->pooled_shape.v[0], pw = a->pooled_shape.v[1];
    int64_t to = 0;
    for (int64_t r = 0; r < rois->dims[0]; r++) {
        double v[5];
        for (int k = 0; k < 5; k++) {
            v[k] = pln_tensor_get_f64(rois, r * 5 + k);
            if (k > 0)
                v[k] = round(v[k] * (double)a->spatial_scale);
        }
        if (!(v[0] >= 0 && v[0] < (double)x->dims[0]))
            return pln_call_fail(c, err, PLN_E_RUN, "batch index %g of %lld", v[0],
                                 (long long)x->dims[0]);
        const double w = v[3] - v[1] + 1 > 1 ? v[3] - v[1] + 1 : 1;
        const double h = v[4] - v[2] + 1 > 1 ? v[4] - v[2] + 1 : 1;
        for (int64_t k = 0; k < ch * ph * pw; k++) {
            int64_t h0, h1, w0, w1;
            pool_range(v[2], h, k / pw % ph, ph, x->dims[2], &h0, &h1);
            pool_range(v[1], w, k % pw, pw, x->dims[3], &w0, &w1);
            const int64_t plane =
                ((int64_t)v[0] * ch + k / (ph * pw)) * x->dims[2] * x->dims[3];
            pln_tensor_set_f64(c->out[0], to++, pool_bin(x, plane, h0, h1, w0, w1));
        }
    }
    return PLN_OK;
}

/* ---- NonMaxSuppression ----------------------------------------------------------- */

typedef struct nms_attrs {
    int64_t center_point_box;
} nms_attrs;

static const pln_attr_spec nms_spec[] = {
    PLN_A_INT(nms_attrs, center_point_box, 0),
    PLN_A_END,
};

static pln_status nms_infer(pln_infer *inf, pln_error *err)
{
    for (uint32_t i = 0; i < 2; i++)
        if (pln_infer_rank(inf, i) != PLN_RANK_UNKNOWN && pln_infer_rank(inf, i) != 3)
            return pln_infer_fail(inf, err, "input %u has rank %d, want 3", i,
                                  pln_infer_rank(inf, i));
    pln_shape out = pln_infer_shape(inf, 2);
    out.dims[0] = pln_dim_unknown();
    out.dims[1] = pln_dim_of(3);
    pln_infer_set(inf, 0, PLN_DT_S64, out);
    return PLN_OK;
}

typedef struct nms_box {
    float y0, x0, y1, x1, area;
} nms_box;

static nms_box box_of(const float *v, bool center)
{
    nms_box b;
    if (center) {
        b = (nms_box){ .x0 = v[0] - v[2] / 2,
                       .x1 = v[0] + v[2] / 2,
                       .y0 = v[1] - v[3] / 2,
                       .y1 = v[1] + v[3] / 2 };
    } else {
        b = (nms_box){ .y0 = fminf(v[0], v[2]),
                       .y1 = fmaxf(v[0], v[2]),
                       .x0 = fminf(v[1], v[3]),
                       .x1 = fmaxf(v[1], v[3]) };
    }
    b.area = (b.y1 - b.y0) * (b.x1 - b.x0);
    return b;
}

static bool overlaps(const nms_box *a, const nms_box *b, float threshold)
{
    const float w = fminf(a->x1, b->x1) - fmaxf(a->x0, b->x0);
    const float h = fminf(a->y1, b->y1) - fmaxf(a->y0, b->y0);
    if (!(w > 0) || !(h > 0))
        return false;
    const float both = w * h, all = a->area + b->area - both;
    if (a->area <= 0 || b->area <= 0 || all <= 0)
        return false;
    return both / all > threshold;
}

static int by_score(const void *pa, const void *pb, void *arg)
{
    const float *score = arg;
    const int64_t a = *(const int64_t *)pa, b = *(const int64_t *)pb;
    if (score[a] != score[b])
        return score[a] > score[b] ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Boxes of one class of one image that stay; their positions are left at order[0..]. */
static int64_t nms_class(const nms_box *boxes, const float *score, int64_t n,
                         int64_t most, float iou, bool has_least, float least,
                         int64_t *order)
{
    int64_t candidates = 0, kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (score[i] == score[i] && (!has_least || score[i] > least))
            order[candidates++] = i;
    qsort_r(order, (size_t)candidates, sizeof *order, by_score, (void *)(uintptr_t)score);
    for (int64_t i = 0; i < candidates && kept < most; i++) {
        bool keep = true;
        for (int64_t k = 0; k < kept && keep; k++)
            keep = !overlaps(&boxes[order[i]], &boxes[order[k]], iou);
        if (keep)
            order[kept++] = order[i];
    }
    return kept;
}

static pln_status nms_scalar(const pln_call *c, uint32_t i, pln_error *err)
{
    if (pln_call_has(c, i) && pln_tensor_size(c->in[i]) != 1)
        return pln_call_fail(c, err, PLN_E_RUN, "input %u is no single number", i);
    return PLN_OK;
}

typedef struct nms_list {
    int64_t *v;
    size_t n, cap;
} nms_list;

static pln_status nms_all(pln_call *c, nms_list *out, pln_error *err)
{
    const nms_attrs *a = c->attrs;
    const pln_tensor *boxes = c->in[0], *scores = c->in[1];
    const int64_t n = boxes->dims[1], classes = scores->dims[1];
    int64_t most = pln_call_has(c, 2) ? PLN_DATA(const int64_t, c->in[2])[0] : 0;
    const float iou = pln_call_has(c, 3) ? PLN_DATA(const float, c->in[3])[0] : 0;
    const bool has_least = pln_call_has(c, 4);
    const float least = has_least ? PLN_DATA(const float, c->in[4])[0] : 0;
    nms_box *box = pln_call_scratch(c, (size_t)(n + 1) * sizeof *box);
    int64_t *order = pln_call_scratch(c, (size_t)(n + 1) * sizeof *order);
    if (!box || !order)
        return pln_oom(err);
    most = most > n ? n : most;
    for (int64_t b = 0; b < boxes->dims[0]; b++) {
        for (int64_t i = 0; i < n; i++)
            box[i] = box_of(PLN_DATA(const float, boxes) + (b * n + i) * 4,
                            a->center_point_box != 0);
        for (int64_t k = 0; k < classes; k++) {
            const float *s = PLN_DATA(const float, scores) + (b * classes + k) * n;
            const int64_t kept = nms_class(box, s, n, most, iou, has_least, least, order);
            if (!pln_grow(pln_call_allocator(c), (void **)&out->v, &out->cap,
                          out->n + 3 * (size_t)kept, sizeof *out->v))
                return pln_oom(err);
            for (int64_t i = 0; i < kept; i++) {
                out->v[out->n++] = b;
                out->v[out->n++] = k;
                out->v[out->n++] = order[i];
            }
        }
    }
    return PLN_OK;
}

static pln_status nms_run(pln_call *c, pln_error *err)
{
    const pln_tensor *boxes = c->in[0], *scores = c->in[1];
    for (uint32_t i = 2; i < 5; i++)
        PLN_TRY(nms_scalar(c, i, err));
    if (boxes->dims[2] != 4 || scores->dims[0] != boxes->dims[0] ||
        scores->dims[2] != boxes->dims[1])
        return pln_call_fail(c, err, PLN_E_RUN, "boxes and scores don't fit each other");
    nms_list out = { 0 };
    pln_status st = nms_all(c, &out, err);
    const int64_t dims[2] = { (int64_t)(out.n / 3), 3 };
    if (st == PLN_OK)
        st = pln_move_output(c, 0, PLN_DT_S64, 2, dims, err);
    if (st == PLN_OK && out.n > 0)
        memcpy(c->out[0]->data, out.v, out.n * sizeof *out.v);
    pln_release(pln_call_allocator(c), out.v);
    return st;
}

const pln_op_desc pln_ops_roi[] = {
    { .name = "RoiAlign",
      .domain = "",
      .since = 22,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_FLOAT,
      .sig = "T,T,int64->T",
      .attrs = align_spec,
      .attrs_size = sizeof(align_attrs),
      .check = align_check,
      .infer = align_infer,
      .ref = align_run,
      .cpu = &align_cpu,
      .versions = align_versions },
    { .name = "MaxRoiPool",
      .domain = "",
      .since = 22,
      .in = { 2, 2 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_FLOAT,
      .sig = "T,T->T",
      .attrs = pool_spec,
      .attrs_size = sizeof(pool_attrs),
      .infer = pool_infer,
      .ref = pool_run },
    { .name = "NonMaxSuppression",
      .domain = "",
      .since = 11,
      .in = { 2, 5 },
      .out = { 1, 1 },
      .traits = PLN_OP_DATA_SHAPE,
      .sig = "float,float,int64?,float?,float?"
             "->int64",
      .attrs = nms_spec,
      .attrs_size = sizeof(nms_attrs),
      .infer = nms_infer,
      .ref = nms_run },
    { .name = NULL },
};
