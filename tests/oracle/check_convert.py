#!/usr/bin/env python3
"""Operator sets down and up: each case of the official suite brought to older versions.
SPDX-License-Identifier: Apache-2.0

usage: check_convert.py [--match REGEX] [--table] [--down]

Each case's model is converted to the last version of ai.onnx before each change of one of its
operators, down to 7, and back up to 28. Either that works: then the official checker takes the
file, every node is one that the version has, and the file gives the case's outputs here and
(where that runs the file, and the original as the case wants it) in ONNX Runtime. Or the
converter names the nodes in the way: BLOCKED has the reasons that the standard gives for them,
everything else is a fault. The old models of check_versions.py are brought up to 28, and give
bit for bit what they did. Prints TAP, a line for each operator; --table prints, as Markdown, the
versions that each operator's cases reach.
"""
import argparse
import collections
import copy
import os
import re
import sys
import warnings

import numpy as np
import onnx
import onnx.defs
from onnx import TensorProto, numpy_helper

import check_versions
import dump_onnx_suite
import harness
from check_own import same
from check_versions import INPUTS_BEFORE, by_onnxruntime
from harness import Fault

sys.path.insert(0, os.path.join(harness.ROOT, "python"))
import planish  # noqa: E402

NEWEST, OLDEST = 28, 7

#: inputs that models give as constants, beside those that were attributes once
PARAMETERS = {"Dropout": (1, 2), "Resize": (2, 3), "Pad": (1, 2, 3), "Slice": (1, 2, 3, 4),
              "CumSum": (1,), "CumProd": (1,), "Trilu": (1,), "DFT": (1, 2),
              "CenterCropPad": (1,)}

#: What no older operators say exactly: in the set before they came these are in the way.
LACKING = set("""
Acosh AffineGrid Asinh Atanh BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
CausalConvWithState Col2Im Compress ConstantOfShape ConvInteger Cosh DFT DeformConv Det
DynamicQuantizeLinear Erf Expand EyeLike GatherElements GatherND GridSample ImageDecoder
LinearAttention MatMulInteger MaxUnpool MelWeightMatrix Mod NonMaxSuppression NonZero OneHot
Optional OptionalGetElement OptionalHasElement QLinearConv QLinearMatMul QuantizeLinear
RegexFullMatch Resize ReverseSequence RoiAlign Round STFT Scan ScatterElements ScatterND
SequenceAt SequenceConstruct SequenceEmpty SequenceInsert SequenceLength SequenceMap Shrink Sign
Sinh SplitToSequence StringConcat StringNormalizer StringSplit TensorScatter TfIdfVectorizer
Unique Where""".split())

#: (operators, in versions below, pattern of the reason) of what older versions of them can't say.
BLOCKED = (
    ("Attention CumSum CumProd Trilu Range Einsum HannWindow HammingWindow BlackmanWindow", 9,
     "would need (ConstantOfShape|Scan)"),
    ("ArgMax ArgMin", 10, "Slice with steps"),
    ("AveragePool LpPool", 19, "dilations"), ("AveragePool", 10, "'ceil_mode'"),
    ("MaxPool", 10, "dilations|'ceil_mode'"), ("MaxPool", 8, "'Indices'"),
    ("BatchNormalization", 14, "'training_mode'"),
    ("Cast CastLike", 19, "'saturate'"),
    ("DFT", 20, "onesided inverse"),
    ("DepthToSpace", 11, "'mode'"), ("SpaceToDepth", 28, "'mode'"),
    ("Dropout", 12, "training_mode needs version 12|its mask is not defined"),
    ("GatherND", 12, "'batch_dims'"),
    ("GridSample", 20, "two dimensions only"),
    ("LSTM GRU RNN", 14, "'layout'"),
    ("Max Min", 8, "does not broadcast"),
    ("Mod", 10, "takes floats with fmod only"),
    ("Pad", 19, "'wrap'"),
    ("QuantizeLinear DequantizeLinear", 21, "neither one nor one for each place"),
    ("QuantizeLinear", 13, "no scalar need version 13"),
    ("Reshape", 14, "'allowzero'"),
    ("Resize", 19, "'half_pixel_symmetric'"), ("Resize", 18, "'antialias'|'axes'|'keep_aspect"),
    ("Resize", 11, "asymmetric positions|'cubic_coeff_a'|'extrapolation_value'|to the pixel"),
    ("RoiAlign", 16, "'coordinate_transformation_mode'"),
    ("ScatterElements ScatterND", 18, "'reduction'|'max' or 'min'"),
    ("Scan", 9, "batch dimension|input 0 is absent"),
    ("Slice", 10, "needs a constant input|no steps"),
    ("TopK", 11, "'largest'"),
)
#: Old models that no newer version says: batches of Scan, and Resize to the nearest that makes one
#: dimension larger and one smaller, which it rounds in two ways.
NO_NEWER = {("Scan", "test_scan_sum"), ("Resize", "nearest [1, 1, 1.3, 0.8]")}
#: The same where functions were written out, whose shapes depend on their inputs' contents.
BLOCKED_INSIDE = (
    ("Pad", 18, "has no axes"), ("Pad", 11, "constant input"), ("ReduceMax ReduceMean", 18, "axes"),
    ("Split CastLike", 18, "(rank|type) is not known"), ("Split", 13, "constant input"),
    ("Unsqueeze Squeeze", 13, "its rank is not known|constant input"),
)


def histories():
    """{operator: [versions, oldest first]}"""
    found = collections.defaultdict(list)
    for s in onnx.defs.get_all_schemas_with_history():
        if s.domain == "":
            found[s.name].append(s.since_version)
    return {name: sorted(v) for name, v in found.items()}


HISTORY = histories()


def nodes_of(graph):
    for n in graph.node:
        yield n
        for a in n.attribute:
            for g in [a.g] if a.type == a.GRAPH else a.graphs:
                yield from nodes_of(g)


def opset_of(model):
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
               default=NEWEST)


def stops(model):
    """Versions to go to: below each change of an operator, and the oldest one."""
    here = opset_of(model)
    found = {OLDEST}
    for n in nodes_of(model.graph):
        if n.domain in ("", "ai.onnx"):
            found |= {v - 1 for v in HISTORY.get(n.op_type, ())}
    return sorted((v for v in found if OLDEST <= v < here), reverse=True)


def with_constants(case):
    """What were attributes once are constants, as in models that are not tests."""
    model, data = onnx.ModelProto(), list(case.data_sets[0][0])
    model.CopyFrom(case.model)
    slots = collections.defaultdict(set, {k: set(v) for k, v in PARAMETERS.items()})
    for (op, _), table in INPUTS_BEFORE.items():
        slots[op] |= set(table)
    parameters = {n.input[i] for n in model.graph.node for i in slots[n.op_type]
                  if i < len(n.input)}
    kept, kept_data = [], []
    for info, x in zip(dump_onnx_suite.free_inputs(case.model.graph), data):
        if info.name in parameters and not isinstance(x, (list, type(None))):
            tensor = x if isinstance(x, TensorProto) else numpy_helper.from_array(np.asarray(x))
            model.graph.initializer.add().CopyFrom(tensor)
            model.graph.initializer[-1].name = info.name
        else:
            kept.append(info)
            kept_data.append(x)
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, 4)
    found = copy.copy(case)
    found.model, found.data_sets = model, [(kept_data, case.data_sets[0][1])]
    return found


def feeds_of(case):
    return {v.name: numpy_helper.to_array(x) if isinstance(x, TensorProto) else x
            for v, x in zip(dump_onnx_suite.free_inputs(case.model.graph), case.data_sets[0][0])}


def wanted(case):
    return [numpy_helper.to_array(x) if isinstance(x, TensorProto) else x
            for x in case.data_sets[0][1]]


def compare(model, want, got, rtol, atol):
    for info, w, g in zip(model.graph.output, want, got):
        if w is not None or g is not None:
            same(info.name, w, g, rtol, atol)


def runs_in_ort(model, feeds, want, tolerance):
    """Whether ONNX Runtime gives what the case wants."""
    try:
        compare(model, want, by_onnxruntime(model, feeds), *tolerance)
        return True
    except Exception:  # it has errors of its own
        return False


def check_form(model, version):
    onnx.checker.check_model(model)
    for n in nodes_of(model.graph):
        if n.domain in ("", "ai.onnx") and n.op_type in HISTORY \
                and HISTORY[n.op_type][0] > version:
            raise Fault("%s is not in version %d" % (n.op_type, version))
    if opset_of(model) != version:
        raise Fault("the file says version %d" % opset_of(model))


def check_one(case, version, feeds, want, in_ort):
    """None: converted and right; a list of blockers."""
    m = planish.Model(case.model.SerializeToString())
    try:
        m.convert_opset(version)
    except planish.NotImplemented as e:
        if not e.blockers:
            raise Fault("refused without a reason: %s" % e) from None
        return e.blockers
    data = m.to_bytes()
    model = onnx.load_from_string(data)
    check_form(model, version)
    tolerance = case.rtol or 1e-3, max(case.atol or 1e-7, 1e-6)
    if want is None:
        return None
    compare(model, want, planish.InferenceSession(data).run(None, feeds), *tolerance)
    if in_ort:
        try:
            got = by_onnxruntime(model, feeds)
        except Exception as e:
            text = str(e)
            if "NOT_IMPLEMENTED" in text or "No opset import" in text:
                return None
            raise Fault("ONNX Runtime does not load it: %s" % " ".join(text.split())[:150])
        try:
            compare(model, want, got, *tolerance)
        except Fault as e:
            raise Fault("ONNX Runtime: %s" % e)
    m.convert_opset(NEWEST)
    data = m.to_bytes()
    check_form(onnx.load_from_string(data), NEWEST)
    compare(model, want, planish.InferenceSession(data).run(None, feeds), *tolerance)
    return None


def is_random(case):
    return dump_onnx_suite.random_outputs(case.model) or \
        dump_onnx_suite.random_dropout(case.name)


def is_expected(blocker, version, inside):
    op, why = blocker["op"], blocker["why"]
    if op in ("Scan", "BatchScan") and version < 8:
        return True
    lacks = re.fullmatch(r"(?:it would need (\w+): )?version (\d+) lacks the operator", why)
    if lacks:
        return (lacks[1] or op) in LACKING
    if re.search(r"it takes \w+ since version \d+$", why):
        return True  # a type that nothing older has
    return any(op in ops.split() and version < below and re.search(pattern, why)
               for ops, below, pattern in BLOCKED + (BLOCKED_INSIDE if inside else ()))


def check_case(case):
    """({version: "ok" or reasons}, faults)"""
    feeds = feeds_of(case)
    want = None if is_random(case) else wanted(case)
    tolerance = case.rtol or 1e-3, max(case.atol or 1e-7, 1e-6)
    in_ort = want is not None and runs_in_ort(case.model, feeds, want, tolerance)
    result, faults = {}, []
    for version in stops(case.model):
        try:
            blockers = check_one(case, version, feeds, want, in_ort)
        except Exception as e:  # planish's errors, the checker's, ...
            faults.append("to %d: %s" % (version, " ".join(str(e).split())[:200]))
            continue
        result[version] = "ok" if blockers is None else blockers
        inside = len(case.model.graph.node) > 1
        for b in blockers or ():
            if not is_expected(b, version, inside):
                faults.append("to %d: %s (%s): %s" % (version, b["node"], b["op"], b["why"]))
    return result, faults


def check_group(cases, reached):
    """All cases of an operator."""
    bad, done, blocked = [], 0, 0
    for case in cases:
        result, faults = check_case(case)
        reached[case.name] = result
        bad += ["%s %s" % (case.name, f) for f in faults]
        done += sum(r == "ok" for r in result.values())
        blocked += sum(r != "ok" for r in result.values())
    if bad:
        raise Fault("%d faults: %s" % (len(bad), "; ".join(bad)))
    return "%d conversions, %d blocked" % (done, blocked)


def is_valid(model):
    try:
        onnx.checker.check_model(model)
        return True
    except onnx.checker.ValidationError:
        return False


# ---- up ----------------------------------------------------------------------------------------

def with_constant_scales(model, feeds):
    """Whether the nearest pixel lies before or behind depended on them."""
    if model.graph.node[0].op_type not in ("Resize", "Upsample"):
        return model, feeds
    feeds = dict(feeds)
    for name in model.graph.node[0].input[1:]:
        if name in feeds:
            model.graph.initializer.append(numpy_helper.from_array(feeds.pop(name), name))
    kept = [v for v in model.graph.input if v.name in feeds]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model, feeds


def check_up(items):
    """Old models: [(name, model, feeds, want, rtol, atol)] of one version of an operator."""
    bad = []
    for name, model, feeds, _, rtol, atol in items:
        try:
            model, feeds = with_constant_scales(model, feeds)
            before = planish.InferenceSession(model.SerializeToString()).run(None, feeds)
            m = planish.Model(model.SerializeToString())
            try:
                m.convert_opset(NEWEST)
            except planish.NotImplemented as e:
                if (model.graph.node[0].op_type, name) in NO_NEWER:
                    continue
                raise
            data = m.to_bytes()
            now = onnx.load_from_string(data)
            if is_valid(model):
                check_form(now, NEWEST)
            exact = 0 if len(now.graph.node) == len(model.graph.node) else 1e-5
            compare(model, before, planish.InferenceSession(data).run(None, feeds), exact, exact)
            if not runs_in_ort(model, feeds, before, (rtol, atol)):
                continue
            try:
                got = by_onnxruntime(now, feeds)
            except Exception:  # the newest versions are not all there
                continue
            compare(model, before, got, rtol, atol)
        except Exception as e:
            bad.append("%s: %s" % (name, " ".join(str(e).split())[:160]))
    if bad:
        raise Fault("%d of %d: %s" % (len(bad), len(items), "; ".join(bad[:3])))
    return "%d models" % len(items)


def groups_of(pattern):
    from onnx.backend.test.loader import load_model_tests
    groups = collections.defaultdict(list)
    for case in load_model_tests(kind="node"):
        nodes = case.model.graph.node
        if any(o.domain not in ("", "ai.onnx") for o in case.model.opset_import):
            continue
        label = nodes[0].op_type if len(nodes) == 1 else "several nodes"
        if re.search(pattern, case.name) or re.fullmatch(pattern, label):
            groups[label].append(with_constants(case))
    return groups


def print_table(groups, reached):
    print("| operator | came in | cases | down to | what stands in the way below |")
    print("| --- | --- | --- | --- | --- |")
    for label in sorted(groups):
        lowest, reasons = collections.Counter(), set()
        for case in groups[label]:
            result = reached.get(case.name, {})
            ok = [v for v, r in result.items() if r == "ok"]
            lowest[min(ok) if ok else opset_of(case.model)] += 1
            reasons |= {b["why"] for r in result.values() if r != "ok" for b in r}
        print("| %s | %s | %d | %s | %s |" % (
            label, HISTORY.get(label, [""])[0], len(groups[label]),
            ", ".join("%d (%d)" % (v, n) for v, n in sorted(lowest.items())),
            "; ".join(sorted(reasons)[:6])))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--match", default="")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--down", action="store_true", help="leave out the old models")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    tap, reached = harness.Tap(), {}
    groups = groups_of(args.match)
    for label in sorted(groups):
        tap.check(label, check_group, groups[label], reached)
    old = check_versions.groups(args.match) if not args.down else {}
    for label in sorted(old):
        tap.check("%s up" % label, check_up, old[label])
    if args.table:
        print_table(groups, reached)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
