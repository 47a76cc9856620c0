"""Functional: a model made of symbolic inputs and outputs."""

import functools
import inspect
import warnings

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.layers.input_spec import InputSpec
from graphkeras.layers.layer import Layer
from graphkeras.layers.masks import get_mask, set_mask
from graphkeras.layers.symbolic_call import in_throw_away_trace
from graphkeras.models.function_graph import FunctionGraph
from graphkeras.models.functional_config import functional_config, functional_from_config
from graphkeras.models.model import Model
from graphkeras.trace import SymbolicTensor, convert_to_tensor, tree
from graphkeras.training.trainer import Trainer


class Functional(Model):
    """A model that runs the operations between symbolic inputs and outputs. Made by `Model(inputs, outputs)`.

    Args:
        inputs: symbolic tensors, in any nested structure.
        outputs: symbolic tensors, in any nested structure.
        name: name.
        trainable: whether the weights are trained; None leaves the layers as they are.
    """

    def __init__(self, inputs, outputs, name=None, **kwargs):
        Trainer.__init__(self)
        self._make(inputs, outputs, name=name, **kwargs)

    def _make(self, inputs, outputs, name=None, trainable=None, **kwargs):
        graph = FunctionGraph(_plain(inputs), _plain(outputs), name or "")
        Layer.__init__(self, name=name, **kwargs)
        object.__setattr__(self, "_graph", graph)
        for layer in graph.layers:
            self._tracker.track(layer)
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        if trainable is not None:
            self._trainable = trainable  # that of the layers stays: they may be shared with other models
        self._set_build_shapes({"input_shape": self.input_shape})
        self.built = True

    def _lock_state(self):
        """A functional model is built from the start, so attributes may be added later."""

    @property
    def operations(self):
        """Layers and ops, in order from the inputs to the outputs."""
        return list(self._graph.operations)

    @property
    def layers(self):
        """The layers among the operations."""
        return list(self._graph.layers)

    @layers.setter
    def layers(self, _):
        raise AttributeError("`Model.layers` attribute is reserved and should not be used. Please use another name.")

    def _edges(self):
        return self._graph.edges()

    @property
    def inputs(self):
        """Flat list of the symbolic inputs."""
        return list(self._graph.inputs)

    @property
    def outputs(self):
        """Flat list of the symbolic outputs."""
        return list(self._graph.outputs)

    @property
    def input(self):
        """The symbolic inputs, in the structure that was given."""
        return self._graph.inputs_struct

    @property
    def output(self):
        """The symbolic outputs, in the structure that was given."""
        return self._graph.outputs_struct

    @property
    def input_names(self):
        """Names of the inputs."""
        return [x._keras_history.operation.name for x in self._graph.inputs]

    @property
    def output_names(self):
        """Names of the operations that make the outputs."""
        return [self._graph.history(x.value)[0].name for x in self._graph.outputs]

    @property
    def input_shape(self):
        return tree.map_structure(lambda x: x.shape, self.input)

    @property
    def output_shape(self):
        return tree.map_structure(lambda x: x.shape, self.output)

    @property
    def input_spec(self):
        """What is asked of the inputs: their shapes, where the last axis may be missing if its size is 1."""
        if self._input_spec is not None:
            return self._input_spec
        struct = self._graph.inputs_struct
        if isinstance(struct, dict):
            if not all(isinstance(x, SymbolicTensor) for x in struct.values()):
                return None
            named = [(key, struct[key]) for key in sorted(struct)]
        else:
            named = [(x._keras_history.operation.name, x) for x in self._graph.inputs]
        return [
            InputSpec(
                shape=(None, *x.shape[1:]), allow_last_axis_squeeze=True, name=name, optional=x._keras_history.operation.optional
            )
            for name, x in named
        ]

    @input_spec.setter
    def input_spec(self, value):
        self._input_spec = value

    def build(self, input_shape):
        """A functional model is built already."""

    build._is_default = True

    def get_build_config(self):
        """Nothing: the config of the model holds the shapes."""

    def call(self, inputs, training=None, mask=None):
        tensors = self._standardized(inputs)
        masks = None if mask is None else tree.flatten(mask)
        return self._graph.run(tensors, training=training, masks=masks)

    def _standardized(self, inputs):
        """The inputs as a flat list in the model's order, with its dtypes and ranks."""
        given = self._inputs_in_order(inputs)
        if len(given) > 1 or isinstance(inputs, dict):
            self._warn_of_other_structure(inputs)
        if len(given) != len(self._graph.inputs):
            raise ArgumentError(
                f"Model '{self.name}' has {len(self._graph.inputs)} inputs.",
                got=f"{len(given)} tensors",
                expected=f"one for each of {self.input_names}",
                mend="pass a list, or a dict by input name",
            )
        return [None if x is None else self._standard(x, symbolic) for x, symbolic in zip(given, self._graph.inputs)]

    def _inputs_in_order(self, inputs):
        struct = self._graph.inputs_struct
        if not isinstance(inputs, dict):
            return tree.flatten(inputs)
        names = sorted(struct) if isinstance(struct, dict) else self.input_names
        if isinstance(struct, dict) and not all(isinstance(x, SymbolicTensor) for x in struct.values()):
            return tree.flatten(inputs)
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ArgumentError(
                f'Missing data for input "{missing[0]}". You passed a data dictionary with keys {list(inputs)}. '
                f"Expected the following keys: {names}",
                got=f"keys {list(inputs)}",
                expected=f"keys {names}",
                mend=f"add an entry {missing[0]!r}",
            )
        return [inputs[name] for name in names]

    def _warn_of_other_structure(self, inputs):
        struct = self._graph.inputs_struct
        if isinstance(inputs, dict) and not isinstance(struct, dict) and set(self.input_names) <= set(inputs):
            return  # by the names of the input layers
        if isinstance(struct, dict) and not isinstance(inputs, dict) and list(struct) != sorted(struct):
            raise ArgumentError(
                "The structure of `inputs` doesn't match the expected structure.",
                got=f"{len(tree.flatten(inputs))} inputs without names",
                expected=f"a dict with the keys {list(struct)}",
                mend="pass a dict: it could be meant in the order of the keys or in that of the alphabet",
            )
        try:
            tree.assert_same_structure(struct, inputs)
        except ArgumentError:
            names = tree.map_structure(lambda x: x.name, struct)
            received = tree.map_structure(lambda x: "None" if x is None else f"Tensor(shape={x.shape})", inputs)
            warnings.warn(
                f"The structure of `inputs` doesn't match the expected structure.\nExpected: {names}\nReceived: inputs={received}",
                stacklevel=5,
            )

    @staticmethod
    def _standard(x, symbolic):
        mask = get_mask(x)
        tensor = convert_to_tensor(x)
        if tensor.dtype != symbolic.dtype:
            tensor = ops.cast(tensor, symbolic.dtype)
        rank, wanted = tensor.ndim, symbolic.ndim
        if rank == wanted + 1 and tensor.shape[-1] == 1:
            tensor = ops.squeeze(tensor, axis=-1)
        elif rank == wanted - 1 and symbolic.shape[-1] == 1:
            tensor = ops.expand_dims(tensor, axis=-1)
        elif rank != wanted:
            raise ShapeError(
                f"Invalid input shape for input {symbolic.name}. Expected shape {symbolic.shape}, but input has incompatible shape "
                f"{tuple(tensor.shape)}",
                got=f"rank {rank}",
                expected=f"rank {wanted}",
                mend="reshape the data; the first axis is the batch",
            )
        if mask is not None:
            set_mask(tensor, mask)
        return tensor

    def compute_output_shape(self, input_shape):
        shapes = [tuple(s) for s in _flat_shapes(input_shape)]
        inputs = [SymbolicTensor(s, x.dtype) for s, x in zip(shapes, self._graph.inputs)]
        outputs = in_throw_away_trace(lambda: self._graph.run(inputs))
        return tree.map_structure(lambda x: tuple(x.shape), outputs)

    def get_config(self):
        # A subclass whose __init__ takes no (inputs, outputs) is made anew from the arguments that it takes.
        return functional_config(self) if _takes_graph(type(self)) else Model.get_config(self)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if {"layers", "input_layers", "output_layers"} <= set(config):
            return functional_from_config(cls, config, custom_objects=custom_objects)
        return super().from_config(config, custom_objects=custom_objects)


def _plain(structure):
    """The structure with plain lists and dicts: those of attributes track what is put into them."""
    if isinstance(structure, dict):
        return {key: _plain(value) for key, value in structure.items()}
    if isinstance(structure, list):
        return [_plain(value) for value in structure]
    return structure


def _flat_shapes(shape):
    if isinstance(shape, dict):
        return [s for key in sorted(shape) for s in _flat_shapes(shape[key])]
    if all(size is None or isinstance(size, int) for size in shape):
        return [shape]
    return [s for part in shape for s in _flat_shapes(part)]


@functools.cache
def functional_class(cls):
    """The class of functional models made by calling `cls(inputs, outputs)`: `cls` with the behaviour of `Functional`."""
    if issubclass(cls, Functional):
        return cls
    if cls is Model:
        return Functional
    members = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__, "_user_class": cls}
    return type(cls.__name__, (cls, Functional), members)


def _takes_graph(cls):
    parameters = inspect.signature(cls.__init__).parameters
    return {"inputs", "outputs"} <= set(parameters) or any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
