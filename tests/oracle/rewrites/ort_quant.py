"""Quantized graphs, for ONNX Runtime: beside its EXTENDED level.

SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

ORT = ("-O3", "--target", "ort")
CASES = []


def case(name, text, most, opset=17, **more):
    CASES.append(Case(name, text, most=most, args=ORT, opset=opset, **more))


# ---- dynamic ----------------------------------------------------------------------------

W = {"uint8": "uint8[8, 6] w", "int8": "int8[8, 6] w"}
DYNAMIC = ("(float[n, 8] x) => (float[n, 6] y) <%s, float ws = {0.02}, %s wz = {3}, "
           "float[6] posws, %s[6] wzs, float[6] b> { q, s, z = DynamicQuantizeLinear(x) "
           "i = MatMulInteger(q, w, z%s) f = Cast<to = 1>(i) %s }")
SCALED = {"": "k = Mul(s, ws) y = Mul(f, k)", "_swapped": "k = Mul(ws, s) y = Mul(k, f)",
          "_two_steps": "m = Mul(f, s) y = Mul(ws, m)",
          "_two_steps_swapped": "m = Mul(ws, f) y = Mul(m, s)",
          "_bias": "k = Mul(s, ws) m = Mul(f, k) y = Add(m, b)",
          "_bias_swapped": "k = Mul(s, ws) m = Mul(k, f) y = Add(b, m)",
          "_columns": "k = Mul(s, posws) y = Mul(f, k)",
          "_columns_bias": "k = Mul(posws, s) m = Mul(k, f) y = Add(b, m)"}
for t, w in W.items():
    for name, nodes in SCALED.items():
        for zero in ("", ", wz", ", wzs") if name == "_columns" else (", wz",):
            if t == "uint8" and zero != ", wz":
                continue
            case("dynamic_%s%s%s" % (t, name, zero.replace(", ", "_")),
                 DYNAMIC % (w, t, t, zero, nodes), 1)
case("dynamic_bias_relu", DYNAMIC % (W["int8"], "int8", "int8", "", "k = Mul(s, ws) "
     "m = Mul(f, k) a = Add(m, b) y = Relu(a)"), 2)
case("dynamic_wide_bias", (DYNAMIC % (W["int8"], "int8", "int8", "", "k = Mul(s, ws) "
     "m = Mul(f, k) y = Add(m, b)")).replace("float[6] b", "float[1, 6] b"), 1)
case("dynamic_shared", (DYNAMIC % (W["uint8"], "uint8", "uint8", ", wz",
     "k = Mul(s, ws) m = Mul(f, k) j = MatMulInteger(q, v, z, wz) g = Cast<to = 1>(j) "
     "l = Mul(s, vs) p = Mul(g, l) y = Add(m, p)")).replace("float[6] b", "uint8[8, 6] v, "
     "float vs = {0.03}"), 4)
case("dynamic_both", "(float[k, n, 8] a, float[k, 8, n] b) => (float[k, n, n] y) "
     "{ q, s, z = DynamicQuantizeLinear(a) r, t, v = DynamicQuantizeLinear(b) "
     "i = MatMulInteger(q, r, z, v) f = Cast<to = 1>(i) k = Mul(s, t) y = Mul(f, k) }", 2)
case("dynamic_3d", "(float[k, n, 8] x) => (float[k, n, 6] y) <int8[8, 6] w, "
     "float ws = {0.02}, int8 wz = {0}, float[6] b> { q, s, z = DynamicQuantizeLinear(x) "
     "i = MatMulInteger(q, w, z, wz) f = Cast<to = 1>(i) k = Mul(s, ws) m = Mul(f, k) "
     "y = Add(m, b) }", 1)
case("scale_escapes", "(float[n, 8] x) => (float[n, 6] y, float s) <int8[8, 6] w, "
     "float ws = {0.02}> { q, s, z = DynamicQuantizeLinear(x) i = MatMulInteger(q, w, z) "
     "f = Cast<to = 1>(i) k = Mul(s, ws) y = Mul(f, k) }", 2)
case("signed_by_unsigned", "(int8[n, 8] x) => (float[n, 6] y) <uint8[8, 6] w, "
     "float s = {0.1}, float ws = {0.02}, int8 z = {3}, uint8 wz = {120}> "
     "{ i = MatMulInteger(x, w, z, wz) f = Cast<to = 1>(i) k = Mul(s, ws) y = Mul(f, k) }", 3)

# ---- between dequantizers and quantizers ------------------------------------------------

PARAMS = ("float s = {0.0311}, %(t)s z = {%(z)d}, float r = {0.0523}, %(t)s v = {%(v)d}, "
          "float u = {0.0987}, ")
TYPES = {"uint8": {"t": "uint8", "z": 120, "v": 100}, "int8": {"t": "int8", "z": -7, "v": 20}}
IN = ("q = QuantizeLinear(a, s, z) d = DequantizeLinear(q, s, z) ",
      "p = QuantizeLinear(b, r, v) e = DequantizeLinear(p, r, v) ")
OUT = " h = QuantizeLinear(f, u, z) y = DequantizeLinear(h, u, z) }"


def between(name, nodes, most, b="", shape="n, 4, 6, 6", out="n, 4, 6, 6", opset=(17,),
            cond="", types=("uint8",), **more):
    for t in types:
        params = TYPES[t]
        for o in opset:
            case("%s_%s_%d" % (name, t, o), "(float[%s] a%s%s) => (float[%s] y) <%s> { %s" % (
                shape, ", float[%s] b" % b if b else "", cond, out,
                (PARAMS % params).rstrip(", "),
                IN[0] + (IN[1] if b else "") + nodes + OUT), most, opset=o, **more)


for op in ("Add", "Mul"):
    between("qlinear_" + op.lower(), "f = %s(d, e)" % op, 4, b="n, 4, 6, 6", types=TYPES)
    between("qlinear_wide_" + op.lower(), "f = %s(d, e)" % op, 4, b="4, 1, 6")
between("qlinear_add_itself", "f = Add(d, d)", 3)
between("qlinear_sub", "f = Sub(d, e)", 7, b="n, 4, 6, 6")
for axis in ("", "<axis = 1>"):  # its rounding is off by a level here and there
    between("qlinear_softmax" + axis[-2:-1], "f = Softmax%s(d)" % axis, 3, tol=0.1)
for op in ("Sigmoid", "LeakyRelu<alpha = 0.2>",
           "AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>",
           "AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1>"):
    between("qlinear_" + "".join(c for c in op.lower() if c.isalnum()), "f = %s(d)" % op, 3,
            types=TYPES)
between("qlinear_add", "f = Add(d, e)", 4, b="n, 4, 6, 6", opset=(13, 21))
between("softmax_flat", "f = Softmax<axis = 1>(d)", 3, opset=(11,), tol=0.1)
between("tanh", "f = Tanh(d)", 5)
CEIL = "f = AveragePool<kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1%s>(d)"
between("ceil_average", CEIL % "", 3, out="n, 4, 3, 3", opset=(11, 19))
between("ceil_padding", CEIL % ", count_include_pad = 1", 5, out="n, 4, 3, 3", opset=(11, 19))
between("global_average", "f = GlobalAveragePool(d)", 3, out="n, 4, 1, 1")
between("qlinear_concat", "f = Concat<axis = 1>(d, e)", 4, b="n, 2, 6, 6", out="n, 6, 6, 6",
        types=TYPES)
between("qlinear_where", "f = Where(c, d, e)", 4, b="n, 4, 6, 6", cond=", bool[6] c",
        types=TYPES)
between("two_readers", "g = Add(d, e) f = Mul(g, d)", None, b="n, 4, 6, 6")
between("sum_escapes", "g = Sigmoid(d) f = Sigmoid(g)", None)

# ---- products ---------------------------------------------------------------------------

WEIGHTS = {("uint8", "uint8"): "uint8 wz = {120}", ("uint8", "int8"): "int8 wz = {0}",
           ("int8", "int8"): "int8 wz = {0}", ("int8", "uint8"): "uint8 wz = {120}"}


def product(name, w, nodes, most, shape, out, tail=OUT, types=WEIGHTS, k=None, **more):
    """nodes: how the weights are dequantized, and the rest; types: of a and of the weights; k:
    the weights."""
    n = w.split("]")[0].split("[")[1].split(",")
    n = int(n[0] if "conv" in name or "trans" in name else n[-1])
    values = {} if k is None else {"k": k}
    values.update({"wzs": [0] * n, "posws": [0.01 + 0.001 * i for i in range(n)]})
    for t, wt in types:
        zero = WEIGHTS[t, wt]
        case("%s_%s_%s" % (name, t, wt), "(float[%s] a) => (float[%s] y) <%s%s %s, "
             "float ws = {0.01}, %s, float[%d] posws, %s[%d] wzs, int32[%d] c, "
             "float cs = {0.000311}, int32 cz = {0}, float[%d] g> { %sw = DequantizeLinear%s "
             "%s%s" % (shape, out, PARAMS % TYPES[t], wt, w, zero, n, wt, n, n, n, IN[0], *nodes,
                       tail), most, values=values, **more)


SOME = (("uint8", "int8"), ("int8", "int8"))
ONE_SCALE, COLUMNS, CHANNELS = "(k, ws, wz)", "(k, posws, wzs)", "<axis = 0>(k, posws, wzs)"
CONV = ("n, 4, 8, 8", "n, 6, 6, 6")
ROWS = ("n, 8", "n, 6")
END = " y = Identity(f) }"
BIAS = "j = DequantizeLinear(c, cs, cz) "
product("conv", "[6, 4, 3, 3] k", (ONE_SCALE, "f = Conv(d, w)"), 3, *CONV, types=SOME)
product("conv_bias", "[6, 4, 3, 3] k", (ONE_SCALE, BIAS + "f = Conv(d, w, j)"), 3, *CONV)
product("conv_channels", "[6, 4, 3, 3] k", (CHANNELS, "f = Conv(d, w)"), 3, *CONV, types=SOME)
product("conv_relu", "[6, 4, 3, 3] k", (ONE_SCALE, "o = Conv(d, w) f = Relu(o)"), None, *CONV,
        types=SOME)
product("conv_float_bias", "[6, 4, 3, 3] k", (ONE_SCALE, "f = Conv(d, w, g)"), 3, *CONV,
        tol=0.1)  # the bias is rounded to steps of the sums, as ONNX Runtime has it
product("gemm", "[8, 6] k", (ONE_SCALE, "f = Gemm(d, w)"), 3, *ROWS, types=SOME)
product("gemm_bias", "[8, 6] k", (ONE_SCALE, BIAS + "f = Gemm(d, w, j)"), 3, *ROWS)
product("gemm_trans", "[6, 8] k", (ONE_SCALE, "f = Gemm<transB = 1, alpha = 0.5>(d, w)"), 3,
        *ROWS, types=SOME)
product("gemm_columns", "[8, 6] k", (COLUMNS, "f = Gemm(d, w)"), 3, *ROWS, types=SOME)
product("gemm_float", "[8, 6] k", (ONE_SCALE, BIAS + "f = Gemm(d, w, j)"), 2, *ROWS, END,
        types=SOME)
product("gemm_trans_float_bias", "[6, 8] k", ("(k, ws, wz)", "f = Gemm<transB = 1>(d, w, g)"),
        3, *ROWS, types=SOME, tol=0.1)
product("conv_no_zero", "[6, 4, 3, 3] k", ("(k, ws)", "f = Conv(d, w)"), 3, *CONV, types=SOME)
product("gemm_rounded_bias", "[8, 6] k", (ONE_SCALE, "f = Gemm(d, w, g)"), 3, *ROWS, types=SOME)
product("gemm_float_bias", "[8, 6] k", (ONE_SCALE, "f = Gemm(d, w, g)"), 2, *ROWS, END, types=SOME)
product("matmul", "[8, 6] k", (ONE_SCALE, "f = MatMul(d, w)"), 3, *ROWS)
product("matmul_columns", "[8, 6] k", (COLUMNS, "f = MatMul(d, w)"), 3, *ROWS, types=SOME)
product("matmul_float", "[8, 6] k", (ONE_SCALE, "f = MatMul(d, w)"), 2, *ROWS, END)
product("matmul_add", "[8, 6] k", (ONE_SCALE, BIAS + "m = MatMul(d, w) f = Add(m, j)"), 3,
        *ROWS, types=SOME)
product("matmul_3d_bias", "[8, 6] k", (ONE_SCALE, "m = MatMul(d, w) f = Add(m, g)"), 2,
        "n, 2, 8", "n, 2, 6", END)
# Signed weights that would saturate in 16 bits: unsigned ones stand in their place.
WIDE = np.resize([127, -127, 126, 127, -128, 90, -99], 300).astype(np.int8)
product("matmul_wide", "[8, 6] k", (ONE_SCALE, "f = MatMul(d, w)"), 3, *ROWS, types=SOME,
        k=WIDE[:48].reshape(8, 6))
product("gemm_wide_columns", "[8, 6] k", (COLUMNS, "f = Gemm(d, w)"), 3, *ROWS, types=SOME,
        k=WIDE[:48].reshape(8, 6))
product("conv_wide_channels", "[6, 4, 3, 3] k", (CHANNELS, "f = Conv(d, w)"), 3, *CONV,
        types=SOME, k=WIDE[:216].reshape(6, 4, 3, 3))
between("matmul_both", "f = MatMul(d, e)", 4, b="n, 4, 6, 6")

# ---- weights in blocks --------------------------------------------------------------------

STEPS = np.linspace(0.01, 0.09, 128)
BITS = {"int4": (-8, 8), "uint4": (0, 16), "int8": (-128, 128), "uint8": (0, 256)}
BLOCKS = {
    "": ("[64, 64]", "[2, 64]", "d = DequantizeLinear<axis = 0, block_size = 32>(w, s%s) "
         "y = MatMul(x, d)"),
    "_bias": ("[64, 64]", "[2, 64]", "d = DequantizeLinear<axis = 0, block_size = 32>(w, s%s) "
              "m = MatMul(x, d) y = Add(b, m)"),
    "_transposed": ("[64, 64]", "[64, 2]", "d = DequantizeLinear<axis = 1, block_size = 32>(w, "
                    "s%s) t = Transpose<perm = [1, 0]>(d) y = MatMul(x, t)"),
    "_gemm": ("[64, 64]", "[64, 2]", "d = DequantizeLinear<axis = -1, block_size = 32>(w, s%s) "
              "y = Gemm<transB = 1>(x, d, b)"),
    "_odd": ("[64, 48]", "[64, 3]", "d = DequantizeLinear<axis = -1, block_size = 16>(w, s%s) "
             "y = Gemm<transB = 1>(v, d)"),
}
for t, ends in BITS.items():
    for name, (shape, steps, nodes) in BLOCKS.items():
        for zero in ("", ", z"):
            rng = np.random.default_rng(7)
            size = [int(n) for n in shape[1:-1].split(",")], [int(n) for n in steps[1:-1].split(",")]
            case("blocks_%s%s%s" % (t, name, "_zero" if zero else ""), "(float[n, 64] x, "
                 "float[n, 48] v) => (float[n, 64] y) <%s%s w, float%s s, %s%s z, float[64] b> { %s }"
                 % (t, shape, steps, t, steps, nodes % zero), 1, opset=21, ir=10,
                 values={"w": rng.integers(*ends, size[0]), "z": rng.integers(*ends, size[1]),
                         "s": np.resize(STEPS, size[1])})
for t in ("int4", "uint4", "uint8"):
    rng = np.random.default_rng(7)
    case("table_blocks_" + t, "(int64[n] i) => (float[n, 64] y) <%s[40, 64] w, float[40, 2] s, "
         "%s[40, 2] z> { d = DequantizeLinear<axis = 1, block_size = 32>(w, s, z) y = Gather(d, i) }"
         % (t, t), 1, opset=21, ir=10, tol=0, feeds={"i": lambda run: np.arange(-2, run + 1)},
         values={"w": rng.integers(*BITS[t], (40, 64)), "z": rng.integers(*BITS[t], (40, 2)),
                 "s": np.resize(STEPS, (40, 2))})
