"""Reductions that keep inner axes (column kernels), and what all reductions share."""

import numpy as np
import pytest

from graphkeras.ir import Graph, symbol
from tests.lowering.programs import arg, args_like, check, const, kinds, normal, op

B = symbol("b")
ALL = ["reduce_sum", "reduce_max", "reduce_min", "reduce_prod"]


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (300, 10), (257, 64), (256, 65), (1000, 130), (0, 5), (5, 0)])
def test_sum_of_columns(shape):
    x = normal(*shape)
    (v,) = args_like(x)
    check(Graph("f", [v], [op("reduce_sum", v, axes=(0,), keepdims=False)]), (x,), tolerance=1e-4)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("axes", [(), (0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_every_choice_of_axes(name, axes):
    x = 1 + 0.01 * normal(5, 19, 12)
    (v,) = args_like(x)
    outputs = [op(name, v, axes=axes, keepdims=keep) for keep in (False, True)]
    check(Graph("f", [v], outputs), (x,), tolerance=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_positions_of_extremes(axis):
    x = np.random.default_rng(0).integers(0, 4, (6, 21, 9)).astype("float32")
    (v,) = args_like(x)
    check(Graph("f", [v], [op("argmax", v, axis=axis, keepdims=False), op("argmin", v, axis=axis, keepdims=True)]), (x,))


def test_positions_with_nan_and_infinities():
    x = np.array([[1, np.nan, 3, np.nan], [-np.inf] * 4, [np.inf, 1, np.inf, 0]], np.float32)
    for array in (x, np.ascontiguousarray(x.T)):
        (v,) = args_like(array)
        outputs = [op(name, v, axis=axis, keepdims=False) for name in ("argmax", "argmin") for axis in (0, 1)]
        check(Graph("f", [v], outputs), (array,))


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint32"])
def test_integer_reductions_wrap_like_numpy(dtype):
    x = np.random.default_rng(0).integers(1, 100, (40, 11)).astype(dtype)
    (v,) = args_like(x)
    outputs = [op(name, v, axes=(axis,), keepdims=False) for name in ALL for axis in (0, 1)]
    check(Graph("f", [v], outputs), (x,))


def test_booleans():
    x = np.random.default_rng(0).integers(0, 5, (6, 20)) > 0
    (v,) = args_like(x)
    outputs = [op(name, v, axes=axes, keepdims=False) for name in ("reduce_any", "reduce_all") for axes in ((0,), (1,), (0, 1))]
    check(Graph("f", [v], outputs), (x,))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_rounded_once(dtype):
    from graphkeras.ir.dtypes import numpy_dtype

    x = normal(37, 29).astype(numpy_dtype(dtype))
    (v,) = args_like(x)
    check(Graph("f", [v], [op("reduce_sum", v, axes=(axis,), keepdims=False) for axis in (0, 1)]), (x,))


def test_producers_and_followers_join_and_share_the_walk():
    x, y = normal(70, 20), normal(70, 20, seed=1)
    v, w = arg("v", (B, 20)), arg("w", (B, 20))
    product = op("multiply", v, w)
    total = op("reduce_sum", product, axes=(0,), keepdims=False)
    squares = op("reduce_sum", op("square", product), axes=(0,), keepdims=False)
    count = op("cast", op("dim", size=B), dtype="float32")
    mean = op("divide", total, count)
    spread = op("subtract", op("divide", squares, count), op("square", mean))
    program = check(
        Graph("f", [v, w], [mean, spread, product]),
        *[(normal(b, 20), normal(b, 20, seed=1)) for b in (1, 70, 600)],
        (x, y),
        tolerance=1e-4,
    )
    assert kinds(program).count("column") == 1


def test_the_order_of_a_sum_is_the_same_whatever_stands_before_it():
    # Numbers of very different sizes: another order of summation shows in the bits.
    x = (normal(5000) * 10 ** normal(5000, seed=1)).astype("float32")
    (v,) = args_like(x)
    direct = op("reduce_sum", v, axes=(0,), keepdims=False)
    fused = op("reduce_sum", op("multiply", v, const(1.0)), axes=(0,), keepdims=False)
    program = check(Graph("f", [v], [direct, fused]), (x,), tolerance=1e-3)
    a, b = program(x)
    assert a.tobytes() == b.tobytes()


def test_strided_operands():
    x = normal(6, 8, 10)
    (v,) = args_like(x)
    turned = op("transpose", v, perm=(2, 0, 1))
    cut = op("slice", v, starts=(5, 0, 1), stops=(-1, 8, 10), strides=(-1, 2, 3))
    outputs = [
        op("reduce_sum", view, axes=axes, keepdims=False)
        for view in (turned, cut)
        for axes in ((0,), (1,), (2,), (0, 1), (1, 2), (0, 2))
    ]
    check(Graph("f", [v], outputs), (x,), tolerance=1e-4)


def test_many_rows_of_few_columns_are_summed_by_chunks_in_a_kernel_of_their_own():
    x = normal(3000, 5)
    v, w = arg("v", (B, 50, 5)), arg("w", (B, 50, 5))
    product, exps = op("multiply", v, w), op("exp", v)
    outputs = [
        op("sqrt", op("absolute", op("reduce_sum", product, axes=(0, 1), keepdims=False))),
        op("reduce_max", product, axes=(0, 1), keepdims=True),
        exps,
        op("reduce_sum", exps, axes=(0, 1), keepdims=False),
    ]
    calls = [(normal(b, 50, 5), normal(b, 50, 5, seed=1)) for b in (1, 20, 5, 61, 0)]
    program = check(Graph("f", [v, w], outputs), *calls[:4], tolerance=1e-4)
    assert [k.name for k in program.kernels] == [f"k{i}_column{part}" for i in (0, 1) for part in ("_parts", "")]
    # The same additions in the same order as in one kernel.
    (whole,) = args_like(x)
    once = check(Graph("f", [whole], [op("reduce_sum", whole, axes=(0,), keepdims=False)]), (x,), tolerance=1e-3)
    from graphkeras.lowering.cpu import column

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(column, "MANY_ROWS", 10**9)
        single = check(Graph("f", [whole], [op("reduce_sum", whole, axes=(0,), keepdims=False)]), (x,), tolerance=1e-3)
    assert len(once.kernels) == 2 and len(single.kernels) == 1
    assert once(x)[0].tobytes() == single(x)[0].tobytes()
