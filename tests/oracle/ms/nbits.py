"""MatMulNBits, MatMulBnb4, GatherBlockQuantized.
SPDX-License-Identifier: Apache-2.0
"""
import ml_dtypes
import numpy as np
from onnx import TensorProto

from .case import Case, by_type, node_model, normal

F = TensorProto.FLOAT
KINDS = ("float", "float16", "bfloat16")


def pack(q, bits):
    """Values along the last axis, low bits first."""
    per = 8 // bits
    q = np.concatenate([q, np.zeros(q.shape[:-1] + (-q.shape[-1] % per,), q.dtype)], -1)
    q = q.reshape(*q.shape[:-1], -1, per).astype(np.uint32)
    return np.bitwise_or.reduce(q << (bits * np.arange(per)), -1).astype(np.uint8)


def product(rng):
    for n, (rows, k, cols, block) in enumerate(
            [((2, 3), 40, 7, 16), ((1,), 96, 33, 32), ((1, 1), 600, 70, 128), ((30,), 128, 50, 32),
             ((2, 20), 300, 37, 64), ((40,), 1100, 40, 512), ((5,), 64, 9, 64)]):
        blocks = -(-k // block)
        for bits in (2, 4, 8):
            q = rng.integers(0, 1 << bits, (cols, blocks * block))
            feeds = {"a": normal(rng, *rows, k)}
            weights = {"b": pack(q, bits).reshape(cols, blocks, -1),
                       "s": normal(rng, cols, blocks, scale=0.1)}
            zeros = rng.integers(0, 1 << bits, (cols, blocks))
            packed = {"z": pack(zeros, bits)}
            kinds = KINDS if n < 3 and bits == 4 else ("float",)

            def case(name, more, order, feed=(), **attrs):
                given = {**weights, **more}
                fed = {i: given.pop(i) for i in feed}
                return by_type("nbits-%d-%d-%s" % (n, bits, name), "MatMulNBits",
                               {**feeds, **fed}, ["y"], constants=given, kinds=kinds, bits=bits,
                               inputs=["a", "b", "s", *order], K=k, N=cols, block_size=block,
                               **attrs)
            def right(zero, bias=0, group=np.arange(k) // block):
                w = (q[:, :k] - zero[:, group]) * weights["s"][:, group]
                return {"y": feeds["a"].astype(np.float64) @ w.T + bias}

            def compared(made, **more):
                for one in made:
                    if lacking:
                        one.want = right(**more)
                    yield one
            # What ONNX Runtime's CPU kernel does not have.
            lacking = bits == 2 and block > 256
            half = np.full((cols, blocks), 1 << (bits - 1))
            bias = normal(rng, cols)
            yield from compared(case("plain", {}, []), zero=half)
            yield from compared(case("zeros", packed, ["z"]), zero=zeros)
            yield from compared(case("bias", {**packed, "bias": bias}, ["z", "", "bias"]),
                                zero=zeros, bias=bias)
            yield from compared(case("fed", packed, ["z"], feed=("b", "s", "z")), zero=zeros)
            lacking |= bits == 8
            floats = normal(rng, cols, blocks, scale=2) + 3
            yield from compared(case("float-zeros", {"z": floats}, ["z"]), zero=floats)
            if bits == 4:
                for made in case("level", packed, ["z"], accuracy_level=4):
                    made.tolerance = 3e-2  # ONNX Runtime may round A to int8 then
                    yield made
            groups = rng.integers(0, blocks, k).astype(np.int32)
            for made in case("groups", {**packed, "g": groups}, ["z", "g"]):
                if made.name.endswith("-float"):
                    made.want = right(zeros, group=groups)
                    yield made
    feeds = {"a": normal(rng, 3, 32)}
    weights = {"b": np.zeros((0, 1, 16), np.uint8), "s": np.zeros((5, 1), np.float32),
               "bias": normal(rng, 5)}
    yield Case("nbits-left-out",
               node_model("MatMulNBits", feeds, ["y"], weights, inputs=["a", "b", "s", "", "",
                                                                       "bias"],
                          K=32, N=5, block_size=32), feeds,
               want={"y": np.broadcast_to(weights["bias"], (3, 5))})
    bad = {"b": np.zeros((5, 1, 16), np.uint8), "s": np.zeros((5, 1), np.float32),
           "g": np.full(32, 1, np.int32)}
    yield Case("nbits-bad-group",
               node_model("MatMulNBits", feeds, ["y"], bad, inputs=["a", "b", "s", "", "g"],
                          K=32, N=5, block_size=32), feeds, refused="g_idx has block 1 of 1")


def bnb4_weights(c, quant_type, block):
    """What bitsandbytes' tables (dQuantizeFP4, dQuantizeNF4 of its kernels) say: ONNX Runtime's
    kernel takes no notice of transB."""
    fp4 = np.array([0, 0.0625 / 12, 8 / 12, 1, 4 / 12, 6 / 12, 2 / 12, 3 / 12])
    nf4 = np.array([-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
                    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
                    0.07958029955625534, 0.16093020141124725, 0.24611230194568634,
                    0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
                    0.7229568362236023, 1])
    table = nf4 if quant_type else np.concatenate([fp4, -fp4])
    nibbles = np.stack([c["b"] >> 4, c["b"] & 15], 1).ravel()
    return table[nibbles] * np.repeat(c["s"], block)[:nibbles.size]


def bnb4(rng):
    for n, (rows, k, cols, block) in enumerate([((2, 3), 40, 7, 16), ((20,), 96, 33, 32)]):
        for quant_type in (0, 1):
            feeds = {"a": normal(rng, *rows, k)}
            size = k * cols
            weights = {"b": rng.integers(0, 256, (size + 1) // 2).astype(np.uint8),
                       "s": np.abs(normal(rng, -(-size // block)))}
            yield from by_type("bnb4-%d-%d" % (n, quant_type), "MatMulBnb4", feeds, ["y"],
                               constants=weights, K=k, N=cols, block_size=block,
                               quant_type=quant_type)
            back = {"a": normal(rng, *rows, cols)}
            yield from by_type("bnb4-%d-%d-back" % (n, quant_type), "MatMulBnb4", back, ["y"],
                               constants=weights, K=k, N=cols, block_size=block,
                               quant_type=quant_type, transB=0, kinds=("float",),
                               want=lambda f, c: {"y": f["a"] @ bnb4_weights(
                                   c, quant_type, block)[:size].reshape(cols, k)})


def gather(rng):
    table = {"uint4": (TensorProto.UINT4, 0, 16), "int4": (TensorProto.INT4, -8, 8)}
    for n, (shape, quantize, axis) in enumerate(
            [((9, 40), 1, 0), ((5, 3, 34), 2, 0), ((5, 34, 4), 1, 0), ((6, 4, 34), 2, 1),
             ((33, 6), 0, 1), ((4, 40), 1, -1)]):
        scales = list(shape)
        scales[quantize] = -(-shape[quantize] // 16)
        indices = rng.integers(-shape[axis], shape[axis], (2, 3))
        attrs = dict(block_size=16, quantize_axis=quantize, gather_axis=axis)
        for name, (elem, lo, hi) in table.items():
            small = ml_dtypes.uint4 if name == "uint4" else ml_dtypes.int4
            weights = {"d": rng.integers(lo, hi, shape).astype(small), "s": normal(rng, *scales)}
            feeds = {"i": indices.astype(np.int32 if n % 2 else np.int64)}
            types = ("float", "float16", "bfloat16") if n == 0 else ("float",)
            yield from by_type("gather-%d-%s" % (n, name), "GatherBlockQuantized", feeds, ["y"],
                               constants=weights, inputs=["d", "i", "s"], kinds=types,
                               native=("float16",), **attrs)
            zeros = {"z": rng.integers(lo, hi, scales).astype(small)}
            yield from by_type("gather-%d-%s-zeros" % (n, name), "GatherBlockQuantized", feeds,
                               ["y"], constants={**weights, **zeros}, kinds=("float",),
                               inputs=["d", "i", "s", "z"], **attrs)
        if axis != 0 or quantize != len(shape) - 1:
            continue
        for bits in (2, 4, 8):
            if shape[-1] * bits % 8:
                continue
            weights = {"d": pack(rng.integers(0, 1 << bits, shape), bits),
                       "s": normal(rng, *scales)}
            zeros = {"z": pack(rng.integers(0, 1 << bits, scales), bits)}
            yield from by_type("gather-%d-%d" % (n, bits), "GatherBlockQuantized",
                               {"i": indices}, ["y"], constants=weights, inputs=["d", "i", "s"],
                               kinds=("float",), bits=bits, **attrs)
            yield from by_type("gather-%d-%d-zeros" % (n, bits), "GatherBlockQuantized",
                               {"i": indices}, ["y"], constants={**weights, **zeros},
                               inputs=["d", "i", "s", "z"], kinds=("float",), bits=bits, **attrs)
    for small in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fnuz,
                  ml_dtypes.float8_e5m2fnuz, ml_dtypes.float4_e2m1fn):
        for block, scales in ((16, (7, 3)), (0, (7, 1)), (0, (1, 1)), (16, (1, 3))):
            weights = {"d": normal(rng, 7, 48).astype(small), "s": normal(rng, *scales)}
            feeds = {"i": rng.integers(-7, 7, (4,))}
            yield from by_type("gather-%s-%d-%d" % (small.__name__, block, scales[0]),
                               "GatherBlockQuantized", feeds, ["y"], constants=weights,
                               inputs=["d", "i", "s"], kinds=("float",), block_size=block)


def cases(rng):
    yield from product(rng)
    yield from bnb4(rng)
    yield from gather(rng)
