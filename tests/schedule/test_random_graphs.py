"""Random graphs with variables: NumPy, strict, fused and threaded runs must agree, on outputs and on what is written."""

import numpy as np
import pytest

from graphkeras.ir import Dim, Graph, symbol
from graphkeras.ir.errors import GraphKerasError
from graphkeras.runtime.interpreter import interpret
from graphkeras.runtime.program import Program
from graphkeras.runtime.sizes import constraints
from tests.lowering.programs import arg, const, op
from tests.runtime.test_program import Cell

B = symbol("b")
UNARY = ["tanh", "sigmoid", "relu", "negative", "absolute"]
BINARY = ["add", "subtract", "multiply", "maximum"]
SHAPES = [(), (6,), (6, 6), (6, 6), (1, 6), (6,)]


def random_view(rng, v):
    """One view of a value."""
    kind, rank = rng.integers(4), len(v.shape)
    if kind == 0:
        return op("transpose", v, perm=tuple(rng.permutation(rank).tolist()))
    if kind == 1:
        shape = list(v.shape)
        shape.insert(int(rng.integers(rank + 1)), 1)
        return op("reshape", v, shape=tuple(shape))
    if kind == 2:
        return op("reshape", v, shape=(v.spec.size,))
    fixed = [isinstance(d, int) and d > 1 for d in v.shape]
    return op(
        "slice",
        v,
        starts=tuple(d - 1 if f else 0 for d, f in zip(v.shape, fixed)),
        stops=tuple(-1 if f else d for d, f in zip(v.shape, fixed)),
        strides=tuple(-1 if f else 1 for f in fixed),
    )


def random_value(rng, values):
    """One more value made from those at hand."""
    v, u = (values[i] for i in rng.integers(len(values), size=2))
    kind = rng.random()
    if kind < 0.25:
        return op(UNARY[rng.integers(len(UNARY))], v)
    if kind < 0.55:
        return op(BINARY[rng.integers(len(BINARY))], v, u if rng.random() < 0.9 else const(rng.normal()))
    if kind < 0.72 and v.shape:
        axes = tuple(sorted(rng.choice(len(v.shape), rng.integers(1, len(v.shape) + 1), replace=False).tolist()))
        name = ["reduce_sum", "reduce_max", "reduce_min"][rng.integers(3)]
        return op("tanh", op(name, v, axes=axes, keepdims=bool(rng.random() < 0.5)))
    if kind < 0.85:
        flips = rng.random(2) < 0.5
        return op("tanh", op("matmul", v, u, transpose_a=bool(flips[0]), transpose_b=bool(flips[1])))
    return random_view(rng, v)


def is_small(v):
    """Few axes, the batch in at most one of them."""
    size = v.spec.size
    if isinstance(size, Dim):
        return len(v.shape) <= 4 and all(power == 1 for monomial, _ in size.terms for _, power in monomial)
    return len(v.shape) <= 4 and size <= 3000


def random_graph(seed, count, cells):
    """A graph of about `count` nodes that reads all cells and writes most."""
    rng = np.random.default_rng(seed)
    x = arg("x", (B, 6))
    values = [x, *(cell.read() for cell in cells)]
    for _ in range(20 * count):
        try:
            new = random_value(rng, values)
        except (GraphKerasError, ValueError):
            continue
        if is_small(new) and not constraints(Graph("f", [x], [new])):  # it must run for every batch
            values.append(new)
        if len(values) > count:
            break
    effects = []
    for cell in cells:
        fitting = [v for v in values[1:] if v.shape == cell.array.shape]
        if rng.random() < 0.85:
            effects.append(cell.write(fitting[rng.integers(max(0, len(fitting) - 6), len(fitting))]))
    return Graph("f", [x], [values[-1], values[rng.integers(len(values))], x], effects)


@pytest.mark.parametrize("seed", range(20))
def test_all_ways_of_running_agree(seed):
    start = [np.random.default_rng(seed).normal(size=shape).astype("float32") for shape in SHAPES]
    runs = []
    for how in ("numpy", "fused", "strict", "threads"):
        cells = [Cell(f"v{i}", array.copy()) for i, array in enumerate(start)]
        graph = random_graph(seed, 24, cells)
        program = None if how == "numpy" else Program(graph, fuse=how != "strict")
        found = []
        for batch in (1, 8, 21):
            x = np.random.default_rng(batch).normal(size=(batch, 6)).astype("float32")
            found += interpret(graph, [x]) if program is None else program(x, threads=3 if how == "threads" else 1)
            found += [cell.array.copy() for cell in cells]
        runs.append(found)
    for expected, fused, strict, threaded in zip(*runs):
        np.testing.assert_allclose(fused, expected, rtol=2e-2, atol=2e-3)
        assert strict.tobytes() == fused.tobytes()
        assert threaded.tobytes() == fused.tobytes()
