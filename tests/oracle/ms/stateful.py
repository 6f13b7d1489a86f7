"""LinearAttention, CausalConvWithState, GatedDeltaNet.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
from onnx import TensorProto

from .case import Case, by_type, node_model, normal

F = TensorProto.FLOAT
KINDS = ("float", "float16", "bfloat16")


def keys(rng, *shape):
    """L2-normalized, or the delta rule grows without bounds."""
    k = normal(rng, *shape)
    return (k / np.linalg.norm(k, axis=-1, keepdims=True)).astype(np.float32)


def linear(rng):
    for n, (batch, steps, q_heads, heads, k_dim, v_dim) in enumerate(
            [(2, 5, 2, 2, 8, 6), (1, 1, 4, 2, 8, 8), (2, 70, 1, 3, 16, 12)]):
        for rule in ("linear", "gated", "delta", "gated_delta"):
            feeds = {"q": normal(rng, batch, steps, q_heads * k_dim),
                     "k": keys(rng, batch, steps, heads, k_dim).reshape(batch, steps, -1),
                     "v": normal(rng, batch, steps, heads * v_dim)}
            past = {"p": normal(rng, batch, heads, k_dim, v_dim)}
            for wide in (0, 1):
                more, order = {}, ["q", "k", "v", "p", "", ""]
                if "gated" in rule:
                    more["d"] = -np.abs(normal(rng, batch, steps, heads * (k_dim if wide else 1)))
                    order[4] = "d"
                if "delta" in rule:
                    more["b"] = rng.random((batch, steps, 1 if wide else heads)).astype(np.float32)
                    order[5] = "b"
                while not order[-1]:
                    order.pop()
                yield from by_type("linear-%d-%s-%d" % (n, rule, wide), "LinearAttention",
                                   {**feeds, **past, **more}, {"y": F, "s": F}, inputs=order,
                                   kinds=KINDS if n == 0 else ("float",), q_num_heads=q_heads,
                                   kv_num_heads=heads, update_rule=rule,
                                   scale=0.7 if wide else 0.0)
    yield from windows(rng)


def windows(rng):
    """The states of the last tokens, which ONNX Runtime's CPU kernels do not keep: it runs the
    prefixes."""
    batch, heads, dim, window = 2, 2, 8, 3
    for steps in (5, 2):
        feeds = {"q": normal(rng, batch, steps, heads * dim),
                 "k": keys(rng, batch, steps, heads, dim).reshape(batch, steps, -1),
                 "v": normal(rng, batch, steps, heads * dim),
                 "p": normal(rng, window, batch, heads, dim, dim),
                 "d": -np.abs(normal(rng, batch, steps, heads)),
                 "b": rng.random((batch, steps, heads)).astype(np.float32)}
        attrs = dict(q_num_heads=heads, kv_num_heads=heads)

        def want(feeds=feeds, steps=steps, attrs=attrs):
            return prefixes("LinearAttention", feeds, steps, window, attrs, "p",
                            lambda a, t: a[:, :t])
        yield Case("linear-window-%d" % steps,
                   node_model("LinearAttention", feeds, ["y", "s"], state_window=window, **attrs),
                   feeds, want=want)
        conv = {"x": normal(rng, batch, 4, steps), "w": normal(rng, 4, 1, 3), "b": normal(rng, 4),
                "p": normal(rng, window, batch, 4, 4)}

        def want_conv(feeds=conv, steps=steps):
            return prefixes("CausalConvWithState", feeds, steps, window, {"dilation": 2}, "p",
                            lambda a, t: a[:, :, :t], only=("x",))
        yield Case("conv-window-%d" % steps,
                   node_model("CausalConvWithState", conv, ["y", "s"], state_window=window,
                              dilation=2), conv, want=want_conv)


def prefixes(op, feeds, steps, window, attrs, past, cut, only=None):
    from check_ms import onnxruntime_outputs
    state = np.zeros(feeds[past].shape, np.float32)
    for t in range(max(1, steps - window + 1), steps + 1):
        given = {k: v[-1] if k == past else cut(v, t) if only is None or k in only else v
                 for k, v in feeds.items()}
        given = {k: np.ascontiguousarray(v) for k, v in given.items()}
        got = onnxruntime_outputs(node_model(op, given, ["y", "s"], **attrs), given)
        state[window - steps + t - 1] = got["s"]
    return {"y": got["y"], "s": state}


def causal(rng):
    for n, (batch, channels, length, k) in enumerate([(2, 3, 7, 4), (1, 5, 1, 3), (2, 4, 30, 1)]):
        for dilation in (1, 3):
            state = (k - 1) * dilation
            x, p = normal(rng, batch, channels, length), normal(rng, batch, channels, state)
            w, b = normal(rng, channels, 1, k), normal(rng, channels)
            kinds = KINDS if n == 0 else ("float",)
            for activation in ("none", "silu", "swish"):
                attrs = dict(activation=activation, dilation=dilation, kinds=kinds)
                name = "conv-%d-%d-%s" % (n, dilation, activation)
                yield from by_type(name, "CausalConvWithState", {"x": x, "w": w, "b": b, "p": p},
                                   {"y": F, "s": F}, **attrs)
                yield from by_type(name + "-fresh", "CausalConvWithState", {"x": x, "w": w},
                                   {"y": F, "s": F}, **attrs)
                last = {"x": np.ascontiguousarray(x.transpose(0, 2, 1)), "w": w, "b": b,
                        "p": np.ascontiguousarray(p.transpose(0, 2, 1))}
                yield from by_type(name + "-last", "CausalConvWithState", last,
                                   {"y": F, "s": F}, channels_last=1, **attrs)
    wide = {"x": normal(rng, 2, 7, 3, 5), "w": normal(rng, 15, 1, 4),
            "p": normal(rng, 2, 3, 3, 5)}
    yield from by_type("conv-wide", "CausalConvWithState", wide, {"y": F, "s": F},
                       inputs=["x", "w", "", "p"], channels_last=1, kinds=("float",))


INPUTS = ["q", "k", "v", "cu", "d", "b", "s", "a_log", "dt", "count", "active"]


def net_case(name, feeds, outputs=("y", "last"), kinds=("float",), **more):
    order = [i if i in feeds else "" for i in INPUTS]
    while not order[-1]:
        order.pop()
    return by_type(name, "GatedDeltaNet", feeds, {o: F for o in outputs}, inputs=order,
                   kinds=kinds, native=("float16",),
                   keep=("s", "a_log", "dt"), keep_outputs=("last", "taken"), **more)


def net(rng):
    for n, (batch, length, q_heads, heads, k_dim, v_dim) in enumerate(
            [(2, 5, 2, 2, 8, 6), (1, 1, 1, 3, 16, 8), (3, 20, 2, 4, 8, 16)]):
        tokens = batch * length
        feeds = {"q": normal(rng, tokens, q_heads, k_dim), "k": keys(rng, tokens, q_heads, k_dim),
                 "v": normal(rng, tokens, heads, v_dim),
                 "s": normal(rng, batch, heads, v_dim, k_dim)}
        b = rng.random((tokens, heads)).astype(np.float32)
        d = -np.abs(normal(rng, tokens, heads))
        wide = -np.abs(normal(rng, tokens, heads, k_dim))
        cu = np.sort(rng.choice(np.arange(1, tokens), batch - 1, replace=False)) if batch > 1 \
            else np.array([], int)
        cu = np.concatenate([[0], cu, [tokens]]).astype(np.int32)
        name = "net-%d-" % n
        kinds = KINDS if n == 0 else ("float",)
        yield from net_case(name + "linear", feeds, update_rule="linear", kinds=kinds)
        yield from net_case(name + "gated", {**feeds, "d": d}, update_rule="gated")
        yield from net_case(name + "delta", {**feeds, "b": b}, update_rule="delta", scale=0.3)
        yield from net_case(name + "both", {**feeds, "d": d, "b": b}, kinds=kinds)
        yield from net_case(name + "wide", {**feeds, "d": wide, "b": b})
        yield from net_case(name + "ragged", {**feeds, "d": d, "b": b, "cu": cu})
        raw = {"d": normal(rng, tokens, heads), "b": normal(rng, tokens, heads),
               "a_log": normal(rng, heads, scale=0.5), "dt": normal(rng, heads)}
        for gate in ("softplus", "qwen", "sigmoid", "kda"):
            yield from net_case(name + gate, {**feeds, **raw}, gate_activation=gate,
                                beta_activation="sigmoid", qk_l2_norm=1,
                                kinds=kinds if gate == "softplus" else ("float",))
        split = {k: v.reshape(batch, length, *v.shape[1:]) if k in "qkv" else v
                 for k, v in feeds.items()}
        yield from net_case(name + "split",
                            {**split, "d": d.reshape(batch, length, heads),
                             "b": b.reshape(batch, length, heads)})
        one = np.concatenate([feeds[i].reshape(tokens, -1) for i in "qkv"], 1)
        yield from net_case(name + "packed", {"q": one, "s": feeds["s"], "d": d, "b": b})
        count = rng.integers(0, 4, batch).astype(np.int32)
        for what, decay in (("taken", d), ("taken-wide", wide)):
            parts = [decay[0].size, q_heads * k_dim, heads * v_dim]
            mask = np.zeros((batch, 3 * sum(parts)), bool)
            for i in range(batch):
                at = 0
                for width in parts:
                    mask[i, at:at + min(count[i], length) * width] = True
                    at += 3 * width
            yield from net_case(name + what, {**feeds, "d": decay, "b": b, "count": count},
                                ("y", "last", "taken"), state_update_capacity=3,
                                compared={"taken": mask})
        yield from net_case(name + "idle", {**feeds, "d": d, "b": b, "count": count,
                                            "active": np.array([0], np.int32)},
                            ("y", "last", "taken"), state_update_capacity=3)


def cases(rng):
    yield from linear(rng)
    yield from causal(rng)
    yield from net(rng)
