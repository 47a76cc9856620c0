"""Scans whose rows never meet: blocks of rows take all steps on their own, with the bits of steps that are taken with all rows."""

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import vjp
from graphkeras.ir import TensorSpec, symbol
from graphkeras.ir.errors import DataError
from graphkeras.lowering.cpu import scan_rows
from graphkeras.passes import run
from graphkeras.runtime import call
from graphkeras.runtime.program import Program
from graphkeras.schedule import rows
from graphkeras.trace import Tensor, trace, tree
from tests.ops.test_control import normal
from tests.runtime.test_control import check, lstm, programs

B = symbol("batch")


def loops(program):
    """For each scan, innermost graphs left out: whether blocks of rows take its steps."""
    return [g.rows is not None for g in program.schedule.groups if g.kind == "scan"]


def reasons(program):
    """Why scans take each step with all rows."""
    return [r.reason for r in program.schedule.refusals if r.node is r.other]


def gru(x, w, u):
    def step(h, row):
        a, b = ops.split(row, [2 * u.shape[0]], axis=-1), h @ u[:, : 2 * u.shape[0]]
        z, r = ops.split(ops.sigmoid(a[0] + b), 2, axis=-1)
        new = ops.tanh(a[1] + (r * h) @ u[:, 2 * u.shape[0] :])
        return (h := z * h + (1 - z) * new), h

    return ops.scan(step, ops.zeros((ops.shape(x)[1], u.shape[0])), x @ w)


def normalised(x, w, u):
    """A cell with sums over its rows, a concatenation, and a state of three axes."""

    def step(carry, row):
        h, m = carry
        z = ops.concatenate([row @ w, h @ u], -1)
        z = z - ops.mean(z, -1, keepdims=True)
        z = z / ops.sqrt(ops.mean(z * z, -1, keepdims=True) + 1e-3)
        m = m * 0.5 + ops.expand_dims(z[:, : u.shape[1]], 1)
        h = ops.tanh((m[:, 0] + m[:, 1])[:, : u.shape[0]] + ops.flip(h, 1))
        return (h, m), (h, ops.max(m, (1, 2)))

    rows = ops.shape(x)[1]
    return ops.scan(step, (ops.zeros((rows, u.shape[0])), ops.zeros((rows, 2, u.shape[1]))), x)


def both_ways(layer):
    def both(*arguments):
        y, pull = vjp(lambda *a: ops.sum(ops.sin(tree.flatten(layer(*a))[-1])), *arguments)
        return (*tree.flatten(layer(*arguments)), *pull(ops.ones_like(y)))

    return both


def weights(gates, units=7, width=5):
    return normal(width, gates * units, seed=1) * 0.4, normal(units, gates * units, seed=2) * 0.4


@pytest.mark.parametrize("layer, gates", [(gru, 3), (normalised, 1)])
def test_one_program_for_all_batches_has_the_bits_of_strict_execution(layer, gates):
    traced = both_ways(layer)
    w, u = weights(gates)
    compiled, strict = programs(traced, [TensorSpec((4, B, 5)), TensorSpec(w.shape), TensorSpec(u.shape)])
    assert loops(compiled) and loops(compiled)[0]
    assert not any(loops(strict))
    for batch in (0, 1, 2, 5, 8, 13, 16, 17, 32, 33, 47, 64, 100, 300):
        x = normal(4, batch, 5, seed=batch)
        reference = strict(x, w, u, threads=1)
        for threads in (1, 2, 3, 8):
            for got, want in zip(compiled(x, w, u, threads=threads), reference, strict=True):
                assert got.tobytes() == want.tobytes(), (batch, threads)
    eager = [t.numpy() for t in tree.flatten(traced(*map(Tensor, (x, w, u))))]
    for got, want in zip(reference, eager, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3 * max(1.0, np.abs(want).max()))


def test_every_batch_from_one_to_three_hundred():
    w, u = normal(3, 32, seed=1) * 0.4, normal(8, 32, seed=2) * 0.4
    layer = both_ways(lambda x, w, u, b: lstm(x, w, u, b))
    specs = [TensorSpec((B, 3, 3)), TensorSpec(w.shape), TensorSpec(u.shape), TensorSpec((32,))]
    compiled, strict = programs(layer, specs)
    assert loops(compiled) == [True] * 3  # the value's, the one that saves for the gradient, and the way back
    for batch in range(1, 301):
        given = normal(batch, 3, 3, seed=batch), w, u, normal(32, seed=3)
        for got, want in zip(compiled(*given, threads=2), strict(*given, threads=1), strict=True):
            assert got.tobytes() == want.tobytes(), batch


@pytest.mark.parametrize("length", [0, 1, 2, 3])
@pytest.mark.parametrize("reverse", [False, True])
def test_short_scans(length, reverse):
    def traced(x, h, w):
        def step(carry, row):
            a, b = carry
            return (ops.tanh(row + a @ w), a), (a, b * 2)

        return ops.scan(step, (h, h * 2), x, reverse=reverse)

    x, h, w = normal(length, 24, 40), normal(24, 40, seed=1), normal(40, 40, seed=2) * 0.2
    compiled, strict = programs(traced, [TensorSpec(a.shape) for a in (x, h, w)])
    assert loops(compiled) == [True]
    check(compiled, strict, [t.numpy() for t in tree.flatten(traced(*map(Tensor, (x, h, w))))], (x, h, w))


ORDER = np.arange(16)[::-1].copy()


@pytest.mark.parametrize("picked, alone", [
    (lambda h: ops.take(h, ORDER, axis=1), True),
    (lambda h: ops.take(h[:, ::-1], ORDER // 2, axis=1), True),
    (lambda h: ops.take(ops.reshape(h, (16, 4, 4)), ORDER % 4, axis=2), True),
    (lambda h: ops.take(h, ORDER, axis=0), False),
    (lambda h: ops.take(ops.transpose(h), ORDER, axis=1), False),
    (lambda h: ops.take(ops.transpose(h), ORDER, axis=0), False),
    (lambda h: ops.take(ops.reshape(h, (256,)), np.tile(ORDER, (16, 1)), axis=0), False),
])  # fmt: skip
def test_what_is_picked_from_a_state_lies_in_its_row(picked, alone):
    def traced(x):
        return ops.scan(lambda h, row: ((new := ops.tanh(ops.reshape(picked(h), (16, -1))[:, :16] + row)), new * 2), x[0], x)

    x = normal(5, 16, 16)
    compiled, strict = programs(traced, [TensorSpec(x.shape)])
    assert loops(compiled) == [alone]
    check(compiled, strict, [t.numpy() for t in tree.flatten(traced(Tensor(x)))], (x,))


def test_products_of_several_tiles_across_and_double_precision():
    def traced(x, w):
        return ops.scan(lambda h, row: (ops.tanh(row + h @ w)[:, :40], h @ w), x[0, :, :40], x)

    for dtype, units in (("float32", 600), ("float64", 500)):
        x, w = normal(3, 50, units).astype(dtype), (normal(40, units, seed=1) * 0.2).astype(dtype)
        compiled, strict = programs(traced, [TensorSpec(x.shape, dtype), TensorSpec(w.shape, dtype)])
        assert loops(compiled) == [True]
        check(compiled, strict, [t.numpy() for t in tree.flatten(traced(Tensor(x), Tensor(w)))], (x, w))


def test_inside_a_loop_and_called_again_with_other_sizes():
    def traced(x, w):
        def outer(h, _):
            return ops.scan(lambda h, row: (ops.tanh(row + h @ w), ops.sum(h, -1)), h, x)

        return ops.scan(outer, x[0], None, length=3)

    w = normal(20, 20, seed=1) * 0.3
    compiled, strict = programs(traced, [TensorSpec((4, B, 20)), TensorSpec(w.shape)])
    (outer,) = (g for g in compiled.schedule.groups if g.kind == "scan")
    assert outer.rows is None
    assert [g.rows is not None for g in outer.bodies[0].groups if g.kind == "scan"] == [True]
    for batch in (40, 3, 40):
        x = normal(4, batch, 20, seed=batch)
        check(compiled, strict, [t.numpy() for t in tree.flatten(traced(Tensor(x), Tensor(w)))], (x, w))


def small(h, row):
    return h + row, h


REFUSED = {
    "sums over rows": (lambda h, r: (h + r - ops.mean(h, 0), h), (3, 16, 4), "no axis of 16 rows"),
    "other rows": (lambda h, r: (ops.flip(h, 0) + r, h), (3, 16, 4), "other rows"),
    "a transposed state": (lambda h, r: (ops.transpose(h) + r, h), (3, 16, 16), "other rows"),
    "a product of the state": (lambda h, r: (ops.transpose(h) @ r, h), (3, 16, 16), "other rows"),
    "a moving matrix": (lambda h, r: (h @ r, h), (3, 16, 16), "another matrix in each step"),
    "what may fail": (lambda h, r: (h + ops.take(r, ops.cast(r[:, 0], "int32") % 4, axis=1)[:, :4], h), (3, 16, 4), "report"),
    "few rows": (small, (3, 4, 4), "too few"),
    "many steps": (small, (5000, 16, 4), "more than"),
    "one row for all": (lambda h, r: (ops.sum(h, -1, keepdims=True)[:1] + h + r, h), (3, 16, 4), "rows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_meet_are_left_together_and_the_reason_is_told(name):
    step, shape, reason = REFUSED[name]
    x = normal(*shape) * 0.1
    compiled, strict = programs(lambda x: ops.scan(step, x[0], x), [TensorSpec(shape)])
    assert loops(compiled) == [False]
    (told,) = reasons(compiled)
    assert reason in told and "\n" not in told
    for got, want in zip(compiled(x, threads=2), strict(x, threads=1), strict=True):
        assert got.tobytes() == want.tobytes()


def test_large_weights_are_left_to_all_threads_together():
    made = Program(run(trace(lambda x, w: ops.scan(lambda h, r: (ops.tanh(h @ w + r), None), x[0], x)[0],
                             [TensorSpec((3, 32, 300)), TensorSpec((300, 300))]))[0])  # fmt: skip
    assert loops(made) == [False] and "second cache" in reasons(made)[0]


def test_an_error_before_the_loop_takes_no_step_and_is_told():
    def traced(x, index):
        return ops.scan(lambda h, row: (ops.tanh(h + row), h), ops.take(x[0], index, axis=0), x)

    compiled, _ = programs(traced, [TensorSpec((3, 16, 4)), TensorSpec((16,), "int32")])
    assert loops(compiled) == [True]
    with pytest.raises(DataError, match="out of range"):
        compiled(normal(3, 16, 4), np.full(16, 99, np.int32))
    compiled(normal(3, 16, 4), np.zeros(16, np.int32))


def test_nan_stays_in_its_row():
    x, w = normal(5, 40, 24), normal(24, 24, seed=1) * 0.2
    x[1, 17, 3] = np.nan
    x[2, 30, 0] = np.inf
    traced = lambda x, w: ops.scan(lambda h, row: (row + h @ w, h @ w), x[0], x)
    compiled, strict = programs(traced, [TensorSpec(x.shape), TensorSpec(w.shape)])
    for got, want in zip(compiled(x, w, threads=2), strict(x, w, threads=1), strict=True):
        np.testing.assert_array_equal(got, want)
    assert np.flatnonzero(np.isnan(compiled(x, w)[0]).any(-1)).tolist() in ([17], [17, 30])


@pytest.mark.parametrize("rows", range(1, 301))
def test_blocks_cover_all_rows(rows):
    height, count = scan_rows.block_rows(rows), scan_rows.block_count(rows)
    assert height % 4 == 0 and height <= scan_rows.BLOCK_ROWS
    assert (count - 1) * height < rows <= count * height
    assert rows < 8 or count > 1


def test_the_table_can_be_read_and_run_in_python():
    def traced(x, w):
        return ops.scan(lambda h, row: (ops.tanh(row + h @ w), h), x[0], x)

    x, w = normal(3, 18, 20), normal(20, 20, seed=1) * 0.3
    compiled, _ = programs(traced, [TensorSpec(x.shape), TensorSpec(w.shape)])
    for got, want in zip(compiled.python(x, w), compiled(x, w), strict=True):
        assert got.tobytes() == want.tobytes()
    assert "address of kernel" in next(k.source for k in compiled.kernels if k.name.endswith("_blocks"))


def test_loops_that_cannot_be_stopped_are_those_that_need_not_be():
    assert rows.MOST_STEPS <= call._MANY_STEPS
