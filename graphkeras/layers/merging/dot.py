"""Dot: a batched dot product of two inputs."""

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.layers.layer import Layer
from graphkeras.layers.merging.merging import is_list_of_shapes


class Dot(Layer):
    """For each sample, the sum of products of two inputs along an axis of each.

    Args:
        axes: the axis, or one for each input, counted with the batch axis.
        normalize: whether vectors are scaled to norm 1 before: the result is their cosine then.

    Example:

    >>> Dot(axes=1)([ops.ones((2, 3)), ops.ones((2, 3))]).numpy().tolist()
    [[3.0], [3.0]]
    """

    def __init__(self, axes, normalize=False, **kwargs):
        super().__init__(**kwargs)
        valid = isinstance(axes, int) or (
            isinstance(axes, (list, tuple)) and len(axes) == 2 and all(isinstance(a, int) for a in axes)
        )
        if not valid:
            raise ArgumentError("Invalid format for `axes`.", got=f"axes={axes}", expected="an int, or a list of two ints")
        self.axes = axes
        self.normalize = normalize
        self.supports_masking = True

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def _axes(self, shapes):
        axes = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        return [axis % len(shape) for axis, shape in zip(axes, shapes)]

    def compute_output_shape(self, input_shape):
        if not is_list_of_shapes(input_shape) or len(input_shape) != 2:
            raise ArgumentError(
                "A `Dot` layer should be called on a list of 2 inputs.",
                got=f"input_shape={input_shape}",
                expected="a list of 2 tensors",
            )
        a, b = map(tuple, input_shape)
        i, j = self._axes((a, b))
        if 0 in (i, j):
            raise ArgumentError("`Dot` does not sum over the batch axis.", got=f"axes={self.axes}", expected="axes other than 0")
        if a[i] is not None and b[j] is not None and a[i] != b[j]:
            raise ShapeError(
                f"Incompatible input shapes: axis values {a[i]} (at axis {i}) != {b[j]} (at axis {j}).",
                got=f"shapes {a}, {b}, axes={self.axes}",
                expected="equal sizes along the axes",
                mend="choose other axes, or project one input first",
            )
        shape = (*a[:i], *a[i + 1 :], *b[1:j], *b[j + 1 :])
        return shape if len(shape) > 1 else (*shape, 1)

    def call(self, inputs):
        x, y = inputs
        i, j = self._axes((x.shape, y.shape))
        if self.normalize:
            x, y = ops.normalize(x, axis=i), ops.normalize(y, axis=j)
        a, b = ops.shape(x), ops.shape(y)
        # (B, ..., K) and (B, K, ...) as batches of matrices.
        rows, columns = (*a[1:i], *a[i + 1 :]), (*b[1:j], *b[j + 1 :])
        x = ops.transpose(x, axes=(0, *(k for k in range(1, len(a)) if k != i), i))
        y = ops.transpose(y, axes=(0, j, *(k for k in range(1, len(b)) if k != j)))
        x = ops.reshape(x, (a[0], _product(rows), a[i]))
        y = ops.reshape(y, (b[0], b[j], _product(columns)))
        return ops.reshape(ops.matmul(x, y), (a[0], *rows, *columns) if rows or columns else (a[0], 1))

    def compute_mask(self, inputs, mask=None):
        return None

    def get_config(self):
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def _product(sizes):
    total = 1
    for size in sizes:
        total = total * size
    return total


def dot(inputs, axes=-1, **kwargs):
    """`Dot(axes, **kwargs)(inputs)`."""
    return Dot(axes=axes, **kwargs)(inputs)
