"""Composites of neural networks: one node each until they are expanded, with gradients in closed form."""

import numpy as np

from graphkeras.ir.dtypes import FLOATS, INTEGERS, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ir.registry import ErrorSample, Sample, op_def, register_op
from graphkeras.ir.samples import any_axis, any_dtype, any_shape, any_size, exactly, integers, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops import batching
from graphkeras.ops.elementwise import in_float32
from graphkeras.ops.inference import (
    join_dim,
    normalize_axis,
    reduced_shape,
    require_axes,
    require_dtype,
    require_equal_dtypes,
    scalar_like,
    show,
)
from graphkeras.ops.philox import philox_numpy
from graphkeras.ops.reductions import expanded
from graphkeras.ops.sources import filled, iota
from graphkeras.trace import prim


def _axes_infer(name):
    def infer(x, *, axes, keepdims=True):
        require_dtype(name, [x], FLOATS, "floating-point")
        require_axes(name, axes, x.rank)
        return x.with_shape(reduced_shape(x.shape, axes, keepdims)) if name == "logsumexp" else x

    return infer


def _shifted(x, axes):
    """x minus its maximum, and that maximum; an infinite maximum is left out, for inf - inf has no value."""
    peak = prim.reduce_max(x, axes=axes, keepdims=True)
    peak = prim.select(prim.is_finite(peak), peak, scalar_like(0, x))
    return x - peak, peak


def _is_empty(x, axes):
    """Whether a row surely has no element, and so no maximum."""
    return any(isinstance(x.spec.shape[a], int) and x.spec.shape[a] == 0 for a in axes)


def _softmax_expand(x, *, axes):
    if _is_empty(x, axes):
        return x
    e = prim.exp(x - prim.reduce_max(x, axes=axes, keepdims=True))
    return e * (scalar_like(1, x) / prim.reduce_sum(e, axes=axes, keepdims=True))  # one division a row


def _softmax_eager(x, *, axes):
    e = np.exp(x - x.max(axes, keepdims=True, initial=-np.inf))
    return e / e.sum(axes, keepdims=True)


def _softmax_vjp(ct, x, y, *, axes):
    weighted = ct * y
    return (weighted - y * prim.reduce_sum(weighted, axes=axes, keepdims=True),)


def _log_softmax_expand(x, *, axes):
    if _is_empty(x, axes):
        return x
    shifted = x - prim.reduce_max(x, axes=axes, keepdims=True)
    return shifted - prim.log(prim.reduce_sum(prim.exp(shifted), axes=axes, keepdims=True))


def _log_softmax_eager(x, *, axes):
    shifted = x - x.max(axes, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axes, keepdims=True))


def _log_softmax_vjp(ct, x, y, *, axes):
    return (ct - prim.exp(y) * prim.reduce_sum(ct, axes=axes, keepdims=True),)


def _logsumexp_expand(x, *, axes, keepdims):
    if _is_empty(x, axes):
        return filled(-np.inf, reduced_shape(x.spec.shape, axes, keepdims), x.dtype, like=x)
    shifted, peak = _shifted(x, axes)
    total = prim.log(prim.reduce_sum(prim.exp(shifted), axes=axes, keepdims=True)) + peak
    return total if keepdims else prim.reshape(total, shape=reduced_shape(x.spec.shape, axes, False))


def _logsumexp_eager(x, *, axes, keepdims):
    peak = x.max(axes, keepdims=True, initial=-np.inf)
    peak = np.where(np.isfinite(peak), peak, np.zeros((), x.dtype))
    total = np.log(np.exp(x - peak).sum(axes, keepdims=True)) + peak
    return total if keepdims else total.reshape(reduced_shape(x.shape, axes, False))


def _logsumexp_vjp(ct, x, y, *, axes, keepdims):
    return (expanded(ct, x, axes, keepdims) * prim.softmax(x, axes=axes),)


def _axes_samples(**attrs):
    cases = [((3, 5), (1,)), ((3, 5), (0,)), ((2, 3, 19), (1, 2)), ((7,), (0,))]
    return [
        *(Sample((uniform(shape, -4, 4),), {"axes": axes, **attrs}) for shape, axes in cases),
        Sample((exactly([[1000.0, 999.0, -1000.0], [float("-inf"), 0.0, 1.0]], "float32"),), {"axes": (1,), **attrs}),
    ]


def _axes_errors(**attrs):
    return [
        ErrorSample((integers((2, 3)),), {"axes": (1,), **attrs}, raises=DTypeError, match="needs floating-point elements"),
        ErrorSample((uniform((2, 3)),), {"axes": (2,), **attrs}, raises=ArgumentError, match="axis 2 is out of bounds"),
    ]


_axes_cost = lambda x, outputs, **attrs: 16 * x.size

for _name, _eager, _expand, _vjp, _attrs in (
    ("softmax", _softmax_eager, _softmax_expand, _softmax_vjp, {}),
    ("log_softmax", _log_softmax_eager, _log_softmax_expand, _log_softmax_vjp, {}),
    ("logsumexp", _logsumexp_eager, _logsumexp_expand, _logsumexp_vjp, {"keepdims": False}),
):
    register_op(
        _name,
        kind="composite",
        batch=batching.shifted("axes"),
        infer=_axes_infer(_name),
        eager=in_float32(_eager),
        vjp=_vjp,
        expand=_expand,
        cost=_axes_cost,
        samples=_axes_samples(**_attrs),
        errors=_axes_errors(**_attrs),
    )


def _one_hot_shape(shape, num_classes, axis):
    return (*shape[:axis], num_classes, *shape[axis:])


def _one_hot_infer(x, *, num_classes, axis, dtype):
    require_dtype("one_hot", [x], INTEGERS, "integer")
    normalize_axis("one_hot", axis, x.rank + 1)
    return TensorSpec(_one_hot_shape(x.shape, num_classes, axis), dtype)


def _one_hot_expand(x, *, num_classes, axis, dtype):
    index_dtype = x.dtype if x.dtype in ("int32", "int64", "uint32", "uint64") else "int32"
    x = x if x.dtype == index_dtype else prim.cast(x, dtype=index_dtype)
    classes = iota(_one_hot_shape((1,) * x.ndim, num_classes, axis), axis, index_dtype, like=x)
    hit = prim.equal(prim.reshape(x, shape=_one_hot_shape(x.spec.shape, 1, axis)), classes)
    return hit if dtype == "bool" else prim.cast(hit, dtype=dtype)


def _one_hot_eager(x, *, num_classes, axis, dtype):
    return (np.expand_dims(x, axis) == np.arange(num_classes).reshape(_one_hot_shape((1,) * x.ndim, -1, axis))).astype(
        numpy_dtype(dtype)
    )


def _one_hot_varied(rng):
    shape, classes = any_shape(rng, 0, 3, most=60), any_size(rng, most=9)
    x = integers(shape, 0, classes + 2, any_dtype(rng, INTEGERS))
    dtype = any_dtype(rng, (*FLOATS, *INTEGERS, "bool"))
    return Sample((x,), {"num_classes": classes, "axis": any_axis(rng, len(shape) + 1), "dtype": dtype})


register_op(
    "one_hot",
    kind="composite",
    batch=batching.shifted("axis"),
    infer=_one_hot_infer,
    eager=_one_hot_eager,
    vjp=lambda ct, x, y, **attrs: (None,),
    expand=_one_hot_expand,
    samples=[
        Sample((integers((5,), -1, 6),), {"num_classes": 5, "axis": 1, "dtype": "float32"}),
        Sample((integers((2, 3), 0, 4, "uint8"),), {"num_classes": 4, "axis": 0, "dtype": "int32"}),
        Sample((integers((), 0, 4, "int64"),), {"num_classes": 4, "axis": 0, "dtype": "bool"}),
    ],
    vary=_one_hot_varied,
    errors=[
        ErrorSample(
            (uniform((2,)),), {"num_classes": 3, "axis": 1, "dtype": "float32"}, raises=DTypeError, match="needs integer elements"
        )
    ],
)


def keep_threshold(rate: float) -> int:
    """Random words below this one are dropped."""
    return round(rate * 2**32)


def _dropout_infer(x, key, *, rate):
    require_dtype("dropout", [x], FLOATS, "floating-point")
    if not 0 <= rate < 1:
        raise ArgumentError(
            f"dropout: rate {rate} is out of range.",
            got=f"rate={rate}",
            expected="a float in [0, 1)",
            mend="rate is the share that is dropped",
        )
    if key.shape != (2,) or key.dtype != "uint32":
        raise ShapeError("dropout: the key must be two 32-bit words.", got=show([x, key]), expected="key u32[2]")
    return x


def _dropout_expand(x, key, *, rate):
    kept = prim.greater_equal(prim.random_bits(key, shape=x.spec.shape), np.uint32(keep_threshold(rate)))
    return prim.select(kept, x * scalar_like(1 / (1 - rate), x), scalar_like(0, x))


def _dropout_eager(x, key, *, rate):
    bits = philox_numpy(int(key[0]), int(key[1]), np.arange(x.size, dtype=np.uint64)).reshape(x.shape)
    return np.where(bits >= keep_threshold(rate), x * np.asarray(1 / (1 - rate), x.dtype), np.zeros((), x.dtype))


_KEY = integers((2,), 0, 2**32, "uint32")

register_op(
    "dropout",
    kind="composite",
    infer=_dropout_infer,
    eager=in_float32(_dropout_eager),
    vjp=lambda ct, x, key, y, *, rate: (prim.dropout(ct, key, rate=rate), None),
    expand=_dropout_expand,
    cost=lambda x, key, outputs, *, rate: 52 * x.size,
    effects=("random",),
    samples=[
        Sample((uniform((4, 5)), _KEY), {"rate": 0.5}),
        Sample((uniform((37,)), _KEY), {"rate": 0.1}),
        Sample((uniform((3, 3)), _KEY), {"rate": 0.0}),
    ],
    vary=lambda rng: Sample((uniform(any_shape(rng), dtype=any_dtype(rng)), _KEY), {"rate": float(rng.choice([0.0, 0.1, 0.5, 0.9]))}),
    errors=[
        ErrorSample((uniform((2,)), _KEY), {"rate": 1.5}, raises=ArgumentError, match="rate 1.5 is out of range"),
        ErrorSample((integers((2,)), _KEY), {"rate": 0.5}, raises=DTypeError, match="needs floating-point elements"),
    ],
)


def _require_rows(name, logits):
    require_dtype(name, [logits], FLOATS, "floating-point")
    if not logits.rank:
        raise ShapeError(f"{name}: logits need a class axis.", got=show([logits]), expected="rank 1 or more")


def _sparse_infer(logits, labels):
    name = "sparse_softmax_crossentropy"
    _require_rows(name, logits)
    require_dtype(name, [labels], INTEGERS, "integer")
    rows = logits.shape[:-1]
    if len(rows) != labels.rank or any(join_dim(a, b) is None for a, b in zip(rows, labels.shape)):
        raise ShapeError(
            f"{name}: labels have shape {labels.shape}, not {rows}.",
            got=show([logits, labels]),
            expected="one integer label per row of logits",
            mend="drop a last axis of size 1 from the labels, or use the loss for one-hot targets",
        )
    return logits.with_shape(tuple(map(join_dim, rows, labels.shape)))


def _label_hits(logits, labels):
    """True at the class of each row. (..., C), (...) -> (..., C)"""
    classes = logits.spec.shape[-1]
    labels = prim.cast(labels, dtype="int32") if labels.dtype != "int32" else labels
    rank = logits.ndim
    column = prim.reshape(labels, shape=(*labels.spec.shape, 1))
    return prim.equal(column, iota((*(1,) * (rank - 1), classes), rank - 1, "int32", like=logits))


def _sparse_expand(logits, labels):
    classes = logits.spec.shape[-1]
    last = (logits.ndim - 1,)
    checked = prim.check_range(labels, low=0, high=classes, what="label")
    picked = prim.select(_label_hits(logits, checked), logits, scalar_like(0, logits))
    return prim.logsumexp(logits, axes=last, keepdims=False) - prim.reduce_sum(picked, axes=last, keepdims=False)


def _sparse_eager(logits, labels):
    classes = logits.shape[-1]
    op_def("check_range").eager(labels, low=0, high=classes, what="label")
    picked = np.take_along_axis(logits, labels[..., None].astype(np.int64), -1)[..., 0]
    return _logsumexp_eager(logits, axes=(logits.ndim - 1,), keepdims=False) - picked


def _sparse_varied(rng):
    rows, classes = any_shape(rng, 0, 3, most=40), any_size(rng, 1)
    return Sample((uniform((*rows, classes), -4, 4, any_dtype(rng)), integers(rows, 0, classes, any_dtype(rng, INTEGERS))))


def _sparse_vjp(ct, logits, labels, y):
    probabilities = prim.softmax(logits, axes=(logits.ndim - 1,))
    hits = prim.cast(_label_hits(logits, labels), dtype=logits.dtype)
    return prim.reshape(ct, shape=(*ct.spec.shape, 1)) * (probabilities - hits), None


register_op(
    "sparse_softmax_crossentropy",
    kind="composite",
    batch=batching.leading,
    infer=_sparse_infer,
    eager=in_float32(_sparse_eager),
    vjp=_sparse_vjp,
    expand=_sparse_expand,
    cost=lambda logits, labels, outputs: 18 * logits.size,
    samples=[
        Sample((uniform((4, 5), -4, 4), integers((4,), 0, 5))),
        Sample((uniform((2, 3, 19), -4, 4), integers((2, 3), 0, 19, "uint8"))),
        Sample((exactly([[1000.0, -1000.0]], "float32"), exactly([1], "int64"))),
    ],
    vary=_sparse_varied,
    errors=[
        ErrorSample((uniform((4, 5)), integers((4, 1))), raises=ShapeError, match="one integer label per row"),
        ErrorSample((uniform((4, 5)), uniform((4,))), raises=DTypeError, match="needs integer elements"),
    ],
)


def _pair_infer(name, by_row):
    def infer(logits, targets):
        _require_rows(name, logits) if by_row else require_dtype(name, [logits], FLOATS, "floating-point")
        require_equal_dtypes(name, [logits, targets])
        joined = tuple(map(join_dim, logits.shape, targets.shape))
        if logits.rank != targets.rank or None in joined:
            raise ShapeError(
                f"{name}: logits and targets have different shapes.",
                got=show([logits, targets]),
                expected="equal shapes",
                mend="reshape the targets; broadcasting here would silently average over wrong pairs",
            )
        return logits.with_shape(joined[:-1] if by_row else joined)

    return infer


def _pair_varied(by_row):
    def vary(rng):
        shape, dtype = any_shape(rng, int(by_row), least=0), any_dtype(rng)
        if by_row:
            shape = (*shape[:-1], max(shape[-1], 1))
        return Sample((uniform(shape, -4, 4, dtype), uniform(shape, 0, 1, dtype)))

    return vary


def _softmax_crossentropy_expand(logits, targets):
    last = (logits.ndim - 1,)
    return -prim.reduce_sum(targets * prim.log_softmax(logits, axes=last), axes=last, keepdims=False)


def _softmax_crossentropy_vjp(ct, logits, targets, y):
    last = (logits.ndim - 1,)
    ct = prim.reshape(ct, shape=(*ct.spec.shape, 1))
    mass = prim.reduce_sum(targets, axes=last, keepdims=True)
    dlogits = ct * (prim.softmax(logits, axes=last) * mass - targets)
    return dlogits, -(ct * prim.log_softmax(logits, axes=last))


register_op(
    "softmax_crossentropy",
    kind="composite",
    batch=batching.leading,
    infer=_pair_infer("softmax_crossentropy", by_row=True),
    eager=in_float32(lambda logits, targets: -(targets * _log_softmax_eager(logits, axes=(logits.ndim - 1,))).sum(-1)),
    vjp=_softmax_crossentropy_vjp,
    expand=_softmax_crossentropy_expand,
    cost=lambda logits, targets, outputs: 18 * logits.size,
    samples=[
        Sample((uniform((4, 5), -4, 4), uniform((4, 5), 0, 1))),
        Sample((uniform((2, 3, 19), -4, 4), uniform((2, 3, 19), 0, 1))),
    ],
    vary=_pair_varied(by_row=True),
    errors=[ErrorSample((uniform((4, 5)), uniform((4, 1))), raises=ShapeError, match="different shapes")],
)


def _sigmoid_crossentropy_expand(logits, targets):
    # log1p keeps the small loss of a confident right answer, which softplus(x) - x would round to zero.
    return prim.relu(logits) - logits * targets + prim.log1p(prim.exp(-prim.absolute(logits)))


register_op(
    "sigmoid_crossentropy",
    kind="composite",
    batch=batching.leading,
    infer=_pair_infer("sigmoid_crossentropy", by_row=False),
    eager=in_float32(lambda x, z: np.maximum(x, 0) - x * z + np.log1p(np.exp(-np.abs(x)))),
    vjp=lambda ct, logits, targets, y: (ct * (prim.sigmoid(logits) - targets), -(ct * logits)),
    expand=_sigmoid_crossentropy_expand,
    cost=lambda logits, targets, outputs: 30 * logits.size,
    samples=[
        Sample((uniform((4, 5), -4, 4), uniform((4, 5), 0, 1))),
        Sample((exactly([50.0, -50.0, 0.0], "float32"), exactly([1, 0, 0.5], "float32"))),
    ],
    vary=_pair_varied(by_row=False),
    errors=[ErrorSample((uniform((4, 5)), uniform((5,))), raises=ShapeError, match="different shapes")],
)
