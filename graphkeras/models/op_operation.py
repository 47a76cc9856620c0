"""Ops called directly on symbolic tensors, as the operations of a model."""

from functools import cache

from graphkeras.autodiff import checkpoint
from graphkeras.ir import dims
from graphkeras.ir.dims import Dim
from graphkeras.ir.node import ConstantArray, Node, Value
from graphkeras.ir.origin import Origin, current_origin, origin_scope
from graphkeras.ops.core_control import run_again
from graphkeras.trace import SymbolicTensor, Tensor, apply


class OpOperation:
    """One node of an op in a functional model; its class is named after the op (`Add`, `ReduceSum` ...).

    Args:
        node: the IR node.
        name: name in the model.
    """

    built = True

    def __init__(self, node: Node, name: str):
        self.node = node
        self.name = name
        self._outputs = [SymbolicTensor.wrap(value, name) for value in node.outputs]

    @property
    def input_tensors(self):
        """The symbolic tensors it reads, constants left out."""
        return [SymbolicTensor.wrap(v) for v in self.node.inputs if v.node.op != "constant"]

    @property
    def input(self):
        """The tensor it reads, or a list of them."""
        tensors = self.input_tensors
        return tensors[0] if len(tensors) == 1 else tensors

    @property
    def output(self):
        """The tensor it makes, or a list of them."""
        return self._outputs[0] if len(self._outputs) == 1 else list(self._outputs)

    def get_config(self):
        return {"name": self.name, "op": self.node.op, "attrs": {k: _attr_config(v) for k, v in self.node.attrs.items()}}

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}, op={self.node.op}>"


@cache
def _class_of(op: str):
    return type("".join(part.capitalize() for part in op.split("_")), (OpOperation,), {"__module__": __name__})


def op_operation(node: Node, name: str) -> OpOperation:
    """The operation of a node."""
    return _class_of(node.op)(node, name)


def bind_sizes(sizes: dict, recorded: tuple, actual: tuple) -> None:
    """Learns from a recorded shape and the actual one what its symbols stand for."""
    for old, new in zip(recorded, actual):
        if isinstance(old, Dim):
            names = old.symbols()
            if len(names) == 1:
                (name,) = names
                if name not in sizes and old == dims.symbol(name):
                    sizes[name] = new


def run_node(node: Node, inputs: list, sizes: dict) -> tuple:
    """Calls the op of a node on tensors; sizes of its attributes are replaced by actual ones."""
    attrs = node.attrs
    if any(dims.dim_symbols(v) for v in attrs.values()):
        attrs = {k: dims.substitute(v, sizes) for k, v in attrs.items()}
    here = current_origin()
    with origin_scope(Origin(here.layer, node.origin.file, node.origin.line) if node.origin.file else here):
        if node.op == "read_variable":
            outputs = node.attrs["variable"].variable.value
        elif node.subgraphs:
            again = lambda *tensors: run_again(node, tensors, attrs, lambda inner, found: run_node(inner, found, sizes))
            outputs = (checkpoint(again) if node.op == "checkpoint" else again)(*inputs)
        else:
            outputs = apply(node.op, *inputs, **attrs)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _attr_config(value):
    if isinstance(value, Dim):
        return {"dim": repr(value)}
    if isinstance(value, tuple):
        return [_attr_config(v) for v in value]
    if isinstance(value, ConstantArray):
        return {"array": value.array.tolist(), "dtype": value.spec.dtype}
    return value


def attr_from_config(value, sizes: dict):
    """The attribute of a config, with `sizes` for its symbols."""
    if isinstance(value, dict) and set(value) == {"dim"}:
        dim = dims.parse_dim(value["dim"])
        return dim.substitute(sizes) if isinstance(dim, Dim) else dim
    if isinstance(value, dict) and set(value) == {"array", "dtype"}:
        return ConstantArray(Tensor(value["array"], value["dtype"]).array)
    if isinstance(value, (list, tuple)):
        return tuple(attr_from_config(v, sizes) for v in value)
    return value


def shape_config(value: Value) -> list:
    """The shape of a value with its symbols, as a config."""
    return [_attr_config(d) for d in value.spec.shape]


__all__ = ["OpOperation", "attr_from_config", "bind_sizes", "op_operation", "run_node", "shape_config"]
