"""Gradients of control flow: nodes with sub-graphs again, so that gradients of gradients come by themselves.

- A branch is pulled back inside a branch, which computes the forward values it needs again.
- The gradient of a scan is a scan the other way round over the same steps. What it needs of the forward steps is saved: the forward
  scan gives it as further stacked results (the pass `merge_scans` makes one node of both). Cheap views and what depends on
  captures alone is made again. Cotangents of captures are sums over steps; products and sums among them (those of weights and
  biases) are taken once, behind the loop, over all steps together.
- A while loop with a limit is a scan of that many steps, of which those behind its end do nothing.
"""

from graphkeras.autodiff.reverse import CONTROL, Record, backpropagate, differentiable, gradients, value_key
from graphkeras.ir.errors import GradientError
from graphkeras.ir.graph import Graph, input_node
from graphkeras.ir.node import Node, Value
from graphkeras.ir.registry import make_node, op_def
from graphkeras.ops.control import scan_values, slots
from graphkeras.ops.control_nodes import scan_node
from graphkeras.ops.core_control import cond
from graphkeras.trace import SymbolicTensor, Tensor, TraceScope, as_value, tracing
from graphkeras.trace.subgraph import rebuilt

_wrap = SymbolicTensor.wrap
_CHEAP = ("constant", "dim", "iota", "identity", "stop_gradient")


def _zeros(spec) -> Value:
    zero = as_value(Tensor(0, dtype=spec.dtype))
    return Value(make_node("broadcast_to", [zero], {"shape": spec.shape})) if spec.shape else zero


def _placeholders(specs, prefix) -> list[Value]:
    return [Value(input_node(f"{prefix}{i}", s)) for i, s in enumerate(specs)]


def _pulled(targets, cotangents, sources) -> list[Value | None]:
    """Gradients inside a sub-graph, as values."""
    with tracing(TraceScope()):
        found = gradients([_wrap(t) for t in targets], [_wrap(s) for s in sources], [_wrap(c) for c in cotangents])
    return [None if g is None else as_value(g) for g in found]


# ---- branches -------------------------------------------------------------------------------------------------------


def _branches(record: Record, cts, wanted):
    chooser, *captures = record.inputs
    given = [i for i, ct in enumerate(cts) if ct is not None]
    sources = [i for i, want in enumerate(wanted[1:]) if want]
    prefix, taken = "g", {name for graph in record.subgraphs for name in graph.input_names}
    while f"{prefix}0" in taken:
        prefix += "g"
    seeds = _placeholders([cts[i].spec for i in given], prefix)
    found = []
    for graph in record.subgraphs:
        found.append(_pulled([graph.outputs[i] for i in given], seeds, [graph.inputs[i] for i in sources]))
    used = [any(pulled[p] is not None for pulled in found) for p in range(len(sources))]
    graphs = []
    for graph, pulled in zip(record.subgraphs, found):
        outputs = [v if v is not None else _zeros(graph.inputs[i].spec) for i, v, u in zip(sources, pulled, used) if u]
        graphs.append(Graph(f"{graph.name}_gradient", [*graph.inputs, *seeds], outputs))
    contributions = [None] * len(record.inputs)
    if any(used):
        operands = [as_value(t) for t in (chooser, *captures, *(cts[i] for i in given))]
        values = iter(make_node(record.op, operands, subgraphs=graphs).outputs)
        for i, u in zip(sources, used):
            contributions[1 + i] = _wrap(next(values)) if u else None
    return contributions


# ---- scans ----------------------------------------------------------------------------------------------------------


def _scan(record: Record, cts, wanted):
    return _ScanGradient(record, cts, wanted).contributions()


class _ScanGradient:
    """One use of the rule.

    Attributes:
        active: carries that have a cotangent at some step.
        seeds: placeholders of the cotangents of those carries, at the end of a step.
        rows: (placeholder, stacked operand) of everything the backward steps read slices of.
    """

    def __init__(self, record: Record, cts, wanted):
        attrs = record.attrs
        self.record, self.wanted = record, wanted
        self.n, self.m = attrs["carries"], attrs["xs"]
        self.length, self.reverse, self.history = attrs["length"], attrs["reverse"], attrs["history"]
        self.operands = [as_value(t) for t in record.inputs]
        (self.body,) = record.subgraphs
        cts = [None if ct is None else as_value(ct) for ct in cts]
        self.final_cts = cts[: self.n]
        self.history_cts = dict(zip(self.history, cts[self.n : self.n + len(self.history)]))
        self.row_cts = cts[self.n + len(self.history) :]
        self.rows: list[tuple[Value, Value]] = []
        self.own = {node.id for node in self.body.nodes}
        self.invariant = self._invariant()

    def _row(self, stacked: Value, name: str) -> Value:
        spec = stacked.spec
        placeholder = Value(input_node(f"{name}{len(self.rows)}", spec.with_shape(spec.shape[1:])))
        self.rows.append((placeholder, stacked))
        return placeholder

    def contributions(self):
        n, m, inputs = self.n, self.m, self.body.inputs
        carried, scanned, captured = inputs[:n], inputs[n : n + m], inputs[n + m :]
        targets, given = self._targets_behind_the_loop()
        self.active, self.seeds = self._active(targets, given)
        slopes = list(self.seeds)
        for i, k in enumerate(self.active):
            if self.history_cts.get(k) is not None:
                inside = self._row(slots(self.history_cts[k], not self.reverse, self.length), "h")
                slopes[i] = Value(make_node("add", [slopes[i], inside]))
        rows = [v for v, w in zip(scanned, self.wanted[n:]) if w]
        weights = [v for v, w in zip(captured, self.wanted[n + m :]) if w]
        active = [carried[k] for k in self.active]
        pulled = _pulled([*(self.body.outputs[k] for k in self.active), *targets], [*slopes, *given], [*active, *rows, *weights])
        new = [v if v is not None else _zeros(p.spec) for v, p in zip(pulled, active)]
        row_slopes = dict(zip(rows, pulled[len(active) :]))
        weight_slopes = dict(zip(weights, pulled[len(active) + len(rows) :]))
        totals = {p: _Total(self, slope, f"sum_{p.node.attrs['name']}") for p, slope in weight_slopes.items() if slope is not None}
        stacked = [v for v in row_slopes.values() if v is not None] + [v for t in totals.values() for v in t.stacked]
        added = [(t.accumulator, t.added) for t in totals.values() if t.accumulator is not None]
        finals, ys = self._run(new, added, stacked)
        ys = iter(ys)
        found: dict[Value, Value | None] = dict(zip(active, finals))
        found.update({p: None if v is None else next(ys) for p, v in row_slopes.items()})
        sums = iter(finals[len(active) :])
        for p, total in totals.items():
            columns = [next(ys) for _ in total.stacked]
            found[p] = total.finished(columns, next(sums) if total.accumulator is not None else None)
        return [self._contribution(k, p, found.get(p)) for k, p in enumerate(inputs)]

    def _contribution(self, k, placeholder, value):
        history = self.history_cts.get(k) if k < self.n else None
        if history is not None and self.wanted[k]:  # the first slot is the initial value itself
            at = self.length if self.reverse else 0
            shape = history.shape[1:]
            attrs = {"starts": (at, *(0 for _ in shape)), "stops": (at + 1, *shape), "strides": (1,) * (len(shape) + 1)}
            first = Value(make_node("reshape", [Value(make_node("slice", [history], attrs))], {"shape": shape}))
            value = first if value is None else Value(make_node("add", [value, first]))
        return None if value is None else _wrap(value)

    # ---- what the cotangents are ------------------------------------------------------------------------------------

    def _targets_behind_the_loop(self):
        """Results of a step that have cotangents of their own, and placeholders for these."""
        targets, given = [], []
        for inside, ct in zip(self.body.outputs[self.n :], self.row_cts):
            if ct is not None:
                targets.append(inside)
                given.append(self._row(ct, "y"))
        return targets, given

    def _active(self, targets, given):
        """Carries whose value some cotangent depends on: those that have one, and all that these (or the ys) were made of."""
        inputs, outputs = self.body.inputs[: self.n], self.body.outputs[: self.n]
        floats = [k for k in range(self.n) if differentiable(inputs[k].dtype)]
        active = [k for k in floats if self.final_cts[k] is not None or self.history_cts.get(k) is not None]
        while True:
            seeds = _placeholders([inputs[k].spec for k in active], "g")
            found = _pulled([*(outputs[k] for k in active), *targets], [*seeds, *given], [inputs[k] for k in floats])
            more = sorted({*active, *(k for k, g in zip(floats, found) if g is not None)})
            if more == active:
                return active, seeds
            active = more

    def _invariant(self) -> set[int]:
        """Ids of nodes of the body whose value is the same in every step."""
        moving = {v.node.id for v in self.body.inputs[: self.n + self.m]}
        for node in self.body.nodes:
            if any(v.node.id in moving for v in node.inputs):
                moving.add(node.id)
        return self.own - moving

    # ---- the scan ---------------------------------------------------------------------------------------------------

    def _run(self, new, added, stacked):
        """The backward scan: (last carries, stacked results)."""
        outputs = [*new, *(Value(make_node("add", [a, v])) for a, v in added), *stacked]
        saved, captured = self._needed(outputs)
        placeholders = self._saved_rows(saved)
        captures = {v: Value(input_node(f"c{i}", v.spec)) for i, v in enumerate(captured)}
        outputs = rebuilt(outputs, {**placeholders, **captures})
        carries = len(new) + len(added)
        whole = dict(self.rows)
        kept = [v for v in outputs[carries:] if v not in whole]
        starts = [self.final_cts[k] if self.final_cts[k] is not None else _zeros(p.spec) for k, p in zip(self.active, self.seeds)]
        starts += [_zeros(a.spec) for a, _ in added]
        inputs = [*self.seeds, *(a for a, _ in added), *(p for p, _ in self.rows), *captures.values()]
        graph = Graph(f"{self.body.name}_gradient", inputs, [*outputs[:carries], *kept])
        outside = dict(zip(self.body.inputs, self.operands))
        operands = [*starts, *(s for _, s in self.rows), *(outside[v] for v in captures)]
        finals, ys = scan_values(graph, operands, carries, len(self.rows), self.length, not self.reverse)
        made = dict(zip(kept, ys))
        return finals, [whole[v] if v in whole else made[v] for v in outputs[carries:]]

    def _needed(self, outputs):
        """Forward values that the backward step reads: those that change with the step, and captures."""
        captures, moving = set(self.body.inputs[self.n + self.m :]), set(self.body.inputs[: self.n + self.m])
        saved, captured, seen, stack = [], [], set(), list(outputs)
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            node = value.node
            if value in captures:
                captured.append(value)
            elif value in moving or (node.id in self.own and not self._is_cheap(node)):
                saved.append(value)
            else:
                stack.extend(node.inputs)
        order = lambda v: (v.node.id, v.index)
        return sorted(saved, key=order), sorted(captured, key=order)

    def _is_cheap(self, node: Node) -> bool:
        return node.id in self.invariant or node.op in _CHEAP or op_def(node.op).kind == "view"

    def _saved_rows(self, saved) -> dict[Value, Value]:
        """Placeholders for the slices of what the forward steps save."""
        n, m, body = self.n, self.m, self.body
        result = {}
        kept = []
        for value in saved:
            if value in body.inputs:
                k = body.inputs.index(value)
                if k >= n:
                    result[value] = self._row(self.operands[k], "x")
                    continue
            kept.append(value)
        if kept:
            longer = Graph(body.name, body.inputs, [*body.outputs, *kept])
            _, ys = scan_values(longer, self.operands, n, m, self.length, self.reverse)
            for value, stack in zip(kept, ys[len(body.outputs) - n :]):
                result[value] = self._row(stack, "s")
        return result


class _Total:
    """The cotangent of a capture: a sum over steps. Terms that are products or sums themselves are finished behind the loop.

    Attributes:
        stacked: values of the backward step to be stacked for that.
        accumulator: placeholder of the sum of all other terms, None where there are none.
        added: what a step adds to it.
    """

    def __init__(self, gradient: _ScanGradient, slope: Value, name: str):
        self.spec = slope.spec
        self.length = gradient.length
        self.parts: list[tuple[Node, int]] = []
        self.stacked: list[Value] = []
        self.accumulator = self.added = None
        stack = [slope]
        while stack:
            value = stack.pop()
            node = value.node
            if node.op == "add" and all(v.spec == self.spec for v in node.inputs) and node.id not in gradient.own:
                stack.extend(reversed(node.inputs))
            elif self._waits(node, gradient):
                self.parts.append((node, len(node.inputs)))
                self.stacked += node.inputs
            else:
                self.added = value if self.added is None else Value(make_node("add", [self.added, value]))
        if self.added is not None:
            self.accumulator = Value(input_node(name, self.spec))

    @staticmethod
    def _waits(node, gradient) -> bool:
        if node.id in gradient.own or any(v.node.id in gradient.invariant or v.node.op == "constant" for v in node.inputs):
            return False
        if node.op == "matmul":
            return len(node.specs[0].shape) == 2 and node.attrs["transpose_a"] and not node.attrs["transpose_b"]
        return node.op == "reduce_sum"

    def finished(self, columns, accumulated) -> Value:
        """The sum, from what was stacked and what was accumulated."""
        terms = [] if accumulated is None else [accumulated]
        columns = iter(columns)
        for node, count in self.parts:
            terms.append(self._over_all_steps(node, [next(columns) for _ in range(count)]))
        total = terms[0]
        for term in terms[1:]:
            total = Value(make_node("add", [total, term]))
        return total

    def _over_all_steps(self, node, columns):
        if node.op == "matmul":  # sum over t of a[t].T @ b[t] = a.T @ b with steps and rows as one axis
            flat = [Value(make_node("reshape", [c], {"shape": (c.shape[0] * c.shape[1], c.shape[2])})) for c in columns]
            return Value(make_node("matmul", flat, node.attrs))
        axes = (0, *(a + 1 for a in node.attrs["axes"]))
        total = Value(make_node("reduce_sum", columns, {"axes": axes, "keepdims": False}))
        return total if total.shape == self.spec.shape else Value(make_node("reshape", [total], {"shape": self.spec.shape}))


# ---- while loops ----------------------------------------------------------------------------------------------------


def _while(record: Record, cts, wanted):
    limit, count = record.attrs["limit"], record.attrs["carries"]
    if limit is None:
        raise GradientError(
            "while_loop has no gradient: how many steps it takes, and so how much they must save, is not known before it runs.",
            got="while_loop(..., maximum_iterations=None), or fori_loop with a bound that is a tensor",
            expected="a bound of the number of steps that is known when the graph is built",
            where=str(record.origin) if record.origin else "",
            mend="pass maximum_iterations=..., or use ops.scan or ops.fori_loop with fixed bounds; or run eagerly",
        )
    condition, body = record.subgraphs
    captures = [as_value(t) for t in record.inputs[count:]]

    def inlined(graph, carries):
        return rebuilt(graph.outputs, dict(zip(graph.inputs, [*map(as_value, carries), *captures])))

    def step(carries, _):
        (go,) = inlined(condition, carries)
        new = cond(_wrap(go), lambda: [_wrap(v) for v in inlined(body, carries)], lambda: list(carries))
        return new, []

    with tracing(TraceScope()):
        finals, _ = scan_node(step, [as_value(t) for t in record.inputs[:count]], [], limit, False)
    node = finals[0].value.node
    replay = Record(
        node.op, node.attrs, tuple(map(_wrap, node.inputs)), tuple(map(_wrap, node.outputs)),
        tuple(map(value_key, node.inputs)), tuple(map(value_key, node.outputs)), record.origin, node.subgraphs,
    )  # fmt: skip
    seeds = {value_key(f.value): ct for f, ct in zip(finals, cts) if ct is not None}
    keys = [value_key(as_value(t)) for t in record.inputs]
    found = backpropagate([replay], seeds, [k for k, w in zip(keys, wanted) if w])
    contributions, told = [], set()
    for key in keys:  # one value may be an operand twice: what came back is for both together
        contributions.append(None if key in told else found.get(key))
        told.add(key)
    return contributions


CONTROL.update({"cond": _branches, "switch": _branches, "scan": _scan, "while_loop": _while})
