"""Functions of functions: custom gradients, vectorize, jvp; and errors of rearrange, patches, attention, decoding."""

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import GradientTape, grad
from graphkeras.ir.errors import ArgumentError, DTypeError, GradientError, ShapeError
from graphkeras.runtime.function import function
from graphkeras.testing.gradients import check_gradients
from tests.ops.families import check_function


def _slope(f, x, compiled):
    g = grad(f)
    return (function(g) if compiled else g)(np.float32(x)).numpy()


@ops.custom_gradient
def log1pexp(x):
    e = ops.exp(x)

    def gradient(*args, upstream=None):
        if upstream is None:
            (upstream,) = args
        return ops.multiply(upstream, 1.0 - 1.0 / ops.add(1, e))

    return ops.log(1 + e), gradient


@pytest.mark.parametrize("compiled", [False, True])
def test_custom_gradient(compiled):
    assert abs(_slope(log1pexp, 0.5, compiled) - 1 / (1 + np.exp(-0.5))) < 1e-6
    assert _slope(lambda x: log1pexp(x) * 3.0, 100.0, compiled) == 3.0  # exp overflows; the true rule would give NaN
    value = (function(log1pexp) if compiled else log1pexp)(np.float32(0.5)).numpy()
    np.testing.assert_allclose(value, np.log1p(np.exp(np.float32(0.5))), rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_given_gradient_replaces_the_true_one(compiled):
    @ops.custom_gradient
    def f(x, y):
        return (x * y, x + y), lambda first, second: (first * 10.0, second * 100.0)

    def loss(x):
        product, total = f(x, 2.0 * x)
        return product + total

    assert _slope(loss, 3.0, compiled) == 10.0 + 2.0 * 100.0


def test_a_gradient_that_takes_inputs_and_upstream_by_name():
    @ops.custom_gradient
    def f(x):
        def gradient(*args, upstream):
            return upstream * args[0] * 7.0

        return x * 1.0, gradient

    assert _slope(f, 2.0, False) == 14.0


def test_a_gradient_may_stop_and_must_count():
    stopped = ops.custom_gradient(lambda x: (x * x, lambda upstream: None))
    x = ops.convert_to_tensor(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = stopped(x)
    assert tape.gradient(y, x) is None
    wrong = ops.custom_gradient(lambda x: (x * x, lambda upstream: (upstream, upstream)))
    with pytest.raises(GradientError, match="returned 2 tensors for 1 inputs"):
        grad(wrong)(3.0)


def test_second_order_through_a_custom_gradient():
    cube = ops.custom_gradient(lambda x: (x * x * x, lambda upstream: upstream * 3.0 * x * x))
    # The gradient function speaks of the x inside, which stands for a constant: its own derivative is zero.
    assert float(grad(cube)(2.0)) == 12.0


def test_vectorize():
    a, b = np.arange(4, dtype="float32"), np.arange(3, dtype="float32")[:, None]
    check_function(ops.vectorize(lambda x, y: ops.where(x > y, x, -y)), a, b)
    outer = ops.vectorize(lambda x, y: x[:, None] * y[None, :], signature="(m),(n)->(m,n)")
    x, y = np.ones((2, 3), "float32"), np.arange(5, dtype="float32")
    np.testing.assert_array_equal(check_function(outer, x, y)[0], np.broadcast_to(np.arange(5), (2, 3, 5)))
    assert ops.vectorize(lambda x, n: x * n, excluded={1})([1.0, 2.0], 3).tolist() == [3.0, 6.0]
    with pytest.raises(ArgumentError, match="no signature"):
        ops.vectorize(abs, signature="m->n")
    with pytest.raises(ShapeError, match="axis m has two sizes"):
        ops.vectorize(lambda x, y: x + y, signature="(m),(m)->(m)")(np.ones(2), np.ones(3))


def test_jvp():
    value, slope, aux = ops.jvp(lambda x: (ops.sin(x), "aux"), (np.float32(0.3),), (np.float32(2.0),), has_aux=True)
    np.testing.assert_allclose([float(value), float(slope)], [np.sin(0.3), 2 * np.cos(0.3)], rtol=1e-6)
    assert aux == "aux"


def test_sparsemax():
    x = np.array([[1.0, 0.8, 0.1], [0.0, 0.0, 0.0], [5.0, 1.0, 1.0]], "float32")
    (y,) = check_function(ops.sparsemax, x, batch=True)
    np.testing.assert_allclose(y, [[0.6, 0.4, 0], [1 / 3] * 3, [1, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(ops.sparsemax(x, axis=0).numpy().sum(0), 1, rtol=1e-6)
    check_gradients(ops.sparsemax, [x[:1].astype("float64")])


def test_attention_compiles_with_symbolic_sizes():
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(3, n, 2, 4)).astype("float32") for n in (5, 6, 6))
    check_function(lambda q, k, v: ops.dot_product_attention(q, k, v, is_causal=True), q, k, v, batch=True)
    with pytest.raises(ArgumentError, match="only supports 4D"):
        ops.dot_product_attention(q[0], k[0], v[0])
    with pytest.raises(ArgumentError, match="not supported"):
        ops.dot_product_attention(q, k, v, attn_logits_soft_cap=1.0)


def test_patches_compile_and_have_gradients():
    x = np.random.default_rng(1).normal(size=(2, 2, 5, 4)).astype("float32")
    check_function(lambda x: ops.unfold(x, 2, padding=1, stride=2), x, batch=True)
    patches = ops.unfold(x, 2).numpy()
    check_function(lambda x: ops.fold(x, (5, 4), 2), patches, batch=True)
    # fold is the transpose of unfold.
    y = np.random.default_rng(2).normal(size=patches.shape).astype("float32")
    left, right = (patches * y).sum(), (x * ops.fold(y, (5, 4), 2).numpy()).sum()
    np.testing.assert_allclose(left, right, rtol=1e-4)
    check_gradients(lambda x: ops.space_to_depth(ops.depth_to_space(x, 2), 2), [np.ones((1, 2, 2, 4))])
    for wrong in (lambda: ops.depth_to_space(x, 3), lambda: ops.space_to_depth(x, 3)):
        with pytest.raises(ShapeError, match="no multiple"):
            wrong()
    with pytest.raises(ArgumentError, match="must be at least 2"):
        ops.depth_to_space(x, 1)


@pytest.mark.parametrize(
    ("pattern", "lengths", "error", "match"),
    [
        ("a b", {}, ArgumentError, "no two sides"),
        ("a b -> a", {}, ArgumentError, "same axes"),
        ("a b c -> c b a", {}, ArgumentError, "left side has 3 axes"),
        ("a (b c) -> a b c", {}, ArgumentError, "sizes of"),
        ("a (b c) -> a b c", {"b": 3}, ShapeError, "does not split"),
        ("a b -> b a", {"z": 3}, ArgumentError, "not in the pattern"),
    ],
)
def test_rearrange_refuses(pattern, lengths, error, match):
    with pytest.raises(error, match=match):
        ops.rearrange(np.ones((2, 4)), pattern, **lengths)


def test_rearrange_of_an_unknown_batch():
    x = np.arange(24, dtype="float32").reshape(3, 8)
    (y,) = check_function(lambda x: ops.rearrange(x, "b (h w) -> w b h", h=2), x)
    np.testing.assert_array_equal(y, x.reshape(3, 2, 4).transpose(2, 0, 1))


def test_bytes_and_divisors_compile():
    x = np.array([[1.5, -2.0]], "float32")
    (bits,) = check_function(lambda x: ops.view(x, "int32"), x)
    np.testing.assert_array_equal(bits, x.view("int32"))
    with pytest.raises(ShapeError, match="not divisible"):
        ops.view(np.ones(3, "float32"), "float64")
    i = np.array([[12, -18, 0]], "int32")
    np.testing.assert_array_equal(check_function(lambda i: ops.gcd(i, 8), i)[0], [[4, 2, 8]])
    with pytest.raises(DTypeError, match="must be integers"):
        ops.gcd(1.5, 2)


def test_ctc_loss_is_the_sum_over_all_paths():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(1, 4, 3)).astype("float32")
    scores = logits[0] - np.log(np.exp(logits[0]).sum(-1, keepdims=True))
    target, total = (1, 1), 0.0
    for number in range(3**4):
        path = [number // 3**i % 3 for i in range(4)]
        merged = [c for i, c in enumerate(path) if i == 0 or c != path[i - 1]]
        if tuple(c for c in merged if c) == target:
            total += np.exp(sum(scores[t, c] for t, c in enumerate(path)))
    f = lambda x: ops.ctc_loss(np.array([target]), x, np.array([2]), np.array([4]))
    np.testing.assert_allclose(f(logits).numpy(), [-np.log(total)], rtol=1e-5)
    check_gradients(f, [logits.astype("float64")], order=1)
    assert np.isinf(ops.ctc_loss(np.array([[1, 1]]), logits[:, :2], np.array([2]), np.array([2])).numpy()).all()
    compiled = function(f)(logits).numpy()
    np.testing.assert_allclose(compiled, [-np.log(total)], rtol=1e-5)


def test_ctc_decode_refuses_unknown_strategies():
    with pytest.raises(ArgumentError, match="Invalid strategy"):
        ops.ctc_decode(np.ones((1, 2, 3), "float32"), [2], strategy="best")


@pytest.mark.parametrize("shapes", [((5,), (3,)), ((3,), (5,)), ((4,), (4,))])
@pytest.mark.parametrize("mode", ["valid", "same", "full"])
def test_correlate_is_numpys(shapes, mode):
    rng = np.random.default_rng(4)
    a, b = (rng.normal(size=s).astype("float32") for s in shapes)
    np.testing.assert_allclose(ops.correlate(a, b, mode=mode).numpy(), np.correlate(a, b, mode), rtol=1e-5, atol=1e-6)


def test_products_of_an_int8_and_booleans_stay_int8():
    x, y = np.array([[1, 2]], "int8"), np.array([True, False])
    assert all(f(x[0], y).dtype == "int8" for f in (ops.dot, ops.inner, ops.vdot))
    assert ops.dot(np.int8(2), y).tolist() == [2, 0] and ops.inner(x, x).dtype == "int32"


def test_differences_of_higher_order_than_there_are_elements_are_empty():
    assert ops.diff(np.ones((2, 3)), n=5).shape == (2, 0)


def test_extremes_of_nothing_are_their_initial_value():
    x = np.zeros((2, 0), "float32")
    assert ops.max(x, axis=1, initial=3).tolist() == [3, 3] and ops.min(x, initial=1, keepdims=True).tolist() == [[1]]
    with pytest.raises(ShapeError, match="no extreme"):
        ops.max(x)


def test_every_nan_is_different_from_the_others():
    assert ops.unique(np.array([np.nan, 1, np.nan])).shape == (3,)


def test_windows_take_whole_numbers_of_any_dtype():
    assert ops.hanning(np.float32(3)).tolist() == ops.hanning(3).tolist() == [0, 1, 0]
    with pytest.raises(ArgumentError, match=r"(?s)whole number of points.*got: +x=2.5.*mend:"):
        ops.bartlett(2.5)
