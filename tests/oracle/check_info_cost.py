#!/usr/bin/env python3
"""What models cost: `planish info` on small and large ones, a session's peak of memory, and
models of more than 2 GB.
SPDX-License-Identifier: Apache-2.0

usage: check_info_cost.py --planish COMMAND [--models DIR] [--tmp DIR]

CPU time and peak resident set are those that the kernel counts for the whole process (wait4), the
median of several runs, files in the page cache. The large models are made here, and need 5 GB of
disk under --tmp for as long as this runs. Prints TAP.
"""
import argparse
import collections
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper

import harness
from harness import Fault

RUNS = 9
SMALL_MS = 15.0                  # CPU time of `info` on a 3 MB model
BERT_MB, BERT_MS = 40.0, 50.0    # the same on a BERT of 438 MB
SESSION_PEAK = 1.3               # x (weights + activations)
PROCESS_MB = 45.0                # code, oneDNN (35 MB) and threads, which no model is to blame for
SPARSE_MB = 200.0                # a run that reads a few rows of 3 GB

# In a small process of its own: a child's peak begins at that of the process that made it.
LAUNCHER = """
import json, os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, use = os.wait4(pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), use.ru_utime + use.ru_stime,
                  use.ru_maxrss / 1024]))
"""


def cost(args, timeout=300):
    """(CPU ms, peak MB) of one run of a command that must succeed."""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", LAUNCHER, *args],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    if done.returncode:
        raise Fault("%s: %s" % (harness.short(args),
                                done.stderr.decode(errors="replace").strip()[-300:]))
    code, seconds, peak = json.loads(done.stdout)
    if code:
        raise Fault("%s: exit %d: %s" % (harness.short(args), code,
                                         done.stderr.decode(errors="replace").strip()[:300]))
    return 1e3 * seconds, peak


def median_cost(args):
    runs = [cost(args) for _ in range(RUNS + 1)][1:]  # the first fills the page cache
    return tuple(statistics.median(column) for column in zip(*runs))


def info(planish, path):
    done = harness.command([planish, "info", path, "--json", "-"])
    try:
        return json.loads(done.stdout)
    except ValueError as e:
        raise Fault("info --json -: %s" % e) from None


def count_operators(graph):
    """How often each operator occurs, subgraphs included."""
    found = collections.Counter()
    for node in graph.node:
        found[node.op_type] += 1
        for a in node.attribute:
            for sub in list(a.graphs) + ([a.g] if a.HasField("g") else []):
                found += count_operators(sub)
    return found


def small(planish, path):
    want = count_operators(onnx.load(path, load_external_data=False).graph)
    got = info(planish, path).get("ops")
    # keys may carry a domain, as in ai.onnx.ml.Scaler
    names = collections.Counter({k.split(".")[-1]: n for k, n in (got or {}).items()})
    if names != want:
        raise Fault("ops of its JSON: %r, want %r" % (names - want, want - names))
    ms, peak = median_cost([planish, "info", path])
    if not ms <= SMALL_MS:
        raise Fault("%.1f ms of CPU time, want %g" % (ms, SMALL_MS))
    return "%.1f ms of CPU time, %.1f MB" % (ms, peak)


# ---- a BERT ----

class Bert:
    """bert-base by its shapes, with weights that are noise, as exporters write it: dynamic
    batch and seq, shapes computed from Shape, LayerNormalization in pieces."""

    LAYERS, WIDTH, HEADS, FFN, WORDS, PLACES = 12, 768, 12, 3072, 30522, 512

    def __init__(self):
        self.nodes, self.tensors = [], []
        self.rng = np.random.default_rng(1)
        self.noise = self.rng.standard_normal(1 << 20).astype(np.float32) * 0.02

    def weight(self, name, *shape):
        count = int(np.prod(shape))
        data = np.resize(self.noise, count)
        self.tensors.append(helper.make_tensor(name, TensorProto.FLOAT, shape, data.tobytes(),
                                               raw=True))
        return name

    def const(self, name, value, dtype=np.int64):
        if not any(t.name == name for t in self.tensors):
            self.tensors.append(onnx.numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def op(self, kind, *inputs, **attributes):
        out = "v%d" % len(self.nodes)
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name="%s_%s" % (kind, out),
                                           **attributes))
        return out

    def norm(self, x, name):
        mean = self.op("ReduceMean", x, axes=[-1])
        centred = self.op("Sub", x, mean)
        square = self.op("Pow", centred, self.const("two", 2, np.float32))
        variance = self.op("ReduceMean", square, axes=[-1])
        root = self.op("Sqrt", self.op("Add", variance,
                                       self.const("epsilon", 1e-12, np.float32)))
        x = self.op("Mul", self.op("Div", centred, root), self.weight(name + ".g", self.WIDTH))
        return self.op("Add", x, self.weight(name + ".b", self.WIDTH))

    def linear(self, x, name, n_in, n_out):
        x = self.op("MatMul", x, self.weight(name + ".w", n_in, n_out))
        return self.op("Add", x, self.weight(name + ".c", n_out))

    def heads(self, x, *perm):
        shape = self.op("Shape", x)
        batch = self.op("Unsqueeze", self.op("Gather", shape, self.const("i0", 0)),
                        self.const("axis0", [0]))
        seq = self.op("Unsqueeze", self.op("Gather", shape, self.const("i1", 1)),
                      self.const("axis0", [0]))
        split = self.op("Concat", batch, seq, self.const("n_heads", [self.HEADS]),
                        self.const("d_head", [self.WIDTH // self.HEADS]), axis=0)
        return self.op("Transpose", self.op("Reshape", x, split), perm=perm)

    def attention(self, x, mask, name):
        q, k, v = (self.linear(x, "%s.%s" % (name, p), self.WIDTH, self.WIDTH) for p in "qkv")
        q, k, v = self.heads(q, 0, 2, 1, 3), self.heads(k, 0, 2, 3, 1), self.heads(v, 0, 2, 1, 3)
        scores = self.op("Div", self.op("MatMul", q, k), self.const("eight", 8, np.float32))
        weights = self.op("Softmax", self.op("Add", scores, mask), axis=-1)
        joined = self.op("Transpose", self.op("MatMul", weights, v), perm=[0, 2, 1, 3])
        x = self.op("Reshape", joined, self.const("join", [0, 0, self.WIDTH]))
        return self.linear(x, name + ".o", self.WIDTH, self.WIDTH)

    def gelu(self, x):
        erf = self.op("Erf", self.op("Div", x, self.const("sqrt2", 2 ** 0.5, np.float32)))
        x = self.op("Mul", x, self.op("Add", erf, self.const("one", 1, np.float32)))
        return self.op("Mul", x, self.const("half", 0.5, np.float32))

    def model(self):
        words = self.op("Gather", self.weight("words", self.WORDS, self.WIDTH), "input_ids")
        seq = self.op("Gather", self.op("Shape", "input_ids"), self.const("i1", 1))
        places = self.op("Gather", self.weight("places", self.PLACES, self.WIDTH),
                         self.op("Range", self.const("i0", 0), seq, self.const("i1", 1)))
        x = self.norm(self.op("Add", words, places), "embeddings")
        mask = self.op("Unsqueeze", "attention_mask", self.const("axes12", [1, 2]))
        mask = self.op("Sub", self.const("one", 1, np.float32),
                       self.op("Cast", mask, to=TensorProto.FLOAT))
        mask = self.op("Mul", mask, self.const("lowest", -1e4, np.float32))
        for k in range(self.LAYERS):
            x = self.norm(self.op("Add", x, self.attention(x, mask, "l%d" % k)), "l%d.n1" % k)
            y = self.gelu(self.linear(x, "l%d.f1" % k, self.WIDTH, self.FFN))
            y = self.linear(y, "l%d.f2" % k, self.FFN, self.WIDTH)
            x = self.norm(self.op("Add", x, y), "l%d.n2" % k)
        self.nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))
        ids = ["batch", "seq"]
        graph = helper.make_graph(
            self.nodes, "bert",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ids),
             helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ids)],
            [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT,
                                           ids + [self.WIDTH])], self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)],
                                 ir_version=8)


def bert_info(planish, path, facts):
    found = info(planish, path)
    if found.get("parameters") != facts["parameters"]:
        raise Fault("parameters: %r, want %d" % (found.get("parameters"), facts["parameters"]))
    if found.get("nodes") != facts["nodes"]:
        raise Fault("nodes: %r, want %d" % (found.get("nodes"), facts["nodes"]))
    if found.get("unsupported"):
        raise Fault("unsupported: %r" % found["unsupported"])
    ms, peak = median_cost([planish, "info", path])
    if not (ms <= BERT_MS and peak <= BERT_MB):
        raise Fault("%.1f ms of CPU time and %.1f MB, want %g and %g"
                    % (ms, peak, BERT_MS, BERT_MB))
    return "%.1f ms of CPU time, %.1f MB" % (ms, peak)


def bert_reference(path, inputs):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, inputs)))


def bert_session(planish, path, facts, tmp):
    ids = np.arange(128, dtype=np.int64)[None] + 1000
    npz = os.path.join(tmp, "bert.npz")
    np.savez(npz, input_ids=ids, attention_mask=np.ones_like(ids))
    out = os.path.join(tmp, "bert_out.npz")
    _, peak = cost([planish, "run", path, "--inputs", npz, "--outputs", out])
    got = harness.load_npz(out)
    want = bert_reference(path, harness.load_npz(npz))
    harness.accept({"rel_to_max": 1e-4}, want, got)
    # activations: the widest moment is one FFN (seq x 4 width) or the scores, a few of each
    weights, activations = facts["bytes"] / 1e6, 8 * 128 * Bert.FFN * 4 / 1e6
    limit = SESSION_PEAK * (weights + activations) + PROCESS_MB
    if not peak * 1.048576 <= limit:
        raise Fault("peak of %.0f MB, want %.0f: %.0f MB of weights" % (
            peak * 1.048576, limit, weights))
    return "peak of %.0f MB with %.0f MB of weights" % (peak * 1.048576, weights)


def check_bert(tap, args):
    with tempfile.TemporaryDirectory(dir=args.tmp) as tmp:
        path = os.path.join(tmp, "bert.onnx")
        model = Bert().model()
        facts = {"parameters": sum(int(np.prod(t.dims)) for t in model.graph.initializer),
                 "nodes": len(model.graph.node), "bytes": model.ByteSize()}
        with open(path, "wb") as f:
            f.write(model.SerializeToString())
        del model
        name = "bert, %.0f MB" % (facts["bytes"] / 1e6)
        tap.check(name + ": info", bert_info, args.planish, path, facts)
        tap.check(name + ": a session's memory", bert_session, args.planish, path, facts, tmp)


# ---- more than 2 GB ----

ROWS, COLUMNS = 400_000, 1000  # twice 1.6 GB of float32


def sparse_model(folder):
    """y = a[i] + b[j]: two tables in one external file that is a hole but for a few rows."""
    def table(name, offset):
        t = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[ROWS, COLUMNS],
                        data_location=TensorProto.EXTERNAL)
        for key, value in (("location", "tables.bin"), ("offset", str(offset)),
                           ("length", str(4 * ROWS * COLUMNS))):
            t.external_data.add(key=key, value=value)
        return t

    size = 4 * ROWS * COLUMNS
    base = (size + 4095) // 4096 * 4096
    a_row = np.linspace(-1, 1, COLUMNS, dtype=np.float32)
    b_row = np.linspace(5, 6, COLUMNS, dtype=np.float32)
    with open(os.path.join(folder, "tables.bin"), "wb") as f:
        f.truncate(base + size)
        f.seek(4 * COLUMNS * 7)
        f.write(a_row.tobytes())
        f.seek(base + 4 * COLUMNS * (ROWS - 1))  # the last bytes of the file, beyond 2^31
        f.write(b_row.tobytes())
    nodes = [helper.make_node("Gather", ["a", "i"], ["ai"]),
             helper.make_node("Gather", ["b", "j"], ["bj"]),
             helper.make_node("Add", ["ai", "bj"], ["y"])]
    graph = helper.make_graph(
        nodes, "tables",
        [helper.make_tensor_value_info(n, TensorProto.INT64, [2]) for n in "ij"],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, COLUMNS])],
        [table("a", 0), table("b", base)])
    path = os.path.join(folder, "tables.onnx")
    with open(path, "wb") as f:
        f.write(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)],
                                  ir_version=8).SerializeToString())
    i, j = np.array([7, 0], np.int64), np.array([ROWS - 1, 3], np.int64)
    np.savez(os.path.join(folder, "in.npz"), i=i, j=j)
    return path, np.stack([a_row + b_row, np.zeros(COLUMNS, np.float32)])


def big_run(planish, path, folder, want):
    inputs, out = os.path.join(folder, "in.npz"), os.path.join(folder, "out.npz")
    _, peak = cost([planish, "run", path, "--inputs", inputs, "--outputs", out])
    got = harness.load_npz(out)
    harness.same_form("y", want, got.get("y"))
    if not np.array_equal(got["y"], want):
        raise Fault("wrong rows")
    if not peak <= SPARSE_MB:
        raise Fault("peak of %.0f MB, want %g: two rows of each table are needed"
                    % (peak, SPARSE_MB))
    return "right, peak of %.0f MB" % peak


def big_write(planish, path, folder, want):
    """Above 2 GB external data is used by itself."""
    copy = os.path.join(folder, "copy")
    os.mkdir(copy)
    out = os.path.join(copy, "tables.onnx")
    harness.command([planish, "optimize", "-O0", path, out])
    model = onnx.load(out, load_external_data=False)
    onnx.checker.check_model(out)
    for t in model.graph.initializer:
        entries = {e.key: e.value for e in t.external_data}
        if t.data_location != TensorProto.EXTERNAL or os.path.isabs(entries["location"]):
            raise Fault("initializer %r is not in a file beside the model: %r"
                        % (t.name, entries))
        if int(entries.get("offset", 0)) % 64:
            raise Fault("initializer %r is at offset %s, not aligned"
                        % (t.name, entries["offset"]))
        if not os.path.exists(os.path.join(copy, entries["location"])):
            raise Fault("%s is missing" % entries["location"])
    os.rename(os.path.join(folder, "tables.bin"), os.path.join(folder, "gone.bin"))
    return big_run(planish, out, folder, want)


def big_cut(planish, path, folder):
    """A file that ends before its tensors do is refused, and nothing is written."""
    data = os.path.join(folder, "gone.bin")
    data = data if os.path.exists(data) else os.path.join(folder, "tables.bin")
    os.rename(data, os.path.join(folder, "tables.bin"))
    os.truncate(os.path.join(folder, "tables.bin"), 4 * ROWS * COLUMNS)
    out = os.path.join(folder, "never.npz")
    done = harness.command([planish, "run", path, "--inputs", os.path.join(folder, "in.npz"),
                            "--outputs", out], ok=(3,))
    text = done.stderr.decode(errors="replace").strip()
    if not text.startswith("planish: error: ") or "\n" in text:
        raise Fault("exit 3, but stderr is %r" % text[:200])
    if os.path.exists(out):
        raise Fault("it wrote outputs all the same")
    return text[:120]


def check_big(tap, args):
    free = shutil.disk_usage(args.tmp or tempfile.gettempdir()).free
    if free < 5e9:
        tap.skip("3 GB of external data", "%.1f GB of disk are free, 5 are needed" % (free / 1e9))
        return
    with tempfile.TemporaryDirectory(dir=args.tmp) as folder:
        path, want = sparse_model(folder)
        name = "3 GB of external data: "
        tap.check(name + "info", small, args.planish, path)
        tap.check(name + "run", big_run, args.planish, path, folder, want)
        tap.check(name + "written, and read back", big_write, args.planish, path, folder, want)
        tap.check(name + "cut short", big_cut, args.planish, path, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--planish", default=os.path.join(harness.ROOT, "build", "tools",
                                                          "planish"))
    parser.add_argument("--models", default=harness.MODELS)
    parser.add_argument("--tmp", help="where large files may be made (default: the system's)")
    parser.add_argument("--skip-large", action="store_true")
    args = parser.parse_args()
    args.planish = os.path.abspath(args.planish)
    tap = harness.Tap()
    for model in ("magika-v3", "silero-vad-v6", "silero-vad-v6-op18-ifless"):
        path = os.path.join(args.models, model, "model.onnx")
        name = "%s: info" % model
        if os.path.exists(path):
            tap.check(name, small, args.planish, path)
        else:
            tap.skip(name, "the model was not fetched")
    if args.skip_large:
        tap.skip("large models", "--skip-large")
        return tap.done()
    check_bert(tap, args)
    check_big(tap, args)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
