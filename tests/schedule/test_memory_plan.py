"""Memory of intermediate arrays: planned from the sizes before the first run, and what is planned is what is used."""

import numpy as np

from graphkeras.ir import Graph, symbol
from graphkeras.runtime.call import Call
from graphkeras.runtime.program import Program
from tests.lowering.programs import arg, const, op

B = symbol("b")


def test_the_peak_is_known_before_the_first_run_and_is_what_a_run_takes():
    x = arg("x", (B, 32))
    y = x
    for _ in range(5):  # each sum down the columns needs the whole array before it: five arrays, of which two live at a time
        y = op("exp", op("subtract", y, op("reduce_max", y, axes=(0,), keepdims=True)))
    program = Program(Graph("f", [x], [op("reduce_sum", y, axes=(0, 1), keepdims=False)]))
    for rows in (100, 1000):
        array = 4 * 32 * rows
        planned = program.peak_bytes({"b": rows})
        assert array <= planned <= 2 * array + 4096
        shapes = ((rows, 32),)
        assert Call(program, program.bind(shapes), shapes).frame.arena.nbytes == planned


def test_an_update_in_place_takes_no_memory_of_its_own():
    x = arg("x", (B, 32))
    first = op("cumsum", x, axis=1, reverse=False)
    second = op("tanh", first)
    program = Program(Graph("f", [x], [op("cumsum", second, axis=1, reverse=False)]))
    assert program.peak_bytes({"b": 1000}) == 4 * 32 * 1000
    (got,) = program(np.ones((3, 32), np.float32))
    assert np.allclose(got, np.cumsum(np.tanh(np.cumsum(np.ones((3, 32)), 1)), 1), atol=1e-5)


def test_views_take_no_memory():
    x = arg("x", (B, 4, 8))
    view = op("transpose", op("reshape", x, shape=(B, 32)), perm=(1, 0))
    program = Program(Graph("f", [x], [op("add", view, const(1.0))]))
    assert program.peak_bytes({"b": 1000}) == 0
