"""Penalties on weights."""

import math

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError, ShapeError


class Regularizer:
    """Base class of regularizers: a callable from a weight to a scalar penalty.

    Example:

    >>> class Half(Regularizer):
    ...     def __call__(self, x):
    ...         return 0.5 * ops.sum(ops.square(x))
    >>> float(Half()(ops.ones((2, 2))))
    2.0
    """

    def __call__(self, x):
        return 0.0

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def get_config(self):
        raise NotImplementedError(f"{self} does not implement get_config()")


class L1L2(Regularizer):
    """`l1 * sum(abs(x)) + l2 * sum(x ** 2)`.

    Args:
        l1: factor of the absolute values.
        l2: factor of the squares.

    Example:

    >>> float(L1L2(l1=0.5, l2=1.0)(ops.array([1.0, -2.0])))
    6.5
    """

    def __init__(self, l1=0.0, l2=0.0):
        self.l1 = _factor("l1", 0.0 if l1 is None else l1)
        self.l2 = _factor("l2", 0.0 if l2 is None else l2)

    def __call__(self, x):
        penalty = ops.convert_to_tensor(0.0, dtype=x.dtype)
        if self.l1:
            penalty = penalty + self.l1 * ops.sum(ops.absolute(x))
        if self.l2:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return penalty

    def get_config(self):
        return {"l1": float(self.l1), "l2": float(self.l2)}


class L1(Regularizer):
    """`l1 * sum(abs(x))`.

    Args:
        l1: factor.
    """

    def __init__(self, l1=0.01):
        self.l1 = _factor("l1", 0.01 if l1 is None else l1)

    def __call__(self, x):
        return self.l1 * ops.sum(ops.absolute(x))

    def get_config(self):
        return {"l1": float(self.l1)}


class L2(Regularizer):
    """`l2 * sum(x ** 2)`.

    Args:
        l2: factor.
    """

    def __init__(self, l2=0.01):
        self.l2 = _factor("l2", 0.01 if l2 is None else l2)

    def __call__(self, x):
        return self.l2 * ops.sum(ops.square(x))

    def get_config(self):
        return {"l2": float(self.l2)}


class OrthogonalRegularizer(Regularizer):
    """Encourages the rows or columns of a matrix to be orthogonal to each other: the mean absolute cosine between different
    ones, times `factor`.

    Args:
        factor: factor of the penalty.
        mode: "rows" or "columns".
    """

    def __init__(self, factor=0.01, mode="rows"):
        self.factor = _factor("factor", factor)
        if mode not in ("rows", "columns"):
            raise ArgumentError("Invalid value for argument `mode`.", got=f"mode={mode!r}", expected="'rows' or 'columns'")
        self.mode = mode

    def __call__(self, inputs):
        if len(inputs.shape) != 2:
            raise ShapeError(
                "Inputs to OrthogonalRegularizer must have rank 2.",
                got=f"inputs.shape={inputs.shape}",
                expected="a matrix",
                mend="use it on the kernel of a Dense layer, or reshape the weight in a regularizer of your own",
            )
        axis, count = (1, inputs.shape[0]) if self.mode == "rows" else (0, inputs.shape[1])
        inputs = ops.normalize(inputs, axis=axis)
        turned = ops.transpose(inputs)
        product = ops.matmul(inputs, turned) if self.mode == "rows" else ops.matmul(turned, inputs)
        others = product * (1.0 - ops.eye(count, dtype=inputs.dtype))
        pairs = count * (count - 1) / 2
        return self.factor * 0.5 * ops.sum(ops.absolute(others)) / pairs if pairs else 0.0 * ops.sum(inputs)

    def get_config(self):
        return {"factor": float(self.factor), "mode": self.mode}


def _factor(name, value):
    if not isinstance(value, (int, float)) or math.isinf(value) or math.isnan(value):
        raise ArgumentError(
            f"Invalid value for argument {name}: expected a non-negative float.",
            got=f"{name}={value!r}",
            expected="a finite number",
        )
    return value


l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer
