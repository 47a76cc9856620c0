"""check_gradients: vjp rules against differences."""

from collections.abc import Callable, Sequence

import numpy as np

from graphkeras.autodiff import gradients
from graphkeras.ir.dtypes import dtype_name, is_float
from graphkeras.ir.graph import Graph
from graphkeras.ir.spec import TensorSpec
from graphkeras.testing.evaluate import evaluate
from graphkeras.trace import SymbolicTensor, TraceScope, as_value, trace, tracing

_STEP = 1e-5
_TOLERANCE = 1e-6
_JUMP = 1e3  # slopes beyond are taken for a jump
_KINK = 1e-2  # one-sided differences of a smooth function do not differ by so much


def check_gradients(
    fn: Callable, inputs: Sequence[np.ndarray], order: int = 2, seed: int = 0, tolerance: float = _TOLERANCE
) -> None:
    """Compares gradients with central differences along one random direction, in float64.

    Where the differences to both sides disagree, there is a kink, and the gradient must lie between them.

    Args:
        fn: a function of tensors that returns a tensor or several.
        inputs: arrays; floats are taken to float64 and differentiated by, others stay.
        order: 1 checks gradients, 2 checks gradients of gradients as well.
        seed: of directions and cotangents.
        tolerance: relative to the larger of the two, and to 1.

    Raises:
        AssertionError: with the order, the derivative found and the one expected.
    """
    arrays = [a.astype(np.float64) if is_float(dtype_name(np.asarray(a).dtype)) else np.asarray(a) for a in map(np.asarray, inputs)]
    specs = [TensorSpec(a.shape, dtype_name(a.dtype)) for a in arrays]
    graph = trace(fn, specs)
    rng = np.random.default_rng(seed)
    for level in range(1, order + 1):
        found = _weighted_gradient(graph, rng)
        if found is None:
            return
        scalar, graph = found
        _check_level(scalar, graph, arrays, rng, level, tolerance)


def _weighted_gradient(graph: Graph, rng):
    """The graph of a random weighting of all float outputs, and the graph of its gradient by all float inputs."""
    sources = [v for v in graph.inputs if is_float(v.dtype)]
    targets = [v for v in graph.outputs if is_float(v.dtype)]
    if not sources or not targets:
        return None
    weights = [rng.uniform(0.5, 1.5, t.shape) for t in targets]

    def total(arrays):
        outputs = [a for a, v in zip(evaluate(graph, arrays)[0], graph.outputs) if is_float(v.dtype)]
        return sum(float((w * o.astype(np.float64)).sum()) for w, o in zip(weights, outputs))

    with tracing(TraceScope()):
        cts = [SymbolicTensor.wrap(as_value(w.astype(t.dtype))) for w, t in zip(weights, targets)]
        found = gradients([SymbolicTensor.wrap(t) for t in targets], [SymbolicTensor.wrap(s) for s in sources], cts)
    missing = [None if g is None else g.value for g in found]
    return (total, missing), Graph("gradient", graph.inputs, [g for g in missing if g is not None])


def _check_level(scalar, graph, arrays, rng, level, tolerance):
    total, found = scalar
    floats = [i for i, a in enumerate(arrays) if a.dtype == np.float64]
    directions = {i: rng.uniform(-1, 1, arrays[i].shape) for i in floats}
    results = iter(evaluate(graph, arrays)[0])
    slope = sum(float((next(results) * directions[i]).sum()) for i, g in zip(floats, found) if g is not None)
    ahead, here, behind = (
        total([a + sign * _STEP * directions[i] if i in directions else a for i, a in enumerate(arrays)]) for sign in (1, 0, -1)
    )
    if max(abs(ahead - here), abs(here - behind)) > _STEP * _JUMP * max(1.0, abs(here)):
        return  # the gradient of a kink jumps, and has no derivative there
    expected = (ahead - behind) / (2 * _STEP)
    sides = sorted([(ahead - here) / _STEP, (here - behind) / _STEP])
    allowed = tolerance * max(1.0, abs(expected)) * 10 ** (level - 1)
    at_kink = sides[1] - sides[0] > _KINK * max(1.0, abs(expected)) and sides[0] - allowed <= slope <= sides[1] + allowed
    if not abs(slope - expected) <= allowed and not at_kink:
        raise AssertionError(
            f"derivative of order {level} along a random direction: the gradient gives {slope!r}, differences give {expected!r}\n\n"
            f"{graph}"
        )
