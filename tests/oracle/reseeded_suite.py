"""Other data for the cases of the official ONNX suite.
SPDX-License-Identifier: Apache-2.0

The node cases are generated anew from another seed, each with the results of its own formula.
Cases that draw nothing at random, and those that the package has as files, get their
floating-point inputs shuffled instead, and results from the Python reference of the onnx package
(the light architectures from onnxruntime, since the reference takes minutes there): only where
the reference reproduces what was published. The others keep the published data.
"""
import contextlib
import glob
import os
import signal
import warnings
import zlib

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

SECONDS = 20  # for the Python reference, on one case
FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}


def reseed(offset):
    """From now on every seed that a case sets is another one."""
    plain = np.random.seed

    def other(seed=0):
        plain((offset * 1000003 + (seed or 0)) % 2 ** 32)
    np.random.seed = other
    other()


class TooSlow(Exception):
    pass


@contextlib.contextmanager
def time_limit(seconds):
    def stop(*_):
        raise TooSlow()
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def tensors(folder, word):
    """The tensors of the data set, in order; None where one is no plain tensor."""
    found = []
    for k in range(len(glob.glob(os.path.join(folder, "test_data_set_0", word + "_*.pb")))):
        tensor = TensorProto()
        with open(os.path.join(folder, "test_data_set_0", "%s_%d.pb" % (word, k)), "rb") as f:
            data = f.read()
        try:
            tensor.ParseFromString(data)
        except Exception:  # google.protobuf's own
            return None
        if tensor.SerializeToString(deterministic=True) != data and not tensor.data_type:
            return None
        found.append(tensor)
    return found


def same_inputs(folder, base):
    for path in sorted(glob.glob(os.path.join(base, "test_data_set_0", "input_*.pb"))):
        with open(path, "rb") as a, open(path.replace(base, folder), "rb") as b:
            if a.read() != b.read():
                return False
    with open(os.path.join(base, "model.onnx"), "rb") as a, \
            open(os.path.join(folder, "model.onnx"), "rb") as b:
        return a.read() == b.read()


def free_inputs(graph):
    fixed = {t.name for t in graph.initializer}
    return [i for i in graph.input if i.name not in fixed]


def in_reference(model, feeds):
    from onnx.reference import ReferenceEvaluator
    with time_limit(SECONDS), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return ReferenceEvaluator(model).run(None, feeds)


def in_onnxruntime(model, feeds):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options,
                                   providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def close(got, want):
    if not isinstance(got, np.ndarray) and not np.isscalar(got):
        return False
    got = np.asarray(got)
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if got.dtype.kind not in "fc":
        return np.array_equal(got, want)
    return np.allclose(got.astype(np.float64), want.astype(np.float64), rtol=1e-3, atol=1e-6,
                       equal_nan=True)


def as_finite(got, want):
    """Not where the reference's formula overflows on the new data alone."""
    if got.dtype.kind not in "fc":
        return True
    return np.isfinite(got.astype(np.float64)).sum() == np.isfinite(want.astype(
        np.float64)).sum() or got.shape != want.shape


def shuffled(tensor, rng):
    array = numpy_helper.to_array(tensor)
    if tensor.data_type not in FLOATS or array.size < 2:
        return array
    return rng.permutation(array.reshape(-1)).reshape(array.shape)


def shuffle(folder, seed, evaluate):
    """Whether the case in the folder got other data."""
    model = onnx.load(os.path.join(folder, "model.onnx"))
    given, wanted = tensors(folder, "input"), tensors(folder, "output")
    infos = free_inputs(model.graph)
    if not given or not wanted or len(infos) != len(given):
        return False
    if not all(i.type.HasField("tensor_type") for i in (*infos, *model.graph.output)):
        return False
    # not hash(): it differs from process to process
    rng = np.random.RandomState(zlib.crc32(os.path.basename(folder).encode()) ^ seed)
    try:
        want = [numpy_helper.to_array(t) for t in wanted]
        old = {i.name: numpy_helper.to_array(t) for i, t in zip(infos, given)}
        new = {i.name: shuffled(t, rng) for i, t in zip(infos, given)}
        if all(np.array_equal(old[k], new[k]) for k in old):
            return False
        if not all(close(g, w) for g, w in zip(evaluate(model, old), want)):
            return False
        got = [np.asarray(g) for g in evaluate(model, new)]
    except (TooSlow, Exception):  # the reference has no such operator, or no such mode
        return False
    if any(g.dtype != w.dtype or not as_finite(g, w) for g, w in zip(got, want)):
        return False
    for word, arrays, names in (("input", [new[i.name] for i in infos], infos),
                                ("output", got, model.graph.output)):
        for k, (array, info) in enumerate(zip(arrays, names)):
            path = os.path.join(folder, "test_data_set_0", "%s_%d.pb" % (word, k))
            with open(path, "wb") as f:
                f.write(numpy_helper.from_array(array, info.name).SerializeToString(
                    deterministic=True))
    return True


def renew(folder, base, kind, seed):
    """Whether the data in the folder differ from the published in base, by now or before."""
    if kind == "node" and not same_inputs(folder, base):
        return True
    return shuffle(folder, seed, in_onnxruntime if kind == "real" else in_reference)
