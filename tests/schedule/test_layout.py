import numpy as np
import pytest

from graphkeras.ir import symbol
from graphkeras.schedule.layout import Layout, common_refinement, joined_axes, runs

B = symbol("b")


def places(layout):
    """Element numbers that a layout shows."""
    grid = np.indices(layout.shape).reshape(len(layout.shape), -1)
    return (layout.offset + sum(i * s for i, s in zip(grid, layout.strides))) * np.ones(grid.shape[1], int)


def random_view(rng, array, layout):
    """One random view step on an array and its layout."""
    kind = rng.integers(3)
    if kind == 0:
        perm = tuple(rng.permutation(array.ndim).tolist())
        return array.transpose(perm), layout.transposed(perm)
    if kind == 1:
        steps = [int(s) for s in rng.choice([-2, -1, 1, 2], array.ndim)]
        starts = [0 if s > 0 else d - 1 for s, d in zip(steps, array.shape)]
        view = array[tuple(slice(None, None, s) for s in steps)]
        return view, layout.sliced(starts, steps, view.shape)
    shape = list(array.shape)
    if rng.random() < 0.5 or len(shape) < 2:
        shape.insert(int(rng.integers(len(shape) + 1)), 1)
    else:
        i = int(rng.integers(len(shape) - 1))
        shape[i : i + 2] = [shape[i] * shape[i + 1]]
    new = layout.reshaped(tuple(shape))
    return (array, layout) if new is None else (array.reshape(shape), new)


@pytest.mark.parametrize("seed", range(40))
def test_views_of_views_show_the_elements_numpy_shows(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(d) for d in rng.integers(1, 5, rng.integers(1, 4)))
    array, layout = np.arange(np.prod(shape)).reshape(shape), Layout.contiguous(shape)
    for _ in range(5):
        array, layout = random_view(rng, array, layout)
        np.testing.assert_array_equal(places(layout), array.reshape(-1))


def test_reshape_of_a_transpose_has_no_strides():
    assert Layout.contiguous((3, 4)).transposed((1, 0)).reshaped((12,)) is None
    assert Layout.contiguous((3, 4, 5)).transposed((2, 0, 1)).reshaped((5, 12)) == Layout((5, 12), (1, 5))


def test_symbolic_sizes_split_and_join():
    layout = Layout.contiguous((B, 6, 4))
    assert layout.reshaped((B * 6, 4)).reshaped((B, 24)) == Layout.contiguous((B, 24))
    assert layout.transposed((2, 0, 1)).reshaped((4, B * 6)) == Layout((4, 6 * B), (1, 4))
    assert layout.broadcast((3, B, 6, 4)).strides == (0, 24, 4, 1)


def test_refinements():
    assert common_refinement((B, 6), (B * 2, 3)) == (B, 2, 3)
    assert common_refinement((6, 4), (4, 6)) is None
    assert common_refinement((B, 1, 5), (1, B, 5)) == (B, 5)
    assert common_refinement((B,), (5,)) is None
    assert runs((6, 4), (2, 3, 4)) == [slice(0, 2), slice(2, 3)]


def test_axes_join_only_where_all_operands_allow():
    assert joined_axes((2, 3, 4), [(12, 4, 1), (0, 4, 1)]) == ([2, 12], [[12, 1], [0, 1]])
    assert joined_axes((B, 4), [(4, 1)]) == ([B * 4], [[1]])
    assert joined_axes((), []) == ([], [])
