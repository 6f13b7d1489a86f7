"""GroupQueryAttention.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
from onnx import TensorProto

from .case import by_type, normal
from .rotary import caches

F = TensorProto.FLOAT
INPUTS = ["query", "key", "value", "past_key", "past_value", "seqlens_k", "total", "cos", "sin",
          "position_ids", "attention_bias", "head_sink", "k_scale", "v_scale", "q_norm", "k_norm",
          "query_seqlens"]


def case(name, feeds, outputs=("y", "present_key", "present_value"), kinds=("float", "float16"),
         native=("float16",), **more):
    """The inputs by their names; those left out are absent."""
    order = [i if i in feeds else "" for i in INPUTS]
    while not order[-1]:
        order.pop()
    yield from by_type(name, "GroupQueryAttention", feeds, {o: F for o in outputs}, inputs=order,
                       kinds=kinds, native=native, loose=True, **more)


def rows_used(shape, seqlens):
    """Rows of a cache that hold tokens."""
    mask = np.zeros(shape, bool)
    for b, n in enumerate(seqlens):
        mask[b, :, :n + 1] = True
    return mask


def scenario(rng, batch, new, past, buffer, heads, kv, dim, packed=False, ragged=True):
    """Feeds, attributes and masks of what is specified. past 0: a prompt, which may be padded."""
    if past == 0:
        seqlens = rng.integers(0, new, batch) if ragged else np.full(batch, new - 1)
        seqlens[rng.integers(0, batch)] = new - 1
        total = new
    else:
        seqlens = past + new - 1 - (rng.integers(0, past, batch) if ragged else 0)
        seqlens = np.broadcast_to(seqlens, batch).copy()
        seqlens[rng.integers(0, batch)] = past + new - 1
        total = past + new
    feeds = {}
    if packed:
        feeds["query"] = normal(rng, batch, new, (heads + 2 * kv) * dim)
    else:
        feeds["query"] = normal(rng, batch, new, heads * dim)
        feeds["key"] = normal(rng, batch, new, kv * dim)
        feeds["value"] = normal(rng, batch, new, kv * dim)
    if buffer:
        feeds["past_key"] = normal(rng, batch, kv, buffer, dim)
        feeds["past_value"] = normal(rng, batch, kv, buffer, dim)
    feeds["seqlens_k"] = seqlens.astype(np.int32)
    feeds["total"] = np.array([total], np.int32)
    y = np.zeros((batch, new, heads * dim), bool)
    for b in range(batch):
        y[b, :min(new, seqlens[b] + 1)] = True
    rows = max(buffer, total)
    used = rows_used((batch, kv, rows, dim), seqlens)
    return feeds, dict(num_heads=heads, kv_num_heads=kv), dict(
        compared={"y": y, "present_key": used, "present_value": used})


SHAPES = {  # batch, new, past, buffer, heads, kv heads, dim
    "prompt": (2, 7, 0, 0, 4, 2, 32),
    "prompt-buffer": (2, 7, 0, 12, 4, 2, 32),
    "prompt-long": (1, 150, 0, 0, 4, 1, 32),
    "step": (3, 1, 9, 9, 4, 2, 32),
    "step-buffer": (2, 1, 9, 20, 6, 2, 32),
    "step-long": (1, 1, 700, 701, 8, 2, 64),
    "chunk": (1, 5, 6, 16, 4, 4, 32),
    "chunk-long": (1, 90, 300, 400, 4, 2, 64),
}


def cases(rng):
    for name, shape in SHAPES.items():
        batch, new, past, buffer, heads, kv, dim = shape
        total = past + new
        kinds = ("float", "float16", "bfloat16") if name in ("prompt", "step") else ("float",)

        def one(what, more=None, attrs=None, packed=False, **kw):
            feeds, base, masks = scenario(rng, *shape, packed=packed,
                                          ragged=not name.startswith("chunk"))
            feeds.update(more or {})
            yield from case("%s-%s" % (name, what), feeds, kinds=kinds, **base, **(attrs or {}),
                            **masks, **kw)
        cos, sin = caches(rng, total + 3, dim // 2)
        half_cos, half_sin = caches(rng, total + 3, dim // 4)
        yield from one("plain")
        yield from one("packed", packed=True)
        yield from one("scale", attrs={"scale": 0.2})
        for interleaved in (0, 1):
            yield from one("rotary-%d" % interleaved, {"cos": cos, "sin": sin},
                           {"do_rotary": 1, "rotary_interleaved": interleaved})
        yield from one("rotary-part", {"cos": half_cos, "sin": half_sin}, {"do_rotary": 1})
        yield from one("rotary-packed", {"cos": cos, "sin": sin}, {"do_rotary": 1}, packed=True)
        ids = rng.integers(0, total + 3, (batch, new))
        if past == 0:
            ids = np.broadcast_to(np.arange(new) + 2, (batch, new)).copy()
        yield from one("position-ids", {"cos": cos, "sin": sin, "position_ids": ids},
                       {"do_rotary": 1})
        for window in (1, 3, 200):
            yield from one("window-%d" % window, attrs={"local_window_size": window})
        yield from one("softcap", attrs={"softcap": 0.7})
        yield from one("smooth", attrs={"smooth_softmax": 1})
        yield from one("sink", {"head_sink": normal(rng, heads)})
        for lead in ((batch, heads), (1, heads), (1, 1)):
            yield from one("bias-%d%d" % lead,
                           {"attention_bias": normal(rng, *lead, new, total)})
        yield from one("bias-softcap", {"attention_bias": normal(rng, 1, 1, new, total)},
                       {"softcap": 1.5})
        yield from one("both-ways", attrs={"causal": 0})
        for mode in (1, 2):
            yield from scores(rng, name, shape, mode)
        yield from normed(rng, name, shape, cos, sin)
    yield from windowed(rng)
    yield from padded(rng)


def scores(rng, name, shape, mode):
    """output_qk, where a query sees the key; the rest is not specified."""
    batch, new, past, buffer, heads, kv, dim = shape
    feeds, base, masks = scenario(rng, *shape, ragged=not name.startswith("chunk"))
    seen = np.zeros((batch, heads, new, past + new), bool)
    for b, last in enumerate(feeds["seqlens_k"]):
        now = min(new, last + 1)
        for i in range(now):
            seen[b, :, i, :last + 1 - now + i + 1] = True
    masks["compared"]["qk"] = seen
    yield from case("%s-qk-%d" % (name, mode), feeds, ("y", "present_key", "present_value", "qk"),
                    kinds=("float",), qk_output=mode, **base, **masks)


def normed(rng, name, shape, cos, sin):
    """RMS norm of the heads of Q and K, which ONNX Runtime's CPU kernel does not have: it gets
    them normalized."""
    batch, new, past, buffer, heads, kv, dim = shape
    feeds, base, masks = scenario(rng, *shape, ragged=not name.startswith("chunk"))
    feeds.update(cos=cos, sin=sin)
    weights = {"q_norm": normal(rng, dim), "k_norm": normal(rng, dim)}
    given = case(name + "-norm", {**feeds, **weights}, kinds=("float",), do_rotary=1,
                 q_norm_epsilon=0.02, qk_norm_epsilon=0.01, **base, **masks)
    plain = dict(feeds)
    for key, weight, epsilon in (("query", "q_norm", 0.02), ("key", "k_norm", 0.01)):
        x = feeds[key].reshape(batch, new, -1, dim)
        x = x / np.sqrt(np.mean(x * x, -1, keepdims=True) + epsilon) * weights[weight]
        plain[key] = x.reshape(feeds[key].shape).astype(np.float32)
    for made, by in zip(given, case("", plain, kinds=("float",), do_rotary=1, **base)):
        made.ort, made.ort_feeds = by.model, plain
        yield made


def resident(total, capacity, window):
    """Rows of a windowed cache (the operator's own description)."""
    if total <= capacity:
        return total
    step = capacity - window + 1
    return total - step * -(-(total - capacity) // step)


def windowed(rng):
    for n, (new, past, window, capacity) in enumerate(
            [(1, 3, 4, 6), (1, 30, 4, 6), (1, 29, 4, 4), (5, 11, 4, 7), (20, 3, 8, 9),
             (3, 0, 4, 4), (9, 0, 4, 6)]):
        heads, kv, dim, total = 4, 2, 32, past + new
        cos, sin = caches(rng, total, dim // 2)
        feeds = {"query": normal(rng, 1, new, heads * dim), "key": normal(rng, 1, new, kv * dim),
                 "value": normal(rng, 1, new, kv * dim),
                 "past_key": normal(rng, 1, kv, capacity, dim),
                 "past_value": normal(rng, 1, kv, capacity, dim),
                 "seqlens_k": np.array([total - 1], np.int32),
                 "total": np.array([total], np.int32), "cos": cos, "sin": sin,
                 "attention_bias": normal(rng, 1, 1, new, total)}
        used = rows_used((1, kv, capacity, dim), [resident(total, capacity, window) - 1])
        yield from case("windowed-%d" % n, feeds, kinds=("float",), num_heads=heads,
                        kv_num_heads=kv, local_window_size=window, sliding_window_cache=1,
                        do_rotary=1, compared={"present_key": used, "present_value": used})


def padded(rng):
    """Chunks with padding on the right: query_seqlens."""
    heads, kv, dim, batch, new, rows = 4, 2, 32, 3, 5, 16
    now = np.array([5, 2, 0], np.int32)
    before = np.array([0, 7, 4], np.int32)
    cos, sin = caches(rng, rows, dim // 2)
    feeds = {"query": normal(rng, batch, new, heads * dim),
             "key": normal(rng, batch, new, kv * dim), "value": normal(rng, batch, new, kv * dim),
             "past_key": normal(rng, batch, kv, rows, dim),
             "past_value": normal(rng, batch, kv, rows, dim),
             "seqlens_k": before + now - 1, "total": np.array([rows], np.int32), "cos": cos,
             "sin": sin, "query_seqlens": now}
    used = rows_used((batch, kv, rows, dim), before + now - 1)
    y = np.zeros((batch, new, heads * dim), bool)
    for b in range(batch):
        y[b, :now[b]] = True
    yield from case("padded", feeds, kinds=("float",), num_heads=heads, kv_num_heads=kv,
                    do_rotary=1, compared={"y": y, "present_key": used, "present_value": used})
