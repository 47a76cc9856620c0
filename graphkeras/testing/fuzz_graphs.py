"""Random graphs in which every registered op may stand, with operands that each op can take.

Ops and attributes come from the samples of the registry. An operand is a value at hand, brought to the shape, the dtype and the range
of the sample's by a few views, casts and squashings, so indices are in range, matrices have inverses and values stay moderate. What
a value is for a few sizes of the batch is known while the graph grows; an op that does not fit one of them is not used.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from graphkeras.autodiff import gradients
from graphkeras.ir.dims import Dim, size, substitute, symbol
from graphkeras.ir.dtypes import COMPLEX, INTEGERS, dtype_name, is_float, is_integer, numpy_dtype
from graphkeras.ir.errors import GradientError, GraphKerasError
from graphkeras.ir.graph import Graph, input_node, reachable
from graphkeras.ir.node import Value
from graphkeras.ir.registry import REGISTRY, make_node
from graphkeras.ir.spec import TensorSpec
from graphkeras.runtime.sizes import constraints
from graphkeras.testing.fuzz_control import CONTROL_MAKERS
from graphkeras.testing.fuzz_run import run_nodes
from graphkeras.testing.sweep import sample_arrays
from graphkeras.trace import SymbolicTensor, TraceScope, Variable, apply, as_value, prim, tracing

BATCHES = (1, 3, 8, 33)
_MOST_ELEMENTS = 4096
_LARGEST = 8.0  # floats beyond are scaled down before they are used
_WIDE = 1.5  # a sample that spans [-1.5, 1.5] has no limits
_TRIES = 12
_FRESH_TRIES = 4  # the last ones, with inputs for all operands
_NEAR_SAMPLE = 0.05
_NUMPYS_OWN = (ValueError, IndexError, np.linalg.LinAlgError)  # for sizes and numbers that an op cannot take
# They need matrices of a kind, which the samples are; small changes leave them so.
_MATRICES = ("solve_triangular", "cholesky", "solve", "inv", "det", "slogdet", "lu_factor", "eigh", "eig", "qr", "svd", "singular_values")
# Their subject is values that others have no use for.
_GIVES_ODD_BITS = ("bitcast",)


class FuzzedGraph:
    """A graph with what it takes to run it.

    Attributes:
        graph: outputs are all values that nothing else reads; behind them, the gradients.
        forward: the graph without gradients.
        total: the scalar whose gradients they are; None where no float input leads to a float output.
        sources: the inputs that it was differentiated by.
        runs: lists of arguments, one for each size of the batch.
        variables: arrays by name.
    """

    def __init__(self, builder: "Builder", graph, forward, total, sources):
        self.graph, self.forward, self.total, self.sources = graph, forward, total, sources
        self.runs = [[run[v] for v in graph.inputs] for run in builder.runs]
        self.variables = builder.state
        self.live = builder.variables


def random_graph(seed: int, ops: int = 10, nodes: int = 20) -> FuzzedGraph:
    """A graph of at least so many ops, and so many nodes with those that fit operands to them; gradients come on top.

    It is the same for the same seed and registry.
    """
    rng = np.random.default_rng(seed)
    builder = Builder(rng, symbol("b") if rng.random() < 0.5 else None)
    with tracing(TraceScope()):
        names = _usable()
        while builder.taken < ops or builder.count() < nodes:
            builder.add(names[rng.integers(len(names))])
        return builder.finish(f"fuzz_{seed}")


def _usable() -> list[str]:
    """The names of all ops that can be asked for; placeholders and variables come by themselves."""
    return [r.name for r in REGISTRY.values() if (r.samples and r.kind not in ("state", "control")) or r.name in CONTROL_MAKERS]


def ops_of(graph: Graph) -> Iterator[str]:
    """The op of every node, those of sub-graphs and the inputs included."""
    yield from (v.node.op for v in graph.inputs)
    for node in graph.nodes:
        yield node.op
        for sub in node.subgraphs:
            yield from ops_of(sub)


def coverage(graphs) -> Counter:
    """How often each registered op occurs."""
    counts = Counter(dict.fromkeys(REGISTRY, 0))
    for graph in graphs:
        counts.update(ops_of(graph))
    return counts


class Builder:
    """A graph that grows, op by op.

    Args:
        rng: of everything that is drawn.
        batch: the leading size that stands for several ones; None for fixed sizes.

    Attributes:
        pool: values to build on; `wild` are outputs that nothing is built on: infinities, NaN, odd bits.
        runs: for each size of the batch, the array of each value.
        declined: ops that did not fit, with the reason.
    """

    def __init__(self, rng, batch: Dim | None):
        self.rng, self.batch = rng, batch
        self.sizes = [{"b": n} for n in BATCHES] if batch is not None else [{}]
        self.runs: list[dict[Value, np.ndarray]] = [{} for _ in self.sizes]
        self.inputs: list[Value] = []
        self.pool: list[Value] = []
        self.wild: list[Value] = []
        self.taken = 0
        self._fresh = False
        self.declined: Counter = Counter()
        self.variables: list[Variable] = []
        self.state: dict[str, np.ndarray] = {}
        for shape in ((4, 5), (3,))[: rng.integers(1, 3)]:
            array = rng.uniform(-2, 2, shape).astype("float32")
            self.pool.append(self.placeholder(array, self.shape_of(array, batch is not None)))
        if rng.random() < 0.4:
            for shape in ((3,), (2, 4), ())[: rng.integers(1, 4)]:
                array = rng.uniform(-1, 1, shape).astype("float32")
                variable = Variable(array, name=f"v{len(self.variables)}")
                self.variables.append(variable)
                self.state[as_value(variable).node.attrs["variable"].name] = array
                self.pool.append(as_value(variable))

    def count(self) -> int:
        """Nodes so far."""
        return sum(n.op not in ("input", "constant") for n in reachable(v.node for v in (*self.pool, *self.wild)))

    # ---- values -----------------------------------------------------------------------------------------------------

    def arrays(self, value: Value) -> list[np.ndarray]:
        """What a value is, for each size of the batch. Raises where it cannot be computed."""
        for run in self.runs:
            if value not in run:
                run_nodes(Graph("part", self.inputs, [value]), [run[v] for v in self.inputs], self.state, known=run)
        return [run[value] for run in self.runs]

    def placeholder(self, array, shape) -> Value:
        """A new input of the dtype of a sample's operand and this shape."""
        value = Value(input_node(f"x{len(self.inputs)}", TensorSpec(tuple(shape), dtype_name(array.dtype))))
        self.inputs.append(value)
        for run, sizes in zip(self.runs, self.sizes):
            wanted = substitute(tuple(shape), sizes)
            run[value] = np.resize(array, wanted).astype(array.dtype) if wanted != array.shape else array
            if is_float(value.dtype) and wanted != array.shape:  # repeated rows would make ties
                run[value] = (run[value] * self.rng.uniform(0.8, 1, wanted)).astype(array.dtype)
        return value

    def shape_of(self, array, batched) -> tuple:
        """The shape of a sample's operand, or with the batch in place of its first size."""
        shape = array.shape
        return (self.batch, *shape[1:]) if batched and shape else shape

    # ---- ops --------------------------------------------------------------------------------------------------------

    def add(self, name: str) -> None:
        """Adds an op, where the values at hand allow it; else its operands become inputs."""
        for attempt in range(_TRIES):
            batched = self.batch is not None and self.rng.random() < 0.7 and attempt < _TRIES // 2
            self._fresh = attempt >= _TRIES - _FRESH_TRIES
            inputs, runs = len(self.inputs), [dict(run) for run in self.runs]
            try:
                values = CONTROL_MAKERS[name](self) if name in CONTROL_MAKERS else self._apply(name, batched)
                if values and self._accepted(values):
                    self.pool += [v for v in self.inputs[inputs:] if not v.dtype.startswith("complex")]
                    self._keep(name, values)
                    self.taken += 1
                    return
                self.declined[name, "too large"] += 1
            except (GraphKerasError, Misfit, *_NUMPYS_OWN) as error:
                self.declined[name, str(error).splitlines()[0] if str(error) else "no operand"] += 1
            del self.inputs[inputs:]
            self.runs[:] = runs

    def _accepted(self, values) -> bool:
        graph = Graph("part", self.inputs, values)
        for constraint in constraints(graph):
            for sizes in self.sizes:
                constraint.check(sizes)
        if not all(self._is_small(n) for n in graph.nodes[-8:]):
            return False
        return all(self.arrays(v) is not None for v in values)

    @staticmethod
    def _is_small(node) -> bool:
        return all(size(substitute(s.shape, {"b": BATCHES[-1]})) <= _MOST_ELEMENTS for s in node.specs)

    def _keep(self, name, values):
        for value in values:
            arrays = self.arrays(value)
            wide = [a.astype(np.complex128 if a.dtype.kind == "c" else np.float64) for a in arrays]
            odd_shape = any(isinstance(d, Dim) and (i or d != self.batch) for i, d in enumerate(value.shape))
            if odd_shape or name in _GIVES_ODD_BITS or not all(np.isfinite(a).all() for a in wide) or not all(a.size for a in arrays):
                self.wild.append(value)
                continue
            largest = max(np.abs(a).max() for a in wide)
            if is_float(value.dtype) and largest > _LARGEST:
                if largest > 1e4 and value.dtype == "float16":
                    self.wild.append(value)
                    continue
                value = self._scaled(value, largest)
            self.pool.append(value)

    def _scaled(self, value, largest):
        x = SymbolicTensor.wrap(value)
        down = prim.multiply(x, self.scalar(2.0 ** -np.ceil(np.log2(largest)), value.dtype))
        return as_value(prim.tanh(down) if self.rng.random() < 0.3 else down)

    @staticmethod
    def scalar(number, dtype):
        """A constant."""
        return np.asarray(number).astype(numpy_dtype(dtype))

    def _apply(self, name, batched) -> list[Value]:
        record = REGISTRY[name]
        sample = record.samples[self.rng.integers(len(record.samples))]
        arrays = sample_arrays(sample, int(self.rng.integers(1 << 30)))
        attrs = dict(sample.attrs)
        if self.batch is not None and name == "dim":
            attrs["size"] = self.batch
        elif batched and isinstance(attrs.get("shape"), tuple) and name in ("iota", "random_bits") and attrs["shape"]:
            attrs["shape"] = (self.batch, *attrs["shape"][1:])
        if record.kind == "elementwise" and not self._fresh and all(a.ndim <= 3 for a in arrays):
            operands = self._alike(arrays)
        else:
            first = arrays[0].shape[:1] if arrays else ()
            batched = batched and not (name in _MATRICES and arrays[0].ndim < 3)
            operands = []
            for i, a in enumerate(arrays):
                window = i == 1 and name in ("conv", "conv_input_gradient")  # its first size is no batch, even if it is the same
                lead = batched and a.shape[:1] == first and a.size > 0 and not window
                operands.append(self.operand(a, self.shape_of(a, lead), name, i))
        if not operands:
            return list(make_node(name, [], attrs).outputs)
        tensors = [SymbolicTensor.wrap(v) for v in operands]
        results = self._called(name, tensors, attrs)
        if not self._has_gradient(results, tensors):
            results = self._called(name, [prim.stop_gradient(t) if is_float(t.dtype) or t.dtype in COMPLEX else t for t in tensors], attrs)
        return [as_value(r) for r in results]

    @staticmethod
    def _called(name, tensors, attrs):
        results = apply(name, *tensors, **attrs)
        return results if isinstance(results, tuple) else (results,)

    @staticmethod
    def _has_gradient(results, tensors) -> bool:
        """False where the op, or this form of it, says that it has none."""
        targets = [r for r in results if is_float(r.dtype) or r.dtype in COMPLEX]
        sources = [t for t in tensors if is_float(t.dtype) or t.dtype in COMPLEX]
        try:
            if targets and sources:
                gradients(targets, sources)
        except GradientError:
            return False
        return True

    def _alike(self, arrays) -> list[Value]:
        """Operands of an elementwise op: one as it stands, the others of its shape, or of one that broadcasts to it."""
        lead = int(self.rng.integers(len(arrays)))
        fitting = [v for v in self.pool if v.dtype == dtype_name(arrays[lead].dtype)]
        if fitting and self.rng.random() < 0.9:
            shape = fitting[self.rng.integers(len(fitting))].shape
        elif self.pool:
            shape = self.pool[self.rng.integers(len(self.pool))].shape
        else:
            shape = arrays[lead].shape
        operands = []
        for number, array in enumerate(arrays):
            wanted = shape
            if number != lead and self.rng.random() < 0.4:
                wanted = shape[int(self.rng.integers(len(shape) + 1)) :]
                wanted = tuple(1 if self.rng.random() < 0.3 else d for d in wanted)
            operands.append(self.operand(array, wanted))
        return operands

    # ---- operands ---------------------------------------------------------------------------------------------------

    def operand(self, array, shape, name="", position=0) -> Value:
        """A value of this shape, and of the dtype and range of a sample's array."""
        dtype = dtype_name(array.dtype)
        if dtype not in (*INTEGERS, *COMPLEX, "bool") and not is_float(dtype):
            raise Misfit
        if self._fresh or not self.pool or self.rng.random() < 0.12 or (array.size == 0 and shape == array.shape):
            return self.placeholder(array, shape)
        if dtype in COMPLEX:
            parts = [SymbolicTensor.wrap(self.operand(part, shape)) for part in (array.real, array.imag)]
            return as_value(prim.complex(*map(prim.stop_gradient, parts)))
        value = self._source(dtype)
        value = self.shaped(value, shape)
        if name in _MATRICES and is_float(dtype):
            return self._near(value, array, shape)
        value = self._ranged(self._typed(value, dtype), array)
        if name == "searchsorted" and position == 0:
            value = as_value(prim.sort(SymbolicTensor.wrap(value), axis=0))
        return value

    def _source(self, dtype) -> Value:
        same = [v for v in self.pool if v.dtype == dtype]
        near = [v for v in self.pool if is_float(v.dtype) == is_float(dtype) and v.dtype not in COMPLEX]
        for choice, chance in ((same, 0.8), (near, 0.6), ([v for v in self.pool if v.dtype not in COMPLEX], 1)):
            if choice and self.rng.random() < chance:
                late = choice[-8:] if self.rng.random() < 0.6 else choice
                return late[self.rng.integers(len(late))]
        raise Misfit

    def _typed(self, value, dtype) -> Value:
        if value.dtype == dtype:
            return value
        x = SymbolicTensor.wrap(value)
        if dtype == "bool":
            return as_value(prim.greater(x, self.scalar(0, value.dtype)))
        if is_float(value.dtype) and is_integer(dtype):
            x = prim.multiply(x, self.scalar(4, value.dtype))
            x = prim.absolute(x) if dtype.startswith("u") else x
        if is_integer(value.dtype) and is_float(dtype):
            x = prim.remainder(x, self.scalar(7, value.dtype))
        return as_value(prim.cast(x, dtype=dtype))

    def shaped(self, value, shape) -> Value:
        """A value with as many elements of another as there are, repeated where there are too few."""
        shape = tuple(shape)
        if value.shape == shape:
            return value
        x = SymbolicTensor.wrap(value)
        has, wants = (bool(s) and isinstance(s[0], Dim) for s in (value.shape, shape))
        if any(isinstance(d, Dim) and (i or d != self.batch) for i, d in enumerate(shape)):
            raise Misfit
        if has and not wants:  # one row of the batch
            rest = value.shape[1:]
            x = prim.slice(x, starts=(0,) * len(value.shape), stops=(1, *rest), strides=(1,) * len(value.shape))
            x, has = prim.reshape(x, shape=rest), False
        lead = (self.batch,) if has else ()
        own, goal = size(x.spec.shape[len(lead) :]), size(shape[1:] if wants else shape)
        if not own:
            raise Misfit
        if own != goal:
            x = prim.reshape(x, shape=(*lead, own))
            times = -(-goal // own)
            if times > 1:
                x = prim.broadcast_to(prim.reshape(x, shape=(*lead, 1, own)), shape=(*lead, times, own))
                x = prim.reshape(x, shape=(*lead, times * own))
            if times * own != goal:
                start = int(self.rng.integers(times * own - goal + 1))
                n = len(lead)
                x = prim.slice(x, starts=(0,) * n + (start,), stops=(*lead, start + goal), strides=(1,) * (n + 1))
        if wants and not has:
            x = prim.broadcast_to(prim.reshape(x, shape=(1, goal)), shape=(self.batch, goal))
        return as_value(x if x.spec.shape == shape else prim.reshape(x, shape=shape))

    def _ranged(self, value, array) -> Value:
        """Into the range of an array, where that is narrow."""
        if array.dtype == bool or not array.size:
            return value
        wide = array.astype(np.float64)
        wide = wide[np.isfinite(wide)]
        low, high = (wide.min(), wide.max()) if wide.size else (-2.0, 2.0)
        x, dtype = SymbolicTensor.wrap(value), value.dtype
        if not is_float(dtype):
            if high - low >= 1 << 31 or all(low <= a.min(initial=low) and a.max(initial=high) <= high for a in self.arrays(value)):
                return value
            span = min(int(high - low) + 1, np.iinfo(numpy_dtype(dtype)).max)
            return as_value(prim.add(prim.remainder(x, self.scalar(span, dtype)), self.scalar(int(low), dtype)))
        if low <= -_WIDE and high >= _WIDE:
            return value
        if high - low < 1e-3:
            low, high = low - 0.1, high + 0.1
        unit = prim.sigmoid(x)
        return as_value(prim.add(prim.multiply(unit, self.scalar(high - low, dtype)), self.scalar(low, dtype)))

    def _near(self, value, array, shape) -> Value:
        if isinstance(shape[0], Dim):
            if len(shape) < 3:
                raise Misfit
            array = array[:1]
        dtype = dtype_name(array.dtype)
        change = prim.tanh(SymbolicTensor.wrap(self._typed(value, dtype)))
        return as_value(prim.add(prim.multiply(change, self.scalar(_NEAR_SAMPLE, dtype)), array))

    def floats(self, rank=None) -> list[Value]:
        """Values at hand to be used in a sub-graph."""
        found = [v for v in self.pool if v.dtype == "float32" and (rank is None or len(v.shape) == rank)]
        if not found:
            raise Misfit
        return found

    # ---- the end ----------------------------------------------------------------------------------------------------

    def finish(self, name) -> FuzzedGraph:
        """The graph with its effects and its gradients."""
        used = {(v.node.id, v.index) for n in reachable(v.node for v in (*self.pool, *self.wild)) for v in n.inputs}
        ends = [v for v in self.pool if (v.node.id, v.index) not in used and v.node.op not in ("input", "read_variable")]
        outputs = [*ends, *self.wild]
        effects = []
        for variable in self.variables:
            fitting = [v for v in self.pool if v.dtype == "float32" and size(v.shape) != 0]
            value = self.shaped(fitting[self.rng.integers(len(fitting))], variable.spec.shape)
            new = as_value(prim.tanh(SymbolicTensor.wrap(value)))
            reference = as_value(variable).node.attrs["variable"]
            effects.append(make_node("assign_variable", [new], {"variable": reference}))
        forward = Graph(name, self._read(outputs, effects), outputs, effects)
        total, sources, found = self._gradients(forward, ends)
        outputs = [*outputs, *([total] if total is not None else []), *found]
        return FuzzedGraph(self, Graph(name, forward.inputs, outputs, effects), forward, total, sources)

    def _read(self, outputs, effects):
        reached = {n.id for n in reachable([*(v.node for v in outputs), *effects])}
        return [v for i, v in enumerate(self.inputs) if v.node.id in reached or i == 0]  # the first one gives the size of the batch

    def _gradients(self, forward, ends):
        found = [v for v in ends if is_float(v.dtype)]
        inner = [v for v in self.pool if is_float(v.dtype) and v.node.op not in ("input", "read_variable")]
        found += [inner[i] for i in self.rng.integers(len(inner), size=3)] if inner else []  # ends may be integers only
        targets = [SymbolicTensor.wrap(v) for v in dict.fromkeys(found)]
        sources = [v for v in forward.inputs if is_float(v.dtype)]
        if not targets or not sources:
            return None, [], []
        terms = []
        for t in targets:
            t = prim.sin(t if t.dtype in ("float32", "float64") else prim.cast(t, dtype="float32"))
            total = prim.reduce_sum(t, axes=tuple(range(len(t.spec.shape))), keepdims=False) if t.spec.shape else t
            terms.append(total if total.dtype == "float32" else prim.cast(total, dtype="float32"))
        total = terms[0]
        for term in terms[1:]:
            total = prim.add(total, term)
        found = gradients([total], [SymbolicTensor.wrap(s) for s in sources])
        pairs = [(s, as_value(g)) for s, g in zip(sources, found) if g is not None]
        return as_value(total), [s for s, _ in pairs], [g for _, g in pairs]


class Misfit(Exception):
    """No operand at hand fits."""


__all__ = ["BATCHES", "FuzzedGraph", "coverage", "ops_of", "random_graph"]
