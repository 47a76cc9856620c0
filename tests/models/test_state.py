"""State of whole models: pickling, copies, clones, trees of values."""

import copy
import pickle

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import layers, losses, metrics, models, ops, optimizers

X = np.linspace(-1, 1, 24, dtype="float32").reshape(6, 4)
Y = X[:, :1] * 2


class Scaled(layers.Layer):
    """A layer with weights and a config, which a config finds by its module."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, inputs):
        return inputs * self.scale * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Net(models.Model):
    """A subclassed model."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(units, activation="tanh")
        self.head = layers.Dense(1)

    def call(self, inputs):
        return self.head(self.hidden(inputs))


class Functional(models.Model):
    """A class whose models are made functionally."""

    def train_step(self, data):
        return {**super().train_step(data), "own": ops.ones(())}


def functional(cls=models.Model):
    inputs = layers.Input((4,), name="in")
    shared = layers.Dense(4, activation="tanh", name="shared")
    return cls(inputs, layers.Dense(1, name="out")(Scaled(2.0, name="scaled")(shared(shared(inputs))) + 1.0))


def sequential():
    return models.Sequential([layers.Input((4,)), layers.Dense(3, activation="relu"), layers.Dropout(0.5, seed=3), layers.Dense(1)])


def subclassed():
    model = Net(5, name="net")
    model(X)
    return model


MAKERS = [functional, lambda: functional(Functional), sequential, subclassed]


def copied_by_pickle(obj):
    return pickle.loads(pickle.dumps(obj))


@pytest.mark.parametrize("copied", [copied_by_pickle, copy.deepcopy])
@pytest.mark.parametrize("make", MAKERS)
def test_a_copy_goes_on_like_the_original(make, copied):
    model = make()
    model.compile(optimizers.Adam(0.05), losses.Huber(), metrics=["mae", metrics.MeanSquaredError()])
    model.fit(X, Y, verbose=0, epochs=2, shuffle=False)
    other = copied(model)
    assert isinstance(other, type(model)) and other.name == model.name
    assert not {id(v) for v in other.variables} & {id(v) for v in model.variables}
    np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))
    assert other.optimizer.iterations.numpy() == 2
    histories = [m.fit(X, Y, verbose=0, epochs=2, shuffle=False).history for m in (model, other)]
    assert histories[0] == histories[1]
    for mine, theirs in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(mine, theirs)


def test_layers_metrics_and_optimizers_are_pickled():
    layer = Scaled(3.0, name="three")
    layer(X)
    layer.scale.assign([1.0, 2.0, 3.0, 4.0])
    other = copied_by_pickle(layer)
    np.testing.assert_array_equal(other(X).numpy(), layer(X).numpy())
    metric = metrics.Mean(name="mine")
    metric.update_state([1.0, 2.0])
    other = copied_by_pickle(metric)
    assert (other.name, float(other.result())) == ("mine", 1.5)
    rate = optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    other = copied_by_pickle(optimizers.SGD(rate, momentum=0.5))
    assert other.momentum == 0.5 and other.get_config()["learning_rate"] == optimizers.SGD(rate).get_config()["learning_rate"]


def test_an_unbuilt_layer_is_pickled_unbuilt():
    other = copied_by_pickle(layers.Dense(3, name="d"))
    assert (other.name, other.units, other.built) == ("d", 3, False)


def test_state_that_does_not_fit_the_config_is_told_of():
    layer = layers.Dense(2)
    layer.build((None, 3))
    restored, (cls, config, *state) = layer.__reduce__()
    with pytest.raises(ValueError, match="another number of variables"):
        restored(cls, {**config, "use_bias": False}, *state)


def test_a_compiled_model_is_cloned_compiled():
    model = functional()
    metric = metrics.MeanAbsoluteError()
    model.compile(optimizers.Adam(0.25), lambda y_true, y_pred: ops.square(y_true - y_pred), metrics=[metric])
    model.fit(X, Y, verbose=0)
    clone = models.clone_model(model)
    assert clone.compiled and clone.optimizer is not model.optimizer
    assert clone.optimizer.learning_rate.numpy() == 0.25 and clone.optimizer.iterations.numpy() == 0
    clone.evaluate(X, Y, verbose=0)
    assert clone._compile_metrics.metrics[0] is not metric and metric.variables[1].numpy() == 6
    assert not models.clone_model(functional()).compiled


def test_state_tree():
    model = models.Sequential([layers.Input((4,)), layers.Dense(1, name="d")], name="s")
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    tree = model.get_state_tree("numpy_array")
    assert sorted(tree) == ["metrics_variables", "non_trainable_variables", "optimizer_variables", "trainable_variables"]
    assert tree["optimizer_variables"][model.optimizer.name]["iteration"] == 1
    np.testing.assert_array_equal(tree["trainable_variables"]["s"]["d"]["kernel"], model.get_weights()[0])
    tree["trainable_variables"]["s"]["d"]["kernel"] = np.full((4, 1), 3.0)
    del tree["metrics_variables"]
    model.set_state_tree(tree)
    np.testing.assert_array_equal(model.get_weights()[0], np.full((4, 1), 3.0))
    with pytest.raises(ValueError, match="Unknown variable name: weights"):
        model.set_state_tree({"weights": {}})
    with pytest.raises(ValueError, match="Invalid `value_format`"):
        model.get_state_tree("list")


def test_state_tree_wants_unique_paths():
    class Twins(models.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = layers.Dense(2, name="same"), layers.Dense(2, name="same")

        def call(self, inputs):
            return self.b(self.a(inputs))

    model = Twins()
    model(X)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="found twice in the model"):
        model.get_state_tree()


def test_two_models_train_in_two_threads():
    import threading

    expected, got = [], {}

    def train(number):
        keras.utils.set_random_seed(7)
        model = models.Sequential([layers.Input((4,)), layers.Dense(3 + number, kernel_initializer="ones"), layers.Dense(1)])
        model.set_weights([np.full(w.shape, 0.1, "float32") for w in model.get_weights()])
        model.compile("sgd", "mse")
        return model.fit(X, Y, epochs=20, verbose=0, shuffle=False).history["loss"]

    expected = [train(0), train(1)]
    threads = [threading.Thread(target=lambda n=n: got.update({n: train(n)})) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[0], got[1]] == expected
