"""Faults that random graphs have shown, each cut down to a few nodes."""

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import grad
from graphkeras.ir import TensorSpec, symbol
from graphkeras.passes import run
from graphkeras.runtime.program import Program
from graphkeras.testing.rules import gradient_graph
from graphkeras.trace import prim, trace

B = symbol("b")


def gradient_program(fn, *shapes):
    return Program(run(gradient_graph(trace(fn, [TensorSpec(shape) for shape in shapes])))[0])


def test_the_gradient_of_one_row_of_a_symbolic_batch():
    # The pad of the gradient is b - 1 wide, which a rule took for a truth value.
    program = gradient_program(lambda x: prim.slice(x, starts=(0, 0), stops=(1, 3), strides=(1, 1)), (B, 3))
    for n in (1, 4):
        (found,) = program(np.ones((n, 3), "float32"), np.full((1, 3), 2, "float32"))
        assert found[0].tolist() == [2, 2, 2] and not found[1:].any()


@pytest.mark.parametrize("length", [1, 4, 7])
def test_the_gradient_of_a_transform_along_a_symbolic_axis(length):
    # It was cut where it had to be filled up, and read what lies behind the array.
    bins = length // 2 + 1
    program = gradient_program(lambda x: prim.rfft(x, length=length), (B,))
    for n in (1, 3, 4, 9):
        (found,) = program(np.zeros(n, "float32"), np.ones(bins, "float32"), np.zeros(bins, "float32"))
        frequencies = np.exp(-2j * np.pi * np.outer(np.arange(bins), np.arange(n)) / length)
        expected = np.where(np.arange(n) < length, frequencies.real.sum(0), 0)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_barrier_lets_ops_without_gradient_through():
    # `nextafter` has none, and says: use stop_gradient. Behind one it asked for its gradient all the same.
    found = grad(lambda x: ops.sum(x * prim.nextafter(ops.stop_gradient(x), ops.floor(x))))(np.float32([1.5, -2.5]))
    np.testing.assert_allclose(found, [1.5, -2.5], rtol=1e-6)
