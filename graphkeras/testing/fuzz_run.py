"""Running fuzzed graphs on NumPy: as they are, with rounding noise, in double precision, and with barriers held still."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from graphkeras.ir.dtypes import COMPLEX, dtype_name, is_float, numpy_dtype
from graphkeras.ir.errors import DataError
from graphkeras.ir.graph import Graph, input_node
from graphkeras.ir.node import Attrs, ConstantArray, Node, Value
from graphkeras.ir.registry import REGISTRY, make_node
from graphkeras.ops.control import SubFunction
from graphkeras.passes.engine import PassContext
from graphkeras.passes.post_grad.expand import expand_composites
from graphkeras.runtime.sizes import bind_symbols, resolved_attrs
from graphkeras.testing.evaluate import require_specs, run_op
from graphkeras.testing.sweep import EPSILON

_TRIALS = 4
_MORE_TRIALS = 48  # before a difference counts as a fault
_SPREADS = 8.0
# Their results are bits of their operands, or follow from comparing them: no rounding happens in them.
_EXACT = frozenset(
    """negative absolute sign relu floor ceil round trunc maximum minimum select identity stop_gradient check_range is_nan is_inf
    is_finite reduce_max reduce_min max_pool max_pool_gradient max_pool_pick bitcast complex real_part imaginary_part constant iota
    gather lookup concatenate pad sort top_k custom_gradient nextafter cond switch while_loop scan checkpoint read_variable
    assign_variable one_hot reshape transpose broadcast_to slice""".split()
)
# A sum's error goes with the sum of the absolute values.
_SUMS = frozenset(
    """matmul conv conv_input_gradient conv_kernel_gradient reduce_sum cumsum average_pool average_pool_gradient
    scatter_add""".split()
)


def run_nodes(
    graph: Graph,
    arrays: Sequence[np.ndarray],
    variables: Mapping[str, np.ndarray] | None = None,
    hook: Callable | None = None,
    known: dict[Value, np.ndarray] | None = None,
) -> dict[Value, np.ndarray]:
    """The array of every value of a graph.

    Args:
        graph: the graph.
        arrays: one per input.
        variables: the arrays of variables by name.
        hook: `(node, operands, results) -> results`, called for the nodes of sub-graphs, too.
        known: values that are not computed again; the dict that is filled and returned.

    Raises:
        ShapeError: where an array does not have the spec that its node promises.
    """
    sizes = bind_symbols([v.spec for v in graph.inputs], [a.shape for a in arrays], graph.input_names)
    known = {} if known is None else known
    known.update(zip(graph.inputs, arrays, strict=True))

    def run(node, operands, sizes):
        if node.op == "read_variable":
            return [variables[node.attrs["variable"].name]]
        if node.op == "assign_variable":
            return operands[:1]
        subgraphs = [SubFunction(g, sizes, run) for g in node.subgraphs]
        results = run_op(node.op, operands, resolved_attrs(node, sizes), subgraphs)
        require_specs(node, results, sizes)
        return results if hook is None else hook(node, operands, results)

    for node in graph.nodes:
        if node.outputs[0] not in known:
            results = run(node, [known[v] for v in node.inputs], sizes)
            known.update(zip(node.outputs, map(np.asarray, results), strict=True))
    return known


def results_of(graph: Graph, known: Mapping[Value, np.ndarray]) -> list[np.ndarray]:
    """The outputs, and after them what is written."""
    return [known[v] for v in (*graph.outputs, *(n.inputs[0] for n in graph.effects if n.op == "assign_variable"))]


# ---- noise ------------------------------------------------------------------------------------------------------------


def _noise(rng) -> Callable:
    """A hook that moves what was rounded by some units in the last place."""

    def hook(node, operands, results):
        if node.op in _EXACT or not any(is_float(s.dtype) or s.dtype in COMPLEX for s in node.specs):
            return results
        if node.op == "cast" and is_float(node.inputs[0].dtype) and results[0].dtype.itemsize >= operands[0].dtype.itemsize:
            return results
        return [_moved(rng, node, operands, array) for array in results]

    return hook


def _moved(rng, node, operands, array):
    name = dtype_name(array.dtype)
    if not (is_float(name) or name in COMPLEX) or not array.size:
        return array
    wide = np.complex128 if name in COMPLEX else np.float64
    exact = array.astype(wide)
    units = 4.0
    with np.errstate(all="ignore"):
        size = np.abs(exact)
        if node.op in _SUMS:
            absolute = [np.abs(a) if is_float(dtype_name(a.dtype)) else a for a in operands]
            size = run_op(node.op, absolute, _static_attrs(node, operands, array))[0].astype(np.float64)
            units += np.sqrt(max(a.size for a in operands))
        elif node.op == "reduce_deviations":  # a sum of squares, none of which is negative
            units += np.sqrt(operands[0].size)
        elif REGISTRY[node.op].kind not in ("elementwise", "reduction"):
            largest = [np.abs(a[np.isfinite(a)]).max(initial=0) for a in (exact, *_floats(operands))]
            size = size + max(largest)
            units = 16.0
        eps = EPSILON.get(name) or (EPSILON["float32"] if name == "complex64" else EPSILON["float64"])
        moved = exact + np.where(np.isfinite(size), size, 0) * rng.uniform(-1, 1, array.shape) * units * eps
        return np.where(np.isfinite(exact), moved, exact).astype(array.dtype)


def _floats(arrays):
    return [a.astype(np.float64) for a in arrays if is_float(dtype_name(a.dtype))]


def _static_attrs(node, operands, array):
    sizes = {}
    for shape, actual in [*((v.shape, a.shape) for v, a in zip(node.inputs, operands)), (node.specs[0].shape, array.shape)]:
        for dim, n in zip(shape, actual, strict=True):
            if not isinstance(dim, int) and len(dim.symbols()) == 1 and repr(dim) in dim.symbols():
                sizes[repr(dim)] = n
    return resolved_attrs(node, sizes)


class Bound:
    """How far results of a graph may lie from the interpreter's, given that each node may round otherwise.

    Attributes:
        results: the interpreter's.
        compared, skipped: elements that `problem` has looked at, and those whose spread is as large as they are.
    """

    def __init__(self, graph: Graph, arrays, variables=None, seed: int = 0):
        # Inside of a composite rounding is not as independent from element to element as behind it: all are moved by one mean.
        self._graphs = graph, expand_composites(graph, PassContext())
        self._run = lambda hook, graph=graph: results_of(graph, run_nodes(graph, arrays, variables, hook))
        self._rng = np.random.default_rng(seed)
        self.results = self._run(None)
        self._exact = [_wide(a) for a in self.results]
        self._spreads = [np.zeros(a.shape) for a in self.results]
        self._trials = 0
        self.compared = self.skipped = 0

    def _widen(self, trials):
        for trial in range(self._trials, trials):
            try:
                noisy = self._run(_noise(self._rng), self._graphs[trial % 2])
            except DataError:  # an index that was rounded left its range: no results to learn from
                continue
            for spread, a, b in zip(self._spreads, self._exact, noisy, strict=True):
                with np.errstate(all="ignore"):
                    far = np.abs(a - _wide(b))
                np.maximum(spread, np.where(np.isnan(far), np.inf, far), out=spread)
        self._trials = max(self._trials, trials)

    def problem(self, found: Sequence[np.ndarray]) -> str:
        """Why other results are not those of the interpreter; empty where they are."""
        # A spread is a sample: a difference that lies outside gets more of them before it counts.
        for trials in (_TRIALS, _MORE_TRIALS):
            self._widen(trials)
            problem = self._compare(found)
            if not problem:
                return ""
        return problem

    def _compare(self, found):
        for number, (want, a, got, spread) in enumerate(zip(self.results, self._exact, found, self._spreads, strict=True)):
            if want.shape != got.shape or want.dtype != got.dtype:
                return f"result {number}: {want.dtype}{want.shape} became {got.dtype}{got.shape}"
            b = _wide(got)
            with np.errstate(all="ignore"):
                near = (np.isnan(a) & np.isnan(b)) | (a == b) | ~np.isfinite(spread) | (np.abs(a - b) <= _SPREADS * spread)
                idle = spread > np.abs(a)
            if not near.all():
                at = np.unravel_index(int(np.argmin(near)), near.shape)
                place = tuple(map(int, at))
                return f"result {number}: {want[at]!r} became {got[at]!r} at {place}, where noise moves it by {spread[at]:.3g}"
            self.skipped += int(idle.sum())
            self.compared += int((~idle).sum())
        return ""


def _wide(array):
    if array.dtype.kind == "c":
        return array.astype(np.complex128)
    return array.astype(np.float64 if array.dtype.kind not in "iub" else np.longdouble)


# ---- double precision -------------------------------------------------------------------------------------------------

_LONG = {"float16": "float64", "bfloat16": "float64", "float32": "float64", "complex64": "complex128"}


def in_float64(graph: Graph) -> tuple[Graph, dict[Value, Value]]:
    """The same computation with every float in double precision, and which value became which."""
    mapping: dict[Value, Value] = {}
    inputs = []
    for value in graph.inputs:
        spec = value.spec.with_dtype(_LONG.get(value.dtype, value.dtype))
        mapping[value] = Value(input_node(value.node.attrs["name"], spec))
        inputs.append(mapping[value])
    for node in graph.nodes:
        mapping.update(zip(node.outputs, _long_values(node, [mapping[v] for v in node.inputs])))
    effects = [mapping[Value(n)].node for n in graph.effects]
    return Graph(graph.name, inputs, [mapping[v] for v in graph.outputs], effects), mapping


def _cast(value: Value, dtype: str) -> Value:
    return value if value.dtype == dtype else Value(make_node("cast", [value], {"dtype": dtype}))


def _long_values(node: Node, inputs) -> list[Value]:
    attrs = dict(node.attrs)
    if node.op == "bitcast":
        inputs = [_cast(v, old.dtype) for v, old in zip(inputs, node.inputs)]
    elif node.op == "constant" and node.specs[0].dtype in _LONG:
        long = numpy_dtype(_LONG[node.specs[0].dtype])
        attrs["value"] = ConstantArray(attrs["value"].array.astype(long))
    elif node.op == "read_variable":
        new = make_node(node.op, inputs, node.attrs, origin=node.origin)
        return [_cast(Value(new), _LONG.get(node.specs[0].dtype, node.specs[0].dtype))]
    elif node.op == "assign_variable":
        inputs = [_cast(inputs[0], node.inputs[0].dtype)]
    elif attrs.get("dtype") in _LONG:
        attrs["dtype"] = _LONG[attrs["dtype"]]
    subgraphs = [in_float64(g)[0] for g in node.subgraphs]
    new = make_node(node.op, inputs, Attrs(attrs), origin=node.origin, subgraphs=subgraphs)
    return [_cast(v, _LONG.get(v.dtype, v.dtype)) for v in new.outputs]
