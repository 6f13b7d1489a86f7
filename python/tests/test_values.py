"""Values of every type, both ways, and who owns their memory.
SPDX-License-Identifier: Apache-2.0
"""
import gc

import numpy as np
import pytest

import planish
from planish import _types, _values

PLAIN = ["float", "uint8", "int8", "uint16", "int16", "int32", "int64", "bool", "float16",
         "double", "uint32", "uint64", "complex64", "complex128"]
EXTENDED = ["bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
            "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2", "float6e2m3",
            "float6e3m2"]


def sample(dtype):
    return np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("name", PLAIN)
def test_arrays_are_shared_both_ways(name):
    array = sample(_types.numpy_dtype(_types.NUMBERS[name]))
    t = _values.tensor_of(array)
    assert _types.NAMES[t.dtype] == name and t.shape == array.shape
    assert t.data == address(array)
    back = _values.array_of(t)
    assert back.dtype == array.dtype and address(back) == address(array)
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("name", EXTENDED)
def test_types_that_numpy_lacks(name):
    pytest.importorskip("ml_dtypes")
    number = _types.NUMBERS[name]
    array = sample(_types.numpy_dtype(number))
    if name in ("int4", "int2"):
        array[0, 1] = -1
    t = _values.tensor_of(array)
    assert t.dtype == number
    back = _values.array_of(t)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back.astype(np.float32), array.astype(np.float32))
    if number not in _types.NARROW_SIGNED:
        assert address(back) == address(array)


@pytest.mark.parametrize("name", EXTENDED)
def test_raw_bits_stand_for_them(name):
    number = _types.NUMBERS[name]
    raw = np.array([0, 1, 1], dtype=_types.RAW[number])
    assert _values.tensor_of(raw, number).dtype == number
    assert _values.tensor_of(raw.view("V%d" % raw.itemsize), number).dtype == number
    # nobody has asked for that type: the array is what it says
    assert _values.tensor_of(raw).dtype == _types.number_of(raw.dtype)


def test_raw_bits_where_ml_dtypes_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    _types.numpy_dtype.cache_clear()
    try:
        for name in EXTENDED:
            number = _types.NUMBERS[name]
            back = _values.array_of(_values.new_tensor(number, (2,)))
            assert back.dtype == _types.RAW[number]
    finally:
        monkeypatch.undo()
        _types.numpy_dtype.cache_clear()


def test_what_is_not_contiguous_is_copied():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for odd in (array.T, array[:, ::2], array[::-1], np.asfortranarray(array)):
        t = _values.tensor_of(odd)
        np.testing.assert_array_equal(_values.array_of(t), odd)
    big = array.astype(">f4")
    np.testing.assert_array_equal(_values.array_of(_values.tensor_of(big)), array)
    packed = np.zeros(3, dtype=[("a", "u1"), ("b", "<f4")])["b"]  # not aligned
    np.testing.assert_array_equal(_values.array_of(_values.tensor_of(packed)), packed)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,) * 12])
def test_odd_shapes(shape):
    array = np.zeros(shape, dtype=np.int64)
    back = _values.array_of(_values.tensor_of(array))
    assert back.shape == shape and back.dtype == array.dtype


def test_strings():
    words = ["", "naïve", "日本", "a\0b", "x" * 1000, "\udcff"]
    for array in (np.array(words, dtype=object), np.array(words[:3])):
        back = _values.array_of(_values.tensor_of(array))
        assert back.dtype == object and back.tolist() == array.tolist()
    raw = np.array([b"ab", b"c"])
    assert _values.array_of(_values.tensor_of(raw)).tolist() == ["ab", "c"]
    if hasattr(getattr(np, "dtypes", None), "StringDType"):
        variable = np.array(words[:3], dtype=np.dtypes.StringDType())
        assert _values.array_of(_values.tensor_of(variable)).tolist() == words[:3]
    with pytest.raises(planish.InvalidInput, match="element of type int"):
        _values.tensor_of(np.array(["a", 3], dtype=object))


def test_no_such_type():
    with pytest.raises(planish.InvalidInput, match="datetime64"):
        _values.tensor_of(np.zeros(2, dtype="M8[s]"))
    with pytest.raises(planish.InvalidInput, match="None"):
        _values.value_of(None, _types.parse("tensor(float)"))


@pytest.mark.parametrize("text", [
    "tensor(float)", "seq(tensor(int64))", "map(int64,tensor(float))",
    "seq(map(string,tensor(double)))", "optional(seq(tensor(bool)))",
    "sparse_tensor(float16)", "?"])
def test_types_are_read_and_spelled(text):
    assert _types.spell(_types.parse(text)) == text


def test_containers():
    kind = _types.parse("seq(tensor(float))")
    values = [np.float32(1), np.zeros((2, 3), np.float32), np.zeros((0,), np.float32)]
    back = _values.python_of(_values.value_of(values, kind))
    assert [b.shape for b in back] == [(), (2, 3), (0,)]
    nested = _types.parse("optional(seq(tensor(int64)))")
    assert _values.python_of(_values.value_of(None, nested)) is None
    assert _values.python_of(_values.value_of([1, 2], nested)) == [1, 2]
    maps = _types.parse("seq(map(string,tensor(float)))")
    rows = [{"a": 1.5, "b": 2.0}, {}]
    assert _values.python_of(_values.value_of(rows, maps)) == rows
    ints = _types.parse("map(int64,tensor(string))")
    assert _values.python_of(_values.value_of({3: "x"}, ints)) == {3: "x"}


def test_a_container_of_the_wrong_kind():
    for text, value in (("seq(tensor(float))", 3), ("map(int64,tensor(float))", [1])):
        with pytest.raises(planish.InvalidInput, match="wanted"):
            _values.value_of(value, _types.parse(text))


def test_sparse():
    given = planish.SparseTensor(np.array([1, 2], np.float32), np.array([3, 5]), (2, 4))
    t = _values.value_of(given, _types.parse("sparse_tensor(float)"))
    back = _values.python_of(t)
    assert back.shape == (2, 4) and back.values.tolist() == [1, 2]
    assert back.indices.tolist() == [3, 5]


def test_memory_is_lent_as_long_as_it_is_used():
    gc.collect()
    array = np.ones(4, np.float32)
    before = len(_values._lent)
    t = _values.tensor_of(array)
    view = _values.array_of(t)
    del t, array
    gc.collect()
    assert len(_values._lent) == before + 1  # the view still needs it
    assert view.sum() == 4
    del view
    gc.collect()
    assert len(_values._lent) == before


def test_messages():
    t = _values.tensor_of(np.arange(3, dtype=np.int32))
    back = _values.parse_message(_types.TENSOR, _values.serialize(t))
    np.testing.assert_array_equal(_values.array_of(back), [0, 1, 2])
    with pytest.raises(planish.InvalidGraph):
        _values.parse_message(_types.TENSOR, b"\xff\xff\xff")
