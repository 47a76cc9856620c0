"""`vectorized_map`: a function of single elements, run on all of them at once.

The function is traced once, on one element. Then its nodes are called again, in order, on tensors that hold the values of all
elements along a new first axis, or one value that is the same for all. How an op does that is its batching rule
(`graphkeras.ops.batching`); a node without one becomes a `map` over the elements, and so does control flow whose way differs from
element to element. As the nodes are called like any other op, the result is eager for eager elements and symbolic in a trace, and
gradients of any order go through it.
"""

import contextvars
from collections.abc import Sequence

from graphkeras.ir.errors import TraceError
from graphkeras.ir.node import Node, Value
from graphkeras.ir.origin import origin_scope
from graphkeras.ir.registry import make_node, op_def
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops import batching
from graphkeras.ops.batching import BatchCall, spread
from graphkeras.ops.control_nodes import common_length, is_traced, require_callable, results_of, wrap
from graphkeras.ops.core_control import cond, run_again, scan, switch, while_loop
from graphkeras.ops.core_control import map as one_by_one
from graphkeras.ops.numpy_join import concatenate
from graphkeras.trace import SymbolicTensor, Tensor, apply, as_tensor, as_value, prim, tree
from graphkeras.trace.recorders import eager_constants
from graphkeras.trace.subgraph import SubTrace, close, subtrace
from graphkeras.trace.variable import autocast_scope

_reasons: contextvars.ContextVar[list | None] = contextvars.ContextVar("graphkeras_unvectorized", default=None)


def vectorized_map(function, elements):
    """Parallel map of `function` on axis 0 of tensor(s) `elements`.

    The function is traced once, and every op in it works on all elements at once. What cannot (`unvectorized` tells) goes element
    by element, so that the result is always that of `map`: random numbers differ from element to element, and variables are
    written for one element after the other. Run eagerly, a function that decides in Python on the values of its argument goes
    element by element as a whole.

    Args:
        function: Callable, applied to each element along axis 0.
        elements: A tensor, or a structure of tensors with one leading axis.

    Returns:
        The results, stacked.

    Example:

    >>> vectorized_map(lambda x: x * 2, Tensor([0, 1, 2])).tolist()
    [0, 2, 4]
    """
    require_callable("vectorized_map", function=function)
    rows = [as_tensor(x) for x in tree.flatten(elements)]
    if not rows:
        return one_by_one(function, elements)  # which says what is wrong
    count = common_length("vectorized_map", rows, None)
    traced = is_traced(rows)
    if traced:
        rows = [wrap(as_value(x)) for x in rows]
    specs = [TensorSpec(x.spec.shape[1:], x.dtype) for x in rows]
    call = lambda *slices: results_of(function(tree.pack_sequence_as(elements, slices)))
    with eager_constants() as constants:
        try:
            body = subtrace(call, specs, getattr(function, "__name__", ""))
        except TraceError:
            if traced:
                raise
            _declined("function", "it decides in Python on the values of an element")
            return one_by_one(function, elements)
    if _has_pull_back([*body.outputs, *map(body.scope.current, body.scope.written())], body.start):
        _declined("custom_gradient", "its gradient function holds on to values of one element")
        return one_by_one(function, elements)
    rows = [x if x.spec.shape[0] == count else prim.reshape(x, shape=(count, *x.spec.shape[1:])) for x in rows]
    return _Batching(count, traced, constants).mapped(body, rows)


def unvectorized(function, elements) -> list[tuple[str, str]]:
    """What of a function `vectorized_map` runs element by element.

    Args:
        function, elements: as for `vectorized_map`, which is run.

    Returns:
        (op, reason) for each node of the function; in a graph the reason is the rule in the node's origin.

    Example:

    >>> from graphkeras.ops import cholesky, while_loop
    >>> unvectorized(cholesky, Tensor([[[4.0]], [[9.0]]]))
    []
    >>> unvectorized(lambda n: while_loop(lambda i: i < n, lambda i: i + 1, n * 0), Tensor([1, 2]))
    [('while_loop', 'its condition differs from element to element')]
    """
    found: list[tuple[str, str]] = []
    token = _reasons.set(found)
    try:
        vectorized_map(function, elements)
    finally:
        _reasons.reset(token)
    return found


def _declined(op, reason):
    found = _reasons.get()
    if found is not None:
        found.append((op, reason))


def _reached(outputs, known=(), start=0) -> list[Node]:
    """The nodes between values, older ones first: not those that are known, nor those that are older than `start`."""
    nodes, stack = {}, [v for v in outputs if v not in known]
    while stack:
        node = stack.pop().node
        if node.id >= start and node.id not in nodes:
            nodes[node.id] = node
            stack.extend(v for v in node.inputs if v not in known)
    return [nodes[i] for i in sorted(nodes)]


def _has_pull_back(outputs, start=0) -> bool:
    return any(
        (n.op == "custom_gradient" and n.attrs["pull_back"] is not None) or any(_has_pull_back(g.outputs) for g in n.subgraphs)
        for n in _reached(outputs, start=start)
    )


class _Batching:
    """Runs nodes of one element on tensors of all.

    A value stands for a pair: a tensor, and whether the batch is its first axis.

    Args:
        size: of the batch.
        traced: whether nodes are made, rather than results computed.
        constants: eager tensors that became constants of the body.
    """

    def __init__(self, size, traced: bool, constants: dict):
        self._size, self._traced, self._constants = size, traced, constants

    def mapped(self, body: SubTrace, rows: list):
        """What the body returns, for all rows."""
        scope = body.scope
        variables = [v for v, _ in scope.outside.values()]
        states = {scope.first_read(v): (self._variable(v, outside), False) for v, outside in scope.outside.values()}
        written = scope.written()
        if written:
            _declined("assign_variable", f"{', '.join(v.path for v in written)}: written for one element after the other")
            before = self._states(body, rows, variables, written, states)
            states.update({scope.first_read(v): (x, True) for v, x in zip(written, before, strict=True)})
        known = {**dict(zip(body.inputs, ((x, True) for x in rows), strict=True)), **states}
        values = iter(self._values(body.outputs, known, body.start))
        return tree.map_structure(lambda leaf: None if leaf is None else self._full(*next(values)), body.structure)

    def _variable(self, variable, outside: Value):
        if self._traced:
            return wrap(outside)
        with autocast_scope(None):
            return as_tensor(variable.value)

    def _states(self, body, rows, variables, written, states):
        """The values of variables before each element, stacked; writes the last ones."""
        places = [body.scope.first_read(v) for v in written]

        def step(carries, slices):
            known = dict(states)
            known.update(zip(body.inputs, ((x, False) for x in slices), strict=True))
            known.update(zip(places, ((x, False) for x in carries), strict=True))
            after = self._values([body.scope.current(v) for v in written], known, body.start)
            return [x for x, _ in after], list(carries)

        finals, before = scan(step, [states[place][0] for place in places], rows)
        for variable, value in zip(written, finals, strict=True):
            variable.assign(value)
        return before

    def _full(self, tensor, batched: bool):
        return tensor if batched else spread(tensor, self._size)

    # ---- nodes --------------------------------------------------------------------------------------------------------

    def _values(self, outputs: Sequence[Value], known: dict, start: int = 0) -> list[tuple]:
        """Pairs for the outputs, from pairs for the values they are made of; what is older than `start` is the same for all."""
        known = dict(known)
        for node in _reached(outputs, known, start):
            pairs = [known[v] if v in known else self._outside(v) for v in node.inputs]
            known.update(zip(node.outputs, self._run(node, pairs), strict=True))
        return [known[v] if v in known else self._outside(v) for v in outputs]

    def _graph(self, graph, pairs) -> list[tuple]:
        return self._values(graph.outputs, dict(zip(graph.inputs, pairs, strict=True)))

    def _outside(self, value: Value):
        if value.node.op == "constant":
            return self._same(value.node, [])[value.index], False
        return wrap(value), False

    def _run(self, node: Node, pairs) -> list[tuple]:
        tensors, batched = [t for t, _ in pairs], tuple(b for _, b in pairs)
        if not any(batched):
            return [(t, False) for t in self._same(node, tensors)]
        with origin_scope(node.origin):
            found = self._control(node, pairs) if node.subgraphs else self._batched(node, tensors, batched)
        if found is None or isinstance(found, str):
            found = self._each(node, tensors, batched, found or "there is no rule for all elements at once")
        return found

    def _same(self, node: Node, tensors) -> tuple:
        """A node that is the same for every element."""
        if self._traced and all(type(t) is SymbolicTensor and t.value == v for t, v in zip(tensors, node.inputs, strict=True)):
            return tuple(map(wrap, node.outputs))
        if node.op == "constant":
            kept = self._constants.get(node.id)
            return (Tensor.wrap(node.attrs["value"].array) if kept is None else kept,)
        with origin_scope(node.origin):
            if node.subgraphs:
                results = run_again(node, tensors, node.attrs, self._same)
            else:
                results = apply(node.op, *tensors, **node.attrs)
        return results if isinstance(results, tuple) else (results,)

    def _batched(self, node: Node, tensors, batched):
        """Pairs by the rule of the op, or why there are none."""
        record = op_def(node.op)
        rule = batching.of_kind(record)
        if isinstance(rule, str):
            return rule
        results = None if rule is None else rule(BatchCall(node.op, self._size, batched, dict(node.attrs)), *tensors)
        if isinstance(results, str):
            return results
        if results is not None:
            return [(t, True) for t in (results if isinstance(results, tuple) else (results,))]
        return self._expanded(record, node, tensors, batched) if record.expand is not None else None

    def _expanded(self, record, node, tensors, batched):
        specs = [v.spec for v in node.inputs]
        body = subtrace(lambda *xs: record.expand(*xs, **node.attrs), specs, node.op)
        return self._values(body.outputs, dict(zip(body.inputs, zip(tensors, batched), strict=True)), body.start)

    def _each(self, node: Node, tensors, batched, reason: str) -> list[tuple]:
        """A map of one node over the elements."""
        _declined(node.op, reason)

        def single(slices):
            found = iter(slices)
            return self._same(node, [next(found) if b else t for t, b in zip(tensors, batched, strict=True)])

        with origin_scope(node.origin, rule=f"element by element: {reason}"):
            results = one_by_one(single, [t for t, b in zip(tensors, batched, strict=True) if b])
        return [(t, True) for t in results]

    # ---- control flow -------------------------------------------------------------------------------------------------

    def _control(self, node: Node, pairs):
        op, attrs = node.op, node.attrs
        if op in ("cond", "switch"):
            (chooser, differs), rest = pairs[0], pairs[1:]
            if differs:
                return "the branch differs from element to element"
            branches = [(lambda g=g: tuple(self._full(*p) for p in self._graph(g, rest))) for g in node.subgraphs]
            results = cond(chooser, *branches) if op == "cond" else switch(chooser, branches)
            return [(t, True) for t in results]
        if op == "checkpoint":
            return self._checkpoint(node, pairs)
        count = attrs["carries"]
        first, rest = pairs[:count], pairs[count:]
        if op == "while_loop":
            return self._while(node, first, rest)
        return self._scan(node, first, rest[: attrs["xs"]], rest[attrs["xs"] :])

    def _checkpoint(self, node: Node, pairs):
        (graph,) = node.subgraphs
        if not self._traced:
            return self._graph(graph, pairs)
        body = subtrace(lambda: [self._full(*p) for p in self._graph(graph, pairs)], [], node.op)
        graphs, captures = close([body])
        return [(wrap(v), True) for v in make_node("checkpoint", captures, subgraphs=graphs).outputs]

    def _carried(self, graph, first, rest):
        """Which of the values that a loop carries, and which of the results of its body, differ from element to element."""
        flags = [b for _, b in first]
        while True:
            results = _spread_flags(graph, [*flags, *rest])
            wider = [a or b for a, b in zip(flags, results)]
            if wider == flags:
                return flags, results
            flags = wider

    def _as(self, flags, pairs) -> list:
        return [self._full(t, b) if flag else t for flag, (t, b) in zip(flags, pairs)]

    def _while(self, node: Node, first, captures):
        go, body = node.subgraphs
        flags, _ = self._carried(body, first, [b for _, b in captures])
        if _spread_flags(go, [*flags, *(b for _, b in captures)])[0]:
            return "its condition differs from element to element"
        state = lambda carries: [*zip(carries, flags, strict=True), *captures]
        finals = while_loop(
            lambda *carries: self._graph(go, state(carries))[0][0],
            lambda *carries: tuple(self._as(flags, self._graph(body, state(carries)))),
            tuple(self._as(flags, first)),
            node.attrs["limit"],
        )
        return list(zip(finals, flags, strict=True))

    def _scan(self, node: Node, first, rows, captures):
        (body,), attrs = node.subgraphs, node.attrs
        row_flags, count, history = [b for _, b in rows], len(first), attrs["history"]
        flags, result_flags = self._carried(body, first, [*row_flags, *(b for _, b in captures)])
        first = self._as(flags, first)

        def step(carries, slices):
            known = [*zip(carries, flags, strict=True), *zip(slices or (), row_flags, strict=True), *captures]
            results = self._graph(body, known)
            carries = self._as(flags, results[:count])
            return carries, (tuple(carries[k] for k in history), tuple(self._as(result_flags[count:], results[count:])))

        turned = tuple(_exchanged(t) if b else t for t, b in rows)
        finals, (after, ys) = scan(step, first, turned or None, attrs["length"], attrs["reverse"])
        starts = [prim.reshape(first[k], shape=(1, *first[k].spec.shape)) for k in history]
        histories = [concatenate([a, s] if attrs["reverse"] else [s, a]) for s, a in zip(starts, after, strict=True)]
        stacked = [*zip(histories, (flags[k] for k in history), strict=True), *zip(ys, result_flags[count:], strict=True)]
        return [*zip(finals, flags, strict=True), *((_exchanged(t) if b else t, b) for t, b in stacked)]


def _exchanged(x):
    """The first two axes exchanged: steps first, or elements first."""
    return prim.transpose(x, perm=(1, 0, *range(2, x.ndim)))


def _spread_flags(graph, flags) -> list[bool]:
    """Which results of a graph may differ from element to element, where these inputs do."""
    known = dict(zip(graph.inputs, flags, strict=True))
    for node in graph.nodes:
        known.update(dict.fromkeys(node.outputs, any(known.get(v, False) for v in node.inputs)))
    return [known[v] for v in graph.outputs]
