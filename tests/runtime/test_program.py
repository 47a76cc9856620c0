import threading

import numpy as np
import pytest

from graphkeras.ir import Graph, TensorSpec, VariableRef, symbol
from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import ArgumentError, DataError, DTypeError, LoweringError, ShapeError
from graphkeras.runtime.interpreter import interpret
from graphkeras.runtime.memory import Buffer, plan
from graphkeras.runtime.program import Program
from graphkeras.trace.variable import LARGE
from tests.lowering.programs import arg, const, normal, op

B = symbol("b")


class Cell:
    """A variable as programs see it."""

    def __init__(self, name, array):
        self.name, self.array = name, np.array(array)

    @property
    def address(self):
        return self.array.ctypes.data

    def buffer(self):
        return self.array

    def writable_buffer(self):
        return self.array

    @property
    def ref(self):
        return VariableRef(self.name, TensorSpec(self.array.shape, dtype_name(self.array.dtype)), self)

    def read(self):
        return op("read_variable", variable=self.ref)

    def write(self, value):
        return op("assign_variable", value, variable=self.ref).node


def matmul(a, b, ta=False, tb=False):
    return op("matmul", a, b, transpose_a=ta, transpose_b=tb)


def linear_step(w, bias, steps, rate=0.1, high=100):
    """Least squares on y = x w + b with a step counter; labels are checked to be in range."""
    x, y = arg("x", (B, 6)), arg("y", (B, 1), "int32")
    target = op("cast", op("check_range", y, low=-high, high=high, what="target"), dtype="float32")
    out = op("add", matmul(x, w.read()), bias.read())
    error = op("subtract", out, target)
    count = op("cast", op("dim", size=B), dtype="float32")
    scaled = op("divide", error, count)
    loss = op("divide", op("reduce_sum", op("square", error), axes=(0, 1), keepdims=False), count)
    dw, db = matmul(x, scaled, ta=True), op("reduce_sum", scaled, axes=(0,), keepdims=False)
    effects = [
        w.write(op("subtract", w.read(), op("multiply", dw, const(rate)))),
        bias.write(op("subtract", bias.read(), op("multiply", db, const(rate)))),
        steps.write(op("add", steps.read(), const(1, "int32"))),
    ]
    return Graph("step", [x, y], [loss, out], effects)


def fresh():
    return Cell("w", normal(6, 1)), Cell("bias", np.zeros(1, "float32")), Cell("steps", np.int32(0))


def data(n, seed=0):
    x = normal(n, 6, seed=seed)
    return x, np.round(x.sum(1, keepdims=True)).astype("int32")


def state(cells):
    return [c.array.copy() for c in cells]


def assert_same_bits(left, right):
    assert [a.tobytes() for a in left] == [b.tobytes() for b in right]


# ---- calls ----------------------------------------------------------------------------------------------------------


def test_variables_are_updated_in_place_and_agree_in_all_modes():
    runs = []
    for run in (interpret, lambda g, a: Program(g)(*a), lambda g, a: Program(g, fuse=False)(*a)):
        cells = fresh()
        graph = linear_step(*cells)
        outputs = [run(graph, data(7, seed)) for seed in range(3)]
        assert int(cells[2].array) == 3
        runs.append([*(o for out in outputs for o in out), *state(cells)])
    for expected, fused in zip(runs[0], runs[1]):
        np.testing.assert_allclose(fused, expected, rtol=1e-4, atol=1e-5)
    assert_same_bits(runs[1], runs[2])


def test_a_failed_step_changes_nothing():
    cells = fresh()
    program = Program(linear_step(*cells, high=5))
    x, y = data(9)
    y[4] = 77
    before = state(cells)
    with pytest.raises(DataError, match=r"target 77 is out of range") as caught:
        program(x, y)
    assert "flat position 4" in str(caught.value)
    assert_same_bits(before, state(cells))
    program(x, np.clip(y, -4, 4))
    assert int(cells[2].array) == 1


def test_reads_see_the_values_before_the_program():
    a, b = Cell("a", np.float32([1, 2, 3])), Cell("b", np.float32([10, 20, 30]))
    swapped = Graph("swap", [], [a.read(), b.read(), op("add", a.read(), b.read())], [a.write(b.read()), b.write(a.read())])
    for fuse in (True, False):
        a.array[:], b.array[:] = [1, 2, 3], [10, 20, 30]
        old_a, old_b, total = Program(swapped, fuse)()
        np.testing.assert_array_equal(old_a, [1, 2, 3])
        np.testing.assert_array_equal(old_b, [10, 20, 30])
        np.testing.assert_array_equal(total, [11, 22, 33])
        np.testing.assert_array_equal(a.array, [10, 20, 30])
        np.testing.assert_array_equal(b.array, [1, 2, 3])


def test_a_row_kernel_writes_a_variable_after_all_its_phases_have_read_it():
    totals = Cell("totals", np.float32([1, 2, 3, 4]))
    x = arg("x", (4, 9))
    sums = op("reduce_sum", x, axes=(1,), keepdims=False)
    scaled = op("multiply", x, op("reshape", sums, shape=(4, 1)))
    late = op("add", op("reduce_sum", scaled, axes=(1,), keepdims=False), totals.read())
    program = Program(Graph("f", [x], [late], [totals.write(op("add", totals.read(), sums))]))
    assert [group.kind for group in program.schedule.groups] == ["row"]
    array = normal(4, 9)
    (got,) = program(array)
    rows = array.sum(1)
    np.testing.assert_allclose(got, (array * rows[:, None]).sum(1) + [1, 2, 3, 4], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(totals.array, rows + [1, 2, 3, 4], rtol=1e-5)


def test_variables_written_through_views_of_themselves():
    a = Cell("a", np.arange(12, dtype="float32").reshape(3, 4))
    reversed_rows = op("slice", a.read(), starts=(2, 0), stops=(-1, 4), strides=(-1, 1))
    square = Cell("s", normal(9, 9))
    effects = [
        a.write(op("multiply", reversed_rows, const(2.0))),
        square.write(op("add", matmul(square.read(), square.read()), const(1.0))),
    ]
    expected = [2 * a.array[::-1], square.array @ square.array + 1]
    Program(Graph("f", [], [], effects))()
    np.testing.assert_array_equal(a.array, expected[0])
    np.testing.assert_allclose(square.array, expected[1], rtol=1e-4, atol=1e-4)


def test_outputs_are_fresh_and_inputs_untouched():
    x = arg("x", (B, 4))
    program = Program(Graph("f", [x], [op("exp", x), x]))
    array = normal(3, 4)
    kept = array.copy()
    first = program(array)
    second = program(array + 1)
    np.testing.assert_allclose(first[0], np.exp(kept), rtol=1e-5)
    first[1][:] = 0
    np.testing.assert_array_equal(array, kept)
    assert not np.shares_memory(first[0], second[0])


def test_arguments_that_are_not_contiguous_or_fit_badly():
    x, y = arg("x", (B, 4)), arg("y", (B,))
    program = Program(Graph("f", [x, y], [op("exp", x), op("exp", y)]))
    wide = normal(4, 3)
    np.testing.assert_allclose(program(wide.T, normal(3))[0], np.exp(wide.T), rtol=1e-5)
    with pytest.raises(ShapeError, match=r"argument 'x' has another shape"):
        program(normal(3, 5), normal(3))
    with pytest.raises(ShapeError, match=r"argument 'y' has another shape"):
        program(normal(3, 4), normal(2))
    with pytest.raises(DTypeError, match=r"argument 'x' has another dtype"):
        program(normal(3, 4).astype("float64"), normal(3))
    with pytest.raises(ArgumentError, match=r"takes 2 arguments, not 1"):
        program(normal(3, 4))


def test_sizes_that_must_agree_are_checked_when_they_are_known():
    x, y = arg("x", (symbol("n"), 4)), arg("y", (8, 4))
    program = Program(Graph("f", [x, y], [op("add", x, y)]))
    assert program(normal(8, 4), normal(8, 4))[0].shape == (8, 4)
    with pytest.raises(ShapeError, match=r"add: sizes along an axis differ \(5 and 8\)"):
        program(normal(5, 4), normal(8, 4))


def test_an_op_without_a_kernel_says_so():
    from graphkeras.ir.registry import REGISTRY, register_op

    name = "test_only_loop"
    register_op(name, kind="control", infer=lambda x: x, eager=np.sort)
    try:
        x = arg("x", (4,))
        with pytest.raises(LoweringError, match=f"'{name}' has no compiled form"):
            Program(Graph("f", [x], [op(name, x)]))
    finally:
        del REGISTRY[name]


def test_threads_that_call_at_once_do_not_disturb_each_other():
    x, w = arg("x", (B, 32)), arg("w", (32, 32))
    h = op("tanh", matmul(x, w))
    program = Program(Graph("f", [x, w], [op("reduce_sum", matmul(h, w), axes=(1,), keepdims=False)]))
    weights = normal(32, 32, seed=5)
    expected = {seed: program(normal(20 + seed, 32, seed=seed), weights)[0] for seed in range(6)}
    wrong = []

    def call(seed):
        for _ in range(30):
            (got,) = program(normal(20 + seed, 32, seed=seed), weights)
            if got.tobytes() != expected[seed].tobytes():
                wrong.append(seed)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_can_be_looked_at():
    x = arg("x", (B, 4))
    program = Program(Graph("f", [x], [op("reduce_sum", op("exp", x), axes=(1,), keepdims=False)]))
    (kernel,) = program.kernels
    assert "# %" in kernel.source and "exp" in kernel.source and "#" not in kernel.canonical
    assert kernel.cost[1] == 4 * (4 * B) + 4 * B
    assert "programs.py" in kernel.origins[0]
    assert "k0_row" in program.describe()
    assert program.peak_bytes({"b": 100}) == 0
    compile(kernel.source, "kernel", "exec")


def test_layers_of_other_sizes_share_code():
    programs = []
    for n in (5, 9):
        x, b = arg("x", (B, n)), arg("b", (n,))
        programs.append(Program(Graph(f"layer{n}", [x, b], [op("relu", op("add", x, b))])))
    assert programs[0].kernels[0].canonical == programs[1].kernels[0].canonical


# ---- epochs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("samples", "batch"), [(64, 16), (70, 16), (5, 16), (16, 16), (7, 1)])
@pytest.mark.parametrize("shuffled", [True, False])
def test_an_epoch_is_its_steps(samples, batch, shuffled):
    x, y = data(samples)
    index = np.random.default_rng(3).permutation(samples) if shuffled else None
    one, two = fresh(), fresh()
    epoch = Program(linear_step(*one)).epoch([x, y], batch_size=batch)
    result = epoch.run(index)
    program = Program(linear_step(*two))
    order = np.arange(samples) if index is None else index
    for start in range(0, samples, batch):
        chosen = order[start : start + batch]
        loss, out = program(x[chosen], y[chosen])
    assert result.steps == epoch.steps == -(-samples // batch) == int(one[2].array)
    assert_same_bits(state(one), state(two))
    assert_same_bits(result.outputs, [loss, out])


def test_an_epoch_in_pieces_and_without_the_rest():
    x, y = data(70)
    one, two = fresh(), fresh()
    whole = Program(linear_step(*one)).epoch([x, y], batch_size=16, drop_remainder=True)
    pieces = Program(linear_step(*two)).epoch([x, y], batch_size=16, drop_remainder=True)
    assert whole.run().steps == 4
    assert [pieces.run(first=first, steps=n).steps for first, n in ((0, 1), (1, 2), (3, 1), (4, 0))] == [1, 2, 1, 0]
    assert_same_bits(state(one), state(two))
    with pytest.raises(ArgumentError, match="more than the 4"):
        pieces.run(first=2, steps=3)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_an_epoch_on_any_number_of_threads(threads, monkeypatch):
    from graphkeras.runtime import frame, team

    monkeypatch.setattr(frame, "SHARE_NS", 0.0)
    x, y = data(300)
    results = []
    for count in (1, threads):
        cells = fresh()
        team.set_num_threads(count)
        try:
            Program(linear_step(*cells)).epoch([x, y], batch_size=64).run()
        finally:
            team.set_num_threads(None)
        results.append(state(cells))
    assert_same_bits(*results)


def test_a_bad_label_stops_the_epoch_after_the_steps_before_it():
    x, y = data(64)
    y[40] = 99
    one, two = fresh(), fresh()
    epoch = Program(linear_step(*one, high=50)).epoch([x, y], batch_size=16)
    with pytest.raises(DataError, match=r"target 99 is out of range") as caught:
        epoch.run()
    assert "step 2" in caught.value.__notes__[0]
    program = Program(linear_step(*two, high=50))
    for start in (0, 16):
        program(x[start : start + 16], y[start : start + 16])
    assert_same_bits(state(one), state(two))


def test_predictions_are_collected_and_data_cast():
    x = arg("x", (B, 3))
    program = Program(Graph("predict", [x], [op("multiply", x, const(0.5)), op("reduce_sum", x, axes=(1,), keepdims=False)]))
    images = np.random.default_rng(0).integers(0, 256, (37, 3)).astype("uint8")
    half, total = program.epoch([images], batch_size=8, collect=True).run().outputs
    np.testing.assert_array_equal(half, images * np.float32(0.5))
    np.testing.assert_array_equal(total, images.astype("float32").sum(1))


def test_bad_data_sets():
    x, y = data(10)
    program = Program(linear_step(*fresh()))
    with pytest.raises(DataError, match="differ in length"):
        program.epoch([x, y[:9]], batch_size=4)
    with pytest.raises(ArgumentError, match="takes 2 arrays"):
        program.epoch([x], batch_size=4)
    with pytest.raises(ArgumentError, match="batch_size must be positive"):
        program.epoch([x, y], batch_size=0)
    epoch = program.epoch([x, y], batch_size=4)
    with pytest.raises(DataError, match="points outside the data"):
        epoch.run(np.arange(1, 11))
    with pytest.raises(DataError, match="does not cover"):
        epoch.run(np.arange(5))


# ---- memory ---------------------------------------------------------------------------------------------------------


def test_arena_places_never_overlap_while_alive():
    rng = np.random.default_rng(0)
    for _ in range(50):
        first = rng.integers(0, 30, 40)
        buffers = [Buffer(i, int(rng.integers(1, 5000)), int(f), int(f + rng.integers(0, 8))) for i, f in enumerate(first)]
        offsets, total = plan(buffers)
        for a in buffers:
            assert offsets[a.key] % 64 == 0 and offsets[a.key] + a.nbytes <= total
            for b in buffers:
                alive_together = a.key < b.key and a.first <= b.last and b.first <= a.last
                if alive_together:
                    assert offsets[a.key] + a.nbytes <= offsets[b.key] or offsets[b.key] + b.nbytes <= offsets[a.key]


def test_a_buffer_may_take_over_one_that_dies():
    offsets, total = plan([Buffer("a", 128, 0, 1), Buffer("b", 128, 1, 2, over="a"), Buffer("c", 64, 2, 3)])
    assert offsets["a"] == offsets["b"] and total == 192


@pytest.mark.parametrize("rows", [2, 3000])  # arguments and outputs that are copied, and such that are used where they lie
def test_calls_hand_out_arrays_of_their_own(rows):
    x, y = arg("x", (B, 4)), arg("y", (B, 4))
    program = Program(Graph("f", [x, y], [op("add", x, y), op("multiply", x, y)]))
    a, b = np.random.default_rng(0).normal(size=(2, rows, 4)).astype("float32")
    first = program(a, b)
    kept = [output.copy() for output in first]
    second = program(b, b)
    strided = program(np.asfortranarray(a), np.repeat(b, 2, 0)[::2])
    for output, expected in zip((*first, *second, *strided), (*kept, b + b, b * b, a + b, a * b)):
        assert np.array_equal(output, expected) and output.flags.writeable
    handed_out = [*first, *second, *strided]
    for number, output in enumerate(handed_out):
        assert not any(np.shares_memory(output, other) for other in (a, b, *handed_out[:number]))
    assert rows == 2 or all(output.ctypes.data % 64 == 0 for output in handed_out)
    with pytest.raises(DTypeError):
        program(a, b.astype("float64"))
    assert np.array_equal(program(a, b)[0], a + b)


def test_large_results_begin_at_different_lines_of_their_pages():
    x = arg("x", (B, 4))
    program = Program(Graph("f", [x], [op("negative", x), op("square", x), op("absolute", x)]))
    results = program(np.full((LARGE // 16, 4), -2.0, "float32"))
    assert [float(r[-1, -1]) for r in results] == [2, 4, 2]
    assert len({r.ctypes.data % 4096 for r in results}) == 3 and all(r.ctypes.data % 64 == 0 for r in results)


def test_an_epoch_that_was_given_back_serves_other_data():
    cells = Cell("w", np.zeros((6, 1), "float32")), Cell("b", np.zeros(1, "float32")), Cell("n", np.array(0, "int32"))
    program = Program(linear_step(*cells))
    rng = np.random.default_rng(0)
    data = [[rng.normal(size=(20, 6)).astype("float32"), rng.integers(-9, 9, (20, 1)).astype("int32")] for _ in range(2)]
    fresh = Program(linear_step(*[Cell(c.name, c.array) for c in cells]))
    expected = [fresh.epoch(d, batch_size=8) for d in data]
    epoch = program.epoch(data[0], batch_size=8)
    found = [epoch.run().outputs]
    program.keep_epoch(epoch)
    assert epoch.data == []  # nothing of the user's is kept alive
    assert program.epoch(data[1], batch_size=4) is not epoch
    again = program.epoch(data[1], batch_size=8)
    assert again is epoch
    found.append(again.run().outputs)
    for got, want in zip(found, [e.run().outputs for e in expected]):
        assert all(map(np.array_equal, got, want))


def test_data_of_the_other_byte_order_find_an_epoch_that_was_given_back():
    x = arg("x", (B, 3))
    program = Program(Graph("f", [x], [op("exp", x)]))
    data = np.arange(12, dtype="float32").reshape(4, 3)
    epoch = program.epoch([data], batch_size=2, collect=True)
    program.keep_epoch(epoch)
    again = program.epoch([data.astype(">f4")], batch_size=2, collect=True)
    assert again is epoch
    assert np.array_equal(again.run().outputs[0], program(data)[0])
