"""Elementary functions: error bound in ULP over dense samples and at the edges, and equal bits in plain Python."""

import math

import numpy as np
import pytest

from graphkeras.lowering.cpu.target import LANES
from graphkeras.ops.philox import philox_numpy, philox_words
from tests.lowering.kernels import call, compile_kernel, elementwise, evaluate, python_kernel

TYPES = {"f32": np.float32, "f64": np.float64}
WIDER = {"f32": np.float64, "f64": np.longdouble}


def _sigmoid(x):
    return np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x)))


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _erf(x):
    return np.array([math.erf(v) for v in x.astype(np.float64)])


REFERENCE = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "sigmoid": _sigmoid,
    "softplus": _softplus, "erf": _erf, "sin": np.sin, "cos": np.cos,
}  # fmt: skip
# Bounds just above what was measured; `vector_math` lists the figures.
BOUND = {
    "f32": {"exp": 1, "expm1": 2, "log": 1, "log1p": 1.5, "tanh": 1.5, "sigmoid": 2.5, "softplus": 2, "erf": 1.5, "pow": 1}
    | {"sin": 2, "cos": 2},
    "f64": {"exp": 1.5, "expm1": 2, "log": 1, "log1p": 1.5, "tanh": 3, "sigmoid": 2.5, "softplus": 2.5, "erf": 2.5, "pow": 2}
    | {"sin": 2, "cos": 2},
}


def samples(dtype):
    """Every 40009th float of the whole range (f64: normal numbers of many scales, and random bits), and the edges."""
    kind, rng = TYPES[dtype], np.random.default_rng(0)
    if dtype == "f32":
        dense = np.arange(0, 2**32, 40009, dtype=np.uint64).astype(np.uint32).view(np.float32)
        more = np.concatenate([rng.normal(size=40000) * 4, rng.uniform(-110, 110, 20000)]).astype(np.float32)
        dense = np.concatenate([dense, more])
    else:
        scales = [rng.normal(size=20000) * s for s in (1e-3, 1, 20, 300)]
        dense = np.concatenate([*scales, rng.integers(0, 2**63, 20000).view(np.float64)])
    info = np.finfo(kind)
    edges = [0, np.inf, np.nan, 1, 0.5, info.tiny, info.smallest_subnormal, info.max, 88.72, 88.73, 87.4, 103.9, 104]
    edges += [709.78, 709.79, 745.1, 745.2, np.pi, np.pi / 2, 0.625, 4]
    near_one = 1 + np.arange(-20, 20) * info.eps
    with np.errstate(invalid="ignore"):  # signalling NaNs among the random bits
        return np.concatenate([dense, edges, np.negative(edges), near_one, -near_one]).astype(kind)


def ulp_errors(got, exact, kind):
    """Errors in units of the last place of the exact value; infinite where a special value is wrong."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(kind)
        place = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, 1)))
        errors = np.abs(got.astype(exact.dtype) - exact) / place
    special = ~np.isfinite(rounded) | ~np.isfinite(got)
    right = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    # a finite value next to the overflow threshold may round either way
    threshold = np.isfinite(exact) & (np.abs(exact) > np.finfo(kind).max * (1 - 4 * np.finfo(kind).eps))
    return np.where(special & ~threshold, np.where(right, 0, np.inf), np.where(special, 0, errors))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", REFERENCE)
def test_error_bound(name, dtype):
    x = samples(dtype)
    got = evaluate(compile_kernel(elementwise(f"{name}(x)", dtype)), TYPES[dtype], x)
    with np.errstate(all="ignore"):
        exact = REFERENCE[name](x.astype(WIDER[dtype]))
    errors = ulp_errors(got, exact, TYPES[dtype])
    worst = np.argmax(errors)
    assert errors[worst] <= BOUND[dtype][name], (x[worst], got[worst], exact[worst])
    known = ~np.isnan(exact)
    assert np.array_equal(np.signbit(got[known]), np.signbit(exact[known]))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_pow(dtype):
    kind, rng = TYPES[dtype], np.random.default_rng(1)
    x = np.concatenate([np.abs(rng.normal(size=20000)), np.exp(rng.uniform(-80, 80, 20000)), 1 + rng.normal(size=9000) * 1e-3])
    y = np.concatenate([rng.normal(size=40000) * rng.choice([1, 10, 100], 40000), rng.normal(size=9000) * 1e4])
    info = np.finfo(kind)
    edges = np.array([0, 1, 2, 3, 0.5, 2.5, info.tiny, info.smallest_subnormal, info.max, np.inf, 1e9], kind)
    edges = np.concatenate([edges, -edges, [np.nan]])
    x = np.concatenate([x, np.repeat(edges, len(edges))]).astype(kind)
    y = np.concatenate([y, np.tile(edges, len(edges))]).astype(kind)
    got = evaluate(compile_kernel(elementwise("pow(x, y)", dtype)), kind, x, y)
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(WIDER[dtype]), y.astype(WIDER[dtype]))
    errors = ulp_errors(got, exact, kind)
    worst = np.argmax(errors)
    assert errors[worst] <= BOUND[dtype]["pow"], (x[worst], y[worst], got[worst], exact[worst])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", [*REFERENCE, "pow", "mod", "floordiv"])
def test_plain_python_gives_the_same_bits(name, dtype):
    rng = np.random.default_rng(2)
    every = samples(dtype)
    x = np.concatenate([rng.choice(every, 30), every[-122:][:: 3 if dtype == "f32" else 9]])
    y = np.resize(rng.normal(size=17) * 3, x.size).astype(x.dtype)
    source = elementwise(f"{name}(x, y)" if name in ("pow", "mod", "floordiv") else f"{name}(x)", dtype)
    compiled = evaluate(compile_kernel(source), TYPES[dtype], x, y)
    python = evaluate(python_kernel(source), TYPES[dtype], x, y)
    same = (compiled.view(f"i{x.itemsize}") == python.view(f"i{x.itemsize}")) | (np.isnan(compiled) & np.isnan(python))
    assert same.all(), (x[~same], compiled[~same], python[~same])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_a_tail_gives_the_bits_of_a_whole_vector(dtype):
    x = samples(dtype)[: 3 * LANES]
    kernel = compile_kernel(elementwise("tanh(exp(x))", dtype))
    whole = evaluate(kernel, x.dtype, x)
    for n in range(1, LANES + 1):
        part = evaluate(kernel, x.dtype, x[:n].copy())
        assert part.tobytes() == whole[:n].tobytes()


@pytest.mark.parametrize(
    "key, low, high, expected",
    [  # known answers of Random123 for philox2x32 with 10 rounds
        (0, 0, 0, (0xFF1DAE59, 0x6CD10DF2)),
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
        (0x13198A2E, 0x243F6A88, 0x85A308D3, (0xDD7CE038, 0xF62A4C12)),
    ],
)
def test_philox_known_answers(key, low, high, expected):
    assert tuple(int(word) for word in philox_words(key, low, high)) == expected


def test_philox_kernel_equals_numpy():
    source = """
def kernel(args, lo, hi, scratch):
    y = ptr_u32(args[1])
    for i in range(lo, hi, LANES):
        c = iota(i + args[4])
        v = philox(args[2], args[3], cast_u32(c), cast_u32(shr(c, const_i64(32))))
        storen_u32(y, i, v, min(LANES, hi - i))
"""
    k0, k1, start = 0x9ABCDEF0, 0x12345678, 2**32 - 20  # across the border of the counter's lower word
    expected = philox_numpy(k0, k1, np.arange(start, start + 101, dtype=np.uint64))
    for make in (compile_kernel, python_kernel):
        got = np.zeros(101, np.uint32)
        call(make(source), 0, 101, got, k0, k1, start)
        assert np.array_equal(got, expected)
    assert len(set(expected.tolist())) == 101
