#!/usr/bin/env python3
"""Write the files of tests/fuzz/corpus/load: small models that are wrong, one way each, and a few
that are right. They are committed; run this after adding one.
SPDX-License-Identifier: Apache-2.0

usage: make_corpus.py OUTPUT_FOLDER
"""
import os
import sys

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper


def info(name, shape=(2, 3), kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, initializers=(), inputs=None, outputs=None, opset=21, **more):
    graph = helper.make_graph(nodes, "g", inputs or [info("x")], outputs or [info("y")],
                              list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8,
                             **more)


def neg(a="x", b="y"):
    return helper.make_node("Neg", [a], [b])


def tensor(dims, kind=TensorProto.FLOAT, raw=None, name="w", **fields):
    t = TensorProto(name=name, data_type=kind, dims=dims)
    if raw is not None:
        t.raw_data = raw
    for key, value in fields.items():
        getattr(t, key).extend(value)
    return t


def external(**entries):
    t = tensor([2])
    t.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        t.external_data.add(key=key, value=value)
    return model([neg()], [t])


def nested_if(depth, name):
    body = helper.make_graph([neg("x", name)], "b", [], [info(name)])
    for k in range(depth):
        out = "%s%d" % (name, k)
        node = helper.make_node("If", ["c"], [out], then_branch=body, else_branch=body)
        body = helper.make_graph([node], "b", [], [info(out)])
    return body


def doubled_if(depth):
    """A body that stands twice at each level: 2^depth bodies in all."""
    body = nested_if(depth, "t")
    return model([helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)],
                 inputs=[info("x"), info("c", [], TensorProto.BOOL)])


def field(number, data):
    head, n = bytearray([number << 3 | 2]), len(data)
    while n > 127:
        head.append(n & 127 | 128)
        n >>= 7
    return bytes(head + bytes([n])) + data


def deep_if(depth):
    """Bodies in bodies, by hand: the Python package refuses to nest so deep."""
    body = helper.make_graph([neg("x", "t")], "b", [], [info("t")]).SerializeToString()
    for k in range(depth):
        out = b"t%d" % k
        a = field(1, b"then_branch") + field(6, body) + bytes([20 << 3 & 127 | 128, 1, 5])
        node = field(1, b"c") + field(2, out) + field(4, b"If") + field(5, a)
        body = field(1, node) + field(2, b"b") + field(12, info(out.decode()).SerializeToString())
    body += field(11, info("x").SerializeToString())
    body += field(11, info("c", [], TensorProto.BOOL).SerializeToString())
    return b"\x08\x08" + field(8, b"\x10\x15") + field(7, body)


def sparse(indices, dims=(2, 3)):
    m = model([helper.make_node("Add", ["x", "s"], ["y"])])
    s = m.graph.sparse_initializer.add()
    s.values.CopyFrom(numpy_helper.from_array(np.array([1, 2], np.float32), "s"))
    s.indices.CopyFrom(numpy_helper.from_array(np.array(indices, np.int64), "i"))
    s.dims.extend(dims)
    return m


def function(name="F", calls=("Neg",), domain="local"):
    nodes = [helper.make_node(c, ["a"], ["b"], domain=domain if c[0] == "F" else "")
             for c in calls]
    return helper.make_function(domain, name, ["a"], ["b"], nodes, [helper.make_opsetid("", 21)])


def with_function(f):
    m = model([helper.make_node("F", ["x"], ["y"], domain="local")], functions=[f])
    m.opset_import.append(helper.make_opsetid("local", 1))
    return m


def attribute(op, inputs, **attrs):
    return model([helper.make_node(op, inputs, ["y"], **attrs)])


def wrong_type():
    m = attribute("Transpose", ["x"], perm=[1, 0])
    m.graph.node[0].attribute[0].type = AttributeProto.TENSOR
    return m


def duplicate_attribute():
    m = attribute("Transpose", ["x"], perm=[1, 0])
    m.graph.node[0].attribute.append(m.graph.node[0].attribute[0])
    return m


def files():
    right = model([helper.make_node("Add", ["x", "w"], ["y"])],
                  [numpy_helper.from_array(np.ones((2, 3), np.float32), "w")])
    whole = right.SerializeToString()
    big = (1 << 62).to_bytes(8, "little")
    yield "right", right
    yield "empty", b""
    yield "no_graph", onnx.ModelProto(ir_version=8)
    yield "text", b"<ir_version: 8> g (float x) => (float y) { y = Neg(x) }"
    yield "cut_in_the_middle", whole[:len(whole) // 2]
    yield "cut_at_the_end", whole[:-1]
    yield "length_past_the_end", whole[:2] + b"\x3a\xff\xff\xff\xff\x07" + whole[2:]
    yield "length_of_64_bits", b"\x3a" + b"\xff" * 9 + b"\x01"
    yield "endless_varint", b"\x08" + b"\xff" * 20
    yield "group", b"\x0b\x0c" + whole
    yield "field_number_0", b"\x00\x00" + whole
    yield "reserved_field_number", b"\xc0\xa3\x09\x00" + whole
    yield "graph_twice", whole + whole
    yield "cycle", model([neg("b", "a"), neg("a", "b"), neg("x", "y")])
    yield "cycle_of_one", model([neg("y", "y")])
    yield "cycle_through_body", model(
        [helper.make_node("If", ["c"], ["y"], then_branch=helper.make_graph(
            [neg("z", "t")], "b", [], [info("t")]), else_branch=helper.make_graph(
                [neg("x", "e")], "b", [], [info("e")])), neg("y", "z")],
        inputs=[info("x"), info("c", [], TensorProto.BOOL)])
    yield "same_output_twice", model([neg(), neg()])
    yield "node_writes_input", model([neg("x", "x")])
    yield "unknown_input", model([neg("nowhere")])
    yield "unknown_output", model([neg()], outputs=[info("nothing")])
    yield "no_operator", model([helper.make_node("", ["x"], ["y"])])
    yield "wrong_order", model([neg("t", "y"), neg("x", "t")])
    yield "too_few_inputs", attribute("Add", ["x"])
    yield "too_many_inputs", attribute("Neg", ["x"] * 50)
    yield "absent_input", attribute("Add", ["x", ""])
    yield "wrong_attribute_type", wrong_type()
    yield "attribute_twice", duplicate_attribute()
    yield "wrong_perm", attribute("Transpose", ["x"], perm=[0, 7])
    yield "perm_too_long", attribute("Transpose", ["x"], perm=list(range(40)))
    yield "huge_axis", attribute("Concat", ["x", "x"], axis=1 << 62)
    yield "huge_kernel", attribute("MaxPool", ["x"], kernel_shape=[1 << 62, 1 << 62])
    yield "negative_kernel", attribute("AveragePool", ["x"], kernel_shape=[-1])
    yield "zero_strides", attribute("Conv", ["x", "x"], strides=[0, 0])
    yield "pads_mismatch", attribute("Conv", ["x", "x"], pads=[1], dilations=[1, 1, 1])
    for op in ("Div", "Mod"):
        yield "int_min_by_minus_one_" + op.lower(), model(
            [helper.make_node(op, ["a", "b"], ["y"])],
            [numpy_helper.from_array(np.array([-1 << 63]), "a"),
             numpy_helper.from_array(np.array([-1]), "b")])
        yield "by_zero_" + op.lower(), model(
            [helper.make_node(op, ["a", "b"], ["y"])],
            [numpy_helper.from_array(np.array([5]), "a"),
             numpy_helper.from_array(np.array([0]), "b")])
    for op, shape in (("Reshape", [-1, -1]), ("Reshape", [1 << 62, 16]), ("Expand", [1 << 62, 4]),
                      ("ConstantOfShape", [1 << 40]), ("ConstantOfShape", [-1]),
                      ("Tile", [1 << 40, 1 << 40])):
        ins = ["s"] if op == "ConstantOfShape" else ["x", "s"]
        yield "%s_%s" % (op.lower(), "_".join(map(str, shape))), model(
            [helper.make_node(op, ins, ["y"])],
            [numpy_helper.from_array(np.array(shape), "s")])
    yield "range_without_end", model(
        [helper.make_node("Range", ["a", "b", "c"], ["y"])],
        [numpy_helper.from_array(np.array(v), n) for n, v in
         (("a", 0), ("b", 1 << 62), ("c", 1))])
    yield "gather_out_of_range", model(
        [helper.make_node("Gather", ["w", "i"], ["y"])],
        [numpy_helper.from_array(np.ones(3, np.float32), "w"),
         numpy_helper.from_array(np.array([1 << 40, -9]), "i")])
    yield "slice_by_zero", model(
        [helper.make_node("Slice", ["w", "z", "o", "", "z"], ["y"])],
        [numpy_helper.from_array(np.ones(3, np.float32), "w"),
         numpy_helper.from_array(np.array([0]), "z"),
         numpy_helper.from_array(np.array([1]), "o")])
    for name, dims in (("negative", [-1]), ("product", [1 << 32, 1 << 32]), ("huge", [1 << 62]),
                       ("rank", [1] * 200)):
        yield "dims_" + name, model([neg()], [tensor(dims, raw=b"1234")])
    yield "raw_too_short", model([neg()], [tensor([2], raw=b"1234567")])
    yield "raw_too_long", model([neg()], [tensor([2], raw=b"123456789")])
    yield "nothing_in_it", model([neg()], [tensor([2])])
    yield "typed_too_few", model([neg()], [tensor([2], float_data=[1])])
    yield "typed_wrong_field", model([neg()], [tensor([2], int64_data=[1, 2])])
    yield "typed_and_raw", model([neg()], [tensor([2], raw=b"12345678", float_data=[1, 2])])
    yield "strings_too_few", model([neg()], [tensor([2], TensorProto.STRING, string_data=[b"a"])])
    yield "strings_raw", model([neg()], [tensor([1], TensorProto.STRING, raw=big)])
    yield "unknown_type", model([neg()], [tensor([1], 77, raw=b"1")])
    yield "bool_of_2", model([neg()], [tensor([2], TensorProto.BOOL, raw=b"\x02\xff")])
    for name, location in (("up", "../w"), ("up_inside", "a/../../w"), ("absolute", "/etc/passwd"),
                           ("memory", "*/_ORT_MEM_ADDR_/*"), ("nul", "w\0x"), ("dot", ".")):
        yield "external_" + name, external(location=location, offset="0", length="8")
    yield "external_negative", external(location="w", offset="-8", length="8")
    yield "external_hex", external(location="w", offset="0x8", length="8")
    yield "external_overflow", external(location="w", offset=str(1 << 64), length="8")
    yield "external_unknown_key", external(location="w", __class__="x")
    yield "sparse_right", sparse([1, 5])
    yield "sparse_past_the_end", sparse([0, 6])
    yield "sparse_negative", sparse([-1, 2])
    yield "sparse_overflow", sparse([[0, 1], [1, 1 << 40]])
    yield "sparse_huge", sparse([0, 1], (1 << 31, 1 << 31))
    yield "sparse_zero", sparse([[0, 0, 0], [1, 1, 0]], (1 << 62, 1 << 62, 0))
    yield "sparse_wrong_rank", sparse([[0, 1, 2], [0, 1, 2]])
    yield "deep_if", deep_if(40)
    yield "too_deep_if", deep_if(90)
    yield "doubled_if", doubled_if(7)
    yield "function", with_function(function())
    yield "function_calls_itself", with_function(function(calls=("F",)))
    yield "function_twice", with_function(function(calls=("Neg", "Neg")))
    yield "opset_minus_one", model([neg()], opset=-1)
    yield "opset_of_the_future", model([neg()], opset=1 << 40)
    for opset in (1, 6, 7):
        yield "reshape_of_opset_%d" % opset, model(
            [helper.make_node("Reshape", ["x"], ["y"], shape=[3, 2])], opset=opset)
    yield "upsample_of_opset_7", model(
        [helper.make_node("Upsample", ["x"], ["y"], scales=[1.0, float("nan")])], opset=7)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, what in files():
        data = what if isinstance(what, bytes) else what.SerializeToString()
        with open(os.path.join(sys.argv[1], name + ".onnx"), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main()
