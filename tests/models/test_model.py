import numpy as np
import pytest

from graphkeras import Input, Model, function, layers, ops
from graphkeras.models import model_from_json


class Tickets(Model):
    def __init__(self, departments=4):
        super().__init__()
        self.join = layers.Concatenate()
        self.mix = layers.Dense(8, activation="relu")
        self.priority = layers.Dense(1, activation="sigmoid")
        self.department = layers.Dense(departments, activation="softmax")

    def call(self, inputs):
        features = self.mix(self.join([inputs["title"], inputs["tags"]]))
        return self.priority(features), self.department(features)


class Classifier(Model):
    def __init__(self, classes=2, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(1 if classes == 2 else classes, activation="softmax")

    def call(self, inputs, training=None):
        return self.dense(inputs)


def arrays():
    rng = np.random.default_rng(0)
    return {"title": rng.integers(0, 2, (6, 5)), "tags": rng.integers(0, 2, (6, 3))}


def test_subclass_called_on_integers():
    model = Tickets()
    assert not model.built and len(model.layers) == 4
    result = model(arrays())
    assert isinstance(result, tuple) and [r.shape for r in result] == [(6, 1), (6, 4)] and result[0].dtype == "float32"
    assert model.built and model.count_params() == 8 * 8 + 8 + 9 + 36
    assert [w.path for w in model.weights][0] == f"{model.name}/{model.mix.name}/kernel"


def test_subclass_as_a_layer():
    x = Input((3,))
    model = Model(x, Classifier(classes=10)(layers.Dense(8, activation="relu")(x)))
    assert model.output_shape == (None, 10) and model(np.ones((2, 3))).shape == (2, 10)
    again = model_from_json(model.to_json(), custom_objects={"Classifier": Classifier})
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(np.ones((2, 3))).numpy(), model(np.ones((2, 3))).numpy())


def test_functional_model_inside_a_subclass():
    x = Input((3,))
    inner = Model(x, layers.Dense(4)(x))

    class Outer(Model):
        def __init__(self):
            super().__init__()
            self.inner = inner
            self.head = layers.Dense(1)

        def call(self, x):
            return self.head(self.inner(x))

    model = Outer()
    model(np.ones((2, 3)))
    assert len(model.weights) == 4 and model.weights[0] is inner.weights[0]
    np.testing.assert_allclose(
        function(lambda a: model(a))(np.ones((2, 3), "float32")).numpy(), model(np.ones((2, 3))).numpy(), rtol=1e-6
    )


def test_build_of_a_subclass_makes_all_weights():
    model = Classifier(classes=3)
    model.build((None, 4))
    assert model.built and model.dense.built and model.count_params() == 15
    tickets = Tickets()
    tickets.build({"title": (None, 5), "tags": (None, 3)})
    assert tickets.count_params() == 117


def test_config_of_a_subclass():
    model = Classifier(classes=5, name="c")
    config = model.get_config()
    assert config["classes"] == 5 and config["name"] == "c"
    assert Classifier.from_config(config).dense.units == 5


def test_ops_inside_call():
    class Norm(Model):
        def call(self, x):
            return x / ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True))

    x = Input((2,))
    np.testing.assert_allclose(Model(x, Norm()(x))(np.array([[3.0, 4.0]])).numpy(), [[0.6, 0.8]], rtol=1e-6)


def test_call_is_needed():
    with pytest.raises(NotImplementedError, match="does not have a `call"):
        Model()(np.ones(2))
