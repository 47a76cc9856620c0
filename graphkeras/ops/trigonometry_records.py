"""Records of trigonometric and hyperbolic functions and their inverses, of logarithms to other bases, and of their like."""

import functools
import math

import numpy as np

from graphkeras.ir.dtypes import FLOATS
from graphkeras.ir.errors import DTypeError
from graphkeras.ir.registry import ZERO_GRADIENT, ErrorSample, NoGradient, Sample, register_op
from graphkeras.ir.samples import exactly, integers, uniform
from graphkeras.ops.elementwise import elementwise_infer, in_float32
from graphkeras.ops.inference import scalar_like
from graphkeras.trace import prim

_LN_2, _LN_10 = math.log(2), math.log(10)


def _unary(name, eager, body, vjp, low, high, cost, edges=()):
    samples = [
        Sample((uniform((2, 3), low, high),)),
        Sample((uniform((19,), low, high),)),
        Sample((uniform((), low, high, "float64"),)),
        Sample((uniform((9,), low, high, "float16"),)),
    ]
    if edges:  # with a NaN, which also keeps them out of the comparison of slopes with differences
        samples.append(Sample((exactly([*edges, np.nan], "float32"),)))
    register_op(
        name,
        kind="elementwise",
        infer=elementwise_infer(name, FLOATS),
        eager=in_float32(eager),
        vjp=vjp,
        body=body,
        cost=lambda x, outputs: cost * outputs[0].size,
        samples=samples,
        errors=[ErrorSample((integers((2,)),), raises=DTypeError, match="needs floating-point elements, not int32")],
    )


def _slope_of_arcsin(x):
    """1 / sqrt(1 - x**2), with the difference as a product, which is precise near 1."""
    return prim.rsqrt((1 - x) * (1 + x))


_unary("tan", np.tan, lambda k, x: k.tan(x), lambda ct, x, y: (ct * (y * y + 1),), -1.3, 1.3, 20, [0.0, -0.0, 1e6, 3e30])
_unary(
    "arcsin",
    np.arcsin,
    lambda k, x: k.arcsin(x),
    lambda ct, x, y: (ct * _slope_of_arcsin(x),),
    -0.9,
    0.9,
    20,
    [0.0, -0.0, 1.0, -1.0, 0.5, -0.5],
)
_unary(
    "arccos",
    np.arccos,
    lambda k, x: k.arccos(x),
    lambda ct, x, y: (-ct * _slope_of_arcsin(x),),
    -0.9,
    0.9,
    20,
    [0.0, -0.0, 1.0, -1.0, 0.5, -0.5],
)
_unary("arctan", np.arctan, lambda k, x: k.arctan(x), lambda ct, x, y: (ct / (x * x + 1),), -4, 4, 20, [0.0, -0.0, np.inf, -np.inf])
_unary("sinh", np.sinh, lambda k, x: k.sinh(x), lambda ct, x, y: (ct * prim.cosh(x),), -3, 3, 20, [0.0, -0.0, 89.2, -89.2, 1e-5])
_unary("cosh", np.cosh, lambda k, x: k.cosh(x), lambda ct, x, y: (ct * prim.sinh(x),), -3, 3, 20, [0.0, -0.0, 89.2, -89.2])
_unary(
    "arcsinh",
    np.arcsinh,
    lambda k, x: k.arcsinh(x),
    lambda ct, x, y: (ct * prim.rsqrt(x * x + 1),),
    -4,
    4,
    30,
    [0.0, -0.0, 1e30, -1e30, np.inf],
)
_unary(
    "arccosh",
    np.arccosh,
    lambda k, x: k.arccosh(x),
    lambda ct, x, y: (ct * prim.rsqrt((x - 1) * (x + 1)),),
    1.3,
    5,
    30,
    [1.0, 1.0001, 1e30, np.inf, 0.5],
)
_unary(
    "arctanh",
    np.arctanh,
    lambda k, x: k.arctanh(x),
    lambda ct, x, y: (ct / ((1 - x) * (1 + x)),),
    -0.8,
    0.8,
    30,
    [0.0, -0.0, 1.0, -1.0, 2.0],
)
_unary("log2", np.log2, lambda k, x: k.log2(x), lambda ct, x, y: (ct / (x * _LN_2),), 0.2, 5, 15, [8.0, 0.0, -1.0, 1e-40, np.inf])
_unary(
    "log10", np.log10, lambda k, x: k.log10(x), lambda ct, x, y: (ct / (x * _LN_10),), 0.2, 5, 15, [10.0, 0.0, -1.0, 1e-40, np.inf]
)
_unary("exp2", np.exp2, lambda k, x: k.exp2(x), lambda ct, x, y: (ct * y * _LN_2,), -3, 3, 12, [8.0, -140.0, 128.5, -np.inf])
_unary("cbrt", np.cbrt, lambda k, x: k.cbrt(x), lambda ct, x, y: (ct / (3 * y * y),), 0.2, 4, 30, [0.0, -0.0, -27.0, 1e-40, np.inf])
_unary("trunc", np.trunc, lambda k, x: k.trunc(x), ZERO_GRADIENT, -3, 3, 1, [-0.5, 0.0, np.inf])


# ---- Bessel functions -------------------------------------------------------------------------------------------------


@functools.cache
def _bessel_coefficients(order, dtype):
    """c[m] of I(x) = (x/2)**order * sum of c[m] * (x**2 / 4)**m, and of its expansion in 1/x for large x."""
    one, mu = dtype.type(1), 4 * order * order
    near, far = [one], [one]
    for m in range(1, 60):
        near.append(near[-1] / (m * (m + order)))
    for m in range(1, 20):
        far.append(-far[-1] * (mu - (2 * m - 1) ** 2) / (8 * m))
    return near, far


def _bessel(order):
    def eager(x):
        wide = np.dtype(np.longdouble if x.dtype.itemsize > 8 else np.float64)
        near, far = _bessel_coefficients(order, wide)
        a = np.abs(x.astype(wide))
        inside = np.minimum(a, 25)
        z = inside * inside / 4
        small = np.polynomial.polynomial.polyval(z, near) * (inside / 2) ** order
        beyond = np.clip(a, 25, 1500)  # where both functions are infinite
        half = np.exp(beyond / 2)
        large = half * (np.polynomial.polynomial.polyval(1 / beyond, far) / np.sqrt(2 * wide.type(np.pi) * beyond)) * half
        y = np.where(a <= 25, small, large)
        return np.where(np.isnan(x), x, np.copysign(y, x) if order else y).astype(x.dtype)

    return eager


def _bessel_i1_vjp(ct, x, y):
    """I1' = I0 - I1 / x, which is 1/2 at 0."""
    zero = prim.equal(x, scalar_like(0, x))
    ratio = prim.select(zero, scalar_like(0.5, x), y / prim.select(zero, scalar_like(1, x), x))
    return (ct * (prim.bessel_i0(x) - ratio),)


_EDGES = [0.0, 8.0, 8.5, -30.0, 89.0]
_unary("bessel_i0", _bessel(0), lambda k, x: k.bessel_i0(x), lambda ct, x, y: (ct * prim.bessel_i1(x),), -3, 3, 40, _EDGES)
_unary("bessel_i1", _bessel(1), lambda k, x: k.bessel_i1(x), _bessel_i1_vjp, 0.3, 3, 40, _EDGES)


# ---- two inputs -------------------------------------------------------------------------------------------------------


def _arctan2_vjp(ct, y, x, out):
    # The ratios are formed before the squares, which might overflow.
    length = prim.maximum(prim.absolute(y), prim.absolute(x))
    a, b = y / length, x / length
    scaled = ct / (length * (a * a + b * b))
    return scaled * b, -scaled * a


_POINTS = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 1e-40, 3e38, np.nan]
register_op(
    "arctan2",
    kind="elementwise",
    infer=elementwise_infer("arctan2", FLOATS),
    eager=in_float32(np.arctan2),
    vjp=_arctan2_vjp,
    body=lambda k, y, x: k.arctan2(y, x),
    cost=lambda y, x, outputs: 30 * outputs[0].size,
    samples=[
        Sample((uniform((2, 3), 0.3, 3), uniform((2, 3), 0.3, 3))),
        Sample((uniform((4, 1, 3), -3, -0.3), uniform((2, 1), -3, -0.3))),
        Sample((uniform((17,), 0.3, 3, "float64"), uniform((), -3, -0.3, "float64"))),
        Sample((exactly(np.repeat(_POINTS, 9), "float32"), exactly(np.tile(_POINTS, 9), "float32"))),
    ],
    errors=[ErrorSample((integers((2,)), integers((2,))), raises=DTypeError, match="needs floating-point elements")],
)

_WHOLE_FLOATS = ("float32", "float64")
register_op(
    "nextafter",
    kind="elementwise",
    infer=elementwise_infer("nextafter", _WHOLE_FLOATS, kind="float32 or float64"),
    eager=in_float32(np.nextafter),
    vjp=NoGradient("the distance to the next float is not a smooth function"),
    body=lambda k, x, y: k.nextafter(x, y),
    samples=[
        Sample((uniform((2, 3)), uniform((3,)))),
        Sample((uniform((17,), dtype="float64"), uniform((17,), dtype="float64"))),
        Sample((exactly(np.repeat(_POINTS, 9), "float32"), exactly(np.tile(_POINTS, 9), "float32"))),
    ],
    errors=[
        ErrorSample(
            (uniform((2,), dtype="float16"), uniform((2,), dtype="float16")), raises=DTypeError, match="needs float32 or float64"
        )
    ],
)
