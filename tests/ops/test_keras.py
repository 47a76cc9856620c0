"""The public functions against what Keras on TensorFlow answers (golden files made by make_golden_keras.py)."""

from pathlib import Path

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.ir.dims import symbol
from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import GraphKerasError
from graphkeras.ir.spec import TensorSpec
from graphkeras.testing.evaluate import evaluate
from graphkeras.trace import trace
from tests.ops import keras_cases

GOLDEN = Path(__file__).parent / "golden"
CASES = keras_cases.cases()
LABELS = [keras_cases.label(number, case) for number, case in enumerate(CASES)]
TOLERANCE = {
    "float16": {"rtol": 2e-3, "atol": 1e-3},
    "float32": {"rtol": 1e-5, "atol": 1e-6},
    "float64": {"rtol": 1e-12, "atol": 1e-14},
}
# They loop over an axis, or their result's shape depends on its size in a way that needs a number.
NEED_SIZES = {"array_split", "correlate", "cross", "diag", "diagonal", "einsum", "fold", "repeat", "trace", "unstack"}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "keras_ops.npz") as arrays:
        found: dict[str, list] = {}
        for key in arrays.files:
            found.setdefault(key.rpartition("/")[0], []).append(arrays[key])
        return found


def _compare(got, expected):
    assert [(a.dtype.name, a.shape) for a in got] == [(b.dtype.name, b.shape) for b in expected]
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, **TOLERANCE.get(a.dtype.name, {"rtol": 0, "atol": 0}))


@pytest.mark.parametrize(("number", "label"), list(enumerate(LABELS)), ids=LABELS)
def test_eager(number, label, golden):
    _compare(keras_cases.call(ops, CASES[number]), golden[label])


def _traced(case, spec_of):
    """The case as a graph whose inputs are all of its float arrays, and those arrays."""
    name, args, kwargs = case
    arrays = []

    def collect(value):
        value = keras_cases.resolve(value)
        if isinstance(value, list) and any(isinstance(v, np.ndarray) for v in value):
            return [collect(v) for v in value]
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim:
            place = len(arrays)
            arrays.append(value)
            return lambda tensors: tensors[place]
        return value

    def fill(value, tensors):
        if isinstance(value, list):
            return [fill(v, tensors) for v in value]
        return value(tensors) if callable(value) else value

    args, kwargs = [collect(a) for a in args], {k: collect(v) for k, v in kwargs.items()}
    function = lambda *tensors: getattr(ops, name)(
        *(fill(a, tensors) for a in args), **{k: fill(v, tensors) for k, v in kwargs.items()}
    )
    return trace(function, [spec_of(a) for a in arrays], name=name), arrays


@pytest.mark.parametrize(("number", "label"), list(enumerate(LABELS)), ids=LABELS)
def test_traced(number, label, golden):
    graph, arrays = _traced(CASES[number], lambda a: TensorSpec(a.shape, dtype_name(a.dtype)))
    _compare(evaluate(graph, arrays)[0], golden[label])


@pytest.mark.parametrize(("number", "label"), list(enumerate(LABELS)), ids=LABELS)
def test_traced_with_unknown_sizes(number, label, golden):
    """Every axis gets a symbolic size; equal sizes share a symbol."""
    case = CASES[number]
    shape_of = lambda a: tuple(d if d == 1 else symbol(f"n{d}") for d in a.shape)
    try:
        graph, arrays = _traced(case, lambda a: TensorSpec(shape_of(a), dtype_name(a.dtype)))
    except GraphKerasError as error:
        assert case[0] in NEED_SIZES, str(error)
        return
    _compare(evaluate(graph, arrays)[0], golden[label])
