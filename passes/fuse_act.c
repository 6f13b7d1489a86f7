/* fuse-act: activations that exporters spell out become one operator again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

static pln_status one_node(pln_match *m, pln_patch *p, const char *op, pln_node **out)
{
    pln_value *x = pln_match_val(m, "x");
    *out = pln_patch_add(p, op, &x, 1, 1);
    if (!*out)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], (*out)->out[0]);
    return PLN_OK;
}

/* Spelled-out forms may mix types through constants of their own; single operators don't.
 */
static pln_status is_float(pln_match *m)
{
    const pln_value *x = pln_match_val(m, "x");
    if (!pln_dtype_is_float(x->type.dtype))
        return pln_match_refuse(m, "not a float");
    if (!pln_value_same_type(x, m->root->out[0]))
        return pln_match_refuse(m, "a constant makes the result larger");
    if (m->ctx->options->target == PLN_TARGET_ORT && x->type.dtype != PLN_DT_F32 &&
        !pln_pass_allows_opset(m->ctx, m->ctx->rule->opset))
        return pln_match_refuse(m, "com.microsoft has it for float only");
    return PLN_OK;
}

static pln_status gelu(pln_match *m, pln_patch *p)
{
    pln_node *n;
    return one_node(m, p, "Gelu", &n);
}

static pln_status gelu_tanh(pln_match *m, pln_patch *p)
{
    pln_node *n;
    PLN_TRY(one_node(m, p, "Gelu", &n));
    return pln_node_set_string(n, "approximate", "tanh", 4);
}

static pln_status hard_swish(pln_match *m, pln_patch *p)
{
    pln_node *n;
    return one_node(m, p, "HardSwish", &n);
}

static pln_status mish(pln_match *m, pln_patch *p)
{
    pln_node *n;
    return one_node(m, p, "Mish", &n);
}

static pln_status softplus(pln_match *m, pln_patch *p)
{
    pln_node *n;
    return one_node(m, p, "Softplus", &n);
}

static pln_status sigmoid(pln_match *m, pln_patch *p)
{
    pln_node *n;
    return one_node(m, p, "Sigmoid", &n);
}

/* max(0, min(1, x / 6 + 1/2)) */
static pln_status hard_sigmoid(pln_match *m, pln_patch *p)
{
    pln_node *n;
    PLN_TRY(one_node(m, p, "HardSigmoid", &n));
    PLN_TRY(pln_node_set_float(n, "alpha", 1.0f / 6.0f));
    return pln_node_set_float(n, "beta", 0.5f);
}

/* max(0, min(1, a x + b)), where a may divide */
static pln_status hard_sigmoid_of(pln_match *m, pln_patch *p)
{
    double alpha, beta;
    pln_node *n;
    if (!pln_value_is_splat(pln_match_val(m, "a"), &alpha) ||
        !pln_value_is_splat(pln_match_val(m, "b"), &beta) || alpha == 0)
        return pln_match_refuse(m, "slope or offset varies");
    if (pln_node_is(pln_match_node(m, "s"), "Div"))
        alpha = 1 / alpha;
    PLN_TRY(one_node(m, p, "HardSigmoid", &n));
    PLN_TRY(pln_node_set_float(n, "alpha", (float)alpha));
    return pln_node_set_float(n, "beta", (float)beta);
}

static pln_status relu(pln_match *m, pln_patch *p)
{
    pln_node *n;
    return one_node(m, p, "Relu", &n);
}

static pln_status softsign(pln_match *m, pln_patch *p)
{
    pln_node *n;
    return one_node(m, p, "Softsign", &n);
}

static pln_status swish_of_one(pln_match *m, pln_patch *p)
{
    pln_node *n;
    return one_node(m, p, "Swish", &n);
}

static pln_status swish(pln_match *m, pln_patch *p)
{
    pln_node *n;
    double alpha = 1;
    const pln_value *a = pln_match_val(m, "a");
    if (a && !pln_value_is_splat(a, &alpha))
        return pln_match_refuse(m, "the factor varies");
    PLN_TRY(one_node(m, p, "Swish", &n));
    return pln_node_set_float(n, "alpha", (float)alpha);
}

/* Max(x, a x) with 0 <= a <= 1; a negative slope beyond would turn it around. */
static pln_status leaky_relu(pln_match *m, pln_patch *p)
{
    double alpha;
    pln_node *n;
    if (!pln_value_is_splat(pln_match_val(m, "a"), &alpha) || !(alpha >= 0 && alpha <= 1))
        return pln_match_refuse(m, "the slope is not in [0, 1]");
    PLN_TRY(one_node(m, p, "LeakyRelu", &n));
    return pln_node_set_float(n, "alpha", (float)alpha);
}

/* Relu(x) - a Relu(-x): a slope of a below zero. */
static pln_status prelu(pln_match *m, pln_patch *p)
{
    double alpha;
    pln_node *n;
    if (!pln_value_is_splat(pln_match_val(m, "a"), &alpha))
        return pln_match_refuse(m, "the slope varies");
    PLN_TRY(one_node(m, p, "LeakyRelu", &n));
    return pln_node_set_float(n, "alpha",
                              (float)(pln_node_is(m->root, "Sub") ? alpha : -alpha));
}

/* Min(Max(x, lo), hi) is a Clip only while lo <= hi: a Clip with lo > hi gives hi for
 * everything, and so does this order; Max(Min(x, hi), lo) would give lo. */
static pln_status clip(pln_match *m, pln_patch *p)
{
    double lo = 0, hi;
    pln_value *in[3] = { pln_match_val(m, "x"), NULL, NULL };
    pln_value *l = pln_match_val(m, "lo"), *h = pln_match_val(m, "hi");
    if ((l && !pln_value_is_splat(l, &lo)) || !pln_value_is_splat(h, &hi) || !(lo <= hi))
        return pln_match_refuse(m, "the bounds are not two ordered numbers");
    in[1] =
        l && pln_value_rank(l) == 0 ? l : pln_patch_scalar(p, h->type.dtype, lo, "min");
    in[2] = pln_value_rank(h) == 0 ? h : pln_patch_scalar(p, h->type.dtype, hi, "max");
    pln_node *n = pln_patch_add(p, "Clip", in, 3, 1);
    if (!n)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

#define ACT(id, pattern, make, since)                                   \
    {                                                                   \
        .name = id, .match = pattern, .check = is_float, .build = make, \
        .contract = PLN_REASSOC, .opset = since, .stated = true         \
    }

/* The ways to multiply x, (1 + e) and 1/2. The sum may have other readers. */
#define GELU(id, e, make)                                            \
    ACT(id, "Mul~(Mul~!(x, Add~(" e ", 1)), 0.5)", make, 20),       \
        ACT(id, "Div(Mul~!(x, Add~(" e ", 1)), 2)", make, 20),      \
        ACT(id, "Mul~(x, Mul~!(Add~(" e ", 1), 0.5))", make, 20),   \
        ACT(id, "Mul~(x, Div!(Add~(" e ", 1), 2))", make, 20),      \
        ACT(id, "Mul~(x, Add~!(Mul~!(" e ", 0.5), 0.5))", make, 20), \
        ACT(id, "Mul~(Mul~!(x, 0.5), Add~(" e ", 1))", make, 20),   \
        ACT(id, "Mul~(Div!(x, 2), Add~(" e ", 1))", make, 20)

#define ERF_DIV    "Erf!(Div!(x, 1.4142135623730951))"
#define ERF_MUL    "Erf!(Mul~!(x, 0.7071067811865476))"
#define TANH(cube) "Tanh!(Mul~!(Add~!(x, Mul~!(" cube ", 0.044715)), 0.7978845608028654))"
#define TANH_FACTORED(square) \
    "Tanh!(Mul~!(Mul~!(x, 0.7978845608028654), Add~!(" square ", 1)))"

#define RELU6            "Clip!(Add~!(x, 3), 0, 6)"
#define UNIT_CLIP(slope) "Clip(Add~!(s=" slope ", b#), 0, 1)"

static const pln_rule rules[] = {
    GELU("gelu", ERF_DIV, gelu),
    GELU("gelu", ERF_MUL, gelu),
    GELU("gelu-tanh", TANH("Pow!(x, 3)"), gelu_tanh),
    GELU("gelu-tanh", TANH("Mul~!(x, Mul!(x, x))"), gelu_tanh),
    GELU("gelu-tanh", TANH_FACTORED("Mul~!(Mul~!(x, 0.044715), x)"), gelu_tanh),
    GELU("gelu-tanh", TANH_FACTORED("Mul~!(Mul!(x, x), 0.044715)"), gelu_tanh),
    GELU("gelu-tanh", TANH_FACTORED("Mul~!(Pow!(x, 2), 0.044715)"), gelu_tanh),
    ACT("hard-swish", "Mul~(x, HardSigmoid!<alpha=0.16666667, beta=0.5>(x))", hard_swish,
        14),
    ACT("hard-swish", "Div(Mul~!(x, " RELU6 "), 6)", hard_swish, 14),
    ACT("hard-swish", "Mul~(Mul~!(x, " RELU6 "), 0.16666666666666666)", hard_swish, 14),
    ACT("hard-swish", "Mul~(x, Div!(" RELU6 ", 6))", hard_swish, 14),
    ACT("hard-swish", "Mul~(x, Mul~!(" RELU6 ", 0.16666666666666666))", hard_swish, 14),
    ACT("hard-swish", "Mul~(Div!(x, 6), " RELU6 ")", hard_swish, 14),
    ACT("hard-swish", "Mul~(Mul~!(x, 0.16666666666666666), " RELU6 ")", hard_swish, 14),
    ACT("hard-sigmoid", "Div(" RELU6 ", 6)", hard_sigmoid, 6),
    ACT("hard-sigmoid", "Mul~(" RELU6 ", 0.16666666666666666)", hard_sigmoid, 6),
    ACT("hard-sigmoid", UNIT_CLIP("Mul~!(x, a#)"), hard_sigmoid_of, 6),
    ACT("hard-sigmoid", UNIT_CLIP("Div!(x, a#)"), hard_sigmoid_of, 6),
    ACT("swish", "Mul~(x, Sigmoid!(x))", swish, 24),
    ACT("swish", "Mul~(x, Sigmoid!(Mul~!(x, a#)))", swish, 24),
    ACT("swish", "Div(x, Add~!(Exp!(Neg!(x)), 1))", swish_of_one, 24),
    ACT("mish", "Mul~(x, Tanh!(Softplus!(x)))", mish, 18),
    ACT("softplus", "Log(Add~!(Exp!(x), 1))", softplus, 1),
    ACT("sigmoid", "Div(1, Add~!(Exp!(Neg!(x)), 1))", sigmoid, 6),
    ACT("sigmoid", "Reciprocal(Add~!(Exp!(Neg!(x)), 1))", sigmoid, 6),
    ACT("sigmoid", "Div(e=Exp(x), Add~!(e, 1))", sigmoid, 6),
    ACT("softsign", "Div(x, Add~!(Abs!(x), 1))", softsign, 1),
    ACT("leaky-relu", "Max~(x, Mul~!(x, a#))", leaky_relu, 6),
    ACT("leaky-relu", "Sub(Relu(x), Mul~!(Relu!(Neg!(x)), a#))", prelu, 6),
    ACT("leaky-relu", "Add~(Relu(x), Mul~!(Relu!(Neg!(x)), a#))", prelu, 6),
    ACT("relu", "Max~(x, 0)", relu, 6),
    ACT("relu", "Clip(x, 0)", relu, 6),
    { .name = "clip",
      .match = "Min~(Max~!(x, lo#), hi#)",
      .check = is_float,
      .build = clip,
      .contract = PLN_REASSOC /* zeros of the other sign */,
      .opset = 11 },
    { .name = "clip",
      .match = "Min~(Relu!(x), hi#)",
      .check = is_float,
      .build = clip,
      .contract = PLN_EXACT,
      .opset = 11 },
};

const pln_pass pln_pass_fuse_act = {
    .name = "fuse-act",
    .brief = "turns spelled-out activations (Gelu, HardSwish, Mish, ...) into one node",
    PLN_RULES(rules),
};
