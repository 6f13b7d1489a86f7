"""Norms in the spellings of exporters, norms of sums, and embeddings.

SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

PLANISH = ("-O3", "--target", "planish")
ORT = ("-O3", "--target", "ort")
VALUES = {"eps": 1e-5, "two": 2.0, "half": 0.5, "one": 1.0, "mhalf": -0.5,
          "ax": np.array([-1]), "ax2": np.array([2])}
HEAD = "(float[b, n, 8] x) => (float[b, n, 8] y) <%s> {\n%s\n}"
WEIGHTS = "float[8] g, float[8] c, float eps, float two, float half, float one, int64[1] ax"


def spelled(name, text, most, opset, weights=WEIGHTS, **more):
    return Case(name, HEAD % (weights, text), most=most, values=VALUES, opset=opset, **more)


MEAN = {13: "ReduceMean <axes = [-1]> (%s)", 17: "ReduceMean <axes = [-1]> (%s)",
        18: "ReduceMean(%s, ax)", 20: "ReduceMean(%s, ax)", 23: "ReduceMean(%s, ax)"}


def layer(opset, square, root, tail="o = Mul(q, g)  y = Add(o, c)"):
    m = MEAN[opset]
    return ("m = " + m % "x" + "  d = Sub(x, m)  " + square + "  v = " + m % "s" +
            "  e = Add(v, eps)  " + root + "  " + tail)


SQUARE = {"pow": "s = Pow(d, two)", "mul": "s = Mul(d, d)",
          "second_sub": "d2 = Sub(x, m)  s = Mul(d2, d2)"}
ROOT = {"div": "r = Sqrt(e)  q = Div(d, r)",
        "reciprocal": "t = Sqrt(e)  r = Reciprocal(t)  q = Mul(d, r)",
        "one_over": "t = Sqrt(e)  r = Div(one, t)  q = Mul(r, d)",
        "pow_half": "r = Pow(e, half)  q = Div(d, r)",
        "pow_minus_half": "r = Pow(e, mhalf)  q = Mul(d, r)"}
CASES = []
for s, square in SQUARE.items():
    for r, root in ROOT.items():
        for opset in (17, 18):
            w = WEIGHTS + (", float mhalf" if "mhalf" in root else "")
            CASES.append(spelled("layer_%s_%s_%d" % (s, r, opset),
                                 layer(opset, square, root), 1, opset, weights=w))
CASES += [
    spelled("layer_planish13", layer(13, SQUARE["pow"], ROOT["div"]), 1, 13, args=PLANISH),
    # TensorFlow: y = x k + (c - m k) with k = g / sqrt(v + e)
    spelled("layer_tf", "m = ReduceMean(x, ax)  d = Sub(x, m)  s = Mul(d, d)  "
            "v = ReduceMean(s, ax)  e = Add(v, eps)  t = Sqrt(e)  r = Reciprocal(t)  "
            "k = Mul(r, g)  u = Mul(x, k)  w = Mul(m, k)  z = Sub(c, w)  y = Add(u, z)", 1,
            18),
    spelled("layer_no_bias", layer(18, SQUARE["mul"], ROOT["div"], "y = Mul(q, g)"), 1, 18),
    spelled("layer_bare", layer(18, SQUARE["mul"], "r = Sqrt(e)", "y = Div(d, r)"), 1, 18),
    spelled("rms_pow", "s = Pow(x, two)  v = ReduceMean(s, ax)  e = Add(v, eps)  "
            "r = Sqrt(e)  q = Div(x, r)  y = Mul(q, g)", 1, 23),
    spelled("rms_reciprocal", "s = Pow(x, two)  v = ReduceMean(s, ax)  e = Add(eps, v)  "
            "t = Sqrt(e)  r = Reciprocal(t)  q = Mul(x, r)  y = Mul(g, q)", 1, 23),
    spelled("rms_one_over", "s = Mul(x, x)  v = ReduceMean(s, ax)  e = Add(eps, v)  "
            "t = Sqrt(e)  r = Div(one, t)  q = Mul(x, r)  y = Mul(g, q)", 1, 23),
    spelled("rms_planish", "s = Pow(x, two)  v = ReduceMean(s, ax)  e = Add(v, eps)  "
            "t = Sqrt(e)  r = Div(one, t)  q = Mul(x, r)  y = Mul(g, q)", 1, 18,
            args=PLANISH),
    spelled("log_softmax", "a = Softmax <axis = -1> (x)  y = Log(a)", 1, 13,
            weights="float unused"),
    spelled("softmax_spelled", "a = ReduceMax <keepdims = 1> (x, ax)  d = Sub(x, a)  "
            "e = Exp(d)  s = ReduceSum(e, ax)  y = Div(e, s)", 1, 18),
    Case("l2_by_paddle", "(float[b, 8] x) => (float[b, 8] y) { two = Constant<value = float[1] {2.0}>() ax = Constant<value = int64[1] {-1}>()"
         " half = Constant<value = float[1] {0.5}>() tiny = Constant<value = float[1] {1e-12}>() a = Abs(x) p = Pow(a, two) s = ReduceSum(p, ax)"
         " n = Pow(s, half) m = Max(n, tiny) y = Div(x, m) }", 3, opset=17),
    Case("l2_clip", "(float[b, 8] x) => (float[b, 8] y) <float tiny> { n = ReduceL2 "
         "<axes = [-1], keepdims = 1> (x) m = Clip(n, tiny) s = Shape(x) t = Expand(m, s) "
         "y = Div(x, t) }", values={"tiny": 1e-12}, opset=13),
]
SKIP = "(float[b, n, 8] x, float[b, n, 8] z) => (float[b, n, 8] y%s) <%s> {\n%s\n}"


def skip(name, text, most, opset, outputs="", args=ORT, weights=WEIGHTS):
    return Case(name, SKIP % (outputs, weights, text), most=most, values=VALUES, opset=opset,
                args=args)


SPELLED13 = layer(13, SQUARE["pow"], ROOT["div"])
CASES += [
    skip("skip_17", "s = Add(x, z)  y = LayerNormalization(s, g, c)", 1, 17),
    skip("skip_sum_17", "s = Add(z, x)  y = LayerNormalization(s, g, c)", 1, 17,
         ", float[b, n, 8] s"),
    skip("skip_bias_17", "t = Add(x, g)  s = Add(t, z)  y = LayerNormalization(s, g, c)", 1,
         17),
    skip("skip_13", "u = Add(x, z)  " + SPELLED13.replace("x", "u").replace("aues", "axes"),
         1, 13),
    skip("skip_rms_18", "u = Add(x, z)  s = Pow(u, two)  v = ReduceMean(s, ax)  "
         "e = Add(v, eps)  t = Sqrt(e)  r = Div(one, t)  q = Mul(u, r)  y = Mul(g, q)", 1,
         18, ", float[b, n, 8] u"),
    skip("skip_rms_23", "u = Add(x, z)  y = RMSNormalization(u, g)", 1, 23),
    skip("skip_planish", "s = Add(x, z)  y = LayerNormalization(s, g, c)", 1, 17,
         args=PLANISH),
    skip("skip_sum_planish", "s = Add(x, z)  y = LayerNormalization(s, g, c)", 1, 17,
         ", float[b, n, 8] s", args=PLANISH),
    skip("skip_rms_planish", "u = Add(x, z)  y = RMSNormalization(u, g)", 1, 23,
         args=PLANISH),
    # the sum of a product is the product's own at target planish
    Case("dense_skip_planish", "(float[b, n, 8] x, float[b, n, 8] z) => (float[b, n, 8] y) "
         "<float[8, 8] w, float[8] g, float[8] c> { p = MatMul(x, w) q = Add(p, g) "
         "s = Add(q, z) y = LayerNormalization(s, g, c) }", most=2, opset=17, args=PLANISH),
    Case("dense_skip_ort", "(float[b, n, 8] x, float[b, n, 8] z) => (float[b, n, 8] y) "
         "<float[8, 8] w, float[8] g, float[8] c> { p = MatMul(x, w) q = Add(p, g) "
         "s = Add(q, z) y = LayerNormalization(s, g, c) }", most=2, opset=17, args=ORT),
    Case("embed_ort", "(int64[b, n] ids, int64[b, n] seg) => (float[b, n, 8] y) "
         "<float[20, 8] words, float[1, 6, 8] places, float[5, 8] types, float[8] g, "
         "float[8] c> { a = Gather(words, ids) t = Gather(types, seg) s = Add(a, t) "
         "y = LayerNormalization(s, g, c) }", opset=17, args=ORT, sizes=(3, 4)),
    Case("group_norm", "(float[b, 8, h, w] x) => (float[b, 8, h, w] y) <int64[3] to, "
         "float[4] ones, float[4] zeros, float[8, 1, 1] g, float[8, 1, 1] c> "
         "{ s = Shape(x) r = Reshape(x, to) i = InstanceNormalization(r, ones, zeros) "
         "q = Reshape(i, s) o = Mul(q, g) y = Add(o, c) }",
         values={"to": np.array([0, 4, -1]), "ones": np.ones(4), "zeros": np.zeros(4)},
         most=1, opset=21),
    Case("group_norm_planish", "(float[b, 8, h, w] x) => (float[b, 8, h, w] y) "
         "<int64[3] to, float[4] ones, float[4] zeros, float[8, 1, 1] g, float[8, 1, 1] c> "
         "{ s = Shape(x) r = Reshape(x, to) i = InstanceNormalization(r, ones, zeros) "
         "q = Reshape(i, s) o = Mul(q, g) y = Add(o, c) }",
         values={"to": np.array([0, 4, -1]), "ones": np.ones(4), "zeros": np.zeros(4)},
         most=1, opset=13, args=PLANISH),
]

VALUES.update({"n": 8.0, "rn": 1 / 8, "root_n": 8 ** 0.5, "zero": 0.0, "tiny": 1e-12,
               "ax0": np.array([1]), "ax23": np.array([2, 3]), "eps9": 1e-9})
MORE = ", ".join("float " + v for v in ("mhalf", "n", "rn", "root_n", "zero", "tiny", "eps9"))
MORE = WEIGHTS + ", " + MORE + ", int64[1] ax0, int64[1] ax2"
FINISH = "e = Add(v, eps) t = Sqrt(e) q = Div(d, t) "


def forms(name, texts, opset, most=1, **more):
    """Ways to write one norm: each becomes `most` nodes."""
    for k, text in enumerate(texts):
        CASES.append(spelled("%s_%d" % (name, k), text, most, opset, weights=MORE, **more))


forms("layer_sum", [
    "u = ReduceSum(x, ax) m = Div(u, n) d = Sub(x, m) s = Mul(d, d) w = ReduceSum(s, ax) "
    "v = Div(w, n) " + FINISH + "o = Mul(q, g) y = Add(o, c)",
    "u = ReduceSum(x, ax) m = Mul(rn, u) d = Sub(x, m) w = ReduceSumSquare(d, ax) "
    "v = Mul(w, rn) " + FINISH + "o = Mul(q, g) y = Add(o, c)",
], 18)
forms("layer_fast_variance", [
    "m = ReduceMean(x, ax) d = Sub(x, m) s = Mul(x, x) u = ReduceMean(s, ax) w = Mul(m, m) "
    "v = Sub(u, w) " + FINISH + "o = Mul(q, g) y = Add(o, c)",
    "m = ReduceMean(x, ax) d = Sub(x, m) s = Pow(x, two) u = ReduceMean(s, ax) w = Pow(m, two) "
    "v0 = Sub(u, w) v = Max(v0, zero) e = Add(v, eps) t = Sqrt(e) r = Reciprocal(t) "
    "k = Mul(r, g) o = Mul(d, k) y = Add(o, c)",
], 18)
forms("layer_scale_first", [
    "m = ReduceMean(x, ax) d = Sub(x, m) s = Mul(d, d) v = ReduceMean(s, ax) e = Add(v, eps) "
    "r = Pow(e, mhalf) k = Mul(r, g) o = Mul(d, k) y = Add(c, o)",
    "m = ReduceMean(x, ax) d = Sub(x, m) s = Mul(d, d) v = ReduceMean(s, ax) e = Add(v, eps) "
    "t = Sqrt(e) k = Div(g, t) o = Mul(d, k) y = Add(c, o)",
    "m = ReduceMean(x, ax) d = Sub(x, m) s = Mul(d, d) v = ReduceMean(s, ax) e = Add(v, eps) "
    "t = Sqrt(e) k = Mul(g, d) o = Div(k, t) y = Add(c, o)",
], 18)
forms("layer_bias_only", [
    "m = ReduceMean(x, ax) d = Sub(x, m) s = Mul(d, d) v = ReduceMean(s, ax) " + FINISH +
    "y = Add(q, c)",
], 18)
forms("layer_mean_twice", [
    "m = ReduceMean(x, ax) d = Sub(x, m) w = ReduceMean(x, ax2) h = Sub(x, w) s = Mul(h, h) "
    "v0 = ReduceMean <keepdims = 0> (s, ax2) v = Unsqueeze(v0, ax) " + FINISH +
    "o = Mul(q, g) y = Add(o, c)",
], 18)
# an epsilon behind the root, and a variance with n - 1
forms("no_layer", [
    "m = ReduceMean(x, ax) d = Sub(x, m) s = Mul(d, d) v = ReduceMean(s, ax) t = Sqrt(v) "
    "e = Add(t, eps) q = Div(d, e) o = Mul(q, g) y = Add(o, c)",
], 18, None)
forms("rms_sum", [
    "w = ReduceSumSquare(x, ax) v = Div(w, n) e = Add(v, eps) t = Sqrt(e) q = Div(x, t) "
    "y = Mul(q, g)",
    "s = Mul(x, x) w = ReduceSum(s, ax) v = Mul(w, rn) e = Add(v, eps) r = Pow(e, mhalf) "
    "q = Mul(x, r) y = Mul(q, g)",
    "l = ReduceL2(x, ax) w = Pow(l, two) v = Div(w, n) e = Add(v, eps) t = Sqrt(e) "
    "q = Div(x, t) y = Mul(q, g)",
    "w = ReduceSumSquare(x, ax) e = Add(w, eps) t = Sqrt(e) r = Reciprocal(t) y = Mul(x, r)",
    "s = Pow(x, two) v = ReduceMean(s, ax) e = Add(v, eps) t = Sqrt(e) r = Div(one, t) "
    "k = Mul(r, g) y = Mul(k, x)",
], 23)
forms("lp", [
    "l = ReduceL2(x, ax) y = Div(x, l)",
    "s = Mul(x, x) w = ReduceSum(s, ax) l = Sqrt(w) y = Div(x, l)",
    "l = ReduceL2(x, ax0) r = Reciprocal(l) y = Mul(x, r)",
    "a = Abs(x) l = ReduceSum(a, ax) y = Div(x, l)",
    "l = ReduceL1(x, ax0) y = Div(x, l)",
], 18)
forms("lp_22", ["l = ReduceL2(x, ax) y = Div(x, l)"], 22)
# a lower bound of the length is another function
forms("no_lp", ["l = ReduceL2(x, ax) m = Max(l, tiny) y = Div(x, m)",
                "l = ReduceL2(x, ax) m = Add(l, eps) y = Div(x, m)"], 18, 3)
forms("softmax", [
    "m = ReduceMax(x, ax) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, ax) r = Reciprocal(s) "
    "y = Mul(e, r)",
    "m = ReduceMax(x, ax0) d = Sub(x, m) y = Softmax <axis = 1> (d)",
    "l = ReduceLogSumExp(x, ax0) d = Sub(x, l) y = Exp(d)",
    "a = LogSoftmax <axis = 0> (x) y = Exp(a)",
], 18)
# without the maximum: where one element is infinite, the others are 0, not NaN
forms("no_softmax", ["e = Exp(x) s = ReduceSum(e, ax) y = Div(e, s)"], 18, 3)
forms("softmax_11", ["m = ReduceMax <axes = [2]> (x) d = Sub(x, m) e = Exp(d) "
                     "s = ReduceSum <axes = [2]> (e) y = Div(e, s)"], 11)
forms("log_softmax", [
    "l = ReduceLogSumExp(x, ax) y = Sub(x, l)",
    "e = Exp(x) s = ReduceSum(e, ax) l = Log(s) y = Sub(x, l)",
    "m = ReduceMax(x, ax) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, ax) l = Log(s) y = Sub(d, l)",
    "m = ReduceMax(x, ax) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, ax) l = Log(s) "
    "a = Add(l, m) y = Sub(x, a)",
    "m = ReduceMax(x, ax0) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, ax0) q = Div(e, s) "
    "y = Log(q)",
    "m = ReduceMax(x, ax) d = Sub(x, m) l = ReduceLogSumExp(d, ax) y = Sub(d, l)",
], 18)
# maximum and sum over different axes are shifts of no softmax
forms("softmax_axes_differ", ["m = ReduceMax(x, ax0) d = Sub(x, m) e = Exp(d) "
                              "s = ReduceSum(e, ax) y = Div(e, s)"], 18, 5)
CASES.append(Case("log_sum_exp", "(float[b, n, 8] x) => (float[b, n, 1] y) <int64[1] ax> "
                  "{ m = ReduceMax(x, ax) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, ax) "
                  "l = Log(s) y = Add(m, l) }", values=VALUES, most=1, opset=18))

# ---- float16, computed in float -----------------------------------------------------------
HALF = "(float16[b, n, 8] x) => (float16[b, n, 8] y) <%s> { x32 = Cast <to = 1> (x) %s }"
HALF_WEIGHTS = ("float16[8] g, float16[8] c, float[8] g32, float[8] c32, float eps, float two, "
                "int64[1] ax")
LAYER32 = ("m = ReduceMean(x32, ax) d = Sub(x32, m) s = Pow(d, two) v = ReduceMean(s, ax) "
           "e = Add(v, eps) t = Sqrt(e) q = Div(d, t) ")
RMS32 = ("s = Pow(x32, two) v = ReduceMean(s, ax) e = Add(v, eps) t = Sqrt(e) q = Div(x32, t) ")
for k, (text, opset) in enumerate([
        (LAYER32 + "h = Cast <to = 10> (q) o = Mul(h, g) y = Add(o, c)", 18),
        (LAYER32 + "o = Mul(q, g32) a = Add(o, c32) y = Cast <to = 10> (a)", 18),
        (LAYER32 + "y = Cast <to = 10> (q)", 18),
        (RMS32 + "h = Cast <to = 10> (q) y = Mul(g, h)", 23),
        (RMS32 + "o = Mul(q, g32) y = Cast <to = 10> (o)", 23),
        (RMS32 + "y = Cast <to = 10> (q)", 23)]):
    CASES.append(Case("half_%d" % k, HALF % (HALF_WEIGHTS, text), values=VALUES, most=1,
                      opset=opset, tol=2e-3))

# ---- images --------------------------------------------------------------------------------
IMAGE = "(float[b, 8, 4, 6] x) => (float[b, 8, 4, 6] y) <%s> { %s }"
IMAGE_WEIGHTS = ("float[8, 1, 1] g, float[1, 8, 1, 1] c, float eps, float two, int64[2] ax23, "
                 "int64[3] to, int64[5] to5, int64[1] axm, int64[3] ax5, float eps9, "
                 "int64[3] ax_mvn")
VALUES.update({"to": np.array([0, 4, -1]), "to5": np.array([0, 4, 2, 4, 6]),
               "axm": np.array([2]), "ax5": np.array([2, 3, 4]), "ax_mvn": np.array([0, 2, 3])})


def image(name, text, most, opset=21, **more):
    CASES.append(Case(name, IMAGE % (IMAGE_WEIGHTS, text), values=VALUES, most=most, opset=opset,
                      **more))


def moments(x, ax):
    return ("m = ReduceMean(%s, %s) d = Sub(%s, m) s = Mul(d, d) v = ReduceMean(s, %s) "
            "e = Add(v, eps) t = Sqrt(e) q = Div(d, t) " % (x, ax, x, ax))


SCALED = "o = Mul(q, g) y = Add(o, c)"
image("instance_norm", moments("x", "ax23") + SCALED, 1)
image("instance_norm_bare", moments("x", "ax23").replace("q = ", "y = "), 1)
image("instance_norm_bias", moments("x", "ax23") + "y = Add(q, c)", 1)
image("group_norm_spelled", "r = Reshape(x, to) z = Shape(x) " + moments("r", "axm") +
      "w = Reshape(q, z) o = Mul(w, g) y = Add(o, c)", 1)
image("group_norm_five", "r = Reshape(x, to5) z = Shape(x) " + moments("r", "ax5") +
      "w = Reshape(q, z) o = Mul(w, g) y = Add(o, c)", 1)
image("group_norm_spelled_18", "r = Reshape(x, to) z = Shape(x) " + moments("r", "axm") +
      "w = Reshape(q, z) o = Mul(w, g) y = Add(o, c)", 5, opset=18)
image("mvn", "m = ReduceMean(x, ax_mvn) d = Sub(x, m) s = Pow(x, two) u = ReduceMean(s, ax_mvn) "
      "w = Pow(m, two) v = Sub(u, w) t = Sqrt(v) e = Add(t, eps9) y = Div(d, e)", 1)
