#!/usr/bin/env python3
"""Operators of the domain com.microsoft against ONNX Runtime.
SPDX-License-Identifier: Apache-2.0

usage: check_ms.py --planish COMMAND [--seed N] [--only PATTERN] [--list]

Each module of tests/oracle/ms/ makes small models of a family of operators (`cases(rng)`, see
ms/case.py). Each runs in ONNX Runtime with all graph optimizations off, or has its own expected
outputs where ONNX Runtime has no such kernel; planish must give the same by its reference kernels
and by its optimized ones, and the same bits on 1 and on 3 threads. `planish info` must know the
outputs' types and ranks when all dimensions of the inputs are symbols, and every dimension that it
gives must be true for the case. --seed draws other data and sizes. Prints TAP.
"""
import argparse
import fnmatch
import importlib
import json
import os
import pkgutil
import re
import sys
import tempfile

import numpy as np
import onnx

import harness
import ms
from harness import Fault

DEVICES = {"ref": ["--device", "ref", "--no-optimize"], "default": ["--threads", "1"],
           "threads": ["--threads", "3"]}


# ---- what is right ----

def onnxruntime_outputs(model, feeds):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options,
                                       providers=["CPUExecutionProvider"])
        types = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
        given = {k: ort.OrtValue.ortvalue_from_numpy_with_onnx_type(
                     np.asarray(v, order="C"), types[k]) for k, v in feeds.items()}
        got = session.run_with_ort_values([o.name for o in model.graph.output], given)
        return {o.name: as_float(g.numpy(), o) for o, g in zip(model.graph.output, got)}
    except Exception as e:  # onnxruntime's own types: one for each of its codes
        raise Fault("onnxruntime: %s" % " ".join(str(e).split())[:400]) from None


def as_float(a, value):
    """bfloat16 and the like, which numpy does not have, as float32: so planish writes them."""
    if value.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16 and a.dtype != np.float32:
        return (a.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return a


def expected(case):
    if case.want is not None:
        return case.want() if callable(case.want) else case.want
    return onnxruntime_outputs(case.ort or case.model, case.ort_feeds or case.feeds)


# ---- comparing ----

def compare(case, want, got):
    for name, w in want.items():
        if w is None or (case.ort is not None and name not in {
                o.name for o in case.model.graph.output}):  # present in the model, not to be compared
            continue
        w = np.asarray(w)
        g = got.get(name)
        if w.dtype.kind == "f" and g is not None and g.dtype.kind == "f" and (
                case.ort is not None or case.want is not None):
            # its own precision is that of the model in another type, or of numpy
            w = w.astype(g.dtype)
        harness.same_form(name, w, g)
        mask = case.compared.get(name) if case.compared else None
        if mask is not None:
            w, g = w[mask], g[mask]
        if w.dtype.kind != "f":
            off = np.abs(w.astype(np.int64) - g.astype(np.int64)) if w.dtype.kind in "iu" \
                else (w != g).astype(np.int64)
            if off.size and off.max() > case.levels:
                raise Fault("output %r: %d of %d values differ, by up to %d"
                            % (name, np.count_nonzero(off > case.levels), w.size, off.max()))
            continue
        rel = relative(w, g)
        if not rel <= case.tolerance:
            raise Fault("output %r: off by %.3g x max, want %g" % (name, rel, case.tolerance))


def relative(want, got):
    """The largest difference over the largest finite value (or 1e-6); same NaN and infinities."""
    want, got = want.astype(np.float64), got.astype(np.float64)
    if want.size and not np.any(np.isfinite(want)):
        return 0.0 if np.array_equal(want, got, equal_nan=True) else np.inf
    if want.size and np.max(np.abs(want[np.isfinite(want)])) < 1e-6:
        return float(np.max(np.abs(got - want)) / 1e-6) if np.all(np.isfinite(got)) else np.inf
    return harness.relative_to_max(want, got)


# ---- planish ----

def run_planish(planish, path, feeds_path, folder, options):
    out = os.path.join(folder, "out.npz")
    harness.command([planish, "run", path, "--inputs", feeds_path, "--outputs", out, "-q",
                     *options])
    return harness.load_npz(out)


def numeric(args, case, folder):
    path, feeds_path = os.path.join(folder, "m.onnx"), os.path.join(folder, "in.npz")
    onnx.save(case.model, path)
    np.savez(feeds_path, **{"in:" + k: v for k, v in case.feeds.items()})
    if case.refused:
        done = harness.command([args.planish, "run", path, "--inputs", feeds_path],
                               ok=(3, 4, 5))
        text = done.stderr.decode("utf-8", "replace")
        if not re.search(case.refused, text):
            raise Fault("refused, but not for %r: %s" % (case.refused, text.strip()[:200]))
        return
    want = expected(case)
    results = {}
    for device, options in DEVICES.items():
        results[device] = run_planish(args.planish, path, feeds_path, folder, options)
        try:
            compare(case, want, results[device])
        except Fault as e:
            raise Fault("%s: %s" % (device, e)) from None
    for name, a in results["default"].items():
        if a.tobytes() != results["threads"][name].tobytes():
            raise Fault("output %r depends on the number of threads" % name)


# ---- shapes ----

def symbolic(model):
    """The model with a symbol for each dimension of its inputs, and outputs without types."""
    m = onnx.ModelProto()
    m.CopyFrom(model)
    for v in m.graph.input:
        for i, d in enumerate(v.type.tensor_type.shape.dim):
            d.dim_param = "%s_%d" % (v.name, i)
    del m.graph.value_info[:]
    for v in m.graph.output:
        v.ClearField("type")
    return m


def true_dim(text, sizes):
    """The value of "2*x_1+1" and the like: planish's expressions are Python's, but for the
    rounding of / and for min and max."""
    try:
        return int(eval(text.replace("/", "//"), {"min": min, "max": max,  # noqa: S307
                                                  "ceil": lambda v: v,
                                                  "floor": lambda v: v}, sizes))
    except Exception as e:
        raise Fault("dimension %r: %s" % (text, e)) from None


def shapes(args, case, folder):
    path = os.path.join(folder, "s.onnx")
    onnx.save(symbolic(case.model), path)
    done = harness.command([args.planish, "info", "--json", "-", path])
    sizes = {"%s_%d" % (k, i): n for k, v in case.feeds.items() for i, n in enumerate(v.shape)}
    known = {o["name"]: o for o in json.loads(done.stdout)["outputs"]}
    want = expected(case)
    for o in case.model.graph.output:
        got, w = known[o.name], want.get(o.name)
        if w is None:
            continue
        dims = got.get("shape")
        if dims is None:
            raise Fault("output %r has no shape" % o.name)
        if len(dims) != len(np.shape(w)):
            raise Fault("output %r has rank %d, want %d" % (o.name, len(dims), len(np.shape(w))))
        for i, d in enumerate(dims):
            if d is None or d == "?" or (isinstance(d, int) and d < 0):
                if not case.loose:
                    raise Fault("output %r: nothing is known of dimension %d" % (o.name, i))
                continue
            n = d if isinstance(d, int) else true_dim(d, sizes)
            if n != np.shape(w)[i]:
                raise Fault("output %r: dimension %d is said to be %s = %d, is %d"
                            % (o.name, i, d, n, np.shape(w)[i]))


def check(args, case):
    with tempfile.TemporaryDirectory() as folder:
        numeric(args, case, folder)
        if case.shapes and not case.refused:
            shapes(args, case, folder)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--planish", required=True)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only", default="*", help="names of cases, with * and ?")
    p.add_argument("--list", action="store_true")
    args = p.parse_args()
    tap = harness.Tap()
    for info in sorted(pkgutil.iter_modules(ms.__path__), key=lambda i: i.name):
        module = importlib.import_module("ms." + info.name)
        if not hasattr(module, "cases"):
            continue
        rng = np.random.default_rng([args.seed, *info.name.encode()])
        for case in module.cases(rng):
            name = "%s/%s" % (info.name, case.name)
            if not fnmatch.fnmatch(name, args.only):
                continue
            if args.list:
                print(name)
            else:
                tap.check(name, check, args, case)
    return 0 if args.list else tap.done()


if __name__ == "__main__":
    sys.exit(main())
