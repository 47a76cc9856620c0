"""Parts of concatenations are stored where they belong by the kernels that make them."""

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.ir import TensorSpec, symbol
from graphkeras.passes import run
from graphkeras.runtime.program import Program
from graphkeras.trace import trace
from tests.ops.test_control import normal

B = symbol("batch")


def made(traced, *specs):
    graph = run(trace(traced, list(specs)))[0]
    return Program(graph), Program(graph, fuse=False)


def copies(program):
    return [k.name for k in program.lowered if k.kind == "concatenate"]


def same(programs, *arrays):
    compiled, strict = programs
    for threads in (1, 2, 3, 8):
        for got, want in zip(compiled(*arrays, threads=threads), strict(*arrays, threads=1), strict=True):
            assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_parts_are_stored_in_place(axis):
    def traced(x, y):
        return ops.concatenate([ops.exp(x), x + y, ops.tanh(y) * x], axis)

    programs = made(traced, TensorSpec((B, 3, 20)), TensorSpec((B, 3, 20)))
    assert not copies(programs[0]) and copies(programs[1])
    for batch in (0, 1, 5, 64):
        x, y = normal(batch, 3, 20), normal(batch, 3, 20, seed=1)
        same(programs, x, y)
        want = np.concatenate([np.exp(x), x + y, np.tanh(y) * x], axis)
        np.testing.assert_allclose(programs[0](x, y)[0], want, rtol=1e-5, atol=1e-6)


def test_parts_of_other_widths_and_what_reads_the_whole():
    def traced(x, y, w):
        whole = ops.concatenate([ops.exp(x), y * 2], -1)
        return whole @ w, ops.sum(whole, -1)

    programs = made(traced, TensorSpec((B, 17)), TensorSpec((B, 40)), TensorSpec((57, 3)))
    assert not copies(programs[0])
    for batch in (1, 33):
        same(programs, normal(batch, 17), normal(batch, 40, seed=1), normal(57, 3, seed=2))


COPIED = {
    "short runs": lambda x, y: ops.concatenate([ops.exp(x[:, :4]), ops.tanh(y[:, :4])], 1),
    "an argument": lambda x, y: ops.concatenate([ops.exp(x), y], 1),
    "a part that is returned": lambda x, y: ((e := ops.exp(x)), ops.concatenate([e, ops.tanh(y)], 1)),
    "a part that others read": lambda x, y: ((e := ops.exp(x)) @ ops.transpose(e), ops.concatenate([e, ops.tanh(y)], 1)),
    "the same part twice": lambda x, y: ops.concatenate([e := ops.exp(x), e], 1),
    "a product": lambda x, y: ops.concatenate([ops.transpose(x) @ x, ops.exp(x[:20])], 1),
    "a part turned": lambda x, y: ops.concatenate([ops.transpose(ops.exp(x)), ops.transpose(ops.tanh(y))], 1),
}


@pytest.mark.parametrize("name", COPIED)
def test_parts_that_are_copied(name):
    programs = made(COPIED[name], TensorSpec((24, 20)), TensorSpec((24, 20)))
    assert copies(programs[0])
    same(programs, normal(24, 20), normal(24, 20, seed=1))


def test_a_concatenation_inside_a_loop_is_a_result_of_its_steps():
    def traced(x):
        return ops.scan(lambda h, row: (h * row, ops.concatenate([ops.exp(h), h + row], -1)), x[0], x)

    programs = made(traced, TensorSpec((3, B, 16)))
    assert not copies(programs[0])
    for batch in (1, 9, 40):
        same(programs, normal(3, batch, 16))


def test_the_un_jitted_kernels_store_in_place_too():
    programs = made(lambda x: ops.concatenate([ops.exp(x), x * 2], 1), TensorSpec((5, 19)))
    x = normal(5, 19)
    assert programs[0].python(x)[0].tobytes() == programs[0](x)[0].tobytes()
