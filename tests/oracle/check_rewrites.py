#!/usr/bin/env python3
"""Rewrite small models of known patterns and traps, side by side with other optimizers.
SPDX-License-Identifier: Apache-2.0

usage: check_rewrites.py --planish COMMAND [--only TEXT] [--table]

For each case of tests/oracle/rewrites: what `planish optimize` writes passes onnx.checker, gives
the results of the original in ONNX Runtime without optimizations (in planish, where it has
operators of our own), does not grow by more than 1% + 4 KB, changes no more on a second run, and
has no more nodes than the best of onnxsim, onnxslim, onnxscript and ONNX Runtime. An optimizer
counts where its file loads, gives the right results, does not grow by more than that, and has
operators of the same domains only. Where one node is left, nobody is asked. Prints TAP; --table
prints the counts of all instead.
"""
import argparse
import concurrent.futures
import multiprocessing
import os
import sys
import tempfile

import numpy as np
import onnx
import onnx_ir
import onnxruntime as ort
import onnxscript.optimizer
import onnxsim
import onnxslim

import harness
import rewrites
from harness import Fault

TOOL_SECONDS = 60


# ---- models ---------------------------------------------------------------------------

def bodies(node):
    for a in node.attribute:
        if a.type == onnx.AttributeProto.GRAPH:
            yield a.g
        yield from a.graphs


def operators(g):
    """The operators of a graph and its bodies, without constants."""
    found = []
    for n in g.node:
        if n.op_type != "Constant":
            found.append((n.domain if n.domain != "ai.onnx" else "", n.op_type))
        for body in bodies(n):
            found += operators(body)
    return found


def interface(m):
    have = {t.name for t in m.graph.initializer}

    def text(v):
        return v.name + str(v.type)
    return ([text(v) for v in m.graph.input if m.ir_version >= 4 or v.name not in have],
            [text(v) for v in m.graph.output])


def session(path):
    o = ort.SessionOptions()
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    o.log_severity_level = 4
    o.intra_op_num_threads = 1
    return ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])


def run_all(path, feeds):
    s = session(path)
    return [s.run(None, f) for f in feeds]


def run_planish(planish, path, feeds, names):
    out = []
    for f in feeds:
        np.savez(path + ".in.npz", **f)
        harness.command([planish, "run", path, "--inputs", path + ".in.npz", "--outputs",
                         path + ".out.npz", "-q"])
        with np.load(path + ".out.npz") as z:
            out.append([z[n] for n in names])
    return out


def same(case, want, got):
    for run, (w, g) in enumerate(zip(want, got)):
        for k, (a, b) in enumerate(zip(w, g)):
            a, b = np.asarray(a), np.asarray(b)
            if a.shape != b.shape or a.dtype != b.dtype:
                raise Fault("run %d: output %d is %s %s, want %s %s" % (
                    run, k, b.dtype, b.shape, a.dtype, a.shape))
            if case.random or a.dtype.kind in "OU":
                continue
            a, b = a.astype(np.float64), b.astype(np.float64)
            finite = np.abs(a[np.isfinite(a)])
            limit = case.tol * max(1.0, finite.max() if finite.size else 1.0)
            if not np.allclose(b, a, rtol=0, atol=limit, equal_nan=True):
                raise Fault("run %d: output %d differs by %g" % (run, k,
                                                                  np.nanmax(np.abs(a - b))))


# ---- other optimizers -----------------------------------------------------------------

def by_onnxsim(src, dst):
    onnx.save(onnxsim.simplify(onnx.load(src))[0], dst)


def by_onnxslim(src, dst):
    onnx.save(onnxslim.slim(onnx.load(src)), dst)


def by_onnxscript(src, dst):
    m = onnx_ir.load(src)
    onnx_ir.save(onnxscript.optimizer.optimize(m) or m, dst)


def by_onnxruntime(src, dst, level="ORT_ENABLE_BASIC"):
    o = ort.SessionOptions()
    o.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    o.optimized_model_filepath = dst
    o.log_severity_level = 4
    ort.InferenceSession(src, o, providers=["CPUExecutionProvider"])


def by_onnxruntime_extended(src, dst):
    by_onnxruntime(src, dst, "ORT_ENABLE_EXTENDED")


PORTABLE = {"onnxsim": by_onnxsim, "onnxslim": by_onnxslim, "onnxscript": by_onnxscript,
            "ort-basic": by_onnxruntime}
FUSING = dict(PORTABLE, **{"ort-extended": by_onnxruntime_extended})


def one_tool(case, tool, src, dst, pipe):
    """In a process of its own, where their modules are loaded: they crash, print and exit."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        m = case.model()
        feeds = [case.inputs(m, k) for k in range(len(case.sizes))]
        want = run_all(src, feeds)
        tool(src, dst)
        got = onnx.load(dst)
        grown = os.path.getsize(dst) > 1.01 * os.path.getsize(src) + 4096
        if interface(m) != interface(got):
            raise Fault("its inputs or outputs changed")
        same(case, want, run_all(dst, feeds))
        domains = {d for d, _ in operators(got.graph)}
        pipe.send((len(operators(got.graph)), grown, sorted(domains)))
    except BaseException as e:  # SystemExit, too
        pipe.send("%s: %s" % (type(e).__name__, str(e)[:200]))
    os._exit(0)


def nodes_by(case, tool, src, dst):
    """(nodes, grown, domains), or why there is none."""
    here, there = multiprocessing.Pipe(duplex=False)
    p = multiprocessing.Process(target=one_tool, args=(case, tool, src, dst, there))
    p.start()
    there.close()
    try:
        found = here.recv() if here.poll(TOOL_SECONDS) else "no end"
    except EOFError:
        found = "crashed"
    p.kill()
    p.join()
    return found


# ---- a case ---------------------------------------------------------------------------

def optimize(planish, case, src, dst):
    harness.command([planish, "optimize", src, dst, "-q"] + case.args)
    again = dst + ".again.onnx"
    harness.command([planish, "optimize", dst, again, "-q"] + case.args)
    return onnx.load(dst), onnx.load(again)


def same_bytes(dst):
    with open(dst, "rb") as a, open(dst + ".again.onnx", "rb") as b:
        return a.read() == b.read()


def target_of(case):
    return case.args[case.args.index("--target") + 1] if "--target" in case.args else "onnx"


def check_result(planish, case, src, dst):
    """The number of nodes of what we make of it; a Fault where something is wrong."""
    before = case.model()
    onnx.save(before, src)
    after, again = optimize(planish, case, src, dst)
    if interface(before) != interface(after):
        raise Fault("its inputs or outputs changed")
    if operators(after.graph) != operators(again.graph) or not same_bytes(dst):
        raise Fault("a second run changes it")
    if os.path.getsize(dst) > 1.01 * os.path.getsize(src) + 4096:
        raise Fault("it grew from %d to %d bytes" % (os.path.getsize(src),
                                                     os.path.getsize(dst)))
    ops = operators(after.graph)
    own = any(d == "planish" for d, _ in ops)
    if not own:
        onnx.checker.check_model(dst, full_check=case.runs)
    if not case.runs:
        return ops
    feeds = [case.inputs(before, k) for k in range(len(case.sizes))]
    want = run_all(src, feeds)
    names = [o.name for o in before.graph.output]
    same(case, want, run_planish(planish, dst, feeds, names) if own else run_all(dst, feeds))
    return ops


def tools_for(case):
    return PORTABLE if target_of(case) == "onnx" else FUSING


def best_of(case, src, dst):
    """The fewest nodes that another optimizer leaves, and all that they gave."""
    best, found = None, {}
    allowed = {"onnx": {""}, "ort": {"", "com.microsoft"}}.get(target_of(case))
    for name, tool in tools_for(case).items():
        r = found[name] = nodes_by(case, tool, src, dst + "." + name + ".onnx")
        if isinstance(r, str) or r[1]:
            continue
        if allowed is not None and not set(r[2]) <= allowed | {"ai.onnx.ml"}:
            continue
        if best is None or r[0] < best[0]:
            best = r[0], name
    return best, found


def histogram(ops):
    names = [(d + "." if d else "") + o for d, o in ops]
    return ", ".join(o + ("*%d" % names.count(o) if names.count(o) > 1 else "")
                     for o in sorted(set(names)))


def check(planish, case, folder):
    src = os.path.join(folder, case.name + ".onnx")
    dst = os.path.join(folder, case.name + ".out.onnx")
    ops = check_result(planish, case, src, dst)
    if case.most is not None and len(ops) > case.most:
        raise Fault("%d nodes are left (%s), want %d" % (len(ops), histogram(ops), case.most))
    # others freeze or merge draws; one node is the fewest
    comparable = case.runs and not case.random and len(ops) > 1
    best, _ = best_of(case, src, dst) if comparable else (None, None)
    if best and len(ops) > best[0]:
        raise Fault("%d nodes are left (%s), %s leaves %d" % (
            len(ops), histogram(ops), best[1], best[0]))
    return "%d nodes%s" % (len(ops), ", %s leaves %d" % (best[1], best[0]) if best else "")


def check_nth(planish, family, k, folder):
    """In another process, which has the families, too; a case itself can't be sent."""
    folder = os.path.join(folder, family)
    os.makedirs(folder, exist_ok=True)
    return check(planish, dict(rewrites.families())[family][k], folder)


def print_row(planish, family, case, folder):
    src = os.path.join(folder, case.name + ".onnx")
    dst = os.path.join(folder, case.name + ".out.onnx")
    try:
        ops = check_result(planish, case, src, dst)
        ours, left = str(len(ops)), histogram(ops)
    except Exception as e:
        ours, left = "-", str(e)
        onnx.save(case.model(), src)
    best, found = best_of(case, src, dst)
    cells = ["%6s" % (r if isinstance(r, str) else "%d%s" % (r[0], "!" if r[1] else ""))[:6]
             for r in found.values()]
    worse = ours == "-" or (best and int(ours) > best[0]) or (
        case.most is not None and int(ours) > case.most)
    print("%-12s %-34s %3d ours %3s | %s  %s%s" % (
        family, case.name, len(operators(case.model().graph)), ours, " ".join(cells),
        "<<< " if worse else "", left[:110]), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--planish", required=True)
    p.add_argument("--only", default="", help="cases whose FAMILY/NAME has this in it")
    p.add_argument("--table", action="store_true", help="print counts of nodes instead")
    o = p.parse_args()
    wanted = [(family, k, case) for family, cases in rewrites.families()
              for k, case in enumerate(cases) if o.only in family + "/" + case.name]
    tap = harness.Tap()
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="planish-rewrites-") as folder:
        if o.table:
            for family, _, case in wanted:
                print_row(o.planish, family, case, folder)
            return 0
        with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=fork) as pool:
            results = [pool.submit(check_nth, o.planish, family, k, folder)
                       for family, k, _ in wanted]
            for (family, _, case), result in zip(wanted, results):
                tap.check(family + "/" + case.name, result.result)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
