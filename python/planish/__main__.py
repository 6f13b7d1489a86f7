"""`python -m planish` is the command, where it comes with the package or is installed.
SPDX-License-Identifier: Apache-2.0
"""
from __future__ import annotations

import os
import shutil
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def find_command() -> str | None:
    """The command in the package, in the build tree, or on the path."""
    source = os.path.dirname(os.path.dirname(_HERE))
    for path in (os.path.join(_HERE, "bin", "planish"),
                 os.path.join(source, "build", "tools", "planish")):
        if os.access(path, os.X_OK):
            return path
    return shutil.which("planish")


def main() -> int:
    path = find_command()
    if path is None:
        print("planish: error: the command is not installed (python -m planish)",
              file=sys.stderr)
        return 2
    library = os.path.join(_HERE, "lib")
    if path.startswith(_HERE) and os.path.isdir(library):
        old = os.environ.get("LD_LIBRARY_PATH")
        os.environ["LD_LIBRARY_PATH"] = library + (":" + old if old else "")
    os.execv(path, [path, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
