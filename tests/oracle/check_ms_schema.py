#!/usr/bin/env python3
"""Compare the rows of com.microsoft with the schemas and kernels that ONNX Runtime has.
SPDX-License-Identifier: Apache-2.0

usage: check_ms_schema.py --rows COMMAND [--gaps]

COMMAND prints the rows as JSON (tests/rows/print_rows.c). Each operator of com.microsoft for which
ONNX Runtime's CPU provider has a kernel has a row, or is in NOT_HERE with the reason. A row has the
same attributes (names, types, which are required, defaults), takes as many inputs and outputs, and
takes every type that a CPU kernel is registered for. --gaps prints further what rows lack of the
schemas' own types, which other providers have. Prints TAP.
"""
import argparse
import json
import sys

import check_schema
import harness
from harness import Fault

DOMAIN = "com.microsoft"
CPU = "CPUExecutionProvider"
SEARCH = "a search loop around whole models, which ONNX Runtime's generation tools replaced"
SERVING = "of serving engines of their own kind; no exporter's file has it yet"
OLD = "of one old product's models; no exporter writes it"
# Operators that run on ONNX Runtime's CPU and not here.
NOT_HERE = {
    "DynamicTimeWarping": OLD,
    "EngramGate": SERVING,
    "GatherPacked": SERVING,
    "HyperConnectionPostMix": SERVING,
    "HyperConnectionPreMix": SERVING,
    "MoEGroupRouter": SERVING,
    "NGramHashMapping": SERVING,
    "SparseAttention": SERVING,
    "VarlenCausalConvWithState": SERVING,
    "VarlenNGramHashMapping": SERVING,
    "BeamSearch": SEARCH,
    "GreedySearch": SEARCH,
    "Sampling": SEARCH,
    "WhisperBeamSearch": SEARCH,
    "AttnLSTM": OLD,
    "WordConvEmbedding": OLD,
    "Tokenizer": OLD,
    "BifurcationDetector": OLD,
    "ConvTransposeWithDynamicPads": OLD,
    "MatMulFpQ4": "weights in a layout of ONNX Runtime's own build; MatMulNBits replaced it",
    "SparseToDenseMatMul": "takes sparse tensors as inputs, which no file has",
}
# operator: (what differs, the reason)
LAST = "outputs: [1, %d], want [2, %d]", "the last outputs may be unnamed, and are then left out"
ALLOWED = {
    "CausalConvWithState": (LAST[0] % (3, 3), LAST[1]),
    "LinearAttention": (LAST[0] % (2, 2), LAST[1]),
    "MaxpoolWithMask": ("attribute kernel_shape: required is True",
                        "there is no pool without it"),
    "QEmbedLayerNormalization": (LAST[0] % (2, 2), LAST[1]),
    "QLinearConcat": ("inputs: [5, -1], want [3, -1]", "its tensors come with scale and zero point"),
}


def load():
    """(schemas by name, kernels of the CPU by name)."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state
    schemas, kernels = {}, {}
    for s in state.get_all_operator_schema():
        if s.domain == DOMAIN and (s.name not in schemas
                                   or schemas[s.name].since_version < s.since_version):
            schemas[s.name] = s
    for d in state.get_all_opkernel_def():
        if d.domain == DOMAIN and d.provider == CPU:
            kernels.setdefault(d.op_name, []).append(d.type_constraints)
    return schemas, kernels


def arity(formal):
    low = high = 0
    for i, p in enumerate(formal):
        kind = str(p.option).rpartition(".")[2]
        if kind == "Variadic":
            return [i + 1 if low == i else low, -1]
        high = i + 1
        if kind == "Single":
            low = i + 1
    return [low, high]


def wanted_types(schema, kernels, formal):
    """Type strings that CPU kernels take at a formal parameter."""
    found = set()
    for constraints in kernels:
        if formal.typeStr in constraints:
            found |= set(constraints[formal.typeStr])
        elif "(" in formal.typeStr:
            found.add(formal.typeStr)
    return found


def schema_types(schema, formal):
    for t in schema.type_constraints:
        if t.type_param_str == formal.typeStr:
            return set(t.allowed_type_strs)
    return {formal.typeStr} if "(" in formal.typeStr else set()


def each_formal(schema, row):
    left, right = row["sig"].split("->")
    for side, formal, words in (("input", schema.inputs, check_schema.slots(left)),
                                ("output", schema.outputs, check_schema.slots(right))):
        for i, p in enumerate(formal):
            word = check_schema.word_at(words, i)
            if word is None:
                raise Fault("%s %d (%s) is not in the signature %s" % (side, i, p.name,
                                                                      row["sig"]))
            yield "%s %d (%s)" % (side, i, p.name), p, check_schema.types_of(row, word[0])


def check(schema, kernels, row):
    if row is None:
        raise Fault("has no row")
    for side, ours, theirs in (("inputs", row["in"], arity(schema.inputs)),
                               ("outputs", row["out"], arity(schema.outputs))):
        if ours != theirs:
            raise Fault("%s: %s, want %s" % (side, ours, theirs))
    check_schema.check_attributes(schema, row)
    for place, formal, ours in each_formal(schema, row):
        lacking = set() if ours is None else wanted_types(schema, kernels, formal) - ours
        if lacking:
            raise Fault("%s does not take %s" % (place, ", ".join(sorted(lacking))))


def check_allowed(name, schema, kernels, row):
    if name in NOT_HERE:
        if row is not None:
            raise Fault("is in NOT_HERE, and has a row")
        return "not here: " + NOT_HERE[name]
    try:
        check(schema, kernels, row)
    except Fault as e:
        if ALLOWED.get(name, (None,))[0] == str(e):
            return "allowed: " + ALLOWED[name][1]
        raise
    if name in ALLOWED:
        raise Fault("is in ALLOWED, and does not differ")


def print_gaps(schemas, rows):
    for name in sorted(schemas):
        if (DOMAIN, name) not in rows:
            print("# no row: %s" % name)
            continue
        for place, formal, ours in each_formal(schemas[name], rows[DOMAIN, name]):
            lacking = set() if ours is None else schema_types(schemas[name], formal) - ours
            if lacking:
                print("# %s: %s does not take %s" % (name, place, ", ".join(sorted(lacking))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", required=True)
    parser.add_argument("--gaps", action="store_true")
    args = parser.parse_args()
    rows = {(r["domain"], r["name"]): r for r in json.loads(harness.command([args.rows]).stdout)}
    schemas, kernels = load()
    tap = harness.Tap()
    for name in sorted(set(kernels) & set(schemas)):
        tap.check(name, check_allowed, name, schemas[name], kernels[name],
                  rows.get((DOMAIN, name)))
    if args.gaps:
        print_gaps(schemas, rows)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
