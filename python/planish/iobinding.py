"""IO binding: inputs and outputs that stay bound from run to run.
SPDX-License-Identifier: Apache-2.0
"""
from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from . import _types, _values
from ._library import lib
from ._values import Tensor
from .errors import InvalidArgument, check, error
from .options import RunOptions
from .ortvalue import OrtValue, check_device
from .session import InferenceSession, Run

__all__ = ["IOBinding"]


class IOBinding:
    """Inputs and outputs of a session, bound by name.

    An output that is bound to memory is written there. One that is bound by name alone gets
    memory of its own in each run, which stays the caller's as long as he holds the OrtValue.
    A binding belongs to one thread.
    """

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._run = Run(session)
        self._bound: list[str] = []
        self._results: list[OrtValue] = []

    # ---- inputs

    def _input(self, name: str, t: Tensor) -> None:
        known = self._session._in.get(name)
        if known is None:
            raise InvalidArgument("the model has no input %r" % name)
        check(lib.pln_run_bind_input(self._run.pointer, known[0], t.pointer, error()))

    def bind_cpu_input(self, name: str, arr_on_cpu: np.ndarray) -> None:
        """Binds an array, which is read where it is by each run."""
        known = self._session._in.get(name)
        self._input(name, _values.value_of(arr_on_cpu, known[1] if known
                                           else _types.UNKNOWN))

    def bind_input(self, name: str, device_type: str, device_id: int, element_type: Any,
                   shape: Sequence[int], buffer_ptr: int) -> None:
        """Binds memory at an address; it must stay until it is unbound."""
        check_device(device_type, device_id)
        self._input(name, _memory(element_type, shape, buffer_ptr))

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        self._input(name, ortvalue._tensor)

    def synchronize_inputs(self) -> None:
        """Nothing is ever in flight."""

    def clear_binding_inputs(self) -> None:
        for encoded, _, _ in self._session._in.values():
            check(lib.pln_run_bind_input(self._run.pointer, encoded, None, error()))

    # ---- outputs

    def _output(self, name: str, t: Tensor | None) -> None:
        if name not in self._session._out:
            raise InvalidArgument("the model has no output %r" % name)
        check(lib.pln_run_bind_output(self._run.pointer, name.encode(),
                                      t.pointer if t else None, error()))
        if name not in self._bound:
            self._bound.append(name)

    def bind_output(self, name: str, device_type: str = "cpu", device_id: int = 0,
                    element_type: Any = None, shape: Sequence[int] | None = None,
                    buffer_ptr: int | None = None) -> None:
        """Binds memory at an address, or (without one) leaves the memory to each run."""
        check_device(device_type, device_id)
        if buffer_ptr is None:
            self._output(name, None)
            return
        if element_type is None or shape is None:
            raise InvalidArgument("memory for output %r needs a type and a shape" % name)
        self._output(name, _memory(element_type, shape, buffer_ptr))

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        self._output(name, ortvalue._tensor)

    def synchronize_outputs(self) -> None:
        """Nothing is ever in flight."""

    def clear_binding_outputs(self) -> None:
        for name in self._bound:
            check(lib.pln_run_bind_output(self._run.pointer, name.encode(), None, error()))
        self._bound, self._results = [], []

    def get_outputs(self) -> list[OrtValue]:
        """Values of the last run, in the order in which they were bound."""
        return list(self._results)

    get_outputs_as_ortvaluevector = get_outputs

    def copy_outputs_to_cpu(self) -> list[Any]:
        """Copies of the values of the last run."""
        return [np.array(v.numpy()) if v.is_tensor() else v.to_python()
                for v in self._results]

    # ---- running

    def _execute(self, options: RunOptions | None) -> None:
        self._results = []  # memory that nobody else holds is used again
        self._session._execute(self._run, options)
        places = [self._session._out[name] for name in self._bound]
        self._results = [OrtValue(self._run.output(i)) for i in places]


def _memory(element_type: Any, shape: Sequence[int], address: int) -> Tensor:
    number = _types.number_of_any(element_type)
    if number == _types.STRING:
        raise InvalidArgument("strings have no memory that could be bound")
    size = int(np.prod(shape, dtype=np.int64)) * _types.RAW[number].itemsize
    return _values.view_memory(number, tuple(shape), address, size, None)
