"""Correlation of sequences and of variables, as in `keras.ops.numpy`."""

import math

from graphkeras.ir.dims import Dim
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.nn_conv import conv
from graphkeras.ops.numpy_binary import clip
from graphkeras.ops.numpy_join import pad
from graphkeras.ops.numpy_linear import matmul, outer
from graphkeras.ops.numpy_reduce import mean, sum
from graphkeras.ops.numpy_shape import cut, flip, reshape, transpose
from graphkeras.ops.promotion import result_type
from graphkeras.trace import Tensor, as_tensor, convert_to_tensor, prim
from graphkeras.trace.settings import floatx


def _float(x, *dtypes):
    """As a float tensor: int64 becomes float64, other integers floatx."""
    dtype = result_type(*dtypes)
    dtype = "float64" if dtype == "int64" else dtype if dtype in ("bfloat16", "float16", "float64") else "float32"
    return convert_to_tensor(x, dtype)


def correlate(x1, x2, mode="valid"):
    """Cross-correlation of two sequences: sums of products at every shift.

    Args:
        x1: Tensor of rank 1, length M.
        x2: Tensor of rank 1, length N.
        mode: "valid" (where the shorter one lies inside the other, the default), "same" (length max(M, N)), or "full"
            (length M + N - 1).

    Returns:
        Float tensor of rank 1.

    Example:

    >>> correlate([1, 2, 3], [0.0, 1.0, 0.5], mode="same").tolist()
    [2.0, 3.5, 3.0]
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if mode not in ("valid", "same", "full"):
        raise ArgumentError(
            f"Invalid mode: '{mode}'. Mode must be one of: 'full', 'same', 'valid'.",
            got=repr(mode),
            expected="'full', 'same' or 'valid'",
        )
    if x1.ndim != 1 or x2.ndim != 1:
        raise ArgumentError("correlate: needs sequences.", got=f"{x1.spec}, {x2.spec}", expected="two tensors of rank 1")
    x1, x2 = (_float(x, x1.dtype, x2.dtype) for x in (x1, x2))
    m, n = x1.spec.shape[0], x2.spec.shape[0]
    if not isinstance(m, Dim) and not isinstance(n, Dim) and m < n:
        return flip(_correlated(x2, x1, n, m, mode))
    return _correlated(x1, x2, m, n, mode)


def _correlated(x1, x2, m, n, mode):
    if mode != "valid":
        x1 = pad(x1, ((n - 1, n - 1),))
    full = conv(reshape(x1, (1, -1, 1)), reshape(x2, (-1, 1, 1)), padding="valid", data_format="channels_last")
    full = reshape(full, (-1,))
    return cut(full, 0, (n - 1) // 2, (n - 1) // 2 + m) if mode == "same" else full


def corrcoef(x):
    """Pearson's correlation coefficients of the rows.

    Args:
        x: Tensor (variables, observations); integers become floats.

    Returns:
        Tensor (variables, variables) with values in [-1, 1]; 1 for one variable, NaN for a scalar.

    Example:

    >>> corrcoef([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    x = as_tensor(x)
    if not x.ndim:
        return Tensor(math.nan, dtype=floatx())
    x = convert_to_tensor(x, result_type("float64" if x.dtype == "int64" else x.dtype, float))
    centred = x - mean(x, axis=-1, keepdims=True)
    rows = centred if x.ndim > 1 else reshape(centred, (1, -1))
    products = matmul(rows, transpose(rows))
    spread = prim.sqrt(sum(rows * rows, axis=-1))
    found = clip(products / outer(spread, spread), scalar_like(-1, x), scalar_like(1, x))
    return found if x.ndim > 1 else reshape(found, ())
