"""Random samples of ops: by the rule beside the record, or derived from its hand-written samples.

Elementwise ops get random shapes that broadcast, ops of one input along axes get a random shape and random axes, both in random
dtypes out of those that the inference accepts. An op that has neither form nor a rule gets new numbers, and new dtypes where it
takes them, in the shapes of its samples.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from zlib import crc32

import numpy as np

from graphkeras.ir.dtypes import COMPLEX, FLOATS, INTEGERS, numpy_dtype
from graphkeras.ir.errors import GraphKerasError
from graphkeras.ir.registry import OpDef, Sample, infer_specs
from graphkeras.ir.samples import Draw, any_axes, any_axis, any_dtype, any_shape, exactly, flip, shapes_that_broadcast
from graphkeras.ir.spec import TensorSpec

COUNT = 20
_TRIES = 100
_DTYPES = {"float": (*FLOATS, "complex64"), "integer": INTEGERS, "boolean": ("bool",)}
_AXES_ATTRS = {"axes", "axis", "keepdims", "reverse"}


def samples(record: OpDef, count: int = COUNT) -> list[Sample]:
    """`count` random samples of an op, the same ones every time; none where it has nothing to start from.

    One or two more where no axis had size 0, or none had size 1.
    """
    if record.vary is None and not record.samples:
        return []
    numbered = (_sample(record, np.random.default_rng([crc32(record.name.encode()), number])) for number in range(count + _TRIES))
    found = list(islice(numbered, count))
    missing = {0, 1}.difference(*map(_sizes, found)) if found and found[0].inputs else set()
    for sample in numbered:
        if not missing:
            break
        if missing & _sizes(sample):
            missing -= _sizes(sample)
            found.append(sample)
    return found


def _sizes(sample) -> set[int]:
    """Sizes of the axes of a sample's inputs."""
    return {d for maker in sample.inputs for d in (maker.shape if isinstance(maker, Draw) else maker(np.random.default_rng(0)).shape)}


def _sample(record, rng):
    if record.vary is not None:
        return record.vary(rng)
    for _ in range(_TRIES):
        base = record.samples[rng.integers(len(record.samples))]
        shapes = _shapes(record, base, rng)
        if shapes is None:
            continue
        sizes, attrs = shapes
        found = _in_dtypes(record, base, sizes, attrs, rng)
        if found is not None:
            return found
    raise AssertionError(f"no random sample of {record.name} was accepted; give its record a rule `vary`")


def _shapes(record, base, rng):
    """Random shapes for the inputs of a sample, and attributes that go with them; None where the sample is no start."""
    draws = all(isinstance(maker, Draw) for maker in base.inputs)
    if record.kind == "elementwise":
        if not draws or not base.inputs:
            return None
        attrs = base.attrs
        if "dtype" in attrs:
            attrs = {**attrs, "dtype": any_dtype(rng, (*FLOATS, *INTEGERS, "bool"))}
        return shapes_that_broadcast(rng, len(base.inputs)), attrs
    if len(base.inputs) == 1 and base.attrs and set(base.attrs) <= _AXES_ATTRS:
        if not draws:
            return None
        shape = any_shape(rng, int("axis" in base.attrs))
        if shape and rng.random() < 0.1:  # sums and sorts go on in another way along axes that are longer than a block
            place = any_axis(rng, len(shape))
            shape = tuple(int(rng.choice([300, 5000])) if i == place else min(d, 3) for i, d in enumerate(shape))
        return [shape], {name: _axes_attr(name, len(shape), rng) for name in base.attrs}
    return [None] * len(base.inputs), base.attrs


def _axes_attr(name, rank, rng):
    if name == "axes":
        return any_axes(rng, rank)
    return any_axis(rng, rank) if name == "axis" else flip(rng)


def _in_dtypes(record, base, shapes, attrs, rng):
    """The sample in random dtypes that are accepted, inputs of one dtype staying so; None where none of a few is."""
    kinds: dict[str, list[Draw]] = {}
    for maker in base.inputs:
        if isinstance(maker, Draw):
            kinds.setdefault(maker.dtype, []).append(maker)
    chosen = {}
    for dtype, makers in kinds.items():
        fitting = [d for d in _DTYPES[makers[0].kind] if all(maker.fits(d) for maker in makers)]
        chosen[dtype] = any_dtype(rng, fitting)
    inputs = tuple(
        maker.like(shape, chosen[maker.dtype]) if isinstance(maker, Draw) else maker for maker, shape in zip(base.inputs, shapes)
    )
    arrays = [maker(np.random.default_rng(0)) for maker in inputs]
    try:
        infer_specs(record.name, [TensorSpec(np.shape(a), a.dtype.name) for a in arrays], attrs)
    except GraphKerasError:
        return None
    return replace(base, inputs=inputs, attrs=attrs)


# ---- special values ---------------------------------------------------------------------------------------------------

_FINITE = (0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.0, -2.0, 2.5, 3.0, -3.0, 1e-3, 10.0, 88.0, 709.0, 1e6)


@cache
def special_values(dtype: str) -> np.ndarray:
    """Numbers at which functions go wrong: zeros, ones, limits, denormals, infinities, NaN."""
    target = numpy_dtype(dtype)
    if dtype == "bool":
        return np.array([False, True])
    if dtype in INTEGERS:
        limits = np.iinfo(target)
        edges = {limits.min, limits.min + 1, limits.max - 1, limits.max, limits.max // 2, 0, 1, 2, 3, 7, 8, 63, 64}
        edges |= {-e for e in (1, 2, 3, 7, 8) if limits.min < 0}
        return np.array(sorted(edges), target)
    parts = [special_values(_part(dtype)).astype(np.float64)] if dtype in COMPLEX else []
    if parts:
        return (parts[0][:, None] + 1j * parts[0][None, ::3]).reshape(-1).astype(target)
    import ml_dtypes

    limits = ml_dtypes.finfo(target)
    bounds = [float(v) for v in (limits.tiny, limits.smallest_subnormal, limits.max, limits.eps)]
    numbers = [*_FINITE, *bounds, *(-b for b in bounds), bounds[0] / 2, np.inf, -np.inf, np.nan]
    with np.errstate(all="ignore"):
        return np.array(numbers, np.float64).astype(target)


def _part(dtype):
    return "float32" if dtype == "complex64" else "float64"


def any_bits(rng, dtype: str, count: int) -> np.ndarray:
    """Random bit patterns: numbers of all sizes."""
    target = numpy_dtype(dtype)
    if dtype == "bool":
        return rng.integers(0, 2, count).astype(bool)
    return rng.integers(0, 256, count * target.itemsize, np.uint8).view(target)


def special_samples(record: OpDef, count: int = 600) -> Iterator[Sample]:
    """For an elementwise op and every dtype that it accepts: all pairs of special values, and numbers of all sizes; for one input of
    half precision all numbers there are."""
    for base, chosen in _all_dtypes(record):
        rng = np.random.default_rng([crc32(record.name.encode()), *map(crc32, (d.encode() for d in chosen))])
        if len(chosen) == 1 and numpy_dtype(chosen[0]).itemsize == 2:
            columns = [np.arange(1 << 16, dtype=np.uint16).view(numpy_dtype(chosen[0]))]
        else:
            grid = np.meshgrid(*(np.arange(len(special_values(d))) for d in chosen))
            columns = [
                np.concatenate([special_values(d)[g.reshape(-1)], any_bits(rng, d, count), _moderate(rng, d, count)])
                for d, g in zip(chosen, grid)
            ]
        yield replace(base, inputs=tuple(exactly(c) for c in columns))


def _moderate(rng, dtype, count):
    """Numbers of everyday size."""
    if dtype == "bool" or dtype in INTEGERS:
        low = 0 if dtype == "bool" or dtype.startswith("u") else -20
        return rng.integers(low, 2 if dtype == "bool" else 20, count).astype(numpy_dtype(dtype))
    return (rng.choice([-1, 1], count) * np.exp(rng.uniform(-6, 6, count))).astype(numpy_dtype(dtype))


def _all_dtypes(record) -> Iterator[tuple[Sample, tuple[str, ...]]]:
    """(a hand-written sample, dtypes of its inputs) for every choice of dtypes and every attribute `dtype` that is accepted."""
    seen = set()
    for base in record.samples:
        if not base.inputs or not all(isinstance(maker, Draw) for maker in base.inputs):
            continue
        old = [maker.dtype for maker in base.inputs]
        free = dict.fromkeys(old)
        others = [d for d in free if d != "bool"]
        for dtype in (*FLOATS, *INTEGERS, "bool", *COMPLEX[:1]) if others else ("bool",):
            chosen = tuple("bool" if d == "bool" else dtype for d in old)
            for target in (*FLOATS, *INTEGERS, "bool") if "dtype" in base.attrs else (None,):
                attrs = base.attrs if target is None else {**base.attrs, "dtype": target}
                key = (chosen, target)
                if key in seen:
                    continue
                try:
                    infer_specs(record.name, [TensorSpec((2,), d) for d in chosen], attrs)
                except GraphKerasError:
                    continue
                seen.add(key)
                yield replace(base, attrs=attrs), chosen
