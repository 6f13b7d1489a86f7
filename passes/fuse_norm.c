/* fuse-norm: LayerNormalization, RMSNormalization and Softmax that were spelled out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

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

static pln_status axes_agree(pln_match *m, int64_t *axis)
{
    int64_t other;
    const int rank = pln_value_rank(pln_match_val(m, "x"));
    if (!are_last_axes(pln_match_val(m, "a"), rank, axis))
        return pln_match_refuse(m, "not over the last axes");
    if (!pln_match_val(m, "b"))
        return PLN_OK;
    if (!are_last_axes(pln_match_val(m, "b"), rank, &other) || other != *axis)
        return pln_match_refuse(m, "mean and variance over different axes");
    return PLN_OK;
}

/* Scale and bias must lie on the normalized axes alone: [c] for one axis. */
static pln_status lies_on_axes(pln_match *m, const char *name, int64_t axis)
{
    const pln_value *v = pln_match_val(m, name), *x = pln_match_val(m, "x");
    const int rx = pln_value_rank(x);
    if (!v)
        return PLN_OK;
    if (pln_value_rank(v) != -axis || rx < -axis)
        return pln_match_refuse(m, "'%s' is not as long as what is normalized", v->name);
    for (int i = 0; i < -axis; i++)
        if (!pln_dim_equal(v->type.shape.dims[i], x->type.shape.dims[rx + axis + i]) ||
            !pln_dim_is_known(v->type.shape.dims[i]))
            return pln_match_refuse(m, "'%s' is not as long as what is normalized",
                                    v->name);
    return PLN_OK;
}

static pln_status check_norm(pln_match *m)
{
    int64_t axis;
    double eps;
    PLN_TRY(axes_agree(m, &axis));
    PLN_TRY(lies_on_axes(m, "g", axis));
    PLN_TRY(lies_on_axes(m, "c", axis));
    if (!pln_value_is_splat(pln_match_val(m, "e"), &eps) || !(eps >= 0))
        return pln_match_refuse(m, "the epsilon is not one number");
    if (pln_match_val(m, "x")->type.dtype != PLN_DT_F32)
        return pln_match_refuse(m, "not float");
    if (!pln_value_same_type(pln_match_val(m, "x"), m->root->out[0]))
        return pln_match_refuse(m, "scale or bias make the result larger");
    return PLN_OK;
}

/* A root without bias is only the inner part where an Add of a constant follows. */
static pln_status check_norm_scale_only(pln_match *m)
{
    const pln_node *u = pln_value_only_user(m->root->out[0]);
    if (u && pln_node_is(u, "Add") &&
        (pln_value_is_const(u->in[0]) || pln_value_is_const(u->in[1])))
        return pln_match_refuse(m, "a bias follows");
    return check_norm(m);
}

/* What is centred already is the inner part of a layer norm. */
static pln_status check_rms(pln_match *m)
{
    const pln_node *d = pln_match_val(m, "x")->def;
    if (d && pln_node_is(d, "Sub") && d->in[1]->def &&
        pln_node_is(d->in[1]->def, "ReduceMean") && d->in[1]->def->in[0] == d->in[0])
        return pln_match_refuse(m, "its input is centred: a layer norm");
    return check_norm(m);
}

static pln_status build_norm(pln_match *m, pln_patch *p, const char *op)
{
    int64_t axis;
    double eps;
    PLN_TRY(axes_agree(m, &axis));
    pln_value_is_splat(pln_match_val(m, "e"), &eps);
    pln_value *in[3] = { pln_match_val(m, "x"), pln_match_val(m, "g"),
                         pln_match_val(m, "c") };
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

/* x - mean(x), however often it was written, and its mean square. */
#define CENTRED  "Sub(x, ReduceMean<keepdims=1>(x, a#))"
#define VAR_POW  "ReduceMean<keepdims=1>(Pow(" CENTRED ", 2), b#)"
#define VAR_MUL  "ReduceMean<keepdims=1>(Mul(d=" CENTRED ", d), b#)"
#define STD(var) "Sqrt(Add~(" var ", e#))"
#define MS_POW   "ReduceMean<keepdims=1>(Pow(x, 2), a#)"
#define MS_MUL   "ReduceMean<keepdims=1>(Mul(x, x), a#)"

#define LAYER_NORM(unit)                                                              \
    { .name = "layer-norm",                                                           \
      .match = "Add~(Mul~!(" unit ", g#), c#)",                                       \
      .check = check_norm,                                                            \
      .build = layer_norm,                                                            \
      .contract = PLN_REASSOC,                                                        \
      .opset = 17 },                                                                  \
    {                                                                                 \
        .name = "layer-norm", .match = "Mul~(" unit ", g#)",                          \
        .check = check_norm_scale_only, .build = layer_norm, .contract = PLN_REASSOC, \
        .opset = 17                                                                   \
    }

#define RMS_NORM(unit)                                                         \
    {                                                                          \
        .name = "rms-norm", .match = "Mul~(" unit ", g#)", .check = check_rms, \
        .build = rms_norm, .contract = PLN_REASSOC, .opset = 23                \
    }

static const pln_rule rules[] = {
    LAYER_NORM("Div!(" CENTRED ", " STD(VAR_POW) ")"),
    LAYER_NORM("Div!(" CENTRED ", " STD(VAR_MUL) ")"),
    LAYER_NORM("Mul~!(" CENTRED ", Reciprocal(" STD(VAR_POW) "))"),
    LAYER_NORM("Mul~!(" CENTRED ", Reciprocal(" STD(VAR_MUL) "))"),
    LAYER_NORM("Mul~!(" CENTRED ", Div(1, " STD(VAR_POW) "))"),
    RMS_NORM("Div!(x, " STD(MS_POW) ")"),
    RMS_NORM("Div!(x, " STD(MS_MUL) ")"),
    RMS_NORM("Mul~!(x, Reciprocal(" STD(MS_POW) "))"),
    RMS_NORM("Mul~!(x, Reciprocal(" STD(MS_MUL) "))"),
    RMS_NORM("Mul~!(x, Div(1, " STD(MS_POW) "))"),
    RMS_NORM("Mul~!(x, Div(1, " STD(MS_MUL) "))"),
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
