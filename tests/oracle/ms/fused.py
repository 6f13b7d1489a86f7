"""FusedMatMul, TransposeMatMul, FusedMatMulActivation, FusedGemm, GemmFastGelu, FusedConv, NhwcConv
and NhwcFusedConv.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
from .case import Case, by_type, node_model, normal


def stored(a, trans, trans_batch):
    """Matrices [..., m, k] as the node's input has them."""
    if trans:
        a = np.swapaxes(a, -1, -2)
    if trans_batch and a.ndim > 2:
        a = np.moveaxis(a, -2, 0)
    return np.ascontiguousarray(a)


def matmul(rng):
    for i in range(12):
        m, k, n = (int(v) for v in rng.integers(1, 40, 3))
        lead = [(), (3,), (2, 3)][i % 3]
        ta, tb, ba, bb = (int(v) for v in rng.integers(0, 2, 4))
        a, b = normal(rng, *lead, m, k), normal(rng, *(lead if i % 2 else ()), k, n)
        feeds = {"a": stored(a, ta, ba), "b": stored(b, tb, bb)}
        attrs = dict(transA=ta, transB=tb, alpha=float(rng.uniform(0.2, 2)))
        batch = dict(transBatchA=ba, transBatchB=bb) if i % 2 else {}
        if not batch:
            feeds = {"a": stored(a, ta, 0), "b": stored(b, tb, 0)}
        if batch and (ba != bb or not lead):  # ONNX Runtime moves both batches or none
            batch["want"] = product(ta, tb, ba, bb, attrs["alpha"])
        yield from by_type("matmul-%d" % i, "FusedMatMul", feeds, ["y"], native=("double",),
                           kinds=("float", "double", "float16", "bfloat16"), **attrs, **batch)
        constant = {"b": feeds.pop("b")}
        yield from by_type("matmul-constant-%d" % i, "FusedMatMul", feeds, ["y"],
                           constants=constant, kinds=("float",), **attrs, **batch)
    yield from by_type("transpose", "TransposeMatMul",
                       {"a": normal(rng, 3, 7, 5), "b": normal(rng, 3, 4, 7)}, ["y"],
                       kinds=("float",), transA=1, transB=1, alpha=0.5)
    yield from by_type("matmul-vector", "FusedMatMul",
                       {"a": normal(rng, 7), "b": normal(rng, 2, 7, 5)}, ["y"], kinds=("float",))
    yield from by_type("matmul-big", "FusedMatMul", {"a": normal(rng, 4, 200, 96)}, ["y"],
                       constants={"b": normal(rng, 130, 96)}, kinds=("float",), transB=1, alpha=0.7)


def plain(a, trans, trans_batch):
    """The reverse of stored()."""
    if trans_batch and a.ndim > 2:
        a = np.moveaxis(a, 0, -2)
    return np.swapaxes(a, -1, -2) if trans else a


def product(ta, tb, ba, bb, alpha):
    def want(feeds, constants):
        f = {**feeds, **constants}
        y = plain(f["a"].astype(np.float64), ta, ba) @ plain(f["b"].astype(np.float64), tb, bb)
        return {"y": (alpha * y).astype(f["a"].dtype)}
    return want


# Of ONNX Runtime's fused Gemm: name, alpha, beta, gamma.
GEMM_ACTS = [("Relu",), ("LeakyRelu", 0.3), ("Sigmoid",), ("Tanh",), ("Elu", 0.7),
             ("HardSigmoid", 0.3, 0.4), ("Softplus",), ("Softsign",), ("Selu", 1.5, None, 1.2),
             ("ThresholdedRelu", 0.4), ("Celu", 0.8), None]


def gemm(rng):
    names = ("activation", "activation_alpha", "activation_beta", "activation_gamma")
    for i, act in enumerate(GEMM_ACTS):
        m, k, n = (int(v) for v in rng.integers(1, 40, 3))
        ta, tb = int(rng.integers(0, 2)), int(rng.integers(0, 2))
        feeds = {"a": stored(normal(rng, m, k, scale=0.5), ta, 0),
                 "b": stored(normal(rng, k, n, scale=0.5), tb, 0)}
        shape = [(n,), (m, n), (m, 1), (1,), None][i % 5]
        if shape:
            feeds["c"] = normal(rng, *shape)
        attrs = dict(zip(names, act)) if act else {}
        attrs = {k: v for k, v in attrs.items() if v is not None}
        if not act:
            attrs["want"] = lambda f, c: {"y": (attrs["alpha"] * (f["a"] @ f["b"]) +
                                                attrs["beta"] * f["c"]).astype(f["a"].dtype)}
            ta = tb = 0
            feeds = {"a": normal(rng, m, k), "b": normal(rng, k, n), "c": normal(rng, m, n)}
        attrs["alpha"] = float(rng.uniform(0.5, 1.5))
        attrs["beta"] = 1.0 if i % 3 else float(rng.uniform(0.5, 1.5))
        yield from by_type("gemm-%s" % (act[0] if act else "none"), "FusedGemm", feeds, ["y"],
                           kinds=("float", "float16", "double"), transA=ta, transB=tb, **attrs)
    x = {"x": normal(rng, 2, 5, 9), "w": normal(rng, 9, 6, scale=0.4), "b": normal(rng, 6)}
    for name, feeds in (("", x), ("-no-bias", {k: x[k] for k in "xw"})):
        yield from by_type("gemm-fast-gelu" + name, "GemmFastGelu", feeds, ["y"],
                           want=lambda f, c: {"y": fast_gelu(f["x"] @ f["w"] + f.get("b", 0))})
    feeds = {"a": stored(normal(rng, 3, 7, 5), 0, 1), "b": normal(rng, 5, 4)}
    yield from by_type("matmul-activation", "FusedMatMulActivation", feeds, ["y"], transBatchA=1,
                       alpha=0.6, activation="Relu", kinds=("float", "float16"),
                       want=lambda f, c: {"y": np.maximum(np.moveaxis(f["a"], 0, -2) @ f["b"] * 0.6,
                                                          0).astype(np.float32)})
    wrong = {"a": normal(rng, 3, 4), "b": normal(rng, 4, 2)}
    yield Case("gemm-unknown", node_model("FusedGemm", wrong, ["y"], activation="Softmin"), wrong,
               refused="no activation 'Softmin'")


def fast_gelu(v):
    v = v.astype(np.float64)
    y = 0.5 * v * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v ** 3)))
    return y.astype(np.float32)


CONV_ACTS = [("Relu", ()), ("LeakyRelu", (0.2,)), ("Sigmoid", ()), ("Tanh", ()),
             ("Clip", (-0.5, 0.6)), ("HardSigmoid", (0.3, 0.4)), ("", ())]


def conv(rng):
    for i, (act, params) in enumerate(CONV_ACTS * 2):
        group = [1, 2, 1][i % 3]
        m = 6
        x, w = normal(rng, 2, 4, 9, 11), normal(rng, m, 4 // group, 3, 2, scale=0.5)
        attrs = dict(group=group, pads=[1, 0, 1, 1], strides=[1 + i % 2, 1], kernel_shape=[3, 2])
        feeds = {"x": x, "w": w}
        order = ["x", "w"]
        if i % 2:
            feeds["b"] = normal(rng, m)
            order.append("b")
        if i > 3:
            order += [""] * (3 - len(order)) + ["z"]
            feeds["z"] = normal(rng, *conv_shape(x, w, attrs))
        constants = {k: feeds.pop(k) for k in "wb" if k in feeds and i % 4 < 2}
        if act:
            attrs["activation"] = act
        if params:
            attrs["activation_params"] = list(params)
        yield from by_type("conv-%d-%s" % (i, act or "none"), "FusedConv", feeds, ["y"],
                           constants=constants, inputs=order, kinds=("float", "float16", "double"),
                           **attrs)
        yield from nhwc(i, feeds, constants, order, attrs)


def conv_shape(x, w, attrs):
    p, s = attrs["pads"], attrs["strides"]
    size = [(x.shape[2 + d] + p[d] + p[2 + d] - w.shape[2 + d]) // s[d] + 1 for d in (0, 1)]
    return (x.shape[0], w.shape[0], *size)


def last(a):
    return np.ascontiguousarray(np.moveaxis(a, 1, -1))


def nhwc(i, feeds, constants, order, attrs):
    """The same with the channels last, which ONNX Runtime's processors don't run."""
    plain = next(by_type("plain", "FusedConv", feeds, ["y"], constants=constants, inputs=order,
                         kinds=("float",), **attrs))
    moved = {k: last(v) if k in "xz" else v for k, v in feeds.items()}

    def want():
        import onnxruntime as ort
        session = ort.InferenceSession(plain.model.SerializeToString(),
                                       providers=["CPUExecutionProvider"])
        return {"y": last(session.run(None, plain.feeds)[0])}
    fused = "activation" in attrs or "z" in order
    for kind in ("float", "float16"):
        case = next(by_type("nhwc-%d" % i, "NhwcFusedConv" if fused else "NhwcConv", moved, ["y"],
                            constants=constants, inputs=order, kinds=(kind,), **attrs))
        case.ort = case.ort_feeds = None
        case.want = want if kind == "float" else half(want)
        case.tolerance = 2e-5 if kind == "float" else 2e-2  # of inputs that are not rounded
        yield case


def half(want):
    return lambda: {k: v.astype(np.float16) for k, v in want().items()}


def cases(rng):
    yield from matmul(rng)
    yield from gemm(rng)
    yield from conv(rng)
