#!/usr/bin/env python3
"""Count test results, name the failed ones and give the reason of each skipped one.
SPDX-License-Identifier: Apache-2.0

usage: tally.py COUNTS LABEL tap FILE [EXIT]
       tally.py COUNTS LABEL meson testlog.json [EXIT]
       tally.py COUNTS LABEL one passed|failed|skipped [REASON]
       tally.py COUNTS sum

Each call prints what is worth a line and appends "PASSED FAILED SKIPPED LABEL" to COUNTS; `sum`
prints the total and exits 1 if anything failed or nothing ran. EXIT is the exit status of the
command behind FILE: where it is not 0 and no test in FILE has failed, that is a failure too.
"""
import json
import re
import sys

LINE = re.compile(r"\s*(not )?ok\b\s*(\d*)\s*-?\s*(.*)")
DIRECTIVE = re.compile(r"(.*?)(?<!\\)#\s*(skip|todo)\b\s*(.*)", re.IGNORECASE)
PLAN = re.compile(r"1\.\.(\d+)(?:\s*#\s*skip\w*\s*(.*))?", re.IGNORECASE)


class Count:
    def __init__(self, label):
        self.label = label
        self.passed = self.failed = self.skipped = 0

    def ok(self):
        self.passed += 1

    def fail(self, name):
        self.failed += 1
        print("FAILED  %s: %s" % (self.label, name))

    def skip(self, name, reason):
        self.skipped += 1
        print("skipped %s: %s: %s" % (self.label, name, reason or "no reason given"))


def tap(count, text, prefix=""):
    """Counts the lines of one TAP stream; False if it is cut short or not TAP at all."""
    planned = None
    seen = 0
    for line in text.splitlines():
        plan = PLAN.fullmatch(line.strip())
        if plan:
            planned = int(plan[1])
            if planned == 0:
                count.skip(prefix or "all", plan[2])
            continue
        if line.startswith("Bail out!"):
            return False
        found = LINE.fullmatch(line) if line[:1] in "on" else None
        if not found:
            continue
        seen += 1
        negated, _, name = found.groups()
        directive = DIRECTIVE.fullmatch(name)
        if directive and directive[2].lower() == "skip":
            count.skip(prefix + directive[1].strip(), directive[3])
        elif negated and not (directive and directive[2].lower() == "todo"):
            count.fail(prefix + name)
        else:
            count.ok()
    return planned is not None and planned == seen


def meson(count, path):
    """Counts meson's testlog.json: TAP tests by their lines, others as one test each."""
    with open(path) as f:
        tests = [json.loads(line) for line in f if line.strip()]
    for test in tests:
        name, result = test["name"].split(" / ")[-1], test["result"]
        out = test.get("stdout") or ""
        if PLAN.search(out) and LINE.search(out):
            failed = count.failed
            whole = tap(count, out, name + ": ")
            bad = result not in ("OK", "SKIP", "EXPECTEDFAIL")
            if (bad or not whole) and count.failed == failed:
                count.fail("%s: %s%s" % (name, result, "" if whole else
                                         ", its results end before the plan does"))
        elif result in ("OK", "EXPECTEDFAIL"):
            count.ok()
        elif result == "SKIP":
            text = (out + "\n" + (test.get("stderr") or "")).strip().splitlines()
            count.skip(name, text[-1] if text else "")
        else:
            count.fail("%s: %s" % (name, result))
    if not tests:
        count.fail("no test in " + path)


def total(path):
    passed = failed = skipped = 0
    with open(path) as f:
        for line in f:
            p, n, s, _ = line.split(" ", 3)
            passed, failed, skipped = passed + int(p), failed + int(n), skipped + int(s)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed or not passed else 0


def main():
    counts, label = sys.argv[1:3]
    if label == "sum":
        return total(counts)
    kind, what = sys.argv[3:5]
    last = sys.argv[5] if len(sys.argv) > 5 else ""
    count = Count(label)
    try:
        if kind == "tap":
            with open(what, errors="replace") as f:
                if not tap(count, f.read()) and not count.failed:
                    count.fail("no complete TAP in " + what)
            if last not in ("", "0") and not count.failed:
                count.fail("exit %s" % last)
        elif kind == "meson":
            meson(count, what)
            if last not in ("", "0") and not count.failed:
                count.fail("meson test: exit %s" % last)
        elif what == "passed":
            count.ok()
        elif what == "failed":
            count.fail(last or "failed")
        else:
            count.skip("all", last)
    except OSError as e:
        count.fail("%s: %s" % (e.filename, e.strerror))
    with open(counts, "a") as f:
        f.write("%d %d %d %s\n" % (count.passed, count.failed, count.skipped, label))
    print("%-34s %6d passed %4d failed %4d skipped" % (label, count.passed, count.failed,
                                                       count.skipped))
    return 0


if __name__ == "__main__":
    sys.exit(main())
