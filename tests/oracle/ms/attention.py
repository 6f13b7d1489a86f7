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


def cases(rng):
    yield from mha(rng)
