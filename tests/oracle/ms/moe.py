"""MoE.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
from onnx import TensorProto

from .case import by_type, normal

F = TensorProto.FLOAT


def cases(rng):
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
