"""Grows a random small model: nodes one after the other, on values whose types and sizes are known.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOATS = (TensorProto.FLOAT,) * 8 + (TensorProto.FLOAT16, TensorProto.DOUBLE)
INTS = (TensorProto.INT64, TensorProto.INT64, TensorProto.INT32)
OPSETS = (13, 15, 17, 18, 20, 21, 22, 23)
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
INTERESTING = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 6.0, -2.0, 1e-5, 0.044715)


class Value:
    """A tensor: dims are numbers or expressions of the symbols N and M."""

    def __init__(self, name, dtype, dims):
        self.name, self.dtype, self.dims = name, dtype, tuple(dims)

    @property
    def rank(self):
        return len(self.dims)

    def fixed(self):
        return all(isinstance(d, int) for d in self.dims)


def is_float(v):
    return v.dtype in FLOATS


def is_int(v):
    return v.dtype in INTS


def product(dims):
    """The product of sizes, as a number or an expression."""
    number = int(np.prod([d for d in dims if isinstance(d, int)], dtype=np.int64))
    symbols = [d for d in dims if not isinstance(d, int)]
    if not symbols or number == 0:
        return number
    return "*".join(symbols + ([str(number)] if number != 1 else []))


def broadcast(a, b):
    """The sizes of both together; None: they don't fit for certain."""
    n = max(len(a), len(b))
    out = []
    for x, y in zip((1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b):
        if x != y and x != 1 and y != 1:
            return None
        out.append(y if x == 1 else x)
    return tuple(out)


class Grower:
    """A graph in the making; a body sees the values of the graphs around it."""

    def __init__(self, rng, opset, outer=None):
        self.rng, self.opset, self.outer = rng, opset, outer
        self.nodes, self.values, self.constants, self.inputs = [], [], [], []
        self.functions = outer.functions if outer else []
        self.counter = outer.counter if outer else [0]
        self.depth = outer.depth + 1 if outer else 0
        self.loose = []  # values that are no tensors: (name, type)

    # ---- choices

    def chance(self, p):
        return self.rng.random() < p

    def one_of(self, items):
        return items[int(self.rng.integers(len(items)))]

    def name(self, prefix="v"):
        self.counter[0] += 1
        return "%s%d" % (prefix, self.counter[0])

    def visible(self):
        return (self.outer.visible() if self.outer else []) + self.values

    def pick(self, want=lambda v: True):
        """A value, rather one of the last; None where there is none."""
        found = [v for v in self.visible() if want(v)]
        if not found:
            return None
        if self.chance(0.7):
            found = found[-3:]
        return self.one_of(found)

    def axis(self, v):
        k = int(self.rng.integers(v.rank))
        return k, (k - v.rank if self.chance(0.5) else k)

    # ---- parts

    def const(self, array, plain=False):
        """The name of a constant: an initializer, a node, or an input with a default."""
        array = np.asarray(array)
        name = self.name("c")
        t = numpy_helper.from_array(array, name)
        if self.constants and self.chance(0.1):
            for known in self.constants:  # a duplicate by name, where there is one
                if known.raw_data == t.raw_data and known.dims == t.dims and \
                        known.data_type == t.data_type:
                    return known.name
        if not plain and self.chance(0.25):
            self.nodes.append(helper.make_node("Constant", [], [name], value=t))
            return name
        self.constants.append(t)
        if not plain and not self.outer and self.chance(0.06):
            self.inputs.append(helper.make_tensor_value_info(name, t.data_type, t.dims))
        return name

    def numbers(self, dtype, dims):
        """A constant's contents: all one interesting number, or random ones."""
        np_type = helper.tensor_dtype_to_np_dtype(dtype)
        if dtype == BOOL:
            return self.rng.integers(0, 2, dims).astype(bool)
        if np.issubdtype(np_type, np.integer):
            low = self.one_of((-3, 0, 1))
            return self.rng.integers(low, 4, dims).astype(np_type)
        if self.chance(0.6):
            return np.full(dims, self.one_of(INTERESTING), np_type)
        return self.rng.standard_normal(dims).astype(np_type)

    def add(self, op, inputs, dtype, dims, domain="", **attrs):
        """A node with one result."""
        out = Value(self.name(), dtype, dims)
        self.nodes.append(helper.make_node(op, [i.name if isinstance(i, Value) else i
                                                for i in inputs], [out.name], domain=domain,
                                           **{k: a for k, a in attrs.items()
                                              if a is not None}))
        self.values.append(out)
        return out

    def several(self, op, inputs, results, **attrs):
        """A node with several results: (dtype, dims) each, None for one that is left out."""
        while not results[-1]:
            results = results[:-1]
        outs = [Value(self.name(), *r) if r else None for r in results]
        self.nodes.append(helper.make_node(op, [i.name if isinstance(i, Value) else i
                                                for i in inputs],
                                           [o.name if o else "" for o in outs],
                                           **{k: a for k, a in attrs.items()
                                              if a is not None}))
        self.values += [o for o in outs if o]
        return outs

    def ints(self, *numbers):
        return self.const(np.array(numbers, np.int64), plain=self.chance(0.8))

    def operand_for(self, v):
        """What broadcasts with v: another value, or a constant."""
        if self.chance(0.4):
            w = self.pick(lambda w: w.dtype == v.dtype and broadcast(v.dims, w.dims))
            if w:
                return w.name, broadcast(v.dims, w.dims)
        dims = tuple(1 if self.chance(0.4) or not isinstance(d, int) else d for d in v.dims)
        dims = dims[int(self.rng.integers(len(dims) + 1)):]
        if self.chance(0.1):
            dims = (1,) * (v.rank + 1 - len(dims)) + dims
        return self.const(self.numbers(v.dtype, dims)), broadcast(v.dims, dims)

    # ---- the whole

    def grow(self, n, ops):
        tries = 0
        while n > 0 and tries < 400:
            tries += 1
            before = len(self.nodes)
            self.one_of(ops)(self)
            n -= sum(k.op_type != "Constant" for k in self.nodes[before:])

    def body(self, inputs, n, ops, name):
        """Grows a body on these inputs (values of its own)."""
        g = Grower(self.rng, self.opset, self)
        g.values = list(inputs)
        g.grow(n, ops)
        return g

    def as_graph(self, name, inputs, outputs):
        return helper.make_graph(self.nodes, name, [info(v) for v in inputs],
                                 [info(v, declared=False) for v in outputs], self.constants)


def info(v, declared=True):
    """Its declaration; sizes that are expressions stay open."""
    dims = [d if isinstance(d, int) or (declared and d.isidentifier()) else None
            for d in v.dims]
    return helper.make_tensor_value_info(v.name, v.dtype, dims)


def some_inputs(g):
    """The inputs of a model."""
    shapes = (("N", 4), (2, 3, 4), ("N", 3, 4), (1, 4, 6, 6), ("N", 4, 4, 4), (4,), (1, 1, 4),
              ("N", "M"), (), (2, 4, 1), ("N", 1, 8), (0, 4), (3, 3), ("N", 6))
    for k in range(int(g.rng.integers(1, 4))):
        kind = g.rng.random()
        dtype = BOOL if kind > 0.93 else g.one_of(INTS) if kind > 0.8 else g.one_of(FLOATS)
        if k == 0:
            dtype = FLOAT if g.chance(0.85) else g.one_of(FLOATS)
        v = Value(g.name("x"), dtype, g.one_of(shapes))
        g.values.append(v)
        g.inputs.append(info(v))


def some_outputs(g):
    """The last values, and some on the way."""
    made = {o for n in g.nodes for o in n.output}
    inner = [v for v in g.values if v.name in made]
    if not inner:
        return None
    read = {i for n in g.nodes for i in n.input}
    outs = [v for v in inner if v.name not in read and g.chance(0.8)][-3:] or inner[-1:]
    outs += [v for v in inner if v not in outs and g.chance(0.08)]
    if g.chance(0.05):
        outs.append(g.values[0])  # an input
    declared = [info(v) for v in outs]
    if g.constants and g.chance(0.05):
        t = g.constants[-1]
        declared.append(helper.make_tensor_value_info(t.name, t.data_type, t.dims))
    return declared


def model(rng, ops):
    """A model; None: nothing has grown."""
    g = Grower(rng, int(rng.choice(OPSETS)))
    some_inputs(g)
    inputs = len(g.inputs)
    g.grow(int(rng.integers(3, 22)), ops)
    outputs = some_outputs(g)
    if not outputs:
        return None
    graph = helper.make_graph(g.nodes, "g", g.inputs[:inputs] + g.inputs[inputs:], outputs,
                              g.constants)
    imports = [helper.make_opsetid("", g.opset)]
    if g.functions:
        imports.append(helper.make_opsetid("local", 1))
    m = helper.make_model(graph, opset_imports=imports, functions=g.functions)
    m.ir_version = 10 if g.opset > 20 else 9
    return m


def parse(data):
    return onnx.ModelProto.FromString(data)
