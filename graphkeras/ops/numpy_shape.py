"""Functions that change shapes and join or cut tensors, as in `keras.ops.numpy`."""

import operator

from graphkeras.ir.dims import Dim
from graphkeras.ir.dims import size as _size_of
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.inference import normalize_axes, normalize_axis
from graphkeras.trace import as_tensor, prim


def resolve_shape(shape) -> tuple:
    """A shape argument as a tuple of ints and sizes known at run time; -1 and None stay."""
    if isinstance(shape, (int, Dim)) or not hasattr(shape, "__iter__"):
        shape = (shape,)
    return tuple(d if d is None or isinstance(d, Dim) else operator.index(d) for d in shape)


def reshape(x, newshape):
    """Gives a new shape to a tensor without changing its data.

    Args:
        x: Input tensor.
        newshape: The new shape, an int or tuple; one size may be -1 and is worked out then.

    Returns:
        The reshaped tensor.

    Example:

    >>> reshape([1, 2, 3, 4], (2, -1)).tolist()
    [[1, 2], [3, 4]]
    """
    x = as_tensor(x)
    shape = tuple(-1 if d is None else d for d in resolve_shape(newshape))
    open_axes = [i for i, d in enumerate(shape) if isinstance(d, int) and d == -1]
    if len(open_axes) > 1 or any(isinstance(d, int) and d < -1 for d in shape):
        raise ArgumentError(
            f"reshape: sizes must be non-negative integers, at most one of them -1. Received: newshape={newshape!r}",
            got=f"newshape={newshape!r}",
            expected="sizes >= 0, at most one -1",
            mend="name all sizes but one",
        )
    if open_axes:
        known = _size_of(d for i, d in enumerate(shape) if i != open_axes[0])
        total = x.spec.size
        if not isinstance(known, Dim) and not isinstance(total, Dim) and (total % known if known else total):
            raise ShapeError(
                f"reshape: {total} elements do not fit into shape {shape}.",
                got=f"{x.spec} -> {shape}",
                expected=f"a multiple of {known} elements",
                mend="check the sizes, or flatten with newshape=-1",
            )
        missing = (total // known) if isinstance(known, Dim) or known else 0
        shape = (*shape[: open_axes[0]], missing, *shape[open_axes[0] + 1 :])
    return x if shape == x.spec.shape else prim.reshape(x, shape=shape)


def ravel(x):
    """Returns the tensor flattened to one axis.

    Args:
        x: Input tensor.

    Returns:
        Tensor of rank 1.

    Example:

    >>> ravel([[1, 2], [3, 4]]).tolist()
    [1, 2, 3, 4]
    """
    return reshape(x, (-1,))


def expand_dims(x, axis):
    """Expands the shape of a tensor by axes of size 1.

    Args:
        x: Input tensor.
        axis: Position or positions of the new axes in the result.

    Returns:
        Tensor with more axes.

    Example:

    >>> expand_dims([1, 2], 0).shape, expand_dims([1, 2], (0, -1)).shape
    ((1, 2), (1, 2, 1))
    """
    x = as_tensor(x)
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    rank = x.ndim + len(given)
    axes = normalize_axes("expand_dims", given, rank)
    rest = iter(x.spec.shape)
    return prim.reshape(x, shape=tuple(1 if i in axes else next(rest) for i in range(rank)))


def squeeze(x, axis=None):
    """Removes axes of size 1 from `x`.

    Args:
        x: Input tensor.
        axis: Axis or axes to remove; all of size 1 by default.

    Returns:
        Tensor with fewer axes.

    Raises:
        ArgumentError: where a named axis has another size.

    Example:

    >>> squeeze([[[1, 2]]]).shape, squeeze([[[1, 2]]], 0).shape
    ((2,), (1, 2))
    """
    x = as_tensor(x)
    shape = x.spec.shape
    if axis is None:
        axes = tuple(i for i, d in enumerate(shape) if isinstance(d, int) and d == 1)
    else:
        axes = normalize_axes("squeeze", axis, x.ndim)
    for a in axes:
        if isinstance(shape[a], Dim) or shape[a] != 1:
            raise ArgumentError(
                f"Cannot squeeze axis={a}, because the dimension is not 1.",
                got=f"{x.spec}, axis={axis!r}",
                expected="an axis of size 1",
                mend="use ops.reshape, or index the axis",
            )
    return prim.reshape(x, shape=tuple(d for i, d in enumerate(shape) if i not in axes))


def transpose(x, axes=None):
    """Returns a tensor with its axes in another order.

    Args:
        x: Input tensor.
        axes: The new order of the axes; reversed by default.

    Returns:
        The transposed tensor.

    Example:

    >>> transpose([[1, 2], [3, 4]]).tolist()
    [[1, 3], [2, 4]]
    """
    x = as_tensor(x)
    perm = range(x.ndim)[::-1] if not axes else [normalize_axis("transpose", a, x.ndim) for a in axes]
    return prim.transpose(x, perm=tuple(perm))


def swapaxes(x, axis1, axis2):
    """Interchanges two axes of a tensor.

    Args:
        x: Input tensor.
        axis1: First axis.
        axis2: Second axis.

    Returns:
        A tensor with the axes swapped.

    Example:

    >>> swapaxes([[1, 2]], 0, 1).tolist()
    [[1], [2]]
    """
    x = as_tensor(x)
    a, b = (normalize_axis("swapaxes", v, x.ndim) for v in (axis1, axis2))
    perm = list(range(x.ndim))
    perm[a], perm[b] = b, a
    return x if a == b else prim.transpose(x, perm=tuple(perm))


def moveaxis(x, source, destination):
    """Moves axes of a tensor to new positions; other axes keep their order.

    Args:
        x: Input tensor.
        source: Axis or axes to move.
        destination: New position of each.

    Returns:
        Tensor with moved axes.

    Example:

    >>> moveaxis([[[1], [2]]], 0, -1).shape
    (2, 1, 1)
    """
    x = as_tensor(x)
    sources, targets = (
        [normalize_axis("moveaxis", a, x.ndim) for a in (v if isinstance(v, (tuple, list)) else (v,))]
        for v in (source, destination)
    )
    if len(sources) != len(targets):
        raise ArgumentError(
            "Inconsistent number of `source` and `destination`.",
            got=f"source={source}, destination={destination}",
            expected="as many of one as of the other",
        )
    perm = [i for i in range(x.ndim) if i not in sources]
    for target, a in sorted(zip(targets, sources)):
        perm.insert(target, a)
    return x if perm == list(range(x.ndim)) else prim.transpose(x, perm=tuple(perm))


def broadcast_to(x, shape):
    """Broadcasts a tensor to a new shape.

    Args:
        x: Input tensor.
        shape: The shape of the result.

    Returns:
        A tensor with the desired shape.

    Example:

    >>> broadcast_to([1, 2], (2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    x, shape = as_tensor(x), resolve_shape(shape)
    return x if x.spec.shape == shape else prim.broadcast_to(x, shape=shape)


def cut(x, axis, start, stop, stride=1):
    """The part `start:stop:stride` of one axis, in the normal form of the op `slice`."""
    shape = x.spec.shape
    return prim.slice(
        x,
        starts=tuple(start if i == axis else 0 for i in range(x.ndim)),
        stops=tuple(stop if i == axis else d for i, d in enumerate(shape)),
        strides=tuple(stride if i == axis else 1 for i in range(x.ndim)),
    )


def flip(x, axis=None):
    """Reverses the order of elements along the given axes.

    Args:
        x: Input tensor.
        axis: Axis or axes along which to flip; all by default.

    Returns:
        Tensor of the same shape.

    Example:

    >>> flip([[1, 2], [3, 4]], axis=1).tolist()
    [[2, 1], [4, 3]]
    """
    x = as_tensor(x)
    for a in normalize_axes("flip", axis, x.ndim):
        size = x.spec.shape[a]
        if isinstance(size, Dim) or size > 1:
            x = cut(x, a, size - 1, -1, -1)
    return x


def fliplr(x):
    """Reverses the columns of a tensor.

    Example:

    >>> fliplr([[1, 2], [3, 4]]).tolist()
    [[2, 1], [4, 3]]
    """
    return flip(x, 1)


def flipud(x):
    """Reverses the rows of a tensor.

    Example:

    >>> flipud([[1, 2], [3, 4]]).tolist()
    [[3, 4], [1, 2]]
    """
    return flip(x, 0)


def rot90(array, k=1, axes=(0, 1)):
    """Rotates a tensor by 90 degrees in the plane of two axes.

    Args:
        array: Input tensor of rank 2 or more.
        k: Number of rotations. Defaults to 1.
        axes: The plane; the rotation goes from the first towards the second axis.

    Returns:
        The rotated tensor.

    Example:

    >>> rot90([[1, 2], [3, 4]]).tolist()
    [[2, 4], [1, 3]]
    """
    x = as_tensor(array)
    if x.ndim < 2 or len(axes) != 2:
        raise ArgumentError("rot90 needs two axes.", got=f"{x.spec}, axes={axes}", expected="rank 2 or more and two axes")
    a, b = (normalize_axis("rot90", v, x.ndim) for v in axes)
    if a == b:
        raise ArgumentError("rot90 needs two different axes.", got=f"axes={axes}", expected="two different axes")
    k %= 4
    if k == 2:
        return flip(x, (a, b))
    if k == 1:
        return swapaxes(flip(x, b), a, b)
    return flip(swapaxes(x, a, b), b) if k == 3 else x


def roll(x, shift, axis=None):
    """Rolls elements along an axis; those that fall off one end come in at the other.

    Args:
        x: Input tensor.
        shift: Number of places, or one number per axis.
        axis: Axis or axes; the flattened tensor is rolled by default.

    Returns:
        Tensor of the same shape.

    Example:

    >>> roll([1, 2, 3], 1).tolist()
    [3, 1, 2]
    """
    x = as_tensor(x)
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), x.spec.shape)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    shifts = shift if isinstance(shift, (tuple, list)) else (shift,) * len(axes)
    for a, places in zip(axes, shifts, strict=True):
        a = normalize_axis("roll", a, x.ndim)
        size = x.spec.shape[a]
        places = operator.index(places)
        if not isinstance(size, Dim):
            places = places % size if size else 0
        if places:
            at = size - places if places > 0 else -places
            x = prim.concatenate(cut(x, a, at, size), cut(x, a, 0, at), axis=a)
    return x
