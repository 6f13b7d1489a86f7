"""Products of one input: one product with the weights beside each other, taken apart behind it.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

PLANISH, ORT = ("-O3", "--target", "planish"), ("-O3", "--target", "ort")
X = "float[b, n, 8] x"
QKV = "(%s) => (float[b, n, 8] q, float[b, n, 4] k, float[b, n, 4] v)" % X
WEIGHTS = "float[8, 8] wq, float[8, 4] wk, float[8, 4] wv, float[8] bq, float[4] bk, float[4] bv"
SPLITS = "int64[4] heads, int64[3] join, float half"
VALUES = {"heads": np.array([0, 0, 2, 4]), "join": np.array([0, 0, 8]), "half": 0.5}
CASES = []


def c(name, head, consts, nodes, most, **more):
    CASES.append(Case(name, "%s <%s> { %s }" % (head, consts, nodes), most, **more))


def everywhere(name, head, consts, nodes, most, **more):
    """`most` for each target."""
    for target, m in zip(("onnx", "ort", "planish"), most):
        c(name + "_" + target, head, consts, nodes, m,
          args={"onnx": ("-O2",), "ort": ORT, "planish": PLANISH}[target], opset=17, **more)


everywhere("qkv_biased", QKV, WEIGHTS,
           "a = MatMul(x, wq) q = Add(a, bq) d = MatMul(x, wk) k = Add(bk, d) e = MatMul(x, wv) "
           "v = Add(e, bv)", (3, 3, 2))
everywhere("qkv_one_bias", QKV, WEIGHTS,
           "a = MatMul(x, wq) q = Add(a, bq) k = MatMul(x, wk) v = MatMul(x, wv)", (3, 3, 2))
everywhere("kv_biased", "(%s) => (float[b, n, 4] k, float[b, n, 4] v)" % X, WEIGHTS,
           "d = MatMul(x, wk) k = Add(bk, d) e = MatMul(x, wv) v = Add(e, bv)", (3, 3, 2))
everywhere("gemm_three", "(float[b, 8] x) => (float[b, 8] q, float[b, 4] k, float[b, 4] v)",
           WEIGHTS, "q = Gemm(x, wq, bq) k = Gemm(x, wk, bk) v = Gemm(x, wv, bv)", (2, 2, 2))
everywhere("heads_of_one_input", "(float[b, 8] x) => (float[b, 4] y, float[b, 4] z)", WEIGHTS,
           "a = Gemm(x, wk, bk) y = Relu(a) d = Gemm(x, wv, bv) z = Relu(d)", (3, 2, 2))
everywhere("other_functions", "(float[b, 8] x) => (float[b, 4] y, float[b, 4] z)", WEIGHTS,
           "a = Gemm(x, wk, bk) y = Relu(a) d = Gemm(x, wv, bv) z = Tanh(d)", (4, 2, 2))
everywhere("conv_of_sequence",
           "(float[b, 8, n] x) => (float[b, 8, n] q, float[b, 4, n] k, float[b, 4, n] v)",
           "float[8, 8, 1] wq, float[4, 8, 1] wk, float[4, 8, 1] wv, float[8] bq, float[4] bv",
           "q = Conv(x, wq, bq) k = Conv(x, wk) v = Conv(x, wv, bv)", (2, 2, 2))
everywhere("lora", QKV, WEIGHTS + ", float[8, 2] aq, float[2, 8] cq, float[8, 2] av, "
           "float[2, 4] cv",
           "a = MatMul(x, wq) d = MatMul(x, aq) e = MatMul(d, cq) q = Add(a, e) "
           "k = MatMul(x, wk) f = MatMul(x, wv) g1 = MatMul(x, av) h = MatMul(g1, cv) "
           "v = Add(f, h)", (6, 6, None))
# A gated network: what is fused behind each product is worth more than one product.
everywhere("gate_up_biased", "(%s) => (float[b, n, 4] y)" % X, WEIGHTS,
           "d = MatMul(x, wk) k = Add(bk, d) e = MatMul(x, wv) v = Add(e, bv) s = Sigmoid(k) "
           "t = Mul(k, s) y = Mul(t, v)", (6, None, 2))
HEADS = """ q1 = Reshape(q0, heads) q2 = Transpose<perm = [0, 2, 1, 3]>(q1) k1 = Reshape(k0, heads)
    k2 = Transpose<perm = [0, 2, 3, 1]>(k1) v1 = Reshape(v0, heads)
    v2 = Transpose<perm = [0, 2, 1, 3]>(v1) s = MatMul(q2, k2) t = Mul(s, half)
    p = Softmax<axis = -1>(t) o = MatMul(p, v2) o1 = Transpose<perm = [0, 2, 1, 3]>(o)
    y = Reshape(o1, join) """
EIGHT = SPLITS + ", float[8, 8] wq, float[8, 8] wk, float[8, 8] wv, float[8] bq, float[8] bv"
SIZES = ({"b": 2, "n": 3}, {"b": 1, "n": 5})
# Queries, keys and values stay where the product has them.
for order in ("qkv", "vkq", "kqv"):
    ways = {"q": " a = MatMul(x, wq) q0 = Add(a, bq) ", "k": " k0 = MatMul(x, wk) ",
            "v": " d = MatMul(x, wv) v0 = Add(d, bv) "}
    c("attention_" + order, "(%s) => (float[b, n, 8] y)" % X, EIGHT,
      "".join(ways[i] for i in order) + HEADS, 2, args=PLANISH, opset=17, values=VALUES,
      sizes=SIZES)
c("attention_split", "(%s) => (float[b, n, 8] y)" % X, SPLITS + ", float[8, 24] w, float[24] c",
  "a = MatMul(x, w) d = Add(a, c) q0, k0, v0 = Split<axis = -1>(d) " + HEADS, 2, args=PLANISH,
  opset=13, values=VALUES, sizes=SIZES)
c("attention_old", "(%s) => (float[b, n, 8] y)" % X, EIGHT,
  "k0 = MatMul(x, wk) a = MatMul(x, wq) q0 = Add(a, bq) d = MatMul(x, wv) v0 = Add(d, bv)" +
  HEADS, 2, args=PLANISH, opset=11, ir=6, values=VALUES, sizes=SIZES)
# Weights that something else reads, or that a caller may replace.
c("trap_shared_weights", "(%s, float[b, n, 8] z) => (float[b, n, 4] q, float[b, n, 4] k, "
  "float[b, n, 4] v)" % X, WEIGHTS, "q = MatMul(x, wk) k = MatMul(x, wv) v = MatMul(z, wk)", 3)
c("trap_overridable", "(%s, float[8, 4] w) => (float[b, n, 4] q, float[b, n, 4] k, "
  "float[b, n, 4] v)" % X, "float[8, 4] w, float[8, 4] wk, float[8, 4] wv",
  "q = MatMul(x, wk) k = MatMul(x, wv) v = MatMul(x, w)", 3)
c("trap_long_rows", "(float[b, n, 64] x) => (float[b, n, 64] q, float[b, n, 128] k, "
  "float[b, n, 128] v)", "float[64, 64] wq, float[64, 128] wk, float[64, 128] wv",
  "q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv)", 3)
# Weights that are stored in 8 bits.
c("narrow_attention", "(float[b, n, 64] x) => (float[b, n, 64] y)",
  "int64[4] heads, int64[3] join, float half, int8[64, 64] wq, int8[64, 64] wk, "
  "int8[64, 64] wv, float sq, float sk, float sv, float[64] bq, float[64] bv",
  "fq = Cast<to = 1>(wq) gq = Mul(fq, sq) a = MatMul(x, gq) q0 = Add(a, bq) fk = Cast<to = 1>(wk) "
  "gk = Mul(fk, sk) k0 = MatMul(x, gk) fv = Cast<to = 1>(wv) gv = Mul(fv, sv) d = MatMul(x, gv) "
  "v0 = Add(d, bv)" + HEADS, 2, args=PLANISH, opset=17, sizes=SIZES,
  values={"heads": np.array([0, 0, 4, 16]), "join": np.array([0, 0, 64]), "half": 0.25,
          "sq": 0.01, "sk": 0.02, "sv": 0.03})
# What stood before several goes into the one: in the first run.
c("affine_before", QKV, WEIGHTS + ", float[8] s, float[8] t",
  "z = Mul(x, s) u = Add(z, t) a = MatMul(u, wq) q = Add(a, bq) k = MatMul(u, wk) "
  "v = MatMul(u, wv)", 3, opset=17)
