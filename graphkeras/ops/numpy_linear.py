"""Products of vectors, matrices and tensors, as in `keras.ops.numpy`."""

from graphkeras.ir.dims import size as _size_of
from graphkeras.ir.dtypes import is_float
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.inference import join_dim, normalize_axis, scalar_like
from graphkeras.ops.numpy_shape import expand_dims, moveaxis, reshape
from graphkeras.ops.promotion import promote, result_type
from graphkeras.trace import as_tensor, convert_to_tensor, prim


def matmul(x1, x2):
    """Matrix product of two tensors.

    A vector on the left counts as a row and one on the right as a column; the axis added for it is dropped again. Leading axes
    are broadcast.

    Args:
        x1: First tensor, of rank 1 or more.
        x2: Second tensor, of rank 1 or more.

    Returns:
        The product; two int8 tensors give int32.

    Raises:
        ShapeError: where the inner sizes differ.

    Example:

    >>> matmul([[1.0, 2.0]], [[3.0], [4.0]]).tolist()
    [[11.0]]
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if x1.dtype == x2.dtype and is_float(x1.dtype) and x1.ndim > 1 and x2.ndim > 1:
        return prim.matmul(x1, x2, transpose_a=False, transpose_b=False)
    dtype = "int32" if x1.dtype == x2.dtype == "int8" else result_type(x1.dtype, x2.dtype)
    result = dtype
    dtype = "int32" if dtype == "bool" else dtype
    a, b = convert_to_tensor(x1, dtype), convert_to_tensor(x2, dtype)
    if not a.ndim or not b.ndim:
        raise ShapeError(
            "matmul: a scalar is not a matrix.",
            got=f"x1 {a.spec}, x2 {b.spec}",
            expected="rank 1 or more",
            mend="use ops.multiply",
        )
    row, column = a.ndim == 1, b.ndim == 1
    y = prim.matmul(expand_dims(a, 0) if row else a, expand_dims(b, 1) if column else b, transpose_a=False, transpose_b=False)
    if row or column:
        shape = y.spec.shape
        y = prim.reshape(y, shape=(*shape[:-2], *(() if row else shape[-2:-1]), *(() if column else shape[-1:])))
    return convert_to_tensor(y, result)


def dot(x1, x2):
    """Dot product of two tensors: over the last axis of `x1` and the second-to-last (or only) axis of `x2`.

    Args:
        x1: First tensor.
        x2: Second tensor.

    Returns:
        The dot product; for a scalar argument the element-wise product.

    Example:

    >>> dot([1.0, 2.0], [3.0, 4.0]).item()
    11.0
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if not x1.ndim or not x2.ndim:
        return prim.multiply(*promote(x1, x2))
    return tensordot(x1, x2, axes=((x1.ndim - 1,), (max(x2.ndim - 2, 0),)))


def tensordot(x1, x2, axes=2):
    """Computes the tensor dot product along the given axes.

    Args:
        x1: First tensor.
        x2: Second tensor.
        axes: Number of axes (the last of `x1` with the first of `x2`), or a pair of axes or of sequences of axes.

    Returns:
        The product; the free axes of `x1` come first.

    Example:

    >>> tensordot([[1, 2], [3, 4]], [[1, 0], [0, 1]]).item()
    5
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if isinstance(axes, int):
        left, right = range(x1.ndim - axes, x1.ndim), range(axes)
    else:
        left, right = ((a,) if isinstance(a, int) else tuple(a) for a in axes)
    left = [normalize_axis("tensordot", a, x1.ndim) for a in left]
    right = [normalize_axis("tensordot", a, x2.ndim) for a in right]
    if len(left) != len(right) or any(join_dim(x1.spec.shape[a], x2.spec.shape[b]) is None for a, b in zip(left, right)):
        raise ShapeError(
            "tensordot: the axes do not match.",
            got=f"x1 {x1.spec} over {left}, x2 {x2.spec} over {right}",
            expected="pairs of axes of equal sizes",
        )
    free1 = [i for i in range(x1.ndim) if i not in left]
    free2 = [i for i in range(x2.ndim) if i not in right]
    shape1, shape2 = x1.spec.shape, x2.spec.shape
    inner = _size_of(shape1[a] for a in left)
    outer1, outer2 = (tuple(s[a] for a in free) for s, free in ((shape1, free1), (shape2, free2)))
    a = reshape(_permuted(x1, (*free1, *left)), (_size_of(outer1), inner))
    b = reshape(_permuted(x2, (*right, *free2)), (inner, _size_of(outer2)))
    return reshape(matmul(a, b), (*outer1, *outer2))


def _permuted(x, perm):
    return x if list(perm) == list(range(x.ndim)) else prim.transpose(x, perm=tuple(perm))


def inner(x1, x2):
    """Inner product of two tensors: over the last axis of both.

    Args:
        x1: First tensor.
        x2: Second tensor.

    Returns:
        The inner product; for a scalar argument the element-wise product.

    Example:

    >>> inner([1, 2], [3, 4]).item()
    11
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if not x1.ndim or not x2.ndim:
        return prim.multiply(*promote(x1, x2))
    if join_dim(x1.spec.shape[-1], x2.spec.shape[-1]) is None:
        raise ShapeError(
            "inner: the last dimension of both inputs must be the same.",
            got=f"x1 {x1.spec}, x2 {x2.spec}",
            expected="x1.shape[-1] == x2.shape[-1]",
            mend="transpose one of them, or name the axes with ops.tensordot",
        )
    return tensordot(x1, x2, axes=((x1.ndim - 1,), (x2.ndim - 1,)))


def vdot(x1, x2):
    """Dot product of two flattened tensors.

    Args:
        x1: First tensor.
        x2: Second tensor.

    Returns:
        A scalar.

    Example:

    >>> vdot([[1, 2]], [[3], [4]]).item()
    11
    """
    return dot(reshape(x1, (-1,)), reshape(x2, (-1,)))


def outer(x1, x2):
    """Outer product of two flattened tensors.

    Args:
        x1: First tensor.
        x2: Second tensor.

    Returns:
        A matrix.

    Example:

    >>> outer([1, 2], [3, 4]).tolist()
    [[3, 4], [6, 8]]
    """
    return reshape(x1, (-1, 1)) * reshape(x2, (1, -1))


def kron(x1, x2):
    """Kronecker product of two tensors.

    Args:
        x1: First tensor.
        x2: Second tensor.

    Returns:
        Tensor whose axes have the product of the sizes.

    Example:

    >>> kron([1, 2], [1, 10]).tolist()
    [1, 10, 2, 20]
    """
    x1, x2 = promote(as_tensor(x1), as_tensor(x2))
    rank = max(x1.ndim, x2.ndim)
    left, right = ((1,) * (rank - x.ndim) + x.spec.shape for x in (x1, x2))
    a = reshape(x1, tuple(d for n in left for d in (n, 1)))
    b = reshape(x2, tuple(d for n in right for d in (1, n)))
    return reshape(a * b, tuple(n * m for n, m in zip(left, right)))


def cross(x1, x2, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Cross product of vectors of size 2 or 3.

    Args:
        x1: First tensor.
        x2: Second tensor.
        axisa: Axis of `x1` that holds the vectors.
        axisb: Axis of `x2` that holds the vectors.
        axisc: Axis of the result that holds the vectors.
        axis: All three of them.

    Returns:
        The cross products; for two vectors of size 2 only the third component.

    Example:

    >>> cross([1, 0, 0], [0, 1, 0]).tolist()
    [0, 0, 1]
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = promote(as_tensor(x1), as_tensor(x2))
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    sizes = (a.spec.shape[-1], b.spec.shape[-1])
    if any(n not in (2, 3) for n in sizes):
        raise ArgumentError("cross: vectors must have size 2 or 3.", got=f"sizes {sizes}", expected="2 or 3")

    def component(x, i):
        return x[..., i] if i < x.spec.shape[-1] else scalar_like(0, x)

    (a1, a2, a3), (b1, b2, b3) = ([component(x, i) for i in range(3)] for x in (a, b))
    third = a1 * b2 - a2 * b1
    if sizes == (2, 2):
        return third
    parts = [a2 * b3 - a3 * b2, a3 * b1 - a1 * b3, third]
    return moveaxis(prim.concatenate(*(expand_dims(p, -1) for p in parts), axis=third.ndim), -1, axisc)
