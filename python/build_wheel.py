#!/usr/bin/env python3
"""Put the package and the compiled C library into a wheel. Nothing is compiled here.
SPDX-License-Identifier: Apache-2.0

usage: build_wheel.py [--build DIR] [--out DIR] [--no-dnnl] [--image] [--command]

DIR is a meson build folder of this tree (../build); it is installed, stripped, to a temporary
folder, and taken from there. The wheel holds libplanish with libprotobuf-c and libgomp, and
libdnnl.so.3 (28 MB of it) unless --no-dnnl is given. --image adds the module behind ImageDecoder
and --command the command; both use the system's libraries for pictures and archives, so that
such a wheel is tagged linux_* and not manylinux_*.

It is a build backend (PEP 517, PEP 660), too: `pip wheel python/`, `pip install -e python/`, with
--config-settings build=DIR, dnnl=no, image=yes, command=yes.
"""
import argparse
import base64
import glob
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
#: Libraries that every manylinux system has (PEP 600), and the loader.
SYSTEM = re.compile(r"(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|ld-linux[\w-]*)\.so")
#: Libraries that come along: their licences allow it (BSD; GPL with the runtime exception).
ALONG = re.compile(r"(libprotobuf-c|libgomp)\.so")
#: Same time stamps, same wheel.
EPOCH = (1980, 1, 1, 0, 0, 0)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        text = (done.stderr or done.stdout).strip().splitlines()
        sys.exit("build_wheel: %s: %s" % (os.path.basename(command[0]),
                                          text[-1] if text else "failed"))
    return done.stdout


def project():
    with open(os.path.join(HERE, "pyproject.toml"), "rb") as f:
        return tomllib.load(f)["project"]


def version():
    with open(os.path.join(ROOT, "meson.build")) as f:
        return re.search(r"version: '([^']+)'", f.read())[1]


# ---- the library and what it needs -------------------------------------------------------

def needed(path):
    """{name: where the loader finds it} of all that a file needs."""
    found = {}
    for line in run("ldd", path).splitlines():
        match = re.match(r"\s*(\S+) => (\S+)", line)
        if match:
            found[os.path.basename(match[1])] = match[2]
    return found


def direct(path):
    """Names that a file itself needs."""
    return re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-dW", path))


def glibc(path):
    """The newest (major, minor) of glibc's symbols that a file asks for."""
    found = re.findall(r"Name: GLIBC_(\d+)\.(\d+)", run("readelf", "-VW", path))
    return max(((int(a), int(b)) for a, b in found), default=(2, 5))


def install(build, folder):
    """The library folder and the command of an installed, stripped build."""
    if not os.path.exists(os.path.join(build, "build.ninja")):
        sys.exit("build_wheel: %s is no build folder: meson setup build && ninja -C build"
                 % build)
    env = dict(os.environ, DESTDIR=folder)
    done = subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet",
                           "--strip"], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    libraries = glob.glob(os.path.join(folder, "**", "libplanish.so.0"), recursive=True)
    if done.returncode or not libraries:
        sys.exit("build_wheel: meson install: %s" % done.stdout.strip()[-300:])
    command = glob.glob(os.path.join(folder, "**", "bin", "planish"), recursive=True)
    return os.path.dirname(libraries[0]), command[0] if command else None


def collect(build, folder, dnnl, image, command):
    """{place in the wheel: file} of everything compiled."""
    libdir, tool = install(build, folder)
    files = {"planish/lib/libplanish.so.0": os.path.join(libdir, "libplanish.so.0")}
    for name, path in needed(files["planish/lib/libplanish.so.0"]).items():
        if ALONG.match(name):
            files["planish/lib/" + name] = path
    wanted = {"libdnnl.so.3": dnnl, "libplanish-image.so.0": image}
    for name in (n for n, wish in wanted.items() if wish):
        path = os.path.join(libdir, name)
        if not os.path.exists(path):
            sys.exit("build_wheel: the build has installed no %s; build with it, or leave it "
                     "out" % name)
        files["planish/lib/" + name] = path
    if command:
        if not tool:
            sys.exit("build_wheel: the build has no command (-Dtools=enabled)")
        files["planish/bin/planish"] = tool
    return {place: os.path.realpath(path) for place, path in files.items()}


def platform_tag(files):
    """manylinux_X_Y where nothing but what every such system has is needed."""
    machine = platform.machine()
    inside = {os.path.basename(place) for place in files}
    for path in files.values():
        for name in direct(path):
            if name not in inside and not SYSTEM.match(name):
                return "linux_" + machine
    return "manylinux_%d_%d_%s" % (*max(map(glibc, files.values())), machine)


def notices(files):
    """Licence texts of the libraries that come along, where the system has them."""
    found = {"LICENSE": os.path.join(ROOT, "LICENSE")}
    for place in files:
        name = os.path.basename(place)
        if not ALONG.match(name):
            continue
        stem = name.split(".so")[0]
        for path in sorted(glob.glob("/usr/share/doc/%s*/copyright" % stem)):
            found["LICENSE.%s" % stem] = path
            break
    return found


# ---- the wheel ---------------------------------------------------------------------------

def metadata(p):
    lines = ["Metadata-Version: 2.4", "Name: " + p["name"], "Version: " + version(),
             "Summary: " + p["description"], "License-Expression: " + p["license"],
             "License-File: LICENSE", "Requires-Python: " + p["requires-python"],
             "Keywords: " + ",".join(p["keywords"])]
    lines += ["Classifier: " + c for c in p["classifiers"]]
    lines += ["Requires-Dist: " + d for d in p["dependencies"]]
    for extra, wants in p["optional-dependencies"].items():
        lines.append("Provides-Extra: " + extra)
        lines += ["Requires-Dist: %s; extra == '%s'" % (d, extra) for d in wants]
    with open(os.path.join(HERE, p["readme"]), encoding="utf-8") as f:
        return "\n".join(lines + ["Description-Content-Type: text/markdown", "", f.read()])


class Wheel:
    """A wheel under construction: files, then the record of them."""

    def __init__(self, folder, tag):
        p = project()
        self.info = "%s-%s.dist-info" % (p["name"], version())
        self.name = "%s-%s-py3-none-%s.whl" % (p["name"], version(), tag)
        self.path = os.path.join(folder, self.name)
        self.part = self.path + ".part"
        self.zip = zipfile.ZipFile(self.part, "w", zipfile.ZIP_DEFLATED)
        self.record = []
        self.put(self.info + "/METADATA", metadata(p).encode())
        self.put(self.info + "/WHEEL", (
            "Wheel-Version: 1.0\nGenerator: planish build_wheel\n"
            "Root-Is-Purelib: %s\nTag: py3-none-%s\n"
            % ("true" if tag == "any" else "false", tag)).encode())

    def put(self, name, data, mode=0o644):
        entry = zipfile.ZipInfo(name, EPOCH)
        entry.external_attr = (0o100000 | mode) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        self.zip.writestr(entry, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
        self.record.append("%s,sha256=%s,%d" % (name, digest.decode(), len(data)))

    def put_file(self, name, path, mode=0o644):
        with open(path, "rb") as f:
            self.put(name, f.read(), mode)

    def close(self):
        name = self.info + "/RECORD"
        self.put(name, "\n".join([*self.record, name + ",,", ""]).encode())
        self.zip.close()
        os.replace(self.part, self.path)
        return self.path


def make(build, out, dnnl=True, image=False, command=False):
    """Writes the wheel; its path."""
    os.makedirs(out, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        files = collect(build, folder, dnnl, image, command)
        wheel = Wheel(out, platform_tag(files))
        for path in sorted(glob.glob(os.path.join(HERE, "planish", "*.py")) +
                           [os.path.join(HERE, "planish", "py.typed")]):
            wheel.put_file("planish/" + os.path.basename(path), path)
        for place, path in sorted(files.items()):
            wheel.put_file(place, path, 0o755)
        if "planish/bin/planish" in files:  # otherwise it would only hide one that is installed
            wheel.put(wheel.info + "/entry_points.txt",
                      b"[console_scripts]\nplanish = planish.__main__:main\n")
        for name, path in notices(files).items():
            wheel.put_file("%s/licenses/%s" % (wheel.info, name), path)
        return wheel.close()


# ---- PEP 517 and PEP 660 -----------------------------------------------------------------

def _yes(settings, key, default):
    return str((settings or {}).get(key, "yes" if default else "no")).lower() in (
        "yes", "true", "1", "on")


def _build_folder(settings):
    return os.path.abspath((settings or {}).get(
        "build", os.environ.get("PLANISH_BUILD", os.path.join(ROOT, "build"))))


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return os.path.basename(make(
        _build_folder(config_settings), wheel_directory, _yes(config_settings, "dnnl", True),
        _yes(config_settings, "image", False), _yes(config_settings, "command", False)))


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """The package of the tree; it finds the library in ../build."""
    wheel = Wheel(wheel_directory, "any")
    wheel.put("planish.pth", (HERE + "\n").encode())
    wheel.put_file(wheel.info + "/licenses/LICENSE", os.path.join(ROOT, "LICENSE"))
    return os.path.basename(wheel.close())


def build_sdist(sdist_directory, config_settings=None):
    raise NotImplementedError("the sources are those of the whole project, not of the package")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "wheel"), metavar="DIR")
    parser.add_argument("--no-dnnl", action="store_true")
    parser.add_argument("--image", action="store_true")
    parser.add_argument("--command", action="store_true")
    args = parser.parse_args()
    for tool in ("meson", "ldd", "readelf"):
        if not shutil.which(tool):
            sys.exit("build_wheel: %s is missing" % tool)
    path = make(args.build, args.out, not args.no_dnnl, args.image, args.command)
    print("%s  %.1f MB" % (path, os.path.getsize(path) / 1e6))
    return 0


if __name__ == "__main__":
    sys.exit(main())
