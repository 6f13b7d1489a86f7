"""ONNX's backend interface: what the official test runner and the scoreboard drive.
SPDX-License-Identifier: Apache-2.0

    import planish.backend
    rep = planish.backend.prepare(model)
    outputs = rep.run(inputs)
"""
from __future__ import annotations

import os
from typing import Any, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict

from . import _types
from ._library import quick
from .errors import InvalidArgument, NotImplemented  # noqa: A004
from .model import Model
from .options import SessionOptions
from .session import InferenceSession

__all__ = ["PlanishBackend", "PlanishBackendRep", "is_compatible", "is_opset_supported",
           "prepare", "run_model", "run_node", "supports_device"]


class PlanishBackendRep(BackendRep):
    """A model made ready; run() takes its inputs in order, or by name."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._required = [i.name for i in session.get_inputs()]
        self._all = [f.arg.name for f in session._inputs]
        names = [o.name for o in session.get_outputs()]
        self._outputs = namedtupledict("Outputs", names)

    def _feed(self, inputs: Any) -> dict[str, Any]:
        if isinstance(inputs, dict):
            return inputs
        if isinstance(inputs, np.ndarray) or not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        # a model may list its initializers among the inputs; they need not be given
        names = self._required if len(inputs) <= len(self._required) else self._all
        if len(inputs) > len(names):
            raise InvalidArgument("%d inputs for a model that has %d"
                                  % (len(inputs), len(names)))
        return dict(zip(names, inputs))

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs, as a tuple that can be asked by name as well."""
        return self._outputs(*self._session.run(None, self._feed(inputs),
                                                kwargs.get("run_options")))


def _options(kwargs: dict[str, Any]) -> SessionOptions:
    options = SessionOptions()
    for name, value in kwargs.items():
        if hasattr(options, name):
            setattr(options, name, value)
    return options



def _input_type(name: str, value: Any) -> onnx.ValueInfoProto:
    if isinstance(value, (list, tuple)):
        elem = _input_type("", value[0] if len(value) else np.float32(0)).type
        return helper.make_value_info(name, helper.make_sequence_type_proto(elem))
    array = np.asarray(value)
    return helper.make_tensor_value_info(name, _types.number_of(array.dtype), array.shape)


def _node_model(node: onnx.NodeProto, inputs: Sequence[Any], outputs_info: Any,
                opset: int | None) -> onnx.ModelProto:
    """A model of one node, whose present inputs and outputs are those of the graph."""
    present = [n for n in node.input if n]
    made = [n for n in node.output if n]
    if len(inputs) != len(present):
        raise InvalidArgument("%d values for the %d inputs of %s"
                              % (len(inputs), len(present), node.op_type))
    unique = dict(zip(present, inputs))
    ins = [_input_type(name, value) for name, value in unique.items()]
    if outputs_info is not None:
        outs = [helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
            for name, (dtype, shape) in zip(made, outputs_info)]
    else:
        outs = [onnx.ValueInfoProto(name=name) for name in made]
    graph = helper.make_graph([node], "node", ins, outs)
    imports = [helper.make_opsetid(node.domain, opset or _newest(node.domain))]
    if node.domain not in ("", "ai.onnx"):
        imports.append(helper.make_opsetid("", _newest("")))
    return helper.make_model(graph, opset_imports=imports)


def _newest(domain: str) -> int:
    """The newest version of a domain's operator set that onnx and the library both know."""
    known = quick.pln_env_opset(None, domain.encode())
    if domain in ("", "ai.onnx"):
        return min(known, onnx.defs.onnx_opset_version())
    return max(known, 1)


class PlanishBackend(Backend):
    """ONNX's Backend over InferenceSession."""

    allow_exceptions = False

    @classmethod
    def is_opset_supported(cls, model: onnx.ModelProto) -> tuple[bool, str]:
        """Whether the library knows the model's operator sets, and which one it does not."""
        for entry in model.opset_import:
            if entry.version > quick.pln_env_opset(None, entry.domain.encode()):
                return False, "operator set %s version %d is not supported" % (
                    entry.domain or "ai.onnx", entry.version)
        return True, ""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU",
                      **kwargs: Any) -> bool:
        """Whether all of the model can be run here."""
        if not cls.supports_device(device):
            return False
        try:
            cls.prepare(model, device, **kwargs)
        except NotImplemented:
            return False
        return True

    @classmethod
    def supports_device(cls, device: str) -> bool:
        try:
            return Device(device).type == DeviceType.CPU
        except (AttributeError, ValueError):
            return False

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> PlanishBackendRep:
        """A session of a ModelProto, path or bytes; keyword arguments that SessionOptions
        has are set there."""
        if isinstance(model, (PlanishBackendRep, InferenceSession)):
            return (model if isinstance(model, PlanishBackendRep)
                    else PlanishBackendRep(model))
        if not cls.supports_device(device):
            raise NotImplemented("there is no device %s" % device)
        if not isinstance(model, (str, os.PathLike, bytes, onnx.ModelProto, Model)):
            raise InvalidArgument("a %s is no model" % type(model).__name__)
        return PlanishBackendRep(InferenceSession(model, _options(kwargs)))

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU",
                  **kwargs: Any) -> tuple[Any, ...]:
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU",
                 outputs_info: Sequence[tuple] | None = None,
                 **kwargs: Any) -> tuple[Any, ...]:
        """Runs one node: its inputs in order, absent ones left out."""
        values = [numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v
                  for v in inputs]
        model = _node_model(node, values, outputs_info, kwargs.pop("opset_version", None))
        feed = dict(zip([n for n in node.input if n], values))
        return cls.prepare(model, device, **kwargs).run(feed)


is_compatible = PlanishBackend.is_compatible
is_opset_supported = PlanishBackend.is_opset_supported
prepare = PlanishBackend.prepare
run_model = PlanishBackend.run_model
run_node = PlanishBackend.run_node
supports_device = PlanishBackend.supports_device
