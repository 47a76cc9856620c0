"""Control flow in compiled programs: eager = strict = compiled, for any number of threads, steps and samples."""

import threading
import time

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import GradientTape, vjp
from graphkeras.ir import TensorSpec, symbol
from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import DataError
from graphkeras.lowering.cpu import gemm
from graphkeras.passes import run
from graphkeras.random import SeedGenerator, uniform
from graphkeras.runtime.function import function
from graphkeras.runtime.program import Program
from graphkeras.trace import Tensor, Variable, trace, tree
from tests.ops.test_control import FUNCTIONS, gradient_arguments, gradients_of, normal

B, T = symbol("batch"), symbol("steps")


def specs_of(arrays, batch_axes=()):
    shapes = [tuple(B if (i, axis) in batch_axes else d for axis, d in enumerate(a.shape)) for i, a in enumerate(arrays)]
    return [TensorSpec(s, dtype_name(a.dtype)) for s, a in zip(shapes, arrays)]


def programs(traced, specs):
    graph = run(trace(traced, specs), verify=True)[0]
    return Program(graph), Program(graph, fuse=False)


def agree(traced, *arrays, rtol=2e-5, specs=None):
    """Compiled with 1 to 3 threads and strict give the same bits, close to the eager values."""
    compiled, strict = programs(traced, specs or specs_of(arrays))
    eager = [x.numpy() for x in tree.flatten(traced(*map(Tensor, arrays))) if x is not None]
    check(compiled, strict, eager, arrays, rtol)
    return compiled


def check(compiled, strict, eager, arrays, rtol=2e-5):
    reference = strict(*arrays, threads=1)
    for threads in (1, 2, 3):
        for got, want in zip(compiled(*arrays, threads=threads), reference, strict=True):
            assert got.tobytes() == want.tobytes()
    for got, want in zip(reference, eager, strict=True):
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * max(1.0, np.abs(want).max(initial=0)))


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [True, False])
def test_cond_runs_one_branch(flag):
    def traced(x, p):
        return ops.cond(p, lambda: (x @ x, ops.sum(x)), lambda: (x * 2, x[0, 0]))

    agree(traced, normal(5, 5), np.bool_(flag))


@pytest.mark.parametrize("index", [-3, 0, 1, 2, 8])
def test_switch(index):
    def traced(x, i):
        return ops.switch(i, [lambda: x, lambda: ops.exp(x), lambda: x[::-1]]), ops.switch(i, [lambda: 1, lambda: 2])

    agree(traced, normal(4, 3), np.int32(index))


@pytest.mark.parametrize("limit", [None, 0, 4, 100])
def test_while_loop(limit):
    def traced(x, n):
        return ops.while_loop(lambda i, s: ops.logical_and(i < n, ops.sum(s) < 1e3), lambda i, s: (i + 1, s * 2 + x), (0, x), limit)

    agree(traced, np.abs(normal(3, 2)), np.int32(9))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 7])
def test_scan_keeps_carries_and_results(length, reverse):
    def traced(x, h):
        def step(carry, row):
            h, n, old = carry
            new = ops.tanh(h + row)
            return (new, n + 1, h), (new, h, row * 2, n, old)

        return ops.scan(step, (h, 0, h * 0), x, reverse=reverse)

    agree(traced, normal(length, 3, 5), normal(3, 5, seed=1))


def test_one_program_for_all_lengths_and_batches():
    def traced(x, w):
        h, ys = ops.scan(lambda h, row: (ops.tanh(row @ w + h), h * 2), ops.zeros((ops.shape(x)[1], 4)), x, reverse=True)
        return h, ys, ops.fori_loop(0, ops.shape(x)[0], lambda i, s: s + i, 0)

    compiled, strict = programs(traced, [TensorSpec((T, B, 3)), TensorSpec((3, 4))])
    w = normal(3, 4)
    for length, batch in [(0, 2), (1, 1), (2, 7), (3, 33), (6, 64), (2, 1)]:
        x = normal(length, batch, 3, seed=length)
        check(compiled, strict, [t.numpy() for t in tree.flatten(traced(Tensor(x), Tensor(w)))], (x, w))


def test_scanned_operands_may_be_views():
    def traced(x, y):
        rows = ops.transpose(x, (1, 0, 2))  # time-major view of batch-major data
        numbers = ops.broadcast_to(y, (5, 3))
        total, ys = ops.scan(lambda c, r: (c + r[0][:, ::-1] * r[1], ops.sum(r[0]) + ops.cast(r[2], "float32")), ops.zeros((4, 3)),
                             (rows[::-1], numbers, ops.arange(5)))  # fmt: skip
        return total, ys, ops.map(lambda e: e * 2, ops.ones((3,)))

    agree(traced, normal(4, 5, 3), normal(3))


def test_operands_whose_steps_lie_scattered_are_copied_before_the_loop():
    def traced(x, y):
        return ops.scan(lambda c, r: (c + r[0] * r[1], c), ops.zeros((4, 3)), (ops.transpose(x, (1, 0, 2)), y[:, :, 3:]))

    arrays = normal(4, 5, 3), normal(5, 4, 6)
    made = agree(traced, *arrays)
    (loop,) = (g for g in made.schedule.groups if g.kind == "scan")
    bases = [made.schedule.resolve(v)[0].node.op for v in loop.nodes[0].inputs[1:]]
    assert bases == ["identity", "input"]


def test_the_gradient_of_a_matrix_for_all_steps_is_one_product():
    def traced(x, w, ct):
        return vjp(lambda w: x @ w, w)[1](ct)

    made = agree(traced, normal(4, 5, 3), normal(3, 2), normal(4, 5, 2))
    assert [g.kind for g in made.schedule.groups] == ["contraction"]
    made = agree(traced, normal(4, 5, 3).transpose(1, 0, 2), normal(3, 2), normal(5, 4, 2))
    assert [g.kind for g in made.schedule.groups] == ["contraction"]


def test_carries_start_as_arguments_constants_views_and_numbers():
    def traced(x):
        init = (x, ops.transpose(x), ops.zeros((2, 3)), 3, ops.arange(4))
        return ops.fori_loop(0, 3, lambda i, s: (s[0] + 1, s[1] * 2, s[2] + s[0], s[3] + i, s[4] + s[3]), init)

    agree(traced, normal(2, 3))


def test_carries_change_places():
    def traced(a, b, c):
        return ops.fori_loop(0, 8, lambda i, s: (s[1], s[2], s[0] + s[1]), (a, b, c))

    agree(traced, normal(20), normal(20, seed=1), normal(20, seed=2))


def test_what_a_loop_reads_is_still_there_in_its_last_step():
    # The temporaries of a step must not lie where values from before the loop lie.
    def traced(x):
        values = [ops.exp(x * k) for k in (0.1, 0.2, 0.3)]
        squares = [v @ v for v in values]
        h = ops.fori_loop(0, 4, lambda i, h: ops.tanh(h @ squares[0]) @ squares[1] + ops.tanh(h @ squares[2]), x)
        return h, ops.tanh(squares[0]) @ x

    agree(traced, normal(17, 17) / 5, rtol=1e-4)


def test_loops_in_loops_in_branches():
    def traced(x, n):
        def outer(i, carry):
            def inner(c, row):
                c = ops.cond(
                    ops.sum(row) > 0, lambda: c + row, lambda: ops.while_loop(lambda s: ops.sum(s) < 9, lambda s: s + 1, c)
                )
                return c, c * 2

            c, ys = ops.scan(inner, carry[0], x, reverse=True)
            return c / 2, ys, carry[2] + i

        return ops.cond(n > 1, lambda: ops.fori_loop(0, n, outer, (x[0], x, 0)), lambda: (x[1], x * 3, 7))

    compiled, strict = programs(traced, specs_of([normal(5, 3), np.int32(0)]))
    for n in (0, 1, 2, 4):
        eager = [t.numpy() for t in tree.flatten(traced(Tensor(normal(5, 3)), Tensor(np.int32(n))))]
        check(compiled, strict, eager, (normal(5, 3), np.int32(n)))


def test_dtypes():
    def traced(x, k, f):
        return ops.scan(lambda c, r: ((c[0] + r[0], ops.logical_xor(c[1], r[2]), c[2] + r[1]), (c[1], c[0], c[2])),
                        (ops.zeros((3,), "float16"), f[0], k[0]), (x, k, f))  # fmt: skip

    agree(traced, normal(6, 3).astype("float16"), np.arange(6, dtype="int64"), np.array([1, 0, 1, 1, 0, 1], bool), rtol=1e-3)


def test_the_host_inside_a_loop():
    def traced(x):
        return ops.scan(
            lambda c, r: (ops.sum(ops.inv(r + 3 * ops.eye(3)) @ ops.reshape(c, (3, 1))) * c, ops.det(r)), ops.ones(3), x
        )

    agree(traced, normal(4, 3, 3), rtol=1e-4)


# ---- gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients(name, order):
    slopes = gradients_of(FUNCTIONS[name], order)
    arrays = gradient_arguments()
    compiled, strict = programs(slopes, [TensorSpec((4, B, 3)), TensorSpec((3, 3)), TensorSpec((3,)), TensorSpec((B, 3))])
    for batch in (1, 2, 5) if order == 1 else (2,):
        given = [normal(4, batch, 3), *arrays[1:3], normal(batch, 3, seed=3)]
        check(compiled, strict, [g.numpy() for g in slopes(*map(Tensor, given))], given, 1e-3 if order == 2 else 2e-4)


def lstm(x, wx, wh, b):
    """Batch-major LSTM; the last state."""
    units = wh.shape[0]
    rows = ops.transpose(x @ wx + b, (1, 0, 2))

    def step(carry, row):
        h, s = carry
        gates = row + h @ wh
        i, f, o = (ops.sigmoid(gates[:, k * units : (k + 1) * units]) for k in (0, 1, 3))
        s = f * s + i * ops.tanh(gates[:, 2 * units : 3 * units])
        return (o * ops.tanh(s), s), None

    zeros = ops.zeros((ops.shape(x)[0], units))
    return ops.scan(step, (zeros, zeros), rows)[0][0]


def unrolled_lstm(x, wx, wh, b):
    units, steps = wh.shape[0], x.shape[1]
    h = s = ops.zeros((ops.shape(x)[0], units))
    for t in range(steps):
        gates = x[:, t] @ wx + b + h @ wh
        i, f, o = (ops.sigmoid(gates[:, k * units : (k + 1) * units]) for k in (0, 1, 3))
        s = f * s + i * ops.tanh(gates[:, 2 * units : 3 * units])
        h = o * ops.tanh(s)
    return h


def lstm_data(batch=6, steps=9, width=5, units=8):
    return [normal(batch, steps, width), normal(width, 4 * units, seed=1) / 2, normal(units, 4 * units, seed=2) / 2,
            normal(4 * units, seed=3)]  # fmt: skip


def test_gradients_of_a_loop_are_those_of_unrolled_code():
    arrays = lstm_data()
    results = []
    for model in (lstm, unrolled_lstm):
        compiled, _ = programs(gradients_of(lambda *a, m=model: ops.sum(m(*a) ** 2)), specs_of(arrays))
        results.append(compiled(*arrays))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


# ---- state ----------------------------------------------------------------------------------------------------------


def test_variables_and_seeds_move_on_with_every_step():
    results = []
    for mode in ("eager", "strict", "compiled"):
        seed, count = SeedGenerator(3), Variable(np.int32(0), name="count")

        def traced(x):
            def step(c, row):
                count.assign(count + 1)  # noqa: B023
                return c + row * uniform((3,), seed=seed), count.value  # noqa: B023

            return ops.scan(step, ops.zeros(3), x)

        x = normal(5, 3)
        if mode == "eager":
            outputs = [[t.numpy() for t in tree.flatten(traced(Tensor(x)))] for _ in range(2)]
        else:
            program = programs(traced, specs_of([x]))[mode == "strict"]
            outputs = [program(x) for _ in range(2)]
        assert int(count.numpy()) == 10
        assert seed.state.numpy().tolist() == [3, 10]
        results.append([a for out in outputs for a in out])
    for eager, strict, compiled in zip(*results):
        assert strict.tobytes() == compiled.tobytes()
        np.testing.assert_allclose(eager, strict, rtol=1e-5)


class Step:
    """A training step of an LSTM with a linear head, on variables of its own."""

    def __init__(self, classes=11):
        arrays = lstm_data()
        self.weights = [Variable(a, name=f"w{i}") for i, a in enumerate(arrays[1:])]
        self.weights.append(Variable(normal(8, classes, seed=7) / 3, name="head"))
        self.seen = Variable(np.int32(0), name="seen", trainable=False)
        self.table = normal(classes, 5, seed=8)

    def __call__(self, tokens, labels):
        with GradientTape() as tape:
            x = ops.map(lambda t: ops.take(Tensor(self.table), t, axis=0), ops.transpose(tokens))
            h = lstm(ops.transpose(x, (1, 0, 2)), *self.weights[:3])
            loss = ops.mean(ops.sparse_categorical_crossentropy(labels, h @ self.weights[3], from_logits=True))
        for weight, slope in zip(self.weights, tape.gradient(loss, self.weights), strict=True):
            weight.assign(weight - 0.5 * slope)
        self.seen.assign(self.seen + 1)
        return loss

    @property
    def state(self):
        return [v.numpy() for v in (*self.weights, self.seen)]


SPECS = [TensorSpec((B, 9), "int32"), TensorSpec((B,), "int32")]


def test_epochs_of_a_recurrent_model():
    rng = np.random.default_rng(0)
    tokens, labels = rng.integers(0, 11, (70, 9), "int32"), rng.integers(0, 11, 70, "int32")
    states, losses = [], []
    for mode in ("epoch", "strict epoch", "steps", "eager"):
        step = Step()
        if mode == "eager":
            for _ in range(2):
                for i in range(0, 70, 16):
                    loss = float(step(Tensor(tokens[i : i + 16]), Tensor(labels[i : i + 16])))
        else:
            compiled, strict = programs(step, SPECS)
            if mode == "steps":
                for _ in range(2):
                    for i in range(0, 70, 16):
                        loss = float(compiled(tokens[i : i + 16], labels[i : i + 16])[0])
            else:
                epoch = (strict if mode == "strict epoch" else compiled).epoch([tokens, labels], batch_size=16)
                epoch.run()
                loss = float(epoch.run().outputs[0])
        states.append(step.state)
        losses.append(loss)
    assert losses[0] < np.log(11)
    for a, b, c, d in zip(*states):
        assert a.tobytes() == b.tobytes() == c.tobytes()
        np.testing.assert_allclose(a, d, rtol=1e-3, atol=1e-4)


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_an_error_in_a_step_stops_the_loop_and_changes_nothing():
    step = Step()
    compiled, strict = programs(step, SPECS)
    tokens, labels = np.zeros((4, 9), "int32"), np.zeros(4, "int32")
    tokens[2, 5] = 99
    before = step.state
    for program in (compiled, strict):
        with pytest.raises(DataError, match="99 is out of range"):
            program(tokens, labels)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(step.state, before))
    tokens[2, 5] = 0
    compiled(tokens, labels)
    assert int(step.seen.numpy()) == 1


def test_an_error_ends_a_loop_that_would_not_end():
    def traced(table, i):
        return ops.while_loop(lambda s: s > -1, lambda s: ops.abs(ops.take(table, i)) + s * 0, ops.ones(()))

    for program in programs(traced, [TensorSpec((3,)), TensorSpec((), "int32")]):
        with pytest.raises(DataError, match="7 is out of range"):
            program(normal(3), np.int32(7))


def test_an_exception_of_the_host_in_a_step():
    def traced(x):
        return ops.scan(lambda c, r: (c + ops.cholesky(r), None), ops.zeros((2, 2)), x)[0]

    x = np.stack([np.eye(2), -np.eye(2), np.eye(2)]).astype("float32")
    for program in programs(traced, [TensorSpec((3, 2, 2))]):
        with pytest.raises(Exception, match="(?i)cholesky|positive"):
            program(x)
        assert np.isfinite(program(np.abs(x))[0]).all()


def test_an_endless_loop_can_be_stopped():
    v = Variable(np.float32(0.0))

    def traced(x):
        v.assign(v + 1)
        return ops.sum(x) + ops.while_loop(lambda s: s >= 0, lambda s: s * 0, 0)

    compiled, _ = programs(traced, [TensorSpec((B,), "int32")])
    epoch = compiled.epoch([np.arange(4, dtype="int32")], batch_size=2)
    results = []
    thread = threading.Thread(target=lambda: results.append(epoch.run()))
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    epoch.stop()
    thread.join(5)
    assert results[0].stopped
    assert results[0].steps == 0
    assert float(v.numpy()) == 0


# ---- cost -----------------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_number_of_steps():
    def traced(x):
        return ops.scan(lambda c, r: (ops.tanh(c @ c) + r, None), ops.zeros((8, 8)), x)[0]

    compiled, _ = programs(traced, [TensorSpec((T, 8, 8))])
    assert compiled.peak_bytes({"steps": 3}) == compiled.peak_bytes({"steps": 3000})
    assert compiled.peak_bytes({"steps": 3}) <= 5 * 8 * 8 * 4


def test_hundreds_of_steps_are_a_few_rows():
    def traced(x):
        return ops.fori_loop(0, 100_000, lambda i, s: s + x, 0.0)

    program = agree(lambda x: ops.fori_loop(0, 500, lambda i, s: s + x, 0.0), np.float32(1))
    assert len(program.lowered) < 8
    compiled, _ = programs(traced, [TensorSpec(())])
    compiled(np.float32(1))
    started = time.perf_counter()
    assert compiled(np.float32(1))[0] == 100_000
    assert (time.perf_counter() - started) / 100_000 < 2e-6  # 0.02 us on a quiet core


def test_the_table_can_be_read():
    compiled, _ = programs(lambda x: ops.scan(lambda c, r: (c + r, c), ops.zeros(3), x), [TensorSpec((4, 3))])
    names = [k.name for k in compiled.kernels]
    assert [n.rpartition("_")[2] for n in names] == ["pointwise", "start0", "enter", "pointwise", "next", "last0", "pointwise"]
    body = compiled.kernels[3].source
    assert "in this step, address of" in body
    assert "scan" in str(compiled.schedule)
    assert "pointwise" in str(compiled.schedule)


def test_several_threads_call_one_program():
    compiled, _ = programs(lambda x: ops.scan(lambda c, r: (ops.tanh(c + r), c), ops.zeros(50), x), [TensorSpec((40, 50))])
    inputs = [normal(40, 50, seed=i) for i in range(4)]
    expected = [compiled(x) for x in inputs]
    wrong = []

    def work(i):
        for _ in range(30):
            if any(a.tobytes() != b.tobytes() for a, b in zip(compiled(inputs[i]), expected[i])):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_functions_run_loops_compiled():
    @function
    def power(x, n):
        return ops.while_loop(lambda i, s: i < n, lambda i, s: (i + 1, s * x), (0, ops.ones_like(x)))[1]

    np.testing.assert_array_equal(power(Tensor(normal(2)), Tensor(3)).numpy() > 0, normal(2) > 0)
    assert [n.op for n in power.graph.nodes if n.subgraphs] == ["while_loop"]


# ---- weights that stay packed ---------------------------------------------------------------------------------------


def packed(program):
    """Names of the kernels that pack weights, with the number of loops each lies in."""
    return {k.name: len(k.region) for k in program.lowered if k.name.endswith("_panels")}


def recurrent(units, rows=5, inputs=6):
    """A recurrent layer and its arguments; all gates of a step are one product."""

    def layer(x, w, u):
        def step(h, row):
            z = row + h @ u
            new = ops.tanh(z[:, :units]) * ops.sigmoid(z[:, units:])
            return new, new

        return ops.scan(step, ops.zeros((rows, units), x.dtype), x @ w)[1]

    return layer, [normal(4, rows, inputs), normal(inputs, 2 * units, seed=1) * 0.3, normal(units, 2 * units, seed=2) * 0.3]


@pytest.mark.parametrize("rows", [1, 5, 12, 40])
def test_weights_are_packed_once_before_the_loop(rows):
    layer, arrays = recurrent(64, rows)
    program = agree(layer, *arrays)
    assert list(packed(program).values()) == [0]
    products = [k for k in program.lowered if k.kind == "contraction" and (k.region or k.called)]
    assert len(products) == 1
    assert dict(zip(gemm.ARGUMENTS[1:], products[0].args))["b_ready"] == 1


def test_weights_are_packed_for_the_way_back_too():
    layer, arrays = recurrent(64)

    def both(x, w, u):
        with GradientTape() as tape:
            for t in (x, w, u):
                tape.watch(t)
            y = ops.sum(layer(x, w, u) ** 2)
        return (y, *tape.gradient(y, [x, w, u]))

    assert list(packed(agree(both, *arrays, rtol=1e-4)).values()) == [0, 0]  # as they lie, and transposed


def test_long_weights_are_packed_in_blocks_of_their_rows():
    def layer(x, u):
        return ops.scan(lambda h, row: (ops.tanh(row + h @ u), h[:, 0]), x[0], x)[1]

    agree(layer, normal(3, 7, 1100) * 0.1, normal(1100, 1100, seed=1) * 0.02)


def test_double_precision_and_transposed_weights():
    layer, arrays = recurrent(48)
    assert packed(agree(layer, *(a.astype("float64") for a in arrays)))

    def other(x, u):
        return ops.scan(lambda h, row: (ops.tanh(row + h @ ops.transpose(u)), h), x[0], x)[1]

    program = agree(other, normal(3, 7, 16), normal(16, 16, seed=1) * 0.3)
    assert list(packed(program).values()) == [0]


def test_small_weights_and_moving_ones_are_left_alone():
    layer, arrays = recurrent(16)
    assert not packed(agree(layer, *arrays))  # read in place, from the first cache

    def moving(x, us, u):
        def step(carry, row):
            h, v = carry
            a, b = row
            return (ops.tanh(a + h @ b + h @ v), v * 0.5), ops.sum(h @ (v + b))

        return ops.scan(step, (x[0], u), (x, us))[1]

    program = agree(moving, normal(3, 5, 100), normal(3, 100, 100, seed=1) * 0.1, normal(100, 100, seed=2) * 0.1)
    assert not packed(program)


def test_weights_inside_branches_and_loops_inside_loops():
    def nested(x, u):
        def step(h, row):
            h = ops.cond(ops.sum(row) > 0, lambda: ops.tanh(h @ u), lambda: h * 0.5)
            h = ops.fori_loop(0, 2, lambda _, v: ops.tanh(v @ u + row), h)
            return h, ops.sum(h)

        return ops.scan(step, x[0], x)

    program = agree(nested, normal(4, 5, 100), normal(100, 100, seed=1) * 0.1)
    assert sorted(packed(program).values()) == [0, 1]  # for the branch, and before each run of the inner loop

    def made_inside(x, u):
        return ops.scan(lambda h, row: (ops.tanh(h @ ops.cond(ops.sum(row) > 0, lambda: u * ops.sum(row), lambda: u)), h), x[0], x)

    assert not packed(agree(made_inside, normal(4, 5, 100), normal(100, 100, seed=1) * 0.1, rtol=1e-4))


def test_weights_of_a_loop_without_a_known_end():
    def search(x, u):
        return ops.while_loop(lambda h, i: ops.sum(h * h) > 1e-3, lambda h, i: (ops.tanh(h @ u), i + 1), (x, np.int32(0)))

    assert packed(agree(search, normal(5, 100) * 0.1, normal(100, 100, seed=1) * 0.03))
