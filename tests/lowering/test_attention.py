"""Attention kernels: near NumPy, the same bits however they run, and without a whole matrix of scores."""

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import vjp
from graphkeras.ir import TensorSpec, symbol
from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import ShapeError
from graphkeras.passes import run
from graphkeras.runtime.function import function
from graphkeras.runtime.program import Program
from graphkeras.testing.gradients import check_gradients
from graphkeras.trace import Tensor, trace
from tests.lowering.programs import normal

B, T = symbol("batch"), symbol("length")


def exact(q, k, v, bias=None, mask=None, scale=None, is_causal=False):
    """The definition, by way of all scores, in float64."""
    q, k, v = (a.astype("float64") for a in (q, k, v))
    scores = np.einsum("btnh,bsnh->bnts", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    scores = scores if bias is None else scores + bias
    seen = np.ones(scores.shape, bool) if mask is None else np.broadcast_to(mask, scores.shape)
    seen = seen & np.tri(*scores.shape[2:], dtype=bool) if is_causal else seen
    scores = np.where(seen, scores, -1e300)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bnts,bsnh->btnh", e / e.sum(-1, keepdims=True), v)


def forward_and_backward(**given):
    def both(q, k, v, ct):
        y, pull = vjp(lambda *heads: ops.dot_product_attention(*heads, **given), q, k, v)
        return y, *pull(ct)

    return both


def program(fn, arrays, fuse=True, specs=None):
    specs = specs or [TensorSpec(a.shape, dtype_name(a.dtype)) for a in arrays]
    return Program(run(trace(fn, specs), verify=True)[0], fuse=fuse)


def same_bits(fn, arrays, specs=None):
    """Results of a compiled program, which must be those of strict execution and of any number of threads."""
    compiled = program(fn, arrays, specs=specs)
    results = compiled(*arrays, threads=1)
    others = [compiled(*arrays, threads=n) for n in (2, 3)] + [program(fn, arrays, fuse=False, specs=specs)(*arrays, threads=2)]
    for other in others:
        assert [a.tobytes() for a in other] == [a.tobytes() for a in results]
    return compiled, results


def heads(batch, rows, keys, count, width, depth=None, dtype="float32"):
    shapes = [(batch, rows, count, width), (batch, keys, count, width), (batch, keys, count, depth or width)]
    arrays = [normal(*s, seed=i, dtype=dtype) for i, s in enumerate(shapes)]
    return [*arrays, normal(batch, rows, count, depth or width, seed=9, dtype=dtype)]


def numeric_gradients(arrays, ct, **given):
    """Of `exact`, from the closed form that softmax has."""
    q, k, v = (a.astype("float64") for a in arrays)
    probe = np.eye(k.shape[1])[None, :, None, :] * np.ones((k.shape[0], 1, k.shape[2], 1))
    shares = exact(q, k, probe, **given).transpose(0, 2, 1, 3)  # with the unit matrix as values
    scale = q.shape[-1] ** -0.5 if given.get("scale") is None else given["scale"]
    slopes = np.einsum("btnh,bsnh->bnts", ct, v)
    slopes = shares * (slopes - (slopes * shares).sum(-1, keepdims=True))
    seen = np.ones(slopes.shape, bool) if given.get("mask") is None else given["mask"]
    slopes = np.where(seen, slopes, 0) * scale
    turned = lambda x, y, form: np.einsum(form, x, y)
    return (
        turned(slopes, k, "bnts,bsnh->btnh"),
        turned(slopes, q, "bnts,btnh->bsnh"),
        turned(shares, ct, "bnts,btnh->bsnh"),
    )


CASES = {
    "plain": ((2, 200, 200, 2, 32), {}),
    "causal": ((1, 130, 130, 2, 32), {"is_causal": True}),
    "longer keys": ((1, 31, 300, 1, 7, 19), {"is_causal": True}),
    "longer queries": ((1, 300, 31, 1, 17, 4), {"is_causal": True, "scale": 0.3}),
    "mask": ((2, 13, 270, 2, 8), {"mask": np.arange(270) < np.array([100, 265])[:, None, None, None]}),
    "bias": ((2, 50, 61, 3, 5), {"bias": normal(3, 50, 61, seed=5)}),
    "all": ((2, 29, 29, 2, 8), {"bias": normal(2, 1, 29, 1, seed=5), "mask": normal(1, 2, 29, 29, seed=6) > -1, "is_causal": True}),
    "one row": ((3, 1, 40, 2, 16), {}),
    "nothing": ((0, 4, 4, 2, 8), {}),
}


DOUBLE = [pytest.param(name, "float64", marks=[] if name == "all" else pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize(("name", "dtype"), [*((name, "float32") for name in CASES), *DOUBLE])
def test_values_and_gradients(name, dtype):
    sizes, given = CASES[name]
    if dtype == "float64" and "bias" in given:
        given = {**given, "bias": given["bias"].astype(dtype)}
    *arrays, ct = heads(*sizes, dtype=dtype)
    _, results = same_bits(forward_and_backward(**given), [*arrays, ct])
    mask = given.get("mask")
    if given.get("is_causal"):
        earlier = np.tri(sizes[1], sizes[2], dtype=bool)
        mask = earlier if mask is None else earlier & mask
    parts = {"bias": given.get("bias"), "mask": mask, "scale": given.get("scale")}
    wanted = [exact(*arrays, **parts), *numeric_gradients(arrays, ct, **parts)]
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    for got, want in zip(results, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * max(1, np.abs(want).max(initial=0)))


def test_no_array_has_an_element_for_each_pair():
    arrays = heads(4, 1024, 1024, 4, 16)
    for given in ({}, {"is_causal": True}, {"mask": np.ones((4, 1, 1, 1024), bool)}):
        made = program(forward_and_backward(**given), arrays)
        scores = 4 * 4 * 1024 * 1024 * 4
        assert made.peak_bytes({}) < scores / 50
        assert made.bind([a.shape for a in arrays]).scratch_bytes < scores / 50
        assert "attention" in [g.kind for g in made.schedule.groups]


def test_a_query_that_sees_nothing_gets_the_mean_of_all_values():
    *arrays, ct = heads(1, 5, 300, 1, 4)
    mask = np.ones((1, 1, 5, 300), bool)
    mask[0, 0, 2] = False
    _, (y, dq, _, dv) = same_bits(forward_and_backward(mask=mask, is_causal=True), [*arrays, ct])
    np.testing.assert_allclose(y[0, 2, 0], arrays[2][0, :, 0].mean(0), rtol=1e-4, atol=1e-6)
    assert not dq[0, 2].any()
    np.testing.assert_allclose(dv[0, 200, 0], ct[0, 2, 0] / 300, rtol=1e-4)  # behind all other queries


def test_minus_infinity_as_bias_hides_whole_blocks():
    *arrays, _ = heads(1, 7, 600, 1, 8)
    bias = np.where(np.arange(600) < 550, -np.inf, 0).astype("float32")
    call = lambda q, k, v: ops.dot_product_attention(q, k, v, bias=bias)
    _, (y,) = same_bits(call, arrays)
    np.testing.assert_allclose(y, exact(arrays[0], arrays[1][:, 550:], arrays[2][:, 550:]), rtol=1e-5, atol=1e-6)


def test_hidden_scores_do_not_overflow():
    *arrays, ct = heads(1, 6, 6, 1, 4)
    arrays[0] *= 1e18
    arrays[1] *= 1e18
    results = program(forward_and_backward(is_causal=True), [*arrays, ct])(*arrays, ct)
    assert all(np.isfinite(results[0]).ravel())


def test_nan_stays_in_its_row():
    *arrays, ct = heads(1, 9, 9, 1, 8)
    arrays[0][0, 4] = np.nan
    y, dq, *_ = program(forward_and_backward(), [*arrays, ct])(*arrays, ct)
    assert np.isnan(y[0, 4]).all() and np.isfinite(np.delete(y, 4, 1)).all()
    assert np.isnan(dq[0, 4]).all() and np.isfinite(np.delete(dq, 4, 1)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_are_computed_in_float32(dtype):
    from graphkeras.ir.dtypes import numpy_dtype

    *arrays, ct = (a.astype(numpy_dtype(dtype)) for a in heads(2, 9, 11, 2, 8))
    _, results = same_bits(forward_and_backward(), [*arrays, ct])
    wide = [a.astype("float32") for a in (*arrays, ct)]
    for got, want in zip(results, program(forward_and_backward(), wide)(*wide), strict=True):
        assert got.dtype == numpy_dtype(dtype)
        np.testing.assert_allclose(got.astype("float32"), want, rtol=1e-2, atol=1e-2)


def test_heads_of_one_projection_are_read_where_they_lie():
    def call(x):
        q, k, v = (ops.reshape(part, (2, 20, 3, 8)) for part in ops.split(x, 3, axis=-1))
        return ops.dot_product_attention(q, k, v)

    x = normal(2, 20, 72)
    made, (y,) = same_bits(call, [x])
    assert [g.kind for g in made.schedule.groups] == ["attention"]
    np.testing.assert_allclose(y, exact(*(p.reshape(2, 20, 3, 8) for p in np.split(x, 3, -1))), rtol=1e-5, atol=1e-6)


def test_bias_and_mask_may_lie_across():
    *arrays, _ = heads(2, 35, 250, 2, 8)
    extras = normal(2, 250, 35, seed=5), normal(250, 35, seed=6) > -1

    def call(q, k, v, bias, mask):
        return ops.dot_product_attention(q, k, v, bias=ops.swapaxes(bias, 1, 2), mask=ops.transpose(mask)[None, None])

    _, (y,) = same_bits(call, [*arrays, *extras])
    given = {"bias": extras[0].transpose(0, 2, 1), "mask": extras[1].T[None, None]}
    np.testing.assert_allclose(y, exact(*arrays, **given), rtol=1e-5, atol=1e-6)


def test_transposed_heads_are_copied_first():
    call = lambda q, k, v: ops.dot_product_attention(*(ops.transpose(a, (0, 1, 3, 2)) for a in (q, k, v)))
    arrays = [a.transpose(0, 1, 3, 2).copy() for a in heads(1, 5, 6, 2, 8)[:3]]
    _, (y,) = same_bits(call, arrays)
    np.testing.assert_allclose(y, exact(*(a.transpose(0, 1, 3, 2) for a in arrays)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shared", [1, 2])
def test_heads_may_share_keys_and_values(shared):
    q, _, _, ct = heads(2, 9, 11, 4, 8)
    _, k, v, _ = heads(2, 9, 11, shared, 8)
    _, results = same_bits(forward_and_backward(), [q, k, v, ct])
    wide = [np.repeat(a, 4 // shared, axis=2) for a in (k, v)]
    _, dk, dv = numeric_gradients([q, *wide], ct)
    summed = [d.reshape(2, 11, shared, 4 // shared, 8).sum(3) for d in (dk, dv)]
    for got, want in zip(results, [exact(q, *wide), None, *summed]):
        if want is not None:
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_symbolic_sizes():
    *arrays, ct = heads(3, 37, 37, 2, 8)
    spec = TensorSpec((B, T, 2, 8), "float32")
    made, results = same_bits(forward_and_backward(is_causal=True), [*arrays, ct], [spec] * 4)
    again = program(forward_and_backward(is_causal=True), [*arrays, ct])(*arrays, ct)
    assert [a.tobytes() for a in results] == [a.tobytes() for a in again]
    short = [np.ascontiguousarray(a[:1, :5]) for a in (*arrays, ct)]
    np.testing.assert_allclose(made(*short)[0], exact(*short[:3], is_causal=True), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["plain", "causal", "bias and mask"])
def test_gradients_of_gradients(name):
    *arrays, _ = heads(1, 4, 5, 2, 3, 2)
    seen = np.ones((1, 1, 4, 5), bool)
    seen[..., 0, 1:] = seen[..., 3, 2:4] = False
    if name == "bias and mask":
        call = lambda q, k, v, bias: ops.dot_product_attention(q, k, v, bias=bias, mask=seen, scale=0.7)
        arrays.append(normal(2, 4, 1, seed=3))
    else:
        call = lambda q, k, v: ops.dot_product_attention(q, k, v, is_causal=name == "causal")
    check_gradients(call, arrays, order=2)


def test_a_scale_that_is_a_tensor_has_a_gradient():
    *arrays, _ = heads(1, 4, 5, 1, 3)
    check_gradients(lambda q, k, v, s: ops.dot_product_attention(q, k, v, scale=s), [*arrays, np.float32(0.4)], order=1)


def test_compiled_and_eager_agree():
    *arrays, _ = heads(2, 9, 11, 2, 8)
    call = lambda q, k, v: ops.dot_product_attention(q, k, v, is_causal=True)
    np.testing.assert_allclose(function(call)(*arrays).numpy(), call(*map(Tensor, arrays)).numpy(), rtol=1e-5, atol=1e-6)


def test_un_jitted_kernels_give_the_same_bits():
    arrays = heads(1, 7, 9, 1, 5)
    made = program(forward_and_backward(is_causal=True), arrays)
    assert [a.tobytes() for a in made.python(*arrays)] == [a.tobytes() for a in made(*arrays)]


def scores_with(q, k, v, bias):
    return ops.dot_product_attention(q, k, v, bias=bias)


@pytest.mark.parametrize("number, axis", [(0, 0), (0, 2), (1, 0), (1, 1), (2, 1), (2, 2), (3, 0), (3, 3)])
def test_sizes_that_differ_at_run_time_are_refused(number, axis):
    arrays = [*heads(3, 5, 6, 2, 4)[:3], normal(3, 2, 5, 6)]
    specs = [TensorSpec([symbol(f"{name}{i}") for i in range(3)] + [4], "float32") for name in "qkv"]
    compiled = program(scores_with, arrays, specs=[*specs, TensorSpec([symbol(f"b{i}") for i in range(4)], "float32")])
    compiled(*arrays)
    arrays[number] = np.concatenate([arrays[number]] * 2, axis)
    with pytest.raises(ShapeError, match="differ"):
        compiled(*arrays)


def test_no_key_at_run_time_gives_zeros():
    arrays = heads(2, 3, 0, 2, 4)
    specs = [TensorSpec((2, length, 2, 4), "float32") for length in (3, T, T, 3)]
    for y, dq, dk, dv in (program(forward_and_backward(), arrays, specs=specs)(*arrays) for _ in range(2)):
        assert not y.any() and not dq.any() and dk.size == dv.size == 0
