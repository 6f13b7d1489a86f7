/* Derivatives of products, convolutions, pools and normalizations.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/gradient.h"

#include <string.h>

static bool known_rank(pln_grad *t, const pln_node *n, const pln_value *v)
{
    if (gr_rank(v) != PLN_RANK_UNKNOWN)
        return true;
    gr_refuse(t, n, "a rank is not known");
    return false;
}

/* ---- MatMul, Gemm ---------------------------------------------------------------- */

static pln_value *last_two_swapped(pln_grad *t, pln_value *v)
{
    int64_t perm[PLN_MAX_RANK];
    const int rank = v ? gr_rank(v) : 0;
    if (rank < 2)
        return NULL;
    for (int d = 0; d < rank; d++)
        perm[d] = d < rank - 2 ? d : 2 * rank - 3 - d;
    return gr_permute(t, v, perm, rank);
}

static pln_value *unsqueeze(pln_grad *t, pln_value *v, int64_t axis)
{
    return gr_op2(t, "Unsqueeze", v, gr_ints(t, &axis, 1));
}

/* A vector is a matrix of one row (left) or one column (right). */
pln_value *gr_matmul(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    pln_value *a = n->in[0], *b = n->in[1], *gy = g[0];
    if (!known_rank(t, n, a) || !known_rank(t, n, b))
        return NULL;
    if (gr_rank(n->in[1]) == 1) {
        b = unsqueeze(t, b, 1);
        gy = unsqueeze(t, gy, -1);
    }
    if (gr_rank(n->in[0]) == 1) {
        a = unsqueeze(t, a, 0);
        gy = unsqueeze(t, gy, -2);
    }
    pln_value *v = i == 0 ? gr_op2(t, "MatMul", gy, last_two_swapped(t, b))
                          : gr_op2(t, "MatMul", last_two_swapped(t, a), gy);
    v = v ? gr_fit(t, v, i == 0 ? a : b) : NULL;
    return v && gr_rank(n->in[i]) == 1 ? gr_reshape_like(t, v, n->in[i]) : v;
}

pln_value *gr_gemm(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    const pln_attr *fa = pln_node_find_attr(n, "alpha"),
                   *fb = pln_node_find_attr(n, "beta");
    const int64_t ta = gr_attr_int(n, "transA", 0), tb = gr_attr_int(n, "transB", 0);
    if (i == 2)
        return fb ? gr_op2(t, "Mul", g[0], gr_scalar(t, g[0], fb->f)) : g[0];
    pln_value *other = n->in[1 - i];
    /* the gradient comes first where the operand is not transposed, for A, or is, for B
     */
    const bool first = i == 0 ? !ta : tb;
    pln_value *in[2] = { first ? g[0] : other, first ? other : g[0] };
    pln_node *p = gr_node(t, "Gemm", in, 2, 1);
    if (i == 0) {
        gr_int(t, p, "transA", ta ? tb : 0);
        gr_int(t, p, "transB", ta ? 1 : !tb);
    } else {
        gr_int(t, p, "transA", tb ? 1 : !ta);
        gr_int(t, p, "transB", tb ? ta : 0);
    }
    if (p && fa && pln_node_set_float(p, "alpha", fa->f) != PLN_OK)
        return gr_refuse(t, n, "there is no memory");
    return gr_done(t, p);
}

/* ---- windows --------------------------------------------------------------------- */

#define MOST_AXES (PLN_MAX_RANK / 2)

/* Geometry along the spatial axes; all sizes are known. */
typedef struct window {
    int n;
    int64_t x[MOST_AXES], y[MOST_AXES], kernel[MOST_AXES], stride[MOST_AXES],
        dilation[MOST_AXES], pads[2 * MOST_AXES];
} window;

static int64_t listed(const pln_node *n, const char *name, size_t i, int64_t otherwise)
{
    const pln_attr *a = gr_attr_ints(n, name);
    return a && i < a->n ? a->ints[i] : otherwise;
}

static bool read_window(pln_grad *t, pln_node *n, const pln_value *weight, window *w)
{
    const pln_attr *pad = pln_node_find_attr(n, "auto_pad");
    const char *mode = pad && pad->type == PLN_ATTR_STRING ? pad->s : "NOTSET";
    w->n = gr_rank(n->in[0]) - 2;
    bool good = w->n > 0 && w->n <= MOST_AXES && !gr_attr_int(n, "ceil_mode", 0);
    for (int d = 0; good && d < w->n; d++) {
        const size_t k = (size_t)d;
        w->x[d] = gr_dim(n->in[0], d + 2);
        w->y[d] = gr_dim(n->out[0], d + 2);
        w->kernel[d] = weight ? gr_dim(weight, d + 2) : listed(n, "kernel_shape", k, -1);
        w->stride[d] = listed(n, "strides", k, 1);
        w->dilation[d] = listed(n, "dilations", k, 1);
        w->pads[d] = listed(n, "pads", k, 0);
        w->pads[d + w->n] = listed(n, "pads", k + (size_t)w->n, 0);
        good = w->x[d] > 0 && w->y[d] > 0 && w->kernel[d] > 0;
        if (good && !strncmp(mode, "SAME", 4)) {
            const int64_t reach = (w->kernel[d] - 1) * w->dilation[d] + 1;
            int64_t all = (w->y[d] - 1) * w->stride[d] + reach - w->x[d];
            all = all < 0 ? 0 : all;
            w->pads[d] = !strcmp(mode, "SAME_LOWER") ? (all + 1) / 2 : all / 2;
            w->pads[d + w->n] = all - w->pads[d];
        }
    }
    if (!good)
        gr_refuse(t, n, "the sizes of its windows are not known");
    return good;
}

static void set_window(pln_grad *t, pln_node *n, const window *w, const int64_t *strides,
                       const int64_t *dilations)
{
    gr_set_ints(t, n, "strides", strides, (size_t)w->n);
    gr_set_ints(t, n, "dilations", dilations, (size_t)w->n);
    gr_set_ints(t, n, "pads", w->pads, 2 * (size_t)w->n);
}

/* The way back of a convolution with weights w; what no window reached gets zeros. */
static pln_value *unconvolve(pln_grad *t, pln_value *g, pln_value *weight,
                             const window *w, int64_t group)
{
    int64_t rest[MOST_AXES];
    pln_value *in[2] = { g, weight };
    pln_node *n = g && weight ? gr_node(t, "ConvTranspose", in, 2, 1) : NULL;
    set_window(t, n, w, w->stride, w->dilation);
    for (int d = 0; d < w->n; d++)
        rest[d] = w->x[d] -
                  ((w->y[d] - 1) * w->stride[d] + (w->kernel[d] - 1) * w->dilation[d] +
                   1 - w->pads[d] - w->pads[d + w->n]);
    gr_set_ints(t, n, "output_padding", rest, (size_t)w->n);
    gr_int(t, n, "group", group);
    return gr_done(t, n);
}

/* [a, b x c, ...] as [c, b x a, ...], or as [b x c, a, ...] where `keep` is set. */
static pln_value *swap_groups(pln_grad *t, pln_value *v, int64_t b, bool keep)
{
    const int rank = gr_rank(v);
    int64_t split[PLN_MAX_RANK], perm[PLN_MAX_RANK], joined[PLN_MAX_RANK];
    const int64_t a = gr_dim(v, 0), c = gr_dim(v, 1) / b;
    for (int d = 0; d < rank + 1; d++) {
        split[d] = d == 0 ? a : d == 1 ? b : d == 2 ? c : gr_dim(v, d - 1);
        perm[d] = d > 2 ? d : keep ? (d + 1) % 3 : 2 - d;
    }
    for (int d = 0; d < rank; d++)
        joined[d] = d > 1 ? gr_dim(v, d) : keep ? (d ? a : b * c) : (d ? b * a : c);
    v = gr_op2(t, "Reshape", v, gr_ints(t, split, (size_t)rank + 1));
    v = gr_permute(t, v, perm, rank + 1);
    return gr_op2(t, "Reshape", v, gr_ints(t, joined, (size_t)rank));
}

/* The weights' gradient is a convolution of the input with the gradient as weights, in
 * which images and channels change places, and strides and dilations do. */
static pln_value *conv_weight(pln_grad *t, pln_node *n, pln_value *x, pln_value *g,
                              const window *w, int64_t group)
{
    const int rank = w->n + 2;
    int64_t zero[PLN_MAX_RANK] = { 0 }, ends[PLN_MAX_RANK], axes[PLN_MAX_RANK];
    int64_t perm[PLN_MAX_RANK];
    for (int d = 0; d < rank; d++)
        if (gr_dim(x, d) < 1 || gr_dim(g, d) < 1)
            return gr_refuse(t, n, "the sizes of its input are not known");
    pln_value *in[2] = { swap_groups(t, x, group, false),
                         swap_groups(t, g, group, true) };
    pln_node *c = in[0] && in[1] ? gr_node(t, "Conv", in, 2, 1) : NULL;
    set_window(t, c, w, w->dilation, w->stride);
    gr_int(t, c, "group", group);
    for (int d = 0; d < rank; d++)
        perm[d] = d > 1 ? d : 1 - d;
    for (int d = 0; d < w->n; d++) {
        ends[d] = w->kernel[d];
        axes[d] = d + 2;
    }
    const size_t k = (size_t)w->n;
    pln_value *cut[4] = { gr_done(t, c), gr_ints(t, zero, k), gr_ints(t, ends, k),
                          gr_ints(t, axes, k) };
    if (!cut[0] || !cut[1] || !cut[2] || !cut[3])
        return NULL;
    return gr_permute(t, gr_done(t, gr_node(t, "Slice", cut, 4, 1)), perm, rank);
}

pln_value *gr_conv(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    window w = { 0 };
    int64_t axes[PLN_MAX_RANK];
    const int64_t group = gr_attr_int(n, "group", 1);
    const int rank = gr_rank(n->out[0]);
    if (i == 2) {
        for (int d = 0; d + 1 < rank; d++)
            axes[d] = d ? d + 1 : 0;
        return known_rank(t, n, n->out[0])
                   ? gr_reduce(t, g[0], axes, (size_t)rank - 1, false)
                   : NULL;
    }
    if (!read_window(t, n, n->in[1], &w))
        return NULL;
    return i == 0 ? unconvolve(t, g[0], n->in[1], &w, group)
                  : conv_weight(t, n, n->in[0], g[0], &w, group);
}

/* A convolution back: input and output change places. */
pln_value *gr_conv_transpose(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    window w = { 0 }, back;
    const int64_t group = gr_attr_int(n, "group", 1);
    if (i == 2)
        return gr_conv(t, n, g, i);
    const pln_attr *pad = pln_node_find_attr(n, "auto_pad");
    if (gr_attr_ints(n, "output_shape") ||
        (pad && pad->type == PLN_ATTR_STRING && strcmp(pad->s, "NOTSET")))
        return gr_refuse(t, n, "its pads are not given");
    if (!read_window(t, n, n->in[1], &w))
        return NULL;
    back = w;
    memcpy(back.x, w.y, sizeof back.x);
    memcpy(back.y, w.x, sizeof back.y);
    if (i == 1)
        return conv_weight(t, n, g[0], n->in[0], &back, group);
    pln_value *in[2] = { g[0], n->in[1] };
    pln_node *c = gr_node(t, "Conv", in, 2, 1);
    set_window(t, c, &back, back.stride, back.dilation);
    gr_int(t, c, "group", group);
    /* what the output was padded with no element of the input reaches */
    return gr_done(t, c);
}

/* Each window's gradient goes to the element that it chose. */
pln_value *gr_max_pool(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    const int64_t flat = -1;
    pln_node *again = gr_node(t, "MaxPool", n->in, 1, 2);
    for (uint32_t k = 0; again && k < n->n_attrs; k++)
        if (pln_node_set_attr(again, n->attrs[k]) != PLN_OK)
            return gr_refuse(t, n, "there is no memory");
    if (again)
        pln_node_drop_attr(again, "storage_order");
    if (!gr_done(t, again))
        return NULL;
    pln_value *at = gr_op2(t, "Reshape", again->out[1], gr_ints(t, &flat, 1));
    pln_value *v = gr_op2(t, "Reshape", g[0], gr_ints(t, &flat, 1));
    pln_value *to = gr_fill(t, gr_op2(t, "Reshape", n->in[0], gr_ints(t, &flat, 1)), 0);
    pln_value *in[3] = { to, at, v };
    pln_node *s = to && at && v ? gr_node(t, "ScatterElements", in, 3, 1) : NULL;
    if (s && pln_node_set_string(s, "reduction", "add", 3) != PLN_OK)
        return gr_refuse(t, n, "there is no memory");
    return gr_reshape_like(t, gr_done(t, s), n->in[0]);
}

/* Divided by the number of elements in its window, each gradient goes to all of them. */
pln_value *gr_average_pool(pln_grad *t, pln_node *n, pln_value *const *g, uint32_t i)
{
    window w = { 0 };
    int64_t one_x[PLN_MAX_RANK] = { -1, 1 }, one_y[PLN_MAX_RANK] = { -1, 1 };
    int64_t kernel[PLN_MAX_RANK] = { 1, 1 }, ones[PLN_MAX_RANK] = { 1, 1 };
    if (!read_window(t, n, NULL, &w))
        return NULL;
    const size_t rank = (size_t)w.n + 2;
    double all = 1;
    for (int d = 0; d < w.n; d++) {
        ones[d + 2] = one_x[d + 2] = w.x[d];
        one_y[d + 2] = w.y[d];
        kernel[d + 2] = w.kernel[d];
        all *= (double)w.kernel[d];
    }
    pln_value *one = gr_scalar(t, g[0], 1);
    pln_value *weight = gr_op2(t, "Expand", one, gr_ints(t, kernel, rank));
    pln_value *gy = gr_op2(t, "Reshape", g[0], gr_ints(t, one_y, rank));
    pln_value *count = gr_scalar(t, g[0], all);
    if (!gr_attr_int(n, "count_include_pad", 0)) {
        pln_value *in[2] = { gr_op2(t, "Expand", one, gr_ints(t, ones, rank)), weight };
        pln_node *c = in[0] && weight ? gr_node(t, "Conv", in, 2, 1) : NULL;
        set_window(t, c, &w, w.stride, w.dilation);
        count = gr_done(t, c);
    }
    return gr_reshape_like(t, unconvolve(t, gr_op2(t, "Div", gy, count), weight, &w, 1),
                           n->in[0]);
}

/* ---- normalizations -------------------------------------------------------------- */

/* (x - mean) scale / sqrt(variance + epsilon) + bias */
static pln_value *normalized(pln_grad *t, pln_node *n, pln_value *centred,
                             pln_value *variance, pln_value *scale, pln_value *bias)
{
    const pln_attr *e = pln_node_find_attr(n, "epsilon");
    pln_value *eps = centred ? gr_scalar(t, centred, e ? e->f : 1e-5f) : NULL;
    pln_value *root = gr_op1(t, "Sqrt", gr_op2(t, "Add", variance, eps));
    pln_value *y = gr_op2(t, "Mul", gr_op2(t, "Div", centred, root), scale);
    return bias ? gr_op2(t, "Add", y, bias) : y;
}

pln_value *gr_same_batch_norm(pln_grad *t, pln_node *n, pln_value *const *in)
{
    int64_t shape[PLN_MAX_RANK];
    pln_value *v[4];
    if (!known_rank(t, n, in[0]) || gr_attr_int(n, "training_mode", 0))
        return gr_refuse(t, n, "its rank is not known, or it trains");
    const int rank = gr_rank(in[0]);
    for (int d = 0; d < rank; d++)
        shape[d] = d == 1 ? -1 : 1;
    for (int k = 0; k < 4; k++)
        v[k] = gr_op2(t, "Reshape", in[k + 1], gr_ints(t, shape, (size_t)rank));
    return normalized(t, n, gr_op2(t, "Sub", in[0], v[2]), v[3], v[0], v[1]);
}

pln_value *gr_same_instance_norm(pln_grad *t, pln_node *n, pln_value *const *in)
{
    int64_t axes[PLN_MAX_RANK], shape[PLN_MAX_RANK];
    if (!known_rank(t, n, in[0]))
        return NULL;
    const int rank = gr_rank(in[0]);
    for (int d = 1; d < rank; d++) {
        axes[d - 1] = d + 1;
        shape[d - 1] = d == 1 ? -1 : 1;
    }
    pln_value *list = gr_ints(t, axes, (size_t)rank - 2);
    pln_value *form = gr_ints(t, shape, (size_t)rank - 1);
    pln_value *centred = gr_op2(t, "Sub", in[0], gr_op2(t, "ReduceMean", in[0], list));
    pln_value *variance =
        gr_op2(t, "ReduceMean", gr_op2(t, "Mul", centred, centred), list);
    pln_value *scale = gr_op2(t, "Reshape", in[1], form);
    pln_value *bias = gr_op2(t, "Reshape", in[2], form);
    return normalized(t, n, centred, variance, scale, bias);
}

pln_value *gr_same_layer_norm(pln_grad *t, pln_node *n, pln_value *const *in)
{
    int64_t axes[PLN_MAX_RANK];
    size_t k = 0;
    if (!known_rank(t, n, in[0]))
        return NULL;
    const int rank = gr_rank(in[0]);
    const int64_t axis = gr_attr_int(n, "axis", -1);
    for (int64_t d = axis < 0 ? axis + rank : axis; d >= 0 && d < rank; d++)
        axes[k++] = d;
    pln_value *list = gr_ints(t, axes, k);
    pln_value *centred = gr_op2(t, "Sub", in[0], gr_op2(t, "ReduceMean", in[0], list));
    pln_value *variance =
        gr_op2(t, "ReduceMean", gr_op2(t, "Mul", centred, centred), list);
    return normalized(t, n, centred, variance, in[1], n->n_in > 2 ? in[2] : NULL);
}
