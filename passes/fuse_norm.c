/* fuse-norm: LayerNormalization, RMSNormalization and Softmax that were spelled out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/to_ms.h"

/* The reduced axes are the last ones, counted from `*axis`. */
static bool are_last_axes(const pln_value *axes, int rank, int64_t *axis)
{
    int64_t v[PLN_MAX_RANK];
    size_t n;
    if (!axes || !pln_value_get_ints(axes, v, PLN_MAX_RANK, &n) || n == 0)
        return false;
    uint32_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        if (rank < 0 && (v[i] >= 0 || n > 1))
            return false; /* only [-1] needs no rank */
        const int64_t back = v[i] < 0 ? -v[i] : rank - v[i];
        if (back < 1 || back > 24)
            return false;
        seen |= 1u << (back - 1);
    }
    *axis = -(int64_t)n;
    return seen == (1u << n) - 1;
}

/* Lies on the normalized axes alone: [c] for one axis. */
static bool lies_on(const pln_value *x, const pln_value *v, int64_t axis)
{
    const int rx = pln_value_rank(x);
    if (pln_value_rank(v) != -axis || rx < -axis)
        return false;
    for (int i = 0; i < -axis; i++)
        if (!pln_dim_equal(v->type.shape.dims[i], x->type.shape.dims[rx + axis + i]) ||
            !pln_dim_is_known(v->type.shape.dims[i]))
            return false;
    return true;
}

static pln_status lies_on_axes(pln_match *m, const pln_value *x, const char *name,
                               int64_t axis)
{
    const pln_value *v = pln_match_val(m, name);
    if (v && !lies_on(x, v, axis))
        return pln_match_refuse(m, "'%s' is not as long as what is normalized", v->name);
    return PLN_OK;
}

/* `n` is what is normalized: centred around its own mean over the same axes, or x itself.
 */
static pln_status find_x(pln_match *m, pln_value **x, bool *centred)
{
    int64_t axis, other;
    pln_value *n = pln_match_val(m, "n");
    const pln_node *sub = n->def;
    const pln_node *mean = sub && pln_node_is(sub, "Sub") ? sub->in[1]->def : NULL;
    *x = n;
    *centred = mean && pln_node_is(mean, "ReduceMean") && mean->in[0] == sub->in[0];
    if (!*centred)
        return PLN_OK;
    *x = sub->in[0];
    if (pln_node_get_int(mean, "keepdims", 1) != 1 || mean->n_in < 2 ||
        !are_last_axes(mean->in[1], pln_value_rank(*x), &other) ||
        !are_last_axes(pln_match_val(m, "a"), pln_value_rank(*x), &axis) || axis != other)
        return pln_match_refuse(m, "mean and variance over different axes");
    return PLN_OK;
}

/* n is squared: as n n, or n to the power of 2. */
static bool is_square(const pln_match *m)
{
    double two;
    const pln_node *s = pln_match_node(m, "sq");
    const pln_value *n = pln_match_val(m, "n");
    if (pln_node_is(s, "Mul"))
        return s->in[1] == n;
    return pln_value_is_splat(s->in[1], &two) && two == 2;
}

static pln_status check_norm(pln_match *m, bool centred)
{
    int64_t axis;
    double eps;
    pln_value *x;
    bool is_centred;
    if (!is_square(m))
        return pln_match_refuse(m, "not a mean of squares");
    PLN_TRY(find_x(m, &x, &is_centred));
    if (is_centred != centred)
        return pln_match_refuse(m, centred ? "its input is not centred: an RMS norm"
                                           : "its input is centred: a layer norm");
    if (!are_last_axes(pln_match_val(m, "a"), pln_value_rank(x), &axis))
        return pln_match_refuse(m, "not over the last axes");
    PLN_TRY(lies_on_axes(m, x, "g", axis));
    PLN_TRY(lies_on_axes(m, x, "c", axis));
    if (!pln_value_is_splat(pln_match_val(m, "e"), &eps) || !(eps >= 0))
        return pln_match_refuse(m, "the epsilon is not one number");
    if (!pln_dtype_is_float(x->type.dtype) || x->type.dtype == PLN_DT_F64)
        return pln_match_refuse(m, "not float");
    if (!pln_value_same_type(x, m->root->out[0]))
        return pln_match_refuse(m, "scale or bias make the result larger");
    const bool has_op = pln_pass_allows_opset(m->ctx, centred ? 17 : 23);
    if (m->ctx->options->target == PLN_TARGET_ORT && !has_op &&
        (axis != -1 || !pln_ms_takes_sum(x)))
        return pln_match_refuse(m, "target ort has it with a sum only");
    return PLN_OK;
}

static pln_status check_layer(pln_match *m)
{
    return check_norm(m, true);
}

static bool has_shape_of_scale(pln_match *m, const pln_value *v)
{
    int64_t axis;
    pln_value *x;
    bool centred;
    return find_x(m, &x, &centred) == PLN_OK &&
           are_last_axes(pln_match_val(m, "a"), pln_value_rank(x), &axis) &&
           lies_on(x, v, axis);
}

/* Whether `op` follows with an operand that could be scale or bias: then this is the
 * inner part of the norm. */
static bool is_followed_by(pln_match *m, const char *op)
{
    const pln_value *out = m->root->out[0];
    const pln_node *u = pln_value_only_user(out);
    return u && pln_node_is(u, op) && u->graph == m->root->graph && u->n_in == 2 &&
           has_shape_of_scale(m, u->in[u->in[0] == out]);
}

/* A root without bias. */
static pln_status check_layer_scale(pln_match *m)
{
    if (is_followed_by(m, "Add"))
        return pln_match_refuse(m, "a bias follows");
    return check_norm(m, true);
}

/* TensorFlow's order: x k + (c - mean k) with k = g / deviation. */
static pln_status check_layer_tf(pln_match *m)
{
    pln_value *x;
    bool centred;
    PLN_TRY(check_norm(m, true));
    PLN_TRY(find_x(m, &x, &centred));
    if (x != pln_match_val(m, "z") || pln_match_val(m, "n")->def->in[1] != pln_match_val(m, "m"))
        return pln_match_refuse(m, "another input or mean than that of the variance");
    return PLN_OK;
}

static pln_status check_rms(pln_match *m)
{
    return check_norm(m, false);
}

#define MOST_ONES 4096

/* Neither scale nor bias: a scale of ones. */
static pln_status check_bare(pln_match *m, bool centred)
{
    pln_value *x;
    bool is_centred;
    if (is_followed_by(m, "Mul"))
        return pln_match_refuse(m, "a scale follows");
    PLN_TRY(check_norm(m, centred));
    PLN_TRY(find_x(m, &x, &is_centred));
    int64_t axis, count = 1;
    const int rank = pln_value_rank(x);
    are_last_axes(pln_match_val(m, "a"), rank, &axis);
    for (int64_t i = axis; i < 0; i++) {
        if (rank + i < 0 || !pln_dim_is_known(x->type.shape.dims[rank + i]))
            return pln_match_refuse(m, "the size of what is normalized is not known");
        count *= x->type.shape.dims[rank + i].value;
        if (count > MOST_ONES)
            return pln_match_refuse(m, "its scale of ones would be large");
    }
    return PLN_OK;
}

static pln_status check_layer_bare(pln_match *m)
{
    return check_bare(m, true);
}

static pln_status check_rms_bare(pln_match *m)
{
    return check_bare(m, false);
}

static pln_value *ones(pln_patch *p, const pln_value *x, int64_t axis)
{
    int64_t dims[PLN_MAX_RANK];
    pln_tensor *t = NULL;
    const int rank = pln_value_rank(x);
    for (int64_t i = axis; i < 0; i++)
        dims[i - axis] = x->type.shape.dims[rank + i].value;
    if (pln_tensor_make(p->graph->model->alloc, x->type.dtype, (int)-axis, dims, &t,
                        NULL) != PLN_OK)
        return NULL;
    for (int64_t i = 0; i < pln_tensor_size(t); i++)
        pln_tensor_set_f64(t, i, 1);
    return pln_patch_const(p, t, "ones");
}

static pln_status build_norm(pln_match *m, pln_patch *p, const char *op)
{
    int64_t axis;
    double eps;
    pln_value *x;
    bool centred;
    PLN_TRY(find_x(m, &x, &centred));
    are_last_axes(pln_match_val(m, "a"), pln_value_rank(x), &axis);
    pln_value_is_splat(pln_match_val(m, "e"), &eps);
    pln_value *in[3] = { x, pln_match_val(m, "g"), pln_match_val(m, "c") };
    if (!in[1] && !(in[1] = ones(p, x, axis)))
        return PLN_E_NOMEM;
    pln_node *n = pln_patch_add(p, op, in, 3, 1);
    if (!n || pln_node_set_int(n, "axis", axis) != PLN_OK ||
        pln_node_set_float(n, "epsilon", (float)eps) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status layer_norm(pln_match *m, pln_patch *p)
{
    return build_norm(m, p, "LayerNormalization");
}

static pln_status rms_norm(pln_match *m, pln_patch *p)
{
    return build_norm(m, p, "RMSNormalization");
}

/* ---- softmax -------------------------------------------------------------------- */

static pln_status check_softmax(pln_match *m)
{
    int64_t a[PLN_MAX_RANK], b[PLN_MAX_RANK];
    size_t na, nb;
    const int rank = pln_value_rank(pln_match_val(m, "x"));
    const pln_value *av = pln_match_val(m, "a"), *bv = pln_match_val(m, "b");
    if (!pln_value_get_ints(av, a, PLN_MAX_RANK, &na) ||
        !pln_value_get_ints(bv, b, PLN_MAX_RANK, &nb) || na != 1 || nb != 1)
        return pln_match_refuse(m, "not over one axis");
    if (a[0] != b[0] && (rank < 0 || (a[0] - b[0] != rank && b[0] - a[0] != rank)))
        return pln_match_refuse(m, "maximum and sum over different axes");
    return PLN_OK;
}

static pln_status softmax(pln_match *m, pln_patch *p)
{
    int64_t a[PLN_MAX_RANK];
    size_t na;
    pln_value *x = pln_match_val(m, "x");
    pln_value_get_ints(pln_match_val(m, "a"), a, PLN_MAX_RANK, &na);
    pln_node *n = pln_patch_add(p, "Softmax", &x, 1, 1);
    if (!n || pln_node_set_int(n, "axis", a[0]) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

/* The mean of the squares of n, its root, and n divided by that. */
#define MS   "Add~(ReduceMean<keepdims=1>(sq=Pow|Mul(n, _), a#), e#)"
#define ROOT "Sqrt(" MS ")"
#define POW  "Pow(" MS ", 0.5)"

#define NORM(id, pattern, check_it, make, since)                        \
    {                                                                   \
        .name = id, .match = pattern, .check = check_it, .build = make, \
        .contract = PLN_REASSOC, .opset = since, .stated = true         \
    }

#define NORMS(op)                                                                 \
    NORM("layer-norm", "Add~(Mul~!(" op ", g), c)", check_layer, layer_norm, 17), \
        NORM("layer-norm", "Mul~(" op ", g)", check_layer_scale, layer_norm, 17), \
        NORM("rms-norm", "Mul~(" op ", g)", check_rms, rms_norm, 23)
#define LAYER_TF(inverse)                                                        \
    NORM("layer-norm",                                                           \
         "Add~(Mul~!(z, k=Mul~(" inverse ", g)), Sub!(c, Mul~!(m, k)))", check_layer_tf, \
         layer_norm, 17)
#define BARE(op)                                              \
    NORM("layer-norm", op, check_layer_bare, layer_norm, 17), \
        NORM("rms-norm", op, check_rms_bare, rms_norm, 23)

static const pln_rule rules[] = {
    NORMS("Div!(n, " ROOT ")"),
    NORMS("Div!(n, " POW ")"),
    NORMS("Mul~!(n, Reciprocal(" ROOT "))"),
    NORMS("Mul~!(n, Reciprocal(" POW "))"),
    NORMS("Mul~!(n, Div(1, " ROOT "))"),
    NORMS("Mul~!(n, Pow(" MS ", -0.5))"),
    LAYER_TF("Reciprocal(" ROOT ")"),
    LAYER_TF("Div(1, " ROOT ")"),
    LAYER_TF("Pow(" MS ", -0.5)"),
    BARE("Div(n, " ROOT ")"),
    BARE("Div(n, " POW ")"),
    BARE("Mul~(n, Reciprocal(" ROOT "))"),
    BARE("Mul~(n, Div(1, " ROOT "))"),
    BARE("Mul~(n, Pow(" MS ", -0.5))"),
    { .name = "softmax",
      .match = "Div(e=Exp(Sub!(x, ReduceMax<keepdims=1>(x, a#))), "
               "ReduceSum<keepdims=1>(e, b#))",
      .check = check_softmax,
      .build = softmax,
      .contract = PLN_REASSOC,
      .opset = 13 },
};

const pln_pass pln_pass_fuse_norm = {
    .name = "fuse-norm",
    .brief = "turns spelled-out layer norms, RMS norms and softmaxes into one node",
    PLN_RULES(rules),
};
