"""If, Loop and Scan: known ways, what they carry for nobody, and clean-up inside of bodies.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

X = "(float[N, 4] x) => "
C = "(bool c, float[N, 4] x) => "
SIZES = (3, 5)


def body(name, inner, most, weights=""):
    """A clean-up inside of a branch."""
    return Case("in_if_" + name, C + "(float[N, 4] y) { y = If(c)<then_branch = t () => (float[N, 4] p) "
                "%s { %s }, else_branch = e () => (float[N, 4] q) { q = Neg(x) }> }" % (weights, inner),
                most=most)


CASES = [
    Case("if_true", X + """(float[N, 4] y) <bool c = {1}> { y = If(c)<
         then_branch = t () => (float[N, 4] p) { p = Relu(x) },
         else_branch = e () => (float[N, 4] q) { q = Neg(x) }> }""", most=1),
    Case("if_false_nested", X + """(float[N, 4] y) <bool c = {0}, bool d = {1}> { y = If(c)<
         then_branch = t () => (float[N, 4] p) { p = Relu(x) },
         else_branch = e () => (float[N, 4] q) { q = If(d)<
           then_branch = t2 () => (float[N, 4] r) { r = Exp(x) },
           else_branch = e2 () => (float[N, 4] s) { s = Neg(x) }> }> }""", most=1),
    Case("if_folded_condition", X + """(float[N, 4] y) <int64 a = {2}, int64 b = {3}> { d = Less(a, b)
         y = If(d)<then_branch = t () => (float[N, 4] p) { p = Relu(x) },
         else_branch = e () => (float[N, 4] q) { q = Neg(x) }> }""", most=1),
    Case("if_same_branches", C + """(float[N, 4] y) { y = If(c)<
         then_branch = t () => (float[N, 4] p) { a = Relu(x) p = Exp(a) },
         else_branch = e () => (float[N, 4] q) { b = Relu(x) q = Exp(b) }> }""", most=2),
    Case("if_dead_output", C + """(float[N, 4] y) { y, z = If(c)<
         then_branch = t () => (float[N, 4] p, float[N, 4] r) { p = Relu(x) r = Exp(x) },
         else_branch = e () => (float[N, 4] q, float[N, 4] s) { q = Neg(x) s = Abs(x) }> }""", most=3),
    Case("if_rank_guard", "(float[1, 4] x) => (float[4] y) <int64[1] ax = {0}, int64 one = {1}, int64[1] z = {0}> {"
         """ s = Shape(x) n = Gather(s, zi) zi = Constant<value = int64 {0}>() c = Equal(n, one) y = If(c)<
         then_branch = t () => (float[4] p) { p = Squeeze(x, ax) },
         else_branch = e () => (float[1, 4] q) { q = Identity(x) }> }""".replace(
             "n = Gather(s, zi) zi = Constant<value = int64 {0}>()",
             "zi = Constant<value = int64 {0}>() n = Gather(s, zi)"), most=1),
    Case("loop_once", X + """(float[N, 4] y) <int64 m = {1}, bool c = {1}> { y = Loop(m, c, x)<
         body = b (int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t) {
         k2 = Identity(k) t = Relu(s) }> }""", most=1),
    Case("loop_once_collects", X + """(float[N, 4] y, float[1, N, 4] z) <int64 m = {1}, bool c = {1}> {
         y, z = Loop(m, c, x)<body = b (int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t,
         float[N, 4] u) { k2 = Identity(k) t = Relu(s) u = Neg(t) }> }""", most=3),
    Case("loop_never", X + """(float[N, 4] y) <int64 m = {0}, bool c = {1}> { a = Neg(x) b2 = Loop(m, c, a)<
         body = b (int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t) {
         k2 = Identity(k) t = Relu(s) }> y = Abs(b2) }""", most=2),
    Case("loop_condition_false", X + """(float[N, 4] y) <int64 m = {9}, bool c = {0}> { a = Neg(x)
         b2 = Loop(m, c, a)<body = b (int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t) {
         k2 = Identity(k) t = Relu(s) }> y = Abs(b2) }""", most=2),
    Case("loop_stops_itself", X + """(float[N, 4] y) <int64 m = {9}, bool c = {1}> { y = Loop(m, c, x)<
         body = b (int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t) {
         k2 = Constant<value = bool {0}>() t = Relu(s) }> }""", most=1),
    Case("loop_of_constants", X + """(float[N, 4] y) <int64 m = {4}, bool c = {1}, float[4] w = {1.0, 2.0, 3.0, 4.0}> {
         a = Loop(m, c, w)<body = b (int64 i, bool k, float[4] s) => (bool k2, float[4] t) {
         k2 = Identity(k) t = Add(s, w) }> y = Mul(x, a) }""", most=1),
    Case("loop_invariant", X + """(float[N, 4] y) <int64 m = {3}, bool c = {1}, float[4, 4] w> {
         y = Loop(m, c, x)<body = b (int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t) {
         k2 = Identity(k) a = Transpose(w) d = MatMul(s, a) t = Tanh(d) }> }""", most=4),
    Case("loop_unread_state", X + """(float[N, 4] y) <int64 m = {3}, bool c = {1}, float z = {0.0}, float o = {1.0}> {
         y, n, l = Loop(m, c, x, z, o)<body = b (int64 i, bool k, float[N, 4] s, float n1, float l1) =>
         (bool k2, float[N, 4] t, float n2, float l2) {
         k2 = Identity(k) t = Neg(s) n2 = Add(n1, l1) l2 = Mul(l1, n1) }> }""", most=3),
    Case("loop_passed_state", """(float[N, 4] x, float[4] w) => (float[N, 4] y) <int64 m = {3}, bool c = {1}> {
         y, v = Loop(m, c, x, w)<body = b (int64 i, bool k, float[N, 4] s, float[4] u) =>
         (bool k2, float[N, 4] t, float[4] u2) { k2 = Identity(k) t = Add(s, u) u2 = Identity(u) }> }""",
         most=3),
    Case("loop_unread_results", X + """(float[N, 4] y) <int64 m = {3}, bool c = {1}> { y, z = Loop(m, c, x)<
         body = b (int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t, float[N, 4] u) {
         k2 = Identity(k) t = Neg(s) u = Exp(t) }> }""", most=3),
    Case("loop_unused_inputs", X + """(float[N, 4] y) <int64 m = {3}, bool c = {1}> { y = Loop(m, c, x)<
         body = b (int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t) <float[4] w> {
         k2 = Identity(k) a = Add(s, w) d = Exp(s) t = Neg(a) }> }""".replace(" <float[4] w> {", " {").replace(
             "<int64 m", "<float[4] w, int64 m"), most=4),
    Case("trap_loop_random", X + """(float[N, 4] y) <int64 m = {3}, bool c = {1}> { y = Loop(m, c, x)<
         body = b (int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t) {
         k2 = Identity(k) r = RandomNormalLike(x) t = Add(s, r) }> }""", random=True),
    Case("trap_loop_iteration", X + """(float[N, 4] y) <int64 m = {3}, bool c = {1}> { y = Loop(m, c, x)<
         body = b (int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t) {
         k2 = Identity(k) f = Cast<to=1>(i) t = Add(s, f) }> }"""),
    Case("loop_fills_sequence", X + """(float[3, N, 4] y) <int64 m = {3}, bool c = {1}> { s0 = SequenceEmpty<dtype = 1>()
         a, s = Loop(m, c, x, s0)<body = b (int64 i, bool k, float[N, 4] h, seq(float[N, 4]) p) =>
         (bool k2, float[N, 4] t, seq(float[N, 4]) p2) { k2 = Identity(k) t = Sin(h) p2 = SequenceInsert(p, t) }>
         y = ConcatFromSequence<axis = 0, new_axis = 1>(s) }""", most=4),
    Case("loop_fills_sequence_last_axis", X + """(float[N, 4, 3] y) <int64 m = {3}, bool c = {1}> { s0 = SequenceEmpty<dtype = 1>()
         a, s = Loop(m, c, x, s0)<body = b (int64 i, bool k, float[N, 4] h, seq(float[N, 4]) p) =>
         (bool k2, float[N, 4] t, seq(float[N, 4]) p2) { k2 = Identity(k) t = Sin(h) p2 = SequenceInsert(p, t) }>
         y = ConcatFromSequence<axis = -1, new_axis = 1>(s) }""", most=5),
    Case("trap_loop_fills_sequence_at_front", X + """(float[3, N, 4] y) <int64 m = {3}, bool c = {1}, int64 z = {0}> {
         s0 = SequenceEmpty<dtype = 1>() a, s = Loop(m, c, x, s0)<body = b (int64 i, bool k, float[N, 4] h, seq(float[N, 4]) p) =>
         (bool k2, float[N, 4] t, seq(float[N, 4]) p2) { k2 = Identity(k) t = Sin(h) p2 = SequenceInsert(p, t, z) }>
         y = ConcatFromSequence<axis = 0, new_axis = 1>(s) }"""),
    Case("loop_counts", X + """(float[N, 4] y) <bool c = {1}, int32 z = {0}> { n, y = Loop(, c, z, x)<
         body = b (int64 i, bool k, int32 t, float[N, 4] s) => (bool k2, int32 t2, float[N, 4] s2) <int32 one = {1}, int32 five = {5}> {
         t2 = Add(t, one) k2 = Less(t2, five) s2 = Sin(s) }> }""", most=2),
    Case("loop_counts_as_floats", "(float[N, 4] x, float[4] h) => (float[4] y) <int32 zero = {0}, float fz = {0.0}, int64 at = {0}, int32 one = {1}> {"
         """ s = Shape(x) s32 = Cast<to = 6>(s) l = Gather(s32, at) f = Cast<to = 1>(l) d = Less(fz, f) c = And(d, d) m = Cast<to = 7>(l)
         n, y = Loop(m, c, zero, h)<body = b (int64 i, bool k, int32 t, float[4] a) => (bool k4, int32 t2, float[4] a2) {
         t2 = Add(t, one) fi = Cast<to = 1>(i) k2 = Less(fi, f) ft = Cast<to = 1>(t2) k3 = Less(ft, f) k4 = And(k2, k3)
         g = Gather(x, t) a2 = Sub(a, g) }> }""", most=7),
    Case("loop_counts_until_input", "(float[4] x, int64 n) => (float[4] y) <int64 two = {2}, int64 one = {1}> { d = LessOrEqual(two, n)"
         """ r, y = Loop(, d, two, x)<body = b (int64 i, bool k, int64 t, float[4] s) => (bool k2, int64 t2, float[4] s2) {
         t2 = Add(t, one) k2 = LessOrEqual(t2, n) f = Cast<to=1>(t) s2 = Add(s, f) }> }""", most=5,
         feeds={"n": lambda run: np.array([5, 1, 2][run], np.int64)}, sizes=(1, 1, 1)),
    Case("loop_counts_in_part", "(float[4] x) => (float[4] y) <bool c = {1}, int64 z = {0}, int64 m = {9}, int64 one = {1}, float most = {9.0}> {"
         """ n, y = Loop(m, c, z, x)<body = b (int64 i, bool k, int64 t, float[4] s) => (bool k4, int64 t2, float[4] s2) {
         t2 = Add(t, one) k2 = Less(t2, m) s2 = Add(s, s) a = Abs(s2) r = ReduceMax<keepdims = 0>(a) k3 = Less(r, most) k4 = And(k2, k3) }> }""", most=5),
    Case("loop_counts_less", X + """(float[N, 4] y) <bool c = {1}, int64 z = {0}, int64 m = {9}, int64 one = {1}, int64 five = {5}> {
         n, y = Loop(m, c, z, x)<body = b (int64 i, bool k, int64 t, float[N, 4] s) => (bool k2, int64 t2, float[N, 4] s2) {
         t2 = Add(t, one) k2 = Less(t2, five) s2 = Sin(s) }> }""", most=2),
    Case("trap_loop_counts_one_at_least", "(float[4] x, int64 n) => (float[4] y) <bool c = {1}, int64 z = {0}, int64 one = {1}> {"
         """ r, y = Loop(, c, z, x)<body = b (int64 i, bool k, int64 t, float[4] s) => (bool k2, int64 t2, float[4] s2) {
         t2 = Add(t, one) k2 = Less(t2, n) s2 = Sin(s) }> }""",
         feeds={"n": lambda run: np.array(3 * run, np.int64)}),
    Case("trap_loop_counts_read", "(float[4] x, int64 n) => (float[4] y, int32 r) <bool c = {1}, int32 z = {0}, int32 one = {1}, int32 ten = {10}> {"
         """ r, y = Loop(n, c, z, x)<body = b (int64 i, bool k, int32 t, float[4] s) => (bool k2, int32 t2, float[4] s2) {
         t2 = Add(t, one) k2 = Less(t2, ten) s2 = Sin(s) }> }""", feeds={"n": lambda run: np.array(20 * run, np.int64)}),
    Case("scan_same_twice", "(float[4] x, float[N, 4] a) => (float[4] y, float[4] z, float[N, 4] u, float[N, 4] w) {"
         """ y, q, u1, w1 = Scan<num_scan_inputs = 2, body = b (float[4] s, float[4] t, float[4] e, float[4] f) =>
         (float[4] s2, float[4] t2, float[4] o, float[4] p) { s2 = Add(s, e) t2 = Identity(s2) o = Mul(s, t) p = Identity(o) d = Mul(e, f) }>(x, x, a, a)
         z = Neg(q) u = Neg(u1) w = Exp(w1) }""", most=6),
    Case("trap_scan_not_the_same", "(float[4] x, float[N, 4] a) => (float[4] y, float[4] z, float[N, 4] u) {"
         """ y, q, u = Scan<num_scan_inputs = 2, scan_input_directions = [0, 1], body = b (float[4] s, float[4] t, float[4] e, float[4] f) =>
         (float[4] s2, float[4] t2, float[4] o) { s2 = Add(s, e) t2 = Add(t, f) o = Mul(s2, t2) }>(x, x, a, a)
         z = Neg(q) }"""),
    Case("scan_once", "(float[4] x, float[1, 4] a) => (float[4] y, float[1, 4] z) {"
         """ y, z = Scan<num_scan_inputs = 1, body = b (float[4] s, float[4] e) => (float[4] t, float[4] u)
         { t = Add(s, e) u = Exp(t) }>(x, a) }""", most=4),
    Case("scan_unread", "(float[4] x, float[N, 4] a, float[N, 4] d) => (float[4] y) {"
         """ y, z = Scan<num_scan_inputs = 2, body = b (float[4] s, float[4] e, float[4] f) =>
         (float[4] t, float[4] u) { t = Add(s, e) u = Exp(f) }>(x, a, d) }""", most=2),
    Case("scan_invariant", "(float[4] x, float[4, 4] w, float[N, 4] a) => (float[4] y) {"
         """ y = Scan<num_scan_inputs = 1, body = b (float[4] s, float[4] e) => (float[4] t)
         { m = Exp(w) d = MatMul(e, m) t = Add(s, d) }>(x, a) }""", most=4),
    # every clean-up works inside of bodies
    body("identities", "a = Identity(x) b = Relu(a) p = Identity(b)", 3),
    body("dead", "a = Exp(x) b = Abs(a) p = Relu(x)", 3),
    body("common", "a = Exp(x) b = Exp(x) p = Add(a, b)", 4),
    body("folds", "s = Add(k, k) p = Mul(x, s)", 3, "<float[4] k = {1.0, 2.0, 3.0, 4.0}>"),
    body("reshapes", "a = Reshape(x, s) b = Reshape(a, t) p = Relu(b)", 3,
         "<int64[2] s = {2, -1}, int64[2] t = {-1, 4}>"),
    body("transposes", "a = Transpose(x) b = Relu(a) p = Transpose(b)", 3),
    body("no_ops", "a = Mul(x, o) b = Relu(a) d = Relu(b) p = Identity(d)", 3, "<float o = {1.0}>"),
    body("gelu", """a = Div(x, r) b = Erf(a) d = Add(b, o) e = Mul(x, d) p = Mul(e, h)""", 3,
         "<float r = {1.4142135}, float o = {1.0}, float h = {0.5}>"),
    body("slices", "a = Slice(x, z, e, ax) b = Slice(a, z, e, ax) p = Relu(b)", 3,
         "<int64[1] z = {0}, int64[1] e = {4}, int64[1] ax = {1}>"),
    Case("in_if_common_with_outside", C + """(float[N, 4] y) { o = Exp(x) r = If(c)<
         then_branch = t () => (float[N, 4] p) { a = Exp(x) p = Relu(a) },
         else_branch = e () => (float[N, 4] q) { b = Exp(x) q = Neg(b) }> y = Add(r, o) }""", most=5),
    Case("in_loop_no_ops", X + """(float[N, 4] y) <int64 m = {3}, bool c = {1}> { y = Loop(m, c, x)<
         body = b (int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t) {
         k2 = Identity(k) a = Transpose(s) b2 = Transpose(a) d = Relu(b2) e = Relu(d) t = Neg(e) }> }""",
         most=4),
]
