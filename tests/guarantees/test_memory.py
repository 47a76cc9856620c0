"""Memory does not grow with programs that come and go, nor with calls."""

import gc
import os

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import layers
from graphkeras.ir.text import parse_graph
from graphkeras.passes import run
from graphkeras.runtime.program import Program

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs /proc")
LIMIT = 1 << 20


def resident() -> int:
    """Bytes of memory of this process's own."""
    gc.collect()
    with open("/proc/self/smaps_rollup") as file:
        fields = dict(line.split(":", 1) for line in file if "kB" in line)
    return sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) << 10


def growth(work, warm: int, times: int) -> int:
    """How many bytes more a process holds after so many times of the same work, once it is warm.

    Allocators move to and fro: what grows in one round only is theirs.
    """
    for _ in range(warm):
        work()
    found = []
    for _ in range(3):
        before = resident()
        for _ in range(times):
            work()
        found.append(resident() - before)
        if found[-1] < LIMIT:
            break
    return min(found)


TEXT = """
f(x: f32[b,6], w: f32[6,8]) {
  %0 = matmul(x, w); %1 = tanh(%0); %2 = softmax(%1, axes=(1,)); %3 = reduce_sum(%2, axes=(0,), keepdims=false); return %1, %3
}"""


@pytest.mark.parametrize("times", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_programs_built_and_dropped(times):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(9, 6)).astype("float32"), rng.normal(size=(6, 8)).astype("float32")
    expected = [a.tobytes() for a in Program(run(parse_graph(TEXT))[0])(x, w)]

    def work():
        program = Program(run(parse_graph(TEXT))[0])
        assert [a.tobytes() for a in program(x, w)] == expected

    assert growth(work, 40, times) < LIMIT


@pytest.mark.parametrize("rows", [9, 3000])  # arguments that are copied, and such that are used where they lie
def test_ten_thousand_calls(rows):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(rows, 6)).astype("float32"), rng.normal(size=(6, 8)).astype("float32")
    program = Program(run(parse_graph(TEXT))[0])
    assert growth(lambda: program(x, w), 1000, 10_000) < LIMIT


def test_calls_with_ever_other_sizes():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(6, 8)).astype("float32")
    xs = [rng.normal(size=(n, 6)).astype("float32") for n in range(1, 401)]
    program = Program(run(parse_graph(TEXT))[0])

    def work():
        for x in xs:
            program(x, w)

    assert growth(work, 1, 2) < LIMIT


@pytest.mark.parametrize("times", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_ten_thousand_predictions(times):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(16, activation="relu"), layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    assert growth(lambda: model.predict(x, verbose=0), 300, times) < LIMIT
    assert growth(lambda: model(x), 300, times // 10) < LIMIT


@pytest.mark.slow
def test_functions_built_and_dropped():
    x = np.ones((4, 3), "float32")

    def work():
        keras.function(lambda a: a * 2 + 1)(x)

    assert growth(work, 30, 80) < LIMIT
