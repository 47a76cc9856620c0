"""What text and hash-consing rest on: constants are nobody else's arrays, and sizes print as they are read."""

import pickle

import numpy as np
import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir import ConstantArray, symbol
from graphkeras.ir.dims import dim_max, parse_dim
from graphkeras.ir.errors import ShapeError

b, n = symbol("b"), symbol("n")


@pytest.mark.parametrize("make", [lambda a: a, lambda a: a[::-1], lambda a: a.T, lambda a: a.view(), np.asfortranarray])
def test_a_constant_leaves_the_callers_array_alone(make):
    source = np.arange(6, dtype=np.float32).reshape(2, 3)
    given = make(source)
    constant = ConstantArray(given)
    before = constant.array.copy()
    source[...] = 7
    assert given.flags.writeable and (constant.array == before).all() and not constant.array.flags.writeable
    assert constant.array.flags.c_contiguous


def test_a_view_that_only_looks_frozen_is_copied():
    source = np.zeros(3, np.float32)
    view = source[:]
    view.flags.writeable = False
    constant = ConstantArray(view)
    source[0] = 1
    assert constant.array[0] == 0


@pytest.mark.parametrize(
    "dim",
    [
        b, 2 * b + 1, b - n, 3 - b, b * b * n, 2 * (b // 3), b * ((b + 1) % 3), (b // 3) * (n // 3), (b // 3) // n,
        dim_max(b, n) * 2 + 1, -(b // 2) + 5, ((b + 1) // 2) % n,
    ],
)  # fmt: skip
def test_sizes_read_back_as_they_print(dim):
    assert parse_dim(repr(dim)) == dim
    for sizes in ({"b": 7, "n": 4}, {"b": 1, "n": 9}):
        assert parse_dim(repr(dim)).evaluate(sizes) == dim.evaluate(sizes)


def test_what_may_be_negative_is_not_taken_for_a_size():
    for expression in ((b - 5) // 3, dim_max(b - 5, n - 7)):
        with pytest.raises(ShapeError, match="depends on sizes"):
            bool(expression >= 0)
    assert (b + 7) // 3 >= 2 and b % 3 >= 0 and dim_max(b - 5, 4) >= 4 and (b - 5) ** 2 != 0
    for lowest in (0, 1, 2, 11):
        assert ((b + 7) // 3).evaluate({"b": lowest}) >= 2


@pytest.mark.parametrize("divided", [lambda: b // 0, lambda: b % 0, lambda: parse_dim("b // 0"), lambda: b // (b - b)])
def test_division_by_zero_is_refused_at_once(divided):
    with pytest.raises(ShapeError, match="divided by zero"):
        divided()


def test_negative_powers_are_refused():
    with pytest.raises(TypeError):
        b**-1


def test_a_copy_has_the_hash_of_this_process():
    size = b + 1
    object.__setattr__(size, "_hash", 12345)  # as another process would have it
    copy = pickle.loads(pickle.dumps(size))
    assert copy == b + 1 and hash(copy) == hash(b + 1)
