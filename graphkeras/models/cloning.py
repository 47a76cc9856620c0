"""clone_model: the same architecture with new weights."""

import copy

from graphkeras.ir.errors import ArgumentError
from graphkeras.layers.core.input_layer import Input, InputLayer
from graphkeras.models.functional import Functional
from graphkeras.models.sequential import Sequential
from graphkeras.trace import SymbolicTensor, tree


def clone_model(model, input_tensors=None, clone_function=None, call_function=None, recursive=False, **kwargs):
    """A model of the same form with new layers, and so new weights.

    Args:
        model: a Sequential or functional model; a subclassed one is made anew from its config.
        input_tensors: symbolic tensors to use as inputs.
        clone_function: called with each layer (input layers left out), returns the layer that takes its place; by default a
            layer made from its config.
        call_function: called as `(layer, *args, **kwargs)` for each call of a new layer; by default the call itself.
        recursive: whether models inside are cloned layer by layer with `clone_function`.

    Returns:
        The new model; compiled like the old one, with an optimizer and metrics of its own.

    Example:

    >>> from graphkeras import Sequential, layers
    >>> model = Sequential([layers.Input((2,)), layers.Dense(1)])
    >>> clone_model(model).count_params()
    3
    """
    if kwargs:
        raise ArgumentError(f"Unexpected argument(s): {kwargs}", got=", ".join(kwargs), expected="arguments of clone_model")
    if not isinstance(model, (Sequential, Functional)):
        if input_tensors is not None or clone_function is not None or call_function is not None:
            raise ArgumentError(
                "Arguments `clone_function`, `call_function` and `input_tensors` are only supported for Sequential models or "
                "Functional models.",
                got=f"model of type '{type(model).__name__}'",
                expected="a Sequential or functional model",
            )
        return type(model).from_config(model.get_config())

    def make(layer):
        if recursive and isinstance(layer, (Sequential, Functional)):
            return clone_model(layer, clone_function=clone_function, call_function=call_function, recursive=True)
        return (clone_function or _clone_layer)(layer)

    clone = _clone_sequential if isinstance(model, Sequential) else _clone_functional
    new = clone(model, input_tensors, make, call_function)
    if model.compiled:
        new._compile_again(copy.deepcopy(model._compile_arguments, _fresh_state(model)))
    return new


def _fresh_state(model):
    """What `copy.deepcopy` of compile arguments takes in place of objects with state: optimizer and metrics made anew."""
    arguments = model._compile_arguments
    held = [arguments["optimizer"], *tree.flatten((arguments["metrics"], arguments["weighted_metrics"]))]
    return {id(x): type(x).from_config(x.get_config()) for x in held if hasattr(x, "variables")}


def _clone_layer(layer):
    return type(layer).from_config(layer.get_config())


def _clone_sequential(model, input_tensors, make, call_function):
    if call_function is not None:
        raise ArgumentError(
            "`call_function` argument is not supported with Sequential models.",
            got="call_function and a Sequential model",
            expected="a functional model",
            mend="Model(model.inputs, model.outputs) makes it functional",
        )
    clones: dict = {}
    layers = [clones.setdefault(id(layer), make(layer)) if id(layer) not in clones else clones[id(layer)] for layer in model.layers]
    if input_tensors is not None:
        (tensor,) = tree.flatten(input_tensors)
        if not isinstance(tensor, SymbolicTensor):
            raise ArgumentError(
                "`input_tensors` must be KerasTensors.", got=repr(tensor), expected="the output of keras.Input(...)"
            )
        first = [tensor] if tensor._keras_history is not None else [Input(tensor=tensor)]
    else:
        old = model._sequence[0] if model._sequence else None
        first = [InputLayer.from_config(old.get_config())] if isinstance(old, InputLayer) else []
    return Sequential([*first, *layers], name=model.name, trainable=model.trainable)


def _require_structure(input_tensors, struct):
    """Dicts and lists are not mixed up; a list of one stands for a tensor."""
    if isinstance(struct, dict) != isinstance(input_tensors, dict) or (isinstance(struct, dict) and set(struct) != set(input_tensors)):
        raise ArgumentError(
            "`input_tensors` must have the same structure as model.input.",
            got=str(tree.map_structure(lambda _: "*", input_tensors)),
            expected=str(tree.map_structure(lambda _: "*", struct)),
        )


def _clone_functional(model, input_tensors, make, call_function):
    if input_tensors is None:
        inputs = [Input(batch_shape=x.shape, dtype=x.dtype, name=n) for x, n in zip(model.inputs, model.input_names)]
    else:
        _require_structure(input_tensors, model.input)
        given = tree.flatten(input_tensors)
        if len(given) != len(model.inputs) or not all(isinstance(x, SymbolicTensor) for x in given):
            raise ArgumentError(
                "All entries in `input_tensors` must be KerasTensors, one for each input of the model.",
                got=f"{len(given)} entries",
                expected=f"{len(model.inputs)} KerasTensors",
            )
        inputs = [x if x._keras_history is not None else Input(tensor=x) for x in given]
    clones: dict = {}

    def call(layer, args, kwargs):
        if id(layer) not in clones:
            clones[id(layer)] = make(layer)
        clone = clones[id(layer)]
        return clone(*args, **kwargs) if call_function is None else call_function(clone, *args, **kwargs)

    outputs = model._graph.run(inputs, call_operation=call)
    struct = tree.pack_sequence_as(model.input, inputs)
    new = Functional(struct, outputs, name=model.name)
    new._trainable = model._trainable
    return new
