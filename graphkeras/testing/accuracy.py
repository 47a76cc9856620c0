"""How far results may lie from the exact ones, and how far they do, per family of ops.

The exact result is the eager meaning on the next wider floats. Errors are measured

- in units in the last place for elementwise ops, at most `ULPS` of them: from the exact result or, where the function jumps and the
  wider floats fall on the other side, from NumPy's result in the dtype itself;
- as a share of K eps |A||B| for sums and products: K the number of terms, |A||B| what the op makes of the absolute values;
- as a share of K eps (max |x| + max |y|) for composites, K the number of elements that are reduced;
- exactly for everything that only moves, compares or counts, and for random numbers.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from graphkeras.ir.dtypes import COMPLEX, dtype_name, is_float
from graphkeras.ir.registry import OpDef, Sample
from graphkeras.testing.evaluate import run_op
from graphkeras.trace import as_tensor

EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
ULPS = 4.0
_COMPOSITE_LIMIT = 4.0
_STEPS_LIMIT = 64.0
_FAMILIES = {
    "convolution": ("conv", "conv_input_gradient", "conv_kernel_gradient"),
    "pooling": ("max_pool", "max_pool_gradient", "max_pool_pick", "average_pool", "average_pool_gradient"),
    "cumulative": ("cumsum", "cumprod", "cumprod_gradient"),
    "sorting": ("sort", "argsort", "top_k", "searchsorted"),
    "random": ("random_bits", "dropout"),
}
_FAMILY_OF = {name: family for family, names in _FAMILIES.items() for name in names}
_SUMS = (
    "matmul", "conv", "conv_input_gradient", "conv_kernel_gradient", "reduce_sum", "cumsum", "scatter_add", "average_pool",
    "average_pool_gradient", "max_pool_gradient",
)  # fmt: skip
_PRODUCTS = ("reduce_prod", "cumprod", "product_of_others", "scatter_product_of_others")
_ATTENTION = ("attention", "attention_gradient")
_ONE_LINEAR_INPUT = ("max_pool_gradient",)  # the others say where


def family(record: OpDef) -> str:
    """The family in which an op is reported."""
    return _FAMILY_OF.get(record.name, "host (linalg, fft)" if record.kind == "host" else record.kind)


@dataclass(frozen=True)
class Error:
    """A measured error.

    Attributes:
        amount: in `unit`s.
        limit: the most that is allowed.
        unit: "ULP", or "bound" for a share of the bound.
        what: the worst element, for messages.
    """

    amount: float
    limit: float
    unit: str
    what: str = ""


def errors(record: OpDef, sample: Sample, arrays, got) -> list[Error]:
    """The error of each output of an op, `got`, on one sample."""
    if sample.call is not None:
        want = sample.call(*map(as_tensor, arrays))
        want = [as_tensor(t).array for t in (want if isinstance(want, tuple) else (want,))]
        return [_scaled(w, g) for w, g in zip(want, got, strict=True)]
    want = run_op(record.name, arrays, sample.attrs)
    bound = _bound(record, sample, arrays, want)
    exact = _exact(record, sample, arrays, want)
    if record.name == "cast" and sample.attrs["dtype"] == "uint32" and is_float(dtype_name(arrays[0].dtype)):
        # NumPy's vectors and their tails disagree on what no uint32 holds.
        want = [np.where((arrays[0] > -1) & (arrays[0] < 2.0**32), want[0], got[0])]
    found = []
    for w, e, g in zip(want, exact, got, strict=True):
        if w.shape != g.shape or w.dtype != g.dtype:
            found.append(Error(np.inf, 0.0, "ULP", f"{w.dtype}{w.shape} became {g.dtype}{g.shape}"))
        elif not is_float(dtype_name(w.dtype)) or (bound is None and record.kind != "elementwise" and record.name != "dropout"):
            found.append(_identical(w, g))
        elif bound is None:
            found.append(_in_ulps(w, e, g))
        else:
            found.append(_within(e, g, bound))
    return found


# ---- exact results and bounds ---------------------------------------------------------------------------------------


def _wide(a):
    """An array in the floats in which exact results are formed."""
    a = np.asarray(a)
    if not is_float(dtype_name(a.dtype)):
        return a
    with np.errstate(invalid="ignore"):  # a signalling NaN among the samples
        return a.astype(np.longdouble if a.dtype == np.float64 else np.float64)


def _exact(record, sample, arrays, want):
    """The results in wider floats where the meaning is written for them, else as they are."""
    if record.kind == "host" or any(dtype_name(a.dtype) in COMPLEX for a in arrays):
        return want
    attrs = {k: "float64" if k == "dtype" and is_float(v) else v for k, v in sample.attrs.items()}
    for convert in (_wide, lambda a: a.astype(np.float64) if is_float(dtype_name(a.dtype)) else a):
        try:
            return run_op(record.name, [convert(a) for a in arrays], attrs)
        except Exception:  # a meaning that does not know long doubles
            continue
    return want


def _bound(record, sample, arrays, want):
    """The largest error that is allowed per unit of eps; None where results must be the same or are measured otherwise."""
    if any(dtype_name(a.dtype) in COMPLEX for a in arrays):
        return None
    if record.name in _SUMS or (record.name == "scatter_reduce" and sample.attrs["how"] == "mul") or record.name in _PRODUCTS:
        wide = [_linear(record, i, np.abs(_wide(a)), a) for i, a in enumerate(arrays)]
        wide = [a.astype(np.float64) if a.dtype == np.longdouble else a for a in wide]
        magnitude = np.asarray(run_op(record.name, wide, sample.attrs)[0], np.float64)
        return _terms(record, sample, arrays, wide) * magnitude
    if record.name in _ATTENTION:
        return _STEPS_LIMIT * max(float(np.abs(_wide(a)).max(initial=0)) for a in (*arrays, *want) if a.dtype.kind == "f")
    many_steps = record.kind == "composite" and record.name not in ("one_hot", "custom_gradient", "dropout")
    if many_steps or record.name == "reduce_deviations":
        largest = max((np.abs(_wide(a))[np.isfinite(_wide(a))].max(initial=0) for a in (*arrays, *want) if a.dtype.kind != "i"), default=0)
        axes = sample.attrs.get("axes")
        x = arrays[0]
        if axes is None:
            axes = (x.ndim - 1,) if "softmax" in record.name else ()
        return _COMPOSITE_LIMIT * max(prod(x.shape[a] for a in axes), 1) * float(largest)
    return None


def _linear(record, position, magnitude, original):
    return original if record.name in _ONE_LINEAR_INPUT and position else magnitude if is_float(dtype_name(original.dtype)) else original


def _terms(record, sample, arrays, wide):
    """How many numbers are added or multiplied for each element, at least one."""
    attrs = sample.attrs
    if "window" in attrs and "groups" not in attrs:
        return max(prod(attrs["window"]), 1)
    if record.name in _SUMS:
        ones = [np.ones_like(a) if is_float(dtype_name(a.dtype)) else a for a in wide]
        return np.maximum(np.asarray(run_op(record.name, ones, attrs)[0], np.float64), 1)
    if record.name in ("scatter_reduce", "scatter_product_of_others"):
        return arrays[1].size + 1
    axes = attrs["axes"] if "axes" in attrs else (attrs["axis"],)
    return max(prod(arrays[0].shape[a] for a in axes), 1)


# ---- measures -------------------------------------------------------------------------------------------------------


def _identical(want, got) -> Error:
    """Zero where two arrays are equal, NaN to NaN and zeros with their signs."""
    if want.dtype.kind in "biu":
        same = want == got
    else:
        with np.errstate(all="ignore"):
            same = (np.isnan(want) & np.isnan(got)) | ((want == got) & _same_sign(want, got))
    return Error(0.0, 0.0, "ULP") if np.all(same) else Error(np.inf, 0.0, "ULP", _worst(np.where(same, 0.0, np.inf), want, got))


def _same_sign(a, b):
    if a.dtype.kind == "c":
        return True
    return np.signbit(a) == np.signbit(b)


def _worst(amounts, want, got):
    at = np.unravel_index(int(np.argmax(amounts)), amounts.shape)
    return f"{got[at]!r} instead of {want[at]!r} at {tuple(map(int, at))}"


def ulp(x: np.ndarray, name: str) -> np.ndarray:
    """Distance of neighbouring numbers of a dtype at x, an array of wider floats."""
    bits, least = {"float16": (10, -14), "bfloat16": (7, -126), "float32": (23, -126), "float64": (52, -1022)}[name]
    exponent = np.frexp(x)[1] - 1
    return np.ldexp(np.ones_like(x), np.maximum(np.where(x == 0, least, exponent), least) - bits)


def _in_ulps(want, exact, got) -> Error:
    """From the exact result, or from NumPy's in the dtype, whichever is nearer."""
    if not got.size:
        return Error(0.0, ULPS, "ULP")
    name = dtype_name(want.dtype)
    amounts = np.minimum(_ulps_between(exact, got, name, want.dtype), _ulps_between(_wide(want), got, name, want.dtype))
    # A zero must have NumPy's sign, where NumPy has a zero too.
    amounts = np.where((want == 0) & (got == 0) & (np.signbit(want) != np.signbit(got)), np.inf, amounts)
    return Error(float(amounts.max()), ULPS, "ULP", _worst(amounts, want, got))


def _ulps_between(exact, got, name, dtype):
    x, y = np.asarray(exact, np.longdouble), np.asarray(_wide(got), np.longdouble)
    import ml_dtypes

    top = np.longdouble(float(ml_dtypes.finfo(dtype).max))
    with np.errstate(all="ignore"):
        step = ulp(np.clip(x, -top, top), name)
        beyond = top + ulp(top[None], name)[0]  # where infinity stands
        distance = np.abs(np.clip(x, -beyond, beyond) - np.clip(y, -beyond, beyond)) / step
        return np.where(np.isnan(x) | np.isnan(y), np.where(np.isnan(x) & np.isnan(y), 0.0, np.inf), distance)


def _within(exact, got, bound) -> Error:
    """The error as a share of eps times the bound, to which half the smallest number is added."""
    name = dtype_name(got.dtype)
    x, y = np.asarray(exact, np.longdouble), np.asarray(_wide(got), np.longdouble)
    least = np.longdouble(2.0) ** {"float16": -24, "bfloat16": -133, "float32": -149, "float64": -1074}[name]
    with np.errstate(all="ignore"):
        rounded = np.asarray(exact).astype(got.dtype)
        allowed = np.broadcast_to(EPSILON[name] * np.asarray(bound, np.longdouble), x.shape) + least
        share = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0, np.abs(x - y) / allowed)
        # Beyond the largest number: infinite here and there.
        share = np.where(_wide(rounded) == y, np.where(np.isfinite(y), share, 0), share)
        share = np.where(np.isnan(share), np.inf, share)
    return Error(float(share.max(initial=0.0)), 1.0, "bound", _worst(share, rounded, got) if share.size else "")


def _scaled(want, got) -> Error:
    """The error relative to the largest element, for results of many steps."""
    if want.shape != got.shape or want.dtype != got.dtype:
        return Error(np.inf, 0.0, "bound", f"{want.dtype}{want.shape} became {got.dtype}{got.shape}")
    if not is_float(dtype_name(want.dtype)):
        return _identical(want, got)
    return _within(want, got, _STEPS_LIMIT * float(np.abs(want).max(initial=0)))
