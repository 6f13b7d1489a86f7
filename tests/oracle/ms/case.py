"""One test case of check_ms.py, and what the modules build cases with.
SPDX-License-Identifier: Apache-2.0

A module has `cases(rng)`, a generator of Case; everything random comes from rng, so that --seed
draws another set.
"""
import dataclasses
import typing

import numpy as np
import onnx
from onnx import TensorProto, helper

DOMAIN = "com.microsoft"
TOLERANCE = {"float": 2e-5, "double": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}


@dataclasses.dataclass
class Case:
    name: str
    model: onnx.ModelProto
    feeds: dict
    tolerance: float = 2e-5  # of the largest value, for floats
    levels: int = 0          # for integers: how many steps they may be off
    want: typing.Any = None  # expected outputs by name (or a function that gives them); None in
                             # it: not compared. Else ONNX Runtime runs the model ...
    ort: typing.Any = None   # ... or this one, on ort_feeds: in float where it has no float16
    ort_feeds: typing.Any = None
    compared: typing.Any = None  # by output, a mask of the elements that are specified
    refused: str = ""        # planish must refuse to run it, with a text like this pattern
    shapes: bool = True      # whether shapes are looked at with symbols for dimensions
    loose: bool = False      # dimensions may remain unknown then (they depend on contents)


def elem_type(a):
    """bfloat16 comes as ("bfloat16", uint16 bits)."""
    return helper.np_dtype_to_tensor_dtype(np.asarray(a).dtype)


def node_model(op, feeds, outputs, constants=None, types=None, domain=DOMAIN, opset=21,
               inputs=None, **attrs):
    """A model of one node.

    feeds: graph inputs by name; constants: initializers by name; `inputs` is the order of the
    node's inputs, "" where there is none (all feeds, then all constants if not given); outputs:
    {name: element type or numpy dtype} or a list of names, which are float then; "" for an output
    that is not wanted. types: element types of those whose numpy type does not tell (bfloat16 as
    uint16 and so on).
    """
    constants, types = constants or {}, types or {}
    order = list(feeds) + list(constants) if inputs is None else list(inputs)
    if not isinstance(outputs, dict):
        outputs = {o: TensorProto.FLOAT for o in outputs}
    node = helper.make_node(op, order, list(outputs), domain=domain,
                            **{k: v for k, v in attrs.items() if v is not None})
    made_in = [helper.make_tensor_value_info(k, types.get(k, elem_type(v)), v.shape)
               for k, v in feeds.items()]
    made_out = [helper.make_tensor_value_info(k, t if isinstance(t, int)
                                              else helper.np_dtype_to_tensor_dtype(np.dtype(t)),
                                              None)
                for k, t in outputs.items() if k]
    weights = [initializer(k, v, types.get(k)) for k, v in constants.items()]
    graph = helper.make_graph([node], "g", made_in, made_out, weights)
    return helper.make_model(graph, ir_version=10, opset_imports=[
        helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)])


def initializer(name, a, elem=None):
    if elem is None or elem == elem_type(a):
        return onnx.numpy_helper.from_array(np.asarray(a, order="C"), name)
    return helper.make_tensor(name, elem, a.shape, np.asarray(a, order="C").tobytes(), raw=True)


def to_bfloat16(a):
    """The bits of bfloat16, rounded to nearest even."""
    u = np.ascontiguousarray(a, np.float32).view(np.uint32)
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def normal(rng, *shape, scale=1.0, dtype=np.float32):
    return (rng.standard_normal(shape) * scale).astype(dtype)


TYPES = {"float": TensorProto.FLOAT, "float16": TensorProto.FLOAT16,
         "bfloat16": TensorProto.BFLOAT16, "double": TensorProto.DOUBLE}


def cast(a, kind):
    """(array for the file, the same values as float32 or float64)."""
    if kind == "bfloat16":
        bits = to_bfloat16(a)
        return bits, from_bfloat16(bits)
    if kind == "double":
        return a.astype(np.float64), a
    a = a.astype(np.float16 if kind == "float16" else np.float32)
    return a, a.astype(np.float32)


def by_type(name, op, feeds, outputs, kinds=("float", "float16", "bfloat16"), constants=None,
            keep=(), keep_outputs=(), native=(), tolerance=None, want=None, **more):
    """A Case for each element type: float32 feeds, constants and outputs (but those in keep and
    keep_outputs) become it. ONNX Runtime runs the float model on the rounded values, or in
    `native` types the model itself. `want`: a function of (feeds, constants) in float that gives
    the outputs instead."""
    constants = constants or {}
    made = {k: v for k, v in more.items() if k in Case.__dataclass_fields__}
    attrs = {k: v for k, v in more.items() if k not in made}
    if not isinstance(outputs, dict):
        outputs = {o: TensorProto.FLOAT for o in outputs}
    for kind in kinds:
        def change(values):
            stored, plain, types = {}, {}, {}
            for k, v in values.items():
                stored[k] = plain[k] = v
                if v.dtype == np.float32 and k not in keep:
                    stored[k], plain[k] = cast(v, kind)
                    types[k] = TYPES[kind]
            return stored, plain, types
        f_stored, f_plain, f_types = change(feeds)
        c_stored, c_plain, c_types = change(constants)
        outs = {k: TYPES[kind] if t == TensorProto.FLOAT and k not in keep_outputs else t
                for k, t in outputs.items()}
        attr = dict(attrs)
        order = attr.pop("inputs", None)
        opset = attr.pop("opset", 21)
        domain = attr.pop("domain", DOMAIN)
        model = node_model(op, f_stored, outs, c_stored, {**f_types, **c_types}, domain, opset,
                           order, **attr)
        case = Case("%s-%s" % (name, kind), model, f_stored, **made)
        case.tolerance = tolerance or TOLERANCE[kind]
        if want is not None:
            case.want = (lambda f, c: lambda: want(f, c))(f_plain, c_plain)
        elif kind != "float" and kind not in native:
            case.ort = node_model(op, f_plain, outputs, c_plain, {}, domain, opset, order, **attr)
            case.ort_feeds = f_plain
        yield case
