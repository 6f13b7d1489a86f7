"""DynamicQuantizeLSTM. ONNX Runtime's products are exact here: the weights have 7 bits.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from .case import Case, node_model, normal
from .int_products import BYTES


def weights(rng, dtype, dirs, k, n, columns):
    w = rng.integers(-60, 61, (dirs, k, n))
    z = rng.integers(-3, 4, (dirs, n) if columns else (dirs,))
    if columns:  # ONNX Runtime takes no other ones
        z[:] = 0
    if dtype == np.uint8:
        w, z = w + 64, z + 64
    s = rng.uniform(0.004, 0.01, z.shape).astype(np.float32)
    return w.astype(dtype), s, z.astype(dtype)


def cases(rng):
    i = 0
    for direction in ("forward", "reverse", "bidirectional"):
        for dtype in BYTES:
            for columns in (False, True):
                dirs = 2 if direction == "bidirectional" else 1
                steps, batch, size, h = (int(v) for v in rng.integers(1, 8, 4))
                h += 4
                # One lens for all: the levels of a step depend on what finished lanes hold.
                w, ws, wz = weights(rng, dtype, dirs, size, 4 * h, columns)
                r, rs, rz = weights(rng, dtype, dirs, h, 4 * h, columns)
                feeds = {"x": normal(rng, steps, batch, size)}
                extra = {"b": normal(rng, dirs, 8 * h, scale=0.3),
                         "h0": normal(rng, dirs, batch, h, scale=0.3),
                         "c0": normal(rng, dirs, batch, h, scale=0.3),
                         "p": normal(rng, dirs, 3 * h, scale=0.3)}
                given = [k for j, k in enumerate(extra) if (i >> j) & 1]
                feeds.update({k: extra[k] for k in given if k in ("h0", "c0")})
                const = {"w": w, "r": r, **{k: extra[k] for k in given if k in "bp"}, "ws": ws,
                         "wz": wz, "rs": rs, "rz": rz}
                order = ["x", "w", "r", "b", "", "h0", "c0", "p", "ws", "wz", "rs", "rz"]
                order = [k if k in feeds or k in const else "" for k in order]
                attrs = dict(direction=direction, hidden_size=h)
                if i % 4 == 1:
                    attrs["clip"] = 0.7
                yield Case("%s-%s-%d" % (direction, np.dtype(dtype).name, columns),
                           node_model("DynamicQuantizeLSTM", feeds, ["y", "yh", "yc"], const,
                                      inputs=order, **attrs), feeds, tolerance=2e-3)
                if i % 3 == 0:  # as inputs: the weights are not packed ahead
                    fed = dict(feeds, **{k: const[k] for k in order if k in const})
                    yield Case("%s-%s-%d-fed" % (direction, np.dtype(dtype).name, columns),
                               node_model("DynamicQuantizeLSTM", fed, ["y", "yh", "yc"],
                                          inputs=order, **attrs), fed, tolerance=2e-3)
                i += 1
    # A sequence that ends earlier, one lane: nothing else shares its levels.
    for length in (0, 3):
        w, ws, wz = weights(rng, np.int8, 2, 3, 20, False)
        r, rs, rz = weights(rng, np.int8, 2, 5, 20, False)
        feeds = {"x": normal(rng, 6, 1, 3), "lens": np.array([length], np.int32)}
        const = {"w": w, "r": r, "ws": ws, "wz": wz, "rs": rs, "rz": rz}
        yield Case("lens-%d" % length,
                   node_model("DynamicQuantizeLSTM", feeds, ["y", "yh", "yc"], const,
                              inputs=["x", "w", "r", "", "lens", "", "", "", "ws", "wz", "rs", "rz"],
                              direction="bidirectional", hidden_size=5), feeds, tolerance=2e-3)
