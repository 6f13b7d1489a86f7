#!/usr/bin/env python3
"""Run the trained models with planish in every way and compare with their golden runs.
SPDX-License-Identifier: Apache-2.0

usage: check_models.py --planish COMMAND [--models DIR] [--way WAY]... [ID...]

Ways: `plain` (--no-optimize), `default`, `onnx` and `planish` (run from the file that
`optimize -O3 --target ...` writes), `standard` (the onnx target's file by itself: accepted by
onnx.checker, official operators only, and right in ONNX Runtime too), `verified` (no rewrite breaks its
contract, at any level and target, and a second run gives the same bytes) and `integer` (each
MatMulInteger, ConvInteger and DynamicQuantizeLinear by itself, bit for bit). How near a run must
come is said in tools/models.json. Prints TAP.
"""
import argparse
import json
import os
import sys
import tempfile

import numpy as np
import onnx

import harness
import integer_nodes
from harness import Fault

WAYS = ("plain", "default", "onnx", "planish", "standard", "verified", "integer")
OFFICIAL = {"", "ai.onnx", "ai.onnx.ml"}


class Model:
    """One trained model, its golden run, and a folder for what is made of it."""

    def __init__(self, entry, args, tmp):
        self.id = entry["id"]
        self.rule = entry["accept"]
        self.path = os.path.join(args.models, self.id, "model.onnx")
        self.io = os.path.join(args.models, self.id, "io.npz")
        self.planish = args.planish
        self.tmp = tmp
        self.optimized = {}

    def run(self, path, *options, inputs=None, env=None):
        out = os.path.join(self.tmp, "o.npz")
        if os.path.exists(out):
            os.remove(out)
        harness.command([self.planish, "run", path, "--inputs", inputs or self.io,
                         "--outputs", out, *options], env=env)
        return harness.load_npz(out)

    def optimize(self, target):
        """The path of the optimized file, made once."""
        if target not in self.optimized:
            path = os.path.join(self.tmp, "%s.%s.onnx" % (self.id, target))
            try:
                harness.command([self.planish, "optimize", self.path, path, "-O3",
                                 "--target", target])
                if not os.path.exists(path):
                    raise Fault("optimize: exit 0, but no file")
                self.optimized[target] = path
            except Fault as e:
                self.optimized[target] = e
        if isinstance(self.optimized[target], Fault):
            raise self.optimized[target]
        return self.optimized[target]

    def compare(self, got):
        return harness.accept(self.rule, harness.golden(self.io)[1], got)

    def plain(self):
        return self.compare(self.run(self.path, "--no-optimize"))

    def default(self):
        return self.compare(self.run(self.path))

    def onnx(self):
        return self.compare(self.run(self.optimize("onnx")))

    def planish_target(self):
        return self.compare(self.run(self.optimize("planish")))

    def standard(self):
        """What --target onnx wrote must be ONNX for others too."""
        path = self.optimize("onnx")
        try:
            onnx.checker.check_model(path, full_check=False)
        except onnx.checker.ValidationError as e:
            raise Fault("onnx.checker: %s" % str(e).splitlines()[0]) from None
        optimized, original = onnx.load(path), onnx.load(self.path)
        known = OFFICIAL | domains(original)
        alien = domains(optimized) - known
        if alien:
            raise Fault("operators of domain %s" % ", ".join(sorted(alien)))
        got = self.in_onnxruntime(optimized)
        if self.rule.get("exact_nodes") and not machine_has_vnni():
            for name, want in harness.golden(self.io)[1].items():
                harness.same_form(name, want, got.get(name))
            return "accepted; values not compared: onnxruntime saturates on this machine"
        return self.compare(got)

    def in_onnxruntime(self, model):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 2
        options.log_severity_level = 4
        inputs, _ = harness.golden(self.io)
        try:
            session = ort.InferenceSession(model.SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])
            names = [o.name for o in session.get_outputs()]
            wanted = {i.name for i in session.get_inputs()}
            return dict(zip(names, session.run(None, {k: v for k, v in inputs.items()
                                                      if k in wanted})))
        except Exception as e:  # onnxruntime's own types: one for each of its codes
            raise Fault("onnxruntime: %s" % str(e).splitlines()[0]) from None

    def verified(self):
        """Each rewrite by itself, both sides run by the reference kernels."""
        checked = unknown = 0
        for options in (["-O1"], ["-O3"], ["-O3", "--target", "ort"],
                        ["-O3", "--target", "planish"]):
            once = os.path.join(self.tmp, "once.onnx")
            again = os.path.join(self.tmp, "again.onnx")
            done = harness.command([self.planish, "optimize", self.path, once, *options,
                                    "--verify-each", "rewrite", "--json", "-"])
            report = json.loads(done.stdout)["verify"]
            for r in report["refused"]:
                raise Fault("%s: %s at %s: %s" % (" ".join(options), r["rule"], r["node"],
                                                  r["why"]))
            checked += report["checked"]
            unknown += sum(u["count"] for u in report["unverified"])
            harness.command([self.planish, "optimize", once, again, *options])
            with open(once, "rb") as a, open(again, "rb") as b:
                if a.read() != b.read():
                    raise Fault("%s: a second run gives other bytes" % " ".join(options))
        return "%d rewrites, %d others can't be run" % (checked, unknown)

    def integer(self):
        """The integer nodes, each by itself, bit for bit, with and without optimization and
        at every instruction set that this machine has."""
        inputs, _ = harness.golden(self.io)
        model = onnx.load(self.path)
        with np.errstate(all="ignore"):
            _, seen = integer_nodes.record(model, inputs)
        if not seen:
            raise Fault("no integer node in it")
        nodes, feed, want = integer_nodes.side_by_side(model, seen)
        path = os.path.join(self.tmp, "nodes.onnx")
        npz = os.path.join(self.tmp, "nodes.npz")
        onnx.save(nodes, path)
        np.savez(npz, **{"in:" + k: v for k, v in feed.items()})
        for options, isa in ((("--no-optimize",), ""), ((), ""), ((), "avx2"), ((), "c")):
            env = {"PLN_CPU": isa} if isa else None
            got = self.run(path, *options, inputs=npz, env=env)
            wrong = [k for k, v in want.items() if not identical(v, got.get(k))]
            if wrong:
                raise Fault("%s PLN_CPU=%s: %d of %d results are not exact, first %s" % (
                    " ".join(options) or "default", isa, len(wrong), len(want),
                    describe(wrong[0], nodes, want, got)))
        return "%d nodes exact" % len(seen)


def machine_has_vnni():
    try:
        with open("/proc/cpuinfo") as f:
            return "vnni" in f.read()
    except OSError:
        return False


def domains(model):
    found = set()

    def walk(nodes):
        for node in nodes:
            found.add(node.domain)
            for a in node.attribute:
                for graph in list(a.graphs) + ([a.g] if a.HasField("g") else []):
                    walk(graph.node)
    walk(model.graph.node)
    for function in model.functions:
        walk(function.node)
    return found


def identical(want, got):
    return (got is not None and got.dtype == want.dtype and got.shape == want.shape
            and got.tobytes() == want.tobytes())


def describe(name, nodes, want, got):
    node = nodes.graph.node[int(name[1:].split("_")[0])]
    if name not in got:
        return "%s (%s): missing" % (name, node.op_type)
    w, g = want[name], got[name]
    if w.dtype != g.dtype or w.shape != g.shape:
        return "%s (%s): %s%s, want %s%s" % (name, node.op_type, g.dtype, list(g.shape),
                                             w.dtype, list(w.shape))
    at = tuple(map(int, np.argwhere(w != g)[0]))
    return "%s (%s): %d of %d values, at %s %s, want %s" % (
        name, node.op_type, int(np.sum(w != g)), w.size, list(at), g[at], w[at])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--planish", default=os.path.join(harness.ROOT, "build", "tools",
                                                          "planish"))
    parser.add_argument("--models", default=harness.MODELS)
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("id", nargs="*")
    args = parser.parse_args()

    tap = harness.Tap()
    for entry in harness.models(args.id):
        ways = [w for w in args.way or WAYS
                if w != "integer" or entry["accept"].get("exact_nodes")]
        with tempfile.TemporaryDirectory() as tmp:
            model = Model(entry, args, tmp)
            for way in ways:
                name = "%s: %s" % (model.id, way)
                if not os.path.exists(model.path):
                    tap.skip(name, "the model was not fetched")
                    continue
                function = model.planish_target if way == "planish" else getattr(model, way)
                tap.check(name, function)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
