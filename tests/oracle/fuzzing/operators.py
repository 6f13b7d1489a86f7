"""The operators that random models are grown of: a function adds a node, or a few, where it can.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
from onnx import TensorProto, helper

from .grow import (BOOL, FLOAT, FLOATS, INT64, INTS, Value, broadcast, is_float, is_int,
                   product)

UNARY = ("Relu Neg Abs Exp Log Sqrt Sigmoid Tanh Erf Floor Ceil Round Reciprocal Softplus Elu "
         "LeakyRelu HardSigmoid Selu Celu Sign Identity ThresholdedRelu Softsign Sin "
         "Cos Relu Neg Sigmoid Identity Tanh").split()
COMPARING = ("Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual")
REDUCING = ("ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL2 ReduceL1 ReduceSumSquare "
            "ReduceLogSumExp ReduceMean ReduceSum").split()
WHOLE = (TensorProto.INT32, INT64)


def unary(g):
    v = g.pick(is_float)
    if v:
        op = g.one_of(UNARY + ["Gelu"] * (g.opset >= 20) + ["Mish"] * (g.opset >= 18) +
                      ["HardSwish"] * (g.opset >= 14))
        attrs = {}
        if op in ("Elu", "LeakyRelu", "ThresholdedRelu", "Celu") and g.chance(0.5):
            attrs["alpha"] = float(g.one_of((0.0, 1.0, 0.5, 0.01)))
        g.add(op, [v], v.dtype, v.dims, **attrs)


def unary_whole(g):
    v = g.pick(lambda v: is_int(v) or v.dtype == BOOL)
    if v:
        op = "Not" if v.dtype == BOOL else g.one_of(("Neg", "Abs", "Sign", "Identity"))
        g.add(op, [v], v.dtype, v.dims)


def clip(g):
    v = g.pick(lambda v: is_float(v) or is_int(v))
    if v:
        bound = [g.const(g.numbers(v.dtype, ())) if g.chance(0.75) else "" for _ in "lh"]
        g.add("Clip", [v] + bound[:2 if bound[1] else 1 + bool(bound[0])], v.dtype, v.dims)


def binary(g):
    v = g.pick(lambda v: is_float(v) or is_int(v))
    if not v:
        return
    ops = ["Add", "Sub", "Mul", "Add", "Mul", "Max", "Min"] + ["Div", "Pow"] * is_float(v)
    other, dims = g.operand_for(v)
    op = g.one_of(ops)
    both = [v.name, other]
    g.add(op, both[::-1] if g.chance(0.35) and op != "Pow" else both, v.dtype, dims)


def divided(g):
    v = g.pick(is_int)
    if v:
        by = np.array(g.one_of((1, 2, -1, 3, 4)), helper.tensor_dtype_to_np_dtype(v.dtype))
        g.add(g.one_of(("Div", "Div", "Mod")), [v, g.const(by)], v.dtype, v.dims)


def compared(g):
    v = g.pick(lambda v: is_float(v) or is_int(v))
    if v and v.dtype != TensorProto.DOUBLE:
        other, dims = g.operand_for(v)
        g.add(g.one_of(COMPARING), [v, other], BOOL, dims)


def logical(g):
    v = g.pick(lambda v: v.dtype == BOOL)
    if v:
        other, dims = g.operand_for(v)
        g.add(g.one_of(("And", "Or", "Xor")), [v, other], BOOL, dims)


def where(g):
    c = g.pick(lambda v: v.dtype == BOOL)
    v = c and g.pick(lambda v: v.dtype in (FLOAT, INT64) and broadcast(v.dims, c.dims))
    if v:
        other, dims = g.operand_for(v)
        all_dims = broadcast(dims, c.dims)
        if all_dims is not None:
            both = [v.name, other]
            g.add("Where", [c] + (both[::-1] if g.chance(0.5) else both), v.dtype, all_dims)


def cast(g):
    v = g.pick(lambda v: v.dtype in FLOATS + INTS + (BOOL,))
    if v:
        to = g.one_of((FLOAT, FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, INT64,
                       TensorProto.INT32, BOOL, v.dtype))
        g.add("Cast", [v], to, v.dims, to=to)


# ---- moves -----------------------------------------------------------------------------

def transpose(g):
    v = g.pick(lambda v: v.rank)
    if v:
        perm = [int(p) for p in g.rng.permutation(v.rank)]
        given = None if g.chance(0.15) else perm
        perm = perm if given else list(range(v.rank))[::-1]
        g.add("Transpose", [v], v.dtype, [v.dims[p] for p in perm], perm=given)


def reshape(g):
    v = g.pick(lambda v: 0 not in v.dims)
    if not v:
        return
    dims = list(v.dims)
    for _ in range(int(g.rng.integers(1, 3))):
        k = int(g.rng.integers(len(dims) + 1))
        kind = g.rng.random()
        if kind < 0.3:
            dims.insert(k, 1)
        elif kind < 0.5 and 1 in dims:
            dims.remove(1)
        elif kind < 0.8 and k + 1 < len(dims):
            dims[k:k + 2] = [product(dims[k:k + 2])]
        elif k < len(dims) and isinstance(dims[k], int) and dims[k] % 2 == 0:
            dims[k:k + 1] = [2, dims[k] // 2] if g.chance(0.5) else [dims[k] // 2, 2]
    shape = [0 if k < v.rank and d == v.dims[k] and (g.chance(0.3) or not isinstance(d, int))
             else d for k, d in enumerate(dims)]
    open_dims = [k for k, d in enumerate(shape) if not isinstance(d, int)]
    if len(open_dims) > 1:
        return
    if open_dims or (shape and g.chance(0.4)):
        shape[open_dims[0] if open_dims else int(g.rng.integers(len(shape)))] = -1
    g.add("Reshape", [v, g.ints(*shape)], v.dtype, dims)


def flatten(g):
    v = g.pick(lambda v: v.rank > 1 and v.dtype == FLOAT)
    if v:
        k = int(g.rng.integers(0, v.rank + 1))
        g.add("Flatten", [v], v.dtype, (product(v.dims[:k]), product(v.dims[k:])),
              axis=k - v.rank if k < v.rank and g.chance(0.5) else k)


def squeeze(g):
    v = g.pick(lambda v: 1 in v.dims)
    if v:
        k = g.one_of([k for k, d in enumerate(v.dims) if d == 1])
        axis = k - v.rank if g.chance(0.4) else k
        g.add("Squeeze", [v, g.ints(axis)], v.dtype, v.dims[:k] + v.dims[k + 1:])


def unsqueeze(g):
    v = g.pick(lambda v: v.rank < 5)
    if v:
        k = int(g.rng.integers(v.rank + 1))
        axis = k - v.rank - 1 if g.chance(0.4) else k
        g.add("Unsqueeze", [v, g.ints(axis)], v.dtype, v.dims[:k] + (1,) + v.dims[k:])


def expand(g):
    v = g.pick(lambda v: v.rank and v.rank < 5)
    if v:
        target = [1 if not isinstance(d, int) or g.chance(0.3) else
                  (g.one_of((1, 3)) if d == 1 else d) for d in v.dims]
        target = [g.one_of((1, 2))] * g.chance(0.2) + target
        g.add("Expand", [v, g.ints(*target)], v.dtype, broadcast(v.dims, tuple(target)))


def tile(g):
    v = g.pick(lambda v: v.rank and v.fixed())
    if v:
        times = [g.one_of((1, 1, 2)) for _ in v.dims]
        g.add("Tile", [v, g.ints(*times)], v.dtype, [d * t for d, t in zip(v.dims, times)])


def concat(g):
    v = g.pick(lambda v: v.rank)
    if not v:
        return
    k, axis = g.axis(v)
    parts, size = [v.name], [v.dims[k]]
    for _ in range(int(g.rng.integers(0, 3))):
        w = g.pick(lambda w: w.dtype == v.dtype and w.rank == v.rank and
                   w.dims[:k] + w.dims[k + 1:] == v.dims[:k] + v.dims[k + 1:])
        if w and g.chance(0.7):
            parts.append(w.name)
            size.append(w.dims[k])
        elif v.fixed():
            dims = list(v.dims)
            dims[k] = g.one_of((0, 1, 2))
            parts.append(g.const(g.numbers(v.dtype, dims)))
            size.append(dims[k])
    total = sum(size) if all(isinstance(s, int) for s in size) else \
        "(" + "+".join(map(str, size)) + ")" if len(size) > 1 else size[0]
    g.add("Concat", parts, v.dtype, v.dims[:k] + (total,) + v.dims[k + 1:], axis=axis)


def split(g):
    v = g.pick(lambda v: any(isinstance(d, int) and d > 1 for d in v.dims))
    if not v:
        return
    k = g.one_of([k for k, d in enumerate(v.dims) if isinstance(d, int) and d > 1])
    n = g.one_of((2, 2, 3))
    cuts = sorted(int(c) for c in g.rng.integers(0, v.dims[k] + 1, n - 1))
    sizes = [b - a for a, b in zip([0] + cuts, cuts + [v.dims[k]])]
    if v.dims[k] % n == 0 and g.chance(0.6):
        sizes = [v.dims[k] // n] * n
        given = g.ints(*sizes) if g.opset < 18 or g.chance(0.6) else None
    else:
        given = g.ints(*sizes)
    g.several("Split", [v] + [given] * (given is not None),
              [(v.dtype, v.dims[:k] + (s,) + v.dims[k + 1:]) for s in sizes],
              axis=k - v.rank if g.chance(0.3) else k, num_outputs=None if given else n)


def slice_(g):
    v = g.pick(lambda v: any(isinstance(d, int) for d in v.dims))
    if not v:
        return
    k = g.one_of([k for k, d in enumerate(v.dims) if isinstance(d, int)])
    d, step = v.dims[k], g.one_of((1, 1, 1, 2, -1))
    start = g.one_of((0, 1, -1, -2, d, 2))
    end = g.one_of((d, 2 ** 63 - 1 if step > 0 else 0, -1, 1, 2, -2 ** 31, d - 1))
    left = len(range(*slice(start, end if abs(end) < 2 ** 30 else (1 if end > 0 else -1) * 10 ** 6,
                            step).indices(d)))
    inputs = [v, g.ints(start), g.ints(end), g.ints(k - v.rank if g.chance(0.3) else k)]
    g.add("Slice", inputs + [g.ints(step)] * (step != 1 or g.chance(0.3)), v.dtype,
          v.dims[:k] + (left,) + v.dims[k + 1:])


def gather(g):
    v = g.pick(lambda v: any(isinstance(d, int) and d > 0 for d in v.dims))
    if v:
        k = g.one_of([k for k, d in enumerate(v.dims) if isinstance(d, int) and d > 0])
        dims = g.one_of(((), (1,), (2,), (v.dims[k],), (2, 2)))
        at = g.rng.integers(-v.dims[k], v.dims[k], dims).astype(np.int64)
        if dims == (v.dims[k],) and g.chance(0.5):
            at = np.arange(v.dims[k])
        g.add("Gather", [v, g.const(at)], v.dtype, v.dims[:k] + dims + v.dims[k + 1:],
              axis=k - v.rank if g.chance(0.3) else k)


def pad(g):
    v = g.pick(lambda v: v.rank and v.dtype == FLOAT)
    if v:
        sides = [[g.one_of((0, 0, 1)) if isinstance(d, int) else 0 for d in v.dims] for _ in "be"]
        value = [g.const(np.float32(g.one_of((0.0, 1.0, -np.inf))))] * g.chance(0.5)
        mode = "constant" if g.chance(0.8) or 0 in v.dims else g.one_of(("edge", "reflect"))
        if mode == "reflect" and any(d == 1 for d in v.dims):
            mode = "edge"
        g.add("Pad", [v, g.ints(*sides[0], *sides[1])] + value, v.dtype,
              [d + b + e if isinstance(d, int) else d for d, b, e in zip(v.dims, *sides)],
              mode=mode)


def sizes_of(g):
    """Shape arithmetic, and a Reshape or Expand by it."""
    v = g.pick(lambda v: v.rank)
    if not v:
        return
    s = g.add("Shape", [v], INT64, (v.rank,))
    kind = g.rng.random()
    if kind < 0.25:
        g.add("Reshape", [v, s], v.dtype, v.dims)
    elif kind < 0.7:
        k = int(g.rng.integers(v.rank))
        at = g.const(np.int64(k)) if g.chance(0.5) else None
        d = g.add("Gather", [s, at or g.ints(k)], INT64, () if at else (1,), axis=0)
        if at:
            d = g.add("Unsqueeze", [d, g.ints(0)], INT64, (1,))
        rest = product(v.dims[:k] + v.dims[k + 1:])
        if 0 in v.dims:
            return
        t = g.add("Concat", [d, g.ints(-1)], INT64, (2,), axis=0)
        g.add("Reshape", [v, t], v.dtype, (v.dims[k], rest))
    else:
        w = g.pick(lambda w: broadcast(w.dims, v.dims) == v.dims)
        if w:
            g.add("Expand", [w, s], w.dtype, v.dims)


# ---- sums ------------------------------------------------------------------------------

def reduce(g):
    v = g.pick(lambda v: is_float(v) and v.rank and 0 not in v.dims)
    if not v:
        return
    op = g.one_of(REDUCING)
    n = int(g.rng.integers(1, v.rank + 1))
    axes = sorted(int(a) for a in g.rng.choice(v.rank, n, replace=False))
    keep = g.chance(0.6)
    given = [a - v.rank if g.chance(0.3) else a for a in axes]
    dims = [1 if k in axes else d for k, d in enumerate(v.dims) if keep or k not in axes]
    by_input = g.opset >= (13 if op == "ReduceSum" else 18)
    g.add(op, [v, g.ints(*given)] if by_input else [v], v.dtype, dims,
          axes=None if by_input else given, keepdims=int(keep))


def argmax(g):
    v = g.pick(lambda v: v.dtype in (FLOAT, INT64) and v.rank and 0 not in v.dims)
    if v:
        k, axis = g.axis(v)
        keep = g.chance(0.5)
        g.add(g.one_of(("ArgMax", "ArgMin")), [v], INT64,
              v.dims[:k] + (1,) * keep + v.dims[k + 1:], axis=axis, keepdims=int(keep))


def softmax(g):
    v = g.pick(lambda v: is_float(v) and v.rank)
    if v:
        g.add(g.one_of(("Softmax", "Softmax", "LogSoftmax")), [v], v.dtype, v.dims, axis=g.axis(v)[1])


def layer_norm(g):
    v = g.pick(lambda v: v.dtype == FLOAT and v.rank and isinstance(v.dims[-1], int) and
               v.dims[-1] > 0)
    if v and g.opset >= 17:
        scale = [g.const(g.numbers(FLOAT, v.dims[-1:])) for _ in range(g.one_of((1, 2)))]
        g.add("LayerNormalization", [v] + scale, FLOAT, v.dims, axis=-1)


def spelled_norm(g):
    """A norm in steps."""
    v = g.pick(lambda v: v.dtype == FLOAT and v.rank and isinstance(v.dims[-1], int) and
               v.dims[-1] > 0)
    if not v or g.opset < 18:
        return
    kept = v.dims[:-1] + (1,)
    axes = g.ints(-1)
    d = v
    if g.chance(0.5):
        d = g.add("Sub", [v, g.add("ReduceMean", [v, axes], FLOAT, kept)], FLOAT, v.dims)
    q = g.add("Pow", [d, g.const(np.float32(2))], FLOAT, v.dims) if g.chance(0.5) else \
        g.add("Mul", [d, d], FLOAT, v.dims)
    s = g.add("ReduceMean", [q, axes], FLOAT, kept)
    s = g.add("Add", [s, g.const(np.float32(1e-5))], FLOAT, kept)
    s = g.add("Sqrt", [s], FLOAT, kept)
    y = g.add("Div", [d, s], FLOAT, v.dims)
    g.add("Mul", [y, g.const(g.numbers(FLOAT, v.dims[-1:]))], FLOAT, v.dims)


def spelled_act(g):
    """An activation in steps."""
    v = g.pick(lambda v: v.dtype == FLOAT)
    if not v:
        return
    def c(x):
        return g.const(np.float32(x))
    def on(op, *inputs):
        return g.add(op, inputs, FLOAT, v.dims)
    kind = int(g.rng.integers(5))
    if kind == 0:
        on("Mul", v, on("Sigmoid", v))
    elif kind == 1:
        e = on("Add", on("Erf", on("Div", v, c(2 ** 0.5))), c(1))
        on("Mul", on("Mul", v, e), c(0.5))
    elif kind == 2:
        on("Mul", v, on("Tanh", on("Softplus", v)))
    elif kind == 3:
        h = on("Clip", on("Add", v, c(3)), c(0), c(6))
        on("Div", on("Mul", v, h), c(6))
    else:
        on("Div", on("Exp", v), on("Add", on("Exp", v), c(1)))


# ---- products --------------------------------------------------------------------------

def matmul(g):
    v = g.pick(lambda v: v.dtype in (FLOAT, FLOAT, TensorProto.FLOAT16) and v.rank > 1)
    if not v:
        return
    w = g.pick(lambda w: w.dtype == v.dtype and w.rank == 2 and w.dims[0] == v.dims[-1])
    if w and g.chance(0.3):
        out = g.add("MatMul", [v, w], v.dtype, v.dims[:-1] + w.dims[1:])
    elif isinstance(v.dims[-1], int):
        n = g.one_of((1, 4, 5))
        weights = g.const(g.numbers(v.dtype, (v.dims[-1], n)))
        out = g.add("MatMul", [v, weights], v.dtype, v.dims[:-1] + (n,))
    else:
        return
    for op in ("Add", "Mul"):
        if g.chance(0.5):
            bias = g.const(g.numbers(v.dtype, g.one_of((out.dims[-1:], (1,), ()))
                                     if isinstance(out.dims[-1], int) else ()))
            both = [out, bias]
            out = g.add(op, both[::-1] if g.chance(0.3) else both, v.dtype, out.dims)


def gemm(g):
    v = g.pick(lambda v: v.dtype == FLOAT and v.rank == 2)
    if not v:
        return
    across, back = g.chance(0.3), g.chance(0.5)
    k, m = (v.dims if across else v.dims[::-1])
    if not isinstance(k, int):
        return
    n = g.one_of((1, 4))
    w = g.const(g.numbers(FLOAT, (n, k) if back else (k, n)))
    c = [g.const(g.numbers(FLOAT, g.one_of(((n,), (1,), (), (1, n)))))] * g.chance(0.7)
    g.add("Gemm", [v, w] + c, FLOAT, (m, n), transA=int(across), transB=int(back),
          alpha=float(g.one_of((1, 0.5, 0))), beta=float(g.one_of((1, 1, 0.5, 0))))


def image(v):
    return v.dtype == FLOAT and v.rank == 4 and all(isinstance(d, int) and d > 0
                                                    for d in v.dims[1:])


def conv(g):
    v = g.pick(image)
    if not v:
        return
    c, h, w = v.dims[1:]
    k = 1 if min(h, w) < 3 or g.chance(0.4) else 3
    groups = c if g.chance(0.2) else 1
    m = c if groups > 1 else g.one_of((2, 4))
    p = g.one_of((0, 1)) if k == 3 else 0
    inputs = [v, g.const(g.numbers(FLOAT, (m, c // groups, k, k)))]
    inputs += [g.const(g.numbers(FLOAT, (m,)))] * g.chance(0.5)
    out = g.add("Conv", inputs, FLOAT, (v.dims[0], m, h + 2 * p - k + 1, w + 2 * p - k + 1),
                group=groups, pads=[p] * 4)
    if g.chance(0.4):
        batch_norm_of(g, out)


def conv_transpose(g):
    v = g.pick(image)
    if v and max(v.dims[2:]) < 12:
        c, h, w = v.dims[1:]
        inputs = [v, g.const(g.numbers(FLOAT, (c, 3, 2, 2)))]
        inputs += [g.const(g.numbers(FLOAT, (3,)))] * g.chance(0.5)
        g.add("ConvTranspose", inputs, FLOAT, (v.dims[0], 3, 2 * h, 2 * w), strides=[2, 2])


def batch_norm_of(g, v):
    c = v.dims[1]
    parts = [g.const(g.numbers(FLOAT, (c,))) for _ in range(3)]
    parts.append(g.const(np.abs(g.numbers(FLOAT, (c,))) + np.float32(0.5)))
    return g.add("BatchNormalization", [v] + parts, FLOAT, v.dims)


def batch_norm(g):
    v = g.pick(lambda v: v.dtype == FLOAT and v.rank > 1 and isinstance(v.dims[1], int))
    if v:
        batch_norm_of(g, v)


def instance_norm(g):
    v = g.pick(image)
    if v:
        parts = [g.const(g.numbers(FLOAT, (v.dims[1],))) for _ in "sb"]
        g.add("InstanceNormalization", [v] + parts, FLOAT, v.dims)


def pool(g):
    v = g.pick(image)
    if not v:
        return
    h, w = v.dims[2:]
    if g.chance(0.3):
        g.add(g.one_of(("GlobalAveragePool", "GlobalMaxPool")), [v], FLOAT, v.dims[:2] + (1, 1))
    elif min(h, w) >= 2:
        p = g.one_of((0, 1))
        op = g.one_of(("MaxPool", "AveragePool"))
        g.add(op, [v], FLOAT, v.dims[:2] + (h + 2 * p - 1, w + 2 * p - 1), kernel_shape=[2, 2],
              pads=[p] * 4, count_include_pad=int(g.chance(0.5)) if op[0] == "A" else None)


def depth(g):
    v = g.pick(lambda v: image(v) and v.dims[1] % 4 == 0)
    w = g.pick(lambda v: image(v) and v.dims[2] % 2 == 0 and v.dims[3] % 2 == 0)
    if v and g.chance(0.5):
        n, c, h, x = v.dims
        g.add("DepthToSpace", [v], FLOAT, (n, c // 4, 2 * h, 2 * x), blocksize=2,
              mode=g.one_of(("DCR", "CRD")))
    elif w:
        n, c, h, x = w.dims
        g.add("SpaceToDepth", [w], FLOAT, (n, c * 4, h // 2, x // 2), blocksize=2)


def einsum(g):
    v = g.pick(lambda v: v.dtype == FLOAT and v.rank in (2, 3) and isinstance(v.dims[-1], int))
    if v:
        k, n = v.dims[-1], 3
        lead = "ab"[:v.rank - 1]
        w = g.const(g.numbers(FLOAT, (k, n)))
        order = g.one_of((lead + "d", "d" + lead))
        dims = dict(zip(lead, v.dims), d=n)
        g.add("Einsum", [v, w], FLOAT, [dims[c] for c in order],
              equation="%sc,cd->%s" % (lead, order))


# ---- quantized, odd, random ------------------------------------------------------------

def quantized(g):
    v = g.pick(lambda v: v.dtype == FLOAT)
    if not v:
        return
    np_type = g.one_of((np.uint8, np.int8))
    scale = g.const(np.float32(g.one_of((0.5, 0.1, 1.0))))
    zero = g.const(np_type(g.one_of((0, 3))))
    q = Value(g.name("q"), 0, v.dims)
    g.nodes.append(helper.make_node("QuantizeLinear", [v.name, scale, zero], [q.name]))
    if g.chance(0.3) and v.rank:
        flat = g.name("q")
        g.nodes.append(helper.make_node("Transpose", [q.name], [flat],
                                        perm=list(range(v.rank))))
        q = Value(flat, 0, v.dims)
    if g.chance(0.2):
        scale = g.const(np.float32(0.25))
    g.add("DequantizeLinear", [q, scale, zero], FLOAT, v.dims)


def dropout(g):
    v = g.pick(is_float)
    if v:
        g.several("Dropout", [v], [(v.dtype, v.dims), (BOOL, v.dims) if g.chance(0.3) else None])


def draws(g):
    v = g.pick(lambda v: v.dtype == FLOAT)
    if v and g.chance(0.3):
        g.add(g.one_of(("RandomNormalLike", "RandomUniformLike")), [v], FLOAT, v.dims)


def cumsum(g):
    v = g.pick(lambda v: v.dtype in (FLOAT, INT64) and v.rank)
    if v:
        g.add("CumSum", [v, g.const(np.int64(g.axis(v)[1]))], v.dtype, v.dims)


def topk(g):
    v = g.pick(lambda v: v.dtype == FLOAT and v.rank and isinstance(v.dims[-1], int) and
               v.dims[-1] > 1)
    if v:
        k = int(g.rng.integers(1, v.dims[-1] + 1))
        dims = v.dims[:-1] + (k,)
        g.several("TopK", [v, g.ints(k)], [(FLOAT, dims), (INT64, dims)])


def made(g):
    """Constants that nodes make."""
    kind = int(g.rng.integers(3))
    if kind == 0:
        n = int(g.rng.integers(0, 5))
        g.add("Range", [g.const(np.int64(0)), g.const(np.int64(n)), g.const(np.int64(1))], INT64,
              (n,))
    elif kind == 1:
        v = g.pick(lambda v: v.rank)
        if v:
            value = helper.make_tensor("value", FLOAT, [1], [g.one_of((0.0, 1.0, -1.0))])
            g.add("ConstantOfShape", [g.add("Shape", [v], INT64, (v.rank,))], FLOAT, v.dims,
                  value=value)
    else:
        v = g.pick(lambda v: v.dtype == INT64 and v.rank < 3)
        if v:
            g.add("OneHot", [v, g.const(np.int64(3)), g.const(np.array([0, 1], np.float32))],
                  FLOAT, v.dims + (3,))


def triangle(g):
    v = g.pick(lambda v: v.dtype == FLOAT and v.rank > 1)
    if v and g.opset >= 14:
        g.add("Trilu", [v], FLOAT, v.dims, upper=int(g.chance(0.5)))


# ---- bodies, functions, sequences ------------------------------------------------------

def condition(g):
    if g.chance(0.4):
        return g.const(np.bool_(g.chance(0.5)))
    v = g.pick(lambda v: v.dtype == BOOL and v.rank == 0)
    if v:
        return v.name
    v = g.pick(lambda v: v.dtype == FLOAT and 0 not in v.dims)
    if not v:
        return None
    s = g.add("ReduceMax", [v], FLOAT, (), keepdims=0)
    return g.add("Greater", [s, g.const(np.float32(0.5))], BOOL, ()).name


def ended(g, v):
    """A value of the body's own that has v's type: its last one, or a copy of v."""
    own = {o for n in g.nodes for o in n.output}
    found = [w for w in g.values if w.name in own and w.dtype == v.dtype and w.dims == v.dims]
    return found[-1] if found else g.add("Identity", [v], v.dtype, v.dims)


def if_(g):
    v = g.pick(lambda v: v.dtype in (FLOAT, INT64))
    c = v and g.depth < 2 and condition(g)
    if not c:
        return
    branches = []
    for word in ("then", "else"):
        body = g.body([], int(g.rng.integers(1, 4)), INNER, word)
        branches.append(body.as_graph(g.name(word), [], [ended(body, v)]))
    g.add("If", [c], v.dtype, v.dims, then_branch=branches[0], else_branch=branches[1])


def loop(g):
    v = g.pick(lambda v: v.dtype == FLOAT)
    if not v or g.depth > 1:
        return
    n = g.one_of((0, 1, 1, 2, 3))
    trips = g.const(np.int64(n))
    i, c = Value(g.name("i"), INT64, ()), Value(g.name("k"), BOOL, ())
    s = Value(g.name("s"), v.dtype, v.dims)
    body = g.body([i, c, s], int(g.rng.integers(1, 4)), INNER, "body")
    out = [ended(body, s)]
    collects = g.chance(0.4)
    if collects:
        out.append(body.add("Identity", [out[0]], v.dtype, v.dims))
    go = body.add("Identity", [c], BOOL, ())
    graph = body.as_graph(g.name("loop"), [i, c, s], [go] + out)
    g.several("Loop", [trips, g.const(np.bool_(True)) if g.chance(0.7) else "", v],
              [(v.dtype, v.dims)] + [(v.dtype, (n,) + v.dims)] * collects, body=graph)


def scan(g):
    v = g.pick(lambda v: v.dtype == FLOAT and v.rank > 1 and 0 not in v.dims)
    if not v or g.depth > 1:
        return
    s, x = (Value(g.name("s"), FLOAT, v.dims[1:]) for _ in "sx")
    start = g.pick(lambda w: w.dtype == FLOAT and w.dims == v.dims[1:])
    if not start:
        start = g.add("ReduceMax", [v] + [g.ints(0)] * (g.opset >= 18), FLOAT, v.dims[1:],
                      keepdims=0, axes=None if g.opset >= 18 else [0])
    body = g.body([s, x], int(g.rng.integers(1, 4)), INNER, "body")
    out = body.add("Add", [s, ended(body, x)], FLOAT, s.dims)
    each = body.add("Identity", [out], FLOAT, s.dims)
    g.several("Scan", [start, v], [(FLOAT, s.dims), (FLOAT, v.dims)],
              body=body.as_graph(g.name("scan"), [s, x], [out, each]), num_scan_inputs=1)


def function(g):
    """A call of a function of the model: of one that is there, or of a new one."""
    v = g.pick(lambda v: v.dtype == FLOAT)
    if not v or g.outer:
        return
    if not g.functions or g.chance(0.5):
        ops = [g.one_of(("Relu", "Neg", "Sigmoid", "Identity", "Abs"))
               for _ in range(int(g.rng.integers(1, 4)))]
        names = ["a%d" % k for k in range(len(ops) + 1)]
        nodes = [helper.make_node(op, [names[k]], [names[k + 1]]) for k, op in enumerate(ops)]
        nodes.append(helper.make_node(g.one_of(("Add", "Mul")), [names[-1], names[0]], ["r"]))
        g.functions.append(helper.make_function(
            "local", "F%d" % len(g.functions), ["a0"], ["r"], nodes,
            [helper.make_opsetid("", g.opset)]))
    g.add(g.one_of(g.functions).name, [v], FLOAT, v.dims, domain="local")


def sequence(g):
    v = g.pick(lambda v: v.rank and v.dtype == FLOAT)
    if not v:
        return
    s = g.name("seq")
    k, axis = g.axis(v)
    kind = int(g.rng.integers(3))
    if kind == 2 and isinstance(v.dims[k], int) and v.dims[k] > 0:
        g.nodes.append(helper.make_node("SplitToSequence", [v.name, g.const(np.int64(1))], [s],
                                        axis=k))
        g.add("SequenceAt", [s, g.const(np.int64(g.one_of((0, -1))))], v.dtype,
              v.dims[:k] + (1,) + v.dims[k + 1:])
        return
    w = g.pick(lambda w: w.dtype == v.dtype and w.dims == v.dims)
    g.nodes.append(helper.make_node("SequenceConstruct", [v.name, w.name], [s]))
    if kind == 0:
        g.add("SequenceAt", [s, g.const(np.int64(g.one_of((0, 1, -1))))], v.dtype, v.dims)
    elif isinstance(v.dims[k], int):
        g.add("ConcatFromSequence", [s], v.dtype, v.dims[:k] + (2 * v.dims[k],) + v.dims[k + 1:],
              axis=axis)


def optional(g):
    v = g.pick(lambda v: v.dtype == FLOAT)
    if v and g.opset >= 18:
        o = g.name("opt")
        g.nodes.append(helper.make_node("Optional", [v.name], [o]))
        g.add("OptionalGetElement", [o], v.dtype, v.dims)


INNER = (unary, unary, clip, binary, binary, binary, cast, transpose, reshape, squeeze,
         unsqueeze, slice_, gather, reduce, matmul, softmax, sizes_of, compared, where, expand)
ALL = INNER + (unary, unary_whole, divided, logical, cast, flatten, tile, concat, split, pad,
               argmax, layer_norm, spelled_norm, spelled_act, spelled_act, matmul, gemm, conv,
               conv, conv_transpose, batch_norm, instance_norm, pool, depth, einsum, quantized,
               quantized, dropout, draws, cumsum, topk, made, triangle, if_, loop, scan,
               function, sequence, optional, transpose, reshape, concat, split, sizes_of)
