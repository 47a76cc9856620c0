"""check_layer: what every layer must do, on one example."""

import json

import numpy as np

from graphkeras import Input, Model, function, layers
from graphkeras.saving import deserialize_keras_object, serialize_keras_object
from graphkeras.testing import check_gradients
from graphkeras.trace import Tensor, tree


def run(layer, inputs, **options):
    """The outputs of a call, as NumPy arrays."""
    return tree.map_structure(lambda x: x.numpy(), layer(tree.map_structure(Tensor, inputs), **options))


def check_layer(cls, config, inputs, expected_shape, weights=0, seeds=0, order=1, training_differs=False, masks=True):
    """Builds, calls, saves and differentiates a layer.

    Args:
        cls, config: the class and the arguments of its `__init__`.
        inputs: NumPy float array, or list of them.
        expected_shape: shape of the output for these inputs.
        weights, seeds: expected number of weights and seed generators.
        order: order up to which gradients are checked, 0 for none.
        training_differs: whether the output while training is another one.
        masks: whether the layer supports masks.

    Returns:
        The layer.
    """
    layer = cls(**config)
    assert layer.supports_masking is masks
    eager = run(layer, inputs)
    assert eager.shape == expected_shape and eager.dtype == np.float32
    assert len(layer.weights) == weights and len(layer.variables) == weights + seeds
    assert layer.built

    # Symbolic calls tell the same shape, with and without a known batch size.
    batch = expected_shape[0]
    symbolic = tree.map_structure(lambda x: Input(shape=x.shape[1:]), inputs)
    output = layer(symbolic)
    assert output.shape == (None, *expected_shape[1:]) and output.dtype == "float32"
    shapes = [x.shape for x in inputs] if isinstance(inputs, list) else inputs.shape
    assert tuple(layer.compute_output_shape(shapes)) == expected_shape
    model = Model(symbolic, output)
    np.testing.assert_array_equal(model(inputs).numpy(), eager)

    # Compiled and strict calls give the same bits as each other, and as the eager call up to the stated bound.
    compiled = function(lambda *xs: layer(list(xs) if isinstance(inputs, list) else xs[0]))
    tensors = inputs if isinstance(inputs, list) else [inputs]
    np.testing.assert_allclose(compiled(*tensors).numpy(), eager, rtol=2e-6, atol=2e-6)
    assert compiled(*tensors).shape[0] == batch

    # A layer made from its config computes the same.
    text = json.dumps(serialize_keras_object(layer))
    again = deserialize_keras_object(json.loads(text))
    assert type(again) is cls and again.built
    assert json.loads(json.dumps(again.get_config())) == json.loads(json.dumps(layer.get_config()))
    store = {}
    layer.save_own_variables(store)
    again.load_own_variables(store)
    np.testing.assert_array_equal(run(again, inputs), eager)

    if training_differs:
        assert not np.array_equal(run(layer, inputs, training=True), eager)
        np.testing.assert_array_equal(run(layer, inputs, training=False), eager)
    if order:
        double = cls(**{**config, "dtype": "float64"})
        double(inputs)
        check_gradients(lambda *xs: double(list(xs) if isinstance(inputs, list) else xs[0]), tensors, order=order)
    assert isinstance(layer, layers.Layer)
    return layer
