"""The bytes of a tensor read as another dtype."""

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import FLOATS, INTEGERS, dtype_name, itemsize, numpy_dtype
from graphkeras.ir.errors import ShapeError
from graphkeras.ir.registry import NoGradient, Sample, register_op
from graphkeras.ir.samples import any_dtype, any_shape, drawn, integers, uniform
from graphkeras.ops import batching
from graphkeras.ops.inference import show
from graphkeras.trace import as_tensor, prim


def _infer(x, *, dtype):
    old, new = itemsize(x.dtype), itemsize(dtype)
    if old == new:
        return x.with_dtype(dtype)
    last = x.shape[-1] if x.rank else None
    if last is None or (not isinstance(last, Dim) and last * old % new):
        raise ShapeError(
            f"Cannot view array of shape {x.keras_shape} and dtype {x.dtype} as dtype {dtype} because the total number "
            "of bytes is not divisible by the new itemsize.",
            got=show([x]),
            expected=f"a last axis whose size is a multiple of {new // old}" if new > old else "rank 1 or more",
            mend="reshape or pad the last axis first",
        )
    return x.with_shape((*x.shape[:-1], last * old // new)).with_dtype(dtype)


def _varied(rng):
    old, new = (any_dtype(rng, (*FLOATS, *INTEGERS)) for _ in range(2))
    shape = any_shape(rng, 1)
    return Sample((drawn((*shape[:-1], shape[-1] * max(itemsize(new) // itemsize(old), 1)), old),), {"dtype": new})


register_op(
    "bitcast",
    kind="host",
    batch=batching.leading,
    infer=_infer,
    eager=lambda x, *, dtype: np.ascontiguousarray(x).reshape(x.shape).view(numpy_dtype(dtype)),
    vjp=NoGradient("bytes read as another type are not a smooth function"),
    samples=[
        Sample((uniform((2, 3)),), {"dtype": "int32"}),
        Sample((uniform((2, 3)),), {"dtype": "uint8"}),
        Sample((integers((3, 4), 0, 100, "int16"),), {"dtype": "float64"}),
    ],
    vary=_varied,
)


def view(x, dtype=None):
    """Reads the bytes of a tensor as another dtype.

    Args:
        x: Input tensor.
        dtype: The new dtype; that of `x` by default.

    Returns:
        Tensor of the dtype; the last axis grows or shrinks with the size of the elements.

    Example:

    >>> view(np.array([1.0, -2.0], "float32"), "int32").tolist()
    [1065353216, -1073741824]
    """
    x = as_tensor(x)
    dtype = x.dtype if dtype is None else dtype_name(dtype)
    return x if dtype == x.dtype else prim.bitcast(x, dtype=dtype)
