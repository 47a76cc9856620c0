"""A small train step, built by hand, for the tests of `draw_graph`."""

from types import SimpleNamespace

import numpy as np

from graphkeras.ir.dims import symbol
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Attrs, ConstantArray, Node, Value, VariableRef
from graphkeras.ir.origin import Origin
from graphkeras.ir.spec import TensorSpec

KINDS = {
    "input": "source",
    "constant": "source",
    "matmul": "contraction",
    "add": "elementwise",
    "cast": "elementwise",
    "greater": "elementwise",
    "maximum": "elementwise",
    "multiply": "elementwise",
    "subtract": "elementwise",
    "sum": "reduction",
    "reshape": "view",
    "read_variable": "state",
    "assign_variable": "state",
    "crossentropy": "composite",
    "while_loop": "control",
}
REGISTRY = {op: SimpleNamespace(kind=kind) for op, kind in KINDS.items()}
BATCH = symbol("batch")


def spec(*shape, dtype="float32"):
    return TensorSpec(shape, dtype)


def value(op, *inputs, spec, layer="", effects=(), subgraphs=(), **attrs):
    node = Node(op, inputs, Attrs(attrs), (spec,), Origin(layer), frozenset(effects), tuple(subgraphs))
    return Value(node)


def argument(name, spec):
    return value("input", spec=spec, name=name, shape=spec.shape, dtype=spec.dtype)


def scalar(number):
    return value("constant", spec=spec(), value=ConstantArray(np.float32(number)))


def variable(name, *shape):
    return value("read_variable", spec=spec(*shape), variable=VariableRef(name, spec(*shape)), effects=["read"])


def assign(name, new):
    return value("assign_variable", new, spec=new.spec, variable=VariableRef(name, new.spec), effects=["write"])


def train_step():
    """A graph with a node of most kinds, and its fusion groups."""
    images = argument("images", spec(BATCH, 28, 28, dtype="uint8"))
    labels = argument("labels", spec(BATCH, dtype="int64"))
    pixels = value("cast", images, spec=spec(BATCH, 28, 28), layer="rescaling", dtype="float32")
    scaled = value("multiply", pixels, scalar(1 / 255), spec=spec(BATCH, 28, 28), layer="rescaling")
    flat = value("reshape", scaled, spec=spec(BATCH, 784), layer="flatten", shape=(BATCH, 784))
    product = value("matmul", flat, variable("dense/kernel", 784, 512), spec=spec(BATCH, 512), layer="dense")
    hidden = value("add", product, variable("dense/bias", 512), spec=spec(BATCH, 512), layer="dense")
    zero = scalar(0.0)
    active = value("maximum", hidden, zero, spec=spec(BATCH, 512), layer="dense")
    head = value("matmul", active, variable("head/kernel", 512, 10), spec=spec(BATCH, 10), layer="head")
    bias = variable("head/bias", 10)
    logits = value("add", head, bias, spec=spec(BATCH, 10), layer="head")
    losses = value("crossentropy", labels, logits, spec=spec(BATCH), from_logits=True, axis=-1)
    loss = value("sum", losses, spec=spec(), axes=(0,), keepdims=False)
    step = value("multiply", logits, scalar(0.001), spec=spec(BATCH, 10))
    total = value("sum", step, spec=spec(10), axes=(0,), keepdims=False)
    moved = assign("head/bias", value("subtract", bias, total, spec=spec(10)))
    mask = value("greater", hidden, zero, spec=spec(BATCH, 512, dtype="bool"))
    groups = [
        SimpleNamespace(name="rescale and flatten", nodes=[v.node for v in (pixels, scaled, flat)]),
        SimpleNamespace(name="matmul + bias + relu", nodes=[v.node for v in (product, hidden, active, mask)]),
        SimpleNamespace(name="matmul + bias", nodes=[v.node for v in (head, logits)]),
    ]
    return Graph("train_step", [images, labels], [loss, mask], [moved.node]), groups


def loop():
    """A graph with a control-flow node and the graph of its body."""
    x = argument("x", spec(3))
    inner = argument("carry", spec(3))
    body = Graph("body", [inner], [value("add", inner, scalar(1.0), spec=spec(3))])
    return Graph("loop", [x], [value("while_loop", x, spec=spec(3), subgraphs=[body])])
