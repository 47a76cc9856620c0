import numpy as np
import pytest

from graphkeras.ir import Graph, symbol
from tests.lowering.programs import arg, args_like, check, normal, op
from tests.lowering.test_sorting import DTYPES, same_bits

B = symbol("b")


def numbers(dtype, shape):
    x = normal(*shape)
    return x.astype(dtype) if dtype.startswith("float") else np.round(x * 3).astype(dtype)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d not in ("bool", "bfloat16") and not d.startswith("u")])
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("reverse", [False, True])
def test_every_axis_to_the_bit(dtype, name, reverse):
    x = numbers(dtype, (11, 5, 19))
    inputs = args_like(x)
    same_bits(Graph("f", inputs, [op(name, *inputs, axis=axis, reverse=reverse) for axis in range(3)]), x)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_one_line(name):
    x = normal(1000)
    inputs = args_like(x)
    same_bits(Graph("f", inputs, [op(name, *inputs, axis=0, reverse=False)]), x)


def test_half_precision_runs_in_float32():
    import ml_dtypes

    for dtype in (np.float16, ml_dtypes.bfloat16):
        x = np.full((3, 4000), 0.001, dtype)
        inputs = args_like(x)
        same_bits(Graph("f", inputs, [op("cumsum", *inputs, axis=1, reverse=False)]), x)


def test_the_sign_of_zero_and_what_is_not_finite():
    x = np.array([[-0.0, -0.0, 0.0], [np.inf, -np.inf, 1.0], [np.nan, 1.0, 2.0]], "float32")
    inputs = args_like(x)
    same_bits(Graph("f", inputs, [op("cumsum", *inputs, axis=1, reverse=False)]), x[:1].repeat(3, 0))
    check(Graph("f", inputs, [op(n, *inputs, axis=1, reverse=True) for n in ("cumsum", "cumprod")]), (x,))


def test_sizes_known_at_run_time():
    x = arg("x", (B, 6, B))
    outputs = [op("cumsum", op("transpose", x, perm=(2, 1, 0)), axis=axis, reverse=False) for axis in range(3)]
    check(Graph("f", [x], outputs), *((normal(b, 6, b, seed=b),) for b in (1, 9, 0, 17)))
