"""Models with a train_step of their own, in all styles of the book, in every mode of execution."""

import warnings

import numpy as np
import pytest

from graphkeras import layers, losses, metrics, models, optimizers
from graphkeras.autodiff import GradientTape, value_and_grad
from graphkeras.debug import flags

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 8)).astype("float32")
Y = RNG.integers(0, 4, 70).astype("uint8")
loss_fn = losses.SparseCategoricalCrossentropy()


class Default(models.Model):
    pass


class OwnLoss(models.Model):
    tracker = metrics.Mean(name="loss")

    def train_step(self, data):
        inputs, targets = data
        with GradientTape() as tape:
            loss = loss_fn(targets, self(inputs, training=True))
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights))
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}

    @property
    def metrics(self):
        return [self.tracker]


class Legacy(models.Model):
    def train_step(self, data):
        inputs, targets = data
        with GradientTape() as tape:
            predictions = self(inputs, training=True)
            loss = self.compiled_loss(targets, predictions)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights))
        self.compiled_metrics.update_state(targets, predictions)
        return {m.name: m.result() for m in self.metrics}


class ComputeLoss(models.Model):
    def train_step(self, data):
        inputs, targets = data
        with GradientTape() as tape:
            predictions = self(inputs, training=True)
            loss = self.compute_loss(y=targets, y_pred=predictions)
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(targets, predictions)
        return {m.name: m.result() for m in self.metrics}


class Stateless(models.Model):
    def _loss(self, trainable, non_trainable, inputs, targets):
        predictions, non_trainable = self.stateless_call(trainable, non_trainable, inputs, training=True)
        return self.compute_loss(y=targets, y_pred=predictions), (predictions, non_trainable)

    def train_step(self, state, data):
        trainable, non_trainable, optimizer_values, metric_values = state
        inputs, targets = data
        gradient = value_and_grad(self._loss, has_aux=True)
        (loss, (predictions, non_trainable)), gradients = gradient(trainable, non_trainable, inputs, targets)
        trainable, optimizer_values = self.optimizer.stateless_apply(optimizer_values, gradients, trainable)
        new, logs = [], {}
        for metric in self.metrics:
            own = metric_values[len(new) : len(new) + len(metric.variables)]
            if metric.name == "loss":
                own = metric.stateless_update_state(own, loss)
            else:
                own = metric.stateless_update_state(own, targets, predictions)
            logs[metric.name] = metric.stateless_result(own)
            new += own
        return logs, (trainable, non_trainable, optimizer_values, new)


def trained(cls, mode, **compile_arguments):
    inputs = layers.Input((8,))
    hidden = layers.Dense(16, activation="relu")(inputs)
    made = cls(inputs, layers.Dense(4, activation="softmax")(hidden))
    rng = np.random.default_rng(5)
    made.set_weights([rng.normal(size=w.shape).astype("float32") * 0.3 for w in made.get_weights()])
    made.compile(optimizer=optimizers.RMSprop(), **compile_arguments)
    with flags.EXECUTION(mode), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        history = made.fit(X[:64], Y[:64], epochs=2, batch_size=16, shuffle=False, verbose=0).history
    return history, made.get_weights()


def arguments():
    return {"loss": losses.SparseCategoricalCrossentropy(), "metrics": [metrics.SparseCategoricalAccuracy()]}


@pytest.mark.parametrize("cls", [Legacy, ComputeLoss, Stateless])
@pytest.mark.parametrize("mode", ["eager", "compiled", "strict"])
def test_equals_the_default_step(cls, mode):
    expected, expected_weights = trained(Default, mode, **arguments())
    found, weights = trained(cls, mode, **arguments())
    assert list(found) == ["loss", "sparse_categorical_accuracy"]
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    for a, b in zip(weights, expected_weights):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", ["eager", "compiled", "strict"])
def test_own_loss_without_compiled_loss(mode):
    expected, _ = trained(Default, mode, **arguments())
    found, _ = trained(OwnLoss, mode)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)


def test_compiled_loss_is_the_recomputed_crossentropy():
    inputs = layers.Input((8,))
    made = Legacy(inputs, layers.Dense(4, activation="softmax")(inputs))
    made.compile(optimizer=optimizers.SGD(0.0), **arguments())
    history = made.fit(X, Y, epochs=1, batch_size=32, verbose=0).history
    p = made.predict(X, verbose=0)
    assert history["loss"][0] == pytest.approx(-np.log(p[np.arange(70), Y]).mean(), rel=1e-5)


@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_own_test_and_predict_steps(mode):
    class Own(models.Model):
        def test_step(self, data):
            inputs, targets = data
            return {"wrong": loss_fn(targets, self(inputs)) * 2.0}

        def predict_step(self, data):
            return self(data, training=False) * 10.0

    inputs = layers.Input((8,))
    made = Own(inputs, layers.Dense(4, activation="softmax")(inputs))
    made.compile("sgd", **arguments())
    with flags.EXECUTION(mode):
        logs = made.evaluate(X, Y, batch_size=70, verbose=0, return_dict=True)
        p = made.predict(X, verbose=0) / 10.0
    assert logs == {"wrong": pytest.approx(-2 * np.log(p[np.arange(70), Y]).mean(), rel=1e-4)}


def test_multiple_outputs_by_lists_and_dicts():
    rng = np.random.default_rng(1)
    title, tags = rng.integers(0, 2, (40, 12)), rng.integers(0, 2, (40, 5))
    priority, department = rng.random((40, 1)), rng.integers(0, 2, (40, 4))
    a, b = layers.Input((12,), name="title"), layers.Input((5,), name="tags")
    hidden = layers.Dense(8, activation="relu")(layers.Concatenate()([a, b]))
    outputs = [
        layers.Dense(1, activation="sigmoid", name="priority")(hidden),
        layers.Dense(4, activation="softmax", name="department")(hidden),
    ]
    made = models.Model([a, b], outputs)
    start = made.get_weights()
    made.compile("rmsprop", ["mean_squared_error", "categorical_crossentropy"], metrics=[["mean_absolute_error"], ["accuracy"]])
    by_list = made.fit([title, tags], [priority, department], shuffle=False, verbose=0).history
    assert list(by_list) == [
        "department_accuracy", "department_loss", "loss", "priority_loss", "priority_mean_absolute_error",
    ]  # fmt: skip
    assert by_list["loss"][0] == pytest.approx(by_list["priority_loss"][0] + by_list["department_loss"][0], rel=1e-5)
    assert len(made.evaluate([title, tags], [priority, department], verbose=0)) == 5
    made.set_weights(start)
    made.compile(
        optimizer="rmsprop",
        loss={"priority": "mean_squared_error", "department": "categorical_crossentropy"},
        metrics={"priority": ["mean_absolute_error"], "department": ["accuracy"]},
    )
    named = ({"title": title, "tags": tags}, {"priority": priority, "department": department})
    by_name = made.fit(*named, shuffle=False, verbose=0).history
    assert by_name == by_list
    made.set_weights(start)
    named_losses = {"priority": "mse", "department": "categorical_crossentropy"}
    made.compile(optimizer="sgd", loss=named_losses, loss_weights={"priority": 2.0, "department": 0.5})
    logs = made.evaluate(*named, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(2 * logs["priority_loss"] + 0.5 * logs["department_loss"], rel=1e-5)


def test_outputs_without_names_take_those_of_the_losses():
    class Two(models.Model):
        def __init__(self):
            super().__init__()
            self.one, self.other = layers.Dense(1), layers.Dense(4, activation="softmax")

        def call(self, inputs):
            return self.one(inputs["x"]), self.other(inputs["x"])

    made = Two()
    made.compile("sgd", ["mean_squared_error", "categorical_crossentropy"], metrics=[["mean_absolute_error"], ["accuracy"]])
    targets = [np.zeros((70, 1)), np.eye(4)[Y]]
    history = made.fit({"x": X}, targets, verbose=0).history
    assert sorted(history) == [
        "accuracy", "categorical_crossentropy_loss", "loss", "mean_absolute_error", "mean_squared_error_loss",
    ]  # fmt: skip
