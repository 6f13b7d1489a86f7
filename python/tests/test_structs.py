"""The structs and functions of this package are those of planish.h.
SPDX-License-Identifier: Apache-2.0
"""
import ctypes
import os
import re
import shutil
import subprocess

import pytest

from planish import _library

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADER = os.path.join(ROOT, "include", "planish", "planish.h")
STRUCTS = {
    "pln_allocator": _library.Allocator, "pln_limits": _library.Limits,
    "pln_env_desc": _library.EnvDesc, "pln_load_options": _library.LoadOptions,
    "pln_save_options": _library.SaveOptions, "pln_print_options": _library.PrintOptions,
    "pln_optimize_options": _library.OptimizeOptions, "pln_feed": _library.Feed,
    "pln_quantize_options": _library.QuantizeOptions,
    "pln_session_options": _library.SessionOptionsStruct, "pln_io_info": _library.IoInfo,
    "pln_run_options": _library.RunOptionsStruct,
}


def test_layouts(tmp_path):
    """Sizes and offsets as the compiler sees them. A struct may have grown: then what this
    package knows of it comes first, and the library is told how much that is."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler or not os.path.exists(HEADER):
        pytest.skip("no C compiler, or no header, here")
    lines = ["#include <planish/planish.h>", "#include <stdio.h>", "int main(void) {"]
    for name, struct in STRUCTS.items():
        lines.append('printf("%s . %%zu\\n", sizeof(%s));' % (name, name))
        lines += ['printf("%s %s %%zu\\n", offsetof(%s, %s));' % (name, f[0], name, f[0])
                  for f in struct._fields_]
    source = tmp_path / "layout.c"
    source.write_text("\n".join(lines) + "}\n")
    subprocess.run([compiler, "-I", os.path.join(ROOT, "include"), str(source), "-o",
                    str(tmp_path / "layout")], check=True, timeout=60)
    done = subprocess.run([str(tmp_path / "layout")], stdout=subprocess.PIPE, text=True,
                          check=True, timeout=60)
    for line in done.stdout.splitlines():
        name, field, number = line.split()
        struct = STRUCTS[name]
        if field != ".":
            assert getattr(struct, field).offset == int(number), (name, field)
        elif struct._fields_[0][0] == "struct_size":
            assert ctypes.sizeof(struct) <= int(number), name
        else:
            assert ctypes.sizeof(struct) == int(number), name


def test_every_function_is_declared():
    with open(HEADER) as f:
        declared = set(re.findall(r"\b(pln_\w+)\(", f.read()))
    used = set(_library._SLOW) | set(_library._QUICK)
    assert used <= declared
