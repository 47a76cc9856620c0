"""check_rule: a rewrite rule against its promise."""

from collections.abc import Callable, Mapping

import numpy as np

from graphkeras.autodiff import gradients
from graphkeras.ir.diff import diff
from graphkeras.ir.dims import dim_symbols, substitute
from graphkeras.ir.dtypes import FLOATS, INTEGERS, is_float, numpy_dtype
from graphkeras.ir.graph import Graph, input_node
from graphkeras.ir.node import Value
from graphkeras.ir.text import parse_graph
from graphkeras.ir.verify import verify
from graphkeras.passes.engine import NUMERIC_CLASSES, PassContext, Rule, apply_rules
from graphkeras.testing.evaluate import evaluate
from graphkeras.trace import SymbolicTensor, TraceScope, as_tensor, as_value, prim, tracing

_SIZES = (3, 2, 4, 5)  # for symbols, in alphabetical order
_SPECIAL = (0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1.0, -1.0, 0.5, 2.0, 1e30, -1e-30)
_SPECIAL_ROUNDS = 6  # small arrays hold a few of them at a time
_TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 2e-6, "float64": 1e-12}


def check_rule(
    rule: Rule,
    *,
    before: "str | Graph",
    after: "str | Graph | None",
    times: int = 1,
    inputs: Mapping[str, Callable] | None = None,
    special: bool | None = None,
    gradient: bool = True,
    seed: int = 0,
) -> None:
    """Applies a rule and checks structure, count, specs, origins, values and gradients.

    Args:
        rule: the rule.
        before: a graph, or its text.
        after: what must come out; None for a near miss, which must stay as it is.
        times: how often the rule must apply.
        inputs: makers `(rng, shape) -> array` by name, for inputs that must not be drawn from the usual range.
        special: whether zeros, infinities and NaN are among the inputs; by default for the classes that must keep them.
        gradient: whether to compare gradients.
        seed: of the inputs.

    Raises:
        AssertionError: with the original, the expected and the received graph.
    """
    before = parse_graph(before) if isinstance(before, str) else before
    verify(before)
    context = PassContext(numeric=NUMERIC_CLASSES, disabled=(), limit=-1)
    got = apply_rules(before, [rule], context)
    made = context.made
    if after is None:
        if got is not before:
            raise AssertionError(_story(f"{rule.name} applied {made} times to a near miss", before, before, got))
        return
    expected = parse_graph(after) if isinstance(after, str) else after
    difference = diff(expected, got)
    if difference:
        raise AssertionError(_story(f"{rule.name} gave another graph than expected:\n{difference}", before, expected, got))
    if made != times:
        raise AssertionError(_story(f"{rule.name} applied {made} times, not {times}", before, expected, got))
    verify(got, after=f"rule {rule.name}")
    _check_origins(rule, before, got)
    check_same_meaning(before, got, rule.numeric, inputs=inputs, special=special, gradient=gradient, seed=seed, what=rule.name)


def _story(problem, before, expected, got):
    return f"{problem}\n\noriginal:\n{before}\n\nexpected:\n{expected}\n\ngot:\n{got}"


def _check_origins(rule, before, got):
    old = {n.id for n in before.nodes}
    lines = {n.origin.line for n in before.nodes}
    for node in got.nodes:
        if node.id in old or node.origin.line in lines and node.origin.rule in (rule.name, ""):
            continue
        raise AssertionError(f"{rule.name} lost the origin of {node!r}: {node.origin}")


def check_same_meaning(
    before, after, numeric="exact", *, inputs=None, special=None, gradient=True, seed=0, what="the rewrite"
) -> None:
    """Raises AssertionError where graphs with the same inputs differ, in values or gradients, by more than a class allows."""
    special = numeric in ("exact", "sign_of_zero") if special is None else special
    for round_ in range(_SPECIAL_ROUNDS + 1 if special else 1):
        arrays = random_inputs(before, np.random.default_rng(seed + round_), inputs, special=round_ > 0)
        variables = random_variables(before, np.random.default_rng(seed + round_ + 100))
        _compare(before, after, arrays, variables, numeric, what)
    if gradient:
        # A gradient may be summed in another order; everything else is for the values to show.
        pair = gradient_graph(before), gradient_graph(after)
        if pair[0] is not None:
            arrays = random_inputs(pair[0], np.random.default_rng(seed + 50), inputs)
            _compare(*pair, arrays, random_variables(before, np.random.default_rng(seed)), "rounding", f"the gradient after {what}")


def _compare(before, after, arrays, variables, numeric, what):
    want, want_written = evaluate(before, arrays, variables)
    got, got_written = evaluate(after, arrays, variables)
    pairs = [(f"output {i}", a, b) for i, (a, b) in enumerate(zip(want, got, strict=True))]
    pairs += [(f"variable {name}", want_written[name], got_written[name]) for name in want_written]
    for place, a, b in pairs:
        problem = difference_of(a, b, numeric)
        if problem:
            values = "\n".join(f"{v.node.attrs['name']} = {x!r}" for v, x in zip(before.inputs, arrays))
            raise AssertionError(f"{what} changes {place} ({numeric}): {problem}\n\n{before}\n\n{after}\n\nwith\n{values}")


def difference_of(want: np.ndarray, got: np.ndarray, numeric: str) -> str:
    """Why two arrays are not equal within a numeric class; empty where they are."""
    if want.shape != got.shape or want.dtype != got.dtype:
        return f"{want.dtype}{want.shape} became {got.dtype}{got.shape}"
    if want.dtype.kind not in "fV" and want.dtype.name != "bfloat16":
        return "" if np.array_equal(want, got) else f"{want!r} became {got!r}"
    a, b = want.astype(np.float64), got.astype(np.float64)
    both_nan = np.isnan(a) & np.isnan(b)
    if numeric == "exact":
        equal = both_nan | ((a == b) & (np.signbit(a) == np.signbit(b)))
    elif numeric == "sign_of_zero":
        equal = both_nan | (a == b)
    else:
        bound = 8 * _TOLERANCE[want.dtype.name]
        with np.errstate(all="ignore"):
            equal = both_nan | (a == b) | (np.abs(a - b) <= bound * np.maximum(1.0, np.maximum(np.abs(a), np.abs(b))))
    if equal.all():
        return ""
    at = np.unravel_index(int(np.argmin(equal)), equal.shape)
    return f"{want[at]!r} became {got[at]!r} at {tuple(map(int, at))}"


def sizes_for(graph: Graph) -> dict[str, int]:
    """A small size for each symbol of a graph's inputs."""
    names = sorted(frozenset().union(*(dim_symbols(v.shape) for v in graph.inputs)) if graph.inputs else ())
    return {name: _SIZES[i % len(_SIZES)] for i, name in enumerate(names)}


def random_inputs(graph: Graph, rng, makers=None, special=False) -> list[np.ndarray]:
    """One random array per input."""
    sizes = sizes_for(graph)
    arrays = []
    for value in graph.inputs:
        shape, name = substitute(value.shape, sizes), value.node.attrs["name"]
        maker = (makers or {}).get(name)
        array = random_array(rng, shape, value.dtype, special and maker is None) if maker is None else maker(rng, shape)
        arrays.append(np.asarray(array).astype(numpy_dtype(value.dtype)))
    return arrays


def random_variables(graph: Graph, rng) -> dict[str, np.ndarray]:
    """One random array per variable."""
    return {ref.name: random_array(rng, ref.spec.shape, ref.spec.dtype) for ref in graph.variables}


def random_array(rng, shape, dtype: str, special: bool = False) -> np.ndarray:
    """Random elements of a dtype: floats in [-2, 2), small integers, coin flips; with `special`, extreme floats as well."""
    if dtype in FLOATS:
        array = rng.uniform(-2, 2, shape)
        array = np.where(rng.random(shape) < 0.5, rng.choice(_SPECIAL, shape), array) if special else array
        with np.errstate(over="ignore"):
            return np.asarray(array).astype(numpy_dtype(dtype))
    if dtype in INTEGERS:
        low = 0 if dtype.startswith("u") else -5
        return np.asarray(rng.integers(low, 6, shape)).astype(numpy_dtype(dtype))
    return np.asarray(rng.integers(0, 2, shape)).astype(numpy_dtype(dtype))


def gradient_graph(graph: Graph) -> Graph | None:
    """The gradients of a graph's float outputs with respect to its float inputs, zeros where there is none.

    The graph has one more input per float output: its cotangent. None where a graph has no float inputs or outputs.
    """
    sources = [SymbolicTensor.wrap(v) for v in graph.inputs if is_float(v.dtype)]
    targets = [SymbolicTensor.wrap(v) for v in graph.outputs if is_float(v.dtype)]
    if not sources or not targets:
        return None
    cts = [Value(input_node(f"cotangent {i}", t.spec)) for i, t in enumerate(targets)]
    with tracing(TraceScope()):
        found = gradients(targets, sources, [SymbolicTensor.wrap(ct) for ct in cts])
        zeros = [prim.broadcast_to(as_tensor(np.zeros((), numpy_dtype(s.dtype))), shape=s.spec.shape) for s in sources]
        outputs = [as_value(zero if g is None else g) for g, zero in zip(found, zeros)]
    return Graph("gradient_of_" + graph.name, [*graph.inputs, *cts], outputs)
