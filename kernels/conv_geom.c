/* Geometry and inference of convolutions, plain and transposed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv.h"
#include "kernels/product.h"

/* Sizes beyond this can't be meant, and keep every sum below far from overflow. */
#define SIZE_LIMIT ((int64_t)1 << 40)

static bool all_in(pln_ints list, int64_t min)
{
    for (size_t i = 0; i < list.n; i++) {
        if (list.v[i] < min || list.v[i] > SIZE_LIMIT)
            return false;
    }
    return true;
}

pln_status pln_conv_check(pln_node *n, void *attrs, pln_error *err)
{
    const pln_conv_attrs *at = attrs;
    const char *what = NULL;
    if (at->group < 1)
        what = "group is below 1";
    else if (!all_in(at->strides, 1))
        what = "a stride is below 1";
    else if (!all_in(at->dilations, 1))
        what = "a dilation is below 1";
    else if (!all_in(at->kernel_shape, 1))
        what = "kernel_shape has a value below 1";
    else if (!all_in(at->pads, -SIZE_LIMIT))
        what = "a pad is out of range";
    else if (!all_in(at->output_padding, 0))
        what = "output_padding has a value below 0";
    else if (!all_in(at->output_shape, 0))
        what = "output_shape has a value below 0";
    char where[160];
    return what ? pln_fail(err, PLN_E_FORMAT, "%s: %s",
                           pln_node_where(n, where, sizeof where), what)
                : PLN_OK;
}

static int64_t item(pln_ints list, int i, int64_t absent)
{
    return (size_t)i < list.n ? list.v[i] : absent;
}

/* Kernel sizes: the weights' own shape, else kernel_shape. */
static pln_dim kernel_dim(const pln_infer *inf, const pln_conv_attrs *at, uint32_t w,
                          int d)
{
    const int rank = pln_infer_rank(inf, w);
    pln_dim k = pln_dim_unknown();
    if (rank > d + 2)
        k = pln_infer_dim(inf, w, d + 2);
    if (!pln_dim_is_known(k) && (size_t)d < at->kernel_shape.n)
        k = pln_dim_of(at->kernel_shape.v[d]);
    return k;
}

/* Reach of the dilated kernel. */
static pln_dim reach(pln_syms *s, pln_dim k, int64_t dilation)
{
    const pln_dim one = pln_dim_of(1);
    return pln_dim_add(s, pln_dim_mul(s, pln_dim_sub(s, k, one), pln_dim_of(dilation)),
                       one);
}

static pln_dim out_dim(const pln_infer *inf, const pln_conv_attrs *at, pln_dim in,
                       pln_dim k, int nd, int d)
{
    pln_syms *s = inf->syms;
    const pln_dim stride = pln_dim_of(item(at->strides, d, 1));
    if (at->auto_pad == PLN_PAD_SAME_UPPER || at->auto_pad == PLN_PAD_SAME_LOWER)
        return pln_dim_div_up(s, in, stride);
    pln_dim room = pln_dim_sub(s, in, reach(s, k, item(at->dilations, d, 1)));
    if (at->auto_pad == PLN_PAD_NOTSET)
        room = pln_dim_add(s, room, pln_dim_of(item(at->pads, d, 0) +
                                               item(at->pads, nd + d, 0)));
    return pln_dim_add(s, pln_dim_div(s, room, stride), pln_dim_of(1));
}

static pln_dim out_dim_transposed(const pln_infer *inf, const pln_conv_attrs *at,
                                  pln_dim in, pln_dim k, int nd, int d)
{
    pln_syms *s = inf->syms;
    /* output_shape may name batch and channels too. */
    const int skip = at->output_shape.n == (size_t)nd + 2 ? 2 : 0;
    if (at->output_shape.n)
        return pln_dim_of(item(at->output_shape, d + skip, 0));
    const pln_dim stride = pln_dim_of(item(at->strides, d, 1));
    if (at->auto_pad == PLN_PAD_SAME_UPPER || at->auto_pad == PLN_PAD_SAME_LOWER)
        return pln_dim_mul(s, in, stride);
    pln_dim o = pln_dim_mul(s, stride, pln_dim_sub(s, in, pln_dim_of(1)));
    o = pln_dim_add(s, o, reach(s, k, item(at->dilations, d, 1)));
    o = pln_dim_add(s, o, pln_dim_of(item(at->output_padding, d, 0)));
    if (at->auto_pad == PLN_PAD_NOTSET)
        o = pln_dim_sub(s, o,
                        pln_dim_of(item(at->pads, d, 0) + item(at->pads, nd + d, 0)));
    return o;
}

static pln_status check_lists(pln_infer *inf, const pln_conv_attrs *at, int nd,
                              pln_error *err)
{
    const struct {
        const char *name;
        size_t n, want;
    } lists[] = {
        { "strides", at->strides.n, (size_t)nd },
        { "dilations", at->dilations.n, (size_t)nd },
        { "kernel_shape", at->kernel_shape.n, (size_t)nd },
        { "pads", at->pads.n, 2 * (size_t)nd },
        { "output_padding", at->output_padding.n, (size_t)nd },
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (lists[i].n && lists[i].n != lists[i].want)
            return pln_infer_fail(inf, err, "%s has %zu values, want %zu", lists[i].name,
                                  lists[i].n, lists[i].want);
    }
    const size_t n = at->output_shape.n;
    if (n && n != (size_t)nd && n != (size_t)nd + 2)
        return pln_infer_fail(inf, err, "output_shape has %zu values, want %d", n, nd);
    return PLN_OK;
}

static pln_status check_channels(pln_infer *inf, const pln_conv_attrs *at, uint32_t x,
                                 uint32_t w, bool transposed, pln_error *err)
{
    const pln_dim c = pln_infer_dim(inf, x, 1), w0 = pln_infer_dim(inf, w, 0);
    const pln_dim w1 = pln_infer_dim(inf, w, 1), group = pln_dim_of(at->group);
    const pln_dim want = transposed ? w0 : pln_dim_mul(inf->syms, w1, group);
    if (pln_dim_differ(inf->syms, c, want))
        return pln_infer_fail(inf, err, "channels of input %u and weights differ", x);
    if (pln_dim_is_known(w0) && w0.value % at->group)
        return pln_infer_fail(inf, err, "%lld channels do not divide into %lld groups",
                              (long long)w0.value, (long long)at->group);
    for (int d = 0; d < (int)at->kernel_shape.n; d++) {
        const pln_dim k = pln_infer_dim(inf, w, d + 2);
        if (pln_dim_is_known(k) && k.value != at->kernel_shape.v[d])
            return pln_infer_fail(inf, err,
                                  "kernel_shape[%d] is %lld, the weights have %lld", d,
                                  (long long)at->kernel_shape.v[d], (long long)k.value);
    }
    return PLN_OK;
}

pln_status pln_conv_infer(pln_infer *inf, uint32_t x, uint32_t w, bool transposed,
                          pln_dtype out, pln_error *err)
{
    const pln_conv_attrs *at = inf->attrs;
    const int rx = pln_infer_rank(inf, x), rw = pln_infer_rank(inf, w);
    const int rank = rx >= 0 ? rx : rw;
    if (rank < 0) {
        pln_infer_set(inf, 0, out, pln_shape_unknown());
        return PLN_OK;
    }
    if (rank < 2 || (rx >= 0 && rw >= 0 && rx != rw))
        return pln_infer_fail(inf, err, "input %u has rank %d, the weights %d", x, rx,
                              rw);
    const int nd = rank - 2;
    PLN_TRY(check_lists(inf, at, nd, err));
    if (rx >= 0 && rw >= 0)
        PLN_TRY(check_channels(inf, at, x, w, transposed, err));
    pln_shape s = pln_infer_shape(inf, rank);
    if (s.rank < 0)
        return pln_oom(err);
    s.dims[0] = rx >= 0 ? pln_infer_dim(inf, x, 0) : pln_dim_unknown();
    s.dims[1] = rw < 0 ? pln_dim_unknown() : pln_infer_dim(inf, w, transposed ? 1 : 0);
    if (transposed)
        s.dims[1] = pln_dim_mul(inf->syms, s.dims[1], pln_dim_of(at->group));
    for (int d = 0; d < nd; d++) {
        const pln_dim in = rx >= 0 ? pln_infer_dim(inf, x, d + 2) : pln_dim_unknown();
        const pln_dim k = kernel_dim(inf, at, w, d);
        s.dims[d + 2] = transposed ? out_dim_transposed(inf, at, in, k, nd, d)
                                   : out_dim(inf, at, in, k, nd, d);
        const pln_dim o = s.dims[d + 2];
        if (pln_dim_is_known(o) && (o.value < 0 || o.value > SIZE_LIMIT))
            return pln_infer_fail(inf, err, "the kernel does not fit in dimension %d",
                                  d + 2);
    }
    pln_infer_set(inf, 0, out, s);
    return PLN_OK;
}

/* Pads of dimension d that make the shapes meet. */
static void set_pads(pln_conv_geom *g, const pln_conv_attrs *at, int d)
{
    const bool same =
        at->auto_pad == PLN_PAD_SAME_UPPER || at->auto_pad == PLN_PAD_SAME_LOWER;
    const int64_t span = (g->kernel[d] - 1) * g->dilation[d] + 1;
    if (at->auto_pad == PLN_PAD_NOTSET && !(g->transposed && at->output_shape.n)) {
        g->pad_lo[d] = item(at->pads, d, 0);
        g->pad_hi[d] = item(at->pads, g->nd + d, 0);
        return;
    }
    g->pad_lo[d] = g->pad_hi[d] = 0;
    if (!same && !g->transposed)
        return;
    if (at->auto_pad == PLN_PAD_VALID && !at->output_shape.n)
        return;
    int64_t total = g->transposed
                        ? (g->in[d] - 1) * g->stride[d] + item(at->output_padding, d, 0) +
                              span - g->out[d]
                        : (g->out[d] - 1) * g->stride[d] + span - g->in[d];
    if (total < 0)
        total = 0;
    /* The odd one goes to the end for SAME_UPPER; a transposed one has it at the start
     * for every other mode. */
    const bool upper = at->auto_pad == PLN_PAD_SAME_UPPER;
    g->pad_lo[d] = upper ? total / 2 : total - total / 2;
    g->pad_hi[d] = total - g->pad_lo[d];
}

bool pln_conv_geom_set(pln_conv_geom *g, const pln_conv_attrs *at, bool transposed,
                       const pln_tensor *x, const pln_tensor *w, const pln_tensor *y)
{
    const int nd = x->rank - 2;
    if (nd < 0 || nd > PLN_CONV_MAX || w->rank != x->rank || y->rank != x->rank)
        return false;
    *g = (pln_conv_geom){ .transposed = transposed, .nd = nd, .n = x->dims[0],
                          .c = x->dims[1], .m = y->dims[1], .group = at->group,
                          .in_size = 1, .out_size = 1, .taps = 1 };
    if (g->group < 1 || g->c < 0 || g->m < 0 || g->n < 0 || g->c % g->group ||
        g->m % g->group)
        return false;
    g->cg = g->c / g->group;
    g->mg = g->m / g->group;
    if (w->dims[0] != (transposed ? g->c : g->m) ||
        w->dims[1] != (transposed ? g->mg : g->cg))
        return false;
    for (int d = 0; d < nd; d++) {
        g->in[d] = x->dims[d + 2];
        g->out[d] = y->dims[d + 2];
        g->kernel[d] = w->dims[d + 2];
        g->stride[d] = item(at->strides, d, 1);
        g->dilation[d] = item(at->dilations, d, 1);
        if (g->in[d] < 0 || g->out[d] < 0 || g->kernel[d] < 0)
            return false;
        set_pads(g, at, d);
        g->in_size *= g->in[d];
        g->out_size *= g->out[d];
        g->taps *= g->kernel[d];
    }
    g->w_m = transposed ? g->taps : g->cg * g->taps;
    g->w_c = transposed ? g->mg * g->taps : g->taps;
    return true;
}

void pln_conv_cost(const pln_infer *inf, uint32_t x, uint32_t w, bool transposed,
                   pln_cost *cost)
{
    if (!transposed) {
        pln_product_cost(inf, pln_product_dims(inf->in[w], 1), cost);
        return;
    }
    /* Every input element meets all weights of its channel. */
    pln_product_cost(inf, 0, cost);
    cost->flops = 2 * pln_product_dims(inf->in[x], 0) * pln_product_dims(inf->in[w], 1);
}

/* Offset of the row of the input that meets tap `tap` at these outer coordinates; -1:
 * padding. */
static int64_t tap_row(const pln_conv_geom *g, const int64_t *at, const int64_t *tap)
{
    int64_t row = 0;
    for (int d = 0; d < g->nd - 1; d++) {
        const int64_t i = at[d] * g->stride[d] - g->pad_lo[d] + tap[d] * g->dilation[d];
        if (i < 0 || i >= g->in[d])
            return -1;
        row = row * g->in[d] + i;
    }
    return row * g->in[g->nd - 1];
}

/* The same for a plain convolution, a row of outputs at a time. */
static bool tap_offsets_by_row(const pln_conv_geom *g, const int64_t *tap, int64_t first,
                               int cols, int32_t *off)
{
    const int last = g->nd - 1;
    const int64_t width = g->in[last], stride = g->stride[last];
    int64_t at[PLN_CONV_MAX + 1];
    pln_conv_coords(g->nd, first, g->out, at);
    for (int j = 0; j < cols;) {
        const int64_t left = g->out[last] - at[last];
        const int n = left < cols - j ? (int)left : cols - j;
        const int64_t row = tap_row(g, at, tap);
        int64_t i = at[last] * stride - g->pad_lo[last] + tap[last] * g->dilation[last];
        for (int k = 0; k < n; k++, i += stride)
            off[j + k] = row >= 0 && i >= 0 && i < width ? (int32_t)(row + i) : -1;
        j += n;
        at[last] += n - 1;
        pln_conv_next(g->nd, at, g->out);
    }
    bool run = off[0] >= 0;
    for (int j = 1; run && j < cols; j++)
        run = off[j] == off[0] + j;
    return run;
}

bool pln_conv_tap_offsets(const pln_conv_geom *g, const int64_t *tap, int64_t first,
                          int cols, int32_t *off)
{
    if (!g->transposed && g->nd > 0)
        return tap_offsets_by_row(g, tap, first, cols, off);
    int64_t at[PLN_CONV_MAX + 1];
    pln_conv_coords(g->nd, first, g->out, at);
    bool run = true;
    for (int j = 0; j < cols; j++) {
        off[j] = (int32_t)pln_conv_tap(g, at, tap);
        run = run && off[j] >= 0 && off[j] == off[0] + j;
        pln_conv_next(g->nd, at, g->out);
    }
    return run;
}
