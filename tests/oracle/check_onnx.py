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

BATCH = 50
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


def planish_test(planish, folders):
    """{folder: None, or why it failed} of one call of `planish test`."""
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "test.json")
        # 1: some case failed, which is this script's to judge
        harness.command([planish, "test", *folders, "--json", path], timeout=900, ok=(0, 1))
        with open(path) as f:
            report = json.load(f)
    found = {}
    for case in report["cases"]:
        folder = os.path.realpath(case["case"])
        why = None if case["passed"] else " ".join(str(case.get("why") or "failed").split())
        if why:
            why = why.replace(os.path.join(folder, ""), "")
        found[folder] = found.get(folder) or why  # a case may have several data sets
    for n, word in ((sum(c["passed"] for c in report["cases"]), "passed"),
                    (sum(not c["passed"] for c in report["cases"]), "failed")):
        if report[word] != n:
            raise Fault("planish test says %s: %d, and lists %d" % (word, report[word], n))
    return found


def run_all(planish, cases):
    """{KIND/CASE: None, or why it failed}. A call that ends badly is taken apart, so that a
    crash costs the case that crashes and no other."""
    keys, found = list(cases), {}

    def batch(part):
        folders = {os.path.realpath(cases[k]): k for k in part}
        try:
            report = planish_test(planish, list(folders))
        except (Fault, KeyError, TypeError, ValueError) as e:
            if len(part) == 1:
                found[part[0]] = "%s" % e
                return
            for k in part:
                batch([k])
            return
        for folder, key in folders.items():
            found[key] = report.get(folder, "planish test did not report it")

    for k in range(0, len(keys), BATCH):
        batch(keys[k:k + BATCH])
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
    bad = {k: why for k, why in found.items() if why}
    with open(NOT_YET, "w") as f:
        f.write(HEAD)
        for key in sorted(bad):
            f.write("%s  %s\n" % (key, bad[key][:160]))
    print("%s: %d of %d cases" % (os.path.relpath(NOT_YET, harness.ROOT), len(bad), len(found)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--planish", default=os.path.join(harness.ROOT, "build", "tools",
                                                          "planish"))
    parser.add_argument("--suite", default=os.path.join(harness.ROOT, ".deps", "suite"))
    parser.add_argument("--update", action="store_true")
    args = parser.parse_args()

    if not os.path.exists(os.path.join(args.suite, "suite.json")):
        harness.command([sys.executable, dump_onnx_suite.__file__, args.suite])
    cases, known = cases_on_disk(os.path.realpath(args.suite)), read_list()
    found = run_all(args.planish, cases)
    if args.update:
        write_list(found)
        return 0
    tap = harness.Tap()
    for key, why in found.items():
        if key not in known:
            tap.fail(key, why) if why else tap.ok(key)
        elif why:
            tap.skip(key, known[key] or "not yet")
        else:
            tap.fail(key, "it passes: take it out of onnx_not_yet.txt")
    for key in sorted(set(known) - set(cases)):
        tap.fail(key, "in onnx_not_yet.txt, but not in the suite")
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
