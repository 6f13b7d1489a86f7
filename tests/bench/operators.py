#!/usr/bin/env python3
"""Time models of one operator in planish and in ONNX Runtime, side by side.
SPDX-License-Identifier: Apache-2.0

usage: operators.py [--only PATTERN] [--library FILE] [--seconds S] [--rounds N] [--slow R]

Typical sizes of the operators in common use, by element type, on one thread. Both engines run in
this process, get the same inputs, leave outputs to their own memory, and take turns in short
bursts; a ratio is the median over the rounds of planish's p50 by the other's. Prints the table,
the slowest first. With --slow R only those whose ratio is above R.
"""
import argparse
import ctypes.util  # noqa: F401: planish's package looks for the library with it
import fnmatch
import os
import statistics
import sys
import time

import numpy as np
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
F32, F16, F64 = np.float32, np.float16, np.float64
I8, U8, I32, I64 = np.int8, np.uint8, np.int32, np.int64
rng = np.random.default_rng(1)


def normal(*shape, dtype=F32):
    return rng.standard_normal(shape).astype(dtype)


def ints(high, *shape, dtype=I64, low=0):
    return rng.integers(low, high, shape).astype(dtype)


CASES = {}


def case(name, op, feeds, constants=(), outputs=1, domain="", opset=21, order=None, **attrs):
    """feeds and constants: arrays, in the order of the node's inputs (None: left out)."""
    CASES[name] = (op, list(feeds), list(constants), outputs, domain, opset, attrs)


def model_of(op, feeds, constants, outputs, domain, opset, attrs):
    names, inputs, weights, given = [], [], [], {}
    for k, v in enumerate(feeds + constants):
        if v is None:
            names.append("")
            continue
        names.append("x%d" % k)
        if k < len(feeds):
            elem = helper.np_dtype_to_tensor_dtype(v.dtype)
            inputs.append(helper.make_tensor_value_info(names[-1], elem, v.shape))
            given[names[-1]] = v
        else:
            weights.append(numpy_helper.from_array(v, names[-1]))
    node = helper.make_node(op, names, ["y%d" % k for k in range(outputs)], domain=domain, **attrs)
    graph = helper.make_graph([node], "g", inputs, [], weights)
    for k in range(outputs):
        graph.output.append(helper.make_empty_tensor_value_info("y%d" % k))
    model = helper.make_model(graph, ir_version=10, opset_imports=[
        helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3),
        helper.make_opsetid("com.microsoft", 1)])
    # ONNX Runtime wants the outputs' types
    from onnx import shape_inference
    typed = shape_inference.infer_shapes(model)
    for o in typed.graph.output:
        if not o.type.WhichOneof("value"):
            o.type.tensor_type.elem_type = TensorProto.FLOAT
    return typed.SerializeToString(), given


# ---- the cases ----

X4 = (1, 64, 56, 56)
ROWS = (128, 768)


def elementwise():
    for dtype, tag in ((F32, "f32"), (F16, "f16"), (F64, "f64")):
        x, y = normal(*X4, dtype=dtype), normal(*X4, dtype=dtype)
        positive = np.abs(x) + dtype(0.1)
        for op in ("Abs Neg Relu Sigmoid Tanh Exp Erf Floor Ceil Round Softplus Softsign Elu Selu "
                   "LeakyRelu HardSigmoid HardSwish Mish Gelu Sin Cos Sign Reciprocal Celu "
                   "ThresholdedRelu IsNaN Not Identity Sinh Cosh Asinh Atan Tan").split():
            if op not in ("Not",):
                case("%s-%s" % (op, tag), op, [x])
        for op in ("Sqrt", "Log"):
            case("%s-%s" % (op, tag), op, [positive])
        for op in "Add Sub Mul Div Min Max PRelu Pow Mod Equal Less GreaterOrEqual".split():
            more = {"fmod": 1} if op == "Mod" else {}
            a = positive if op == "Pow" else x
            case("%s-%s" % (op, tag), op, [a, y], **more)
        case("Add-row-%s" % tag, "Add", [x, normal(1, 64, 1, 1, dtype=dtype)])
        case("Mul-last-%s" % tag, "Mul", [normal(128, 768, dtype=dtype), normal(768, dtype=dtype)])
        case("Mul-column-%s" % tag, "Mul", [normal(512, 384, dtype=dtype),
                                            normal(512, 1, dtype=dtype)])
        case("Sub-outer-%s" % tag, "Sub", [normal(512, 1, dtype=dtype), normal(1, 384, dtype=dtype)])
        case("Clip-%s" % tag, "Clip", [x], [dtype(-1), dtype(1)])
        case("Where-%s" % tag, "Where", [x > 0, x, y])
        case("Where-scalar-%s" % tag, "Where", [x > 0, x], [np.array(0, dtype)])
        case("Where-mask-%s" % tag, "Where", [normal(1, 1, 128, 128) > 0, normal(
            1, 12, 128, 128, dtype=dtype)], [np.array(-1e4, dtype)])
        case("Pow-square-%s" % tag, "Pow", [x], [np.array(2, dtype)])
        case("Pow-half-%s" % tag, "Pow", [positive], [np.array(0.5, dtype)])
        case("Sum3-%s" % tag, "Sum", [x, y, x])
    for dtype in (I32, I64, U8, I8):
        tag = np.dtype(dtype).name
        x, y = ints(100, *X4, dtype=dtype), ints(99, *X4, dtype=dtype, low=1)
        for op in "Add Sub Mul Div Max Min Mod Equal Less Greater".split():
            case("%s-%s" % (op, tag), op, [x, y])
        for op in ("Abs", "Sign", "Neg") if dtype != U8 else ("Abs", "Sign"):
            case("%s-%s" % (op, tag), op, [x])
        case("Where-%s" % tag, "Where", [x > 50, x, y])
        case("Clip-%s" % tag, "Clip", [x], [dtype(3), dtype(90)])
    a, b = normal(*X4) > 0, normal(*X4) > 0
    for op in "And Or Xor Equal".split():
        case("%s-bool" % op, op, [a, b])
    case("Not-bool", "Not", [a])
    case("BitShift-u8", "BitShift", [ints(200, *X4, dtype=U8), ints(7, *X4, dtype=U8)],
         direction="LEFT")
    case("BitwiseAnd-i32", "BitwiseAnd", [ints(200, *X4, dtype=I32), ints(200, *X4, dtype=I32)])


def casts():
    kinds = {"f32": (F32, 1), "f16": (F16, 10), "f64": (F64, 11), "i32": (I32, 6), "i64": (I64, 7),
             "u8": (U8, 2), "i8": (I8, 3), "bool": (np.bool_, 9)}
    for a, (dtype, _) in kinds.items():
        x = (normal(*X4) * 50).astype(dtype)
        for b, (_, number) in kinds.items():
            if a != b:
                case("Cast-%s-%s" % (a, b), "Cast", [x], to=number)
    x = normal(*X4)
    case("Cast-f32-bf16", "Cast", [x], to=16)
    case("Cast-f32-f8e4m3fn", "Cast", [x], to=17)
    case("QuantizeLinear-u8", "QuantizeLinear", [x], [F32(0.03), U8(128)])
    case("QuantizeLinear-channel", "QuantizeLinear", [x], [np.full(64, 0.03, F32),
                                                           np.zeros(64, I8)], axis=1)
    case("DequantizeLinear-u8", "DequantizeLinear", [ints(255, *X4, dtype=U8)], [F32(0.03),
                                                                                 U8(128)])
    case("DequantizeLinear-channel", "DequantizeLinear", [ints(100, *X4, dtype=I8)],
         [np.full(64, 0.03, F32), np.zeros(64, I8)], axis=1)
    case("DynamicQuantizeLinear", "DynamicQuantizeLinear", [x], outputs=3)


def reductions():
    for dtype, tag in ((F32, "f32"), (F16, "f16"), (I32, "i32"), (F64, "f64"), (I64, "i64")):
        x = normal(8, 64, 784) if dtype in (F32, F16, F64) else ints(100, 8, 64, 784)
        x = x.astype(dtype)
        ops = "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 " \
              "ReduceSumSquare ReduceLogSumExp ReduceLogSum".split()
        for op in ops if dtype != I64 else ops[:5]:
            for axes, name in (([2], "last"), ([1], "middle"), ([0], "first"), ([0, 1, 2], "all"),
                               ([0, 2], "outer")):
                if dtype != F32 and name in ("first", "outer"):
                    continue
                case("%s-%s-%s" % (op, name, tag), op, [np.abs(x) if "Log" in op else x],
                     [np.array(axes, I64)])
        for op in ("ArgMax", "ArgMin"):
            for axis, name in ((2, "last"), (1, "middle")):
                case("%s-%s-%s" % (op, name, tag), op, [x], axis=axis)
        for axis in (1, 2):
            case("CumSum-%d-%s" % (axis, tag), "CumSum", [x], [np.array(axis, I64)])
        for k in (1, 10, 300):
            case("TopK-%d-%s" % (k, tag), "TopK", [x], [np.array([k], I64)], outputs=2)
    case("TopK-vocabulary", "TopK", [normal(1, 50000)], [np.array([50], I64)], outputs=2)
    case("TopK-middle", "TopK", [normal(8, 64, 784)], [np.array([10], I64)], outputs=2, axis=1)
    case("ArgMax-vocabulary", "ArgMax", [normal(1, 50000)], axis=-1)
    case("ArgMax-bool-like-u8", "ArgMax", [ints(200, 8, 64, 784, dtype=U8)], axis=-1)


def movement():
    for dtype, tag in ((F32, "f32"), (F16, "f16"), (U8, "u8"), (I64, "i64")):
        x = normal(8, 64, 784).astype(dtype)
        for perm in ((1, 0, 2), (0, 2, 1), (2, 1, 0), (2, 0, 1)):
            case("Transpose-%s-%s" % ("".join(map(str, perm)), tag), "Transpose", [x], perm=perm)
        for perm in ((0, 2, 1, 3), (0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2)):
            case("Transpose4-%s-%s" % ("".join(map(str, perm)), tag), "Transpose",
                 [normal(2, 12, 128, 64).astype(dtype)], perm=perm)
        case("Concat-0-%s" % tag, "Concat", [x, x], axis=0)
        case("Concat-last-%s" % tag, "Concat", [x, x], axis=2)
        case("Concat-small-last-%s" % tag, "Concat", [normal(20000, 3).astype(dtype)] * 2, axis=1)
        case("Split-last-%s" % tag, "Split", [x], axis=2, num_outputs=4, outputs=4)
        case("Split-middle-%s" % tag, "Split", [x], axis=1, num_outputs=4, outputs=4)
        case("Slice-middle-%s" % tag, "Slice", [x], [np.array([10], I64), np.array([50], I64),
                                                     np.array([1], I64)])
        case("Slice-step-last-%s" % tag, "Slice", [x], [np.array([0], I64), np.array([784], I64),
                                                        np.array([2], I64), np.array([2], I64)])
        case("Slice-reverse-%s" % tag, "Slice", [x], [np.array([-1], I64), np.array([-9999], I64),
                                                      np.array([2], I64), np.array([-1], I64)])
        case("Slice-step-rows-%s" % tag, "Slice", [x], [np.array([0], I64), np.array([64], I64),
                                                        np.array([1], I64), np.array([2], I64)])
        case("Tile-%s" % tag, "Tile", [normal(1, 64, 784).astype(dtype)], [np.array([8, 1, 1], I64)])
        case("Tile-last-%s" % tag, "Tile", [normal(64, 784).astype(dtype)], [np.array([1, 8], I64)])
        case("Expand-rows-%s" % tag, "Expand", [normal(1, 64, 784).astype(dtype)],
             [np.array([8, 64, 784], I64)])
        case("Expand-last-%s" % tag, "Expand", [normal(8, 64, 1).astype(dtype)],
             [np.array([8, 64, 784], I64)])
        for mode in ("constant", "edge", "reflect", "wrap"):
            case("Pad-%s-%s" % (mode, tag), "Pad", [normal(*X4).astype(dtype)],
                 [np.array([0, 0, 1, 1, 0, 0, 1, 1], I64)], mode=mode)
        case("Gather-rows-%s" % tag, "Gather", [normal(5000, 128).astype(dtype),
                                                ints(5000, 2000)])
        case("Gather-last-%s" % tag, "Gather", [normal(500, 784).astype(dtype), ints(784, 500)],
             axis=1)
        case("GatherElements-%s" % tag, "GatherElements", [x, ints(784, 8, 64, 784)], axis=2)
        case("GatherElements-0-%s" % tag, "GatherElements", [x, ints(8, 8, 64, 784)], axis=0)
        case("GatherND-%s" % tag, "GatherND", [normal(64, 64, 32).astype(dtype),
                                               ints(64, 5000, 2)])
        case("ScatterElements-%s" % tag, "ScatterElements", [x, ints(784, 8, 64, 100),
                                                             normal(8, 64, 100).astype(dtype)],
             axis=2)
        case("ScatterND-%s" % tag, "ScatterND", [normal(64, 64, 32).astype(dtype),
                                                 ints(64, 500, 2),
                                                 normal(500, 32).astype(dtype)])
        case("NonZero-%s" % tag, "NonZero", [x])
        case("Reshape-%s" % tag, "Reshape", [x], [np.array([64, -1], I64)])
        case("Flatten-%s" % tag, "Flatten", [x])
        case("DepthToSpace-%s" % tag, "DepthToSpace", [normal(*X4).astype(dtype)], blocksize=2)
        case("SpaceToDepth-%s" % tag, "SpaceToDepth", [normal(*X4).astype(dtype)], blocksize=2)
        case("Compress-%s" % tag, "Compress", [x, normal(64) > 0], axis=1)
        case("Trilu-%s" % tag, "Trilu", [normal(12, 256, 256).astype(dtype)])
        case("ReverseSequence-%s" % tag, "ReverseSequence", [normal(64, 8, 784).astype(dtype),
                                                             ints(64, 8)])
    case("ScatterElements-add", "ScatterElements", [normal(8, 64, 784), ints(784, 8, 64, 100),
                                                    normal(8, 64, 100)], axis=2, reduction="add")
    case("ScatterND-add", "ScatterND", [normal(64, 64, 32), ints(64, 500, 2), normal(500, 32)],
         reduction="add")
    case("OneHot", "OneHot", [ints(1000, 512)], [np.array([1000], I64), np.array([0, 1], F32)])
    case("Range", "Range", [np.array(0, F32), np.array(100000, F32), np.array(1, F32)])
    case("ConstantOfShape", "ConstantOfShape", [np.array([256, 784], I64)])
    case("EyeLike", "EyeLike", [normal(512, 512)])
    case("Unique", "Unique", [ints(500, 20000)], outputs=4)
    case("NonZero-sparse", "NonZero", [normal(8, 64, 784) > 2])


def images():
    x = normal(*X4)
    for mode in ("nearest", "linear", "cubic"):
        for scale in (2.0, 1.5, 0.5):
            for coords in ("half_pixel", "align_corners", "asymmetric"):
                if coords != "half_pixel" and (scale != 2.0 or mode == "cubic"):
                    continue
                case("Resize-%s-%g-%s" % (mode, scale, coords), "Resize", [x],
                     [None, np.array([1, 1, scale, scale], F32)], mode=mode,
                     coordinate_transformation_mode=coords)
    case("Resize-linear-antialias", "Resize", [normal(1, 3, 224, 224)],
         [None, np.array([1, 1, 0.3, 0.3], F32)], mode="linear", antialias=1)
    case("Resize-linear-u8", "Resize", [ints(255, 1, 3, 224, 224, dtype=U8)],
         [None, np.array([1, 1, 2, 2], F32)], mode="linear")
    case("Resize-nearest-u8", "Resize", [ints(255, 1, 3, 224, 224, dtype=U8)],
         [None, np.array([1, 1, 2, 2], F32)], mode="nearest")
    case("Resize-linear-1d", "Resize", [normal(1, 64, 3000)], [None, np.array([1, 1, 2], F32)],
         mode="linear")
    for mode in ("linear", "nearest", "cubic"):
        case("GridSample-%s" % mode, "GridSample", [x, (rng.random((1, 56, 56, 2)) * 2 - 1)
                                                    .astype(F32)], mode=mode)
    case("AffineGrid", "AffineGrid", [normal(1, 2, 3)], [np.array([1, 3, 224, 224], I64)])
    case("RoiAlign", "RoiAlign", [x, (rng.random((50, 4)) * 28 + [0, 0, 20, 20]).astype(F32),
                                  np.zeros(50, I64)], output_height=7, output_width=7,
         sampling_ratio=2)
    boxes = rng.random((1, 1000, 4)).astype(F32)
    boxes[..., 2:] = boxes[..., :2] + 0.2
    case("NonMaxSuppression", "NonMaxSuppression", [boxes, rng.random((1, 10, 1000)).astype(F32)],
         [np.array(100, I64), np.array(0.5, F32), np.array(0.3, F32)])
    case("MaxRoiPool", "MaxRoiPool", [x, np.concatenate([np.zeros((50, 1)), rng.random((50, 4)) * 28
                                                         + [0, 0, 20, 20]], 1).astype(F32)],
         pooled_shape=[7, 7])
    case("CenterCropPad", "CenterCropPad", [x], [np.array([40, 70], I64)], axes=[2, 3])
    case("Col2Im", "Col2Im", [normal(1, 64 * 9, 54 * 54)], [np.array([56, 56], I64),
                                                            np.array([3, 3], I64)])


def pools_and_norms():
    for dtype, tag in ((F32, "f32"), (F16, "f16"), (F64, "f64")):
        x = normal(*X4, dtype=dtype)
        for op in ("MaxPool", "AveragePool", "LpPool"):
            case("%s-3x3-%s" % (op, tag), op, [x], kernel_shape=[3, 3], strides=[2, 2],
                 pads=[1, 1, 1, 1])
            case("%s-2x2-%s" % (op, tag), op, [x], kernel_shape=[2, 2], strides=[2, 2])
            case("%s-1d-%s" % (op, tag), op, [normal(1, 64, 3136, dtype=dtype)], kernel_shape=[3])
            case("%s-3d-%s" % (op, tag), op, [normal(1, 16, 16, 28, 28, dtype=dtype)],
                 kernel_shape=[2, 2, 2], strides=[2, 2, 2])
        case("MaxPool-5x5-s1-%s" % tag, "MaxPool", [x], kernel_shape=[5, 5], pads=[2, 2, 2, 2])
        case("MaxPool-dilated-%s" % tag, "MaxPool", [x], kernel_shape=[3, 3], dilations=[2, 2])
        case("AveragePool-dilated-%s" % tag, "AveragePool", [x], kernel_shape=[3, 3],
             dilations=[2, 2])
        case("MaxPool-indices-%s" % tag, "MaxPool", [x], kernel_shape=[3, 3], outputs=2)
        for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
            case("%s-%s" % (op, tag), op, [x])
        c = [normal(64, dtype=dtype), normal(64, dtype=dtype)]
        case("InstanceNormalization-%s" % tag, "InstanceNormalization", [x], c)
        case("GroupNormalization-%s" % tag, "GroupNormalization", [x], c, num_groups=8)
        case("BatchNormalization-%s" % tag, "BatchNormalization", [x],
             c + [normal(64, dtype=dtype), np.abs(normal(64, dtype=dtype)) + dtype(1)])
        h = normal(128, 768, dtype=dtype)
        w = [normal(768, dtype=dtype), normal(768, dtype=dtype)]
        case("LayerNormalization-%s" % tag, "LayerNormalization", [h], w)
        case("RMSNormalization-%s" % tag, "RMSNormalization", [h], w[:1], opset=23)
        case("LRN-%s" % tag, "LRN", [x], size=5)
        case("LpNormalization-%s" % tag, "LpNormalization", [h])
        case("MeanVarianceNormalization-%s" % tag, "MeanVarianceNormalization", [x])
        for op in ("Softmax", "LogSoftmax", "Hardmax"):
            case("%s-last-%s" % (op, tag), op, [normal(12, 128, 128, dtype=dtype)], axis=-1)
            case("%s-middle-%s" % (op, tag), op, [normal(8, 64, 784, dtype=dtype)], axis=1)
            case("%s-first-%s" % (op, tag), op, [normal(21, 56 * 56, dtype=dtype)], axis=0)
    x = ints(255, *X4, dtype=U8)
    case("MaxPool-3x3-u8", "MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])
    case("MaxUnpool", "MaxUnpool", [normal(1, 64, 28, 28),
                                    (np.arange(64 * 784) * 4).reshape(1, 64, 28, 28)],
         kernel_shape=[2, 2], strides=[2, 2])


def products():
    for dtype, tag in ((F32, "f32"), (F16, "f16"), (F64, "f64")):
        case("MatMul-%s" % tag, "MatMul", [normal(128, 768, dtype=dtype)],
             [normal(768, 768, dtype=dtype)])
        case("MatMul-batch-%s" % tag, "MatMul", [normal(12, 128, 64, dtype=dtype),
                                                 normal(12, 64, 128, dtype=dtype)])
        case("MatMul-vector-%s" % tag, "MatMul", [normal(1, 768, dtype=dtype)],
             [normal(768, 3072, dtype=dtype)])
        case("MatMul-column-%s" % tag, "MatMul", [normal(128, 768, dtype=dtype)],
             [normal(768, 1, dtype=dtype)])
        case("Gemm-%s" % tag, "Gemm", [normal(32, 512, dtype=dtype)],
             [normal(1000, 512, dtype=dtype), normal(1000, dtype=dtype)], transB=1)
        case("Einsum-bmm-%s" % tag, "Einsum", [normal(12, 128, 64, dtype=dtype),
                                               normal(12, 128, 64, dtype=dtype)],
             equation="bqd,bkd->bqk")
        case("Einsum-heads-%s" % tag, "Einsum", [normal(1, 128, 12, 64, dtype=dtype),
                                                 normal(1, 128, 12, 64, dtype=dtype)],
             equation="bqhd,bkhd->bhqk")
        case("Einsum-transpose-%s" % tag, "Einsum", [normal(128, 12, 64, dtype=dtype)],
             equation="abc->cab")
        case("Einsum-sum-%s" % tag, "Einsum", [normal(128, 12, 64, dtype=dtype)],
             equation="abc->b")
        w = normal(64, 64, 3, 3, dtype=dtype)
        case("Conv-3x3-%s" % tag, "Conv", [normal(*X4, dtype=dtype)], [w], pads=[1, 1, 1, 1])
        case("Conv-depthwise-%s" % tag, "Conv", [normal(*X4, dtype=dtype)],
             [normal(64, 1, 3, 3, dtype=dtype)], group=64, pads=[1, 1, 1, 1])
        case("Conv-1d-%s" % tag, "Conv", [normal(1, 64, 1000, dtype=dtype)],
             [normal(64, 64, 3, dtype=dtype)], pads=[1, 1])
        case("Conv-dilated-%s" % tag, "Conv", [normal(*X4, dtype=dtype)], [w], dilations=[2, 2])
        case("Conv-3d-%s" % tag, "Conv", [normal(1, 8, 8, 28, 28, dtype=dtype)],
             [normal(16, 8, 3, 3, 3, dtype=dtype)], pads=[1] * 6)
        case("ConvTranspose-%s" % tag, "ConvTranspose", [normal(1, 64, 28, 28, dtype=dtype)],
             [normal(64, 32, 2, 2, dtype=dtype)], strides=[2, 2])
        case("ConvTranspose-3x3-%s" % tag, "ConvTranspose", [normal(1, 64, 28, 28, dtype=dtype)],
             [normal(64, 32, 3, 3, dtype=dtype)], strides=[2, 2], pads=[1, 1, 1, 1])
        for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
            case("%s-%s" % (op, tag), op, [normal(32, 1, 128, dtype=dtype)],
                 [normal(1, gates * 128, 128, dtype=dtype), normal(1, gates * 128, 128, dtype=dtype),
                  normal(1, gates * 256, dtype=dtype)], hidden_size=128)
            case("%s-batch-%s" % (op, tag), op, [normal(32, 16, 128, dtype=dtype)],
                 [normal(1, gates * 128, 128, dtype=dtype), normal(1, gates * 128, 128, dtype=dtype),
                  normal(1, gates * 256, dtype=dtype)], hidden_size=128)
    case("DeformConv", "DeformConv", [normal(1, 32, 28, 28)],
         [normal(32, 32, 3, 3), normal(1, 18, 26, 26)])
    case("MatMulInteger", "MatMulInteger", [ints(255, 128, 768, dtype=U8)],
         [ints(100, 768, 768, dtype=I8)])
    case("MatMul-i32", "MatMul", [ints(9, 128, 256, dtype=I32), ints(9, 256, 256, dtype=I32)])
    case("MatMul-i64", "MatMul", [ints(9, 128, 256), ints(9, 256, 256)])
    case("QLinearMatMul", "QLinearMatMul",
         [ints(255, 128, 768, dtype=U8)],
         [F32(0.1), U8(128), ints(100, 768, 768, dtype=I8), F32(0.1), I8(0), F32(1), U8(128)])
    case("QLinearConv", "QLinearConv", [ints(255, *X4, dtype=U8)],
         [F32(0.1), U8(128), ints(100, 64, 64, 3, 3, dtype=I8), F32(0.1), I8(0), F32(1), U8(128)],
         pads=[1, 1, 1, 1])
    case("ConvInteger", "ConvInteger", [ints(255, *X4, dtype=U8)],
         [ints(100, 64, 64, 3, 3, dtype=U8)], pads=[1, 1, 1, 1])
    case("DFT", "DFT", [normal(8, 512, 1)], opset=20, onesided=1)
    case("STFT", "STFT", [normal(1, 16000, 1)], [np.array(160, I64), np.hanning(400).astype(F32),
                                                 np.array(400, I64)])
    case("Det", "Det", [normal(100, 16, 16)])
    case("NegativeLogLikelihoodLoss", "NegativeLogLikelihoodLoss", [normal(512, 1000),
                                                                    ints(1000, 512)])
    case("SoftmaxCrossEntropyLoss", "SoftmaxCrossEntropyLoss", [normal(512, 1000),
                                                                ints(1000, 512)])


def texts_and_trees():
    words = np.array(["word%d" % (k % 97) for k in range(5000)], object)
    case("StringNormalizer", "StringNormalizer", [words[:2000]], case_change_action="UPPER")
    case("Equal-string", "Equal", [words, words[::-1].copy()])
    case("StringConcat", "StringConcat", [words, words])
    case("RegexFullMatch", "RegexFullMatch", [words], pattern="w[a-z]+1.*")
    case("Cast-string-f32", "Cast", [np.array(["%.3f" % v for v in normal(5000)], object)], to=1)
    case("Cast-f32-string", "Cast", [normal(5000)], to=8)
    case("LabelEncoder", "LabelEncoder", [words], domain="ai.onnx.ml",
         keys_strings=["word%d" % k for k in range(97)], values_int64s=list(range(97)))
    case("TfIdfVectorizer", "TfIdfVectorizer", [ints(100, 64, 200, dtype=I32)], mode="TF",
         min_gram_length=1, max_gram_length=2, max_skip_count=0, ngram_counts=[0, 50],
         ngram_indexes=list(range(100)),
         pool_int64s=list(range(50)) + [int(v) for v in ints(100, 100)])
    trees(100, 5, 20, "small")
    trees(1000, 6, 1000, "rows")
    case("LinearRegressor", "LinearRegressor", [normal(1000, 50)], domain="ai.onnx.ml",
         coefficients=[float(v) for v in normal(50)], intercepts=[0.5])
    case("LinearClassifier", "LinearClassifier", [normal(1000, 50)], outputs=2,
         domain="ai.onnx.ml", coefficients=[float(v) for v in normal(150)],
         intercepts=[0.5, 0.1, 0.2], classlabels_ints=[0, 1, 2], post_transform="SOFTMAX")
    case("SVMRegressor", "SVMRegressor", [normal(200, 20)], domain="ai.onnx.ml",
         coefficients=[float(v) for v in normal(300)], kernel_params=[0.1, 0.0, 3.0],
         kernel_type="RBF", n_supports=300, rho=[0.2],
         support_vectors=[float(v) for v in normal(6000)])
    case("Scaler", "Scaler", [normal(1000, 50)], domain="ai.onnx.ml", offset=[0.1] * 50,
         scale=[2.0] * 50)
    case("Normalizer", "Normalizer", [normal(1000, 50)], domain="ai.onnx.ml", norm="L2")
    case("OneHotEncoder", "OneHotEncoder", [ints(50, 1000)], domain="ai.onnx.ml",
         cats_int64s=list(range(50)))
    case("Imputer", "Imputer", [normal(1000, 50)], domain="ai.onnx.ml",
         imputed_value_floats=[0.1] * 50, replaced_value_float=float("nan"))


def trees(n, depth, rows, name):
    """A forest of full trees."""
    feature, value, mode, true, false, tree, node, weight_tree, weight_node, weight = (
        [] for _ in range(10))
    inner = 2 ** depth - 1
    for t in range(n):
        for k in range(2 ** (depth + 1) - 1):
            is_leaf = k >= inner
            tree.append(t)
            node.append(k)
            mode.append("LEAF" if is_leaf else "BRANCH_LEQ")
            feature.append(int(rng.integers(20)))
            value.append(float(rng.standard_normal()))
            true.append(0 if is_leaf else 2 * k + 1)
            false.append(0 if is_leaf else 2 * k + 2)
            if is_leaf:
                weight_tree.append(t)
                weight_node.append(k)
                weight.append(float(rng.standard_normal()))
    case("TreeEnsembleRegressor-%s" % name, "TreeEnsembleRegressor", [normal(rows, 20)],
         domain="ai.onnx.ml", n_targets=1, nodes_featureids=feature, nodes_values=value,
         nodes_modes=mode, nodes_truenodeids=true, nodes_falsenodeids=false, nodes_treeids=tree,
         nodes_nodeids=node, target_treeids=weight_tree, target_nodeids=weight_node,
         target_ids=[0] * len(weight), target_weights=weight)


# ---- the engines ----

def burst(run, seconds):
    for _ in range(2):
        run()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times)


def bound(session, values):
    binding = session.io_binding()
    for name, v in values.items():
        binding.bind_ortvalue_input(name, v)
    for o in session.get_outputs():
        binding.bind_output(o.name, "cpu")
    return lambda: session.run_with_iobinding(binding)


def planish_run(model, given):
    import planish
    options = planish.SessionOptions()
    options.intra_op_num_threads = 1
    session = planish.InferenceSession(model, options)
    return bound(session, {k: planish.OrtValue.ortvalue_from_numpy(v) for k, v in given.items()})


def ort_run(model, given):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return bound(session, {k: ort.OrtValue.ortvalue_from_numpy(v) for k, v in given.items()})


def measure(name, args):
    """(ours, theirs) in microseconds, or a text."""
    try:
        model, given = model_of(*CASES[name])
    except Exception as e:  # the onnx package's own kinds
        return "case: %s" % str(e)[:100]
    runs = []
    for engine, make in (("planish", planish_run), ("ONNX Runtime", ort_run)):
        try:
            runs.append(make(model, given))
            runs[-1]()
        except Exception as e:  # the engines' own kinds of error
            return "%s: %s" % (engine, " ".join(str(e).split())[:160])
    found = [[], []]
    for k in range(args.rounds):
        for e in (0, 1) if k % 2 else (1, 0):
            found[e].append(burst(runs[e], args.seconds))
    ratio = statistics.median(a / b for a, b in zip(*found))
    return statistics.median(found[0]), statistics.median(found[1]), ratio


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--library", default=os.path.join(ROOT, "build", "libplanish.so"))
    p.add_argument("--only", default="*")
    p.add_argument("--seconds", type=float, default=0.02, help="of a burst")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--slow", type=float, default=0.0)
    args = p.parse_args()
    os.environ.setdefault("PLANISH_LIBRARY", args.library)
    sys.path.insert(0, os.path.join(ROOT, "python"))
    for family in (elementwise, casts, reductions, movement, images, pools_and_norms, products,
                   texts_and_trees):
        family()
    results, others = {}, {}
    for name in CASES:
        if any(fnmatch.fnmatch(name, one) for one in args.only.split(",")):
            got = measure(name, args)
            (others if isinstance(got, str) else results)[name] = got
    print("| case | planish, us | ONNX Runtime, us | ratio |\n| --- | ---: | ---: | ---: |")
    for name in sorted(results, key=lambda n: -results[n][2]):
        if results[name][2] > args.slow:
            print("| %s | %.1f | %.1f | %.2f |" % (name, *results[name]))
    for name, why in others.items():
        print("- %s: %s" % (name, why))
    slower = sum(r[2] > 1.1 for r in results.values())
    print("%d cases, %d slower by more than a tenth; %d run in one of the two only"
          % (len(results), slower, len(others)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
