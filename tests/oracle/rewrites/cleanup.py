"""What is there for nobody, and what is there twice.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

X = "(float[N, 4] x) => (float[N, 4] y)"
C = "(bool c, float[N, 4] x) => (float[N, 4] y)"


def dropout(name, text, opset=20, ir=9, **more):
    return Case("dropout_" + name, X + text, opset=opset, ir=ir, **more)


CASES = [
    # dead code
    Case("dead_chain", X + "{ a = Exp(x) b = Log(a) d = Neg(b) y = Relu(x) }", most=1),
    Case("dead_result", X + "{ a, b = Split<axis = 1, num_outputs = 2>(x) d = Exp(b) e = Neg(a) "
         "y = Concat<axis = 1>(e, e) }", most=3),
    Case("dead_in_body", C + "{ y = If(c)<then_branch = t () => (float[N, 4] p) "
         "{ a = Exp(x) b = Log(a) p = Relu(x) }, else_branch = e () => (float[N, 4] q) { q = Neg(x) }> }",
         most=3),
    Case("dead_body", C + "{ t = If(c)<then_branch = t () => (float[N, 4] p) { p = Relu(x) }, "
         "else_branch = e () => (float[N, 4] q) { q = Neg(x) }> y = Exp(x) }", most=1),
    Case("dead_initializers", X + "<float[4] w, float[1024] v, int64[2] s = {1, 2}> { y = Mul(x, w) }", most=1),
    Case("dead_random", X + "{ a = RandomNormalLike(x) y = Relu(x) }", most=1),
    # the same twice
    Case("twice", X + "{ a = Exp(x) b = Exp(x) y = Sub(a, b) }", most=2),
    Case("twice_swapped", "(float[N, 4] x, float[N, 4] z) => (float[N, 4] y) "
         "{ a = Add(x, z) b = Add(z, x) d = Exp(a) e = Exp(b) y = Div(d, e) }", most=3),
    Case("twice_by_attributes", X + "{ a = LeakyRelu<alpha = 0.01>(x) b = LeakyRelu(x) y = Add(a, b) }", most=2),
    Case("other_attributes", X + "{ a = LeakyRelu<alpha = 0.01>(x) b = LeakyRelu<alpha = 0.02>(x) "
         "y = Add(a, b) }", most=3),
    Case("twice_in_chain", X + "{ a = Exp(x) b = Exp(x) d = Neg(a) e = Neg(b) f = Abs(d) g = Abs(e) "
         "y = Mul(f, g) }", most=4),
    Case("twice_many_results", X + "{ a, b = Split<axis = 1, num_outputs = 2>(x) "
         "d, e = Split<axis = 1, num_outputs = 2>(x) y = Concat<axis = 1>(a, e) }"),
    Case("twice_with_absent", X + "<float h = {1.0}> { a = Clip(x, , h) b = Clip(x, , h) y = Add(a, b) }", most=2),
    Case("twice_in_both_branches", C + "{ y = If(c)<then_branch = t () => (float[N, 4] p) "
         "{ a = Exp(x) b = Exp(x) p = Mul(a, b) }, else_branch = e () => (float[N, 4] q) "
         "{ a2 = Exp(x) b2 = Exp(x) q = Div(a2, b2) }> }"),
    Case("initializers_twice", X + "<float[4] a = {1.0, 2.0, 3.0, 4.0}, float[4] b = {1.0, 2.0, 3.0, 4.0}> "
         "{ t = Mul(x, a) u = Mul(x, b) y = Sub(t, u) }"),
    Case("initializers_of_other_types", "(float[N, 4] x, int32[N, 4] i) => (float[N, 4] y, int32[N, 4] j) "
         "<float[1] a = {0.0}, int32[1] b = {0}> { y = Max(x, a) j = Max(i, b) }"),
    Case("initializers_of_other_shapes", X + "<float[4] a = {1.0, 2.0, 3.0, 4.0}, "
         "float[1, 4] b = {1.0, 2.0, 3.0, 4.0}> { t = Mul(x, a) u = Exp(t) y = Mul(u, b) }", most=3),
    Case("zeros_of_both_signs", X + "<float[1] a = {0.0}, float[1] b = {-0.0}> "
         "{ t = Div(x, a) u = Div(x, b) y = Max(t, u) }", most=3,
         feeds={"x": np.array([[1, -2, 3, -4]], np.float32)}),
    Case("constants_twice", X + "{ a = Constant<value = float[1] {2.0}>() b = Constant<value = float[1] {2.0}>() "
         "t = Mul(x, a) u = Exp(x) v = Mul(u, b) y = Add(t, v) }", most=4),
    # dropout
    dropout("plain", "{ a = Dropout(x) y = Exp(a) }", most=1),
    dropout("ratio", "<float r = {0.3}> { a = Dropout(x, r) y = Exp(a) }", most=1),
    dropout("not_training", "<float r = {0.3}, bool t = {0}> { a = Dropout(x, r, t) y = Exp(a) }", most=1),
    dropout("ratio_absent", "<bool t = {0}> { a = Dropout(x, , t) y = Exp(a) }", most=1),
    dropout("ratio_0", "<float r = {0.0}, bool t = {1}> { a = Dropout(x, r, t) y = Exp(a) }", most=1),
    dropout("of_10", "{ a, m = Dropout<ratio = 0.4>(x) y = Exp(a) }", opset=10, ir=5, most=1),
    dropout("of_7", "{ a = Dropout<ratio = 0.4>(x) y = Exp(a) }", opset=7, ir=3, most=1),
    dropout("chain", "{ a = Dropout(x) b = Dropout(a) d = Identity(b) y = Exp(d) }", most=1),
    # casts
    Case("cast_same", X + "{ a = Cast<to = 1>(x) y = Exp(a) }", most=1),
    Case("cast_up_and_back", "(float16[N, 4] x) => (float16[N, 4] y) "
         "{ a = Cast<to = 1>(x) b = Cast<to = 10>(a) y = Exp(b) }", most=1, tol=1e-2),
    Case("cast_up_up", "(int8[N, 4] x) => (int64[N, 4] y) { a = Cast<to = 5>(x) y = Cast<to = 7>(a) }", most=1),
    Case("cast_up_three", "(int8[N, 4] x) => (float[N, 4] y) { a = Cast<to = 6>(x) b = Cast<to = 7>(a) "
         "y = Cast<to = 1>(b) }", most=1),
    Case("trap_cast_down_up", X + "{ a = Cast<to = 10>(x) y = Cast<to = 1>(a) }", most=2),
    Case("trap_cast_sign", "(int8[N, 4] x) => (int32[N, 4] y) { a = Cast<to = 2>(x) y = Cast<to = 6>(a) }", most=2),
    Case("trap_cast_to_bool", X + "{ a = Cast<to = 9>(x) y = Cast<to = 1>(a) }", most=2),
    Case("trap_cast_int_to_float", "(int64[N] x) => (int64[N] y) { a = Cast<to = 1>(x) y = Cast<to = 7>(a) }",
         most=2, feeds={"x": np.array([2 ** 53 + 1, -3], np.int64)}),
]
