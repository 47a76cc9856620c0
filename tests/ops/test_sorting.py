import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import grad
from graphkeras.ir import TensorSpec
from graphkeras.ir.errors import ArgumentError, DataError, GraphKerasError, TraceError
from graphkeras.testing.gradients import check_gradients
from graphkeras.trace import trace
from tests.ops.families import check_function

RNG = np.random.default_rng(3)
X = RNG.normal(size=(6, 11)).astype("float32")
HOLES = np.where(RNG.random((6, 11)) < 0.2, np.nan, X).astype("float32")


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_sort_and_argsort_are_numpys(axis):
    assert ops.sort(X, axis=axis).numpy().tobytes() == np.sort(X, axis=axis, kind="stable").tobytes()
    assert ops.argsort(X, axis=axis).tolist() == np.argsort(X, axis=axis, kind="stable").tolist()


def test_argsort_of_a_scalar():
    assert ops.argsort(3.0).tolist() == [0]


@pytest.mark.parametrize("kth", [0, 4, 10])
def test_argpartition_partitions(kth):
    taken = np.take_along_axis(X, ops.argpartition(X, kth).numpy(), -1)
    assert (taken[:, :kth] <= taken[:, kth : kth + 1]).all() and (taken[:, kth:] >= taken[:, kth : kth + 1]).all()


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: ops.sort(x),
        lambda x: ops.argsort(x, axis=0),
        lambda x: ops.top_k(x, 3),
        lambda x: ops.searchsorted(np.array([-1.0, 0.0, 1.0], "float32"), x, side="right"),
        lambda x: ops.digitize(x, [-1.0, 0.0, 1.0]),
        lambda x: ops.histogram(ops.ravel(x), bins=4),
        lambda x: ops.histogram(ops.ravel(x), bins=4, range=(-1, 1)),
        lambda x: ops.median(x, axis=0),
        lambda x: ops.quantile(x, [0.1, 0.6], axis=1, keepdims=True),
        lambda x: ops.nanquantile(x, [0.1, 0.6], axis=0, method="midpoint"),
        lambda x: ops.nanmedian(x),
    ],
)
def test_compiled_and_for_any_batch(fn):
    check_function(fn, X, batch=True)
    check_function(fn, HOLES)


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "nearest", "midpoint"])
@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
def test_quantiles_are_numpys(method, axis):
    q = [0.0, 0.21, 0.5, 1.0]
    got = ops.quantile(X, q, axis=axis, method=method)
    np.testing.assert_allclose(got, np.quantile(X.astype("f8"), q, axis=axis, method=method), rtol=1e-5, atol=1e-6)
    got = ops.nanpercentile(HOLES, 100 * np.array(q), axis=axis, method=method)
    np.testing.assert_allclose(got, np.nanquantile(HOLES.astype("f8"), q, axis=axis, method=method), rtol=1e-5, atol=1e-6)


def test_quantiles_of_nothing_but_nan():
    assert np.isnan(ops.nanmedian(np.full((2, 3), np.nan, "float32"), axis=1).numpy()).all()
    assert ops.nanmedian([[np.nan, np.nan], [1.0, np.nan]], axis=1).tolist()[1] == 1.0


def test_gradients_of_compositions():
    x = RNG.permutation(24).reshape(4, 6) + RNG.uniform(-0.2, 0.2, (4, 6))
    for fn in (
        lambda t: ops.quantile(t, [0.13, 0.6], axis=1),
        lambda t: ops.median(t, axis=0) ** 2,
        lambda t: ops.top_k(t, 2)[0] ** 2,
        lambda t: ops.sort(t, axis=0) * np.arange(4.0)[:, None],
    ):
        check_gradients(fn, [x])


def test_weights_of_bincount_have_a_gradient():
    places = np.array([0, 2, 2], "int32")
    g = grad(lambda w: ops.sum(ops.bincount(places, weights=w) * np.array([1.0, 5.0, 7.0], "float32")))
    assert g(ops.convert_to_tensor([1.0, 1.0, 1.0])).tolist() == [1.0, 7.0, 7.0]


def test_counts_are_numpys():
    x = RNG.integers(0, 9, 40)
    assert ops.bincount(x).tolist() == np.bincount(x).tolist()
    assert ops.bincount(np.zeros(0, "int32"), minlength=3).tolist() == [0, 0, 0]
    counts, edges = ops.histogram(X.ravel(), bins=6, range=(-2, 2))
    want = np.histogram(X.ravel(), bins=6, range=(-2, 2))
    assert counts.tolist() == want[0].tolist()
    np.testing.assert_allclose(edges, want[1], atol=1e-6)


@pytest.mark.parametrize("name", ["bincount", "unique"])
def test_results_of_unknown_size_cannot_be_traced(name):
    with pytest.raises(TraceError) as caught:
        trace(getattr(ops, name), [TensorSpec((4,), "int32")])
    for part in ("got:", "expected:", "mend:"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ops.bincount([-1, 2]), DataError),
        (lambda: ops.bincount(np.zeros((1, 1, 1), "int32")), ArgumentError),
        (lambda: ops.bincount([1], sparse=True), ArgumentError),
        (lambda: ops.histogram(X), ArgumentError),
        (lambda: ops.histogram(X[0], bins=0), ArgumentError),
        (lambda: ops.histogram(X[0], range=(1, 0)), ArgumentError),
        (lambda: ops.sort(X, axis=2), ArgumentError),
        (lambda: ops.top_k(X, 12), ArgumentError),
        (lambda: ops.quantile(X, 0.5, method="best"), ArgumentError),
        (lambda: ops.quantile(X, np.zeros((2, 2))), ArgumentError),
        (lambda: ops.searchsorted(X, X), ArgumentError),
    ],
)
def test_errors_have_four_parts(call, error):
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, GraphKerasError) and "got:" in str(caught.value)
