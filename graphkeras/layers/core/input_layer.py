"""Input: where data enters a functional model."""

from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import ArgumentError
from graphkeras.layers.layer import Layer
from graphkeras.layers.symbolic_call import CallNode, KerasHistory
from graphkeras.trace import SymbolicTensor
from graphkeras.trace.settings import floatx


class InputLayer(Layer):
    """The layer behind `Input`.

    Args:
        shape: shape without the batch axis.
        batch_size: size of the batch, None for any.
        dtype: dtype of the data, by default floatx.
        batch_shape: shape with the batch axis, in place of `shape` and `batch_size`.
        input_tensor: symbolic tensor whose shape and dtype are used.
        optional: whether None may be passed for this input.
        name: name.
    """

    def __init__(
        self,
        shape=None,
        batch_size=None,
        dtype=None,
        sparse=None,
        ragged=None,
        batch_shape=None,
        input_tensor=None,
        optional=False,
        name=None,
        **kwargs,
    ):
        super().__init__(name=name)
        if sparse or ragged:
            raise ArgumentError(
                "Sparse and ragged inputs are not supported.",
                got=f"sparse={sparse}, ragged={ragged}",
                expected="dense inputs",
                mend="convert the data to dense arrays, padded where lengths differ",
            )
        if "input_shape" in kwargs:
            shape = kwargs.pop("input_shape")
        if "batch_input_shape" in kwargs:
            batch_shape = kwargs.pop("batch_input_shape")
        if kwargs:
            raise ArgumentError(f"Unrecognized keyword arguments: {kwargs}", got=", ".join(kwargs), expected="arguments of Input")
        if shape is not None and batch_shape is not None:
            raise ArgumentError("You cannot pass both `shape` and `batch_shape` at the same time.", got=f"{shape=}, {batch_shape=}")
        if batch_size is not None and batch_shape is not None:
            raise ArgumentError(
                "You cannot pass both `batch_size` and `batch_shape` at the same time.", got=f"{batch_size=}, {batch_shape=}"
            )
        if input_tensor is not None:
            if not isinstance(input_tensor, SymbolicTensor):
                raise ArgumentError(
                    "Argument `input_tensor` must be a KerasTensor.",
                    got=f"input_tensor={input_tensor!r} (of type {type(input_tensor)})",
                )
            batch_shape = input_tensor.shape if batch_shape is None else batch_shape
            dtype = input_tensor.dtype if dtype is None else dtype
        if shape is not None:
            batch_shape = (batch_size, *_checked_shape(shape))
        if batch_shape is None:
            raise ArgumentError("You must pass a `shape` argument.", got="shape=None", expected="a tuple such as (784,)")
        self._batch_shape = tuple(_checked_shape(batch_shape))
        self._dtype = floatx() if dtype is None else dtype_name(dtype)
        self.optional = bool(optional)
        self.built = True
        output = input_tensor
        if output is None or output._keras_history is not None:
            output = SymbolicTensor(self._batch_shape, self._dtype, name=self.name)
        output._keras_history = KerasHistory(self, 0, 0)
        node = CallNode(self, (), {}, (output.spec,))
        node.outputs, node.output_tensors = output, [output]
        self._inbound_nodes.append(node)

    def call(self):
        """Never called: data enters here."""

    @property
    def batch_shape(self):
        return self._batch_shape

    @property
    def dtype(self):
        return self._dtype

    @property
    def compute_dtype(self):
        return self._dtype

    @property
    def input(self):
        return self.output

    def get_config(self):
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": self.optional,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _checked_shape(shape):
    sizes = (shape,) if isinstance(shape, int) else shape
    try:
        sizes = tuple(None if d is None else d.__index__() for d in sizes)
    except (TypeError, AttributeError):
        sizes = (-1,)
    if any(d is not None and d < 0 for d in sizes):
        raise ArgumentError(
            f"Cannot convert '{shape}' to a shape.",
            got=f"shape={shape!r}",
            expected="a tuple of non-negative ints and None",
            mend="write e.g. Input(shape=(28, 28)); None stands for a size that may vary",
        )
    return sizes


def Input(
    shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, name=None, tensor=None, optional=False
):
    """A symbolic tensor where data enters a functional model.

    Args:
        shape: shape without the batch axis; None for sizes that vary.
        batch_size: size of the batch, None for any.
        dtype: dtype of the data, by default floatx.
        batch_shape: shape with the batch axis, in place of `shape` and `batch_size`.
        name: name of the input.
        tensor: symbolic tensor to use.
        optional: whether None may be passed for this input.

    Returns:
        A `KerasTensor`.

    Example:

    >>> x = Input(shape=(3,), name="x")
    >>> x.shape, x.dtype
    ((None, 3), 'float32')
    """
    layer = InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        name=name,
        input_tensor=tensor,
        optional=optional,
    )
    return layer.output
