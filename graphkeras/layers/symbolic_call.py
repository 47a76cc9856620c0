"""Layers called on symbolic tensors outside a trace: each call becomes one node, which models run again later."""

import weakref
from collections import namedtuple

from graphkeras.ir.node import Value
from graphkeras.ir.registry import make_node, register_op
from graphkeras.layers.masks import get_mask, set_mask
from graphkeras.trace import SymbolicTensor, TraceScope, as_tensor, tracing, tree

register_op("layer_call", kind="host", infer=lambda *specs, call: call.output_specs)

KerasHistory = namedtuple("KerasHistory", ["operation", "node_index", "tensor_index"])


class CallNode:
    """One call of a layer on symbolic tensors.

    Args:
        operation: the layer.
        args, kwargs: arguments as they were given, with symbolic tensors inside.
        output_specs: `TensorSpec` of each output tensor.

    Attributes:
        input_tensors: the symbolic tensors among the arguments, in order.
        outputs: what the call returned.
        output_tensors: the symbolic tensors among the outputs, in order.
        index: position in `operation._inbound_nodes`.
    """

    def __init__(self, operation, args, kwargs, output_specs):
        self.operation = operation
        self.args = args
        self.kwargs = kwargs
        self.output_specs = tuple(output_specs)
        self.input_tensors = [x for x in tree.flatten((args, kwargs)) if isinstance(x, SymbolicTensor)]
        self.outputs = None
        self.output_tensors = []
        self.index = len(operation._inbound_nodes)

    def arguments(self, replace):
        """Args and kwargs with `replace(tensor)` in place of each symbolic tensor."""

        def swap(x):
            return replace(x) if isinstance(x, SymbolicTensor) else x

        if len(self.args) == 1 and isinstance(self.args[0], SymbolicTensor) and not self.kwargs:
            return (replace(self.args[0]),), {}
        return tree.map_structure(swap, self.args), tree.map_structure(swap, self.kwargs)

    def __repr__(self):
        return f"<CallNode {self.operation.name}[{self.index}]>"


def is_symbolic_call(args, kwargs) -> bool:
    """True where a symbolic tensor is among the arguments."""
    if not kwargs and len(args) == 1 and not isinstance(args[0], (list, tuple, dict)):
        return isinstance(args[0], SymbolicTensor)
    return any(isinstance(x, SymbolicTensor) for x in tree.flatten((args, kwargs)))


def in_throw_away_trace(function):
    """What `function()` returns when it runs in a trace that is thrown away: variables stay as they are."""
    with tracing(TraceScope()):
        return function()


def record_call(layer, args, kwargs, traced_outputs):
    """Makes the node of a call and returns its outputs.

    Args:
        layer: the layer that was called.
        args, kwargs: the arguments as the caller gave them.
        traced_outputs: what the call returned in a trace that is thrown away; only specs and masks are taken from it.
    """
    leaves = [leaf for leaf in tree.flatten(traced_outputs) if leaf is not None]
    tensors = [as_tensor(leaf) for leaf in leaves]
    call = CallNode(layer, args, kwargs, [t.spec for t in tensors])
    node = make_node("layer_call", [t.value for t in call.input_tensors], {"call": call})
    made = []
    for index, traced in enumerate(tensors):
        output = SymbolicTensor.wrap(Value(node, index), f"{layer.name}_output" if not index else f"{layer.name}_output_{index}")
        output._keras_history = KerasHistory(layer, call.index, index)
        set_mask(output, get_mask(traced))
        made.append(output)
    fresh = iter(made)
    call.outputs = tree.map_structure(lambda leaf: None if leaf is None else next(fresh), traced_outputs)
    call.output_tensors = made
    layer._inbound_nodes.append(call)
    for tensor in call.input_tensors:
        if tensor._keras_history is not None:
            tensor._keras_history.operation._outbound_nodes.append(weakref.ref(call))
    return call.outputs
