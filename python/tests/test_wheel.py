"""The wheel: built, installed where nothing else is, and run there.
SPDX-License-Identifier: Apache-2.0
"""
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile

import numpy
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("PLANISH_BUILD", os.path.join(ROOT, "build"))

PROGRAM = """
import json, numpy as np, planish
m = planish.Model.parse('<ir_version: 8, opset_import: ["" : 17]> '
    'g (float[1, 3, 32, 32] x, float[8, 3, 3, 3] w) => (float[1, 8, 30, 30] y) '
    '{ y = Conv(x, w) }')
s = planish.InferenceSession(m.to_bytes())
y = s.run(None, {"x": np.ones((1, 3, 32, 32), np.float32),
                 "w": np.ones((8, 3, 3, 3), np.float32)})[0]
maps = sorted({l.split()[-1] for l in open("/proc/self/maps") if "/lib" in l})
print(json.dumps({"y": float(y.max()), "shape": y.shape, "path": planish.LIBRARY_PATH,
                  "version": planish.__version__, "maps": maps, "file": planish.__file__}))
"""


def needs_tools():
    for tool in ("meson", "ldd", "readelf"):
        if not shutil.which(tool):
            pytest.skip("%s is not here" % tool)
    if sys.version_info < (3, 11):
        pytest.skip("building wheels needs Python 3.11")
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        pytest.skip("there is no build folder")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    needs_tools()
    out = tmp_path_factory.mktemp("wheel")
    with_dnnl = os.path.exists(os.path.join(ROOT, ".deps", "onednn", "lib"))
    subprocess.run([sys.executable, os.path.join(ROOT, "python", "build_wheel.py"),
                    "--build", BUILD, "--out", str(out),
                    *([] if with_dnnl else ["--no-dnnl"])], check=True, timeout=300)
    found = list(out.glob("*.whl"))
    assert len(found) == 1
    return found[0]


def test_the_record_is_right(wheel):
    with zipfile.ZipFile(wheel) as z:
        names = z.namelist()
        record = next(n for n in names if n.endswith("/RECORD"))
        rows = [line.split(",") for line in z.read(record).decode().splitlines()]
        assert sorted(r[0] for r in rows) == sorted(names)
        for name, digest, size in rows:
            if name == record:
                continue
            data = z.read(name)
            want = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
            assert digest == "sha256=" + want.decode() and int(size) == len(data), name
        assert "planish/lib/libplanish.so.0" in names and "planish/py.typed" in names
        assert any(n.endswith("licenses/LICENSE") for n in names)
        modules = {n for n in names if n.startswith("planish/") and n.endswith(".py")}
    assert modules == {"planish/" + n for n in os.listdir(os.path.join(ROOT, "python",
                                                                       "planish"))
                       if n.endswith(".py")}


def test_it_runs_where_nothing_else_is(wheel, tmp_path):
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), "install", "-q",
                    "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)],
                   check=True, timeout=120)
    site = next((home / "lib").glob("python*/site-packages"))
    numpy_home = os.path.dirname(os.path.dirname(numpy.__file__))
    for name in ("numpy", "numpy.libs"):  # all that it may need
        if os.path.exists(os.path.join(numpy_home, name)):
            (site / name).symlink_to(os.path.join(numpy_home, name))
    env = {k: v for k, v in os.environ.items()
           if k not in ("PYTHONPATH", "PLANISH_LIBRARY", "LD_LIBRARY_PATH")}
    done = subprocess.run([str(python), "-c", PROGRAM], cwd=tmp_path, env=env, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["y"] == 27 and told["shape"] == [1, 8, 30, 30]
    assert told["path"].startswith(str(home)) and told["file"].startswith(str(home))
    loaded = {os.path.basename(p): p for p in told["maps"]}
    for name, path in loaded.items():
        if name.startswith(("libplanish", "libdnnl", "libgomp", "libprotobuf-c")):
            assert path.startswith(str(home)), path
    assert any(n.startswith("libplanish") for n in loaded)


def test_the_command(tmp_path):
    needs_tools()
    from planish.__main__ import find_command
    if not find_command():
        pytest.skip("the command is not built")
    env = dict(os.environ, PYTHONPATH=os.path.join(ROOT, "python"))
    done = subprocess.run([sys.executable, "-m", "planish", "--version"], cwd=tmp_path,
                          env=env, stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0 and "planish" in done.stdout
    bad = subprocess.run([sys.executable, "-m", "planish", "no-such-verb"], cwd=tmp_path,
                         env=env, stderr=subprocess.PIPE, timeout=60)
    assert bad.returncode == 2
