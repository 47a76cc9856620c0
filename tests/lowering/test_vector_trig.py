"""Further elementary functions: error bound in ULP over dense samples and at the edges, and equal bits in plain Python."""

import numpy as np
import pytest

from tests.lowering.kernels import compile_kernel, elementwise, evaluate, python_kernel
from tests.lowering.test_vector_math import TYPES, WIDER, samples, ulp_errors

# Just above what was measured; `vector_trig` lists the figures.
BOUND = {
    "tan": 4, "arcsin": 2.5, "arccos": 1.5, "arctan": 2.5, "sinh": 2, "cosh": 1.5, "arcsinh": 2.5, "arccosh": 3, "arctanh": 2.5,
    "log2": 2, "log10": 2, "exp2": 1.5, "cbrt": 1,
}  # fmt: skip
# I0 and I1 from tables (Abramowitz and Stegun 9.8, and 30 digits of the series).
BESSEL = {
    "bessel_i0": {0: 1.0, 1: 1.2660658777520084, 8: 427.56411572180474, 50: 2.9325537838493363e20},
    "bessel_i1": {0: 0.0, 1: 0.5651591039924851, 8: 399.8731367825601, 50: 2.9030785901035567e20},
}


def _inside(dtype):
    """The samples, and more between -1 and 1, and just around 1."""
    rng = np.random.default_rng(3)
    kind = TYPES[dtype]
    near_one = 1 + rng.uniform(0, 1e-3, 5000)
    more = np.concatenate([rng.uniform(-1, 1, 30000), near_one, rng.uniform(-20, 20, 20000)]).astype(kind)
    return np.concatenate([samples(dtype), more])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", BOUND)
def test_error_bound(name, dtype):
    x = _inside(dtype)
    if name == "tan" and dtype == "f64":
        x = x[~(np.abs(x) > 1e9)]  # the reference itself has too few digits of pi beyond
    got = evaluate(compile_kernel(elementwise(f"{name}(x)", dtype)), TYPES[dtype], x)
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(WIDER[dtype]))
    errors = ulp_errors(got, exact, TYPES[dtype])
    worst = np.argmax(errors)
    assert errors[worst] <= BOUND[name], (x[worst], got[worst], exact[worst])
    known = ~np.isnan(exact)
    assert np.array_equal(np.signbit(got[known]), np.signbit(exact[known]))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_pairs(dtype):
    kind, rng = TYPES[dtype], np.random.default_rng(1)
    scales = np.exp(rng.uniform(-60, 60, 40000))
    y = np.concatenate([rng.normal(size=40000) * scales, rng.normal(size=40000)])
    x = np.concatenate([rng.normal(size=40000) * rng.permutation(scales), rng.normal(size=40000)])
    info = np.finfo(kind)
    edges = np.array([0, 1, 2, 0.5, info.tiny, info.smallest_subnormal, info.max, info.max / 2, np.inf], kind)
    edges = np.concatenate([edges, -edges, [np.nan]])
    y, x = (np.concatenate([v, e]).astype(kind) for v, e in ((y, np.repeat(edges, len(edges))), (x, np.tile(edges, len(edges)))))
    got = evaluate(compile_kernel(elementwise("arctan2(x, y)", dtype)), kind, y, x)
    exact = np.arctan2(y.astype(WIDER[dtype]), x.astype(WIDER[dtype]))
    errors = ulp_errors(got, exact, kind)
    worst = np.argmax(errors)
    assert errors[worst] <= 2.5, (y[worst], x[worst], got[worst], exact[worst])
    known = ~np.isnan(exact)
    assert np.array_equal(np.signbit(got[known]), np.signbit(exact[known]))
    got = evaluate(compile_kernel(elementwise("nextafter(x, y)", dtype)), kind, y, x)
    with np.errstate(over="ignore"):
        exact = np.nextafter(y, x)
    known = ~np.isnan(exact)
    assert np.array_equal(got[known].view(f"i{kind().itemsize}"), exact[known].view(f"i{kind().itemsize}"))
    assert np.isnan(got[~known]).all()


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", BESSEL)
def test_bessel(name, dtype):
    x = np.array(list(BESSEL[name]), TYPES[dtype])
    expected = np.array(list(BESSEL[name].values()))
    kernel = compile_kernel(elementwise(f"{name}(x)", dtype))
    for sign in (1, -1):
        got = evaluate(kernel, TYPES[dtype], sign * x)
        exact = expected * (sign if name == "bessel_i1" else 1)
        assert (ulp_errors(got, exact, TYPES[dtype]) <= 4).all(), (got, exact)
    # The two forms meet at 8 without a step: both slopes are below the value itself.
    around = np.nextafter(TYPES[dtype](8), TYPES[dtype]([0, 20]))
    low, high = evaluate(kernel, TYPES[dtype], around)
    assert 0 < high - low <= low * (around[1] - around[0]) + 12 * np.spacing(low)
    assert evaluate(kernel, TYPES[dtype], TYPES[dtype]([np.inf, np.nan])).tolist()[0] == np.inf


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", [*BOUND, *BESSEL, "arctan2", "nextafter"])
def test_plain_python_gives_the_same_bits(name, dtype):
    rng = np.random.default_rng(2)
    every = _inside(dtype)
    x = np.concatenate([rng.choice(every, 30), samples(dtype)[-122:][:: 3 if dtype == "f32" else 9], rng.uniform(-1, 1, 9)])
    x = x.astype(TYPES[dtype])
    y = np.resize(rng.normal(size=17) * 3, x.size).astype(x.dtype)
    source = elementwise(f"{name}(x, y)" if name in ("arctan2", "nextafter") else f"{name}(x)", dtype)
    compiled = evaluate(compile_kernel(source), TYPES[dtype], x, y)
    python = evaluate(python_kernel(source), TYPES[dtype], x, y)
    same = (compiled.view(f"i{x.itemsize}") == python.view(f"i{x.itemsize}")) | (np.isnan(compiled) & np.isnan(python))
    assert same.all(), (x[~same], compiled[~same], python[~same])
