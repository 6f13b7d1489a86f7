#!/usr/bin/env python3
"""Compare the operators' rows with the schemas of the onnx package.
SPDX-License-Identifier: Apache-2.0

usage: check_schema.py --rows COMMAND

COMMAND prints the rows as JSON (tests/rows/print_rows.c). For each operator's newest version: it
has a row of that version; numbers of inputs and outputs are the same; each input and output takes
the types that the schema allows, no fewer and no more; attributes have the same names, types and
defaults. ALLOWED lists what differs on purpose, with the reason. Prints TAP.
"""
import argparse
import json
import sys

import onnx.defs
from onnx import AttributeProto, helper

import harness
from harness import Fault

DOMAINS = ("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training")
ANY = 1 << 20  # of inputs: without a limit

LAST = "outputs: [1, 2], want [2, 2]", "the last output may be unnamed, and is then left out"
OLD_INTEGERS = ("input 0 (data) takes tensor(int32), tensor(int64), tensor(uint32), "
                "tensor(uint64) too", "integers were allowed before version 28")
GONE = ("is deprecated, and has no row that says so",
        "models of older operator sets are run with it")
# operator: (what differs, the reason)
ALLOWED = {
    "CausalConvWithState": LAST,
    "LinearAttention": LAST,
    "LinearClassifier": LAST,
    "Loop": ("inputs: [0, -1], want [2, -1]", "both may be unnamed, and are then left out"),
    "ReduceLogSum": OLD_INTEGERS,
    "ReduceLogSumExp": OLD_INTEGERS,
    "SVMClassifier": LAST,
    "StringSplit": LAST,
    "TopK": LAST,
    "TreeEnsembleClassifier": GONE,
    "TreeEnsembleRegressor": GONE,
}
# Rows that files have under the standard's name.
EXTRA = {("", "SimplifiedLayerNormalization"): "ONNX Runtime's tools write it"}


def newest_schemas():
    found = {}
    for s in onnx.defs.get_all_schemas_with_history():
        key = (s.domain, s.name)
        if s.domain in DOMAINS and (key not in found
                                    or found[key].since_version < s.since_version):
            found[key] = s
    return found


def limit(n):
    return -1 if n < 0 or n >= ANY else n


def slots(text):
    """[(name, mark)] of one side of a signature."""
    found = []
    for word in filter(None, text.split(",")):
        mark = word[-1] if word[-1] in "*?+" else ""
        found.append((word[:-1] if mark else word, mark))
    return found


def sets_of(row):
    return {part.split(":")[0]: set(part.split(":")[1].split(","))
            for part in (row["types"] or "").split(";") if part}


def types_of(row, name):
    """What a row's word takes: a set of schema type strings; None: anything."""
    sets, wrap = sets_of(row), "%s"
    for kind in ("seq", "optional", "map"):
        if name.startswith(kind + "("):
            name, wrap = name[len(kind) + 1:-1], kind + "(%s)"
    if wrap.startswith("map") or "(" in name:
        return None
    if name in sets:
        return {wrap % ("tensor(%s)" % t) for t in sets[name]}
    known = {t.lower() for t in onnx.TensorProto.DataType.keys()}
    if name in known:
        return {wrap % ("tensor(%s)" % name)}
    return None


def word_at(words, i):
    if i < len(words):
        return words[i]
    return words[-1] if words and words[-1][1] in ("*", "+") else None


def check_types(schema, row, side, formal, words):
    for i, p in enumerate(formal):
        word = word_at(words, i)
        if word is None:
            raise Fault("%s %d (%s) is not in the signature %s" % (side, i, p.name, row["sig"]))
        ours = types_of(row, word[0])
        if ours is None:
            continue
        theirs = set(p.types)
        if theirs - ours:
            raise Fault("%s %d (%s) does not take %s" % (side, i, p.name,
                                                        ", ".join(sorted(theirs - ours))))
        if ours - theirs:
            raise Fault("%s %d (%s) takes %s too" % (side, i, p.name,
                                                    ", ".join(sorted(ours - theirs))))


def check_arity(schema, row):
    for side, ours, theirs in (
            ("inputs", row["in"], [schema.min_input, limit(schema.max_input)]),
            ("outputs", row["out"], [schema.min_output, limit(schema.max_output)])):
        if ours != theirs:
            raise Fault("%s: %s, want %s" % (side, ours, theirs))


def default_of(a):
    """An attribute's default by its schema, which ONNX Runtime keeps in bytes."""
    stored = getattr(a, "_default_value", None)
    v = AttributeProto.FromString(stored) if stored else getattr(a, "default_value", None)
    if not v or v.type == AttributeProto.UNDEFINED:
        return None
    v = helper.get_attribute_value(v)
    return v.decode() if isinstance(v, bytes) else v


def same_default(mine, default):
    if isinstance(default, float) and mine is not None:
        return abs(mine - default) <= 1e-6 * abs(default)
    return mine == default


def check_attributes(schema, row):
    ours = {a["name"]: a for a in row["attrs"] if not a["name"].startswith("pln_")}
    theirs = schema.attributes
    if set(ours) ^ set(theirs):
        raise Fault("attributes: missing %s, too many %s"
                    % (sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))))
    for name, a in theirs.items():
        kind = str(a.type).rpartition(".")[2]
        if ours[name]["type"] != kind:
            raise Fault("attribute %s is %s, want %s" % (name, ours[name]["type"], kind))
        if ours[name]["required"] != a.required:
            raise Fault("attribute %s: required is %s" % (name, ours[name]["required"]))
        default = default_of(a)
        if default is None or isinstance(default, (list, onnx.TensorProto)):
            continue
        mine = ours[name].get("default")
        if not same_default(mine, default):
            raise Fault("attribute %s has the default %r, want %r" % (name, mine, default))


def check(schema, row):
    if schema.deprecated:
        if not row or not row["until"]:
            raise Fault("is deprecated, and has no row that says so")
        return
    if not row:
        raise Fault("has no row")
    if row["until"]:
        raise Fault("its row says that it is gone since %d" % row["until"])
    if row["since"] != schema.since_version:
        raise Fault("is of version %d, the row of %d" % (schema.since_version, row["since"]))
    check_arity(schema, row)
    if not row["sig"]:
        raise Fault("its row has no signature")
    left, right = row["sig"].split("->")
    check_types(schema, row, "input", schema.inputs, slots(left))
    check_types(schema, row, "output", schema.outputs, slots(right))
    check_attributes(schema, row)


def check_allowed(schema, row):
    key = schema.name
    try:
        check(schema, row)
    except Fault as e:
        if ALLOWED.get(key, (None,))[0] == str(e):
            return "allowed: " + ALLOWED[key][1]
        raise
    if key in ALLOWED:
        raise Fault("is in ALLOWED, and does not differ")


def check_unknown(rows, schemas):
    extra = sorted("%s.%s" % key for key, row in rows.items()
                   if key[0] in DOMAINS and key not in schemas and key not in EXTRA)
    if extra:
        raise Fault("rows of operators that the standard has not: %s" % ", ".join(extra))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", required=True)
    args = parser.parse_args()
    done = harness.command([args.rows])
    rows = {(r["domain"], r["name"]): r for r in json.loads(done.stdout)}
    schemas = newest_schemas()
    tap = harness.Tap()
    for key in sorted(schemas):
        tap.check("%s %s" % (key[0] or "ai.onnx", key[1]), check_allowed, schemas[key],
                  rows.get(key))
    tap.check("rows beyond the standard", check_unknown, rows, schemas)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
