"""How often fused normalisations and their gradients pass over their arrays, and that the bits do not depend on it."""

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import ops
from graphkeras.schedule import space
from tests.lowering.programs import check, const, op

ROWS = space.LEAST_CHUNKS * space.CHUNK_ROWS


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def gradients_of(f):
    def made(*values):
        *inputs, ct = values
        with keras.GradientTape() as tape:
            for x in inputs:
                tape.watch(x)
            y = f(*inputs)
        return tape.gradient(y, inputs, ct)

    return made


def softmax(x):
    return ops.softmax(x, axis=-1)


def layer_norm(x, gamma, beta):
    return ops.layer_normalization(x, gamma, beta, axis=-1)


def rms_norm(x, gamma):
    return ops.rms_normalization(x, gamma, axis=-1)


def batch_norm(x, gamma, beta):
    mean, variance = ops.moments(x, axes=[0, 1, 2])
    return ops.batch_normalization(x, mean, variance, -1, beta, gamma)


ROW, VECTOR, IMAGE, CHANNELS = (ROWS + 37, 50), (50,), (9, 9, 9, 20), (20,)
CASES = {  # what runs, its inputs, kinds of the groups, how often an array of the first input's size is read or written
    "softmax": (softmax, (ROW,), ["row"], 2),
    "softmax gradient": (gradients_of(softmax), (ROW, ROW), ["row"], 3),
    "layer norm": (layer_norm, (ROW, VECTOR, VECTOR), ["row"], 2),
    "layer norm gradients": (gradients_of(layer_norm), (ROW, VECTOR, VECTOR, ROW), ["row"], 3),
    "rms norm gradients": (gradients_of(rms_norm), (ROW, VECTOR, ROW), ["row"], 3),
    "batch norm": (batch_norm, (IMAGE, CHANNELS, CHANNELS), ["column", "pointwise"], 3),
    "batch norm gradients": (gradients_of(batch_norm), (IMAGE, CHANNELS, CHANNELS, IMAGE), ["column", "column", "pointwise"], 6),
}


@pytest.mark.parametrize("name", CASES)
def test_passes(name):
    f, shapes, kinds, passes = CASES[name]
    arrays = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    program = keras.function(f).program(*arrays)
    assert [group.kind for group in program.schedule.groups] == kinds
    sizes = program.sizes_of(shapes)
    moved = sum(g.bytes if isinstance(g.bytes, int) else g.bytes.evaluate(sizes) for g in program.schedule.groups)
    assert passes <= moved / arrays[0].nbytes < passes + 0.2
    check(program.graph, tuple(arrays), tolerance=2e-4)


def graph_of(x, outputs):
    from graphkeras.ir import Graph

    return Graph("f", [x], outputs)


def sums(rows, columns, dtype="float32"):
    """A row of sums, and sums of the columns of what is made from it."""
    from tests.lowering.programs import arg

    x = arg("x", (rows, columns), dtype)
    total = op("reduce_sum", x, axes=(1,), keepdims=True)
    y = op("multiply", x, total)
    return x, y, total


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("rows", [ROWS, ROWS + 1, 5 * ROWS // 2])
@pytest.mark.parametrize("name", ["reduce_sum", "reduce_max"])
def test_columns_on_the_side_of_rows(name, rows, dtype):
    from graphkeras.ir.dtypes import numpy_dtype

    x, y, total = sums(rows, 21, dtype)
    side = op(name, y, axes=(0,), keepdims=False)
    after = op("multiply", side, const(2.0, dtype))
    data = (normal(rows, 21).astype(numpy_dtype(dtype)),)
    tolerance = 0.2 if dtype == "bfloat16" else 1e-3
    program = check(graph_of(x, [side, after, op("negative", total)]), data, tolerance=tolerance)
    assert [g.kind for g in program.schedule.groups] == ["row", "pointwise"]
    assert program.schedule.groups[0].space.sides


def test_few_rows_take_no_columns_on_the_side():
    x, y, total = sums(ROWS - 1, 21)
    program = check(graph_of(x, [op("reduce_sum", y, axes=(0,), keepdims=False)]), (normal(ROWS - 1, 21),), tolerance=1e-3)
    assert sorted(g.kind for g in program.schedule.groups) == ["column", "row"]
    assert any("leave threads idle" in r.reason for r in program.schedule.refusals)


def test_a_sum_that_the_rows_need_stays_a_kernel_of_its_own():
    from tests.lowering.programs import arg

    x = arg("x", (2 * ROWS, 21))
    middle = op("subtract", x, op("reduce_sum", x, axes=(0,), keepdims=True))
    rows = op("divide", middle, op("reduce_max", middle, axes=(1,), keepdims=True))
    program = check(graph_of(x, [rows]), (normal(2 * ROWS, 21),), tolerance=1e-2)
    assert [g.kind for g in program.schedule.groups] == ["column", "row"]


def test_a_cheap_value_is_made_again_rather_than_stored():
    from tests.lowering.programs import arg

    x = arg("x", (300, 21))
    centre = op("subtract", x, op("reduce_max", x, axes=(0,), keepdims=True))
    spread = op("reduce_sum", op("square", centre), axes=(0,), keepdims=True)
    program = check(graph_of(x, [op("multiply", centre, spread)]), (normal(300, 21),), tolerance=1e-4)
    assert program.schedule.groups[-1].kind == "pointwise"
    assert centre.node in program.schedule.groups[-1].nodes
    assert all(centre not in group.outputs for group in program.schedule.groups)


def test_a_dear_value_is_stored():
    from tests.lowering.programs import arg

    x = arg("x", (300, 21))
    centre = op("exp", op("subtract", x, op("reduce_max", x, axes=(0,), keepdims=True)))
    spread = op("reduce_sum", centre, axes=(0,), keepdims=True)
    program = check(graph_of(x, [op("multiply", centre, spread)]), (normal(300, 21),), tolerance=1e-4)
    assert any(centre in group.outputs for group in program.schedule.groups)
