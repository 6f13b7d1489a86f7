"""Changes models a little: constants, attributes, sizes, edges, uses, operator sets.
SPDX-License-Identifier: Apache-2.0
"""
import glob
import os

import numpy as np
import onnx
from onnx import AttributeProto, helper, numpy_helper

import planish

SWAPPED = {"Add": "Mul", "Mul": "Add", "Sub": "Add", "Div": "Mul", "Relu": "Neg", "Max": "Min",
           "Min": "Max", "Sigmoid": "Tanh", "Tanh": "Sigmoid", "And": "Or", "Less": "Greater",
           "ReduceMean": "ReduceSum", "ReduceSum": "ReduceMean", "MaxPool": "AveragePool",
           "ReduceMax": "ReduceMin", "Neg": "Abs", "Exp": "Relu", "Squeeze": "Identity"}
BETWEEN = ("Identity", "Relu", "Neg", "Abs", "Sigmoid")


def goldens(root):
    """(name, text) of the graphs that the golden tests rewrite."""
    for path in sorted(glob.glob(os.path.join(root, "tests", "golden", "*", "*.txt"))):
        with open(path, encoding="utf-8") as f:
            text = f.read().split("\n---")[0]
        yield "/".join(path.split(os.sep)[-2:]), text.split("\n", 1)[1]


def load(text):
    """The model of a golden text; None: its text needs files beside it."""
    try:
        return planish.Model.parse(text).to_proto()
    except planish.PlanishError:
        return None


def bodies(node):
    for a in node.attribute:
        if a.type == AttributeProto.GRAPH:
            yield a.g
        yield from a.graphs


def graphs(g):
    yield g
    for n in g.node:
        for b in bodies(n):
            yield from graphs(b)


class Mutator:
    def __init__(self, rng, model):
        self.rng, self.model = rng, model
        self.count = 0

    def one_of(self, items):
        return items[int(self.rng.integers(len(items)))]

    def graph(self):
        found = list(graphs(self.model.graph))
        return found[0] if self.rng.random() < 0.7 else self.one_of(found)

    def node(self, g):
        return self.one_of(g.node) if g.node else None

    def name(self):
        self.count += 1
        return "m_%d" % self.count

    def open_outputs(self):
        """Sizes of outputs are whatever comes of it, and those in bodies."""
        for k, g in enumerate(graphs(self.model.graph)):
            inner = list(g.input) if k else []
            for v in inner + list(g.output):
                for d in v.type.tensor_type.shape.dim:
                    d.Clear()

    # ---- what may be changed: False where there is nothing of the kind

    def constant(self):
        g = self.graph()
        tensors = list(g.initializer) + [a.t for n in g.node if n.op_type == "Constant"
                                         for a in n.attribute if a.name == "value"]
        if not tensors:
            return False
        t = self.one_of(tensors)
        if t.data_type == onnx.TensorProto.STRING or t.external_data:
            return False
        a = np.array(numpy_helper.to_array(t))
        if not a.size:
            return False
        flat = a.reshape(-1)
        at = int(self.rng.integers(flat.size))
        if self.rng.random() < 0.3:
            at = slice(None)
        if a.dtype == np.bool_:
            flat[at] = ~flat[at]
        elif np.issubdtype(a.dtype, np.integer):
            with np.errstate(over="ignore"):
                flat[at] = flat[at] + np.array(self.one_of((-1, 1, 2))).astype(a.dtype) \
                    if self.rng.random() < 0.6 else self.one_of((0, 1))
        else:
            flat[at] = self.one_of((0.0, -0.0, 1.0, -1.0, 0.5, 2.0)) \
                if self.rng.random() < 0.6 else flat[at] * a.dtype.type(1.5)
        t.CopyFrom(numpy_helper.from_array(a, t.name))
        return True

    def attribute(self):
        n = self.node(self.graph())
        if not n or not n.attribute:
            return False
        a = self.one_of(n.attribute)
        if a.type == AttributeProto.INT:
            a.i = self.one_of((a.i + 1, a.i - 1, -a.i, 0, 1)) if a.name != "keepdims" else 1 - a.i
        elif a.type == AttributeProto.INTS and a.ints:
            k, j = (int(self.rng.integers(len(a.ints))) for _ in "kj")
            if a.name == "perm":
                a.ints[k], a.ints[j] = a.ints[j], a.ints[k]
            else:
                a.ints[k] += self.one_of((-1, 1))
        elif a.type == AttributeProto.FLOAT:
            a.f = self.one_of((0.0, 1.0, a.f * 2, -a.f))
        else:
            return False
        return True

    def no_attribute(self):
        n = self.node(self.graph())
        if not n or not n.attribute or n.op_type in ("Constant", "Cast", "If", "Loop", "Scan"):
            return False
        del n.attribute[int(self.rng.integers(len(n.attribute)))]
        return True

    def order(self):
        n = self.node(self.graph())
        if not n or len(n.input) < 2:
            return False
        n.input[0], n.input[1] = n.input[1], n.input[0]
        return True

    def edge(self):
        """Another value in the place of an input."""
        g = self.graph()
        k = int(self.rng.integers(len(g.node))) if g.node else 0
        known = [i.name for i in g.input] + [o for n in g.node[:k] for o in n.output if o]
        if not known or not g.node[k].input:
            return False
        g.node[k].input[int(self.rng.integers(len(g.node[k].input)))] = self.one_of(known)
        return True

    def operator(self):
        g = self.graph()
        found = [n for n in g.node if n.op_type in SWAPPED and not n.domain]
        if not found:
            return False
        n = self.one_of(found)
        n.op_type = SWAPPED[n.op_type]
        return True

    def between(self):
        """One more operator on an edge."""
        g = self.graph()
        k = int(self.rng.integers(len(g.node))) if g.node else 0
        if not g.node or not g.node[k].input:
            return False
        at = int(self.rng.integers(len(g.node[k].input)))
        if not g.node[k].input[at]:
            return False
        n = helper.make_node(self.one_of(BETWEEN), [g.node[k].input[at]], [self.name()])
        if self.rng.random() < 0.5:  # both have it from now on, as two nodes
            g.node.insert(k, helper.make_node(n.op_type, n.input, [self.name()]))
        g.node[k + (g.node[k].output[0].startswith("m_") and g.node[k].op_type == n.op_type)
               ].input[at] = n.output[0]
        g.node.insert(k, n)
        return True

    def bypass(self):
        """A node goes, and its input stands for its result."""
        g = self.graph()
        found = [n for n in g.node if len(n.output) == 1 and n.input and n.input[0]]
        if not found:
            return False
        gone = self.one_of(found)
        outputs = {o.name for o in g.output}
        if gone.output[0] in outputs:
            return False
        for h in graphs(g):
            for n in h.node:
                for i, name in enumerate(n.input):
                    if name == gone.output[0]:
                        n.input[i] = gone.input[0]
        g.node.remove(gone)
        return True

    def use(self):
        """A value on the way is an output, too."""
        g = self.model.graph
        try:
            known = onnx.shape_inference.infer_shapes(self.model).graph.value_info
        except Exception:  # inference of what is no model any more
            return False
        have = {o.name for o in g.output}
        found = [v for v in known if v.name not in have and
                 v.type.tensor_type.HasField("shape")]
        if not found:
            return False
        g.output.append(self.one_of(found))
        return True

    def size(self):
        """A size of an input is another one, or not known."""
        g = self.model.graph
        found = [d for i in g.input for d in i.type.tensor_type.shape.dim]
        if not found:
            return False
        d = self.one_of(found)
        old = d.dim_value
        if d.HasField("dim_value") and self.rng.random() < 0.5:
            others = [e for e in found if e.HasField("dim_value") and e.dim_value == old]
            for e in others if self.rng.random() < 0.5 else [d]:
                e.dim_param = "K%d" % old
        else:
            d.dim_value = self.one_of((1, 2, 3, 0, old * 2))
        self.open_outputs()
        return True

    def input_of_initializer(self):
        g = self.model.graph
        if not g.initializer:
            return False
        t = self.one_of(g.initializer)
        if t.name in {i.name for i in g.input}:
            return False
        g.input.append(helper.make_tensor_value_info(t.name, t.data_type, t.dims))
        return True

    def initializer_to_input(self):
        """A constant becomes an input that must be given."""
        if not self.input_of_initializer():
            return False
        g = self.model.graph
        last = g.input[-1].name
        for t in list(g.initializer):
            if t.name == last:
                g.initializer.remove(t)
        return True

    def opset(self):
        try:
            m = planish.Model(self.model)
            m.convert_opset(int(self.one_of((9, 11, 12, 13, 15, 17, 18, 20, 21, 23))))
            self.model = m.to_proto()
        except planish.PlanishError:
            return False
        return True


CHANGES = ("constant", "constant", "constant", "attribute", "attribute", "no_attribute", "order",
           "order", "edge", "operator", "operator", "between", "bypass", "use", "use", "size",
           "size", "input_of_initializer", "initializer_to_input", "opset")


def mutate(rng, model):
    """A changed copy; nothing says that it is still a model."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    m = Mutator(rng, copy)
    left = 1 + int(rng.integers(3))
    for _ in range(20):
        left -= getattr(m, m.one_of(CHANGES))()
        if left == 0:
            break
    if rng.random() < 0.7:
        m.open_outputs()
    return m.model
