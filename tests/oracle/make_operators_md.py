#!/usr/bin/env python3
"""Write docs/operators.md: every operator, its versions, types, kernels, and what tests it.
SPDX-License-Identifier: Apache-2.0

usage: make_operators_md.py --rows COMMAND [--suite DIR] [--check]

COMMAND prints the operators' rows as JSON (tests/rows/print_rows.c). Versions are those of the
onnx package's schemas; cases are counted in the official suite, the golden tests and
tests/oracle/ms/. --check writes nothing and fails if the page is not what would be written.
Prints TAP with --check.
"""
import argparse
import collections
import glob
import importlib
import json
import os
import pkgutil
import re
import sys

import numpy as np
import onnx
import onnx.defs

import harness
import ms
from harness import Fault

PAGE = os.path.join(harness.ROOT, "docs", "operators.md")
DOMAINS = (("", "ai.onnx"), ("ai.onnx.ml", "ai.onnx.ml"), ("ai.onnx.preview", "ai.onnx.preview"),
           ("ai.onnx.preview.training", "ai.onnx.preview.training"),
           ("com.microsoft", "com.microsoft"),
           ("com.microsoft.nchwc", "com.microsoft.nchwc"), ("planish", "planish"))
STANDARD = ("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training")
ABOUT = {
    "": "The standard's operators, up to opset %d. Older versions are raised to the newest "
        "meaning when a file is read.",
    "com.microsoft": "What exporters and ONNX Runtime's tools write.",
    "planish": "Fused operators that the rewriter makes. Standard operators newer than a file's "
               "operator set may stand in this domain too.",
}
HEAD = """\
# Operators

Written by `tests/oracle/make_operators_md.py`; don't edit by hand.

Every operator has a reference kernel in plain C, which is its definition here (`--device ref`).
*cpu* names the optimized kernel where there is one beside it, *oneDNN* says that the oneDNN device serves
it too. *Versions* are those in which its meaning changed, the newest first; types are those of
its inputs and outputs. *Cases*: how many of the official ONNX suite contain it + how many of our
own (`tests/oracle/ms/`, golden tests; *own*: `check_own.py` or
`check_versions.py` there).
"""
SHORT = {"float16": "f16", "bfloat16": "bf16", "float": "f32", "double": "f64"}
GROUPS = (("u", ("uint8", "uint16", "uint32", "uint64"), "uint8-64"),
          ("i", ("int8", "int16", "int32", "int64"), "int8-64"),
          ("f", ("float16", "float", "double", "bfloat16"), "floats"))


def walk(nodes, found):
    for node in nodes:
        found.add((node.domain if node.domain != "ai.onnx" else "", node.op_type))
        for a in node.attribute:
            for graph in list(a.graphs) + ([a.g] if a.HasField("g") else []):
                walk(graph.node, found)


def operators_of(model):
    found = set()
    walk(model.graph.node, found)
    for function in model.functions:
        walk(function.node, found)
    return found


def official_cases(suite):
    """{operator: number of cases of the suite that contain it}."""
    found = collections.Counter()
    for path in glob.glob(os.path.join(suite, "*", "*", "model.onnx")):
        found.update(operators_of(onnx.load(path, load_external_data=False)))
    return found


def own_cases():
    """The same for the modules of tests/oracle/ms/, and which operators other checks name."""
    found = collections.Counter()
    for info in sorted(pkgutil.iter_modules(ms.__path__), key=lambda i: i.name):
        module = importlib.import_module("ms." + info.name)
        for case in getattr(module, "cases", lambda rng: ())(np.random.default_rng(1)):
            found.update(operators_of(case.model))
    named = set()
    for script in ("check_own.py", "check_versions.py"):
        with open(os.path.join(harness.ROOT, "tests", "oracle", script)) as f:
            named.update(re.findall(r'"([A-Z][A-Za-z]+)"', f.read()))
    return found, named


def golden_operators():
    """Operators of the planish domain in golden tests."""
    found = collections.Counter()
    for path in glob.glob(os.path.join(harness.ROOT, "tests", "golden", "*", "*.txt")):
        with open(path) as f:
            text = f.read()
        found.update({("planish", w.split("planish.")[1].split("(")[0].split("<")[0].strip())
                      for w in text.split() if w.startswith("planish.")})
    return found


def versions(row):
    known = [s.since_version for s in onnx.defs.get_all_schemas_with_history()
             if s.name == row["name"] and (s.domain or "") == row["domain"] and
             not s.deprecated]
    known = sorted(set(known) or {row["since"]}, reverse=True)
    text = ", ".join(map(str, known))
    return text + " (until %d)" % row["until"] if row["until"] else text


def types(row):
    """The element types over all sets of the row, groups by one word."""
    if not row["types"]:
        return "any"
    left = []
    for part in row["types"].split(";"):
        for name in part.split(":", 1)[-1].split(","):
            if name.strip() and name.strip() not in left:
                left.append(name.strip())
    for _, group, word in GROUPS:
        if all(g in left for g in group):
            at = left.index(group[0])
            left = [t for t in left if t not in group]
            left.insert(min(at, len(left)), word)
    return ", ".join(SHORT.get(t, t) for t in left)


def kernels(row):
    words = ["ref"] if row["ref"] else []
    if row["cpu"]:
        words.append("cpu")
    words += ["oneDNN" for d in row["devices"] if d == "dnnl"]
    return ", ".join(words) or "by rewriting"


def cases(row, official, own, named):
    key = (row["domain"], row["name"])
    count = [str(c[key]) for c in (official, own) if c[key]]
    if row["name"] in named and row["domain"] in STANDARD:
        count.append("own")
    return " + ".join(count) or "-"


def page(rows, official, own, named):
    out = [HEAD]
    for domain, title in DOMAINS:
        mine = sorted((r for r in rows if r["domain"] == domain), key=lambda r: r["name"])
        if not mine:
            continue
        out.append("\n## %s\n" % title)
        about = ABOUT.get(domain)
        if about:
            out.append((about % onnx.defs.onnx_opset_version() if "%" in about else about) +
                       "\n")
        out.append("| operator | versions | types | kernels | cases |")
        out.append("| --- | --- | --- | --- | ---: |")
        for r in mine:
            out.append("| %s | %s | %s | %s | %s |" % (
                r["name"], versions(r), types(r), kernels(r), cases(r, official, own, named)))
    return "\n".join(out) + "\n"


def untested(rows, official, own, named):
    return ["%s.%s" % (r["domain"] or "ai.onnx", r["name"]) for r in rows
            if cases(r, official, own, named) == "-"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", required=True)
    parser.add_argument("--suite", default=os.path.join(harness.ROOT, ".deps", "suite"))
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    rows = json.loads(harness.command([args.rows]).stdout)
    own, named = own_cases()
    own.update(golden_operators())
    facts = official_cases(args.suite), own, named
    text = page(rows, *facts)
    if not args.check:
        with open(PAGE, "w") as f:
            f.write(text)
        print("%s: %d operators, untested: %s" % (PAGE, len(rows), ", ".join(
            untested(rows, *facts)) or "none"))
        return 0

    def same():
        with open(PAGE) as f:
            if f.read() != text:
                raise Fault("docs/operators.md is not what make_operators_md.py writes")
    tap = harness.Tap()
    tap.check("docs/operators.md is up to date", same)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
