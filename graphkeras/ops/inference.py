"""Shared rules of shape and dtype inference, aware of sizes that are known only when the program runs.

Two different symbolic sizes are taken to be equal (the left one stands in the result), and a size known now wins over a symbolic
one unless it is 1; what was assumed is checked when the sizes are bound to real arrays.
"""

from collections.abc import Sequence

import numpy as np

from graphkeras.ir.dims import Dim, dim_max, size
from graphkeras.ir.dtypes import COMPLEX, FLOATS, INTEGERS, numpy_dtype
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ir.spec import TensorSpec

ANY = "any"
NUMERIC = FLOATS + INTEGERS + COMPLEX
REAL = FLOATS + INTEGERS
INTEGER_OR_BOOL = (*INTEGERS, "bool")


def show(specs: Sequence[TensorSpec]) -> str:
    """The specs as they appear behind `got:` in an error."""
    return ", ".join(map(str, specs))


def require_dtype(op: str, specs: Sequence[TensorSpec], allowed, what: str) -> None:
    """Raises DTypeError unless the dtype of every spec is allowed; `what` names the allowed ones."""
    if allowed is ANY:
        return
    for spec in specs:
        if spec.dtype not in allowed:
            raise DTypeError(
                f"{op}: needs {what} elements, not {spec.dtype}.",
                got=show(specs),
                expected=what + " dtypes: " + ", ".join(allowed),
                mend=f"convert with ops.cast(x, '{'float32' if allowed[0] in FLOATS else allowed[-1]}') first",
            )


def require_equal_dtypes(op: str, specs: Sequence[TensorSpec]) -> None:
    """Raises DTypeError unless all specs have one dtype."""
    if any(s.dtype != specs[0].dtype for s in specs[1:]):
        raise DTypeError(
            f"{op}: inputs have different dtypes ({', '.join(s.dtype for s in specs)}).",
            got=show(specs),
            expected="equal dtypes",
            mend="cast the inputs to one dtype first; the functions of graphkeras.ops do so by themselves",
        )


def join_dim(left, right):
    """The size of two axes that must agree: None where they cannot."""
    if isinstance(left, Dim):
        return left if isinstance(right, Dim) else right
    if isinstance(right, Dim) or left == right:
        return left
    return None


def broadcast_dim(left, right):
    """The size of two axes after broadcasting: None where they cannot be broadcast."""
    if isinstance(left, int) and left == 1:
        return right
    if isinstance(right, int) and right == 1:
        return left
    return join_dim(left, right)


def broadcast_shapes(op: str, shapes: Sequence[tuple], specs: Sequence[TensorSpec] = ()) -> tuple:
    """The shape to which all shapes broadcast, by NumPy's rules. Raises ShapeError, which shows `specs`, where there is none."""
    if all(shape == shapes[0] for shape in shapes[1:]):
        return tuple(shapes[0])
    result: list = []
    for shape in shapes:
        padded = [1] * (len(result) - len(shape)) + list(shape)
        result = [1] * (len(padded) - len(result)) + result
        for axis, (left, right) in enumerate(zip(result, padded)):
            dim = broadcast_dim(left, right)
            if dim is None:
                raise ShapeError(
                    f"{op}: shapes {', '.join(map(str, shapes))} cannot be broadcast together ({left} and {right} differ).",
                    got=show(specs) or ", ".join(map(str, shapes)),
                    expected="sizes that are equal or 1, counted from the last axis",
                    mend="reshape or transpose one input so that its axes line up, e.g. with ops.expand_dims",
                )
            result[axis] = dim
    return tuple(result)


def elementwise_spec(op: str, specs: Sequence[TensorSpec], dtype: str | None = None) -> TensorSpec:
    """The spec of an elementwise op: broadcast shape, dtype of the first input unless given."""
    if len(specs) == 1:
        return specs[0] if dtype is None else specs[0].with_dtype(dtype)
    return TensorSpec(broadcast_shapes(op, [s.shape for s in specs], specs), dtype or specs[0].dtype)


def require_axis(op: str, axis, rank: int) -> None:
    """Raises ArgumentError unless axis is an int in [0, rank), as attributes of nodes must be."""
    if not isinstance(axis, int) or isinstance(axis, bool) or not 0 <= axis < rank:
        raise ArgumentError(
            f"{op}: axis {axis!r} is out of bounds for rank {rank}.",
            got=f"axis {axis!r}",
            expected=f"an integer in [0, {rank})" if rank else "no axis: the tensor is a scalar",
            mend="count axes from 0, or from the end with negative numbers in the functions of graphkeras.ops",
        )


def require_axes(op: str, axes, rank: int) -> None:
    """Raises ArgumentError unless axes is a sorted tuple of different axes."""
    for axis in axes:
        require_axis(op, axis, rank)
    if list(axes) != sorted(set(axes)):
        raise ArgumentError(f"{op}: axes {axes} repeat or are not sorted.", got=str(axes), expected="sorted axes, each once")


def index_hint(value: int) -> str:
    """What is known about an index that is out of range: to stand behind `mend:`."""
    if value in (-(2**31), -(2**63)):
        return f"; {value} is what a NaN, or a float too large, becomes when it is cast to an integer"
    return ""


def normalize_axis(op: str, axis: int, rank: int) -> int:
    """The non-negative form of an axis that may count from the end. Raises ArgumentError when it is out of range."""
    try:
        index = axis.__index__()
    except AttributeError:
        index = None
    if index is None or not -rank <= index < rank:
        raise ArgumentError(
            f"{op}: axis {axis!r} is out of bounds for rank {rank}.",
            got=f"axis {axis!r} for a tensor of rank {rank}",
            expected=f"an integer in [{-rank}, {rank})",
            mend="check the rank of the input: leading batch axes count too",
        )
    return index % rank if rank else 0


def normalize_axes(op: str, axis, rank: int) -> tuple[int, ...]:
    """Sorted non-negative axes from None (all), an int, or a sequence of ints; repeated axes raise ArgumentError."""
    if axis is None:
        return tuple(range(rank))
    if type(axis) is int and -rank <= axis < rank:
        return (axis % rank,)
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = sorted(normalize_axis(op, a, rank) for a in given)
    if len(set(axes)) != len(axes):
        raise ArgumentError(
            f"{op}: axis {axis!r} names an axis twice.", got=repr(axis), expected="each axis once", mend="-1 is the last axis: name it once"
        )
    return tuple(axes)


def reduced_shape(shape: tuple, axes: Sequence[int], keepdims: bool) -> tuple:
    """The shape left after a reduction over `axes`."""
    if keepdims:
        return tuple(1 if i in axes else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def require_same_size(op: str, old: tuple, new: tuple) -> None:
    """Raises ShapeError where two shapes surely hold different numbers of elements."""
    left, right = size(old), size(new)
    if left == right:
        return
    difference = left - right
    # An opaque quotient, or another symbol, may still turn out equal: that is checked when the sizes are bound.
    if isinstance(difference, Dim) and (_has_quotient(difference) or _symbols(left) != _symbols(right)):
        return
    raise ShapeError(
        f"{op}: shape {old} has {left} elements, shape {new} has {right}.",
        got=f"{old} -> {new}",
        expected="shapes with the same number of elements",
        mend="use -1 for one axis in ops.reshape to have its size worked out",
    )


def _symbols(dim) -> frozenset:
    return dim.symbols() if isinstance(dim, Dim) else frozenset()


def _has_quotient(dim: Dim) -> bool:
    return any(not isinstance(atom, str) for monomial, _ in dim.terms for atom, _ in monomial)


def slice_length(start, stop, stride: int):
    """The number of elements of range(start, stop, stride), for sizes that may be symbolic."""
    if isinstance(start, Dim) or isinstance(stop, Dim):
        span = stop - start if stride > 0 else start - stop
        step = abs(stride)
        return span if step == 1 else (span + (step - 1)) // step
    return len(range(start, stop, stride))


def dim_min(left, right):
    """The smaller of two sizes, decided now where possible."""
    return -dim_max(-left, -right)


def scalar_like(value, tensor) -> np.ndarray:
    """A rank 0 array with the dtype of a tensor, for constants inside gradients and expansions."""
    return np.asarray(value, numpy_dtype(tensor.dtype))
