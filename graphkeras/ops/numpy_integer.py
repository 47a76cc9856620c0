"""Greatest common divisor and least common multiple, as in `keras.ops.numpy`."""

import numpy as np

from graphkeras.ir.dtypes import INTEGERS, is_integer
from graphkeras.ir.errors import DTypeError
from graphkeras.ir.registry import ZERO_GRADIENT, ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_dtype, integers, shapes_that_broadcast, uniform
from graphkeras.ops import batching
from graphkeras.ops.elementwise import elementwise_infer
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.promotion import promote
from graphkeras.trace import as_tensor, prim


def _gcd_varied(rng):
    dtype = any_dtype(rng, INTEGERS)
    low = 0 if dtype.startswith("u") else -100
    return Sample(tuple(integers(shape, low, 100, dtype) for shape in shapes_that_broadcast(rng, 2)))


# Euclid's algorithm takes a different number of steps in every lane: NumPy's is as fast as vectors would be.
register_op(
    "gcd",
    kind="host",
    batch=batching.elementwise,
    infer=elementwise_infer("gcd", INTEGERS),
    eager=lambda x, y: np.asarray(np.gcd(x, y)),
    vjp=ZERO_GRADIENT,
    samples=[
        Sample((integers((3, 4), -60, 60), integers((4,), -60, 60))),
        Sample((integers((9,), 0, 200, "uint8"), integers((), 0, 200, "uint8"))),
    ],
    vary=_gcd_varied,
    errors=[ErrorSample((uniform((2,)), uniform((2,))), raises=DTypeError, match="needs integer elements")],
)


def _integers(name, x1, x2):
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if not (is_integer(x1.dtype) and is_integer(x2.dtype)):
        raise DTypeError(
            f"Arguments to {name} must be integers.",
            got=f"{x1.spec}, {x2.spec}",
            expected="integer dtypes",
            mend="cast the inputs with ops.cast",
        )
    return promote(x1, x2)


def gcd(x1, x2):
    """Greatest common divisor of the magnitudes, element-wise.

    Args:
        x1, x2: Integer tensors.

    Returns:
        Tensor of the broadcast shape; 0 where both are 0.

    Example:

    >>> gcd([12, -18, 0], 8).tolist()
    [4, 2, 8]
    """
    return prim.gcd(*_integers("gcd", x1, x2))


def lcm(x1, x2):
    """Least common multiple of the magnitudes, element-wise.

    Args:
        x1, x2: Integer tensors.

    Returns:
        Tensor of the broadcast shape; 0 where one of them is 0.

    Example:

    >>> lcm([4, -6, 0], 10).tolist()
    [20, 30, 0]
    """
    x1, x2 = _integers("lcm", x1, x2)
    if x1.dtype.startswith("int"):
        x1, x2 = prim.absolute(x1), prim.absolute(x2)
    divisor = prim.maximum(prim.gcd(x1, x2), scalar_like(1, x1))
    return x1 * prim.floor_divide(x2, divisor)
