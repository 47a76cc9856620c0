import numpy as np
import pytest

from graphkeras.ir.dims import symbol
from graphkeras.ir.errors import DataError
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops.getitem import TensorIndexError
from graphkeras.testing.evaluate import evaluate
from graphkeras.trace import Tensor, trace

X = np.arange(120, dtype="float32").reshape(4, 5, 6)
MASK = X[:, :, 0] % 4 == 0
ALL = slice(None)
KEYS = [
    0, -1, (0, 1), (0, 1, 2), slice(1, 3), (ALL, slice(None, None, -1)), (..., 0), (None, ..., None, 1), slice(3, 0, -2), [0,
    2], (ALL, [0, 2]), ([0, 1], [2, 3]), ([0, 1], ALL, [2, 3]), (0, ALL, [1, 2]), (ALL, 0, [1, 2]), ([[0], [1]], [2, 3, -1]),
    MASK, (MASK, 0), (MASK, slice(1, 3)), (..., np.array([True, False] * 3)), (ALL, None, [1, 1]), np.array(2), (np.int64(1),
    slice(-2, None)), (slice(None, None, 2), slice(-1, None, -2), slice(10, None)), (slice(2, 100), slice(-100, 2)), slice(5,
    2), ([],), (0, [1], ALL, None), ([1], None, [2]), (ALL, ALL, -1), (slice(None, -1), slice(1, None), slice(2, -2)), (), ...,
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_as_numpy(key):
    expected = X[key]
    got = Tensor(X)[key]
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got.array, expected)


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("first", [4, symbol("b")], ids=str)
def test_traced_as_numpy(key, first):
    graph = trace(lambda x: x[key], [TensorSpec((first, 5, 6))])
    np.testing.assert_array_equal(evaluate(graph, [X])[0][0], X[key])


@pytest.mark.parametrize("first", [4, symbol("b")], ids=str)
@pytest.mark.parametrize(
    "make", [lambda x, i: x[i], lambda x, i: x[:, i], lambda x, i: x[i, i], lambda x, i: x[i, :, i], lambda x, i: x[0, i]]
)
def test_index_known_only_to_the_graph(make, first):
    index = np.array([3, -1, 0], "int32")
    graph = trace(make, [TensorSpec((first, 5, 6)), TensorSpec((3,), "int32")])
    np.testing.assert_array_equal(evaluate(graph, [X, index])[0][0], make(X, index))


def test_slices_of_an_unknown_size_have_one_form():
    """x[1:] and x[:-1] have the same symbolic size, so they can be added."""
    graph = trace(lambda x: x[1:] + x[:-1], [TensorSpec((symbol("b"), 2))])
    x = np.float32([[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(evaluate(graph, [x])[0][0], x[1:] + x[:-1])


def test_a_stop_beyond_an_unknown_size_is_cut():
    graph = trace(lambda x: x[:10], [TensorSpec((symbol("b"),))])
    for n in (3, 10, 12):
        assert evaluate(graph, [np.zeros(n, "float32")])[0][0].shape == (min(n, 10),)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (7, "index 7 is out of range for axis 0 of size 4"),
        ((0, 0, 0, 0), "4 indices for a tensor of rank 3"),
        ((..., ...), "more than one ellipsis"),
        ("a", "str is not an index"),
        (1.5, "float is not an index"),
        (True, "a Python boolean is not an index"),
        (np.ones(3, bool), r"a mask of shape \(3,\) does not fit axis 0"),
        (np.ones(3), "an array of float64 is not an index"),
        (slice(None, None, 0), "step"),
        (([0, 9], [0, 1]), "an index of axis 0 is out of range"),
    ],
    ids=str,
)
def test_errors(key, message):
    with pytest.raises((TensorIndexError, ValueError), match=message):
        Tensor(X)[key]


def test_an_index_array_out_of_range_says_which():
    with pytest.raises(DataError, match="index 9 is out of range for an axis of size 4"):
        Tensor(X)[np.array([0, 9])]


def test_a_symbolic_mask_is_refused_with_a_way_out():
    with pytest.raises(TensorIndexError, match=r"mend: +use ops.where"):
        trace(lambda x: x[x > 0], [TensorSpec((4,))])
