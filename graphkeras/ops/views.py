"""Ops that move no data where strides can express them: reshape, transpose, broadcast_to, slice."""

import numpy as np

from graphkeras.ir.dims import Dim, size
from graphkeras.ir.dtypes import SHORT
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ir.registry import ErrorSample, Sample, register_op
from graphkeras.ir.samples import any_dtype, any_shape, booleans, drawn, flip, integers, uniform
from graphkeras.ops import batching
from graphkeras.ops.inference import broadcast_dim, require_same_size, scalar_like, show, slice_length
from graphkeras.trace import prim


def _no_flops(*specs, outputs, **attrs):
    return 0


_DTYPES = tuple(d for d in SHORT if d != "string")


def _reshape_varied(rng):
    """To the factors of the number of elements, ones among them, in a random order."""
    old = any_shape(rng)
    left, new = size(old), []
    for factor in (2, 2, 3, 5, 7):
        if left and left % factor == 0 and flip(rng):
            left //= factor
            new.append(factor)
    shape = [*new, *([left] if left != 1 or flip(rng) else []), *([1] if flip(rng) else [])]
    return Sample((drawn(old, any_dtype(rng, _DTYPES)),), {"shape": tuple(int(d) for d in rng.permutation(shape))})


def _transpose_varied(rng):
    shape = any_shape(rng)
    return Sample((drawn(shape, any_dtype(rng, _DTYPES)),), {"perm": tuple(int(a) for a in rng.permutation(len(shape)))})


def _broadcast_to_varied(rng):
    shape = any_shape(rng)
    old = tuple(1 if flip(rng) else d for d in shape)[int(rng.integers(0, len(shape) + 1)) if flip(rng) else 0 :]
    return Sample((drawn(old, any_dtype(rng, _DTYPES)),), {"shape": shape})


def _slice_varied(rng):
    shape, cuts = any_shape(rng), []
    for dim in shape:
        stride = int(rng.choice([1, 1, 2, 3, -1, -2]))
        low, high = sorted(int(v) for v in rng.integers(0, dim + 1, 2))
        # Backwards from the last of [low, high) down to low; a stop of -1 means down to element 0.
        cuts.append((low, high, stride) if stride > 0 or low == high else (high - 1, low - 1, stride))
    starts, stops, strides = zip(*((a, b, abs(s) if a == b else s) for a, b, s in cuts)) if cuts else ((), (), ())
    return Sample((drawn(shape, any_dtype(rng, _DTYPES)),), {"starts": starts, "stops": stops, "strides": strides})


def _reshape_infer(x, *, shape):
    require_same_size("reshape", x.shape, shape)
    return x.with_shape(shape)


register_op(
    "reshape",
    kind="view",
    batch=batching.reshape,
    infer=_reshape_infer,
    eager=lambda x, *, shape: x.reshape(shape),
    vjp=lambda ct, x, y, *, shape: (prim.reshape(ct, shape=x.spec.shape),),
    cost=_no_flops,
    samples=[
        Sample((uniform((2, 6)),), {"shape": (3, 4)}),
        Sample((uniform((2, 3)),), {"shape": (6,)}),
        Sample((uniform((1,)),), {"shape": ()}),
        Sample((integers((4, 3)),), {"shape": (2, 1, 6)}),
    ],
    vary=_reshape_varied,
    errors=[ErrorSample((uniform((2, 3)),), {"shape": (4,)}, raises=ShapeError, match="has 6 elements, shape .4,. has 4")],
)


def _transpose_infer(x, *, perm):
    if sorted(perm) != list(range(x.rank)):
        raise ArgumentError(
            f"transpose: axes must be a valid permutation of the axes of a tensor of rank {x.rank}. Received: axes={list(perm)}",
            got=f"perm {perm} for {x}",
            expected=f"each of 0..{x.rank - 1} once" if x.rank else "()",
            mend="leave axes=None to reverse all axes",
        )
    return x.with_shape(tuple(x.shape[p] for p in perm))


register_op(
    "transpose",
    kind="view",
    batch=batching.transpose,
    infer=_transpose_infer,
    eager=lambda x, *, perm: x.transpose(perm),
    vjp=lambda ct, x, y, *, perm: (prim.transpose(ct, perm=tuple(perm.index(i) for i in range(len(perm)))),),
    cost=_no_flops,
    samples=[
        Sample((uniform((2, 3)),), {"perm": (1, 0)}),
        Sample((uniform((2, 3, 4)),), {"perm": (2, 0, 1)}),
        Sample((uniform((5, 17, 3)),), {"perm": (1, 0, 2)}),
        Sample((booleans((3, 4)),), {"perm": (1, 0)}),
    ],
    vary=_transpose_varied,
    errors=[ErrorSample((uniform((2, 3)),), {"perm": (0, 0)}, raises=ArgumentError, match="valid permutation of the axes")],
)


def _broadcast_to_infer(x, *, shape):
    fits = len(shape) >= x.rank and all(
        broadcast_dim(old, new) is not None and not (isinstance(new, int) and new == 1 and isinstance(old, int) and old != 1)
        for old, new in zip(x.shape, shape[len(shape) - x.rank :])
    )
    if not fits:
        raise ShapeError(
            f"broadcast_to: shape {x.shape} does not broadcast to {shape}.",
            got=show([x]),
            expected="sizes that are 1 or equal to those of the new shape, counted from the last axis",
            mend="insert axes of size 1 with ops.expand_dims, or repeat with ops.tile",
        )
    return x.with_shape(shape)


register_op(
    "broadcast_to",
    kind="view",
    batch=batching.broadcast_to,
    infer=_broadcast_to_infer,
    eager=lambda x, *, shape: np.broadcast_to(x, shape),
    vjp=lambda ct, x, y, *, shape: (ct,),
    cost=_no_flops,
    samples=[
        Sample((uniform((3,)),), {"shape": (2, 3)}),
        Sample((uniform((2, 1, 4)),), {"shape": (2, 3, 4)}),
        Sample((uniform(()),), {"shape": (17,)}),
        Sample((integers((1,)),), {"shape": (3, 1)}),
    ],
    vary=_broadcast_to_varied,
    errors=[ErrorSample((uniform((2,)),), {"shape": (3,)}, raises=ShapeError, match="does not broadcast")],
)


def _slice_infer(x, *, starts, stops, strides):
    if not len(starts) == len(stops) == len(strides) == x.rank:
        raise ArgumentError(
            f"slice: {len(starts)} starts, {len(stops)} stops and {len(strides)} strides for rank {x.rank}.",
            got=show([x]),
            expected="one start, stop and stride per axis",
        )
    for axis, (dim, start, stop, stride) in enumerate(zip(x.shape, starts, stops, strides)):
        if stride == 0:
            raise ArgumentError(
                f"slice: the stride of axis {axis} is 0.", got=f"strides {strides}", expected="strides other than 0"
            )
        if any(isinstance(v, Dim) for v in (dim, start, stop)):
            continue
        low, high = (0, dim) if stride > 0 else (-1, dim - 1)
        if not (low <= start <= max(high, 0) and low <= stop <= max(high, low)):
            raise ShapeError(
                f"slice: {start}:{stop}:{stride} leaves axis {axis} of size {dim}.",
                got=show([x]),
                expected=f"bounds in [{low}, {high}]",
                mend="check the sizes: an axis is shorter than the slice needs",
            )
    return x.with_shape(tuple(map(slice_length, starts, stops, strides)))


def _slice_eager(x, *, starts, stops, strides):
    # A stop of -1 with a negative stride means: down to element 0.
    return x[tuple(slice(a, None if b < 0 else b, s) for a, b, s in zip(starts, stops, strides))]


def _slice_vjp(ct, x, y, *, starts, stops, strides):
    for axis, (dim, start, stop, stride) in enumerate(zip(x.spec.shape, starts, stops, strides)):
        ct = _unslice(ct, axis, dim, start, stop, stride)
    return (ct,)


def _unslice(ct, axis, dim, start, stop, stride):
    """Puts the elements of `ct` back to where a slice of one axis took them from, with zeros between."""
    rank = ct.ndim
    zero = scalar_like(0, ct)
    at = lambda value: tuple(value if i == axis else 0 for i in range(rank))
    length = ct.spec.shape[axis]
    if stride < 0:
        ct = _reversed(ct, axis)
        start, stride = start + (length - 1) * stride, -stride
        if isinstance(length, int) and length == 0:
            start = 0
    if stride > 1:
        # (..., n, ...) -> (..., n, 1, ...) -> zeros behind each element -> (..., n * stride, ...)
        shape = ct.spec.shape
        ct = prim.reshape(ct, shape=(*shape[: axis + 1], 1, *shape[axis + 1 :]))
        behind = tuple(stride - 1 if i == axis + 1 else 0 for i in range(rank + 1))
        ct = prim.pad(ct, zero, low=(0,) * (rank + 1), high=behind)
        ct = prim.reshape(ct, shape=(*shape[:axis], length * stride, *shape[axis + 1 :]))
        # The last element needs no zeros behind it when the slice ended there.
        room = dim - start
        if isinstance(room, Dim) or isinstance(length, Dim) or length * stride > room:
            keep = length * stride - (stride - 1)
            keep = max(keep, 0) if isinstance(keep, int) else keep
            ct = prim.slice(ct, starts=(0,) * rank, stops=_with(ct.spec.shape, axis, keep), strides=(1,) * rank)
    return prim.pad(ct, zero, low=at(start), high=at(dim - start - ct.spec.shape[axis]))


def _with(shape, axis, dim):
    return (*shape[:axis], dim, *shape[axis + 1 :])


def _reversed(x, axis):
    rank, shape = x.ndim, x.spec.shape
    return prim.slice(
        x,
        starts=tuple(shape[i] - 1 if i == axis else 0 for i in range(rank)),
        stops=tuple(-1 if i == axis else shape[i] for i in range(rank)),
        strides=tuple(-1 if i == axis else 1 for i in range(rank)),
    )


register_op(
    "slice",
    kind="view",
    batch=batching.slices,
    infer=_slice_infer,
    eager=_slice_eager,
    vjp=_slice_vjp,
    cost=_no_flops,
    samples=[
        Sample((uniform((4, 5)),), {"starts": (1, 0), "stops": (3, 5), "strides": (1, 1)}),
        Sample((uniform((7, 5)),), {"starts": (0, 1), "stops": (7, 5), "strides": (3, 2)}),
        Sample((uniform((7,)),), {"starts": (6,), "stops": (-1,), "strides": (-1,)}),
        Sample((uniform((7, 3)),), {"starts": (5, 2), "stops": (0, -1), "strides": (-2, -1)}),
        Sample((uniform((4, 40)),), {"starts": (0, 3), "stops": (4, 36), "strides": (1, 1)}),
        Sample((integers((4,)),), {"starts": (2,), "stops": (2,), "strides": (1,)}),
    ],
    vary=_slice_varied,
    errors=[
        ErrorSample(
            (uniform((4,)),), {"starts": (0,), "stops": (5,), "strides": (1,)}, raises=ShapeError, match="leaves axis 0 of size 4"
        ),
        ErrorSample(
            (uniform((4,)),), {"starts": (0,), "stops": (4,), "strides": (0,)}, raises=ArgumentError, match="stride of axis 0 is 0"
        ),
    ],
)
