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
