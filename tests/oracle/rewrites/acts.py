"""Activations in the spellings of exporters, and what looks like one and is none.

SPDX-License-Identifier: Apache-2.0
"""
from . import Case

PLANISH = ("-O3", "--target", "planish")
ORT = ("-O3", "--target", "ort")
CONSTANTS = {"half": 0.5, "one": 1.0, "two": 2.0, "three": 3.0, "six": 6.0, "zero": 0.0,
             "root2": 2 ** 0.5, "rroot2": 0.5 ** 0.5, "c1": 0.044715, "c2": 0.7978845608,
             "k": 1.702, "sixth": 1 / 6}


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
    # one constant is off: another function
    Case("not_gelu", "(float[n, 4] x) => (float[n, 4] y) <float half, float one, float r> "
         "{ a = Div(x, r) e = Erf(a) c = Add(e, one) d = Mul(x, c) y = Mul(d, half) }",
         values=dict(CONSTANTS, r=1.5), opset=20),
    # the inner sum is an output: nothing is saved by a Gelu beside it
    Case("gelu_inner_output", "(float[n, 4] x) => (float[n, 4] y, float[n, 4] c) "
         "<float half, float one, float root2> { a = Div(x, root2) e = Erf(a) "
         "c = Add(e, one) d = Mul(x, c) y = Mul(d, half) }", values=CONSTANTS, opset=20),
]
