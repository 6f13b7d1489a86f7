"""DLPack: tensors to and from other array libraries, without copying.
SPDX-License-Identifier: Apache-2.0

NumPy speaks DLPack for the types that it has; what is here adds bfloat16 and the float8s, and
capsules, which NumPy does not take by themselves.
"""
from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE, POINTER, Structure, c_char_p, c_int32, c_int64, c_uint16, c_uint64, c_uint8,
    c_void_p, py_object,
)
from typing import Any

import numpy as np

from . import _types, _values

CPU = 1
_DLPACK = b"dltensor"
_USED = b"used_dltensor"


class _Device(Structure):
    _fields_ = [("type", c_int32), ("id", c_int32)]


class _DataType(Structure):
    _fields_ = [("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


class _DLTensor(Structure):
    _fields_ = [("data", c_void_p), ("device", _Device), ("ndim", c_int32),
                ("dtype", _DataType), ("shape", POINTER(c_int64)),
                ("strides", POINTER(c_int64)), ("byte_offset", c_uint64)]


class _Managed(Structure):
    pass


_DELETER = CFUNCTYPE(None, POINTER(_Managed))
_Managed._fields_ = [("tensor", _DLTensor), ("context", c_void_p), ("deleter", _DELETER)]

#: DLPack's (code, bits) of the element types: int, uint, float, bfloat, complex, bool, ...
_CODES = {
    1: (2, 32), 2: (1, 8), 3: (0, 8), 4: (1, 16), 5: (0, 16), 6: (0, 32), 7: (0, 64),
    9: (6, 8), 10: (2, 16), 11: (2, 64), 12: (1, 32), 13: (1, 64), 14: (5, 64),
    15: (5, 128), 16: (4, 16), 17: (10, 8), 18: (11, 8), 19: (12, 8), 20: (13, 8),
    24: (14, 8),
}
_NUMBERS = {code: number for number, code in _CODES.items()}

_api = ctypes.pythonapi
_capsule_new = ctypes.PYFUNCTYPE(py_object, c_void_p, c_char_p, c_void_p)(
    ("PyCapsule_New", _api))
_capsule_pointer = ctypes.PYFUNCTYPE(c_void_p, py_object, c_char_p)(
    ("PyCapsule_GetPointer", _api))
_capsule_valid = ctypes.PYFUNCTYPE(ctypes.c_int, py_object, c_char_p)(
    ("PyCapsule_IsValid", _api))
_capsule_rename = ctypes.PYFUNCTYPE(ctypes.c_int, py_object, c_char_p)(
    ("PyCapsule_SetName", _api))
# A capsule that is being destroyed has no references: it comes as an address.
_dying_valid = ctypes.PYFUNCTYPE(ctypes.c_int, c_void_p, c_char_p)(
    ("PyCapsule_IsValid", _api))
_dying_pointer = ctypes.PYFUNCTYPE(c_void_p, c_void_p, c_char_p)(
    ("PyCapsule_GetPointer", _api))

# What is exported: the struct, its arrays and the tensor, until the importer is done.
_exported: dict[int, tuple] = {}


@_DELETER
def _delete(managed, pop=_exported.pop):
    pop(ctypes.addressof(managed.contents), None)


@ctypes.PYFUNCTYPE(None, c_void_p)
def _capsule_dies(capsule):
    if _dying_valid(capsule, _DLPACK):  # nobody has taken it
        managed = ctypes.cast(_dying_pointer(capsule, _DLPACK), POINTER(_Managed))
        managed.contents.deleter(managed)


def export(tensor: "_values.Tensor") -> Any:
    """A DLPack capsule over a dense tensor."""
    if tensor.kind != _types.TENSOR or tensor.dtype not in _CODES:
        raise BufferError("DLPack has no %s" % _types.spell(_values.type_of(tensor)))
    shape = tensor.shape
    dims = (c_int64 * len(shape))(*shape)
    strides = (c_int64 * len(shape))()
    step = 1
    for i in reversed(range(len(shape))):
        strides[i] = step
        step *= shape[i]
    code, bits = _CODES[tensor.dtype]
    managed = _Managed(
        _DLTensor(tensor.data, _Device(CPU, 0), len(shape), _DataType(code, bits, 1), dims,
                  strides, 0), None, _delete)
    address = ctypes.addressof(managed)
    _exported[address] = (managed, dims, strides, tensor)
    return _capsule_new(address, _DLPACK, ctypes.cast(_capsule_dies, c_void_p))


class _Imported:
    """Memory that an exporter lent; given back with the last reference."""

    def __init__(self, managed) -> None:
        self.managed = managed

    def __del__(self) -> None:
        if self.managed.contents.deleter:
            self.managed.contents.deleter(self.managed)


def _is_contiguous(t: _DLTensor, shape) -> bool:
    step = 1
    for i in reversed(range(len(shape))):
        if t.strides and shape[i] > 1 and t.strides[i] != step:
            return False
        step *= shape[i]
    return True


def from_capsule(capsule: Any) -> "_values.Tensor":
    """A tensor over what a capsule describes, which is then used up."""
    if not _capsule_valid(capsule, _DLPACK):
        raise ValueError("this is no DLPack capsule, or it is used up")
    managed = ctypes.cast(_capsule_pointer(capsule, _DLPACK), POINTER(_Managed))
    t = managed.contents.tensor
    number = _NUMBERS.get((t.dtype.code, t.dtype.bits), 0)
    shape = tuple(t.shape[:t.ndim])
    if t.device.type != CPU:
        raise BufferError("the memory is on another device (DLPack's %d)" % t.device.type)
    if not number or t.dtype.lanes != 1:
        raise BufferError("DLPack's type (%d, %d) is no ONNX type"
                          % (t.dtype.code, t.dtype.bits))
    if not _is_contiguous(t, shape):
        raise BufferError("the tensor is not contiguous")
    _capsule_rename(capsule, _USED)
    owner = _Imported(managed)
    size = int(np.prod(shape, dtype=np.int64)) * _types.RAW[number].itemsize
    return _values.view_memory(number, shape, (t.data or 0) + t.byte_offset, size, owner)


def _capsule_of(source: Any) -> Any:
    if not hasattr(source, "__dlpack__"):
        return source
    return source.__dlpack__()


def from_any(source: Any) -> "_values.Tensor":
    """From an object with __dlpack__, or a capsule."""
    return from_capsule(_capsule_of(source))


def to_numpy(source: Any) -> np.ndarray:
    """An array over the memory of an object with __dlpack__; copied if it is not contiguous."""
    try:
        return np.from_dlpack(source)  # any strides
    except (BufferError, RuntimeError, TypeError, AttributeError):
        return _values.array_of(from_any(source))
