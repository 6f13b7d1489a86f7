"""Rewrites that other optimizers name, in their own spellings, that no other family has.

SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

X = "(float[N, 4, 6] x) => "
ORT = ("-O3", "--target", "ort")
PLANISH = ("-O3", "--target", "planish")
DIMS = {"s": np.array([2, 3])}
GROUPS = """(float[1, 8, 6, 6] x) => (float[1, 8, 6, 6] y) <int64[3] to = {0, 4, -1},
    float[4] one = {1, 1, 1, 1}, float[4] none = {0, 0, 0, 0}, float[8, 1, 1] g, float[8, 1, 1] b>
    { r = Reshape(x, to) i = InstanceNormalization<epsilon = 0.00001>(r, one, none) s = Shape(x)
    u = Reshape(i, s) v = Mul(u, g) y = Add(v, b) }"""

CASES = [
    # sizes
    Case("shape_of_cast", X + "(int64[3] y) { a = Cast<to = 10>(x) y = Shape(a) }", 1),
    Case("shape_of_chain", X + "(int64[3] y) { a = Relu(x) b = Neg(a) y = Shape(b) }", 1),
    Case("shape_of_parts", "(float[N, S, 4] x) => (int64[2] y) <int64[1] i = {0}, int64[1] one = {1}> "
         "{ s = Shape(x) a = Gather(s, i) b = Gather(s, one) y = Concat<axis = 0>(a, b) }", 1),
    Case("shape_slice", "(float[N, S, 4] x) => (int64[2] y) <int64[1] i = {0}, int64[1] two = {2}> "
         "{ s = Shape(x) y = Slice(s, i, two) }", 1),
    Case("shape_of_heads", """(float[N, S, 24] x) => (int64[1] y, float[N, 4, S, 6] z) <int64[1] h = {4},
         int64[1] d = {6}, int64[1] two = {2}, int64[1] three = {3}> { n = Shape<start = 0, end = 1>(x)
         s = Shape<start = 1, end = 2>(x) c = Concat<axis = 0>(n, s, h, d)
         r = Reshape<allowzero = 1>(x, c) z = Transpose<perm = [0, 2, 1, 3]>(r) q = Shape(z)
         y = Slice(q, two, three) }""", 5),
    # constants
    Case("cast_of_made", "(int64[2] s) => (float16[A, B] y) "
         "{ a = ConstantOfShape<value = float[1] {1}>(s) y = Cast<to = 10>(a) }", 1, feeds=DIMS),
    Case("cast_of_zeros", "(int64[2] s) => (int64[A, B] y) { a = ConstantOfShape(s) "
         "y = Cast<to = 7>(a) }", 1, feeds=DIMS),
    # products
    Case("gemm_turned", "(float[N, 6] x) => (float[8, N] y) <float[6, 8] w> "
         "{ a = Gemm(x, w) y = Transpose<perm = [1, 0]>(a) }", 1),
    Case("gemm_bias_turned", "(float[N, 6] x) => (float[8, N] y) <float[6, 8] w, float[8] b> "
         "{ a = Gemm(x, w, b) y = Transpose<perm = [1, 0]>(a) }", 1),
    # norms: GroupNormalization of versions 18 to 20 was withdrawn
    Case("group_norm_20", GROUPS, 5),
    Case("group_norm_20_ort", GROUPS, 5, ORT),
    Case("group_norm_20_planish", GROUPS, 1, PLANISH),
    # attention
    Case("values_wider_than_keys", """(float[N, S, 16] q1, float[N, S, 16] k1, float[N, S, 32] v1) =>
         (float[N, S, 32] y) <int64[4] t = {0, 0, 2, 8}, int64[4] tv = {0, 0, 2, 16},
         int64[3] to = {0, 0, 32}, float half = {0.5}> { q2 = Reshape(q1, t)
         q = Transpose<perm = [0, 2, 1, 3]>(q2) k2 = Reshape(k1, t) k = Transpose<perm = [0, 2, 3, 1]>(k2)
         v2 = Reshape(v1, tv) v = Transpose<perm = [0, 2, 1, 3]>(v2) s = MatMul(q, k) z = Mul(s, half)
         p = Softmax<axis = -1>(z) o = MatMul(p, v) o1 = Transpose<perm = [0, 2, 1, 3]>(o)
         y = Reshape(o1, to) }""", 1, ORT),
    Case("wider_values_split", """(float[N, 6, 64] x) => (float[N, 6, 32] y) <int64[4] t = {0, 6, 2, 32},
         int64[3] parts = {8, 8, 16}, int64[3] to = {0, 6, 32}, float half = {0.5}> {
         h = Reshape(x, t) q2, k2, v2 = Split<axis = 3>(h, parts)
         q = Transpose<perm = [0, 2, 1, 3]>(q2) k = Transpose<perm = [0, 2, 3, 1]>(k2)
         v = Transpose<perm = [0, 2, 1, 3]>(v2) s = MatMul(q, k) z = Mul(s, half)
         p = Softmax<axis = -1>(z) o = MatMul(p, v) o1 = Transpose<perm = [0, 2, 1, 3]>(o)
         y = Reshape(o1, to) }""", args=ORT),
    # products side by side, as OpenVINO makes groups of them
    Case("convs_of_parts", "(float[N, 4, 8, 8] x) => (float[N, 6, 6, 6] y) <float[3, 2, 3, 3] w, "
         "float[3, 2, 3, 3] v, float[3] b, float[3] c> { p, q = Split<axis = 1, num_outputs = 2>(x) "
         "r = Conv(p, w, b) s = Conv(q, v, c) y = Concat<axis = 1>(r, s) }", 1),
    Case("convs_of_slices", "(float[N, 4, 8] x) => (float[N, 6, 6] y) <float[3, 2, 3] w, "
         "float[3, 2, 3] v, int64[1] i = {0}, int64[1] m = {2}, int64[1] e = {4}, int64[1] ax = {1}> "
         "{ p = Slice(x, i, m, ax) q = Slice(x, m, e, ax) r = Conv(p, w) s = Conv(q, v) "
         "y = Concat<axis = 1>(r, s) }", 1),
    Case("trap_convs_of_parts_swapped", "(float[N, 4, 8, 8] x) => (float[N, 6, 6, 6] y) "
         "<float[3, 2, 3, 3] w, float[3, 2, 3, 3] v> { p, q = Split<axis = 1, num_outputs = 2>(x) "
         "r = Conv(q, w) s = Conv(p, v) y = Concat<axis = 1>(r, s) }"),
    Case("convs_of_one", "(float[N, 4, 8, 8] x) => (float[N, 5, 6, 6] y) <float[3, 4, 3, 3] w, "
         "float[2, 4, 3, 3] v> { r = Conv(x, w) s = Conv(x, v) y = Concat<axis = 1>(r, s) }", 1),
    Case("matmuls_of_one", "(float[N, 4, 8] x) => (float[N, 4, 6] y) <float[8, 4] w, float[8, 2] v> "
         "{ r = MatMul(x, w) s = MatMul(x, v) y = Concat<axis = 2>(r, s) }", 1),
    Case("gemms_of_one", "(float[N, 8] x) => (float[N, 6] y) <float[8, 4] w, float[8, 2] v, "
         "float[4] b, float[2] c> { r = Gemm(x, w, b) s = Gemm(x, v, c) y = Concat<axis = 1>(r, s) }", 1),
    Case("point_conv_of_last_channels", "(float[N, 8, 8, 16] x) => (float[N, 8, 8, 4] y) "
         "<float[4, 16, 1, 1] w> { t = Transpose<perm = [0, 3, 1, 2]>(x) c = Conv(t, w) "
         "y = Transpose<perm = [0, 2, 3, 1]>(c) }", 1),
    Case("point_conv_bias_of_last_channels", "(float[N, 8, 8, 16] x) => (float[N, 8, 8, 4] y) "
         "<float[4, 16, 1, 1] w, float[4] b> { t = Transpose<perm = [0, 3, 1, 2]>(x) "
         "c = Conv(t, w, b) y = Transpose<perm = [0, 2, 3, 1]>(c) }", 2),
    # scatters and ones
    Case("scatter_all_rows", """(float[N, 4] x, float[N, 4] u) => (float[N, 4] y) <int64 z = {0},
         int64 one = {1}, int64[1] ax = {-1}> { s = Shape(x) n = Gather(s, z) r = Range(z, n, one)
         i = Unsqueeze(r, ax) a = ScatterND(x, i, u) y = Relu(a) }""", 1),
    Case("scatter_turned_rows", """(float[4, N] x, float[4, N] u) => (float[4, N] y) <int64 z = {0},
         int64 one = {1}, int64[1] ax = {-1}> { s = Shape(x) n = Gather(s, one) r = Range(z, n, one)
         i = Unsqueeze(r, ax) t = Transpose<perm = [1, 0]>(x) v = Transpose<perm = [1, 0]>(u)
         a = ScatterND(t, i, v) b = Transpose<perm = [1, 0]>(a) y = Relu(b) }""", 1),
    Case("scatter_each", "(float[3, 2] x, float[3, 2] u) => (float[3, 2] y) "
         "<int64[3, 2] i = {0, 0, 1, 1, 2, 2}> { a = ScatterElements(x, i, u) y = Relu(a) }", 1),
    Case("trap_scatter_swaps", "(float[3, 2] x, float[3, 2] u) => (float[3, 2] y) "
         "<int64[3, 2] i = {1, 0, 0, 1, 2, 2}> { a = ScatterElements(x, i, u) y = Relu(a) }", 2),
    Case("scatter_nothing", "(float[3, 4] x, float[0, 4] u) => (float[3, 4] y) "
         "<int64[0, 1] i = {}> { a = ScatterND(x, i, u) y = Relu(a) }", 1),
    Case("nearest_by_ones", "(float[1, 2, 3, 3] x) => (float[1, 2, 6, 6] y) <int64[6] s = {1, 2, 3, 1, 3, 1}, "
         "float[1, 1, 1, 2, 1, 2] one = {1, 1, 1, 1}, int64[4] t = {1, 2, 6, 6}> "
         "{ r = Reshape(x, s) m = Mul(r, one) y = Reshape(m, t) }", 1),
    Case("trap_add_tiny", "(float[N, 4] x) => (float[N, 4] y) <float e = {1e-9}, int64[1] ax = {1}> "
         "{ m = ReduceMean(x, ax) d = Sub(x, m) s = Mul(d, d) v = ReduceMean(s, ax) r = Sqrt(v) "
         "q = Add(r, e) y = Div(d, q) }", feeds={"x": np.ones((3, 4), np.float32)}, sizes=(3,)),
    # masks as transformers makes them, by counts of rows and columns
    Case("mask_by_counts", """(bool[b, k] mask, float[b, 2, k, k] s) => (float[b, 2, k, k] y)
         <int64 zero = {0}, int64 one = {1}, int64[1] last = {-1}, int64[3] front = {1, 2, 3},
         int64[3] rows = {0, 1, 3}, int64[3] columns = {0, 1, 2}, float none = {0}, float low = {-1e30}> {
         d = Shape(mask) nb = Gather(d, zero) nk = Gather(d, one) rb = Range(zero, nb, one)
         rk = Range(zero, nk, one) ub = Unsqueeze(rb, front) uq = Unsqueeze(rk, rows)
         uk = Unsqueeze(rk, columns) ge = GreaterOrEqual(uq, zero) mx = Max(ub, uk) ms = Shape(mx)
         eb = Expand(ub, ms) ek = Expand(uk, ms) cb = Unsqueeze(eb, last) ck = Unsqueeze(ek, last)
         i = Concat<axis = -1>(cb, ck) g = GatherND(mask, i) c = And(ge, g) w = Where(c, none, low)
         y = Add(s, w) }""", 3, sizes=({"b": 2, "k": 3}, {"b": 1, "k": 4})),
    Case("mask_by_one_index", """(bool[b, k] mask) => (bool[b, 1, k] y) <int64 zero = {0}, int64 one = {1},
         int64[1] ub = {1}, int64[1] uk = {0}, int64[1] flat = {-1}, int64[2] to = {1, 2}> { d = Shape(mask)
         nb = Gather(d, zero) nk = Gather(d, one) rb = Range(zero, nb, one) rk = Range(zero, nk, one)
         i = Unsqueeze(rb, ub) j = Unsqueeze(rk, uk) p = Mul(i, nk) q = Add(p, j) f = Reshape(mask, flat)
         g = Gather(f, q) y = Unsqueeze(g, ub) }""", 1, sizes=({"b": 2, "k": 3}, {"b": 1, "k": 4})),
    Case("trap_mask_turned", """(bool[b, k] mask) => (bool[k, b] y) <int64 zero = {0}, int64 one = {1},
         int64[1] ub = {0}, int64[1] uk = {1}, int64[1] flat = {-1}> { d = Shape(mask)
         nb = Gather(d, zero) nk = Gather(d, one) rb = Range(zero, nb, one) rk = Range(zero, nk, one)
         i = Unsqueeze(rb, ub) j = Unsqueeze(rk, uk) p = Mul(i, nk) q = Add(p, j) f = Reshape(mask, flat)
         y = Gather(f, q) }""", sizes=({"b": 2, "k": 3}, {"b": 1, "k": 4})),
    Case("mask_all_true", """(float[b, 2, 4, 4] s) => (float[b, 2, 4, 4] y) <bool[1, 1, 4, 1] true = {1, 1, 1, 1},
         float none = {0}, float low = {-1e30}, int64[1] four = {4}, int64[1] one = {1}> {
         n = Shape<start = 0, end = 1>(s) to = Concat<axis = 0>(n, one, four, four) e = Expand(true, to)
         w = Where(e, none, low) z = Add(s, w) y = Softmax<axis = -1>(z) }""", 1),
    Case("reshape_allowzero", "(float[N, S, 24] x) => (float[N, S, 4, 6] y) <int64[1] h = {4}, "
         "int64[1] m = {-1}> { a = Shape<start = 0, end = 2>(x) c = Concat<axis = 0>(a, h, m) "
         "y = Reshape<allowzero = 1>(x, c) }", 1),
    Case("guarded_attention", """(float[b, n, 8] x) => (float[b, n, 8] y) <float[8, 8] wq, float[8, 8] wk,
         float[8, 8] wv, int64[4] t = {0, 0, 2, 4}, int64[3] to = {0, 0, 8}, float half = {0.5}, float zero = {0}>
         { q1 = MatMul(x, wq) k1 = MatMul(x, wk) v1 = MatMul(x, wv) q2 = Reshape(q1, t) k2 = Reshape(k1, t)
         v2 = Reshape(v1, t) q = Transpose<perm = [0, 2, 1, 3]>(q2) k = Transpose<perm = [0, 2, 3, 1]>(k2)
         v = Transpose<perm = [0, 2, 1, 3]>(v2) s = MatMul(q, k) z = Mul(s, half) p = Softmax<axis = -1>(z)
         nan = IsNaN(p) g = Where(nan, zero, p) o = MatMul(g, v) o1 = Transpose<perm = [0, 2, 1, 3]>(o)
         y = Reshape(o1, to) }""", 1, ORT),
    Case("trap_guarded_hidden_row", """(float[b, 3, 8] x) => (float[b, 3, 8] y) <float[8, 8] wq, float[8, 8] wk,
         float[8, 8] wv, int64[4] t = {0, 0, 2, 4}, int64[3] to = {0, 0, 8}, float half = {0.5}, float zero = {0},
         float[1, 1, 3, 3] mask> { q1 = MatMul(x, wq) k1 = MatMul(x, wk) v1 = MatMul(x, wv)
         q2 = Reshape(q1, t) k2 = Reshape(k1, t) v2 = Reshape(v1, t) q = Transpose<perm = [0, 2, 1, 3]>(q2)
         k = Transpose<perm = [0, 2, 3, 1]>(k2) v = Transpose<perm = [0, 2, 1, 3]>(v2) s0 = MatMul(q, k)
         s = Mul(s0, half) z = Add(s, mask) p = Softmax<axis = -1>(z) nan = IsNaN(p) g = Where(nan, zero, p)
         o = MatMul(g, v) o1 = Transpose<perm = [0, 2, 1, 3]>(o) y = Reshape(o1, to) }""", args=ORT,
         values={"mask": np.where(np.tril(np.ones((3, 3)), -1), 0, -np.inf)}),
    # what a second run found more to do in
    Case("norm_of_conv_branch", """(float[N, 12, 8] x) => (float[N, 12, 8] y) <float[8, 8, 3] w, float[8] b,
         float[8] g, float[8] c> { t = Transpose<perm = [0, 2, 1]>(x) v = Conv<pads = [1, 1]>(t, w, b)
         r = Relu(v) u = Transpose<perm = [0, 2, 1]>(r) a = Add(x, u) y = LayerNormalization(a, g, c) }""",
         args=ORT),
    Case("made_mask_of_pairs", """(float[N, 32, 64, 64] x) => (float[N, 32, 64, 64] y) <float[64, 1] k,
         int64[2] to = {64, 32}, int64[2] s = {32, 64}, int64[1] one = {1}, int64[1] two = {2}, float zero = {0},
         float low = {-100}> { e = Expand(k, to) r = Reshape(e, s) a = Unsqueeze(r, one)
         b = Unsqueeze(r, two) d = Sub(a, b) q = Equal(d, zero) m = Where(q, zero, low) y = Add(x, m) }""",
         args=PLANISH),
    Case("chunks_as_sequence", """(float[N, 8, 4] x) => (float[N, 8, 4] y) <int64 four = {4}, int64 i0 = {0},
         int64 i1 = {1}> { s = SplitToSequence<axis = 1>(x, four) a = SequenceAt(s, i0)
         b = SequenceAt(s, i1) r = Relu(b) y = Concat<axis = 1>(r, a) }""", 3),
    Case("mask_read_late", """(bool[b, k] mask, float[b, 2, k, k] s) => (float[b, 2, k, k] y) <int64 zero = {0},
         int64 one = {1}, int64[3] rows = {0, 1, 3}, int64[2] ax = {1, 2}, float none = {0}, float low = {-1e30}> {
         nk = Shape<start = 1, end = 2>(mask) n = Squeeze(nk) r = Range(zero, n, one) u = Unsqueeze(r, rows)
         ge = GreaterOrEqual(u, zero) m = Unsqueeze(mask, ax) c = And(ge, m) w = Where(c, none, low)
         e = Softmax(s) z = Add(e, w) y = Exp(z) }""", 5, sizes=({"b": 2, "k": 3}, {"b": 1, "k": 4})),
    # the kinds of tokens that transformers makes where none are given
    Case("one_kind_of_tokens", """(int64[b, s] ids) => (float[b, s, 4] y) <float[9, 4] words, float[2, 4] kinds,
         int64[1, 16] none, int64[1] i = {0}, int64[1] one = {1}> { n = Shape<start = 1, end = 2>(ids)
         at = Slice(count, i, n, one) k = GatherElements<axis = 1>(none, at) d = Shape(ids) e = Expand(k, d)
         w = Gather(words, ids) t = Gather(kinds, e) a = Add(w, t) y = Relu(a) }""".replace(
             "int64[1] i =", "int64[1, 16] count, int64[1] i ="), 2,
         values={"none": np.zeros((1, 16)), "count": np.arange(16)[None]},
         sizes=({"b": 2, "s": 3}, {"b": 1, "s": 5})),
    Case("trap_table_read_twice", """(int64[b, s] ids, float[b, s, 4] h) => (float[b, s, 4] y, float[b, s, 9] z)
         <float[9, 4] words, float[4] c> { w = Gather(words, ids) y = Add(w, c)
         t = Transpose<perm = [1, 0]>(words) z = MatMul(h, t) }"""),
]
