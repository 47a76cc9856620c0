import numpy as np
import pytest

from graphkeras import ops, regularizers
from graphkeras.ir.errors import ArgumentError, ShapeError, UnknownNameError
from graphkeras.testing import check_gradients

X = np.array([[1.0, -2.0], [0.5, 3.0]])


def value(regularizer, x=X):
    return float(regularizer(ops.convert_to_tensor(x)))


def test_values():
    assert value(regularizers.L1(0.1)) == pytest.approx(0.65)
    assert value(regularizers.L2(0.1)) == pytest.approx(1.425)
    assert value(regularizers.L1L2(0.1, 0.1)) == pytest.approx(2.075)
    assert value(regularizers.L1L2()) == 0.0
    assert value(regularizers.Regularizer()) == 0.0
    cosine = abs(1 * 0.5 - 2 * 3) / (np.hypot(1, 2) * np.hypot(0.5, 3))
    assert value(regularizers.OrthogonalRegularizer(0.1)) == pytest.approx(0.1 * cosine, rel=1e-5)
    assert value(regularizers.OrthogonalRegularizer(mode="columns"), np.eye(3)) == pytest.approx(0.0)


@pytest.mark.parametrize("name", ["l1", "l2", "l1_l2", "orthogonal_regularizer"])
def test_get_config_and_gradient(name):
    regularizer = regularizers.get(name)
    again = regularizers.deserialize(regularizers.serialize(regularizer))
    assert type(again) is type(regularizer) and again.get_config() == regularizer.get_config()
    check_gradients(regularizer, [X], order=1)


def test_get():
    assert regularizers.get(None) is None and isinstance(regularizers.get(regularizers.L1), regularizers.L1)
    assert regularizers.get(abs) is abs
    with pytest.raises(UnknownNameError, match="regularizer identifier: 3"):
        regularizers.get(3)


def test_wrong_arguments():
    with pytest.raises(ArgumentError, match="l1"):
        regularizers.L1(float("nan"))
    with pytest.raises(ArgumentError, match="mode"):
        regularizers.OrthogonalRegularizer(mode="x")
    with pytest.raises(ShapeError, match="rank 2"):
        regularizers.OrthogonalRegularizer()(ops.ones((2,)))
