import numpy as np
import pytest

from graphkeras import KerasTensor, ops
from graphkeras.ir import TensorSpec
from graphkeras.ir.errors import ArgumentError, DataError, ShapeError
from graphkeras.runtime.program import Program
from graphkeras.testing.gradients import check_gradients
from graphkeras.trace import apply, trace
from tests.ops.families import check_function

RNG = np.random.default_rng(5)
ROWS = RNG.normal(size=(7, 3)).astype("float32")
IDS = np.array([0, 3, 3, 1, 0, -1, 3], "int32")


@pytest.mark.parametrize(("name", "how"), [("max", np.max), ("min", np.min), ("prod", np.prod)])
def test_segments(name, how):
    got = check_function(lambda x, ids: getattr(ops, f"segment_{name}")(x, ids, num_segments=5), ROWS, IDS, batch=True)[0]
    for segment in (0, 1, 3):
        np.testing.assert_allclose(got[segment], how(ROWS[segment == IDS], axis=0), rtol=1e-6)
    empty = {"max": np.finfo(np.float32).min, "min": np.finfo(np.float32).max, "prod": 1.0}[name]
    assert (got[[2, 4]] == np.float32(empty)).all()
    assert getattr(ops, f"segment_{name}")(ROWS, IDS).shape == (4, 3)


def test_ids_are_a_vector_with_one_id_for_each_row():
    with pytest.raises(ShapeError, match=r"(?s)segment_max: Argument `segment_ids` should be an 1-D vector.*got:.*mend:"):
        ops.segment_max(ROWS[:6].reshape(2, 3, 3), np.array([[0, 1, 0], [1, 1, 0]]))
    with pytest.raises(ShapeError, match=r"(?s)`segment_ids` and `data` should have same leading dimension.*got:.*mend:"):
        ops.segment_sum(ROWS[:6], np.arange(5))


def test_slices_take_the_rest_of_an_axis_and_computed_starts():
    x = np.arange(12.0, dtype="float32").reshape(3, 4)
    assert ops.slice(x, (1, 1), (-1, -1)).tolist() == x[1:, 1:].tolist()
    got = check_function(lambda a, s: ops.slice(a, s, (2, 2)), x, np.array([1, 2], "int64"))[0]
    assert got.tolist() == x[1:3, 2:4].tolist()
    assert ops.slice(KerasTensor((None, 3)), (1, 1), (-1, -1)).shape == (None, 2)


@pytest.mark.parametrize(("starts", "shape", "name"), [((1, 1), (2, 2, 2), "shape"), ((1, 1, 1), (2, 2), "start_indices")])
def test_slice_wants_one_number_for_each_axis(starts, shape, name):
    with pytest.raises(ShapeError, match=rf"(?s)dimensions in `inputs` must match .* dimensions in `{name}`.*got:.*mend:"):
        ops.slice(np.ones((3, 3)), starts, shape)


@pytest.mark.parametrize("reduction", [None, "add", "max", "min", "mul"])
def test_scatter_update(reduction):
    x, at, new = (
        RNG.normal(size=(4, 3, 2)).astype("f4"),
        np.array([[1, 2], [3, 0], [1, 2]], "int32"),
        RNG.normal(size=(3, 2)).astype("f4"),
    )
    got = check_function(lambda a, b, c: ops.scatter_update(a, b, c, reduction=reduction), x, at, new)[0]
    want = x.copy()
    for place, update in zip(at, new):
        old = want[tuple(place)]
        want[tuple(place)] = {None: update, "add": old + update, "mul": old * update}.get(
            reduction, np.maximum(old, update) if reduction == "max" else np.minimum(old, update)
        )
    np.testing.assert_allclose(got, want, rtol=1e-6)
    check_gradients(lambda a, c: ops.scatter_update(a, at, c, reduction=reduction), [x, new], order=1)


@pytest.mark.parametrize("start", [(0, 0), (2, 1), (3, 5), (-1, 0)])
def test_slice_update_moves_inside(start):
    x, new = RNG.normal(size=(4, 6)).astype("f4"), np.ones((2, 3), "f4")
    want, (i, j) = x.copy(), (max(0, min(start[0], 2)), max(0, min(start[1], 3)))
    want[i : i + 2, j : j + 3] = 1
    assert np.array_equal(check_function(lambda a, b: ops.slice_update(a, start, b), x, new)[0], want)
    at = np.array(start, "int32")
    assert np.array_equal(check_function(lambda a, s, b: ops.slice_update(a, s, b), x, at, new)[0], want)
    assert np.array_equal(ops.slice_update(x, at, new).numpy(), want)
    check_gradients(lambda a, b: ops.slice_update(a, start, b), [x, new])


def test_slices_that_begin_at_computed_places():
    x = RNG.normal(size=(4, 6)).astype("f4")
    fn = lambda a, s: ops.slice(a, (s, 1), (2, 3))
    assert np.array_equal(check_function(fn, x, np.array(2, "int32"))[0], x[2:4, 1:4])
    program = Program(trace(fn, [TensorSpec((4, 6)), TensorSpec((), "int32")]))
    with pytest.raises(DataError, match="out of range"):
        program(x, np.array(3, "int32"))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ops.segment_max(ROWS, [0, 1]), ShapeError),
        (lambda: ops.segment_max(ROWS, np.full(7, 5), num_segments=5), DataError),
        (lambda: trace(ops.segment_max, [TensorSpec((7, 3)), TensorSpec((7,), "int32")]), ArgumentError),
        (lambda: ops.scatter_update(ROWS, [[0, 9]], [1.0]), DataError),
        (lambda: ops.scatter_update(ROWS, [[0, 0]], [1.0], reduction="mean"), ArgumentError),
        (lambda: ops.scatter_update(ROWS, [[0, 0, 0]], [1.0]), ShapeError),
        (lambda: ops.slice_update(ROWS, [0], [[1.0]]), ShapeError),
    ],
)
def test_errors_have_four_parts(call, error):
    with pytest.raises(error) as caught:
        call()
    assert "got:" in str(caught.value)


@pytest.mark.parametrize(
    ("x", "updates"), [([0.0, 2.0], [0.0, 3.0, 0.0]), ([2.0, 0.0], [0.0, 0.0, 0.0]), ([0.0, 0.0], [1.5, 0.0, 2.0])]
)
def test_gradients_of_gradients_of_products_with_many_zeros(x, updates):
    product = lambda x, u: apply("scatter_reduce", x, np.array([0, -2, 1], "int32"), u, how="mul")
    check_gradients(product, [np.float32(x), np.float32(updates)], order=3)
