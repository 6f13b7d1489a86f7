"""Activations in the spellings of exporters, and what looks like one and is none.

SPDX-License-Identifier: Apache-2.0
"""
from . import Case

PLANISH = ("-O3", "--target", "planish")
ORT = ("-O3", "--target", "ort")
CONSTANTS = {"half": 0.5, "one": 1.0, "two": 2.0, "three": 3.0, "six": 6.0, "zero": 0.0,
             "root2": 2 ** 0.5, "rroot2": 0.5 ** 0.5, "c1": 0.044715, "c2": 0.7978845608,
             "k": 1.702, "sixth": 1 / 6, "mone": -1.0, "mtwo": -2.0, "mroot2": -2 ** 0.5,
             "mrroot2": -0.5 ** 0.5, "c12": 1.5957691216, "c3": 0.0356774081,
             "c32": 0.0713548163, "tenth": 0.1, "mtenth": -0.1, "nine": 0.45, "ten": 0.55,
             "big": 1.5, "g": 1.0507, "ga": 1.0507 * 1.67326, "al": 1.67326, "mk": -1.702,
             "twenty": 20.0}


def body(nodes, shape="n, 4"):
    used = [c for c in CONSTANTS if any(c in line.replace("(", " ").replace(",", " ").replace(
        ")", " ").split() for line in nodes)]
    return "(float[%s] x) => (float[%s] y) <%s> {\n%s\n}" % (
        shape, shape, ", ".join("float " + c for c in used), "\n".join(nodes))


def spelled(name, nodes, most, opset, **more):
    values = {c: v for c, v in CONSTANTS.items()}
    return Case(name, body(nodes), most=most, values=values, opset=opset, **more)


ERF = {
    "div": ["a = Div(x, root2)", "e = Erf(a)", "c = Add(e, one)"],
    "mul": ["a = Mul(rroot2, x)", "e = Erf(a)", "c = Add(one, e)"],
}
SCALED = {
    "x_c_half": ["d = Mul(x, c)", "y = Mul(d, half)"],
    "x_half_c": ["d = Mul(x, half)", "y = Mul(c, d)"],
    "half_c_x": ["d = Mul(half, c)", "y = Mul(d, x)"],
    "div_two": ["d = Mul(c, x)", "y = Div(d, two)"],
    "x_over_two": ["d = Div(x, two)", "y = Mul(d, c)"],
}
TANH = {
    "pow": ["p = Pow(x, three)", "q = Mul(c1, p)", "r = Add(x, q)", "s = Mul(r, c2)"],
    "mul": ["p0 = Mul(x, x)", "p = Mul(x, p0)", "q = Mul(p, c1)", "r = Add(q, x)",
            "s = Mul(c2, r)"],
    "factored": ["p0 = Mul(x, x)", "p = Mul(p0, c1)", "q = Add(p, one)", "r = Mul(x, c2)",
                 "s = Mul(r, q)"],
}
RELU6 = ["a = Add(x, three)", "b = Clip(a, zero, six)"]

CASES = []
for e, first in ERF.items():
    for s, last in SCALED.items():
        CASES += [
            spelled("gelu_%s_%s" % (e, s), first + last, 1, 20),
            spelled("gelu_%s_%s_planish13" % (e, s), first + last, 1, 13, args=PLANISH),
            spelled("gelu_%s_%s_ort13" % (e, s), first + last, 1, 13, args=ORT),
        ]
for t, first in TANH.items():
    for s, last in SCALED.items():
        nodes = first + ["e = Tanh(s)", "c = Add(e, one)"] + last
        CASES += [
            spelled("gelu_tanh_%s_%s" % (t, s), nodes, 1, 20),
            spelled("gelu_tanh_%s_%s_ort13" % (t, s), nodes, 1, 13, args=ORT),
        ]
HARD_SWISH = {
    "div_last": RELU6 + ["c = Mul(x, b)", "y = Div(c, six)"],
    "div_inner": RELU6 + ["c = Div(b, six)", "y = Mul(c, x)"],
    "mul_last": RELU6 + ["c = Mul(b, x)", "y = Mul(c, sixth)"],
    "mul_x": RELU6 + ["c = Mul(x, sixth)", "y = Mul(c, b)"],
    "min_max": ["a = Add(three, x)", "b0 = Max(a, zero)", "b = Min(b0, six)",
                "c = Mul(x, b)", "y = Div(c, six)"],
    "relu_min": ["a = Add(three, x)", "b0 = Relu(a)", "b = Min(six, b0)", "c = Mul(x, b)",
                 "y = Div(c, six)"],
}
for name, nodes in HARD_SWISH.items():
    CASES += [spelled("hard_swish_" + name, nodes, 1, 20),
              spelled("hard_swish_%s_planish11" % name, nodes, 1, 12, args=PLANISH)]
CASES += [
    spelled("hard_sigmoid_div", RELU6 + ["y = Div(b, six)"], 1, 13),
    spelled("hard_sigmoid_mul", RELU6 + ["y = Mul(sixth, b)"], 1, 13),
    spelled("mish", ["a = Softplus(x)", "b = Tanh(a)", "y = Mul(b, x)"], 1, 18),
    spelled("mish_log", ["e = Exp(x)", "f = Add(e, one)", "a = Log(f)", "b = Tanh(a)",
                         "y = Mul(x, b)"], 1, 18),
    spelled("mish_old", ["a = Softplus(x)", "b = Tanh(a)", "y = Mul(b, x)"], 1, 13,
            args=PLANISH),
    spelled("silu", ["a = Sigmoid(x)", "y = Mul(a, x)"], 1, 13, args=PLANISH),
    spelled("silu_ort", ["a = Sigmoid(x)", "y = Mul(a, x)"], 1, 13, args=ORT),
    spelled("silu_exp", ["n = Neg(x)", "e = Exp(n)", "f = Add(one, e)", "y = Div(x, f)"], 1,
            13, args=ORT),
    spelled("quick_gelu", ["a = Mul(k, x)", "b = Sigmoid(a)", "y = Mul(b, x)"], 1, 13,
            args=PLANISH),
    spelled("quick_gelu_ort", ["a = Mul(x, k)", "b = Sigmoid(a)", "y = Mul(x, b)"], 1, 13,
            args=ORT),
    spelled("softplus", ["e = Exp(x)", "f = Add(e, one)", "y = Log(f)"], 1, 13),
    spelled("softsign", ["a = Abs(x)", "b = Add(one, a)", "y = Div(x, b)"], 1, 13),
    spelled("sigmoid", ["n = Neg(x)", "e = Exp(n)", "f = Add(e, one)", "y = Reciprocal(f)"],
            1, 13),
    spelled("relu6", ["a = Relu(x)", "y = Min(a, six)"], 1, 13),
    spelled("relu_of_max", ["y = Max(zero, x)"], 1, 13),
    Case("bias_gelu_ort", "(float[n, 4] v) => (float[n, 4] y) <float[4] w, float half, "
         "float one, float root2> { x = Add(w, v) a = Div(x, root2) e = Erf(a) "
         "c = Add(e, one) d = Mul(x, c) y = Mul(d, half) }", most=1, values=CONSTANTS,
         opset=13, args=ORT),
    Case("bias_gelu_new_ort", "(float[b, n, 4] v) => (float[b, n, 4] y) <float[4] w> "
         "{ x = Add(v, w) y = Gelu(x) }", most=1, opset=20, args=ORT),
    Case("leaky_relu_where", "(float[n, 4] x) => (float[n, 4] y) <float zero, float half> "
         "{ c = Greater(x, zero) a = Mul(x, half) y = Where(c, x, a) }", values=CONSTANTS,
         opset=13),
    Case("swiglu_planish", "(float[n, 4] a, float[n, 4] b) => (float[n, 4] y) { s = Sigmoid(a) "
         "t = Mul(a, s) y = Mul(t, b) }", most=1, opset=17, args=PLANISH),
    # one constant is off: another function
    Case("not_gelu", "(float[n, 4] x) => (float[n, 4] y) <float half, float one, float r> "
         "{ a = Div(x, r) e = Erf(a) c = Add(e, one) d = Mul(x, c) y = Mul(d, half) }",
         values=dict(CONSTANTS, r=1.5), opset=20),
    # the inner sum is an output: nothing is saved by a Gelu beside it
    Case("gelu_inner_output", "(float[n, 4] x) => (float[n, 4] y, float[n, 4] c) "
         "<float half, float one, float root2> { a = Div(x, root2) e = Erf(a) "
         "c = Add(e, one) d = Mul(x, c) y = Mul(d, half) }", values=CONSTANTS, opset=20),
]


def family(name, forms, opset, most=1, **more):
    """Ways to write one function: each becomes `most` nodes."""
    for k, nodes in enumerate(forms):
        CASES.append(spelled("%s_%d" % (name, k), [n.strip() for n in nodes.split(";")],
                             most, opset, **more))


# 1 - erf(-x / sqrt 2), and x/2 + x/2 erf(x / sqrt 2)
family("gelu_minus", [
    "n = Neg(x); a = Div(n, root2); e = Erf(a); c = Sub(one, e); d = Mul(x, c); y = Mul(d, half)",
    "a = Mul(x, mrroot2); e = Erf(a); c = Sub(one, e); d = Mul(c, half); y = Mul(x, d)",
    "a = Div(x, mroot2); e = Erf(a); c = Sub(one, e); d = Mul(x, half); y = Mul(d, c)",
    "a = Mul(x, rroot2); n = Neg(a); e = Erf(n); c = Sub(one, e); d = Div(x, two); y = Mul(d, c)",
    "h = Mul(x, half); a = Mul(x, rroot2); e = Erf(a); c = Mul(h, e); y = Add(h, c)",
], 20)
family("gelu_tanh_more", [
    "p = Mul(x, x); q = Mul(p, c3); r = Add(q, c2); s = Mul(x, r); t = Tanh(s); "
    "c = Add(one, t); d = Mul(x, half); y = Mul(d, c)",
    "p = Pow(x, three); q = Mul(p, c1); r = Add(x, q); s = Mul(r, c12); t = Sigmoid(s); "
    "y = Mul(x, t)",
    "p = Mul(x, x); q = Mul(p, c32); r = Add(q, c12); s = Mul(x, r); t = Sigmoid(s); "
    "y = Mul(t, x)",
    "p = Mul(x, c1); q = Mul(p, x); u = Mul(q, x); r = Add(x, u); s = Mul(c12, r); "
    "m = Neg(s); e = Exp(m); c = Add(e, one); y = Div(x, c)",
], 20)
family("sigmoid_more", [
    "m = Mul(x, mone); e = Exp(m); c = Add(e, one); y = Div(one, c)",
    "e = Exp(x); c = Add(one, e); y = Div(e, c)",
    "a = Mul(x, half); t = Tanh(a); b = Mul(t, half); y = Add(b, half)",
    "a = Div(x, two); t = Tanh(a); b = Add(t, one); y = Mul(half, b)",
], 13)
family("sigmoid_of_minus", ["e = Exp(x); c = Add(e, one); y = Reciprocal(c)"], 13, 2)
family("sigmoid_of_product",
       ["m = Mul(x, mk); e = Exp(m); c = Add(e, one); y = Div(one, c)"], 13, 2)
family("quick_gelu_exp", [
    "m = Mul(x, mk); e = Exp(m); c = Add(e, one); y = Div(x, c)",
    "a = Mul(x, k); m = Neg(a); e = Exp(m); c = Add(e, one); r = Reciprocal(c); y = Mul(r, x)",
], 13, args=PLANISH)
family("tanh", [
    "a = Mul(x, two); s = Sigmoid(a); b = Mul(s, two); y = Sub(b, one)",
    "a = Mul(two, x); s = Sigmoid(a); b = Mul(two, s); y = Add(b, mone)",
    "a = Exp(x); n = Neg(x); b = Exp(n); c = Sub(a, b); d = Add(a, b); y = Div(c, d)",
    "a = Exp(x); b = Reciprocal(a); c = Sub(a, b); d = Add(b, a); y = Div(c, d)",
    "a = Mul(x, two); e = Exp(a); c = Sub(e, one); d = Add(e, one); y = Div(c, d)",
    "a = Mul(x, mtwo); e = Exp(a); c = Sub(one, e); d = Add(one, e); y = Div(c, d)",
    "a = Mul(x, two); e = Exp(a); d = Add(e, one); c = Div(two, d); y = Sub(one, c)",
    "a = Mul(x, mtwo); e = Exp(a); d = Add(e, one); c = Div(two, d); y = Sub(c, one)",
    "a = Sinh(x); b = Cosh(x); y = Div(a, b)",
], 13)
family("softplus_stable", [
    "r = Relu(x); a = Abs(x); n = Neg(a); e = Exp(n); c = Add(e, one); l = Log(c); y = Add(r, l)",
    "r = Max(x, zero); a = Abs(x); n = Mul(a, mone); e = Exp(n); c = Add(one, e); l = Log(c); "
    "y = Add(l, r)",
    "r = Relu(x); a = Abs(x); s = Sigmoid(a); l = Log(s); y = Sub(r, l)",
], 13)
family("mish_exp", [
    "e = Exp(x); f = Add(e, two); n = Mul(e, f); d = Add(n, two); q = Div(n, d); y = Mul(x, q)",
    "e = Exp(x); s = Mul(e, e); f = Mul(e, two); n = Add(s, f); d = Add(n, two); m = Mul(x, n); "
    "y = Div(m, d)",
    "e = Exp(x); f = Add(e, one); t = Mul(f, f); n = Sub(t, one); d = Add(t, one); "
    "q = Div(n, d); y = Mul(q, x)",
], 18)
family("hard_sigmoid", [
    "a = Div(x, six); b = Add(a, half); y = Clip(b, zero, one)",
    "a = Mul(x, sixth); b = Add(half, a); c = Max(b, zero); y = Min(c, one)",
    "a = Add(x, three); b = Div(a, six); y = Clip(b, zero, one)",
    "a = Add(x, three); b = Mul(a, sixth); c = Min(b, one); y = Relu(c)",
    "a = Add(x, three); b = Relu(a); c = Min(b, six); y = Div(c, six)",
    "a = Add(x, two); b = Clip(a, zero, three); y = Div(b, three)",
], 13)
family("hard_swish_13", [
    "a = Add(x, three); b = Clip(a, zero, six); c = Mul(x, b); y = Div(c, six)",
    "a = Div(x, six); b = Add(a, half); c = Clip(b, zero, one); y = Mul(x, c)",
], 13, 2)
family("hard_swish_14", [
    "a = Div(x, six); b = Add(a, half); c = Clip(b, zero, one); y = Mul(x, c)",
    "a = Mul(x, sixth); b = Add(a, half); c = Min(b, one); d = Max(c, zero); y = Mul(d, x)",
], 14)
CHOICES = ["c = Greater(x, zero); ", "c = GreaterOrEqual(x, zero); ", "c = Less(zero, x); ",
           "d = Less(x, zero); c = Not(d); "]
family("leaky_relu", [c + "a = Mul(x, tenth); y = Where(c, x, a)" for c in CHOICES] + [
    "c = LessOrEqual(x, zero); a = Div(x, big); y = Where(c, a, x)",
    "a = Mul(x, tenth); y = Max(x, a)",
    "a = Mul(big, x); y = Min(a, x)",
    "r = Relu(x); m = Min(x, zero); a = Mul(tenth, m); y = Add(r, a)",
    "r = Relu(x); n = Neg(x); m = Relu(n); a = Mul(m, tenth); y = Sub(r, a)",
    "r = Relu(x); n = Neg(x); m = Relu(n); a = Mul(m, mtenth); y = Add(r, a)",
    "a = Abs(x); b = Mul(a, nine); c = Mul(x, ten); y = Add(b, c)",
    "r = Relu(x); a = Abs(x); d = Sub(x, a); e = Mul(d, nine); y = Add(e, r)",
], 17)
family("elu", [c + "e = Exp(x); f = Sub(e, one); y = Where(c, x, f)" for c in CHOICES] + [
    "c = Less(x, zero); e = Exp(x); f = Add(e, mone); g1 = Mul(f, big); y = Where(c, g1, x)",
    "r = Relu(x); e = Exp(x); f = Sub(e, one); m = Min(f, zero); y = Add(r, m)",
    "r = Max(x, zero); m = Min(x, zero); e = Exp(m); f = Sub(e, one); a = Mul(f, big); "
    "y = Add(a, r)",
    "r = Relu(x); e = Exp(x); f = Sub(e, one); a = Mul(f, big); m = Min(a, zero); y = Add(r, m)",
    "r = Relu(x); e = Exp(x); f = Sub(e, one); m = Clip(f, , zero); a = Mul(m, big); "
    "y = Add(r, a)",
    "r = Relu(x); e = Exp(x); f = Sub(one, e); m = Relu(f); y = Sub(r, m)",
], 17)
family("celu", [
    "c = Greater(x, zero); a = Div(x, big); e = Exp(a); f = Sub(e, one); b = Mul(f, big); "
    "y = Where(c, x, b)",
    "a = Div(x, big); e = Elu(a); y = Mul(big, e)",
    "r = Max(x, zero); a = Div(x, big); e = Exp(a); f = Sub(e, one); b = Mul(f, big); "
    "m = Min(zero, b); y = Add(r, m)",
], 17)
family("selu", [
    "e = Elu <alpha = 1.67326> (x); y = Mul(e, g)",
    "c = Greater(x, zero); e = Exp(x); f = Sub(e, one); a = Mul(f, ga); b = Mul(x, g); "
    "y = Where(c, b, a)",
    "c = Greater(x, zero); e = Exp(x); f = Sub(e, one); a = Mul(f, al); b = Where(c, x, a); "
    "y = Mul(g, b)",
], 17)
family("thresholded_relu", [
    "c = Greater(x, tenth); m = Cast <to = 1> (c); y = Mul(x, m)",
    "c = LessOrEqual(x, tenth); y = Where(c, zero, x)",
], 17)
family("relu_where", ["c = Less(x, zero); y = Where(c, zero, x)",
                      "c = Greater(x, zero); m = Cast <to = 1> (c); y = Mul(m, x)"], 17)
# NaN is not above zero, and stays NaN in a Relu
family("no_relu_where", ["c = Greater(x, zero); y = Where(c, x, zero)"], 17, 2)
# a slope above 1, and a sum of slopes that is not 1
family("no_leaky_relu", ["a = Mul(x, big); y = Max(x, a)", "a = Mul(x, tenth); y = Min(x, a)"],
       17, 2)
family("no_leaky_relu_abs", ["a = Abs(x); b = Mul(a, half); c = Mul(x, ten); y = Add(b, c)"], 17, 4)
PRELU = "(float[n, 4] x) => (float[n, 4] y) <float[4] s, float[4] t, float zero, float half> { %s }"
for k, form in enumerate([
        "c = Greater(x, zero) a = Mul(s, x) y = Where(c, x, a)",
        "c = Less(x, zero) a = Mul(x, s) y = Where(c, a, x)",
        "r = Relu(x) m = Min(x, zero) a = Mul(m, s) y = Add(r, a)",
        "r = Relu(x) n = Neg(x) m = Relu(n) a = Mul(m, s) y = Sub(r, a)",
        "r = Relu(x) n = Neg(x) m = Relu(n) a = Mul(s, m) y = Add(r, a)",
        "r = Relu(x) b = Abs(x) d = Sub(x, b) e = Mul(s, d) a = Mul(e, half) y = Add(r, a)"]):
    CASES.append(Case("prelu_%d" % k, PRELU % form, most=1, values=CONSTANTS, opset=17))

family("softplus_threshold", [
    "s = Softplus(x); c = Greater(x, twenty); y = Where(c, x, s)",
], 18)
family("softplus_slope", [
    "b = Mul(x, two); s = Softplus(b); d = Div(s, two); c = Greater(b, twenty); "
    "y = Where(c, x, d)"], 18, 3)
family("shrink", [
    "a = Abs(x); c = LessOrEqual(a, half); y = Where(c, zero, x)",
    "a = Abs(x); c = Greater(a, half); s = Sign(x); m = Mul(s, half); d = Sub(x, m); "
    "z = Mul(x, zero); y = Where(c, d, z)",
], 18)
