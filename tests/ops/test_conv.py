"""Convolutions as Keras on TensorFlow computes them (golden file made by make_golden_conv.py), and what they refuse."""

import functools
import re
from pathlib import Path

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import GradientTape
from graphkeras.ir.dims import symbol
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ir.spec import TensorSpec
from graphkeras.runtime.program import Program
from graphkeras.testing.evaluate import evaluate
from graphkeras.trace import SymbolicTensor, convert_to_tensor, trace
from tests.ops import conv_cases

CASES = [(number, case) for number, case in enumerate(conv_cases.CASES) if "conv" in case[0]]
IDS = [conv_cases.label(*pair) for pair in CASES]


@functools.cache
def golden():
    with np.load(Path(__file__).parent / "golden" / "keras_conv.npz") as arrays:
        return dict(arrays)


def check_golden(number, case):
    """Result and gradients of a case, eagerly, as Keras has them."""
    tensors = [convert_to_tensor(a) for a in conv_cases.arrays(case)]
    label = conv_cases.label(number, case)
    found = conv_cases.result_and_gradients(ops, GradientTape, case, tensors)
    for position, got in enumerate(found):
        expected = golden()[f"{label}/{position - 1}" if position else label]
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-4)


def check_symbolic(number, case, keep=()):
    """The case traced with symbolic sizes (all but channels and the axes in `keep`), for the golden sizes and for others."""
    name, _, kwargs = case
    arrays = conv_cases.arrays(case)
    first = kwargs.get("data_format") == "channels_first"
    fixed = {1 if first else arrays[0].ndim - 1, *keep}
    shape = [d if axis in fixed else symbol(f"s{axis}") for axis, d in enumerate(arrays[0].shape)]
    specs = [TensorSpec(tuple(shape), "float32"), *(TensorSpec(a.shape, "float32") for a in arrays[1:])]
    graph = trace(lambda *tensors: getattr(ops, name)(*tensors, **kwargs), specs)
    y = evaluate(graph, arrays)[0][0]
    np.testing.assert_allclose(y, golden()[conv_cases.label(number, case)], rtol=1e-5, atol=1e-4)
    program = Program(graph)
    (compiled,) = program(*arrays)
    np.testing.assert_allclose(compiled, y, rtol=1e-5, atol=1e-4)
    larger = [(0, 0) if axis in fixed else (1, 2) for axis in range(arrays[0].ndim)]
    others = [np.pad(arrays[0], larger, mode="edge"), *arrays[1:]]
    expected = np.asarray(getattr(ops, name)(*others, **kwargs))
    np.testing.assert_allclose(program(*others)[0], expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("number", "case"), CASES, ids=IDS)
def test_as_keras(number, case):
    check_golden(number, case)


@pytest.mark.parametrize(("number", "case"), CASES, ids=IDS)
def test_symbolic_sizes(number, case):
    check_symbolic(number, case)


def test_symbolic_shape_is_known_where_it_can_be():
    x = SymbolicTensor((None, 9, None, 3))
    y = ops.conv(x, np.zeros((3, 3, 3, 5), "float32"), strides=2, padding="same")
    assert y.shape == (None, 5, None, 5)
    x = SymbolicTensor((None, None, 3))
    assert ops.conv(x, np.zeros((3, 3, 5), "float32"), padding="same").spec.shape == (*x.spec.shape[:2], 5)


def test_half_precision_is_summed_in_float32():
    x = np.full((1, 2100, 1), 1.0, "float16")
    y = ops.conv(x, np.ones((2100, 1, 1), "float16"))
    assert y.dtype == "float16" and y.tolist() == [[[2100.0]]]


def test_dtypes_are_promoted():
    assert ops.conv(np.ones((1, 3, 1), "int32"), np.ones((2, 1, 1), "float32")).dtype == "float32"
    assert ops.conv(np.ones((1, 3, 1), "float64"), np.ones((2, 1, 1), "float32")).dtype == "float64"


_X = np.zeros((2, 6, 6, 4), "float32")


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.conv(_X[0, 0], np.zeros((1, 4))), ShapeError, "must have rank 3, 4, 5, not 2"),
        (lambda: ops.conv(_X, np.zeros((3, 4, 2))), ShapeError, "need a kernel of rank 4, not 3"),
        (lambda: ops.conv(_X, np.zeros((3, 3, 3, 2))), ShapeError, "has 4 channels, the kernel takes 3"),
        (lambda: ops.conv(_X, np.zeros((3, 3, 2, 3))), ShapeError, "3 filters cannot be divided among 2 groups"),
        (lambda: ops.conv(_X, np.zeros((7, 3, 4, 3))), ShapeError, r"output would have sizes \(0, 4\)"),
        (lambda: ops.conv(_X, np.zeros((3, 3, 4, 2)), padding="causal"), ArgumentError, "must be 'valid' or 'same'"),
        (
            lambda: ops.conv(_X, np.zeros((3, 3, 4, 2)), strides=(1, 2, 3)),
            ArgumentError,
            "strides must be a positive integer, or 2",
        ),
        (lambda: ops.conv(_X, np.zeros((3, 3, 4, 2)), dilation_rate=0), ArgumentError, "dilation_rate must be a positive integer"),
        (lambda: ops.conv(_X, np.zeros((3, 3, 4, 2)), data_format="nhwc"), ArgumentError, "data_format"),
        (lambda: ops.depthwise_conv(_X, np.zeros((3, 3, 3, 1))), ShapeError, "must match the kernel's input channels"),
        (
            lambda: ops.depthwise_conv(np.zeros((1, 2, 2, 2, 2)), np.zeros((1, 1, 1, 2, 1))),
            ShapeError,
            "must have rank 3, 4, not 5",
        ),
        (lambda: ops.conv_transpose(_X, np.zeros((3, 3, 4, 2))), ShapeError, "must match the kernel's input channels"),
        (lambda: ops.conv_transpose(_X, np.zeros((3, 3, 2, 4)), output_padding=-1), ArgumentError, "output_padding"),
        (lambda: ops.conv_transpose(_X, np.zeros((3, 3, 2, 4)), output_padding=1), ShapeError, "the convolution gives"),
    ],
)
def test_refusals_have_four_parts(call, error, match):
    with pytest.raises(error, match=match) as caught:
        call()
    assert re.search(r"^  got: ", str(caught.value), re.MULTILINE) and re.search(r"^  expected: ", str(caught.value), re.MULTILINE)
