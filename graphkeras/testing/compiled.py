"""Compiled against strict and against NumPy, many samples of an op at a time: one graph, so that kernels compile side by side."""

import ctypes
from collections.abc import Sequence
from contextlib import contextmanager

import numpy as np

from graphkeras.ir.dtypes import dtype_name, is_integer
from graphkeras.ir.graph import Graph
from graphkeras.ir.registry import OpDef, Sample
from graphkeras.ir.verify import verify
from graphkeras.passes import run
from graphkeras.passes.pipeline import WITH_GRADIENTS, Pass
from graphkeras.testing.accuracy import Error, errors
from graphkeras.testing.sweep import call_of, sample_arrays, specs_of
from graphkeras.trace import apply, as_tensor, trace

THREADS = (1, 2, 3)
_BEYOND, _UNTOUCHED = 1 << 16, 0xA5  # bytes behind scratch that are watched, and what they hold
# Only what the lowering cannot do without: rules are tested elsewhere, and would fold ops without inputs.
_NEEDED = tuple(p for p in WITH_GRADIENTS if isinstance(p, Pass) and p.needed)


def measure(record: OpDef, samples: Sequence[Sample], arrays: Sequence[list], threads: Sequence[int] = THREADS) -> list[Error]:
    """Compiles an op on many samples, compares, and gives the largest error of each sample against NumPy.

    Each operand goes through an op that is its own inverse first, and what comes out goes through another one, so that fused
    kernels are not those of strict execution. Every kernel is shared among the threads, however small.

    Args:
        record: of the op.
        samples: at least one.
        arrays: their inputs.
        threads: how many to run with, one after the other.

    Raises:
        AssertionError: results are not the same bits fused or strict, or for these numbers of threads.
    """
    graph, counts = batch(record, samples, arrays)
    turned = [_turned_array(a) for inputs in arrays for a in inputs]
    results = _results(record, graph, turned, threads)
    found, start = [], 0
    for sample, inputs, count in zip(samples, arrays, counts):
        own = results[start : start + 2 * count : 2]  # what follows each of them is there to be fused
        found.append(max(errors(record, sample, inputs, own), key=lambda e: e.amount))
        start += 2 * count
    return found


def check_compiled(record: OpDef, samples: Sequence[Sample], threads: Sequence[int] = THREADS) -> list[Error]:
    """`measure`, where no error may be beyond its limit.

    Raises:
        AssertionError: as `measure`, or with the first sample whose result is too far from NumPy's.
    """
    arrays = [sample_arrays(sample) for sample in samples]
    found = measure(record, samples, arrays, threads)
    for sample, inputs, error in zip(samples, arrays, found):
        if not error.amount <= error.limit:
            raise AssertionError(
                f"{record.name}: compiled and exact results differ by {error.amount:.3g} ({error.unit}), limit {error.limit:g}: "
                f"{error.what}\nfor {', '.join(map(str, specs_of(inputs)))} with {sample.attrs}"
            )
    return found


def batch(record: OpDef, samples: Sequence[Sample], arrays: Sequence[list]) -> tuple[Graph, list[int]]:
    """One graph for all samples, and how many outputs each has."""
    counts = []

    def function(*tensors):
        outputs, start = [], 0
        for sample, inputs in zip(samples, arrays):
            own = [_turned(t) for t in tensors[start : start + len(inputs)]]
            start += len(inputs)
            made = call_of(record, sample)(*own)
            made = [as_tensor(t) for t in (made if isinstance(made, tuple) else (made,))]
            counts.append(len(made))
            outputs += [t for y in made for t in (y, _followed(y))]
        return outputs

    specs = specs_of([a for inputs in arrays for a in inputs])
    graph = verify(trace(function, specs, name=f"sweep_{record.name}"))
    return run(graph, _NEEDED, verify=True)[0], counts


def _turned(x):
    """Something exact that a second time gives the operand back."""
    if x.dtype == "bool":
        return apply("logical_not", x)
    return apply("bitwise_not" if is_integer(x.dtype) else "negative", x)


def _turned_array(a):
    name = dtype_name(a.dtype)
    return np.asarray(np.logical_not(a) if name == "bool" else np.invert(a) if is_integer(name) else np.negative(a))


def _followed(y):
    return apply("logical_not", y) if y.dtype == "bool" else apply("add", y, y)


def _results(record, graph, arrays, threads):
    from graphkeras.runtime.program import Program

    with every_kernel_shared():
        fused, strict = Program(graph), Program(graph, fuse=False)
        first = fused(*arrays, threads=threads[0])
        others = [(fused, n, f"{n} threads") for n in threads[1:]]
        others += [(strict, n, f"strict execution on {n} threads") for n in threads]
        for program, count, what in others:
            for a, b in zip(first, program(*arrays, threads=count), strict=True):
                if _bits(a) != _bits(b):
                    raise AssertionError(f"{record.name}: compiled results on one thread differ from {what}\n{_difference(a, b)}")
    return first


def _bits(a):
    """The bytes of an array, with one NaN for all: LLVM, like IEEE 754, promises nothing about its sign."""
    if a.dtype.kind in "biu":
        return a.tobytes()
    return np.where(np.isnan(a), np.asarray(np.nan, a.dtype), a).tobytes()


def _difference(a, b):
    unequal = np.frombuffer(a.tobytes(), f"V{a.itemsize}") != np.frombuffer(b.tobytes(), f"V{b.itemsize}")
    at = int(np.argmax(unequal))
    return f"{a.dtype}{list(a.shape)} at {at}: {a.reshape(-1)[at]!r}, {b.reshape(-1)[at]!r}; {int(unequal.sum())} elements"


@contextmanager
def every_kernel_shared():
    """Programs that are bound inside share every kernel among all threads, where each would keep a small one for itself."""
    from graphkeras.runtime import frame

    kept = frame.SHARE_NS, frame._GRAIN_NS
    frame.SHARE_NS, frame._GRAIN_NS = 0.0, 0.0
    try:
        yield
    finally:
        frame.SHARE_NS, frame._GRAIN_NS = kept


@contextmanager
def every_fusion_taken():
    """Programs that are made inside fuse what would not pay for arrays so small, or products so few: cheap values in front of
    contractions, and sums down the columns of their results."""
    from graphkeras.schedule import recompute, space

    kept = recompute.LEAST_BYTES, recompute.LEAST_LOOKED_UP_BYTES, recompute.USES, space.LEAST_SUMMED_BYTES
    recompute.LEAST_BYTES = recompute.LEAST_LOOKED_UP_BYTES = recompute.USES = space.LEAST_SUMMED_BYTES = 0
    try:
        yield
    finally:
        recompute.LEAST_BYTES, recompute.LEAST_LOOKED_UP_BYTES, recompute.USES, space.LEAST_SUMMED_BYTES = kept


def check_scratch(program, arrays: Sequence[np.ndarray]) -> None:
    """Runs a program kernel by kernel, each with as much scratch as it asks for.

    Raises:
        AssertionError: a kernel wrote to what lies behind.
    """
    from graphkeras.runtime import inspection
    from graphkeras.runtime.frame import number

    program.look()
    arrays = program.checked(arrays)
    sizes = program.bind([a.shape for a in arrays]).sizes

    def watched(kernel, compiled):
        entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(compiled.address)
        asked = number(kernel.scratch, sizes)

        def run(args, lo, hi, _):
            area = np.full(64 + asked + _BEYOND, _UNTOUCHED, np.uint8)
            first = -area.ctypes.data % 64  # scratch begins at a cache line
            entry(args, lo, hi, area.ctypes.data + first)
            written = np.flatnonzero(area[first + asked :] != _UNTOUCHED)
            if len(written):
                raise AssertionError(f"{kernel.name} asks for {asked} bytes of scratch and writes to {written[-1] + 1} more")

        return run

    inspection.walk(program, arrays, watched)
