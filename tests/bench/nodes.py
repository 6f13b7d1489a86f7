#!/usr/bin/env python3
"""Count the nodes that planish and other optimizers leave of real models, side by side.
SPDX-License-Identifier: Apache-2.0

usage: nodes.py [--planish COMMAND] [--cache DIR] [--check] [--outputs] [ID...]

Models: the trained ones of tools/models.json and the light architectures of the onnx package.
Nodes are counted with those of subgraphs, without Constant nodes and function bodies. Of the
others a tool counts only where its file grew by no more than 1%. What they leave, and the time
that they take without their start-up, is kept in the cache, by tool and version; planish is
run anew each time, and its time is CPU time of the whole process.

--check fails (exit 1) if
  the default level, target onnx, leaves more nodes than the best of onnxsim, onnxslim,
  onnxscript and ONNX Runtime BASIC on a model; -O3 --target planish more than ONNX Runtime
  EXTENDED on a model, or not fewer in total; a file grew by more than 1% + 4 KB;
  or `optimize` took longer than the fastest of those tools.
--outputs runs the original and the files of -O1, the default level and -O3 (all three targets)
in ONNX Runtime, passes them to onnx.checker, and compares: 1e-5 x max at -O1, 1e-4 x max above.
The table is Markdown.
"""
import argparse
import glob
import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from importlib import metadata

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
import harness
from harness import Fault

CACHE = os.path.join(harness.ROOT, ".deps", "nodes")
TIMEOUT = 300
STANDARD = ("onnxsim", "onnxslim", "onnxscript", "ort-basic")
TOOLS = STANDARD + ("ort-extended",)
PACKAGE = {"ort-basic": "onnxruntime", "ort-extended": "onnxruntime"}
OURS = {"O1": ("-O1",), "O2": (), "O3": ("-O3",), "ort": ("-O3", "--target", "ort"),
        "planish": ("-O3", "--target", "planish")}
# Rounding steps flip levels there; they are compared fragment by fragment (--verify-each).
NO_OUTPUTS = {"t5-small-titler-enc-int8", "t5-small-titler-dec-int8"}
LOOSE = {"piper-joe-vits": 1e-3}
MODEL_FILE_SLACK = 4096


def count_nodes(path):
    import onnx

    def walk(nodes):
        n = 0
        for node in nodes:
            n += node.op_type != "Constant"
            for a in node.attribute:
                for graph in list(a.graphs) + ([a.g] if a.HasField("g") else []):
                    n += walk(graph.node)
        return n
    return walk(onnx.load(path, load_external_data=False).graph.node)


# ---- the other tools, each call in a process of its own ----

def work_onnxsim(source, dest):
    import onnx
    import onnxsim

    def run():
        model, _ = onnxsim.simplify(onnx.load(source))
        onnx.save(model, dest)
    return run


def work_onnxslim(source, dest):
    import onnxslim
    return lambda: onnxslim.slim(source, dest)


def work_onnxscript(source, dest):
    import onnx
    import onnxscript.optimizer

    def run():
        model = onnx.load(source)
        onnx.save(onnxscript.optimizer.optimize(model) or model, dest)
    return run


def work_ort(level):
    def work(source, dest):
        import onnxruntime as ort

        def run():
            options = ort.SessionOptions()
            options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
            options.optimized_model_filepath = dest
            options.log_severity_level = 4
            ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        return run
    return work


WORK = {"onnxsim": work_onnxsim, "onnxslim": work_onnxslim, "onnxscript": work_onnxscript,
        "ort-basic": work_ort("ORT_ENABLE_BASIC"),
        "ort-extended": work_ort("ORT_ENABLE_EXTENDED")}


def worker(tool, source, dest, report):
    run = WORK[tool](source, dest)
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    with open(report, "w") as f:
        json.dump({"nodes": count_nodes(dest), "bytes": os.path.getsize(dest),
                   "seconds": seconds}, f)


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()[:16]


def theirs(cache, tool, model):
    """{"nodes", "bytes", "seconds"} or {"error"} of a tool on a model."""
    version = metadata.version(PACKAGE.get(tool, tool))
    kept = os.path.join(cache, "%s-%s-%s-%s.json" % (tool, version, model.id,
                                                     digest(model.path)))
    if not os.path.exists(kept):
        os.makedirs(cache, exist_ok=True)
        with tempfile.TemporaryDirectory() as tmp:
            report = os.path.join(tmp, "report.json")
            args = [sys.executable, os.path.abspath(__file__), "--worker", tool, model.path,
                    os.path.join(tmp, "out.onnx"), report]
            try:
                harness.command(args, timeout=TIMEOUT)
                shutil.move(report, kept)
            except (Fault, OSError) as e:
                with open(kept, "w") as f:
                    json.dump({"error": str(e)}, f)
    with open(kept) as f:
        return json.load(f)


# ---- planish ----

def ours(args, model, way, dest):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    harness.command([args.planish, "optimize", model.path, dest, "-q", *OURS[way]],
                    timeout=TIMEOUT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"nodes": count_nodes(dest), "bytes": os.path.getsize(dest),
            "seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


# ---- models ----

class Model:
    def __init__(self, name, path, feeds):
        self.id, self.path, self.feeds = name, path, feeds
        self.bytes = os.path.getsize(path)
        self.nodes = count_nodes(path)


def suite_feeds(folder):
    import onnx
    from onnx import numpy_helper
    model = onnx.load(os.path.join(folder, "model.onnx"))
    fixed = {t.name for t in model.graph.initializer}
    free = [i.name for i in model.graph.input if i.name not in fixed]
    feeds = {}
    for k, name in enumerate(free):
        tensor = onnx.TensorProto()
        with open(os.path.join(folder, "test_data_set_0", "input_%d.pb" % k), "rb") as f:
            tensor.ParseFromString(f.read())
        feeds[name] = numpy_helper.to_array(tensor)
    return feeds


def find_models(args):
    found = []
    for entry in harness.models():
        folder = os.path.join(args.models, entry["id"])
        path = os.path.join(folder, "model.onnx")
        if os.path.exists(path):
            io = os.path.join(folder, "io.npz")
            found.append((entry["id"], path, lambda io=io: harness.golden(io)[0]))
        else:
            print("%s was not fetched" % entry["id"], file=sys.stderr)
    for folder in sorted(glob.glob(os.path.join(args.suite, "real", "*"))):
        name = os.path.basename(folder).replace("test_", "light-")
        path = os.path.join(folder, "model.onnx")
        found.append((name, path, lambda folder=folder: suite_feeds(folder)))
    unknown = set(args.id) - {m[0] for m in found}
    if unknown:
        sys.exit("no such model: %s" % ", ".join(sorted(unknown)))
    return [Model(*m) for m in found if not args.id or m[0] in args.id]


# ---- outputs ----

def run_ort(path, feeds):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        wanted = {i.name for i in session.get_inputs()}
        names = [o.name for o in session.get_outputs()]
        got = session.run(names, {k: v for k, v in feeds.items() if k in wanted})
    except Exception as e:  # onnxruntime's own types, one for each of its codes
        raise Fault("onnxruntime: %s" % str(e).splitlines()[0][:200]) from None
    return dict(zip(names, got))


def farthest(want, got):
    """The largest difference over all outputs, by the largest value of its output."""
    import numpy as np
    worst = 0.0
    if list(want) != list(got):
        raise Fault("outputs %s, want %s" % (list(got), list(want)))
    for name, w in want.items():
        g = got[name]
        if not isinstance(w, np.ndarray):
            if str(w) != str(g):
                raise Fault("output '%s' differs" % name)
            continue
        if w.shape != g.shape or w.dtype != g.dtype:
            raise Fault("output '%s': %s%s, want %s%s" % (name, g.dtype, g.shape, w.dtype,
                                                          w.shape))
        if not w.size or w.dtype.kind not in "fc":
            if not np.array_equal(w, g):
                raise Fault("output '%s' differs" % name)
            continue
        a, b = w.astype(np.float64), g.astype(np.float64)
        if not np.array_equal(np.isnan(a), np.isnan(b)):
            raise Fault("output '%s': NaN in other places" % name)
        worst = max(worst, float(np.nanmax(np.abs(a - b))) / max(float(np.nanmax(np.abs(a))),
                                                                 1e-30))
    return worst


def check_outputs(model, files):
    import onnx
    feeds = model.feeds()
    want = None if model.id in NO_OUTPUTS else run_ort(model.path, feeds)
    for way, path in files.items():
        try:
            if way != "planish":  # its own domain has no schema there
                onnx.checker.check_model(path)
            got = run_ort(path, feeds)
            limit = 1e-5 if way == "O1" else LOOSE.get(model.id, 1e-4)
            far = farthest(want, got) if want else 0
            if far > limit:
                raise Fault("%.2g x max away, %.0g allowed" % (far, limit))
        except (Fault, onnx.checker.ValidationError) as e:
            yield "%s, %s: %s" % (model.id, way, str(e).splitlines()[0])


# ---- the table ----

def best_of(tools, results, model):
    counted = [results[t] for t in tools if "nodes" in results[t]
               and results[t]["bytes"] <= 1.01 * model.bytes]
    return min((r["nodes"] for r in counted), default=None)


def cell(result, model):
    if "error" in result:
        return "fails"
    grew = result["bytes"] / model.bytes
    return "%d" % result["nodes"] + (" (%.1fx)" % grew if grew > 1.01 else "")


def faults_of(model, mine, best, results):
    if best is not None and mine["O2"]["nodes"] > best:
        yield "%s: %d nodes, the best tool leaves %d" % (model.id, mine["O2"]["nodes"], best)
    extended = results["ort-extended"].get("nodes")
    if extended is not None and mine["planish"]["nodes"] > extended:
        yield "%s: %d nodes at -O3, ONNX Runtime EXTENDED leaves %d" % (
            model.id, mine["planish"]["nodes"], extended)
    for way, r in mine.items():
        if r["bytes"] > 1.01 * model.bytes + MODEL_FILE_SLACK:
            yield "%s, %s: the file grew from %d to %d bytes" % (model.id, way, model.bytes,
                                                                 r["bytes"])
    fastest = min((results[t]["seconds"] for t in STANDARD if "seconds" in results[t]),
                  default=None)
    if fastest is not None and mine["O2"]["seconds"] > fastest:
        yield "%s: %.0f ms, the fastest tool %.0f ms" % (
            model.id, 1e3 * mine["O2"]["seconds"], 1e3 * fastest)


def row(args, model, faults, total):
    results = {t: theirs(args.cache, t, model) for t in TOOLS}
    with tempfile.TemporaryDirectory() as tmp:
        files = {way: os.path.join(tmp, way + ".onnx") for way in OURS}
        mine = {way: ours(args, model, way, files[way]) for way in OURS}
        if args.outputs:
            faults.extend(check_outputs(model, files))
    best = best_of(STANDARD, results, model)
    faults.extend(faults_of(model, mine, best, results))
    total[0] += mine["planish"]["nodes"]
    total[1] += results["ort-extended"].get("nodes", mine["planish"]["nodes"])
    fastest = min((r["seconds"] for t, r in results.items() if t in STANDARD and
                   "seconds" in r), default=float("nan"))
    cells = [model.id, str(model.nodes), *(cell(results[t], model) for t in STANDARD),
             "-" if best is None else str(best), cell(mine["O2"], model),
             cell(results["ort-extended"], model), cell(mine["O3"], model),
             cell(mine["ort"], model), cell(mine["planish"], model),
             "%.2f" % (mine["O2"]["seconds"] / fastest)]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--planish", default=os.path.join(harness.ROOT, "build", "tools",
                                                          "planish"))
    parser.add_argument("--models", default=harness.MODELS)
    parser.add_argument("--suite", default=os.path.join(harness.ROOT, ".deps", "suite"))
    parser.add_argument("--cache", default=CACHE)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--outputs", action="store_true")
    parser.add_argument("id", nargs="*")
    args = parser.parse_args()

    faults, total = [], [0, 0]
    head = ["model", "nodes", *STANDARD, "best", "**-O2**", "ort-extended", "-O3 onnx",
            "-O3 ort", "**-O3 planish**", "time / fastest"]
    print("| " + " | ".join(head) + " |\n|" + " --- |" + " ---: |" * (len(head) - 1))
    for model in find_models(args):
        try:
            row(args, model, faults, total)
        except Fault as e:
            faults.append("%s: %s" % (model.id, e))
    print("\n-O3 --target planish leaves %d nodes in all, ONNX Runtime EXTENDED %d." %
          tuple(total))
    if total[0] >= total[1] and not args.id:
        faults.append("not fewer nodes in total than ONNX Runtime EXTENDED")
    for fault in faults:
        print("- " + fault)
    return 1 if args.check and faults else 0


if __name__ == "__main__":
    sys.exit(main())
