"""The Python examples of the documents run as they stand.
SPDX-License-Identifier: Apache-2.0
"""
import os
import re

import numpy as np
import pytest

import planish

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENTS = ("README.md", "docs/python.md", "python/README.md")
MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 3] x) => (float[batch, 3] y) <float[3, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}>
{ a = MatMul(x, w) b = Identity(a) y = Relu(b) }"""


def examples():
    for document in DOCUMENTS:
        with open(os.path.join(ROOT, document), encoding="utf-8") as f:
            blocks = re.findall(r"^```python\n(.*?)^```$", f.read(), re.M | re.S)
        assert blocks, "%s has no example" % document
        for k, block in enumerate(blocks):
            yield pytest.param(block, id="%s:%d" % (document, k))


@pytest.mark.parametrize("block", examples())
def test_example(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = planish.Model.parse(MODEL)
    model.save("model.onnx")
    array = np.array([[1, -2, 3]], np.float32)
    names = {"array": array, "model_bytes": model.to_bytes(), "calibration": [{"x": array}]}
    if "onnx" in re.findall(r"^import (\w+)", block, re.M):
        pytest.importorskip("onnx")
    exec(compile(block, "example", "exec"), names)
