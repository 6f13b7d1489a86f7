"""Exact evaluation of a model's integer nodes: MatMulInteger, ConvInteger and
DynamicQuantizeLinear, each with the inputs that it sees in an exact run of the whole model.
SPDX-License-Identifier: Apache-2.0

ONNX Runtime can't be the judge here: on a machine without VNNI its u8 x s8 products saturate.
The rest of the model (float operators) is run by onnx.reference; its last bits only decide which
inputs the integer nodes are asked about, not what the right answer to them is.
"""
import numpy as np
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_conv import _conv_implementation

KINDS = ("MatMulInteger", "ConvInteger", "DynamicQuantizeLinear")


def centred(x, zero_point, axis_from_end):
    """x - zero_point in float64; a vector of zero points runs along an axis of x."""
    x = x.astype(np.float64)
    if zero_point is None:
        return x
    zp = np.asarray(zero_point).astype(np.float64)
    if zp.ndim == 1 and zp.size > 1:
        zp = zp.reshape((-1,) + (1,) * axis_from_end)
    return x - zp


def to_int32(x):
    """float64 sums of integers are exact below 2^53; more than 32 bits wrap, as C's do."""
    assert np.all(np.abs(x) < 2.0 ** 53)
    return x.astype(np.int64).astype(np.int32)


def matmul_integer(a, b, a_zero=None, b_zero=None):
    # zero points: a scalar, a row of A each, a column of B each
    return to_int32(centred(a, a_zero, 1) @ centred(b, b_zero, 0))


def conv_integer(x, w, x_zero, w_zero, attributes):
    out = _conv_implementation(
        centred(x, x_zero, 0), centred(w, w_zero, w.ndim - 1), None,
        attributes["auto_pad"], attributes["dilations"], attributes["group"],
        attributes["kernel_shape"], attributes["pads"], attributes["strides"])
    return to_int32(out)


def dynamic_quantize_linear(x):
    """The standard's formula, every step rounded to float32."""
    assert x.dtype == np.float32
    top = np.maximum(np.float32(0), x.max())
    low = np.minimum(np.float32(0), x.min())
    scale = (top - low) / np.float32(255)
    if scale == 0:  # all zeros: nothing to tell levels apart
        return np.zeros(x.shape, np.uint8), np.float32(1) / np.float32(255), np.uint8(0)
    zero = np.rint(np.clip(np.float32(0) - low / scale, np.float32(0), np.float32(255)))
    y = np.clip(np.rint(x / scale) + zero, 0, 255)
    return y.astype(np.uint8), scale, np.uint8(zero)


def recorders(seen):
    """Operators for ReferenceEvaluator that are exact and note what they were given."""
    class MatMulInteger(OpRun):
        def _run(self, a, b, a_zero=None, b_zero=None):
            y = matmul_integer(a, b, a_zero, b_zero)
            seen.append((self.onnx_node, (a, b, a_zero, b_zero), (y,)))
            return (y,)

    class ConvInteger(OpRun):
        def _run(self, x, w, x_zero=None, w_zero=None, **attributes):
            y = conv_integer(x, w, x_zero, w_zero, attributes)
            seen.append((self.onnx_node, (x, w, x_zero, w_zero), (y,)))
            return (y,)

    class DynamicQuantizeLinear(OpRun):
        def _run(self, x):
            y = dynamic_quantize_linear(x)
            seen.append((self.onnx_node, (x,), y))
            return y

    class DequantizeLinear(OpRun):
        # onnx.reference has none for operator sets 10 to 18
        def _run(self, x, scale, zero_point=None, axis=1, **newer):
            if np.ndim(scale) == 1 and np.size(scale) > 1:
                shape = [1] * x.ndim
                shape[axis] = -1
                scale = scale.reshape(shape)
                zero_point = None if zero_point is None else zero_point.reshape(shape)
            zero = 0 if zero_point is None else zero_point.astype(np.int32)
            return ((x.astype(np.int32) - zero).astype(np.float32) * scale,)

    return [MatMulInteger, ConvInteger, DynamicQuantizeLinear, DequantizeLinear]


def record(model, inputs):
    """Runs the model exactly. Returns its outputs and the integer nodes as a list of
    (node, inputs, outputs)."""
    seen = []
    run = ReferenceEvaluator(model, new_ops=recorders(seen))
    outputs = dict(zip(run.output_names, run.run(None, inputs)))
    return outputs, seen


def as_value_info(name, array):
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def side_by_side(model, seen):
    """One model that holds each recorded node by itself: constants of the original stay
    constants (so that weights are packed as they would be there), the rest become inputs.
    Returns model, inputs, expected outputs."""
    constant = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constant[node.output[0]] = node.attribute[0].t
    nodes, initializers, infos, outputs, feed, want = [], {}, [], [], {}, {}
    for k, (node, given, made) in enumerate(seen):
        names = []
        for i, (name, array) in enumerate(zip(node.input, given)):
            if name and name in constant:
                initializers[name] = constant[name]
            elif name:
                name = "n%d_in%d" % (k, i)
                feed[name] = np.asarray(array)
                infos.append(as_value_info(name, feed[name]))
            names.append(name)
        results = ["n%d_out%d" % (k, i) for i in range(len(made))]
        for name, array in zip(results, made):
            want[name] = np.asarray(array)
            outputs.append(as_value_info(name, want[name]))
        twin = helper.make_node(node.op_type, names, results, name="n%d" % k,
                                domain=node.domain)
        twin.attribute.extend(node.attribute)
        nodes.append(twin)
    tensors = []
    for name, tensor in initializers.items():
        copy = numpy_helper.from_array(numpy_helper.to_array(tensor), name)
        tensors.append(copy)
    graph = helper.make_graph(nodes, "integer_nodes", infos, outputs, tensors)
    return (helper.make_model(graph, opset_imports=model.opset_import,
                              ir_version=model.ir_version), feed, want)
