import numpy as np
import pytest

from graphkeras import constraints, ops
from graphkeras.ir.errors import UnknownNameError

W = ops.convert_to_tensor(np.array([[3.0, 0.1], [4.0, -0.2]], "float32"))


def norms(constraint, axis=0):
    return np.linalg.norm(constraint(W).numpy(), axis=axis)


def test_values():
    np.testing.assert_allclose(norms(constraints.MaxNorm(2.0)), [2.0, np.hypot(0.1, 0.2)], rtol=1e-5)
    np.testing.assert_allclose(norms(constraints.UnitNorm(axis=1), 1), [1.0, 1.0], rtol=1e-5)
    np.testing.assert_allclose(norms(constraints.MinMaxNorm(1.0, 2.0)), [2.0, 1.0], rtol=1e-5)
    np.testing.assert_allclose(norms(constraints.MinMaxNorm(1.0, 2.0, rate=0.5)), [3.5, (1 + np.hypot(0.1, 0.2)) / 2], rtol=1e-5)
    assert constraints.NonNeg()(W).numpy().tolist() == [[3.0, np.float32(0.1)], [4.0, 0.0]]
    assert constraints.Constraint()(W) is W


@pytest.mark.parametrize("name", ["max_norm", "non_neg", "unit_norm", "min_max_norm", "MaxNorm"])
def test_get_and_config(name):
    constraint = constraints.get(name)
    again = constraints.deserialize(constraints.serialize(constraint))
    assert type(again) is type(constraint) and again.get_config() == constraint.get_config()


def test_unknown():
    assert constraints.get(None) is None
    with pytest.raises(UnknownNameError, match="constraint"):
        constraints.get(1.5)
