"""What the public functions refuse, and what they say about it."""

import re

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.ir.dims import symbol
from graphkeras.ir.errors import ArgumentError, DataError, DTypeError, ShapeError, TraceError
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace import trace

X = np.ones((2, 3), "float32")
REFUSED = [
    (lambda: ops.matmul(X, X), ShapeError, r"matmul: inner sizes differ \(3 and 2\)"),
    (lambda: ops.matmul(2.0, X), ShapeError, "a scalar is not a matrix"),
    (lambda: ops.add(X, np.ones(2, "float32")), ShapeError, "add: shapes .* cannot be broadcast together"),
    (lambda: ops.reshape(X, (4, -1)), ShapeError, "6 elements do not fit"),
    (lambda: ops.reshape(X, (-1, -1)), ArgumentError, "at most one -1"),
    (lambda: ops.reshape(X, (5,)), ShapeError, "has 6 elements"),
    (lambda: ops.sum(X, axis=2), ArgumentError, r"axis 2 is out of range for rank 2"),
    (lambda: ops.sum(X, axis=(0, -2)), ArgumentError, "names an axis twice"),
    (lambda: ops.max(np.zeros((0, 3), "float32")), ShapeError, "size 0 has no extreme"),
    (lambda: ops.squeeze(X, 0), ArgumentError, "Cannot squeeze axis=0, because the dimension is not 1"),
    (lambda: ops.concatenate([X, X[:, :2]]), ShapeError, "differ off axis 0"),
    (lambda: ops.split(X, 2, axis=1), ArgumentError, "does not split into 2 equal parts"),
    (lambda: ops.transpose(X, (0, 0)), ArgumentError, "is not an order of the axes"),
    (lambda: ops.take(X, [3], axis=0), DataError, "index 3 is out of range for an axis of size 2"),
    (lambda: ops.take_along_axis(X, [[3], [0]], axis=1), DataError, "index 3 is out of range"),
    (lambda: ops.pad(X, 1, mode="constant-ish"), ArgumentError, "unknown mode"),
    (lambda: ops.pad(X, ((0, 0), (0, 3)), mode="reflect"), ArgumentError, "too large"),
    (lambda: ops.where(X > 0, X), ArgumentError, "either both should be `None`"),
    (lambda: ops.einsum("ij,jk", X), ArgumentError, "2 terms for 1 operands"),
    (lambda: ops.einsum("ij->iz", X), ArgumentError, "output 'iz'"),
    (lambda: ops.convert_to_tensor(X, sparse=True), ArgumentError, "Tensors are dense"),
    (lambda: ops.cast(X, "float33"), DTypeError, "'float33' is not a dtype"),
    (lambda: ops.norm(X, ord=5), ArgumentError, "order 5 over 2 axes"),
    (lambda: ops.ldexp(X, X), DTypeError, "exponent must be an integer"),
    (lambda: ops.multi_hot([1]), ArgumentError, "`num_classes` must be specified"),
    (lambda: ops.categorical_crossentropy(X, X[:, :2]), ShapeError, "must have the same shape"),
    (lambda: ops.categorical_crossentropy(X, X[0]), ShapeError, r"must have the same rank \(ndim\)"),
    (lambda: ops.sparse_categorical_crossentropy([0, 1, 2], X), ShapeError, "up until the last dimension"),
    (lambda: ops.sparse_categorical_crossentropy(X, X), ShapeError, "target.ndim"),
    (lambda: ops.sparse_categorical_crossentropy([0, 3], X), DataError, "label 3 is out of range"),
    (lambda: ops.sparse_categorical_crossentropy([0, -1], X, from_logits=True), DataError, "label -1 is out of range"),
    (lambda: ops.sparse_categorical_crossentropy([0, 1], X, axis=0), ArgumentError, "Only axis=-1"),
    (lambda: ops.binary_crossentropy(X[0], X), ShapeError, "same rank"),
    (lambda: ops.one_hot([1], 2, sparse=True), ArgumentError, "Sparse tensors are not supported"),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[m for _, _, m in REFUSED])
def test_refused(call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert isinstance(caught.value, ValueError)  # code written for Keras catches these
    assert re.search(r"^  got: ", str(caught.value), re.MULTILINE)
    assert re.search(r"^  where: .*test_errors.py:\d+", str(caught.value), re.MULTILINE)


def test_nonzero_of_a_symbolic_tensor_names_the_way_out():
    with pytest.raises(TraceError, match=r"(?s)nonzero: the number of results.*mend: +use ops.where"):
        trace(ops.nonzero, [TensorSpec((3,))])


def test_an_unknown_size_is_not_a_number():
    with pytest.raises(ShapeError, match=r"(?s)The size 'b' is known only when the program runs.*mend: "):
        trace(ops.unstack, [TensorSpec((symbol("b"), 3))])


def test_integers_are_refused_by_float_ops_of_the_graph_but_not_by_the_function():
    from graphkeras.trace import prim

    with pytest.raises(DTypeError, match="exp: needs floating-point elements, not int32"):
        prim.exp(np.int32([1]))
    assert ops.exp(np.int32([1])).dtype == "float32"
