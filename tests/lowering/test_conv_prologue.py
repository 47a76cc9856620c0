"""Pointwise nodes that convolutions make for each block of places: the same bits, and nothing stored."""

import numpy as np
import pytest

from graphkeras.ir import Graph
from graphkeras.ir.dims import symbol
from graphkeras.lowering.cpu import conv_plan
from graphkeras.lowering.cpu.conv_geometry import Walk, geometry, strips_of
from tests.lowering.programs import arg, args_like, check, const, normal, op
from tests.lowering.test_conv import CASES, walk


@pytest.fixture(autouse=True)
def whatever_it_costs(monkeypatch):
    monkeypatch.setattr("graphkeras.schedule.recompute.LEAST_BYTES", 0)
    monkeypatch.setattr("graphkeras.schedule.recompute.USES", 0)


def shifted(x, vector):
    """relu(x - vector), a cheap value."""
    return op("maximum", op("subtract", x, vector), const(0.0, x.dtype))


def parts(case, dtype="float32", batch=None):
    """Graphs of a convolution and its two gradients whose operands (but the weights) are made, and their arrays."""
    x_shape, w_shape = CASES[case][:2]
    w = normal(*w_shape, seed=1, dtype=dtype) / 8
    x = normal(*x_shape, dtype=dtype)
    ct = normal(*op("conv", *args_like(x, w), **walk(case)).shape, seed=2, dtype=dtype)
    vectors = normal(x_shape[-1], seed=3, dtype=dtype) / 4, normal(w_shape[-1], seed=4, dtype=dtype) / 4
    for name, arrays, made, more in (
        ("conv", (x, w, vectors[0]), (0,), {}),
        ("conv_input_gradient", (ct, w, vectors[1]), (0,), {"shape": x_shape[1:-1]}),
        ("conv_kernel_gradient", (x, ct, *vectors), (0, 1), {"window": w_shape[:-2]}),
    ):
        first, second, *shifts = (
            arg(f"x{i}", (symbol(batch), *a.shape[1:]) if batch and a.ndim > 1 and a is not w else a.shape, dtype)
            for i, a in enumerate(arrays)
        )
        operands = [first, second]
        for position in made:
            operands[position] = shifted(operands[position], shifts[position])
        y = op("relu", op(name, *operands, **more, **walk(case)))
        yield Graph(name, [first, second, *shifts], [y]), arrays, made


def prologues(program):
    (group,) = program.schedule.groups
    return tuple(sorted(group.prologues))


@pytest.mark.parametrize("case", CASES)
def test_operands_are_made_in_blocks(case):
    for graph, arrays, made in parts(case):
        tolerance = 2e-4 * np.sqrt(np.prod(CASES[case][1][:-1])) + 2e-4 * np.sqrt(arrays[0].size)
        assert prologues(check(graph, arrays, tolerance=tolerance)) == made


@pytest.mark.parametrize("case", ["same", "groups", "depthwise"])
def test_float64(case):
    for graph, arrays, made in parts(case, "float64"):
        assert prologues(check(graph, arrays, tolerance=1e-9)) == made


@pytest.mark.parametrize("case", ["same", "stride 2", "groups of a vector", "depthwise"])
def test_one_program_serves_all_batch_sizes(case):
    for graph, arrays, made in parts(case, batch="batch"):
        whole = arrays[0].shape[0]
        calls = [tuple(a[:n] if a.shape[0] == whole and a.ndim > 2 else a for a in arrays) for n in (whole, 1, 3, 0)]
        assert prologues(check(graph, *calls, tolerance=1e-2)) == made


def test_prologues_run_un_jitted():
    for graph, arrays, _ in parts("stride 3 of window 2"):
        program = check(graph, arrays, tolerance=1e-2)
        assert program.python(*arrays)[0].tobytes() == program(*arrays)[0].tobytes()
        assert any(k.kind == "prologue" for k in program.lowered)


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("depthwise")])
def test_cells_that_a_block_reads(case):
    """Every tap of every place lies in the range that is made for its block."""
    for graph, *_ in parts(case):
        (node,) = (n for n in graph.nodes if n.op == graph.name)
        strips = strips_of("f32", node.specs[0].shape[-1] // node.attrs["groups"])
        of_node = Walk((*geometry(node), *strips.shape, 0, 1, 0, 0), "f32")
        cut = conv_plan.gradient_cut(of_node) if "kernel" in node.op else conv_plan.cut(of_node)
        first, end = conv_plan.cells_read(of_node, cut)
        read = _cells_of_places(of_node)
        pieces = -(-of_node.out_w // cut.piece)
        for number, (low, high) in enumerate(zip(first, end)):
            rows = slice(number // pieces * cut.rows, (number // pieces + 1) * cut.rows)
            columns = slice(number % pieces * cut.piece, (number % pieces + 1) * cut.piece)
            cells = [c for place in read[rows, columns].reshape(-1) for c in place]
            assert not cells or (min(cells), max(cells) + 1) == (low, high)


def _cells_of_places(walk):
    """The cells that each place of an image reads, found tap by tap."""
    found = np.empty((walk.rows, walk.out_w), object)
    for row, column in np.ndindex(found.shape):
        axes = []
        for axis, place in zip(walk.axes, (row // walk.out_h, row % walk.out_h, column)):
            axes.append([axis.start[place] + i * axis.step for i in range(axis.count[axis.of[place]])])
        found[row, column] = [(d * walk.in_h + h) * walk.in_w + w for d in axes[0] for h in axes[1] for w in axes[2]]
    return found
