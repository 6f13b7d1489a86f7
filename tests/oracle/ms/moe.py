"""MoE and QMoE.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
from onnx import TensorProto

from .case import Case, by_type, node_model, normal
from .nbits import pack

F = TensorProto.FLOAT
SPARSE_REACH = 0.02  # twice the jitter of SparseMixer


# ---- what is right, in double ----

def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def shares(p, k, of_chosen, mix, norm, sparse):
    """(experts, shares) of a token, by its logits."""
    chosen = np.argsort(-p, kind="stable")[:k]
    if mix is not None:
        given = mix[chosen]
        return chosen, given / given.sum() if norm else given
    if sparse:
        found, left = [], p.copy()
        for e in chosen:
            near = (p[e] - left) / np.maximum(np.abs(p), p[e]) <= SPARSE_REACH
            found.append(1 / np.exp(left[near] - p[e]).sum())
            left[e] = -np.inf
        return chosen, np.array(found)
    return chosen, softmax(p[chosen]) if of_chosen else softmax(p)[chosen]


def gelu(v):
    return 0.5 * v * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v ** 3)))


def activated(h, other, act, fusion, alpha, beta, limit, after):
    plain = {"relu": lambda v: np.maximum(v, 0), "relu2": lambda v: np.maximum(v, 0) ** 2,
             "gelu": gelu, "silu": lambda v: v / (1 + np.exp(-v)), "identity": lambda v: v}
    if act in plain:
        return plain[act](h)
    g, u = (h[0::2], h[1::2]) if fusion == 1 else np.split(h, 2) if fusion == 2 else (h, other)
    if act == "geglu":
        return gelu(g) * u
    limit = np.inf if limit is None else limit
    g = g if after else np.minimum(g, limit)
    g = g / (1 + np.exp(-alpha * g))
    g = np.minimum(g, limit) if after else g
    return g * (np.clip(u, -limit, limit) + beta)


def mixture(x, r, w, b, k=1, activation_type="relu", normalize_routing_weights=0, swiglu_fusion=0,
            activation_alpha=1.0, activation_beta=0.0, swiglu_limit=None,
            swiglu_limit_after_activation=0, use_sparse_mixer=0, mix=None, of_chosen=False, **_):
    """w, b: matrices and biases of fc1, fc2, fc3 (None)."""
    x, r = x.astype(np.float64), r.astype(np.float64)
    flat = x.reshape(-1, x.shape[-1])
    y = np.zeros_like(flat)
    for t, row in enumerate(flat):
        for e, s in zip(*shares(r[t], k, of_chosen or normalize_routing_weights,
                                None if mix is None else mix[t], normalize_routing_weights,
                                use_sparse_mixer)):
            h, other = (None if w[i] is None else row @ w[i][e].T + (0 if b[i] is None else b[i][e])
                        for i in (0, 2))
            h = activated(h, other, activation_type, swiglu_fusion, activation_alpha,
                          activation_beta, swiglu_limit, swiglu_limit_after_activation)
            y[t] += s * (h @ w[1][e].T + (0 if b[1] is None else b[1][e]))
    return y.reshape(x.shape)


# ---- MoE ----

def floats(rng):
    for n, (tokens, hidden, inter, experts, k) in enumerate([(5, 8, 12, 4, 2), (30, 32, 40, 3, 1)]):
        for act in ("relu", "gelu", "silu", "identity", "swiglu1", "swiglu2"):
            fusion = int(act[-1]) if act.startswith("swiglu") else 0
            wide = inter * (2 if fusion else 1)
            feeds = {"x": normal(rng, tokens, hidden), "r": normal(rng, tokens, experts)}
            weights = {"w1": normal(rng, experts, wide, hidden, scale=0.3),
                       "b1": normal(rng, experts, wide),
                       "w2": normal(rng, experts, hidden, inter, scale=0.3),
                       "b2": normal(rng, experts, hidden)}
            for norm in (0, 1):
                def made(constants, layout, feeds=feeds, act=act, norm=norm):
                    gated = dict(swiglu_limit=1.5 if norm else None, activation_alpha=1.7,
                                 activation_beta=1.0, swiglu_fusion=layout) if layout else {}
                    return by_type("%d-%s-%d" % (n, act, norm), "MoE", feeds, {"y": F},
                                   inputs=["x", "r", "w1", "b1", "w2", "b2"], constants=constants,
                                   kinds=("float", "float16", "bfloat16") if n == 0 else ("float",),
                                   k=k, normalize_routing_weights=norm,
                                   activation_type=act.rstrip("12"), **gated)
                if fusion < 2:
                    yield from made(weights, fusion)
                    continue
                # ONNX Runtime's CPU kernel takes gate and value in turns only.
                turns = dict(weights, **{
                    i: np.ascontiguousarray(np.stack(np.split(weights[i], 2, 1), 2).reshape(
                        weights[i].shape)) for i in ("w1", "b1")})
                for case, other in zip(made(weights, 2), made(turns, 1)):
                    case.ort, case.ort_feeds = other.ort or other.model, \
                        other.ort_feeds or other.feeds
                    yield case


def beyond(rng):
    """What ONNX Runtime has on other devices only (it ignores use_sparse_mixer on this one)."""
    ways = {
        "apart": dict(activation_type="swiglu", activation_alpha=1.3, activation_beta=0.5),
        "limit-after": dict(activation_type="swiglu", swiglu_fusion=1, swiglu_limit=0.7,
                            swiglu_limit_after_activation=1),
        "geglu-turns": dict(activation_type="geglu", swiglu_fusion=1),
        "geglu-halves": dict(activation_type="geglu", swiglu_fusion=2),
        "relu2": dict(activation_type="relu2"),
        "sparse": dict(use_sparse_mixer=1),
    }
    for name, attrs in ways.items():
        for tokens in (4, 21):
            hidden, inter, experts = 12, 20, 5
            wide = inter * (2 if attrs.get("swiglu_fusion") else 1)
            feeds = {"x": normal(rng, 1, tokens, hidden), "r": normal(rng, tokens, experts)}
            if name == "sparse":  # logits that lie close together
                feeds["r"] = 1 + 0.01 * feeds["r"]
            c = {"w1": normal(rng, experts, wide, hidden, scale=0.3),
                 "b1": normal(rng, experts, wide), "w2": normal(rng, experts, hidden, inter),
                 "b2": normal(rng, experts, hidden)}
            if name == "apart":
                c.update(w3=normal(rng, experts, inter, hidden), b3=normal(rng, experts, inter))
            yield from by_type(
                "%s-%d" % (name, tokens), "MoE", feeds, {"y": F}, constants=c,
                kinds=("float",) if name == "sparse" else ("float", "float16"), k=2, **attrs,
                want=lambda f, c, attrs=attrs: {"y": mixture(
                    f["x"], f["r"], [c.get("w%d" % i) for i in (1, 2, 3)],
                    [c.get("b%d" % i) for i in (1, 2, 3)], k=2, **attrs)})
    bad = {"w1": normal(rng, 3, 8, 4), "b1": normal(rng, 3, 8), "w2": normal(rng, 3, 4, 7)}
    feeds = {"x": normal(rng, 2, 4), "r": normal(rng, 2, 3)}
    yield Case("bad-weights", node_model("MoE", feeds, ["y"], bad), feeds,
               refused="input 4.*3 experts of 4 x 8")


# ---- QMoE ----

class Quantized:
    """Weights [experts][n][k] as QMoE has them, and as numbers."""

    def __init__(self, rng, experts, n, k, bits, block, zeros):
        q = rng.integers(0, 1 << bits, (experts, n, k))
        each = block or k
        s = np.abs(normal(rng, experts, n, k // each, scale=0.4 / (1 << bits)))
        z = rng.integers(0, 1 << bits, s.shape) if zeros else np.full(s.shape, 1 << (bits - 1))
        self.real = (q - np.repeat(z, each, -1)) * np.repeat(s, each, -1).astype(np.float64)
        bytes_of = pack if bits != 3 else pack3
        self.data = bytes_of(q, bits)
        self.scales = s if block else s[..., 0]
        self.zeros = (bytes_of(z, bits) if block else bytes_of(z[..., 0], bits)) if zeros else None


def pack3(q, bits=3):
    """A stream of bits along the last axis."""
    stream = (q[..., None] >> np.arange(bits)) & 1
    return np.packbits(stream.reshape(*q.shape[:-1], -1).astype(np.uint8), axis=-1,
                       bitorder="little")


def qmoe(rng, name, bits=4, block=0, zeros=False, tokens=5, hidden=32, inter=64, experts=4, k=2,
         mix=False, bias=True, kinds=("float",), exact=False, tolerance=None, **attrs):
    act = attrs.get("activation_type", "relu")
    fusion = attrs.get("swiglu_fusion", 0)
    widths = [bits, attrs.get("fc2_expert_weight_bits", bits), bits]
    sizes = [(inter * (2 if fusion else 1), hidden), (hidden, inter), (inter, hidden)]
    fcs = [Quantized(rng, experts, *size, w, block, zeros) for size, w in zip(sizes, widths)]
    if act != "swiglu" or fusion:
        fcs[2] = None
    feeds = {"x": normal(rng, tokens, hidden), "r": normal(rng, tokens, experts)}
    if mix:
        feeds["mix"] = np.abs(normal(rng, tokens, experts))
    c, order = {}, ["x", "r"]
    for i, fc in enumerate(fcs, 1):
        made = {} if fc is None else {"w%d" % i: fc.data, "s%d" % i: fc.scales}
        if fc is not None and bias:
            made["b%d" % i] = normal(rng, experts, sizes[i - 1][0])
        c.update(made)
        order += [n if n in made else "" for n in ("w%d" % i, "s%d" % i, "b%d" % i)]
    for i, fc in enumerate(fcs, 1):
        if fc is not None and zeros:
            c["z%d" % i] = fc.zeros
        order.append("z%d" % i if "z%d" % i in c else "")
    order.append("mix" if mix else "")
    while not order[-1]:
        order.pop()

    def want(f, c):
        scale = [None if fc is None else f_scale(fc, c["s%d" % i]) for i, fc in enumerate(fcs, 1)]
        return {"y": mixture(f["x"], f["r"], scale, [c.get("b%d" % i) for i in (1, 2, 3)], k=k,
                             mix=f.get("mix"), of_chosen=True, **attrs)}

    def f_scale(fc, s):  # the weights with the scales that the element type leaves
        old = fc.scales if block else fc.scales[..., None]
        new = s if block else s[..., None]
        each = fc.real.shape[-1] // old.shape[-1]
        levels = np.round(fc.real / np.repeat(old, each, -1))
        return levels * np.repeat(new.astype(np.float64), each, -1)
    for case in by_type(name, "QMoE", feeds, {"y": F}, kinds=kinds, constants=c, inputs=order, k=k,
                        expert_weight_bits=bits, block_size=block or None, tolerance=tolerance,
                        want=want if exact else None, **attrs):
        yield case


def quantized(rng):
    kinds = ("float", "float16", "bfloat16")
    for bits in (2, 4, 8):
        for block in (0, 16, 32, 64):
            for zeros in (False, True):
                # ONNX Runtime rounds rows to int8 there, and repacks 2 bits for such a product
                loose = 3e-2 if (bits == 8 and block) or (bits == 2 and block >= 32) else None
                yield from qmoe(rng, "q%d-%d-%d" % (bits, block, zeros), bits, block, zeros,
                                hidden=64, inter=128,
                                kinds=kinds if block == 32 and bits == 4 else ("float",),
                                tolerance=loose)
                yield from qmoe(rng, "q%d-%d-%d-exact" % (bits, block, zeros), bits, block, zeros,
                                tokens=37, hidden=64, inter=128, exact=True)
    for act in ("relu", "gelu", "silu", "identity"):
        for norm in (0, 1):
            yield from qmoe(rng, "q-%s-%d" % (act, norm), block=32, activation_type=act,
                            normalize_routing_weights=norm, kinds=kinds)
    swiglu = dict(activation_type="swiglu", activation_alpha=1.7, activation_beta=1.0,
                  swiglu_limit=1.5)
    yield from qmoe(rng, "q-swiglu", block=32, swiglu_fusion=1, kinds=kinds, **swiglu)
    yield from qmoe(rng, "q-mix", mix=True)
    yield from qmoe(rng, "q-mix-normalized", mix=True, normalize_routing_weights=1)
    yield from qmoe(rng, "q-plain", bias=False, weights_prepacked=0)
    # What ONNX Runtime's CPU kernel has not.
    yield from qmoe(rng, "q-swiglu-halves", swiglu_fusion=2, exact=True, **swiglu)
    yield from qmoe(rng, "q-swiglu-apart", block=16, zeros=True, exact=True, **swiglu)
    yield from qmoe(rng, "q-geglu", activation_type="geglu", swiglu_fusion=1, exact=True)
    yield from qmoe(rng, "q-3", bits=3, block=32, exact=True, activation_type="swiglu",
                    swiglu_fusion=1, weights_prepacked=0, kinds=kinds)
    yield from qmoe(rng, "q-mixed-bits", bits=8, block=32, exact=True, fc2_expert_weight_bits=4)
    for more, text in ((dict(quant_type="fp4"), "quant_type 'fp4' can't be run"),
                       (dict(weights_prepacked=1), "weights packed for another device"),
                       (dict(swiglu_fusion=3), "swiglu_fusion is 3"),
                       (dict(expert_weight_bits=5), "weights of 5 bits")):
        for case in qmoe(rng, "q-refused-%s" % list(more)[0], exact=True,
                         **{k: v for k, v in more.items() if k != "expert_weight_bits"}):
            for a in case.model.graph.node[0].attribute:
                if a.name in more and a.name == "expert_weight_bits":
                    a.i = more[a.name]
            case.refused = text
            yield case


def cases(rng):
    yield from floats(rng)
    yield from beyond(rng)
    yield from quantized(rng)
