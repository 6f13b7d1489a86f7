"""Transpositions: around and through operators, and whole networks as tf2onnx spells them.
SPDX-License-Identifier: Apache-2.0
"""
from . import Case

NCHW = "Transpose<perm=[0,3,1,2]>"
NHWC = "Transpose<perm=[0,2,3,1]>"
X = "(float[N, 4, 6] x) => "
IMG = "(float[N, 8, 8, 4] x) => "
T = "Transpose<perm=[0,2,1]>"


def through(name, out, op, most=1, weights="", x=X, t=T, back=T, **kw):
    """Transpose, an operator, and the transposition back."""
    return Case(name, "%s(%s y) %s { a = %s(x) %s y = %s(b) }" % (x, out, weights, t, op, back),
                most=most, **kw)


CASES = [
    # through operators along axes, until it meets the one that undoes it
    through("t_split", "float[N, 2, 6]", "b, c = Split<axis=2, num_outputs=2>(a)"),
    Case("t_split_both", X + """(float[N, 2, 6] y, float[N, 2, 6] z) { a = Transpose<perm=[0,2,1]>(x)
         b, c = Split<axis=2, num_outputs=2>(a) y = Transpose<perm=[0,2,1]>(b)
         d = Relu(c) z = Transpose<perm=[0,2,1]>(d) }""", most=2),
    Case("t_split_sizes", X + """(float[N, 1, 6] y, float[N, 3, 6] z) <int64[2] s = {1, 3}> {
         a = Transpose<perm=[0,2,1]>(x) b, c = Split<axis=-1>(a, s)
         y = Transpose<perm=[0,2,1]>(b) z = Transpose<perm=[0,2,1]>(c) }""", most=1),
    Case("t_unsqueeze", X + """(float[N, 1, 4, 6] y) <int64[1] ax = {1}> { a = Transpose<perm=[0,2,1]>(x)
         b = Unsqueeze(a, ax) y = Transpose<perm=[0,1,3,2]>(b) }""", most=1),
    Case("t_unsqueeze_last", X + """(float[N, 4, 6, 1] y) <int64[1] ax = {-1}> {
         a = Transpose<perm=[0,2,1]>(x) b = Unsqueeze(a, ax) y = Transpose<perm=[0,2,1,3]>(b) }""",
         most=1),
    Case("t_unsqueeze_two", X + """(float[1, N, 4, 1, 6] y) <int64[2] ax = {0, 2}> {
         a = Transpose<perm=[0,2,1]>(x) b = Unsqueeze(a, ax) y = Transpose<perm=[0,1,4,2,3]>(b) }""",
         most=1),
    Case("t_squeeze", "(float[N, 1, 4, 6] x) => (float[N, 4, 6] y) <int64[1] ax = {2}> {"
         " a = Transpose<perm=[0,3,1,2]>(x) b = Squeeze(a, ax) y = Transpose<perm=[0,2,1]>(b) }",
         most=1),
    Case("t_squeeze_all", "(float[3, 1, 4, 1] x) => (float[3, 4] y) {"
         " a = Transpose<perm=[1,2,3,0]>(x) b = Squeeze(a) y = Transpose<perm=[1,0]>(b) }", most=1),
    through("t_argmax", "int64[N, 1, 6]", "b = ArgMax<axis=2>(a)"),
    Case("t_argmax_flat", X + "(int64[N, 6] y) { a = Transpose<perm=[0,2,1]>(x)"
         " y = ArgMax<axis=2, keepdims=0>(a) }", most=1),
    Case("t_argmin_flat", X + "(int64[N, 4] y) { a = Transpose<perm=[0,2,1]>(x)"
         " b = ArgMin<axis=1, keepdims=0>(a) y = Identity(b) }", most=1),
    Case("t_topk", X + """(float[N, 4, 2] y, int64[N, 4, 2] z) <int64[1] k = {2}> {
         a = Transpose<perm=[0,2,1]>(x) b, c = TopK<axis=1>(a, k) y = Transpose<perm=[0,2,1]>(b)
         z = Transpose<perm=[0,2,1]>(c) }"""),
    through("t_cumsum", "float[N, 4, 6]", "b = CumSum(a, ax)", weights="<int64 ax = {1}>"),
    through("t_log_softmax", "float[N, 4, 6]", "b = LogSoftmax<axis=-1>(a)"),
    through("t_hardmax", "float[N, 4, 6]", "b = Hardmax<axis=-1>(a)"),
    through("t_reduce_log_sum_exp", "float[N, 4, 1]", "b = ReduceLogSumExp<keepdims=1>(a, ax)",
            weights="<int64[1] ax = {1}>"),
    Case("t_reduce_all", X + "(float y) { a = Transpose<perm=[0,2,1]>(x)"
         " y = ReduceSum<keepdims=0>(a) }", most=1),
    Case("t_reduce_two", IMG + """(float[N, 4] y) <int64[2] ax = {2, 3}> { a = Transpose<perm=[0,3,1,2]>(x)
         y = ReduceMean<keepdims=0>(a, ax) }""", most=1),
    Case("t_global_average_pool", IMG + """(float[N, 4] y) { a = Transpose<perm=[0,3,1,2]>(x)
         b = GlobalAveragePool(a) y = Flatten(b) }"""),
    through("t_gather", "float[N, 4, 2]", "b = Gather<axis=1>(a, i)",
            weights="<int64[2] i = {3, 0}>"),
    Case("t_gather_scalar", X + """(float[N, 4] y) <int64 i = {3}> { a = Transpose<perm=[0,2,1]>(x)
         y = Gather<axis=1>(a, i) }""", most=1),
    Case("t_gather_rows", X + """(float[N, 4, 2, 2] y) <int64[2, 2] i = {3, 0, 1, 2}> {
         a = Transpose<perm=[0,2,1]>(x) b = Gather<axis=1>(a, i)
         y = Transpose<perm=[0,3,1,2]>(b) }""", most=1),
    through("t_tile", "float[N, 4, 18]", "b = Tile(a, r)", weights="<int64[3] r = {1, 3, 1}>"),
    through("t_expand", "float[5, 4, 6]", "b = Expand(a, s)", x="(float[1, 4, 6] x) => ",
            weights="<int64[3] s = {5, 6, 4}>"),
    through("t_pad_axes", "float[N, 5, 6]", "b = Pad(a, p, , ax)",
            weights="<int64[2] p = {1, 0}, int64[1] ax = {2}>"),
    through("t_pad_reflect", "float[N, 4, 8]", 'b = Pad<mode="reflect">(a, p)',
            weights="<int64[6] p = {0, 1, 0, 0, 1, 0}>"),
    through("t_slice_no_axes", "float[N, 2, 6]", "b = Slice(a, s, e)",
            weights="<int64[3] s = {0, 0, 1}, int64[3] e = {100, 100, 3}>"),
    through("t_resize", "float[N, 16, 16, 4]", 'b = Resize<mode="nearest">(a, , s)', x=IMG, t=NCHW,
            back=NHWC, weights="<float[4] s = {1.0, 1.0, 2.0, 2.0}>"),
    through("t_resize_linear", "float[N, 16, 16, 4]",
            'b = Resize<mode="linear", coordinate_transformation_mode="half_pixel">(a, , s)', most=3, x=IMG,
            t=NCHW, back=NHWC, weights="<float[4] s = {1.0, 1.0, 2.0, 2.0}>"),
    through("t_clip", "float[N, 4, 6]", "b = Clip(a, lo, hi)",
            weights="<float lo = {0.0}, float hi = {6.0}>"),
    through("t_where", "float[N, 4, 6]", "b = Where(m, a, z)",
            weights="<bool[4] m = {1, 0, 1, 1}, float z = {0.5}>"),
    through("t_prelu", "float[N, 4, 6]", "b = PRelu(a, s)", weights="<float[4] s>"),
    through("t_not_greater", "bool[N, 4, 6]", "c = Greater(a, z) b = Not(c)", most=None,
            weights="<float z = {0.5}>"),
    through("t_equal_both", "bool[N, 4, 6]", "u = Transpose<perm=[0,2,1]>(x) c = Neg(u) b = Less(a, c)",
            most=2),
    through("t_sum", "float[N, 4, 6]", "b = Sum(a, a, a)", most=None),
    through("t_dropout", "float[N, 4, 6]", "b = Dropout(a)"),
    through("t_qdq", "float[N, 4, 6]", "q = QuantizeLinear(a, s, z) b = DequantizeLinear(q, s, z)",
            most=2, weights="<float s = {0.1}, uint8 z = {128}>", tol=2e-2),
    through("t_qdq_axis", "float[N, 4, 6]",
            "q = QuantizeLinear<axis=2>(a, s, z) b = DequantizeLinear<axis=2>(q, s, z)", most=2,
            weights="<float[4] s = {0.1, 0.2, 0.3, 0.4}, int8[4] z = {0, 0, 0, 0}>", tol=2e-2),
    through("t_layer_norm_axis", "float[N, 4, 6]", "b = LayerNormalization<axis=-1>(a, s, c)",
            most=3, weights="<float[4] s, float[4] c>"),
    through("t_instance_norm", "float[N, 4, 6]", "b = InstanceNormalization(a, s, c)",
            most=3, weights="<float[6] s, float[6] c>"),
    through("t_cast", "float16[N, 4, 6]", "b = Cast<to=10>(a)", tol=1e-2),
    through("t_binary_broadcast_row", "float[N, 4, 6]", "b = Add(a, z)",
            x="(float[N, 4, 6] x, float[4] z) => ", most=2),
    through("t_binary_broadcast_full", "float[N, 4, 6]", "b = Mul(a, z)",
            x="(float[N, 4, 6] x, float[N, 6, 4] z) => ", most=2),
    through("t_binary_scalar", "float[N, 4, 6]", "b = Mul(a, z)",
            x="(float[N, 4, 6] x, float z) => ", most=1),
    Case("t_binary_outer", """(float[N, 4, 6] x, float[N, 1, 6, 4] z) => (float[N, N, 4, 6] y) {
         a = Transpose<perm=[0,2,1]>(x) b = Add(a, z) y = Transpose<perm=[0,1,3,2]>(b) }"""),
    Case("t_matmul_left", """(float[N, 4, 6] x, float[N, 4, 5] z) => (float[N, 6, 5] y) {
         a = Transpose<perm=[0,2,1]>(x) y = MatMul(a, z) }"""),
    Case("t_concat_with_constant", X + """(float[N, 4, 9] y) <float[2, 3, 4] c> {
         a = Transpose<perm=[0,2,1]>(x) b = Concat<axis=1>(a, c) y = Transpose<perm=[0,2,1]>(b) }""",
         most=1, sizes=(2, 2)),
    Case("t_concat_one_not", """(float[N, 4, 6] x, float[N, 3, 4] z) => (float[N, 4, 9] y) {
         a = Transpose<perm=[0,2,1]>(x) b = Concat<axis=1>(a, z) y = Transpose<perm=[0,2,1]>(b) }""",
         most=2),
    Case("t_two_users_back", X + """(float[N, 4, 6] y, float[N, 4, 6] z) { a = Transpose<perm=[0,2,1]>(x)
         b = Relu(a) c = Neg(a) y = Transpose<perm=[0,2,1]>(b) z = Transpose<perm=[0,2,1]>(c) }""",
         most=2),
    Case("t_two_users_of_result", X + """(float[N, 4, 6] y, float[N, 4, 6] z) {
         a = Transpose<perm=[0,2,1]>(x) b = Relu(a) y = Transpose<perm=[0,2,1]>(b)
         c = Exp(b) z = Transpose<perm=[0,2,1]>(c) }""", most=2),
    Case("t_diamond", X + """(float[N, 4, 6] y) { a = Transpose<perm=[0,2,1]>(x)
         b = Sigmoid(a) c = Mul(a, b) y = Transpose<perm=[0,2,1]>(c) }""", most=2),
    Case("t_shape", X + """(int64[3] y, float[N, 6, 4] z) { z = Transpose<perm=[0,2,1]>(x)
         y = Shape(z) }""", sizes=(3, 5)),
    Case("t_flatten_same", """(float[N, 1, 1, 4] x) => (float[N, 4] y) { a = Transpose<perm=[0,3,1,2]>(x)
         y = Flatten<axis=1>(a) }""", most=1),
    Case("t_reshape_keeps_moved", """(float[N, 6, 8] x) => (float[N, 6, 2, 4] y) <int64[4] s = {0, 2, 4, 6}> {
         a = Transpose<perm=[0,2,1]>(x) b = Reshape(a, s) y = Transpose<perm=[0,3,1,2]>(b) }""", most=3),
    Case("t_reshape_merge_spatial", """(float[N, 4, 8, 8] x) => (float[N, 64, 4] y) <int64[3] s = {0, 64, 4}> {
         a = Transpose<perm=[0,2,3,1]>(x) y = Reshape(a, s) }""", most=2),
    Case("t_depth_to_space", "(float[N, 4, 4, 8] x) => (float[N, 8, 8, 2] y) {"
         " a = Transpose<perm=[0,3,1,2]>(x) b = DepthToSpace<blocksize=2>(a)"
         " y = Transpose<perm=[0,2,3,1]>(b) }", most=3),
    Case("t_in_if", """(bool c, float[N, 4, 6] x) => (float[N, 4, 6] y) { y = If(c)<
         then_branch = t () => (float[N, 4, 6] p) { a = Transpose<perm=[0,2,1]>(x) b = Relu(a)
         p = Transpose<perm=[0,2,1]>(b) },
         else_branch = e () => (float[N, 4, 6] q) { q = Neg(x) }> }""", most=3),
    Case("trap_t_mid_output", X + """(float[N, 6, 4] b, float[N, 4, 6] y) {
         a = Transpose<perm=[0,2,1]>(x) b = Relu(a) y = Transpose<perm=[0,2,1]>(b) }"""),
    Case("trap_t_reshape_mixes", X + """(float[N, 3, 8] y) <int64[3] s = {0, 3, 8}> {
         a = Transpose<perm=[0,2,1]>(x) b = Reshape(a, s) y = Relu(b) }"""),
    Case("trap_t_softmax_old", X + """(float[N, 6, 4] y) { a = Transpose<perm=[0,2,1]>(x)
         y = Softmax<axis=1>(a) }""", opset=11),

    # networks as tf2onnx writes them
    Case("tf_conv_relu_conv", "(float[N, 8, 8, 3] x) => (float[N, 4, 4, 5] y) <float[4, 3, 3, 3] w1,"
         " float[4] b1, float[5, 4, 3, 3] w2, float[5] b2> {"
         " a = " + NCHW + "(x) c = Conv(a, w1) d = " + NHWC + "(c) e = Add(d, b1) f = Relu(e)"
         " g = " + NCHW + "(f) h = Conv(g, w2) i = " + NHWC + "(h) j = Add(i, b2) y = Relu(j) }",
         most=6),
    Case("tf_residual", "(float[N, 8, 8, 4] x) => (float[N, 8, 8, 4] y) <float[4, 4, 3, 3] w1,"
         " float[4] b1, float[4, 4, 3, 3] w2, float[4] b2> {"
         " a = " + NCHW + "(x) c = Conv<pads=[1,1,1,1]>(a, w1) d = " + NHWC + "(c) e = Add(d, b1)"
         " f = Relu(e) g = " + NCHW + "(f) h = Conv<pads=[1,1,1,1]>(g, w2) i = " + NHWC + "(h)"
         " j = Add(i, b2) k = Add(j, x) y = Relu(k) }", most=7),
    Case("tf_batch_norm_as_ops", "(float[N, 8, 8, 3] x) => (float[N, 6, 6, 4] y) <float[4, 3, 3, 3] w,"
         " float[4] m, float[4] s> {"
         " a = " + NCHW + "(x) c = Conv(a, w) d = " + NHWC + "(c) e = Mul(d, s) f = Add(e, m)"
         " y = Relu(f) }", most=4),
    Case("tf_squeeze_excite", "(float[N, 8, 8, 4] x) => (float[N, 8, 8, 4] y) <float[2, 4, 1, 1] w1,"
         " float[2] b1, float[4, 2, 1, 1] w2, float[4] b2, int64[2] ax = {1, 2}> {"
         " p = Relu(x) m = ReduceMean<keepdims=1>(p, ax) a = " + NCHW + "(m) c = Conv(a, w1) d = "
         + NHWC + "(c) e = Add(d, b1) f = Relu(e) g = " + NCHW + "(f) h = Conv(g, w2) i = " + NHWC +
         "(h) j = Add(i, b2) k = Sigmoid(j) y = Mul(k, p) }", most=9),
    Case("tf_squeeze_excite_tail", "(float[N, 4, 8, 8] x) => (float[N, 5, 8, 8] y) <float[2, 4, 1, 1] w1,"
         " float[4, 2, 1, 1] w2, float[5, 4, 1, 1] w3, int64[2] ax = {1, 2}> {"
         " z = Conv(x, w3) p = " + NHWC + "(x) m = ReduceMean<keepdims=1>(p, ax) a = " + NCHW +
         "(m) c = Conv(a, w1) d = " + NHWC + "(c) f = Relu(d) g = " + NCHW + "(f) h = Conv(g, w2) i = "
         + NHWC + "(h) k = Sigmoid(i) q = Mul(k, p) r = " + NCHW + "(q) s = Conv(r, w3)"
         " y = Add(s, z) }", most=9),
    Case("tf_concat_pool", "(float[N, 8, 8, 3] x) => (float[N, 4, 4, 7] y) <float[4, 3, 1, 1] w> {"
         " a = " + NCHW + "(x) c = Conv(a, w) d = " + NHWC + "(c) e = Relu(d) f = " + NCHW +
         "(e) g = MaxPool<kernel_shape=[2,2], strides=[2,2]>(f) h = " + NHWC + "(g) i = " + NCHW +
         "(x) j = MaxPool<kernel_shape=[2,2], strides=[2,2]>(i) k = " + NHWC + "(j)"
         " y = Concat<axis=3>(h, k) }", most=7),
    Case("tf_pad_conv", "(float[N, 8, 8, 3] x) => (float[N, 4, 4, 4] y) <float[4, 3, 3, 3] w,"
         " int64[8] p = {0, 1, 1, 0, 0, 1, 1, 0}> {"
         " o = Pad(x, p) a = " + NCHW + "(o) c = Conv<strides=[2,2]>(a, w) d = " + NHWC + "(c)"
         " y = Relu(d) }", most=4),
    Case("tf_upsample_skip", "(float[N, 4, 4, 3] x, float[N, 8, 8, 3] u) => (float[N, 8, 8, 4] y)"
         " <float[4, 3, 1, 1] w, float[4] sc = {1.0, 1.0, 2.0, 2.0}> {"
         " a = " + NCHW + '(x) c = Resize<mode="nearest">(a, , sc) d = ' + NHWC + "(c) e = Add(d, u)"
         " f = " + NCHW + "(e) g = Conv(f, w) y = " + NHWC + "(g) }", most=6),
    Case("tf_head_mean_dense", "(float[N, 8, 8, 3] x) => (float[N, 5] y) <float[4, 3, 3, 3] w, float[4] b,"
         " float[4, 5] d, float[5] e, int64[2] ax = {1, 2}> {"
         " a = " + NCHW + "(x) c = Conv(a, w) f = " + NHWC + "(c) g = Add(f, b) h = Relu(g)"
         " i = ReduceMean<keepdims=0>(h, ax) j = MatMul(i, d) k = Add(j, e) y = Softmax<axis=-1>(k) }",
         most=6),
    Case("tf_head_flatten_dense", "(float[N, 4, 4, 3] x) => (float[N, 5] y) <float[4, 3, 3, 3] w,"
         " float[16, 5] d, int64[2] s = {-1, 16}> {"
         " a = " + NCHW + "(x) c = Conv(a, w) f = " + NHWC + "(c) h = Relu(f) i = Reshape(h, s)"
         " y = MatMul(i, d) }", most=6),
    Case("tf_preprocess", "(uint8[N, 8, 8, 3] x) => (float[N, 6, 6, 4] y) <float[4, 3, 3, 3] w,"
         " float[3] m = {123.0, 117.0, 104.0}, float k = {127.5}> {"
         " i = Cast<to=1>(x) j = Sub(i, m) l = Div(j, k) a = " + NCHW + "(l) c = Conv(a, w) y = " +
         NHWC + "(c) }", most=6),
    Case("tf_split_channels", "(float[N, 8, 8, 4] x) => (float[N, 8, 8, 4] y) <float[2, 2, 1, 1] w,"
         " float[4, 4, 1, 1] v> {"
         " a = " + NCHW + "(x) o = Conv(a, v) q = " + NHWC + "(o) b, c = Split<axis=3, num_outputs=2>(q)"
         " d = " + NCHW + "(b) e = Conv(d, w) f = " + NHWC + "(e) g = Concat<axis=3>(f, c)"
         " h = " + NCHW + "(g) i = Conv(h, v) y = " + NHWC + "(i) }", most=7),
    Case("tf_argmax_segmentation", "(float[N, 8, 8, 3] x) => (int64[N, 8, 8] y) <float[4, 3, 1, 1] w> {"
         " a = " + NCHW + "(x) c = Conv(a, w) d = " + NHWC + "(c) y = ArgMax<axis=3, keepdims=0>(d) }",
         most=3),
    Case("tf_softmax_segmentation", "(float[N, 8, 8, 3] x) => (float[N, 8, 8, 4] y) <float[4, 3, 1, 1] w> {"
         " a = " + NCHW + "(x) c = Conv(a, w) d = " + NHWC + "(c) y = Softmax<axis=-1>(d) }", most=4),
    Case("tf_depthwise_relu6", "(float[N, 8, 8, 4] x) => (float[N, 6, 6, 4] y) <float[4, 1, 3, 3] w,"
         " float[4] b, float lo = {0.0}, float hi = {6.0}> {"
         " a = " + NCHW + "(x) c = Conv<group=4>(a, w) d = " + NHWC + "(c) e = Add(d, b)"
         " f = Min(e, hi) g = Max(f, lo) h = " + NCHW + "(g) i = Sigmoid(h) y = " + NHWC + "(i) }",
         most=5),
    Case("tf_hard_swish", "(float[N, 8, 8, 3] x) => (float[N, 8, 8, 4] y) <float[4, 3, 1, 1] w,"
         " float[4, 4, 1, 1] v, float t = {3.0}, float lo = {0.0}, float hi = {6.0}, float k = {0.16666667}> {"
         " a = " + NCHW + "(x) c = Conv(a, w) d = " + NHWC + "(c) e = Add(d, t) f = Clip(e, lo, hi)"
         " g = Mul(f, k) h = Mul(d, g) i = " + NCHW + "(h) j = Conv(i, v) y = " + NHWC + "(j) }"),
    Case("tf_conv_transpose", "(float[N, 4, 4, 3] x) => (float[N, 8, 8, 4] y) <float[3, 4, 2, 2] w,"
         " float[4] b> {"
         " a = " + NCHW + "(x) c = ConvTranspose<strides=[2,2]>(a, w) d = " + NHWC + "(c)"
         " e = Add(d, b) y = LeakyRelu(e) }", most=4),
    Case("tf_strided_slice", "(float[N, 8, 8, 3] x) => (float[N, 4, 4, 4] y) <float[4, 3, 1, 1] w,"
         " int64[2] s = {0, 0}, int64[2] e = {8, 8}, int64[2] ax = {1, 2}, int64[2] st = {2, 2}> {"
         " a = " + NCHW + "(x) c = Conv(a, w) d = " + NHWC + "(c) f = Slice(d, s, e, ax, st) g = "
         + NCHW + "(f) h = Relu(g) y = " + NHWC + "(h) }", most=5),
]
