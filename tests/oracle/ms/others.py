"""What does not belong to a family: GatherND, Pad, Range, Trilu, GridSample, ExpandDims, SampleOp,
Unique, TorchEmbedding, Inverse, CDist, CropAndResize, MurmurHash3, BiasSoftmax, the dropouts,
GroupNorm, SkipGroupNorm, UnfoldTensor, NGramRepeatBlock, IsAllFinite, ComplexMul.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from .case import Case, by_type, node_model, normal


def same_as_standard(rng):
    x = normal(rng, 3, 4, 5)
    for dtype in (np.int32, np.int64):
        feeds = {"x": x, "i": rng.integers(-3, 3, (2, 6, 2)).astype(dtype)}
        yield Case("gather-nd-%s" % np.dtype(dtype).name, node_model("GatherND", feeds, ["y"]), feeds,
                   shapes=False)  # the rank depends on a dimension
    for mode in ("constant", "reflect", "edge"):
        for matrix in (False, True):
            pads = rng.integers(0, 3, 6)
            p = {"p": pads.reshape(1, 6) if matrix else pads, "v": np.array([0.5], np.float32)}
            # ONNX Runtime shapes itself by a vector alone.
            yield Case("pad-%s-%d" % (mode, matrix), node_model("Pad", {"x": x}, ["y"], p, mode=mode),
                       {"x": x}, loose=True,
                       want={"y": np.pad(x, list(zip(pads[:3], pads[3:])), **({"constant_values": 0.5}
                                         if mode == "constant" else {"mode": mode}))})
    for dtype in (np.float32, np.float64, np.int16, np.int32, np.int64):
        start, limit = int(rng.integers(-9, 0)), int(rng.integers(1, 40))
        for delta in (None, 3, -2):
            feeds = {"s": np.array(start, dtype), "l": np.array(limit, dtype)}
            if delta is not None:
                feeds["d"] = np.array(delta, dtype)
            yield Case("range-%s-%s" % (np.dtype(dtype).name, delta),
                       node_model("Range", feeds, {"y": dtype}), feeds, loose=True)
    for upper in (0, 1):
        for k in (None, -2, 1):
            feeds = {"x": x} if k is None else {"x": x, "k": np.array(k, np.int64)}
            yield Case("trilu-%d-%s" % (upper, k), node_model("Trilu", feeds, ["y"], upper=upper),
                       feeds)
    yield from by_type("trilu-half", "Trilu", {"x": x}, ["y"], kinds=("float16", "double"))
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            feeds = {"x": normal(rng, 2, 3, 6, 7), "g": rng.uniform(-1.3, 1.3, (2, 4, 5, 2)).astype(np.float32)}
            corners = int(rng.integers(0, 2))
            yield Case("grid-%s-%s" % (mode, padding),
                       node_model("GridSample", feeds, ["y"], mode=mode, padding_mode=padding,
                                  align_corners=corners), feeds, tolerance=2e-4)
    for axis in (0, 2, -1):
        yield Case("expand-dims-%d" % axis,
                   node_model("ExpandDims", {"x": x}, ["y"], {"a": np.array(axis, np.int32)}), {"x": x})
    yield Case("sample", node_model("SampleOp", {"x": x}, ["y"]), {"x": x})
    u = {"x": rng.integers(0, 7, 40).astype(np.float32)}
    yield Case("unique", node_model("Unique", u, {"y": np.float32, "i": np.int64, "n": np.int64}), u,
               loose=True)
    w = {"w": normal(rng, 9, 5), "i": rng.integers(0, 9, (2, 3))}
    yield from by_type("embedding", "TorchEmbedding", w, ["y"], want=lambda f, c: {"y": f["w"][f["i"]]})


def matrices(rng):
    for n in (1, 2, 5, 17):
        x = {"x": normal(rng, 2, 3, n, n) + 3 * np.eye(n, dtype=np.float32)}
        yield from by_type("inverse-%d" % n, "Inverse", x, ["y"], kinds=("float", "double"),
                           native=("double",), tolerance=1e-4)
    half = {"x": normal(rng, 3, 3) + 4 * np.eye(3, dtype=np.float32)}
    yield from by_type("inverse-half", "Inverse", half, ["y"], kinds=("float16",))
    wrong = {"x": normal(rng, 2, 3)}
    yield Case("inverse-shape", node_model("Inverse", wrong, ["y"]), wrong,
               refused="no square matrices")
    for metric in ("sqeuclidean", "euclidean"):
        ab = {"a": normal(rng, 5, 9), "b": normal(rng, 4, 9)}
        yield from by_type("distances-" + metric, "CDist", ab, ["y"], kinds=("float", "double"),
                           native=("double",), metric=metric)
    for mode in ("bilinear", "nearest"):
        for size in ((4, 5), (1, 1)):
            feeds = {"x": normal(rng, 2, 3, 7, 6),
                     "r": rng.uniform(-0.2, 1.2, (5, 4)).astype(np.float32),
                     "b": rng.integers(0, 2, 5).astype(np.int32)}
            yield Case("crop-%s-%d" % (mode, size[0]),
                       node_model("CropAndResize", feeds, ["y"], {"s": np.array(size, np.int32)},
                                  mode=mode, extrapolation_value=0.25), feeds)
    bad = dict(feeds, b=np.array([0, 1, 2, 0, 0], np.int32))
    yield Case("crop-image", node_model("CropAndResize", bad, ["y"], {"s": np.array(size, np.int32)}),
               bad, refused="image 2 of 2")


def hashes(rng):
    for dtype in (np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64):
        x = {"x": (rng.standard_normal((3, 4)) * 1000).astype(dtype)}
        for positive in (0, 1):
            yield Case("hash-%s-%d" % (np.dtype(dtype).name, positive),
                       node_model("MurmurHash3", x, {"y": np.uint32 if positive else np.int32},
                                  positive=positive, seed=int(rng.integers(0, 99))), x)
    words = ["".join(chr(rng.integers(97, 123)) for _ in range(n)) for n in range(0, 12)]
    model = node_model("MurmurHash3", {}, {"y": np.uint32}, {"x": np.array(words)})
    yield Case("hash-string", model, {})


def dropouts(rng):
    x, b, r = normal(rng, 3, 5, 7), normal(rng, 7), normal(rng, 3, 5, 7)
    bits = np.full(4, 0xFFFFFFFF, np.uint32)
    bits[3] = (1 << 9) - 1
    yield Case("dropout-bits", node_model("BitmaskDropout", {"x": x}, {"y": 1, "m": np.uint32}),
               {"x": x}, want={"y": x, "m": bits})
    for name, feeds, order, want in (
            ("", {"x": x, "b": b, "r": r}, None, x + b + r),
            ("-no-residual", {"x": x, "b": b}, None, x + b),
            ("-inference", {"x": x, "b": r, "p": np.array(0.5, np.float32), "t": np.array(False)},
             ["x", "b", "", "p", "t"], x + r)):
        yield Case("dropout-bias" + name, node_model("BiasDropout", feeds, {"y": 1, "m": np.bool_},
                                                     inputs=order), feeds,
                   want={"y": want, "m": np.ones(x.shape, bool)})
        yield Case("dropout-bias-bits" + name,
                   node_model("BitmaskBiasDropout", feeds, {"y": 1, "m": np.uint32}, inputs=order),
                   feeds, want={"y": want, "m": bits})


def softmax(v, axes):
    e = np.exp(v - v.max(axis=axes, keepdims=True))
    return e / e.sum(axis=axes, keepdims=True)


def normalizations(rng):
    x = normal(rng, 2, 3, 4, 9, scale=2)
    for inner, shape in ((1, (2, 1, 1, 9)), (0, (1, 3, 4, 9))):
        feeds = {"x": x, "b": normal(rng, *shape)}
        yield from by_type("bias-softmax-%d" % inner, "BiasSoftmax", feeds, ["y"],
                           kinds=("float", "float16", "double"), axis=3, is_inner_broadcast=inner,
                           want=lambda f, c: {"y": softmax(f["x"] + f["b"], (-1,))})
    for channels_last in (0, 1):
        shape = (2, 5, 4, 6) if channels_last else (2, 6, 5, 4)
        for act in (0, 1):
            base = {"x": normal(rng, *shape), "g": normal(rng, 6), "b": normal(rng, 6)}
            attrs = dict(groups=3, activation=act, channels_last=channels_last)
            yield from by_type("group-%d-%d" % (channels_last, act), "GroupNorm", base, ["y"],
                               kinds=("float", "float16"), want=group(attrs), **attrs)
            skip = {**base, "s": normal(rng, *shape), "z": normal(rng, 6)}
            yield from by_type("skip-group-%d-%d" % (channels_last, act), "SkipGroupNorm", skip,
                               ["y", "sum"], kinds=("float",), want=group(attrs), **attrs)
            flat = {**base, "s": normal(rng, 2, 6)}
            yield from by_type("skip-group-flat-%d-%d" % (channels_last, act), "SkipGroupNorm", flat,
                               ["y"], kinds=("float",), want=group(attrs), **attrs)


def group(attrs):
    def want(f, _):
        x = f["x"].astype(np.float64)
        if attrs["channels_last"]:
            x = np.moveaxis(x, -1, 1)
        if "s" in f:
            s = f["s"].astype(np.float64)
            if s.ndim == 2:
                s = s[:, :, None, None]
            elif attrs["channels_last"]:
                s = np.moveaxis(s, -1, 1)
            x = x + s + (f["z"].reshape(1, -1, 1, 1) if "z" in f else 0)
        v = x.reshape(x.shape[0], attrs["groups"], -1)
        v = (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5)
        y = v.reshape(x.shape) * f["g"].reshape(1, -1, 1, 1) + f["b"].reshape(1, -1, 1, 1)
        if attrs["activation"]:
            y = y / (1 + np.exp(-y))
        made = {"y": y, "sum": x}
        if attrs["channels_last"]:
            made = {k: np.moveaxis(a, 1, -1) for k, a in made.items()}
        return {k: a.astype(f["x"].dtype) for k, a in made.items() if k == "y" or "z" in f}
    return want


def windows(rng):
    for dim in (-1, 1, 0):
        x = {"x": normal(rng, 7, 8, 9)}
        yield Case("unfold-%d" % dim, node_model("UnfoldTensor", x, ["y"], dim=dim,
                                                 size=int(rng.integers(1, 5)),
                                                 step=int(rng.integers(1, 4))), x)
    for n in (1, 2, 3):
        feeds = {"w": rng.integers(0, 5, (3, 12)), "s": normal(rng, 3, 8)}
        yield Case("ngrams-%d" % n, node_model("NGramRepeatBlock", feeds, ["y"], ngram_size=n), feeds)
    for special, name in ((None, "all"), (np.inf, "inf"), (np.nan, "nan")):
        for only in ({}, {"isinf_only": 1}, {"isnan_only": 1}):
            feeds = {"a": normal(rng, 5), "b": normal(rng, 2, 2).astype(np.float16)}
            good = True
            if special is not None:
                feeds["b"][1, 0] = special
                good = bool(only) and ("nan" in name) != ("isnan_only" in only)
            yield Case("finite-%s-%s" % (name, "".join(only)),
                       node_model("IsAllFinite", feeds, {"y": np.bool_}, **only), feeds,
                       want={"y": np.array(good)})
    a, b = normal(rng, 3, 4, 2), normal(rng, 4, 2)
    ca, cb = a[..., 0] + 1j * a[..., 1], b[..., 0] + 1j * b[..., 1]
    for op, y in (("ComplexMul", ca * cb), ("ComplexMulConj", ca * np.conj(cb))):
        yield Case(op, node_model(op, {"a": a, "b": b}, ["y"]), {"a": a, "b": b},
                   want={"y": np.stack([y.real, y.imag], -1).astype(np.float32)})


def cases(rng):
    yield from same_as_standard(rng)
    yield from matrices(rng)
    yield from hashes(rng)
    yield from dropouts(rng)
    yield from normalizations(rng)
    yield from windows(rng)
