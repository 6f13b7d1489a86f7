/* fuse-rectifier: Relu and its kin, spelled out by comparisons, bounds and absolute
 * values, become one operator again.
 *
 *     Where(x > 0, x, 0.1 x)           => LeakyRelu(x)
 *     Relu(x) + min(e^x - 1, 0)        => Elu(x)
 *     Relu(x) + s (x - |x|)            => PRelu(x, 2 s)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

/* What exp gives beyond x = 0 must not come through. */
static pln_status is_float_above(pln_match *m)
{
    double a = 1;
    const pln_value *v = pln_match_val(m, "a");
    if (pln_match_val(m, "lo"))
        return pln_match_refuse(m, "it is bounded below, too");
    if (v && (!pln_value_is_splat(v, &a) || !(a > 0)))
        return pln_match_refuse(m, "the factor is not above 0");
    return pln_match_keeps_float(m);
}

/* A number that the pattern binds as `times`, or that `over` divides by; else 1. */
static pln_status factor(pln_match *m, const char *times, const char *over, double *out)
{
    const pln_value *t = pln_match_val(m, times), *o = pln_match_val(m, over);
    double v = 1;
    *out = 1;
    if ((t && !pln_value_is_splat(t, out)) || (o && !pln_value_is_splat(o, &v)) || v == 0)
        return pln_match_refuse(m, "a factor varies");
    *out /= v;
    return PLN_OK;
}

static pln_status with_alpha(pln_match *m, pln_patch *p, const char *op, double alpha)
{
    pln_value *x = pln_match_val(m, "x");
    pln_node *n = pln_patch_add(p, op, &x, 1, 1);
    if (!n || pln_node_set_float(n, "alpha", (float)alpha) != PLN_OK)
        return PLN_E_NOMEM;
    pln_patch_replace(p, m->root->out[0], n->out[0]);
    return PLN_OK;
}

static pln_status leaky_relu(pln_match *m, pln_patch *p)
{
    double alpha;
    PLN_TRY(factor(m, "a", "d", &alpha));
    return with_alpha(m, p, "LeakyRelu", alpha);
}

/* Max(x, a x) with 0 <= a <= 1, Min(x, a x) with a >= 1. */
static pln_status leaky_bound(pln_match *m, pln_patch *p)
{
    double alpha;
    PLN_TRY(factor(m, "a", "d", &alpha));
    const bool max = pln_node_is(m->root, "Max");
    if (!(max ? alpha >= 0 && alpha <= 1 : alpha >= 1))
        return pln_match_refuse(m, "with this slope the other one is taken");
    return with_alpha(m, p, "LeakyRelu", alpha);
}

static pln_status twice_leaky(pln_match *m, pln_patch *p)
{
    double alpha;
    PLN_TRY(factor(m, "a", "d", &alpha));
    return with_alpha(m, p, "LeakyRelu", 2 * alpha);
}

static pln_status minus_leaky(pln_match *m, pln_patch *p)
{
    double alpha;
    PLN_TRY(factor(m, "a", "d", &alpha));
    return with_alpha(m, p, "LeakyRelu", -alpha);
}

/* a x + b |x|: the slope above zero is a + b, which must be 1. */
static pln_status leaky_abs(pln_match *m, pln_patch *p)
{
    double a, b;
    PLN_TRY(factor(m, "a", "d", &a));
    PLN_TRY(factor(m, "b", "c", &b));
    if (a + b < 1 - 1e-6 || a + b > 1 + 1e-6)
        return pln_match_refuse(m, "the slope above zero is not 1");
    return with_alpha(m, p, "LeakyRelu", a - b);
}

static pln_status elu(pln_match *m, pln_patch *p)
{
    double alpha;
    PLN_TRY(factor(m, "a", "d", &alpha));
    return with_alpha(m, p, "Elu", alpha);
}

/* a (e^(x / a) - 1) below zero. */
static pln_status celu(pln_match *m, pln_patch *p)
{
    double alpha, inner;
    PLN_TRY(factor(m, "a", "d", &alpha));
    PLN_TRY(factor(m, "b", "c", &inner));
    if (!(alpha > 0) || alpha * inner < 1 - 1e-6 || alpha * inner > 1 + 1e-6)
        return pln_match_refuse(m, "the slope at zero is not 1");
    if (pln_match_val(m, "x")->type.dtype != PLN_DT_F32 &&
        !pln_pass_allows_opset(m->ctx, 28))
        return pln_match_refuse(m, "only for float before version 28");
    return with_alpha(m, p, "Celu", alpha);
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

#define ACT(id, since, pattern, make)                                                \
    {                                                                                \
        .name = id, .match = pattern, .check = pln_match_keeps_float, .build = make, \
        .contract = PLN_REASSOC, .opset = since                                      \
    }
#define ABOVE(id, since, pattern, make)                                       \
    {                                                                         \
        .name = id, .match = pattern, .check = is_float_above, .build = make, \
        .contract = PLN_REASSOC, .opset = since                               \
    }
#define TEXT(id, since, pattern, condition, text)                     \
    {                                                                 \
        .name = id, .match = pattern, .check = pln_match_keeps_float, \
        .where = condition,                                           \
        .replace = text, .contract = PLN_REASSOC, .opset = since      \
    }

/* Where x is above or below zero; at zero both sides are the same. */
#define SIGNS                                                                      \
    "$above = {Greater|GreaterOrEqual(x, 0) | Less|LessOrEqual(0, x)};"            \
    "$below = {Less|LessOrEqual(x, 0) | Greater|GreaterOrEqual(0, x)};"            \
    "$pos = {$above | Not($below)}; $neg = {$below | Not($above)};"
#define CHOOSE(p) SIGNS "{Where($pos, x, " p ") | Where($neg, " p ", x)}"

#define SCALED(p)   "{Mul~!(" p ", a#) | Div!(" p ", d#)}"
#define SCALED_B(p) "{Mul~!(" p ", b#) | Div!(" p ", c#)}"
#define MINUS1(p)   "{Sub!(" p ", 1) | Add~!(" p ", -1)}"
#define EM1  "$em1 = " MINUS1("Exp!(x)") "; $scaled = {" SCALED("$em1") " | $em1};"
#define CEM1 "$in = " SCALED_B("x") "; $scaled = " SCALED(MINUS1("Exp!($in)")) ";"
/* min(x, 0), and what is as good as it behind a Relu */
#define BELOW(p) "{Min~!(" p ", 0) | Clip!(" p ", lo?, 0)}"

static const pln_rule rules[] = {
    /* those that give NaN where x is NaN */
    TEXT("shrink", 9, "Where({LessOrEqual(Abs(x), l#) | GreaterOrEqual(l#, Abs(x))}, 0, x)",
         "value(l) >= 0", "Shrink<lambd = value(l), bias = 0.0>(x)"),
    TEXT("shrink", 9,
         "Where({Greater(Abs(x), l#) | Less(l#, Abs(x))},"
         "Sub(x, Mul~(Sign(x), l)), Mul~(x, 0))",
         "value(l) >= 0", "Shrink<lambd = value(l), bias = value(l)>(x)"),
    TEXT("relu", 6, "Max~(x, 0)", NULL, "Relu(x)"),
    TEXT("relu", 6, "Clip(x, 0)", NULL, "Relu(x)"),
    TEXT("relu", 6, SIGNS "{Where($neg, 0, x) | Mul~(x, Cast!($above))}", NULL, "Relu(x)"),
    ACT("leaky-relu", 6, "Max|Min~(x, " SCALED("x") ")", leaky_bound),
    ACT("leaky-relu", 6, CHOOSE(SCALED("x")), leaky_relu),
    ABOVE("leaky-relu", 6, "Add~(Relu(x), " SCALED(BELOW("x")) ")", leaky_relu),
    ACT("leaky-relu", 6, "Sub(Relu(x), " SCALED("Relu!(Neg!(x))") ")", leaky_relu),
    ACT("leaky-relu", 6, "Add~(Relu(x), " SCALED("Relu!(Neg!(x))") ")", minus_leaky),
    ACT("leaky-relu", 6, "Add~(Relu(x), " SCALED("Sub!(x, Abs!(x))") ")", twice_leaky),
    ACT("leaky-relu", 6, "Add~(" SCALED("x") ", " SCALED_B("Abs!(x)") ")", leaky_abs),
    TEXT("prelu", 7, CHOOSE("Mul~!(x, s)"), "fits(s, x)", "PRelu(x, s)"),
    TEXT("prelu", 7, "Add~(Relu(x), Mul~!(" BELOW("x") ", s))", "not has(lo) and fits(s, x)",
         "PRelu(x, s)"),
    TEXT("prelu", 7, "Sub(Relu(x), Mul~!(Relu!(Neg!(x)), s))", "fits(s, x)", "PRelu(x, s)"),
    TEXT("prelu", 7, "Add~(Relu(x), Mul~!(Relu!(Neg!(x)), s#))", "fits(s, x)",
         "PRelu(x, Neg(s))"),
    TEXT("prelu", 7, "Add~(Relu(x), Mul~!(Sub!(x, Abs!(x)), s#))", "fits(s, x)",
         "PRelu(x, Mul(s, 2.0))"),
    ACT("elu", 6, EM1 CHOOSE("$scaled"), elu),
    ABOVE("elu", 6, EM1 "Add~(Relu(x), {" BELOW("$scaled") " | " SCALED(BELOW("$em1")) "})", elu),
    ABOVE("elu", 6,
          "$em1 = " MINUS1("Exp!(" BELOW("x") ")") "; Add~(Relu(x), {" SCALED("$em1") " | $em1})",
          elu),
    ACT("elu", 6,
        "$rest = Relu!(Sub!(1, Exp!(x))); Sub(Relu(x), {" SCALED("$rest") " | $rest})", elu),
    ACT("celu", 12, CEM1 CHOOSE("$scaled"), celu),
    ABOVE("celu", 12,
          CEM1 "Add~(Relu(x), {" BELOW("$scaled")
          " | " SCALED(MINUS1("Exp!(" BELOW("$in") ")")) "})",
          celu),
    ACT("celu", 12, SCALED("Elu!<alpha=1.0>(" SCALED_B("x") ")"), celu),
    TEXT("selu", 6, "Mul~(e=Elu!(x), g#)", NULL,
         "Selu<alpha = e.alpha, gamma = value(g)>(x)"),
    TEXT("selu", 6,
         SIGNS "$em1 = " MINUS1("Exp!(x)") ";"
         "{Where($pos, Mul~!(x, g#), Mul~!($em1, a#))"
         "| Where($neg, Mul~!($em1, a#), Mul~!(x, g#))}",
         "value(g) != 0", "Selu<alpha = value(a) / value(g), gamma = value(g)>(x)"),
    TEXT("thresholded-relu", 10,
         "{Mul~(x, Cast!({Greater!(x, a#) | Less!(a#, x)}))"
         "| Where({LessOrEqual!(x, a#) | GreaterOrEqual!(a#, x) | Not!(Greater!(x, a#))}, 0, x)}",
         NULL, "ThresholdedRelu<alpha = value(a)>(x)"),
    { .name = "clip",
      .match = "Min~(Max~!(x, lo#), hi#)",
      .check = pln_match_keeps_float,
      .build = clip,
      .contract = PLN_REASSOC /* zeros of the other sign */,
      .opset = 11 },
    { .name = "clip",
      .match = "Min~(Relu!(x), hi#)",
      .check = pln_match_keeps_float,
      .build = clip,
      .contract = PLN_EXACT,
      .opset = 11 },
};

const pln_pass pln_pass_fuse_rectifier = {
    .name = "fuse-rectifier",
    .brief = "turns spelled-out rectifiers (LeakyRelu, PRelu, Elu, Celu, ...) into one "
             "node",
    PLN_RULES(rules),
};
