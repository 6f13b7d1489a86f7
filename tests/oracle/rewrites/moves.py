"""Nodes that move elements: reshapes, transpositions, slices, concatenations.
SPDX-License-Identifier: Apache-2.0
"""
from . import Case

X = "(float[N, 4, 6] x) => "

CASES = [
    Case("transpose_transpose", X + """(float[N, 4, 6] y) { a = Transpose<perm=[0,2,1]>(x)
         b = Transpose<perm=[0,2,1]>(a) y = Relu(b) }""", most=1),
    Case("transpose_composed", X + """(float[6, N, 4] y) { a = Transpose<perm=[0,2,1]>(x)
         y = Transpose<perm=[1,0,2]>(a) }""", most=1),
    Case("transpose_relu_transpose", X + """(float[N, 4, 6] y) { a = Transpose<perm=[0,2,1]>(x)
         b = Relu(a) y = Transpose<perm=[0,2,1]>(b) }""", most=1),
    Case("transpose_add_broadcast", """(float[N, 4, 6] x, float[N, 4, 6] z) => (float[N, 4, 6] y)
         { a = Transpose<perm=[0,2,1]>(x) b = Transpose<perm=[0,2,1]>(z) d = Add(a, b)
         y = Transpose<perm=[0,2,1]>(d) }""", most=1),
    Case("transpose_add_bias", X + """(float[N, 4, 6] y) <float[4] c> {
         a = Transpose<perm=[0,2,1]>(x) b = Add(a, c) y = Transpose<perm=[0,2,1]>(b) }""", most=1),
    Case("transpose_concat_transpose", """(float[N, 4, 6] x, float[N, 4, 2] z) => (float[N, 4, 8] y)
         { a = Transpose<perm=[0,2,1]>(x) b = Transpose<perm=[0,2,1]>(z)
         d = Concat<axis=1>(a, b) y = Transpose<perm=[0,2,1]>(d) }""", most=1),
    Case("transpose_reduce", X + """(float[N, 4] y) <int64[1] ax = {1}> {
         a = Transpose<perm=[0,2,1]>(x) y = ReduceMean<keepdims=0>(a, ax) }""", most=1),
    Case("transpose_reduce_keep", X + """(float[N, 4, 1] y) <int64[1] ax = {1}> {
         a = Transpose<perm=[0,2,1]>(x) b = ReduceMax<keepdims=1>(a, ax)
         y = Transpose<perm=[0,2,1]>(b) }""", most=1),
    Case("transpose_softmax_transpose", X + """(float[N, 4, 6] y) {
         a = Transpose<perm=[0,2,1]>(x) b = Softmax<axis=1>(a)
         y = Transpose<perm=[0,2,1]>(b) }""", most=1),
    Case("transpose_pad_transpose", X + """(float[N, 5, 6] y) <int64[6] p = {0, 0, 1, 0, 0, 0}> {
         a = Transpose<perm=[0,2,1]>(x) b = Pad(a, p)
         y = Transpose<perm=[0,2,1]>(b) }""", most=1),
    Case("transpose_slice_transpose", X + """(float[N, 4, 3] y) <int64[1] s = {1}, int64[1] e = {4},
         int64[1] ax = {1}> { a = Transpose<perm=[0,2,1]>(x) b = Slice(a, s, e, ax)
         y = Transpose<perm=[0,2,1]>(b) }""", most=1),
    Case("transpose_squeeze", """(float[N, 1, 4, 6] x) => (float[N, 6, 4] y) <int64[1] ax = {2}> {
         a = Transpose<perm=[0,3,1,2]>(x) b = Squeeze(a, ax) y = Relu(b) }""", most=3),
    Case("transpose_as_reshape", """(float[N, 1, 4] x) => (float[N, 4] y) <int64[2] s = {0, -1}> {
         a = Transpose<perm=[0,2,1]>(x) y = Reshape(a, s) }""", most=1),
    Case("transpose_mid_output", X + """(float[N, 6, 4] a, float[N, 4, 6] y) {
         a = Transpose<perm=[0,2,1]>(x) b = Relu(a) y = Transpose<perm=[0,2,1]>(b) }"""),
    Case("trap_transpose_two_users", X + """(float[N, 6, 4] y, float[N, 6, 4] z) {
         a = Transpose<perm=[0,2,1]>(x) y = Relu(a) z = Neg(a) }"""),
    Case("nhwc_conv_chain", """(float[1, 8, 8, 3] x) => (float[1, 6, 6, 4] y)
         <float[4, 3, 3, 3] w, float[4] b> {
         a = Transpose<perm=[0,3,1,2]>(x) c = Conv(a, w) d = Transpose<perm=[0,2,3,1]>(c)
         e = Add(d, b) f = Relu(e) y = Identity(f) }""", most=4),
    # reshapes
    Case("reshape_reshape", X + """(float[N, 24] y) <int64[3] s = {0, 2, 12}, int64[2] t = {-1, 24}> {
         a = Reshape(x, s) y = Reshape(a, t) }""", most=1),
    Case("reshape_pair_cancel", X + """(float[N, 4, 6] y) <int64[2] s = {-1, 6}, int64[3] t = {-1, 4, 6}> {
         a = Reshape(x, s) b = Reshape(a, t) y = Relu(b) }""", most=1),
    Case("trap_reshape_zero_dims", """(float[2, 3, 4] x) => (float[6, 4] y) <int64[3] s = {3, 2, 4},
         int64[3] t = {0, 2, 4}, int64[2] u = {-1, 4}> { a = Reshape(x, s) b = Reshape(a, t)
         y = Reshape(b, u) }""", most=1),
    Case("flatten_reshape", X + """(float[N, 24] y) <int64[2] t = {-1, 24}> {
         a = Flatten<axis=1>(x) y = Reshape(a, t) }""", most=1),
    Case("squeeze_squeeze", """(float[N, 1, 4, 1] x) => (float[N, 4] y) <int64[1] a1 = {3}, int64[1] a2 = {1}> {
         a = Squeeze(x, a1) y = Squeeze(a, a2) }""", most=1),
    Case("unsqueeze_unsqueeze", """(float[N, 4] x) => (float[N, 1, 4, 1] y) <int64[1] a1 = {1}, int64[1] a2 = {-1}> {
         a = Unsqueeze(x, a1) y = Unsqueeze(a, a2) }""", most=1),
    Case("squeeze_unsqueeze", """(float[N, 1, 4] x) => (float[N, 4, 1] y) <int64[1] a1 = {1}, int64[1] a2 = {2}> {
         a = Squeeze(x, a1) y = Unsqueeze(a, a2) }"""),
    Case("squeeze_reshape", """(float[N, 1, 24] x) => (float[N, 4, 6] y) <int64[1] a1 = {1}, int64[3] s = {-1, 4, 6}> {
         a = Squeeze(x, a1) y = Reshape(a, s) }""", most=1),
    Case("reshape_unsqueeze", X + """(float[N, 1, 24] y) <int64[2] s = {-1, 24}, int64[1] a1 = {1}> {
         a = Reshape(x, s) y = Unsqueeze(a, a1) }""", most=1),
    Case("reshape_squeeze", """(float[N, 24] x) => (float[N, 24] y) <int64[3] s = {-1, 1, 24}, int64[1] a1 = {1}> {
         a = Reshape(x, s) b = Squeeze(a, a1) y = Relu(b) }""", most=1),
    Case("reshape_shape_of_input", X + """(float[N, 24] y) <int64 zero = {0}, int64[1] ax = {0},
         int64[1] m = {-1}> { s = Shape(x) n = Gather(s, zero) u = Unsqueeze(n, ax)
         t = Concat<axis=0>(u, m) y = Reshape(x, t) }""", most=1),
    Case("reshape_view_4d", """(float[N, S, 24] x) => (float[N, 4, S, 6] y) <int64 i0 = {0}, int64 i1 = {1},
         int64[1] ax = {0}, int64[1] h = {4}, int64[1] d = {6}> {
         s = Shape(x) n = Gather(s, i0) m = Gather(s, i1) un = Unsqueeze(n, ax) um = Unsqueeze(m, ax)
         t = Concat<axis=0>(un, um, h, d) r = Reshape(x, t) y = Transpose<perm=[0,2,1,3]>(r) }""",
         most=2),
    Case("reshape_flatten_static", """(float[2, 3, 4] x) => (float[2, 12] y) <int64[1] st = {0}, int64[1] en = {1},
         int64[1] m = {-1}> { s = Shape(x) n = Slice(s, st, en) t = Concat<axis=0>(n, m)
         y = Reshape(x, t) }""", most=1),
    Case("expand_shape_same", """(float[N, 4] x, float[N, 4] z) => (float[N, 4] y)
         { s = Shape(z) e = Expand(x, s) y = Add(e, z) }""", most=1),
    Case("expand_before_binary", """(float[1, 4] x, float[N, 4] z) => (float[N, 4] y)
         { s = Shape(z) e = Expand(x, s) y = Add(e, z) }""", most=1),
    Case("expand_expand", """(float[1, 1] x) => (float[3, 4] y) <int64[2] s = {3, 1}, int64[2] t = {3, 4}>
         { a = Expand(x, s) y = Expand(a, t) }""", most=1),
    Case("expand_where_equal", """(float[1, 4] x, float[N, 4] z) => (float[N, 4] y)
         <int64[2] minus = {-1, -1}, int64[2] one = {1, 1}> {
         s = Shape(z) c = Equal(s, minus) k = Where(c, one, s) e = Expand(x, k) y = Add(e, z) }""",
         most=1),
    Case("tile_tile", X + """(float[M, 8, 18] y) <int64[3] r = {1, 2, 1}, int64[3] q = {1, 1, 3}>
         { a = Tile(x, r) y = Tile(a, q) }""", most=1),
    # slices, splits, gathers
    Case("slice_slice", X + """(float[N, 4, 2] y) <int64[1] s1 = {1}, int64[1] e1 = {5}, int64[1] ax = {2},
         int64[1] s2 = {1}, int64[1] e2 = {3}> { a = Slice(x, s1, e1, ax) y = Slice(a, s2, e2, ax) }""",
         most=1),
    Case("slice_slice_axes", X + """(float[N, 2, 3] y) <int64[1] s1 = {1}, int64[1] e1 = {4}, int64[1] a1 = {2},
         int64[1] s2 = {2}, int64[1] e2 = {4}, int64[1] a2 = {1}> {
         a = Slice(x, s1, e1, a1) y = Slice(a, s2, e2, a2) }""", most=1),
    Case("slices_to_split", X + """(float[N, 4, 6] y) <int64[1] z = {0}, int64[1] m = {3}, int64[1] e = {6},
         int64[1] ax = {2}> { a = Slice(x, z, m, ax) b = Slice(x, m, e, ax) c = Neg(b)
         y = Concat<axis=2>(c, a) }""", most=3),
    Case("slices_four_to_split", X + """(float[N, 1, 6] y, float[N, 1, 6] z, float[N, 1, 6] u, float[N, 1, 6] v)
         <int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i2 = {2}, int64[1] i3 = {3},
         int64[1] i4 = {4}, int64[1] ax = {1}> { y = Slice(x, i0, i1, ax) z = Slice(x, i1, i2, ax)
         u = Slice(x, i2, i3, ax) v = Slice(x, i3, i4, ax) }""", most=1),
    Case("gathers_to_split", """(float[3, N, 4] x) => (float[N, 4] y, float[N, 4] z, float[N, 4] u)
         <int64 i0 = {0}, int64 i1 = {1}, int64 i2 = {2}> { y = Gather<axis=0>(x, i0)
         z = Gather<axis=0>(x, i1) u = Gather<axis=0>(x, i2) }"""),
    Case("gather_unsqueeze", X + """(float[N, 1, 6] y) <int64 i = {2}, int64[1] ax = {1}> {
         a = Gather<axis=1>(x, i) y = Unsqueeze(a, ax) }""", most=1),
    Case("slice_squeeze", X + """(float[N, 6] y) <int64[1] s = {2}, int64[1] e = {3}, int64[1] ax = {1}> {
         a = Slice(x, s, e, ax) y = Squeeze(a, ax) }""", most=1),
    Case("gather_range", X + """(float[N, 2, 6] y) <int64[2] i = {1, 2}> { y = Gather<axis=1>(x, i) }""",
         most=1),
    Case("split_concat", X + """(float[N, 4, 6] y) { a, b = Split<axis=2, num_outputs=2>(x)
         c = Concat<axis=2>(a, b) y = Relu(c) }""", most=1),
    Case("concat_split", """(float[N, 3] x, float[N, 3] z) => (float[N, 3] y, float[N, 3] u)
         { c = Concat<axis=1>(x, z) a, b = Split<axis=1, num_outputs=2>(c) y = Relu(a) u = Neg(b) }""",
         most=2),
    Case("concat_slice", """(float[N, 3] x, float[N, 3] z) => (float[N, 3] y)
         <int64[1] s = {3}, int64[1] e = {6}, int64[1] ax = {1}>
         { c = Concat<axis=1>(x, z) a = Slice(c, s, e, ax) y = Relu(a) }""", most=1),
    Case("concat_concat", """(float[N, 3] x, float[N, 3] z, float[N, 2] w) => (float[N, 8] y)
         { c = Concat<axis=1>(x, z) y = Concat<axis=1>(c, w) }""", most=1),
    Case("trap_concat_two_users", """(float[N, 3] x, float[N, 3] z, float[N, 2] w) => (float[N, 8] y,
         float[N, 6] v) { c = Concat<axis=1>(x, z) y = Concat<axis=1>(c, w) v = Relu(c) }"""),
    Case("unsqueeze_concat_gather", """(float[N, 3] x, float[N, 3] z) => (float[N, 3] y)
         <int64[1] ax = {1}, int64 i = {1}> { a = Unsqueeze(x, ax) b = Unsqueeze(z, ax)
         c = Concat<axis=1>(a, b) d = Gather<axis=1>(c, i) y = Relu(d) }"""),
    Case("reduce_unsqueeze", X + """(float[N, 1, 6] y) <int64[1] ax = {1}> {
         a = ReduceSum<keepdims=0>(x, ax) y = Unsqueeze(a, ax) }""", most=1),
    Case("reduce_squeeze", X + """(float[N, 6] y) <int64[1] ax = {1}> {
         a = ReduceSum<keepdims=1>(x, ax) y = Squeeze(a, ax) }""", most=1),
    Case("argmax_squeeze", X + """(int64[N, 6] y) <int64[1] ax = {1}> {
         a = ArgMax<axis=1, keepdims=1>(x) y = Squeeze(a, ax) }""", most=1),
    Case("reduce_reduce", X + """(float[N, 1, 1] y) <int64[1] a1 = {1}, int64[1] a2 = {2}> {
         a = ReduceSum<keepdims=1>(x, a1) y = ReduceSum<keepdims=1>(a, a2) }""", most=1),
    Case("reduce_mean_pool", """(float[N, 4, 5, 5] x) => (float[N, 4] y) <int64[2] ax = {2, 3}> {
         a = GlobalAveragePool(x) y = Squeeze(a, ax) }"""),
    Case("globalpool_flatten", """(float[N, 4, 5, 5] x) => (float[N, 4] y) {
         a = GlobalAveragePool(x) y = Flatten(a) }"""),
    Case("depth_to_space", """(float[N, 8, 3, 5] x) => (float[N, 2, 6, 10] y)
         <int64[6] s = {-1, 2, 2, 2, 3, 5}, int64[4] t = {-1, 2, 6, 10}> { a = Reshape(x, s)
         b = Transpose<perm=[0,1,4,2,5,3]>(a) y = Reshape(b, t) }"""),
    Case("channel_shuffle", """(float[N, 8, 3, 5] x) => (float[N, 8, 3, 5] y)
         <int64[5] s = {-1, 2, 4, 3, 5}, int64[4] t = {-1, 8, 3, 5}> { a = Reshape(x, s)
         b = Transpose<perm=[0,2,1,3,4]>(a) y = Reshape(b, t) }"""),
    Case("identity_reshape_dynamic", """(float[N, S, 8] x) => (float[N, S, 8] y) <int64[3] s = {0, 0, 8}> {
         a = Reshape(x, s) y = Relu(a) }""", most=1),
    Case("concat_of_empty", """(float[N, 3] x) => (float[N, 3] y) <float[1, 0] z = {}> {
         a = Relu(x) y = Neg(a) }"""),
    Case("split_unused", X + """(float[N, 4, 2] y) <int64[2] s = {2, 4}> {
         a, b = Split<axis=2>(x, s) y = Relu(a) }""", most=2),
    Case("pad_in_slice", X + """(float[N, 4, 6] y) <int64[6] p = {0, 0, 1, 0, 0, 1}, int64[1] s = {1},
         int64[1] e = {7}, int64[1] ax = {2}> { a = Pad(x, p) b = Slice(a, s, e, ax) y = Relu(b) }"""),
    Case("transpose_of_joined", """(float[2, 4, 5, 8] x) => (float[2, 4, 8, 5] y)
         <int64[3] s = {-1, 5, 8}, int64[4] t = {2, 4, 8, 5}> { a = Reshape(x, s)
         b = Transpose<perm=[0,2,1]>(a) y = Reshape(b, t) }""", most=1),
    Case("transpose_of_joined_dynamic", """(float[2, N, 3, 6] x) => (float[3, 6, 2, N] y)
         <int64[2] s = {-1, 18}, int64[4] t = {3, 6, 2, -1}> { a = Reshape(x, s)
         b = Transpose<perm=[1,0]>(a) y = Reshape(b, t) }""", most=1),
]
