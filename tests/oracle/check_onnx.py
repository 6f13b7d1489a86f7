#!/usr/bin/env python3
"""Run the official ONNX suite with `planish test`.
SPDX-License-Identifier: Apache-2.0

usage: check_onnx.py --planish COMMAND [--suite DIR] [--update]

tests/oracle/onnx_not_yet.txt names the cases that are known not to pass, one a line with the
reason. They are counted as skipped, with that reason; one that passes is a failure until its
line is taken out, so that the list can only shrink. --update writes the list anew. Prints TAP.
"""
import argparse
import json
import os
import sys
import tempfile

import dump_onnx_suite
import harness
from harness import Fault

NOT_YET = os.path.join(harness.ROOT, "tests", "oracle", "onnx_not_yet.txt")
HEAD = """\
# Cases of the official ONNX suite (onnx 1.23.2) that do not pass yet: KIND/CASE  reason.
# Written by check_onnx.py --update. A case that passes must leave this list.
"""


def cases_on_disk(suite):
    found = {}
    for kind in dump_onnx_suite.KINDS:
        folder = os.path.join(suite, kind)
        for name in sorted(os.listdir(folder)):
            if os.path.exists(os.path.join(folder, name, "model.onnx")):
                found["%s/%s" % (kind, name)] = os.path.join(folder, name)
    return found


def planish_test(planish, suite):
    """The JSON object of `planish test`."""
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "test.json")
        # 1: some case failed, which is this script's to judge
        harness.command([planish, "test", suite, "--json", path], timeout=1800, ok=(0, 1))
        with open(path) as f:
            return json.load(f)


def results(report, suite):
    """{KIND/CASE: (passed, message)} of the report's cases."""
    found = {}
    for case in report["cases"]:
        path = os.path.normpath(os.path.join(os.getcwd(), case["path"]))
        key = os.path.relpath(path, os.path.realpath(suite))
        message = " ".join(str(case.get("message") or case["status"]).split())
        passed, before = found.get(key, (True, ""))  # a case may have several data sets
        found[key] = (passed and case["status"] == "passed", before or message)
    return found


def read_list():
    known = {}
    if os.path.exists(NOT_YET):
        with open(NOT_YET) as f:
            for line in f:
                if line.strip() and not line.startswith("#"):
                    key, _, reason = line.strip().partition("  ")
                    known[key] = reason.strip()
    return known


def write_list(found):
    bad = {k: m for k, (passed, m) in found.items() if not passed}
    with open(NOT_YET, "w") as f:
        f.write(HEAD)
        for key in sorted(bad):
            f.write("%s  %s\n" % (key, bad[key][:160]))
    print("%s: %d cases" % (os.path.relpath(NOT_YET, harness.ROOT), len(bad)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--planish", default=os.path.join(harness.ROOT, "build", "tools",
                                                          "planish"))
    parser.add_argument("--suite", default=os.path.join(harness.ROOT, ".deps", "suite"))
    parser.add_argument("--update", action="store_true")
    args = parser.parse_args()

    if not os.path.exists(os.path.join(args.suite, "suite.json")):
        harness.command([sys.executable, dump_onnx_suite.__file__, args.suite])
    tap = harness.Tap()
    suite = os.path.realpath(args.suite)
    try:
        report = planish_test(args.planish, suite)
        found = results(report, suite)
    except (Fault, KeyError, ValueError) as e:
        tap.fail("planish test", "%s: %s" % (type(e).__name__, e))
        return tap.done()
    if args.update:
        write_list(found)
        return 0

    cases, known = cases_on_disk(suite), read_list()
    for key in cases:
        passed, message = found.get(key, (False, "planish test did not report it"))
        if key not in known:
            tap.ok(key) if passed else tap.fail(key, message)
        elif passed:
            tap.fail(key, "it passes: take it out of onnx_not_yet.txt")
        else:
            tap.skip(key, known[key] or "not yet")
    for key in sorted(set(known) - set(cases)):
        tap.fail(key, "in onnx_not_yet.txt, but not in the suite")
    counted = (report["passed"], report["failed"])
    listed = (sum(p for p, _ in found.values()), sum(not p for p, _ in found.values()))
    if counted == listed:
        tap.ok("the report's totals agree with its cases")
    else:
        tap.fail("the report's totals agree with its cases", "%s, cases %s" % (counted, listed))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
