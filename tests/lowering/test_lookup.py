"""Rows of tables that kernels read where they lie, instead of copies of them."""

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import ops
from graphkeras.debug import flags
from graphkeras.ir import Graph, symbol
from graphkeras.ir.errors import DataError
from graphkeras.runtime.program import Program
from tests.lowering.programs import arg, args_like, check, const, kinds, normal, op

B = symbol("b")
TAKEN = ["pointwise", "pointwise"]  # the check of the indices, and the rows with all that is made of them


@pytest.fixture
def small_products_too(monkeypatch):
    monkeypatch.setattr("graphkeras.schedule.recompute.LEAST_BYTES", 0)
    monkeypatch.setattr("graphkeras.schedule.recompute.LEAST_LOOKED_UP_BYTES", 0)


def indices(limit, shape, seed=0, dtype="int32", low=None):
    return np.random.default_rng(seed).integers(-limit if low is None else low, limit, shape).astype(dtype)


def taken(x, at, axis=0):
    return op("gather", x, at, axis=axis)


def product(a, b, **attrs):
    return op("matmul", a, b, **{"transpose_a": False, "transpose_b": False, **attrs})


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int8", "bool"])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("axis", [0, 1])
def test_rows_are_part_of_a_pointwise_kernel(axis, shape, dtype):
    x = normal(7, 6, 19).astype("float32").astype("bool" if dtype == "bool" else "float32")
    at = indices((7, 6)[axis], shape)
    inputs = args_like(x, at)
    table = op("cast", op("identity", inputs[0]), dtype=dtype) if dtype != "float32" else inputs[0]
    other = op("cast", taken(table, inputs[1], axis), dtype="float32")
    made = check(Graph("f", inputs, [op("add", other, const(1.0))]), (x, at))
    assert kinds(made)[-2:] == TAKEN


def test_rows_of_several_tables_and_positions_are_added_in_one_kernel():
    words, places, ids = normal(50, 32), normal(9, 32), indices(50, (4, 9), dtype="int64")
    inputs = args_like(words, places, ids)
    total = op("add", op("add", taken(inputs[0], inputs[2]), inputs[1]), taken(inputs[0], op("negative", inputs[2])))
    made = check(Graph("f", inputs, [op("maximum", total, const(0.0))]), (words, places, indices(50, (4, 9), dtype="int64", low=0)))
    assert [len(g.nodes) for g in made.schedule.groups if "lookup" in str(g)] == [5]


@pytest.mark.parametrize("axes", [(2,), (1, 2)])
def test_rows_are_read_again_in_each_walk_of_a_row_kernel(axes):
    x, at = normal(11, 40), indices(11, (6, 3))
    inputs = args_like(x, at)
    rows = taken(*inputs)
    shifted = op("subtract", rows, op("reduce_max", rows, axes=(2,), keepdims=True))
    made = check(Graph("f", inputs, [op("reduce_sum", op("exp", shifted), axes=axes, keepdims=False)]), (x, at))
    assert "lookup" in [n.op for g in made.schedule.groups if g.kind == "row" for n in g.nodes]


def test_columns_are_summed_over_rows_where_they_lie():
    x, at = normal(11, 70), indices(11, (300,))
    inputs = args_like(x, at)
    made = check(Graph("f", inputs, [op("reduce_sum", taken(*inputs), axes=(0,), keepdims=False)]), (x, at), tolerance=1e-4)
    assert kinds(made) == ["pointwise", "column"]


def test_a_lookup_is_added_in_the_tiles_of_a_product():
    a, b, x, at = normal(30, 20), normal(20, 40), normal(11, 40), indices(11, (30,))
    inputs = args_like(a, b, x, at)
    made = check(Graph("f", inputs, [op("add", product(*inputs[:2]), taken(*inputs[2:]))]), (a, b, x, at))
    assert kinds(made) == ["pointwise", "contraction"]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("operand", [0, 1])
@pytest.mark.usefixtures("small_products_too")
def test_a_product_looks_its_operand_up_in_blocks(operand, turned):
    table, at = normal(21, 90), indices(21, (70,))
    inputs = args_like(table, at)
    rows = op("maximum", taken(*inputs), const(0.0))
    shape = (70, 33) if turned ^ (operand == 1) else (90, 33)
    shape = shape[::-1] if operand else shape
    other = normal(*shape, seed=2)
    inputs += [arg("other", shape)]
    sides = [inputs[2], inputs[2]]
    sides[operand] = rows
    made = check(Graph("f", inputs, [product(*sides, **{f"transpose_{'ab'[operand]}": turned})]), (table, at, other), tolerance=1e-4)
    assert kinds(made) == ["pointwise", "contraction"] and "prologue" in made.describe()


def test_a_product_looks_up_a_copy_unless_that_is_too_large_for_a_cache():
    def refusals(rows):
        inputs = [arg("x", (rows, 64)), arg("at", (rows,), "int32"), arg("w", (64, 64))]
        made = Program(Graph("f", inputs, [product(taken(*inputs[:2]), inputs[2])]))
        return "prologue" in made.describe(), any("no nearer than a copy" in str(r) for r in made.schedule.refusals)

    assert refusals(2000) == (False, True) and refusals(1 << 17) == (True, False)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "bool"])
@pytest.mark.parametrize("shape, axis, at", [((9,), 0, (37,)), ((9,), 0, ()), ((5, 9), 1, (4,)), ((5, 9), 1, ()), ((6, 9, 1), 1, (2, 20))])
def test_single_elements_are_found_lane_by_lane(shape, axis, at, dtype):
    x, places = normal(*shape).astype(dtype), indices(9, at, dtype="int64")
    inputs = args_like(x, places)
    found = op("cast", taken(*inputs, axis), dtype="float32")
    made = check(Graph("f", inputs, [op("add", found, const(1.0))]), (x, places))
    assert kinds(made) == TAKEN


def test_single_elements_in_rows_columns_and_tiles():
    x, at, a, b = normal(50), indices(50, (70, 30)), normal(70, 20), normal(20, 30)
    inputs = args_like(x, at, a, b)
    found = taken(*inputs[:2])
    rows = op("reduce_sum", op("exp", found), axes=(1,), keepdims=False)
    columns = op("reduce_sum", found, axes=(0,), keepdims=False)
    tiles = op("add", product(*inputs[2:]), found)
    for result, kind in ((rows, "row"), (columns, "column"), (tiles, "contraction")):
        made = check(Graph("f", inputs, [result]), (x, at, a, b), tolerance=1e-4)
        assert kinds(made) == ["pointwise", kind]


@pytest.mark.parametrize("shape", [(20, 16), (320,), (1, 16)])
def test_results_are_never_written_over_a_table_of_their_size(shape):
    x, at = normal(*shape), indices(shape[0], shape[:1])
    inputs = args_like(x, at)
    table = op("sort", op("exp", inputs[0]), axis=0)
    check(Graph("f", inputs, [op("sort", op("add", taken(table, inputs[1]), const(1.0)), axis=0)]), (x, at))


def test_a_view_of_a_table_is_not_copied():
    x, at = normal(32, 6, 9), indices(9, (70,))
    inputs = args_like(x, at)
    part = op("slice", inputs[0], starts=(0, 2, 0), stops=(32, 3, 9), strides=(1, 1, 1))
    column = op("transpose", op("reshape", part, shape=(32, 9)), perm=(1, 0))
    made = check(Graph("f", inputs, [op("exp", taken(column, inputs[1]))]), (x, at))
    assert kinds(made) == TAKEN


def test_short_runs_and_what_is_needed_in_another_order_stay_apart():
    x, at, y = normal(5, 32), indices(5, (4,)), normal(32, 4)
    inputs = args_like(x, at, y)
    other = op("add", op("transpose", taken(*inputs[:2]), perm=(1, 0)), inputs[2])
    assert len(check(Graph("f", inputs, [other]), (x, at, y)).schedule.groups) == 3
    shorter = op("exp", taken(op("reshape", inputs[0], shape=(20, 8)), inputs[1]))
    assert kinds(check(Graph("f", inputs[:2], [shorter]), (x, at))) == ["gather", "pointwise"]


def test_sizes_known_at_run_time():
    table, at = arg("table", (9, 24)), arg("at", (B, 3), "int32")
    rows = op("exp", taken(table, at))
    for b in (1, 4, 0):
        check(Graph("f", [table, at], [rows]), (normal(9, 24), indices(9, (b, 3), seed=b)))


@pytest.mark.parametrize("shape, axis", [((40,), 0), ((5, 40), 0), ((40, 20), 0)])
def test_numbers_that_are_made_in_place_are_looked_up(shape, axis):
    at = indices(shape[0], (30,))
    counted = op("iota", shape=shape, axis=axis, dtype="int32")
    inputs = args_like(at)
    check(Graph("f", inputs, [op("add", taken(counted, inputs[0]), const(1, "int32"))]), (at,))


def test_a_table_that_may_be_empty_is_gathered():
    table, at = arg("table", (B, 24)), arg("at", (3,), "int32")
    program = Program(Graph("f", [table, at], [op("exp", taken(table, at))]))
    assert kinds(program) == ["gather", "pointwise"]
    with pytest.raises(DataError, match="index 0 is out of range"):
        program(normal(0, 24), np.zeros(3, "int32"))


@pytest.mark.parametrize("bad", [7, -8, 2**31 - 1, -(2**31)])
def test_an_index_out_of_range_is_named_and_nothing_outside_is_read(bad):
    table, at = normal(7, 16), np.array([0, 3, bad, 9], "int32")
    function = keras.function(lambda x, i: ops.sum(ops.exp(ops.take(x, i, axis=0)), axis=0))
    with pytest.raises(DataError, match=rf"index {bad} is out of range") as caught:
        function(table, at)
    assert "flat position 2" in str(caught.value) and "[-7, 7)" in str(caught.value)


@pytest.mark.parametrize("dtype", ["int32", "uint64", "int8"])
def test_constants_in_range_need_no_check(dtype):
    x = normal(300, 16)
    inputs = args_like(x)
    order = const([3, 99, 0, 7], dtype)
    made = check(Graph("f", inputs, [op("exp", taken(inputs[0], order))]), (x,))
    assert kinds(made) == ["pointwise"]
    with pytest.raises(DataError, match="gather: index 99 is out of range"):
        short = arg("x", (99, 16))
        Program(Graph("f", [short], [taken(short, order)]))(x[:99])


@pytest.mark.parametrize("width", [1, 3, 16])
def test_the_largest_unsigned_index_is_not_the_last_element(width):
    table, at = normal(7, width), np.array([0, 2**64 - 1], "uint64")
    with pytest.raises(DataError, match="out of range"):
        keras.function(lambda x, i: ops.take(x, i, axis=0))(table, at)


def test_a_step_with_a_bad_index_changes_nothing():
    model = keras.Sequential([keras.Input((3,), dtype="int32"), Words(), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    x, y = indices(10, (8, 3), low=0), normal(8, 2)
    model.fit(x, y, verbose=0)
    before = [w.numpy().copy() for w in model.weights]
    x[5, 1] = 10
    with pytest.raises(DataError, match="index 10 is out of range"):
        model.fit(x, y, verbose=0)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.weights))


class Words(keras.layers.Layer):
    """A table of ten words."""

    def build(self, shape):
        self.table = self.add_weight(shape=(10, 16), initializer="uniform", name="table")

    def call(self, ids):
        return ops.relu(ops.take(self.table, ids, axis=0))


def test_steps_over_words_are_equal_in_every_execution():
    losses = {}
    for mode in ("compiled", "strict", "eager"):
        with flags.EXECUTION(mode):
            keras.utils.set_random_seed(4)
            model = keras.Sequential([keras.Input((3,), dtype="int32"), Words(), keras.layers.Flatten(), keras.layers.Dense(2)])
            model.compile("adam", "mse", run_eagerly=mode == "eager")
            losses[mode] = model.fit(indices(10, (40, 3), low=0), normal(40, 2), epochs=3, batch_size=16, verbose=0).history["loss"]
    assert losses["compiled"] == losses["strict"]
    np.testing.assert_allclose(losses["compiled"], losses["eager"], rtol=1e-5)
