"""Rules about pooling."""

import pytest

from graphkeras.ir import Graph
from graphkeras.passes.joint.pools import relu_after_max_pool, relu_before_max_pool_gradient
from graphkeras.testing import check_rule
from tests.lowering.programs import arg, const, op

ATTRS = {"window": (2, 2), "strides": (2, 1), "padding": ((0, 1), (0, 0))}


def forward(then_relu, attrs=ATTRS):
    x = arg("x", (2, 5, 4, 3))
    y = op("relu", op("max_pool", x, **attrs)) if then_relu else op("max_pool", op("relu", x), **attrs)
    return Graph("g", [x], [y])


def backward(then_relu, below=0):
    x, ct = arg("x", (2, 5, 4, 3)), arg("ct", (2, 3, 3, 3))
    zero = const(0)
    if then_relu:
        positive = op("greater", op("relu", op("max_pool", x, **ATTRS)), zero)
        return Graph("g", [x, ct], [op("max_pool_gradient", op("select", positive, ct, zero), x, **ATTRS)])
    y = op("relu", x)
    dx = op("select", op("greater", y, const(below)), op("max_pool_gradient", ct, y, **ATTRS), zero)
    return Graph("g", [x, ct], [dx])


def test_relu_after_max_pool():
    check_rule(relu_after_max_pool, before=forward(False), after=forward(True))


def test_windows_outside_stay():
    check_rule(relu_after_max_pool, before=forward(False, ATTRS | {"padding": ((2, 0), (0, 0))}), after=None)


def test_relu_before_max_pool_gradient():
    check_rule(relu_before_max_pool_gradient, before=backward(False), after=backward(True), gradient=False)


@pytest.mark.parametrize("below", [1, -1])
def test_other_thresholds_stay(below):
    check_rule(relu_before_max_pool_gradient, before=backward(False, below), after=None)
