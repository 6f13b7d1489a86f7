#!/usr/bin/env python3
"""Write the official ONNX backend suite as folders that `planish test` reads.
SPDX-License-Identifier: Apache-2.0

usage: dump_onnx_suite.py DEST [--kind KIND]... [--match REGEX] [--seed N --base DIR]

DEST/KIND/CASE/model.onnx and DEST/KIND/CASE/test_data_set_0/{input,output}_K.pb, KIND one of
node, simple, real, pytorch-converted, pytorch-operator. data.json beside the model holds rtol
and atol where they are not the defaults, and "compare" for cases whose result is random.
input_K.pb belongs to the K-th graph input that is not an initializer.

The node cases are made by importing the package (they are not files in it); the real ones are
light models (their weights are generated inside the graph) fed a ramp, as the official runner
does. DEST is complete once DEST/suite.json is there; a second call then does nothing.

With --seed the same cases get other data (reseeded_suite.py), so that what passes the published
data alone is found out; --base is the folder of the plain dump.
"""
import argparse
import contextlib
import glob
import json
import os
import re
import shutil
import sys
import warnings

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

import reseeded_suite

DEFAULT = {"rtol": 1e-3, "atol": 1e-7}
KINDS = ("node", "simple", "real", "pytorch-converted", "pytorch-operator")
# onnx 1.23.2; a dump that comes out smaller has lost something
EXPECTED = {"node": 1884, "simple": 23, "real": 9, "pytorch-converted": 82,
            "pytorch-operator": 35}


# NumPy computed these in single precision: what should be zero is up to 2e-7.
NOISY = {"test_dft_inverse": 1e-6, "test_dft_inverse_opset19": 1e-6}


def random_outputs(model):
    """Whether the outputs come from a random generator, which no two runtimes share."""
    for node in model.graph.node:
        if node.op_type in ("Bernoulli", "RandomNormal", "RandomNormalLike", "RandomUniform",
                            "RandomUniformLike", "Multinomial"):
            return True
    return False


def random_dropout(name):
    """Dropout in training mode with a ratio that is not zero."""
    return name.startswith("test_training_dropout") and "zero_ratio" not in name


def write(path, message):
    with open(path, "wb") as f:
        f.write(message.SerializeToString(deterministic=True))


def to_proto(value, info):
    """The proto that the graph's type for this input or output asks for."""
    if info.type.HasField("sequence_type"):
        return numpy_helper.from_list(value, info.name)
    if info.type.HasField("optional_type"):
        return numpy_helper.from_optional(value, info.name)
    if info.type.HasField("map_type"):
        return numpy_helper.from_dict(value, info.name)
    if isinstance(value, TensorProto):
        return value
    return numpy_helper.from_array(np.asarray(value), info.name)


def free_inputs(graph):
    fixed = {t.name for t in graph.initializer}
    fixed |= {t.values.name for t in graph.sparse_initializer}
    return [i for i in graph.input if i.name not in fixed]


def data_json(folder, rtol, atol, compare):
    data = {}
    if (rtol, atol) != (DEFAULT["rtol"], DEFAULT["atol"]):
        data.update(rtol=rtol, atol=atol)
    if compare:
        data["compare"] = compare
    if data:
        with open(os.path.join(folder, "data.json"), "w") as f:
            json.dump(data, f, sort_keys=True)
            f.write("\n")


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "test_data_set_0"))
    return os.path.join(folder, "test_data_set_0")


def dump_node(case, folder):
    assert len(case.data_sets) == 1, case.name
    data = fresh(folder)
    write(os.path.join(folder, "model.onnx"), case.model)
    inputs, outputs = case.data_sets[0]
    infos = free_inputs(case.model.graph)
    assert len(inputs) == len(infos), (case.name, len(inputs), len(infos))
    assert len(outputs) == len(case.model.graph.output), case.name
    for k, (value, info) in enumerate(zip(inputs, infos)):
        write(os.path.join(data, "input_%d.pb" % k), to_proto(value, info))
    for k, (value, info) in enumerate(zip(outputs, case.model.graph.output)):
        write(os.path.join(data, "output_%d.pb" % k), to_proto(value, info))
    random = random_outputs(case.model) or random_dropout(case.name)
    data_json(folder, case.rtol, NOISY.get(case.name, case.atol),
              "distribution" if random else None)


def dump_files(source, folder):
    """A case that the package has as files."""
    data = fresh(folder)
    model = onnx.load(os.path.join(source, "model.onnx"), load_external_data=False)
    shutil.copy(os.path.join(source, "model.onnx"), folder)
    sets = sorted(glob.glob(os.path.join(source, "test_data_set_*")))
    assert len(sets) == 1, source
    for f in sorted(glob.glob(os.path.join(sets[0], "*.pb"))):
        shutil.copy(f, data)
    given = {}
    if os.path.exists(os.path.join(source, "data.json")):
        with open(os.path.join(source, "data.json")) as f:
            given = json.load(f)
    data_json(folder, given.get("rtol", DEFAULT["rtol"]), given.get("atol", DEFAULT["atol"]),
              "distribution" if random_outputs(model) else None)


def dump_real(source, light, folder):
    data = fresh(folder)
    with open(os.path.join(source, "data.json")) as f:
        given = json.load(f)
    path = os.path.join(light, os.path.basename(given["url"]))
    model = onnx.load(path)
    shutil.copy(path, os.path.join(folder, "model.onnx"))
    for k, info in enumerate(free_inputs(model.graph)):
        tensor = info.type.tensor_type
        assert tensor.elem_type == TensorProto.FLOAT, path
        shape = tuple(d.dim_value if d.HasField("dim_value") else 1 for d in tensor.shape.dim)
        n = int(np.prod(shape))
        ramp = (np.arange(n).reshape(shape) / n).astype(np.float32)
        write(os.path.join(data, "input_%d.pb" % k), numpy_helper.from_array(ramp, info.name))
    for k in range(len(model.graph.output)):
        shutil.copy("%s_output_%d.pb" % (os.path.splitext(path)[0], k),
                    os.path.join(data, "output_%d.pb" % k))
    data_json(folder, given.get("rtol", DEFAULT["rtol"]), given.get("atol", DEFAULT["atol"]),
              None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dest")
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--match", type=re.compile, help="only cases whose name matches")
    parser.add_argument("--seed", type=int, default=0, help="other data, drawn from this seed")
    parser.add_argument("--base", help="with --seed: the folder of the plain dump")
    args = parser.parse_args()
    if bool(args.seed) != bool(args.base):
        parser.error("--seed and --base belong together")
    kinds = tuple(args.kind or KINDS)
    mark = os.path.join(args.dest, "suite.json")
    facts = {"schema": 1, "onnx": onnx.__version__, "kinds": sorted(kinds),
             "match": args.match.pattern if args.match else None, "seed": args.seed}
    with contextlib.suppress(FileNotFoundError, ValueError):
        with open(mark) as f:
            have = json.load(f)
        if {k: have.get(k) for k in facts} == facts:
            print("%s: already there" % args.dest)
            return 0
        os.remove(mark)
        for kind in have.get("kinds", []):  # nothing of another onnx version may stay behind
            if kind in KINDS:
                shutil.rmtree(os.path.join(args.dest, kind), ignore_errors=True)

    with warnings.catch_warnings():
        # numpy's remarks on the overflows and divisions by zero that the cases are about
        warnings.simplefilter("ignore")
        from onnx.backend.test import loader
        if args.seed:
            reseeded_suite.reseed(args.seed)
        node_cases = loader.load_node_model_tests() if "node" in kinds else []

    counts, renewed = {}, 0
    for kind in kinds:
        def wanted(name):
            return not args.match or args.match.search(name)
        if kind == "node":
            todo = [(c.name, lambda folder, c=c: dump_node(c, folder)) for c in node_cases]
        else:
            root = os.path.join(loader.DATA_DIR, kind)
            light = os.path.join(loader.DATA_DIR, "light")
            names = sorted(n for n in os.listdir(root) if os.path.isdir(os.path.join(root, n)))
            if kind == "real":
                todo = [(n, lambda folder, n=n: dump_real(os.path.join(root, n), light, folder))
                        for n in names]
            else:
                todo = [(n, lambda folder, n=n: dump_files(os.path.join(root, n), folder))
                        for n in names]
        if onnx.__version__ == "1.23.2" and len(todo) != EXPECTED[kind]:
            sys.exit("dump_onnx_suite: %d cases of kind %s, expected %d"
                     % (len(todo), kind, EXPECTED[kind]))
        todo = [(n, dump) for n, dump in todo if wanted(n)]
        for name, dump in todo:
            dump(os.path.join(args.dest, kind, name))
            if args.seed:
                renewed += reseeded_suite.renew(os.path.join(args.dest, kind, name),
                                                os.path.join(args.base, kind, name), kind,
                                                args.seed)
        counts[kind] = len(todo)

    facts["cases"] = counts
    if args.seed:
        facts["renewed"] = renewed
        print("%d of %d cases got other data" % (renewed, sum(counts.values())))
    os.makedirs(args.dest, exist_ok=True)
    with open(mark + ".part", "w") as f:
        json.dump(facts, f, indent=1, sort_keys=True)
        f.write("\n")
    os.replace(mark + ".part", mark)
    print("%s: %s" % (args.dest, ", ".join("%d %s" % (n, k) for k, n in counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
