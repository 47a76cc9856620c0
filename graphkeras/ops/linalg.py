"""Linear algebra, as in `keras.ops.linalg`: decompositions, solvers, and what follows from them."""

import numpy as np

from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ops import linalg_records  # noqa: F401 - registers the ops
from graphkeras.ops.calls import publish
from graphkeras.ops.derivatives import jvp
from graphkeras.ops.inference import normalize_axis, scalar_like
from graphkeras.ops.math import norm as _norm_by_elements
from graphkeras.ops.matrices import matmul, scaled_columns, scaled_rows, transposed, unit_like
from graphkeras.ops.numpy_diagonal import diagonal
from graphkeras.ops.numpy_reduce import max as reduce_max
from graphkeras.ops.numpy_reduce import min as reduce_min
from graphkeras.ops.numpy_reduce import sum as reduce_sum
from graphkeras.ops.numpy_shape import expand_dims, moveaxis, squeeze
from graphkeras.ops.promotion import as_float, promote
from graphkeras.trace import prim

_EPSILON = {"float32": float(np.finfo(np.float32).eps), "float64": float(np.finfo(np.float64).eps)}


def _matrices(name, x):
    x = as_float(x)
    if x.ndim < 2:
        raise ShapeError(
            f"{name}: needs matrices, not rank {x.ndim}.", got=str(x.spec), expected="rank 2 or more: (..., M, N)",
            mend="add axes with ops.expand_dims",
        )  # fmt: skip
    return x


def cholesky(x, upper=False):
    """Computes the Cholesky decomposition of positive definite matrices.

    Args:
        x: Symmetric tensor (..., M, M); where it is not, its symmetric part counts.
        upper: If `True`, the upper triangular factor U with `x = U^T U`; else the lower one, L, with `x = L L^T`.

    Returns:
        Tensor (..., M, M).

    Raises:
        DataError: where a matrix is not positive definite.

    Example:

    >>> cholesky([[4.0, 2.0], [2.0, 5.0]]).tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    factor = prim.cholesky(as_float(x))
    return transposed(factor) if upper else factor


def cholesky_inverse(x, upper=False):
    """Computes the inverse of matrices from their Cholesky factors.

    Args:
        x: Cholesky factors (..., M, M).
        upper: Whether they are upper triangular.

    Returns:
        Tensor (..., M, M): the inverse of the matrices of which `x` are the factors.

    Example:

    >>> cholesky_inverse([[2.0, 0.0], [0.0, 4.0]]).tolist()
    [[0.25, 0.0], [0.0, 0.0625]]
    """
    x = _matrices("cholesky_inverse", x)
    unit = prim.broadcast_to(unit_like(x), shape=x.spec.shape)
    inverse = prim.solve_triangular(x, unit, lower=not upper, transpose=False)
    return matmul(inverse, inverse, transpose_a=not upper, transpose_b=bool(upper))


def det(x):
    """Computes the determinant of square matrices.

    Args:
        x: Input tensor (..., M, M).

    Returns:
        Tensor (...). Its gradient exists for regular matrices.

    Example:

    >>> round(det([[2.0, 0.0], [0.0, 4.0]]).item(), 3)
    8.0
    """
    return prim.det(as_float(x))


def slogdet(x):
    """Computes sign and logarithm of the absolute value of the determinant of square matrices.

    Args:
        x: Input tensor (..., M, M).

    Returns:
        Tuple of two tensors (...); 0 and -inf for singular matrices.

    Example:

    >>> [part.item() for part in slogdet([[-1.0, 0.0], [0.0, 1.0]])]
    [-1.0, 0.0]
    """
    return prim.slogdet(as_float(x))


def logdet(x):
    """Computes the logarithm of the determinant of positive definite matrices.

    Args:
        x: Input tensor (..., M, M).

    Returns:
        Tensor (...).

    Raises:
        DataError: where a matrix is not positive definite.

    Example:

    >>> logdet([[1.0, 0.0], [0.0, 1.0]]).item()
    0.0
    """
    return 2.0 * reduce_sum(prim.log(diagonal(cholesky(x), 0, -2, -1)), axis=-1)


def eig(x):
    """Computes eigenvalues and right eigenvectors of square matrices.

    Args:
        x: Input tensor (..., M, M).

    Returns:
        Tuple of two complex tensors: eigenvalues (..., M) and eigenvectors (..., M, M), one per column.

    Example:

    >>> eig([[0.0, 1.0], [-1.0, 0.0]])[0].tolist()
    [1j, -1j]
    """
    return prim.eig(as_float(x))


def eigh(x):
    """Computes eigenvalues and eigenvectors of symmetric matrices.

    Args:
        x: Input tensor (..., M, M), of which the lower triangle is read.

    Returns:
        Tuple of two tensors: eigenvalues (..., M) in ascending order, eigenvectors (..., M, M), one per column.

    Example:

    >>> eigh([[3.0, 0.0], [0.0, 1.0]])[0].tolist()
    [1.0, 3.0]
    """
    return prim.eigh(as_float(x))


def inv(x):
    """Computes the inverse of square matrices.

    Args:
        x: Input tensor (..., M, M).

    Returns:
        Tensor (..., M, M).

    Raises:
        DataError: for a singular matrix.

    Example:

    >>> inv([[2.0, 0.0], [0.0, 4.0]]).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    return prim.inv(as_float(x))


def lu_factor(x):
    """Computes the LU decomposition of matrices, with partial pivoting.

    Args:
        x: Input tensor (..., M, N).

    Returns:
        Tuple of two tensors: L (below the diagonal, which is 1) and U in one tensor (..., M, N); and int32 `pivots` (..., M), such
        that row `i` of `x` is row `pivots[i]` of `L U`, as Keras on TensorFlow gives them.

    Example:

    >>> [part.tolist() for part in lu_factor([[1.0, 2.0], [2.0, 2.0]])]
    [[[2.0, 2.0], [0.5, 1.0]], [1, 0]]
    """
    return prim.lu_factor(as_float(x))


def norm(x, ord=None, axis=None, keepdims=False):
    """Vector norms, and matrix norms.

    Args:
        x: Input tensor; integers become floatx.
        ord: Order. For one axis any number or infinity; for two axes "fro", "nuc" (sum of the singular values), 2 and -2 (the
            largest and the smallest of them), 1 and -1 (the largest and smallest sum of a column), inf and -inf (of a row). The
            Euclidean (Frobenius) norm by default.
        axis: One axis for vector norms, two for matrix norms; all by default.
        keepdims: If `True`, the axes are left in the result with size one.

    Returns:
        Norms.

    Example:

    >>> norm([3.0, 4.0]).item(), norm([[2.0, 0.0], [0.0, 1.0]], ord="nuc").item()
    (5.0, 3.0)
    """
    x = as_float(x)
    given = tuple(range(x.ndim)) if axis is None else tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    if len(given) != 2 or ord not in ("nuc", 2, -2):
        return _norm_by_elements(x, ord, axis, keepdims)
    axes = tuple(normalize_axis("norm", a, x.ndim) for a in given)
    values = prim.singular_values(moveaxis(x, axes, (-2, -1)))
    reduce = {"nuc": reduce_sum, 2: reduce_max, -2: reduce_min}[ord]
    result = reduce(values, axis=-1)
    for a in sorted(axes) if keepdims else ():
        result = expand_dims(result, a)
    return result


def qr(x, mode="reduced"):
    """Computes the QR decomposition of matrices.

    Args:
        x: Input tensor (..., M, N).
        mode: "reduced" gives `Q` (..., M, K) and `R` (..., K, N) with K the smaller of M and N; "complete" gives (..., M, M) and
            (..., M, N).

    Returns:
        Tuple (Q, R).

    Example:

    >>> [part.shape for part in qr([[1.0], [2.0]], mode="complete")]
    [(2, 2), (2, 1)]
    """
    if mode not in ("reduced", "complete"):
        raise ArgumentError(
            "`mode` argument value not supported.", got=f"mode={mode!r}", expected="one of 'reduced', 'complete'"
        )  # fmt: skip
    return prim.qr(as_float(x), complete=mode == "complete")


def _systems(name, a, b):
    """(a, b with matrices of right-hand sides, whether b was one right-hand side per matrix)."""
    a, b = promote(as_float(a), as_float(b))
    if a.ndim < 2 or b.ndim not in (a.ndim, a.ndim - 1):
        raise ShapeError(
            f"{name}: ranks {a.ndim} and {b.ndim} do not fit.",
            got=f"a {a.spec}, b {b.spec}",
            expected="a (..., M, M), b (..., M) or (..., M, K)",
        )
    return (a, expand_dims(b, -1), True) if b.ndim == a.ndim - 1 else (a, b, False)


def solve(a, b):
    """Solves linear systems `a x = b`.

    Args:
        a: Tensor (..., M, M) of coefficients.
        b: Tensor (..., M) or (..., M, K) of right-hand sides.

    Returns:
        Tensor `x` of the shape of `b`.

    Raises:
        DataError: for a singular matrix.

    Example:

    >>> solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0]).tolist()
    [1.0, 0.5]
    """
    a, b, single = _systems("solve", a, b)
    x = prim.solve(a, b)
    return squeeze(x, -1) if single else x


def solve_triangular(a, b, lower=False):
    """Solves linear systems `a x = b` with triangular coefficients.

    Args:
        a: Tensor (..., M, M); the other triangle is not read.
        b: Tensor (..., M) or (..., M, K).
        lower: Whether the lower triangle is read, or the upper one.

    Returns:
        Tensor `x` of the shape of `b`; infinite or NaN where the diagonal has zeros.

    Example:

    >>> solve_triangular([[2.0, 0.0], [2.0, 4.0]], [2.0, 6.0], lower=True).tolist()
    [1.0, 1.0]
    """
    a, b, single = _systems("solve_triangular", a, b)
    x = prim.solve_triangular(a, b, lower=bool(lower), transpose=False)
    return squeeze(x, -1) if single else x


def svd(x, full_matrices=True, compute_uv=True):
    """Computes the singular value decomposition of matrices.

    Args:
        x: Input tensor (..., M, N).
        full_matrices: Whether `u` and `vh` are square, or have K columns and rows, K the smaller of M and N.
        compute_uv: If `False`, the singular values alone.

    Returns:
        Tuple `(u, s, vh)` with `x = u diag(s) vh`, `s` (..., K) in descending order; or `s`.

    Example:

    >>> svd([[2.0, 0.0], [0.0, 3.0]], compute_uv=False).tolist()
    [3.0, 2.0]
    """
    x = as_float(x)
    return prim.svd(x, full_matrices=bool(full_matrices)) if compute_uv else prim.singular_values(x)


def _inverses(s, large):
    """1 / s where `large`, 0 elsewhere."""
    one = scalar_like(1, s)
    return prim.select(large, one / prim.select(large, s, one), scalar_like(0, s))


def lstsq(a, b, rcond=None):
    """Solves linear systems by least squares: the shortest `x` that makes `a x - b` as short as possible.

    Args:
        a: Matrix (M, N).
        b: Tensor (M,) or (M, K).
        rcond: Singular values below `rcond` times the largest count as zero. The precision of the dtype times the larger of M and N
            by default.

    Returns:
        Tensor (N,) or (N, K).

    Example:

    >>> [round(v, 4) for v in lstsq([[1.0], [1.0]], [1.0, 3.0]).tolist()]
    [2.0]
    """
    a, b = promote(as_float(a), as_float(b))
    if a.ndim != 2 or b.ndim not in (1, 2):
        error = DTypeError if a.ndim != 2 else ShapeError
        raise error(
            "lstsq: needs a matrix, and one or two axes of right-hand sides.",
            got=f"a {a.spec}, b {b.spec}",
            expected="(M, N) and (M,) or (M, K)",
        )
    single = b.ndim == 1
    b = expand_dims(b, -1) if single else b
    u, s, vh = prim.svd(a, full_matrices=False)
    if rcond is None:
        rcond = _EPSILON[a.dtype] * max(a.spec.shape)
    least = reduce_max(s, axis=-1, keepdims=True) * (_EPSILON[a.dtype] if rcond < 0 else rcond)
    inverse = _inverses(s, prim.greater_equal(s, least))
    x = matmul(vh, scaled_rows(matmul(u, b, transpose_a=True), inverse), transpose_a=True)
    return squeeze(x, -1) if single else x


def pinv(x, rcond=None):
    """Computes the Moore-Penrose pseudo-inverse of matrices.

    Args:
        x: Input tensor (..., M, N).
        rcond: Singular values up to `rcond` times the largest count as zero. Ten times the precision of the dtype times the larger
            of M and N by default.

    Returns:
        Tensor (..., N, M).

    Example:

    >>> pinv([[2.0, 0.0], [0.0, 4.0]]).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    x = _matrices("pinv", x)
    u, s, vh = prim.svd(x, full_matrices=False)
    if rcond is None:
        rcond = 10.0 * max(x.spec.shape[-2:]) * _EPSILON[x.dtype]
    inverse = _inverses(s, prim.greater(s, reduce_max(s, axis=-1, keepdims=True) * rcond))
    return matmul(scaled_columns(transposed(vh), inverse), u, transpose_b=True)


def matrix_rank(x, tol=None):
    """Computes the rank of matrices: how many singular values are not zero.

    Args:
        x: Input tensor (..., M, N).
        tol: Singular values up to this count as zero. The largest one times the precision of the dtype times the larger of M and N
            by default.

    Returns:
        int32 tensor (...).

    Example:

    >>> matrix_rank([[1.0, 2.0], [2.0, 4.0]]).item()
    1
    """
    x = _matrices("matrix_rank", x)
    s = prim.singular_values(x)
    if tol is None:
        tol = reduce_max(s, axis=-1, keepdims=True) * (_EPSILON[x.dtype] * max(x.spec.shape[-2:]))
    else:
        tol = expand_dims(promote(tol, s)[0], -1)
    return reduce_sum(prim.cast(prim.greater(s, tol), dtype="int32"), axis=-1)


__all__ = [
    "cholesky", "cholesky_inverse", "det", "eig", "eigh", "inv", "jvp", "logdet", "lstsq", "lu_factor", "matrix_rank", "norm",
    "pinv", "qr", "slogdet", "solve", "solve_triangular", "svd",
]  # fmt: skip

publish(globals())
