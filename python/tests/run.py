#!/usr/bin/env python3
"""Run the package's tests with pytest and print TAP.
SPDX-License-Identifier: Apache-2.0

usage: run.py [--models DIR] [PYTEST-ARGUMENT...]
"""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


class Tap:
    """A pytest plug-in: one line for each test, the plan at the end."""

    def __init__(self):
        self.n = 0

    def _line(self, word, name, note=""):
        self.n += 1
        print("%s %d - %s%s" % (word, self.n, name.replace("#", r"\#"), note), flush=True)

    def pytest_runtest_logreport(self, report):
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self._line("ok", report.nodeid, " # SKIP " + reason.replace("Skipped: ", ""))
        elif report.failed:
            lines = report.longreprtext.strip().splitlines()
            told = [line[1:].strip() for line in lines if line.startswith("E ")]
            self._line("not ok", "%s (%s): %s" % (report.nodeid, report.when,
                                                  (told or lines or [""])[0]))
            print(report.longreprtext, file=sys.stderr)
        elif report.when == "call":
            self._line("ok", report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self._line("not ok", "%s can't be read" % report.nodeid)
            print(report.longreprtext, file=sys.stderr)


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--models"]:
        os.environ["PLANISH_TEST_MODELS"] = os.path.abspath(arguments[1])
        arguments = arguments[2:]
    if not any(os.path.exists(a.split("::")[0]) for a in arguments):
        arguments.append(HERE)
    tap = Tap()
    status = pytest.main(["-p", "no:terminalreporter", "-p", "no:cacheprovider",
                          "--rootdir", HERE, *arguments], plugins=[tap])
    if tap.n == 0:
        tap._line("not ok", "no test ran")
    print("1..%d" % tap.n)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
