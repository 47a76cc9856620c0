"""Sequential: a stack of layers."""

from graphkeras.ir.errors import ArgumentError
from graphkeras.layers.call_context import open_name_scope
from graphkeras.layers.call_spec import signature_of
from graphkeras.layers.core.input_layer import InputLayer
from graphkeras.layers.layer import Layer
from graphkeras.layers.masks import get_mask
from graphkeras.models.function_graph import FunctionGraph
from graphkeras.models.functional import Functional
from graphkeras.models.model import Model
from graphkeras.saving.serialization_lib import deserialize_keras_object, serialize_keras_object
from graphkeras.trace import SymbolicTensor, outside, tree


class Sequential(Model):
    """A plain stack of layers, each with one input and one output.

    Args:
        layers: list of layers; the first may be an `Input`.
        trainable: whether the weights are trained.
        name: name.

    Example:

    >>> from graphkeras import layers
    >>> model = Sequential([layers.Input(shape=(3,)), layers.Dense(4), layers.Dense(1)])
    >>> model.count_params()
    21
    """

    def __init__(self, layers=None, trainable=True, name=None):
        super().__init__(trainable=trainable, name=name)
        # Plain lists: a layer may stand in the stack twice.
        object.__setattr__(self, "_sequence", [])
        object.__setattr__(self, "_graph", None)
        for layer in layers or ():
            self.add(layer, rebuild=False)
        self._maybe_rebuild()

    def _lock_state(self):
        """Layers may be added to a built stack."""

    def add(self, layer, rebuild=True):
        """Puts a layer on top of the stack. Where the input shape is known, the layer is built at once.

        Args:
            layer: a layer, or the tensor of an `Input`.
            rebuild: whether the model is built now; False leaves that to the next call.
        """
        if isinstance(layer, SymbolicTensor) and layer._keras_history is not None:
            layer = layer._keras_history.operation
        if not isinstance(layer, Layer):
            raise ArgumentError(
                f"Only instances of `keras.Layer` can be added to a Sequential model. Received: {layer} (of type {type(layer)})",
                got=f"{type(layer).__name__}",
                expected="a layer, such as layers.Dense(10)",
                mend="wrap a function with layers.Lambda",
            )
        if any(other.name == layer.name and other is not layer for other in self._sequence):
            raise ArgumentError(
                f"All layers added to a Sequential model should have unique names. Name '{layer.name}' is already the name of a "
                "layer in this model. Update the `name` argument to pass a unique name.",
                got=f"name '{layer.name}'",
                expected="a name that no layer of the model has",
            )
        if isinstance(layer, InputLayer) and self._sequence:
            first = self._sequence[0]
            known = f" to use input shape {first.batch_shape}" if isinstance(first, InputLayer) else ""
            raise ArgumentError(
                f"Sequential model '{self.name}' has already been configured{known}. You cannot add a different Input layer to it.",
                got=f"an Input as layer {len(self._sequence)}",
                expected="an Input as the first layer only",
            )
        if not self._sequence and layer._batch_input_shape is not None and not isinstance(layer, InputLayer):
            self.add(InputLayer(batch_shape=layer._batch_input_shape, dtype=layer._input_dtype_given))
        graph = self._graph
        self._sequence.append(layer)
        self._tracker.track(layer)
        self.built = False
        self._set_graph(None)
        if not rebuild:
            return
        if graph is not None:
            _require_one_argument(layer)
            with open_name_scope(self):
                self._finish(graph.inputs_struct, layer(graph.outputs_struct))
        else:
            self._maybe_rebuild()

    def pop(self, rebuild=True):
        """Takes the layer on top off the stack, and returns it."""
        layer = self._sequence.pop()
        if not any(layer is other for other in self._sequence):
            self._tracker.untrack(layer)
        self.built = False
        self._set_graph(None)
        if rebuild:
            self._maybe_rebuild()
        return layer

    def _set_graph(self, graph):
        object.__setattr__(self, "_graph", graph)

    def _maybe_rebuild(self):
        if len(self._sequence) < 2:
            return
        first = self._sequence[0]
        if isinstance(first, InputLayer):
            self.build(first.batch_shape)
        elif isinstance(first, (Functional, Sequential)) and first._graph is not None and isinstance(first.input, SymbolicTensor):
            self.build(first.input_shape)

    def build(self, input_shape=None):
        """Builds all layers for an input shape.

        Args:
            input_shape: shape with the batch axis, None for sizes that vary.
        """
        if not self._sequence:
            raise ArgumentError(
                f"Sequential model {self.name} cannot be built because it has no layers.",
                got="an empty stack",
                expected="at least one layer",
                mend="call `model.add(layer)`",
            )
        if input_shape is None or not all(size is None or isinstance(size, int) for size in input_shape):
            # A nested structure of shapes: the first layer takes several inputs. The layers are run one by one then.
            return
        first = self._sequence[0]
        input_shape = tuple(input_shape)
        if isinstance(first, InputLayer):
            if tuple(first.batch_shape) != input_shape:
                raise ArgumentError(
                    f"Sequential model '{self.name}' has already been configured to use input shape {tuple(first.batch_shape)}. "
                    f"You cannot build it with input_shape {input_shape}",
                    got=f"input_shape={input_shape}",
                    expected=f"{tuple(first.batch_shape)}",
                    mend="make a new model for another input shape",
                )
        else:
            first = InputLayer(batch_shape=input_shape, dtype=self._sequence[0].compute_dtype)
            self._sequence.insert(0, first)
            self._layers.insert(0, first)
        tensor = first.output
        with outside():  # a first call in a trace would make ops of the layers, with the `training` of that call for good
            for layer in self._sequence[1:]:
                _require_one_argument(layer)
                try:
                    tensor = layer(tensor)
                except NotImplementedError:
                    return  # a layer that cannot tell its output shape: the layers are run one by one
            self._finish(first.output, tensor)

    def _finish(self, inputs, outputs):
        self._set_graph(FunctionGraph(inputs, outputs, self.name))
        self._set_build_shapes({"input_shape": tuple(inputs.shape)})
        self.built = True

    def call(self, inputs, training=None, mask=None):
        if self._graph is not None:
            tensors = [Functional._standard(x, symbolic) for x, symbolic in zip(tree.flatten(inputs), self._graph.inputs)]
            return self._graph.run(tensors, training=training, masks=None if mask is None else tree.flatten(mask))
        outputs = inputs
        for layer in self.layers:
            parameters = signature_of(type(layer).call).parameters
            options = {"mask": mask} if "mask" in parameters else {}
            if training is not None and "training" in parameters:
                options["training"] = training
            outputs = layer(outputs, **options)
            mask = tree.map_structure(get_mask, outputs)
        return outputs

    @property
    def layers(self):
        """The layers, without the input layer."""
        return self._sequence[1:] if self._sequence and isinstance(self._sequence[0], InputLayer) else list(self._sequence)

    @layers.setter
    def layers(self, _):
        raise AttributeError(
            "`Sequential.layers` attribute is reserved and should not be used. Use `add()` and `pop()` to change the layers in "
            "this model."
        )

    @property
    def operations(self):
        """The layers, the input layer first, where the model is built."""
        return list(self._known("operations").operations)

    def _edges(self):
        return self._known("edges").edges()

    def _known(self, what):
        if self._graph is None:
            raise AttributeError(f"Sequential model '{self.name}' has no defined {what} yet.")
        return self._graph

    @property
    def inputs(self):
        """List with the symbolic input."""
        return list(self._known("inputs").inputs)

    @property
    def outputs(self):
        """List of the symbolic outputs."""
        return list(self._known("outputs").outputs)

    @property
    def input(self):
        """The symbolic input of the first call on a symbolic tensor; that of the model itself before."""
        return super().input if self._inbound_nodes else self._known("input").inputs_struct

    @property
    def output(self):
        """The symbolic output of the first call on a symbolic tensor; that of the model itself before."""
        return super().output if self._inbound_nodes else self._known("output").outputs_struct

    @property
    def input_shape(self):
        return tuple(self._known("input shape").inputs_struct.shape)

    @property
    def output_shape(self):
        return tree.map_structure(lambda x: tuple(x.shape), self._known("output shape").outputs_struct)

    input_names = Functional.input_names
    output_names = Functional.output_names

    @property
    def input_dtype(self):
        first = self._sequence[0] if self._sequence else None
        return first.dtype if isinstance(first, InputLayer) else super().input_dtype

    @property
    def input_spec(self):
        """The shape of the input, where it is known."""
        if self._input_spec is not None or self._graph is None:
            return self._input_spec
        return Functional.input_spec.fget(self)

    @input_spec.setter
    def input_spec(self, value):
        self._input_spec = value

    def compute_output_shape(self, input_shape):
        if self._graph is not None:
            return Functional.compute_output_shape(self, input_shape)
        shape = input_shape
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        return shape

    def get_config(self):
        config = Model.get_config(self)
        config["layers"] = [serialize_keras_object(layer) for layer in self._sequence]
        if self._graph is not None:
            config["build_input_shape"] = self._sequence[0].batch_shape
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if "name" not in config or "layers" not in config:
            raise ArgumentError(
                "A Sequential model configuration must be a dictionary containing the 'name' and 'layers' keys.",
                got=f"keys {sorted(config)}",
                expected="'name' and 'layers'",
            )
        model = cls(name=config["name"])
        for layer in config["layers"]:
            model.add(deserialize_keras_object(layer, custom_objects=custom_objects), rebuild=False)
        model._maybe_rebuild()
        shape = config.get("build_input_shape")
        if model._graph is None and isinstance(shape, (list, tuple)):
            model.build(shape)
        return model


def _require_one_argument(layer):
    positional = [
        p for p in signature_of(type(layer).call).parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    required = [p.name for p in positional if p.default is p.empty]
    if len(required) > 1:
        raise ArgumentError(
            "Layers added to a Sequential model can only have a single required positional argument, the input tensor. Layer "
            f"{type(layer).__name__} has multiple required positional arguments: {required}",
            got=f"call{signature_of(type(layer).call)}",
            expected="call(self, inputs)",
            mend="use the functional API for layers with several inputs",
        )
