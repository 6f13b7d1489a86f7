"""Exceptions: one class for each status of the library, under ONNX Runtime's names.
SPDX-License-Identifier: Apache-2.0
"""
from __future__ import annotations

import os
import threading

from ._library import quick

__all__ = [
    "Cancelled", "EPFail", "EngineError", "Fail", "FileError", "InvalidArgument",
    "InvalidGraph", "InvalidInput", "InvalidProtobuf", "LimitExceeded", "ModelLoadCanceled",
    "NoModel", "NoSuchFile", "NotFound", "NotImplemented", "OutOfMemory", "PlanishError",
    "ResultsDiffer", "RuntimeException",
]


class PlanishError(RuntimeError):
    """What the library refused or failed at.

    ``str(e)`` is one line that names the place. The attributes are None where they do not
    apply: ``status`` ("PLN_E_INPUT"), ``exit_code`` (that of the command), ``node``, ``op``,
    ``tensor``, ``file``, ``offset`` (a byte in the file), and ``blockers`` of what can't be
    converted (a list of dicts).
    """

    status: str | None = None
    exit_code: int | None = None
    node: str | None = None
    op: str | None = None
    tensor: str | None = None
    file: str | None = None
    offset: int | None = None
    blockers: list | None = None


class InvalidArgument(PlanishError, ValueError):
    """The call itself is wrong (PLN_E_USAGE)."""


class InvalidInput(InvalidArgument):
    """An input has an unknown name, a wrong type or a wrong shape, or is missing
    (PLN_E_INPUT)."""


class Fail(PlanishError):
    """It failed for a reason that has no class of its own."""


class FileError(Fail):
    """A file can't be read or written (PLN_E_IO)."""


class NoSuchFile(FileError, FileNotFoundError):
    """The file is not there (PLN_E_IO)."""

    def __str__(self) -> str:  # that of OSError looks for an errno
        return str(self.args[0]) if self.args else ""


class InvalidGraph(PlanishError):
    """A model is malformed, or its graph breaks the standard (PLN_E_FORMAT)."""


class InvalidProtobuf(InvalidGraph):
    """The bytes are no model at all (PLN_E_FORMAT at an offset)."""


class NotImplemented(PlanishError, NotImplementedError):  # noqa: A001
    """An operator, type or feature can't be run here (PLN_E_UNSUPPORTED)."""


class RuntimeException(Fail):
    """It failed while running: a bad index in the data and the like (PLN_E_RUN)."""


class ResultsDiffer(Fail):
    """A rewritten model gives other results than the original."""

    exit_code = 1


class LimitExceeded(Fail):
    """A limit was reached: memory, nesting, size, time (PLN_E_LIMIT)."""


class OutOfMemory(Fail, MemoryError):
    """There is no memory (PLN_E_NOMEM)."""


class Cancelled(Fail):
    """RunOptions.terminate stopped it (PLN_E_CANCELLED)."""


# ONNX Runtime's names for what has another one here, so that `except` clauses still work.
NoModel = InvalidGraph
NotFound = NoSuchFile
EngineError = RuntimeException
EPFail = Fail
ModelLoadCanceled = Cancelled

_CLASSES = {
    "PLN_E_USAGE": InvalidArgument,
    "PLN_E_IO": FileError,
    "PLN_E_FORMAT": InvalidGraph,
    "PLN_E_INPUT": InvalidInput,
    "PLN_E_UNSUPPORTED": NotImplemented,
    "PLN_E_RUN": RuntimeException,
    "PLN_E_LIMIT": LimitExceeded,
    "PLN_E_NOMEM": OutOfMemory,
    "PLN_E_CANCELLED": Cancelled,
}


def _class_of(status: str, file: str | None, offset: int) -> type[PlanishError]:
    found = _CLASSES.get(status, Fail)
    if found is FileError and file and not os.path.exists(file):
        return NoSuchFile
    return InvalidProtobuf if found is InvalidGraph and offset >= 0 else found


class _ThreadError(threading.local):
    """The error object that a thread gives to each of its calls."""

    def __init__(self) -> None:
        self.pointer = quick.pln_error_new()

    def __del__(self, free=quick.pln_error_free) -> None:
        free(self.pointer)


_own = _ThreadError()


def error() -> int:
    """This thread's error object, for the last argument of a call."""
    return _own.pointer


def _get(pointer: int, key: bytes) -> str | None:
    value = quick.pln_error_get(pointer, key)
    return None if value is None else value.decode("utf-8", "replace")


def raise_error(status: int) -> None:
    """Raises what this thread's last call, which returned `status`, failed with."""
    pointer = error()
    name = quick.pln_status_name(status).decode()
    text = quick.pln_error_text(pointer).decode("utf-8", "replace")
    file, offset = _get(pointer, b"file"), quick.pln_error_offset(pointer)
    e = _class_of(name, file, offset)(text or name)
    e.status, e.exit_code, e.file = name, quick.pln_status_exit_code(status), file
    e.node, e.op, e.tensor = (_get(pointer, k) for k in (b"node", b"op", b"tensor"))
    e.offset = offset if offset >= 0 else None
    raise e


def check(status: int) -> None:
    """Raises unless the status is PLN_OK."""
    if status:
        raise_error(status)
