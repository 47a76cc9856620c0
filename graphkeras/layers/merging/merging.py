"""Add, Subtract, Multiply, Average, Maximum, Minimum: elementwise merges of a list of inputs."""

import functools

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.layers.layer import Layer


def is_list_of_shapes(shape) -> bool:
    """True for a list of shapes rather than one shape."""
    return isinstance(shape, (list, tuple)) and len(shape) > 0 and isinstance(shape[0], (list, tuple))


class Merge(Layer):
    """Base class of elementwise merges. Inputs broadcast; those of lower rank get axes of size 1 behind the batch axis."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def _merge(self, tensors):
        """The merge of a list of tensors of one rank."""
        raise NotImplementedError

    def build(self, input_shape):
        self._merged_shape(input_shape)

    def _merged_shape(self, shapes):
        if not is_list_of_shapes(shapes):
            raise ArgumentError(
                "A merge layer should be called on a list of at least 1 input."
                if isinstance(shapes, (list, tuple)) and not shapes
                else "A merge layer should be called on a list of inputs.",
                got=f"input_shape={shapes}, layer '{self.name}' ({type(self).__name__})",
                expected="a list of tensors",
                mend="write layer([a, b])",
            )
        batches = {shape[0] for shape in shapes if shape} - {None}
        if len(batches) > 1:
            raise ShapeError(
                "Cannot merge tensors with different batch sizes.",
                got=f"tensors with shapes {list(shapes)}",
                expected="one size for all first axes",
                mend="check that all inputs come from the same batch",
            )
        rank = max(map(len, shapes))
        result = [None] * rank
        for shape in shapes:
            padded = (*shape[:1], *([1] * (rank - len(shape))), *shape[1:])
            for axis, size in enumerate(padded):
                if size in (result[axis], None) or (size == 1 and result[axis] is not None):
                    continue
                if result[axis] not in (None, 1):
                    raise ShapeError(
                        f"Inputs have incompatible shapes. Received shapes {tuple(shapes[0][1:])} and {tuple(shape[1:])}",
                        got=f"shapes {list(map(tuple, shapes))} in layer '{self.name}' ({type(self).__name__})",
                        expected="sizes that are equal or 1",
                        mend="project the inputs to one size first, e.g. with Dense",
                    )
                result[axis] = size
        # A size known for one input only may still be 1 at run time elsewhere: it is the broadcast size then.
        result[0] = next(iter(batches), None)
        return tuple(result)

    def call(self, inputs):
        if not isinstance(inputs, (list, tuple)):
            self._merged_shape(inputs.shape)
        rank = max(x.ndim for x in inputs)
        tensors = []
        for x in inputs:
            while x.ndim < rank:
                x = ops.expand_dims(x, axis=min(1, x.ndim))
            tensors.append(x)
        return self._merge(tensors)

    def compute_output_shape(self, input_shape):
        return self._merged_shape(input_shape)

    def compute_mask(self, inputs, mask=None):
        if mask is None:
            return None
        if not isinstance(mask, (tuple, list)) or not isinstance(inputs, (tuple, list)) or len(mask) != len(inputs):
            raise ArgumentError(
                "The lists `inputs` and `mask` should have the same length.",
                got=f"mask={mask}",
                expected="a list with one mask per input",
            )
        if any(m is None for m in mask):
            return None
        return functools.reduce(ops.logical_or, mask)


class Add(Merge):
    """The sum of its inputs.

    Example:

    >>> Add()([ops.ones((1, 2)), ops.ones((1, 2))]).numpy().tolist()
    [[2.0, 2.0]]
    """

    def _merge(self, tensors):
        return functools.reduce(ops.add, tensors)


class Multiply(Merge):
    """The product of its inputs."""

    def _merge(self, tensors):
        return functools.reduce(ops.multiply, tensors)


class Average(Merge):
    """The mean of its inputs."""

    def _merge(self, tensors):
        return functools.reduce(ops.add, tensors) / len(tensors)


class Maximum(Merge):
    """The largest of its inputs, elementwise."""

    def _merge(self, tensors):
        return functools.reduce(ops.maximum, tensors)


class Minimum(Merge):
    """The smallest of its inputs, elementwise."""

    def _merge(self, tensors):
        return functools.reduce(ops.minimum, tensors)


class Subtract(Merge):
    """The first input minus the second."""

    def build(self, input_shape):
        super().build(input_shape)
        if len(input_shape) != 2:
            raise ArgumentError(
                "A `Subtract` layer should be called on exactly 2 inputs.",
                got=f"input_shape={input_shape}",
                expected="a list of 2 tensors",
            )

    def _merge(self, tensors):
        if len(tensors) != 2:
            raise ArgumentError(
                "A `Subtract` layer should be called on exactly 2 inputs.",
                got=f"{len(tensors)} inputs",
                expected="a list of 2 tensors",
            )
        return ops.subtract(*tensors)


def add(inputs, **kwargs):
    """`Add(**kwargs)(inputs)`."""
    return Add(**kwargs)(inputs)


def subtract(inputs, **kwargs):
    """`Subtract(**kwargs)(inputs)`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs, **kwargs):
    """`Multiply(**kwargs)(inputs)`."""
    return Multiply(**kwargs)(inputs)


def average(inputs, **kwargs):
    """`Average(**kwargs)(inputs)`."""
    return Average(**kwargs)(inputs)


def maximum(inputs, **kwargs):
    """`Maximum(**kwargs)(inputs)`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs, **kwargs):
    """`Minimum(**kwargs)(inputs)`."""
    return Minimum(**kwargs)(inputs)
