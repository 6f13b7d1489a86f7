"""DynamicQuantizeMatMul, MatMulIntegerToFloat, QGemm, MatMulInteger16; and of the standard's
domain QLinearMatMul and QLinearConv, whose kernels they share. What is expected is computed with
exact sums: ONNX Runtime's saturate where there is no VNNI.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
from onnx import TensorProto, helper

from .case import Case, node_model, normal

BYTES = (np.uint8, np.int8)


def draw(rng, dtype, *shape):
    """All values, the extreme ones often: they make 16-bit sums saturate."""
    info = np.iinfo(dtype)
    a = rng.integers(info.min, info.max + 1, shape)
    extreme = rng.random(shape) < 0.3
    return np.where(extreme, rng.choice([info.min, info.max], shape), a).astype(dtype)


def scalar(rng, lo=0.002, hi=0.05):
    return np.array(rng.uniform(lo, hi), np.float32)


def vector(rng, n, lo=0.002, hi=0.05):
    return rng.uniform(lo, hi, n).astype(np.float32)


def quantize(f, zero):
    """saturate(round_half_even(f) + zero); f is the float32 before it is rounded."""
    info = np.iinfo(zero.dtype)
    return np.clip(np.rint(f).astype(np.float64) + int(zero), info.min, info.max).astype(zero.dtype)


def exact(a, az, b, bz):
    return np.matmul(a.astype(np.int64) - np.asarray(az, np.int64),
                     b.astype(np.int64) - np.asarray(bz, np.int64)).astype(np.int32)


def sizes(rng):
    return [int(v) for v in rng.integers(1, 70, 3)]


def both_ways(name, op, inputs, weights, outputs, want, levels=0, **attrs):
    """The weights as constants, and as inputs."""
    for kind, constants in (("constant", weights), ("fed", ())):
        feeds = {k: v for k, v in inputs.items() if k not in constants}
        const = {k: v for k, v in inputs.items() if k in constants}
        yield Case("%s-%s" % (name, kind),
                   node_model(op, feeds, outputs, const, inputs=attrs.pop("order", None) or
                              list(inputs), **attrs), feeds, want=want, levels=levels)


def to_float(rng):
    for ta in BYTES:
        for tb in BYTES:
            for batched in (False, True):
                m, k, n = sizes(rng)
                lead = (2, 3) if batched else ()
                x = {"a": draw(rng, ta, *lead, m, k),
                     "b": draw(rng, tb, *(lead[1:] if batched else ()), k, n),
                     "as": scalar(rng), "bs": scalar(rng) if batched else vector(rng, n),
                     "az": draw(rng, ta), "bz": draw(rng, tb) if batched else draw(rng, tb, n),
                     "bias": normal(rng, n)}
                y = exact(x["a"], x["az"], x["b"], x["bz"]).astype(np.float32) \
                    * (x["as"] * x["bs"]) + x["bias"]
                name = "to-float-%s-%s%s" % (np.dtype(ta).name, np.dtype(tb).name,
                                            "-batch" if batched else "")
                yield from both_ways(name, "MatMulIntegerToFloat", x, ("b", "bs", "bz"), ["y"],
                                     {"y": y.astype(np.float32)})
    m, k, n = sizes(rng)
    x = {"a": draw(rng, np.uint8, m, k), "b": draw(rng, np.int8, k, n), "as": scalar(rng),
         "bs": scalar(rng)}
    y = exact(x["a"], 0, x["b"], 0).astype(np.float32) * (x["as"] * x["bs"])
    yield from both_ways("to-float-least", "MatMulIntegerToFloat", x, ("b",), ["y"], {"y": y})
    # A scale and zero point for each column of each matrix; float16.
    x = {"a": draw(rng, np.uint8, 2, m, k), "b": draw(rng, np.int8, 2, k, n), "as": scalar(rng),
         "bs": vector(rng, (2, 1, n)), "az": draw(rng, np.uint8), "bz": draw(rng, np.int8, 2, 1, n)}
    y = exact(x["a"], x["az"], x["b"], x["bz"]).astype(np.float32) * (x["as"] * x["bs"])
    yield from both_ways("to-float-matrices", "MatMulIntegerToFloat", x, ("b",), ["y"], {"y": y})
    short = dict(x, **{"as": np.array(0.0003, np.float16), "bs": np.array(0.01, np.float16)})
    y = exact(x["a"], x["az"], x["b"], x["bz"]).astype(np.float32) \
        * (np.float32(short["as"]) * np.float32(short["bs"]))
    yield from both_ways("to-float-float16", "MatMulIntegerToFloat", short, (),
                         {"y": np.float16}, {"y": y.astype(np.float16)})


def gemm(rng):
    for i in range(8):
        m, k, n = sizes(rng)
        ta, tb = BYTES[i % 2], BYTES[i // 2 % 2]
        trans_a, trans_b = int(rng.integers(0, 2)), int(rng.integers(0, 2))
        a, b = draw(rng, ta, m, k), draw(rng, tb, k, n)
        columns = i % 3 == 0
        x = {"a": a.T.copy() if trans_a else a, "as": scalar(rng), "az": draw(rng, ta),
             "b": b.T.copy() if trans_b else b,
             "bs": vector(rng, n) if columns else scalar(rng),
             "bz": draw(rng, tb, n) if columns else draw(rng, tb)}
        add = [None, (n,), (1, n), (m, n), (m, 1), ()][i % 6]
        total = exact(a, x["az"], b, x["bz"])
        if add is not None:
            x["c"] = rng.integers(-20000, 20000, add).astype(np.int32)
            total = total + x["c"]
        alpha = np.float32(rng.uniform(0.3, 2))
        factor = alpha * x["as"] * x["bs"]
        attrs = {"transA": trans_a, "transB": trans_b, "alpha": float(alpha)}
        y = total.astype(np.float32) * factor
        yield from both_ways("gemm-float-%d" % i, "QGemm", x, ("b", "bs", "bz"), ["y"], {"y": y},
                             **attrs)
        q = dict(x)
        if add is None:
            q["c"] = np.zeros((), np.int32)
        q["ys"], q["yz"] = scalar(rng, 0.3, 2) * np.float32(max(y.std(), 0.1)) / 32, draw(rng, ta)
        q["ys"] = np.asarray(q["ys"], np.float32)
        y = quantize(total.astype(np.float32) * (factor / q["ys"]), q["yz"])
        yield from both_ways("gemm-byte-%d" % i, "QGemm", q, ("b", "bs", "bz", "ys", "yz"),
                             {"y": ta}, {"y": y}, **attrs)


def dynamic(a):
    lo, hi = min(a.min(), np.float32(0)), max(a.max(), np.float32(0))
    scale = np.float32((hi - lo) / np.float32(255)) if hi > lo else np.float32(1)
    zero = np.uint8(np.clip(np.rint(np.float32(0) - lo / scale), 0, 255))
    q = np.clip(np.rint(a / scale) + zero, 0, 255).astype(np.uint8)
    return q, scale, zero


def dynamic_matmul(rng):
    for i, tb in enumerate(BYTES * 2):
        m, k, n = sizes(rng)
        a, b = normal(rng, 2, m, k), draw(rng, tb, k, n)
        q, scale, zero = dynamic(a)
        x = {"a": a, "b": b, "bs": vector(rng, n) if i > 1 else scalar(rng),
             "bz": draw(rng, tb, n) if i > 1 else draw(rng, tb)}
        y = exact(q, zero, b, x["bz"]).astype(np.float32) * (scale * x["bs"])
        yield from both_ways("dynamic-%d" % i, "DynamicQuantizeMatMul", x, ("b", "bs", "bz"),
                             ["y"], {"y": y})
        x["bias"] = normal(rng, n)
        yield from both_ways("dynamic-bias-%d" % i, "DynamicQuantizeMatMul", x,
                             ("b", "bs", "bz", "bias"), ["y"], {"y": y + x["bias"]})


def integer16(rng):
    m, k, n = sizes(rng)
    a = rng.integers(-300, 300, (2, m, k)).astype(np.int16)
    b = rng.integers(-300, 300, (k, n)).astype(np.int16)
    yield Case("integer16", node_model("MatMulInteger16", {"a": a, "b": b}, {"y": np.int32}),
               {"a": a, "b": b})
    u = rng.integers(60000, 65536, (m, k)).astype(np.uint16)
    v = rng.integers(60000, 65536, (k, n)).astype(np.uint16)
    y = (u.astype(np.uint64) @ v.astype(np.uint64)).astype(np.uint32)
    yield Case("integer16-unsigned", node_model("MatMulInteger16", {"a": u, "b": v},
                                                {"y": np.uint32}), {"a": u, "b": v},
               want={"y": y})


def qlinear_matmul(rng):
    for i in range(8):
        m, k, n = sizes(rng)
        ta, tb = BYTES[i % 2], BYTES[i // 2 % 2]
        a, b = draw(rng, ta, *((3, m, k) if i % 3 else (m, k))), draw(rng, tb, k, n)
        columns = i > 3
        x = {"a": a, "as": scalar(rng), "az": draw(rng, ta), "b": b,
             "bs": vector(rng, n) if columns else scalar(rng),
             "bz": draw(rng, tb, n) if columns else draw(rng, tb)}
        total = exact(a, x["az"], b, x["bz"]).astype(np.float32)
        x["ys"] = np.asarray((total * (x["as"] * x["bs"])).std() / 30 + 1e-4, np.float32)
        x["yz"] = draw(rng, ta)
        y = quantize(total * (x["as"] * x["bs"] / x["ys"]), x["yz"])
        yield from both_ways("qlinear-matmul-%d" % i, "QLinearMatMul", x, ("b", "bs", "bz"),
                             {"y": ta}, {"y": y}, domain="")


def conv_exact(x, xz, w, wz, bias, group, pads, strides, dilations):
    """By int64 windows; 2-d."""
    p, s, d = pads, strides, dilations
    v = np.pad(x.astype(np.int64) - int(xz), ((0, 0), (0, 0), (p[0], p[2]), (p[1], p[3])))
    wz = np.asarray(wz, np.int64).reshape(-1, 1, 1, 1) if np.ndim(wz) else int(wz)
    w = w.astype(np.int64) - wz
    m, cg, kh, kw = w.shape
    oh = (v.shape[2] - (kh - 1) * d[0] - 1) // s[0] + 1
    ow = (v.shape[3] - (kw - 1) * d[1] - 1) // s[1] + 1
    y = np.zeros((x.shape[0], m, oh, ow), np.int64)
    for o in range(m):
        c0 = o // (m // group) * cg
        for i in range(kh):
            for j in range(kw):
                part = v[:, c0:c0 + cg, i * d[0]:i * d[0] + oh * s[0]:s[0],
                         j * d[1]:j * d[1] + ow * s[1]:s[1]]
                y[:, o] += np.einsum("nchw,c->nhw", part[:, :, :oh, :ow], w[o, :, i, j])
    if bias is not None:
        y += bias.reshape(1, -1, 1, 1)
    return y.astype(np.int32)


def conv_case(rng, i):
    group = [1, 1, 2, 4][i % 4]
    cg, mg = (1, 1) if i % 4 == 3 else (int(rng.integers(1, 9)), int(rng.integers(1, 9)))
    tx, tw = BYTES[i % 2], BYTES[i // 2 % 2]
    kh, kw = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    h, w = int(rng.integers(6, 15)), int(rng.integers(6, 15))
    attrs = {"group": group, "pads": [int(v) for v in rng.integers(0, 3, 4)],
             "strides": [int(v) for v in rng.integers(1, 3, 2)],
             "dilations": [int(v) for v in rng.integers(1, 3, 2)]}
    m = group * mg
    channels = i > 3
    x = {"x": draw(rng, tx, 2, group * cg, h, w), "xs": scalar(rng), "xz": draw(rng, tx),
         "w": draw(rng, tw, m, cg, kh, kw), "ws": vector(rng, m) if channels else scalar(rng),
         "wz": draw(rng, tw, m) if channels else draw(rng, tw)}
    bias = rng.integers(-3000, 3000, m).astype(np.int32) if i % 2 else None
    total = conv_exact(x["x"], x["xz"], x["w"], x["wz"], bias, **attrs).astype(np.float32)
    by_m = x["xs"] * (x["ws"].reshape(1, -1, 1, 1) if channels else x["ws"])
    x["ys"] = np.asarray((total * by_m).std() / 30 + 1e-4, np.float32)
    x["yz"] = draw(rng, tx)
    if bias is not None:
        x["b"] = bias
    return x, attrs, {"y": quantize(total * (by_m / x["ys"]), x["yz"])}, tx


def qlinear_conv(rng):
    for i in range(10):
        x, attrs, want, tx = conv_case(rng, i)
        yield from both_ways("qlinear-conv-%d" % i, "QLinearConv", x, ("w", "ws", "wz", "b"),
                             {"y": tx}, want, domain="", **attrs)


def cases(rng):
    yield from to_float(rng)
    yield from gemm(rng)
    yield from dynamic_matmul(rng)
    yield from integer16(rng)
    yield from qlinear_matmul(rng)
    yield from qlinear_conv(rng)
