"""Values and gradients against PyTorch, an independent judge: needs the extra `oracle`, and is run with `-m slow`."""

import numpy as np
import pytest

from graphkeras import ops
from graphkeras.autodiff import GradientTape
from graphkeras.trace import Tensor, tree

pytestmark = pytest.mark.slow
torch = pytest.importorskip("torch")
F = torch.nn.functional
R = np.random.default_rng(5)


def _f(*shape):
    return R.normal(size=shape)


def _last(x):
    """Channels last."""
    return torch.movedim(x, 1, -1)


def _first(x):
    """Channels first."""
    return torch.movedim(x, -1, 1)


def _kernel(k):
    """From (..., in, out) to (out, in, ...)."""
    return torch.permute(k, (k.ndim - 1, k.ndim - 2, *range(k.ndim - 2)))


def _conv(rank, **options):
    torch_options = {**options}
    if "groups" in torch_options:
        ours = {k: v for k, v in options.items() if k != "groups"}
    else:
        ours = options
    names = {"stride": "strides", "dilation": "dilation_rate"}
    ours = {names[k]: v for k, v in ours.items()}
    theirs = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    return (
        lambda x, k: ops.conv(x, k, padding="valid", **ours),
        lambda x, k: _last(theirs(_first(x), _kernel(k), **torch_options)),
    )


def _attention(ours_bias):
    def theirs(q, k, v, *bias):
        q, k, v = (torch.movedim(t, 1, 2) for t in (q, k, v))
        mask = bias[0] if bias else None
        return torch.movedim(F.scaled_dot_product_attention(q, k, v, attn_mask=mask), 2, 1)

    return (lambda q, k, v, *bias: ops.dot_product_attention(q, k, v, bias=bias[0] if bias else None)), theirs


def _definite(n=4):
    a = _f(2, n, n)
    return a @ a.swapaxes(-1, -2) + n * np.eye(n)


def _resized(mode, **options):
    return lambda x: _last(F.interpolate(_first(x), size=(9, 5), mode=mode, **options))


SPREAD = R.permutation(60).reshape(3, 20) / 7.0 - 4
# name -> ours, theirs, arrays; gradients of the sum of squares are compared for all arrays.
CASES = {
    "conv1d": (*_conv(1), [_f(2, 9, 3), _f(3, 3, 4)]),
    "conv1d, strides": (*_conv(1, stride=2), [_f(2, 9, 3), _f(3, 3, 4)]),
    "conv2d": (*_conv(2), [_f(2, 7, 8, 3), _f(3, 2, 3, 5)]),
    "conv2d, strides": (*_conv(2, stride=(2, 3)), [_f(2, 9, 8, 3), _f(3, 2, 3, 5)]),
    "conv2d, dilation": (*_conv(2, dilation=2), [_f(2, 9, 8, 3), _f(3, 2, 3, 5)]),
    "conv2d, groups": (*_conv(2, groups=2), [_f(2, 7, 8, 4), _f(3, 3, 2, 6)]),
    "conv3d": (*_conv(3), [_f(1, 5, 6, 4, 2), _f(2, 3, 2, 2, 3)]),
    "conv_transpose": (
        lambda x, k: ops.conv_transpose(x, k, strides=2, padding="valid"),
        lambda x, k: _last(F.conv_transpose2d(_first(x), torch.permute(k, (3, 2, 0, 1)), stride=2)),
        [_f(2, 4, 3, 3), _f(3, 2, 5, 3)],
    ),
    "depthwise_conv": (
        lambda x, k: ops.depthwise_conv(x, k, padding="valid"),
        lambda x, k: _last(F.conv2d(_first(x), torch.permute(k, (2, 3, 0, 1)).reshape(6, 1, 3, 2), groups=3)),
        [_f(2, 7, 6, 3), _f(3, 2, 3, 2)],
    ),
    "max_pool": (
        lambda x: ops.max_pool(x, 2, strides=1),
        lambda x: _last(F.max_pool2d(_first(x), 2, stride=1)),
        [SPREAD.reshape(1, 4, 5, 3)],
    ),
    "average_pool": (
        lambda x: ops.average_pool(x, 3, strides=2),
        lambda x: _last(F.avg_pool2d(_first(x), 3, stride=2)),
        [_f(2, 7, 8, 3)],
    ),
    "adaptive_average_pool": (
        lambda x: ops.adaptive_average_pool(x, (3, 2)),
        lambda x: _last(F.adaptive_avg_pool2d(_first(x), (3, 2))),
        [_f(2, 7, 8, 3)],
    ),
    **{
        f"einsum {text}": (lambda *a, t=text: ops.einsum(t, *a), lambda *a, t=text: torch.einsum(t, *a), arrays)
        for text, arrays in {
            "bij,bjk->bik": [_f(2, 3, 4), _f(2, 4, 5)],
            "bthd,bshd->bhts": [_f(2, 3, 4, 5), _f(2, 6, 4, 5)],
            "ij,jk,kl->il": [_f(2, 3), _f(3, 4), _f(4, 2)],
            "ii->i": [_f(4, 4)],
            "...ij->...ji": [_f(2, 3, 4, 5)],
            "ab,cb->": [_f(3, 4), _f(2, 4)],
        }.items()
    },
    "attention": (*_attention(False), [_f(2, 5, 3, 4), _f(2, 6, 3, 4), _f(2, 6, 3, 4)]),
    "attention, bias": (*_attention(True), [_f(2, 5, 3, 4), _f(2, 6, 3, 4), _f(2, 6, 3, 4), _f(2, 3, 5, 6)]),
    "cumsum": (lambda x: ops.cumsum(x, 1), lambda x: torch.cumsum(x, 1), [_f(3, 7, 2)]),
    "cumprod": (lambda x: ops.cumprod(x, 1), lambda x: torch.cumprod(x, 1), [_f(3, 7, 2)]),
    "sort": (lambda x: ops.sort(x, axis=-1), lambda x: torch.sort(x, -1)[0], [SPREAD]),
    "top_k": (lambda x: ops.top_k(x, 5)[0], lambda x: torch.topk(x, 5)[0], [SPREAD]),
    "median": (lambda x: ops.median(x, axis=1), lambda x: torch.quantile(x, 0.5, dim=1), [SPREAD]),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=1), lambda x: torch.logsumexp(x, 1), [_f(3, 7)]),
    "log_softmax": (lambda x: ops.log_softmax(x), lambda x: torch.log_softmax(x, -1), [_f(3, 7)]),
    "layer_normalization": (
        lambda x, g, b: ops.layer_normalization(x, g, b, epsilon=1e-5),
        lambda x, g, b: F.layer_norm(x, (7,), g, b, 1e-5),
        [_f(3, 7), _f(7), _f(7)],
    ),
    "solve": (ops.solve, torch.linalg.solve, [_definite(), _f(2, 4, 3)]),
    "solve_triangular": (
        lambda a, b: ops.solve_triangular(ops.tril(a), b, lower=True),
        lambda a, b: torch.linalg.solve_triangular(torch.tril(a), b, upper=False),
        [_definite(), _f(2, 4, 3)],
    ),
    "cholesky": (lambda a: ops.cholesky((a + ops.swapaxes(a, -1, -2)) / 2), lambda a: torch.linalg.cholesky((a + a.mT) / 2), [_definite()]),
    "det": (ops.det, torch.linalg.det, [_definite(3)]),
    "slogdet": (lambda a: ops.slogdet(a)[1], lambda a: torch.linalg.slogdet(a)[1], [_definite()]),
    "inv": (ops.inv, torch.linalg.inv, [_definite()]),
    "eigvalsh": (
        lambda a: ops.eigh((a + ops.swapaxes(a, -1, -2)) / 2)[0],
        lambda a: torch.linalg.eigvalsh((a + a.mT) / 2),
        [_definite()],
    ),
    "singular values": (lambda a: ops.svd(a, compute_uv=False), torch.linalg.svdvals, [_f(2, 5, 3)]),
    "qr": (lambda a: ops.abs(ops.qr(a)[1]), lambda a: torch.abs(torch.linalg.qr(a)[1]), [_f(5, 3)]),
    "norm": (lambda a: ops.norm(a, axis=(-2, -1)), lambda a: torch.linalg.norm(a, dim=(-2, -1)), [_f(2, 5, 3)]),
    "resize, nearest": (
        lambda x: ops.image.resize(x, (9, 5), interpolation="nearest"),
        _resized("nearest-exact"),
        [_f(2, 6, 7, 3)],
    ),
    "resize, bilinear": (
        lambda x: ops.image.resize(x, (9, 5), interpolation="bilinear"),
        _resized("bilinear", align_corners=False),
        [_f(2, 6, 7, 3)],
    ),
    "resize, bilinear, antialias": (
        lambda x: ops.image.resize(x, (9, 5), interpolation="bilinear", antialias=True),
        _resized("bilinear", align_corners=False, antialias=True),
        [_f(2, 16, 17, 3)],
    ),
    "resize, area": (
        lambda x: ops.image.resize(x, (4, 2), interpolation="area"),
        lambda x: _last(F.adaptive_avg_pool2d(_first(x), (4, 2))),
        [_f(2, 8, 6, 3)],
    ),
    "ctc_loss": (
        lambda x: ops.ctc_loss(np.array([[1, 2, 2], [3, 1, 0]]), x, np.array([3, 2]), np.array([8, 6]), mask_index=0),
        lambda x: F.ctc_loss(
            torch.log_softmax(torch.movedim(x, 0, 1), -1), torch.tensor([[1, 2, 2], [3, 1, 0]]), torch.tensor([8, 6]),
            torch.tensor([3, 2]), blank=0, reduction="none",
        ),
        [_f(2, 8, 5)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_torch(name):
    ours, theirs, arrays = CASES[name]
    xs = [Tensor(a, "float64") for a in arrays]
    with GradientTape() as tape:
        tape.watch(xs)
        y = ours(*xs)
        total = ops.sum(y * y)
    found = tape.gradient(total, xs)
    ts = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
    expected = theirs(*ts)
    (expected * expected).sum().backward()
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-9)
    for a, t in zip(tree.flatten(found), ts, strict=True):
        np.testing.assert_allclose(a.numpy(), t.grad.numpy(), rtol=1e-8, atol=1e-8)
