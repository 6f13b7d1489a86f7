"""What the tests share: the package of this tree, and small models.
SPDX-License-Identifier: Apache-2.0
"""
import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if "PLANISH_TEST_INSTALLED" not in os.environ:
    sys.path.insert(0, os.path.join(ROOT, "python"))

import planish  # noqa: E402

HEAD = '<ir_version: 8, opset_import: ["" : %d, "ai.onnx.ml" : 3]>\n'


@pytest.fixture
def bytes_of():
    """Text of a graph to the bytes of a model."""
    def make(graph, opset=17):
        return planish.Model.parse(HEAD % opset + graph).to_bytes()
    return make


@pytest.fixture
def session_of(bytes_of):
    """Text of a graph to a session."""
    def make(graph, options=None, opset=17, **more):
        return planish.InferenceSession(bytes_of(graph, opset), options, **more)
    return make
