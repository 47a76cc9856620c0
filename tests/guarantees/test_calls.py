"""What any call may meet: odd arguments, all batch sizes, threads, forks, Ctrl-C, errors, huge arrays."""

import mmap
import os
import signal
import threading
import time

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import layers, ops
from graphkeras.ir import TensorSpec
from graphkeras.ir.errors import DataError
from graphkeras.ir.text import parse_graph
from graphkeras.passes import run
from graphkeras.runtime import objects, team
from graphkeras.runtime.program import Program
from graphkeras.trace import Variable, trace

NET = """
net(x: f32[b,7], w: f32[7,9]) {
  %0 = matmul(x, w)
  %1 = tanh(%0)
  %2 = softmax(%1, axes=(1,))
  %3 = reduce_sum(%1, axes=(0,), keepdims=false)
  %4 = reduce_max(%2, axes=(1,), keepdims=false)
  return %2, %3, %4
}
"""


def program(text=NET, fuse=True):
    return Program(run(parse_graph(text))[0], fuse=fuse)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def same_bits(left, right):
    assert [a.tobytes() for a in left] == [b.tobytes() for b in right]


# ---- sizes --------------------------------------------------------------------------------------------------------------


def test_one_program_serves_batches_of_1_to_300(monkeypatch):
    net, w = program(), numbers(7, 9)
    strict = program(fuse=False)
    net(numbers(5, 7), w)
    strict(numbers(5, 7), w)
    monkeypatch.setattr(objects, "load_kernels", None)  # nothing is compiled or loaded from here on
    for batch in range(1, 301):
        x = numbers(batch, 7, seed=batch)
        y, column, row = net(x, w)
        if batch % 20 == 1:
            same_bits((y, column, row), strict(x, w))
        t = np.tanh(x.astype("f8") @ w)
        np.testing.assert_allclose(y, np.exp(t) / np.exp(t).sum(1, keepdims=True), rtol=1e-4)
        np.testing.assert_allclose(column, t.sum(0), atol=1e-3)
        assert row.tobytes() == y.max(1).tobytes()


def test_zero_sizes():
    y, column, row = program()(np.empty((0, 7), "float32"), numbers(7, 9))
    assert y.shape == (0, 9) and row.shape == (0,) and column.tolist() == [0.0] * 9
    text = """
    f(x: f32[a,b], y: f32[b,c]) {
      %0 = matmul(x, y); %1 = reduce_sum(x, axes=(1,), keepdims=true); %2 = concatenate(x, %1, axis=1); %3 = transpose(%2, perm=(1, 0))
      %4 = reduce_prod(y, axes=(0, 1), keepdims=false); %5 = cumsum(y, axis=0, reverse=false); return %0, %3, %4, %5
    }"""
    for fuse in (True, False):
        f = program(text, fuse)
        for a, b, c in ((0, 3, 2), (2, 0, 3), (2, 3, 0), (0, 0, 0), (1, 0, 1)):
            x, y = numbers(a, b), numbers(b, c)
            got = f(x, y)
            wanted = [x @ y, np.concatenate([x, x.sum(1, keepdims=True)], 1).T, y.prod(), y.cumsum(0)]
            for g, w in zip(got, wanted):
                np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-5)
                assert g.shape == w.shape


def test_sizes_that_a_view_cannot_have_are_refused():
    for text, shape in (
        ("f(x: f32[b]) { %0 = slice(x, starts=(0,), stops=(3,), strides=(1,)); %1 = exp(%0); return %1 }", (2,)),
        ("f(x: f32[b]) { %0 = slice(x, starts=(3,), stops=(-1,), strides=(-1,)); %1 = exp(%0); return %1 }", (3,)),
        ("f(x: f32[b]) { %0 = slice(x, starts=(b - 4,), stops=(b,), strides=(1,)); %1 = exp(%0); return %1 }", (3,)),
        ("f(x: f32[b]) { %0 = broadcast_to(x, shape=(2, 3)); %1 = exp(%0); return %1 }", (8,)),
    ):
        f = program(text)
        with pytest.raises(ValueError, match="slice|broadcast_to"):
            f(numbers(*shape))
        assert np.isfinite(f(numbers(*((4,) if "slice" in text else (3,))))[0]).all()


# ---- arguments ----------------------------------------------------------------------------------------------------------


def unaligned(array):
    raw = np.empty(array.nbytes + 64, np.uint8)
    odd = raw[-raw.ctypes.data % 64 + 3 :][: array.nbytes].view(array.dtype).reshape(array.shape)
    odd[...] = array
    assert odd.ctypes.data % 4 == 3
    return odd


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("batch", [5, 700])  # arguments that are copied, and such that are used where they lie
@pytest.mark.parametrize(
    "form",
    [
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: np.repeat(a, 3, axis=1)[:, 1::3],
        lambda a: np.ascontiguousarray(a[::-1])[::-1],
        unaligned,
        read_only,
        lambda a: np.broadcast_to(a[:1], a.shape),
        lambda a: np.ma.array(a).data,
    ],
    ids=["fortran", "every other row", "every third column", "reversed", "unaligned", "read-only", "broadcast", "view"],
)
def test_arrays_of_any_form(batch, form):
    net, w, x = program(), numbers(7, 9), numbers(batch, 7)
    odd = form(x)
    plain = np.array(odd, order="C")
    before = odd.copy()
    same_bits(net(odd, w), net(plain, w))
    same_bits(net(odd, w, threads=3), net(plain, w))
    assert odd.tobytes() == before.tobytes()
    with pytest.raises(ValueError):
        np.ascontiguousarray(read_only(x))[0] = 1


def test_infinities_and_nan_go_where_numpy_takes_them():
    x = numbers(40, 7)
    x[3, 2], x[5, 1], x[9, 0], x[11] = np.nan, np.inf, -np.inf, np.nan
    y, column, row = program()(x, np.abs(numbers(7, 9)) + 1)
    strict = program(fuse=False)(x, np.abs(numbers(7, 9)) + 1)
    same_bits((y, column, row), strict)
    assert np.isnan(y[[3, 11]]).all() and np.isnan(row[[3, 11]]).all() and np.isnan(column).all()
    assert np.isfinite(np.delete(y, [3, 11], 0)).all()
    np.testing.assert_allclose(y[[5, 9]], 1 / 9, rtol=1e-6)


# ---- threads, forks, interruptions ----------------------------------------------------------------------------------------


def test_two_python_threads_call_one_program():
    net, w = program(), numbers(7, 9)
    inputs = [numbers(20 + n, 7, seed=n) for n in range(2)]
    expected = [net(x, w) for x in inputs]
    wrong = []

    def call(n):
        for _ in range(200):
            if [a.tobytes() for a in net(inputs[n], w)] != [b.tobytes() for b in expected[n]]:
                wrong.append(n)

    threads = [threading.Thread(target=call, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_process_calls_and_makes_programs():
    team.set_num_threads(2)
    try:
        net, x, w = program(), numbers(700, 7), numbers(7, 9)
        expected = net(x, w)
        child = os.fork()
        if child == 0:
            try:
                right = [a.tobytes() for a in net(x, w)] == [b.tobytes() for b in expected]
                new = program("f(x: f32[b]) { %0 = exp(x); %1 = subtract(%0, 0.375); return %1 }")
                right = right and np.allclose(new(x[0])[0], np.exp(x[0]) - 0.375, rtol=1e-5)
                os._exit(0 if right else 1)
            except BaseException:
                os._exit(2)
        deadline, done = time.monotonic() + 60, 0
        while not done and time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            time.sleep(0.01)
        if not done:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert done and os.waitstatus_to_exitcode(status) == 0
        same_bits(net(x, w), expected)
    finally:
        team.set_num_threads(None)


class interrupted:
    """Sends Ctrl-C after some seconds; what it meets must end soon, with KeyboardInterrupt."""

    def __init__(self, seconds=0.3, patience=20):
        self.timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
        self.patience = patience

    def __enter__(self):
        self.before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.start = time.monotonic()
        self.timer.start()

    def __exit__(self, kind, *_):
        self.timer.cancel()
        signal.signal(signal.SIGINT, self.before)
        assert time.monotonic() - self.start < self.patience
        assert kind is KeyboardInterrupt
        return True


def endless(x):
    """Ends at once for x >= 1, never for less."""
    return ops.while_loop(lambda i, s: ops.sum(x) < 1, lambda i, s: (i + 1, s * 1), (0, ops.sum(x)))


@pytest.mark.parametrize("threads", [None, 1, 3])
@pytest.mark.parametrize("fuse", [True, False])
def test_ctrl_c_ends_an_endless_loop_in_a_call(fuse, threads):
    state = Variable(np.float32(3))

    def traced(x):
        state.assign(state * 2)
        return endless(x)

    loop = Program(run(trace(traced, [TensorSpec((4,))]))[0], fuse=fuse)
    with interrupted():
        loop(np.zeros(4, "float32"), threads=threads)
    assert float(state.numpy()) == 3  # as before the call
    steps, total = loop(np.ones(4, "float32"), threads=threads)
    assert int(steps) == 0 and float(total) == 4 and float(state.numpy()) == 6


def test_ctrl_c_ends_a_long_count_and_a_function():
    count = keras.function(lambda x: ops.fori_loop(0, 1 << 40, lambda i, s: s + 1, ops.sum(x)))
    with interrupted():
        count(np.zeros(3, "float32"))


def test_ctrl_c_in_an_epoch_leaves_whole_steps():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((20,)), layers.Dense(50, activation="relu"), layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = numbers(4000, 20), numbers(4000)
    model.fit(x[:100], y[:100], batch_size=10, verbose=0)
    start = model.get_weights()
    with interrupted():
        model.fit(x, y, batch_size=10, epochs=100_000, shuffle=False, verbose=0)
    steps = int(model.optimizer.iterations.numpy()) - 10
    assert steps > 0
    ended = model.get_weights()
    model.set_weights(start)
    whole, rest = divmod(steps, 400)
    if whole < 5:  # the same steps again, as far as that takes no time
        for _ in range(whole):
            model.fit(x, y, batch_size=10, shuffle=False, verbose=0)
        model.fit(x[: 10 * rest], y[: 10 * rest], batch_size=10, shuffle=False, verbose=0) if rest else None
        same_bits(model.get_weights(), ended)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_an_error_in_mid_epoch_changes_nothing_and_hangs_nowhere(threads):
    table = Variable(numbers(6, 3))

    def step(x):
        picked = ops.take(table, x, axis=0)
        table.assign(table * 0.5 + ops.sum(picked))
        return ops.sum(picked)

    net = Program(run(trace(step, [TensorSpec((4,), "int32")]))[0])
    good, bad = np.array([0, 1, 5, 2], "int32"), np.array([0, 1, 6, 2], "int32")
    net(good, threads=threads)
    before = table.numpy().copy()
    for _ in range(3):
        with pytest.raises(DataError, match="6 is out of range"):
            net(bad, threads=threads)
        assert table.numpy().tobytes() == before.tobytes()
    team.set_num_threads(threads)
    try:
        epoch = net.epoch([np.concatenate([good, good, bad, good])], batch_size=4)
        with pytest.raises(DataError, match="6 is out of range"):
            epoch.run()
    finally:
        team.set_num_threads(None)
    expected = before
    for _ in range(2):  # the two steps before the bad one
        table.assign(expected)
        net(good, threads=1)
        expected = table.numpy().copy()
    table.assign(before)
    with pytest.raises(DataError):
        net.epoch([np.concatenate([good, good, bad, good])], batch_size=4).run()
    assert table.numpy().tobytes() == expected.tobytes()


# ---- more than 2**31 elements ---------------------------------------------------------------------------------------------


def untouched(elements, dtype):
    """An array of zeros that takes no memory until it is written, a page at a time."""
    dtype = np.dtype(dtype)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    try:
        memory = mmap.mmap(-1, elements * dtype.itemsize, flags=flags)
    except (OSError, ValueError, OverflowError):
        pytest.skip("the system does not give so many addresses")
    return np.frombuffer(memory, dtype)


FAR = (1 << 31) + 100


@pytest.mark.skipif(not hasattr(mmap, "MAP_ANONYMOUS"), reason="needs anonymous mappings")
@pytest.mark.parametrize("fuse", [True, False])
def test_offsets_beyond_two_to_the_31(fuse):
    x = untouched(1 << 32, "float32")
    places = np.array([7, FAR, FAR + 64, (1 << 32) - 1], "int64")
    x[places] = [1, 2, 3, 4]
    text = f"""
    f(x: f32[n], places: i64[4]) {{
      %0 = slice(x, starts=({FAR},), stops=({FAR + 65},), strides=(1,))
      %1 = multiply(%0, 10.0)
      %2 = slice(x, starts=({(1 << 32) - 1},), stops=({(1 << 32) - 1 - 64 * 9},), strides=(-64,))
      %3 = add(%2, 1.0)
      %4 = gather(x, places, axis=0)
      %5 = reshape(x, shape=(65536, 65536))
      %6 = slice(%5, starts=(32768, 100), stops=(65536, 101), strides=(32767, 1))
      %7 = transpose(%6, perm=(1, 0))
      %8 = exp(%7)
      %9 = reduce_sum(%0, axes=(0,), keepdims=false)
      return %1, %3, %4, %8, %9
    }}"""
    for threads in (1, 3):
        near, back, gathered, column, total = program(text, fuse)(x, places, threads=threads)
        assert near[0] == 20 and near[64] == 30 and not near[1:64].any()
        assert back[0] == 5 and (back[1:] == 1).all()
        assert gathered.tolist() == [1, 2, 3, 4]
        np.testing.assert_allclose(column, [[np.exp(np.float32(2)), 1]], rtol=1e-6)
        assert total == 5


@pytest.mark.skipif(not hasattr(mmap, "MAP_ANONYMOUS"), reason="needs anonymous mappings")
def test_an_epoch_over_samples_beyond_two_to_the_31():
    x = untouched(1 << 32, "float32").reshape(1 << 16, 1 << 16)
    x[40000, 3], x[65535, 65535] = 2, 5
    net = program("f(x: f32[b,65536]) { %0 = reduce_max(x, axes=(1,), keepdims=false); return %0 }")
    index = np.zeros(len(x), "int64")
    index[:4] = 40000, 1, 65535, 2
    result = net.epoch([x], batch_size=2, collect=True).run(index=index, steps=2)
    assert result.steps == 2 and result.outputs[0][:4].tolist() == [2, 0, 5, 0]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(mmap, "MAP_ANONYMOUS"), reason="needs anonymous mappings")
def test_every_element_of_a_huge_array_is_reached():
    x = untouched(FAR, "uint8")
    x[[0, 1 << 31, FAR - 1]] = 5
    text = """
    f(x: u8[n]) {
      %0 = equal(x, 5:u8); %1 = cast(%0, dtype="int32"); %2 = reduce_sum(%1, axes=(0,), keepdims=false)
      %3 = argmax(x, axis=0, keepdims=false); return %2, %3
    }"""
    for threads in (1, 2):
        total, first = program(text)(x, threads=threads)
        assert total == 3 and first == 0
