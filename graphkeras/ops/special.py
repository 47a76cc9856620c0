"""Composites for special functions."""

import math

import numpy as np

from graphkeras.ir.dtypes import FLOATS
from graphkeras.ir.errors import DTypeError
from graphkeras.ir.registry import ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_dtype, any_shape, exactly, integers, uniform
from graphkeras.ops import batching
from graphkeras.ops.elementwise import in_float32
from graphkeras.ops.inference import require_dtype, scalar_like
from graphkeras.trace import prim

# M. Giles, "Approximating the erfinv function", GPU Computing Gems (2012): polynomials in w = -log(1 - x^2), for w < 5 and beyond.
_CENTRE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164, 0.246640727,
    1.50140941,
)  # fmt: skip
_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047, 1.00167406,
    2.83297682,
)  # fmt: skip


def _erfinv_infer(x):
    require_dtype("erfinv", [x], FLOATS, "floating-point")
    return x


def _horner(coefficients, w, constant):
    total = w * constant(coefficients[0])
    for c in coefficients[1:-1]:
        total = (total + constant(c)) * w
    return total + constant(coefficients[-1])


def _erfinv_eager(x):
    w = -np.log((1 - x) * (1 + x))
    constant = x.dtype.type
    near = _horner(_CENTRE, w - constant(2.5), constant)
    far = _horner(_TAIL, np.sqrt(np.maximum(w, 5)) - 3, constant)
    y = np.where(w < 5, near, far) * x
    if x.dtype.itemsize > 4:
        for _ in range(2):
            y = y - (np.asarray(_erf(y), np.float64) - x) * (math.sqrt(math.pi) / 2) * np.exp(y * y)
    return np.where(np.abs(x) == 1, np.copysign(np.array(np.inf, x.dtype), x), y)


_erf = np.frompyfunc(math.erf, 1, 1)


def _erfinv_expand(x):
    constant = lambda value: scalar_like(value, x)
    one = constant(1)
    w = -prim.log(prim.subtract(one, x) * (x + one))
    near = _horner(_CENTRE, w - constant(2.5), constant)
    far = _horner(_TAIL, prim.sqrt(prim.maximum(w, constant(5))) - constant(3), constant)
    y = prim.select(prim.less(w, constant(5)), near, far) * x
    if x.dtype == "float64":
        # The polynomials are made for float32; two steps of Newton's method give the rest.
        for _ in range(2):
            y = y - (prim.erf(y) - x) * (math.sqrt(math.pi) / 2) * prim.exp(y * y)
    return prim.select(prim.equal(prim.absolute(x), one), x * constant(np.inf), y)


register_op(
    "erfinv",
    kind="composite",
    batch=batching.leading,
    infer=_erfinv_infer,
    eager=in_float32(_erfinv_eager),
    vjp=lambda ct, x, y: (ct * (math.sqrt(math.pi) / 2) * prim.exp(y * y),),
    expand=_erfinv_expand,
    cost=lambda x, outputs: 50 * x.size,
    samples=[
        Sample((uniform((2, 3), -0.9, 0.9),)),
        Sample((uniform((19,), -0.99, 0.99, "float64"),)),
        Sample((exactly([-0.9999, 0.0, 0.999], "float32"),)),
    ],
    vary=lambda rng: Sample((uniform(any_shape(rng), -0.99, 0.99, any_dtype(rng)),)),
    errors=[ErrorSample((integers((2,)),), raises=DTypeError, match="needs floating-point elements")],
)
