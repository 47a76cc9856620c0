"""Checks of one op record on one of its samples: what every registered op is held to. `compiled` has those that compile, `survey`
runs all."""

from collections.abc import Iterator

import numpy as np

from graphkeras.autodiff import gradients
from graphkeras.ir.diff import diff
from graphkeras.ir.dims import Dim, substitute, symbol
from graphkeras.ir.dtypes import dtype_name, is_float
from graphkeras.ir.errors import GradientError, GraphKerasError
from graphkeras.ir.graph import Graph
from graphkeras.ir.registry import REGISTRY, NoGradient, OpDef, Sample, infer_specs
from graphkeras.ir.spec import TensorSpec
from graphkeras.ir.text import constants_of, parse_graph, print_graph
from graphkeras.ir.verify import verify
from graphkeras.passes import POST_GRAD, run
from graphkeras.testing import variations
from graphkeras.testing.accuracy import EPSILON
from graphkeras.testing.evaluate import evaluate, run_op
from graphkeras.testing.gradients import check_gradients
from graphkeras.trace import SymbolicTensor, TraceScope, apply, as_tensor, trace, tracing

# By definition its gradient is not that of its value.
_BARRIERS = ("stop_gradient",)
# Gradients of products with zeros among their factors take the square of that.
_MOST_ELEMENTS = 1000
# Some of their forms have no gradient, and say so.
_PARTIAL = ("qr", "svd", "lu_factor")


def cases() -> Iterator[tuple[str, int]]:
    """(name of the op, number of the sample) for every sample in the registry."""
    for name, record in sorted(REGISTRY.items()):
        for number in range(len(record.samples)):
            yield name, number


def all_samples(record: OpDef, count: int = variations.COUNT) -> list[Sample]:
    """The hand-written samples of an op, and random ones."""
    return [*record.samples, *variations.samples(record, count)]


def sample_arrays(sample: Sample, seed: int = 0) -> list[np.ndarray]:
    """The inputs of a sample."""
    rng = np.random.default_rng(seed)
    return [maker(rng) for maker in sample.inputs]


def specs_of(arrays) -> list[TensorSpec]:
    """Specs of arrays."""
    return [TensorSpec(np.shape(a), dtype_name(np.asarray(a).dtype)) for a in arrays]


def sample_graph(record: OpDef, sample: Sample, arrays) -> Graph:
    """The op traced on placeholders."""
    return verify(trace(call_of(record, sample), specs_of(arrays), name=record.name))


def call_of(record: OpDef, sample: Sample, attrs=None):
    """The function of tensors that a sample stands for."""
    attrs = sample.attrs if attrs is None else attrs
    return sample.call or (lambda *tensors: apply(record.name, *tensors, **attrs))


def check_inference(record: OpDef, sample: Sample) -> None:
    """What is inferred is what the eager meaning gives, for known and for symbolic sizes."""
    arrays = sample_arrays(sample)
    if sample.call is not None:
        evaluate(sample_graph(record, sample, arrays), arrays)  # takes no result that does not have the spec of its node
        return
    inferred = infer_specs(record.name, specs_of(arrays), sample.attrs)
    computed = tuple(specs_of(run_op(record.name, arrays, sample.attrs)))
    if inferred != computed:
        raise AssertionError(f"{record.name} infers {inferred}, but computes {computed} for {specs_of(arrays)}, {sample.attrs}")
    sizes: dict[str, int] = {}
    symbolic = []
    for spec in specs_of(arrays):
        shape = [symbol(f"n{size}") if size > 1 else size for size in spec.shape]
        sizes.update({f"n{size}": size for size in spec.shape if size > 1})
        symbolic.append(spec.with_shape(shape))
    try:
        general = infer_specs(record.name, symbolic, sample.attrs)
    except GraphKerasError:
        return  # attributes that name sizes fit known sizes only
    bound = tuple(s.with_shape(substitute(s.shape, sizes)) for s in general)
    if bound != inferred:
        raise AssertionError(f"{record.name} infers {general} for {symbolic}, which is {bound} with {sizes}, not {inferred}")


def check_tracing(record: OpDef, sample: Sample) -> None:
    """Traced and eager calls agree bit for bit, inputs stay as they are, and the graph survives its text form."""
    arrays = sample_arrays(sample)
    copies = [a.copy() for a in arrays]
    graph = sample_graph(record, sample, arrays)
    traced, _ = evaluate(graph, arrays)
    eager = call_of(record, sample)(*map(as_tensor, arrays))
    for a, b in zip(traced, eager if isinstance(eager, tuple) else (eager,), strict=True):
        if a.tobytes() != np.asarray(b.array).tobytes():
            raise AssertionError(f"{record.name}: traced and eager results differ\n{a!r}\n{b!r}")
    for a, b in zip(arrays, copies, strict=True):
        if a.tobytes() != b.tobytes():
            raise AssertionError(f"{record.name} wrote to its input")
    text = print_graph(graph)
    difference = diff(graph, parse_graph(text, constants=constants_of(graph)))
    if difference:
        raise AssertionError(f"{record.name} does not survive its text form\n{text}\n{difference}")


def check_sample_gradients(record: OpDef, sample: Sample, order: int = 2) -> None:
    """The vjp rule agrees with differences, and so does the gradient of the gradient; "no gradient" is said, or is zero."""
    arrays = sample_arrays(sample)
    floats = [a for a in arrays if is_float(dtype_name(a.dtype))]
    if not floats or record.name in _BARRIERS or sum(a.size for a in arrays) > _MOST_ELEMENTS:
        return
    if sample.call is not None:
        check_gradients(sample.call, arrays, order)
        return
    if isinstance(record.vjp, NoGradient) and not record.vjp.zero:
        _check_refusal(record, call_of(record, sample), arrays)
        return
    results = [r for r in run_op(record.name, arrays, sample.attrs) if is_float(dtype_name(r.dtype))]
    if not all(np.isfinite(a.astype(np.float64)).all() for a in (*floats, *results)):
        return
    # Rounding to a narrow type has no slope that differences could see.
    attrs = {k: "float64" if k == "dtype" and is_float(v) else v for k, v in sample.attrs.items()}
    try:
        check_gradients(call_of(record, sample, attrs), arrays, order)
    except GradientError:
        if record.name not in _PARTIAL:
            raise


def _check_refusal(record, fn, arrays):
    graph = trace(fn, specs_of(arrays))
    sources = [SymbolicTensor.wrap(v) for v in graph.inputs if is_float(v.dtype)]
    targets = [SymbolicTensor.wrap(v) for v in graph.outputs if is_float(v.dtype)]
    if not targets:
        return
    try:
        with tracing(TraceScope()):
            gradients(targets, sources)
    except GradientError as error:
        if record.vjp.reason not in str(error):
            raise AssertionError(f"{record.name} does not say why it has no gradient: {error}") from None
        return
    raise AssertionError(f"{record.name} has no gradient, but gives one")


def check_expansion(record: OpDef, sample: Sample) -> None:
    """A composite's own meaning and that of its primitives agree."""
    arrays = sample_arrays(sample)
    graph = sample_graph(record, sample, arrays)
    primitives, _ = run(graph, POST_GRAD, verify=True)
    if any(REGISTRY[n.op].kind == "composite" for n in primitives.nodes):
        raise AssertionError(f"{record.name} is not expanded:\n{primitives}")
    for want, got in zip(evaluate(graph, arrays)[0], evaluate(primitives, arrays)[0], strict=True):
        problem = far_apart(want, got, units=64)
        if problem:
            raise AssertionError(f"{record.name}: expansion and meaning differ: {problem}\n{primitives}")


def check_program(graph: Graph, arrays, units: float, what: str) -> None:
    """Raises AssertionError where fused, strict and eager runs of a graph do not agree; `units` is in units of the last place."""
    from graphkeras.runtime.program import Program

    primitives, _ = run(graph, POST_GRAD)
    fused = Program(primitives)(*arrays)
    strict = Program(primitives, fuse=False)(*arrays)
    single = Program(primitives)(*arrays, threads=1)
    for other, name in ((strict, "strict"), (single, "single-threaded")):
        for a, b in zip(fused, other, strict=True):
            if a.tobytes() != b.tobytes():
                raise AssertionError(f"{what}: compiled and {name} results differ\n{a!r}\n{b!r}\n{primitives}")
    for want, got in zip(evaluate(graph, arrays)[0], fused, strict=True):
        problem = far_apart(want, got, units)
        if problem:
            raise AssertionError(f"{what}: compiled and eager results differ: {problem}\n{primitives}")


def terms_of(graph: Graph) -> int:
    """How many numbers at most are added up (or multiplied) for one element of a graph of static shapes."""
    most = 1
    for node in graph.nodes:
        sizes = [v.spec.size for v in node.inputs if not isinstance(v.spec.size, Dim)]
        if REGISTRY[node.op].kind not in ("elementwise", "view", "source") and sizes:
            most = max(most, max(sizes))
    return most


def far_apart(want: np.ndarray, got: np.ndarray, units: float) -> str:
    """Why `got` is more than `units` in the last place of the largest element from `want`; empty where it is not."""
    if want.shape != got.shape or want.dtype != got.dtype:
        return f"{want.dtype}{want.shape} became {got.dtype}{got.shape}"
    name = dtype_name(want.dtype)
    if not is_float(name):
        return "" if np.array_equal(want, got) else f"{want!r} became {got!r}"
    a, b = want.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(a)
    scale = np.abs(a[finite]).max(initial=0) if finite.any() else 0.0
    smallest = float(np.finfo(np.float32).tiny) if name != "float16" else 2.0**-14
    with np.errstate(all="ignore"):
        near = (np.isnan(a) & np.isnan(b)) | (a == b) | (np.abs(a - b) <= units * EPSILON[name] * max(scale, smallest))
    if near.all():
        return ""
    at = np.unravel_index(int(np.argmin(near)), near.shape)
    return f"{want[at]!r} became {got[at]!r} at {tuple(map(int, at))}, with largest element {scale:g}"


__all__ = [
    "all_samples", "call_of", "cases", "check_expansion", "check_inference", "check_program", "check_sample_gradients",
    "check_tracing", "far_apart", "sample_arrays", "sample_graph", "specs_of", "terms_of",
]  # fmt: skip
