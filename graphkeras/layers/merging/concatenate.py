"""Concatenate: inputs side by side."""

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.layers.merging.merging import Merge, is_list_of_shapes


class Concatenate(Merge):
    """Joins its inputs along an axis; the other axes must agree.

    Args:
        axis: the axis, counted with the batch axis.

    Example:

    >>> Concatenate()([ops.ones((1, 2)), ops.zeros((1, 1))]).numpy().tolist()
    [[1.0, 1.0, 0.0]]
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape):
        self._merged_shape(input_shape)

    def _merged_shape(self, shapes):
        if not is_list_of_shapes(shapes):
            raise ArgumentError(
                "A `Concatenate` layer should be called on a list of at least 1 input.",
                got=f"input_shape={shapes}",
                expected="a list of tensors",
                mend="write layer([a, b])",
            )
        rank = len(shapes[0])
        if any(len(shape) != rank for shape in shapes) or not -rank <= self.axis < rank:
            self._refuse(shapes)
        axis = self.axis % rank
        result = list(shapes[0])
        for shape in shapes[1:]:
            for i, size in enumerate(shape):
                if i == axis:
                    result[i] = None if result[i] is None or size is None else result[i] + size
                elif result[i] is None or result[i] == size or size is None:
                    result[i] = size if result[i] is None else result[i]
                else:
                    self._refuse(shapes)
        return tuple(result)

    def _refuse(self, shapes):
        raise ShapeError(
            "A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis.",
            got=f"input_shape={list(map(tuple, shapes))}, axis={self.axis}, layer '{self.name}'",
            expected="one rank, and equal sizes on all axes but one",
            mend="choose another axis, or bring the inputs to one size first",
        )

    def call(self, inputs):
        if not isinstance(inputs, (list, tuple)):
            self._merged_shape(tuple(inputs.shape))
        return ops.concatenate(list(inputs), axis=self.axis)

    def compute_mask(self, inputs, mask=None):
        if mask is None:
            return None
        if not isinstance(mask, (tuple, list)) or len(mask) != len(inputs):
            raise ArgumentError(
                "`mask` should be a list of the length of `inputs`.", got=f"mask={mask}", expected="one mask per input"
            )
        if all(m is None for m in mask):
            return None
        parts = []
        for x, m in zip(inputs, mask):
            if m is None:
                parts.append(ops.ones_like(x, dtype="bool"))
            else:
                while m.ndim < x.ndim:
                    m = ops.expand_dims(m, axis=-1)
                parts.append(ops.logical_and(m, ops.ones_like(x, dtype="bool")))
        return ops.all(ops.concatenate(parts, axis=self.axis), axis=-1)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


def concatenate(inputs, axis=-1, **kwargs):
    """`Concatenate(axis, **kwargs)(inputs)`."""
    return Concatenate(axis=axis, **kwargs)(inputs)
