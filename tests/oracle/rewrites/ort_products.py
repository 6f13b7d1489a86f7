"""Products with what stands around them, for ONNX Runtime: beside its EXTENDED level.

SPDX-License-Identifier: Apache-2.0
"""
from . import Case

ORT = ("-O3", "--target", "ort")
BOUNDS = {"lo": -0.5, "hi": 1.5, "eighth": 0.125, "eight": 8.0}
CASES = []


def case(name, text, most, **more):
    CASES.append(Case(name, text, most=most, args=ORT, values=BOUNDS, **more))


# ---- convolutions -----------------------------------------------------------------------

ACTS = {"relu": "Relu(c)", "leaky": "LeakyRelu<alpha = 0.1>(c)", "tanh": "Tanh(c)",
        "sigmoid": "Sigmoid(c)", "hard": "HardSigmoid<alpha = 0.3, beta = 0.4>(c)",
        "hard_default": "HardSigmoid(c)", "leaky_default": "LeakyRelu(c)",
        "clip": "Clip(c, lo, hi)", "clip_lo": "Clip(c, lo)", "clip_hi": "Clip(c, , hi)",
        "max_min": "Max(c, lo) y = Min(m, hi)"}
CONV = ("(float[n, 4, 8, 9] x) => (float[n, 6, 8, 9] y) <float[6, 4, 3, 3] w, float[6] b, "
        "float lo, float hi> { c = Conv<pads = [1, 1, 1, 1]>(x, w, b) %s }")
for name, act in ACTS.items():
    out = "m = " if name == "max_min" else "y = "
    case("conv_" + name, CONV % (out + act), 1, opset=17)
for act in ("Elu", "Softplus", "HardSwish", "Selu"):
    case("conv_" + act.lower(), CONV % ("y = %s(c)" % act), 2, opset=17)
case("conv_silu", CONV % "s = Sigmoid(c) y = Mul(c, s)", 2, opset=17)
case("conv_relu_twice", CONV % "d = Relu(c) y = Tanh(d)", 2, opset=17)
case("conv_shared", "(float[n, 4, 8, 9] x) => (float[n, 6, 6, 7] y, float[n, 6, 6, 7] c) "
     "<float[6, 4, 3, 3] w> { c = Conv(x, w) y = Relu(c) }", 2, opset=17)
case("conv_same_upper", "(float[n, 4, 8, 9] x) => (float[n, 6, 4, 5] y) <float[6, 4, 3, 3] w> "
     "{ c = Conv<auto_pad = \"SAME_UPPER\", strides = [2, 2]>(x, w) y = Relu(c) }", 1, opset=11)
case("conv_depthwise", "(float[n, 6, 8, 9] x) => (float[n, 6, 8, 9] y) <float[6, 1, 3, 3] w, "
     "float[6] b> { c = Conv<pads = [1, 1, 1, 1], group = 6, dilations = [1, 1]>(x, w, b) "
     "y = Sigmoid(c) }", 1, opset=17)
case("conv_1d", "(float[n, 4, t] x) => (float[n, 6, u] y) <float[6, 4, 3] w, float[6] b> "
     "{ c = Conv<dilations = [2]>(x, w, b) y = LeakyRelu(c) }", 1, opset=17, sizes=(7, 12))
case("conv_3d", "(float[n, 4, 5, 6, 7] x) => (float[n, 6, 3, 4, 5] y) <float[6, 4, 3, 3, 3] w> "
     "{ c = Conv(x, w) y = Relu(c) }", 1, opset=17)
case("conv_transpose", "(float[n, 4, 5, 6] x) => (float[n, 6, 7, 8] y) <float[4, 6, 3, 3] w> "
     "{ c = ConvTranspose(x, w) y = Relu(c) }", 2, opset=17)
case("conv_batchnorm_relu", CONV.replace("lo, float hi", "lo, float hi, float[6] g, float[6] h,"
     " float[6] mean, float[6] posvar") %
     "d = BatchNormalization(c, g, h, mean, posvar) y = Relu(d)", 1, opset=17)

RESIDUAL = "(float[n, 4, %s] x, float[n, 6, %s] z%s) => (float[n, 6, %s] y) <%sfloat[6] b> "
for rank, size in ((1, "9"), (2, "8, 9"), (3, "5, 6, 7")):
    w = "float[6, 4" + ", 3" * rank + "] w"
    pads = "pads = [%s]" % ", ".join("1" * 2 * rank)
    for act, nodes in (("", "y = Add(c, z)"), ("_relu", "a = Add(z, c) y = Relu(a)")):
        for name, given, most in (("", False, 3 if rank == 2 else 1), ("_computed", True, 1)):
            case("residual_%dd%s%s" % (rank, act, name),
                 RESIDUAL % (size, size, ", " + w if given else "", size,
                             "" if given else w + ", ") +
                 "{ c = Conv<%s>(x, w, b) %s }" % (pads, nodes), most, opset=17)
case("residual_wide", "(float[n, 4, 9] x, float[n, 6, 1] z) => (float[n, 6, 7] y) "
     "<float[6, 4, 3] w> { c = Conv(x, w) a = Add(c, z) y = Relu(a) }", 3, opset=17)
case("residual_of_one", "(float[1, 4, 3] x, float[k, 6, 1] z) => (float[k, 6, 1] y) "
     "<float[6, 4, 3] w> { c = Conv(x, w) a = Add(c, z) y = Relu(a) }", 3, opset=17)
case("squeeze_excite", "(float[n, 8, 6, 6] x) => (float[n, 8, 6, 6] y) <float[2, 8, 1, 1] w, "
     "float[2] b, float[8, 2, 1, 1] v, float[8] d> { p = GlobalAveragePool(x) "
     "q = Conv(p, w, b) r = Relu(q) s = Conv(r, v, d) t = HardSigmoid(s) y = Mul(x, t) }", 4,
     opset=17)

# ---- matrices ---------------------------------------------------------------------------

GEMM = ("(float[n, 4] x) => (float[n, 6] y) <float[4, 6] w, float[6] b, float lo, float hi> "
        "{ c = Gemm<alpha = 0.5, beta = 2.0>(x, w, b) y = %s }")
for name, act in ACTS.items():
    if "clip" not in name and "max" not in name:
        case("gemm_" + name, GEMM % act, 1, opset=17)
for act in ("Elu<alpha = 0.7>(c)", "Elu(c)", "Selu(c)", "Softplus(c)", "Softsign(c)",
            "Selu<alpha = 1.2, gamma = 0.9>(c)", "ThresholdedRelu<alpha = 0.3>(c)"):
    case("gemm_" + "".join(ch for ch in act.lower() if ch.isalnum()), GEMM % act, 1, opset=17)
case("gemm_clip", GEMM % "Clip(c, lo, hi)", 2, opset=17)
case("gemm_gelu", GEMM % "Gelu(c)", 2, opset=20)
case("gemm_trans", "(float[4, n] x) => (float[n, 6] y) <float[6, 4] w, float[1, 6] b> "
     "{ c = Gemm<transA = 1, transB = 1>(x, w, b) y = Relu(c) }", 1, opset=17)
case("gemm_scaled_tanh", "(float[n, 4] x) => (float[n, 6] y) <float[4, 6] w, float eighth> "
     "{ c = Gemm(x, w) d = Mul(c, eighth) y = Tanh(d) }", 1, opset=17)
case("linear_relu", "(float[n, 4] x) => (float[n, 6] y) <float[4, 6] w, float[6] b> "
     "{ c = MatMul(x, w) d = Add(b, c) y = Relu(d) }", 1, opset=17)
case("matrix_relu", "(float[n, 4] x) => (float[n, 6] y) <float[4, 6] w> "
     "{ c = MatMul(x, w) y = Relu(c) }", 1, opset=17)
case("linear_relu_3d", "(float[k, n, 4] x) => (float[k, n, 6] y) <float[4, 6] w, float[6] b> "
     "{ c = MatMul(x, w) d = Add(b, c) y = Relu(d) }", 3, opset=17)
case("mlp", "(float[n, 4] x) => (float[n, 3] y) <float[4, 6] w, float[6] b, float[6, 3] v, "
     "float[3] d> { c = Gemm(x, w, b) r = Tanh(c) e = Gemm(r, v, d) y = Sigmoid(e) }", 2,
     opset=17)


def product(name, a, b, y, nodes, most=1, **more):
    case(name, "(float[%s] a, float[%s] b) => (float[%s] y) <float eighth, float eight> { %s }"
         % (a, b, y, nodes), most, opset=17, **more)


product("scale", "k, n, 4", "k, 4, n", "k, n, n", "m = MatMul(a, b) y = Mul(m, eighth)")
product("scale_left", "k, n, 4", "k, 4, n", "k, n, n", "m = MatMul(a, b) y = Mul(eighth, m)")
product("divide", "k, n, 4", "k, 4, n", "k, n, n", "m = MatMul(a, b) y = Div(m, eight)")
product("scale_inputs", "k, n, 4", "k, 4, n", "k, n, n",
        "c = Mul(a, eighth) d = Div(b, eight) m = MatMul(c, d) y = Mul(m, eight)")
product("divides_by", "k, n, 4", "k, 4, n", "k, n, n", "m = MatMul(a, b) y = Div(eight, m)", 2)
product("scale_shared", "k, n, 4", "k, 4, n", "k, n, n",
        "c = Mul(a, eighth) m = MatMul(c, b) s = ReduceSum<keepdims = 0>(c) y = Add(m, s)", 4)
def stored(perm, rows, cols):
    """The shape of what becomes [k, rows, cols] by a permutation."""
    out = ["k", rows, cols]
    for to, at in enumerate(perm):
        out[at] = ("k", rows, cols)[to]
    return ", ".join(out)


SWAP, BATCH, BOTH = [0, 2, 1], [1, 0, 2], [1, 2, 0]
for kind, perm_a, perm_b in (("a", SWAP, []), ("b", [], SWAP), ("ab", SWAP, SWAP),
                             ("batch_a", BATCH, []), ("batch_b", [], BATCH),
                             ("both_a", BOTH, []), ("both_b", [], BOTH),
                             ("both_ab", BOTH, BOTH), ("batch_a_b", BATCH, SWAP)):
    nodes = ""
    for v, perm in (("a", perm_a), ("b", perm_b)):
        nodes += "t%s = %s(%s) " % (v, "Transpose<perm = %s>" % perm if perm else "Identity", v)
    product("transposed_" + kind, stored(perm_a, "4", "5"), stored(perm_b, "5", "6"), "k, 4, 6",
            nodes + "y = MatMul(ta, tb)")
    product("transposed_scaled_" + kind, stored(perm_a, "4", "5"), stored(perm_b, "5", "6"),
            "k, 4, 6", nodes + "m = MatMul(ta, tb) y = Div(m, eight)")
product("transposed_heads", "k, h, n, 4", "k, h, n, 4", "k, h, n, n",
        "t = Transpose<perm = [0, 1, 3, 2]>(b) m = MatMul(a, t) d = Mul(m, eighth) "
        "y = Softmax(d)", 2)
product("batch_of_four", "n, k, h, 4", "k, h, 4, n", "k, h, n, n",
        "t = Transpose<perm = [1, 2, 0, 3]>(a) y = MatMul(t, b)")
product("rolled", "k, n, h, 4", "k, h, 4, n", "k, h, n, n",
        "t = Transpose<perm = [0, 2, 1, 3]>(a) y = MatMul(t, b)", 2)
product("batch_of_other_rank", "n, k, 4", "h, k, 4, n", "h, k, n, n",
        "t = Transpose<perm = [1, 0, 2]>(a) y = MatMul(t, b)", 2)
product("swap_of_other_rank", "4, n", "k, 4, n", "k, n, n",
        "t = Transpose<perm = [1, 0]>(a) y = MatMul(t, b)")
product("by_a_vector", "4, n", "4", "n", "t = Transpose<perm = [1, 0]>(a) y = MatMul(t, b)", 2)
product("by_a_vector_3d", "k, 4, n", "4", "k, n",
        "t = Transpose<perm = [0, 2, 1]>(a) y = MatMul(t, b)", 2)
product("transpose_shared", "k, n, 4", "k, n, 4", "k, n, n",
        "t = Transpose<perm = [0, 2, 1]>(b) m = MatMul(a, t) d = MatMul(b, t) y = Add(m, d)", 3)
