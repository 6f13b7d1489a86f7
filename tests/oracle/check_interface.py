#!/usr/bin/env python3
"""Rewrite models and see that what others rely on stays.
SPDX-License-Identifier: Apache-2.0

usage: check_interface.py --planish COMMAND [--models DIR] [--light DIR] [ID...]

At every level and target: inputs and outputs with their names, types and symbolic shapes, overridable
initializers, metadata and doc strings are those of the original; onnx.checker takes the file; a
second run gives the same bytes, and so does rewriting the result. On the trained models, and on the
light architectures of the onnx package. Prints TAP.
"""
import argparse
import glob
import os
import sys
import tempfile

import onnx

import harness
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
            "domain": model.domain, "model version": model.model_version}


def read(path):
    with open(path, "rb") as f:
        return f.read()


def check(planish, path, options, folder):
    out = [os.path.join(folder, "%d.onnx" % k) for k in range(3)]
    for source, target in ((path, out[0]), (path, out[1]), (out[0], out[2])):
        harness.command([planish, "optimize", "-q", source, target, *options])
    before, after = onnx.load(path, load_external_data=False), onnx.load(out[0])
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
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
