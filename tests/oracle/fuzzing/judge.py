"""What may come of a model: both sides are run, and compared as the contract says.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import planish

ERRORS = (planish.PlanishError, ValueError, RuntimeError)
WAYS = [(level, target) for level in (1, 2, 3) for target in ("onnx", "ort", "planish")]
SIZES = (3, 1, 5)
EPS = {np.dtype(np.float16): 2.0 ** -10, np.dtype(np.float32): 2.0 ** -22,
       np.dtype(np.float64): 2.0 ** -50}
SPECIAL = (0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40, -1.0, 1.0, 0.5, 3.0)
STEPS = (b"QuantizeLinear", b"Round", b"Floor", b"Ceil")
NOISES = 3
NEWEST = 23  # version of ai.onnx that ONNX Runtime has all of
NOISY = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


class Refused(Exception):
    """It is no model that can be judged."""


# ---- running -------------------------------------------------------------------------

class Ours:
    """Our reference kernels, on the graph as it is."""

    def __init__(self, data):
        o = planish.SessionOptions()
        o.graph_optimization_level = planish.GraphOptimizationLevel.ORT_DISABLE_ALL
        o.log_severity_level = 4
        o.intra_op_num_threads = 1
        o.add_session_config_entry("planish.device", "ref")
        self.session = planish.InferenceSession(data, o)

    def run(self, feeds):
        return self.session.run(None, feeds)


class Theirs:
    """ONNX Runtime without optimizations."""

    def __init__(self, data):
        o = ort.SessionOptions()
        o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        o.log_severity_level = 4
        o.intra_op_num_threads = 1
        self.session = ort.InferenceSession(data, o, providers=["CPUExecutionProvider"])

    def run(self, feeds):
        return self.session.run(None, feeds)


def attempt(function, *args):
    """(result, None) or (None, why not)."""
    try:
        return function(*args), None
    except Exception as e:  # onnxruntime has a dozen classes of its own
        return None, " ".join(str(e).split())[:300]


# ---- inputs --------------------------------------------------------------------------

FLAVORS = ("plain", "small", "zero", "special")


def draw(rng, t, flavor, size):
    dims = []
    for d in t.shape.dim:
        known = d.HasField("dim_value")
        word = d.dim_param
        dims.append(d.dim_value if known else
                    int(word[1:]) if word[:1] == "K" and word[1:].isdigit() else
                    size + (word == "M"))
    dtype = helper.tensor_dtype_to_np_dtype(t.elem_type)
    if dtype == np.bool_:
        return rng.integers(0, 2, dims).astype(bool)
    if np.issubdtype(dtype, np.integer):
        low = 0 if np.issubdtype(dtype, np.unsignedinteger) or flavor == "plain" else -3
        return rng.integers(low, 4, dims).astype(dtype)
    if flavor == "zero":
        return rng.choice([0.0, -0.0], dims).astype(dtype)
    if flavor == "small":
        return (rng.integers(-4, 5, dims) * 0.5).astype(dtype)
    if flavor == "special":
        with np.errstate(over="ignore"):
            return rng.choice(SPECIAL, dims).astype(dtype)
    return rng.standard_normal(dims).astype(dtype)


def inputs(model, rng):
    """(flavor, feeds) for some runs."""
    have = {t.name for t in model.graph.initializer}
    runs = [("plain", s) for s in SIZES] + [(f, 3) for f in FLAVORS[1:]]
    for k, (flavor, size) in enumerate(runs):
        feeds = {}
        for v in model.graph.input:
            if not v.type.HasField("tensor_type"):
                raise Refused("an input that is no tensor")
            given = k == 1 and rng.random() < 0.7  # in place of the default
            if v.name not in have or (given and model.ir_version > 3):
                if not v.type.tensor_type.HasField("shape") or \
                        v.type.tensor_type.elem_type == TensorProto.STRING:
                    raise Refused("an input of unknown rank, or strings")
                feeds[v.name] = draw(rng, v.type.tensor_type, flavor, size)
        yield flavor, feeds


# ---- what a run may be held to ---------------------------------------------------------

def declared_sizes_hold(model, feeds, want):
    """Whether the results are as the model declares them: a rewriter may rely on that."""
    bound = {}
    arrays = [(v, feeds[v.name]) for v in model.graph.input if v.name in feeds]
    for v, a in arrays + list(zip(model.graph.output, want)):
        t = v.type.tensor_type
        if not t.HasField("shape"):
            continue
        if len(t.shape.dim) != a.ndim:
            return False
        for d, n in zip(t.shape.dim, a.shape):
            if d.HasField("dim_value") and d.dim_value != n or \
                    d.dim_param and bound.setdefault(d.dim_param, n) != n:
                return False
    return True


def probe(model):
    """The model with every float value of its main graph as an output."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    have = {o.name for o in copy.graph.output}
    types = types_of(model)
    for n in copy.graph.node:
        for o in n.output:
            if o and o not in have and types.get(o) in NOISY:
                copy.graph.output.append(helper.make_tensor_value_info(o, types[o], None))
    return copy.SerializeToString()


def is_finite(side, feeds):
    """Whether nothing infinite and no NaN is met on the way, as far as can be seen."""
    got, why = attempt(side.run, feeds) if side else (None, "no probe")
    return not why and all(np.isfinite(a.astype(np.float64)).all()
                           for a in list(got) + list(feeds.values()) if a.dtype.kind == "f")


# ---- noise: what a rounding elsewhere may change ---------------------------------------

def noisy_array(rng, a):
    eps = EPS.get(a.dtype)
    if eps is None or not a.size:
        return a
    with np.errstate(all="ignore"):
        factor = 1 + 2 * eps * rng.choice([-1.0, 1.0], a.shape)
        return (a.astype(np.float64) * factor).astype(a.dtype)


def types_of(model):
    """Element types by name, of all graphs."""
    try:
        full = onnx.shape_inference.infer_shapes(model)
    except Exception:  # what it can't infer stays without noise
        full = model
    found = {}

    def walk(g):
        for v in list(g.value_info) + list(g.output):
            found[v.name] = v.type.tensor_type.elem_type
        for n in g.node:
            for a in n.attribute:
                if a.HasField("g"):
                    walk(a.g)
    walk(full.graph)
    return found


def noisy_graph(rng, g, types, taken):
    """Every float constant and result is off by a rounding or two."""
    for t in g.initializer:
        if t.data_type in NOISY:
            t.CopyFrom(numpy_helper.from_array(noisy_array(rng, numpy_helper.to_array(t)), t.name))
    nodes = []
    for n in g.node:
        for a in n.attribute:
            if a.HasField("g"):
                noisy_graph(rng, a.g, types, taken)
        nodes.append(n)
        for k, name in enumerate(n.output):
            dtype = types.get(name, 0)
            if dtype not in NOISY:
                continue
            taken[0] += 1
            raw, c = "noise_%d" % taken[0], "noise_c%d" % taken[0]
            eps = EPS[np.dtype(helper.tensor_dtype_to_np_dtype(dtype))]
            n.output[k] = raw
            nodes.append(helper.make_node("RandomUniformLike", [raw], [c], low=1 - 2 * eps,
                                          high=1 + 2 * eps, seed=float(rng.integers(1 << 20))))
            nodes.append(helper.make_node("Mul", [raw, c], [name]))
    del g.node[:]
    g.node.extend(nodes)


def noisy(rng, model):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    noisy_graph(rng, copy.graph, types_of(model), [0])
    return copy.SerializeToString()


# ---- comparing -----------------------------------------------------------------------

def spread(want, noises):
    """By how much an output moves with the noise; infinite where it is not finite, or has
    another shape."""
    out = np.zeros(want.shape)
    w = want.astype(np.float64)
    with np.errstate(all="ignore"):
        for n in noises:
            if n.shape != want.shape:
                return np.full(want.shape, np.inf)
            d = np.abs(n.astype(np.float64) - w)
            out = np.maximum(out, np.where(np.isfinite(d) | (n == want), d, np.inf))
    if want.dtype.kind == "f" and np.isfinite(out).any():  # chance left some where they were
        out = np.maximum(out, np.mean(out[np.isfinite(out)]))
    return out


def exact(want, got):
    if want.dtype.kind in "OUS":
        return bool(np.all(want == got))
    if want.dtype.kind == "f":
        nan = np.isnan(want)
        return bool(np.array_equal(nan, np.isnan(got)) and
                    np.array_equal(want[~nan], got[~nan]) and
                    np.array_equal(np.signbit(want[~nan]), np.signbit(got[~nan])))
    return want.tobytes() == got.tobytes()


def near(want, got, moved, loose, flips=0):
    """None, or the first place that is off by more than the noise allows. So many may be where
    a level flips that noise did not flip."""
    if want.dtype.kind in "OUS":
        return None if np.all(want == got) else "strings differ"
    w, g = want.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(w)
    top = np.max(np.abs(w[finite]), initial=0)
    eps = EPS.get(want.dtype, 0)
    with np.errstate(all="ignore"):
        off = np.abs(w - g) > 64 * loose * eps * max(1.0, top) + 32 * loose * moved
        if want.dtype.kind != "f":
            off = (w != g) & (moved == 0)
        # an overflow may come of another order
        off = np.where(finite, (off | np.isnan(g)) & ~np.isinf(g), False)
        off &= np.isfinite(moved)
    if off.sum() <= flips:
        return None
    at = tuple(int(i) for i in np.argwhere(off)[0])
    return "at %s %r becomes %r" % (list(at), want[at].item(), got[at].item())


# ---- a model ---------------------------------------------------------------------------

class Runs:
    """A model's results, and how they move with noise."""

    def __init__(self, model, data, rng, random, tell):
        self.feeds, self.want, self.theirs, self.moved, self.tame = [], [], [], [], []
        self.steps = any(w in data for w in STEPS)
        ours, why = attempt(Ours, data)
        if why:
            raise Refused(why)
        new = any(o.version > NEWEST for o in model.opset_import if not o.domain)
        theirs, self.no_theirs = attempt(Theirs, data) if not new else (None, "too new")
        noises = [] if random else [s for s in (attempt(Ours, noisy(rng, model))[0]
                                                for _ in range(NOISES)) if s]
        seen, _ = attempt(Ours, probe(model))
        for flavor, feeds in inputs(model, rng):
            want, why = attempt(ours.run, feeds)
            if why or any(not isinstance(w, np.ndarray) for w in want) or \
                    not declared_sizes_hold(model, feeds, want):
                continue
            moved = [attempt(s.run, {k: noisy_array(rng, f) for k, f in feeds.items()})[0]
                     for s in noises]
            moved = [m for m in moved if m]
            self.feeds.append((flavor, feeds))
            self.want.append(want)
            self.moved.append([spread(w, [m[k] for m in moved]) if w.dtype.kind in "fiub" and
                               (moved or random) else np.full(w.shape, np.inf)
                               for k, w in enumerate(want)])
            self.tame.append(is_finite(seen, feeds) and (flavor != "special" or not hides(model)))
            tell("theirs")
            self.theirs.append(self.run_theirs(theirs, feeds, want, random))
            tell("ours")
        if not self.feeds:
            raise Refused("it runs with no input: %s" % why)

    def run_theirs(self, theirs, feeds, want, random):
        """The results of the original there; None where the two of us disagree on it."""
        got = attempt(theirs.run, feeds)[0] if theirs else None
        if got is None or any(g.shape != w.shape or g.dtype != w.dtype
                              for g, w in zip(got, want)):
            return None
        if not random and any(near(w, g, m, 4) for w, g, m in zip(want, got, self.moved[-1])):
            return None
        return got


def hides(model):
    """Whether there are bodies or functions, the values of which no probe sees."""
    return len(model.functions) or any(a.HasField("g") for n in model.graph.node
                                       for a in n.attribute)


def interface(m):
    have = {t.name for t in m.graph.initializer}
    given = [v for v in m.graph.input if m.ir_version > 3 or v.name not in have]
    return ([v.name + str(v.type) + str(v.name in have) for v in given],
            [v.name + str(v.type) for v in m.graph.output])


def compare(runs, k, want, got, level, how, random):
    flavor = runs.feeds[k][0]
    for i, (w, g) in enumerate(zip(want, got)):
        if not isinstance(g, np.ndarray) or w.shape != g.shape or w.dtype != g.dtype:
            return "%s: output %d of run %d (%s) has another type or shape: %s for %s" % (
                how, i, k, flavor, g.shape, w.shape)
        rounds = how == "theirs" and level > 2 and runs.steps  # integer operators of their own
        if random or (level > 1 and not runs.tame[k]) or rounds:
            continue
        if level == 1 and how == "ours":
            if not exact(w, g):
                return "%s: output %d of run %d (%s) differs: %s for %s" % (
                    how, i, k, flavor, g.reshape(-1)[:8], w.reshape(-1)[:8])
            continue
        why = near(w, g, runs.moved[k][i], 1 if how == "ours" else 4,
                   1 + w.size // 10 if runs.steps else 0)
        if why:
            return "%s: output %d of run %d (%s) %s" % (how, i, k, flavor, why)
    return None


def judge_runs(runs, data, level, target, random):
    ours, why = attempt(Ours, data)
    if why:
        yield "ours: it does not load: " + why
        return
    theirs = None
    if not runs.no_theirs and any(t is not None for t in runs.theirs):
        theirs, why = attempt(Theirs, data)
        if why:
            yield "theirs: it does not load: " + why
    for k, (flavor, feeds) in enumerate(runs.feeds):
        for how, side, want in (("ours", ours, runs.want[k]), ("theirs", theirs, runs.theirs[k])):
            if side is None or want is None:
                continue
            got, why = attempt(side.run, feeds)
            if why and (target == "planish" and "attention_helper" in why or
                        target == "ort" and "EmbedLayerNormalization" in why):
                continue  # it has no one row for all queries, and no index from the end
            why = "%s: it fails in run %d (%s): %s" % (how, k, flavor, why) if why else \
                compare(runs, k, want, got, level, how, random)
            if why:
                yield why


def optimized(data, level, target):
    m = planish.Model(data)
    report = m.optimize(level, target=target, verify_each="rewrite")
    return m.to_bytes(), report["verify"]["refused"]


def unstamped(data):
    m = onnx.ModelProto.FromString(data)
    del m.metadata_props[:]
    return m.SerializeToString()


def judge_file(model, data, out, level, target, full):
    after = onnx.ModelProto.FromString(out)
    if interface(model) != interface(after):
        yield "interface: it changed"
    if len(out) > 1.01 * len(data) + 4096:
        yield "size: from %d to %d bytes" % (len(data), len(out))
    _, why = attempt(onnx.checker.check_model, out, full)
    if why:
        yield "checker: " + why
    again, refused = optimized(out, level, target)
    if again != out:
        yield "again: a second run changes it"
    for r in refused:
        yield "again: refused: %s" % r


def judge_session(data, runs, random):
    """The graph as a session rewrites it for itself."""
    o = planish.SessionOptions()
    o.log_severity_level = 4
    s, why = attempt(planish.InferenceSession, data, o)
    if why:
        yield "session: it does not load: " + why
        return
    for k, (flavor, feeds) in enumerate(runs.feeds):
        got, why = attempt(s.run, None, feeds)
        why = "session: run %d (%s) fails: %s" % (k, flavor, why) if why else \
            compare(runs, k, runs.want[k], got, 3, "session", random)
        if why:
            yield why


def is_random(model):
    text = model.SerializeToString()
    return any(w in text for w in (b"Random", b"Bernoulli", b"Multinomial")) or \
        b"Dropout" in text and any(len(n.input) > 2 for n in nodes(model.graph))


def nodes(g):
    for n in g.node:
        yield n
        for a in n.attribute:
            if a.HasField("g"):
                yield from nodes(a.g)


def judge(model, rng, ways=WAYS, tell=lambda what: None):
    """(way, fault) of all that is wrong; Refused where it can't be judged. What is about to run
    is told, since it may end the process."""
    random = is_random(model)
    data = model.SerializeToString()
    tell("theirs")
    _, why = attempt(onnx.checker.check_model, data)
    if why:
        raise Refused("checker: " + why)
    full = attempt(onnx.checker.check_model, data, True)[1] is None
    tell("ours")
    source, why = attempt(planish.Model, data)
    if why or any(f["severity"] == "error" for f in source.check()):
        raise Refused("our check: %s" % (why or "it has errors"))
    with np.errstate(all="ignore"):
        runs = Runs(model, data, rng, random, tell)
        seen = {}
        for level, target in ways:
            way = "O%d-%s" % (level, target)
            done, why = attempt(optimized, data, level, target)
            if why:
                yield way, "optimize: " + why
                continue
            out, refused = done
            for r in refused:
                yield way, "refused: %s" % r
            for f in judge_file(model, data, out, level, target, full):
                yield way, f
            key = unstamped(out)
            if seen.get(key, 9) <= level:
                continue
            seen.setdefault(key, level)
            for f in judge_runs(runs, out, level, target, random):
                yield way, f
                break
        for f in judge_session(data, runs, random):
            yield "session", f
            break
