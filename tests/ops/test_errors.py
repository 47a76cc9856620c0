"""What the public functions refuse, and what they say about it."""

import re

import numpy as np
import pytest

from graphkeras import activations, constraints, dtype_policies, initializers, losses, metrics, ops, optimizers, regularizers
from graphkeras.debug import flags
from graphkeras.ir.dims import symbol
from graphkeras.ir.errors import ArgumentError, DataError, DTypeError, GraphError, ShapeError, TraceError, UnknownNameError
from graphkeras.ir.spec import TensorSpec
from graphkeras.runtime.function import function
from graphkeras.trace import KerasTensor, prim, trace

X = np.ones((2, 3), "float32")
COMPLEX = X.astype("complex64")
REFUSED = [
    (lambda: ops.matmul(X, X), ShapeError, r"matmul: inner sizes differ \(3 and 2\)"),
    (lambda: ops.matmul(2.0, X), ShapeError, "a scalar is not a matrix"),
    (lambda: ops.add(X, np.ones(2, "float32")), ShapeError, "add: shapes .* cannot be broadcast together"),
    (lambda: ops.reshape(X, (4, -1)), ShapeError, "6 elements do not fit"),
    (lambda: ops.reshape(X, (-1, -1)), ArgumentError, "at most one -1"),
    (lambda: ops.reshape(X, (5,)), ShapeError, "has 6 elements"),
    (lambda: ops.sum(X, axis=2), ArgumentError, r"axis 2 is out of bounds for rank 2"),
    (lambda: ops.sum(X, axis=(0, -2)), ArgumentError, "names an axis twice"),
    (lambda: ops.max(np.zeros((0, 3), "float32")), ShapeError, "size 0 has no extreme"),
    (lambda: ops.squeeze(X, 0), ArgumentError, "Cannot squeeze axis=0, because the dimension is not 1"),
    (lambda: ops.concatenate([X, X[:, :2]]), ShapeError, "differ off axis 0"),
    (lambda: ops.split(X, 2, axis=1), ArgumentError, "does not split into 2 equal parts"),
    (lambda: ops.transpose(X, (0, 0)), ArgumentError, "valid permutation of the axes"),
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
    # dtypes
    (lambda: ops.add(np.array([1, None], object), 1), DTypeError, "An object array cannot be a tensor"),
    (lambda: ops.add(np.array(["a"]), 1), DTypeError, "dtype <U1 is not supported"),
    (lambda: ops.convert_to_tensor(np.array(["2020-01-01"], "datetime64[D]")), DTypeError, r"datetime64\[D\] is not supported"),
    (lambda: ops.add(X.astype(np.longdouble), 1), DTypeError, "is not supported"),
    (lambda: ops.convert_to_tensor([[1.0], [1.0, 2.0]]), DTypeError, "cannot be converted to a tensor"),
    (lambda: ops.zeros(2, dtype="flaot32"), DTypeError, "'flaot32' is not a dtype"),
    (lambda: ops.relu(COMPLEX), DTypeError, "relu: needs real elements, not complex64"),
    (lambda: ops.maximum(COMPLEX, X), DTypeError, "maximum: needs real elements, not complex64"),
    (lambda: ops.sort(COMPLEX), DTypeError, "sort: needs real or boolean elements, not complex64"),
    (lambda: ops.argmax(COMPLEX), DTypeError, "argmax: needs real elements, not complex64"),
    (lambda: ops.softmax(COMPLEX), DTypeError, "softmax: needs floating-point elements, not complex64"),
    (lambda: ops.conv(COMPLEX[None, :, :, None], COMPLEX[:, :, None, None]), DTypeError, "conv: needs floating-point elements"),
    # axes
    (lambda: ops.sum(X, axis=1.0), ArgumentError, r"axis 1.0 is out of bounds for rank 2"),
    (lambda: ops.softmax(X, axis=2), ArgumentError, "softmax: axis 2 is out of bounds for rank 2"),
    (lambda: ops.argmax(X, axis=-3), ArgumentError, "argmax: axis -3 is out of bounds for rank 2"),
    (lambda: ops.concatenate([X, X], axis=2), ArgumentError, "concatenate: axis 2 is out of bounds for rank 2"),
    (lambda: ops.expand_dims(X, axis=4), ArgumentError, "axis 4 is out of bounds for rank 3"),
    (lambda: ops.take(X, [0], axis=2), ArgumentError, "take: axis 2 is out of bounds for rank 2"),
    (lambda: ops.cumsum(X, axis=2), ArgumentError, "cumsum: axis 2 is out of bounds for rank 2"),
    (lambda: ops.moveaxis(X, 2, 0), ArgumentError, "moveaxis: axis 2 is out of bounds for rank 2"),
    # names
    (lambda: activations.get("rleu"), UnknownNameError, "activation function identifier: rleu"),
    (lambda: losses.get("msee"), UnknownNameError, "Unknown loss: 'msee'"),
    (lambda: optimizers.get("adm"), UnknownNameError, "Unknown optimizer: 'adm'"),
    (lambda: metrics.get("acuracy"), UnknownNameError, "Unknown metric: 'acuracy'"),
    (lambda: initializers.get("zeroes"), UnknownNameError, "initializer identifier: zeroes"),
    (lambda: regularizers.get("l3"), UnknownNameError, "regularizer identifier: l3"),
    (lambda: constraints.get("norm"), UnknownNameError, "constraint identifier: norm"),
    (lambda: dtype_policies.get("mixed_float8"), ArgumentError, "Cannot convert 'mixed_float8'"),
    (lambda: prim.addd(X, X), GraphError, r"op 'addd' is not registered(?s:.*)expected: add"),
    (lambda: ops.average_pool(X[None, :, :, None], 2, padding="full"), ArgumentError, "`padding` must be"),
    (lambda: ops.image.resize(X[:, :, None], (1, 1), interpolation="linear"), ArgumentError, "argument `interpolation`"),
    (lambda: ops.image.resize(X[:, :, None], (1, 1), data_format="nhwc"), ArgumentError, "Unknown data format"),
    # indices
    (lambda: ops.take(X, ops.cast(np.float32([np.nan]), "int32"), axis=0), DataError, "(?s)out of range.*a NaN, or a float too large"),
    (lambda: ops.scatter([[3]], np.float32([1]), (3,)), DataError, "index 3 is out of range"),
    (lambda: ops.segment_sum(X, [0, 1], num_segments=1), DataError, "segment id 1 is out of range"),
]


def _parts(error) -> dict:
    """The four parts of an error's text."""
    found = re.findall(r"^  (got|expected|where|mend): +(.+)", str(error), re.MULTILINE)
    assert [name for name, _ in found] == ["got", "expected", "where", "mend"], str(error)
    return dict(found)


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[m for _, _, m in REFUSED])
def test_refused(call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert isinstance(caught.value, ValueError)  # code written for Keras catches these
    assert re.search(r"test_errors.py:\d+", _parts(caught.value)["where"])


def test_byte_swapped_arrays_are_read_by_value():
    assert ops.add(np.array([1.0, 2.0], ">f4"), 1).tolist() == [2.0, 3.0]
    assert function(lambda x: x + 1)(np.array([1, 2], ">i2")).tolist() == [2, 3]


MODES = pytest.mark.parametrize("mode", ["eager", "strict", "compiled"])
OUT_OF_RANGE = {
    "take": (lambda i: ops.take(X, i, axis=0), [2], "index 2 is"),
    "take, negative": (lambda i: ops.take(X, i, axis=0), [1, -3], "index -3 is"),
    "take_along_axis": (lambda i: ops.take_along_axis(X, ops.reshape(i, (2, 1)), 1), [0, 3], "index 3 is"),
    "getitem": (lambda i: ops.convert_to_tensor(X)[i], [5], "index 5 is"),
    "scatter": (lambda i: ops.scatter(ops.reshape(i, (1, 1)), np.float32([1]), (3,)), [3], "index 3 is"),
    "scatter_update": (lambda i: ops.scatter_update(X[0], ops.reshape(i, (1, 1)), np.float32([1])), [3], "index 3 is"),
    "segment_sum": (lambda i: ops.segment_sum(X, i, num_segments=2), [0, 2], "segment id 2 is"),
    "segment_max": (lambda i: ops.segment_max(X, i, num_segments=2), [0, 2], "segment id 2 is"),
    "labels": (lambda i: ops.sparse_categorical_crossentropy(i, X), [0, 3], "label 3 is"),
}


@MODES
@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_indices_out_of_range_raise_in_every_execution(mode, name):
    call, indices, message = OUT_OF_RANGE[name]
    with flags.EXECUTION(mode), pytest.raises(DataError, match=message + " out of range") as caught:
        function(call)(np.array(indices, "int32"))
    parts = _parts(caught.value)
    assert parts["expected"].startswith("integers in [") and "test_errors.py" in parts["where"]


@MODES
def test_one_hot_of_what_is_out_of_range_is_a_row_of_zeros(mode):
    with flags.EXECUTION(mode):
        rows = function(lambda i: ops.one_hot(i, 3))(np.array([3, -1, 1], "int32"))
    assert rows.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


@MODES
def test_nan_as_an_integer_is_one_number_and_no_index(mode):
    values = np.float32([np.nan, np.inf, -np.inf, 3e9])
    with flags.EXECUTION(mode):
        assert function(lambda x: ops.cast(x, "int32"))(values).tolist() == [-(2**31)] * 4
        with pytest.raises(DataError, match=r"index -2147483648 is out of range") as caught:
            function(lambda x: ops.take(X, ops.cast(x, "int32"), axis=0))(values)
    assert "what a NaN, or a float too large, becomes" in _parts(caught.value)["mend"]


# ---- symbolic tensors -----------------------------------------------------------------------------------------------

USES = {
    "float()": (float, ValueError, "keep it a tensor"),
    "int()": (int, ValueError, "ops.cast"),
    "bool() or `if`": (bool, TypeError, "ops.cond"),
    "a NumPy function": (np.asarray, ValueError, "graphkeras.ops"),
    ".numpy()": (lambda x: x.numpy(), ValueError, "look at the result"),
    "iteration": (list, NotImplementedError, "ops.unstack"),
    "use as a Python index": (lambda x: [1, 2][x], TypeError, "ops.fori_loop"),
    "formatting as a number": (lambda x: f"{x:.2f}", TypeError, "print the result"),
}


@pytest.mark.parametrize("what", USES)
def test_a_functional_input_has_no_value(what):
    use, kind, mend = USES[what]
    with pytest.raises(kind, match=f"A symbolic tensor has no value, so {re.escape(what)} is not possible here") as caught:
        use(KerasTensor((2, 3), name="x"))
    parts = _parts(caught.value)
    assert isinstance(caught.value, TraceError) and "KerasTensor shape=(2, 3)" in parts["got"]
    assert mend in parts["mend"] and "test_errors.py" in parts["where"]


def test_python_decisions_on_traced_values_name_the_line_and_the_rewrite():
    def f(x):
        if x[0] > 0:  # this line
            return x
        return -x

    with pytest.raises(TraceError, match="bool\\(\\) or `if`") as caught:
        function(f)(X[0])
    parts = _parts(caught.value)
    assert parts["where"].endswith(f"test_errors.py:{f.__code__.co_firstlineno + 1}")
    assert "ops.cond(x > 0, lambda: a, lambda: b)" in parts["mend"] and "run_eagerly=True" in parts["mend"]


def test_numpy_code_that_cannot_trace_names_the_line_that_called_it():
    def f(x):
        return np.linalg.norm(x)

    with pytest.raises(TraceError, match="a NumPy function is not possible") as caught:
        function(f)(X)
    parts = _parts(caught.value)
    assert parts["where"].endswith(f"test_errors.py:{f.__code__.co_firstlineno + 1}")
    assert "ops.*" in parts["mend"]


def test_a_symbolic_tensor_outside_its_trace():
    kept = []
    trace(lambda x: kept.append(x * 2) or x, [TensorSpec((3,))], names=["first"])
    with pytest.raises(TraceError, match="used outside its trace: 'first' is no argument of 'later'") as caught:
        trace(lambda y: y + kept[0], [TensorSpec((3,))], name="later")
    parts = _parts(caught.value)
    assert "test_errors.py" in parts["where"] and "as an argument" in parts["mend"]
    with pytest.raises(TraceError, match="used outside its trace"):
        function(lambda y: y + KerasTensor((3,)))(X[0])
    with pytest.raises(TraceError, match="a tensor kept from a trace that has ended has none"):
        float(kept[0][0])


def test_nonzero_of_a_symbolic_tensor_names_the_way_out():
    with pytest.raises(TraceError, match=r"(?s)nonzero: the number of results.*mend: +use ops.where"):
        trace(ops.nonzero, [TensorSpec((3,))])


def test_an_unknown_size_is_not_a_number():
    with pytest.raises(ShapeError, match=r"(?s)The size 'b' is known only when the program runs.*mend: "):
        trace(lambda x: ops.add(x, range(ops.shape(x)[0])[0]), [TensorSpec((symbol("b"), 3))])
    with pytest.raises(ShapeError, match=r"(?s)Cannot infer argument `num` from shape.*mend: +pass num="):
        trace(ops.unstack, [TensorSpec((symbol("b"), 3))])


def test_integers_are_refused_by_float_ops_of_the_graph_but_not_by_the_function():
    with pytest.raises(DTypeError, match="exp: needs floating-point elements, not int32"):
        prim.exp(np.int32([1]))
    assert ops.exp(np.int32([1])).dtype == "float32"


def test_statistics_of_the_wrong_shape_are_named():
    with pytest.raises(ShapeError, match=r"(?s)argument `offset` must be a vector of length 3.*got:.*where:.*mend:"):
        ops.batch_normalization(np.ones((2, 3)), np.ones(3), np.ones(3), axis=-1, offset=np.ones((1, 3)))


def test_a_softmax_over_one_class_warns():
    with pytest.warns(UserWarning, match=r"softmax over axis 1 of a tensor of shape \(2, 1\)\. This axis has size 1\."):
        ops.softmax(np.ones((2, 1)), axis=1)
