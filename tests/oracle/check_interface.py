#!/usr/bin/env python3
"""Rewrite models and see that what others rely on stays.
SPDX-License-Identifier: Apache-2.0

usage: check_interface.py --planish COMMAND [--models DIR] [--light DIR] [ID|FAMILY/NAME...]

At every level and target: inputs and outputs with their names, types and symbolic shapes, overridable
initializers, metadata and doc strings are those of the original; onnx.checker takes the file; a
second run gives the same bytes, and so does rewriting the result. On the trained models, on the light
architectures of the onnx package, and on the small models of tests/oracle/rewrites, each with
names, texts and metadata of all kinds and by its own options. Prints TAP.
"""
import argparse
import glob
import os
import sys
import tempfile

import onnx

import harness
import rewrites
from harness import Fault

LEVELS = [("-O1",), ("-O2",), ("-O3", "--target", "ort"), ("-O3", "--target", "planish")]
RECIPE = "planish.recipe"


def interface(model):
    """What has to stay, as comparable data."""
    g = model.graph
    constants = {t.name for t in g.initializer} | {s.values.name for s in g.sparse_initializer}
    ends = [(v.name, v.type.SerializeToString(), v.doc_string, v.name in constants)
            for v in g.input if model.ir_version >= 4 or v.name not in constants]
    outputs = [(v.name, v.type.SerializeToString(), v.doc_string) for v in g.output]
    metadata = sorted((p.key, p.value) for p in model.metadata_props if p.key != RECIPE)
    return {"inputs": ends, "outputs": outputs, "metadata": metadata,
            "doc string": model.doc_string, "graph": (g.name, g.doc_string),
            "producer": (model.producer_name, model.producer_version),
            "domain": model.domain, "model version": model.model_version,
            "properties": [[(p.key, p.value) for p in v.metadata_props]
                           for v in list(g.input) + list(g.output)
                           if model.ir_version >= 4 or v.name not in constants]}


def read(path):
    with open(path, "rb") as f:
        return f.read()


def check(planish, path, options, folder):
    out = [os.path.join(folder, "%d.onnx" % k) for k in range(3)]
    for source, target in ((path, out[0]), (path, out[1]), (out[0], out[2])):
        harness.command([planish, "optimize", "-q", source, target, *options])
    before = onnx.load(path, load_external_data=False)
    after = onnx.load(out[0], load_external_data=False)
    was, now = interface(before), interface(after)
    for key in was:
        if was[key] != now[key]:
            raise Fault("%s changed: %.200r, was %.200r" % (key, now[key], was[key]))
    if RECIPE not in {p.key for p in after.metadata_props}:
        raise Fault("there is no recipe")
    onnx.checker.check_model(out[0])
    if read(out[0]) != read(out[1]):
        raise Fault("a second run gives other bytes")
    if read(out[0]) != read(out[2]):
        raise Fault("rewriting the result changes it: %d nodes, were %d"
                    % (len(onnx.load(out[2]).graph.node), len(after.graph.node)))


def annotate(m):
    """What nobody but people and other programs read."""
    m.doc_string, m.domain, m.model_version = "what it is", "org.example", 7
    m.producer_name, m.producer_version = "a test", "1.2"
    m.graph.doc_string = "what it does"
    inputs = {v.name for v in m.graph.input}
    for v in list(m.graph.input) + [v for v in m.graph.output if v.name not in inputs]:
        v.doc_string = "this is " + v.name
        p = v.metadata_props.add()
        p.key, p.value = "name", v.name
    for key in ("author", ""):
        p = m.metadata_props.add()
        p.key, p.value = key, "somebody"
    return m


def check_case(planish, case, folder):
    path = os.path.join(folder, "case.onnx")
    onnx.save(annotate(case.model()), path)
    check(planish, path, case.args, folder)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--planish", required=True)
    ap.add_argument("--models", default=harness.MODELS)
    ap.add_argument("--light", default=os.path.join(os.path.dirname(onnx.__file__), "backend",
                                                    "test", "data", "light"))
    ap.add_argument("ids", nargs="*")
    args = ap.parse_args()
    paths = sorted(glob.glob(os.path.join(args.models, "*", "model.onnx")))
    paths += sorted(glob.glob(os.path.join(args.light, "*.onnx")))
    tap = harness.Tap()
    for path in paths:
        name = os.path.basename(path)[:-5]
        name = os.path.basename(os.path.dirname(path)) if name == "model" else name
        if args.ids and name not in args.ids:
            continue
        for options in LEVELS:
            with tempfile.TemporaryDirectory() as folder:
                tap.check("%s %s" % (name, " ".join(options)), check, args.planish, path,
                          options, folder)
    for family, cases in rewrites.families():
        for case in cases:
            name = family + "/" + case.name
            if args.ids and name not in args.ids and family not in args.ids:
                continue
            with tempfile.TemporaryDirectory() as folder:
                tap.check(name, check_case, args.planish, case, folder)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
