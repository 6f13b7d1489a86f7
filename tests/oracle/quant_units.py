"""The quantized units of a QDQ model, each cut out to be run by itself.
SPDX-License-Identifier: Apache-2.0

A unit is a MatMul, Gemm or Conv whose data inputs come out of DequantizeLinear, from the float
values that are quantized before it to the float value after it: behind the last
QuantizeLinear/DequantizeLinear pair that follows (through Relu, Clip or the addition of a
constant), or the operator's own output where none does.
"""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPERATORS = ("MatMul", "Gemm", "Conv")
FOLLOWERS = ("Relu", "Clip", "Add")
INT8 = (TensorProto.INT8, TensorProto.UINT8)


class Graph:
    """Look-ups in a model's main graph."""

    def __init__(self, model):
        self.model = model
        self.constants = {t.name: t for t in model.graph.initializer}
        self.producer, self.users = {}, {}
        for node in model.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
            for name in node.output:
                self.producer[name] = node
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        self.outputs = {o.name for o in model.graph.output}

    def made_by(self, name, op_type):
        node = self.producer.get(name)
        return node if node is not None and node.op_type == op_type else None

    def only_user(self, name):
        users = self.users.get(name, [])
        return users[0] if len(users) == 1 and name not in self.outputs else None

    def is_constant(self, name):
        return name in self.constants


def constant_weight(graph, node):
    """(float bytes, is it stored in 8 bits) of a constant second input, or None."""
    name = node.input[1]
    dequantize = graph.made_by(name, "DequantizeLinear")
    stored = graph.constants.get(dequantize.input[0] if dequantize else name)
    if stored is None:
        return None
    count = int(np.prod(stored.dims)) if stored.dims else 1
    return 4 * count, dequantize is not None and stored.data_type in INT8


class Unit:
    def __init__(self, graph, node):
        self.node = node
        self.nodes = [node]
        self.sources = []  # float values that the unit quantizes
        self.whole = True
        for i, name in enumerate(node.input):
            self._take_input(graph, i, name)
        self.output = node.output[0]
        self._take_followers(graph)

    def _take_input(self, graph, i, name):
        if not name or graph.is_constant(name):
            self.whole = self.whole and (not name or i == 2)  # a float bias is all right
            return
        dequantize = graph.made_by(name, "DequantizeLinear")
        if dequantize is None:
            self.whole = False
            return
        self.nodes.insert(0, dequantize)
        if graph.is_constant(dequantize.input[0]):
            return
        quantize = graph.made_by(dequantize.input[0], "QuantizeLinear")
        if quantize is None:
            self.whole = False
            return
        self.nodes.insert(0, quantize)
        if graph.is_constant(quantize.input[0]):
            return  # a constant that is quantized when the model runs
        self.sources.append(quantize.input[0])

    def _take_followers(self, graph):
        taken, name = [], self.output
        while True:
            node = graph.only_user(name)
            if node is None:
                return
            if node.op_type == "QuantizeLinear":
                users = graph.users.get(node.output[0], [])
                after = [u for u in users if u.op_type == "DequantizeLinear"]
                if not after:
                    return
                self.nodes += taken + [node, after[0]]
                self.output = after[0].output[0]
                return
            others = [x for x in node.input if x and x != name]
            if node.op_type not in FOLLOWERS or not all(map(graph.is_constant, others)):
                return
            taken.append(node)
            name = node.output[0]


def find(model):
    """All units, and the list of (node, float weight bytes, stored in 8 bits) of every
    operator with constant weights."""
    graph = Graph(model)
    units, weights = [], []
    for node in model.graph.node:
        if node.op_type not in OPERATORS:
            continue
        weight = constant_weight(graph, node)
        if weight:
            weights.append((node,) + weight)
        unit = Unit(graph, node)
        if unit.whole and unit.sources:
            units.append(unit)
    return units, weights


def side_by_side(model, units, values):
    """One model with every unit by itself, fed by inputs of its own. `values` holds the float
    values that the units quantize. Returns model and inputs."""
    graph = Graph(model)
    nodes, infos, outputs, tensors, feed = [], [], [], {}, {}
    for k, unit in enumerate(units):
        def rename(name):
            if name in unit.sources:
                return "u%d_x%d" % (k, unit.sources.index(name))
            if not name or graph.is_constant(name):
                return name
            return "u%d_%s" % (k, name)

        for name in dict.fromkeys(unit.sources):
            feed[rename(name)] = values[name]
            infos.append(helper.make_tensor_value_info(rename(name), TensorProto.FLOAT,
                                                       values[name].shape))
        made = set()
        for node in unit.nodes:
            if node.output[0] in made:  # x by x: one pair serves both inputs
                continue
            made.add(node.output[0])
            twin = helper.make_node(node.op_type, [rename(n) for n in node.input],
                                    [rename(n) for n in node.output], domain=node.domain,
                                    name="u%d_%s" % (k, node.name or node.op_type))
            twin.attribute.extend(node.attribute)
            nodes.append(twin)
            for name in node.input:
                if graph.is_constant(name):
                    tensors[name] = graph.constants[name]
        outputs.append(helper.make_tensor_value_info(rename(unit.output), TensorProto.FLOAT,
                                                     None))
    initializers = [numpy_helper.from_array(numpy_helper.to_array(t), name)
                    for name, t in tensors.items()]
    made = helper.make_graph(nodes, "quantized_units", infos, outputs, initializers)
    return (helper.make_model(made, opset_imports=model.opset_import,
                              ir_version=model.ir_version), feed)
