"""Control flow: nodes with sub-graphs. Their eager form gets the sub-graphs as `SubFunction`s.

A sub-graph sees nothing of the graph around it but the sizes: what it reads from there are operands of the node ("captures"),
which come last. Gradients are made of gradients of sub-graphs; their rules are in `graphkeras.autodiff.control`.

- `cond(pred, *captures)` with two sub-graphs, `switch(index, *captures)` with any number: all take the captures and give equal
  specs.
- `while_loop(*carries, *captures; carries, limit)` with a condition and a body.
- `scan(*carries, *xs, *captures; carries, xs, length, reverse, history)`: the body takes carries, one slice of each of `xs` along
  the first axis and the captures, and gives the new carries and slices of `ys`. Outputs: the last carries; for each carry in
  `history` its values before the first and after every step, stacked (length + 1 of them, those of a reversed scan in the
  reversed order, so that they line up with xs); the stacked ys.
- `checkpoint(*operands)` with one sub-graph, which is run as it stands: its gradient runs it again instead of keeping what it
  computed. `recompute_barrier(x, *awaited)` is x, but not before the awaited values are there, and never the same node as x: behind
  it stands what is run again.
"""

import numpy as np

from graphkeras.ir.dims import Dim, substitute
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.errors import DTypeError, GraphError, ShapeError
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Value
from graphkeras.ir.registry import NoGradient, Sample, make_node, register_op
from graphkeras.ir.samples import any_dtype, any_shape, integers, uniform
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops import batching
from graphkeras.ops.inference import show

_RULE = NoGradient("the rules of control flow are in graphkeras.autodiff.control")


def _check_operands(op, specs, subgraphs):
    """Every sub-graph takes these specs."""
    for number, graph in enumerate(subgraphs):
        taken = [v.spec for v in graph.inputs]
        if taken != list(specs):
            raise GraphError(
                f"{op}: sub-graph {number} ({graph.name}) takes other inputs than it is given.",
                got=show(specs),
                expected=show(taken),
            )


def _check_outputs(op, specs, expected, what):
    if list(specs) != list(expected):
        raise ShapeError(f"{op}: {what} differ.", got=show(specs), expected=show(expected))


def _scalar(op, spec, dtype, what):
    if spec.dtype != dtype:
        raise DTypeError(f"{op}: the {what} must be {dtype}.", got=str(spec), expected=f"a scalar of dtype {dtype}", mend="cast it")
    if spec.shape:
        raise ShapeError(f"{op}: the {what} must be a scalar.", got=str(spec), expected="shape ()", mend="reduce it first")


def _branches_infer(op, operands, subgraphs):
    _check_operands(op, operands, subgraphs)
    first = [v.spec for v in subgraphs[0].outputs]
    for graph in subgraphs[1:]:
        _check_outputs(op, [v.spec for v in graph.outputs], first, "the results of the branches")
    return tuple(first)


def _cond_infer(pred, *captures, subgraphs):
    _scalar("cond", pred, "bool", "predicate")
    return _branches_infer("cond", captures, subgraphs)


def _switch_infer(index, *captures, subgraphs):
    _scalar("switch", index, "int32", "index")
    return _branches_infer("switch", captures, subgraphs)


def _while_infer(*operands, carries, limit, subgraphs):
    condition, body = subgraphs
    _check_operands("while_loop", operands, subgraphs)
    if len(condition.outputs) != 1:
        raise GraphError("while_loop: the condition gives one value.", got=f"{len(condition.outputs)} values", expected="one")
    _scalar("while_loop", condition.outputs[0].spec, "bool", "condition")
    _check_outputs("while_loop", [v.spec for v in body.outputs], operands[:carries], "loop variables before and after the body")
    return tuple(operands[:carries])


def _stacked(spec, length):
    return TensorSpec((length, *spec.shape), spec.dtype)


def _scan_infer(*operands, carries, xs, length, reverse, history, subgraphs):
    (body,) = subgraphs
    rows = operands[carries : carries + xs]
    for spec in rows:
        if not spec.shape or (spec.shape[0] != length and not isinstance(spec.shape[0], Dim) and not isinstance(length, Dim)):
            raise ShapeError(
                f"scan: an operand has no {length} slices along its first axis.", got=str(spec), expected=f"{length} slices"
            )
    slices = [TensorSpec(spec.shape[1:], spec.dtype) for spec in rows]
    _check_operands("scan", [*operands[:carries], *slices, *operands[carries + xs :]], subgraphs)
    outputs = [v.spec for v in body.outputs]
    _check_outputs("scan", outputs[:carries], operands[:carries], "the carried values before and after a step")
    finals = operands[:carries]
    return (*finals, *(_stacked(finals[k], length + 1) for k in history), *(_stacked(s, length) for s in outputs[carries:]))


def _cond_eager(pred, *captures, subgraphs):
    return subgraphs[0 if pred else 1](*captures)


def _switch_eager(index, *captures, subgraphs):
    return subgraphs[min(max(int(index), 0), len(subgraphs) - 1)](*captures)


def _while_eager(*operands, carries, limit, subgraphs):
    condition, body = subgraphs
    state, captures, steps = operands[:carries], operands[carries:], 0
    while (limit is None or steps < limit) and condition(*state, *captures)[0]:
        state = body(*state, *captures)
        steps += 1
    return tuple(state)


def _scan_eager(*operands, carries, xs, length, reverse, history, subgraphs):
    (body,) = subgraphs
    state, rows, captures = operands[:carries], operands[carries : carries + xs], operands[carries + xs :]
    kept, results = [[state[k]] for k in history], []
    for i in reversed(range(length)) if reverse else range(length):
        outputs = body(*state, *(x[i] for x in rows), *captures)
        state = outputs[:carries]
        results.append(outputs[carries:])
        for values, k in zip(kept, history):
            values.append(state[k])
    order = -1 if reverse else 1
    histories = [np.stack(values[::order]) for values in kept]
    columns = zip(*results[::order]) if results else [()] * (len(body.specs) - carries)
    specs = body.specs[carries:]
    stacked = [np.stack(c) if len(c) else np.empty((0, *s.shape), numpy_dtype(s.dtype)) for c, s in zip(columns, specs)]
    return (*state, *histories, *stacked)


def _checkpoint_infer(*operands, subgraphs):
    _check_operands("checkpoint", operands, subgraphs)
    return tuple(v.spec for v in subgraphs[0].outputs)


def _checkpoint_eager(*operands, subgraphs):
    return subgraphs[0](*operands)


class SubFunction:
    """A sub-graph as a function of arrays.

    Args:
        graph: the sub-graph.
        sizes: what the symbols of sizes stand for, those of the graph around it included.
        run_node: `(node, arrays, sizes) -> arrays`.

    Attributes:
        specs: of the results.
    """

    def __init__(self, graph, sizes, run_node):
        self.graph, self._sizes, self._run_node = graph, sizes, run_node
        self.specs = [v.spec.with_shape(substitute(v.shape, sizes)) for v in graph.outputs]

    def __call__(self, *arrays):
        values = dict(zip(self.graph.inputs, arrays))
        for node in self.graph.nodes:
            outputs = self._run_node(node, [values[v] for v in node.inputs], self._sizes)
            values.update(zip(node.outputs, outputs))
        return tuple(values[v] for v in self.graph.outputs)


def scan_values(body: Graph, operands, carries: int, xs: int, length, reverse: bool) -> tuple[list[Value], list[Value]]:
    """A scan node, or rather what it gives.

    A y that is a carry before or after the step is no y of the node: it is a view of that carry's history, which the loop keeps
    instead of the carry itself, at no cost.

    Args:
        body: gives the new carries, then the slices of the ys.
        operands: carries, xs, captures.
        carries, xs: how many of the operands are such.
        length: number of steps (int or Dim).
        reverse: whether the last slice comes first.

    Returns:
        The last carries and the stacked ys.
    """
    before, after = body.inputs[:carries], body.outputs[:carries]
    history, kept, places = [], [], []
    for y in body.outputs[carries:]:
        if y in after or y in before:
            k = after.index(y) if y in after else before.index(y)
            history += [k] if k not in history else []
            places.append((k, (y in after) is not reverse))  # slots 1.. of a forward scan hold the carries after the steps
        else:
            kept += [y] if y not in kept else []
            places.append((y, None))
    history.sort()
    attrs = {"carries": carries, "xs": xs, "length": length, "reverse": reverse, "history": tuple(history)}
    node = make_node("scan", operands, attrs, subgraphs=(Graph(body.name, body.inputs, [*after, *kept]),))
    ys = []
    for place, later in places:
        if later is None:
            ys.append(node.outputs[carries + len(history) + kept.index(place)])
        else:
            ys.append(slots(node.outputs[carries + history.index(place)], later, length))
    return list(node.outputs[:carries]), ys


def slots(history: Value, later: bool, length) -> Value:
    """All but the first of the slots of a history, or all but the last."""
    inner = history.shape[1:]
    start = int(later)
    attrs = {"starts": (start, *(0 for _ in inner)), "stops": (length + start, *inner), "strides": (1,) * len(history.shape)}
    return Value(make_node("slice", [history], attrs))


def _no_flops(*specs, outputs, **attrs):
    return 0


def _varied(name):
    """Random calls; the functions that make the nodes are built on this module."""

    def vary(rng):
        from graphkeras.ops import control_samples

        return getattr(control_samples, name)(rng)

    return vary


for _name, _infer, _eager in (
    ("cond", _cond_infer, _cond_eager),
    ("switch", _switch_infer, _switch_eager),
    ("while_loop", _while_infer, _while_eager),
    ("scan", _scan_infer, _scan_eager),
    ("checkpoint", _checkpoint_infer, _checkpoint_eager),
):
    register_op(_name, kind="control", infer=_infer, eager=_eager, vjp=_RULE, cost=_no_flops, vary=_varied(_name))

register_op(
    "recompute_barrier",
    kind="view",
    batch=batching.leading,
    infer=lambda x, *awaited: x,
    eager=lambda x, *awaited: x,
    vjp=lambda ct, x, *others: (ct, *(None for _ in others[:-1])),
    cost=_no_flops,
    samples=[
        Sample((uniform((2, 3)), uniform((4,)))),
        Sample((integers((3,)), uniform(()), uniform((2, 2)))),
    ],
    vary=lambda rng: Sample(tuple(uniform(any_shape(rng), dtype=any_dtype(rng)) for _ in range(int(rng.integers(1, 4))))),
)
