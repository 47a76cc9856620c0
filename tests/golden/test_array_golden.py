"""Sorting, linear algebra, Fourier transforms and images give what Keras on TensorFlow gives (see make_array_golden.py)."""

import json
from pathlib import Path

import numpy as np
import pytest

from graphkeras import ops
from tests.golden import array_cases

GOLDEN = json.loads((Path(__file__).parent / "arrays.json").read_text())["cases"]


def test_every_case_has_golden_values():
    assert sorted(GOLDEN) == sorted(array_cases.CASES)


@pytest.mark.parametrize("name", sorted(array_cases.CASES))
def test_case(name):
    results = array_cases.results(ops, name)
    assert len(results) == len(GOLDEN[name])
    for got, want in zip(results, GOLDEN[name]):
        assert (got.dtype.name, list(got.shape)) == (want["dtype"], want["shape"])
        values = np.array(want["values"], "float64").reshape(want["shape"])
        np.testing.assert_allclose(got.astype("float64"), values, rtol=2e-5, atol=2e-5)
