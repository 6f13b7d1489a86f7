#!/usr/bin/env python3
"""Read and write models with planish: what comes out is what went in.
SPDX-License-Identifier: Apache-2.0

usage: check_roundtrip.py --planish COMMAND [--suite DIR] [--every N]

Two ways out and back: `optimize -O0 IN OUT`, and `print IN -o TEXT`, `parse TEXT OUT`. The
messages must be equal field by field, unknown fields included; and onnx.parser must take the text.
Tried on one model with a value in every field of the schema (but a tensor's segment, which no
runtime reads, and external data, which check_info_cost.py writes), on the 21 trained models (-O0), and
on every N-th model of the official suite. Prints TAP.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import sys
import tempfile

import numpy as np
import onnx
import onnx.parser
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from google.protobuf import unknown_fields

import harness
from harness import Fault

MARK = 31337  # a field number that the schema has not


# ---- comparing ----

def unknown(message):
    return sorted((u.field_number, u.wire_type, u.data)
                  for u in unknown_fields.UnknownFieldSet(message))


def difference(a, b, where=""):
    """The first place where two messages differ, or None."""
    fields = {f.name: f for f, _ in a.ListFields()}
    fields.update({f.name: f for f, _ in b.ListFields()})
    for name, field in fields.items():
        here = where + "." + name
        va, vb = getattr(a, name), getattr(b, name)
        if field.is_repeated:
            if len(va) != len(vb):
                return "%s: %d entries, were %d" % (here, len(vb), len(va))
            if field.message_type:
                for k, (x, y) in enumerate(zip(va, vb)):
                    found = difference(x, y, "%s[%d]" % (here, k))
                    if found:
                        return found
            elif list(map(bits, va)) != list(map(bits, vb)):
                return "%s: values differ" % here
            continue
        if a.HasField(name) != b.HasField(name):
            return "%s: %s" % (here, "lost" if a.HasField(name) else "added")
        if field.message_type:
            found = difference(va, vb, here)
            if found:
                return found
        elif bits(va) != bits(vb):
            return "%s: %.40r, was %.40r" % (here, vb, va)
    if unknown(a) != unknown(b):
        return "%s: unknown fields differ" % (where or "model")
    return None


def bits(value):
    return np.float64(value).tobytes() if isinstance(value, float) else value


def drop_stamp(before, after):
    """`optimize` says in the file how it was made; that entry is the one that may be added."""
    for model in (before, after):
        for k, entry in reversed(list(enumerate(model.metadata_props))):
            if entry.key == "planish.recipe":
                del model.metadata_props[k]


def as_text_knows_it(model):
    """What the text does not tell: which field held a tensor's elements, and in which order
    the initializers stood, and the attributes of a node that has sparse ones (they stand
    in a comment of their own; an attribute is found by its name)."""
    raw_tensors(model)

    def sort_field(field):
        copies = [m.SerializeToString() for m in sorted(field, key=lambda m: m.name)]
        del field[:]
        for data in copies:
            field.add().MergeFromString(data)

    def sort(graph):
        sort_field(graph.initializer)
        for node in graph.node:
            sort_field(node.attribute)
            for a in node.attribute:
                for sub in list(a.graphs) + ([a.g] if a.HasField("g") else []):
                    sort(sub)
    sort(model.graph)


def raw_tensors(message):
    """Puts the elements of typed fields into raw_data."""
    if isinstance(message, TensorProto):
        if message.data_type != TensorProto.STRING and not message.HasField("raw_data"):
            raw = numpy_helper.from_array(numpy_helper.to_array(message)).raw_data
            for field in ("float_data", "int32_data", "int64_data", "double_data",
                          "uint64_data"):
                message.ClearField(field)
            message.raw_data = raw
        return
    for field, value in message.ListFields():
        if field.message_type:
            for part in value if field.is_repeated else (value,):
                raw_tensors(part)


# ---- the model with everything in it ----

def add_unknown(message, text):
    """Appends a length-delimited field that the schema does not know."""
    key = (MARK << 3) | 2
    head = bytearray()
    while True:
        head.append((key & 127) | (128 if key > 127 else 0))
        key >>= 7
        if not key:
            break
    data = text.encode()
    message.MergeFromString(bytes(head) + bytes([len(data)]) + data)


def tensors():
    """A tensor of every type, by raw_data and, where there is one, by its typed field."""
    made = []
    for dtype in TensorProto.DataType.values():
        name = TensorProto.DataType.Name(dtype)
        if name == "UNDEFINED":
            continue
        if name == "STRING":
            t = TensorProto(name="t_STRING", data_type=dtype, dims=[3])
            t.string_data.extend([b"a\0b", b"", "\u00e4".encode()])
            made.append(t)
            continue
        dt = helper.tensor_dtype_to_np_dtype(dtype)
        array = np.array([0, 1, 1, 0]).astype(dt)
        made.append(numpy_helper.from_array(array, "raw_" + name))
        typed = TensorProto(name="typed_" + name, data_type=dtype, dims=[4])
        field = helper.tensor_dtype_to_field(dtype)
        n = {"UINT4": 2, "INT4": 2, "FLOAT4E2M1": 2, "UINT2": 1, "INT2": 1,
             "COMPLEX64": 8, "COMPLEX128": 8}.get(name, 4)
        getattr(typed, field).extend([1] * n)
        made.append(typed)
    return made


def attributes():
    graph = helper.make_graph([helper.make_node("Neg", ["q"], ["r"])], "sub",
                              [helper.make_tensor_value_info("q", 1, [1])],
                              [helper.make_tensor_value_info("r", 1, [1])])
    small = numpy_helper.from_array(np.arange(3, dtype=np.float32), "small")
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([5.0], np.float32), "sv"),
        numpy_helper.from_array(np.array([1], np.int64), "si"), [3])
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 2])
    made = [helper.make_attribute(n, v) for n, v in (
        ("f", 0.1), ("i", -5), ("s", b"x\0y\xff"), ("t", small), ("g", graph),
        ("floats", [1.5, -0.0]), ("ints", [1 << 62, -1]), ("strings", [b"", b"\0"]), ("tensors", [small]),
        ("graphs", [graph]), ("sparse_tensor", sparse), ("sparse_tensors", [sparse]),
        ("tp", kind), ("type_protos", [kind]))]
    made.append(AttributeProto(name="empty", type=AttributeProto.INTS))
    made.append(AttributeProto(name="nan", type=AttributeProto.FLOAT, f=float("nan")))
    for k, a in enumerate(made):
        a.doc_string = "attribute %d" % k
    return made


def types():
    f = helper.make_tensor_type_proto(TensorProto.FLOAT, ["batch", 3])
    f.denotation = "IMAGE"
    f.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    opaque = onnx.TypeProto()
    opaque.opaque_type.domain, opaque.opaque_type.name = "my.domain", "thing"
    any_rank = onnx.TypeProto()
    any_rank.tensor_type.elem_type = TensorProto.INT64
    some_dim = helper.make_tensor_type_proto(TensorProto.INT64, [None, 1])
    return [f, helper.make_sequence_type_proto(f), helper.make_optional_type_proto(f),
            helper.make_map_type_proto(TensorProto.INT64, f),
            helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [2, 2]), opaque, any_rank,
            some_dim]


def kitchen_sink():
    """A model with every field of the schema somewhere, valid but for its made-up domain."""
    node = helper.make_node("Anything", ["x", "", "raw_FLOAT"], ["y", "", "z\0nul"],
                            name="n\0ame", domain="my.domain", doc_string="doc\nline")
    node.overload = "v2"
    node.attribute.extend(attributes())
    node.metadata_props.add(key="k", value="")
    place = node.device_configurations.add(configuration_id="cfg", pipeline_stage=0)
    spec = place.sharding_spec.add(tensor_name="x", device=[-1, 0])
    spec.index_to_device_group_map.add(key=-1, value=[0, 1])
    sharded = spec.sharded_dim.add(axis=0)
    sharded.simple_sharding.add(dim_value=4, num_shards=2)
    sharded.simple_sharding.add(dim_param="batch", num_shards=2)
    call = helper.make_node("Twice", ["y"], ["w"], domain="local", k=3)

    infos = []
    for k, kind in enumerate(types()):
        info = onnx.ValueInfoProto(name="in%d" % k, doc_string="" if k else "first")
        info.type.CopyFrom(kind)
        info.metadata_props.add(key="unit", value="m")
        infos.append(info)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "2*seq+1"])
    graph = helper.make_graph(
        [node, call], "ev\0erything", [x] + infos,
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, None)], tensors(),
        doc_string="graph", value_info=[
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])],
        sparse_initializer=[helper.make_sparse_tensor(
            numpy_helper.from_array(np.array([1, 2], np.float32), "sparse"),
            numpy_helper.from_array(np.array([[0, 1], [2, 0]], np.int64), "sparse_at"),
            [3, 3])])
    graph.initializer[0].doc_string = "weights"
    graph.initializer[0].metadata_props.add(key="from", value="here")
    graph.metadata_props.add(key="", value="v")
    note = graph.quantization_annotation.add(tensor_name="x")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="raw_FLOAT")

    twice = helper.make_function(
        "local", "Twice", ["a"], ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"], doc_string="sum")],
        [helper.make_opsetid("", 21)], ["k"], [helper.make_attribute("d", 7)],
        doc_string="a function")
    twice.overload = ""
    twice.metadata_props.add(key="m", value="p")
    twice.value_info.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, None))
    scaled = helper.make_node("Elu", ["a"], ["c"])
    scaled.attribute.append(AttributeProto(name="alpha", type=AttributeProto.FLOAT,
                                           ref_attr_name="k"))
    twice.node.append(scaled)

    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("my.domain", 1),
                              helper.make_opsetid("local", 1)],
        ir_version=14, producer_name="someone", producer_version="1.0", doc_string="model",
        functions=[twice])
    model.domain, model.model_version = "org.example", -3
    model.metadata_props.add(key="licence", value="none\0at all")
    model.configuration.add(name="cfg", num_devices=2, device=["a", "b"])
    step = model.training_info.add()
    for part in (step.initialization, step.algorithm):
        part.CopyFrom(helper.make_graph([helper.make_node("Neg", ["p"], ["p2"])], "training", [],
                                        [helper.make_tensor_value_info("p2", 1, [1])]))
    step.initialization_binding.add(key="raw_FLOAT", value="p2")
    step.update_binding.add(key="raw_FLOAT", value="p2")
    return model


def unknown_everywhere(model):
    """The same model with a field from the future in many of its messages."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    g = made.graph
    for k, message in enumerate((made, g, g.node[0], g.node[0].attribute[0], g.initializer[0],
                                 g.input[0], g.input[0].type, g.input[0].type.tensor_type,
                                 g.input[0].type.tensor_type.shape.dim[0], made.functions[0],
                                 made.opset_import[0], made.metadata_props[0],
                                 made.training_info[0], g.quantization_annotation[0])):
        add_unknown(message, "future %d" % k)
    return made


# ---- the two ways ----

class Trip:
    def __init__(self, planish, tmp):
        self.planish = planish
        self.tmp = tmp

    def path(self, key, ending):
        return os.path.join(self.tmp, re.sub(r"\W", "_", key) + ending)

    def file(self, key, path):
        out = self.path(key, ".out.onnx")
        harness.command([self.planish, "optimize", "-O0", path, out])
        return self.same(path, out)

    def text(self, key, path):
        text, out = self.path(key, ".onnxtxt"), self.path(key, ".text.onnx")
        harness.command([self.planish, "print", path, "-o", text, "--inline-limit", "1000000"])
        harness.command([self.planish, "parse", text, out])
        return self.same(path, out, as_text_knows_it)

    def parser(self, key, path):
        text = self.path(key, ".p.onnxtxt")
        harness.command([self.planish, "print", path, "-o", text])
        try:
            with open(text, encoding="utf-8") as f:
                onnx.parser.parse_model(f.read())
        except UnicodeDecodeError as e:
            raise Fault("the text is not UTF-8: %s" % e) from None
        except onnx.parser.ParseError as e:
            raise Fault("onnx.parser: %s" % " ".join(str(e).split())[:300]) from None

    def same(self, before, after, prepare=None):
        pair = [onnx.load(p, load_external_data=False) for p in (before, after)]
        os.remove(after)
        drop_stamp(*pair)
        for model in pair if prepare else ():
            prepare(model)
        found = difference(*pair)
        if found:
            raise Fault(found)


def outcome(job):
    """Runs one check in a worker; None or what was found."""
    planish, way, key, path = job
    with tempfile.TemporaryDirectory() as tmp:
        try:
            getattr(Trip(planish, tmp), way)(key, path)
        except Fault as e:
            return str(e)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--planish", default=os.path.join(harness.ROOT, "build", "tools",
                                                          "planish"))
    parser.add_argument("--models", default=harness.MODELS)
    parser.add_argument("--suite", default=os.path.join(harness.ROOT, ".deps", "suite"))
    parser.add_argument("--every", type=int, default=7, metavar="N")
    args = parser.parse_args()
    tap = harness.Tap()
    jobs = []
    with tempfile.TemporaryDirectory() as tmp:
        sink = kitchen_sink()
        for name, model in (("every field", sink), ("fields from the future",
                                                    unknown_everywhere(sink))):
            path = os.path.join(tmp, name.replace(" ", "_") + ".onnx")
            with open(path, "wb") as f:
                f.write(model.SerializeToString())
            jobs += [(args.planish, "file", name, path)]
            if name == "every field":  # the text has no place for unknown fields
                jobs += [(args.planish, "text", name, path),
                         (args.planish, "parser", name, path)]
        for entry in harness.models():
            path = os.path.join(args.models, entry["id"], "model.onnx")
            if os.path.exists(path):
                jobs.append((args.planish, "file", entry["id"], path))
            else:
                tap.skip("%s: file" % entry["id"], "the model was not fetched")
        found = sorted(glob.glob(os.path.join(args.suite, "*", "*", "model.onnx")))
        if not found:
            tap.skip("the official suite", "it was not dumped: see dump_onnx_suite.py")
        for path in found[::args.every]:
            key = os.path.relpath(os.path.dirname(path), args.suite)
            jobs += [(args.planish, way, key, path) for way in ("file", "text", "parser")]
        with concurrent.futures.ProcessPoolExecutor(2) as pool:
            for job, fault in zip(jobs, pool.map(outcome, jobs, chunksize=8)):
                name = "%s: %s" % (job[2], job[1])
                tap.fail(name, fault) if fault else tap.ok(name)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
