"""Small models of the patterns that exporters write, and of the traps that rewriters fell into.

Each module of this package is a family: its CASES are models in ONNX's own textual syntax.
SPDX-License-Identifier: Apache-2.0
"""
import importlib
import pkgutil
import zlib

import numpy as np
import onnx
import onnx.parser

DEFAULT_OPSET = 20
DEFAULT_IR = 9


class Case:
    """A model and what a rewriter must make of it.

    text    "(inputs) => (outputs) <initializers> { nodes }". An initializer that stands there
            without contents gets random ones, or those of `values`.
    most    nodes that may be left, as far as they don't depend on other optimizers; None: no
            more than the best of these leaves
    args    options of `planish optimize`
    feeds   inputs by name; the others are random
    sizes   the sizes that symbols of the inputs get, run after run
    tol     largest difference, as a part of the largest result; 0: bit by bit
    random  draws numbers: only shapes are compared
    functions  text of model-local functions behind the graph
    change  what the text can't say: called with the model, which it changes
    runs    False: no program can run it; only what is written is looked at
    """

    def __init__(self, name, text, most=None, args=(), values=None, feeds=None, sizes=(3, 5),
                 tol=1e-5, random=False, opset=DEFAULT_OPSET, ir=DEFAULT_IR, imports="",
                 functions="", change=None, runs=True):
        self.name, self.text, self.most, self.args = name, text, most, list(args)
        self.values, self.feeds, self.sizes = values or {}, feeds or {}, sizes
        self.tol, self.random, self.opset, self.ir = tol, random, opset, ir
        self.imports, self.functions = imports, functions
        self.change, self.runs = change, runs

    def model(self):
        head = '<ir_version: %d, opset_import: ["" : %d%s]>\ng ' % (
            self.ir, self.opset, self.imports)
        m = onnx.parser.parse_model(head + self.text + "\n" + self.functions)
        fill(m.graph, self.values, seed(self.name))
        if self.change:
            self.change(m)
        return m

    def inputs(self, m, run):
        """The inputs of run number `run`: the feeds, and random numbers."""
        rng = np.random.default_rng(seed(self.name) + run)
        have = {t.name for t in m.graph.initializer}
        given = {}
        for v in m.graph.input:
            if v.name in self.feeds:
                f = self.feeds[v.name]
                given[v.name] = f(run) if callable(f) else f
            elif v.name not in have:
                given[v.name] = draw(rng, v.type.tensor_type, self.sizes[run])
        return given


def seed(name):
    return zlib.crc32(name.encode())


def draw(rng, t, size):
    dims = [d.dim_value if d.HasField("dim_value") else
            (size[d.dim_param] if isinstance(size, dict) else size) for d in t.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(t.elem_type)
    if dtype == np.bool_:
        return rng.integers(0, 2, dims).astype(bool)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, 5, dims).astype(dtype)
    return rng.standard_normal(dims).astype(dtype)


def fill(g, values, s):
    """Declared values that nothing computes become initializers."""
    rng = np.random.default_rng(s)
    made = {o for n in g.node for o in n.output} | {i.name for i in g.input}
    made |= {t.name for t in g.initializer}
    for v in list(g.value_info):
        if v.name in made:
            continue
        t = v.type.tensor_type
        a = values.get(v.name)
        if a is None:
            dims = [d.dim_value for d in t.shape.dim]
            a = draw(rng, t, 0)
            if np.issubdtype(a.dtype, np.floating):
                a = (np.abs(a) + 0.5) if v.name.startswith("pos") else a
                a = a / np.sqrt(np.prod(dims[1:]) if len(dims) > 1 else 1)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(t.elem_type)
        g.initializer.append(onnx.numpy_helper.from_array(np.asarray(a, dtype), v.name))
        g.value_info.remove(v)


def families():
    """(name, cases) of every module, in the order of names."""
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda i: i.name):
        yield info.name, importlib.import_module(__name__ + "." + info.name).CASES
