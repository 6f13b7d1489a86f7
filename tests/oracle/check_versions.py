#!/usr/bin/env python3
"""Old operator sets: each case of the official suite at each older version of its operator.
SPDX-License-Identifier: Apache-2.0

usage: check_versions.py [--match REGEX] [--list]

A case is carried to an older version of its operator where that has the same inputs and
attributes, or where inputs were attributes then (INPUTS_BEFORE). What it gives there is asked of
ONNX Runtime, else of the reference evaluator at that version, and planish must give the same.
BY_HAND has the meanings that no newer version has. KNOWN lists what is right here and not there,
with the reason. A case that nobody else runs must load and run. Prints TAP, a line for each
operator and version.
"""
import argparse
import collections
import itertools
import os
import re
import sys
import warnings

import numpy as np
import onnx
import onnx.defs
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import harness
from check_own import one_node, same
from harness import Fault

import planish  # noqa: E402  (check_own has found it)


#: (operator, first version that has them as inputs): {input: (attribute, its type)}
INTS, FLOAT, INT = AttributeProto.INTS, AttributeProto.FLOAT, AttributeProto.INT
REDUCE = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
          "ReduceMin", "ReduceProd", "ReduceSumSquare")
INPUTS_BEFORE = {("ReduceSum", 13): {1: ("axes", INTS)},
                 ("Squeeze", 13): {1: ("axes", INTS)}, ("Unsqueeze", 13): {1: ("axes", INTS)},
                 ("Split", 13): {1: ("split", INTS)}, ("Reshape", 5): {1: ("shape", INTS)},
                 ("Clip", 11): {1: ("min", FLOAT), 2: ("max", FLOAT)},
                 ("Pad", 11): {1: ("pads", INTS), 2: ("value", FLOAT)},
                 ("Slice", 10): {1: ("starts", INTS), 2: ("ends", INTS), 3: ("axes", INTS)},
                 ("TopK", 10): {1: ("k", INT)}, ("Dropout", 12): {1: ("ratio", FLOAT)},
                 ("Upsample", 9): {1: ("scales", AttributeProto.FLOATS)},
                 **{(op, 18): {1: ("axes", INTS)} for op in REDUCE}}

# (pattern of case names, versions, the reason why others differ)
KNOWN = (("test_averagepool_.*", (1,), "the reference counts the padding, which version 7 "
          "made a choice, and not the default one"),
         ("test_prelu_broadcast.*", (1, 6), "slopes were those of the channels"))


def histories():
    """{(domain, operator): [schema, oldest first]}"""
    found = collections.defaultdict(list)
    for s in onnx.defs.get_all_schemas_with_history():
        if s.domain in ("", "ai.onnx.ml"):
            found[s.domain, s.name].append(s)
    for schemas in found.values():
        schemas.sort(key=lambda s: s.since_version)
    return found


def last_opset(schemas, i, newest):
    """The last operator set in which version i is the operator's."""
    return schemas[i + 1].since_version - 1 if i + 1 < len(schemas) else newest


# ---- carrying a case back ----------------------------------------------------------------------

def constant_of(case, name):
    """The contents of an input of the case's graph."""
    for info, value in zip(case.model.graph.input, case.data_sets[0][0]):
        if info.name == name:
            return value if isinstance(value, np.ndarray) else None
    return None


def inputs_to_attributes(case, node, version, feeds):
    """Inputs that were attributes before `version + 1` become such; False: they can't."""
    for (op, since), table in INPUTS_BEFORE.items():
        if op != node.op_type or version >= since:
            continue
        for i, (name, kind) in table.items():
            if i >= len(node.input) or not node.input[i]:
                continue
            value = constant_of(case, node.input[i])
            if value is None:
                return False
            value = {INTS: lambda v: v.ravel().tolist(), FLOAT: lambda v: float(v.ravel()[0]),
                     INT: lambda v: int(v.ravel()[0]),
                     AttributeProto.FLOATS: lambda v: v.ravel().tolist()}[kind](value)
            if kind == INTS and value == []:
                return False
            node.attribute.append(helper.make_attribute(name, value))
            feeds.pop(node.input[i], None)
        del node.input[min(table):]
    return True


def type_text(info):
    t = info.type
    which = t.WhichOneof("value")
    if which == "tensor_type":
        return "tensor(%s)" % TensorProto.DataType.Name(t.tensor_type.elem_type).lower()
    if which == "sequence_type":
        return "seq(%s)" % type_text(onnx.ValueInfoProto(type=t.sequence_type.elem_type))
    if which == "optional_type":
        return "optional(%s)" % type_text(onnx.ValueInfoProto(type=t.optional_type.elem_type))
    return "?"


def allows(schema, node, infos):
    """Does the schema take the node's inputs, outputs, types and attributes?"""
    if not (schema.min_input <= len(node.input) <= schema.max_input
            and schema.min_output <= len(node.output) <= schema.max_output):
        return False
    for a in node.attribute:
        if a.name not in schema.attributes:
            return False
        kind = str(schema.attributes[a.name].type).rpartition(".")[2]
        if kind != AttributeProto.AttributeType.Name(a.type):
            return False
    if any(a.required and name not in [x.name for x in node.attribute]
           for name, a in schema.attributes.items()):
        return False
    bound = {}
    for side, formal in ((node.input, schema.inputs), (node.output, schema.outputs)):
        for i, name in enumerate(side):
            p = formal[min(i, len(formal) - 1)]
            if not name:
                if p.option != onnx.defs.OpSchema.FormalParameterOption.Optional:
                    return False
                continue
            text = type_text(infos[name])
            if text not in {t.replace(" ", "") for t in p.types}:
                return False
            if p.is_homogeneous and bound.setdefault(p.type_str, text) != text:
                return False
    return True


def carry(case, schemas, i, newest):
    """(model, feeds) at version i of the operator; None: it can't be said there."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    if len(graph.node) != 1 or len(case.data_sets) < 1:
        return None
    node = graph.node[0]
    feeds = {v.name: numpy_helper.to_array(x) if isinstance(x, TensorProto) else x
             for v, x in zip(graph.input, case.data_sets[0][0])}
    version = schemas[i].since_version
    if not inputs_to_attributes(case, node, version, feeds):
        return None
    infos = {v.name: v for v in [*graph.input, *graph.output]}
    if not allows(schemas[i], node, infos):
        return None
    kept = [v for v in graph.input if v.name in feeds]
    del graph.input[:]
    graph.input.extend(kept)
    opset = last_opset(schemas, i, newest)
    for o in model.opset_import:
        if o.domain == schemas[i].domain:
            o.version = opset
    model.ir_version = max(3, helper.find_min_ir_version_for(model.opset_import, True))
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError:  # a body of other versions
        return None
    return model, feeds


# ---- who says what is right --------------------------------------------------------------------

def by_onnxruntime(model, feeds):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    if any(a.dtype.kind == "V" or a.dtype.name not in np.sctypeDict for a in feeds.values()
           if isinstance(a, np.ndarray)):
        raise TypeError("types that numpy has not")
    session = ort.InferenceSession(model.SerializeToString(), options,
                                   providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def by_reference(model, feeds):
    return ReferenceEvaluator(model).run(None, feeds)


def asked(who, model, feeds):
    """Its outputs, or None where it does not run the model."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return who(model, feeds)
    except Exception:  # each has errors of its own
        return None


def compare(model, want, got, rtol, atol):
    for v, w, g in zip(model.graph.output, want, got):
        if w is not None or g is not None:
            same(v.name, w, g, rtol, atol)


def check_one(model, feeds, want, rtol, atol):
    """Who said so. Where ONNX Runtime is known to be wrong, the reference's word counts."""
    got = planish.InferenceSession(model.SerializeToString()).run(None, feeds)
    if want is not None:
        compare(model, want, got, rtol, atol)
        return "by hand"
    fault = None
    for who, name in ((by_onnxruntime, "by ONNX Runtime"), (by_reference, "by the reference")):
        want = asked(who, model, feeds)
        if want is None:
            continue
        try:
            compare(model, want, got, rtol, atol)
            return name
        except Fault as e:
            fault = fault or Fault("%s: %s" % (name, e))
    if fault:
        raise fault
    return "run alone"


# ---- meanings that only older versions have ----------------------------------------------------

def by_hand():
    """(operator, version, name, model, feeds, want or None: as ONNX Runtime or the reference)"""
    rng = np.random.default_rng(3)
    f = lambda *shape: rng.normal(size=shape).astype(np.float32)

    def at(opset, op, feeds, n_out=1, **attrs):
        return one_node(op, feeds, n_out, domain="", opsets=[helper.make_opsetid("", opset)],
                        **attrs)

    x = f(2, 3, 4, 5)
    for op, fn in (("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply),
                   ("Div", np.divide), ("Pow", np.power)):
        a = np.abs(x) + 1
        for b, axis, shape in ((f(3, 4), 1, (1, 3, 4, 1)), (f(5), None, (1, 1, 1, 5)),
                               (f(1), None, (1, 1, 1, 1)), (f(2), 0, (2, 1, 1, 1)),
                               (f(4, 5), None, (1, 1, 4, 5)), (f(3), -3, (1, 3, 1, 1))):
            b = np.abs(b) + .5
            feeds = {"a": a, "b": b}
            more = {} if axis is None else {"axis": axis}
            for v in (6, 1) if op != "Pow" else (6,):
                if v == 1 and axis is not None and axis < 0:
                    continue
                yield (op, v, "broadcast %s, axis %s" % (b.shape, axis),
                       at(v, op, feeds, broadcast=1, **more), feeds,
                       [fn(a, b.reshape(shape)).astype(np.float32)])
    for op, fn in (("And", np.logical_and), ("Or", np.logical_or), ("Xor", np.logical_xor)):
        feeds = {"a": x > 0, "b": f(3, 4) > 0}
        yield (op, 1, "broadcast", at(6, op, feeds, broadcast=1, axis=1), feeds,
               [fn(x > 0, feeds["b"].reshape(1, 3, 4, 1))])
    for op, fn in (("Greater", np.greater), ("Less", np.less)):
        feeds = {"a": x, "b": f(4)}
        yield (op, 1, "broadcast", at(6, op, feeds, broadcast=1, axis=2), feeds,
               [fn(x, feeds["b"].reshape(1, 1, 4, 1))])
    feeds = {"a": (x > 0).astype(np.int32), "b": np.array([0, 1, 1], np.int32)}
    yield ("Equal", 1, "broadcast", at(6, "Equal", feeds, broadcast=1, axis=1), feeds,
           [feeds["a"] == feeds["b"].reshape(1, 3, 1, 1)])
    feeds = {"x": x, "s": f(3)}
    yield ("PRelu", 6, "slope of the channels", at(6, "PRelu", feeds), feeds,
           [np.where(x < 0, x * feeds["s"].reshape(1, 3, 1, 1), x)])
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        for axis in (None, 0, 1, 2, 3, -1, -2):
            for v in (1, 11):
                if v == 1 and axis is not None and axis < 0:
                    continue
                feeds = {"x": x}
                more = {} if axis is None else {"axis": axis}
                flat = x.reshape(int(np.prod(x.shape[:1 if axis is None else axis % 4])), -1)
                e = np.exp(flat - flat.max(1, keepdims=True))
                soft = e / e.sum(1, keepdims=True)
                want = {"Softmax": soft, "LogSoftmax": np.log(soft),
                        "Hardmax": (np.arange(flat.shape[1]) == flat.argmax(1)[:, None])
                        .astype(np.float32)}[op]
                yield (op, v, "axis %s" % axis, at(12 if v == 11 else 10, op, feeds, **more),
                       feeds, [want.reshape(x.shape).astype(np.float32)])
    s, b, m, v = f(3), f(3), f(3), np.abs(f(3)) + .5
    feeds = {"x": x, "s": s, "b": b, "m": m, "v": v}
    c = lambda t: t.reshape(1, 3, 1, 1)
    norm = (x - c(m)) / np.sqrt(c(v) + np.float32(1e-5)) * c(s) + c(b)
    yield ("BatchNormalization", 1, "is_test",
           at(5, "BatchNormalization", feeds, is_test=1, consumed_inputs=[0, 0, 0, 1, 1]),
           feeds, [norm])
    yield ("BatchNormalization", 6, "is_test",
           at(6, "BatchNormalization", feeds, is_test=1), feeds, [norm])
    yield ("BatchNormalization", 7, "plain", at(8, "BatchNormalization", feeds), feeds, [norm])
    yield ("BatchNormalization", 9, "plain", at(13, "BatchNormalization", feeds), feeds, [norm])
    whole = {"x": x, **{k: f(3, 4, 5) for k in "sbm"}, "v": np.abs(f(3, 4, 5)) + .5}
    norm = ((x - whole["m"]) / np.sqrt(whole["v"] + np.float32(1e-5)) * whole["s"] + whole["b"])
    for v in (6, 7):
        more = {"is_test": 1} if v == 6 else {}
        yield ("BatchNormalization", v, "not spatial",
               at(6 if v == 6 else 8, "BatchNormalization", whole, spatial=0, **more), whole,
               [norm.astype(np.float32)])
    for v, more in ((1, {"is_test": 1, "consumed_inputs": [0]}), (6, {"is_test": 1}), (7, {}),
                    (10, {})):
        yield ("Dropout", v, "ratio", at({1: 5, 6: 6, 7: 9, 10: 11}[v], "Dropout", {"x": x},
                                         ratio=.3, **more), {"x": x}, [x])
    mask = np.ones(x.shape, bool)
    yield ("Dropout", 10, "mask", at(11, "Dropout", {"x": x}, 2, ratio=.3), {"x": x}, [x, mask])
    for to, t in (("INT32", np.int32), ("DOUBLE", np.float64), ("BOOL", bool),
                  ("FLOAT16", np.float16)):
        yield ("Cast", 1, to, at(5, "Cast", {"x": x}, to=to), {"x": x}, [x.astype(t)])
    y = f(1, 2, 3, 4)
    for mode in ("nearest", "linear"):
        scales = np.array([1, 1, 2, 1.5], np.float32)
        yield ("Upsample", 7, mode, at(8, "Upsample", {"x": y}, mode=mode, scales=[1, 1, 2, 1.5]),
               {"x": y}, None)
        feeds = {"x": y, "s": scales}
        yield ("Upsample", 9, mode, at(9, "Upsample", feeds, mode=mode), feeds, None)
        for scales in ([1, 1, 2, 3], [1, 1, 1.5, 2.5], [1, 1, .6, .7], [1, 1, .5, .25],
                       [1, 1, 1.3, .8]):
            feeds = {"x": f(1, 2, 7, 9), "s": np.array(scales, np.float32)}
            yield ("Resize", 10, "%s %s" % (mode, scales), at(10, "Resize", feeds, mode=mode),
                   feeds, None)
    yield ("Concat", 1, "default axis", at(3, "Concat", {"a": x, "b": x}), {"a": x, "b": x},
           [np.concatenate([x, x], 1)])
    feeds = {"a": f(2, 3), "b": f(3, 4), "c": f(4)}
    yield ("Gemm", 6, "row", at(6, "Gemm", feeds, broadcast=1, alpha=.5), feeds,
           [np.float32(.5) * (feeds["a"] @ feeds["b"]) + feeds["c"]])
    yield ("Pad", 1, "paddings", at(1, "Pad", {"x": y}, paddings=[0, 0, 1, 2, 0, 0, 2, 1],
                                    value=3.0), {"x": y},
           [np.pad(y, ((0, 0), (0, 0), (1, 2), (2, 1)), constant_values=3).astype(np.float32)])
    yield ("Pad", 2, "reflect", at(10, "Pad", {"x": y}, pads=[0, 0, 1, 2, 0, 0, 1, 1],
                                   mode="reflect"), {"x": y},
           [np.pad(y, ((0, 0), (0, 0), (1, 1), (2, 1)), mode="reflect")])
    yield ("Clip", 1, "no bounds", at(5, "Clip", {"x": x}), {"x": x}, [x])
    yield ("Clip", 6, "min alone", at(10, "Clip", {"x": x}, min=.25), {"x": x},
           [np.maximum(x, np.float32(.25))])
    feeds = {"x": y, "n": np.array([3], np.int64), "axis": np.array([2], np.int64)}
    model = at(5, "Tile", feeds)
    for name in ("n", "axis"):
        model.graph.initializer.append(numpy_helper.from_array(feeds[name], name))
    del model.graph.input[1:]
    yield "Tile", 1, "axis", model, {"x": y}, [np.tile(y, (1, 1, 3, 1))]
    yield ("Split", 1, "input", at(1, "Split", {"x": y, "s": np.array([1, 2], np.int64)}, 2,
                                   axis=2), {"x": y, "s": np.array([1, 2], np.int64)},
           np.split(y, [1], 2))
    yield ("Split", 2, "equal parts", at(12, "Split", {"x": y}, 2, axis=3), {"x": y},
           np.split(y, 2, 3))
    for v, opset in ((1, 8), (9, 10)):
        feeds = {"x": x, "i": np.array([[1, 0], [2, 1]], np.int64)}
        if v == 9:
            feeds = {"x": f(3, 4), "i": np.array([[1, 0, 2, 2]], np.int64), "u": f(1, 4)}
            yield "Scatter", 9, "axis 0", at(10, "Scatter", feeds), feeds, None
        else:
            yield ("Gather", 1, "axis 1", at(opset, "Gather", feeds, axis=1), feeds,
                   [np.take(x, feeds["i"], 1)])
    for op in ("ArgMax", "ArgMin"):
        z = np.array([[2, 2, 1], [3, 3, 3]], np.float32)
        yield (op, 1, "ties", at(10, op, {"x": z}, axis=1, keepdims=0), {"x": z},
               [getattr(np, op.lower())(z, 1)])
    for v, opset, attrs in ((1, 6, {"output_sequence": 1}), (7, 13, {})):
        for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
            feeds = {"x": f(3, 2, 4), "w": f(1, gates * 5, 4), "r": f(1, gates * 5, 5)}
            yield (op, v, "forward", at(opset, op, feeds, hidden_size=5, **attrs), feeds,
                   None)
    z = f(2, 4, 3, 3)
    feeds = {"x": z, "s": f(2), "b": f(2)}
    g = z.reshape(2, 2, -1)
    g = (g - g.mean(2, keepdims=True)) / np.sqrt(g.var(2, keepdims=True) + 1e-5)
    want = (g * feeds["s"].reshape(1, 2, 1) + feeds["b"].reshape(1, 2, 1)).reshape(z.shape)
    yield ("GroupNormalization", 18, "by group",
           at(20, "GroupNormalization", feeds, num_groups=2), feeds, [want.astype(np.float32)])
    for start, limit, delta in ((0.0, 1.0, 0.1), (1.0, -2.0, -0.3)):
        for dtype in (np.float32, np.float64):
            feeds = {k: np.array(v, dtype) for k, v in
                     (("a", start), ("b", limit), ("c", delta))}
            yield ("Range", 11, "%s %g" % (dtype.__name__, delta), at(20, "Range", feeds), feeds,
                   None)
    for op in ("MaxPool", "AveragePool", "LpPool"):
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
            v, opset = {"MaxPool": (1, 7), "AveragePool": (7, 9), "LpPool": (2, 10)}[op]
            feeds = {"x": f(1, 2, 7, 8)}
            yield (op, v, pad, at(opset, op, feeds, kernel_shape=[3, 2], strides=[2, 2],
                                  auto_pad=pad), feeds, None)
    feeds = {"x": f(1, 2, 5, 5)}
    want = np.sum(np.abs(feeds["x"]) ** 2, (2, 3), keepdims=True) ** .5
    yield ("GlobalLpPool", 1, "p", at(1, "GlobalLpPool", feeds, p=2.0), feeds,
           [want.astype(np.float32)])


def by_hand_more():
    """Versions that no case of the suite can be carried to."""
    rng = np.random.default_rng(4)
    f = lambda *shape: rng.normal(size=shape).astype(np.float32)

    def at(opset, op, feeds, n_out=1, domain="", **attrs):
        return one_node(op, feeds, n_out, domain=domain,
                        opsets=[helper.make_opsetid(domain, opset)], **attrs)

    x = f(1, 8, 2, 3)
    d = x.reshape(1, 2, 2, 2, 2, 3).transpose(0, 3, 4, 1, 5, 2).reshape(1, 2, 4, 6)
    yield "DepthToSpace", 1, "plain", at(10, "DepthToSpace", {"x": x}, blocksize=2), {"x": x}, [d]
    yield ("GlobalLpPool", 2, "p", at(21, "GlobalLpPool", {"x": x}, p=3), {"x": x}, None)
    feeds = {"x": f(1, 2, 6, 5)}
    squares = feeds["x"] ** 2
    want = np.sqrt(sum(squares[:, :, i:i + 5, j:j + 3:2] for i in (0, 1) for j in (0, 1)))
    yield ("LpPool", 1, "p", at(1, "LpPool", feeds, kernel_shape=[2, 2], strides=[1, 2],
                                p=2.0), feeds, [want])
    for v in (10,):
        feeds = {"x": f(1, 2, 8, 8), "r": np.array([[1, 1, 6, 5], [0, 2, 3, 7]], np.float32),
                 "b": np.array([0, 0], np.int64)}
        yield ("RoiAlign", v, "average", at(15, "RoiAlign", feeds, output_height=3,
                                            output_width=2, sampling_ratio=2), feeds, None)
    for mode in ("nearest", "linear", "cubic"):
        for coords in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
            feeds = {"x": f(1, 1, 4, 5), "roi": np.zeros(0, np.float32),
                     "s": np.array([1, 1, 2, 1.5], np.float32)}
            yield ("Resize", 11, "%s %s" % (mode, coords),
                   at(12, "Resize", feeds, mode=mode, coordinate_transformation_mode=coords),
                   feeds, None)
    y = f(1, 1, 2, 3)
    yield ("Upsample", 1, "nearest", at(6, "Upsample", {"x": y}, height_scale=2.0,
                                        width_scale=3.0, mode="nearest"), {"x": y},
           [y.repeat(2, 2).repeat(3, 3)])
    words = np.array(["b", "a", "zz"], object)
    yield ("LabelEncoder", 1, "to numbers",
           at(1, "LabelEncoder", {"x": words}, domain="ai.onnx.ml", classes_strings=["a", "b"],
              default_int64=-7), {"x": words}, [np.array([1, 0, -7], np.int64)])
    numbers = np.array([1, 0, 5], np.int64)
    yield ("LabelEncoder", 1, "to words",
           at(1, "LabelEncoder", {"x": numbers}, domain="ai.onnx.ml",
              classes_strings=["a", "b"], default_string="no"), {"x": numbers},
           [np.array(["b", "a", "no"], object)])
    tree = {"nodes_treeids": [0] * 5 + [1] * 3, "nodes_nodeids": [0, 1, 2, 3, 4, 0, 1, 2],
            "nodes_featureids": [0, 1, 0, 0, 0, 1, 0, 0],
            "nodes_values": [.1, -.2, 0., 0., 0., .3, 0., 0.],
            "nodes_modes": ["BRANCH_LEQ", "BRANCH_LT", "LEAF", "LEAF", "LEAF", "BRANCH_GT", "LEAF",
                            "LEAF"],
            "nodes_truenodeids": [1, 3, 0, 0, 0, 1, 0, 0],
            "nodes_falsenodeids": [2, 4, 0, 0, 0, 2, 0, 0]}
    leaves = {"treeids": [0, 0, 0, 1, 1], "nodeids": [2, 3, 4, 1, 2],
              "weights": [.2, .7, -.4, .25, .5]}
    for v in (1, 3):
        feeds = {"x": f(6, 2)}
        for how in ("SUM", "AVERAGE", "MIN", "MAX"):
            yield ("TreeEnsembleRegressor", v, how,
                   at(v, "TreeEnsembleRegressor", feeds, domain="ai.onnx.ml", n_targets=1,
                      aggregate_function=how, target_ids=[0] * 5,
                      **{"target_" + k: t for k, t in leaves.items()}, **tree), feeds, None)
        for transform in ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"):
            yield ("TreeEnsembleClassifier", v, transform,
                   at(v, "TreeEnsembleClassifier", feeds, 2, domain="ai.onnx.ml",
                      classlabels_int64s=[4, 5, 6], class_ids=[0, 1, 2, 0, 1],
                      post_transform=transform,
                      **{"class_" + k: t for k, t in leaves.items()}, **tree), feeds, None)
    for v, alpha, gamma in ((1, 1.6732, 1.0507), (6, 1.67326319217681884765625,
                                                  1.05070102214813232421875)):
        feeds = {"x": x}
        want = gamma * np.where(x > 0, x, alpha * (np.exp(x) - 1))
        yield ("Selu", v, "defaults", at(v, "Selu", feeds), feeds, [want.astype(np.float32)])
    yield ("Squeeze", 1, "no axes", at(10, "Squeeze", {"x": y}), {"x": y}, [y.squeeze()])
    yield ("Slice", 1, "no axes", at(9, "Slice", {"x": y}, starts=[0, 0, 1], ends=[1, 1, 2]),
           {"x": y}, [y[:, :, 1:2]])
    yield ("Max", 1, "two", at(5, "Max", {"a": y, "b": -y}, consumed_inputs=[0, 0]),
           {"a": y, "b": -y}, [np.abs(y)])
    yield ("ReduceSum", 1, "negative axis", at(12, "ReduceSum", {"x": y}, axes=[-1], keepdims=0),
           {"x": y}, [y.sum(-1)])
    feeds = {"x": f(1, 2, 3, 3), "w": f(2, 2, 3, 3)}
    yield ("ConvTranspose", 1, "output_shape",
           at(10, "ConvTranspose", feeds, output_shape=[6, 7], strides=[2, 2]), feeds, None)
    feeds = {"x": f(2, 3, 4), "s": f(3), "b": f(3)}
    m = feeds["x"].mean(2, keepdims=True)
    want = ((feeds["x"] - m) / np.sqrt(feeds["x"].var(2, keepdims=True) + np.float32(1e-5))
            * feeds["s"].reshape(1, 3, 1) + feeds["b"].reshape(1, 3, 1))
    yield ("InstanceNormalization", 1, "plain",
           at(5, "InstanceNormalization", feeds, consumed_inputs=[0, 0, 0]), feeds,
           [want.astype(np.float32)])
    yield from branches(f)


def branches(f):
    """If-1 and Loop-1, whose bodies are of their time."""
    x = f(2, 3)
    info = helper.make_tensor_value_info
    opset = [helper.make_opsetid("", 10)]
    then, other = (helper.make_graph([helper.make_node(op, ["x"], ["o"])], op, [],
                                     [info("o", TensorProto.FLOAT, None)])
                   for op in ("Neg", "Exp"))
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    for c in (True, False):
        graph = helper.make_graph([node], "g", [info("c", TensorProto.BOOL, []),
                                                info("x", TensorProto.FLOAT, [2, 3])],
                                  [info("y", TensorProto.FLOAT, None)])
        yield ("If", 1, str(c), helper.make_model(graph, opset_imports=opset, ir_version=5),
               {"c": np.array(c), "x": x}, [-x if c else np.exp(x)])
    nodes = [helper.make_node("Squeeze", ["s"], ["t"], axes=[0]),
             helper.make_node("Add", ["s", "s"], ["s2"]),
             helper.make_node("Identity", ["c"], ["c2"])]
    body = helper.make_graph(nodes, "b", [info("i", TensorProto.INT64, []),
                                          info("c", TensorProto.BOOL, []),
                                          info("s", TensorProto.FLOAT, [1, 3])],
                             [info("c2", TensorProto.BOOL, []),
                              info("s2", TensorProto.FLOAT, [1, 3]),
                              info("t", TensorProto.FLOAT, [3])])
    node = helper.make_node("Loop", ["n", "", "s0"], ["y", "all"], body=body)
    graph = helper.make_graph([node], "g", [info("n", TensorProto.INT64, []),
                                            info("s0", TensorProto.FLOAT, [1, 3])],
                              [info("y", TensorProto.FLOAT, [1, 3]),
                               info("all", TensorProto.FLOAT, [4, 3])])
    yield ("Loop", 1, "old body", helper.make_model(graph, opset_imports=opset, ir_version=5),
           {"n": np.array(4), "s0": x[:1]},
           [x[:1] * 16, np.concatenate([x[:1] * k for k in (1, 2, 4, 8)])])


# ---- running -----------------------------------------------------------------------------------

def known(name, version):
    for pattern, versions, reason in KNOWN:
        if re.fullmatch(pattern, name) and version in versions:
            return reason
    return None


def suite_cases():
    from onnx.backend.test.loader import load_model_tests
    import dump_onnx_suite
    for case in load_model_tests(kind="node"):
        if len(case.model.graph.node) == 1 and not dump_onnx_suite.random_outputs(case.model) \
                and not dump_onnx_suite.random_dropout(case.name):
            yield case


def check_group(items):
    """All cases of one version of an operator: [(name, model, feeds, want, rtol, atol)]"""
    judges, bad = collections.Counter(), []
    for name, model, feeds, want, rtol, atol in items:
        try:
            judges[check_one(model, feeds, want, rtol, atol)] += 1
        except Exception as e:
            bad.append("%s: %s" % (name, " ".join(str(e).split())[:160]))
    if bad:
        raise Fault("%d of %d: %s" % (len(bad), len(items), "; ".join(bad[:3])))
    return ", ".join("%d %s" % (n, who) for who, n in sorted(judges.items()))


def groups(match):
    """{"Op-VERSION": [(name, model, feeds, want or None, rtol, atol)]}"""
    table, newest = histories(), {"": 28, "ai.onnx.ml": 5}
    found = collections.defaultdict(list)
    for case in suite_cases():
        node = case.model.graph.node[0]
        schemas = table.get((node.domain, node.op_type), [])
        for i in range(len(schemas) - 1):
            version = schemas[i].since_version
            label = "%s-%d" % (node.op_type, version)
            if not re.search(match, label) or known(case.name, version):
                continue
            carried = carry(case, schemas, i, newest[node.domain])
            if carried:
                found[label].append((case.name, *carried, None, case.rtol or 1e-3,
                                      max(case.atol or 1e-7, 1e-6)))
    for op, version, name, model, feeds, want in itertools.chain(by_hand(), by_hand_more()):
        label = "%s-%d" % (op, version)
        if re.search(match, label):
            found[label].append((name, model, feeds, want, 1e-3, 1e-5))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--match", default="")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    table, found = histories(), groups(args.match)
    tap = harness.Tap()
    for label in sorted(found):
        tap.check(label, check_group, found[label])
    uncovered = ["%s-%d" % (name, s.since_version) for (_, name), schemas in table.items()
                 for s in schemas[:-1] if "%s-%d" % (name, s.since_version) not in found]
    if args.list:
        print("# no case: " + " ".join(sorted(uncovered)))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
