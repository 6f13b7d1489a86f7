#!/usr/bin/env python3
"""Run the official ONNX suite with `planish test`.
SPDX-License-Identifier: Apache-2.0

usage: check_onnx.py --planish COMMAND [--suite DIR] [--way WAY]... [--update]

Ways: `default`; `ref`, `cpu` (that device alone); `c`, `avx2` (that instruction set); `O3` (each
model rewritten before its run); `other` and `other-ref` (the same cases with other data: see
reseeded_suite.py). All but `other-ref` unless told otherwise.

tests/oracle/onnx_not_yet.txt names the cases that are known not to pass, one a line with the
reason. They are counted as skipped, with that reason; one that passes is a failure until its
line is taken out, so that the list can only shrink. --update writes the list anew. Cases whose
numbers are random are compared by distribution, and listed. Prints TAP.
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
SEED = "7"
NOT_YET = os.path.join(harness.ROOT, "tests", "oracle", "onnx_not_yet.txt")
HEAD = """\
# Cases of the official ONNX suite (onnx 1.23.2) that do not pass yet: KIND/CASE  reason.
# Written by check_onnx.py --update. A case that passes must leave this list.
"""


class Way:
    """How the suite is run: options and environment of the command, and which data."""

    TABLE = {"default": ((), {}, False), "ref": (("--device", "ref"), {}, False),
             "cpu": (("--device", "cpu"), {}, False), "c": ((), {"PLN_CPU": "c"}, False),
             "avx2": ((), {"PLN_CPU": "avx2"}, False), "O3": (("-O3",), {}, False),
             "other": ((), {}, True), "other-ref": (("--device", "ref"), {}, True)}
    DEFAULT = [w for w in TABLE if w != "other-ref"]

    def __init__(self, name, planish):
        self.name, self.planish = name, planish
        self.options, self.env, self.other_data = self.TABLE[name]


def cases_on_disk(suite):
    found = {}
    for kind in dump_onnx_suite.KINDS:
        folder = os.path.join(suite, kind)
        for name in sorted(os.listdir(folder)):
            if os.path.exists(os.path.join(folder, name, "model.onnx")):
                found["%s/%s" % (kind, name)] = os.path.join(folder, name)
    return found


def planish_test(way, folders):
    """{folder: None, or why it failed} of one call of `planish test`."""
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "test.json")
        # 1: some case failed, which is this script's to judge
        harness.command([way.planish, "test", *way.options, *folders, "--json", path],
                        timeout=900, env=way.env, ok=(0, 1))
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


def run_all(way, cases):
    """{KIND/CASE: None, or why it failed}. A call that ends badly is taken apart, so that a
    crash costs the case that crashes and no other."""
    keys, found = list(cases), {}

    def batch(part):
        folders = {os.path.realpath(cases[k]): k for k in part}
        try:
            report = planish_test(way, list(folders))
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


def print_random(cases):
    random = []
    for key, folder in cases.items():
        path = os.path.join(folder, "data.json")
        if os.path.exists(path):
            with open(path) as f:
                if "compare" in json.load(f):
                    random.append(key)
    print("# compared by distribution, their numbers being random: %d cases" % len(random))
    for key in random:
        print("#   " + key)


def report(tap, way, found, known):
    for key, why in found.items():
        name = "%s: %s" % (way.name, key)
        if key not in known:
            tap.fail(name, why) if why else tap.ok(name)
        elif why:
            tap.skip(name, known[key] or "not yet")
        elif way.name == "default":
            tap.fail(name, "it passes: take it out of onnx_not_yet.txt")
        else:
            tap.ok(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--planish", default=os.path.join(harness.ROOT, "build", "tools",
                                                          "planish"))
    parser.add_argument("--suite", default=os.path.join(harness.ROOT, ".deps", "suite"))
    parser.add_argument("--way", action="append", choices=Way.TABLE)
    parser.add_argument("--update", action="store_true")
    args = parser.parse_args()

    other = args.suite + "-other"
    dump = [sys.executable, dump_onnx_suite.__file__]
    ways = [Way(w, args.planish) for w in args.way or Way.DEFAULT]
    harness.command([*dump, args.suite], timeout=600)
    if any(w.other_data for w in ways):
        harness.command([*dump, other, "--seed", SEED, "--base", args.suite], timeout=600)
    cases, known = cases_on_disk(os.path.realpath(args.suite)), read_list()
    if args.update:
        write_list(run_all(Way("default", args.planish), cases))
        return 0
    tap = harness.Tap()
    print_random(cases)
    for way in ways:
        here = cases_on_disk(os.path.realpath(other)) if way.other_data else cases
        report(tap, way, run_all(way, here), known)
    for key in sorted(set(known) - set(cases)):
        tap.fail(key, "in onnx_not_yet.txt, but not in the suite")
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
