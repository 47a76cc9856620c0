"""Records of Fourier transforms, on the host through NumPy's pocketfft, and of complex tensors.

Complex numbers go through programs as pairs of real tensors, as in Keras; the records here take and give such pairs.
"""

import numpy as np

from graphkeras.ir.dims import Dim, dim_max
from graphkeras.ir.dtypes import COMPLEX
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ir.registry import ErrorSample, NoGradient, Sample, register_op
from graphkeras.ir.samples import any_axes, any_dtype, any_shape, integers, uniform
from graphkeras.ops import batching
from graphkeras.ops.inference import join_dim, require_axes, require_dtype, require_equal_dtypes, scalar_like, show
from graphkeras.ops.sources import iota
from graphkeras.trace import prim

FLOAT = ("float32", "float64")
_COMPLEX_OF = {"float32": "complex64", "float64": "complex128"}
_REAL_OF = {c: r for r, c in _COMPLEX_OF.items()}


def _require_pair(op, real, imag):
    require_dtype(op, [real, imag], FLOAT, "float32 or float64")
    require_equal_dtypes(op, [real, imag])
    if real.rank != imag.rank or any(join_dim(a, b) is None for a, b in zip(real.shape, imag.shape)):
        raise ShapeError(f"{op}: real and imaginary parts have different shapes.", got=show([real, imag]), expected="equal shapes")


def complex_array(real, imag):
    """The pair as one complex array."""
    z = np.empty(np.broadcast_shapes(real.shape, imag.shape), _COMPLEX_OF[real.dtype.name])
    z.real, z.imag = real, imag
    return z


def _pair(z, dtype):
    return np.ascontiguousarray(z.real, dtype).reshape(z.shape), np.ascontiguousarray(z.imag, dtype).reshape(z.shape)


def _parts(ct, like):
    """Both cotangents of a pair; zeros where one is unused."""
    zero = lambda: like * scalar_like(0, like)
    return (zero() if ct[0] is None else ct[0]), (zero() if ct[1] is None else ct[1])


# ---- complex transforms ---------------------------------------------------------------------------------------------


def _fft_infer(real, imag, *, axes, inverse):
    _require_pair("fft", real, imag)
    require_axes("fft", axes, real.rank)
    return real, imag


def _fft_eager(real, imag, *, axes, inverse):
    if real.size == 0:
        return real.copy(), imag.copy()
    z = complex_array(real, imag)
    return _pair((np.fft.ifftn if inverse else np.fft.fftn)(z, axes=axes), real.dtype)


def _fft_vjp(ct, real, imag, *outputs, axes, inverse):
    # y = F x, so the cotangent is F^H ct; F^H = n F^-1, and (F^-1)^H = F / n.
    count = 1
    for axis in axes:
        count = real.spec.shape[axis] * count
    gr, gi = prim.fft(*_parts(ct, real), axes=axes, inverse=not inverse)
    factor = _number(count, gr)
    return (gr / factor, gi / factor) if inverse else (gr * factor, gi * factor)


def _number(count, like):
    """A size, known or not, as a scalar of the dtype of `like`."""
    return prim.cast(prim.dim(size=count), dtype=like.dtype) if isinstance(count, Dim) else scalar_like(count, like)


_LAST = {"axes": (1,), "inverse": False}


def _pair_varied(rng, shape, **attrs):
    part = uniform(shape, dtype=any_dtype(rng, FLOAT))
    return Sample((part, part), attrs)


def _fft_varied(rng):
    shape = any_shape(rng)
    return _pair_varied(rng, shape, axes=any_axes(rng, len(shape)), inverse=bool(rng.integers(2)))

register_op(
    "fft",
    kind="host",
    batch=batching.shifted("axes"),
    infer=_fft_infer,
    eager=_fft_eager,
    vjp=_fft_vjp,
    cost=lambda real, imag, outputs, *, axes, inverse: 40 * real.size,
    samples=[
        Sample((uniform((3, 8)), uniform((3, 8))), _LAST),
        Sample((uniform((3, 7)), uniform((3, 7))), {"axes": (1,), "inverse": True}),
        Sample((uniform((2, 3, 5)), uniform((2, 3, 5))), {"axes": (1, 2), "inverse": False}),
        Sample((uniform((2, 4, 4)), uniform((2, 4, 4))), {"axes": (1, 2), "inverse": True}),
        Sample((uniform((0, 4)), uniform((0, 4))), _LAST),
    ],
    vary=_fft_varied,
    errors=[
        ErrorSample((uniform((3, 8)), uniform((3, 7))), _LAST, raises=ShapeError, match="different shapes"),
        ErrorSample((integers((3, 8)), integers((3, 8))), _LAST, raises=DTypeError, match="needs float32 or float64"),
        ErrorSample((uniform((8,)), uniform((8,))), _LAST, raises=ArgumentError, match="out of bounds for rank 1"),
    ],
)


# ---- transforms of real sequences -----------------------------------------------------------------------------------


def _require_length(op, length):
    if isinstance(length, int) and length < 1:
        raise ArgumentError(f"{op}: the length must be positive.", got=f"length {length}", expected="1 or more")


def _rfft_infer(x, *, length):
    require_dtype("rfft", [x], FLOAT, "float32 or float64")
    _require_length("rfft", length)
    if not x.rank:
        raise ShapeError("rfft: needs at least one axis.", got=show([x]), expected="rank 1 or more")
    spec = x.with_shape((*x.shape[:-1], length // 2 + 1))
    return spec, spec


def _rfft_eager(x, *, length):
    if x.size == 0:
        zeros = np.zeros((*x.shape[:-1], length // 2 + 1), x.dtype)
        return zeros, zeros.copy()
    return _pair(np.fft.rfft(x, length), x.dtype)


def _weights(bins, length, like, ends, inner):
    """`ends` for the frequencies that a real sequence has once (zero, and half of an even length), `inner` for all others."""
    k = iota((bins,), 0, "int32", like=like)
    twice = k * np.int32(2)
    once = prim.logical_or(prim.equal(k, np.int32(0)), prim.equal(twice, prim.cast(_length_scalar(length), dtype="int32")))
    return prim.select(once, scalar_like(ends, like), scalar_like(inner, like))


def _length_scalar(length):
    return prim.dim(size=length) if isinstance(length, Dim) else np.int32(length)


def _fitted(x, size):
    """The last axis cut, or filled up with zeros, to `size`."""
    have = x.spec.shape[-1]
    if have == size:
        return x
    rank = x.ndim
    kept = have + size - dim_max(have, size)  # the smaller one, which may be known only when the program runs
    if kept != have:
        x = prim.slice(x, starts=(0,) * rank, stops=(*x.spec.shape[:-1], kept), strides=(1,) * rank)
    return x if kept == size else prim.pad(x, scalar_like(0, x), low=(0,) * rank, high=(*(0,) * (rank - 1), size - kept))


def _rfft_vjp(ct, x, real, imag, *, length):
    # Re(F^H ct): irfft counts the inner frequencies twice, so they enter with half their weight.
    gr, gi = _parts(ct, real)
    half = _weights(real.spec.shape[-1], length, real, 1.0, 0.5)
    g = prim.irfft(gr * half, gi * half, length=length) * _number(length, real)
    return (_fitted(g, x.spec.shape[-1]),)


register_op(
    "rfft",
    kind="host",
    batch=batching.leading,
    infer=_rfft_infer,
    eager=_rfft_eager,
    vjp=_rfft_vjp,
    cost=lambda x, outputs, *, length: 20 * x.size,
    samples=[
        Sample((uniform((3, 8)),), {"length": 8}),
        Sample((uniform((2, 7)),), {"length": 7}),
        Sample((uniform((2, 5)),), {"length": 8}),
        Sample((uniform((2, 9)),), {"length": 6}),
        Sample((uniform((4,)),), {"length": 1}),
    ],
    vary=lambda rng: Sample(_pair_varied(rng, any_shape(rng, 1)).inputs[:1], {"length": int(rng.integers(1, 12))}),
    errors=[
        ErrorSample((uniform((8,)),), {"length": 0}, raises=ArgumentError, match="must be positive"),
        ErrorSample((integers((8,)),), {"length": 8}, raises=DTypeError, match="needs float32 or float64"),
    ],
)


def _irfft_infer(real, imag, *, length):
    _require_pair("irfft", real, imag)
    _require_length("irfft", length)
    if not real.rank:
        raise ShapeError("irfft: needs at least one axis.", got=show([real]), expected="rank 1 or more")
    return real.with_shape((*real.shape[:-1], length))


def _irfft_eager(real, imag, *, length):
    if real.size == 0:
        return np.zeros((*real.shape[:-1], length), real.dtype)
    return np.fft.irfft(complex_array(real, imag), length).astype(real.dtype, copy=False)


def _irfft_vjp(ct, real, imag, y, *, length):
    # Every inner frequency stands for two conjugate ones.
    bins = length // 2 + 1
    gr, gi = prim.rfft(ct, length=length)
    weight = _weights(bins, length, gr, 1.0, 2.0) / _number(length, gr)
    return tuple(_fitted(part * weight, real.spec.shape[-1]) for part in (gr, gi))


register_op(
    "irfft",
    kind="host",
    batch=batching.leading,
    infer=_irfft_infer,
    eager=_irfft_eager,
    vjp=_irfft_vjp,
    cost=lambda real, imag, outputs, *, length: 20 * outputs[0].size,
    samples=[
        Sample((uniform((3, 5)), uniform((3, 5))), {"length": 8}),
        Sample((uniform((2, 4)), uniform((2, 4))), {"length": 7}),
        Sample((uniform((2, 3)), uniform((2, 3))), {"length": 8}),
        Sample((uniform((2, 6)), uniform((2, 6))), {"length": 4}),
    ],
    vary=lambda rng: _pair_varied(rng, any_shape(rng, 1), length=int(rng.integers(1, 12))),
    errors=[
        ErrorSample((uniform((5,)), uniform((4,))), {"length": 8}, raises=ShapeError, match="different shapes"),
        ErrorSample((uniform((5,)), uniform((5,))), {"length": 0}, raises=ArgumentError, match="must be positive"),
    ],
)


# ---- complex tensors ------------------------------------------------------------------------------------------------

_NO_COMPLEX_GRADIENT = NoGradient("gradients of complex numbers are not formed; the transforms on pairs of real tensors have them")


def _complex_infer(real, imag):
    _require_pair("complex", real, imag)
    return real.with_dtype(_COMPLEX_OF[real.dtype])


register_op(
    "complex",
    kind="host",
    batch=batching.leading,
    infer=_complex_infer,
    eager=complex_array,
    vjp=_NO_COMPLEX_GRADIENT,
    samples=[Sample((uniform((2, 3)), uniform((2, 3)))), Sample((uniform(()), uniform(())))],
    vary=lambda rng: _pair_varied(rng, any_shape(rng)),
    errors=[ErrorSample((uniform((2,)), uniform((3,))), {}, raises=ShapeError, match="different shapes")],
)


def _part_infer(op):
    def infer(z):
        require_dtype(op, [z], COMPLEX, "complex")
        return z.with_dtype(_REAL_OF[z.dtype])

    return infer


def _complex_numbers(shape, dtype="complex64"):
    return uniform(shape, -1, 1, dtype)


for _name, _function in (("real_part", np.real), ("imaginary_part", np.imag)):
    register_op(
        _name,
        kind="host",
        batch=batching.leading,
        infer=_part_infer(_name),
        eager=lambda z, function=_function: np.ascontiguousarray(function(z)).reshape(z.shape),
        vjp=_NO_COMPLEX_GRADIENT,
        samples=[Sample((_complex_numbers((2, 3)),)), Sample((_complex_numbers(()),))],
        vary=lambda rng: Sample((_complex_numbers(any_shape(rng), any_dtype(rng, COMPLEX)),)),
        errors=[ErrorSample((uniform((2,)),), {}, raises=DTypeError, match="needs complex elements")],
    )
