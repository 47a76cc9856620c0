"""Ops without tensor inputs, and random bits, which read nothing but a key."""

import numpy as np

from graphkeras.ir.dtypes import FLOATS, INTEGERS, numpy_dtype
from graphkeras.ir.errors import DTypeError, ShapeError
from graphkeras.ir.node import ConstantArray, Value
from graphkeras.ir.registry import ZERO_GRADIENT, ErrorSample, NoGradient, Sample, make_node, register_op
from graphkeras.ir.samples import any_axis, any_dtype, any_shape, any_size, drawn, exactly, integers, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops.inference import REAL, require_axis, require_dtype, show
from graphkeras.ops.philox import philox_numpy
from graphkeras.trace import SymbolicTensor, apply, as_value, current_scope

_NO_INPUTS = NoGradient("it has no inputs", zero=True)


def _no_flops(*specs, outputs, **attrs):
    return 0


register_op(
    "input",
    kind="source",
    infer=lambda *, name, shape, dtype: TensorSpec(tuple(shape), dtype),
    vjp=_NO_INPUTS,
    cost=_no_flops,
)
register_op(
    "constant",
    kind="source",
    infer=lambda *, value: value.spec,
    eager=lambda *, value: value.array,
    vjp=_NO_INPUTS,
    cost=_no_flops,
    samples=[
        Sample((), {"value": ConstantArray(np.float32([[1, 2], [3, 4]]))}),
        Sample((), {"value": ConstantArray(np.int32(7))}),
    ],
    vary=lambda rng: Sample((), {"value": ConstantArray(drawn(any_shape(rng), any_dtype(rng, (*FLOATS, *INTEGERS, "bool")))(rng))}),
)


def _iota_infer(*, shape, axis, dtype):
    require_dtype("iota", [TensorSpec((), dtype)], REAL, "real")
    require_axis("iota", axis, len(shape))
    return TensorSpec(tuple(shape), dtype)


def _iota_eager(*, shape, axis, dtype):
    along = np.arange(shape[axis]).astype(numpy_dtype(dtype))
    return np.broadcast_to(along.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)


def _iota_varied(rng):
    shape = any_shape(rng, 1)
    return Sample((), {"shape": shape, "axis": any_axis(rng, len(shape)), "dtype": any_dtype(rng, REAL)})


register_op(
    "iota",
    kind="source",
    infer=_iota_infer,
    eager=_iota_eager,
    vjp=_NO_INPUTS,
    lower={"cpu": "iota"},
    cost=_no_flops,
    samples=[
        Sample((), {"shape": (19,), "axis": 0, "dtype": "int32"}),
        Sample((), {"shape": (3, 4), "axis": 0, "dtype": "float32"}),
        Sample((), {"shape": (3, 20), "axis": 1, "dtype": "int64"}),
    ],
    vary=_iota_varied,
    errors=[ErrorSample((), {"shape": (3,), "axis": 0, "dtype": "bool"}, raises=DTypeError, match="needs real elements")],
)
register_op(
    "dim",
    kind="source",
    infer=lambda *, size: TensorSpec((), "int32"),
    eager=lambda *, size: np.asarray(size, np.int32),
    vjp=_NO_INPUTS,
    lower={"cpu": "dim"},
    cost=_no_flops,
    samples=[Sample((), {"size": 5})],
    vary=lambda rng: Sample((), {"size": any_size(rng)}),
)


def _random_bits_infer(key, *, shape):
    if key.shape != (2,) or key.dtype != "uint32":
        raise (DTypeError if key.dtype != "uint32" else ShapeError)(
            "random_bits: the key must be two 32-bit words.",
            got=show([key]),
            expected="u32[2]",
            mend="use a seed or a SeedGenerator with the functions of graphkeras.random",
        )
    return TensorSpec(tuple(shape), "uint32")


def _random_bits_eager(key, *, shape):
    counter = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.uint64)
    return philox_numpy(int(key[0]), int(key[1]), counter).astype(np.uint32, copy=False).reshape(shape)


_KEY = integers((2,), 0, 2**32, "uint32")

register_op(
    "random_bits",
    kind="source",
    batch="each element has a key of its own",
    infer=_random_bits_infer,
    eager=_random_bits_eager,
    vjp=ZERO_GRADIENT,
    lower={"cpu": "random_bits"},
    cost=lambda key, outputs, *, shape: 50 * outputs[0].size,
    effects=("random",),
    samples=[
        Sample((_KEY,), {"shape": (3, 7)}),
        Sample((exactly([0, 0], "uint32"),), {"shape": (40,)}),
        Sample((_KEY,), {"shape": ()}),
    ],
    vary=lambda rng: Sample((_KEY,), {"shape": any_shape(rng)}),
    errors=[
        ErrorSample((uniform((2,)),), {"shape": (3,)}, raises=DTypeError, match="two 32-bit words"),
        ErrorSample((integers((3,), 0, 9, "uint32"),), {"shape": (3,)}, raises=ShapeError, match="two 32-bit words"),
    ],
)


def staged(x):
    """`x`, as a symbolic tensor where a graph is being traced: what is made from it becomes nodes, not a large constant."""
    return SymbolicTensor.wrap(as_value(x)) if current_scope() is not None else x


def filled(value, shape, dtype, like=None):
    """A tensor with one value everywhere: symbolic inside a trace, for a symbolic `like`, and for a symbolic size.

    Args:
        value: Python number.
        shape: ints and `Dim`s.
        dtype: Keras dtype name.
        like: the tensor beside which it will be used.
    """
    scalar = np.asarray(value, numpy_dtype(dtype))
    scalar = SymbolicTensor.wrap(as_value(scalar)) if isinstance(like, SymbolicTensor) else staged(scalar)
    return apply("broadcast_to", scalar, shape=tuple(shape))


def iota(shape, axis, dtype, like=None):
    """Indices along one axis; symbolic in the same cases as `filled`."""
    shape = tuple(shape)
    if isinstance(like, SymbolicTensor) or current_scope() is not None:
        return SymbolicTensor.wrap(Value(make_node("iota", (), {"shape": shape, "axis": axis, "dtype": dtype})))
    return apply("iota", shape=shape, axis=axis, dtype=dtype)
