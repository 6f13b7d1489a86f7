"""IO binding, OrtValue and DLPack: whose memory is read and written.
SPDX-License-Identifier: Apache-2.0
"""
import gc

import numpy as np
import pytest

import planish
from planish import _dlpack, _types, _values

SCALE = "g (float[N, 4] x) => (float[N, 4] y, float[N, 4] z) { y = Neg(x) z = Abs(x) }"


def address(array):
    return array.__array_interface__["data"][0]


@pytest.fixture
def session(session_of):
    return session_of(SCALE)


@pytest.fixture
def x():
    return np.arange(8, dtype=np.float32).reshape(2, 4)


def test_outputs_are_written_where_they_are_bound(session, x):
    b = session.io_binding()
    y = np.zeros((2, 4), np.float32)
    z = planish.OrtValue.ortvalue_from_shape_and_type([2, 4], np.float32)
    b.bind_cpu_input("x", x)
    b.bind_output("y", "cpu", 0, np.float32, [2, 4], address(y))
    b.bind_ortvalue_output("z", z)
    b.synchronize_inputs()
    session.run_with_iobinding(b)
    b.synchronize_outputs()
    np.testing.assert_array_equal(y, -x)
    np.testing.assert_array_equal(z.numpy(), x)
    got = b.get_outputs()
    assert got[0].data_ptr() == address(y) and got[1].data_ptr() == z.data_ptr()
    copies = b.copy_outputs_to_cpu()
    assert address(copies[0]) != address(y)
    np.testing.assert_array_equal(copies[0], y)


def test_an_output_without_memory_gets_its_own(session, x):
    b = session.io_binding()
    b.bind_ortvalue_input("x", planish.OrtValue.ortvalue_from_numpy(x))
    b.bind_output("z")
    b.bind_output("y")
    session.run_with_iobinding(b)
    first = b.get_outputs()
    assert len(first) == 2 and (first[0].numpy() == x).all()  # in the order of binding
    session.run_with_iobinding(b)
    second = b.get_outputs()
    assert first[1].data_ptr() != second[1].data_ptr()  # both are held
    np.testing.assert_array_equal(first[1].numpy(), second[1].numpy())


def test_an_input_by_its_address(session, x):
    b = session.io_binding()
    b.bind_input("x", "cpu", 0, np.float32, [2, 4], address(x))
    b.bind_output("y")
    session.run_with_iobinding(b)
    np.testing.assert_array_equal(b.copy_outputs_to_cpu()[0], -x)
    b.clear_binding_inputs()
    with pytest.raises(planish.InvalidInput, match="not bound"):
        session.run_with_iobinding(b)
    b.clear_binding_outputs()
    assert b.get_outputs() == []


def test_results_feed_the_next_run(session_of):
    s = session_of("g (float[3] x) => (float[3] y) { y = Add(x, x) }")
    b = s.io_binding()
    b.bind_cpu_input("x", np.ones(3, np.float32))
    b.bind_output("y")
    for _ in range(5):
        s.run_with_iobinding(b)
        b.bind_ortvalue_input("x", b.get_outputs()[0])
    assert b.get_outputs()[0].numpy().tolist() == [32, 32, 32]


def test_what_binding_refuses(session, x):
    b = session.io_binding()
    with pytest.raises(planish.InvalidArgument, match="no input 'q'"):
        b.bind_cpu_input("q", x)
    with pytest.raises(planish.InvalidArgument, match="no output 'q'"):
        b.bind_output("q")
    with pytest.raises(planish.InvalidArgument, match="cuda"):
        b.bind_output("y", "cuda", 0)
    with pytest.raises(planish.InvalidArgument, match="double"):
        b.bind_cpu_input("x", x.astype(np.float64))
    with pytest.raises(planish.InvalidArgument, match="type and a shape"):
        b.bind_output("y", "cpu", 0, buffer_ptr=address(x))
    b.bind_cpu_input("x", x)
    b.bind_ortvalue_output("y", planish.OrtValue.ortvalue_from_shape_and_type([3, 4]))
    with pytest.raises(planish.InvalidInput):
        session.run_with_iobinding(b)
    other = planish.InferenceSession(planish.Model.parse(
        '<ir_version: 8, opset_import: ["" : 17]> ' + SCALE))
    with pytest.raises(planish.InvalidArgument, match="another session"):
        other.run_with_iobinding(b)


def test_a_binding_outlives_its_session(session_of, x):
    b = session_of(SCALE).io_binding()
    gc.collect()
    b.bind_cpu_input("x", x)
    b.bind_output("y")
    b._session.run_with_iobinding(b)
    assert (b.get_outputs()[0].numpy() == -x).all()


def test_ort_values(session, x):
    v = planish.OrtValue.ortvalue_from_numpy(x)
    assert (v.data_ptr(), v.shape(), v.data_type()) == (address(x), [2, 4], "tensor(float)")
    assert v.is_tensor() and v.has_value() and v.element_type() == 1
    assert v.device_name() == "cpu" and v.tensor_size_in_bytes() == 32
    assert address(v.numpy()) == address(x) and address(np.asarray(v)) == address(x)
    assert np.array(v, dtype=np.float64).dtype == np.float64
    v.update_inplace(np.full((2, 4), 9, np.float32))
    assert x[0, 0] == 9
    with pytest.raises(planish.InvalidArgument):
        v.update_inplace(np.zeros(3, np.float32))
    y, z = session.run_with_ort_values(None, {"x": v})
    assert (z.numpy() == 9).all() and y.data_ptr() != z.data_ptr()
    bits = planish.OrtValue.ortvalue_from_numpy_with_onnx_type(np.zeros(2, np.uint16), 16)
    assert bits.data_type() == "tensor(bfloat16)"
    zeros = planish.OrtValue.ortvalue_from_shape_and_type([2], 16)
    assert zeros.tensor_size_in_bytes() == 4


def test_values_of_sequences(session_of):
    s = session_of("g (float[2] x) => (seq(float[2]) q) { q = SequenceConstruct(x, x) }")
    q = s.run_with_ort_values(None, {"x": planish.OrtValue.ortvalue_from_numpy(
        np.ones(2, np.float32))})[0]
    assert q.is_tensor_sequence() and not q.is_tensor()
    assert q.data_type() == "seq(tensor(float))" and len(q.to_python()) == 2
    with pytest.raises(planish.InvalidArgument):
        q.numpy()


# ---- DLPack ------------------------------------------------------------------------------

def test_numpy_takes_our_values_and_we_its(x):
    v = planish.OrtValue.ortvalue_from_numpy(x)
    assert v.__dlpack_device__() == (1, 0)
    assert address(np.from_dlpack(v)) == address(x)
    w = planish.OrtValue.from_dlpack(x)
    assert w.data_ptr() == address(x) and w.shape() == [2, 4]
    assert planish.OrtValue.from_dlpack(v.to_dlpack()).data_ptr() == address(x)


@pytest.mark.parametrize("number", sorted(_dlpack._CODES))
def test_every_type_survives(number):
    t = _values.new_tensor(number, (3, 2))
    back = _dlpack.from_any(planish.OrtValue(t))
    assert (back.dtype, back.shape, back.data) == (number, (3, 2), t.data)


def test_capsules_are_given_back():
    gc.collect()
    lent, exported = len(_values._lent), len(_dlpack._exported)
    v = planish.OrtValue.ortvalue_from_numpy(np.ones(5, np.float32))
    capsule = v.to_dlpack()
    del capsule  # never taken
    assert len(_dlpack._exported) == exported
    w = planish.OrtValue.from_dlpack(v)
    assert len(_dlpack._exported) == exported + 1
    del v
    gc.collect()
    assert w.numpy().sum() == 5
    del w
    gc.collect()
    assert (len(_values._lent), len(_dlpack._exported)) == (lent, exported)


def test_what_dlpack_refuses():
    with pytest.raises(BufferError, match="string"):
        planish.OrtValue(_values.new_tensor(_types.STRING, (1,))).to_dlpack()
    with pytest.raises(ValueError, match="capsule"):
        planish.OrtValue.from_dlpack(3)
    with pytest.raises(BufferError, match="contiguous"):
        planish.OrtValue.from_dlpack(np.zeros((4, 4), np.float32).T[:, ::2])
    capsule = planish.OrtValue.ortvalue_from_numpy(np.ones(2, np.float32)).to_dlpack()
    planish.OrtValue.from_dlpack(capsule)
    with pytest.raises(ValueError, match="used up"):
        planish.OrtValue.from_dlpack(capsule)


class Foreign:
    """An array of another library: all it has is DLPack."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_sessions_take_foreign_arrays(session, x):
    y, z = session.run(None, {"x": Foreign(x)})
    np.testing.assert_array_equal(z, x)
    y, z = session.run(None, {"x": Foreign(x.T.copy().T)})  # not contiguous
    np.testing.assert_array_equal(z, x)
