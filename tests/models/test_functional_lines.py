"""Nodes of a functional model know the line where the layer was called, and variables in raw ops stay variables."""

import inspect

import numpy as np

import graphkeras as keras
from graphkeras import layers
from graphkeras.ir import TensorSpec
from graphkeras.trace import BATCH, Variable, trace


def test_nodes_carry_the_line_of_the_layers_call():
    inputs = keras.Input((3,))
    hidden = layers.Dense(4, name="first")(inputs); line = inspect.currentframe().f_lineno  # fmt: skip # noqa: E702
    model = keras.Model(inputs, layers.Dense(2, name="second")(hidden))
    graph = trace(lambda x: model(x), [TensorSpec((BATCH, 3))])
    lines = {node.origin.line for node in graph.nodes if node.op == "matmul" and "first" in node.origin.layer}
    assert lines == {line}


class Doubling(layers.Layer):
    def call(self, x):
        return x * 2


def test_code_of_the_users_own_layers_comes_first():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Doubling()(inputs))
    graph = trace(lambda x: model(x), [TensorSpec((BATCH, 3))])
    (node,) = [n for n in graph.nodes if n.op == "multiply"]
    source, start = inspect.getsourcelines(Doubling.call)
    assert node.origin.line == start + 1


def test_a_variable_in_a_raw_op_is_read_when_the_model_runs():
    scale = Variable(2.0, name="scale")
    inputs = keras.Input((2,))
    model = keras.Model(inputs, inputs * scale)
    x = np.ones((1, 2), "float32")
    assert model(x).tolist() == [[2.0, 2.0]] and model.predict(x, verbose=0).tolist() == [[2.0, 2.0]]
    scale.assign(5.0)
    assert model(x).tolist() == [[5.0, 5.0]] and model.predict(x, verbose=0).tolist() == [[5.0, 5.0]]
