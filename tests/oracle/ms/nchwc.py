"""com.microsoft.nchwc: models as ONNX Runtime saves them after all its rewrites, on this processor;
and one in blocks of 8, which such a model tells by its sizes alone.
SPDX-License-Identifier: Apache-2.0
"""
import os
import tempfile

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .case import Case, normal


def graph(nodes, feeds, outputs, weights):
    return helper.make_model(helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(k, 1, v.shape) for k, v in feeds.items()],
        [helper.make_tensor_value_info(o, 1, None) for o in outputs],
        [numpy_helper.from_array(v, k) for k, v in weights.items()]), ir_version=8,
        opset_imports=[helper.make_opsetid("", 13)])


def rewritten(model, feeds):
    """The model in blocks, and what it gives."""
    import onnxruntime as ort
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.optimized_model_filepath = os.path.join(folder, "m.onnx")
        session = ort.InferenceSession(model.SerializeToString(), options,
                                       providers=["CPUExecutionProvider"])
        want = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
        return onnx.load(options.optimized_model_filepath), want


def saved(rng, name, channels, act, middle):
    """A convolution from few channels, `middle` in blocks, one more with a sum behind it."""
    c0, c1 = channels
    h, w = int(rng.integers(8, 14)), int(rng.integers(8, 14))
    feeds = {"x": normal(rng, 2, 3, h, w)}
    weights = {"w1": normal(rng, c0, 3, 3, 3, scale=0.2), "b1": normal(rng, c0),
               "w2": normal(rng, c1, c0, 1, 1, scale=0.2), "w3": normal(rng, c1, c1, 3, 3, scale=0.1),
               "wd": normal(rng, c1, 1, 3, 3, scale=0.3), "b3": normal(rng, c1),
               "sc": np.array([1, 1, 2, 2], np.float32)}
    nodes = [helper.make_node("Conv", ["x", "w1", "b1"], ["a"], pads=[1, 1, 1, 1])]
    last = "a"
    for i, (op, attrs) in enumerate(act):
        nodes.append(helper.make_node(op, [last], ["r%d" % i], **attrs))
        last = "r%d" % i
    for i, (op, extra, attrs) in enumerate(middle):
        nodes.append(helper.make_node(op, [last, *extra], ["m%d" % i], **attrs))
        last = "m%d" % i
    nodes += [helper.make_node("Conv", [last, "w2"], ["p"]),
              helper.make_node("Conv", ["p", "wd"], ["d"], pads=[1, 1, 1, 1], group=c1),
              helper.make_node("Conv", ["d", "w3", "b3"], ["e"], pads=[1, 1, 1, 1], strides=[1, 1]),
              helper.make_node("Add", ["e", "p"], ["s"]), helper.make_node("Relu", ["s"], ["y"]),
              helper.make_node("GlobalAveragePool", ["y"], ["ya"]),
              helper.make_node("GlobalMaxPool", ["y"], ["ym"])]
    used = {n for node in nodes for n in node.input}
    model, want = rewritten(graph(nodes, feeds, ["y", "ya", "ym"],
                                  {k: v for k, v in weights.items() if k in used}), feeds)
    model.graph.ClearField("value_info")
    yield Case(name, model, feeds, want=want, tolerance=5e-5, shapes=False)


def blocks_of_8(rng):
    """24 channels of 5: [O / 8, I, taps, 8], then [O / 8, I / 8, taps, 8, 8]."""
    x, w1, w2 = normal(rng, 1, 5, 6, 7), normal(rng, 24, 5, 1, 1), normal(rng, 16, 24, 1, 1)
    y1 = np.einsum("ncij,oc->noij", x, w1[:, :, 0, 0])
    y = np.maximum(np.einsum("ncij,oc->noij", y1, w2[:, :, 0, 0]), 0)
    first = w1.reshape(3, 8, 5, 1, 1).transpose(0, 2, 3, 4, 1).reshape(w1.shape)
    second = w2.reshape(2, 8, 3, 8, 1, 1).transpose(0, 2, 4, 5, 3, 1).reshape(w2.shape)
    domain = "com.microsoft.nchwc"
    nodes = [helper.make_node("Conv", ["x", "w1"], ["a"], domain=domain),
             helper.make_node("Conv", ["a", "w2"], ["b"], domain=domain, activation="Relu"),
             helper.make_node("ReorderOutput", ["b"], ["y"], domain=domain, channels=13),
             helper.make_node("ReorderInput", ["y"], ["c"], domain=domain),
             helper.make_node("ReorderOutput", ["c"], ["z"], domain=domain, channels=13,
                              channels_last=1)]
    model = graph(nodes, {"x": x}, ["y", "z"], {"w1": np.ascontiguousarray(first),
                                                "w2": np.ascontiguousarray(second)})
    model.opset_import.append(helper.make_opsetid(domain, 1))
    yield Case("blocks-of-8", model, {"x": x}, shapes=False,
               want={"y": y[:, :13], "z": np.moveaxis(y[:, :13], 1, -1)})


def cases(rng):
    relu = [("Relu", {})]
    yield from saved(rng, "plain", (32, 16), [], [])
    yield from saved(rng, "padded", (24, 20), relu, [])
    yield from saved(rng, "max-pool", (32, 32), relu,
                     [("MaxPool", [], dict(kernel_shape=[2, 2], strides=[2, 2]))])
    yield from saved(rng, "average-pool", (32, 16), [("LeakyRelu", {"alpha": 0.2})],
                     [("AveragePool", [], dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1],
                                               count_include_pad=1))])
    yield from saved(rng, "upsample", (32, 16), [("Sigmoid", {})],
                     [("Resize", ["", "sc"], dict(mode="nearest", nearest_mode="floor",
                                                  coordinate_transformation_mode="asymmetric"))])
    for transform in ("asymmetric", "align_corners", "half_pixel"):
        yield from saved(rng, "linear-" + transform, (32, 16), [],
                         [("Resize", ["", "sc"], dict(mode="linear",
                                                      coordinate_transformation_mode=transform))])
    yield from blocks_of_8(rng)
