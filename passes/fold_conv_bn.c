/* fold-conv-bn: a batch normalization, or a scale and offset for each channel, goes into
 * the weights and the bias of the Conv, ConvTranspose or Gemm before it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

#include <math.h>

/* What follows the product: y[c] = mul[c] x + add[c]. */
typedef struct affine {
    int64_t n; /* channels */
    double *mul, *add;
} affine;

static bool new_affine(affine *a, pln_arena *arena, int64_t n)
{
    a->n = n;
    a->mul = PLN_NEW_ARRAY(arena, double, n);
    a->add = PLN_NEW_ARRAY(arena, double, n);
    for (int64_t i = 0; a->mul && i < n; i++)
        a->mul[i] = 1;
    return a->mul && a->add;
}

/* ---- the product ---------------------------------------------------------------- */

/* Where the output channel of weight element i is found: (i / inner) % along, plus a part
 * for each group of a transposed convolution. */
typedef struct channels {
    int64_t n, inner, along, group_size; /* group_size 0: one group */
    int64_t per_group;
} channels;

static int64_t channel_of(const channels *c, int64_t i)
{
    const int64_t within = i / c->inner % c->along;
    return c->group_size ? i / c->group_size * c->per_group + within : within;
}

static bool conv_channels(const pln_node *n, const pln_tensor *w, channels *c)
{
    if (w->rank < 3)
        return false;
    int64_t spatial = 1;
    for (int i = 2; i < w->rank; i++)
        spatial *= w->dims[i];
    if (pln_node_is(n, "Conv")) {
        *c = (channels){ .n = w->dims[0],
                         .inner = spatial * w->dims[1],
                         .along = w->dims[0] };
        return c->inner > 0;
    }
    const int64_t groups = pln_node_get_int(n, "group", 1);
    if (groups < 1 || w->dims[0] % groups)
        return false;
    *c = (channels){ .n = w->dims[1] * groups,
                     .inner = spatial,
                     .along = w->dims[1],
                     .group_size = w->dims[0] / groups * w->dims[1] * spatial,
                     .per_group = w->dims[1] };
    return c->inner > 0 && c->group_size > 0;
}

static bool gemm_channels(const pln_node *n, const pln_tensor *w, channels *c)
{
    if (w->rank != 2 || pln_node_get_float(n, "alpha", 1) != 1 ||
        pln_node_get_float(n, "beta", 1) != 1)
        return false;
    const bool t = pln_node_get_int(n, "transB", 0) != 0;
    *c = (channels){ .n = w->dims[t ? 0 : 1],
                     .inner = t ? w->dims[1] : 1,
                     .along = w->dims[t ? 0 : 1] };
    return c->inner > 0;
}

static bool find_channels(const pln_node *n, channels *c)
{
    const pln_tensor *w = n->in[1]->cst;
    const bool ok =
        pln_node_is(n, "Gemm") ? gemm_channels(n, w, c) : conv_channels(n, w, c);
    return ok && c->n > 0 && c->n == c->along * (c->group_size ? c->n / c->along : 1);
}

/* ---- what follows --------------------------------------------------------------- */

static pln_tensor *float_vector(const pln_value *v, int64_t n)
{
    if (!v || !pln_value_is_const(v) || !pln_dtype_is_float((pln_dtype)v->cst->dtype) ||
        v->cst->rank != 1 || v->cst->dims[0] != n ||
        pln_tensor_materialize(v->cst, NULL) != PLN_OK)
        return NULL;
    return v->cst;
}

static pln_status read_batch_norm(pln_match *m, affine *a)
{
    const pln_node *bn = m->root;
    pln_tensor *t[4];
    for (uint32_t i = 1; i < bn->n_out; i++)
        if (bn->out[i] && bn->out[i]->n_uses)
            return pln_match_refuse(m, "its statistics are used");
    if (bn->n_in < 5 || pln_node_get_int(bn, "training_mode", 0))
        return pln_match_refuse(m, "in training mode");
    for (uint32_t i = 0; i < 4; i++) {
        t[i] = float_vector(bn->in[i + 1], a->n);
        if (!t[i])
            return pln_match_refuse(m, "its statistics are not constant vectors of %lld",
                                    (long long)a->n);
    }
    const double eps = pln_node_get_float(bn, "epsilon", 1e-5f);
    for (int64_t i = 0; i < a->n; i++) {
        const double f =
            pln_tensor_get_f64(t[0], i) / sqrt(pln_tensor_get_f64(t[3], i) + eps);
        a->mul[i] = f;
        a->add[i] = pln_tensor_get_f64(t[1], i) - pln_tensor_get_f64(t[2], i) * f;
        if (!isfinite(a->mul[i]) || !isfinite(a->add[i]))
            return pln_match_refuse(m, "its scale is not finite");
    }
    return PLN_OK;
}

/* A constant that varies along the channel axis alone, or not at all. */
static bool lies_on_channels(const pln_tensor *t, int out_rank, int channel_axis,
                             int64_t n)
{
    const int shift = out_rank - t->rank;
    if (shift < 0)
        return false;
    for (int i = 0; i < t->rank; i++) {
        const bool here = i + shift == channel_axis;
        if (t->dims[i] != 1 && !(here && t->dims[i] == n))
            return false;
    }
    return true;
}

static pln_status read_binary(pln_match *m, affine *a)
{
    const pln_node *n = m->root;
    pln_tensor *t = pln_match_val(m, "c")->cst;
    const pln_value *y = n->out[0];
    const int rank = pln_value_rank(y);
    const int axis = pln_node_is(pln_match_node(m, "y"), "Gemm") ? rank - 1 : 1;
    if (rank < 2 || !pln_value_same_type(y, pln_match_val(m, "y")))
        return pln_match_refuse(m, "the constant makes the result larger");
    if (!pln_dtype_is_float((pln_dtype)t->dtype) ||
        !lies_on_channels(t, rank, axis, a->n) ||
        pln_tensor_materialize(t, NULL) != PLN_OK)
        return pln_match_refuse(m, "the constant is not one value for each channel");
    const bool one = pln_tensor_size(t) == 1;
    for (int64_t i = 0; i < a->n; i++) {
        const double v = pln_tensor_get_f64(t, one ? 0 : i);
        if (pln_node_is(n, "Add") || pln_node_is(n, "Sub"))
            a->add[i] = pln_node_is(n, "Add") ? v : -v;
        else
            a->mul[i] = pln_node_is(n, "Mul") ? v : 1 / v;
        if (!isfinite(a->mul[i]) || !isfinite(v))
            return pln_match_refuse(m, "the factor is not finite");
    }
    return PLN_OK;
}

/* ---- check and build ------------------------------------------------------------ */

static pln_status read_affine(pln_match *m, channels *c, affine *a)
{
    const pln_node *y = pln_match_node(m, "y");
    if (!find_channels(y, c))
        return pln_match_refuse(m, "the channels of its weights are not clear");
    if (y->in[1]->n_uses > 1)
        return pln_match_refuse(m, "its weights are used elsewhere, too");
    const pln_dtype dt = (pln_dtype)y->in[1]->cst->dtype;
    if (dt != PLN_DT_F32 && dt != PLN_DT_F64)
        return pln_match_refuse(m, "weights are neither float nor double");
    if (!new_affine(a, m->ctx->scratch, c->n))
        return PLN_E_NOMEM;
    return pln_node_is(m->root, "BatchNormalization") ? read_batch_norm(m, a)
                                                      : read_binary(m, a);
}

static bool is_scaled(const affine *a)
{
    for (int64_t i = 0; i < a->n; i++)
        if (a->mul[i] != 1)
            return true;
    return false;
}

/* Elements of one channel that lie behind each other. */
static void scale_run(pln_tensor *t, int64_t from, int64_t n, double mul)
{
    float *f = t->dtype == PLN_DT_F32 ? PLN_DATA(float, t) + from : NULL;
    double *d = f ? NULL : PLN_DATA(double, t) + from;
    for (int64_t i = 0; i < n; i++) {
        if (f)
            f[i] = (float)(f[i] * mul);
        else
            d[i] *= mul;
    }
}

static pln_value *scaled_weights(pln_patch *p, pln_value *w, const channels *c,
                                 const affine *a)
{
    pln_tensor *t = NULL;
    if (!is_scaled(a))
        return w;
    if (pln_tensor_materialize(w->cst, NULL) != PLN_OK ||
        pln_tensor_dup(w->cst, &t, NULL) != PLN_OK)
        return NULL;
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i += c->inner)
        scale_run(t, i, c->inner, a->mul[channel_of(c, i)]);
    return pln_patch_const(p, t, w->name);
}

/* A Gemm's addend may be [n], [1, n], [1] or a scalar here; a matrix is refused. */
static bool read_bias(const pln_value *b, int64_t n, double *out)
{
    if (!b)
        return true;
    pln_tensor *t = b->cst;
    const int64_t count = pln_tensor_size(t);
    const bool row = count == 1 || (count == n && t->dims[t->rank - 1] == n);
    if (!row || pln_tensor_materialize(t, NULL) != PLN_OK)
        return false;
    for (int64_t i = 0; i < n; i++)
        out[i] = pln_tensor_get_f64(t, count == 1 ? 0 : i);
    return true;
}

static pln_value *new_bias(pln_match *m, pln_patch *p, pln_value *b, pln_value *w,
                           const affine *a)
{
    pln_tensor *t = NULL;
    double *old = PLN_NEW_ARRAY(m->ctx->scratch, double, a->n);
    if (!old || !read_bias(b, a->n, old) ||
        pln_tensor_make(p->graph->model->alloc, (pln_dtype)w->cst->dtype, 1, &a->n, &t,
                        NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < a->n; i++)
        pln_tensor_set_f64(t, i, old[i] * a->mul[i] + a->add[i]);
    return pln_patch_const(p, t, b ? b->name : "bias");
}

static pln_status build(pln_match *m, pln_patch *p)
{
    channels c = { .n = 0 };
    affine a = { .n = 0 };
    PLN_TRY(read_affine(m, &c, &a));
    pln_node *y = pln_match_node(m, "y");
    pln_value *b = pln_match_val(m, "b");
    pln_value *bias = new_bias(m, p, b, y->in[1], &a);
    if (!bias)
        return pln_match_refuse(m, "its bias is not one value for each channel");
    pln_value *in[3] = { y->in[0], scaled_weights(p, y->in[1], &c, &a), bias };
    pln_node *n = in[1] ? pln_patch_copy(p, y, in, 3) : NULL;
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

#define PRODUCT "y=Conv|ConvTranspose|Gemm!(x, w#, b?#)"

static const pln_rule rules[] = {
    { .name = "conv-bn",
      .match = "BatchNormalization(" PRODUCT ", ...)",
      .build = build,
      .contract = PLN_REASSOC },
    { .name = "conv-affine",
      .match = "Add|Mul~(" PRODUCT ", c#)",
      .build = build,
      .contract = PLN_REASSOC },
    { .name = "conv-affine",
      .match = "Sub|Div(" PRODUCT ", c#)",
      .build = build,
      .contract = PLN_REASSOC },
};

const pln_pass pln_pass_fold_conv_bn = {
    .name = "fold-conv-bn",
    .brief = "folds batch norms, scales and offsets into Conv, ConvTranspose and Gemm",
    PLN_RULES(rules),
};
