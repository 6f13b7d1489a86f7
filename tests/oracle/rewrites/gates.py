"""Gated networks at target planish: one product takes the activation and the other in.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

PLANISH = ("-O3", "--target", "planish")
CASES = []
NUMBERS = ", float half, float one, float root2, float k, float c, float three"
VALUES = {"half": 0.5, "one": 1.0, "root2": 2 ** 0.5, "k": 0.044715, "c": (2 / np.pi) ** 0.5,
          "three": 3.0}
GATES = {
    "glu": " f = Sigmoid(a) ",
    "swiglu": " s = Sigmoid(a) f = Mul(s, a) ",
    "reglu": " f = Relu(a) ",
    "geglu": " e1 = Div(a, root2) e2 = Erf(e1) e3 = Add(e2, one) e4 = Mul(a, e3) f = Mul(e4, half) ",
    "geglu_tanh": """ e1 = Pow(a, three) e2 = Mul(e1, k) e3 = Add(a, e2) e4 = Mul(e3, c)
        e5 = Tanh(e4) e6 = Add(e5, one) e7 = Mul(a, half) f = Mul(e7, e6) """,
    "bilinear": " f = Identity(a) ",
}


def case(name, head, consts, nodes, most, **more):
    CASES.append(Case(name, "%s <%s> { %s }" % (head, consts + NUMBERS, nodes), most,
                      args=PLANISH, opset=13, values=VALUES, **more))


X3 = "(float[b, n, 4] x) => (float[b, n, 6] y)"
for name, gate in GATES.items():
    case(name + "_two_products", X3, "float[4, 6] w, float[4, 6] v, float[6] d",
         "a = MatMul(x, w) g1 = MatMul(x, v) g = Add(g1, d) " + gate + " y = Mul(f, g)", 2)
    case(name + "_split", X3, "float[4, 12] w, float[12] d",
         "p1 = MatMul(x, w) p = Add(p1, d) a, g = Split<axis = -1>(p) " + gate +
         " y = Mul(g, f)", 2)
    case(name + "_split_gate_last", X3, "float[4, 12] w",
         "p = MatMul(x, w) g, a = Split<axis = 2>(p) " + gate + " y = Mul(g, f)", 2)
    case(name + "_gemm", "(float[b, 4] x) => (float[b, 6] y)", "float[12, 4] w, float[12] d",
         "p = Gemm<transB = 1>(x, w, d) a, g = Split<axis = 1>(p) " + gate + " y = Mul(g, f)", 2)
    case(name + "_conv", "(float[b, 4, n] x) => (float[b, 6, n] y)",
         "float[12, 4, 1] w, float[12] d", "p = Conv(x, w, d) g, a = Split<axis = 1>(p) " + gate +
         " y = Mul(g, f)", 2)
# Parts that somebody else reads, another axis, and queries, keys and values.
case("trap_part_read", "(float[b, n, 4] x) => (float[b, n, 6] y, float[b, n, 6] a)",
     "float[4, 12] w", "p = MatMul(x, w) a, g = Split<axis = -1>(p) f = Sigmoid(a) y = Mul(f, g)",
     3)
case("trap_axis", "(float[b, 2, 4] x) => (float[b, 1, 6] y)", "float[4, 6] w",
     "p = MatMul(x, w) a, g = Split<axis = 1>(p) f = Sigmoid(a) y = Mul(f, g)", None)
case("trap_product_read", "(float[b, n, 4] x) => (float[b, n, 6] y, float[b, n, 12] p)",
     "float[4, 12] w", "p = MatMul(x, w) a, g = Split<axis = -1>(p) f = Sigmoid(a) y = Mul(f, g)",
     None)
case("trap_parts_only", "(float[b, n, 4] x) => (float[b, n, 6] a, float[b, n, 6] g)",
     "float[4, 12] w", "p = MatMul(x, w) a, g = Split<axis = -1>(p)", 2)
