"""Pointwise nodes that products make on the way into their packed operands: the same bits, and nothing stored."""

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import ops
from graphkeras.debug import flags
from graphkeras.ir import Graph
from graphkeras.ir.dims import symbol
from graphkeras.ir.dtypes import numpy_dtype
from tests.lowering.programs import arg, check, const, kinds, normal, op


@pytest.fixture(autouse=True)
def small_operands_too(monkeypatch):
    monkeypatch.setattr("graphkeras.schedule.recompute.LEAST_BYTES", 0)


def shifted(x, vector):
    """relu(x - vector), a cheap value."""
    zero = const(0.0, x.dtype)
    return op("maximum", op("subtract", x, vector), zero)


def product(a, b, **attrs):
    return op("matmul", a, b, **{"transpose_a": False, "transpose_b": False, **attrs})


def only_group(program):
    (group,) = program.schedule.groups
    return group


FORMS = {  # shapes of A and B as they lie in memory, and which operand it pays to make in blocks
    "straight": ((70, 90), (90, 65), {}, (0, 1)),
    "a turned": ((90, 70), (90, 65), {"transpose_a": True}, (0, 1)),
    "b turned": ((70, 90), (65, 90), {"transpose_b": True}, (0, 1)),
    "both turned": ((90, 70), (65, 90), {"transpose_a": True, "transpose_b": True}, (0, 1)),
    "one row": ((1, 90), (90, 65), {}, ()),
    "one turned column": ((90, 1), (90, 65), {"transpose_a": True}, (0,)),
    "few rows": ((5, 90), (90, 65), {}, (0,)),
    "many blocks of K": ((30, 1300), (1300, 40), {}, (0, 1)),
    "many blocks of K, turned": ((1300, 30), (40, 1300), {"transpose_a": True, "transpose_b": True}, (0, 1)),
    "beyond the kept K": ((300, 2500), (2500, 300), {}, (0, 1)),
    "empty K": ((20, 0), (0, 30), {}, ()),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operand", [0, 1])
@pytest.mark.parametrize("form", FORMS)
def test_an_operand_is_made_in_blocks(form, operand, dtype):
    *shapes, attrs, pays = FORMS[form]
    a, b, v = (arg(n, s, dtype) for n, s in zip("abv", (*shapes, (shapes[operand][-1],))))
    sides = [a, b]
    sides[operand] = shifted(sides[operand], v)
    data = [normal(*s, seed=i, dtype=dtype) for i, s in enumerate((*shapes, v.shape))]
    program = check(Graph("f", [a, b, v], [product(*sides, **attrs)]), tuple(data), tolerance=1e-3 if dtype == "float32" else 1e-10)
    assert kinds(program) == (["contraction"] if operand in pays else ["pointwise", "contraction"])
    assert list(program.schedule.groups[-1].prologues) == ([operand] if operand in pays else [])


def test_few_uses_do_not_pay():
    a, b, v = arg("a", (64, 90)), arg("b", (90, 15)), arg("v", (90,))
    data = tuple(normal(*x.shape, seed=i) for i, x in enumerate((a, b, v)))
    program = check(Graph("f", [a, b, v], [product(shifted(a, v), b)]), data, tolerance=1e-3)
    assert any("is used 15 times, which does not pay" in r.reason for r in program.schedule.refusals)


@pytest.mark.parametrize(("rows", "stored"), [(1023, True), (1024, False)])
def test_small_operands_are_stored(rows, stored, monkeypatch):
    monkeypatch.undo()
    a, b, v = arg("a", (rows, 64)), arg("b", (64, 32)), arg("v", (64,))
    data = tuple(normal(*x.shape, seed=i) for i, x in enumerate((a, b, v)))
    program = check(Graph("f", [a, b, v], [product(shifted(a, v), b)]), data, tolerance=1e-3)
    assert any("small enough to stay" in r.reason for r in program.schedule.refusals) == stored
    assert kinds(program) == (["pointwise", "contraction"] if stored else ["contraction"])


def test_both_operands_and_the_tiles_at_once():
    a, b, v, w = arg("a", (130, 96)), arg("b", (96, 80)), arg("v", (96,)), arg("w", (80,))
    y = op("maximum", op("add", product(shifted(a, v), shifted(b, w)), w), const(0.0))
    data = tuple(normal(*x.shape, seed=i) for i, x in enumerate((a, b, v, w)))
    group = only_group(check(Graph("f", [a, b, v, w], [y]), data, tolerance=1e-3))
    assert sorted(group.prologues) == [0, 1] and group.has_epilogue


def test_small_integers_are_widened_in_blocks():
    a, b = arg("a", (64, 200), "uint8"), arg("b", (200, 48))
    wide = op("multiply", op("cast", a, dtype="float32"), const(1 / 255))
    data = (np.random.default_rng(0).integers(0, 256, (64, 200)).astype("uint8"), normal(200, 48))
    program = check(Graph("f", [a, b], [product(wide, b)]), data, tolerance=1e-4)
    assert list(only_group(program).prologues) == [0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_widened_in_blocks(dtype):
    a, b = arg("a", (64, 200), dtype), arg("b", (200, 64), dtype)
    data = tuple(normal(*x.shape, seed=i).astype(numpy_dtype(dtype)) for i, x in enumerate((a, b)))
    program = check(Graph("f", [a, b], [product(a, b)]), data, tolerance=0.3)
    assert sorted(only_group(program).prologues) == [0, 1]


def test_batches_of_products():
    a, b, v = arg("a", (5, 40, 64)), arg("b", (5, 48, 64)), arg("v", (64,))
    data = tuple(normal(*x.shape, seed=i) for i, x in enumerate((a, b, v)))
    program = check(Graph("f", [a, b, v], [product(shifted(a, v), shifted(b, v), transpose_b=True)]), data, tolerance=1e-3)
    assert sorted(only_group(program).prologues) == [0, 1]


def test_a_matrix_that_all_batches_share_is_made_once():
    a, b, v = arg("a", (5, 40, 64)), arg("b", (64, 48)), arg("v", (48,))
    shared = op("broadcast_to", op("reshape", shifted(b, v), shape=(1, 64, 48)), shape=(5, 64, 48))
    data = tuple(normal(*x.shape, seed=i) for i, x in enumerate((a, b, v)))
    program = check(Graph("f", [a, b, v], [product(a, shared)]), data, tolerance=1e-3)
    assert kinds(program) == ["pointwise", "contraction"]


def test_the_tiles_read_what_the_prologue_makes_on_its_way():
    a, b, v = arg("a", (130, 96)), arg("b", (96, 96)), arg("v", (96,))
    data = tuple(normal(*x.shape, seed=i) for i, x in enumerate((a, b, v)))
    halved = op("multiply", a, v)
    residual = op("add", product(op("maximum", halved, const(0.0)), b), halved)
    assert list(only_group(check(Graph("f", [a, b, v], [residual]), data, tolerance=1e-3)).prologues) == [0]
    square = product(op("maximum", halved, const(0.0)), halved, transpose_b=True)
    check(Graph("f", [a, v], [square]), (data[0], data[2]), tolerance=1e-2)


def test_a_value_with_another_reader_that_needs_it_whole_is_stored():
    a, b, v = arg("a", (64, 64)), arg("b", (64, 64)), arg("v", (64,))
    made = shifted(a, v)
    data = tuple(normal(*x.shape, seed=i) for i, x in enumerate((a, b, v)))
    program = check(Graph("f", [a, b, v], [product(made, b), op("cumsum", made, axis=0, reverse=False)]), data, tolerance=1e-3)
    assert not any(g.prologues for g in program.schedule.groups)


def test_an_operand_that_the_tiles_need_too_is_made_in_both_places():
    a, b, v = arg("a", (64, 64)), arg("b", (64, 64)), arg("v", (64,))
    made = shifted(a, v)
    data = tuple(normal(*x.shape, seed=i) for i, x in enumerate((a, b, v)))
    program = check(Graph("f", [a, b, v], [op("add", product(made, b), made)]), data, tolerance=1e-3)
    assert list(only_group(program).prologues) == [0]


def test_a_row_kernel_leaves_its_last_step_to_the_product():
    x, w = arg("x", (256, 96)), arg("w", (96, 128))
    top = op("reduce_max", x, axes=(1,), keepdims=True)
    data = (normal(256, 96), normal(96, 128, seed=1))
    program = check(Graph("f", [x, w], [product(op("subtract", x, top), w)]), data, tolerance=1e-3)
    assert kinds(program) == ["row", "contraction"]
    assert [v.node.op for v in program.schedule.groups[0].outputs] == ["reduce_max"]


def test_exponentials_are_not_made_twice():
    a, b = arg("a", (64, 64)), arg("b", (64, 64))
    data = (normal(64, 64), normal(64, 64, seed=1))
    program = check(Graph("f", [a, b], [product(op("exp", a), b)]), data, tolerance=1e-3)
    assert kinds(program) == ["pointwise", "contraction"]


def test_one_program_for_all_batches():
    batch = symbol("batch")
    x, w, v = arg("x", (batch, 70)), arg("w", (70, 40)), arg("v", (70,))
    calls = [(normal(n, 70, seed=n), normal(70, 40, seed=1), normal(70, seed=2)) for n in (1, 2, 7, 128, 300)]
    made = shifted(x, v)
    y = product(made, w)
    turned = product(made, y, transpose_a=True)
    program = check(Graph("f", [x, w, v], [y, turned]), *calls, tolerance=2e-2)
    assert [list(g.prologues) for g in program.schedule.groups] == [[0], [0]]


def test_prologues_run_un_jitted():
    a, b, v = arg("a", (9, 40)), arg("b", (40, 33)), arg("v", (40,))
    data = tuple(normal(*x.shape, seed=i) for i, x in enumerate((a, b, v)))
    program = check(Graph("f", [a, b, v], [product(shifted(a, v), b)]), data, tolerance=1e-3)
    assert program.python(*data)[0].tobytes() == program(*data)[0].tobytes()
    assert any(k.kind == "prologue" for k in program.lowered)


@pytest.mark.parametrize("late", [False, True])
def test_a_variable_is_read_before_it_is_written(late):
    x, w = normal(64, 70), normal(70, 40, seed=1)
    results = []
    for execution in ("compiled", "strict"):
        shift = keras.Variable(normal(70, seed=2))

        def step(x, w, shift=shift):
            h = ops.relu(x - shift)
            y = ops.matmul(h, w)
            total = ops.sum(y)
            shift.assign(shift * 0.5 + (total if late else 0.0))
            return y, ops.matmul(ops.transpose(h), y)

        with flags.EXECUTION(execution):
            compiled = keras.function(step)
            outputs = [compiled(x, w) for _ in range(3)]
            if execution == "compiled":
                groups = compiled.program(x, w).schedule.groups
                assert [list(g.prologues) for g in groups if g.kind == "contraction"] == [[0], [0]]
        results.append([np.asarray(v).tobytes() for v in (*(o for pair in outputs for o in pair), shift)])
    assert results[0] == results[1]


def test_a_value_of_a_variable_that_is_new_by_then_is_stored():
    x, w = normal(64, 70), normal(70, 40, seed=1)
    results = []
    for execution in ("compiled", "strict"):
        shift = keras.Variable(normal(70, seed=2))

        def step(x, w, shift=shift):
            h = ops.relu(x - shift)
            y = ops.matmul(h, w)
            new = shift * ops.sum(y)
            shift.assign(new)
            return ops.matmul(ops.transpose(h), y) + ops.reshape(new, (70, 1)), new

        with flags.EXECUTION(execution):
            compiled = keras.function(step)
            results.append([np.asarray(v).tobytes() for v in compiled(x, w)])
            if execution == "compiled":
                schedule = compiled.program(x, w).schedule
                assert not any(g.prologues for g in schedule.groups)
                assert any("has a new value by then" in r.reason for r in schedule.refusals)
    assert results[0] == results[1]
