"""SimplifiedLayerNormalization, the Skip norms, EmbedLayerNormalization and its quantized form.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
from onnx import TensorProto

from .case import Case, by_type, node_model, normal

SHORT = ("float", "float16", "bfloat16")
NATIVE = SHORT[:2]  # onnxruntime gives no bfloat16 to numpy


def simplified(rng):
    x = normal(rng, 3, int(rng.integers(1, 9)), 40, scale=2)
    for name, axis, shape in (("last", -1, (40,)), ("two", 1, x.shape[1:])):
        feeds = {"x": x, "g": normal(rng, *shape)}
        for domain in ("", "com.microsoft"):
            where = "ms" if domain else "ai"
            # ONNX Runtime has it in the domain of the standard alone.
            more = {"want": rms_of(axis)} if domain else {}
            yield from by_type("simple-%s-%s" % (name, where), "SimplifiedLayerNormalization",
                               feeds, ["y"], kinds=SHORT + ("double",), domain=domain, axis=axis,
                               epsilon=1e-3, **more)
    yield from by_type("simple-inverse", "SimplifiedLayerNormalization",
                       {"x": x, "g": normal(rng, 40)}, ["y", "inv"], kinds=("float", "float16"),
                       keep_outputs=("inv",), domain="")


def rms_of(axis):
    def want(feeds, _):
        x = feeds["x"].astype(np.float64)
        axes = tuple(range(axis % x.ndim, x.ndim))
        rms = np.sqrt(np.mean(x * x, axis=axes, keepdims=True) + 1e-3)
        return {"y": (x / rms * feeds["g"]).astype(feeds["x"].dtype)}
    return want


def skip(rng):
    h = int(rng.integers(8, 70))
    for op, beta in (("SkipLayerNormalization", ["beta"]), ("SkipSimplifiedLayerNormalization", [])):
        short = "skip" if beta else "skip-rms"
        base = {"x": normal(rng, 2, 5, h, scale=2), "s": normal(rng, 2, 5, h), "g": normal(rng, h)}
        affine = dict(base, **{b: normal(rng, h) for b in beta})
        full = dict(affine, bias=normal(rng, h))
        yield from by_type(short + "-plain", op, base, ["y"], kinds=SHORT, native=NATIVE)
        yield from by_type(short + "-affine", op, affine, ["y"], kinds=SHORT, native=NATIVE, epsilon=1e-2)
        flat = {k: v[0] if v.ndim > 2 else v for k, v in full.items()}
        yield from by_type(short + "-2d", op, flat, ["y"], kinds=("float",))
        if beta:
            for name, shape in (("1", (1, 5, h)), ("2d", (5, h))):
                yield from by_type("%s-broadcast-%s" % (short, name), op,
                                   dict(full, s=normal(rng, *shape)), ["y"], kinds=("float",))
        outs = {"y": 1, "mean": 1, "inv": 1, "sum": 1}
        yield Case(short + "-all-outputs", node_model(op, full, outs), full,
                   want=all_outputs(full, bool(beta)))
        for kind in SHORT:
            yield sum_case(short + "-sum", op, full, kind)
    wrong = dict(base, s=normal(rng, 2, 4, h))
    yield Case("skip-shape", node_model("SkipLayerNormalization", wrong, ["y"]), wrong,
               refused="input 1 does not fit")


def sum_case(name, op, feeds, kind):
    """Outputs y and the sum, the two between them left out."""
    case = next(by_type(name, op, feeds, ["y", "sum"], kinds=(kind,), native=NATIVE))
    for model in filter(None, (case.model, case.ort)):
        del model.graph.node[0].output[:]
        model.graph.node[0].output.extend(["y", "", "", "sum"])
    return case


def all_outputs(feeds, has_beta):
    v = sum(feeds[k].astype(np.float64) for k in ("x", "s", "bias"))
    mean = v.mean(-1, keepdims=True) if has_beta else np.zeros(v.shape[:-1] + (1,))
    inv = 1 / np.sqrt(((v - mean) ** 2).mean(-1, keepdims=True) + 1e-12)
    y = (v - mean) * inv * feeds["g"] + (feeds["beta"] if has_beta else 0)
    made = {"y": y, "mean": mean, "inv": inv, "sum": v}
    return {k: a.astype(np.float32) for k, a in made.items()}


def embed_feeds(rng, batch, seq, h):
    return {"ids": rng.integers(0, 30, (batch, seq)).astype(np.int32),
            "segments": rng.integers(0, 2, (batch, seq)).astype(np.int32),
            "word": normal(rng, 30, h), "position": normal(rng, 16, h),
            "segment": normal(rng, 2, h), "gamma": normal(rng, h), "beta": normal(rng, h),
            "mask": (np.arange(seq) < rng.integers(0, seq + 1, (batch, 1))).astype(np.int32),
            "at": rng.integers(0, 16, (batch, seq)).astype(np.int32)}


def embed(rng):
    batch, seq, h = int(rng.integers(1, 4)), int(rng.integers(1, 16)), 24
    f = embed_feeds(rng, batch, seq, h)
    order = ["ids", "segments", "word", "position", "segment", "gamma", "beta", "mask", "at"]
    outs = {"y": TensorProto.FLOAT, "index": TensorProto.INT32, "sum": TensorProto.FLOAT}
    for name, absent in (("all", ()), ("plain", ("at", "mask")), ("no-mask", ("mask",)),
                         ("no-segment", ("segments", "segment")),
                         ("least", ("segments", "segment", "mask", "at"))):
        feeds = {k: f[k] for k in order if k not in absent}
        inputs = ["" if k in absent else k for k in order]
        while not inputs[-1]:
            inputs.pop()
        yield from by_type("embed-" + name, "EmbedLayerNormalization", feeds, outs,
                           kinds=("float", "float16"), inputs=inputs, epsilon=1e-5)
    one = dict(f, at=f["at"][:1])
    yield from by_type("embed-shared-positions", "EmbedLayerNormalization",
                       {k: one[k] for k in order}, {"y": TensorProto.FLOAT,
                                                    "index": TensorProto.INT32}, kinds=("float",))
    bad = dict({k: f[k] for k in order}, ids=np.full((batch, seq), 30, np.int32))
    yield Case("embed-index", node_model("EmbedLayerNormalization", bad, outs), bad,
               refused="index 30 in a table of 30 rows")


def embed_quantized(rng):
    batch, seq, h = 2, int(rng.integers(1, 16)), 16
    for dtype in (np.uint8, np.int8):
        f = embed_feeds(rng, batch, seq, h)
        tables = ("word", "position", "segment", "gamma", "beta")
        lo, hi = np.iinfo(dtype).min, np.iinfo(dtype).max
        for absent in ((), ("segment", "segments", "mask")):
            feeds, order = {}, []
            for k in ("ids", "segments", "word", "position", "segment", "gamma", "beta", "mask"):
                order.append("" if k in absent else k)
                if k not in absent:
                    feeds[k] = f[k] if k not in tables else \
                        rng.integers(lo, hi + 1, f[k].shape).astype(dtype)
            for k in tables:
                order.append("" if k in absent else k + "_s")
                if k not in absent:
                    feeds[k + "_s"] = np.array(rng.uniform(0.01, 0.1), np.float32)
            for k in tables:
                order.append("" if k in absent else k + "_z")
                if k not in absent:
                    feeds[k + "_z"] = np.array(rng.integers(lo, hi + 1), dtype)
            model = node_model("QEmbedLayerNormalization", feeds,
                               {"y": TensorProto.FLOAT, "index": TensorProto.INT32}, inputs=order,
                               epsilon=1e-6)
            yield Case("embed-%s%s" % (np.dtype(dtype).name, "-least" if absent else ""), model,
                       feeds)


def cases(rng):
    yield from simplified(rng)
    yield from skip(rng)
    yield from embed(rng)
    yield from embed_quantized(rng)
