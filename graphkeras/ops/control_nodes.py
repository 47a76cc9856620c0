"""Building control nodes: nested structures in and out, checks of what functions return, sub-graphs with their captures."""

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ir.graph import input_node
from graphkeras.ir.node import Value
from graphkeras.ir.registry import make_node
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops.control import scan_values
from graphkeras.ops.inference import join_dim
from graphkeras.trace import SymbolicTensor, Variable, as_tensor, as_value, convert_to_tensor, current_scope, prim, tree
from graphkeras.trace.dispatch import is_tensor
from graphkeras.trace.subgraph import SubTrace, close, subtrace

wrap = SymbolicTensor.wrap


# ---- operands ---------------------------------------------------------------------------------------------------------


def tensors_of(structure):
    """The structure with eager or symbolic tensors as leaves."""
    return tree.map_structure(as_tensor, structure)


def values_of(tensors) -> list[Value]:
    """The values of tensors, eager ones as constants."""
    return [as_value(t) for t in tensors]


def results_of(structure):
    """Like `tensors_of`, where None stays None."""
    return tree.map_structure(lambda leaf: None if leaf is None else as_tensor(leaf), structure)


def is_traced(*structures) -> bool:
    """Whether a call becomes a node: inside a trace, or with a symbolic operand."""
    leaves = tree.flatten(structures)
    return current_scope() is not None or any(isinstance(x, (SymbolicTensor, Dim, Value)) for x in leaves)


def require_callable(op, **functions):
    """Raises DTypeError for a function that is none."""
    for name, function in functions.items():
        if not callable(function):
            raise DTypeError(
                f"{op}: `{name}` should be a callable. Received: {name}={function}", got=repr(function), expected="a function"
            )


def known_array(x):
    """The array of a concrete tensor or number; None for what is known only when a graph runs."""
    if isinstance(x, (SymbolicTensor, Variable)):
        value = as_value(x)
        return value.node.attrs["value"].array if value.node.op == "constant" else None
    return as_tensor(x).array


def scalar_tensor(op, x, what, dtype):
    """`x` as a scalar tensor of a dtype. Raises ShapeError, which calls it `what`."""
    tensor = as_tensor(x)
    if tensor.spec.shape:
        raise ShapeError(f"{op}: {what} must be a scalar.", got=str(tensor.spec), expected="shape ()", mend="reduce it first")
    return tensor if tensor.dtype == dtype else prim.cast(tensor, dtype=dtype)


def common_length(op, rows, length):
    """The number of slices of tensors along their first axes, and `length` where it is given. Raises ShapeError."""
    sizes = []
    for x in rows:
        if not x.spec.shape:
            raise ShapeError(
                f"{op}: a scalar has no leading axis.", got=str(x.spec), expected="rank 1 or more", mend="stack values"
            )
        sizes.append(x.spec.shape[0])
    if length is not None:
        known = length if isinstance(length, Dim) else known_array(length)
        if known is None:
            raise ArgumentError(
                f"{op}: `length` must be known when the graph is built.", got=repr(length), mend="use ops.while_loop"
            )
        sizes.append(known if isinstance(known, Dim) else int(known))
    known_sizes = [s for s in sizes if not isinstance(s, Dim)]
    if len(set(known_sizes)) > 1:
        raise ShapeError(
            f"{op}: leading axes (and length) differ.",
            got=", ".join(str(s) for s in sizes),
            expected="one length",
            mend="cut the arrays to one length",
        )
    return known_sizes[0] if known_sizes else sizes[0]


# ---- checks of results -----------------------------------------------------------------------------------------------

CARRY = ("the loop's values before and after a step", "return values with the structure, shapes and dtypes of the initial ones")


def _same_structure(op, got, expected, what, mend):
    try:
        tree.assert_same_structure(expected, got)
        tree.assert_same_structure(got, expected)  # a leaf on the left fits any structure
    except ArgumentError:
        outlines = [tree.map_structure(lambda _: "tensor", s) for s in (got, expected)]
        raise ArgumentError(
            f"{op}: {what} have different structures.", got=str(outlines[0]), expected=str(outlines[1]), mend=mend
        ) from None


def _fitted(op, leaf, spec: TensorSpec, what, mend):
    """A result of a function as a tensor of the spec it must have; Python numbers take its dtype."""
    tensor = as_tensor(leaf) if is_tensor(leaf) or not isinstance(leaf, (bool, int, float)) else convert_to_tensor(leaf, spec.dtype)
    found = tensor.spec
    if found.dtype != spec.dtype:
        raise DTypeError(f"{op}: {what} differ in dtype.", got=str(found), expected=str(spec), mend=mend)
    if found.shape == spec.shape:
        return tensor
    joined = [join_dim(a, b) for a, b in zip(found.shape, spec.shape)]
    if len(found.shape) != len(spec.shape) or None in joined:
        raise ShapeError(f"{op}: {what} differ in shape.", got=str(found), expected=str(spec), mend=mend)
    return prim.reshape(tensor, shape=spec.shape)  # sizes with different names, checked when they are known


def fitted_all(op, structure, expected, specs, what, mend):
    """The leaves of a result as tensors of given specs. Raises where structures, dtypes or shapes differ."""
    _same_structure(op, structure, expected, what, mend)
    leaves = tree.flatten(structure)
    for leaf in leaves:
        if leaf is None:
            raise ArgumentError(f"{op}: {what} must be tensors.", got="None", expected="tensors", mend=mend)
    return [_fitted(op, leaf, spec, what, mend) for leaf, spec in zip(leaves, specs)]


# ---- nodes -----------------------------------------------------------------------------------------------------------


def branch_node(op, chooser, functions, names):
    """A control node over branches without arguments; what they read is captured, what they write is assigned."""
    traces = [subtrace(f, [], name) for f, name in zip(functions, names)]
    mend = "let all branches return tensors of one structure, shape and dtype"
    first = traces[0].structure
    for trace in traces[1:]:
        _same_structure(op, trace.structure, first, "the results of the branches", mend)
        for a, b in zip(tree.flatten(first), tree.flatten(trace.structure)):
            if (a is None) != (b is None):
                raise ArgumentError(f"{op}: one branch returns None where another returns a tensor.", got=repr(b), mend=mend)
        trace.outputs = [
            as_value(_fitted(op, wrap(v), w.spec, "the results of the branches", mend)) if v.spec != w.spec else v
            for v, w in zip(trace.outputs, traces[0].outputs)
        ]
    variables = list({id(v): v for t in traces for v in t.scope.written()}.values())
    for trace in traces:
        trace.outputs += [trace.scope.current(v) for v in variables]
    if not traces[0].outputs:
        return first
    graphs, captures = close(traces)
    values = iter(make_node(op, [chooser, *captures], subgraphs=graphs).outputs)
    result = tree.map_structure(lambda leaf: None if leaf is None else wrap(next(values)), first)
    for variable in variables:
        variable.assign(wrap(next(values)))
    return result


def _with_carried(traces: list[SubTrace], count: int):
    """Makes the variables that any of the traces writes carries behind the first `count` ones.

    Returns:
        The variables, their values before the loop, and what `close` needs.
    """
    variables = list({id(v): v for t in traces for v in t.scope.written()}.values())
    before, carried = [], {}
    for number, variable in enumerate(variables):
        spec = TensorSpec(variable._array.shape, variable._dtype)
        carried[id(variable)] = [Value(input_node(f"v{number}", spec)) for _ in traces]
        for trace, placeholder in zip(traces, carried[id(variable)]):
            trace.scope.read(variable)
            trace.inputs.insert(count + number, placeholder)
        before.append(traces[0].scope.outside[id(variable)][1])
    return variables, before, carried


def while_node(cond, step, state, specs, limit, counter):
    """Traces a condition and a body, and makes the node.

    Args:
        cond: of the loop variables.
        step: of the loop variables; returns the leaves of the new ones.
        state: structure of the loop variables at first.
        specs: of its leaves.
        limit: of the number of steps, where it is known.
        counter: of the number of steps, a tensor; or None.

    Returns:
        The leaves of the last values.
    """
    if counter is not None:  # counted like any other loop variable
        start = wrap(as_value(np.int32(0)))
        inner_cond, inner_step = cond, step
        pack = state

        def cond(values):
            steps, *leaves = values
            go = scalar_tensor("while_loop", inner_cond(*tree.pack_sequence_as(pack, leaves)), "the condition", "bool")
            return prim.logical_and(prim.less(steps, counter), go)

        def step(values):
            steps, *leaves = values
            return [prim.add(steps, np.int32(1)), *inner_step(*tree.pack_sequence_as(pack, leaves))]

        leaves = [start, *tree.flatten(state)]
        return while_node(cond, step, (leaves,), [start.spec, *specs], None, None)[1:]
    condition = subtrace(
        lambda *leaves: scalar_tensor("while_loop", cond(*tree.pack_sequence_as(state, leaves)), "the condition", "bool"),
        specs,
        "cond",
    )
    if condition.scope.written():
        raise ArgumentError(
            "while_loop: the condition changes a variable.",
            got=", ".join(v.path for v in condition.scope.written()),
            expected="a condition that only looks",
            mend="change variables (and draw random numbers) in the body",
        )
    body = subtrace(lambda *leaves: step(*tree.pack_sequence_as(state, leaves)), specs, "body")
    variables, before, carried = _with_carried([condition, body], len(specs))
    body.outputs += [body.scope.current(v) for v in variables]
    graphs, captures = close([condition, body], carried)
    operands = [*values_of(tree.flatten(state)), *before, *captures]
    if not body.outputs:
        return []
    attrs = {"carries": len(body.outputs), "limit": limit}
    finals = make_node("while_loop", operands, attrs, subgraphs=graphs).outputs
    for variable, value in zip(variables, finals[len(specs) :]):
        variable.assign(wrap(value))
    return [wrap(v) for v in finals[: len(specs)]]


def scan_node(body, state: list[Value], rows: list[Value], length, reverse):
    """Traces `body(carries, slices) -> (carries, ys with Nones)` and makes the node.

    Returns:
        The last carries, and the structure of the ys with stacked tensors as leaves.
    """
    n, m = len(state), len(rows)
    specs = [v.spec for v in state] + [TensorSpec(v.shape[1:], v.dtype) for v in rows]
    found: list = []

    def flat(*tensors):
        carries, ys = body(list(tensors[:n]), list(tensors[n:]))
        found.append(ys)
        return [*carries, *(y for y in tree.flatten(ys) if y is not None)]

    trace = subtrace(flat, specs, "body")
    variables, before, carried = _with_carried([trace], n)
    trace.outputs[n:n] = [trace.scope.current(v) for v in variables]
    graphs, captures = close([trace], carried)
    finals, stacked = [], []
    if trace.outputs:
        carries = n + len(variables)
        finals, stacked = scan_values(graphs[0], [*state, *before, *rows, *captures], carries, m, length, reverse)
    for variable, value in zip(variables, finals[n:]):
        variable.assign(wrap(value))
    values = iter(stacked)
    return [wrap(v) for v in finals[:n]], tree.map_structure(lambda y: None if y is None else wrap(next(values)), found[0])
