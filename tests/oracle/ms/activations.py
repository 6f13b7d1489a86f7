"""Gelu, QuickGelu, BiasGelu, FastGelu, BiasAdd, BiasSplitGelu, ScaledSiLU.
SPDX-License-Identifier: Apache-2.0
"""
import math

import numpy as np

from .case import by_type, normal

ALL = ("float", "float16", "bfloat16", "double")
SHORT = ("float", "float16", "bfloat16")


def cases(rng):
    for name, shape in (("3d", (2, int(rng.integers(1, 40)), 33)), ("one", (1,)), ("empty", (0, 3))):
        x = {"x": normal(rng, *shape, scale=3)}
        yield from by_type("gelu-" + name, "Gelu", x, ["y"], kinds=ALL)
        yield from by_type("quick-" + name, "QuickGelu", x, ["y"], kinds=ALL)
        yield from by_type("fast-" + name, "FastGelu", x, ["y"], kinds=ALL)
    x = {"x": normal(rng, 3, 5, 41, scale=3)}
    yield from by_type("quick-alpha", "QuickGelu", x, ["y"], alpha=float(rng.uniform(0.3, 2)))
    biased = dict(x, b=normal(rng, 41))
    yield from by_type("fast-bias", "FastGelu", biased, ["y"], kinds=ALL)
    yield from by_type("bias", "BiasGelu", biased, ["y"], kinds=ALL)
    yield from by_type("bias-large", "BiasGelu",
                       {"x": normal(rng, 4, 160, 300, scale=9), "b": normal(rng, 300)}, ["y"])
    three = dict(biased, s=normal(rng, 3, 5, 41))
    yield from by_type("bias-add", "BiasAdd", three, ["y"],
                       want=lambda f, c: {"y": f["x"] + f["b"] + f["s"]})
    wide = {"x": normal(rng, 2, 5, 26, scale=2), "b": normal(rng, 26)}
    yield from by_type("bias-split", "BiasSplitGelu", wide, ["y"], want=split_gelu,
                       kinds=("float", "float16"))
    yield from by_type("silu", "ScaledSiLU", x, ["y"], kinds=SHORT, native=SHORT[:2], alpha=0.7)
    scale = {"s": np.array(rng.uniform(0.5, 2), np.float32)}
    yield from by_type("silu-scale", "ScaledSiLU", x, ["y"], constants=scale, kinds=SHORT,
                       want=lambda f, c: {"y": silu(f["x"] * c["s"])})


def silu(z):
    return z / (1 + np.exp(-z))


def split_gelu(feeds, _):
    a = (feeds["x"] + feeds["b"]).astype(np.float64)
    left, right = np.split(a, 2, axis=-1)
    erf = np.vectorize(math.erf)
    return {"y": (left * 0.5 * right * (1 + erf(right / np.sqrt(2)))).astype(np.float32)}
