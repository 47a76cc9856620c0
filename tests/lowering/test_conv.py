"""Kernels of convolutions: strict, fused and threaded runs give the same bits; every path is near NumPy."""

import numpy as np
import pytest

from graphkeras.ir import Graph, Value
from graphkeras.ir.dims import symbol
from graphkeras.lowering.cpu import conv_geometry, conv_plan
from graphkeras.lowering.cpu.simd_types import gather_shapes
from graphkeras.lowering.cpu.target import LANES
from graphkeras.runtime.program import Program
from tests.lowering.kernels import call, compile_kernel, python_kernel
from tests.lowering.programs import arg, args_like, check, kinds, normal, op

# x, w, strides, padding, dilation, groups: several blocks of places, pieces of long rows, ragged panels, depthwise.
CASES = {
    "dense": ((9, 13, 13, 32), (3, 3, 32, 64), 1, 0, 1, 1),
    "same": ((5, 17, 16, 24), (3, 3, 24, 40), 1, 1, 1, 1),
    "one channel": ((8, 28, 28, 1), (3, 3, 1, 32), 1, 0, 1, 1),
    "stride 2": ((4, 32, 31, 16), (3, 3, 16, 32), 2, 1, 1, 1),
    "stride 3 of window 2": ((3, 20, 19, 8), (2, 2, 8, 16), 3, 0, 1, 1),
    "dilated": ((3, 20, 21, 8), (3, 3, 8, 16), 1, 2, 2, 1),
    "strided and dilated": ((3, 20, 21, 8), (3, 2, 8, 16), 2, 2, 3, 1),
    "groups": ((4, 12, 12, 24), (3, 3, 8, 30), 1, 1, 1, 3),
    "groups of a quarter of a vector": ((4, 12, 12, 16), (3, 3, 4, 16), 1, 1, 1, 4),
    "groups of half a vector": ((4, 12, 12, 8), (3, 3, 2, 8), 1, 1, 1, 4),
    "groups of a vector": ((9, 12, 11, 64), (3, 3, 16, 64), 1, 1, 1, 4),
    "groups of vectors, stride 2": ((3, 13, 12, 48), (3, 3, 16, 96), 2, 1, 1, 3),
    "groups of vectors, dilated": ((3, 14, 13, 64), (2, 3, 32, 32), 1, 2, 2, 2),
    "groups of vectors, long rows": ((2, 1000, 32), (7, 16, 32), 1, 3, 1, 2),
    "groups of vectors in a volume": ((2, 4, 7, 6, 32), (2, 3, 3, 16, 40), 1, 1, 1, 2),
    "depthwise": ((4, 15, 14, 37), (3, 3, 1, 37), 1, 1, 1, 37),
    "depthwise stride 2": ((4, 15, 14, 37), (5, 5, 1, 37), 2, 2, 1, 37),
    "depthwise dilated": ((2, 20, 21, 24), (3, 5, 1, 24), 1, 2, 2, 24),
    "depthwise long": ((2, 1000, 19), (7, 1, 19), 1, 3, 1, 19),
    "depthwise of one channel": ((3, 9, 9, 1), (3, 3, 1, 1), 1, 1, 1, 1),
    "multiplier": ((2, 9, 9, 5), (3, 3, 1, 10), 1, 1, 1, 5),
    "point": ((4, 10, 10, 48), (1, 1, 48, 17), 1, 0, 1, 1),
    "long": ((2, 1000, 3), (7, 3, 20), 1, 3, 1, 1),
    "volume": ((2, 5, 12, 11, 6), (3, 3, 3, 6, 18), 1, 1, 1, 1),
    "volume stride 2": ((2, 6, 12, 11, 6), (3, 3, 3, 6, 18), 2, 1, 1, 1),
    "rows of 4 KB": ((2, 16, 16, 64), (3, 3, 64, 40), 1, 1, 1, 1),
    "rows of 4 KB, narrow": ((2, 16, 16, 64), (3, 3, 64, 10), 1, 1, 1, 1),
    "rows of 4 KB, depthwise": ((2, 16, 16, 64), (3, 3, 1, 64), 1, 1, 1, 64),
    "many weights": ((2, 6, 6, 256), (3, 3, 256, 320), 1, 1, 1, 1),
}


def walk(case):
    x, _, stride, padding, dilation, groups = CASES[case]
    count = len(x) - 2
    return {"strides": (stride,) * count, "padding": ((padding,) * 2,) * count, "dilation": (dilation,) * count, "groups": groups}


def parts(case, dtype="float32", batch=None):
    """Graphs of a convolution and its two gradients, each with a bias (of the last axis), ReLU and a residual, and their arrays."""
    x_shape, w_shape = CASES[case][:2]
    x, w = normal(*x_shape, dtype=dtype), normal(*w_shape, seed=1, dtype=dtype) / 8
    y_shape = op("conv", *args_like(x, w), **walk(case)).shape
    ct = normal(*y_shape, seed=2, dtype=dtype)
    for name, arrays, more in (
        ("conv", (x, w), {}),
        ("conv_input_gradient", (ct, w), {"shape": x_shape[1:-1]}),
        ("conv_kernel_gradient", (x, ct), {"window": w_shape[:-2]}),
    ):
        symbolic = [True, name == "conv_kernel_gradient"]
        shapes = [(symbol(batch), *a.shape[1:]) if batch and s else a.shape for a, s in zip(arrays, symbolic)]
        inputs = [arg(f"x{i}", shape, dtype) for i, shape in enumerate(shapes)]
        result = op(name, *inputs, **more, **walk(case))
        bias, residual = arg("bias", result.shape[-1:], dtype), arg("residual", result.shape, dtype)
        y = op("add", op("relu", op("add", result, bias)), residual)
        fixed = [d if isinstance(d, int) else x_shape[0] for d in result.shape]
        extra = normal(fixed[-1], seed=3, dtype=dtype), normal(*fixed, seed=4, dtype=dtype)
        yield Graph(name, [*inputs, bias, residual], [y]), (*arrays, *extra)


@pytest.mark.parametrize("case", CASES)
def test_fused_strict_and_threads_agree(case):
    for graph, arrays in parts(case):
        program = check(graph, arrays, tolerance=2e-4 * np.sqrt(np.prod(CASES[case][1][:-1])) + 2e-4 * np.sqrt(arrays[0].size))
        assert kinds(program) == ["contraction"]


@pytest.mark.parametrize("case", ["same", "stride 2", "groups", "groups of a vector", "depthwise", "volume"])
def test_float64(case):
    for graph, arrays in parts(case, "float64"):
        check(graph, arrays, tolerance=1e-9)


@pytest.mark.parametrize("case", ["same", "stride 2", "groups of a vector", "depthwise"])
def test_one_program_serves_all_batch_sizes(case):
    for graph, arrays in parts(case, batch="batch"):
        program = Program(graph)
        whole = program(*arrays)[0]
        if graph.name == "conv_kernel_gradient":
            continue
        for count in (1, 3, 0):
            few = [a[:count] if a.shape[:1] == arrays[0].shape[:1] else a for a in arrays]
            assert program(*few)[0].tobytes() == whole[:count].tobytes()


def test_kernel_gradient_of_an_empty_batch_is_zero():
    x, ct = np.zeros((0, 6, 6, 20), "float32"), np.zeros((0, 4, 4, 18), "float32")
    inputs = args_like(x, ct)
    attrs = {"window": (3, 3), "strides": (1, 1), "padding": ((0, 0),) * 2, "dilation": (1, 1)}
    graph = Graph("g", inputs, [op("conv_kernel_gradient", *inputs, groups=1, **attrs)])
    assert not Program(graph)(x, ct)[0].any()
    x, ct = x[..., :18], ct
    inputs = args_like(x, ct)
    graph = Graph("g", inputs, [op("conv_kernel_gradient", *inputs, groups=18, **attrs)])
    assert not Program(graph)(x, ct)[0].any()


def test_transposed_inputs_are_copied():
    x, w = normal(2, 3, 8, 9), normal(3, 3, 3, 5, seed=1)
    inputs = args_like(x, w)
    attrs = {"strides": (1, 1), "padding": ((1, 1),) * 2, "dilation": (1, 1), "groups": 1}
    y = op("transpose", op("conv", op("transpose", inputs[0], perm=(0, 2, 3, 1)), inputs[1], **attrs), perm=(0, 3, 1, 2))
    check(Graph("g", inputs, [y]), (x, w))


def test_gradient_of_a_variable_is_applied_in_the_epilogue():
    case = "dense"
    x_shape, w_shape = CASES[case][:2]
    x, ct, w = normal(*x_shape), normal(9, 11, 11, 64, seed=1), normal(*w_shape, seed=2)
    inputs = args_like(x, ct, w)
    gradient = op("conv_kernel_gradient", *inputs[:2], window=(3, 3), **walk(case))
    step = op("subtract", inputs[2], op("multiply", gradient, op("square", gradient)))
    program = check(Graph("g", inputs, [step]), (x, ct, w), tolerance=1e3)
    assert kinds(program) == ["contraction"]


def test_convolution_of_rows_that_are_cut_in_pieces():
    words = (*conv_geometry.geometry(_node((1, 1000, 3), (7, 3, 20), 3)), 6, 4, 16, 0, 0, 0, 0)
    walk = conv_geometry.Walk(words, "f32")
    chosen = conv_plan.cut(walk)
    assert chosen.images == chosen.rows == 1 and chosen.piece < 1000
    assert walk.axes[2].count == [4, 5, 6, 7, 6, 5, 4] and walk.axes[2].first == [0, 0, 0, 0, 1, 2, 3]


def _node(x, w, padding):
    value = op("conv", arg("x", x), arg("w", w), strides=(1,), padding=((padding, padding),), dilation=(1,), groups=1)
    assert isinstance(value, Value)
    return value.node


STRIP = """
def kernel(args, lo, hi, scratch):
    gather_NAME_T(ptr_i64(args[1]), ptr_i64(args[2]), args[3], args[4], 8, args[5], ptr_T(args[6]), args[7], 16, args[8])
"""


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", ["strip", "middle", "low", "narrow", "narrow_low"])
@pytest.mark.parametrize(("segments", "count", "step"), [(3, 5, 1), (2, 4, 3), (0, 0, 1)])
def test_strip(dtype, name, segments, count, step):
    rows, vectors = gather_shapes(dtype, LANES)["gather_" + name]
    kind = {"f32": np.float32, "f64": np.float64}[dtype]
    width = vectors * LANES
    rng = np.random.default_rng(0)
    a = rng.normal(size=(rows, 40)).astype(kind)
    b = rng.normal(size=(20, width + 3)).astype(kind)
    places = np.array([[7, 9], [0, 0], [21, 5]], np.int64)  # first cell in a, first row of b
    table_of_segments = places * [1, width + 3]
    base = 8 // a.itemsize
    expected = np.zeros((rows, width))
    for s in range(segments):
        for q in range(count):
            at = base + places[s, 0] + q * step
            expected += a[:, at, None].astype(float) * b[places[s, 1] + q, :width]
    expected[-1] = expected[0]  # the last row is the first once more, as in a strip with few rows
    found = []
    for make in (compile_kernel, python_kernel):
        c = np.zeros((rows, width + 16), kind)
        order = [*range(rows - 1), 0]
        table = np.array([a[r].ctypes.data for r in order] + [c[r].ctypes.data for r in order], np.int64)
        kernel = make(STRIP.replace("NAME", name).replace("_T(", f"_{dtype}("))
        for onto in (0, 1):
            call(kernel, 0, 1, table, table_of_segments, segments, count, step, b, width + 3, onto)
        shift = 16 // a.itemsize
        np.testing.assert_allclose(c[:-1, shift : shift + width], 2 * expected[:-1], rtol=1e-4, atol=1e-5)
        assert not c[:, :shift].any() and not c[:, shift + width :].any() and not c[-1].any()
        found.append(c.tobytes())
    assert found[0] == found[1]


BY_LANES = """
def kernel(args, lo, hi, scratch):
    gather_NAME_T(ptr_i64(args[1]), args[2], ptr_i64(args[3]), args[4], ptr_T(args[5]), ptr_T(args[6]), ptr_T(args[7]), args[8])
"""


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", ["lanes", "taps"])
@pytest.mark.parametrize("count", [0, 1, 4, 9, 10, 25])
@pytest.mark.parametrize("lanes", [5, 2 * LANES, LANES + 3])
def test_sums_of_places_and_of_taps(dtype, name, count, lanes):
    kind = {"f32": np.float32, "f64": np.float64}[dtype]
    rng = np.random.default_rng(0)
    row = lanes + 2
    a = rng.normal(size=(60, row)).astype(kind)
    by_run, by_tap = rng.normal(size=(30, row)).astype(kind), rng.normal(size=(25, row)).astype(kind)
    runs = np.array([[3, 1, 2, 3, 7], [0, 20, 1, 1, 1], [9, 2, 1, 3, 5]], np.int64)
    taps = np.stack([rng.permutation(35)[:count], rng.permutation(25)[:count]], axis=1)
    places = [(at + p * at_step, place + p * step) for at, place, at_step, step, many in runs for p in range(many)]
    expected = (by_run if name == "lanes" else by_tap).astype(float)
    for at, place in places:
        if name == "lanes":
            expected[place, :lanes] = 0
        for u, t in taps:
            if name == "lanes":
                expected[place, :lanes] += a[at + u, :lanes].astype(float) * by_tap[t, :lanes]
            else:
                expected[t, :lanes] += a[at + u, :lanes].astype(float) * by_run[place, :lanes]
    found = []
    for make in (compile_kernel, python_kernel):
        kernel = make(BY_LANES.replace("NAME", name).replace("_T(", f"_{dtype}("))
        arrays = by_run.copy(), by_tap.copy()
        words = runs * [row, row, row, row, 1], len(runs), taps * row, count, a, *arrays, lanes
        call(kernel, 0, 1, *words)
        changed, kept = arrays if name == "lanes" else arrays[::-1]
        np.testing.assert_allclose(changed, expected, rtol=1e-4, atol=1e-5)
        assert kept.tobytes() == (by_tap if name == "lanes" else by_run).tobytes()
        assert np.array_equal(changed[:, lanes:], (by_run if name == "lanes" else by_tap)[:, lanes:])
        found.append(changed.tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("weight", [np.inf, np.nan])
def test_weights_that_are_not_finite_meet_no_zeros_at_borders(groups, weight):
    x, w = np.ones((1, 4, 5, 4), "float32"), np.ones((3, 3, 4 // groups, 4), "float32")
    w[0, 0] = weight
    attrs = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": groups}
    for name, more, outside in (("conv", {}, (0, 0)), ("conv_input_gradient", {"shape": (4, 5)}, (-1, -1))):
        inputs = args_like(x, w)
        program = check(Graph("g", inputs, [op(name, *inputs, **more, **attrs)]), (x, w))
        finite = np.isfinite(program(x, w)[0]).all(axis=(0, 3))
        assert finite[outside[0]].all() and finite[:, outside[1]].all() and finite.sum() == 4 + 5 - 1
