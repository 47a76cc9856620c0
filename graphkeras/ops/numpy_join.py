"""Functions that join, cut, repeat and pad tensors, as in `keras.ops.numpy`."""

import operator

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.inference import normalize_axis, scalar_like
from graphkeras.ops.numpy_shape import cut, expand_dims, flip, ravel, reshape, resolve_shape
from graphkeras.ops.promotion import converted, operand, promote
from graphkeras.trace import as_tensor, prim


def concatenate(xs, axis=0):
    """Joins a sequence of tensors along an existing axis.

    Args:
        xs: The sequence of tensors; they are brought to one dtype.
        axis: The axis along which they are joined. Defaults to 0.

    Returns:
        The concatenated tensor.

    Example:

    >>> concatenate([[1, 2], [3]]).tolist()
    [1, 2, 3]
    """
    xs = promote(*map(as_tensor, xs))
    rank = xs[0].ndim if xs else 1
    return prim.concatenate(*xs, axis=normalize_axis("concatenate", axis, rank))


def stack(x, axis=0):
    """Joins a sequence of tensors along a new axis.

    Args:
        x: A sequence of tensors of one shape.
        axis: Position of the new axis. Defaults to 0.

    Returns:
        The stacked tensor.

    Example:

    >>> stack([[1, 2], [3, 4]], axis=1).tolist()
    [[1, 3], [2, 4]]
    """
    xs = promote(*map(operand, x))
    if not xs:
        raise ArgumentError("stack: no tensors were given.", got="an empty sequence", expected="at least one tensor")
    return concatenate([expand_dims(t, axis) for t in xs], normalize_axis("stack", axis, xs[0].ndim + 1))


def append(x1, x2, axis=None):
    """Appends tensor `x2` to the end of tensor `x1`.

    Args:
        x1: First input tensor.
        x2: Second input tensor.
        axis: Axis along which they are joined; both are flattened by default.

    Returns:
        A tensor with the values of `x2` appended to `x1`.

    Example:

    >>> append([1, 2], [[3], [4]]).tolist()
    [1, 2, 3, 4]
    """
    return concatenate([ravel(x1), ravel(x2)]) if axis is None else concatenate([x1, x2], axis)


def _at_least(rank, x):
    x = as_tensor(x)
    if rank == 2:
        return reshape(x, (1, -1)) if x.ndim < 2 else x
    if x.ndim == 2:
        return expand_dims(x, 2)
    return reshape(x, (1, -1, 1)) if x.ndim < 2 else x


def hstack(xs):
    """Stacks tensors in sequence horizontally (column wise).

    Example:

    >>> hstack([[1, 2], [3]]).tolist()
    [1, 2, 3]
    """
    xs = [as_tensor(x) for x in xs]
    return concatenate([ravel(x) if x.ndim == 0 else x for x in xs], 0 if xs[0].ndim < 2 else 1)


def vstack(xs):
    """Stacks tensors in sequence vertically (row wise).

    Example:

    >>> vstack([[1, 2], [3, 4]]).tolist()
    [[1, 2], [3, 4]]
    """
    return concatenate([_at_least(2, x) for x in xs], 0)


def dstack(xs):
    """Stacks tensors along the third axis.

    Example:

    >>> dstack([[1, 2], [3, 4]]).tolist()
    [[[1, 3], [2, 4]]]
    """
    return concatenate([_at_least(3, x) for x in xs], 2)


def split(x, indices_or_sections, axis=0):
    """Splits a tensor into chunks.

    Args:
        x: Input tensor.
        indices_or_sections: Number of equal chunks, or the indices at which to cut.
        axis: Axis along which to split. Defaults to 0.

    Returns:
        A list of tensors.

    Raises:
        ArgumentError: where the axis does not split into equal chunks.

    Example:

    >>> [part.tolist() for part in split([1, 2, 3, 4], 2)]
    [[1, 2], [3, 4]]
    >>> [part.tolist() for part in split([1, 2, 3, 4], [1])]
    [[1], [2, 3, 4]]
    """
    x = as_tensor(x)
    axis = normalize_axis("split", axis, x.ndim)
    size = x.spec.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        count = int(indices_or_sections)
        if count < 1 or (not isinstance(size, Dim) and size % count):
            raise ArgumentError(
                f"split: an axis of size {size} does not split into {count} equal parts.",
                got=f"{x.spec}, indices_or_sections={count}, axis={axis}",
                expected="a divisor of the size",
                mend="pass the indices at which to cut, or use ops.array_split",
            )
        bounds = [size // count * i for i in range(count)] + [size]
    else:
        indices = [operator.index(i) for i in indices_or_sections]
        bounds = [0, *(i + size if i < 0 else i for i in indices), size]
        if not isinstance(size, Dim):
            bounds = [min(b, size) for b in bounds]
    return [cut(x, axis, a, b if isinstance(b, Dim) or isinstance(a, Dim) else max(a, b)) for a, b in zip(bounds, bounds[1:])]


def array_split(x, indices_or_sections, axis=0):
    """Splits a tensor into chunks of sizes that differ by one at most.

    Args:
        x: Input tensor.
        indices_or_sections: Number of chunks.
        axis: Axis along which to split. Defaults to 0.

    Returns:
        A list of tensors.

    Example:

    >>> [part.tolist() for part in array_split([1, 2, 3], 2)]
    [[1, 2], [3]]
    """
    x = as_tensor(x)
    size = operator.index(x.spec.shape[normalize_axis("array_split", axis, x.ndim)])
    small, larger = divmod(size, indices_or_sections)
    sizes = [small + 1] * larger + [small] * (indices_or_sections - larger)
    return split(x, np.cumsum(sizes)[:-1].tolist(), axis)


def hsplit(x, indices_or_sections):
    """Splits a tensor into columns.

    Example:

    >>> [part.tolist() for part in hsplit([[1, 2], [3, 4]], 2)]
    [[[1], [3]], [[2], [4]]]
    """
    x = as_tensor(x)
    return split(x, indices_or_sections, 0 if x.ndim == 1 else 1)


def vsplit(x, indices_or_sections):
    """Splits a tensor into rows.

    Example:

    >>> [part.tolist() for part in vsplit([[1, 2], [3, 4]], 2)]
    [[[1, 2]], [[3, 4]]]
    """
    return split(x, indices_or_sections, 0)


def dsplit(x, indices_or_sections):
    """Splits a tensor along the third axis.

    Example:

    >>> [part.shape for part in dsplit(np.zeros((1, 2, 4)), 2)]
    [(1, 2, 2), (1, 2, 2)]
    """
    return split(x, indices_or_sections, 2)


def repeat(x, repeats, axis=None):
    """Repeats each element of a tensor after itself.

    Args:
        x: Input tensor.
        repeats: Number of repetitions, or one number per element of the axis.
        axis: Axis along which to repeat; the flattened tensor by default.

    Returns:
        The repeated tensor.

    Example:

    >>> repeat([1, 2], 2).tolist(), repeat([1, 2], [1, 2]).tolist()
    ([1, 1, 2, 2], [1, 2, 2])
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = ravel(x), 0
    axis = normalize_axis("repeat", axis, x.ndim)
    size = x.spec.shape[axis]
    if not isinstance(repeats, (int, Dim)):
        counts = np.asarray(repeats).reshape(-1)
        if counts.size > 1 or not isinstance(size, Dim):
            index = np.repeat(np.arange(operator.index(size)), counts)
            return prim.gather(x, index.astype(np.int32), axis=axis)
        repeats = int(counts[0])
    shape = x.spec.shape
    wide = (*shape[: axis + 1], repeats, *shape[axis + 1 :])
    return reshape(prim.broadcast_to(expand_dims(x, axis + 1), shape=wide), (*shape[:axis], size * repeats, *shape[axis + 1 :]))


def tile(x, repeats):
    """Repeats a tensor as a whole.

    Args:
        x: Input tensor.
        repeats: Number of copies along each axis, counted from the last.

    Returns:
        The tiled tensor.

    Example:

    >>> tile([1, 2], (2, 2)).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    x, repeats = as_tensor(x), resolve_shape(repeats)
    rank = max(x.ndim, len(repeats))
    shape = (1,) * (rank - x.ndim) + x.spec.shape
    repeats = (1,) * (rank - len(repeats)) + repeats
    apart = tuple(d for n in shape for d in (1, n))
    wide = tuple(d for r, n in zip(repeats, shape) for d in (r, n))
    return reshape(prim.broadcast_to(reshape(x, apart), shape=wide), tuple(r * n for r, n in zip(repeats, shape)))


def pad(x, pad_width, mode="constant", constant_values=None):
    """Pads a tensor.

    Args:
        x: Input tensor.
        pad_width: `((before, after), ...)` per axis, `((before, after),)` for all axes, or an int.
        mode: "constant", "reflect" (without the edge) or "symmetric" (with the edge).
        constant_values: The value for the mode "constant". Defaults to 0.

    Returns:
        The padded tensor.

    Example:

    >>> pad([1, 2], 1).tolist(), pad([1, 2, 3], ((2, 0),), mode="reflect").tolist()
    ([0, 1, 2, 0], [3, 2, 1, 2, 3])
    """
    x = as_tensor(x)
    widths = _pad_widths(pad_width, x.ndim)
    if mode == "constant":
        value = scalar_like(0, x) if constant_values is None else converted(operand(constant_values), x.dtype)
        return prim.pad(x, value, low=tuple(w[0] for w in widths), high=tuple(w[1] for w in widths))
    if constant_values is not None:
        raise ArgumentError("Argument `constant_values` can only be provided when `mode == 'constant'`.", got=f"mode={mode!r}")
    if mode not in ("reflect", "symmetric"):
        raise ArgumentError(
            f"pad: unknown mode {mode!r}.", got=repr(mode), expected="'constant', 'reflect' or 'symmetric'", mend="correct the name"
        )
    edge = 1 if mode == "reflect" else 0
    for axis, (low, high) in enumerate(widths):
        size = x.spec.shape[axis]
        if not isinstance(size, Dim) and max(low, high) > size - edge:
            raise ArgumentError(
                f"pad: width {max(low, high)} is too large for mode {mode!r} and an axis of size {size}.",
                got=f"{x.spec}, pad_width={pad_width}",
                expected=f"at most {size - edge}",
                mend="pad in several steps, or with mode='constant'",
            )
        parts = [x]
        if low:
            parts.insert(0, flip(cut(x, axis, edge, low + edge), axis))
        if high:
            parts.append(flip(cut(x, axis, size - high - edge, size - edge), axis))
        x = prim.concatenate(*parts, axis=axis) if len(parts) > 1 else x
    return x


def _pad_widths(pad_width, rank):
    if isinstance(pad_width, (int, np.integer)):
        return [(int(pad_width),) * 2] * rank
    widths = np.asarray(pad_width).tolist()
    if widths and not isinstance(widths[0], list):
        widths = [widths]
    widths = [tuple(w) * 2 if len(w) == 1 else tuple(w) for w in widths]
    if len(widths) == 1:
        widths = widths * rank
    if len(widths) != rank or any(len(w) != 2 for w in widths):
        raise ArgumentError(
            "`pad_width` must have the same length as `x.shape`.",
            got=f"pad_width={pad_width} for rank {rank}",
            expected="a (before, after) pair per axis",
        )
    return widths
