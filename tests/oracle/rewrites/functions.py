"""Model-local functions: rewritten inside, dropped where nothing calls them, or opaque.
SPDX-License-Identifier: Apache-2.0
"""
from . import Case

X = "(float[N, 4] x) => "
L = ', "l" : 1'


def fn(head, body, domains=""):
    return '<domain: "l", opset_import: ["" : 20%s]>\n%s { %s }\n' % (domains, head, body)


CASES = [
    Case("fn_called_twice", X + "(float[N, 4] y) { a = l.f(x) y = l.f(a) }", imports=L,
         functions=fn("f (a) => (b)", "u = Identity(a) v = Relu(u) b = Identity(v)"), most=2),
    Case("fn_unused", X + "(float[N, 4] y) { y = Relu(x) }", imports=L,
         functions=fn("f (a) => (b)", "b = Neg(a)"), most=1),
    Case("fn_nested", X + "(float[N, 4] y) { y = l.f(x) }", imports=L,
         functions=fn("f (a) => (b)", "u = l.h(a) b = l.h(u)", L) + fn("h (a) => (b)", "b = Neg(a)"),
         most=1),
    Case("fn_attribute", X + "(float[N, 4] y) { a = l.f<alpha = 0.25>(x) y = l.f<alpha = 0.5>(a) }",
         imports=L, functions=fn("f <alpha> (a) => (b)",
                                 "u = Identity(a) b = LeakyRelu<alpha: float = @alpha>(u)"), most=2),
    Case("fn_attribute_axis", X + "(float[4, N] y) { a = l.f<perm = [1, 0]>(x) y = Relu(a) }", imports=L,
         functions=fn("f <perm> (a) => (b)", "u = Transpose<perm: ints = @perm>(a) b = Exp(u)"), most=2),
    Case("fn_in_branch", "(bool c, float[N, 4] x) => (float[N, 4] y) { y = If(c)<"
         "then_branch = t () => (float[N, 4] p) { p = l.f(x) },"
         "else_branch = e () => (float[N, 4] q) { q = Neg(x) }> }", imports=L,
         functions=fn("f (a) => (b)", "u = Exp(a) b = Relu(u)"), most=3),
    Case("fn_dead_call", X + "(float[N, 4] y) { z = l.f(x) y = Relu(x) }", imports=L,
         functions=fn("f (a) => (b)", "b = Neg(a)"), most=1),
]
