"""When a model's step is traced again, and that nothing else makes it walk the model."""

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import layers
from graphkeras.debug import flags

X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="first"), layers.Dense(3)])
    model.compile("sgd", "mse")
    model.train_on_batch(X, X)
    return model


def traces(model):
    return len(model._steps["train"].compiled)


def test_calls_that_change_nothing_walk_no_variables(model, monkeypatch):
    walks = []
    honest = type(model).variables.fget
    monkeypatch.setattr(type(model), "variables", property(lambda self: walks.append(self) or honest(self)))
    for _ in range(5):
        model.train_on_batch(X, X)
    assert traces(model) == 1 and len(walks) <= 1


def test_what_is_trained_is_looked_at_anew(model):
    first = model.get_layer("first")
    first.trainable = False
    before = first.get_weights()[0]
    model.train_on_batch(X, X)
    assert np.array_equal(first.get_weights()[0], before) and traces(model) == 2
    first.trainable = True
    model.train_on_batch(X, X)
    assert not np.array_equal(first.get_weights()[0], before) and traces(model) == 2  # the first trace serves again


def test_one_variable_alone(model):
    kernel, bias = model.get_layer("first").weights
    kernel.trainable = False
    before, other = kernel.numpy(), bias.numpy()
    model.train_on_batch(X, X)
    assert np.array_equal(kernel.numpy(), before) and not np.array_equal(bias.numpy(), other)


def test_reasons_are_told(model, capsys):
    with flags.EXPLAIN_RECOMPILE(1):
        model.train_on_batch(X, X)
        model.get_layer("first").trainable = False
        model.train_on_batch(X, X)
        model.predict(X, verbose=0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in lines if "is traced" in line] == [
        f"train_step of '{model.name}' is traced: other trained variables, optimizer or learning rate",
        f"predict_step of '{model.name}' is traced: first batch",
    ]


@pytest.mark.parametrize("flag, value", [(flags.OPT_LEVEL, 1), (flags.DISABLE_PASSES, "cse")])
def test_flags_that_decide_what_is_made_act_on_steps_that_were_made_before(model, flag, value):
    with flag(value):
        model.train_on_batch(X, X)
        assert traces(model) == 2
    model.train_on_batch(X, X)
    assert traces(model) == 2
