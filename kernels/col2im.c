/* Col2Im: blocks of an image are added up where they overlap.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/vec.h"

typedef struct col_attrs {
    pln_ints dilations, pads, strides;
} col_attrs;

static const pln_attr_spec col_spec[] = {
    PLN_A_INTS(col_attrs, dilations),
    PLN_A_INTS(col_attrs, pads),
    PLN_A_INTS(col_attrs, strides),
    PLN_A_END,
};

static pln_status col_infer(pln_infer *inf, pln_error *err)
{
    pln_symval image, block;
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), pln_shape_unknown());
    const int rank = pln_infer_rank(inf, 0);
    if (rank != PLN_RANK_UNKNOWN && rank != 3)
        return pln_infer_fail(inf, err, "input has rank %d, want 3", rank);
    if (rank == PLN_RANK_UNKNOWN || !pln_infer_ints(inf, 1, &image) ||
        image.n + 2 > PLN_MAX_RANK)
        return PLN_OK;
    pln_shape out = pln_infer_shape(inf, 2 + (int)image.n);
    out.dims[0] = pln_infer_dim(inf, 0, 0);
    out.dims[1] = pln_dim_unknown();
    if (pln_infer_ints(inf, 2, &block)) {
        pln_dim all = pln_dim_of(1);
        for (int64_t i = 0; i < block.n; i++)
            all = pln_dim_mul(inf->syms, all, block.v[i]);
        if (!pln_dim_is_known(all) || all.value > 0)
            out.dims[1] = pln_dim_div(inf->syms, pln_infer_dim(inf, 0, 1), all);
    }
    for (int64_t i = 0; i < image.n; i++)
        out.dims[2 + i] = image.v[i];
    pln_infer_set(inf, 0, pln_infer_dtype(inf, 0), out);
    return PLN_OK;
}

typedef struct col_geo {
    int s;
    int64_t image[PLN_MAX_RANK], block[PLN_MAX_RANK], stride[PLN_MAX_RANK];
    int64_t dil[PLN_MAX_RANK], before[PLN_MAX_RANK], cols[PLN_MAX_RANK];
    int64_t n_block, n_cols, n_image;
} col_geo;

static pln_status col_geometry(const pln_call *c, col_geo *g, pln_error *err)
{
    const col_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    size_t s, sb;
    PLN_TRY(pln_move_read_ints(c, 1, g->image, PLN_MAX_RANK - 2, &s, err));
    PLN_TRY(pln_move_read_ints(c, 2, g->block, PLN_MAX_RANK - 2, &sb, err));
    if (s != sb || (a->strides.n && a->strides.n != s) ||
        (a->dilations.n && a->dilations.n != s) || (a->pads.n && a->pads.n != 2 * s))
        return pln_call_fail(c, err, PLN_E_RUN, "attributes don't fit %zu dimensions", s);
    g->s = (int)s;
    g->n_block = g->n_cols = g->n_image = 1;
    for (size_t i = 0; i < s; i++) {
        g->stride[i] = a->strides.n ? a->strides.v[i] : 1;
        g->dil[i] = a->dilations.n ? a->dilations.v[i] : 1;
        g->before[i] = a->pads.n ? a->pads.v[i] : 0;
        const int64_t after = a->pads.n ? a->pads.v[s + i] : 0;
        if (g->block[i] < 1 || g->stride[i] < 1 || g->dil[i] < 1 || g->image[i] < 0 ||
            g->before[i] < 0 || after < 0)
            return pln_call_fail(c, err, PLN_E_RUN, "dimension %zu is out of range", i);
        const int64_t room =
            g->image[i] + g->before[i] + after - ((g->block[i] - 1) * g->dil[i] + 1);
        g->cols[i] = room < 0 ? 0 : room / g->stride[i] + 1;
        if (!pln_i64_mul(&g->n_block, g->n_block, g->block[i]) ||
            !pln_i64_mul(&g->n_cols, g->n_cols, g->cols[i]) ||
            !pln_i64_mul(&g->n_image, g->n_image, g->image[i]))
            return pln_call_fail(c, err, PLN_E_RUN, "the image is too large");
    }
    if (x->dims[1] % g->n_block || x->dims[2] != g->n_cols)
        return pln_call_fail(c, err, PLN_E_RUN,
                             "the input is [%lld, %lld], want a multiple of "
                             "%lld and %lld",
                             (long long)x->dims[1], (long long)x->dims[2],
                             (long long)g->n_block, (long long)g->n_cols);
    return PLN_OK;
}

/* Pixel that entry (tap, col) belongs to; -1: padding. */
static int64_t col_pixel(const col_geo *g, int64_t tap, int64_t col)
{
    int64_t pixel = 0, step = 1;
    for (int i = g->s - 1; i >= 0; i--) {
        const int64_t at = col % g->cols[i] * g->stride[i] - g->before[i] +
                           tap % g->block[i] * g->dil[i];
        if (at < 0 || at >= g->image[i])
            return -1;
        pixel += at * step;
        step *= g->image[i];
        col /= g->cols[i];
        tap /= g->block[i];
    }
    return pixel;
}

/* One row of columns in float: those of the last dimension, which lie side by side. */
static void col_row_f32(const col_geo *g, int64_t tap, int64_t row, const float *x,
                        float *image)
{
    const int l = g->s - 1;
    const int64_t cols = g->cols[l], stride = g->stride[l];
    const int64_t start = tap % g->block[l] * g->dil[l] - g->before[l];
    int64_t base = 0, step = g->image[l], rest = tap / g->block[l];
    for (int i = l - 1; i >= 0; i--) {
        const int64_t at = row % g->cols[i] * g->stride[i] - g->before[i] +
                           rest % g->block[i] * g->dil[i];
        if (at < 0 || at >= g->image[i])
            return;
        base += at * step;
        step *= g->image[i];
        row /= g->cols[i];
        rest /= g->block[i];
    }
    int64_t lo = start < 0 ? (-start + stride - 1) / stride : 0;
    int64_t hi = start < g->image[l] ? (g->image[l] - 1 - start) / stride + 1 : 0;
    hi = hi < cols ? hi : cols;
    float *to = image + base + start;
    if (stride == 1 && hi > lo)
        pln_vec()->add_to(to + lo, x + lo, hi - lo);
    else
        for (int64_t i = lo; i < hi; i++)
            to[i * stride] += x[i];
}

typedef struct col_job {
    const col_geo *g;
    const float *x;
    float *y;
} col_job;

static void col_planes_f32(void *arg, int64_t begin, int64_t end)
{
    const col_job *j = arg;
    const col_geo *g = j->g;
    const int64_t cols = g->cols[g->s - 1];
    for (int64_t p = begin; p < end; p++) {
        float *image = j->y + p * g->n_image;
        const float *x = j->x + p * g->n_block * g->n_cols;
        memset(image, 0, (size_t)g->n_image * sizeof *image);
        for (int64_t tap = 0; tap < g->n_block && g->n_cols > 0; tap++)
            for (int64_t row = 0; row < g->n_cols / cols; row++)
                col_row_f32(g, tap, row, x + tap * g->n_cols + row * cols, image);
    }
}

static pln_status col_run_f32(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    col_geo g = { 0 };
    PLN_TRY(col_geometry(c, &g, err));
    int64_t dims[PLN_MAX_RANK] = { x->dims[0], x->dims[1] / g.n_block };
    memcpy(dims + 2, g.image, (size_t)g.s * sizeof *dims);
    PLN_TRY(pln_move_output(c, 0, x->dtype, 2 + g.s, dims, err));
    col_job j = { &g, PLN_DATA(const float, x), PLN_DATA(float, c->out[0]) };
    if (g.s > 0 && g.n_image > 0)
        pln_parallel_for(c->n_threads, dims[0] * dims[1],
                         1 + 16384 / (g.n_block * g.n_cols + 1), col_planes_f32, &j);
    return PLN_OK;
}

static pln_status col_prepare(pln_prep *p, pln_error *err)
{
    (void)err;
    if (p->in[0]->dtype != PLN_DT_F32)
        return PLN_E_UNSUPPORTED;
    memset(p->layout_in, PLN_LAYOUT_PLAIN, p->n_in);
    return PLN_OK;
}

static const pln_impl col_cpu = { "col2im_f32", col_prepare, col_run_f32, NULL };

static pln_status col_run(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    col_geo g = { 0 };
    PLN_TRY(col_geometry(c, &g, err));
    if (x->dtype == PLN_DT_STRING || pln_dtype_is_complex((pln_dtype)x->dtype))
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "sums of %s",
                             pln_dtype_name((pln_dtype)x->dtype));
    const int64_t ch = x->dims[1] / g.n_block;
    int64_t dims[PLN_MAX_RANK] = { x->dims[0], ch };
    memcpy(dims + 2, g.image, (size_t)g.s * sizeof *dims);
    PLN_TRY(pln_move_output(c, 0, x->dtype, 2 + g.s, dims, err));
    double *sum = pln_call_scratch(c, (size_t)(g.n_image + 1) * sizeof *sum);
    if (!sum)
        return pln_oom(err);
    for (int64_t p = 0; p < x->dims[0] * ch; p++) {
        memset(sum, 0, (size_t)g.n_image * sizeof *sum);
        for (int64_t k = 0; k < g.n_block * g.n_cols; k++) {
            const int64_t pixel = col_pixel(&g, k / g.n_cols, k % g.n_cols);
            if (pixel >= 0)
                sum[pixel] += pln_tensor_get_f64(x, p * g.n_block * g.n_cols + k);
        }
        for (int64_t i = 0; i < g.n_image; i++)
            pln_tensor_set_f64(c->out[0], p * g.n_image + i, sum[i]);
    }
    return PLN_OK;
}

const pln_op_desc pln_ops_col2im[] = {
    { .name = "Col2Im",
      .domain = "",
      .since = 18,
      .in = { 3, 3 },
      .out = { 1, 1 },
      .types = "T:" PLN_TS_STD,
      .sig = "T,int64,int64->T",
      .attrs = col_spec,
      .attrs_size = sizeof(col_attrs),
      .infer = col_infer,
      .ref = col_run,
      .cpu = &col_cpu },
    { .name = NULL },
};
