"""Model: a graph to look at, rewrite, quantize and save, in memory.
SPDX-License-Identifier: Apache-2.0
"""
from __future__ import annotations

import ctypes
import json
import os
from ctypes import byref, c_size_t, c_void_p
from typing import Any, Iterable, Mapping, NamedTuple, Sequence, Union

from . import _types, _values
from ._library import (
    CALIBRATION_FN, EnvDesc, Feed, IoInfo, LoadOptions, LOG_FN, OptimizeOptions,
    PrintOptions, QuantizeOptions, SaveOptions, lib, quick,
)
from .errors import InvalidArgument, PlanishError, check, error, raise_error
from .options import log_level, log_line

__all__ = ["Model", "NodeArg"]

#: What a model can be given as: a path, its bytes, an onnx.ModelProto, a Model.
ModelLike = Union[str, "os.PathLike[str]", bytes, Any]

_log_callback = LOG_FN(log_line)
_TARGETS = {"onnx": 0, "ort": 1, "planish": 2}
_VERIFY = {"off": 0, "pass": 1, "rewrite": 2}
_RENAMED = {"any": 0, "value": 1, "node": 2, "dim": 3}
_MODES = {"static": 0, "dynamic": 1, "weights": 2}


class NodeArg(NamedTuple):
    """An input or output: name, type ("tensor(float)"), and shape, of numbers, symbols
    ("batch") and None. The shape of an unknown rank is [], as in ONNX Runtime."""

    name: str
    type: str
    shape: list


class IoFacts(NamedTuple):
    """A NodeArg, with what runs need to know of it."""

    arg: NodeArg
    type: _types.Type
    has_default: bool


def _dims(info: IoInfo) -> list:
    names = info.dim_names
    return [info.dims[i] if info.dims[i] >= 0 else
            (names[i].decode("utf-8", "replace") if names[i] else None)
            for i in range(max(info.rank, 0))]


def read_io(count, get, owner: int, io: int) -> list[IoFacts]:
    """All inputs (0) or outputs (1) of a model or session."""
    found = []
    info = IoInfo()
    for i in range(count(owner, io)):
        check(get(owner, io, i, byref(info)))
        name = ctypes.string_at(info.name, info.name_len).decode("utf-8", "surrogateescape")
        kind = info.type.decode()
        shape = _dims(info) if info.kind == _types.TENSOR else []
        found.append(IoFacts(NodeArg(name, kind, shape), _types.parse(kind),
                             info.has_default))
    return found


def take_json(pointer: c_void_p) -> Any:
    """The JSON that the library wrote, whose text is freed."""
    try:
        return json.loads(ctypes.string_at(pointer).decode("utf-8"))
    finally:
        quick.pln_free(None, pointer)


def encode(text: Any) -> bytes | None:
    """A string, path or None as an argument of the library's."""
    if text is None:
        return None
    data = os.fsencode(text)
    if b"\0" in data:
        raise InvalidArgument("%r has a NUL in it" % (text,))
    return data


def _comma_list(names: str | Iterable[str] | None) -> bytes | None:
    if names is None or isinstance(names, str):
        return encode(names or None)
    return encode(",".join(names) or None)


class Environment:
    """Plug-ins and the log that models share."""

    def __init__(self, plugins: Iterable[str] = (), severity: int | None = None) -> None:
        desc = EnvDesc()
        if severity is not None:
            desc.log, desc.log_level = _log_callback, log_level(severity)
        out = c_void_p()
        check(lib.pln_env_new(byref(desc), byref(out), error()))
        self.pointer = out.value or 0
        for path in plugins:
            check(lib.pln_env_load_plugin(self.pointer, encode(path), error()))

    def __del__(self, free=lib.pln_env_free) -> None:
        free(getattr(self, "pointer", None))


class Model:
    """A model in memory.

    >>> model = planish.Model("model.onnx")
    >>> report = model.optimize(level=2)
    >>> model.save("smaller.onnx")
    """

    def __init__(self, source: ModelLike, *, directory: str | None = None,
                 env: Environment | None = None, allow_external: bool = True) -> None:
        """Reads a path, bytes, or an onnx.ModelProto. `directory` is where the external data
        of a model that is no file may lie; without it such data is refused."""
        self._pointer = 0
        self._env = env
        out = c_void_p()
        env_pointer = env.pointer if env else None
        options = LoadOptions(no_external=not allow_external)
        if isinstance(source, (str, os.PathLike)):
            check(lib.pln_model_load(env_pointer, encode(source), byref(options), byref(out),
                                     error()))
        else:
            self._load_bytes(env_pointer, source, options, directory, out)
        self._pointer = out.value or 0

    @staticmethod
    def _load_bytes(env, source, options, directory, out) -> None:
        if hasattr(source, "SerializeToString"):
            source = source.SerializeToString()
        if not isinstance(source, bytes):
            try:
                source = bytes(memoryview(source))  # ours: nobody can change it meanwhile
            except TypeError:
                raise InvalidArgument("a %s is no model: a path, bytes or a ModelProto is "
                                      "wanted" % type(source).__name__) from None
        key = _values.lend(source)
        options.directory = encode(directory)
        options.release, options.user = _values.release_callback, key
        address = ctypes.cast(ctypes.c_char_p(source), c_void_p)
        status = lib.pln_model_load_memory(env, address, len(source), byref(options),
                                           byref(out), error())
        if status:
            _values.take_back(key)
            check(status)

    @classmethod
    def parse(cls, text: str, *, directory: str | None = None) -> "Model":
        """Reads ONNX's textual syntax."""
        out = c_void_p()
        data = text.encode("utf-8", "surrogateescape")
        check(lib.pln_model_parse(None, data, len(data), encode(directory), byref(out),
                                  error()))
        model = cls.__new__(cls)
        model._pointer, model._env = out.value or 0, None
        return model

    def __del__(self, free=lib.pln_model_free) -> None:
        free(getattr(self, "_pointer", None))

    def copy(self) -> "Model":
        """A model that may be changed by itself; the weights' bytes are shared."""
        out = c_void_p()
        check(lib.pln_model_clone(self._pointer, byref(out), error()))
        model = type(self).__new__(type(self))
        model._pointer, model._env = out.value or 0, self._env
        return model

    __copy__ = copy

    def __deepcopy__(self, memo: dict) -> "Model":
        return self.copy()

    # ---- what is in it

    def inputs(self) -> list[NodeArg]:
        """Inputs that a caller has to give."""
        return [f.arg for f in self._io(0) if not f.has_default]

    def outputs(self) -> list[NodeArg]:
        return [f.arg for f in self._io(1)]

    def _io(self, io: int) -> list[IoFacts]:
        return read_io(quick.pln_model_count, quick.pln_model_io, self._pointer, io)

    def _json(self, function, *arguments) -> Any:
        out = c_void_p()
        check(function(self._pointer, *arguments, byref(out), error()))
        return take_json(out)

    def header(self) -> dict:
        """What the file says of itself: producer, versions, operator sets, metadata."""
        return self._json(lib.pln_model_header)

    def info(self) -> dict:
        """Facts and costs: see docs/json.md."""
        return self._json(lib.pln_model_info)

    def value_names(self) -> list[str]:
        """Names of the main graph's values, in order."""
        return self._json(lib.pln_model_values)

    def check(self) -> list[dict]:
        """What is wrong by the standard: dicts with node, op, text and severity ("error" or
        "note")."""
        out, n_errors = c_void_p(), c_size_t()
        check(lib.pln_model_check(self._pointer, byref(out), byref(n_errors), error()))
        return take_json(out)

    def text(self, inline_limit: int | None = None) -> str:
        """The model in ONNX's textual syntax, with all tensors in it."""
        out = c_void_p()
        options = None
        if inline_limit is not None:
            options = byref(PrintOptions(inline_limit=inline_limit))
        check(lib.pln_model_print(self._pointer, options, byref(out), error()))
        try:
            return ctypes.string_at(out).decode("utf-8", "surrogateescape")
        finally:
            quick.pln_free(None, out)

    # ---- changing it

    def set_dim(self, symbol: str, size: int) -> None:
        """Gives a symbolic dimension a size, everywhere."""
        check(lib.pln_model_set_dim(self._pointer, encode(symbol), size, error()))

    def set_initializer(self, name: str, value: Any) -> None:
        """Replaces the contents of an initializer by an OrtValue of its type and shape, whose
        memory is used where it is."""
        check(lib.pln_model_set_initializer(self._pointer, encode(name), value._tensor.pointer,
                                            error()))

    def set_metadata(self, key: str, value: str) -> None:
        check(lib.pln_model_set_metadata(self._pointer, encode(key), encode(value), error()))

    def extract(self, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> None:
        """Keeps what computes the values `outputs` (the model's, if there are none) from the
        values `inputs` (those that are still needed, if there are none)."""
        sides = [(ctypes.c_char_p * len(names))(*map(encode, names))
                 for names in (inputs, outputs)]
        check(lib.pln_model_extract(self._pointer, sides[0], len(inputs), sides[1],
                                    len(outputs), error()))

    def rename(self, old: str, new: str, what: str = "any") -> None:
        """Gives a value, else a node, else a dimension another name; `what` ("value", "node",
        "dim") says which."""
        check(lib.pln_model_rename(self._pointer, _choice("what", what, _RENAMED),
                                   encode(old), encode(new), error()))

    def convert_opset(self, version: int) -> None:
        """Brings the model to a version of ai.onnx, up or down. NotImplemented, with the nodes
        in the way in its `blockers`, where that can't be."""
        out = c_void_p()
        status = lib.pln_model_convert_opset(self._pointer, version, byref(out), error())
        if not status:
            return
        blockers = take_json(out) if out else None
        try:
            raise_error(status)
        except PlanishError as e:
            e.blockers = blockers
            raise

    def optimize(self, level: int = 2, *, target: str = "onnx", allow_approx: bool = False,
                 passes: str | None = None, disable: str | Iterable[str] | None = None,
                 fold_growth: int = 0, stamp: bool = True, verify_each: str = "off",
                 stats: bool = False, explain: str | None = None) -> dict:
        """Rewrites the model; returns the report: before, after, passes.

        `level` 0 to 3 and `target` "onnx", "ort" or "planish" are those of the command.
        `verify_each` runs the graph before and after each "pass" or "rewrite" and compares;
        `stats` and `explain` add "rules" and "explain" to the report. On failure the model is
        as it was."""
        options = OptimizeOptions(
            level=level, target=_choice("target", target, _TARGETS),
            allow_approx=allow_approx, passes=encode(passes), disable=_comma_list(disable),
            fold_growth=fold_growth, no_stamp=not stamp, stats=stats,
            verify=_choice("verify_each", verify_each, _VERIFY), explain=encode(explain))
        return self._json(lib.pln_model_optimize, byref(options))

    def quantize(self, calibration: Iterable[Mapping[str, Any]] | None = None, *,
                 mode: str | None = None, activations: str | None = None,
                 weights: str | None = None, per_channel: bool = True,
                 reduce_range: bool = False,
                 exclude: str | Sequence[str] | None = None) -> dict:
        """Inserts quantize and dequantize nodes; returns the report.

        `calibration` yields inputs (name: array), which the mode "static" (the default where
        they are given, else "weights") takes ranges from. `exclude` names nodes that stay
        float."""
        if mode is None:
            mode = "weights" if calibration is None else "static"
        feeder = _Calibration(self._io(0), calibration or ())
        options = QuantizeOptions(
            mode=_choice("mode", mode, _MODES),
            activations=_types.number_of_any(activations) if activations else 0,
            weights=_types.number_of_any(weights) if weights else 0,
            per_tensor=not per_channel, reduce_range=reduce_range,
            exclude=_comma_list(exclude), calibration=feeder.callback)
        out = c_void_p()
        status = lib.pln_model_quantize(self._pointer, byref(options), byref(out), error())
        if feeder.failure:
            quick.pln_free(None, out)
            raise feeder.failure
        check(status)
        return take_json(out)

    # ---- writing it

    def save(self, path: str | os.PathLike, *, external_data: str | None = None,
             external_threshold: int = 0, keep_external: bool = False) -> None:
        """Writes the file; `external_data` names one beside it for large weights."""
        options = SaveOptions(external_data=encode(external_data),
                              external_threshold=external_threshold,
                              keep_external=keep_external)
        check(lib.pln_model_save(self._pointer, encode(path), byref(options), error()))

    def to_bytes(self) -> bytes:
        """The file's bytes."""
        data, size = c_void_p(), c_size_t()
        check(lib.pln_model_save_memory(self._pointer, byref(data), byref(size), error()))
        try:
            return ctypes.string_at(data, size.value)
        finally:
            quick.pln_free(None, data)

    def to_proto(self) -> Any:
        """An onnx.ModelProto (this needs the onnx package)."""
        import onnx
        return onnx.ModelProto.FromString(self.to_bytes())


def _choice(what: str, value: str, table: Mapping[str, int]) -> int:
    if value not in table:
        raise InvalidArgument("%s %r: %s are known" % (what, value, ", ".join(table)))
    return table[value]


class _Calibration:
    """Hands sets of inputs to the quantizer. An exception in the caller's iterator ends the
    calibration and is kept, since it can't pass through C."""

    def __init__(self, inputs: list[IoFacts], sets: Iterable[Mapping[str, Any]]) -> None:
        self.types = {f.arg.name: f.type for f in inputs}
        self.sets = iter(sets)
        self.failure: BaseException | None = None
        self.held: Any = None
        self.callback = CALIBRATION_FN(self._next)

    def _next(self, _user, _i, feeds, n) -> bool:
        try:
            arrays = next(self.sets)
            tensors = [(encode(name), _values.value_of(v, self.types.get(name,
                                                                         _types.UNKNOWN)))
                       for name, v in arrays.items()]
        except StopIteration:
            return False
        except BaseException as e:  # noqa: BLE001
            self.failure = e
            return False
        array = (Feed * len(tensors))(*[Feed(name, t.pointer) for name, t in tensors])
        self.held = (tensors, array)
        feeds[0] = array
        n[0] = len(tensors)
        return True


def as_model(source: ModelLike) -> Model:
    """A Model of whatever can be one."""
    return source if isinstance(source, Model) else Model(source)
