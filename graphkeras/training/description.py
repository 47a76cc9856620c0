"""Models as text: everything of a model, its losses, metrics and optimizer that decides what a trace of its steps gives.

An object of this package is its class and its attributes, all of them but those named in `_LEFT_OUT`; so a new hyper-parameter is in
the text without anybody thinking of it. Whatever is not of this package (a subclass, a function, a Lambda) has no text.
"""

import hashlib
import sys
from types import FunctionType

import numpy as np

from graphkeras.initializers.initializer import Initializer
from graphkeras.ir.dims import Dim
from graphkeras.ir.node import ConstantArray
from graphkeras.ir.spec import TensorSpec
from graphkeras.layers.layer import Layer
from graphkeras.layers.op_call import OpCall
from graphkeras.layers.tracking import TrackedDict, TrackedList, TrackedOrderedDict, TrackedSet
from graphkeras.losses.loss import Loss
from graphkeras.metrics.metric import Metric
from graphkeras.models.function_graph import FunctionGraph
from graphkeras.optimizers.optimizer import Optimizer
from graphkeras.random.seed import SeedGenerator
from graphkeras.runtime.program_cache import NoKey
from graphkeras.trace import SymbolicTensor, Tensor, Variable
from graphkeras.training.trainer import Trainer

_PACKAGE = "graphkeras."
# Class -> attributes that no trace looks at: records for people and configs, what is found from other attributes, and numbers that
# differ from process to process.
_LEFT_OUT = (
    (Layer, {"_auto_config", "_build_shapes", "_building", "_inbound_nodes", "_losses", "_outbound_nodes", "_tracker"}),
    (
        Trainer,
        {
            "_compile_arguments", "_steps", "history", "jit_compile", "loss", "steps_per_execution", "stop_evaluating", "stop_predicting",
            "stop_training",
        },
    ),
    (Loss, {"_user_loss", "_user_loss_weights"}),  # what `compile` was given; its losses are what came of it
    (Metric, {"_given"}),
    (Optimizer, {"_indices"}),
    (SeedGenerator, {"_initial_seed"}),
)  # fmt: skip


_COMPILED = {"_compile_loss", "_compile_metrics", "_loss_tracker", "compiled", "optimizer"}
_NOT_IN = {"train": set(), "test": {"optimizer"}, "predict": _COMPILED}  # attributes of a model that a step does not look at


def described(model, mode, settings, variables) -> str:
    """The text of a model as one of its steps sees it.

    Args:
        model: the model.
        mode: "train", "test" or "predict".
        settings: plain values that belong to the text.
        variables: all variables that may occur; the text names them by their places.

    Raises:
        NoKey: something decides about the trace that is not of this package.
    """
    writer = _Writer(variables, {id(model): _NOT_IN[mode]})
    for thing in (mode, settings, model):
        writer.add(thing)
    return " ".join(writer.words)


class _Writer:
    def __init__(self, variables, unseen):
        self.unseen = unseen
        self.words: list[str] = []
        self.places = {id(v): place for place, v in enumerate(variables)}
        self.seen: dict[int, int] = {}  # object -> its number, where it was met before
        self.values: dict = {}  # values of functional models -> their numbers
        self.classes: set[type] = set()

    def add(self, value):
        kind = type(value)
        known = _WAYS.get(kind)
        if known is not None:
            known(self, value)
        elif isinstance(value, np.generic):
            self.array(np.asarray(value))
        elif isinstance(value, Initializer):
            self.words.append("initializer")  # has done its work: all layers are built
        elif isinstance(value, type):
            self.of_package(value)
            self.words.append(f"{value.__module__}.{value.__qualname__}")
        elif isinstance(value, tuple):
            self.of_package(kind)
            self.words.append(kind.__qualname__)
            self.sequence(value)
        elif id(value) in self.seen:
            self.words.append(f"@{self.seen[id(value)]}")
        else:
            self.seen[id(value)] = len(self.seen)
            self.object(value, kind)

    def object(self, value, kind):
        if isinstance(value, OpCall):  # a class per op, made on demand
            self.words.append("op")
            self.add(value.function)
            return
        if kind is FunctionGraph:
            self.graph(value)
            return
        self.of_package(kind)
        left_out = set().union(*(names for base, names in _LEFT_OUT if isinstance(value, base)))
        if isinstance(value, Trainer):
            left_out |= self.unseen.get(id(value), _COMPILED)  # models inside a model are only called
        self.words.append(f"{kind.__module__}.{kind.__qualname__}(")
        for name in sorted(vars(value).keys() - left_out):
            self.words.append(name)
            self.add(vars(value)[name])
        self.words.append(")")

    def of_package(self, kind):
        """Refuses classes that are not what stands under their name in a module of this package."""
        if kind in self.classes:
            return
        module = sys.modules.get(kind.__module__)
        if not kind.__module__.startswith(_PACKAGE) or getattr(module, kind.__qualname__, None) is not kind:
            raise NoKey(f"it holds a {kind.__module__}.{kind.__qualname__}, which is not of graphkeras")
        if "__dict__" not in dir(kind) and not issubclass(kind, tuple):
            raise NoKey(f"it holds a {kind.__qualname__}, whose attributes cannot be listed")
        self.classes.add(kind)

    def sequence(self, values):
        self.words.append("(" if isinstance(values, tuple) else "[")  # what a step returns is of the kind that the model was made with
        for value in values:
            self.add(value)
        self.words.append(")")

    def mapping(self, values):
        self.words.append("{")
        for key, value in values.items():
            self.add(key)
            self.add(value)
        self.words.append("}")

    def slice(self, cut):
        self.words.append("slice")
        self.sequence((cut.start, cut.stop, cut.step))

    def set(self, values):
        if any(type(value) is not str for value in values):
            raise NoKey("it holds a set of objects, which has no order")
        self.sequence(sorted(values))

    def variable(self, variable):
        place = self.places.get(id(variable))
        if place is None:
            raise NoKey(f"it holds the variable '{variable.path}', which is none of the model's")
        self.words.append(f"v{place}")
        if id(variable) not in self.seen:
            self.seen[id(variable)] = len(self.seen)
            self.words.append(f"{variable._dtype}{variable.shape}{variable.trainable:d}{variable._autocast:d}")
            for part in (variable.path, variable.regularizer, variable.constraint, variable.overwrite_with_gradient):
                self.add(part)

    def function(self, function):
        module = function.__globals__.get("__name__", "")
        if not module.startswith(_PACKAGE):
            raise NoKey(f"it holds the function {module}.{function.__qualname__}, which is not of graphkeras")
        self.words.append(f"{module}.{function.__qualname__}:{function.__code__.co_firstlineno}")
        self.add(function.__defaults__)
        for cell in function.__closure__ or ():
            self.add(cell.cell_contents)

    def array(self, array):
        if array.dtype.hasobject:
            raise NoKey("it holds an array of objects")
        content = hashlib.sha256(np.ascontiguousarray(array)).hexdigest()
        self.words.append(f"{array.dtype.str} {array.dtype.name} {array.shape} {content}")

    def tensor(self, tensor):
        self.words.append("tensor")
        self.array(tensor.array)

    def symbolic(self, tensor):
        number = self.values.get(tensor.value)
        if number is None:
            raise NoKey("it holds a symbolic tensor of another model")
        self.words.append(f"%{number}")

    def graph(self, graph):
        """A functional model: its calls in order, with numbers for what they read and make."""
        self.words.append("graph(")
        for step in graph.steps:
            if step.node is None or step.call is not None:
                self.add(step.operation)
                if step.call is not None:
                    self.add(step.call.args)
                    self.add(step.call.kwargs)
            else:
                if step.node.subgraphs:
                    raise NoKey(f"it holds the operation '{step.node.op}', which has a graph of its own")
                self.words += (step.node.op, *(f"%{self.values[v]}" for v in step.node.inputs))
                self.mapping(step.node.attrs)
            for value in step.outputs:
                self.values[value] = len(self.values)
                self.add(value.spec)
        self.add(graph.inputs_struct)
        self.add(graph.outputs_struct)
        self.words.append(")")


_WAYS = {
    type(None): lambda writer, value: writer.words.append("None"),
    bool: lambda writer, value: writer.words.append(repr(value)),
    int: lambda writer, value: writer.words.append(repr(value)),
    float: lambda writer, value: writer.words.append(value.hex()),
    str: lambda writer, value: writer.words.append(repr(value)),
    type(...): lambda writer, value: writer.words.append("..."),
    slice: _Writer.slice,
    Dim: lambda writer, value: writer.words.append(f"dim {value!r}"),
    TensorSpec: lambda writer, value: writer.words.append(f"{value.dtype}{value.shape}"),
    ConstantArray: lambda writer, value: writer.array(value.array),
    np.ndarray: _Writer.array,
    Tensor: _Writer.tensor,
    Variable: _Writer.variable,
    SymbolicTensor: _Writer.symbolic,
    FunctionType: _Writer.function,
    tuple: _Writer.sequence,
    list: _Writer.sequence,
    TrackedList: _Writer.sequence,
    dict: _Writer.mapping,
    TrackedDict: _Writer.mapping,
    TrackedOrderedDict: _Writer.mapping,
    set: _Writer.set,
    frozenset: _Writer.set,
    TrackedSet: _Writer.set,
}
"""How each type is written; what has no entry is an object of this package, or refused."""
