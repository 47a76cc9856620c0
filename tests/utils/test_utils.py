import numpy as np
import pytest

from graphkeras import Sequential, config, layers, ops, utils
from graphkeras.ir.errors import ArgumentError, DataError


def test_to_categorical():
    assert utils.to_categorical([[0], [2]]).tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert utils.to_categorical(np.array([[0, 1]]), 2).shape == (1, 2, 2)
    assert utils.to_categorical(ops.array([1, 0]), 3).numpy().tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    with pytest.raises(DataError, match="out of range"):
        utils.to_categorical([3], 3)


def test_normalize():
    np.testing.assert_allclose(utils.normalize([[3.0, 4.0], [0.0, 0.0]]), [[0.6, 0.8], [0.0, 0.0]])
    np.testing.assert_allclose(utils.normalize(ops.array([[3.0, 4.0]])).numpy(), [[0.6, 0.8]], rtol=1e-6)


def test_pad_sequences():
    rows = [[1], [2, 3], [4, 5, 6]]
    assert utils.pad_sequences(rows).tolist() == [[0, 0, 1], [0, 2, 3], [4, 5, 6]]
    assert utils.pad_sequences(rows, 2, padding="post", truncating="post", value=-1).tolist() == [[1, -1], [2, 3], [4, 5]]
    assert utils.pad_sequences(rows, 2).tolist() == [[0, 1], [2, 3], [5, 6]]
    assert utils.pad_sequences([[[1, 2]], []], 1).tolist() == [[[1, 2]], [[0, 0]]]
    with pytest.raises(ArgumentError, match="padding"):
        utils.pad_sequences(rows, padding="x")
    with pytest.raises(DataError, match="list of iterables"):
        utils.pad_sequences([1, 2])


def test_random_seed_decides_the_weights():
    weights = []
    for _ in range(2):
        utils.set_random_seed(4)
        model = Sequential([layers.Dense(3), layers.Dropout(0.5)])
        out = model(np.ones((4, 2)), training=True)
        weights.append((model.get_weights()[0], out.numpy()))
    np.testing.assert_array_equal(weights[0][0], weights[1][0])
    np.testing.assert_array_equal(weights[0][1], weights[1][1])


def test_interactive_logging_and_names():
    assert config.is_interactive_logging_enabled()
    utils.disable_interactive_logging()
    assert not utils.is_interactive_logging_enabled()
    utils.enable_interactive_logging()
    utils.clear_session()
    assert [layers.Dense(1).name, layers.Dense(1).name] == ["dense", "dense_1"]
