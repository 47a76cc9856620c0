"""Mathematical functions, as in `keras.ops.math` and `keras.ops.linalg`, that need no kernels of their own."""

import numpy as np

from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.inference import join_dim, normalize_axes, normalize_axis, scalar_like
from graphkeras.ops.numpy_reduce import max as reduce_max
from graphkeras.ops.numpy_reduce import min as reduce_min
from graphkeras.ops.numpy_reduce import sum as reduce_sum
from graphkeras.ops.numpy_shape import expand_dims
from graphkeras.ops.promotion import as_float, promote
from graphkeras.ops.segments import segments
from graphkeras.trace import as_tensor, prim


def logsumexp(x, axis=None, keepdims=False):
    """Computes the logarithm of the sum of exponentials of elements, without overflow.

    Args:
        x: Input tensor.
        axis: Axis or axes to reduce; all by default.
        keepdims: If `True`, the axes are left in the result with size one.

    Returns:
        Float tensor; -inf where all elements are -inf.

    Example:

    >>> round(logsumexp([0.0, 0.0]).item(), 5)
    0.69315
    """
    x = as_float(x)
    return prim.logsumexp(x, axes=normalize_axes("logsumexp", axis, x.ndim), keepdims=bool(keepdims))


def rsqrt(x):
    """Computes the reciprocal of the square root, element-wise.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        `1 / sqrt(x)`.

    Example:

    >>> rsqrt([4.0, 16.0]).tolist()
    [0.5, 0.25]
    """
    return prim.rsqrt(as_float(x))


def erf(x):
    """Computes the error function, element-wise.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor between -1 and 1.

    Example:

    >>> [round(v, 4) for v in erf([0.0, 1.0]).tolist()]
    [0.0, 0.8427]
    """
    return prim.erf(as_float(x))


def erfc(x):
    """Computes the complementary error function `1 - erf(x)`, element-wise.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor between 0 and 2; beyond x = 3 only a few digits are right.

    Example:

    >>> round(erfc(1.0).item(), 4)
    0.1573
    """
    return 1 - erf(x)


def erfinv(x):
    """Computes the inverse error function, element-wise.

    Args:
        x: Input tensor; integers become floatx.

    Returns:
        Float tensor: `y` with `erf(y) == x`; infinite at -1 and 1, NaN beyond.

    Example:

    >>> [f"{v:.4f}" for v in erfinv([0.0, 0.8427008])]
    ['0.0000', '1.0000']
    """
    return prim.erfinv(as_float(x))


def segment_sum(data, segment_ids, num_segments=None, sorted=False):
    """Computes the sum of segments of a tensor.

    Args:
        data: Tensor whose rows are summed.
        segment_ids: int tensor: the segment of each row; rows of negative segments are left out.
        num_segments: Number of segments; the largest id plus 1 by default, which needs eager ids.
        sorted: Whether the ids are sorted; has no effect on the result.

    Returns:
        Tensor with one row per segment.

    Raises:
        DataError: for an id of `num_segments` or more, in every execution, as TensorFlow does on CPUs.

    Example:

    >>> segment_sum([1, 2, 10], [0, 0, 2], num_segments=3).tolist()
    [3, 0, 10]
    """
    return segments("segment_sum", data, segment_ids, num_segments, "add", lambda dtype: 0)


def in_top_k(targets, predictions, k):
    """Checks if the targets are among the k largest predictions of their rows.

    Args:
        targets: Integer classes, shape (N,).
        predictions: Scores, shape (N, C).
        k: Number of predictions to consider.

    Returns:
        Boolean tensor of shape (N,). Ties at the boundary count as in; `False` where the target is out of range or its row holds
        a value that is not finite.

    Example:

    >>> in_top_k([2, 0], [[0.1, 0.4, 0.6], [0.1, 0.7, 0.9]], k=1).tolist()
    [True, False]
    """
    targets, scores = as_tensor(targets), as_float(predictions)
    if targets.ndim != 1 or scores.ndim != 2:
        raise ShapeError(
            "in_top_k: needs targets (N,) and predictions (N, C).", got=f"targets {targets.spec}, predictions {scores.spec}"
        )
    classes = scores.spec.shape[-1]
    hits = prim.one_hot(prim.cast(targets, dtype="int32"), num_classes=classes, axis=1, dtype="bool")
    lowest = scalar_like(-np.inf, scores)
    own = prim.reduce_max(prim.select(hits, scores, lowest), axes=(1,), keepdims=True)
    larger = prim.reduce_sum(prim.cast(prim.greater(scores, own), dtype="int32"), axes=(1,), keepdims=False)
    usable = prim.reduce_all(prim.is_finite(scores), axes=(1,), keepdims=False)
    known = prim.logical_and(usable, prim.reduce_any(hits, axes=(1,), keepdims=False))
    return prim.logical_and(prim.less(larger, np.int32(k)), known)


def cdist(x, y):
    """Pairwise Euclidean distances between the rows of two tensors.

    Args:
        x: Tensor (..., N, D).
        y: Tensor (..., M, D).

    Returns:
        Tensor (..., N, M).

    Example:

    >>> cdist([[0.0, 0.0]], [[3.0, 4.0]]).tolist()
    [[5.0]]
    """
    x, y = promote(as_float(x), as_float(y))
    if min(x.ndim, y.ndim) < 2 or join_dim(x.spec.shape[-1], y.spec.shape[-1]) is None:
        raise ShapeError("cdist: needs rows of one length.", got=f"x {x.spec}, y {y.spec}", expected="(..., N, D) and (..., M, D)")
    gap = expand_dims(x, -2) - expand_dims(y, -3)
    return prim.sqrt(reduce_sum(prim.square(gap), axis=-1))


def norm(x, ord=None, axis=None, keepdims=False):
    """Vector norms of any order, and the matrix norms that are sums of elements.

    Args:
        x: Input tensor; integers become floatx.
        ord: Order: for vectors any number or infinity; for matrices "fro", 1, -1, inf or -inf. The Euclidean (Frobenius) norm
            by default.
        axis: One axis for vector norms, two for matrix norms; all by default.
        keepdims: If `True`, the axes are left in the result with size one.

    Returns:
        Norms.

    Raises:
        ArgumentError: for norms that need singular values.

    Example:

    >>> norm([3.0, 4.0]).item(), norm([3.0, -4.0], ord=1).item()
    (5.0, 7.0)
    """
    x = as_float(x)
    given = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = [normalize_axis("norm", a, x.ndim) for a in given]
    if ord is None or (ord == 2 and len(axes) == 1) or (ord == "fro" and len(axes) == 2):
        return prim.sqrt(reduce_sum(prim.square(x), axes, keepdims))
    size = prim.absolute(x)
    if len(axes) == 1:
        return _vector_norm(size, ord, axes[0], keepdims)
    if len(axes) != 2 or ord not in (1, -1, np.inf, -np.inf):
        raise ArgumentError(
            f"norm: order {ord!r} over {len(axes)} axes is not available.",
            got=f"ord={ord!r}, axis={axis!r}",
            expected="a number for one axis; 'fro', 1, -1, inf or -inf for two",
            mend="pass axis=... for the norms of vectors, or ops.linalg.svd for other norms of matrices",
        )
    summed, kept = axes if abs(ord) == 1 else axes[::-1]
    extreme = reduce_max if ord > 0 else reduce_min
    result = extreme(reduce_sum(size, summed, keepdims=True), kept, keepdims=True)
    return result if keepdims else prim.reshape(result, shape=tuple(d for i, d in enumerate(x.spec.shape) if i not in axes))


def _vector_norm(size, ord, axis, keepdims):
    if ord in (np.inf, -np.inf):
        return (reduce_max if ord > 0 else reduce_min)(size, axis, keepdims)
    if isinstance(ord, str):
        raise ArgumentError("Invalid `ord` argument for vector norm.", got=f"ord={ord!r}", expected="a number")
    if ord == 0:
        return reduce_sum(prim.cast(prim.not_equal(size, scalar_like(0, size)), dtype=size.dtype), axis, keepdims)
    if ord == 1:
        return reduce_sum(size, axis, keepdims)
    total = reduce_sum(prim.power(size, scalar_like(ord, size)), axis, keepdims)
    return prim.power(total, scalar_like(1 / ord, size))
