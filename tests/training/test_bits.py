"""The promise of the runtime: the same bits, strict or compiled, whatever the number of threads."""

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import layers
from graphkeras.datasets import mnist
from graphkeras.debug import flags
from graphkeras.runtime import team


def train(mode, threads=None, epochs=3, samples=1000):
    """Weights and history of a small net with dropout; 1000 samples in batches of 64 leave a partial last batch."""
    (x, y), _ = mnist.load_sample()
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(48, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
    before = team.get_num_threads()
    team.set_num_threads(threads)
    try:
        with flags.EXECUTION(mode):
            history = model.fit(x[:samples], y[:samples], epochs=epochs, batch_size=64, validation_split=0.1, verbose=0)
    finally:
        team.set_num_threads(before)
    return [v.numpy() for v in (*model.variables, *model.optimizer.variables)], history.history


@pytest.fixture(scope="module")
def compiled():
    return train("compiled", threads=1)


def assert_same_bits(got, expected):
    for a, b in zip(got[0], expected[0], strict=True):
        assert a.tobytes() == b.tobytes()
    assert got[1] == expected[1]


def test_training_learns(compiled):
    assert compiled[1]["accuracy"][-1] > compiled[1]["accuracy"][0] > 0.3


def test_strict_equals_compiled(compiled):
    assert_same_bits(train("strict", threads=1), compiled)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_any_number_of_threads(compiled, threads):
    assert_same_bits(train("compiled", threads), compiled)


def test_a_second_run_is_the_same(compiled):
    assert_same_bits(train("compiled", threads=2), compiled)


def test_compiled_stays_close_to_the_interpreter(compiled):
    weights, history = train("eager")
    for name, values in history.items():
        np.testing.assert_allclose(values, compiled[1][name], rtol=2e-3, atol=2e-3)
    for a, b in zip(weights, compiled[0], strict=True):
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
        else:
            assert np.abs(a - b).max() <= 2e-3 * max(1.0, np.abs(b).max())
