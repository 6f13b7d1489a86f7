"""InferenceSession: a model made ready to run, with ONNX Runtime's interface.
SPDX-License-Identifier: Apache-2.0
"""
from __future__ import annotations

import concurrent.futures
import json
import os
import time
from ctypes import byref, c_void_p
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from . import _values
from ._library import RunOptionsStruct, SessionOptionsStruct, lib, quick
from ._values import Tensor
from .errors import Cancelled, InvalidArgument, InvalidInput, check, error, raise_error
from .model import Environment, Model, ModelLike, NodeArg, encode, read_io, take_json
from .options import GraphOptimizationLevel, RunOptions, SessionOptions, device_of
from .ortvalue import OrtValue

if TYPE_CHECKING:
    from .iobinding import IOBinding

__all__ = ["InferenceSession", "ModelMetadata"]

_DIRECTORY = "session.model_external_initializers_file_folder_path"


class ModelMetadata:
    """What the file says of itself."""

    def __init__(self, header: Mapping[str, Any]) -> None:
        self.producer_name: str = header["producer_name"]
        self.graph_name: str = header["graph_name"]
        self.domain: str = header["domain"]
        self.description: str = header["doc"]
        self.graph_description: str = header["graph_doc"]
        self.version: int = header["model_version"]
        self.custom_metadata_map: dict[str, str] = dict(header["metadata"])

    def __repr__(self) -> str:
        return "ModelMetadata(%s)" % ", ".join("%s=%r" % i for i in vars(self).items())


class Run:
    """The state of one caller's runs: bindings and workspace. Not shared by threads."""

    __slots__ = ("owner", "pointer")

    def __init__(self, session: "InferenceSession") -> None:
        out = c_void_p()
        check(lib.pln_run_new(session._handle.pointer, byref(out), error()))
        self.pointer = out.value or 0
        self.owner = session._handle
        self.owner.runs.add(self.pointer)

    def __del__(self, free=lib.pln_run_free) -> None:
        if getattr(self, "owner", None) is not None and self.pointer in self.owner.runs:
            self.owner.runs.discard(self.pointer)
            free(self.pointer)

    def execute(self, options: RunOptions | None, profile: bool) -> None:
        struct = None
        if profile or (options is not None and options.deadline_ms):
            deadline = int(options.deadline_ms) if options is not None else 0
            struct = byref(RunOptionsStruct(deadline_ms=deadline, profile=profile))
        if options is None:
            check(lib.pln_run_execute(self.pointer, struct, error()))
            return
        if not options._enter(self.pointer):
            raise Cancelled("RunOptions.terminate is set")
        try:
            check(lib.pln_run_execute(self.pointer, struct, error()))
        finally:
            options._leave(self.pointer)

    def output(self, i: int) -> Tensor:
        return Tensor.borrowed(quick.pln_run_output_at(self.pointer, i))


class _Handle:
    """The library's session, freed after its runs: objects of a cycle are finalized in any
    order, so the session frees those that are left."""

    __slots__ = ("env", "pointer", "runs")

    def __init__(self, model: Model, options: SessionOptionsStruct) -> None:
        out = c_void_p()
        self.env = model._env
        self.runs: set[int] = set()
        check(lib.pln_session_new(model._pointer, byref(options), byref(out), error()))
        self.pointer = out.value or 0

    def __del__(self, free=lib.pln_session_free, free_run=lib.pln_run_free) -> None:
        while self.runs:
            free_run(self.runs.pop())
        free(getattr(self, "pointer", None))


class _Profile:
    """Times of the runs so far, for a file in Chrome's trace format."""

    def __init__(self, prefix: str) -> None:
        self.start_ns = time.time_ns()
        self.path = "%s_%s.json" % (prefix.rstrip("_"), time.strftime("%Y-%m-%d_%H-%M-%S"))
        self.events: list[dict] = []

    def add(self, run: Run, start_ns: int) -> None:
        out = c_void_p()
        check(lib.pln_run_profile(run.pointer, byref(out), error()))
        report = take_json(out)
        base = (start_ns - self.start_ns) / 1e3
        self.events.append({"name": "model_run", "cat": "Session", "ph": "X", "pid": os.getpid(),
                            "tid": 0, "ts": base, "dur": report["total_us"], "args": {}})
        for step in report["steps"]:
            self.events.append({
                "name": step["node"], "cat": "Node", "ph": "X", "pid": os.getpid(),
                "tid": step["depth"], "ts": base + step["start_us"], "dur": step["us"],
                "args": {k: step[k] for k in ("op", "device", "kernel", "flops", "inputs",
                                              "outputs")}})

    def write(self) -> str:
        with open(self.path, "w", encoding="utf-8") as f:
            json.dump(self.events, f)
        return self.path


class InferenceSession:
    """A model made ready to run.

    A session may be used by several threads at once; the interpreter's lock is free while it
    runs. Contiguous inputs are read where they are. Outputs are arrays over the library's own
    memory, which nothing else uses while they live.
    """

    def __init__(self, path_or_bytes: ModelLike, sess_options: SessionOptions | None = None,
                 providers: Sequence[Any] | None = None,
                 provider_options: Sequence[Mapping[str, Any]] | None = None,
                 *, enable_fallback: bool = True,
                 disabled_optimizers: Sequence[str] | None = None) -> None:
        """The last two are ONNX Runtime's: there is nothing to fall back to, and its
        optimizers have other names here (see Model.optimize to choose passes)."""
        self._options = sess_options if sess_options is not None else SessionOptions()
        self._device = (device_of(providers, provider_options) or
                        self._options._entries.get("planish.device"))
        model = self._load(path_or_bytes)
        self._meta = ModelMetadata(model.header())
        level = self._rewrite(model)
        self._handle = _Handle(model, SessionOptionsStruct(
            threads=max(int(self._options.intra_op_num_threads), 0),
            no_optimize=level < GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
            device=encode(self._device), seed=self._options._seed()))
        pointer = self._handle.pointer
        self._inputs = read_io(quick.pln_session_count, quick.pln_session_io, pointer, 0)
        self._outputs = read_io(quick.pln_session_count, quick.pln_session_io, pointer, 1)
        self._in = {f.arg.name: (encode(f.arg.name), f.type, f.has_default)
                    for f in self._inputs}
        self._out = {f.arg.name: i for i, f in enumerate(self._outputs)}
        self._required = [f.arg.name for f in self._inputs if not f.has_default]
        # runs that have replaced a default use another plan: they are kept apart
        self._idle: tuple[list[Run], list[Run]] = ([], [])
        self._profile = (_Profile(self._options.profile_file_prefix)
                         if self._options.enable_profiling else None)
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    def _load(self, source: ModelLike) -> Model:
        o = self._options
        severity = o._severity()
        env = None
        if o._plugins or severity is not None:
            env = Environment(o._plugins, severity)
        directory = o._entries.get(_DIRECTORY)
        if isinstance(source, Model) and env is None and not (
                o._dims or o._initializers or self._rewrites_itself()):
            return source
        if isinstance(source, Model) and env is None:
            model = source.copy()
        else:
            given = source.to_bytes() if isinstance(source, Model) else source
            model = Model(given, directory=directory, env=env)
        for name, value in o._initializers.items():
            model.set_initializer(name, value)
        for symbol, size in o._dims.items():
            if any(symbol in f.arg.shape for f in model._io(0) + model._io(1)):
                model.set_dim(symbol, size)
        return model

    def _rewrites_itself(self) -> bool:
        level = self._options.graph_optimization_level
        return bool(self._options.optimized_model_filepath or
                    level == GraphOptimizationLevel.ORT_ENABLE_BASIC)

    def _rewrite(self, model: Model) -> int:
        """Rewrites the model here where the session would not do it as asked for."""
        level = int(self._options.graph_optimization_level)
        path = self._options.optimized_model_filepath
        if level == GraphOptimizationLevel.ORT_ENABLE_BASIC:
            model.optimize(1, target="planish", stamp=False)
        elif path and level > GraphOptimizationLevel.ORT_ENABLE_BASIC:
            model.optimize(3, target="planish")
        if path:
            model.save(path)
        return level

    # ---- what it is

    def get_inputs(self) -> list[NodeArg]:
        """Inputs that have to be fed."""
        return [f.arg for f in self._inputs if not f.has_default]

    def get_outputs(self) -> list[NodeArg]:
        return [f.arg for f in self._outputs]

    def get_overridable_initializers(self) -> list[NodeArg]:
        """Inputs with a default, which may be fed."""
        return [f.arg for f in self._inputs if f.has_default]

    def get_modelmeta(self) -> ModelMetadata:
        return self._meta

    def get_session_options(self) -> SessionOptions:
        return self._options

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {"CPUExecutionProvider": {"device": self._device} if self._device else {}}

    def set_providers(self, providers: Sequence[Any] | None = None,
                      provider_options: Sequence[Any] | None = None) -> None:
        """There is one processor; asking for it again is fine, for another device is not."""
        device = device_of(providers, provider_options)
        if device is not None and device != self._device:
            raise InvalidArgument("a session keeps its device; make another for %r" % device)

    def disable_fallback(self) -> None:
        """There is nothing to fall back from."""

    def enable_fallback(self) -> None:
        """There is nothing to fall back to."""

    @property
    def threads(self) -> int:
        """Threads that its runs use."""
        return quick.pln_session_threads(self._handle.pointer)

    # ---- running

    def _wanted(self, output_names: Sequence[str] | None) -> list[int]:
        if not output_names:
            return list(range(len(self._outputs)))
        try:
            return [self._out[name] for name in output_names]
        except KeyError as e:
            raise InvalidArgument("the model has no output %r; it has %s"
                                  % (e.args[0], ", ".join(map(repr, self._out)))) from None

    def _check_feed(self, feed: Mapping[str, Any]) -> bool:
        """Whether a default is replaced; raises where names are missing or unknown."""
        missing = [name for name in self._required if name not in feed]
        if missing:
            raise InvalidInput("required inputs %s are missing; given are %s"
                               % (missing, sorted(feed)))
        replaces = False
        for name in feed:
            if name not in self._in:
                e = InvalidInput("the model has no input %r; it has %s"
                                 % (name, ", ".join(map(repr, self._in))))
                e.tensor = name
                raise e
            replaces = replaces or self._in[name][2]
        return replaces

    def _bind(self, run: Run, name: str, value: Any) -> None:
        encoded, kind, _ = self._in[name]
        try:
            t = _values.value_of(value, kind)
        except InvalidInput as e:
            e.tensor = name
            e.args = ("input '%s': %s" % (name, e.args[0]),)
            raise
        status = lib.pln_run_bind_input(run.pointer, encoded, t.pointer, error())
        if status:
            raise_error(status)

    def _execute(self, run: Run, options: RunOptions | None) -> None:
        profile = self._profile
        if profile is None:
            run.execute(options, False)
            return
        start = time.time_ns()
        run.execute(options, True)
        profile.add(run, start)

    def _run_values(self, wanted: Sequence[int], feed: Mapping[str, Any],
                    options: RunOptions | None, convert: Callable[[Tensor], Any]) -> list:
        idle = self._idle[self._check_feed(feed)]
        try:
            run = idle.pop()
        except IndexError:
            run = Run(self)
        bound = []
        try:
            for name, value in feed.items():
                self._bind(run, name, value)
                bound.append(name)
            self._execute(run, options)
            outputs = {i: run.output(i) for i in wanted}
            return [convert(outputs[i]) for i in wanted]
        finally:
            for name in bound:  # the caller's arrays are his again
                lib.pln_run_bind_input(run.pointer, self._in[name][0], None, None)
            idle.append(run)

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any],
            run_options: RunOptions | None = None) -> list[Any]:
        """Runs the model: arrays (or lists, dicts, None) in the order of `output_names`, all
        outputs if that is None."""
        return self._run_values(self._wanted(output_names), input_feed, run_options,
                                _values.python_of)

    def run_with_ort_values(self, output_names: Sequence[str] | None,
                            input_dict_ort_values: Mapping[str, OrtValue],
                            run_options: RunOptions | None = None) -> list[OrtValue]:
        """The same with OrtValues on both sides."""
        return self._run_values(self._wanted(output_names), input_dict_ort_values,
                                run_options, OrtValue)

    def run_async(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any],
                  callback: Callable[[list, Any, str], None], user_data: Any = None,
                  run_options: RunOptions | None = None) -> None:
        """Runs in another thread, which then calls callback(results, user_data, error)."""
        def work() -> None:
            try:
                results, text = self.run(output_names, input_feed, run_options), ""
            except Exception as e:  # noqa: BLE001
                results, text = [], str(e) or type(e).__name__
            callback(results, user_data, text)
        if self._pool is None:
            self._pool = concurrent.futures.ThreadPoolExecutor(thread_name_prefix="planish")
        self._pool.submit(work)

    def io_binding(self) -> "IOBinding":
        from .iobinding import IOBinding
        return IOBinding(self)

    def run_with_iobinding(self, iobinding: "IOBinding",
                           run_options: RunOptions | None = None) -> None:
        """Runs with what is bound; the outputs are the binding's afterwards."""
        if iobinding._session is not self:
            raise InvalidArgument("the binding belongs to another session")
        iobinding._execute(run_options)

    # ---- profiling

    def get_profiling_start_time_ns(self) -> int:
        return self._profile.start_ns if self._profile else 0

    def end_profiling(self) -> str:
        """Writes the times of all runs so far, in Chrome's trace format; the file's name, or
        "" if profiling was not enabled."""
        if self._profile is None:
            return ""
        profile, self._profile = self._profile, None
        return profile.write()
