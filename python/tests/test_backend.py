"""The pieces of planish.backend; the official runner itself is tests/oracle/check_backend.py.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import planish  # noqa: E402
import planish.backend as backend  # noqa: E402

RELU = "g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }"


@pytest.fixture
def model(bytes_of):
    return onnx.ModelProto.FromString(bytes_of(RELU))


def test_it_is_a_backend(model):
    assert issubclass(backend.PlanishBackend, onnx.backend.base.Backend)
    rep = backend.prepare(model, "CPU")
    assert isinstance(rep, onnx.backend.base.BackendRep)
    x = np.array([[-1, 0, 1]], np.float32)
    for inputs in ([x], (x,), x, {"x": x}):
        out = rep.run(inputs)
        assert isinstance(out, tuple) and out[0].tolist() == [[0, 0, 1]]
        assert out["y"] is out[0]
    assert backend.run_model(model, [x])[0].tolist() == [[0, 0, 1]]
    with pytest.raises(planish.InvalidArgument):
        rep.run([x, x])


def test_the_module_is_a_backend_as_well():
    wanted = [n for n in dir(onnx.backend.base.Backend) if not n.startswith("_")]
    assert all(callable(getattr(backend, n)) for n in wanted)


def test_devices(model):
    assert backend.supports_device("CPU") and backend.supports_device("CPU:0")
    assert not backend.supports_device("CUDA") and not backend.supports_device("MOON")
    with pytest.raises(planish.NotImplemented):
        backend.prepare(model, "CUDA")


def test_run_node():
    node = onnx.helper.make_node("Add", ["a", "b"], ["c"])
    a = np.ones((2, 3), np.float32)
    assert backend.run_node(node, [a, a])[0].tolist() == (a + a).tolist()
    info = [(np.float32, (2, 3))]
    assert backend.run_node(node, [a, a], outputs_info=info)[0].shape == (2, 3)
    clip = onnx.helper.make_node("Clip", ["x", "", "hi"], ["y"])
    assert backend.run_node(clip, [a * 5, np.float32(2)])[0].max() == 2
    old = onnx.helper.make_node("Softmax", ["x"], ["y"])
    three = np.ones((2, 3, 4), np.float32)
    assert backend.run_node(old, [three], opset_version=11)[0][0, 0, 0] == pytest.approx(1 / 12)
    assert backend.run_node(old, [three], opset_version=13)[0][0, 0, 0] == pytest.approx(1 / 4)
    tree = onnx.helper.make_node("Binarizer", ["x"], ["y"], domain="ai.onnx.ml")
    assert backend.run_node(tree, [a])[0].tolist() == a.tolist()
    concat = onnx.helper.make_node("ConcatFromSequence", ["q"], ["y"], axis=0)
    assert backend.run_node(concat, [[a, a]])[0].shape == (4, 3)


def test_what_is_compatible(model, bytes_of):
    assert backend.is_compatible(model)
    strange = onnx.ModelProto.FromString(bytes_of(RELU.replace("Relu", "NoSuchOp")))
    assert not backend.is_compatible(strange)
    assert backend.is_opset_supported(model) == (True, "")
    model.opset_import[0].version = 999
    assert not backend.is_opset_supported(model)[0]
