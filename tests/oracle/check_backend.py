#!/usr/bin/env python3
"""Run the official ONNX backend test runner over planish.backend.
SPDX-License-Identifier: Apache-2.0

usage: check_backend.py [--match REGEX] [--time]

All of onnx.backend.test.BackendTest is run: the node cases, the models, and nothing is left
out. The cases whose results are random (dump_onnx_suite.py's rule) are compared by type, shape,
mean and spread, and say so. Tolerances are the runner's, but for the cases whose expected values are
noise (dump_onnx_suite.NOISY). tests/oracle/onnx_not_yet.txt names the cases that do not pass yet;
one of them that passes is a failure until its line is taken out. Prints TAP.
"""
import argparse
import os
import re
import sys
import tempfile
import time
import unittest
import warnings

import numpy as np

import dump_onnx_suite
import harness
from check_onnx import read_list

sys.path.insert(0, os.path.join(harness.ROOT, "python"))
# the runner keeps the data of its `real` models there
MODELS = tempfile.TemporaryDirectory()
os.environ["ONNX_MODELS"] = MODELS.name

#: The runner's names of the kinds in onnx_not_yet.txt.
KINDS = {"OnnxBackendNodeModelTest": "node", "OnnxBackendRealModelTest": "real",
         "OnnxBackendSimpleModelTest": "simple",
         "OnnxBackendPyTorchConvertedModelTest": "pytorch-converted",
         "OnnxBackendPyTorchOperatorModelTest": "pytorch-operator"}


def random_cases():
    """Names of cases that no two runtimes give the same numbers for."""
    from onnx.backend.test.loader import load_model_tests
    return {c.name for c in load_model_tests(kind="node")
            if dump_onnx_suite.random_outputs(c.model) or dump_onnx_suite.random_dropout(c.name)}


def same_law(want, got):
    """Raises unless two samples have the same type and shape, and means within six standard
    errors, as `planish test` has it."""
    if (want.dtype, want.shape) != (got.dtype, got.shape):
        raise AssertionError("%s%s, not %s%s" % (got.dtype, list(got.shape), want.dtype,
                                                 list(want.shape)))
    a, b = (np.asarray(v, dtype=np.float64) for v in (want, got))
    error = np.sqrt((a.var() + b.var()) / max(a.size, 1))
    if not abs(a.mean() - b.mean()) <= 6 * error + 1e-6 * abs(a.mean()):
        raise AssertionError("mean %g, not %g" % (b.mean(), a.mean()))


def make_runner():
    """The official runner, whose comparison fails on a list that holds a scalar (it asks for
    the scalar's length): items of lists are compared one by one, as outputs are."""
    import onnx.backend.test
    import planish.backend

    class Runner(onnx.backend.test.BackendTest):
        by_law = False

        @classmethod
        def assert_similar_outputs(cls, ref_outputs, outputs, rtol, atol, model_dir=None):
            if len(ref_outputs) != len(outputs):
                raise AssertionError("%d values, not %d" % (len(outputs), len(ref_outputs)))
            for ref, out in zip(ref_outputs, outputs):
                if isinstance(ref, (list, tuple)):
                    if not isinstance(out, (list, tuple)):
                        raise AssertionError("%s is no list" % type(out).__name__)
                    cls.assert_similar_outputs(ref, out, rtol, atol, model_dir)
                elif Runner.by_law:
                    same_law(ref, out)
                else:
                    super().assert_similar_outputs([ref], [out], rtol, atol, model_dir)

    noisy = {name: {"atol": atol} for name, atol in dump_onnx_suite.NOISY.items()}
    return Runner(planish.backend.PlanishBackend, __name__, noisy)


def all_tests(runner):
    """(kind, case, test) of each case on the processor."""
    for name, case in runner.test_cases.items():
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(case):
            method = test.id().rsplit(".", 1)[1]
            if method.endswith("_cpu"):
                yield KINDS[name], method[:-len("_cpu")], test


def run(test):
    """None, or why it did not pass. A skipped test has not passed."""
    result = unittest.TestResult()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of overflows that the cases are about
        test.run(result)
    for _, text in result.failures + result.errors:
        lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
        told = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Argument|Graph|"
                                                   r"NotImplemented|Input|Fail)\b", line)]
        return " ".join((told or lines)[-1].split())[:200]
    if result.skipped:
        return "skipped: " + result.skipped[0][1]
    return None if result.testsRun else "it did not run"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--match", type=re.compile, help="only cases whose name matches")
    parser.add_argument("--time", action="store_true", help="tell the slowest cases")
    args = parser.parse_args()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = make_runner()
        tests = [t for t in all_tests(runner) if not args.match or args.match.search(t[1])]
        random = random_cases()
    tap, known, seconds = harness.Tap(), read_list(), {}
    if not args.match and len(tests) != sum(dump_onnx_suite.EXPECTED.values()):
        tap.fail("all cases are there", "%d, not %d"
                 % (len(tests), sum(dump_onnx_suite.EXPECTED.values())))
    for kind, name, test in tests:
        key = "%s/%s" % (kind, name)
        type(runner).by_law = kind == "node" and name in random
        if type(runner).by_law:
            print("# %s: its numbers are random, they are compared by their law" % key)
        start = time.perf_counter()
        why = run(test)
        seconds[key] = time.perf_counter() - start
        if key not in known:
            tap.fail(key, why) if why else tap.ok(key)
        elif why:
            tap.skip(key, known[key] or "not yet")
        else:
            tap.fail(key, "it passes: take it out of onnx_not_yet.txt")
    if args.time:
        for key in sorted(seconds, key=seconds.get)[-15:]:
            print("# %6.2f s %s" % (seconds[key], key))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
