"""Options of sessions and runs, with ONNX Runtime's names.
SPDX-License-Identifier: Apache-2.0
"""
from __future__ import annotations

import enum
import sys
import threading
import warnings
from typing import Any

from ._library import quick
from .errors import InvalidArgument, NotImplemented  # noqa: A004

__all__ = ["ExecutionMode", "ExecutionOrder", "GraphOptimizationLevel", "RunOptions",
           "SessionOptions", "set_default_logger_severity", "set_seed"]


class GraphOptimizationLevel(enum.IntEnum):
    """How much a session rewrites its model. DISABLE_ALL runs it as it is, BASIC applies what
    changes no bit, and the others everything, fused operators included."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(enum.IntEnum):
    """Nodes run one after the other, each on all threads, in both modes."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class ExecutionOrder(enum.IntEnum):
    """The order is planned for memory, whatever is asked for."""

    DEFAULT = 0
    PRIORITY_BASED = 1
    MEMORY_EFFICIENT = 2


class _Defaults:
    severity: int | None = None
    seed = 0


def set_default_logger_severity(severity: int) -> None:
    """0 verbose, 1 info, 2 warning, 3 error, 4 fatal: of sessions that set none."""
    if severity not in range(5):
        raise InvalidArgument("a severity is 0 to 4, not %r" % (severity,))
    _Defaults.severity = severity


def set_seed(seed: int) -> None:
    """The seed of random operators without one of their own, for sessions made later."""
    _Defaults.seed = int(seed)


class SessionOptions:
    """Options of an InferenceSession.

    What sets how the model is rewritten, how many threads run it, and where things are
    written, does that. Options that choose between ways in which ONNX Runtime manages memory
    and threads are accepted and change nothing: ``enable_cpu_mem_arena``,
    ``enable_mem_pattern``, ``enable_mem_reuse``, ``execution_mode``, ``execution_order``,
    ``inter_op_num_threads``, ``use_deterministic_compute`` (results never depend on the
    number of threads).
    """

    __slots__ = (
        "_dims", "_entries", "_initializers", "_plugins", "enable_cpu_mem_arena", "enable_mem_pattern",
        "enable_mem_reuse", "enable_profiling", "execution_mode", "execution_order",
        "graph_optimization_level", "inter_op_num_threads", "intra_op_num_threads",
        "log_severity_level", "log_verbosity_level", "logid", "optimized_model_filepath",
        "profile_file_prefix", "use_deterministic_compute", "use_per_session_threads")

    def __init__(self) -> None:
        self.intra_op_num_threads = 0
        self.inter_op_num_threads = 0
        self.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.optimized_model_filepath = ""
        self.execution_mode = ExecutionMode.ORT_SEQUENTIAL
        self.execution_order = ExecutionOrder.DEFAULT
        self.enable_profiling = False
        self.profile_file_prefix = "planish_profile_"
        self.logid = ""
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.enable_cpu_mem_arena = True
        self.enable_mem_pattern = True
        self.enable_mem_reuse = True
        self.use_deterministic_compute = False
        self.use_per_session_threads = True
        self._entries: dict[str, str] = {}
        self._dims: dict[str, int] = {}
        self._initializers: dict[str, Any] = {}
        self._plugins: list[str] = []

    def add_free_dimension_override_by_name(self, dim_name: str, dim_value: int) -> None:
        """Gives a symbolic dimension a size before the model is rewritten."""
        if dim_value < 0:
            raise InvalidArgument("dimension %r can't be %r" % (dim_name, dim_value))
        self._dims[dim_name] = int(dim_value)

    def add_free_dimension_override_by_denotation(self, denotation: str, value: int) -> None:
        raise NotImplemented("dimensions are overridden by name, not by denotation")

    def add_session_config_entry(self, key: str, value: str) -> None:
        """A setting by its key. Those with a meaning here: "planish.device" (ref, cpu, dnnl),
        "planish.seed", "session.model_external_initializers_file_folder_path". Others are
        kept and change nothing."""
        self._entries[str(key)] = str(value)

    def get_session_config_entry(self, key: str) -> str:
        if key not in self._entries:
            raise InvalidArgument("there is no config entry %r" % key)
        return self._entries[key]

    def register_custom_ops_library(self, path: str) -> None:
        """A shared object with pln_plugin_init(), whose operators the model may use."""
        self._plugins.append(str(path))

    def add_initializer(self, name: str, ort_value: Any) -> None:
        """Gives the model's initializer `name` the contents of an OrtValue of the same type and
        shape, whose memory is used where it is."""
        if not hasattr(ort_value, "_tensor"):
            raise InvalidArgument("initializer %r needs an OrtValue" % (name,))
        self._initializers[str(name)] = ort_value

    def add_external_initializers(self, names: Any, ort_values: Any) -> None:
        raise NotImplemented("external initializers are read from their files")

    def _severity(self) -> int | None:
        own = self.log_severity_level
        return own if own >= 0 else _Defaults.severity

    def _seed(self) -> int:
        return int(self._entries.get("planish.seed", _Defaults.seed))


class RunOptions:
    """Options of one run.

    ``terminate = True`` ends the runs that were given these options, from any thread, with
    planish.errors.Cancelled; ``deadline_ms`` ends them with LimitExceeded.
    """

    __slots__ = ("_entries", "_lock", "_running", "_terminate", "deadline_ms",
                 "log_severity_level", "log_verbosity_level", "logid",
                 "only_execute_path_to_fetches")

    def __init__(self) -> None:
        self.log_severity_level = 2
        self.log_verbosity_level = 0
        self.logid = ""
        self.only_execute_path_to_fetches = False
        self.deadline_ms = 0
        self._entries: dict[str, str] = {}
        self._terminate = False
        self._lock = threading.Lock()
        self._running: set[int] = set()

    @property
    def terminate(self) -> bool:
        return self._terminate

    @terminate.setter
    def terminate(self, value: bool) -> None:
        with self._lock:
            self._terminate = bool(value)
            if value:
                for run in self._running:
                    quick.pln_run_cancel(run)

    def add_run_config_entry(self, key: str, value: str) -> None:
        self._entries[str(key)] = str(value)

    def get_run_config_entry(self, key: str) -> str:
        if key not in self._entries:
            raise InvalidArgument("there is no config entry %r" % key)
        return self._entries[key]

    def _enter(self, run: int) -> bool:
        """Registers a run that is about to start; False: it shall not."""
        with self._lock:
            if not self._terminate:
                self._running.add(run)
            return not self._terminate

    def _leave(self, run: int) -> None:
        with self._lock:
            self._running.discard(run)


#: ONNX Runtime's severities as levels of the library's log (error, warn, info, debug).
_LEVELS = {0: 3, 1: 2, 2: 1, 3: 0, 4: 0}


def log_level(severity: int) -> int:
    return _LEVELS[severity]


def log_line(_user: Any, level: int, text: bytes) -> None:
    name = ("error", "warning", "info", "debug")[min(level, 3)]
    print("planish: %s: %s" % (name, text.decode("utf-8", "replace")), file=sys.stderr)


#: Providers that can be asked for, and the device that each stands for.
PROVIDERS = {"CPUExecutionProvider": None, "DnnlExecutionProvider": None}


def device_of(providers: Any, provider_options: Any) -> str | None:
    """The device that a list of providers asks for; others than ours are passed over."""
    device = None
    options = list(provider_options or [])
    known = 0
    for k, provider in enumerate(providers or ["CPUExecutionProvider"]):
        name, own = provider if isinstance(provider, tuple) else (provider, {})
        if k < len(options) and options[k]:
            own = options[k]
        if name not in PROVIDERS:
            warnings.warn("planish has no provider %r; available: %s"
                          % (name, ", ".join(PROVIDERS)), UserWarning, stacklevel=4)
            continue
        known += 1
        device = device or own.get("device")
    if not known:
        warnings.warn("none of the providers is available: running on the processor",
                      UserWarning, stacklevel=4)
    return device
