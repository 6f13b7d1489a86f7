"""Planish: read, rewrite and run ONNX models.
SPDX-License-Identifier: Apache-2.0

    import planish
    session = planish.InferenceSession("model.onnx")
    outputs = session.run(None, {"x": array})

The interface of sessions is that of ONNX Runtime, so that `import planish as ort` is often all
that a program needs to try it. planish.optimize, quantize, compare, check and info work on
paths, bytes and onnx.ModelProto.
"""
from __future__ import annotations

from typing import Any, Mapping

from . import errors
from ._library import LIBRARY_PATH, quick as _quick
from ._values import SparseTensor
from .errors import (
    Cancelled, EPFail, EngineError, Fail, FileError, InvalidArgument, InvalidGraph,
    InvalidInput, InvalidProtobuf, LimitExceeded, NoModel, NoSuchFile, NotFound,
    NotImplemented, OutOfMemory, PlanishError, ResultsDiffer, RuntimeException,
)
from .iobinding import IOBinding
from .model import Model, NodeArg
from .options import (
    PROVIDERS as _PROVIDERS, ExecutionMode, ExecutionOrder, GraphOptimizationLevel,
    RunOptions, SessionOptions, set_default_logger_severity, set_seed,
)
from .ortvalue import OrtDevice, OrtValue
from .pipeline import check, compare, convert, info, optimize, quantize
from .session import InferenceSession, ModelMetadata

__all__ = [
    "Cancelled", "EPFail", "EngineError", "ExecutionMode", "ExecutionOrder", "Fail",
    "FileError", "GraphOptimizationLevel", "IOBinding", "InferenceSession",
    "InvalidArgument", "InvalidGraph", "InvalidInput", "InvalidProtobuf",
    "LIBRARY_PATH", "LimitExceeded", "Model", "ModelMetadata", "NoModel", "NoSuchFile",
    "NodeArg", "NotFound", "NotImplemented", "OrtDevice", "OrtValue", "OutOfMemory",
    "PlanishError", "ResultsDiffer", "RunOptions", "RuntimeException", "SessionOptions",
    "SparseTensor", "check", "compare", "convert", "errors", "get_all_providers",
    "get_available_providers", "get_build_info", "get_device", "get_version_string",
    "info", "optimize", "quantize", "run", "set_default_logger_severity", "set_seed",
]

__version__: str = _quick.pln_version_string().decode()


def get_version_string() -> str:
    """The library's version."""
    return __version__


def get_build_info() -> str:
    """Version, instruction set and place of the library."""
    return "Planish %s, kernels for %s, %s" % (
        __version__, _quick.pln_cpu_name().decode(), LIBRARY_PATH)


def get_device() -> str:
    return "CPU"


def get_available_providers() -> list[str]:
    """ONNX Runtime's name for running on the processor."""
    return ["CPUExecutionProvider"]


def get_all_providers() -> list[str]:
    return list(_PROVIDERS)


def run(model: Any, feeds: Mapping[str, Any], outputs: Any = None,
        **session: Any) -> dict[str, Any]:
    """Runs a model (path, bytes, ModelProto or Model) once: the outputs by name.

    Options of the session may be given by name, as in intra_op_num_threads=1."""
    options = SessionOptions()
    for name, value in session.items():
        if not hasattr(options, name):
            raise TypeError("SessionOptions has no %r" % name)
        setattr(options, name, value)
    s = InferenceSession(model, options)
    names = list(outputs) if outputs else [o.name for o in s.get_outputs()]
    return dict(zip(names, s.run(names, feeds)))
