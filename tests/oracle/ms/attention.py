"""MultiHeadAttention, DecoderMaskedMultiHeadAttention.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
from onnx import TensorProto

from .case import Case, by_type, node_model, normal

F = TensorProto.FLOAT


def mask_of(rng, form, batch, q_len, total):
    """An int32 mask of one of the forms; no query is without a key."""
    if form == "keys":
        m = rng.integers(0, 2, (batch, total))
        m[:, 0] = 1
    elif form == "full":
        m = rng.integers(0, 2, (batch, q_len, total))
        m[:, :, 0] = 1
    elif form == "lengths":
        m = rng.integers(1, total + 1, (batch,))
    elif form == "ranges":
        start = rng.integers(0, total, (batch,))
        m = np.concatenate([start + 1 + rng.integers(0, total - start), start])
    return m.astype(np.int32)


def mha(rng):
    for n, (batch, q_len, kv_len, heads, dim, v_dim) in enumerate(
            [(2, 5, 5, 2, 8, 8), (1, 37, 300, 3, 20, 12), (2, 70, 70, 2, 64, 64),
             (1, 1, 9, 4, 16, 16), (3, 2, 6, 1, 5, 7), (1, 130, 600, 1, 32, 32)]):
        total = kv_len + 4
        feeds = {"q": normal(rng, batch, q_len, heads * dim),
                 "k": normal(rng, batch, kv_len, heads * dim),
                 "v": normal(rng, batch, kv_len, heads * v_dim)}
        bias = normal(rng, heads * (2 * dim + v_dim))
        same = dim == v_dim  # what ONNX Runtime wants of caches
        past = {"pk": normal(rng, batch, heads, 4, dim), "pv": normal(rng, batch, heads, 4, v_dim)}
        kinds = ("float", "float16", "bfloat16") if n < 2 else ("float",)

        def case(name, more, order, outputs=("y",), **attrs):
            given = {**feeds, **more}
            yield from by_type("mha-%d-%s" % (n, name), "MultiHeadAttention", given,
                               {o: F for o in outputs}, inputs=["q", "k", "v", *order],
                               kinds=kinds, num_heads=heads, **attrs)
        yield from case("plain", {}, [])
        yield from case("scale", {}, [], scale=0.3)
        yield from case("bias", {"b": bias}, ["b"])
        yield from case("keys", {"m": mask_of(rng, "keys", batch, q_len, kv_len)}, ["", "m"])
        yield from case("full", {"m": mask_of(rng, "full", batch, q_len, kv_len)}, ["", "m"],
                        mask_filter_value=-50.0)
        for lead in ((batch, heads), (1, heads), (batch, 1), (1, 1)):
            a = normal(rng, *lead, q_len, kv_len)
            yield from case("added-%d%d" % lead, {"a": a}, ["", "", "a"])
        if q_len == kv_len:
            yield from case("causal", {}, [], unidirectional=1)
            yield from case("causal-keys",
                            {"m": mask_of(rng, "keys", batch, q_len, kv_len)}, ["", "m"],
                            unidirectional=1)
        yield from case("qk", {}, [], ("y", "", "", "qk"))
        yield from case("present", {}, [], ("y", "present_k", "present_v"))
        if not same:
            continue
        yield from case("past", {**past, "b": bias}, ["b", "", "", "pk", "pv"],
                        ("y", "present_k", "present_v"))
        yield from case("past-causal", past, ["", "", "", "pk", "pv"],
                        ("y", "present_k", "present_v"), unidirectional=1)
        yield from case("past-mask",
                        {**past, "m": mask_of(rng, "keys", batch, q_len, total),
                         "a": normal(rng, 1, heads, q_len, total)},
                        ["", "m", "a", "pk", "pv"], ("y", "present_k", "present_v"))
        cross = {"q": feeds["q"], "k": normal(rng, batch, heads, kv_len, dim),
                 "v": normal(rng, batch, heads, kv_len, v_dim)}
        yield from by_type("mha-%d-cross" % n, "MultiHeadAttention", cross, ["y"], kinds=kinds,
                           num_heads=heads)


def self_attention(rng):
    for n, (batch, length, width, heads, dim, v_dim) in enumerate(
            [(2, 5, 12, 2, 8, 8), (2, 9, 20, 3, 4, 6), (1, 90, 64, 2, 32, 32), (1, 1, 7, 2, 8, 8)]):
        hidden, v_hidden, past = heads * dim, heads * v_dim, 4
        feeds = {"x": normal(rng, batch, length, width)}
        w = normal(rng, width, 2 * hidden + v_hidden, scale=width ** -0.5)
        bias = normal(rng, 2 * hidden + v_hidden)
        sizes = None if dim == v_dim else [hidden, hidden, v_hidden]
        kinds = ("float", "float16", "bfloat16") if n < 2 else ("float",)
        old = {"p": normal(rng, 2, batch, heads, past, dim)}

        def case(name, more, order, outputs=("y",), constants=None, **attrs):
            given = {**feeds, **more}
            yield from by_type("self-%d-%s" % (n, name), "Attention", given,
                               {o: F for o in outputs}, inputs=["x", "w", "b", *order],
                               constants={"w": w, "b": bias} if constants is None else constants,
                               kinds=kinds, num_heads=heads, qkv_hidden_sizes=sizes, **attrs)
        yield from case("plain", {}, [])
        yield from case("fed", {"w": w, "b": bias}, [], constants={}, scale=0.4)
        yield from by_type("self-%d-no-bias" % n, "Attention", {**feeds, "w": w}, ["y"],
                           kinds=kinds, num_heads=heads, qkv_hidden_sizes=sizes)
        yield from case("causal", {}, [], unidirectional=1)
        for form in ("keys", "full", "lengths", "ranges"):
            yield from case(form, {"m": mask_of(rng, form, batch, length, length)}, ["m"])
        square = rng.integers(0, 2, (batch, 1, length + 3, length + 3)).astype(np.int32)
        square[..., 0] = 1
        for made, by in zip(case("square", {"m": square}, ["m"]), case(
                "", {"m": np.ascontiguousarray(square[:, 0, :length, :length])}, ["m"])):
            made.ort, made.ort_feeds = by.ort or by.model, by.ort_feeds or by.feeds
            yield made  # ONNX Runtime's CPU kernel does not have this form
        yield from case("added", {"a": normal(rng, 1, heads, length, length)}, ["", "", "a"],
                        unidirectional=1)
        if dim != v_dim:
            continue
        yield from case("present", {}, [], ("y", "present"))
        yield from case("past", old, ["", "p"], ("y", "present"), unidirectional=1)
        yield from case("past-mask",
                        {**old, "m": mask_of(rng, "keys", batch, length, length + past)},
                        ["m", "p"], ("y", "present"), mask_filter_value=-30.0)


def quantized(rng):
    for n, (batch, length, width, heads, dim) in enumerate([(2, 5, 16, 2, 8), (1, 70, 64, 2, 32)]):
        hidden, past = heads * dim, 3
        for weight_type in (np.uint8, np.int8):
            info = np.iinfo(weight_type)
            # ONNX Runtime adds two products with int8 in 16 bits where there is no VNNI
            reach = 64 if weight_type is np.int8 else 256
            feeds = {"x": rng.integers(0, 256, (batch, length, width)).astype(np.uint8),
                     "w": rng.integers(max(info.min, -reach), min(info.max + 1, reach),
                                       (width, 3 * hidden)).astype(weight_type),
                     "b": normal(rng, 3 * hidden),
                     "xs": np.array([0.02], np.float32), "ws": np.array([0.01], np.float32)}
            zeros = {"xz": np.array([131], np.uint8),
                     "wz": rng.integers(info.min, info.max + 1, 1).astype(weight_type)}
            columns = {"ws": rng.uniform(0.005, 0.02, 3 * hidden).astype(np.float32)}
            every = {**zeros, **columns,
                     "wz": rng.integers(info.min, info.max + 1, 3 * hidden).astype(weight_type)}

            def case(name, more, order=(), outputs=("y",), **attrs):
                # large scores: the softmax is steep
                for made in by_type("quantized-%d-%s-%s" % (n, weight_type.__name__, name),
                                    "QAttention", {**feeds, **more}, {o: F for o in outputs},
                                    inputs=["x", "w", "b", "xs", "ws", *order],
                                    kinds=("float", "float16"), num_heads=heads, **attrs):
                    made.tolerance *= 10
                    yield made
            yield from case("plain", {})
            yield from case("zeros", zeros, ["", "xz", "wz"])
            yield from case("columns", every, ["", "xz", "wz"], unidirectional=1)
            yield from case("mask", {**zeros, "m": mask_of(rng, "lengths", batch, length, length)},
                            ["m", "xz", "wz"])
            yield from case("past", {**zeros, "p": normal(rng, 2, batch, heads, past, dim)},
                            ["", "xz", "wz", "p"], ("y", "present"), unidirectional=1)


def decoder(rng):
    """One query a step, on a cache with room for more."""
    batch, heads, dim, past, room = 4, 2, 16, 3, 8
    feeds = {"q": normal(rng, batch, 1, heads * dim), "k": normal(rng, batch, 1, heads * dim),
             "v": normal(rng, batch, 1, heads * dim), "pk": normal(rng, batch, heads, room, dim),
             "pv": normal(rng, batch, heads, room, dim), "n": np.array([past], np.int32)}
    used = np.zeros((batch, heads, room, dim), bool)
    used[:, :, :past + 1] = True
    masks = {"present_k": used, "present_v": used}
    beams = {"w": np.array([2], np.int32),
             "i": rng.integers(0, 2, (batch // 2, 2, room)).astype(np.int32)}
    bias = normal(rng, 3 * heads * dim)
    mask = mask_of(rng, "keys", batch, 1, past + 1)
    for name, more, order in (
            ("plain", {}, ["", "", "pk", "pv", "n"]),
            ("bias", {"b": bias}, ["", "", "pk", "pv", "n", "", "", "b"]),
            ("mask", {"m": mask}, ["m", "", "pk", "pv", "n"]),
            ("added", {"a": normal(rng, 1, heads, 1, past + 1)}, ["", "a", "pk", "pv", "n"]),
            ("beams", beams, ["", "", "pk", "pv", "n", "w", "i"])):
        yield from by_type("decoder-" + name, "DecoderMaskedMultiHeadAttention",
                           {**feeds, **more}, {"y": F, "present_k": F, "present_v": F},
                           inputs=["q", "k", "v", *order], kinds=("float", "float16"),
                           num_heads=heads, past_present_share_buffer=1, compared=masks)
    cross = {"q": feeds["q"], "k": feeds["pk"], "v": feeds["pv"]}
    yield from by_type("decoder-cross", "DecoderMaskedMultiHeadAttention", cross, ["y"],
                       num_heads=heads)


def packed(rng):
    """One tensor for query, key and value, or for key and value: what ONNX Runtime's CPU kernels
    lack; they get them apart."""
    batch, length, heads, dim = 2, 6, 3, 8
    q, k, v = (normal(rng, batch, length, heads, dim) for _ in range(3))
    flat = {n: a.reshape(batch, length, heads * dim) for n, a in (("q", q), ("k", k), ("v", v))}
    bias = normal(rng, 3 * heads * dim)
    apart = node_model("MultiHeadAttention", {**flat, "b": bias}, ["y"], num_heads=heads)
    for name, feeds, order in (
            ("qkv", {"q": np.stack([q, k, v], 3), "b": bias}, ["q", "", "", "b"]),
            ("kv", {"q": flat["q"], "k": np.stack([k, v], 3), "b": bias}, ["q", "k", "", "b"])):
        yield Case("packed-" + name,
                   node_model("MultiHeadAttention", feeds, ["y"], inputs=order, num_heads=heads),
                   feeds, ort=apart, ort_feeds={**flat, "b": bias})
    step = {n: normal(rng, batch, 1, heads * dim) for n in "qkv"}
    cache = {"pk": normal(rng, batch, heads, 5, dim), "pv": normal(rng, batch, heads, 5, dim),
             "n": np.array([4], np.int32)}
    attrs = dict(num_heads=heads, past_present_share_buffer=1)
    one = {"q": np.concatenate([step["q"], step["k"], step["v"]], 2), **cache}
    yield Case("packed-decoder",
               node_model("DecoderMaskedMultiHeadAttention", one, ["y"],
                          inputs=["q", "", "", "", "", "pk", "pv", "n"], **attrs), one,
               ort=node_model("DecoderMaskedMultiHeadAttention", {**step, **cache},
                              ["y", "present_k", "present_v"],
                              inputs=["q", "k", "v", "", "", "pk", "pv", "n"], **attrs),
               ort_feeds={**step, **cache})


def cases(rng):
    yield from mha(rng)
    yield from self_attention(rng)
    yield from quantized(rng)
    yield from decoder(rng)
    yield from packed(rng)
