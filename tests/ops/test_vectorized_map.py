"""`vectorized_map` against one call per element: every registered op, and what functions are made of."""

import itertools

import numpy as np
import pytest

import graphkeras as gk
from graphkeras import ops
from graphkeras.autodiff import GradientTape, gradients, jvp
from graphkeras.ir import REGISTRY
from graphkeras.ir.dims import symbol
from graphkeras.ir.dtypes import dtype_name, is_float
from graphkeras.ir.errors import DataError, ShapeError
from graphkeras.ir.registry import NoGradient
from graphkeras.ir.spec import TensorSpec
from graphkeras.ir.verify import verify
from graphkeras.ops import batching
from graphkeras.ops.vectorize import unvectorized
from graphkeras.testing import sweep, variations
from graphkeras.testing.evaluate import evaluate
from graphkeras.trace import Tensor, Variable, apply, as_tensor, trace

ELEMENTS = 3
WITHOUT_SAMPLES = {"input", "read_variable", "assign_variable", "layer_call"}
OPERANDS = sorted(
    name for name, record in REGISTRY.items() if name not in WITHOUT_SAMPLES and (record.kind != "source" or name == "random_bits")
)
EXACT = ("view", "index", "source")  # NumPy rounds functions of vectors and of numbers differently


def samples_of(name, count=2):
    record = REGISTRY[name]
    return [*record.samples, *variations.samples(record, count)]


def choices(count):
    """Which operands differ from element to element: all, and each alone; of few, every combination."""
    if count <= 3:
        return [c for c in itertools.product((True, False), repeat=count) if any(c)]
    return [(True,) * count, *(tuple(i == k for i in range(count)) for k in range(count))]


def batches_of(sample, differ, elements=ELEMENTS):
    """One array per operand, with a leading axis where it differs."""
    draws = [sweep.sample_arrays(sample, seed) for seed in range(max(elements, 1))]
    return [np.stack(arrays)[:elements] if d else arrays[0] for arrays, d in zip(zip(*draws), differ, strict=True)]


def function_of(record, sample, operands, differ):
    """(function of the slices of an element, stacked operands): the others are what the function holds on to."""
    call = sweep.call_of(record, sample)

    def function(slices):
        found = iter(slices)
        return call(*(next(found) if d else x for x, d in zip(operands, differ)))

    return function, [x for x, d in zip(operands, differ) if d]


def tuple_of(results):
    return results if isinstance(results, tuple) else (results,)


def one_by_one(record, sample, arrays, differ, elements=ELEMENTS):
    call = sweep.call_of(record, sample)
    rows = [tuple_of(call(*(as_tensor(a[i] if d else a) for a, d in zip(arrays, differ)))) for i in range(elements)]
    return [np.stack([r.numpy() for r in column]) for column in zip(*rows)]


def compare(record, got, want, what):
    for a, b in zip(got, want, strict=True):
        if record.kind in EXACT and record.name not in ("average_pool", "average_pool_gradient", "attention", "attention_gradient"):
            np.testing.assert_array_equal(np.asarray(a), b, err_msg=what)
        else:
            assert not sweep.far_apart(b, np.asarray(a), 64), (what, sweep.far_apart(b, np.asarray(a), 64))


@pytest.mark.parametrize("name", OPERANDS)
def test_every_op(name):
    """Eagerly, and as a graph with a size of the batch that is known only when it runs."""
    record = REGISTRY[name]
    for number, sample in enumerate(samples_of(name)):
        for differ in choices(len(sample.inputs)):
            arrays = batches_of(sample, differ)
            want = one_by_one(record, sample, arrays, differ)
            what = f"{name}, sample {number}, {differ}"
            function, rows = function_of(record, sample, [as_tensor(a) for a in arrays], differ)
            compare(record, [t.numpy() for t in tuple_of(ops.vectorized_map(function, rows))], want, what)
            batch = symbol("batch")
            specs = [
                TensorSpec((batch, *a.shape[1:]) if d else a.shape, dtype_name(a.dtype)) for a, d in zip(arrays, differ, strict=True)
            ]
            graph = verify(trace(lambda *xs: ops.vectorized_map(*function_of(record, sample, xs, differ)), specs))
            compare(record, evaluate(graph, arrays)[0], want, f"{what}, traced")


def test_which_ops_have_no_rule():
    """All operands differ from element to element."""
    found = {}
    for name in OPERANDS:
        for sample in samples_of(name, 1):
            differ = (True,) * len(sample.inputs)
            arrays = batches_of(sample, differ)
            found.update(unvectorized(*function_of(REGISTRY[name], sample, [as_tensor(a) for a in arrays], differ)))
    assert found == {}
