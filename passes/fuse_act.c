/* fuse-act: smooth activations that exporters spell out become one operator again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/known.h"

/* Spelled-out forms may mix types through constants of their own. */
static pln_status is_float(pln_match *m)
{
    PLN_TRY(pln_match_keeps_float(m));
    const pln_value *x = pln_match_val(m, "x");
    if (m->ctx->options->target == PLN_TARGET_ORT && x->type.dtype != PLN_DT_F32 &&
        !pln_pass_allows_opset(m->ctx, m->ctx->rule->opset))
        return pln_match_refuse(m, "com.microsoft has it for float only");
    return PLN_OK;
}

static pln_status are_floats(pln_match *m)
{
    const pln_value *x = pln_match_val(m, "x");
    return pln_dtype_is_float(x->type.dtype) ? PLN_OK : pln_match_refuse(m, "not floats");
}

/* y is log(1 + e^(b x)) / b, as a quotient or as a product with c = 1 / b. */
static pln_status inverse_slopes(pln_match *m)
{
    double b, c;
    const pln_value *v = pln_match_val(m, "c");
    if (!pln_value_is_splat(pln_match_val(m, "b"), &b) || !(b > 0))
        return pln_match_refuse(m, "the slope is not one number above 0");
    if (v && (!pln_value_is_splat(v, &c) || !(c * b > 1 - 1e-6 && c * b < 1 + 1e-6)))
        return pln_match_refuse(m, "its factor does not undo the slope");
    return PLN_OK;
}

#define ACT(id, since, pattern, text)                                     \
    {                                                                     \
        .name = id, .match = pattern, .check = is_float, .replace = text, \
        .contract = PLN_REASSOC, .opset = since, .stated = true           \
    }
#define ACT_IF(id, since, pattern, condition, text)                                     \
    {                                                                                   \
        .name = id, .match = pattern, .check = is_float, .where = condition,            \
        .replace = text, .contract = PLN_REASSOC, .opset = since, .stated = true        \
    }

/* What is multiplied with it may be larger. */
#define TIMES_IF(id, since, pattern, condition, text)                                 \
    {                                                                                 \
        .name = id, .match = pattern, .check = are_floats, .where = condition,        \
        .replace = text, .contract = PLN_REASSOC, .opset = since                      \
    }
#define TIMES(id, since, pattern, text) TIMES_IF(id, since, pattern, NULL, text)

#define HALF(p)   "{Mul~!(" p ", 0.5) | Div!(" p ", 2)}"
#define SIXTH(p)  "{Div!(" p ", 6) | Mul~!(" p ", 0.16666666666666666)}"
#define TWICE(p)  "Mul~!(" p ", 2)"
#define MINUS1(p) "{Sub!(" p ", 1) | Add~!(" p ", -1)}"
#define OR(a, b)  "{" a " | " b "}"

/* x (1 + e) / 2. The sum may have other readers. */
#define GELU                                                                        \
    "{Mul~(" HALF("x") ", $sum)"                                                    \
    "| Mul~(x, " OR(HALF("$sum"), "Add~!(" HALF("$e") ", 0.5)") ")"                 \
    "| Mul~(Mul~!(x, $sum), 0.5) | Div(Mul~!(x, $sum), 2)"                          \
    "| Add~(Mul~!(h={Mul~(x, 0.5) | Div(x, 2)}, $e), h)}"

#define ROOT2(p, sign) \
    "{Div!(" p ", " sign "1.4142135623730951) | Mul~!(" p ", " sign "0.7071067811865476)}"
#define ERF                                                                  \
    "$e = Erf!(" ROOT2("x", "") ");"                                         \
    "$minus = Erf!({Neg!(" ROOT2("x", "") ") | " ROOT2("Neg!(x)", "") "| "   \
        ROOT2("x", "-") "});"                                                \
    "$sum = {Add~($e, 1) | Sub(1, $minus)};"

/* k (x + 0.044715 x^3), where k3 = 0.044715 k. */
#define CUBIC(k, k3)                                                             \
    "$x2 = {Mul!(x, x) | Pow!(x, 2)};"                                           \
    "$x3 = {Pow!(x, 3) | Mul~!(x, $x2)};"                                        \
    "$a2 = {Mul~!($x2, 0.044715) | Mul~!(Mul~!(x, 0.044715), x)};"               \
    "$a3 = {Mul~!($x3, 0.044715) | Mul~!(x, $a2)};"                              \
    "$u = {Mul~!(Add~!(x, $a3), " k ") | Mul~!(Mul~!(x, " k "), Add~!($a2, 1))"  \
    "| Mul~!(x, Mul~!(Add~!($a2, 1), " k ")) | Mul~!(Mul~!(x, Add~!($a2, 1)), " k ")" \
    "| Mul~!(x, Add~!(Mul~!($x2, " k3 "), " k "))"                               \
    "| Add~!(Mul~!(x, " k "), Mul~!($x3, " k3 "))};"
#define TANH "$e = Tanh!($u); $sum = Add~($e, 1);"

/* 1 + e^p, and the same where p is a product with -1 or another constant. */
#define ONE_EXP(p) "Add~!(Exp!(" p "), 1)"
#define MINUS(p)   "{Neg!(" p ") | Mul~!(" p ", -1)}"
#define ONE_OVER(p) "{Div(1, " p ") | Reciprocal(" p ")}"

/* e^x (e^x + 2), which is (e^x + 1)^2 - 1 */
#define MISH_N \
    "{Mul~(e=Exp(x), Add~!(e, 2)) | Add~({Mul(e=Exp(x), e) | Pow(e=Exp(x), 2)}, " TWICE("e") ")}"
#define MISH_T "{Mul(w=Add~(Exp!(x), 1), w) | Pow(Add~!(Exp!(x), 1), 2)}"

#define RELU6      "$relu6 = Clip!(Add~!(x, 3), 0, 6);"
#define HARD_SLOPE "alpha = 0.16666667, beta = 0.5"

static const pln_rule rules[] = {
    ACT("gelu", 20, ERF GELU, "Gelu(x)"),
    ACT("gelu-tanh", 20, CUBIC("0.7978845608028654", "0.035677408136300125") TANH GELU,
        "Gelu<approximate = \"tanh\">(x)"),
    /* (1 + tanh u) / 2 is sigmoid(2 u) */
    ACT("gelu-tanh", 20,
        CUBIC("1.5957691216057308", "0.07135481627260025") "Mul~(x, Sigmoid!($u))",
        "Gelu<approximate = \"tanh\">(x)"),
    ACT("hard-swish", 14,
        RELU6 "$unit = {HardSigmoid!<alpha=0.16666667, beta=0.5>(x) | " SIXTH("$relu6")
        "| Clip!(Add~!(" SIXTH("x") ", 0.5), 0, 1)};"
        "{Mul~(x, $unit) | " SIXTH("Mul~!(x, $relu6)") " | Mul~(" SIXTH("x") ", $relu6)}",
        "HardSwish(x)"),
    TIMES("hard-sigmoid", 6, RELU6 "{" SIXTH("Mul~!(z, $relu6)") "| Mul~(" SIXTH("z") ", $relu6)}",
        "Mul(z, HardSigmoid<" HARD_SLOPE ">(x))"),
    ACT_IF("hard-sigmoid", 6, "Div(Clip!(Add~!(x, b#), 0, h#), k#)", "value(h) == value(k)",
           "HardSigmoid<alpha = 1 / value(k), beta = value(b) / value(k)>(x)"),
    ACT("hard-sigmoid", 6, "Mul~(Clip!(Add~!(x, 3), 0, 6), 0.16666666666666666)",
        "HardSigmoid<" HARD_SLOPE ">(x)"),
    ACT("hard-sigmoid", 6, "Clip(Add~!(Mul~!(x, a#), b#), 0, 1)",
        "HardSigmoid<alpha = value(a), beta = value(b)>(x)"),
    ACT("hard-sigmoid", 6, "Clip(Add~!(Div!(x, a#), b#), 0, 1)",
        "HardSigmoid<alpha = 1 / value(a), beta = value(b)>(x)"),
    ACT("hard-sigmoid", 6, "Clip(Mul~!(Add~!(x, b#), a#), 0, 1)",
        "HardSigmoid<alpha = value(a), beta = value(a) * value(b)>(x)"),
    ACT("hard-sigmoid", 6, "Clip(Div!(Add~!(x, b#), a#), 0, 1)",
        "HardSigmoid<alpha = 1 / value(a), beta = value(b) / value(a)>(x)"),
    ACT("swish", 24, "Mul~(x, Sigmoid!(x))", "Swish<alpha = 1.0>(x)"),
    ACT("swish", 24, "Mul~(x, Sigmoid!(Mul~!(x, a#)))", "Swish<alpha = value(a)>(x)"),
    ACT("swish", 24, "Mul~(x, Sigmoid!(Div!(x, a#)))", "Swish<alpha = 1 / value(a)>(x)"),
    ACT("mish", 18,
        "{Mul~(x, Tanh!(Softplus!(x)))"
        "| Mul~(x, Div!(n=" MISH_N ", Add~!(n, 2))) | Div(Mul~!(x, n=" MISH_N "), Add~!(n, 2))"
        "| Mul~(x, Div!({Sub!(t=" MISH_T ", 1) | Add~!(t=" MISH_T ", -1)}, Add~!(t, 1)))}",
        "Mish(x)"),
    /* the second is the form that does not overflow */
    ACT("softplus", 1,
        "$n = " MINUS("Abs!(x)") "; {Log(" ONE_EXP("x") ")"
        "| Add~(Relu(x), " OR("Softplus!($n)", "Log!(" ONE_EXP("$n") ")") ")"
        "| Sub(Relu(x), Log!(Sigmoid!(Abs!(x))))}",
        "Softplus(x)"),
    /* what PyTorch writes for its threshold: from 17 on, both are the same float */
    { .name = "softplus",
      .match = "Where(Greater(x, t#), x, y=Softplus(x))",
      .where = "value(t) >= 17 and type(x) != \"double\"",
      .replace = "y",
      .contract = PLN_REASSOC },
    { .name = "softplus",
      .match = "Where(Greater(u=Mul~(x, b#), t#), x, y={Div(Softplus(u), b) | "
               "Mul~(Softplus(u), c#)})",
      .check = inverse_slopes,
      .where = "value(t) >= 17 and type(x) != \"double\"",
      .replace = "y",
      .contract = PLN_REASSOC },
    ACT("sigmoid", 6,
        "{" ONE_OVER(ONE_EXP(MINUS("x"))) "| Div(e=Exp(x), Add~!(e, 1))"
        "| Add~(" HALF("Tanh!(" HALF("x") ")") ", 0.5)"
        "| " HALF("Add~!(Tanh!(" HALF("x") "), 1)") "}",
        "Sigmoid(x)"),
    ACT_IF("sigmoid", 6, ONE_OVER(ONE_EXP("Mul~!(x, a#)")), "size(a) == 1",
           "Sigmoid(Mul(x, Neg(a)))"),
    ACT("sigmoid", 6, ONE_OVER(ONE_EXP("x")), "Sigmoid(Neg(x))"),
    TIMES("sigmoid", 6, "Div(z, " ONE_EXP(MINUS("x")) ")", "Mul(z, Sigmoid(x))"),
    TIMES_IF("sigmoid", 6, "Div(z, " ONE_EXP("Mul~!(x, a#)") ")", "size(a) == 1",
           "Mul(z, Sigmoid(Mul(x, Neg(a))))"),
    ACT("tanh", 6,
        "{" MINUS1(TWICE("Sigmoid!(" TWICE("x") ")")) "| Div(Sinh!(x), Cosh!(x))"
        "| Div(Sub!(a=Exp(x), b={Exp(Neg!(x)) | Reciprocal(a) | Div(1, a)}), Add~!(a, b))"
        "| Div({Sub!(e=Exp(" TWICE("x") "), 1) | Add~!(e=Exp(" TWICE("x") "), -1)}, Add~!(e, 1))"
        "| Div(Sub!(1, e=Exp({Mul~!(x, -2) | " MINUS(TWICE("x")) "})), Add~!(e, 1))"
        "| Sub(1, Div!(2, " ONE_EXP(TWICE("x")) "))"
        "| Sub(1, " TWICE("Sigmoid!({Mul~!(x, -2) | " MINUS(TWICE("x")) "})") ")}",
        "Tanh(x)"),
    ACT("softsign", 1, "Div(x, Add~!(Abs!(x), 1))", "Softsign(x)"),
};

const pln_pass pln_pass_fuse_act = {
    .name = "fuse-act",
    .brief = "turns spelled-out activations (Gelu, HardSwish, Mish, ...) into one node",
    PLN_RULES(rules),
};
