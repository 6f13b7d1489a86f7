"""OrtValue: a value that stays the library's, to be bound, shared and looked at.
SPDX-License-Identifier: Apache-2.0
"""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from . import _dlpack, _types, _values
from .errors import InvalidArgument

__all__ = ["OrtDevice", "OrtValue"]


def check_device(device_type: str, device_id: int = 0) -> None:
    """Values live in the processor's memory; anything else is refused."""
    if str(device_type).lower() != "cpu" or device_id:
        raise InvalidArgument("there is no device %s:%s, only cpu:0"
                              % (device_type, device_id))


class OrtDevice:
    """A place for memory; there is one."""

    def __init__(self, device_type: str = "cpu", device_id: int = 0) -> None:
        check_device(device_type, device_id)

    @staticmethod
    def make(ort_device_name: str, device_id: int = 0, vendor_id: int = -1) -> "OrtDevice":
        return OrtDevice(ort_device_name, device_id)

    def device_id(self) -> int:
        return 0

    def device_type(self) -> str:
        return "cpu"


class OrtValue:
    """A tensor, sequence, map or optional that both sides can hold without copies."""

    def __init__(self, tensor: "_values.Tensor") -> None:
        self._tensor = tensor

    # ---- making one

    @staticmethod
    def ortvalue_from_numpy(numpy_obj: np.ndarray, device_type: str = "cpu",
                            device_id: int = 0) -> "OrtValue":
        """A value over the array's memory, which it keeps alive."""
        check_device(device_type, device_id)
        return OrtValue(_values.tensor_of(numpy_obj))

    @classmethod
    def ortvalue_from_numpy_with_onnx_type(cls, data: np.ndarray, /,
                                           onnx_element_type: int) -> "OrtValue":
        """The same, for raw bits of a type that NumPy does not have."""
        value = cls(_values.tensor_of(data, int(onnx_element_type)))
        if value.element_type() != onnx_element_type:
            raise InvalidArgument("%s is no array of %s" % (
                data.dtype, _types.NAMES.get(onnx_element_type, onnx_element_type)))
        return value

    @staticmethod
    def ortvalue_from_shape_and_type(shape: Sequence[int], element_type: Any = np.float32,
                                     device_type: str = "cpu", device_id: int = 0,
                                     vendor_id: int = -1) -> "OrtValue":
        """A tensor of zeros; element_type is NumPy's type, ONNX's number or a name."""
        check_device(device_type, device_id)
        return OrtValue(_values.new_tensor(_types.number_of_any(element_type), tuple(shape)))

    @classmethod
    def from_dlpack(cls, data: Any, /) -> "OrtValue":
        """Over the memory of an object with __dlpack__, or of a capsule."""
        return cls(_dlpack.from_any(data))

    # ---- what it is

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self._tensor.data

    def device_name(self) -> str:
        return "cpu"

    def shape(self) -> list[int]:
        return list(self._tensor.shape) if self.is_tensor() else []

    def data_type(self) -> str:
        """As in "tensor(float)"."""
        return _types.spell(_values.type_of(self._tensor))

    def element_type(self) -> int:
        """ONNX's number of the element type."""
        return self._tensor.dtype

    def tensor_size_in_bytes(self) -> int:
        n = int(np.prod(self._tensor.shape, dtype=np.int64))
        return n * _types.RAW[self._tensor.dtype].itemsize

    def has_value(self) -> bool:
        """Whether an optional holds something; others always do."""
        return self._tensor.kind != _types.OPTIONAL or bool(self._tensor.item_pointers)

    def is_tensor(self) -> bool:
        return self._tensor.kind == _types.TENSOR

    def is_sparse_tensor(self) -> bool:
        return self._tensor.kind == _types.SPARSE

    def is_tensor_sequence(self) -> bool:
        t = _values.type_of(self._tensor)
        return t.kind == _types.SEQUENCE and (t.elem or _types.UNKNOWN).kind in (
            0, _types.TENSOR)

    # ---- what is in it

    def numpy(self) -> np.ndarray:
        """A view of the tensor's memory (strings: a copy)."""
        if not self.is_tensor():
            raise InvalidArgument("a %s is no tensor" % self.data_type())
        return _values.array_of(self._tensor)

    def to_python(self) -> Any:
        """An array, list, dict or None."""
        return _values.python_of(self._tensor)

    def update_inplace(self, np_arr: np.ndarray) -> None:
        """Writes the elements of an array of the same type and shape."""
        array = self.numpy()
        if array.dtype != np_arr.dtype or array.shape != np_arr.shape:
            raise InvalidArgument("%s%s does not fit into %s%s" % (
                np_arr.dtype, list(np_arr.shape), array.dtype, list(array.shape)))
        if self._tensor.dtype == _types.STRING:
            raise InvalidArgument("strings can't be written in place")
        if self._tensor.dtype in _types.NARROW_SIGNED:
            raw = np.asarray(_values._Memory(self._tensor, self.data_ptr(), array.shape,
                                             np.dtype(np.int8)))
            raw[...] = np_arr.astype(np.int8)
        else:
            array[...] = np_arr

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError("a conversion needs a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None) -> Any:
        return _dlpack.export(self._tensor)

    def to_dlpack(self) -> Any:
        return _dlpack.export(self._tensor)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (_dlpack.CPU, 0)

    def __repr__(self) -> str:
        return "OrtValue(%s, shape=%s)" % (self.data_type(), self.shape())
