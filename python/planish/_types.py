"""Element types, and ONNX's way of writing types: "seq(map(int64,tensor(float)))".
SPDX-License-Identifier: Apache-2.0
"""
from __future__ import annotations

import functools
from typing import NamedTuple, Optional

import numpy as np

# Kinds of values (pln_kind).
TENSOR, SEQUENCE, OPTIONAL, MAP, SPARSE = 1, 2, 3, 4, 5
STRING = 8

#: ONNX's number of an element type: its name, NumPy's type, ml_dtypes' name for it where
#: NumPy has none, and then the type that holds its raw bits.
_TABLE = {
    1: ("float", np.float32, None),
    2: ("uint8", np.uint8, None),
    3: ("int8", np.int8, None),
    4: ("uint16", np.uint16, None),
    5: ("int16", np.int16, None),
    6: ("int32", np.int32, None),
    7: ("int64", np.int64, None),
    8: ("string", np.object_, None),
    9: ("bool", np.bool_, None),
    10: ("float16", np.float16, None),
    11: ("double", np.float64, None),
    12: ("uint32", np.uint32, None),
    13: ("uint64", np.uint64, None),
    14: ("complex64", np.complex64, None),
    15: ("complex128", np.complex128, None),
    16: ("bfloat16", np.uint16, "bfloat16"),
    17: ("float8e4m3fn", np.uint8, "float8_e4m3fn"),
    18: ("float8e4m3fnuz", np.uint8, "float8_e4m3fnuz"),
    19: ("float8e5m2", np.uint8, "float8_e5m2"),
    20: ("float8e5m2fnuz", np.uint8, "float8_e5m2fnuz"),
    21: ("uint4", np.uint8, "uint4"),
    22: ("int4", np.int8, "int4"),
    23: ("float4e2m1", np.uint8, "float4_e2m1fn"),
    24: ("float8e8m0", np.uint8, "float8_e8m0fnu"),
    25: ("uint2", np.uint8, "uint2"),
    26: ("int2", np.int8, "int2"),
    27: ("float6e2m3", np.uint8, "float6_e2m3fn"),
    28: ("float6e3m2", np.uint8, "float6_e3m2fn"),
}
NAMES = {number: row[0] for number, row in _TABLE.items()}
NUMBERS = {name: number for number, name in NAMES.items()}
#: The type that lies in memory.
RAW = {number: np.dtype(row[1]) for number, row in _TABLE.items()}
_EXTENDED = {row[2]: number for number, row in _TABLE.items() if row[2]}
_OF_NUMPY = {np.dtype(row[1]): number for number, row in _TABLE.items() if not row[2]}
#: Signed, smaller than a byte: the library extends their sign, ml_dtypes does not.
NARROW_SIGNED = frozenset((22, 26))


@functools.lru_cache(maxsize=None)
def numpy_dtype(number: int) -> np.dtype:
    """NumPy's type for an element type; ml_dtypes' where it is installed, else raw bits."""
    extended = _TABLE[number][2]
    if extended:
        try:
            import ml_dtypes
            return np.dtype(getattr(ml_dtypes, extended))
        except (ImportError, AttributeError):
            pass
    return RAW[number]


def number_of(dtype: np.dtype) -> int:
    """The element type of a NumPy type, 0 where ONNX has none."""
    number = _OF_NUMPY.get(dtype, 0)
    if number:
        return number
    if dtype.kind in "OUST":
        return STRING
    if not dtype.isnative:
        return _OF_NUMPY.get(dtype.newbyteorder("="), 0)
    return _EXTENDED.get(dtype.name, 0)


def number_of_any(element_type) -> int:
    """From a NumPy type, ONNX's number, or a name such as "float" or "tensor(float)"."""
    if isinstance(element_type, str) and element_type not in ("float", "double"):
        text = element_type
        if text.startswith("tensor("):
            text = text[7:-1]
        if text in NUMBERS:
            return NUMBERS[text]
    elif isinstance(element_type, str):
        return NUMBERS[element_type]
    if isinstance(element_type, int) and element_type in NAMES:
        return int(element_type)
    number = number_of(np.dtype(element_type))
    if not number:
        raise TypeError("%r is no element type" % (element_type,))
    return number


class Type(NamedTuple):
    """What a value is: `dtype` of a tensor, or of a map's keys; `elem` of the others."""

    kind: int
    dtype: int = 0
    elem: Optional["Type"] = None


UNKNOWN = Type(0)


@functools.lru_cache(maxsize=None)
def parse(text: str) -> Type:
    """The type that ONNX writes so; what is unknown has kind or dtype 0."""
    word, _, rest = text.partition("(")
    rest = rest[:-1]
    if word in ("tensor", "sparse_tensor"):
        return Type(TENSOR if word == "tensor" else SPARSE, NUMBERS.get(rest, 0))
    if word in ("seq", "optional"):
        return Type(SEQUENCE if word == "seq" else OPTIONAL, 0, parse(rest))
    if word == "map":
        key, _, value = rest.partition(",")
        return Type(MAP, NUMBERS.get(key, 0), parse(value.strip()))
    return UNKNOWN


def spell(t: Type) -> str:
    """The reverse of parse."""
    name = NAMES.get(t.dtype, "?")
    if t.kind == 0:
        return "?"
    if t.kind in (TENSOR, SPARSE):
        return "%s(%s)" % ("tensor" if t.kind == TENSOR else "sparse_tensor", name)
    elem = spell(t.elem or UNKNOWN)
    if t.kind == MAP:
        return "map(%s,%s)" % (name, elem)
    return "%s(%s)" % ("seq" if t.kind == SEQUENCE else "optional", elem)
