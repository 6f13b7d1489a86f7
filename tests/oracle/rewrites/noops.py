"""Nodes that change nothing, and pairs that cancel or merge.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

X = "(float[N, 3, 8] x) => (float[N, 3, 8] y)"
SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40, 3.4e38, -1.0] * 3,
                   np.float32).reshape(1, 3, 8)
ODD = {"x": SPECIAL}

CASES = [
    # chains that are one node
    Case("add_zero_float", X + """ <float z = {0}> { a = Add(x, z) y = Reciprocal(a) }""",
         feeds=ODD),
    Case("add_minus_zero", X + """ <float z = {-0.0}> { a = Add(x, z) y = Relu(a) }""", most=1,
         feeds=ODD),
    Case("mul_one", X + """ <float o = {1}> { a = Mul(o, x) y = Relu(a) }""", most=1),
    Case("div_one", X + """ <float o = {1}> { a = Div(x, o) y = Relu(a) }""", most=1),
    Case("pow_one", X + """ <float o = {1}> { a = Pow(x, o) y = Relu(a) }""", most=1),
    Case("relu_relu", X + "{ a = Relu(x) y = Relu(a) }", most=1, feeds=ODD),
    Case("neg_neg", X + "{ a = Neg(x) b = Neg(a) y = Relu(b) }", most=1, feeds=ODD),
    Case("abs_abs", X + "{ a = Abs(x) y = Abs(a) }", most=1, feeds=ODD),
    Case("abs_neg", X + "{ a = Neg(x) y = Abs(a) }", most=1, feeds=ODD),
    Case("ceil_ceil", X + "{ a = Ceil(x) y = Ceil(a) }", most=1, feeds=ODD),
    Case("floor_round", X + "{ a = Floor(x) b = Round(a) y = Ceil(b) }", most=1, feeds=ODD),
    Case("sign_sign", X + "{ a = Sign(x) y = Sign(a) }", most=1),
    Case("not_not_where", """(bool[N, 8] c, float[N, 8] a, float[N, 8] b) => (float[N, 8] y)
         { n = Not(c) y = Where(n, a, b) }""", most=1),
    Case("not_less", """(float[N, 8] a, float[N, 8] b) => (bool[N, 8] y)
         { n = Less(a, b) y = Not(n) }"""),
    Case("clip_relu", X + """ <float l = {-1}, float h = {6}>
         { a = Clip(x, l, h) y = Relu(a) }""", most=1, feeds=ODD),
    Case("relu_clip", X + """ <float l = {-1}, float h = {6}>
         { a = Relu(x) y = Clip(a, l, h) }""", most=1, feeds=ODD),
    Case("trap_clip_neg_relu", X + """ <float l = {-2}, float h = {-1}>
         { a = Clip(x, l, h) y = Relu(a) }"""),
    Case("trap_clip_clip_disjoint", X + """ <float a0 = {0}, float a1 = {1}, float b0 = {2},
         float b1 = {3}> { a = Clip(x, a0, a1) y = Clip(a, b0, b1) }"""),
    Case("clip_clip", X + """ <float a0 = {0}, float a1 = {6}, float b0 = {-1}, float b1 = {3}>
         { a = Clip(x, a0, a1) y = Clip(a, b0, b1) }""", most=1, feeds=ODD),
    Case("min_max", X + """ <float l = {-0.5}, float h = {0.5}>
         { a = Max(x, l) y = Min(a, h) }""", most=1, feeds=ODD),
    Case("max_min", X + """ <float l = {-0.5}, float h = {0.5}>
         { a = Min(x, h) y = Max(l, a) }""", most=1),
    Case("trap_max_min_crossed", X + """ <float l = {0.5}, float h = {-0.5}>
         { a = Max(x, l) y = Min(a, h) }"""),
    Case("max_max", X + """ <float l = {-0.5}, float h = {0.5}>
         { a = Max(x, l) y = Max(a, h) }""", most=1),
    Case("idempotent_softplus", X + "{ a = Softplus(x) y = Relu(a) }", most=1),
    Case("cast_chain", X + "{ a = Cast<to=11>(x) b = Cast<to=1>(a) y = Relu(b) }", most=1,
         feeds=ODD),
    Case("cast_cast_merge", """(int32[N, 4] x) => (float[N, 4] y)
         { a = Cast<to=7>(x) y = Cast<to=1>(a) }""", most=1),
    Case("trap_cast_lossy", X + "{ a = Cast<to=10>(x) b = Cast<to=1>(a) y = Relu(b) }"),
    Case("trap_cast_trunc", X + "{ a = Cast<to=6>(x) y = Cast<to=1>(a) }"),
    Case("trap_dropout_mask_used", """(float[N, 8] x) => (float[N, 8] y, float[N, 8] z)
         { y, m = Dropout(x) z = Cast<to=1>(m) }"""),
    Case("dropout", X + "{ a = Dropout(x) y = Relu(a) }", most=1),
    Case("dropout_mask_unused", X + "{ a, m = Dropout(x) y = Relu(a) }", most=1),
    Case("identity_chain", X + "{ a = Identity(x) b = Identity(a) y = Relu(b) }", most=1),
    Case("where_constant", X + """ <bool c = {1}> { a = Neg(x) y = Where(c, a, x) }""", most=1),
    Case("where_same", """(bool[N, 8] c, float[N, 8] x) => (float[N, 8] y)
         { a = Where(c, x, x) y = Relu(a) }""", most=1),
    Case("scatter_full", """(float[4, 8] x, float[4, 8] u) => (float[4, 8] y)
         <int64[4, 1] i = {0, 1, 2, 3}> { a = ScatterND(x, i, u) y = Relu(a) }""", most=1),
    Case("trap_input_is_output", "(float[N, 8] x) => (float[N, 8] x, float[N, 8] y) "
         "{ y = Relu(x) }"),
    Case("trap_overridable_initializer", """(float[N, 2] x, float[2] w = {1, 1}) => (float[N, 2] y)
         { a = Mul(x, w) y = Relu(a) }"""),
    Case("trap_intermediate_is_output", """(float[N, 8] x) => (float[N, 8] a, float[N, 8] y)
         { a = Relu(x) y = Relu(a) }"""),
    Case("resize_same", """(float[1, 3, 8, 8] x) => (float[1, 3, 8, 8] y)
         <float[4] s = {1, 1, 1, 1}> { a = Resize(x, , s) y = Relu(a) }""", most=1),
    Case("pad_pad", """(float[N, 3, 8, 8] x) => (float[N, 3, 12, 12] y)
         <int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}>
         { a = Pad(x, p) y = Pad(a, p) }""", most=1),
    Case("bool_cast_not", """(bool[N, 4] x) => (bool[N, 4] y)
         { a = Cast<to=6>(x) b = Cast<to=9>(a) y = Not(b) }""", most=1),
    Case("reduce_one", """(float[N, 1, 8] x) => (float[N, 1, 8] y) <int64[1] a = {1}>
         { b = ReduceMax(x, a) y = Relu(b) }""", most=1),
    Case("argmax_one", """(float[4, 1, 8] x) => (int64[4, 1, 8] y)
         { y = ArgMax<axis=1>(x) }"""),
    Case("log_softmax_softmax", X + "{ a = Softmax<axis=-1>(x) y = Log(a) }", most=1),
    Case("softmax_argmax", """(float[N, 8] x) => (int64[N, 1] y)
         { a = Softmax<axis=-1>(x) y = ArgMax<axis=-1>(a) }"""),
    Case("sub_self_shape", X + """ { s = Shape(x) z = ConstantOfShape(s) a = Add(x, z)
         y = Relu(a) }"""),
]
