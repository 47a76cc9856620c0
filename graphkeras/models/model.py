"""Model: a layer that can be trained, saved and looked into."""

import inspect
import json

from graphkeras.ir.errors import ArgumentError, UnknownNameError
from graphkeras.layers.layer import Layer
from graphkeras.layers.symbolic_call import in_throw_away_trace
from graphkeras.models.state_tree import assign_state_tree, state_tree
from graphkeras.trace import SymbolicTensor, tree
from graphkeras.training.trainer import Trainer


def _is_functional_call(args, kwargs):
    return len(args) >= 2 or (len(args) == 1 and "outputs" in kwargs) or ("inputs" in kwargs and "outputs" in kwargs)


class Model(Trainer, Layer):
    """A model.

    There are three ways to make one: `Model(inputs, outputs)` from symbolic tensors (the functional API), a subclass with layers
    as attributes and a `call` method, and `Sequential`. A subclass may also be made with `(inputs, outputs)`.

    Args:
        inputs: symbolic tensors, in any nested structure of lists, tuples and dicts.
        outputs: symbolic tensors, in any nested structure.
        name: name.
        trainable: whether the weights are trained.

    Example:

    >>> from graphkeras import layers
    >>> inputs = layers.Input(shape=(3,))
    >>> model = Model(inputs, layers.Dense(2)(inputs))
    >>> model.count_params()
    8
    """

    def __init__(self, *args, **kwargs):
        Trainer.__init__(self)
        if _is_functional_call(args, kwargs):
            from graphkeras.models.functional import functional_class

            self.__class__ = functional_class(type(self))
            self._make(*args, **kwargs)
        else:
            Layer.__init__(self, *args, **kwargs)

    def call(self, *args, **kwargs):
        """The computation. Subclasses override it."""
        raise NotImplementedError(f"Model {type(self).__name__} does not have a `call()` method implemented.")

    @property
    def layers(self):
        """The layers of the model."""
        return list(self._layers)

    @layers.setter
    def layers(self, _):
        raise AttributeError("`Model.layers` attribute is reserved and should not be used. Please use another name.")

    def get_layer(self, name=None, index=None):
        """The layer with a name, or at an index of `layers`.

        Raises:
            ArgumentError: for both or none of the two, or an index out of range.
            UnknownNameError: for a name that no layer has.
        """
        if (name is None) == (index is None):
            raise ArgumentError(
                "Provide either a layer name or layer index at `get_layer`.",
                got=f"name={name!r}, index={index!r}",
                expected="one of them",
            )
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ArgumentError(
                    f"Was asked to retrieve layer at index {index} but model only has {len(layers)} layers.",
                    got=f"index={index}",
                    expected=f"an index below {len(layers)}",
                )
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise UnknownNameError(
            f"No such layer: {name}. Existing layers are: {[layer.name for layer in layers]}.",
            got=f"name={name!r}",
            expected="the name of a layer of the model",
            mend="model.summary() shows the names",
        )

    def build(self, input_shape):
        """Creates the weights of all layers inside, by tracing `call` on symbolic tensors of these shapes.

        Args:
            input_shape: shape with the batch axis (None for any size), or a nested structure of shapes.
        """
        inputs = tree.map_shape_structure(lambda shape: SymbolicTensor(shape, self.compute_dtype), input_shape)
        if any(not layer.built for layer in self._layers) or not self._layers:
            options = {"training": False} if "training" in inspect.signature(self.call).parameters else {}
            in_throw_away_trace(lambda: self.call(inputs, **options))

    build._is_default = True

    def summary(self, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False, layer_range=None):
        """Prints a table of the layers.

        Args:
            line_length: width of the table in characters; by default that of the terminal, 88 or 108 at most.
            positions: right borders of the columns, as shares of the width.
            print_fn: called with the text instead of `print`.
            expand_nested: whether the layers of models inside are listed too.
            show_trainable: whether a column tells which layers are trained.
            layer_range: pair of layer names or regular expressions: the first and last layer to list.
        """
        from graphkeras.utils.summary_utils import print_summary

        print_summary(
            self,
            line_length=line_length,
            positions=positions,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
        )

    def get_state_tree(self, value_format="backend_tensor"):
        """The values of all variables as a dict with the keys "trainable_variables", "non_trainable_variables",
        "optimizer_variables" and "metrics_variables", each a tree of dicts by the parts of the paths.

        Args:
            value_format: "backend_tensor" or "numpy_array": what the leaves are.

        Example:

        >>> from graphkeras import Sequential, layers
        >>> model = Sequential([layers.Input((1,)), layers.Dense(1, name="head")], name="net")
        >>> sorted(model.get_state_tree()["trainable_variables"]["net"]["head"])
        ['bias', 'kernel']
        """
        return state_tree(self, value_format)

    def set_state_tree(self, state_tree):
        """Sets the variables that a tree as of `get_state_tree` has values for; the others stay."""
        assign_state_tree(self, state_tree)

    def _copied_attributes(self):
        return {**self.__dict__, "_steps": {}}  # programs hold addresses; a copy traces anew

    def _pickled_state(self):
        optimizer = self.optimizer
        values = [v.numpy() for v in optimizer.variables] if optimizer is not None and optimizer.built else None
        return super()._pickled_state(), self._compile_arguments, values

    def _restore_state(self, state):
        own, arguments, values = state
        super()._restore_state(own)
        if not arguments:
            return
        self._compile_again(arguments)
        if values is not None and self.compiled:
            self.optimizer.build(self.trainable_variables)
            for variable, value in zip(self.optimizer.variables, values, strict=True):
                variable.assign(value)

    def to_json(self, **kwargs):
        """The config of the model, weights left out, as JSON text; `kwargs` are those of `json.dumps`."""
        from graphkeras.saving import serialize_keras_object

        return json.dumps(serialize_keras_object(self), **kwargs)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """A new model from what `get_config` returned."""
        if {"layers", "input_layers", "output_layers"} <= set(config):
            from graphkeras.models.functional import Functional
            from graphkeras.models.functional_config import functional_from_config

            return functional_from_config(Functional if cls is Model else cls, config, custom_objects=custom_objects)
        return super().from_config(config)


def model_from_json(json_string, custom_objects=None):
    """A new model, with weights of its own, from what `Model.to_json` returned."""
    from graphkeras.saving import deserialize_keras_object

    return deserialize_keras_object(json.loads(json_string), custom_objects=custom_objects)
