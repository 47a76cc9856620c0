"""Parts and products of stacks of matrices, from which the gradients of decompositions are made."""

from graphkeras.ops.inference import scalar_like
from graphkeras.ops.numpy_diagonal import tril, triu
from graphkeras.ops.numpy_index import take_along_axis
from graphkeras.ops.sources import iota
from graphkeras.trace import prim


def matmul(a, b, transpose_a=False, transpose_b=False):
    """a @ b, each side transposed first where that is asked for."""
    return prim.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


def transposed(x):
    """The last two axes exchanged."""
    rank = x.ndim
    return prim.transpose(x, perm=(*range(rank - 2), rank - 1, rank - 2))


def symmetric(x):
    """The symmetric part, (x + x^T) / 2."""
    return (x + transposed(x)) * scalar_like(0.5, x)


def unit_like(x):
    """The unit matrix with the sizes and dtype of the matrices of `x`, as (M, N)."""
    m, n = x.spec.shape[-2:]
    same = prim.equal(iota((m, 1), 0, "int32", like=x), iota((1, n), 1, "int32", like=x))
    return prim.cast(same, dtype=x.dtype)


def half_diagonal(x):
    """The lower triangle with half the diagonal."""
    return tril(x) - unit_like(x) * x * scalar_like(0.5, x)


def double_lower(x):
    """tril(x + x^T) with the diagonal counted once: the gradient of a function that reads the lower triangle of a symmetric x."""
    return tril(x) + tril(transposed(x), -1)


def scaled_columns(x, factors):
    """x diag(factors), for factors (..., N)."""
    return x * prim.reshape(factors, shape=(*factors.spec.shape[:-1], 1, factors.spec.shape[-1]))


def scaled_rows(x, factors):
    """diag(factors) x, for factors (..., M)."""
    return x * prim.reshape(factors, shape=(*factors.spec.shape, 1))


def with_diagonal(values):
    """Square matrices with these diagonals, zero elsewhere."""
    n = values.spec.shape[-1]
    wide = prim.broadcast_to(prim.reshape(values, shape=(*values.spec.shape, 1)), shape=(*values.spec.shape[:-1], n, n))
    return wide * unit_like(wide)


def inverse_gaps(values):
    """F[i, j] = 1 / (values[j] - values[i]) off the diagonal, 0 on it."""
    n = values.spec.shape[-1]
    lead = values.spec.shape[:-1]
    gaps = prim.reshape(values, shape=(*lead, 1, n)) - prim.reshape(values, shape=(*lead, n, 1))
    unit = unit_like(gaps)
    return (scalar_like(1, unit) - unit) / (gaps + unit)


def product(*factors):
    """The matrix product of all factors, from the left."""
    result = factors[0]
    for factor in factors[1:]:
        result = matmul(result, factor)
    return result


def rows_taken(x, places):
    """The rows of each matrix in the order `places`, integers (..., M)."""
    return take_along_axis(x, prim.reshape(places, shape=(*places.spec.shape, 1)), axis=-2)


__all__ = [
    "double_lower", "half_diagonal", "inverse_gaps", "matmul", "product", "rows_taken", "scaled_columns", "scaled_rows",
    "symmetric", "transposed", "tril", "triu", "unit_like", "with_diagonal",
]  # fmt: skip
