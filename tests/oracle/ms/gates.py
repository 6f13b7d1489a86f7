"""Gates and norms around linear attention.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
from onnx import TensorProto

from .case import Case, by_type, node_model, normal

F = TensorProto.FLOAT
KINDS = ("float", "float16", "bfloat16")


def cases(rng):
    for n, (rows, groups, width) in enumerate([((2, 3), 4, 16), ((5,), 1, 33), ((1, 40), 2, 128)]):
        x = normal(rng, *rows, groups * width)
        for act in ("silu", "swish", "sigmoid"):
            yield from by_type("gated-%d-%s" % (n, act), "GatedRMSNorm",
                               {"x": x, "s": normal(rng, width), "g": normal(rng, *x.shape)},
                               {"y": F}, kinds=KINDS, activation=act, epsilon=1e-3)
        for name, scale in (("none", None), ("one", (width,)), ("each", (groups, width)),
                            ("flat", (groups * width,))):
            feeds = {"x": x}
            if scale:
                feeds["s"] = normal(rng, *scale)
            yield from by_type("branches-%d-%s" % (n, name), "BranchwiseRMSNorm", feeds,
                               {"y": F}, kinds=KINDS, num_branches=groups)
            feeds = dict(feeds, x=x.reshape(*rows, groups, width))
            yield from by_type("grouped-%d-%s" % (n, name), "BranchwiseRMSNorm", feeds,
                               {"y": F}, kinds=("float",))
        yield from by_type("add-%d" % n, "GatedAdd",
                           {"x": x, "y": normal(rng, *x.shape), "g": normal(rng, *rows, 1)},
                           {"z": F}, kinds=KINDS)
    for heads in (3, 16):
        feeds = {"a": normal(rng, 2, 5, heads, scale=4), "t": normal(rng, heads),
                 "d": -np.exp(normal(rng, heads)), "b": normal(rng, 2, 5, heads)}
        yield from by_type("decay-%d" % heads, "LinearAttentionGate", feeds,
                           {"decay": F, "beta": F}, kinds=KINDS, keep=("t", "d"))
        yield from by_type("decay-only-%d" % heads, "LinearAttentionGate",
                           {k: feeds[k] for k in "atd"}, {"decay": F}, kinds=("float",))
    bad = {"x": normal(rng, 2, 7), "s": normal(rng, 3), "g": normal(rng, 2, 7)}
    yield Case("bad-scale", node_model("GatedRMSNorm", bad, ["y"]), bad,
               refused="a scale of 3 does not fit")
