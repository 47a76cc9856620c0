"""Elementwise ops: one scalar body each, inputs broadcast as in NumPy, all inputs of one dtype."""

import math

import numpy as np

from graphkeras.ir.dtypes import FLOATS, INTEGERS, is_float, numpy_dtype
from graphkeras.ir.errors import DataError, DTypeError
from graphkeras.ir.quiet import quiet
from graphkeras.ir.registry import ZERO_GRADIENT, ErrorSample, Sample, register_op
from graphkeras.ir.samples import booleans, exactly, integers, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops.inference import (
    ANY,
    INTEGER_OR_BOOL,
    NUMERIC,
    REAL,
    elementwise_spec,
    index_hint,
    require_dtype,
    require_equal_dtypes,
    scalar_like,
)
from graphkeras.trace import apply, prim

_KINDS = {
    FLOATS: "floating-point",
    REAL: "real",
    NUMERIC: "numeric",
    INTEGERS: "integer",
    INTEGER_OR_BOOL: "integer or boolean",
    ("bool",): "boolean",
    ANY: "any",
}


def in_float32(function):
    """The NumPy function with half precision computed in float32 and rounded once, and without floating-point warnings."""

    @quiet
    def wrapped(*arrays, **attrs):
        half = arrays[0].dtype
        if half.itemsize != 2 or half.kind in "iu":
            return np.asarray(function(*arrays, **attrs))
        result = np.asarray(function(*(a.astype(np.float32) if a.dtype == half else a for a in arrays), **attrs))
        return result.astype(half) if result.dtype == np.float32 else result

    return wrapped


def elementwise_infer(name, allowed, result=None, kind=None):
    """The inference of an elementwise op whose inputs share one of the allowed dtypes, which errors call `kind`; `result` is a
    fixed output dtype."""

    def infer(*specs):
        require_equal_dtypes(name, specs)
        require_dtype(name, specs, allowed, kind or _KINDS[allowed])
        return elementwise_spec(name, specs, result)

    return infer


def _unary(name, eager, body, vjp, allowed=FLOATS, result=None, low=-3.0, high=3.0, cost=1, samples=None):
    if samples is None:
        samples = [Sample((uniform((2, 3), low, high),)), Sample((uniform((), low, high),)), Sample((uniform((19,), low, high),))]
        if allowed in (NUMERIC, REAL):
            samples.append(Sample((integers((2, 9)),)))
    errors = []
    if allowed is FLOATS:
        errors.append(ErrorSample((integers((2,)),), raises=DTypeError, match="needs floating-point elements, not int32"))
    register_op(
        name,
        kind="elementwise",
        infer=elementwise_infer(name, allowed, result),
        eager=in_float32(eager),
        vjp=vjp,
        body=body,
        cost=lambda x, outputs: cost * outputs[0].size,
        samples=samples,
        errors=errors,
    )


def _sign_body(k, x):
    zero, one = k.const(0, x), k.const(1, x)
    magnitude = k.sub(k.select(k.gt(x, zero), one, zero), k.select(k.lt(x, zero), one, zero))
    return k.select(k.ne(x, x), x, magnitude)


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


_erf_of_float = np.frompyfunc(math.erf, 1, 1)


def _erf(x):
    return np.asarray(_erf_of_float(x)).astype(x.dtype)


_unary("negative", np.negative, lambda k, x: k.neg(x), lambda ct, x, y: (-ct,), allowed=NUMERIC)
_unary("absolute", np.abs, lambda k, x: k.abs(x), lambda ct, x, y: (ct * prim.sign(x),), allowed=REAL)
_unary("sign", np.sign, _sign_body, ZERO_GRADIENT, allowed=REAL)
_unary("exp", np.exp, lambda k, x: k.exp(x), lambda ct, x, y: (ct * y,), cost=12)
_unary("expm1", np.expm1, lambda k, x: k.expm1(x), lambda ct, x, y: (ct * (y + 1),), cost=14)
_unary("log", np.log, lambda k, x: k.log(x), lambda ct, x, y: (ct / x,), low=0.1, cost=12)
_unary("log1p", np.log1p, lambda k, x: k.log1p(x), lambda ct, x, y: (ct / (x + 1),), low=-0.9, cost=14)
_unary("sqrt", np.sqrt, lambda k, x: k.sqrt(x), lambda ct, x, y: (ct * 0.5 / y,), low=0.1, cost=4)
_unary("rsqrt", lambda x: 1 / np.sqrt(x), lambda k, x: k.rsqrt(x), lambda ct, x, y: (ct * -0.5 * y * y * y,), low=0.1, cost=8)
_unary("square", np.square, lambda k, x: k.mul(x, x), lambda ct, x, y: (ct * (x + x),), allowed=NUMERIC)
_unary("tanh", np.tanh, lambda k, x: k.tanh(x), lambda ct, x, y: (ct * (1 - y * y),), cost=15)
_unary("sigmoid", _sigmoid, lambda k, x: k.sigmoid(x), lambda ct, x, y: (ct * (y * (1 - y)),), cost=15)
_unary("softplus", _softplus, lambda k, x: k.softplus(x), lambda ct, x, y: (ct * prim.sigmoid(x),), cost=26)
_unary("erf", _erf, lambda k, x: k.erf(x), lambda ct, x, y: (ct * (2 / math.sqrt(math.pi)) * prim.exp(-(x * x)),), cost=20)
_unary("sin", np.sin, lambda k, x: k.sin(x), lambda ct, x, y: (ct * prim.cos(x),), cost=15)
_unary("cos", np.cos, lambda k, x: k.cos(x), lambda ct, x, y: (ct * -prim.sin(x),), cost=15)
_unary("floor", np.floor, lambda k, x: k.floor(x), ZERO_GRADIENT)
_unary("ceil", np.ceil, lambda k, x: k.ceil(x), ZERO_GRADIENT)
_unary("round", np.round, lambda k, x: k.round(x), ZERO_GRADIENT)
_unary("is_nan", np.isnan, lambda k, x: k.isnan(x), ZERO_GRADIENT, result="bool")
_unary("is_inf", np.isinf, lambda k, x: k.isinf(x), ZERO_GRADIENT, result="bool")
_unary("is_finite", np.isfinite, lambda k, x: k.not_(k.or_(k.isnan(x), k.isinf(x))), ZERO_GRADIENT, result="bool")
_unary(
    "relu",
    lambda x: np.where(x < 0, np.zeros((), x.dtype), x),
    # This form of the maximum lets NaN through and is a single instruction.
    lambda k, x: k.select(k.lt(x, k.const(0, x)), k.const(0, x), x),
    lambda ct, x, y: (prim.select(prim.greater(y, scalar_like(0, y)), ct, scalar_like(0, ct)),),
    allowed=REAL,
)
_bools = [Sample((booleans((3, 5)),)), Sample((booleans(()),))]
_unary("logical_not", np.logical_not, lambda k, x: k.not_(x), ZERO_GRADIENT, allowed=("bool",), samples=_bools)
_unary(
    "bitwise_not",
    np.invert,
    lambda k, x: k.not_(x),
    ZERO_GRADIENT,
    allowed=INTEGER_OR_BOOL,
    samples=[*_bools, Sample((integers((9,)),)), Sample((integers((9,), 0, 200, "uint8"),))],
)
_any = [Sample((uniform((2, 3)),)), Sample((integers((4,)),)), Sample((booleans((4,)),))]
_unary("identity", lambda x: x, lambda k, x: x, lambda ct, x, y: (ct,), allowed=ANY, samples=_any, cost=0)
_unary("stop_gradient", lambda x: x, lambda k, x: x, ZERO_GRADIENT, allowed=ANY, samples=_any, cost=0)


def _cast_infer(x, *, dtype):
    if "string" in (x.dtype, dtype) and x.dtype != dtype:
        raise DTypeError("cast: strings cannot be converted.", got=f"{x} to {dtype}", expected="numeric or boolean dtypes")
    return x.with_dtype(dtype)


@quiet
def _cast_eager(x, *, dtype):
    return x.astype(numpy_dtype(dtype), copy=False)


register_op(
    "cast",
    kind="elementwise",
    infer=_cast_infer,
    eager=_cast_eager,
    vjp=lambda ct, x, y, *, dtype: (prim.cast(ct, dtype=x.dtype) if is_float(x.dtype) and is_float(dtype) else None,),
    body=lambda k, x, *, dtype: k.cast(x, dtype),
    samples=[
        Sample((uniform((2, 3), -4, 4),), {"dtype": "int32"}),
        Sample((uniform((9,), -4, 4),), {"dtype": "float64"}),
        Sample((uniform((9,), -4, 4),), {"dtype": "float16"}),
        Sample((uniform((9,), -4, 4),), {"dtype": "bfloat16"}),
        Sample((exactly([0.0, -0.0, 0.5, float("nan")], "float32"),), {"dtype": "bool"}),
        Sample((integers((9,)),), {"dtype": "float32"}),
        Sample((integers((9,)),), {"dtype": "int8"}),
        Sample((integers((9,), 0, 256, "uint8"),), {"dtype": "float32"}),
        Sample((booleans((9,)),), {"dtype": "float32"}),
        Sample((booleans((9,)),), {"dtype": "int32"}),
    ],
)


def _check_range_infer(x, *, low, high, what):
    require_dtype("check_range", [x], INTEGERS, "integer")
    return x


def _check_range_eager(x, *, low, high, what):
    bad = (x < low) | (x >= high)
    if bad.any():
        position = int(np.argmax(bad))
        raise DataError(
            f"{what} {x.reshape(-1)[position]} is out of range.",
            got=f"{x.reshape(-1)[position]} at flat position {position} of an array of shape {x.shape}",
            expected=f"integers in [{low}, {high})",
            mend=f"check the data, or the size that gives the limit {high}" + index_hint(x.reshape(-1)[position]),
        )
    return x


register_op(
    "check_range",
    kind="elementwise",
    infer=_check_range_infer,
    eager=_check_range_eager,
    vjp=ZERO_GRADIENT,
    body=lambda k, x, *, low, high, what: k.check_range(x, low, high, what),
    samples=[
        Sample((integers((9,), 0, 7),), {"low": 0, "high": 7, "what": "label"}),
        Sample((integers((2, 3), 0, 7, "uint8"),), {"low": 0, "high": 7, "what": "label"}),
    ],
    errors=[
        ErrorSample((uniform((2,)),), {"low": 0, "high": 7, "what": "label"}, raises=DTypeError, match="needs integer elements")
    ],
)


def _binary_samples(low, high, ints):
    float_pair = lambda a, b, dtype="float32": Sample((uniform(a, low, high, dtype), uniform(b, low, high, dtype)))
    samples = [float_pair((2, 3), (2, 3)), float_pair((4, 1, 3), (2, 1)), float_pair((17,), ()), float_pair((5,), (5,), "float64")]
    if ints:
        samples += [
            Sample((integers((3, 4)), integers((4,), 1, 6))),
            Sample((integers((9,), 1, 200, "uint8"), integers((), 1, 9, "uint8"))),
        ]
    return samples


_BINARY_ERRORS = [
    ErrorSample((uniform((2, 3)), uniform((2, 4))), raises=ValueError, match="cannot be broadcast together"),
    ErrorSample((uniform((2, 3)), integers((2, 3))), raises=DTypeError, match="different dtypes"),
]


def _binary(
    name, eager, body, vjp, allowed=NUMERIC, result=None, low=-3.0, high=3.0, cost=1, commutes=False, samples=None, errors=()
):
    register_op(
        name,
        kind="elementwise",
        infer=elementwise_infer(name, allowed, result),
        eager=in_float32(eager),
        vjp=vjp,
        body=body,
        cost=lambda x, y, outputs: cost * outputs[0].size,
        samples=_binary_samples(low, high, allowed is not FLOATS) if samples is None else samples,
        errors=[*(_BINARY_ERRORS if samples is None else ()), *errors],
        commutes=commutes,
    )


def _power_vjp(ct, x, y, out):
    zero, one = scalar_like(0, x), scalar_like(1, x)
    flat = prim.equal(y, zero)
    # x ** 0 is 1 everywhere, also at x = 0, where y * x ** (y - 1) would be 0 * inf.
    dx = prim.select(flat, zero, y * prim.power(x, prim.select(flat, one, y - one)))
    positive = prim.greater(x, zero)
    dy = out * prim.log(prim.select(positive, x, one))
    return ct * dx, ct * dy


def _chosen_by(comparison):
    def vjp(ct, x, y, out):
        chosen, zero = apply(comparison, x, y), scalar_like(0, ct)
        return prim.select(chosen, ct, zero), prim.select(chosen, zero, ct)

    return vjp


_binary("add", np.add, lambda k, x, y: k.add(x, y), lambda ct, x, y, out: (ct, ct), commutes=True)
_binary("subtract", np.subtract, lambda k, x, y: k.sub(x, y), lambda ct, x, y, out: (ct, -ct))
_binary("multiply", np.multiply, lambda k, x, y: k.mul(x, y), lambda ct, x, y, out: (ct * y, ct * x), commutes=True)
_binary(
    "divide",
    np.divide,
    lambda k, x, y: k.div(x, y),
    lambda ct, x, y, out: (ct / y, -(ct * out) / y),
    allowed=FLOATS,
    low=0.5,
    cost=4,
    errors=[ErrorSample((integers((2,)), integers((2,))), raises=DTypeError, match="needs floating-point elements")],
)
_binary("power", np.power, lambda k, x, y: k.pow(x, y), _power_vjp, allowed=FLOATS, low=0.2, cost=30)
# On a tie the whole gradient goes to the first input, as in TensorFlow.
_binary("maximum", np.maximum, lambda k, x, y: k.max(x, y), _chosen_by("greater_equal"), allowed=REAL, commutes=True)
_binary("minimum", np.minimum, lambda k, x, y: k.min(x, y), _chosen_by("less_equal"), allowed=REAL, commutes=True)
_binary("floor_divide", np.floor_divide, lambda k, x, y: k.floordiv(x, y), ZERO_GRADIENT, allowed=REAL, low=0.5, cost=6)
_binary(
    "remainder",
    np.remainder,
    lambda k, x, y: k.mod(x, y),
    lambda ct, x, y, out: (ct, -(ct * prim.floor_divide(x, y))),
    allowed=REAL,
    low=0.5,
    cost=8,
)

_COMPARED = [
    *_binary_samples(-2.0, 2.0, True),
    Sample((integers((40,), 0, 3), integers((40,), 0, 3))),
    Sample((booleans((9,)), booleans((9,)))),
    Sample((exactly([float("nan"), 1.0, float("inf")], "float32"), exactly([float("nan"), float("nan"), float("inf")], "float32"))),
]
_binary(
    "equal",
    np.equal,
    lambda k, x, y: k.eq(x, y),
    ZERO_GRADIENT,
    ANY,
    "bool",
    samples=_COMPARED,
    errors=_BINARY_ERRORS,
    commutes=True,
)
_binary("not_equal", np.not_equal, lambda k, x, y: k.ne(x, y), ZERO_GRADIENT, ANY, "bool", samples=_COMPARED, commutes=True)
_binary("less", np.less, lambda k, x, y: k.lt(x, y), ZERO_GRADIENT, ANY, "bool", samples=_COMPARED)
_binary("less_equal", np.less_equal, lambda k, x, y: k.le(x, y), ZERO_GRADIENT, ANY, "bool", samples=_COMPARED)
_binary("greater", np.greater, lambda k, x, y: k.gt(x, y), ZERO_GRADIENT, ANY, "bool", samples=_COMPARED)
_binary("greater_equal", np.greater_equal, lambda k, x, y: k.ge(x, y), ZERO_GRADIENT, ANY, "bool", samples=_COMPARED)

_BOOLS = [Sample((booleans((3, 4)), booleans((4,)))), Sample((booleans((17,)), booleans(())))]
_BITS = [
    *_BOOLS,
    Sample((integers((9,)), integers((9,)))),
    Sample((integers((3, 3), 0, 256, "uint8"), integers((3,), 0, 256, "uint8"))),
]
_SHIFTS = [
    Sample((integers((9,), -50, 50), integers((9,), 0, 8))),
    Sample((integers((9,), 0, 2**32, "uint32"), integers((), 0, 32, "uint32"))),
]
_NOT_BOOL = [ErrorSample((uniform((2,)), uniform((2,))), raises=DTypeError, match="needs boolean elements")]
_binary(
    "logical_and",
    np.logical_and,
    lambda k, x, y: k.and_(x, y),
    ZERO_GRADIENT,
    ("bool",),
    samples=_BOOLS,
    errors=_NOT_BOOL,
    commutes=True,
)
_binary(
    "logical_or",
    np.logical_or,
    lambda k, x, y: k.or_(x, y),
    ZERO_GRADIENT,
    ("bool",),
    samples=_BOOLS,
    errors=_NOT_BOOL,
    commutes=True,
)
_binary(
    "logical_xor",
    np.logical_xor,
    lambda k, x, y: k.xor(x, y),
    ZERO_GRADIENT,
    ("bool",),
    samples=_BOOLS,
    errors=_NOT_BOOL,
    commutes=True,
)
_binary("bitwise_and", np.bitwise_and, lambda k, x, y: k.and_(x, y), ZERO_GRADIENT, INTEGER_OR_BOOL, samples=_BITS, commutes=True)
_binary("bitwise_or", np.bitwise_or, lambda k, x, y: k.or_(x, y), ZERO_GRADIENT, INTEGER_OR_BOOL, samples=_BITS, commutes=True)
_binary("bitwise_xor", np.bitwise_xor, lambda k, x, y: k.xor(x, y), ZERO_GRADIENT, INTEGER_OR_BOOL, samples=_BITS, commutes=True)
_binary("shift_left", np.left_shift, lambda k, x, y: k.shl(x, y), ZERO_GRADIENT, INTEGERS, samples=_SHIFTS)
_binary("shift_right", np.right_shift, lambda k, x, y: k.shr(x, y), ZERO_GRADIENT, INTEGERS, samples=_SHIFTS)


def _select_infer(condition, x, y) -> TensorSpec:
    require_dtype("select", [condition], ("bool",), "boolean")
    require_equal_dtypes("select", [x, y])
    return elementwise_spec("select", [condition, x, y], x.dtype)


def _select_vjp(ct, condition, x, y, out):
    zero = scalar_like(0, ct)
    return None, prim.select(condition, ct, zero), prim.select(condition, zero, ct)


register_op(
    "select",
    kind="elementwise",
    infer=_select_infer,
    eager=lambda condition, x, y: np.where(condition, x, y),
    vjp=_select_vjp,
    body=lambda k, condition, x, y: k.select(condition, x, y),
    samples=[
        Sample((booleans((2, 3)), uniform((2, 3)), uniform((2, 3)))),
        Sample((booleans((3,)), uniform((2, 1)), uniform(()))),
        Sample((booleans(()), integers((9,)), integers((9,)))),
    ],
    errors=[
        ErrorSample((uniform((2,)), uniform((2,)), uniform((2,))), raises=DTypeError, match="needs boolean elements"),
        ErrorSample((booleans((2,)), uniform((3,)), uniform((2,))), raises=ValueError, match="cannot be broadcast"),
    ],
)
