"""The measures of the sweep: what they allow, and what they do not let through."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

import graphkeras.ops  # noqa: F401  (fills the registry)
from graphkeras.ir import REGISTRY, Sample
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.samples import exactly, uniform
from graphkeras.testing import compiled, variations
from graphkeras.testing.accuracy import errors, ulp
from graphkeras.testing.evaluate import run_op


def measured(op, got, *arrays, **attrs):
    """The error of one result of an op on float32 arrays."""
    arrays = [np.asarray(a, np.float32) if np.asarray(a).dtype == float else np.asarray(a) for a in arrays]
    (error,) = errors(REGISTRY[op], Sample(tuple(map(exactly, arrays)), attrs), arrays, [np.asarray(got)])
    return error


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_ulp_is_the_distance_of_neighbours(dtype):
    target = numpy_dtype(dtype)
    tiny = float(ml_dtypes.finfo(target).tiny)
    for number in (1.0, 1.5, 3.0, 0.75, tiny, tiny / 2, 0.0):
        x = np.asarray([number], target)
        assert ulp(x.astype(np.float64), dtype)[0] == float(np.spacing(x)[0])


def test_elementwise_results_are_measured_in_ulps():
    x = np.float32([0.5, 2.0])
    y = np.exp(x.astype(np.float64))
    assert measured("exp", y.astype(np.float32), x).amount <= 0.5
    off = np.nextafter(np.nextafter(y.astype(np.float32), np.float32(9)), np.float32(9))
    assert 1.5 <= measured("exp", off, x).amount <= 2.5


@pytest.mark.parametrize(
    ("op", "x", "wrong"),
    [
        ("exp", 1000.0, np.finfo(np.float32).max / 2),  # infinity is far from large numbers
        ("exp", np.nan, 1.0),
        ("exp", 1.0, np.nan),
        ("sin", -0.0, 0.0),  # zeros have signs
        ("log", -1.0, -np.inf),
        ("sqrt", 4.0, -2.0),
    ],
)
def test_special_values_are_not_near_others(op, x, wrong):
    assert measured(op, np.float32([wrong]), [x]).amount == np.inf or measured(op, np.float32([wrong]), [x]).amount > 1e6


def test_overflow_is_near_the_largest_number():
    x = np.float32([88.7228])
    assert np.isfinite(np.exp(x)).all()
    assert measured("exp", np.exp(x), x).amount <= 4
    assert measured("exp", np.float32([np.inf]), np.float32([88.75])).amount == 0


def test_sums_are_measured_against_their_terms():
    x = np.float32([1e8, 1.0, -1e8])  # the sum is lost in the rounding of its terms, which the bound allows
    attrs = {"axes": (0,), "keepdims": False}
    assert measured("reduce_sum", np.float32(0), x, **attrs).amount < 1
    assert measured("reduce_sum", np.float32(1000), x, **attrs).amount > 1
    a, b = np.float32([[1, 2]]), np.float32([[3], [4]])
    matmul = {"transpose_a": False, "transpose_b": False}
    assert measured("matmul", np.float32([[11]]), a, b, **matmul).amount == 0
    assert measured("matmul", np.float32([[11.0001]]), a, b, **matmul).amount > 1


def test_what_moves_or_counts_is_exact():
    x = np.float32([3, 1, 2])
    assert measured("sort", np.float32([1, 2, 3]), x, axis=0).amount == 0
    assert measured("sort", np.nextafter(np.float32([1, 2, 3]), np.float32(9)), x, axis=0).amount == np.inf
    assert measured("argmax", np.int32(1), x, axis=0, keepdims=False).amount == np.inf
    assert measured("reshape", np.float32([[-0.0]]), np.float32([0.0]), shape=(1, 1)).amount == np.inf


def test_wrong_shapes_and_dtypes():
    assert measured("exp", np.float64([1.0]), [0.0]).amount == np.inf
    assert measured("exp", np.float32([[1.0]]), [0.0]).amount == np.inf


def test_special_samples_hold_all_half_precision_numbers_and_all_pairs():
    record = REGISTRY["exp"]
    by_dtype = {a.dtype.name: a for (a,) in ([m(None) for m in s.inputs] for s in variations.special_samples(record))}
    assert set(by_dtype) == {"float16", "bfloat16", "float32", "float64"} and by_dtype["float16"].size == 1 << 16
    x, y = next([m(None) for m in s.inputs] for s in variations.special_samples(REGISTRY["power"]) if s.inputs[0](None).dtype == np.float32)
    pairs = {(float(a), float(b)) for a, b in zip(x, y)}
    assert {(0.0, np.inf), (-np.inf, 3.0), (1.0, -np.inf)} <= pairs


def test_programs_that_differ_by_one_bit_are_found(monkeypatch):
    record = REGISTRY["tanh"]
    sample = Sample((uniform((3, 5)),))
    kept, seen = compiled._bits, []

    def bits(a):
        seen.append(a)
        return kept(a if len(seen) != 2 else np.nextafter(a, np.asarray(9, a.dtype)))

    monkeypatch.setattr(compiled, "_bits", bits)
    with pytest.raises(AssertionError, match="tanh: compiled results on one thread differ from 2 threads"):
        compiled.check_compiled(record, [sample])


def test_a_rule_that_makes_what_is_refused_is_named():
    record = dataclasses.replace(REGISTRY["negative"], samples=[Sample((exactly([1.0], "float32"),))])
    with pytest.raises(AssertionError, match="negative .* give its record a rule `vary`"):
        variations.samples(record)


def test_meaning_of_bessel_functions_at_the_ends():
    for name, expected in (("bessel_i0", [np.inf, np.inf, 1.0]), ("bessel_i1", [np.inf, -np.inf, -0.0])):
        got = run_op(name, [np.float32([np.inf, -np.inf, -0.0])], {})[0]
        np.testing.assert_array_equal(got, np.float32(expected))
        assert np.signbit(got[2]) == np.signbit(expected[2])
