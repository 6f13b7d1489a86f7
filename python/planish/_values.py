"""Run-time values: the library's to and from NumPy arrays, lists, dicts and None.
SPDX-License-Identifier: Apache-2.0

A contiguous array is borrowed, not copied; the array of a result is a view that keeps the
library's tensor alive. Strings, the items of sequences, and int4 and int2 (whose bytes
ml_dtypes writes otherwise) are copied.
"""
from __future__ import annotations

import ctypes
import itertools
from ctypes import byref, c_int64, c_size_t, c_void_p
from typing import Any, NamedTuple

import numpy as np

from . import _types
from ._library import RELEASE_FN, quick
from ._types import MAP, OPTIONAL, SEQUENCE, SPARSE, STRING, TENSOR, Type
from .errors import InvalidInput, check, error

# Arrays whose memory the library may read, by the key that it gives back with the last use.
_lent: dict[int, Any] = {}
_keys = itertools.count(1)


@RELEASE_FN
def _give_back(key, _data, pop=_lent.pop):
    pop(key, None)


def lend(owner: Any) -> int:
    """Keeps `owner` alive until the library releases this key."""
    key = next(_keys)
    _lent[key] = owner
    return key


def take_back(key: int) -> None:
    """Undoes lend() where the library did not keep the memory."""
    _lent.pop(key, None)


release_callback = _give_back


class SparseTensor(NamedTuple):
    """A sparse tensor: values, indices (linear, or a row of coordinates each), dense shape."""

    values: np.ndarray
    indices: np.ndarray
    shape: tuple[int, ...]


class Tensor:
    """A reference to a value of the library's."""

    __slots__ = ("__weakref__", "pointer")

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer

    def __del__(self, unref=quick.pln_tensor_unref) -> None:
        unref(self.pointer)

    @classmethod
    def borrowed(cls, pointer: int) -> "Tensor":
        """A reference of its own to what somebody else holds."""
        return cls(quick.pln_tensor_ref(pointer))

    @property
    def kind(self) -> int:
        return quick.pln_tensor_kind(self.pointer)

    @property
    def dtype(self) -> int:
        return quick.pln_tensor_dtype(self.pointer)

    @property
    def shape(self) -> tuple[int, ...]:
        dims = quick.pln_tensor_dims(self.pointer)
        return tuple(dims[:quick.pln_tensor_rank(self.pointer)])

    @property
    def data(self) -> int:
        return quick.pln_tensor_data(self.pointer) or 0

    @property
    def item_pointers(self) -> list[int]:
        n = quick.pln_tensor_items(self.pointer)
        return [quick.pln_tensor_item(self.pointer, i) for i in range(n)]


# ---- to the library ----------------------------------------------------------------------

def _dims(shape) -> Any:
    return (c_int64 * len(shape))(*shape)


def new_tensor(number: int, shape) -> Tensor:
    """A tensor of zeros (or empty strings)."""
    out = c_void_p()
    check(quick.pln_tensor_new(None, number, len(shape), _dims(shape), byref(out), error()))
    return Tensor(out.value or 0)


def view(array: np.ndarray, number: int, owner: Any = None) -> Tensor:
    """A tensor over the memory of a contiguous, aligned array of that type's size."""
    return view_memory(number, array.shape, array.__array_interface__["data"][0],
                       array.nbytes, array if owner is None else owner)


def view_memory(number: int, shape, address: int, size: int, owner: Any) -> Tensor:
    """A tensor over memory that `owner` keeps alive."""
    out = c_void_p()
    key = lend(owner)
    status = quick.pln_tensor_view(None, number, len(shape), _dims(shape), address, size,
                                   _give_back, key, byref(out), error())
    if status:
        take_back(key)
        check(status)
    return Tensor(out.value or 0)


def _bytes_of(item: Any) -> bytes:
    if isinstance(item, str):  # what is no UTF-8 comes and goes as lone surrogates
        return item.encode("utf-8", "surrogateescape")
    if isinstance(item, (bytes, bytearray)):
        return bytes(item)
    raise InvalidInput("a string tensor has an element of type %s" % type(item).__name__)


def _strings(array: np.ndarray) -> Tensor:
    t = new_tensor(STRING, array.shape)
    items = [_bytes_of(item) for item in array.ravel().tolist()]
    ends = np.cumsum([len(item) for item in items], dtype=np.uint64)
    check(quick.pln_tensor_put_strings(t.pointer, b"".join(items), ends.ctypes.data, error()))
    return t


def _raw_bits(array: np.ndarray, want: int) -> np.ndarray | None:
    """An array of raw bits as what is wanted: types that NumPy lacks may come so."""
    raw = _types.RAW[want]
    same = array.dtype.itemsize == raw.itemsize
    return array.view(raw) if same and array.dtype.kind in "uiV" else None


def _as_array(value: Any, want: int) -> np.ndarray:
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        from . import _dlpack
        return _dlpack.to_numpy(value)
    if hasattr(value, "__array__"):
        return np.asarray(value)
    # numbers and lists have no type of their own: they take the input's
    return np.asarray(value, dtype=_types.numpy_dtype(want) if want else None)


def tensor_of(value: Any, want: int = 0) -> Tensor:
    """A dense tensor of an array, or of what can be one; `want` is the type it shall have
    where that leaves a choice. Types are never converted."""
    array = _as_array(value, want)
    number = _types.number_of(array.dtype)
    if want > 15 and number != want:  # those that NumPy has no type for
        bits = _raw_bits(array, want)
        if bits is not None:
            array, number = bits, want
    if number == 0:
        raise InvalidInput("an array of type %s is no ONNX tensor" % array.dtype)
    if number == STRING:
        return _strings(array)
    if number in _types.NARROW_SIGNED and array.dtype != np.int8:
        array = array.astype(np.int8)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not (array.flags.c_contiguous and array.flags.aligned):
        array = np.array(array, order="C")
    return view(array, number)


def _container(kind: int, items) -> Tensor:
    out = c_void_p()
    check(quick.pln_tensor_new_container(None, kind, byref(out), error()))
    t = Tensor(out.value or 0)
    for item in items:
        check(quick.pln_tensor_append(t.pointer, item.pointer, error()))
    return t


def _map(value: dict, t: Type) -> Tensor:
    elem = t.elem or _types.UNKNOWN
    values = list(value.values())
    if elem.kind == TENSOR:
        packed = tensor_of(np.array(values, dtype=_types.numpy_dtype(elem.dtype or 1)
                                    if elem.dtype != STRING else object), elem.dtype)
    else:
        packed = _container(SEQUENCE, [value_of(v, elem) for v in values])
    keys = np.array(list(value), dtype=object if t.dtype == STRING else
                    _types.numpy_dtype(t.dtype or 7))
    return _container(MAP, [tensor_of(keys), packed])


def _message(field: int, payload: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    return _varint(field << 3 | 2) + _varint(len(payload)) + payload


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _sparse(value: Any, want: int) -> Tensor:
    parts = (tensor_of(value.values, want), tensor_of(np.asarray(value.indices, np.int64)))
    message = b"".join(_message(k + 1, serialize(t)) for k, t in enumerate(parts))
    message += _message(3, b"".join(_varint(int(d)) for d in value.shape))
    return parse_message(SPARSE, message)


def value_of(value: Any, t: Type = _types.UNKNOWN) -> Tensor:
    """The library's value of a Python one that shall have type t."""
    if type(value) is np.ndarray and t.kind in (0, TENSOR):
        return tensor_of(value, t.dtype)
    own = getattr(value, "_tensor", None)  # an OrtValue
    if isinstance(own, Tensor):
        return own
    if t.kind == OPTIONAL:
        return _container(OPTIONAL, [] if value is None else [value_of(value, t.elem or _types.UNKNOWN)])
    if t.kind == SEQUENCE or (t.kind == 0 and isinstance(value, (list, tuple)) and
                              not isinstance(value, SparseTensor)):
        if not isinstance(value, (list, tuple, np.ndarray)):
            raise InvalidInput("a sequence is wanted, not a %s" % type(value).__name__)
        elem = t.elem or Type(TENSOR)
        return _container(SEQUENCE, [value_of(v, elem) for v in value])
    if t.kind == MAP or (t.kind == 0 and isinstance(value, dict)):
        if not isinstance(value, dict):
            raise InvalidInput("a map is wanted, not a %s" % type(value).__name__)
        return _map(value, t)
    if t.kind == SPARSE or isinstance(value, SparseTensor):
        return _sparse(value, t.dtype)
    if value is None:
        raise InvalidInput("None is no tensor")
    return tensor_of(value, t.dtype)


# ---- from the library --------------------------------------------------------------------

class _Memory:
    """The memory of a tensor, which lives as long as an array needs it."""

    __slots__ = ("__array_interface__", "tensor")

    def __init__(self, tensor: Tensor, address: int, shape, raw: np.dtype) -> None:
        self.tensor = tensor
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": raw.str,
                                    "data": (address, False)}


def _list_strings(pointer: int) -> list[str]:
    count = quick.pln_tensor_count(pointer)
    ends = np.empty(count, dtype=np.uint64)
    data = c_void_p()
    check(quick.pln_tensor_get_strings(pointer, byref(data), ends.ctypes.data, error()))
    try:
        text = ctypes.string_at(data, int(ends[-1])) if count else b""
    finally:
        quick.pln_free(None, data)
    stops = ends.tolist()
    starts = [0, *stops[:-1]]
    if text.isascii():  # bytes are characters
        line = text.decode("ascii")
        return [line[a:b] for a, b in zip(starts, stops)]
    return [text[a:b].decode("utf-8", "surrogateescape") for a, b in zip(starts, stops)]


def _read_strings(t: Tensor, shape) -> np.ndarray:
    out = np.empty(shape, dtype=object)
    out.reshape(-1)[:] = _list_strings(t.pointer)
    return out


def array_of(t: Tensor) -> np.ndarray:
    """A view of a dense tensor (strings: a copy)."""
    number, shape = t.dtype, t.shape
    if number == STRING:
        return _read_strings(t, shape)
    raw, address = _types.RAW[number], t.data
    if not address or 0 in shape:
        return np.empty(shape, dtype=_types.numpy_dtype(number))
    array = np.asarray(_Memory(t, address, shape, raw))
    if number <= 15:
        return array
    dtype = _types.numpy_dtype(number)
    if number in _types.NARROW_SIGNED:
        return array if dtype == raw else array.astype(dtype)
    return array.view(dtype)


def _owned(t: Tensor) -> np.ndarray:
    return np.array(array_of(t))


_C_NUMBERS = {1: ctypes.c_float, 7: ctypes.c_int64, 11: ctypes.c_double, 6: ctypes.c_int32}


def _list_of(pointer: int) -> list:
    """The elements of a dense tensor, as Python numbers and texts."""
    number = quick.pln_tensor_dtype(pointer)
    if number == STRING:
        return _list_strings(pointer)
    kind, address = _C_NUMBERS.get(number), quick.pln_tensor_data(pointer)
    if kind is None or not address:
        return array_of(Tensor.borrowed(pointer)).ravel().tolist()
    return (kind * quick.pln_tensor_count(pointer)).from_address(address)[:]


def _read_map(pointer: int, keys: dict[int, list]) -> dict:
    """`keys` remembers those that were read: the maps of a sequence often share them."""
    at, values = (quick.pln_tensor_item(pointer, i) for i in (0, 1))
    if at not in keys:
        keys[at] = _list_of(at)
    if quick.pln_tensor_kind(values) == TENSOR:
        return dict(zip(keys[at], _list_of(values)))
    return dict(zip(keys[at], python_of(Tensor.borrowed(values))))


def _read_sequence(t: Tensor) -> list:
    keys: dict[int, list] = {}
    found: list[Any] = []
    for pointer in t.item_pointers:
        kind = quick.pln_tensor_kind(pointer)
        if kind == MAP:
            found.append(_read_map(pointer, keys))
        else:
            item = Tensor.borrowed(pointer)
            found.append(_owned(item) if kind == TENSOR else python_of(item))
    return found


def python_of(t: Tensor) -> Any:
    """An array, list, dict, SparseTensor or None. Items of containers are copies: the
    library shares them with whoever else has them."""
    kind = t.kind
    if kind == TENSOR:
        return array_of(t)
    if kind == MAP:
        return _read_map(t.pointer, {})
    if kind == SEQUENCE:
        return _read_sequence(t)
    if kind in (OPTIONAL, SPARSE):
        values = _read_sequence(t)
        if kind == SPARSE:
            return SparseTensor(values[0], values[1], t.shape)
        return values[0] if values else None
    return None


def type_of(t: Tensor) -> Type:
    """The type of a value, as far as the value tells it."""
    kind = t.kind
    if kind in (TENSOR, SPARSE):
        number = t.dtype
        if kind == SPARSE:
            number = Tensor.borrowed(t.item_pointers[0]).dtype
        return Type(kind, number)
    items = [Tensor.borrowed(p) for p in t.item_pointers[:2]]
    if kind == MAP:
        value = type_of(items[1])
        return Type(MAP, items[0].dtype, value.elem if value.kind == SEQUENCE else value)
    return Type(kind, 0, type_of(items[0]) if items else _types.UNKNOWN)


# ---- messages ----------------------------------------------------------------------------

def parse_message(kind: int, message: bytes) -> Tensor:
    """Reads a TensorProto, SequenceProto, OptionalProto, ..."""
    from ._library import lib
    out = c_void_p()
    check(lib.pln_tensor_parse(None, kind, message, len(message), byref(out), error()))
    return Tensor(out.value or 0)


def serialize(t: Tensor) -> bytes:
    """Writes the message that parse_message reads."""
    from ._library import lib
    data, size = c_void_p(), c_size_t()
    check(lib.pln_tensor_serialize(None, t.pointer, None, byref(data), byref(size), error()))
    try:
        return ctypes.string_at(data, size.value)
    finally:
        quick.pln_free(None, data)
