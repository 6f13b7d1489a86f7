"""Finding and loading libplanish, and the prototypes of its functions.
SPDX-License-Identifier: Apache-2.0
"""
from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from ctypes import (
    CFUNCTYPE, POINTER, Structure, c_bool, c_char_p, c_int, c_int64, c_size_t,
    c_uint32, c_uint64, c_void_p,
)
from typing import Any, Iterator

__all__ = ["LIBRARY_PATH", "SUPPORTED", "lib", "quick"]

#: Versions of the library whose interface this package knows: major and minor.
SUPPORTED = (0, 1)

_HERE = os.path.dirname(os.path.abspath(__file__))

# ---- structs of planish.h, field by field ------------------------------------------------

RELEASE_FN = CFUNCTYPE(None, c_void_p, c_void_p)
LOG_FN = CFUNCTYPE(None, c_void_p, c_int, c_char_p)


class Allocator(Structure):
    _fields_ = [("alloc", c_void_p), ("free", c_void_p), ("user", c_void_p)]


class Limits(Structure):
    _fields_ = [("file_bytes", c_uint64), ("tensor_bytes", c_uint64),
                ("run_bytes", c_uint64), ("nodes", c_uint32), ("depth", c_uint32)]


class Sized(Structure):
    """A struct that begins with its own size, so that the library can grow it."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(type(self)), **fields)


class EnvDesc(Sized):
    _fields_ = [("struct_size", c_size_t), ("allocator", Allocator), ("log", LOG_FN),
                ("log_user", c_void_p), ("log_level", c_int), ("limits", Limits)]


class LoadOptions(Sized):
    _fields_ = [("struct_size", c_size_t), ("copy", c_bool), ("no_external", c_bool),
                ("directory", c_char_p), ("release", RELEASE_FN), ("user", c_void_p)]


class SaveOptions(Sized):
    _fields_ = [("struct_size", c_size_t), ("external_data", c_char_p),
                ("external_threshold", c_uint64), ("keep_external", c_bool)]


class PrintOptions(Sized):
    _fields_ = [("struct_size", c_size_t), ("inline_limit", c_uint32),
                ("data_path", c_char_p)]


class OptimizeOptions(Sized):
    _fields_ = [("struct_size", c_size_t), ("level", c_int), ("target", c_int),
                ("allow_approx", c_bool), ("passes", c_char_p), ("disable", c_char_p),
                ("debug", c_char_p), ("fold_growth", c_uint64), ("no_stamp", c_bool),
                ("verify", c_int), ("stats", c_bool), ("explain", c_char_p)]


class Feed(Structure):
    _fields_ = [("name", c_char_p), ("tensor", c_void_p)]


CALIBRATION_FN = CFUNCTYPE(c_bool, c_void_p, c_size_t, POINTER(POINTER(Feed)),
                           POINTER(c_size_t))


class QuantizeOptions(Sized):
    _fields_ = [("struct_size", c_size_t), ("mode", c_int), ("activations", c_int),
                ("weights", c_int), ("per_tensor", c_bool), ("reduce_range", c_bool),
                ("exclude", c_char_p), ("calibration", CALIBRATION_FN),
                ("user", c_void_p)]


class SessionOptionsStruct(Sized):
    _fields_ = [("struct_size", c_size_t), ("threads", c_int), ("no_optimize", c_bool),
                ("device", c_char_p), ("seed", c_uint64), ("all_values", c_bool)]


class IoInfo(Structure):
    _fields_ = [("name", c_void_p), ("name_len", c_size_t), ("kind", c_int),
                ("dtype", c_int), ("rank", c_int), ("dims", POINTER(c_int64)),
                ("dim_names", POINTER(c_char_p)), ("has_default", c_bool),
                ("type", c_char_p)]


class RunOptionsStruct(Sized):
    _fields_ = [("struct_size", c_size_t), ("deadline_ms", c_uint32),
                ("profile", c_bool)]


# ---- functions ---------------------------------------------------------------------------

_OUT = POINTER(c_void_p)
_SIZE = POINTER(c_size_t)

#: Calls that may take long or wait for a lock: the interpreter's lock is let go.
_SLOW = {
    "pln_env_new": (c_int, [c_void_p, _OUT, c_void_p]),
    "pln_env_free": (None, [c_void_p]),
    "pln_env_load_plugin": (c_int, [c_void_p, c_char_p, c_void_p]),
    "pln_tensor_parse": (c_int, [c_void_p, c_int, c_char_p, c_size_t, _OUT, c_void_p]),
    "pln_tensor_serialize": (c_int, [c_void_p, c_void_p, c_char_p, _OUT, _SIZE, c_void_p]),
    "pln_model_load": (c_int, [c_void_p, c_char_p, c_void_p, _OUT, c_void_p]),
    "pln_model_load_memory": (c_int, [c_void_p, c_void_p, c_size_t, c_void_p, _OUT,
                                      c_void_p]),
    "pln_model_free": (None, [c_void_p]),
    "pln_model_clone": (c_int, [c_void_p, _OUT, c_void_p]),
    "pln_model_extract": (c_int, [c_void_p, POINTER(c_char_p), c_size_t, POINTER(c_char_p),
                                  c_size_t, c_void_p]),
    "pln_model_rename": (c_int, [c_void_p, c_int, c_char_p, c_char_p, c_void_p]),
    "pln_model_convert_opset": (c_int, [c_void_p, c_int64, _OUT, c_void_p]),
    "pln_model_save": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p]),
    "pln_model_save_memory": (c_int, [c_void_p, _OUT, _SIZE, c_void_p]),
    "pln_model_print": (c_int, [c_void_p, c_void_p, _OUT, c_void_p]),
    "pln_model_parse": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, _OUT, c_void_p]),
    "pln_model_header": (c_int, [c_void_p, _OUT, c_void_p]),
    "pln_model_info": (c_int, [c_void_p, _OUT, c_void_p]),
    "pln_model_check": (c_int, [c_void_p, _OUT, _SIZE, c_void_p]),
    "pln_model_values": (c_int, [c_void_p, _OUT, c_void_p]),
    "pln_model_set_dim": (c_int, [c_void_p, c_char_p, c_int64, c_void_p]),
    "pln_model_set_initializer": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p]),
    "pln_model_set_metadata": (c_int, [c_void_p, c_char_p, c_char_p, c_void_p]),
    "pln_model_optimize": (c_int, [c_void_p, c_void_p, _OUT, c_void_p]),
    "pln_model_quantize": (c_int, [c_void_p, c_void_p, _OUT, c_void_p]),
    "pln_passes_list": (c_int, [_OUT, c_void_p]),
    "pln_session_new": (c_int, [c_void_p, c_void_p, _OUT, c_void_p]),
    "pln_session_free": (None, [c_void_p]),
    "pln_run_new": (c_int, [c_void_p, _OUT, c_void_p]),
    "pln_run_free": (None, [c_void_p]),
    "pln_run_bind_input": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p]),
    "pln_run_bind_output": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p]),
    "pln_run_execute": (c_int, [c_void_p, c_void_p, c_void_p]),
    "pln_run_profile": (c_int, [c_void_p, _OUT, c_void_p]),
}

#: Calls that only look, and take less than letting go of the lock would.
_QUICK = {
    "pln_version": (c_uint32, []),
    "pln_version_string": (c_char_p, []),
    "pln_cpu_name": (c_char_p, []),
    "pln_dtype_name": (c_char_p, [c_int]),
    "pln_dtype_size": (c_size_t, [c_int]),
    "pln_error_new": (c_void_p, []),
    "pln_error_free": (None, [c_void_p]),
    "pln_error_text": (c_char_p, [c_void_p]),
    "pln_error_get": (c_char_p, [c_void_p, c_char_p]),
    "pln_error_offset": (c_int64, [c_void_p]),
    "pln_status_exit_code": (c_int, [c_int]),
    "pln_status_name": (c_char_p, [c_int]),
    "pln_env_opset": (c_int64, [c_void_p, c_char_p]),
    "pln_free": (None, [c_void_p, c_void_p]),
    "pln_tensor_new": (c_int, [c_void_p, c_int, c_int, POINTER(c_int64), _OUT, c_void_p]),
    "pln_tensor_view": (c_int, [c_void_p, c_int, c_int, POINTER(c_int64), c_void_p,
                                c_size_t, RELEASE_FN, c_void_p, _OUT, c_void_p]),
    "pln_tensor_ref": (c_void_p, [c_void_p]),
    "pln_tensor_unref": (None, [c_void_p]),
    "pln_tensor_kind": (c_int, [c_void_p]),
    "pln_tensor_dtype": (c_int, [c_void_p]),
    "pln_tensor_rank": (c_int, [c_void_p]),
    "pln_tensor_dims": (POINTER(c_int64), [c_void_p]),
    "pln_tensor_count": (c_int64, [c_void_p]),
    "pln_tensor_data": (c_void_p, [c_void_p]),
    "pln_tensor_get_strings": (c_int, [c_void_p, _OUT, c_void_p, c_void_p]),
    "pln_tensor_put_strings": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p]),
    "pln_tensor_new_container": (c_int, [c_void_p, c_int, _OUT, c_void_p]),
    "pln_tensor_append": (c_int, [c_void_p, c_void_p, c_void_p]),
    "pln_tensor_items": (c_size_t, [c_void_p]),
    "pln_tensor_item": (c_void_p, [c_void_p, c_size_t]),
    "pln_model_count": (c_size_t, [c_void_p, c_int]),
    "pln_model_io": (c_int, [c_void_p, c_int, c_size_t, POINTER(IoInfo)]),
    "pln_session_threads": (c_int, [c_void_p]),
    "pln_session_count": (c_size_t, [c_void_p, c_int]),
    "pln_session_io": (c_int, [c_void_p, c_int, c_size_t, POINTER(IoInfo)]),
    "pln_run_output_at": (c_void_p, [c_void_p, c_size_t]),
    "pln_run_value": (c_void_p, [c_void_p, c_char_p]),
    "pln_run_cancel": (None, [c_void_p]),
}


def _candidates() -> Iterator[tuple[str, str]]:
    """Where the library may be, in this order: (path or name, what that place is)."""
    given = os.environ.get("PLANISH_LIBRARY")
    if given:
        yield given, "PLANISH_LIBRARY"
        return  # who names one does not want another
    yield os.path.join(_HERE, "lib", "libplanish.so.0"), "the package"
    source = os.path.dirname(os.path.dirname(_HERE))
    yield os.path.join(source, "build", "libplanish.so.0"), "the build tree"
    yield "libplanish.so.0", "the system"


def _open() -> tuple[ctypes.CDLL, ctypes.PyDLL, str]:
    tried = []
    for path, place in _candidates():
        if os.path.isabs(path) and place != "PLANISH_LIBRARY" and not os.path.exists(path):
            tried.append("%s (%s): not there" % (place, path))
            continue
        try:
            return ctypes.CDLL(path), ctypes.PyDLL(path), path
        except OSError as e:
            tried.append("%s (%s): %s" % (place, path, e))
    raise ImportError(
        "planish: libplanish was not found. Build it (meson setup build && ninja -C build), "
        "install it, or let PLANISH_LIBRARY name it. Tried: " + "; ".join(tried))


def _prototypes(library: ctypes.CDLL, table: dict, path: str) -> None:
    for name, (result, arguments) in table.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError("planish: %s has no function %s: it is older than this package"
                              % (path, name)) from None
        function.restype, function.argtypes = result, arguments


def _check_version(library: ctypes.PyDLL, path: str) -> None:
    library.pln_version.restype = c_uint32
    version = library.pln_version()
    have = (version >> 16, version >> 8 & 0xff)
    if have != SUPPORTED:
        raise ImportError("planish: %s is version %d.%d, this package needs %d.%d"
                          % (path, *have, *SUPPORTED))


if sys.byteorder != "little":  # arrays and the library would disagree about raw bits
    raise ImportError("planish: only little-endian processors are supported")

lib, quick, LIBRARY_PATH = _open()
_check_version(quick, LIBRARY_PATH)
_prototypes(lib, _SLOW, LIBRARY_PATH)
_prototypes(quick, _QUICK, LIBRARY_PATH)
