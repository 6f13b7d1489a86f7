"""Errors: their classes, their names in ONNX Runtime, and the place that they tell.
SPDX-License-Identifier: Apache-2.0
"""
import os
import subprocess
import sys

import numpy as np
import pytest

import planish
from planish import errors

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(planish.__file__)))


def test_a_file_that_is_not_there(tmp_path):
    path = str(tmp_path / "none.onnx")
    for kind in (planish.NoSuchFile, planish.Fail, FileNotFoundError, RuntimeError):
        with pytest.raises(kind) as e:
            planish.InferenceSession(path)
    assert e.value.status == "PLN_E_IO" and e.value.exit_code == 3
    assert e.value.file == path and path in str(e.value)
    with pytest.raises(planish.FileError) as e:
        planish.InferenceSession(str(tmp_path))  # a folder
    assert not isinstance(e.value, FileNotFoundError)


def test_bytes_that_are_no_model(bytes_of):
    data = bytes_of("g (float[1] x) => (float[1] y) { y = Neg(x) }")
    with pytest.raises(planish.InvalidGraph):
        planish.InferenceSession(b"\x0a\xff\xff")
    for n in range(1, len(data) - 1, 7):
        with pytest.raises((planish.InvalidGraph, planish.NotImplemented)):
            planish.InferenceSession(data[:n])


def test_a_cycle(bytes_of):
    onnx = pytest.importorskip("onnx")
    m = onnx.ModelProto.FromString(bytes_of(
        "g (float[1] x) => (float[1] y) { a = Neg(x) y = Add(a, x) }"))
    m.graph.node[0].input[0] = "y"
    with pytest.raises(planish.InvalidGraph, match="cycle"):
        planish.InferenceSession(m)


def test_an_unknown_operator(bytes_of):
    data = bytes_of("g (float[1] x) => (float[1] y) { [n1] y = NoSuchOp(x) }")
    for kind in (planish.NotImplemented, NotImplementedError):
        with pytest.raises(kind) as e:
            planish.InferenceSession(data)
    assert (e.value.node, e.value.op) == ("n1", "NoSuchOp")
    assert e.value.status == "PLN_E_UNSUPPORTED" and "NoSuchOp" in str(e.value)


def test_a_bad_index_at_run_time(session_of):
    s = session_of("g (float[3] x, int64[1] i) => (float[1] y) { [pick] y = Gather(x, i) }")
    with pytest.raises(planish.RuntimeException) as e:
        s.run(None, {"x": np.zeros(3, np.float32), "i": np.array([7])})
    assert (e.value.status, e.value.node, e.value.op) == ("PLN_E_RUN", "pick", "Gather")
    assert isinstance(e.value, planish.Fail) and e.value.exit_code == 5
    # and the session still works
    assert s.run(None, {"x": np.ones(3, np.float32), "i": np.array([2])})[0] == 1


def test_a_wrong_input_names_it(session_of):
    s = session_of("g (float[3] x) => (float[3] y) { y = Neg(x) }")
    with pytest.raises(planish.InvalidInput) as e:
        s.run(None, {"x": np.zeros(4, np.float32)})
    assert e.value.tensor == "x" and isinstance(e.value, planish.InvalidArgument)
    assert isinstance(e.value, ValueError)


def test_every_status_has_its_class():
    names = {quick_name(k) for k in range(1, 10)}
    assert names == set(errors._CLASSES)


def quick_name(k):
    return errors.quick.pln_status_name(k).decode()


@pytest.mark.parametrize("name", [
    "Fail", "InvalidArgument", "NoSuchFile", "NoModel", "EngineError", "RuntimeException",
    "InvalidProtobuf", "NotImplemented", "InvalidGraph", "EPFail", "NotFound"])
def test_names_of_onnx_runtime(name):
    assert issubclass(getattr(planish, name), planish.PlanishError)


def test_errors_of_threads_do_not_mix(session_of):
    import threading
    s = session_of("g (float[3] x, int64[1] i) => (float[1] y) { y = Gather(x, i) }")
    faults = []

    def work(k):
        for _ in range(100):
            try:
                s.run(None, {"x": np.zeros(3, np.float32), "i": np.array([100 + k])})
                faults.append("no error")
            except planish.RuntimeException as e:
                if str(100 + k) not in str(e):
                    faults.append(str(e))
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert faults == []


def run_python(code, **env):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "PYTHONPATH": ROOT, **env})


def test_a_library_that_is_not_there():
    done = run_python("import planish", PLANISH_LIBRARY="/nowhere/libplanish.so")
    assert done.returncode and "libplanish was not found" in done.stderr
    assert "/nowhere/libplanish.so" in done.stderr and "PLANISH_LIBRARY" in done.stderr


def test_a_library_that_is_another():
    done = run_python("import planish", PLANISH_LIBRARY="libm.so.6")
    assert done.returncode and "planish" in done.stderr


def test_the_library_that_is_named_is_taken():
    done = run_python("import planish; print(planish.LIBRARY_PATH)",
                      PLANISH_LIBRARY=planish.LIBRARY_PATH)
    assert done.stdout.strip() == planish.LIBRARY_PATH


def test_interpreters_end_with_everything_open():
    done = run_python(
        "import numpy as np, planish\n"
        "s = planish.InferenceSession(planish.Model.parse('<ir_version: 8, opset_import: "
        "[\"\" : 17]> g (float[3] x) => (float[3] y) { y = Neg(x) }').to_bytes())\n"
        "y = s.run(None, {'x': np.ones(3, np.float32)})[0]\n"
        "b = s.io_binding(); b.bind_cpu_input('x', y); b.bind_output('y')\n"
        "s.run_with_iobinding(b)\n"
        "v = planish.OrtValue.ortvalue_from_numpy(y); c = v.to_dlpack()\n")
    assert (done.returncode, done.stderr) == (0, "")
