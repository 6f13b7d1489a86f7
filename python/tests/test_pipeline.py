"""optimize, quantize, compare, check, info: for paths, bytes and ModelProtos.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
import pytest

import planish
from planish import comparing

MLP = """g (float[N, 8] x) => (float[N, 8] y) <float[8, 8] w = {%s}, float[8] b = {%s}> {
    a = MatMul(x, w) c = Add(a, b) d = Identity(c) e = Relu(d) f = MatMul(e, w)
    unused = Neg(x) y = Softmax(f) }""" % (
        ", ".join("%.3f" % (np.sin(3 * k)) for k in range(64)), ", ".join(["0.25"] * 8))


@pytest.fixture
def data(bytes_of):
    return bytes_of(MLP)


def nodes(model):
    return planish.info(model)["nodes"]


def test_bytes_in_bytes_out(data):
    model, report = planish.optimize(data)
    assert isinstance(model, bytes) and nodes(model) < nodes(data)
    assert report["before"] and report["after"] and isinstance(report["passes"], list)
    assert planish.compare(data, model)["same"]


def test_proto_in_proto_out(data):
    onnx = pytest.importorskip("onnx")
    proto = onnx.ModelProto.FromString(data)
    before = proto.SerializeToString()
    model, _ = planish.optimize(proto, level=3, verify=2)
    assert isinstance(model, onnx.ModelProto) and proto.SerializeToString() == before
    onnx.checker.check_model(model)


def test_path_in_path_out(data, tmp_path):
    source, target = tmp_path / "a.onnx", tmp_path / "b.onnx"
    source.write_bytes(data)
    with pytest.raises(planish.InvalidArgument, match="output"):
        planish.optimize(source)
    model, _ = planish.optimize(source, target, external_data=None)
    assert model == target and nodes(target) < nodes(source)
    assert source.read_bytes() == data


def test_a_model_stays_as_it_is(data):
    m = planish.Model(data)
    result = planish.optimize(m, stamp=False)
    assert isinstance(result.model, planish.Model) and nodes(m) == nodes(data)
    assert "planish" not in str(result.model.header()["metadata"])


def test_options_of_optimize(data):
    fixed, _ = planish.optimize(data, dims={"N": 4})
    assert planish.Model(fixed).inputs()[0].shape == [4, 8]
    some, report = planish.optimize(data, passes="dce")
    assert nodes(data) - nodes(some) == 1
    with pytest.raises(planish.InvalidArgument, match="target"):
        planish.optimize(data, target="moon")
    with pytest.raises(planish.InvalidArgument):
        planish.optimize(data, passes="no-such-pass")
    with pytest.raises(planish.InvalidArgument):
        planish.optimize(data, level=9)


def test_rewrites_are_checked_and_told(data):
    model, report = planish.optimize(data, level=3, target="planish", stats=True,
                                     verify_each="rewrite", explain="fuse-matmul")
    assert isinstance(report["rules"], list) and "explain" in report
    with pytest.raises(planish.InvalidArgument, match="verify_each"):
        planish.optimize(data, verify_each="sometimes")


def test_verify_notices(data, monkeypatch):
    def spoil(self, level, **options):
        self.__init__(planish.Model.parse(self.text().replace("Softmax", "LogSoftmax"))
                      .to_bytes())
        return {}
    monkeypatch.setattr(planish.Model, "optimize", spoil)
    with pytest.raises(planish.ResultsDiffer, match="'y'") as e:
        planish.optimize(data, verify=1)
    assert e.value.exit_code == 1


def opset_of(model):
    return {o["domain"]: o["version"] for o in planish.Model(model).header()["opsets"]}[""]


def test_convert(data, tmp_path):
    assert opset_of(data) == 17
    assert opset_of(planish.convert(data, opset=21, verify=1)) == 21
    part = planish.convert(data, extract=(["c"], ["e"]))
    assert [i.name for i in planish.Model(part).inputs()] == ["c"]
    assert [o.name for o in planish.Model(part).outputs()] == ["e"] and nodes(part) == 2
    head = planish.convert(data, extract=([], ["a"]))
    assert nodes(head) == 1
    renamed = planish.convert(data, tmp_path / "r.onnx", rename={"x": "pixels", "N": "rows"})
    assert planish.Model(renamed).inputs()[0][::2] == ("pixels", ["rows", 8])
    with pytest.raises(planish.InvalidArgument):
        planish.convert(data, rename={"nothing": "else"})
    with pytest.raises(planish.InvalidArgument):
        planish.convert(data, extract=([], ["a"]), verify=1)


def test_what_an_older_operator_set_lacks(bytes_of):
    new = bytes_of("g (float[2, 4] x) => (float[2, 4] y, float[2, 4] z) "
                   "{ y = Swish(x) a = Constant <value = int64 {1}> () [n] z = CumProd(x, a) }",
                   26)
    with pytest.raises(planish.NotImplemented) as e:
        planish.convert(new, opset=7)
    assert any(b["node"] == "n" and b["op"] == "CumProd" for b in e.value.blockers)


def test_copies_are_their_own(data):
    m = planish.Model(data)
    other = m.copy()
    other.set_dim("N", 3)
    assert m.inputs()[0].shape == ["N", 8] and other.inputs()[0].shape == [3, 8]
    del m
    assert planish.InferenceSession(other).run(None, {"x": np.zeros((3, 8), np.float32)})


@pytest.mark.parametrize("calibrated", [True, False])
def test_quantize(data, calibrated):
    rng = np.random.default_rng(1)
    feeds = ({"x": rng.standard_normal((4, 8)).astype(np.float32)} for _ in range(8))
    model, report = planish.quantize(data, calibration=feeds if calibrated else None)
    assert isinstance(model, bytes) and isinstance(report, dict)
    ops = planish.info(model)["ops"]
    assert ops.get("DequantizeLinear", 0) > 0
    assert bool(ops.get("QuantizeLinear", 0)) == calibrated
    x = {"x": rng.standard_normal((4, 8)).astype(np.float32)}
    found = planish.compare(data, model, x, sqnr=15)
    assert found["same"] and found["outputs"][0]["sqnr_db"] < 100


def test_calibration_that_fails(data):
    def broken():
        yield {"x": np.zeros((1, 8), np.float32)}
        raise KeyError("mine")
    with pytest.raises(KeyError, match="mine"):
        planish.quantize(data, calibration=broken())
    with pytest.raises(planish.InvalidArgument):
        planish.quantize(data, calibration=[{"q": np.zeros((1, 8), np.float32)}])
    with pytest.raises(planish.InvalidArgument):
        planish.quantize(data, calibration=[{"x": np.zeros((1, 9), np.float32)}])
    with pytest.raises(planish.InvalidArgument, match="empty"):
        planish.quantize(data, calibration=[])


def test_check(data, bytes_of):
    assert planish.check(data)["valid"]
    found = planish.check(bytes_of(
        "g (float[2] x) => (float[3] y) { [n] y = Conv(x) }"))
    assert not found["valid"]
    assert any(f["op"] == "Conv" and f["node"] == "n" for f in found["findings"])


def test_info_and_text(data):
    facts = planish.info(data)
    assert facts["ops"]["MatMul"] == 2 and facts["parameters"] == 72
    m = planish.Model(data)
    again = planish.Model.parse(m.text())
    assert again.to_bytes() == m.to_bytes()
    assert "y" in m.value_names() and m.header()["graph_name"] == "g"
    assert [o.name for o in m.outputs()] == ["y"]


def test_compare_models_that_differ(data, bytes_of):
    other = bytes_of(MLP.replace("0.25", "0.26"))
    found = planish.compare(data, other)
    row = found["outputs"][0]
    assert not found["same"] and row["name"] == "y" and row["max_abs"] > 0
    assert planish.compare(data, other, rtol=1)["same"]


def test_compare_needs_inputs_it_cannot_make(bytes_of):
    text = bytes_of("g (string[1] x) => (string[1] y) { y = Identity(x) }")
    with pytest.raises(planish.InvalidArgument, match="'x'"):
        planish.compare(text, text)
    assert planish.compare(text, text, {"x": np.array(["a"])})["same"]


ROWS = [  # reference, under test, tolerance, within, part of the measures
    ([1.0, 2.0], [1.0, 2.0], {}, True, {"max_abs": 0, "cosine": 1, "sqnr_db": None}),
    ([1.0, 2.0], [1.0, 2.001], {}, True, {"max_abs": pytest.approx(0.001, rel=1e-3)}),
    ([1.0, 2.0], [1.0, 2.1], {}, False, {"max_rel": pytest.approx(0.05, rel=1e-3)}),
    ([1.0, 2.0], [1.0, 2.1], {"sqnr": 20}, True, {}),
    ([1.0, 2.0], [1.0, 2.1], {"sqnr": 40}, False, {}),
    ([np.nan, 1.0], [np.nan, 1.0], {}, True, {"max_abs": 0}),
    ([np.nan, 1.0], [0.0, 1.0], {}, False, {"max_abs": None}),
    ([np.inf], [np.inf], {}, True, {}), ([np.inf], [1e30], {}, False, {}),
    ([np.inf], [-np.inf], {}, False, {}), ([1.0], [np.inf], {}, False, {}),
    ([1000.0, 0.0], [1000.0, 5e-5], {}, True, {}),
    ([1.0, 0.0], [1.0, 5e-7], {}, False, {}),
    ([[1.0, 2.0], [3.0, 1.0]], [[2.0, 1.0], [3.0, 1.0]], {}, False, {"top1": 0.5}),
]


@pytest.mark.parametrize("a, b, tol, within, part", ROWS)
def test_measures(a, b, tol, within, part):
    found = comparing.metrics(np.array(a), np.array(b), comparing.Tolerance(**tol))
    assert found["within"] == within
    assert {k: found[k] for k in part} == part


def test_measures_of_what_is_no_float():
    def within(a, b):
        return comparing.metrics(a, b)["within"]
    assert not within(np.zeros(2), np.zeros(3)) and not within(np.zeros(2), np.zeros(2, "f4"))
    assert within(np.array(["a"], object), np.array(["a"], object))
    assert not within(np.array(["a"], object), np.array(["b"], object))
    assert within([np.zeros(2)], [np.zeros(2)]) and not within([np.zeros(2)], [])
    assert within({1: 2.0}, {1: 2.0}) and not within({1: 2.0}, {2: 2.0})
    assert within(None, None) and not within(None, np.zeros(1))
    assert not within(np.array([1 + 1j]), np.array([1 + 2j]))
    big = 2 ** 62
    exact = comparing.Tolerance(0, 0)
    assert not comparing.metrics(np.array([big]), np.array([big + 1]), exact)["within"]


def test_compare_arrays():
    found = planish.compare({"a": np.ones(2), "b": np.ones(1)}, {"a": np.ones(2)})
    assert [r["within"] for r in found["outputs"]] == [True, False]


def test_the_measures_are_those_of_the_command(data, bytes_of, tmp_path):
    import json
    import subprocess
    from planish.__main__ import find_command
    command = find_command()
    if not command:
        pytest.skip("the command is not here")
    rng = np.random.default_rng(3)
    a = {"y": rng.standard_normal((5, 7)).astype(np.float32)}
    b = {"y": a["y"] + rng.standard_normal((5, 7)).astype(np.float32) * 0.3}
    np.savez(tmp_path / "a.npz", **a)
    np.savez(tmp_path / "b.npz", **b)
    done = subprocess.run([command, "compare", str(tmp_path / "a.npz"),
                           str(tmp_path / "b.npz"), "--json", "-"], stdout=subprocess.PIPE,
                          timeout=60)
    theirs = json.loads(done.stdout)["outputs"][0]
    ours = planish.compare(a, b)["outputs"][0]
    for key in ("max_abs", "max_rel", "cosine", "sqnr_db", "top1"):
        assert ours[key] == pytest.approx(theirs[key], rel=1e-5), key
    assert ours["within"] == theirs["within"]
