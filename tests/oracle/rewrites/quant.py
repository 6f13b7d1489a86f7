"""Quantized graphs in the spellings of ONNX Runtime's quantizer, PyTorch, TensorFlow and spox.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

X = "(float[N, 4] x) => (float[N, 4] y) "
S = "float s = {0.05}, uint8 z = {128}"
IMAGE = "(float[N, 4, 6, 6] x) => "


def levels(dtype, shape, lo=-127, hi=128):
    return np.random.default_rng(5).integers(lo, hi, shape).astype(dtype)


def qdq(name, body, declared="", k=1, out="float[N, 4, 6, 6]", **more):
    """x quantized, `body` from d to e, and quantized again."""
    return Case(name, IMAGE + "(%s y) <%s%s> { q = QuantizeLinear(x, s, z) d = DequantizeLinear("
                "q, s, z) %s q2 = QuantizeLinear(e, s, z) y = DequantizeLinear(q2, s, z) }"
                % (out, S, ", " + declared if declared else "", body), most=k + 2, tol=0, **more)


TURNED = ("f = Transpose<perm=[0,1,3,2]>(d) q3 = QuantizeLinear(f, s, z) "
          "d3 = DequantizeLinear(q3, s, z) ")
MOVES = [
    qdq("qdq_reshape", "e = Reshape(d, t)", "int64[2] t = {0, -1}", out="float[N, 144]"),
    qdq("qdq_flatten", "e = Flatten(d)", out="float[N, 144]"),
    qdq("qdq_transpose", "e = Transpose<perm=[0,2,3,1]>(d)", out="float[N, 6, 6, 4]"),
    qdq("qdq_squeeze", "u = Unsqueeze(d, a) e = Squeeze(u, b)", "int64[1] a = {1}, int64[1] b = {1}",
        k=0),
    qdq("qdq_slice", "e = Slice(d, a, b, c)", "int64[1] a = {1}, int64[1] b = {3}, int64[1] c = {2}",
        out="float[N, 4, 2, 6]"),
    qdq("qdq_gather", "e = Gather<axis=1>(d, i)", "int64[2] i = {3, 0}", out="float[N, 2, 6, 6]"),
    qdq("qdq_expand", "e = Expand(d, t)", "int64[5] t = {2, 1, 1, 1, 1}", out="float[2, N, 4, 6, 6]"),
    qdq("qdq_tile", "e = Tile(d, t)", "int64[4] t = {1, 2, 1, 1}", out="float[N, 8, 6, 6]"),
    qdq("qdq_max_pool", "e = MaxPool<kernel_shape=[2,2], strides=[2,2]>(d)", out="float[N, 4, 3, 3]"),
    qdq("qdq_max_pool_padded", "e = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(d)"),
    qdq("qdq_pad", "e = Pad(d, p)", "int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}", out="float[N, 4, 8, 8]"),
    qdq("qdq_pad_one", "e = Pad(d, p, v)", "int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}, float v = {1.0}",
        out="float[N, 4, 8, 8]"),
    qdq("qdq_pad_reflect", "e = Pad<mode=\"reflect\">(d, p)", "int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}",
        out="float[N, 4, 8, 8]"),
    qdq("qdq_resize_nearest", "e = Resize<mode=\"nearest\">(d, , f)", "float[4] f = {1, 1, 2, 2}",
        out="float[N, 4, 12, 12]"),
    qdq("qdq_depth_to_space", "e = DepthToSpace<blocksize=2>(d)", out="float[N, 1, 12, 12]"),
    qdq("qdq_reduce_max", "e = ReduceMax(d, a)", "int64[1] a = {1}", out="float[N, 1, 6, 6]"),
    qdq("qdq_two_moves", "a = MaxPool<kernel_shape=[2,2]>(d) e = Transpose<perm=[0,2,3,1]>(a)", k=2,
        out="float[N, 5, 5, 4]"),
    qdq("qdq_concat", "e = Concat<axis=1>(d, d)", out="float[N, 8, 6, 6]"),
    qdq("qdq_where", "e = Where(c, d, k)", "bool[6] c = {1, 0, 0, 1, 0, 1}, float k = {-1}"),
    qdq("qdq_where_both", TURNED + "e = Where(c, d, d3)",
        "bool[6] c = {1, 0, 0, 1, 0, 1}", k=2),
    qdq("qdq_max", "e = Max(d, k)", "float k = {0.3}"),
    qdq("qdq_min", TURNED + "e = Min(d, d3)", k=2),
    qdq("qdq_relu_between", "e = Relu(d)"),
    qdq("qdq_clip_between", "e = Clip(d, lo, hi)", "float lo = {-1}, float hi = {1}"),
    Case("qdq_argmax", IMAGE + "(int64[N, 1, 6, 6] y) <" + S + "> { q = QuantizeLinear(x, s, z) "
         "d = DequantizeLinear(q, s, z) y = ArgMax<axis=1>(d) }", most=2, tol=0),
    # what may not be taken for a move
    qdq("trap_qdq_resize_linear", "e = Resize<mode=\"linear\">(d, , f)", "float[4] f = {1, 1, 2, 2}",
        k=3, out="float[N, 4, 12, 12]"),
    qdq("trap_qdq_average_pool", "e = AveragePool<kernel_shape=[2,2]>(d)", k=3,
        out="float[N, 4, 5, 5]"),
]

P = ["-O3", "--target", "planish"]


def unit(name, body, declared="", out="float[N, 4, 6, 6]", **more):
    """Operators between two quantized inputs and a quantizer, in operators of our own."""
    return Case(name, "(float[N, 4, 6, 6] x, float[N, 4, 6, 6] w) => (%s y) <" % out + S +
                ", float t = {0.03}, int8 u = {-3}, float r = {0.11}%s> {" % (
                    ", " + declared if declared else "") +
                "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) "
                "p = QuantizeLinear(w, t, u) e = DequantizeLinear(p, t, u) " + body +
                " o = QuantizeLinear(f, r, z) y = DequantizeLinear(o, r, z) }", args=P,
                **dict({"tol": 0}, **more))


UNITS = [
    unit("unit_add", "f = Add(d, e)", most=4),
    unit("unit_sub", "f = Sub(e, d)", most=4),
    unit("unit_mul", "f = Mul(d, e)", most=4),
    unit("unit_add_relu", "a = Add(d, e) f = Relu(a)", most=5),
    unit("unit_add_broadcast", "a = ReduceMax(e, ax) f = Add(d, a)", "int64[1] ax = {1}"),
    unit("unit_sigmoid", "f = Sigmoid(d)", most=3),
    unit("unit_silu", "a = Sigmoid(d) f = Mul(d, a)", most=3),
    unit("unit_hard_swish", "a = HardSigmoid<alpha=0.1666667, beta=0.5>(d) f = Mul(a, d)", most=3),
    unit("unit_gelu", "f = Gelu(d)", most=3),
    unit("unit_concat", "f = Concat<axis=1>(d, e)", most=4, out="float[N, 8, 6, 6]"),
    unit("unit_max_pool", "f = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(d)",
         out="float[N, 4, 3, 3]"),
    unit("unit_transpose_relu", "a = Transpose<perm=[0,2,3,1]>(d) f = Relu(a)",
         out="float[N, 6, 6, 4]"),
    unit("unit_where", "g = DequantizeLinear(k, v, z) f = Where(c, d, g)",
         "bool[6] c = {1, 0, 0, 1, 0, 1}, uint8[6] k = {1, 100, 200, 250, 0, 128}, "
         "float v = {0.07}", most=3),
    unit("unit_leaky_relu", "f = LeakyRelu(d)", most=3),
    unit("unit_relu", "f = Relu(d)", most=3),
    unit("unit_rescaled", "f = Identity(d)", most=3),
    # one step of the result: sums are rounded elsewhere
    unit("unit_softmax", "f = Softmax(d)", most=3, tol=0.12),
    unit("unit_average_pool", "f = AveragePool<kernel_shape=[2,2]>(d)", most=3, tol=0.12,
         out="float[N, 4, 5, 5]"),
    unit("unit_global_average", "f = GlobalAveragePool(d)", most=3, tol=0.12,
         out="float[N, 4, 1, 1]"),
]

CASES = MOVES + UNITS + [
    # pairs
    Case("qdq_alone", X + "<" + S + "> { q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }",
         most=2, tol=0),
    Case("qdq_twice", X + "<" + S + """> { q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
         q2 = QuantizeLinear(d, s, z) y = DequantizeLinear(q2, s, z) }""", most=2, tol=0),
    Case("qdq_twice_own_names", X + "<" + S + """, float s2 = {0.05}, uint8 z2 = {128}> {
         q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) q2 = QuantizeLinear(d, s2, z2)
         y = DequantizeLinear(q2, s2, z2) }""", most=2, tol=0),
    Case("qdq_twice_no_zero", X + """<float s = {0.05}, uint8 z = {0}> {
         q = QuantizeLinear(x, s) d = DequantizeLinear(q, s, z) q2 = QuantizeLinear(d, s, z)
         y = DequantizeLinear(q2, s) }""", most=2, tol=0),
    Case("trap_qdq_twice_other_scale", X + "<" + S + """, float s2 = {0.01}> {
         q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) q2 = QuantizeLinear(d, s2, z)
         y = DequantizeLinear(q2, s2, z) }""", tol=0),
    Case("trap_qdq_twice_other_zero", X + "<" + S + """, uint8 z2 = {0}> {
         q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) q2 = QuantizeLinear(d, s, z2)
         y = DequantizeLinear(q2, s, z2) }""", tol=0),
    Case("trap_qdq_twice_other_type", X + "<" + S + """, int8 z2 = {0}> {
         q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) q2 = QuantizeLinear(d, s, z2)
         y = DequantizeLinear(q2, s, z2) }""", tol=0),
    Case("trap_qdq_axis", """(float[3, 3] x) => (float[3, 3] y) <float[3] s = {0.01, 0.05, 0.2},
         int8[3] z = {1, 0, -1}> { q = QuantizeLinear<axis=0>(x, s, z)
         d = DequantizeLinear<axis=0>(q, s, z) q2 = QuantizeLinear<axis=1>(d, s, z)
         y = DequantizeLinear<axis=1>(q2, s, z) }""", most=4, tol=0),
    Case("qdq_twice_axis", """(float[3, 3] x) => (float[3, 3] y) <float[3] s = {0.01, 0.05, 0.2},
         int8[3] z = {1, 0, -1}> { q = QuantizeLinear<axis=0>(x, s, z)
         d = DequantizeLinear<axis=-2>(q, s, z) q2 = QuantizeLinear<axis=0>(d, s, z)
         y = DequantizeLinear<axis=0>(q2, s, z) }""", most=2, tol=0),
    Case("qdq_twice_short", X + """<float s = {0.001}, int16 z = {3}> { q = QuantizeLinear(x, s, z)
         d = DequantizeLinear(q, s, z) q2 = QuantizeLinear(d, s, z) y = DequantizeLinear(q2, s, z) }""",
         most=2, tol=0, opset=21, ir=10),
    Case("qdq_twice_int4", X + """<float s = {0.3}, int4 z = {0}> { q = QuantizeLinear(x, s, z)
         d = DequantizeLinear(q, s, z) q2 = QuantizeLinear(d, s, z) y = DequantizeLinear(q2, s, z) }""",
         most=2, tol=0, opset=21, ir=10),
    Case("qdq_twice_float8", X + """<float s = {0.3}> {
         q = QuantizeLinear<output_dtype=17>(x, s) d = DequantizeLinear(q, s)
         q2 = QuantizeLinear<output_dtype=17>(d, s) y = DequantizeLinear(q2, s) }""", most=2,
         tol=0, opset=21, ir=10),
    Case("trap_qdq_float8_infinite", X + """<float s = {0.00001}> {
         q = QuantizeLinear<output_dtype=19, saturate=0>(x, s) d = DequantizeLinear(q, s)
         q2 = QuantizeLinear<output_dtype=19>(d, s) y = DequantizeLinear(q2, s) }""", most=4,
         tol=0, opset=21, ir=10),
    Case("qdq_opset_10", X + "<" + S + """> { q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
         q2 = QuantizeLinear(d, s, z) y = DequantizeLinear(q2, s, z) }""", most=2, tol=0, opset=10, ir=5),
    Case("qdq_opset_25", X + "<" + S + """> { q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
         q2 = QuantizeLinear(d, s, z) y = DequantizeLinear(q2, s, z) }""", most=2, tol=0, opset=25, ir=12),
    Case("trap_move_other_scale", "(float[N, 4, 6, 6] x) => (float[N, 144] y) <" + S + """,
         float s2 = {0.1}> { q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
         f = Flatten(d) q2 = QuantizeLinear(f, s2, z) y = DequantizeLinear(q2, s2, z) }""", tol=0),
    Case("qdq_split", "(float[N, 4] x) => (float[N, 2] y, float[N, 2] w) <" + S + """> {
         q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
         a, b = Split<axis=1, num_outputs=2>(d) qa = QuantizeLinear(a, s, z)
         y = DequantizeLinear(qa, s, z) qb = QuantizeLinear(b, s, z) w = DequantizeLinear(qb, s, z) }""",
         most=4, tol=0),
    # the range does what Relu and Clip do
    Case("relu_saturates", X + """<float s = {0.02}, uint8 z = {0}> { r = Relu(x)
         q = QuantizeLinear(r, s, z) y = DequantizeLinear(q, s, z) }""", most=2, tol=0),
    Case("relu_saturates_int8", X + """<float s = {0.02}, int8 z = {-128}> { r = Relu(x)
         q = QuantizeLinear(r, s, z) y = DequantizeLinear(q, s, z) }""", most=2, tol=0),
    Case("trap_relu_does_not_saturate", X + "<" + S + """> { r = Relu(x)
         q = QuantizeLinear(r, s, z) y = DequantizeLinear(q, s, z) }""", most=3, tol=0),
    Case("clip6_saturates", X + """<float s = {0.0235294122}, uint8 z = {0}, float lo = {0},
         float hi = {6}> { r = Clip(x, lo, hi) q = QuantizeLinear(r, s, z)
         y = DequantizeLinear(q, s, z) }""", most=2, tol=0),
    Case("trap_clip_in_range", X + """<float s = {0.0235294122}, uint8 z = {0}, float lo = {0},
         float hi = {1}> { r = Clip(x, lo, hi) q = QuantizeLinear(r, s, z)
         y = DequantizeLinear(q, s, z) }""", most=3, tol=0),
    # constants
    Case("weights_quantized_at_run", """(float[N, 4] x) => (float[N, 8] y) <float[4, 8] w,
         float s = {0.01}, int8 z = {0}> { q = QuantizeLinear(w, s, z)
         d = DequantizeLinear(q, s, z) y = MatMul(x, d) }""", most=2),
    Case("weights_quantized_by_columns", """(float[N, 4] x) => (float[N, 3] y) <float[4, 3] w,
         float[3] s = {0.01, 0.02, 0.005}, int8[3] z = {0, 0, 0}> { q = QuantizeLinear<axis=1>(w, s, z)
         d = DequantizeLinear<axis=1>(q, s, z) y = MatMul(x, d) }""", most=2),
    Case("weights_transposed", """(float[N, 4] x) => (float[N, 3] y) <int8[3, 4] w,
         float[3] s = {0.01, 0.02, 0.005}> { d = DequantizeLinear<axis=0>(w, s)
         t = Transpose<perm=[1,0]>(d) y = MatMul(x, t) }""", most=2,
         values={"w": levels(np.int8, (3, 4))}),
    Case("weights_reshaped", """(float[N, 4] x) => (float[N, 3] y) <int8[12] w, float s = {0.01},
         int64[2] t = {4, 3}> { d = DequantizeLinear(w, s) r = Reshape(d, t) y = MatMul(x, r) }""",
         most=2, values={"w": levels(np.int8, (12,))}),
    Case("weights_stay_bytes", """(float[N, 64] x) => (float[N, 64] y) <int8[64, 64] w, float s = {0.01}> {
         d = DequantizeLinear(w, s) y = MatMul(x, d) }""", most=2,
         values={"w": levels(np.int8, (64, 64))}),
    Case("weights_cast_and_scaled", """(float[N, 64] x) => (float[N, 64] y) <int8[64, 64] w,
         float s = {0.01}> { c = Cast<to=1>(w) m = Mul(c, s) y = MatMul(x, m) }""", most=2,
         values={"w": levels(np.int8, (64, 64))}),
    Case("weights_cast_half", """(float[N, 64] x) => (float[N, 64] y) <float16[64, 64] w> {
         c = Cast<to=1>(w) y = MatMul(x, c) }""", most=2),
    # tables
    Case("table_before_gather", """(int64[N] i) => (float[N, 16] y) <int8[40, 16] w, float s = {0.02},
         int8 z = {3}> { d = DequantizeLinear(w, s, z) y = Gather(d, i) }""", most=2, tol=0,
         values={"w": levels(np.int8, (40, 16))}),
    Case("table_by_columns", """(int64[N, 2] i) => (float[N, 2, 16] y) <int8[40, 16] w, float[16] s> {
         d = DequantizeLinear<axis=-1>(w, s) y = Gather<axis=0>(d, i) }""", most=2, tol=0,
         values={"w": levels(np.int8, (40, 16))}),
    Case("table_by_rows", """(int64[N] i) => (float[N, 16] y) <int8[40, 16] w, float[40] s> {
         d = DequantizeLinear<axis=0>(w, s) y = Gather(d, i) }""", most=2, tol=0,
         values={"w": levels(np.int8, (40, 16))}),
    Case("table_cast", """(int64[N] i) => (float[N, 16] y) <float16[200, 16] w> {
         c = Cast<to=1>(w) y = Gather(c, i) }""", most=2, tol=0),
    Case("table_tied_half", """(int64[N] i, float[N, 64] x) => (float[N, 64] y, float[N, 256] v)
         <float16[256, 64] w> { c = Cast<to=1>(w) y = Gather(c, i) t = Transpose<perm=[1,0]>(c)
         v = MatMul(x, t) }""", most=3, args=P),
]

# ---- weights that are stored narrow, in spellings of GPTQ and AWQ exporters -----------------

STEPS = np.resize(np.linspace(0.01, 0.05, 9), 128)
BLOCKS = {"w": levels(np.int64, (2, 32, 64), 0, 16), "s": STEPS.reshape(2, 1, 64),
          "z": levels(np.int64, (2, 1, 64), 0, 16)}
SQUARE = {"w": levels(np.int64, (64, 64), 0, 128)}


def narrow(name, declared, nodes, values):
    CASES.append(Case("narrow_" + name, "(float[N, 64] x) => (float[N, 64] y) <%s> { %s }" % (
        declared, nodes), most=1, args=P, opset=21, ir=10, values=values))


narrow("blocks", "int8[2, 32, 64] w, float[2, 1, 64] s, int64[2] t = {64, 64}",
       "c = Cast<to=1>(w) m = Mul(c, s) r = Reshape(m, t) y = MatMul(x, r)", BLOCKS)
narrow("blocks_zero", "uint8[2, 32, 64] w, float[2, 1, 64] s, uint8[2, 1, 64] z, "
       "int64[2] t = {64, -1}", "c = Cast<to=1>(w) k = Cast<to=1>(z) u = Sub(c, k) "
       "m = Mul(u, s) r = Reshape(m, t) y = MatMul(x, r)", BLOCKS)
narrow("blocks_of_rows", "int4[64, 2, 32] w, float[64, 2, 1] s, int64[2] t = {64, 64}",
       "c = Cast<to=1>(w) m = Mul(c, s) r = Reshape(m, t) o = Transpose<perm=[1,0]>(r) "
       "y = MatMul(x, o)", {"w": levels(np.int64, (64, 2, 32), -8, 8),
                            "s": STEPS.reshape(64, 2, 1)})
narrow("affine", "uint8[64, 64] w, float s = {0.01}, float z = {-1.28}",
       "c = Cast<to=1>(w) m = Mul(c, s) d = Add(m, z) y = MatMul(x, d)", SQUARE)
narrow("whole", "int8[64, 64] w, int8 z = {3}, float s = {0.01}", "a = Cast<to=6>(w) "
       "b = Cast<to=6>(z) u = Sub(a, b) c = Cast<to=1>(u) m = Mul(c, s) y = MatMul(x, m)",
       SQUARE)

# ---- products with moves around them --------------------------------------------------------

PRODUCT = "int8[8, 6] w, float ws = {0.01}, int8 wz = {0}, float r = {0.2}"
KERNEL = "int8[3, 2, 3, 3] w, float ws = {0.01}, int8 wz = {0}, float r = {0.2}"
WEIGHTS = "e = DequantizeLinear(w, ws, wz) "
ENDS = " o = QuantizeLinear(f, r, z) y = DequantizeLinear(o, r, z)"
AROUND = {  # x, y, initializers, nodes
    "reshape_matmul": ("N, 2, 4", "N, 6", PRODUCT + ", int64[2] t = {-1, 8}",
                       "a = Reshape(d, t) f = MatMul(a, e)"),
    "transpose_matmul": ("8, N", "N, 6", PRODUCT, "a = Transpose<perm=[1,0]>(d) f = MatMul(a, e)"),
    "flatten_matmul": ("N, 2, 4", "N, 6", PRODUCT, "a = Flatten(d) f = MatMul(a, e)"),
    "squeeze_matmul": ("N, 1, 8", "N, 6", PRODUCT + ", int64[1] t = {1}",
                       "a = Squeeze(d, t) f = MatMul(a, e)"),
    "slice_matmul": ("N, 9", "N, 6", PRODUCT + ", int64[1] t = {1}, int64[1] u = {9}",
                     "a = Slice(d, t, u, t) f = MatMul(a, e)"),
    "gather_matmul": ("N, 8", "N, 6", PRODUCT + ", int64[8] i = {7, 6, 5, 4, 3, 2, 1, 0}",
                      "a = Gather<axis=1>(d, i) f = MatMul(a, e)"),
    "max_pool_conv": ("N, 2, 8, 8", "N, 3, 5, 5", KERNEL,
                      "a = MaxPool<kernel_shape=[2,2]>(d) f = Conv(a, e)"),
    "conv_max_pool": ("N, 2, 8, 8", "N, 3, 5, 5", KERNEL,
                      "a = Conv(d, e) f = MaxPool<kernel_shape=[2,2]>(a)"),
    "matmul_reshape": ("N, 8", "N, 2, 3", PRODUCT + ", int64[3] t = {-1, 2, 3}",
                       "a = MatMul(d, e) f = Reshape(a, t)"),
    "matmul_transpose": ("N, 8", "6, N", PRODUCT, "a = MatMul(d, e) f = Transpose<perm=[1,0]>(a)"),
}
for name, (shape, out, declared, nodes) in AROUND.items():
    for target in ("ort", "planish"):
        CASES.append(Case("%s_%s" % (name, target), "(float[%s] x) => (float[%s] y) <%s, %s> { "
                          "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) %s }" % (
                              shape, out, S, declared, WEIGHTS + nodes + ENDS), most=4,
                          args=["-O3", "--target", target], opset=17, tol=0.21))
