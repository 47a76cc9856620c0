import numpy as np
import pytest

from graphkeras import ops
from graphkeras.ir import TensorSpec, symbol
from graphkeras.ir.errors import ArgumentError, DataError, DTypeError, GradientError, GraphKerasError, ShapeError
from graphkeras.testing.gradients import check_gradients
from graphkeras.trace import trace
from tests.ops.families import check_function

RNG = np.random.default_rng(9)
SQUARE = (RNG.normal(size=(3, 4, 4)) + 4 * np.eye(4)).astype("float32")
DEFINITE = (SQUARE @ SQUARE.swapaxes(-1, -2)).astype("float32")
TALL = RNG.normal(size=(3, 5, 2)).astype("float32")
FUNCTIONS = {
    "cholesky": (lambda x: ops.cholesky(x, upper=True), DEFINITE),
    "cholesky_inverse": (lambda x: ops.cholesky_inverse(ops.cholesky(x)), DEFINITE),
    "det": (ops.det, SQUARE),
    "slogdet": (ops.slogdet, SQUARE),
    "logdet": (ops.logdet, DEFINITE),
    "eigh": (lambda x: ops.eigh(x)[0], DEFINITE),
    "inv": (ops.inv, SQUARE),
    "lu_factor": (lambda x: ops.lu_factor(x)[0], SQUARE),
    "norm": (lambda x: ops.norm(x, ord="nuc", axis=(1, 2)), TALL),
    "qr": (lambda x: ops.qr(x), TALL),
    "solve": (lambda x: ops.solve(x, x[..., 0]), SQUARE),
    "solve_triangular": (lambda x: ops.solve_triangular(x, x[..., :2], lower=True), SQUARE),
    "svd": (lambda x: ops.svd(x, full_matrices=False), TALL),
    "pinv": (ops.pinv, TALL),
    "lstsq": (lambda x: ops.lstsq(x[0], x[1, :, 0]), TALL),
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_compiled_for_any_batch_and_differentiable(name):
    fn, x = FUNCTIONS[name]
    check_function(fn, x, batch=name != "lstsq")
    # Symmetric input stays symmetric under differences of the parameter it is made from.
    symmetric = x is DEFINITE
    check_gradients((lambda t: fn(t + ops.swapaxes(t, -1, -2))) if symmetric else fn, [x], tolerance=1e-5)


def test_inverses():
    unit = np.broadcast_to(np.eye(4), (3, 4, 4))
    np.testing.assert_allclose(ops.matmul(ops.inv(SQUARE), SQUARE), unit, atol=1e-5)
    np.testing.assert_allclose(ops.matmul(ops.cholesky_inverse(ops.cholesky(DEFINITE)), DEFINITE), unit, atol=1e-4)
    np.testing.assert_allclose(ops.matmul(ops.pinv(TALL), TALL), np.broadcast_to(np.eye(2), (3, 2, 2)), atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 4), (2, 6, 3), (2, 3, 6), (1, 1), (3, 0, 0)])
def test_lu_reconstructs(shape):
    x = RNG.normal(size=shape)
    lu, places = (part.numpy() for part in ops.lu_factor(x))
    m, n = shape[-2:]
    k = min(m, n)
    low = np.tril(lu[..., :k], -1) + np.eye(m, k)
    product = low @ np.triu(lu[..., :k, :])
    np.testing.assert_allclose(np.take_along_axis(product, places[..., None], -2), x, atol=1e-12)
    assert np.abs(np.tril(lu[..., :k], -1)).max(initial=0) <= 1


@pytest.mark.parametrize("mode", ["reduced", "complete"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 4, 4)])
def test_qr_reconstructs(mode, shape):
    x = RNG.normal(size=shape)
    q, r = ops.qr(x, mode=mode)
    np.testing.assert_allclose(ops.matmul(q, r), x, atol=1e-12)
    assert q.shape[-1] == (shape[-2] if mode == "complete" else min(shape[-2:]))


def test_eig():
    values, vectors = (part.numpy() for part in ops.eig(SQUARE))
    assert values.dtype == "complex64"
    np.testing.assert_allclose(SQUARE @ vectors, vectors * values[:, None, :], atol=1e-4)


def test_ranks_and_least_squares():
    low = TALL[:, :, :1] @ TALL[:, :1, :]
    assert ops.matrix_rank(low).tolist() == [1, 1, 1] and ops.matrix_rank(TALL).tolist() == [2, 2, 2]
    assert ops.matrix_rank(TALL, tol=1e6).tolist() == [0, 0, 0]
    b = RNG.normal(size=(5, 2)).astype("float32")
    for a in (TALL[0], low[0], TALL[0].T @ TALL[1]):
        right = b[: a.shape[0]]
        np.testing.assert_allclose(ops.lstsq(a, right, rcond=1e-5), np.linalg.lstsq(a, right, rcond=1e-5)[0], atol=2e-4)


def test_what_has_no_gradient_says_so():
    with pytest.raises(GradientError, match="not unique"):
        check_gradients(lambda x: ops.svd(x)[0], [TALL])
    check_gradients(lambda x: ops.svd(x)[1], [TALL])
    with pytest.raises(GradientError, match="reduced form"):
        check_gradients(lambda x: ops.qr(x, mode="complete"), [TALL])
    with pytest.raises(GradientError, match="square"):
        check_gradients(lambda x: ops.lu_factor(x)[0], [TALL])


def test_symbolic_sizes():
    n = symbol("n")
    graph = trace(lambda x: ops.svd(x, full_matrices=False), [TensorSpec((symbol("b"), n, n))])
    assert [v.shape for v in graph.outputs][1] == (symbol("b"), n)
    with pytest.raises(ShapeError, match="known only when the program runs"):
        trace(lambda x: ops.svd(x, full_matrices=False), [TensorSpec((n, 3))])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ops.cholesky(-DEFINITE), DataError),
        (lambda: ops.inv(np.zeros((2, 2))), DataError),
        (lambda: ops.solve(np.zeros((2, 2)), np.ones(2)), DataError),
        (lambda: ops.det(TALL), ShapeError),
        (lambda: ops.inv(np.ones(3)), ShapeError),
        (lambda: ops.cholesky_inverse(np.ones(3)), ShapeError),
        (lambda: ops.det(np.ones((2, 2), "float16")), DTypeError),
        (lambda: ops.solve(SQUARE, np.ones(2)), ShapeError),
        (lambda: ops.qr(TALL, mode="full"), ArgumentError),
        (lambda: ops.lstsq(SQUARE, SQUARE), DTypeError),
        (lambda: ops.norm(TALL, ord="nuc"), ArgumentError),
    ],
)
def test_errors_have_four_parts(call, error):
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, GraphKerasError) and "got:" in str(caught.value)
