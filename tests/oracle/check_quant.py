#!/usr/bin/env python3
"""Quantize two trained models with planish and look at what came out.
SPDX-License-Identifier: Apache-2.0

usage: check_quant.py --planish COMMAND [--models DIR]

For each: calibrated with 8 inputs; on 8 others the quantized model stays near the float one
(cosine); its operators' weights are int8 in the file, which is smaller for it; onnx.checker takes
the file; ONNX Runtime without optimizations computes the same from it, as a whole and unit by
unit. Prints TAP.
"""
import argparse
import os
import sys
import tempfile

import numpy as np
import onnx

import harness
import quant_units
from harness import Fault

COSINE = 0.98
WHOLE_DB, UNIT_DB = 30.0, 40.0
SMALLER = 0.7     # of the float bytes of the quantized weights
# Of the weight bytes of MatMul, Gemm and Conv that must be quantized at all. Not 1: operators
# that a range per tensor ruins (BERT's second FFN product: a third of its bytes) may stay float.
COVERED = 0.5
N = 8


def sentences(rng):
    """Token ids of a BERT vocabulary, of any length, padded to 128."""
    length = int(rng.integers(12, 129))
    ids = np.zeros((1, 128), np.int64)
    ids[0, :length] = rng.integers(1000, 30000, length)
    ids[0, 0], ids[0, length - 1] = 101, 102
    return {"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64)}


def pictures(rng):
    """Smooth fields with edges and grain, in BGR less the mean, as the model wants them."""
    y, x = np.mgrid[0:224, 0:224] / 224.0
    image = np.full((224, 224, 3), 127.0) + rng.normal(0, 30, 3)
    for _ in range(12):
        fx, fy = rng.normal(0, 4, 2)
        wave = np.cos(2 * np.pi * (fx * x + fy * y + rng.random()))
        image += wave[..., None] * rng.normal(0, 18, 3)
    for _ in range(4):
        cx, cy, r = rng.random(3) * [1, 1, 0.3]
        image[(x - cx) ** 2 + (y - cy) ** 2 < r * r] += rng.normal(0, 50, 3)
    image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).round()
    return {"input_0": (image - [104, 117, 123]).astype(np.float32)[None]}


MAKERS = {"paraphrase-minilm-l3": sentences, "open-nsfw-resnet": pictures}


def onnxruntime_session(model):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 2
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model.SerializeToString(), options,
                                    providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime's own types: one for each of its codes
        raise Fault("onnxruntime refuses it: %s" % " ".join(str(e).split())[:300]) from None


def run_onnxruntime(session, inputs):
    names = [o.name for o in session.get_outputs()]
    try:
        return dict(zip(names, session.run(None, inputs)))
    except Exception as e:
        raise Fault("onnxruntime: %s" % " ".join(str(e).split())[:300]) from None


class Subject:
    def __init__(self, name, args, tmp):
        self.planish = args.planish
        self.tmp = tmp
        self.path = os.path.join(args.models, name, "model.onnx")
        self.out = os.path.join(tmp, "quantized.onnx")
        rng = np.random.default_rng(20)
        self.calibration = [MAKERS[name](rng) for _ in range(N)]
        self.held_out = [MAKERS[name](rng) for _ in range(N)]
        self.ours = self.theirs = None

    def quantize(self):
        command = [self.planish, "quantize", self.path, self.out, "--mode", "static"]
        for k, inputs in enumerate(self.calibration):
            npz = os.path.join(self.tmp, "calibration_%d.npz" % k)
            np.savez(npz, **inputs)
            command += ["--calibration", npz]
        harness.command(command)
        self.model = onnx.load(self.out)
        self.units, self.weights = quant_units.find(self.model)

    def run_planish(self, path, inputs):
        npz, out = os.path.join(self.tmp, "i.npz"), os.path.join(self.tmp, "o.npz")
        np.savez(npz, **inputs)
        harness.command([self.planish, "run", path, "--inputs", npz, "--outputs", out])
        return harness.load_npz(out)

    def checker(self):
        try:
            onnx.checker.check_model(self.out, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as e:
            raise Fault(str(e).splitlines()[0]) from None

    def stored(self):
        total = sum(size for _, size, _ in self.weights)
        quantized = sum(size for _, size, is_int8 in self.weights if is_int8)
        if not total or quantized < COVERED * total:
            left = [n.name or n.output[0] for n, _, is_int8 in self.weights if not is_int8]
            raise Fault("%.1f of %.1f MB of the operators' weights are int8; float: %s"
                        % (quantized / 1e6, total / 1e6, ", ".join(left[:5])))
        gain = os.path.getsize(self.path) - os.path.getsize(self.out)
        if gain < SMALLER * quantized:
            raise Fault("the file is smaller by %.1f MB, want %.1f"
                        % (gain / 1e6, SMALLER * quantized / 1e6))
        return "%d of %d operators, file smaller by %.0f%% of their %.1f MB" % (
            sum(w[2] for w in self.weights), len(self.weights), 100 * gain / quantized,
            quantized / 1e6)

    def accuracy(self):
        session = onnxruntime_session(onnx.load(self.path))
        worst = 1.0
        self.ours = [self.run_planish(self.out, i) for i in self.held_out]
        for inputs, got in zip(self.held_out, self.ours):
            for name, want in run_onnxruntime(session, inputs).items():
                harness.same_form(name, want, got.get(name))
                if want.dtype.kind != "f":
                    if not np.array_equal(want, got[name]):
                        raise Fault("output %r of integers differs" % name)
                    continue
                worst = min(worst, harness.cosine(want, got[name]))
        if not worst >= COSINE:
            raise Fault("cosine %.4f, want %g" % (worst, COSINE))
        return "cosine at least %.4f on %d inputs" % (worst, N)

    def whole(self):
        if self.ours is None:
            raise Fault("planish did not run it")
        session = onnxruntime_session(self.model)
        worst = np.inf
        for inputs, got in zip(self.held_out, self.ours):
            for name, want in run_onnxruntime(session, inputs).items():
                harness.same_form(name, want, got.get(name))
                if want.dtype.kind == "f":
                    worst = min(worst, harness.sqnr_db(want, got[name]))
        if not worst >= WHOLE_DB:
            raise Fault("SQNR %.1f dB, want %g" % (worst, WHOLE_DB))
        return "SQNR at least %.1f dB" % worst

    def by_unit(self):
        if not self.units:
            raise Fault("no quantized unit in the file")
        probe = onnx.ModelProto()
        probe.CopyFrom(self.model)
        known = {o.name for o in probe.graph.output}
        wanted = list(dict.fromkeys(s for u in self.units for s in u.sources))
        inputs = {i.name for i in probe.graph.input}
        for name in wanted:
            if name not in known and name not in inputs:
                probe.graph.output.append(onnx.ValueInfoProto(name=name))
        values = dict(self.held_out[0])
        values.update(run_onnxruntime(onnxruntime_session(probe), self.held_out[0]))
        model, feed = quant_units.side_by_side(self.model, self.units, values)
        path = os.path.join(self.tmp, "units.onnx")
        onnx.save(model, path)
        want = run_onnxruntime(onnxruntime_session(model), feed)
        got = self.run_planish(path, feed)
        worst, where = np.inf, None
        for unit, name in zip(self.units, (o.name for o in model.graph.output)):
            harness.same_form(name, want[name], got.get(name))
            db = harness.sqnr_db(want[name], got[name])
            if where is None or not db >= worst:
                worst, where = db, "%s (%s)" % (unit.node.name or name, unit.node.op_type)
        if not worst >= UNIT_DB:
            raise Fault("%s: SQNR %.1f dB, want %g" % (where, worst, UNIT_DB))
        return "%d units, the worst %.1f dB (%s)" % (len(self.units), worst, where)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--planish", default=os.path.join(harness.ROOT, "build", "tools",
                                                          "planish"))
    parser.add_argument("--models", default=harness.MODELS)
    parser.add_argument("id", nargs="*", choices=[[], *MAKERS])
    args = parser.parse_args()
    tap = harness.Tap()
    for name in args.id or MAKERS:
        with tempfile.TemporaryDirectory() as tmp:
            s = Subject(name, args, tmp)
            if not os.path.exists(s.path):
                tap.skip("%s: quantize" % name, "the model was not fetched")
                continue
            if not tap.check("%s: quantize" % name, s.quantize):
                continue
            for what, check in (("onnx.checker", s.checker), ("stored as int8", s.stored),
                                ("near the float model", s.accuracy),
                                ("the same in onnxruntime", s.whole),
                                ("unit by unit", s.by_unit)):
                tap.check("%s: %s" % (name, what), check)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
