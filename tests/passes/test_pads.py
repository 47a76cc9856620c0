import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import gradients
from graphkeras.ir import TensorSpec, symbol
from graphkeras.passes import run
from graphkeras.runtime.interpreter import interpret
from graphkeras.trace import trace

B = symbol("batch")


def slopes(*places, axis=1, size=12):
    """Graph of the gradient of a sum over slices of one value."""

    def function(x):
        parts = [x[:, a:b] if axis == 1 else x[a:b] for a, b in places]
        y = sum(ops.sum(f(p)) for f, p in zip((ops.sin, ops.exp, ops.square, ops.tanh), parts))
        return gradients([y], [x])[0]

    return trace(function, [TensorSpec((B, size) if axis == 1 else (size, B))])


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("places", [((0, 4), (4, 8), (8, 12)), ((5, 12), (0, 2), (2, 5)), ((0, 6), (6, 12))])
def test_parts_that_fill_the_whole_are_joined(places, axis):
    graph = slopes(*places, axis=axis)
    done = run(graph, verify=True)[0]
    assert [n.op for n in done.nodes].count("concatenate") == 1
    assert "pad" not in [n.op for n in done.nodes]
    x = np.random.default_rng(0).normal(size=(3, 12) if axis else (12, 3)).astype("float32")
    np.testing.assert_array_equal(interpret(done, [x])[0], interpret(graph, [x])[0])


@pytest.mark.parametrize("places", [((0, 4), (4, 8)), ((0, 7), (6, 12)), ((1, 6), (6, 12)), ((0, 6), (7, 12))])
def test_parts_with_gaps_or_overlaps_stay(places):
    done = run(slopes(*places))[0]
    assert "concatenate" not in [n.op for n in done.nodes]
    assert "pad" in [n.op for n in done.nodes]
