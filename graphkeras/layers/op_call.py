"""Ops called on symbolic tensors while a model is being built: each call is an operation of the model."""

import inspect
from functools import cache

import numpy as np

from graphkeras.layers.symbolic_call import in_throw_away_trace, is_symbolic_call, record_call
from graphkeras.ops.calls import set_recorder
from graphkeras.trace import current_scope, tree
from graphkeras.trace.base import TensorBase
from graphkeras.trace.naming import auto_name

# Names of arguments that are operands although they may hold numbers.
_OPERANDS = ("x1", "x2", "indices", "key", "y")


class OpCall:
    """One call of a public op in a functional model; its class is named as Keras names it (`Add`, `GetItem` ...).

    Args:
        function: the op.
        name: name in the model.
    """

    built = True

    def __init__(self, function, name):
        self.function = function
        self.name = name
        self._inbound_nodes, self._outbound_nodes = [], []

    def __call__(self, *args, **kwargs):
        if current_scope() is None and is_symbolic_call(args, kwargs):
            return op_call(self.function, type(self).__name__, args, kwargs, self.name)
        return self.function(*args, **kwargs)

    @property
    def input(self):
        """The tensor it reads, or a list of them."""
        tensors = self._inbound_nodes[0].input_tensors
        return tensors[0] if len(tensors) == 1 else list(tensors)

    @property
    def output(self):
        """The tensor it makes, or what it returns of several."""
        return self._inbound_nodes[0].outputs

    def get_config(self):
        return {"name": self.name}

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


@cache
def class_of(class_name: str) -> type:
    """The class of the calls of one op."""
    return type(class_name, (OpCall,), {"__module__": __name__})


def op_call(function, class_name, args, kwargs, name=None):
    """Makes one operation of a call and returns its outputs; results that are no new tensors are returned as they are."""
    outputs = in_throw_away_trace(lambda: function(*args, **kwargs))
    leaves = [leaf for leaf in tree.flatten(outputs) if leaf is not None]
    given = {id(x) for x in tree.flatten((args, kwargs))}
    if not leaves or any(not isinstance(leaf, TensorBase) or id(leaf) in given for leaf in leaves):
        return outputs
    return record_call(class_of(class_name)(function, name or auto_name(class_name)), args, kwargs, outputs)


def _many(signature) -> str:
    """The name of the parameter that takes any number of operands, if there is one."""
    return next((p.name for p in signature.parameters.values() if p.kind is p.VAR_POSITIONAL), "")


def with_options(function, args, kwargs, options) -> tuple[tuple, dict]:
    """Arguments of a function, from what `call_config` made of them."""
    signature = inspect.signature(function)
    if _many(signature):  # names before the operands, as the subscripts of einsum
        leading = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD and p.name in options]
        rest = {k: v for k, v in options.items() if k not in leading}
        return (*(options[name] for name in leading), *args), {**rest, **kwargs}
    return args, {**options, **kwargs}


def call_config(function, args, kwargs) -> tuple[tuple, dict, dict]:
    """A call as Keras writes it down: what the operation is called with, and the options that it is made with."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    many = _many(bound.signature)
    if many:
        options = {k: v for k, v in bound.arguments.items() if k != many}
        return bound.arguments.get(many, ()), {}, options
    given, options = {}, {}
    for number, (name, value) in enumerate(bound.arguments.items()):
        if number == 0 or name in _OPERANDS or any(isinstance(x, (TensorBase, np.ndarray)) for x in tree.flatten(value)):
            given[name] = value
        else:
            options[name] = value
    names = list(given)
    leading = next((i for i, name in enumerate(bound.signature.parameters) if name not in given), len(given))
    return tuple(given[n] for n in names[:leading]), {n: given[n] for n in names[leading:]}, options


set_recorder(op_call)
