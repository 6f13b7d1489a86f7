"""The trained models: the same facts as in ONNX Runtime, and the golden results.
SPDX-License-Identifier: Apache-2.0
"""
import os
import sys

import numpy as np
import pytest

import planish

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "oracle"))
import harness  # noqa: E402

MODELS = os.environ.get("PLANISH_TEST_MODELS", harness.MODELS)


@pytest.fixture(params=harness.models(), ids=lambda m: m["id"])
def entry(request):
    found = dict(request.param)
    found["path"] = os.path.join(MODELS, found["id"], "model.onnx")
    if not os.path.exists(found["path"]):
        pytest.skip("the model was not fetched")
    found["inputs"], found["golden"] = harness.golden(
        os.path.join(MODELS, found["id"], "io.npz"))
    return found


def same_dim(ours, theirs):
    """ONNX Runtime calls a dimension of no name "?" where the file does, and writes a number
    over a symbol where it can work it out; the file's symbol is what is told here."""
    return ours == theirs or (ours is None and theirs == "?") or (
        isinstance(ours, str) and isinstance(theirs, int))


def same_arg(ours, theirs):
    return (ours.name == theirs.name and ours.type == theirs.type and
            len(ours.shape) == len(theirs.shape) and
            all(map(same_dim, ours.shape, theirs.shape)))


def test_facts(entry):
    ort = pytest.importorskip("onnxruntime")
    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    theirs = ort.InferenceSession(entry["path"], options, providers=["CPUExecutionProvider"])
    ours = planish.InferenceSession(entry["path"])
    for function in ("get_inputs", "get_outputs", "get_overridable_initializers"):
        a, b = getattr(ours, function)(), getattr(theirs, function)()
        assert len(a) == len(b)
        for x, y in zip(a, b):
            assert same_arg(x, y), "%s, %s%s" % (x, y.type, y.shape)
    a, b = ours.get_modelmeta(), theirs.get_modelmeta()
    for key in ("producer_name", "graph_name", "domain", "description", "graph_description",
                "custom_metadata_map"):
        assert getattr(a, key) == getattr(b, key), key
    # a file without a version has the largest number there
    assert a.version == (0 if b.version == 2 ** 63 - 1 else b.version)


def test_results(entry):
    s = planish.InferenceSession(entry["path"])
    names = [o.name for o in s.get_outputs()]
    for _ in range(2):
        got = dict(zip(names, s.run(None, entry["inputs"])))
    flat = {}
    for name, value in got.items():
        if isinstance(value, list):
            flat.update(flatten(name, value))
        else:
            flat[name] = value
    harness.accept(entry["accept"], entry["golden"], {k: flat.get(k) for k in entry["golden"]})


def flatten(name, items):
    """A sequence of maps as the golden files have it."""
    found = {"%s.len" % name: np.array(len(items))}
    for i, item in enumerate(items):
        if isinstance(item, dict):
            found["%s[%d].keys" % (name, i)] = np.array(list(item))
            found["%s[%d].values" % (name, i)] = np.array(list(item.values()), np.float32)
        else:
            found["%s[%d]" % (name, i)] = item
    return found
