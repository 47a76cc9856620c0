import warnings

import numpy as np
import pytest

from graphkeras import Input, Model, Sequential, function, layers
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.models import clone_model, model_from_json
from graphkeras.utils import set_random_seed


def test_deferred_build():
    model = Sequential([layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")])
    assert model.weights == [] and not model.built
    with pytest.raises(AttributeError, match="no defined input shape"):
        model.input_shape  # noqa: B018
    model.build((None, 3))
    assert [w.shape for w in model.weights] == [(3, 64), (64,), (64, 10), (10,)] and model.count_params() == 906
    assert model.input_shape == (None, 3) and model.output_shape == (None, 10)
    assert [w.path for w in model.weights][0].startswith(f"{model.name}/dense")


def test_built_by_the_first_call():
    model = Sequential([layers.Dense(4), layers.Dense(2)])
    assert model(np.ones((5, 3))).shape == (5, 2)
    assert model.built and model.layers[0].kernel.shape == (3, 4)
    assert model(np.ones((7, 3))).shape == (7, 2)


def test_incremental_build():
    model = Sequential(name="m")
    model.add(Input(shape=(3,)))
    assert not model.weights
    model.add(layers.Dense(64))
    assert model.built and len(model.weights) == 2
    model.add(layers.Dense(10))
    assert model.output_shape == (None, 10) and len(model.layers) == 2
    kernel = model.layers[0].kernel
    assert model.pop().units == 10 and model.output_shape == (None, 64) and len(model.weights) == 2
    assert model.layers[0].kernel is kernel and model(np.ones((1, 3))).shape == (1, 64)
    assert len(model.layers[0]._inbound_nodes) >= 1 and model.layers[0].output.shape == (None, 64)


def test_input_shape_of_the_first_layer():
    model = Sequential([layers.Dense(2, input_shape=(3,))])
    assert model.built and model.input_shape == (None, 3)


def test_models_and_repeated_layers_inside():
    inner = Sequential([layers.Dense(3, name="i")], name="inner")
    twice = layers.Dense(3, name="t")
    model = Sequential([Input((3,)), twice, inner, twice], name="outer")
    assert len(model.layers) == 3 and len(model.weights) == 4
    assert model(np.ones((2, 3))).shape == (2, 3)
    extracted = Model(model.inputs, model.layers[1].output)
    assert extracted(np.ones((2, 3))).shape == (2, 3)
    assert [w.path for w in inner.weights][0] == "outer/inner/i/kernel"
    # As in Keras, `output` is that of the call, `outputs` that of the model itself.
    assert inner.output is not inner.outputs[0] and model.output is model.outputs[0]


def test_training_and_masks_pass_through():
    model = Sequential([layers.Masking(), layers.Dense(2), layers.Dropout(0.5, seed=1)])
    x = np.ones((1, 3, 4), "float32")
    out = model(x)
    assert not np.array_equal(model(x, training=True).numpy(), out.numpy())
    np.testing.assert_array_equal(model(x, training=False).numpy(), out.numpy())


def test_compiled_equals_eager():
    model = Sequential([Input((3,)), layers.Dense(4, activation="tanh"), layers.Dense(1)])
    x = np.random.default_rng(0).random((5, 3)).astype("float32")
    np.testing.assert_allclose(function(lambda a: model(a))(x).numpy(), model(x).numpy(), rtol=1e-6, atol=1e-6)


def test_first_layer_with_several_inputs():
    model = Sequential([layers.Add(), layers.Dense(2)])
    assert model([np.ones((1, 3)), np.ones((1, 3))]).shape == (1, 2)


def test_config_and_clone():
    model = Sequential([layers.Dense(3, activation="relu"), layers.Dropout(0.1)], name="s")
    unbuilt = model_from_json(model.to_json())
    assert unbuilt.name == "s" and not unbuilt.built and len(unbuilt.layers) == 2
    model.build((None, 2))
    again = model_from_json(model.to_json())
    assert again.built and again.input_shape == (None, 2)
    assert [w.shape for w in clone_model(model).weights] == [(2, 3), (3,)]
    assert Sequential.from_config(model.get_config()).count_params() == 9
    with pytest.raises(ArgumentError, match="'name' and 'layers'"):
        Sequential.from_config({"layers": []})


@pytest.mark.parametrize(
    "make, error, match",
    [
        (lambda: Sequential([3]), ArgumentError, "Only instances of `keras.Layer`"),
        (lambda: Sequential([layers.Dense(1, name="a"), layers.Dense(1, name="a")]), ArgumentError, "unique names"),
        (lambda: Sequential([layers.Dense(1), Input((2,))]), ArgumentError, "different Input layer"),
        (lambda: Sequential([Input((3,)), Input((2,))]), ArgumentError, "already been configured to use input shape \\(None, 3\\)"),
        (lambda: Sequential().build((None, 2)), ArgumentError, "has no layers"),
        (lambda: Sequential([Input((3,)), layers.Dense(1)]).build((None, 2)), ArgumentError, "cannot build it with input_shape"),
        (lambda: Sequential([Input((3,)), layers.Dense(1)])(np.ones((2, 4))), ShapeError, "expected shape=\\(None, 3\\)"),
    ],
)
def test_errors_have_four_parts(make, error, match):
    with pytest.raises(error, match=match) as caught:
        make()
    assert "got:" in str(caught.value) and "test_sequential.py" in str(caught.value)


def test_layers_is_read_only():
    with pytest.raises(AttributeError, match="reserved"):
        Sequential().layers = []


def test_a_layer_that_cannot_tell_its_output_shape():
    class Dynamic(layers.Layer):
        def call(self, inputs):
            return inputs + 1.0

        def compute_output_spec(self, *args, **kwargs):
            raise NotImplementedError

    x = np.ones((3, 2), "float32")
    np.testing.assert_array_equal(Sequential([Dynamic()])(x).numpy(), x + 1)


def test_a_stack_that_is_built_by_its_first_step_is_one_of_layers():
    set_random_seed(0)
    model = Sequential([layers.Dense(5, activity_regularizer="l1"), layers.Dropout(0.5), layers.Dense(3)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(x, x[:, :3], verbose=0)
    assert [type(op).__name__ for op in model.operations] == ["InputLayer", "Dense", "Dropout", "Dense"]
    first, last = model.layers[0], model.layers[2]
    want = (x @ first.kernel.numpy() + first.bias.numpy()) @ last.kernel.numpy() + last.bias.numpy()
    np.testing.assert_allclose(model.predict(x, verbose=0), want, rtol=1e-5, atol=1e-6)  # nothing is dropped
