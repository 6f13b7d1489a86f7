#!/usr/bin/env python3
"""Operators that no case of the official suite has, against ONNX Runtime.
SPDX-License-Identifier: Apache-2.0

usage: check_own.py [--match TEXT] [--device NAME]

All modes and types of LinearClassifier, LinearRegressor, SVMClassifier, SVMRegressor, Scaler,
Normalizer, OneHotEncoder, ZipMap, Imputer, CastMap, CategoryMapper, DictVectorizer,
FeatureVectorizer, GlobalLpPool, MaxRoiPool, and FlexAttention's types of scores; where ONNX
Runtime has no kernel of a type, NumPy says what is right. Random operators are checked for shape, type, range, repeatability and
distribution, with seeds, so that the result of this check is always the same. Prints TAP.
"""
import argparse
import itertools
import math
import os
import statistics
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import harness
from harness import Fault

sys.path.insert(0, os.path.join(harness.ROOT, "python"))
import planish  # noqa: E402

ML = "ai.onnx.ml"
OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid(ML, 3)]
NP_TO_ONNX = {np.dtype(t): helper.np_dtype_to_tensor_dtype(np.dtype(t))
              for t in ("float32", "float64", "float16", "int64", "int32", "uint8", "int8",
                        "bool", "uint16", "int16", "uint32", "uint64")}
NP_TO_ONNX[np.dtype("O")] = TensorProto.STRING
RTOL, ATOL = 2e-4, 1e-5


def tensor_info(name, a):
    return helper.make_tensor_value_info(name, NP_TO_ONNX[a.dtype], [None] * a.ndim)


def one_node(op, feeds, n_out=1, domain=ML, infos=None, outputs=None, opsets=OPSETS, **attrs):
    """A model of one node, whose outputs' types inference finds."""
    names = ["y%d" % i for i in range(n_out)]
    node = helper.make_node(op, list(feeds), names, domain=domain, **attrs)
    inputs = infos or [tensor_info(k, v) for k, v in feeds.items()]
    outs = outputs or [onnx.ValueInfoProto(name=n) for n in names]
    graph = helper.make_graph([node], "g", inputs, outs)
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def ours(model, feeds, device=None):
    options = planish.SessionOptions()
    if device:
        options.add_session_config_entry("planish.device", device)
    return planish.InferenceSession(model.SerializeToString(), options).run(None, feeds)


def theirs(model, feeds):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options,
                                   providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def same(name, want, got, rtol=RTOL, atol=ATOL):
    if isinstance(want, list):
        if not isinstance(got, list) or len(want) != len(got):
            raise Fault("%s: %r, want %r" % (name, got, want))
        for i, (w, g) in enumerate(zip(want, got)):
            same("%s[%d]" % (name, i), w, g, rtol, atol)
    elif isinstance(want, dict):
        if set(want) != set(got):
            raise Fault("%s: keys %s, want %s" % (name, sorted(got), sorted(want)))
        for k in want:
            same("%s[%r]" % (name, k), np.asarray(want[k], np.float64),
                 np.asarray(got[k], np.float64))
    else:
        want, got = np.asarray(want), np.asarray(got)
        if want.shape != got.shape:
            raise Fault("%s: shape %s, want %s" % (name, got.shape, want.shape))
        if want.dtype.kind in "OSU":
            good = [str(v) for v in want.ravel()] == [str(v) for v in got.ravel()]
        elif want.dtype != got.dtype:
            raise Fault("%s: type %s, want %s" % (name, got.dtype, want.dtype))
        else:
            if want.dtype == np.float16 and rtol:
                rtol, atol = max(rtol, 4e-3), max(atol, 1e-3)
            if want.dtype.name == "bfloat16":
                rtol, atol = max(rtol, 2 ** -6), max(atol, 2 ** -9)
            good = np.allclose(got.astype(np.float64), want.astype(np.float64), rtol, atol,
                               equal_nan=True)
        if not good:
            raise Fault("%s: %s, want %s" % (name, got.ravel()[:8], want.ravel()[:8]))


def check(model, feeds, want, device, *tolerance):
    if want is None:
        want = theirs(model, feeds)
    got = ours(model, feeds, device)
    if len(want) != len(got):
        raise Fault("%d outputs, want %d" % (len(got), len(want)))
    for i, (w, g) in enumerate(zip(want, got)):
        same("y%d" % i, w, g, *tolerance)


# ---- cases: (name, model, feeds, want or None, tolerances) -----------------------------------------------

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def data(rng, shape, dtype, low=-2.0, high=2.0):
    if np.dtype(dtype).kind == "f":
        return rng.uniform(low, high, shape).astype(dtype)
    return rng.integers(-4, 5, shape).astype(dtype)


def linear_cases(rng):
    for dtype, n_classes, transform, strings in itertools.product(
            ("float32", "float64", "int64", "int32"), (1, 2, 3), TRANSFORMS, (False, True)):
        if dtype != "float32" and (strings or transform in ("SOFTMAX_ZERO", "PROBIT")):
            continue
        rows = n_classes
        low, high = (0.0, 0.3) if transform == "PROBIT" else (-2.0, 2.0)
        x = data(rng, (5, 4), dtype, low, high)
        labels = max(2, n_classes)
        attrs = {"coefficients": rng.uniform(0.05 if transform == "PROBIT" else -1,
                                             0.3 if transform == "PROBIT" else 1,
                                             rows * 4).astype(np.float32).tolist(),
                 "intercepts": rng.uniform(0, .3, rows).astype(np.float32).tolist(),
                 "post_transform": transform, "multi_class": int(n_classes > 2)}
        if strings:
            attrs["classlabels_strings"] = ["c%d" % i for i in range(labels)]
        else:
            attrs["classlabels_ints"] = list(range(10, 10 + labels))
        feeds = {"x": x}
        want = None
        if n_classes == 1 and transform == "PROBIT":  # of both classes' probabilities
            p = x @ np.float32(attrs["coefficients"]) + attrs["intercepts"][0]
            probit = statistics.NormalDist().inv_cdf
            label = attrs["classlabels_strings" if strings else "classlabels_ints"][1]
            want = [np.array([label] * 5, object if strings else np.int64),
                    np.array([[probit(1 - v), probit(v)] for v in p], np.float32)]
        yield ("LinearClassifier %s, %d classes, %s%s" % (dtype, n_classes, transform,
                                                          ", strings" if strings else ""),
               one_node("LinearClassifier", feeds, 2, **attrs), feeds, want)
    for targets, transform, given in itertools.product((1, 3), TRANSFORMS, (True, False)):
        low, high = (0.0, 0.3) if transform == "PROBIT" else (-2.0, 2.0)
        feeds = {"x": data(rng, (5, 4), "float32", low, high)}
        attrs = {"coefficients": rng.uniform(.01, .5, targets * 4).astype(np.float32).tolist(),
                 "targets": targets, "post_transform": transform}
        if given:
            attrs["intercepts"] = rng.uniform(0, .2, targets).astype(np.float32).tolist()
        want = None
        if targets == 1 and transform in ("SOFTMAX", "SOFTMAX_ZERO", "LOGISTIC"):
            # ONNX Runtime leaves a single score as it is
            y = (feeds["x"] @ np.float32(attrs["coefficients"]).reshape(4, 1)
                 + np.float32(attrs.get("intercepts", 0)))
            want = [1 / (1 + np.exp(-y)) if transform == "LOGISTIC" else np.ones_like(y)]
        yield ("LinearRegressor %d targets, %s%s" % (targets, transform,
                                                     "" if given else ", no intercepts"),
               one_node("LinearRegressor", feeds, **attrs), feeds, want)


KERNELS = {"LINEAR": [0.5, 0.1, 2.0], "POLY": [0.3, 0.5, 2.0], "RBF": [0.4, 0.0, 0.0],
           "SIGMOID": [0.2, 0.1, 0.0]}


def svm_cases(rng):
    f = lambda shape: rng.uniform(-1, 1, shape).astype(np.float32).ravel().tolist()
    for kernel, classes, prob, strings, dtype in itertools.product(
            KERNELS, (2, 3), (False, True), (False, True),
            ("float32", "float64", "int64", "int32")):
        if dtype != "float32" and (strings or kernel in ("POLY", "SIGMOID")):
            continue
        per = [2, 3, 2][:classes]
        pairs = classes * (classes - 1) // 2
        attrs = {"kernel_type": kernel, "kernel_params": KERNELS[kernel],
                 "support_vectors": f((sum(per), 4)), "vectors_per_class": per,
                 "coefficients": f((classes - 1, sum(per))), "rho": f(pairs)}
        if prob:
            attrs.update(prob_a=f(pairs), prob_b=f(pairs))
        attrs["classlabels_strings" if strings else "classlabels_ints"] = (
            ["a", "b", "c"] if strings else [3, 5, 9])[:classes]
        feeds = {"x": data(rng, (6, 4), dtype)}
        yield ("SVMClassifier %s, %d classes%s%s, %s"
               % (kernel, classes, ", probabilities" if prob else "",
                  ", strings" if strings else "", dtype),
               one_node("SVMClassifier", feeds, 2, **attrs), feeds, None)
    for transform, classes in itertools.product(TRANSFORMS[:4], (2, 3)):
        attrs = {"kernel_type": "LINEAR", "kernel_params": KERNELS["LINEAR"],
                 "coefficients": f((classes, 4)), "rho": f(1), "post_transform": transform,
                 "classlabels_ints": [3, 5, 9][:classes]}
        feeds = {"x": data(rng, (6, 4), "float32")}
        model = one_node("SVMClassifier", feeds, 2, **attrs)
        # ONNX Runtime gives class 1 of two when either score is positive
        want = ReferenceEvaluator(model).run(None, feeds) if classes == 2 else None
        yield ("SVMClassifier without vectors, %d classes, %s" % (classes, transform), model,
               feeds, want)
    for kernel, one_class in itertools.product(KERNELS, (0, 1)):
        attrs = {"kernel_type": kernel, "kernel_params": KERNELS[kernel], "n_supports": 3,
                 "support_vectors": f((3, 4)), "coefficients": f(3), "rho": f(1),
                 "one_class": one_class}
        feeds = {"x": data(rng, (6, 4), "float32")}
        yield ("SVMRegressor %s%s" % (kernel, ", one class" if one_class else ""),
               one_node("SVMRegressor", feeds, **attrs), feeds, None)
    feeds = {"x": data(rng, (6, 4), "float32")}
    yield ("SVMRegressor without vectors",
           one_node("SVMRegressor", feeds, coefficients=f(4), rho=f(1), n_supports=0,
                    kernel_type="LINEAR", kernel_params=KERNELS["LINEAR"]), feeds, None)


def feature_cases(rng):
    for dtype in ("float32", "float64", "int64", "int32"):
        x = data(rng, (3, 4), dtype)
        feeds = {"x": x}
        for offset, scale in (([0.5], [2.0]), ([.1, .2, .3, .4], [1., 2., 3., 4.])):
            yield ("Scaler %s, %d" % (dtype, len(scale)),
                   one_node("Scaler", feeds, offset=offset, scale=scale), feeds, None)
        for norm in ("MAX", "L1", "L2"):
            yield ("Normalizer %s, %s" % (dtype, norm),
                   one_node("Normalizer", feeds, norm=norm), feeds, None)
        cats = [-4, 0, 1, 3]
        want = (x.astype(np.int64)[..., None] == np.array(cats)).astype(np.float32)
        yield ("OneHotEncoder %s" % dtype,
               one_node("OneHotEncoder", feeds, cats_int64s=cats, zeros=1), feeds, [want])
    feeds = {"x": np.array([["a", "b"], ["zz", "c"]], object)}
    yield ("OneHotEncoder of strings",
           one_node("OneHotEncoder", feeds, cats_strings=["c", "a"], zeros=1), feeds, None)
    x = np.array([[1, np.nan, 3, -5], [np.nan, 2, np.nan, 0]], np.float32)
    for values in ([7.0], [1.5, 2.5, 3.5, 4.5]):
        for dtype in ("float32",):
            feeds = {"x": x.astype(dtype)}
            yield ("Imputer %s of NaN, %d" % (dtype, len(values)),
                   one_node("Imputer", feeds, imputed_value_floats=values,
                            replaced_value_float=float("nan")), feeds, None)
            yield ("Imputer %s of 3, %d" % (dtype, len(values)),
                   one_node("Imputer", feeds, imputed_value_floats=values,
                            replaced_value_float=3.0), feeds, None)
    feeds = {"x": x.astype(np.float64)}
    want = np.where(np.isnan(x), np.array([1.5, 2.5, 3.5, 4.5]), x).astype(np.float64)
    yield ("Imputer float64 of NaN",
           one_node("Imputer", feeds, imputed_value_floats=[1.5, 2.5, 3.5, 4.5],
                    replaced_value_float=float("nan")), feeds, [want])
    for values in ([70], [10, 20, 30, 40]):
        feeds = {"x": np.array([[1, 2, 3, -5], [3, 3, 0, 0]], np.int64)}
        yield ("Imputer int64, %d" % len(values),
               one_node("Imputer", feeds, imputed_value_int64s=values,
                        replaced_value_int64=3), feeds, None)
    for types in itertools.product(("float32", "float64", "int64", "int32"), repeat=1):
        a, b = data(rng, (3, 2), types[0]), data(rng, (3, 3), types[0])
        feeds = {"a": a, "b": b}
        yield ("FeatureVectorizer %s" % types[0],
               one_node("FeatureVectorizer", feeds, inputdimensions=[2, 3]), feeds,
               [np.concatenate([a, b], 1).astype(np.float32)])


def map_info(name, key, value):
    return helper.make_value_info(name, helper.make_map_type_proto(
        key, helper.make_tensor_type_proto(value, [])))


def map_cases(rng):
    x = rng.uniform(-1, 1, (3, 2)).astype(np.float32)
    for attrs, key in (({"classlabels_strings": ["no", "yes"]}, str),
                       ({"classlabels_int64s": [7, -2]}, int)):
        feeds = {"x": x}
        keys = list(attrs.values())[0]
        yield ("ZipMap of %s" % key.__name__, one_node("ZipMap", feeds, **attrs), feeds,
               [[dict(zip(keys, row)) for row in x]])
    feeds = {"x": np.array([["cat", "dog"], ["cow", "cat"]], object)}
    yield ("CategoryMapper to int64",
           one_node("CategoryMapper", feeds, cats_strings=["cat", "dog"], cats_int64s=[4, 7],
                    default_int64=-9), feeds, None)
    feeds = {"x": np.array([[4, 7], [5, 4]], np.int64)}
    yield ("CategoryMapper to string",
           one_node("CategoryMapper", feeds, cats_strings=["cat", "dog"], cats_int64s=[4, 7],
                    default_string="other"), feeds, None)
    floats, words = {0: 1.5, 3: -2.25, 5: 7.75}, {0: "1.5", 3: "-2", 5: "7"}
    for cast_to, kind, pad in itertools.product(("TO_FLOAT", "TO_INT64", "TO_STRING"),
                                                ("float", "string"), ("DENSE", "SPARSE")):
        value = floats if kind == "float" else words
        if kind == "string" and cast_to == "TO_INT64":
            value = {0: "1", 3: "-2", 5: "7"}
        info = map_info("x", TensorProto.INT64,
                        TensorProto.FLOAT if kind == "float" else TensorProto.STRING)
        convert = {"TO_FLOAT": np.float32, "TO_INT64": lambda v: np.int64(float(v)),
                   "TO_STRING": str}[cast_to]
        keys = sorted(value) if pad == "DENSE" else range(8)
        # ONNX Runtime's Python has no maps of strings
        want = np.array([[convert(value[k]) if k in value
                          else ("0" if cast_to == "TO_STRING" else 0) for k in keys]],
                        {"TO_FLOAT": np.float32, "TO_INT64": np.int64,
                         "TO_STRING": object}[cast_to])
        yield ("CastMap %s of %s, %s" % (cast_to, kind, pad),
               one_node("CastMap", {"x": None}, infos=[info], cast_to=cast_to, map_form=pad,
                        max_map=8), {"x": value}, [want])
    for value, key, vtype, attrs in (
            ({"b": 2.5, "a": 1.0, "q": 9.0}, TensorProto.STRING, TensorProto.FLOAT,
             {"string_vocabulary": ["a", "b", "c"]}),
            ({"b": 2.5, "a": 1.0}, TensorProto.STRING, TensorProto.DOUBLE,
             {"string_vocabulary": ["a", "b", "c"]}),
            ({"b": 2, "a": 1}, TensorProto.STRING, TensorProto.INT64,
             {"string_vocabulary": ["a", "b", "c"]}),
            ({5: 2.5, 7: 1.0}, TensorProto.INT64, TensorProto.FLOAT,
             {"int64_vocabulary": [7, 6, 5]}),
            ({5: 2.5, 7: 1.0}, TensorProto.INT64, TensorProto.DOUBLE,
             {"int64_vocabulary": [7, 6, 5]}),
            ({5: "x", 7: "y"}, TensorProto.INT64, TensorProto.STRING,
             {"int64_vocabulary": [7, 6, 5]})):
        words = list(attrs.values())[0]
        want = np.array([[value.get(w, "" if vtype == TensorProto.STRING else 0)
                          for w in words]], helper.tensor_dtype_to_np_dtype(vtype))
        yield ("DictVectorizer %d to %d" % (key, vtype),
               one_node("DictVectorizer", {"x": None}, infos=[map_info("x", key, vtype)],
                        **attrs), {"x": value}, [want])


def pool_cases(rng):
    for dtype in ("float32", "float64", "float16"):
        for shape in ((2, 3, 5), (1, 2, 3, 4), (2, 2, 2, 3, 2)):
            for p in (1, 2, 3):
                x = data(rng, shape, dtype)
                feeds = {"x": x}
                axes = tuple(range(2, len(shape)))
                want = (np.sum(np.abs(x.astype(np.float64)) ** p, axes, keepdims=True)
                        ** (1 / p)).astype(dtype)
                model = one_node("GlobalLpPool", feeds, domain="", p=p)
                # in float16 its sum is rounded once here and at each step elsewhere
                yield ("GlobalLpPool %s, %s, p=%d" % (dtype, shape, p), model, feeds,
                       None if dtype == "float32" else [want])
    rois = np.array([[0, 0, 0, 4, 4], [0, 1, 2, 6, 5], [0, 3, 3, 3, 3], [0, 5, 1, 2, 0]],
                    np.float32)
    for scale, size in itertools.product((1.0, 0.5, 0.3), ([2, 2], [3, 1], [1, 1])):
        feeds = {"x": data(rng, (1, 2, 7, 8), "float32"), "rois": rois}
        yield ("MaxRoiPool %s, %g" % (size, scale),
               one_node("MaxRoiPool", feeds, domain="", pooled_shape=size,
                        spatial_scale=scale), feeds, None)
    for dtype in ("float64", "float16"):
        x = data(rng, (1, 2, 7, 8), "float32").astype(dtype)
        want = theirs(one_node("MaxRoiPool", {"x": x.astype(np.float32), "rois": rois}, domain="",
                               pooled_shape=[2, 2]),
                      {"x": x.astype(np.float32), "rois": rois})
        feeds = {"x": x, "rois": rois.astype(dtype)}
        yield ("MaxRoiPool %s" % dtype,
               one_node("MaxRoiPool", feeds, domain="", pooled_shape=[2, 2]), feeds,
               [want[0].astype(dtype)])


def range_cases(rng):
    """The type that Range computes in: exact here, however it is said."""
    for stash, numbers in itertools.product((None, 1, 11, 10), ((0, 300, 1), (2000, 2100, 7),
                                                               (1, -1, -.1))):
        feeds = {k: np.array(v, np.float16) for k, v in zip("abc", numbers)}
        kind = {10: np.float16, 11: np.float64}.get(stash, np.float32)
        start, limit, delta = (float(feeds[k]) for k in "abc")
        count = math.ceil((limit - start) / delta)
        steps = (np.arange(count).astype(kind) * kind(delta)).astype(kind)
        attrs = {} if stash is None else {"stash_type": stash}
        yield ("Range of float16 in type %s, %s" % (stash, numbers),
               one_node("Range", feeds, domain="", opsets=[helper.make_opsetid("", 27)],
                        **attrs), feeds, [(kind(start) + steps).astype(np.float16)], 0, 0)


def flex_cases(rng):
    """The types of scores that the suite leaves out, with and without bodies."""
    for dtype, precision, bodies in itertools.product(
            ("float32", "float64", "float16"), (None, 1, 10, 11), (False, True)):
        q, k, v = (rng.normal(size=s).astype(dtype)
                   for s in ((2, 4, 3, 8), (2, 2, 5, 8), (2, 2, 5, 6)))
        kind = precision or (11 if dtype == "float64" else 1)
        attrs = {"softmax_precision": precision} if precision else {}
        if bodies:
            for name, op in (("score_mod", "Tanh"), ("prob_mod", "Sqrt")):
                ends = [helper.make_tensor_value_info(n, kind, [2, 4, 3, 5]) for n in "ab"]
                attrs[name] = helper.make_graph([helper.make_node(op, ["a"], ["b"])], name,
                                                ends[:1], ends[1:])
        feeds = {"q": q, "k": k, "v": v}
        model = one_node("FlexAttention", feeds, domain="ai.onnx.preview",
                         opsets=OPSETS + [helper.make_opsetid("ai.onnx.preview", 1)], **attrs)
        yield ("FlexAttention %s, scores of type %d%s" % (dtype, kind,
                                                          ", bodies" if bodies else ""),
               model, feeds, ReferenceEvaluator(model).run(None, feeds),
               *((1e-2, 4e-3) if kind == 10 else ()))


# ---- random operators -----------------------------------------------------------------------

N = 40000


def random_model(op, feeds, out_type, **attrs):
    out = [helper.make_tensor_value_info("y0", out_type, None)]
    return one_node(op, feeds, domain="", outputs=out, opsets=[helper.make_opsetid("", 22)],
                    **attrs)


def draw(model, feeds, device, seed=None):
    options = planish.SessionOptions()
    if device:
        options.add_session_config_entry("planish.device", device)
    if seed is not None:
        options.add_session_config_entry("planish.seed", str(seed))
    return planish.InferenceSession(model.SerializeToString(), options).run(None, feeds)


def check_moments(v, mean, std):
    """Within five standard errors; the seed is fixed, so that this never flickers."""
    v = v.astype(np.float64).ravel()
    error = std / math.sqrt(v.size)
    if abs(v.mean() - mean) > 5 * error:
        raise Fault("mean %g, want %g +- %g" % (v.mean(), mean, 5 * error))
    if abs(v.std() - std) > 5 * error:
        raise Fault("standard deviation %g, want %g" % (v.std(), std))


def check_cdf(v, cdf):
    """Kolmogorov's distance: of 40000 numbers it stays below 0.0115 in 9999 of 10000 draws."""
    v = np.sort(v.astype(np.float64).ravel())
    want = cdf(v)
    distance = max(np.max(np.arange(1, v.size + 1) / v.size - want),
                   np.max(want - np.arange(v.size) / v.size))
    if distance > 0.0115:
        raise Fault("the distribution is off by %g" % distance)


def normal_cdf(mean, scale):
    return lambda v: np.array([0.5 * (1 + math.erf((x - mean) / scale / math.sqrt(2))) for x in v])


def check_repeats(model, feeds, seeded, device):
    first, second = draw(model, feeds, device)[0], draw(model, feeds, device)[0]
    if not np.array_equal(first, second):
        raise Fault("a second session gives other numbers")
    other = draw(model, feeds, device, seed=99)[0]
    if np.array_equal(first, other) != seeded:
        raise Fault("the session's seed %s" % ("counts beside the node's own" if seeded
                                               else "changes nothing"))


def check_random(op, feeds, dtype, attrs, shape, judge, device):
    for seeded in (True, False):
        more = {"seed": 1.25} if seeded else {}
        model = random_model(op, feeds, dtype, **attrs, **more)
        y = draw(model, feeds, device)[0]
        if y.shape != shape:
            raise Fault("shape %s, want %s" % (y.shape, shape))
        if y.dtype != helper.tensor_dtype_to_np_dtype(dtype):
            raise Fault("type %s" % y.dtype)
        judge(y)
        check_repeats(model, feeds, seeded, device)
    if op in ("Bernoulli", "Multinomial"):
        return
    seeds = [draw(random_model(op, feeds, dtype, **attrs, seed=s), feeds, device)[0]
             for s in (1.0, 2.0)]
    if np.array_equal(*seeds):
        raise Fault("two seeds give the same numbers")


def random_checks(device):
    floats = ((TensorProto.FLOAT, 0), (TensorProto.DOUBLE, 0), (TensorProto.FLOAT16, 1))
    like = np.zeros((200, 200), np.float32)
    for dtype, rough in floats:
        def normal(y, rough=rough):
            check_moments(y, 1.5, 2.0)
            if not rough:
                check_cdf(y, normal_cdf(1.5, 2.0))

        def uniform(y, rough=rough):
            if y.min() < -1 or y.max() > 3 or (not rough and y.max() >= 3):
                raise Fault("numbers from %g to %g" % (y.min(), y.max()))
            check_moments(y, 1.0, 4 / math.sqrt(12))
            check_cdf(y, lambda v: (v + 1) / 4)

        name = helper.tensor_dtype_to_string(dtype).rpartition(".")[2]
        for op, attrs, judge in (
                ("RandomNormal", {"mean": 1.5, "scale": 2.0}, normal),
                ("RandomUniform", {"low": -1.0, "high": 3.0}, uniform)):
            yield ("%s %s" % (op, name), check_random, op, {}, dtype,
                   dict(attrs, shape=[N], dtype=dtype), (N,), judge, device)
            yield ("%sLike %s" % (op, name), check_random, op + "Like", {"x": like}, dtype,
                   dict(attrs, dtype=dtype), like.shape, judge, device)
    for dtype in (TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT32, TensorProto.DOUBLE):
        p = np.full(N, 0.3, np.float32)

        def bernoulli(y):
            if set(np.unique(y.astype(int))) - {0, 1}:
                raise Fault("values beside 0 and 1")
            check_moments(y.astype(float), 0.3, math.sqrt(0.3 * 0.7))

        yield ("Bernoulli %d" % dtype, check_random, "Bernoulli", {"x": p}, dtype,
               {"dtype": dtype}, p.shape, bernoulli, device)
    for dtype in (TensorProto.INT32, TensorProto.INT64):
        log_p = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]], np.float32))

        def multinomial(y):
            for row, p in zip(y, np.exp(log_p)):
                for k in range(3):
                    check_moments(row == k, p[k], math.sqrt(p[k] * (1 - p[k])))

        yield ("Multinomial %d" % dtype, check_random, "Multinomial", {"x": log_p}, dtype,
               {"dtype": dtype, "sample_size": N}, (2, N), multinomial, device)
    yield "Dropout in training", check_dropout, device
    yield "two nodes without a seed", check_two_nodes, device


def check_dropout(device):
    x = np.linspace(1, 2, N).astype(np.float32)
    nodes = [helper.make_node("Dropout", ["x", "ratio", "training"], ["y", "mask"], seed=7)]
    graph = helper.make_graph(
        nodes, "g", [tensor_info("x", x)],
        [onnx.ValueInfoProto(name="y"), onnx.ValueInfoProto(name="mask")],
        [onnx.numpy_helper.from_array(np.float32(0.2), "ratio"),
         onnx.numpy_helper.from_array(np.array(True), "training")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    y, mask = draw(model, {"x": x}, device)
    check_moments(mask.astype(float), 0.8, 0.4)
    same("y", np.where(mask, x / np.float32(0.8), 0).astype(np.float32), y)
    check_repeats(model, {"x": x}, True, device)


def check_two_nodes(device):
    nodes = [helper.make_node("RandomNormal", [], [n], shape=[64]) for n in ("a", "b")]
    graph = helper.make_graph(nodes, "g", [], [onnx.ValueInfoProto(name=n) for n in ("a", "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    a, b = draw(model, {}, device)
    if np.array_equal(a, b):
        raise Fault("they give the same numbers")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--match", default="")
    parser.add_argument("--device")
    args = parser.parse_args()
    tap = harness.Tap()
    rng = np.random.default_rng(1)
    for family in (linear_cases, svm_cases, feature_cases, map_cases, pool_cases,
                   range_cases, flex_cases):
        for name, model, feeds, want, *tolerance in family(rng):
            if args.match in name:
                tap.check(name, check, model, feeds, want, args.device, *tolerance)
    for name, function, *rest in random_checks(args.device):
        if args.match in name:
            tap.check(name, function, *rest)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
