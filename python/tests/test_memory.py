"""Memory is given back: by sessions, models, results and failures.
SPDX-License-Identifier: Apache-2.0
"""
import gc

import numpy as np
import pytest

import planish
from planish import _values


def resident():
    """This process's resident set, in KiB."""
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS")


def growth(work, rounds, warm=20):
    for _ in range(warm):
        work()
    gc.collect()
    before = resident()
    for _ in range(rounds):
        work()
    gc.collect()
    return resident() - before


@pytest.fixture
def big(bytes_of):
    """A model of 1 MiB of weights."""
    onnx = pytest.importorskip("onnx")
    m = onnx.ModelProto.FromString(bytes_of(
        "g (float[4, 512] x) => (float[4, 512] y) { a = Identity(x) y = Relu(a) }"))
    w = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    m.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    m.graph.node[0].CopyFrom(onnx.helper.make_node("MatMul", ["x", "w"], ["a"]))
    return m.SerializeToString()


def test_sessions_of_bytes(big):
    def work():
        s = planish.InferenceSession(big)
        s.run(None, {"x": np.ones((4, 512), np.float32)})
    assert growth(work, 200) < 6 << 10


def test_sessions_of_files(big, tmp_path):
    path = str(tmp_path / "m.onnx")
    open(path, "wb").write(big)

    def work():
        s = planish.InferenceSession(path)
        b = s.io_binding()
        b.bind_cpu_input("x", np.ones((4, 512), np.float32))
        b.bind_output("y")
        s.run_with_iobinding(b)
        b.copy_outputs_to_cpu()
    assert growth(work, 200) < 6 << 10


def test_runs(big):
    s = planish.InferenceSession(big)
    x = np.ones((4, 512), np.float32)
    assert growth(lambda: s.run(None, {"x": x}), 2000) < 2 << 10


def test_failures(big):
    s = planish.InferenceSession(big)

    def work():
        for bad in (lambda: planish.InferenceSession(big[:-100]),
                    lambda: s.run(None, {"x": np.ones((4, 511), np.float32)}),
                    lambda: planish.optimize(big, passes="no-such-pass")):
            with pytest.raises(planish.PlanishError):
                bad()
    assert growth(work, 200) < 6 << 10


def test_values_of_all_kinds(session_of):
    s = session_of("g (seq(string[]) q, float[1000] x) => (seq(string[]) r, float[1000] y) "
                   "{ r = Identity(q) y = Neg(x) }")
    words = [np.array(["a" * 500, "b"], dtype=object)] * 3
    x = np.ones(1000, np.float32)

    def work():
        r, y = s.run(None, {"q": words, "x": x})
        np.from_dlpack(planish.OrtValue.ortvalue_from_numpy(y))
    assert growth(work, 500) < 2 << 10


def test_nothing_is_lent_at_the_end(big):
    gc.collect()
    before = len(_values._lent)
    s = planish.InferenceSession(big)
    s.run(None, {"x": np.ones((4, 512), np.float32)})
    assert len(_values._lent) == before + 1  # the file's bytes; the input is unbound
    del s
    gc.collect()
    assert len(_values._lent) == before
