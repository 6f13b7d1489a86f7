"""Sessions: what they tell, how they run, whose memory results are.
SPDX-License-Identifier: Apache-2.0
"""
import io
import json
import multiprocessing
import os
import pathlib
import threading
import time

import numpy as np
import pytest

import planish

RELU = "g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }"
SCALE = """g (float[3] x, float[3] w = {1, 2, 3}) => (float[3] y) { y = Mul(x, w) }"""


def address(array):
    return array.__array_interface__["data"][0]


def test_inputs_and_outputs(session_of):
    s = session_of("""g (float[N, 3, ?, "2*N+1"] x, seq(int64[]) q, optional(float[2]) o,
                       string[] s) => (float[N, 3, ?, "2*N+1"] y, seq(int64[]) r,
                       optional(float[2]) p, string[] t)
                      { y = Relu(x) r = Identity(q) p = Identity(o) t = Identity(s) }""")
    x, q, o, t = s.get_inputs()
    assert (x.name, x.type) == ("x", "tensor(float)")
    assert x.shape == ["N", 3, None, "2*N+1"]
    assert (q.type, q.shape) == ("seq(tensor(int64))", [])
    assert (o.type, t.type) == ("optional(tensor(float))", "tensor(string)")
    assert [i.name for i in s.get_outputs()] == ["y", "r", "p", "t"]
    assert s.get_overridable_initializers() == []
    assert s.get_providers() == ["CPUExecutionProvider"]


def test_metadata(bytes_of):
    m = planish.Model(bytes_of("forge (float[1] x) => (float[1] y) { y = Neg(x) }"))
    m.set_metadata("author", "smith")
    meta = planish.InferenceSession(m).get_modelmeta()
    assert meta.graph_name == "forge" and meta.version == 0
    assert meta.custom_metadata_map == {"author": "smith"}
    assert meta.description == meta.domain == meta.graph_description == ""


def test_where_a_model_may_come_from(bytes_of, tmp_path):
    data = bytes_of(RELU)
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    onnx = pytest.importorskip("onnx")
    x = np.array([[-1, 0, 2]], np.float32)
    for source in (data, bytearray(data), memoryview(data), str(path), path,
                   onnx.load(path), planish.Model(path)):
        s = planish.InferenceSession(source)
        np.testing.assert_array_equal(s.run(None, {"x": x})[0], [[0, 0, 2]])
    with pytest.raises(planish.InvalidArgument, match="no model"):
        planish.InferenceSession(3)
    with pytest.raises(planish.InvalidArgument):
        planish.InferenceSession(io.StringIO("x"))


def test_external_data_of_bytes(bytes_of, tmp_path):
    m = planish.Model(bytes_of("g (float[64] x) => (float[64] y) <float[64] w = {%s}> "
                               "{ y = Add(x, w) }" % ", ".join(["3"] * 64)))
    m.save(tmp_path / "m.onnx", external_data="m.bin", external_threshold=16)
    assert (tmp_path / "m.bin").stat().st_size >= 256
    data = (tmp_path / "m.onnx").read_bytes()
    with pytest.raises(planish.PlanishError):
        planish.InferenceSession(data)
    o = planish.SessionOptions()
    o.add_session_config_entry("session.model_external_initializers_file_folder_path",
                               str(tmp_path))
    y = planish.InferenceSession(data, o).run(None, {"x": np.zeros(64, np.float32)})[0]
    assert (y == 3).all()


def test_names_of_outputs(session_of):
    s = session_of("g (float[2] x) => (float[2] a, float[2] b) { a = Neg(x) b = Abs(x) }")
    x = np.array([-1, 2], np.float32)
    a, b = s.run([], {"x": x})
    assert [v.tolist() for v in s.run(["b", "a", "b"], {"x": x})] == [
        b.tolist(), a.tolist(), b.tolist()]
    with pytest.raises(planish.InvalidArgument, match="no output 'c'"):
        s.run(["c"], {"x": x})


def test_defaults_can_be_replaced(session_of):
    s = session_of(SCALE)
    assert [i.name for i in s.get_inputs()] == ["x"]
    assert [i.name for i in s.get_overridable_initializers()] == ["w"]
    x = np.ones(3, np.float32)
    for _ in range(2):  # with one, without it, and again
        assert s.run(None, {"x": x})[0].tolist() == [1, 2, 3]
        assert s.run(None, {"x": x, "w": 5 * x})[0].tolist() == [5, 5, 5]


def test_initializers_can_be_given(bytes_of):
    data = bytes_of("g (float[3] x) => (float[3] y) <float[3] w = {1, 2, 3}> { y = Mul(x, w) }")
    x = np.ones(3, np.float32)
    o = planish.SessionOptions()
    o.add_initializer("w", planish.OrtValue.ortvalue_from_numpy(
        np.array([4, 5, 6], np.float32)))
    model = planish.Model(data)
    for source in (data, model):
        assert planish.InferenceSession(source, o).run(None, {"x": x})[0].tolist() == [4, 5, 6]
    assert planish.InferenceSession(model).run(None, {"x": x})[0].tolist() == [1, 2, 3]
    for name, value, why in (("v", x, "no initializer 'v'"), ("x", x, "no initializer 'x'"),
                             ("w", x.astype(np.float64), "type or shape"),
                             ("w", x[:2], "type or shape")):
        o = planish.SessionOptions()
        o.add_initializer(name, planish.OrtValue.ortvalue_from_numpy(value))
        with pytest.raises(planish.PlanishError, match=why):
            planish.InferenceSession(data, o)
    with pytest.raises(planish.InvalidArgument):
        planish.SessionOptions().add_initializer("w", x)


def test_lists_and_numbers_take_the_type_of_the_input(session_of):
    s = session_of("g (float[2] x, int64 k) => (float[2] y) "
                   "{ c = Cast <to = 1> (k) y = Mul(x, c) }")
    assert s.run(None, {"x": [1, 2], "k": 3})[0].tolist() == [3, 6]


def test_types_are_never_converted(session_of):
    s = session_of(RELU)
    with pytest.raises(planish.InvalidArgument, match="double"):
        s.run(None, {"x": np.zeros((1, 3))})
    half = session_of("g (bfloat16[2] x) => (bfloat16[2] y) { y = Neg(x) }")
    bits = np.array([0x3f80, 0x4000], np.uint16)
    y = half.run(None, {"x": bits})[0]
    assert y.view(np.uint16).tolist() == [0xbf80, 0xc000]


@pytest.mark.parametrize("feed, text", [
    ({}, "'x'"), ({"x": np.zeros((1, 3), np.float32), "z": 1}, "no input 'z'"),
    ({"x": np.zeros((1, 4), np.float32)}, "want float"),
    ({"x": np.zeros(3, np.float32)}, "want float"), ({"x": None}, "input 'x'"),
    ({"x": [np.zeros(3, np.float32), 1]}, "")])
def test_wrong_inputs(session_of, feed, text):
    with pytest.raises((planish.InvalidArgument, ValueError), match=text):
        session_of(RELU).run(None, feed)


def test_inputs_are_read_where_they_are(session_of):
    s = session_of("g (float[4] x) => (float[4] y) { y = Neg(x) }")
    x = np.arange(4, dtype=np.float32)
    binding = s.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y")
    s.run_with_iobinding(binding)
    x += 10  # the next run sees it: nothing was copied
    s.run_with_iobinding(binding)
    assert binding.get_outputs()[0].numpy().tolist() == (-x).tolist()


def test_results_are_the_callers(session_of):
    s = session_of("g (float[1000] x) => (float[1000] y) { y = Neg(x) }")
    x = np.ones(1000, np.float32)
    first = s.run(None, {"x": x})[0]
    kept = first.copy()
    assert not isinstance(first.base, np.ndarray) and first.flags.writeable
    others = [s.run(None, {"x": x * k})[0] for k in range(2, 6)]
    assert len({address(a) for a in [first, *others]}) == 5
    np.testing.assert_array_equal(first, kept)
    first[:] = 7
    np.testing.assert_array_equal(s.run(None, {"x": x})[0], kept)
    del s, others  # the array keeps its memory, and what that needs
    assert (first == 7).all()


def test_memory_of_dropped_results_is_used_again(session_of):
    s = session_of("g (float[100000] x) => (float[100000] y) { y = Neg(x) }")
    x = np.ones(100000, np.float32)
    places = set()
    for _ in range(20):
        places.add(address(s.run(None, {"x": x})[0]))
    assert len(places) <= 3


PASS_THROUGH = {
    "identity": "g (float[3] x) => (float[3] y) { y = Identity(x) }",
    "reshape": "g (float[3] x) => (float[1, 3] y) <int64[2] s = {1, 3}> "
               "{ y = Reshape(x, s) }",
    "itself": "g (float[3] x) => (float[3] x) { }",
    "constant": "g (float[3] x) => (float[3] y) <float[3] w = {1, 2, 3}> "
                "{ y = Identity(w) }",
    "initializer": "g (float[3] x) => (float[3] w) <float[3] w = {1, 2, 3}> { }",
    "from a sequence": "g (float[3] x) => (float[3] y) <int64 i = {0}> "
                       "{ q = SequenceConstruct(x) y = SequenceAt(q, i) }",
    "of a branch": "g (float[3] x) => (float[3] y) { c = Constant <value = bool {1}> () "
                   "d = Neg(x) y = If (c) <then_branch = t () => (float[3] a) "
                   "{ a = Identity(x) }, else_branch = e () => (float[3] b) "
                   "{ b = Identity(d) }> }",
    "of a shape": "g (float[3] x) => (int64[1] y) { y = Shape(x) }",
    "twice": "g (float[3] x) => (float[3] a, float[3] b) { a = Neg(x) b = Identity(a) }",
}


@pytest.mark.parametrize("name", PASS_THROUGH)
def test_writing_to_a_result_changes_nothing_else(bytes_of, name):
    s = planish.InferenceSession(bytes_of(PASS_THROUGH[name]))
    x = np.array([1, 2, 3], np.float32)
    want = [np.array(v) for v in s.run(None, {"x": x})]
    got = s.run(None, {"x": x})
    got[0][...] = 9
    assert x.tolist() == [1, 2, 3], "the input was written"
    for other, w in zip(got[1:], want[1:]):
        np.testing.assert_array_equal(other, w)
    again = s.run(None, {"x": x})
    for a, w in zip(again, want):
        np.testing.assert_array_equal(a, w)


def test_sequences_and_maps(session_of):
    s = session_of("g (seq(float[]) q, int64 i) => (float[] y, seq(float[]) r) "
                   "{ y = SequenceAt(q, i) r = SequenceErase(q, i) }")
    items = [np.full(k + 1, k, np.float32) for k in range(3)]
    y, r = s.run(None, {"q": items, "i": 1})
    assert y.tolist() == [1, 1] and [v.size for v in r] == [1, 3]
    y[:] = 5
    r[0][:] = 5
    assert items[1].tolist() == [1, 1] and items[0].tolist() == [0]
    zipmap = session_of("g (float[N, 2] x) => (seq(map(string, float)) z) "
                        "{ z = ai.onnx.ml.ZipMap <classlabels_strings = [\"a\", \"b\"]> (x) }")
    assert zipmap.get_outputs()[0].type == "seq(map(string,tensor(float)))"
    got = zipmap.run(None, {"x": np.array([[1, 2], [3, 4]], np.float32)})[0]
    assert got == [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]


def test_optionals(session_of):
    s = session_of("g (optional(float[2]) o) => (bool h) { h = OptionalHasElement(o) }",
                   opset=18)
    assert not s.run(None, {"o": None})[0]
    assert s.run(None, {"o": np.zeros(2, np.float32)})[0]


def test_one_session_in_many_threads(session_of):
    s = session_of("g (float[N, 64] x) => (float[N, 64] y) "
                   "{ a = Sin(x) b = MatMul(a, t) y = Softmax(b) t = Transpose(a) }"
                   if False else
                   "g (float[64, 64] x) => (float[64, 64] y) "
                   "{ a = Sin(x) t = Transpose(a) b = MatMul(a, t) y = Softmax(b) }")
    inputs = [np.random.default_rng(k).standard_normal((64, 64)).astype(np.float32)
              for k in range(4)]
    want = [s.run(None, {"x": x})[0].copy() for x in inputs]
    faults = []

    def work(k):
        for _ in range(50):
            if not np.array_equal(s.run(None, {"x": inputs[k]})[0], want[k]):
                faults.append(k)
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not faults


def test_processes_that_fork(session_of):
    s = session_of("g (float[256, 256] x) => (float[256, 256] y) "
                   "{ a = Sin(x) y = MatMul(a, a) }")
    x = np.ones((256, 256), np.float32)
    want = s.run(None, {"x": x})[0]
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=lambda: results.put(s.run(None, {"x": x})[0].sum()))
    child.start()
    assert results.get(timeout=30) == want.sum()
    child.join(30)
    assert child.exitcode == 0


SLOW = """g (float[256, 256] x, int64 n) => (float[256, 256] y) {
    t = Constant <value = bool {1}> ()
    y = Loop (n, t, x) <body = b (int64 i, bool c, float[256, 256] v)
        => (bool d, float[256, 256] w) { d = Identity(c) m = MatMul(v, v) w = Sin(m) }> }"""


def test_the_interpreter_runs_on_meanwhile(session_of):
    s = session_of(SLOW)
    x = np.full((256, 256), 0.001, np.float32)
    done, ticks = threading.Event(), 0
    t = threading.Thread(target=lambda: (s.run(None, {"x": x, "n": 300}), done.set()))
    t.start()
    while not done.is_set():
        time.sleep(0.001)
        ticks += 1
    t.join()
    assert ticks > 5


def test_terminate_and_deadline(session_of):
    s = session_of(SLOW)
    feed = {"x": np.full((256, 256), 0.001, np.float32), "n": 10 ** 7}
    o = planish.RunOptions()
    threading.Timer(0.2, lambda: setattr(o, "terminate", True)).start()
    with pytest.raises(planish.Cancelled) as e:
        s.run(None, feed, o)
    assert e.value.status == "PLN_E_CANCELLED" and e.value.exit_code == 6
    with pytest.raises(planish.Cancelled):
        s.run(None, feed, o)  # until it is unset
    o.terminate = False
    o.deadline_ms = 100
    with pytest.raises(planish.LimitExceeded):
        s.run(None, feed, o)
    feed["n"] = 1
    o.deadline_ms = 0
    assert s.run(None, feed, o)[0].shape == (256, 256)


def test_run_async(session_of):
    s, done, seen = session_of(RELU), threading.Event(), []

    def callback(results, data, text):
        seen.append((results, data, text))
        done.set()
    s.run_async(None, {"x": np.ones((1, 3), np.float32)}, callback, "mine")
    assert done.wait(10)
    assert seen[0][0][0].tolist() == [[1, 1, 1]] and seen[0][1:] == ("mine", "")
    done.clear()
    s.run_async(None, {}, callback, None)
    assert done.wait(10) and "missing" in seen[1][2]


def test_levels_of_optimization(bytes_of, tmp_path):
    data = bytes_of("g (float[2, 4] x) => (float[2, 4] y) <float[4, 4] w = {%s}, float[4] b = "
                    "{1, 1, 1, 1}> { a = MatMul(x, w) c = Add(a, b) d = Identity(c) "
                    "y = Relu(d) }" % ", ".join(["0.5"] * 16))
    x = np.ones((2, 4), np.float32)
    counts = {}
    for level in planish.GraphOptimizationLevel:
        o = planish.SessionOptions()
        o.graph_optimization_level = level
        o.optimized_model_filepath = str(tmp_path / "o.onnx")
        s = planish.InferenceSession(data, o)
        np.testing.assert_allclose(s.run(None, {"x": x})[0], 3)
        counts[level.name] = planish.info(str(tmp_path / "o.onnx"))["nodes"]
        again = planish.InferenceSession(str(tmp_path / "o.onnx"))
        np.testing.assert_allclose(again.run(None, {"x": x})[0], 3)
    assert counts["ORT_DISABLE_ALL"] == 4 and counts["ORT_ENABLE_BASIC"] == 3
    assert counts["ORT_ENABLE_ALL"] < 3


def test_options(session_of, capfd):
    o = planish.SessionOptions()
    o.intra_op_num_threads = 1
    o.inter_op_num_threads = 1
    o.execution_mode = planish.ExecutionMode.ORT_SEQUENTIAL
    o.log_severity_level = 0
    o.add_session_config_entry("session.intra_op.allow_spinning", "0")
    o.add_session_config_entry("planish.device", "ref")
    assert o.get_session_config_entry("planish.device") == "ref"
    with pytest.raises(planish.InvalidArgument):
        o.get_session_config_entry("nothing")
    for misspelt in (o, planish.RunOptions()):
        with pytest.raises(AttributeError):
            misspelt.intra_op_threads = 1
    o.add_free_dimension_override_by_name("N", 2)
    s = session_of(RELU, o)
    assert s.threads == 1 and s.get_inputs()[0].shape == [2, 3]
    with pytest.raises(planish.InvalidArgument):
        s.run(None, {"x": np.zeros((1, 3), np.float32)})
    with pytest.raises(planish.InvalidArgument, match="device"):
        session_of(RELU, providers=[("CPUExecutionProvider", {"device": "moon"})])


def test_providers(session_of):
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        s = session_of(RELU, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    assert s.get_providers() == ["CPUExecutionProvider"]
    s.set_providers(["CPUExecutionProvider"])
    assert planish.get_available_providers() == ["CPUExecutionProvider"]


def test_seed(session_of):
    def numbers(seed):
        o = planish.SessionOptions()
        o.add_session_config_entry("planish.seed", str(seed))
        return session_of("g () => (float[50] y) { y = RandomUniform <shape = [50]> () }",
                          o).run(None, {})[0]
    assert (numbers(1) == numbers(1)).all() and (numbers(1) != numbers(2)).any()


def test_profiling(session_of, tmp_path):
    o = planish.SessionOptions()
    o.enable_profiling = True
    o.profile_file_prefix = str(tmp_path / "times")
    s = session_of(RELU, o)
    for _ in range(2):
        s.run(None, {"x": np.ones((1, 3), np.float32)})
    path = s.end_profiling()
    assert pathlib.Path(path).parent == tmp_path and s.get_profiling_start_time_ns() == 0
    events = json.load(open(path))
    assert sum(e["name"] == "model_run" for e in events) == 2
    assert sum(e.get("args", {}).get("op") == "Relu" for e in events) == 2
    assert s.end_profiling() == ""


def test_helper_and_build_info(bytes_of):
    got = planish.run(bytes_of(RELU), {"x": np.ones((1, 3), np.float32)},
                      intra_op_num_threads=1)
    assert list(got) == ["y"] and got["y"].shape == (1, 3)
    with pytest.raises(TypeError):
        planish.run(bytes_of(RELU), {}, no_such_option=1)
    assert planish.__version__ in planish.get_build_info()
    assert os.path.basename(planish.LIBRARY_PATH).startswith("libplanish")
