"""The elementwise, pooling and reducing QLinear operators, QLinearConv with its channels last,
Quantize- and DequantizeLinear, MulInteger, ReduceSumInteger, NhwcMaxPool, MaxpoolWithMask.

ONNX Runtime computes some of them in another order: those may be one level off where a result
lies between two levels.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
from onnx import TensorProto, helper

from .case import Case, node_model, normal
from .int_products import BYTES, both_ways, conv_exact, draw, quantize, scalar, vector


def name_of(dtype):
    return np.dtype(dtype).name


def param(rng, dtype, prefix, lo=0.01, hi=0.1):
    return {prefix + "s": scalar(rng, lo, hi), prefix + "z": draw(rng, dtype)}


def case(name, op, inputs, out, levels=0, order=None, want=None, shapes=True, **attrs):
    """Scales and zero points are constants, as ONNX Runtime wants some of them."""
    const = {k: v for k, v in inputs.items() if v.ndim == 0}
    feeds = {k: v for k, v in inputs.items() if k not in const}
    return Case(name, node_model(op, feeds, {"y": out}, const, inputs=order or list(inputs),
                                 **attrs), feeds, levels=levels, want=want, shapes=shapes)


def pairs(rng):
    shapes = [((3, 5, 37), (3, 5, 37)), ((4, 130), (130,)), ((2, 3, 4, 5), (3, 1, 1)),
              ((7, 1), (1, 9)), ((), (6,)), ((600,), (600,))]
    for op in ("QLinearAdd", "QLinearMul"):
        for dtype in BYTES:
            for i, (sa, sb) in enumerate(shapes):
                a, b = param(rng, dtype, "a"), param(rng, dtype, "b")
                y = param(rng, dtype, "y", 0.05, 0.3)
                x = {"a": draw(rng, dtype, *sa) if sa else np.array([draw(rng, dtype)]), **a,
                     "b": draw(rng, dtype, *sb), **b, **y}
                yield case("%s-%s-%d" % (op[7:].lower(), name_of(dtype), i), op, x, dtype, levels=1)
        x = {"a": draw(rng, np.uint8, 9), "as": scalar(rng), "b": draw(rng, np.uint8, 9),
             "bs": scalar(rng), "ys": scalar(rng, 0.02, 0.2)}
        a, b = (x[k].astype(np.float32) * x[k + "s"] for k in "ab")
        y = quantize((a + b if op == "QLinearAdd" else a * b) / x["ys"], np.uint8(0))
        yield case(op[7:].lower() + "-no-zeros", op, x, np.uint8, levels=1, want={"y": y},
                   order=["a", "as", "", "b", "bs", "", "ys"])
    for dtype in BYTES:
        x = {"a": draw(rng, dtype, 2, 3, 4), "az": draw(rng, dtype), "b": draw(rng, dtype, 3, 1),
             "bz": draw(rng, dtype)}
        y = (x["a"].astype(np.int32) - int(x["az"])) * (x["b"].astype(np.int32) - int(x["bz"]))
        yield case("mul-integer-" + name_of(dtype), "MulInteger", x, np.int32, want={"y": y})


def unary(rng):
    every = np.arange(256).reshape(2, 128)
    for dtype in BYTES:
        x = every.astype(np.uint8).view(dtype)
        for op, attrs in (("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.17}),
                          ("QLinearLeakyRelu", {})):
            y = param(rng, dtype, "y", 0.003, 0.01) if "Sig" in op else param(rng, dtype, "y")
            yield case("%s-%s-%d" % (op[7:].lower(), name_of(dtype), len(attrs)), op,
                       {"x": x, **param(rng, dtype, "x"), **y}, dtype, levels=1, **attrs)
        shape = tuple(int(v) for v in rng.integers(1, 9, 4))
        for axis, opset in ((-1, 13), (1, 13), (1, 12), (-2, 12), (0, 13)):
            soft = {"x": draw(rng, dtype, *shape), **param(rng, dtype, "x"),
                    "ys": np.array(1 / 256, np.float32),
                    "yz": np.array(np.iinfo(dtype).min, dtype)}
            made = case("softmax-%s-%d-%d" % (name_of(dtype), axis, opset), "QLinearSoftmax", soft,
                        dtype, levels=1, axis=axis)
            made.model.graph.node[0].attribute.append(helper.make_attribute("opset", opset))
            yield made


def joined(rng):
    for dtype in BYTES:
        for axis in (0, 1, -1):
            x = {**param(rng, dtype, "y")}
            for k in "abc":
                shape = [2, 3, 4]
                shape[axis] = int(rng.integers(1, 5))
                x[k] = draw(rng, dtype, *shape)
                x.update(param(rng, dtype, k) if k != "c" else {"cs": x["ys"], "cz": x["yz"]})
            order = ["ys", "yz"] + [k + s for k in "abc" for s in ("", "s", "z")]
            made = case("concat-%s-%d" % (name_of(dtype), axis), "QLinearConcat", x, dtype,
                        levels=1, order=order, axis=axis)
            yield made
        c = rng.integers(0, 2, (2, 1, 4)).astype(bool)
        x = {"c": c, "a": draw(rng, dtype, 3, 1), **param(rng, dtype, "a"),
             "b": draw(rng, dtype, 2, 3, 4), **param(rng, dtype, "b"), **param(rng, dtype, "y")}
        yield case("where-" + name_of(dtype), "QLinearWhere", x, dtype, levels=1)


def last(a):
    return np.ascontiguousarray(np.moveaxis(a, 1, -1))


def pools(rng):
    for dtype in BYTES:
        x = draw(rng, dtype, 2, 5, 9, 8)
        for i, attrs in enumerate((dict(kernel_shape=[3, 3]),
                                   dict(kernel_shape=[2, 3], strides=[2, 2], pads=[1, 1, 0, 1]),
                                   dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
                                        count_include_pad=1),
                                   dict(kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
                                   dict(kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1))):
            for channels_last in (0, 1):
                v = last(x) if channels_last else x
                made = case("average-%s-%d-%d" % (name_of(dtype), i, channels_last),
                            "QLinearAveragePool",
                            {"x": v, **param(rng, dtype, "x"), **param(rng, dtype, "y")}, dtype,
                            levels=1, channels_last=channels_last, **attrs)
                made.loose = True
                yield made
            if "count_include_pad" not in attrs:
                made = case("nhwc-max-%s-%d" % (name_of(dtype), i), "NhwcMaxPool", {"x": last(x)},
                            dtype, **attrs)
                made.loose = True
                yield made
        made = case("nhwc-max-%s-dilated" % name_of(dtype), "NhwcMaxPool", {"x": last(x)}, dtype,
                    kernel_shape=[2, 3], dilations=[2, 2])
        yield made
        for channels_last in (0, 1):
            v = last(x) if channels_last else x
            yield case("global-%s-%d" % (name_of(dtype), channels_last), "QLinearGlobalAveragePool",
                       {"x": v, **param(rng, dtype, "x"), **param(rng, dtype, "y")}, dtype,
                       levels=1, channels_last=channels_last)
    for i, size in enumerate(((7,), (6, 7), (4, 5, 6))):
        x = normal(rng, 2, 3, *size)
        # One plane: of several, ONNX Runtime does not find the right one.
        m = (rng.random((1, 1, *size)) < 0.8).astype(np.int32)
        yield Case("max-mask-%d" % i, node_model("MaxpoolWithMask", {"x": x, "m": m}, ["y"],
                                                 kernel_shape=[2] * len(size),
                                                 strides=[1] * len(size),
                                                 pads=[1] * (2 * len(size))), {"x": x, "m": m})


def reductions(rng):
    x = draw(rng, np.uint8, 3, 4, 5, 6)
    for dtype in BYTES:
        v = x.view(dtype)
        for axes, keep in (((1,), 1), ((2, 3), 0), ((-1, 0), 1), ((0, 1, 2, 3), 0)):
            text = "%s-%s-%d" % (name_of(dtype), "".join(map(str, axes)), keep)
            p = {**param(rng, dtype, "x"), **param(rng, dtype, "y", 0.005, 0.05)}
            f = (v.astype(np.float64) - int(p["xz"])) * float(p["xs"])
            mean = f.mean(axis=axes, keepdims=bool(keep)).astype(np.float32)
            want = quantize(mean / p["ys"], p["yz"])
            yield case("mean-" + text, "QLinearReduceMean", {"x": v, **p}, dtype, levels=1,
                       want={"y": want}, axes=list(axes), keepdims=keep)
            wide = np.uint32 if dtype == np.uint8 else np.int32
            total = v.astype(np.int64).sum(axis=axes, keepdims=bool(keep)).astype(wide)
            yield case("sum-" + text, "ReduceSumInteger", {"x": v}, wide, want={"y": total},
                       axes=list(axes), keepdims=keep)


def conversions(rng):
    kinds = (("uint8", TensorProto.UINT8), ("int8", TensorProto.INT8),
             ("uint16", TensorProto.UINT16), ("int16", TensorProto.INT16),
             ("uint4", TensorProto.UINT4), ("int4", TensorProto.INT4))
    for name, elem in kinds:
        dtype = helper.tensor_dtype_to_np_dtype(elem)
        four = name.endswith("int4")
        store = (np.uint8 if name[0] == "u" else np.int8) if four else dtype
        lo, hi = ((0, 15) if name[0] == "u" else (-8, 7)) if four else \
            (np.iinfo(store).min, np.iinfo(store).max)
        x = normal(rng, 3, 4, 5, scale=3)
        for axis, shape in ((None, ()), (1, (4,)), (-1, (5,)), (0, (3,))):
            s = rng.uniform(0.1, 1, shape).astype(np.float32)
            z = rng.integers(lo, hi + 1, shape)
            text = "%s-%s" % (name, "all" if axis is None else axis)
            const = {"s": s, "z": z.astype(store)}
            types = {"z": elem}
            model = node_model("QuantizeLinear", {"x": x}, {"y": elem}, {"s": s}, axis=axis,
                               inputs=["x", "s", "z"])
            model.graph.initializer.append(helper.make_tensor("z", elem, shape, z.ravel()))
            by = s.reshape([-1 if d == (axis or 0) % 3 else 1 for d in range(3)]) if shape else s
            zb = z.reshape(by.shape) if shape else z
            q = np.clip(np.rint(x / by).astype(np.int64) + zb, lo, hi).astype(store)
            yield Case("quantize-" + text, model, {"x": x}, want={"y": q})
            back = node_model("DequantizeLinear", {}, ["y"], {"s": s}, axis=axis,
                              inputs=["q", "s", "z"])
            back.graph.initializer.append(helper.make_tensor("q", elem, q.shape, q.ravel()))
            back.graph.initializer.append(helper.make_tensor("z", elem, shape, z.ravel()))
            f = ((q.astype(np.int64) - zb).astype(np.float32) * by).astype(np.float32)
            yield Case("dequantize-" + text, back, {}, want={"y": f}, tolerance=0)
    # The same against ONNX Runtime, for the types that numpy has.
    x = normal(rng, 3, 4, 5, scale=3)
    for dtype in (np.uint8, np.int8, np.uint16, np.int16):
        const = {"s": vector(rng, 4, 0.01, 0.2), "z": draw(rng, dtype, 4)}
        yield Case("quantize-ort-" + name_of(dtype),
                   node_model("QuantizeLinear", {"x": x}, {"y": dtype}, const, axis=1), {"x": x})
        feeds = {"x": draw(rng, dtype, 3, 4, 5)}
        yield Case("dequantize-ort-" + name_of(dtype),
                   node_model("DequantizeLinear", feeds, ["y"], const, axis=1), feeds)
    feeds = {"x": rng.integers(-9999, 9999, (3, 4)).astype(np.int32)}
    yield Case("dequantize-ort-int32", node_model("DequantizeLinear", feeds, ["y"],
                                                  {"s": scalar(rng)}), feeds)
    half = {"x": normal(rng, 4, 5).astype(np.float16)}
    q = {"s": np.array(0.25, np.float16), "z": np.array(3, np.int8)}
    y = np.clip(np.rint(half["x"].astype(np.float32) / 0.25) + 3, -128, 127).astype(np.int8)
    yield Case("quantize-float16", node_model("QuantizeLinear", half, {"y": np.int8}, q), half,
               want={"y": y})


def conv_last(rng):
    for i in range(6):
        group = [1, 2, 4][i % 3]
        cg, mg = (1, 1) if i % 3 == 2 else (3, 5)
        tx, tw = BYTES[i % 2], BYTES[i // 2 % 2]
        attrs = {"group": group, "pads": [1, 0, 1, 1], "strides": [1 + i % 2, 1],
                 "dilations": [1, 1 + i % 2]}
        m = group * mg
        x = {"x": draw(rng, tx, 2, group * cg, 9, 8), "xs": scalar(rng), "xz": draw(rng, tx),
             "w": draw(rng, tw, m, cg, 3, 3), "ws": vector(rng, m), "wz": draw(rng, tw, m)}
        bias = rng.integers(-3000, 3000, m).astype(np.int32)
        total = conv_exact(x["x"], x["xz"], x["w"], x["wz"], bias, **attrs).astype(np.float32)
        by_m = x["xs"] * x["ws"].reshape(1, -1, 1, 1)
        x["ys"] = np.asarray((total * by_m).std() / 30 + 1e-4, np.float32)
        x["yz"], x["b"] = draw(rng, tx), bias
        y = quantize(total * (by_m / x["ys"]), x["yz"])
        for channels_last in (0, 1):
            v = dict(x, x=last(x["x"])) if channels_last else x
            yield from both_ways("conv-%d-%d" % (i, channels_last), "QLinearConv", v,
                                 ("w", "ws", "wz", "b"), {"y": tx},
                                 {"y": last(y) if channels_last else y},
                                 channels_last=channels_last, **attrs)


def cases(rng):
    yield from pairs(rng)
    yield from unary(rng)
    yield from joined(rng)
    yield from pools(rng)
    yield from reductions(rng)
    yield from conversions(rng)
    yield from conv_last(rng)
