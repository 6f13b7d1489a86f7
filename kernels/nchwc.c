/* The operators of com.microsoft.nchwc, which ONNX Runtime leaves in models that it saves
 * after all its rewrites: tensors hold blocks of channels, [N, C / block, spatial...,
 * block].
 *
 * The block, 8 or 16 channels, is written nowhere; see block_of().
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/conv_cpu.h"
#include "kernels/ms_act.h"
#include "kernels/ms_fused.h"
#include "kernels/pool.h"

#include <math.h>

#define DOMAIN "com.microsoft.nchwc"

/* ---- the block ------------------------------------------------------------------- */

static int64_t known_channels(const pln_value *v, int axis)
{
    if (!v || v->type.shape.rank <= axis || !pln_dim_is_known(v->type.shape.dims[axis]))
        return -1;
    return v->type.shape.dims[axis].value;
}

/* What one node tells: 8 where a number of channels is no multiple of 16, 16 where eight
 * or more were added to fill a block; 0: nothing. */
static int64_t block_by(const pln_node *n)
{
    const bool conv = strcmp(n->op_type, "Conv") == 0;
    const bool output = strcmp(n->op_type, "ReorderOutput") == 0;
    const int64_t filters = conv && n->n_in > 1 ? known_channels(n->in[1], 0) : -1;
    if (filters > 0 && filters % 16)
        return 8;
    const pln_attr *real = output ? pln_node_find_attr(n, "channels") : NULL;
    const pln_node *from = output && n->n_in && n->in[0] ? n->in[0]->def : NULL;
    if (!real || !from || from->n_in < 2 || strcmp(from->op_type, "Conv") != 0)
        return 0;
    const int64_t filled = known_channels(from->in[1], 0);
    return filled > 0 && filled - real->i >= 8 ? 16 : 0;
}

/* The block of this graph: by what its nodes tell, else the one that ONNX Runtime takes
 * on this processor, since such models are meant for the machine that they were saved on.
 */
static int64_t block_of(const pln_node *node)
{
    const pln_graph *g = node->graph;
    for (const pln_node *n = g ? g->first : NULL; n; n = n->next) {
        const int64_t b = strcmp(n->domain, DOMAIN) == 0 ? block_by(n) : 0;
        if (b)
            return b;
    }
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") ? 16 : 8;
#else
    return 16;
#endif
}

static pln_status fail_block(const pln_call *c, int64_t block, pln_error *err)
{
    return pln_call_fail(c, err, PLN_E_RUN,
                         "the channels are no multiple of blocks of %lld",
                         (long long)block);
}

static int64_t pixels_of(const pln_tensor *t)
{
    return pln_move_count(t->dims, 2, t->rank);
}

/* [N, C / b, pixels, b] to [N, C, pixels] and back. */
static void unblock(float *to, const float *from, int64_t planes, int64_t pixels,
                    int64_t b, int n_threads)
{
    const int64_t f = (int64_t)sizeof(float), dims[3] = { planes / b, b, pixels };
    const int64_t src[3] = { b * pixels * f, f, b * f },
                  dst[3] = { b * pixels * f, pixels * f, f };
    pln_move_nd(to, dst, from, src, dims, 3, sizeof(float), n_threads);
}

static void to_blocks(float *to, const float *from, int64_t planes, int64_t pixels,
                      int64_t b, int n_threads)
{
    const int64_t f = (int64_t)sizeof(float), dims[3] = { planes / b, pixels, b };
    const int64_t src[3] = { b * pixels * f, f, pixels * f },
                  dst[3] = { b * pixels * f, b * f, f };
    pln_move_nd(to, dst, from, src, dims, 3, sizeof(float), n_threads);
}

/* A tensor like t, in memory of its own. */
static pln_status copy_of(pln_call *c, const pln_tensor *t, pln_tensor *out,
                          pln_error *err)
{
    *out = *t;
    out->borrowed = true;
    out->data = pln_call_scratch(c, pln_move_bytes_of(t) + 1);
    return out->data ? PLN_OK : pln_oom(err);
}

/* ---- ReorderInput, ReorderOutput ------------------------------------------------- */

typedef struct reorder_attrs {
    int64_t channels_last, channels;
} reorder_attrs;

static const pln_attr_spec input_spec[] = { PLN_A_INT(reorder_attrs, channels_last, 0),
                                            PLN_A_END };
static const pln_attr_spec output_spec[] = { PLN_A_INT(reorder_attrs, channels_last, 0),
                                             PLN_A_INT(reorder_attrs, channels, 0),
                                             PLN_A_END };

static pln_status reorder_shape(pln_infer *inf, bool from_last, bool to_last,
                                pln_dim channels, pln_error *err)
{
    const int rank = pln_infer_rank(inf, 0);
    if (rank < 3)
        return pln_infer_fail(inf, err, "input 0 has rank %d, want 3 or more", rank);
    pln_shape s = pln_infer_shape(inf, rank);
    s.dims[0] = pln_infer_dim(inf, 0, 0);
    s.dims[to_last ? rank - 1 : 1] = channels;
    for (int d = 0; d < rank - 2; d++)
        s.dims[d + (to_last ? 1 : 2)] = pln_infer_dim(inf, 0, d + (from_last ? 1 : 2));
    pln_infer_set(inf, 0, PLN_DT_F32, s);
    return PLN_OK;
}

static pln_status input_infer(pln_infer *inf, pln_error *err)
{
    const bool last = ((const reorder_attrs *)inf->attrs)->channels_last != 0;
    const int rank = pln_infer_rank(inf, 0);
    const pln_dim block = pln_dim_of(block_of(inf->node));
    if (rank < 3)
        return rank == PLN_RANK_UNKNOWN
                   ? pln_move_infer_open(inf)
                   : pln_infer_fail(inf, err, "input 0 has rank %d", rank);
    const pln_dim c = pln_infer_dim(inf, 0, last ? rank - 1 : 1);
    return reorder_shape(
        inf, last, false,
        pln_dim_mul(inf->syms, pln_dim_div_up(inf->syms, c, block), block), err);
}

static pln_status output_infer(pln_infer *inf, pln_error *err)
{
    const reorder_attrs *at = inf->attrs;
    if (at->channels < 1)
        return pln_infer_fail(inf, err, "%lld channels", (long long)at->channels);
    if (pln_infer_rank(inf, 0) == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    return reorder_shape(inf, false, at->channels_last != 0, pln_dim_of(at->channels),
                         err);
}

static pln_status input_ref(pln_call *c, pln_error *err)
{
    const bool last = ((const reorder_attrs *)c->attrs)->channels_last != 0;
    const pln_tensor *x = c->in[0], *y = c->out[0];
    const int64_t b = block_of(c->node), pixels = pixels_of(y), channels = y->dims[1];
    const int64_t real = x->dims[last ? x->rank - 1 : 1];
    if (channels % b || real > channels)
        return fail_block(c, b, err);
    const float *from = x->data;
    for (int64_t i = 0, n = pln_tensor_size(y); i < n; i++) {
        const int64_t image = i / (channels * pixels), p = i / b % pixels;
        const int64_t ch = i / (b * pixels) * b % channels + i % b;
        const int64_t at =
            last ? (image * pixels + p) * real + ch : (image * real + ch) * pixels + p;
        PLN_DATA(float, y)[i] = ch < real ? from[at] : 0;
    }
    return PLN_OK;
}

static pln_status output_ref(pln_call *c, pln_error *err)
{
    const bool last = ((const reorder_attrs *)c->attrs)->channels_last != 0;
    const pln_tensor *x = c->in[0], *y = c->out[0];
    const int64_t b = block_of(c->node), pixels = pixels_of(x), channels = x->dims[1];
    const int64_t real = y->dims[last ? y->rank - 1 : 1];
    if (channels % b || real > channels)
        return fail_block(c, b, err);
    for (int64_t i = 0, n = pln_tensor_size(y); i < n; i++) {
        const int64_t image = i / (real * pixels);
        const int64_t ch = last ? i % real : i / pixels % real;
        const int64_t p = last ? i / real % pixels : i % pixels;
        const int64_t at = ((image * channels + ch / b * b) * pixels + p * b) + ch % b;
        PLN_DATA(float, y)[i] = PLN_DATA(const float, x)[at];
    }
    return PLN_OK;
}

/* ---- Conv ------------------------------------------------------------------------ */

static const pln_attr_spec conv_spec[] = {
    PLN_CONV_SPEC,
    PLN_A_STR(pln_ms_conv_attrs, activation, NULL),
    PLN_A_FLOATS(pln_ms_conv_attrs, activation_params),
    PLN_A_END,
};

static pln_status conv_check(pln_node *n, void *attrs, pln_error *err)
{
    char where[160];
    pln_postop_list list;
    PLN_TRY(pln_conv_check(n, attrs, err));
    if (pln_ms_conv_posts(n, attrs, &list) == PLN_OK)
        return PLN_OK;
    return pln_fail(err, PLN_E_UNSUPPORTED, "%s: no activation '%s'",
                    pln_node_where(n, where, sizeof where),
                    ((const pln_ms_conv_attrs *)attrs)->activation);
}

static pln_status conv_infer(pln_infer *inf, pln_error *err)
{
    return pln_conv_infer(inf, 0, 1, false, PLN_DT_F32, err);
}

static void conv_cost(const pln_infer *inf, pln_cost *cost)
{
    pln_conv_cost(inf, 0, 1, false, cost);
}

/* The weights of few inputs are [O / b, I, taps, b], others [O / b, I / b, taps, b of I,
 * b of O]; as [O, I, taps]. */
static void plain_weights(const pln_tensor *w, int64_t b, float *out)
{
    const int64_t taps = pixels_of(w), in = w->dims[1], ib = in >= b ? b : 1;
    const float *from = w->data;
    for (int64_t o = 0; o < w->dims[0]; o++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t t = 0; t < taps; t++)
                out[(o * in + i) * taps + t] =
                    from[((((o / b) * (in / ib) + i / ib) * taps + t) * ib + i % ib) * b +
                         o % b];
}

/* Whether x is in blocks: its few channels are left as they are for a first convolution.
 */
static bool is_blocked(const pln_tensor *x, int64_t group, int64_t b)
{
    return group > 1 || x->dims[1] >= b;
}

static pln_status blocks_fit(const pln_call *c, int64_t b, bool blocked, pln_error *err)
{
    const pln_tensor *x = c->in[0], *w = c->in[1];
    if (w->dims[0] % b || (blocked && x->dims[1] % b) ||
        (w->dims[1] >= b && w->dims[1] % b))
        return fail_block(c, b, err);
    return PLN_OK;
}

/* The convolution on tensors out of their blocks. */
static pln_status conv_with(pln_call *c, const float *weights, pln_kernel_fn inner,
                            pln_error *err)
{
    const pln_ms_conv_attrs *at = c->attrs;
    const pln_tensor *in[4] = { c->in[0], c->in[1], NULL, NULL };
    const int64_t b = block_of(c->node);
    const bool blocked = is_blocked(c->in[0], at->conv.group, b);
    pln_tensor x, w = *c->in[1], z, y, *out = &y;
    PLN_TRY(blocks_fit(c, b, blocked, err));
    if (blocked) {
        PLN_TRY(copy_of(c, in[0], &x, err));
        unblock(x.data, in[0]->data, x.dims[0] * x.dims[1], pixels_of(&x), b,
                c->n_threads);
        in[0] = &x;
    }
    w.borrowed = true;
    w.data = (void *)(uintptr_t)weights;
    in[1] = &w;
    in[2] = pln_call_has(c, 2) ? c->in[2] : NULL;
    if (pln_call_has(c, 3)) {
        if (pln_tensor_size(c->in[3]) != pln_tensor_size(c->out[0]))
            return pln_call_fail(c, err, PLN_E_RUN, "input 3 has not the result's shape");
        PLN_TRY(copy_of(c, c->in[3], &z, err));
        unblock(z.data, c->in[3]->data, z.dims[0] * z.dims[1], pixels_of(&z), b,
                c->n_threads);
        in[3] = &z;
    }
    PLN_TRY(copy_of(c, c->out[0], &y, err));
    pln_call sub = *c;
    sub.in = in;
    sub.n_in = 4;
    sub.out = &out;
    PLN_TRY(inner(&sub, err));
    to_blocks(c->out[0]->data, y.data, y.dims[0] * y.dims[1], pixels_of(&y), b,
              c->n_threads);
    return PLN_OK;
}

static pln_status plain_ref(pln_call *c, pln_error *err)
{
    pln_postop_list list;
    pln_conv_geom g;
    if (!pln_conv_geom_set(&g, c->attrs, false, c->in[0], c->in[1], c->out[0]))
        return pln_call_fail(c, err, PLN_E_RUN, "shapes do not fit");
    PLN_TRY(pln_ms_conv_posts(c->node, c->attrs, &list));
    PLN_TRY(pln_conv_ref(c, &g, c->in[0], c->in[1], c->in[2], c->out[0], err));
    return pln_postops_apply(c, &list, c->out[0], err);
}

static pln_status conv_ref(pln_call *c, pln_error *err)
{
    float *w = pln_call_scratch(c, pln_move_bytes_of(c->in[1]) + 1);
    const int64_t b = block_of(c->node);
    if (!w)
        return pln_oom(err);
    if (c->in[1]->dims[0] % b || (c->in[1]->dims[1] >= b && c->in[1]->dims[1] % b))
        return fail_block(c, b, err);
    plain_weights(c->in[1], b, w);
    return conv_with(c, w, plain_ref, err);
}

/* Our own convolution wants its weights plain: it packs a copy that lives no longer than
 * that. */
static pln_status conv_prepare(pln_prep *p, pln_error *err)
{
    const pln_tensor *in[4] = { p->in[0], p->in[1], NULL, NULL };
    const int64_t b = block_of(p->node);
    if (!p->is_static || !p->in[1]->data || p->in[1]->dims[0] % b ||
        (p->in[1]->dims[1] >= b && p->in[1]->dims[1] % b))
        return PLN_E_UNSUPPORTED;
    const pln_ms_conv_attrs *at = p->attrs;
    if (at->conv.group > 1 && p->in[1]->dims[1] == 1)
        return PLN_E_UNSUPPORTED; /* depthwise reads its weights at each call */
    for (uint32_t i = 2; i < p->n_in && i < 4; i++)
        in[i] = p->in[i];
    float *plain = pln_alloc_aligned(p->alloc, pln_move_bytes_of(p->in[1]) + 1, 64);
    if (!plain)
        return pln_oom(err);
    plain_weights(p->in[1], b, plain);
    pln_tensor w = *p->in[1];
    w.data = plain;
    in[1] = &w;
    pln_prep sub = *p;
    sub.in = in;
    const pln_status st = pln_impl_conv_f32.prepare(&sub, err);
    pln_release(p->alloc, plain);
    p->state = sub.state;
    p->scratch = sub.scratch;
    return st;
}

static pln_status conv_run(pln_call *c, pln_error *err)
{
    return conv_with(c, NULL, pln_impl_conv_f32.run, err);
}

static void conv_release(void *state)
{
    pln_impl_conv_f32.release(state);
}

static const pln_impl conv_cpu = { "nchwc_conv_f32", conv_prepare, conv_run,
                                   conv_release };

/* ---- pooling: images of one block of channels, which lie last -------------------- */

typedef struct pool_spec_struct {
    pool_attrs pool;
} pool_spec_struct;

#define FIELD(f) offsetof(pool_spec_struct, pool.f)
#define WINDOW                                                                      \
    { .name = "auto_pad",                                                           \
      .type = PLN_ATTR_STRING,                                                      \
      .s = "NOTSET",                                                                \
      .choices = "NOTSET|SAME_UPPER|SAME_LOWER|VALID",                              \
      .offset = FIELD(auto_pad) },                                                  \
        { .name = "kernel_shape",                                                   \
          .type = PLN_ATTR_INTS,                                                    \
          .required = true,                                                         \
          .offset = FIELD(kernel_shape) },                                          \
        { .name = "pads", .type = PLN_ATTR_INTS, .offset = FIELD(pads) },           \
        { .name = "strides", .type = PLN_ATTR_INTS, .offset = FIELD(strides) },     \
        { .name = "dilations", .type = PLN_ATTR_INTS, .offset = FIELD(dilations) }, \
    {                                                                               \
        .name = "ceil_mode", .type = PLN_ATTR_INT, .offset = FIELD(ceil_mode)       \
    }

static const pln_attr_spec max_spec[] = {
    WINDOW,
    { .name = "storage_order", .type = PLN_ATTR_INT, .offset = FIELD(storage_order) },
    PLN_A_END,
};
static const pln_attr_spec average_spec[] = {
    WINDOW,
    { .name = "count_include_pad",
      .type = PLN_ATTR_INT,
      .offset = FIELD(count_include_pad) },
    PLN_A_END,
};

static pln_tensor blocks_view(const pln_tensor *t, int64_t b)
{
    pln_tensor v = *t;
    v.borrowed = true;
    v.dims[0] = t->dims[0] * (t->dims[1] / b);
    v.dims[1] = b;
    v.layout = PLN_LAYOUT_CHANNELS_LAST;
    return v;
}

static pln_status pool_with(pln_call *c, pln_kernel_fn inner, pln_error *err)
{
    const int64_t b = block_of(c->node);
    if (c->in[0]->rank < 3 || c->in[0]->dims[1] % b)
        return fail_block(c, b, err);
    const pln_tensor x = blocks_view(c->in[0], b), *in[1] = { &x };
    pln_tensor y = blocks_view(c->out[0], b), *out[1] = { &y };
    pln_call sub = *c;
    sub.in = in;
    sub.out = out;
    sub.n_out = 1;
    return inner(&sub, err);
}

static pln_status max_ref(pln_call *c, pln_error *err)
{
    return pool_with(c, pool_max_run, err);
}

static pln_status average_ref(pln_call *c, pln_error *err)
{
    return pool_with(c, pool_average_run, err);
}

static pln_status global_max_ref(pln_call *c, pln_error *err)
{
    return pool_with(c, pool_global_max_run, err);
}

static pln_status global_average_ref(pln_call *c, pln_error *err)
{
    return pool_with(c, pool_global_average_run, err);
}

/* ---- Upsample -------------------------------------------------------------------- */

typedef struct upsample_attrs {
    pln_ints scales;
    int mode, transform;
} upsample_attrs;

static const pln_attr_spec upsample_spec[] = {
    PLN_A_INTS(upsample_attrs, scales),
    PLN_A_ENUM(upsample_attrs, mode, "nearest|linear", "nearest"),
    { .name = "coordinate_transformation_mode",
      .type = PLN_ATTR_STRING,
      .s = "asymmetric",
      .choices = "asymmetric|align_corners|half_pixel",
      .offset = offsetof(upsample_attrs, transform) },
    PLN_A_END,
};

static pln_status upsample_infer(pln_infer *inf, pln_error *err)
{
    const upsample_attrs *at = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    if (rank == PLN_RANK_UNKNOWN)
        return pln_move_infer_open(inf);
    if (rank != 4 || (at->scales.n != 4 && at->scales.n != 0))
        return pln_infer_fail(inf, err, "rank %d with %zu scales, want 4", rank,
                              at->scales.n);
    pln_shape s = pln_infer_shape(inf, 4);
    for (size_t d = 0; d < 4; d++) {
        const int64_t scale = at->scales.n ? at->scales.v[d] : 1;
        if (scale < 1 || (d < 2 && scale != 1))
            return pln_infer_fail(inf, err, "scale %lld of dimension %zu",
                                  (long long)scale, d);
        s.dims[d] =
            pln_dim_mul(inf->syms, pln_infer_dim(inf, 0, (int)d), pln_dim_of(scale));
    }
    pln_infer_set(inf, 0, PLN_DT_F32, s);
    return PLN_OK;
}

/* The two pixels that output pixel o lies between, and how far from the first. */
static double source(const upsample_attrs *at, int64_t o, int64_t in, int64_t out,
                     int64_t *i0, int64_t *i1)
{
    const double scale = (double)out / (double)in;
    double p = (double)o / scale;
    if (at->mode == 1 && at->transform == 1)
        p = out == 1 ? 0 : (double)o * (double)(in - 1) / (double)(out - 1);
    else if (at->mode == 1 && at->transform == 2)
        p = ((double)o + 0.5) / scale - 0.5;
    p = p < 0 ? 0 : p > (double)(in - 1) ? (double)(in - 1) : p;
    *i0 = (int64_t)floor(p);
    *i1 = *i0 + 1 < in ? *i0 + 1 : *i0;
    return at->mode == 0 ? 0 : p - (double)*i0;
}

static pln_status upsample_ref(pln_call *c, pln_error *err)
{
    const upsample_attrs *at = c->attrs;
    const pln_tensor *x = c->in[0], *y = c->out[0];
    const int64_t b = block_of(c->node), ih = x->dims[2], iw = x->dims[3];
    const int64_t oh = y->dims[2], ow = y->dims[3], planes = x->dims[0] * x->dims[1] / b;
    if (x->dims[1] % b)
        return fail_block(c, b, err);
    for (int64_t r = 0; ow && r < planes * oh; r++) {
        int64_t y0, y1, x0, x1;
        const float fy = (float)source(at, r % oh, ih, oh, &y0, &y1);
        const float *p = PLN_DATA(const float, x) + r / oh * ih * iw * b;
        for (int64_t o = 0; o < ow; o++) {
            const float fx = (float)source(at, o, iw, ow, &x0, &x1);
            float *to = PLN_DATA(float, y) + (r * ow + o) * b;
            for (int64_t k = 0; k < b; k++) {
                const float top =
                    p[(y0 * iw + x0) * b + k] * (1 - fx) + p[(y0 * iw + x1) * b + k] * fx;
                const float low =
                    p[(y1 * iw + x0) * b + k] * (1 - fx) + p[(y1 * iw + x1) * b + k] * fx;
                to[k] = top * (1 - fy) + low * fy;
            }
        }
    }
    return PLN_OK;
}

#define ROW  .domain = DOMAIN, .since = 1, .out = { 1, 1 }, .types = "T:float"
#define POOL ROW, .in = { 1, 1 }, .sig = "T->T", .attrs_size = sizeof(pool_spec_struct)

const pln_op_desc pln_ops_nchwc[] = {
    { ROW, .name = "ReorderInput", .in = { 1, 1 }, .sig = "T->T", .attrs = input_spec,
      .attrs_size = sizeof(reorder_attrs), .infer = input_infer, .ref = input_ref },
    { ROW, .name = "ReorderOutput", .in = { 1, 1 }, .sig = "T->T", .attrs = output_spec,
      .attrs_size = sizeof(reorder_attrs), .infer = output_infer, .ref = output_ref },
    { ROW, .name = "Conv", .in = { 2, 4 }, .sig = "T,T,T?,T?->T", .attrs = conv_spec,
      .attrs_size = sizeof(pln_ms_conv_attrs), .check = conv_check, .infer = conv_infer,
      .ref = conv_ref, .cpu = &conv_cpu, .cost = conv_cost },
    { POOL, .name = "MaxPool", .attrs = max_spec, .infer = pool_infer, .ref = max_ref,
      .cost = pool_cost },
    { POOL, .name = "AveragePool", .attrs = average_spec, .infer = pool_infer,
      .ref = average_ref, .cost = pool_cost },
    { POOL, .name = "GlobalMaxPool", .infer = pool_global_infer, .ref = global_max_ref },
    { POOL, .name = "GlobalAveragePool", .infer = pool_global_infer,
      .ref = global_average_ref },
    { ROW, .name = "Upsample", .in = { 1, 1 }, .sig = "T->T", .attrs = upsample_spec,
      .attrs_size = sizeof(upsample_attrs), .infer = upsample_infer,
      .ref = upsample_ref },
    { .name = NULL },
};
