"""RotaryEmbedding and MRotaryEmbedding.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from .case import Case, by_type, node_model, normal


def caches(rng, rows, half):
    angle = rng.uniform(-np.pi, np.pi, (rows, half))
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def single(rng):
    rows = 16
    for interleaved in (0, 1):
        batch, length = int(rng.integers(1, 4)), int(rng.integers(1, 9))
        cos, sin = caches(rng, rows, 4)
        feeds = {"x": normal(rng, batch, length, 24),
                 "p": rng.integers(0, rows, (batch, length)), "cos": cos, "sin": sin}
        yield from by_type("ids-%d" % interleaved, "RotaryEmbedding", feeds, ["y"],
                           interleaved=interleaved)
        offset = dict(feeds, p=np.array([rng.integers(0, rows - length + 1)]))
        yield from by_type("offset-%d" % interleaved, "RotaryEmbedding", offset, ["y"],
                           interleaved=interleaved)
        ranked = dict(feeds, x=normal(rng, batch, 3, length, 8))
        yield from by_type("4d-%d" % interleaved, "RotaryEmbedding", ranked, ["y"],
                           interleaved=interleaved, kinds=("float",))
        part = dict(feeds, x=normal(rng, batch, length, 3 * 14))
        yield from by_type("part-%d" % interleaved, "RotaryEmbedding", part, ["y"],
                           interleaved=interleaved, num_heads=3, rotary_embedding_dim=8,
                           kinds=("float", "float16"))
        scaled = dict(feeds)
        yield from by_type("scale-%d" % interleaved, "RotaryEmbedding", scaled, ["y"],
                           interleaved=interleaved, scale=0.5, kinds=("float",))
    # More tokens than the caches have rows: several sequences packed into one.
    cos, sin = caches(rng, 4, 4)
    feeds = {"x": normal(rng, 1, 7, 16), "p": np.array([[0, 1, 2, 3, 0, 1, 2]]), "cos": cos,
             "sin": sin}
    yield from by_type("packed", "RotaryEmbedding", feeds, ["y"], is_packed_batching=1)
    for bad in ([[0, 1, 2, 3, 0, 1, 4]], [[0, 1, 2, 3, 0, 1, -1]]):
        wrong = dict(feeds, p=np.array(bad))
        yield Case("position-%d" % bad[0][-1],
                   node_model("RotaryEmbedding", wrong, ["y"], is_packed_batching=1), wrong,
                   refused="position -?[0-9]+ of 4")


def multi(rng):
    for layout in (0, 1):
        for interleaved in (0, 1):
            batch, length, half = int(rng.integers(1, 4)), int(rng.integers(1, 9)), 12
            cos, sin = caches(rng, 16, half)
            feeds = {"x": normal(rng, batch, length, 2 * 2 * half),
                     "p": rng.integers(0, 16, (3, batch, length)), "cos": cos, "sin": sin}
            sections = [[4, 4, 4], [6, 4, 2], [12, 0, 0], [6, 3, 3]][int(rng.integers(0, 4))]
            yield from by_type("multi-%d-%d" % (layout, interleaved), "MRotaryEmbedding", feeds,
                               ["y"], interleaved=interleaved, num_heads=2, mrope_layout=layout,
                               mrope_section=sections)
    wrong = dict(feeds)
    yield Case("multi-sections",
               node_model("MRotaryEmbedding", wrong, ["y"], num_heads=2,
                          mrope_section=[6, 6, 6]), wrong,
               refused="mrope_section is not 3 parts of 12 columns")


def cases(rng):
    yield from single(rng)
    yield from multi(rng)
