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
    Case("not_less", """(float[N, 8] a, float[N, 8] b) => (bool[N, 8] y)
         { n = Less(a, b) y = Not(n) }"""),
    Case("trap_clip_neg_relu", X + """ <float l = {-2}, float h = {-1}>
         { a = Clip(x, l, h) y = Relu(a) }"""),
    Case("trap_clip_clip_disjoint", X + """ <float a0 = {0}, float a1 = {1}, float b0 = {2},
         float b1 = {3}> { a = Clip(x, a0, a1) y = Clip(a, b0, b1) }"""),
    Case("min_max", X + """ <float l = {-0.5}, float h = {0.5}>
         { a = Max(x, l) y = Min(a, h) }""", most=1, feeds=ODD),
    Case("cast_chain", X + "{ a = Cast<to=11>(x) b = Cast<to=1>(a) y = Relu(b) }", most=1,
         feeds=ODD),
    Case("trap_cast_lossy", X + "{ a = Cast<to=10>(x) b = Cast<to=1>(a) y = Relu(b) }"),
    Case("trap_cast_trunc", X + "{ a = Cast<to=6>(x) y = Cast<to=1>(a) }"),
    Case("trap_dropout_mask_used", """(float[N, 8] x) => (float[N, 8] y, float[N, 8] z)
         { y, m = Dropout(x) z = Cast<to=1>(m) }"""),
    Case("dropout", X + "{ a = Dropout(x) y = Relu(a) }", most=1),
    Case("dropout_mask_unused", X + "{ a, m = Dropout(x) y = Relu(a) }", most=1),
    Case("identity_chain", X + "{ a = Identity(x) b = Identity(a) y = Relu(b) }", most=1),
    Case("where_constant", X + """ <bool c = {1}> { a = Neg(x) y = Where(c, a, x) }""", most=1),
    Case("trap_input_is_output", "(float[N, 8] x) => (float[N, 8] x, float[N, 8] y) "
         "{ y = Relu(x) }"),
    Case("trap_overridable_initializer", """(float[N, 2] x, float[2] w = {1, 1}) => (float[N, 2] y)
         { a = Mul(x, w) y = Relu(a) }"""),
    Case("trap_intermediate_is_output", """(float[N, 8] x) => (float[N, 8] a, float[N, 8] y)
         { a = Relu(x) y = Relu(a) }"""),
    Case("bool_cast_not", """(bool[N, 4] x) => (bool[N, 4] y)
         { a = Cast<to=6>(x) b = Cast<to=9>(a) y = Not(b) }""", most=1),
    Case("argmax_one", """(float[4, 1, 8] x) => (int64[4, 1, 8] y)
         { y = ArgMax<axis=1>(x) }"""),
    Case("sub_self_shape", X + """ { s = Shape(x) z = ConstantOfShape(s) a = Add(x, z)
         y = Relu(a) }"""),
]
