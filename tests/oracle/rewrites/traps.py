"""What rewriters fell into: values that are more than one thing, names, absent inputs and outputs,
random numbers, old files, and what only looks as if it could go.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
import onnx
from onnx import numpy_helper

from . import Case

X = "(float[N, 4] x) => (float[N, 4] y)"
XW = "(float[N, 4] x, float[4] w = {1.0, 2.0, 3.0, 4.0}) => "
W = "float[4] w = {1.0, 2.0, 3.0, 4.0}"
BIG = 2 ** 63 - 1
LOCAL = ', "local" : 1'


def sparse(m):
    s = m.graph.sparse_initializer.add()
    s.values.CopyFrom(numpy_helper.from_array(np.array([1, 2], np.float32), "s"))
    s.indices.CopyFrom(numpy_helper.from_array(np.array([1, 5], np.int64), "i"))
    s.dims.extend([2, 3])
    dense = numpy_helper.from_array(np.eye(2, 3, dtype=np.float32), "d")
    m.graph.initializer.append(dense)


def initializers_are_inputs(m):
    """As files of before IR version 4 have it."""
    for t in m.graph.initializer:
        m.graph.input.append(onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims))


def wrong_shape(name, elem_type, dims):
    def change(m):
        m.graph.value_info.append(onnx.helper.make_tensor_value_info(name, elem_type, dims))
    return change


def annotated(m):
    a = m.graph.quantization_annotation.add(tensor_name="t")
    a.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="scale")


def spoken(m):
    """Everything that may carry words."""
    m.producer_name, m.producer_version, m.domain, m.model_version = "p", "v", "d", 7
    m.doc_string, m.graph.doc_string = "of the model", "of the graph"
    m.graph.input[0].type.denotation = "IMAGE"
    m.graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    for k, owner in enumerate([m, m.graph, *m.graph.input, *m.graph.output, *m.graph.node]):
        owner.metadata_props.add(key="key", value="value %d" % k)
        owner.doc_string = owner.doc_string or "doc %d" % k


CASES = [
    # one value, several roles
    Case("initializer_is_output", "(float[N, 4] x) => (float[N, 4] y, float[4] w) <" + W + "> "
         "{ y = Add(x, w) }"),
    Case("equal_initializers_are_outputs", "(float[N, 4] x) => (float[N, 4] y, float[4] w, float[4] v) <"
         + W + ", float[4] v = {1.0, 2.0, 3.0, 4.0}> { y = Add(x, w) }"),
    Case("constant_is_output", "(float[N, 4] x) => (float[4] y) "
         "{ y = Constant<value = float[4] {1.0, 2.0, 3.0, 4.0}>() }"),
    Case("folded_is_output", "(float[N, 4] x) => (float[N, 4] y, float[4] z) <" + W + "> "
         "{ z = Add(w, w) y = Add(x, z) }"),
    Case("equal_folded_are_outputs", "(float[N, 4] x) => (float[4] y, float[4] z) <" + W + "> "
         "{ y = Add(w, w) z = Add(w, w) }"),
    Case("input_through_identity", X + "{ y = Identity(x) }"),
    Case("initializer_through_identity", "(float[N, 4] x) => (float[4] y) <" + W + "> { y = Identity(w) }"),
    Case("input_through_two_identities", "(float[N, 4] x) => (float[N, 4] y, float[N, 4] z) "
         "{ y = Identity(x) z = Identity(x) }"),
    Case("equal_nodes_are_outputs", "(float[N, 4] x) => (float[N, 4] y, float[N, 4] z) "
         "{ y = Relu(x) z = Relu(x) }"),
    Case("identities_are_outputs", "(float[N, 4] x) => (float[N, 4] y, float[N, 4] z) "
         "{ t = Relu(x) y = Identity(t) z = Identity(t) }", most=2),
    Case("overridable_is_output", XW + "(float[N, 4] y, float[4] w) { y = Relu(x) }"),
    Case("overridable_not_folded", XW + "(float[N, 4] y) <float[4] v = {1.0, 2.0, 3.0, 4.0}> "
         "{ t = Mul(w, v) y = Add(x, t) }", feeds={"w": np.array([4, 3, 2, 1], np.float32)}),
    Case("overridable_no_identity", XW + "(float[N, 4] y) { t = Mul(x, w) y = Relu(t) }",
         values={"w": np.ones(4)}, feeds={"w": np.array([4, 3, 2, 1], np.float32)}),
    Case("input_of_nobody", "(float[N, 4] x, float[N, 4] unused) => (float[N, 4] y) { y = Relu(x) }", most=1),
    Case("input_of_dead_code", "(float[N, 4] x, float[N, 4] z) => (float[N, 4] y) "
         "{ t = Exp(z) u = Log(t) y = Relu(x) }", most=1),
    # declarations
    Case("output_of_another_symbol", "(float[N, 4] x) => (float[M, 4] y) { t = Relu(x) y = Relu(t) }", most=1),
    Case("rank_by_broadcast", "(float[4] x) => (float[1, 4] y) <float[1, 4] z = {-0.0, -0.0, -0.0, -0.0}> "
         "{ y = Add(x, z) }", sizes=(3,)),
    Case("rank_0_is_not_1", "(float x) => (float[1] y) <float[1] z = {-0.0}> { y = Add(x, z) }", sizes=(3,)),
    Case("stale_declaration", X + "{ y = Relu(x) }", change=wrong_shape("gone", 1, [7])),
    Case("wrong_declaration", X + "<" + W + "> { t = Add(x, w) y = Relu(t) }",
         change=wrong_shape("t", 6, [7, 9]), runs=False),
    Case("annotation_of_a_value", X + "<float scale = {0.5}> { t = Relu(x) y = Neg(t) }", change=annotated,
         runs=False),
    Case("words_everywhere", X + "{ t = Relu(x) y = Neg(t) }", change=spoken, ir=10, most=2),
    # names
    Case("names_of_all_sorts", '(float[N, 4] "x/0:1") => (float[N, 4] "y é") '
         '{ "t \\"2\\"" = Relu("x/0:1") "y é" = Relu("t \\"2\\"") }', most=1),
    Case("names_like_ours", "(float[N, 4] x) => (float[N, 4] y) <float[4] y_0 = {1.0, 2.0, 3.0, 4.0}, "
         "float[4] t_0 = {4.0, 3.0, 2.0, 1.0}> { t = Add(x, y_0) u = Add(t, t_0) y = Relu(u) }", most=2),
    Case("same_names_in_branches", "(bool c, float[N, 4] x) => (float[N, 4] y) { a = If(c)<"
         "then_branch = t () => (float[N, 4] r) <float[4] w = {1.0, 1.0, 1.0, 1.0}> { r = Add(x, w) },"
         "else_branch = e () => (float[N, 4] r) <float[4] w = {2.0, 2.0, 2.0, 2.0}> { r = Mul(x, w) }> "
         "b = If(c)<"
         "then_branch = t () => (float[N, 4] r) <float[4] w = {3.0, 1.0, 1.0, 1.0}> { r = Mul(x, w) },"
         "else_branch = e () => (float[N, 4] r) <float[4] w = {2.0, 4.0, 2.0, 2.0}> { r = Add(x, w) }> "
         "y = Sub(a, b) }"),
    Case("same_names_when_inlined", X + "<bool c = {1}, bool d = {0}> { a = If(c)<"
         "then_branch = t () => (float[N, 4] r) <float[4] w = {1.0, 1.0, 1.0, 1.0}> { r = Add(x, w) },"
         "else_branch = e () => (float[N, 4] r) <float[4] w = {2.0, 2.0, 2.0, 2.0}> { r = Mul(x, w) }> "
         "b = If(d)<"
         "then_branch = t () => (float[N, 4] r) <float[4] w = {3.0, 1.0, 1.0, 1.0}> { r = Mul(x, w) },"
         "else_branch = e () => (float[N, 4] r) <float[4] w = {2.0, 4.0, 2.0, 2.0}> { r = Exp(x) }> "
         "y = Sub(a, b) }", most=3),
    Case("read_in_a_body_only", "(bool c, float[N, 4] x) => (float[N, 4] y) { t = Identity(x) y = If(c)<"
         "then_branch = b () => (float[N, 4] r) { r = Relu(t) },"
         "else_branch = e () => (float[N, 4] q) { q = Neg(x) }> }", most=3),
    Case("body_hands_out_what_is_outside", "(bool c, float[N, 4] x) => (float[N, 4] y) "
         "{ t = Relu(x) y = If(c)<then_branch = b () => (float[N, 4] r) { r = Identity(t) },"
         "else_branch = e () => (float[N, 4] q) { q = Identity(x) }> }"),
    Case("loop_input_of_nobody", X + "<int64 m = {3}, bool c = {1}> { y = Loop(m, c, x)<body = b "
         "(int64 i, bool k, float[N, 4] s) => (bool k2, float[N, 4] t) { k2 = Identity(k) t = Relu(s) }> }"),
    # absent inputs and outputs
    Case("absent_bounds", X + "<float h = {3.0}> { t = Clip(x, , ) y = Clip(t, , h) }", most=1),
    Case("absent_results", "(float[3, 1, 4] x) => (float[1, 1, 2] y) <float[1, 8, 4] w, float[1, 8, 2] r> "
         '{ "", h, "" = LSTM<hidden_size = 2>(x, w, r) y = Identity(h) }', most=1, sizes=(3,)),
    Case("results_of_nobody", "(float[N, 4] x) => (float[N, 2] y) <int64[1] k = {2}> "
         "{ v, i = TopK(x, k) y = Relu(v) }", most=2),
    Case("bias_absent", "(float[1, 2, 5, 5] x) => (float[1, 3, 3, 3] y) <float[3, 2, 3, 3] w> "
         "{ t = Conv(x, w, ) y = Relu(t) }", most=2, sizes=(3,)),
    # integers, strings, small types
    Case("int64_at_the_limit", "(int64[N] x) => (int64[N] y) <int64[1] a = {%d}> "
         "{ t = Add(x, a) y = Add(t, a) }" % BIG),
    Case("int64_products_wrap", "(int64[N] x) => (int64[N] y) <int64[1] a = {1099511627776}> "
         "{ t = Mul(x, a) y = Mul(t, a) }"),
    Case("integer_quotient", "(int64[N] x) => (int64[N] y) <int64[1] a = {3}> "
         "{ t = Div(x, a) y = Mul(t, a) }", most=2),
    Case("integer_product_and_quotient", "(int64[N] x) => (int64[N] y) <int64[1] a = {3}, int64[1] b = {2}> "
         "{ t = Mul(x, a) y = Div(t, b) }", most=2),
    Case("float16_overflows", "(float16[N, 4] x) => (float16[N, 4] y) <float16[1] a, float16[1] b> "
         "{ t = Mul(x, a) y = Mul(t, b) }", values={"a": [300], "b": [400]}),
    Case("float16_comes_back", "(float16[N, 4] x) => (float16[N, 4] y) <float16[1] a, float16[1] b> "
         "{ t = Mul(x, a) y = Mul(t, b) }", values={"a": [60000], "b": [0.0001]}, tol=2e-3,
         feeds={"x": np.array([[0.25, -0.5, 0.75, 1.0]], np.float16)}),
    Case("strings", "(float[N, 4] x) => (string[2] y) "
         '{ t = Constant<value = string[2] {"a", "b"}>() y = Identity(t) }'),
    Case("sparse_weights", "(float[2, 3] x) => (float[2, 3] y) { t = Identity(x) y = Add(t, d) }",
         change=sparse, most=1, runs=False),
    Case("empty_dimension", "(float[N, 4] x) => (float[N, 4] y) <float[0, 4] w = {}> "
         "{ t = Concat<axis = 0>(x, w) y = Relu(t) }", most=1),
    # random numbers
    Case("random_normal", X + "{ a = RandomNormal<shape = [4]>() b = RandomNormal<shape = [4]>() "
         "d = Sub(a, b) y = Add(x, d) }", most=4, random=True),
    Case("random_seeded", X + "{ a = RandomNormal<shape = [4], seed = 1.0>() "
         "b = RandomNormal<shape = [4], seed = 1.0>() d = Sub(a, b) y = Add(x, d) }", random=True),
    Case("random_like", X + "{ a = RandomUniformLike(x) b = RandomUniformLike(x) d = Sub(a, b) "
         "y = Add(x, d) }", most=4, random=True),
    Case("bernoulli", "(float[3, 4] x) => (float[3, 4] y) { p = Sigmoid(x) a = Bernoulli(p) b = Bernoulli(p) "
         "y = Sub(a, b) }", most=4, random=True, sizes=(3,)),
    Case("multinomial", "(float[2, 4] x) => (int32[2, 5] y) { a = Multinomial<sample_size = 5>(x) "
         "b = Multinomial<sample_size = 5>(x) y = Sub(a, b) }", most=3, random=True, sizes=(3,)),
    Case("dropout_draws", X + "<float r = {0.5}, bool t = {1}> { a = Dropout(x, r, t) y = Relu(a) }", most=2,
         random=True),
    Case("dropout_mask_is_output", "(float[N, 4] x) => (float[N, 4] y, bool[N, 4] m) { y, m = Dropout(x) }"),
    Case("dropout_mode_is_input", "(float[N, 4] x, bool t) => (float[N, 4] y) <float r = {0.25}> "
         "{ a = Dropout(x, r, t) y = Relu(a) }", most=2, random=True),
    # bloat
    Case("fold_bloats", "(float[N, 65536] x) => (float[N, 65536] y) <float[4] w, int64[1] r = {16384}> "
         "{ t = Tile(w, r) y = Add(x, t) }", most=2, sizes=(1,)),
    Case("fold_of_a_great_sum", X + "<int64[2] s = {2048, 2048}> { t = ConstantOfShape(s) "
         "u = ReduceSum<keepdims = 0>(t) y = Add(x, u) }"),
    # old files
    Case("initializers_are_inputs", X + "<float[4] a, float[4] b, float[4] c> "
         "{ t = Mul(x, a) u = Mul(t, b) y = Add(u, c) }", change=initializers_are_inputs, ir=3, opset=8, most=2),
    Case("axes_as_attributes", X + "{ t = Unsqueeze<axes = [0]>(x) u = Squeeze<axes = [0]>(t) y = Relu(u) }",
         opset=9, ir=4, most=1),
    Case("dropout_of_old", X + "{ t, m = Dropout<ratio = 0.5>(x) y = Relu(t) }", opset=7, ir=3, most=1),
    # functions
    Case("function_gives_its_input", "(float[N, 4] x) => (float[N, 4] y, float[4] z) <" + W + "> "
         "{ y, z = local.G(x, w) }", imports=LOCAL,
         functions='<opset_import: ["" : 20], domain: "local"> G (a, v) => (b, c) '
         "{ q = Identity(a) b = Add(q, v) c = Identity(v) }"),
    Case("function_with_an_absent_result", X + "<" + W + '> { t, "" = local.G(x, w) y = Relu(t) }', imports=LOCAL,
         functions='<opset_import: ["" : 20], domain: "local"> G (a, v) => (b, c) '
         "{ q = Identity(a) b = Add(q, v) c = Identity(v) }"),
    Case("function_of_nobody", X + "{ y = Relu(x) }", imports=LOCAL,
         functions='<opset_import: ["" : 20], domain: "local"> U (a) => (b) { b = Relu(a) }'),
    # what looks as if it could go
    Case("squeezes_from_the_end", "(float[1, N, 1, 4, 1] x) => (float[N, 4] y) <int64[1] a = {-1}, "
         "int64[2] b = {0, -2}> { t = Squeeze(x, a) y = Squeeze(t, b) }", most=1),
    Case("zero_minus", X + "<float z = {0.0}> { y = Sub(z, x) }", most=1),
    Case("one_divided", X + "<float e = {1.0}> { t = Abs(x) u = Add(t, e) y = Div(e, u) }", most=3),
    Case("one_makes_larger", "(float[N, 1] x) => (float[N, 4] y) <float[4] e = {1.0, 1.0, 1.0, 1.0}> "
         "{ t = Mul(x, e) y = Relu(t) }", most=2),
    Case("one_makes_another_rank", "(float[4] x) => (float[1, 1, 4] y) <float[1, 1, 1] e = {1.0}> "
         "{ t = Div(x, e) y = Relu(t) }", sizes=(3,), most=2),
    Case("expand_smaller_than_it_is", X + "<int64[1] s = {1}> { t = Expand(x, s) y = Relu(t) }", most=1),
    Case("expand_to_a_symbol", "(float[1, 4] x, float[N, 4] z) => (float[N, 4] y) "
         "{ s = Shape(z) t = Expand(x, s) y = Relu(t) }", most=3),
    Case("expand_inside_a_product", "(float[N, 4, K] x, float[N, 6, 2] z) => (float[N, 4, 2] y) "
         "<int64[3] s = {1, 1, 6}> { t = Expand(x, s) y = MatMul(t, z) }", sizes=({"N": 3, "K": 1},
                                                                              {"N": 2, "K": 6}), most=2),
    Case("constants_cancel_but_widen", "(float[N, K] x) => (float[N, 2] y) <float[2] c = {1.0, 2.0}> "
         "{ t = Add(x, c) y = Sub(t, c) }", sizes=({"N": 3, "K": 1}, {"N": 3, "K": 2})),
    Case("shape_from_the_middle", "(float[N, 4, 6, 8] x) => (int64[2] y) { s = Shape<start = 2>(x) "
         "y = Add(s, s) }", most=1),
    Case("shape_to_before_the_end", "(float[N, 4, 6, M] x) => (int64[2] y) { s = Shape<start = -3, end = -1>(x) "
         "y = Add(s, s) }", most=1),
    Case("split_into_one", X + "{ t = Split<axis = 1, num_outputs = 1>(x) y = Relu(t) }", most=1),
    Case("split_unevenly", "(float[N, 5] x) => (float[N, 3] y, float[N, 2] z) "
         "{ y, t = Split<axis = 1, num_outputs = 2>(x) z = Relu(t) }", most=2),
    Case("concat_of_one_between_input_and_output", X + "{ y = Concat<axis = 0>(x) }", most=1),
    Case("concats_of_outputs", "(float[N, 4] x) => (float[N, 4] t, float[N, 8] y) <float[0, 4] e = {}> "
         "{ t = Concat<axis = 0>(x, e) y = Concat<axis = 1>(t, t) }"),
    Case("slice_looks_whole", "(float[N, 4] x) => (float[M, 4] y) <int64[1] s = {0}, int64[1] e = {4}, "
         "int64[1] a = {0}> { t = Slice(x, s, e, a) y = Relu(t) }", most=2),
    Case("slice_from_the_end", "(float[N, 4] x) => (float[N, 4] y) <int64[1] s = {-4}, int64[1] e = {4}, "
         "int64[1] a = {-1}> { t = Slice(x, s, e, a) y = Relu(t) }", most=1),
    Case("slice_backwards_twice", X + "<int64[1] s = {-1}, int64[1] e = {-9}, int64[1] a = {1}, int64[1] d = {-1}> "
         "{ t = Slice(x, s, e, a, d) u = Slice(t, s, e, a, d) y = Relu(u) }"),
    Case("conv_output_with_two_users", "(float[1, 2, 5, 5] x) => (float[1, 3, 3, 3] y, float[1, 3, 3, 3] z) "
         "<float[3, 2, 3, 3] w, float[3] pos_s, float[3] b, float[3] m, float[3] pos_v> "
         "{ z = Conv(x, w) y = BatchNormalization(z, pos_s, b, m, pos_v) }", sizes=(3,), most=2),
    Case("gemm_before_two_activations_ort", "(float[N, 4] x) => (float[N, 3] y) <float[4, 3] w, float[3] b> "
         "{ t = Gemm<alpha = 0.5>(x, w, b) u = LeakyRelu<alpha = 0.1>(t) y = LeakyRelu<alpha = 0.2>(u) }",
         args=["-O3", "--target", "ort"]),
    Case("attention_of_negative_scale", "(float[N, 2, 3, 4] q, float[N, 2, 5, 4] k, float[N, 2, 5, 4] v) => "
         "(float[N, 2, 3, 4] y) <float c = {-0.5}> { t = Transpose<perm = [0, 1, 3, 2]>(k) s = MatMul(q, t) "
         "u = Mul(s, c) p = Softmax(u) y = MatMul(p, v) }", opset=23, ir=10),
    Case("softmax_of_old_behind_transpose", "(float[N, 4, 6] x) => (float[N, 6, 4] y, float[N, 6, 4] z) "
         "{ s = Softmax<axis = 2>(x) y = Transpose<perm = [0, 2, 1]>(s) t = Relu(x) "
         "z = Transpose<perm = [0, 2, 1]>(t) }", opset=11, ir=6),
    Case("standard_below_level_3", X + "{ s = Sigmoid(x) y = Mul(x, s) }", most=2,
         args=["-O2", "--target", "planish"], runs=False),
    Case("scale_that_may_be_given", "(uint8[N, 4] x, float s) => (uint8[4, N] y) <uint8 z = {3}> "
         "{ d = DequantizeLinear(x, s, z) t = Transpose(d) y = QuantizeLinear(t, s, z) }",
         change=lambda m: m.graph.initializer.append(numpy_helper.from_array(np.float32(0.15), "s"))),
    # optionals, sequences, bodies
    Case("optional_there_and_back", X + "{ o = Optional(x) t = OptionalGetElement(o) y = Identity(t) }"),
    Case("optional_asked", "(float[N, 4] x) => (float[N, 4] y, bool h) { o = Optional(x) "
         "h = OptionalHasElement(o) t = OptionalGetElement(o) y = Relu(t) }"),
    Case("scan_names_stay_apart", "(float[3, N, 4] x, float[N, 4] h) => (float[N, 4] y, float[3, N, 4] z) "
         "<float[4] w = {1.0, 2.0, 3.0, 4.0}, float[4] v = {1.0, 2.0, 3.0, 4.0}> "
         "{ y, z = Scan<num_scan_inputs = 1, body = b (float[N, 4] s, float[N, 4] e) => (float[N, 4] t, "
         "float[N, 4] u) { a = Mul(s, w) c = Mul(e, v) t = Add(a, c) d = Mul(s, w) u = Sub(d, c) }>(h, x) }"),
    Case("scan_made_of_equal_bodies", "(float[3, N, 4] x, float[N, 4] h) => (float[N, 4] y, float[N, 4] z) "
         "{ y, p = Scan<num_scan_inputs = 1, body = b (float[N, 4] s, float[N, 4] e) => (float[N, 4] t, "
         "float[N, 4] u) { t = Add(s, e) u = Identity(t) }>(h, x) "
         "z, q = Scan<num_scan_inputs = 1, body = b (float[N, 4] s, float[N, 4] e) => (float[N, 4] t, "
         "float[N, 4] u) { t = Add(s, e) u = Identity(t) }>(h, x) }"),
    # opaque
    Case("unknown_operators", X + "{ a = com.example.Draw<q = 3>(x) b = com.example.Draw<q = 3>(x) "
         "t = Identity(b) y = Add(a, t) }", imports=', "com.example" : 3', most=3, runs=False),
]
