"""InputSpec: what a layer asks of its inputs, and the check of it."""

from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.trace import tree


class InputSpec:
    """Rank, shape and dtype that an input of a layer must have.

    Args:
        dtype: dtype, or None for any.
        shape: shape, None for free sizes.
        ndim: rank.
        max_ndim: largest rank.
        min_ndim: smallest rank.
        axes: dictionary of axes and the sizes they must have.
        allow_last_axis_squeeze: whether a last axis of size 1 may be there or not.
        name: key of the input where inputs are passed as a dictionary.
        optional: whether the input may be None.

    Example:

    >>> InputSpec(ndim=2, axes={-1: 3})
    InputSpec(ndim=2, axes={-1: 3})
    """

    def __init__(
        self,
        dtype=None,
        shape=None,
        ndim=None,
        max_ndim=None,
        min_ndim=None,
        axes=None,
        allow_last_axis_squeeze=False,
        name=None,
        optional=False,
    ):
        self.dtype = None if dtype is None else dtype_name(dtype)
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(self.shape) if shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.name = name
        self.optional = optional
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        try:
            self.axes = {int(k): size for k, size in (axes or {}).items()}
        except (ValueError, TypeError, AttributeError):
            raise ArgumentError("Argument `axes` must be a dict with integer keys.", got=f"axes={axes!r}") from None
        largest = (self.ndim or self.max_ndim) if self.axes and (self.ndim is not None or self.max_ndim is not None) else None
        if largest is not None and max(self.axes) > largest - 1:
            raise ArgumentError(
                f"Axis {max(self.axes)} is greater than the maximum allowed value: {largest - 1}", got=f"axes={axes!r}"
            )

    def __repr__(self):
        shown = ((k, getattr(self, k)) for k in ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes"))
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in shown if v)})"

    def get_config(self):
        return {k: getattr(self, k) for k in ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes", "optional")}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def assert_input_compatibility(input_spec, inputs, layer_name):
    """Raises ShapeError or DTypeError where `inputs` (a nested structure of tensors) do not fit `input_spec`."""
    specs = tree.flatten(input_spec)
    inputs = _in_spec_order(specs, inputs, layer_name)
    if len(inputs) != len(specs):
        _wrong_count(specs, inputs, layer_name)
    for index, (x, spec) in enumerate(zip(inputs, specs)):
        if spec is None or (x is None and spec.optional):
            continue
        if x is None and spec.name is not None:
            raise ArgumentError(
                f"The input '{spec.name}' is not optional, but None was passed.",
                got=f"None for layer '{layer_name}'",
                expected="a tensor",
                mend="pass a tensor, or make the input with Input(..., optional=True)",
            )
        if not hasattr(x, "shape"):
            raise ArgumentError(
                f"Inputs to a layer should be tensors. Got '{x}' (of type {type(x)}) as input for layer '{layer_name}'.",
                got=f"{type(x).__name__} {str(x)[:60]}",
                expected="a tensor or an array",
                mend="pass the output of a layer, not the layer itself; convert Python numbers with ops.convert_to_tensor",
            )
        _check_one(index, x, spec, layer_name)


def _in_spec_order(specs, inputs, layer_name):
    if not isinstance(inputs, dict):
        return tree.flatten(inputs)
    names = [spec.name if spec is not None else None for spec in specs]
    if not all(names):
        return tree.flatten(inputs)
    for name in names:
        if name not in inputs:
            raise ArgumentError(
                f'Missing data for input "{name}". You passed a data dictionary with keys {list(inputs)}. '
                f"Expected the following keys: {names}",
                got=f"keys {list(inputs)} for layer '{layer_name}'",
                expected=f"keys {names}",
                mend=f"add an entry {name!r} to the dictionary",
            )
    return tree.flatten([inputs[name] for name in names])


def _wrong_count(specs, inputs, layer_name):
    names = [spec.name for spec in specs if spec is not None]
    named = len(names) == len(specs) and all(names)
    raise ArgumentError(
        f'Layer "{layer_name}" expects {len(specs)} input(s), but it received {len(inputs)} input tensors.',
        got=f"{len(inputs)} inputs: " + ", ".join(str(getattr(x, "shape", x)) for x in inputs[:8]),
        expected=f"{len(specs)} inputs" + (f" with names {names}" if named else ""),
        mend="pass a list, or a dict with these keys, with one tensor per input" if len(specs) > 1 else "pass one tensor",
    )


def _check_one(index, x, spec, layer_name):
    shape = tuple(x.shape)
    rank = len(shape)
    label = f"Input {index} with name '{spec.name}'" if spec.name else f"Input {index}"
    start = f"{label} of layer '{layer_name}' is incompatible with the layer: "

    def refuse(text, expected, mend, error=ShapeError):
        raise error(start + text, got=f"shape {shape}, dtype {x.dtype}", expected=expected, mend=mend)

    if spec.ndim is not None and not spec.allow_last_axis_squeeze and rank != spec.ndim:
        refuse(
            f"expected ndim={spec.ndim}, found ndim={rank}. Full shape received: {shape}",
            f"rank {spec.ndim}" + (f", shape {spec.shape}" if spec.shape else ""),
            "add the missing axes (the batch axis counts) with x[None] or ops.expand_dims, or reshape the input",
        )
    if spec.max_ndim is not None and rank > spec.max_ndim:
        refuse(
            f"expected max_ndim={spec.max_ndim}, found ndim={rank}",
            f"rank {spec.max_ndim} or less",
            "reshape the input, e.g. with Flatten",
        )
    if spec.min_ndim is not None and rank < spec.min_ndim:
        refuse(
            f"expected min_ndim={spec.min_ndim}, found ndim={rank}. Full shape received: {shape}",
            f"rank {spec.min_ndim} or more",
            "add the missing axes with ops.expand_dims: the first axis is the batch",
        )
    if spec.dtype is not None and dtype_name(x.dtype) != spec.dtype:
        refuse(
            f"expected dtype={spec.dtype}, found dtype={dtype_name(x.dtype)}",
            f"dtype {spec.dtype}",
            f"convert with ops.cast(x, '{spec.dtype}')",
            DTypeError,
        )
    for axis, size in spec.axes.items():
        if size is not None and shape[axis] not in (size, None):
            refuse(
                f"expected axis {axis} of input shape to have value {size}, but received input with shape {shape}",
                f"shape[{axis}] == {size}",
                f"give the input {size} features, or make a new layer for {shape[axis]}: the weights of this one are made",
            )
    if spec.shape is not None:
        own, other = spec.shape, shape
        if spec.allow_last_axis_squeeze:
            if len(other) == len(own) + 1 and other[-1] == 1:
                other = other[:-1]
            elif len(other) == len(own) - 1 and own[-1] == 1:
                own = own[:-1]
        if len(own) != len(other) or any(a is not None and b is not None and a != b for a, b in zip(own, other)):
            refuse(
                f"expected shape={spec.shape}, found shape={shape}",
                f"shape {spec.shape}, where None is any size",
                f"reshape the data, or define the input for shape {shape[1:]}",
            )
