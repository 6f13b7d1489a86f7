#!/usr/bin/env python3
"""Time the trained models in planish, ONNX Runtime and OpenVINO, side by side.
SPDX-License-Identifier: Apache-2.0

All engines get the same inputs and number of threads and take turns in short bursts, so that
what else the machine does falls on all alike; a ratio is the median, over the rounds, of
planish's p50 by the other's p50 in the same round. planish is timed by `planish bench`, each
burst a new process; the others in this process, with bound inputs, so that hardly any of
Python's time is in theirs. Every engine optimizes as it does by default.

The table is Markdown. Exit 1 with --check if the geometric mean of the ratios to ONNX Runtime is
above 1.3, one is above 2.5, or a model did not run.
"""
import argparse
import json
import math
import os
import statistics
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
import harness
from harness import Fault

LIMIT_MEAN, LIMIT_ONE = 1.3, 2.5
WARM_UP = 3


def burst(run, seconds):
    """p50 in ms of as many runs as fit into `seconds`, at least five."""
    for _ in range(WARM_UP):
        run()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


class Planish:
    name = "planish"

    def __init__(self, model, inputs, args):
        self.command = [args.planish, "bench", model, "--inputs", inputs, "--threads",
                        str(args.threads), "--seconds", str(args.seconds), "--json", "-", "-q"]

    def burst(self, seconds):
        done = harness.command(self.command, timeout=300)
        try:
            p50 = json.loads(done.stdout)["p50_ms"]
        except (ValueError, KeyError, TypeError) as e:
            raise Fault("bench: its JSON has no p50_ms (%s)" % e) from None
        if not isinstance(p50, (int, float)) or not p50 > 0:
            raise Fault("bench: p50_ms is %r" % p50)
        return float(p50)


class OnnxRuntime:
    name = "ONNX Runtime"

    def __init__(self, model, inputs, args):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads = args.threads
        options.log_severity_level = 4
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        feed = harness.golden(inputs)[0]
        self.binding = self.session.io_binding()
        for i in self.session.get_inputs():
            self.binding.bind_ortvalue_input(i.name,
                                             ort.OrtValue.ortvalue_from_numpy(feed[i.name]))
        for o in self.session.get_outputs():
            self.binding.bind_output(o.name, "cpu")

    def burst(self, seconds):
        return burst(lambda: self.session.run_with_iobinding(self.binding), seconds)


class OpenVino:
    name = "OpenVINO"

    def __init__(self, model, inputs, args):
        import openvino as ov
        core = ov.Core()
        compiled = core.compile_model(core.read_model(model), "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": args.threads,
            "INFERENCE_PRECISION_HINT": args.openvino_precision})
        feed = harness.golden(inputs)[0]
        self.request = compiled.create_infer_request()
        for port in compiled.inputs:
            name = next(n for n in port.get_names() if n in feed)
            self.request.set_tensor(port, ov.Tensor(np.array(feed[name], order="C")))
        self.request.infer(share_outputs=True)

    def burst(self, seconds):
        return burst(lambda: self.request.infer(share_outputs=True), seconds)


def measure(entry, args):
    """{engine: p50 of each round}, or a text where an engine can't run the model."""
    folder = os.path.join(args.models, entry["id"])
    engines, found = {}, {}
    for kind in (Planish, OnnxRuntime, OpenVino):
        try:
            engines[kind.name] = kind(os.path.join(folder, "model.onnx"),
                                      os.path.join(folder, "io.npz"), args)
            found[kind.name] = []
        except Exception as e:  # the engines' own kinds of error
            found[kind.name] = " ".join(str(e).split())[:200]
    for k in range(args.rounds):
        # another engine begins each round
        for name in sorted(engines, key=lambda n: (list(engines).index(n) + k) % len(engines)):
            if isinstance(found[name], str):
                continue
            try:
                found[name].append(engines[name].burst(args.seconds))
            except Exception as e:
                found[name] = " ".join(str(e).split())[:200]
    return found


def ratio(found, other):
    ours, theirs = found["planish"], found[other]
    if isinstance(ours, str) or isinstance(theirs, str):
        return None
    return statistics.median(a / b for a, b in zip(ours, theirs))


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(v) for v in values)) if values else None


def ms(value):
    if isinstance(value, str):
        return "fails"
    value = statistics.median(value)
    return "%.3f" % value if value < 10 else "%.1f" % value


def times(value):
    return "" if value is None else "%.2f" % value


def cpu_name():
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return "unknown CPU"


def versions(args):
    import onnxruntime
    import openvino
    return "ONNX Runtime %s, OpenVINO %s in %s" % (
        onnxruntime.__version__, openvino.__version__.split("-")[0], args.openvino_precision)


def table(results, args):
    lines = ["%s, %d threads; p50 in ms, median of %d rounds of %g s; %s" % (
        cpu_name(), args.threads, args.rounds, args.seconds, versions(args)), "",
        "| model | planish | ONNX Runtime | OpenVINO | / ONNX Runtime | / OpenVINO |",
        "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for model, found in results.items():
        lines.append("| %s | %s | %s | %s | %s | %s |" % (
            model, ms(found["planish"]), ms(found["ONNX Runtime"]), ms(found["OpenVINO"]),
            times(ratio(found, "ONNX Runtime")), times(ratio(found, "OpenVINO"))))
    means = [geometric_mean([r for r in (ratio(f, o) for f in results.values())
                             if r is not None]) for o in ("ONNX Runtime", "OpenVINO")]
    lines.append("| **geometric mean** | | | | **%s** | **%s** |" % tuple(map(times, means)))
    failures = ["%s: %s: %s" % (model, engine, why) for model, found in results.items()
                for engine, why in found.items() if isinstance(why, str)]
    if failures:
        lines += [""] + ["- " + f for f in failures]
    return "\n".join(lines) + "\n"


def verdict(results):
    faults = []
    ratios = {m: ratio(f, "ONNX Runtime") for m, f in results.items()}
    faults += ["%s: not measured" % m for m, r in ratios.items() if r is None]
    faults += ["%s: %.2f x ONNX Runtime's time, at most %g" % (m, r, LIMIT_ONE)
               for m, r in ratios.items() if r is not None and r > LIMIT_ONE]
    mean = geometric_mean([r for r in ratios.values() if r is not None])
    if mean is None or mean > LIMIT_MEAN:
        faults.append("geometric mean %s, at most %g" % (times(mean), LIMIT_MEAN))
    return faults


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--planish", default=os.path.join(harness.ROOT, "build", "tools", "planish"))
    p.add_argument("--models", default=harness.MODELS)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=float, default=0.7, help="length of a burst")
    p.add_argument("--openvino-precision", default="f32", choices=("f32", "bf16", "f16"))
    p.add_argument("--markdown", metavar="FILE", help="write the table there too")
    p.add_argument("--json", metavar="FILE", help="write every round's p50 there")
    p.add_argument("--check", action="store_true", help="exit 1 above the limits")
    p.add_argument("id", nargs="*")
    args = p.parse_args()

    results = {}
    for entry in harness.models(args.id):
        results[entry["id"]] = found = measure(entry, args)
        print("%-26s planish %s  onnxruntime %s (%s x)  openvino %s (%s x)" % (
            entry["id"], ms(found["planish"]), ms(found["ONNX Runtime"]),
            times(ratio(found, "ONNX Runtime")), ms(found["OpenVINO"]),
            times(ratio(found, "OpenVINO"))), file=sys.stderr, flush=True)
    text = table(results, args)
    print(text, end="")
    if args.markdown:
        with open(args.markdown, "w") as f:
            f.write(text)
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"schema": 1, "cpu": cpu_name(), "threads": args.threads,
                       "p50_ms": results}, f, indent=1)
            f.write("\n")
    if args.check:
        faults = verdict(results)
        for fault in faults:
            print("side_by_side: " + fault, file=sys.stderr)
        return 1 if faults else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
