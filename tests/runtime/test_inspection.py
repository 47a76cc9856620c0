"""Other ways of running a program give the same bits, and find planted faults."""

import os

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.debug import flags
from graphkeras.ir.dims import symbol
from graphkeras.ir.errors import DataError
from graphkeras.ir.spec import TensorSpec
from graphkeras.passes import POST_GRAD, run
from graphkeras.runtime import inspection
from graphkeras.runtime.errors import KernelMismatchError, NotFiniteError
from graphkeras.runtime.program import Program
from graphkeras.trace import Variable, prim, trace

B = symbol("b")
X = np.random.default_rng(0).normal(size=(11, 4)).astype(np.float32)
INDEX = np.array([0, 1, 4, 2, 3, 10, 7, 7, 7, 9, 5], np.int32)


def _program(function, specs, fuse=True):
    return Program(run(trace(function, specs), POST_GRAD)[0], fuse=fuse)


@pytest.fixture(params=[True, False], ids=["fused", "strict"])
def step(request):
    """A program with products, rows, gathers and a variable; `bits()` are those of its results and its state."""
    w = Variable(np.ones((4, 3), np.float32), name="w")

    def function(x, i):
        y = ops.softmax(ops.matmul(x, w.value) + 1.0)
        w.assign_sub(0.1 * ops.matmul(ops.transpose(x), y))
        return ops.sum(y * ops.take(y, i, axis=0)), ops.exp(x)[::-1], i > 3

    program = _program(function, [TensorSpec((B, 4)), TensorSpec((B,), "int32")], request.param)

    def bits(call):
        w.assign(np.ones((4, 3), np.float32))
        outputs = call()
        return [a.tobytes() for a in outputs] + [w.numpy().tobytes()]

    program.bits = bits
    return program


def test_un_jitted_source_gives_the_same_bits(step):
    assert step.bits(lambda: step.python(X, INDEX)) == step.bits(lambda: step(X, INDEX))


def test_one_kernel_un_jitted():
    program = _program(lambda x: ops.tanh(x) * 2.0, [TensorSpec((4,))])
    (view,) = program.kernels
    x, y = X[0].copy(), np.zeros(4, np.float32)
    block = np.zeros(8, np.int64)
    slot = np.zeros(8, np.int64)
    block[:3] = slot.ctypes.data, x.ctypes.data, y.ctypes.data
    view.python()(block.ctypes.data, 0, 4)
    assert y.tobytes() == program(x)[0].tobytes()


def test_un_jitted_errors_are_the_same():
    program = _program(lambda x, i: prim.gather(x, i, axis=0), [TensorSpec((B, 4)), TensorSpec((B,), "int32")])
    bad = INDEX.copy()
    bad[5], bad[7] = 99, -50
    texts = []
    for run_it in (program, program.python):
        with pytest.raises(DataError) as error:
            run_it(X, bad)
        texts.append(str(error.value))
    assert texts[0] == texts[1] and "99 at flat position 5" in texts[0]


def test_flags_change_no_bits(step, capsys):
    wanted = step.bits(lambda: step(X, INDEX))
    for flag, value in ((flags.VALIDATE, True), (flags.CHECK_NAN, True), (flags.DEBUG, 2)):
        with flag(value):
            assert step.bits(lambda: step(X, INDEX)) == wanted, flag
    assert " us" in capsys.readouterr().err


def test_epochs_under_flags(step):
    data = [X.astype(np.float64), INDEX % 3]
    epoch = step.epoch(data, batch_size=4)
    order = np.arange(11)[::-1].copy()
    wanted = step.bits(lambda: epoch.run(index=order).outputs)
    with flags.VALIDATE(True):
        assert step.bits(lambda: epoch.run(index=order).outputs) == wanted
        collected = _program(lambda x: x * 2.0, [TensorSpec((B, 4))]).epoch([X], batch_size=4, collect=True)
        assert np.array_equal(collected.run().outputs[0], X * 2)


def test_validate_finds_a_kernel_that_is_wrong(monkeypatch):
    program = _program(lambda x: (ops.sum(x, axis=1), ops.exp(x)), [TensorSpec((B, 4))], fuse=False)
    honest = inspection.run_node

    def wrong(node, arrays, sizes):
        return tuple(r + (node.op == "exp") for r in honest(node, arrays, sizes))

    monkeypatch.setattr(inspection, "run_node", wrong)
    with flags.VALIDATE(True), pytest.raises(KernelMismatchError, match="kernel of exp differs from NumPy in 44 of 44"):
        program(X)


def test_check_nan_names_the_node_and_changes_nothing():
    v = Variable(np.ones(4, np.float32))

    def function(x):
        v.assign_add(ops.log(ops.sum(x) - 1e4) * x[0])
        return ops.sum(x)

    program = _program(function, [TensorSpec((B, 4))])
    with flags.CHECK_NAN(True):
        with pytest.raises(NotFiniteError, match="log made NaN"):
            program(X)
        assert v.numpy().tolist() == [1.0] * 4
        coming_in = X.copy()
        coming_in[0, 0] = np.inf  # not made here: the result stands
        assert np.isposinf(_program(lambda x: ops.sum(x), [TensorSpec((B, 4))])(coming_in)[0])


def test_debug_and_dump_show_schedule_and_source(tmp_path, capsys):
    with flags.DUMP(str(tmp_path)), flags.DEBUG(4):
        _program(lambda x: ops.exp(x) + 1.0, [TensorSpec((B, 4))])
    shown = capsys.readouterr().err
    assert "def kernel(args, lo, hi, scratch):" in shown and "pointwise" in shown
    (name,) = [n for n in os.listdir(tmp_path) if n.startswith("program_")]
    text = (tmp_path / name).read_text()
    compile(text, name, "exec")
    assert "exp(" in text


def test_flags_in_the_environment_are_seen_by_programs_made_later(monkeypatch, capsys):
    monkeypatch.setenv("GRAPHKERAS_DEBUG", "2")
    program = _program(lambda x: x - 1.0, [TensorSpec((B, 4))])
    program(X)
    assert "us" in capsys.readouterr().err


def _loop(x, n):
    carry, sums = ops.scan(lambda c, row: (ops.tanh(c + row), ops.sum(c)), ops.zeros((4,)), x)
    count, carry = ops.while_loop(lambda i, v: i < n, lambda i, v: (i + 1, v * 2.0), (ops.zeros((), "int32"), carry))
    return ops.cond(n > 3, lambda: carry + 1.0, lambda: carry - 1.0), sums, count


@pytest.mark.parametrize("fuse", [True, False])
def test_loops_and_branches_un_jitted_and_validated(fuse):
    program = _program(_loop, [TensorSpec((B, 4)), TensorSpec((), "int32")], fuse)
    assert any(kernel.jumps for kernel in program.lowered)
    for n in (0, 5):
        arguments = (X[:5], np.int32(n))
        wanted = [a.tobytes() for a in program(*arguments)]
        assert [a.tobytes() for a in program.python(*arguments)] == wanted
        with flags.VALIDATE(True):
            assert [a.tobytes() for a in program(*arguments)] == wanted


@pytest.mark.parametrize("axis", [0, 1])
def test_validate_finds_a_part_of_a_concatenation_that_is_wrong(monkeypatch, axis):
    program = _program(lambda x: ops.concatenate([ops.tanh(x), ops.exp(x)], axis), [TensorSpec((B, 20))])
    assert all(k.kind == "pointwise" for k in program.lowered)  # the parts are stored where they belong
    honest = inspection.run_node
    x = np.linspace(-1, 1, 220, dtype="float32").reshape(11, 20)
    wanted = program(x)[0]
    with flags.VALIDATE(True):
        assert np.array_equal(program(x)[0], wanted)

    def wrong(node, arrays, sizes):
        return tuple(r + (node.op == "exp") for r in honest(node, arrays, sizes))

    monkeypatch.setattr(inspection, "run_node", wrong)
    with flags.VALIDATE(True), pytest.raises(KernelMismatchError, match="kernel of exp differs from NumPy in 220 of 220"):
        program(x)


def test_validate_finds_a_loop_that_is_wrong(monkeypatch):
    program = _program(_loop, [TensorSpec((B, 4)), TensorSpec((), "int32")])
    honest = inspection.run_node

    def wrong(node, arrays, sizes):
        results = honest(node, arrays, sizes)
        return tuple(r + 1 for r in results) if node.op == "scan" else results

    monkeypatch.setattr(inspection, "run_node", wrong)
    with flags.VALIDATE(True), pytest.raises(KernelMismatchError, match="kernel of scan differs from NumPy"):
        program(X[:5], np.int32(2))


def test_epochs_under_flags_can_be_stopped_and_show_their_progress(monkeypatch):
    total = Variable(np.zeros((), np.float32))

    def function(x):
        total.assign_add(ops.sum(x))
        return ops.sum(x)

    epoch = _program(function, [TensorSpec((B, 4))]).epoch([X], batch_size=2)
    seen, honest = [], inspection.call

    def watched(program, arrays, threads=None):
        seen.append(epoch.progress)
        if len(seen) == 3:
            epoch.stop()
        return honest(program, arrays, threads)

    monkeypatch.setattr(inspection, "call", watched)
    with flags.CHECK_NAN(True):
        result = epoch.run()
        assert (result.steps, result.stopped, seen, epoch.progress) == (3, True, [0, 1, 2], 3)
        np.testing.assert_allclose(total.numpy(), X[:6].sum(), rtol=1e-5)
        assert epoch.run(first=3).steps == epoch.steps - 3  # the next run goes to its end
    np.testing.assert_allclose(total.numpy(), X.sum(), rtol=1e-5)
    assert epoch.run().steps == epoch.steps == epoch.progress


def test_assembly_shows_vector_instructions():
    program = _program(lambda x: ops.exp(x) * 2.0, [TensorSpec((B, 4))])
    text = program.kernels[0].assembly()
    assert ".globl\tgk_" in text and program.compiled[0].key in text
    assert "ret" in text and any(register in text for register in ("ymm", "zmm", "v0.4s"))


def test_memory_map_matches_the_arena():
    spec = TensorSpec((B, 64))
    program = _program(lambda x: ops.sum(ops.exp(ops.matmul(ops.tanh(x), ops.transpose(x))), axis=0), [spec], fuse=False)
    x = np.ones((32, 64), np.float32)
    memory = program.memory_map(x)
    assert memory.arena_bytes == program.bind([x.shape]).arena_bytes == program.peak_bytes(memory.sizes)
    assert len(memory.rows) == len(memory.live_bytes) and max(memory.live_bytes) <= memory.arena_bytes <= memory.sum_bytes
    for a in memory.places:
        assert 0 <= a.offset and a.offset + a.nbytes <= memory.arena_bytes and a.first <= a.last < len(memory.rows)
        for b in memory.places:
            apart = a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset or a.last < b.first or b.last < a.first
            assert a is b or apart or a.takes_over or b.takes_over
    text = str(memory)
    assert "tanh f32[" in text and "test_inspection.py" in text and f"{memory.arena_bytes:,} bytes" in text
    larger = program.memory_map(sizes=dict.fromkeys(memory.sizes, 64))
    assert larger.arena_bytes > memory.arena_bytes
