"""Derivatives of products at zeros, where dividing by the element gives nothing."""

import numpy as np
import pytest

from graphkeras.testing.gradients import check_gradients
from graphkeras.trace import prim


@pytest.mark.parametrize("zeros", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_product_at_zeros(zeros, order):
    x = np.array([[1.5, -2.0, 0.7, 1.1], [0.5, 2.0, -0.3, 0.9]])
    x[0, :zeros] = 0.0
    check_gradients(lambda x: prim.reduce_prod(x, axes=(1,), keepdims=False), [x], order)


def test_product_over_several_axes():
    x = np.random.default_rng(0).uniform(0.5, 1.5, (2, 3, 2))
    x[0, 1, 0] = x[0, 2, 1] = x[1, 1, 0] = 0.0
    check_gradients(lambda x: prim.reduce_prod(x, axes=(0, 2), keepdims=True), [x], 2)
