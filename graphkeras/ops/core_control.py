"""Control flow, as in `keras.ops.core`: eagerly plain Python, in a trace nodes with sub-graphs that are never unrolled."""

import numpy as np

from graphkeras.ir.dims import Dim, dim_max
from graphkeras.ir.dtypes import is_integer
from graphkeras.ir.errors import ArgumentError, DTypeError, ShapeError
from graphkeras.ir.graph import input_node
from graphkeras.ir.node import Value
from graphkeras.ir.registry import make_node
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops.control import scan_values
from graphkeras.ops.inference import join_dim, normalize_axis
from graphkeras.ops.numpy_join import concatenate, stack
from graphkeras.ops.numpy_shape import cut, flip, moveaxis
from graphkeras.ops.sources import filled
from graphkeras.ops.sources import iota as _iota
from graphkeras.trace import SymbolicTensor, Tensor, Variable, as_tensor, as_value, convert_to_tensor, current_scope, prim, tree
from graphkeras.trace.dispatch import is_tensor
from graphkeras.trace.subgraph import SubTrace, close, subtrace

_wrap = SymbolicTensor.wrap


# ---- structures -----------------------------------------------------------------------------------------------------


def _tensors(structure):
    return tree.map_structure(as_tensor, structure)


def _values(tensors) -> list[Value]:
    return [as_value(t) for t in tensors]


def _results(structure):
    return tree.map_structure(lambda leaf: None if leaf is None else as_tensor(leaf), structure)


def _is_traced(*structures) -> bool:
    """Whether a call becomes a node: inside a trace, or with a symbolic operand."""
    leaves = tree.flatten(structures)
    return current_scope() is not None or any(isinstance(x, (SymbolicTensor, Dim, Value)) for x in leaves)


def _callable(op, **functions):
    for name, function in functions.items():
        if not callable(function):
            raise DTypeError(
                f"{op}: `{name}` should be a callable. Received: {name}={function}", got=repr(function), expected="a function"
            )


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


_CARRY = ("the loop's values before and after a step", "return values with the structure, shapes and dtypes of the initial ones")


def _fitted_all(op, structure, expected, specs, what, mend):
    _same_structure(op, structure, expected, what, mend)
    leaves = tree.flatten(structure)
    for leaf in leaves:
        if leaf is None:
            raise ArgumentError(f"{op}: {what} must be tensors.", got="None", expected="tensors", mend=mend)
    return [_fitted(op, leaf, spec, what, mend) for leaf, spec in zip(leaves, specs)]


# ---- branches -------------------------------------------------------------------------------------------------------


def _branch_node(op, chooser, functions, names):
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
            as_value(_fitted(op, _wrap(v), w.spec, "the results of the branches", mend)) if v.spec != w.spec else v
            for v, w in zip(trace.outputs, traces[0].outputs)
        ]
    variables = list({id(v): v for t in traces for v in t.scope.written()}.values())
    for trace in traces:
        trace.outputs += [trace.scope.current(v) for v in variables]
    if not traces[0].outputs:
        return first
    graphs, captures = close(traces)
    values = iter(make_node(op, [chooser, *captures], subgraphs=graphs).outputs)
    result = tree.map_structure(lambda leaf: None if leaf is None else _wrap(next(values)), first)
    for variable in variables:
        variable.assign(_wrap(next(values)))
    return result


def _known(x):
    """The array of a concrete tensor or number; None for what is known only when a graph runs."""
    if isinstance(x, (SymbolicTensor, Variable)):
        value = as_value(x)
        return value.node.attrs["value"].array if value.node.op == "constant" else None
    return as_tensor(x).array


def _scalar_tensor(op, x, what, dtype):
    tensor = as_tensor(x)
    if tensor.spec.shape:
        raise ShapeError(f"{op}: {what} must be a scalar.", got=str(tensor.spec), expected="shape ()", mend="reduce it first")
    return tensor if tensor.dtype == dtype else prim.cast(tensor, dtype=dtype)


def cond(pred, true_fn, false_fn):
    """Conditionally applies `true_fn` or `false_fn`.

    In a compiled function only the chosen branch runs. Variables may be assigned in either branch.

    Args:
        pred: Boolean scalar type.
        true_fn: Callable returning the output for the `pred == True` case.
        false_fn: Callable returning the output for the `pred == False` case; of the same structure, shapes and dtypes.

    Returns:
        The output of either `true_fn` or `false_fn` depending on pred.

    Raises:
        ShapeError, DTypeError, ArgumentError: in a trace, where the results of the branches differ in kind.

    Example:

    >>> x = Tensor(3.0)
    >>> float(cond(x > 2, lambda: x * 2, lambda: x))
    6.0
    """
    _callable("cond", true_fn=true_fn, false_fn=false_fn)
    if isinstance(pred, (bool, np.bool_)):
        return _results(true_fn() if pred else false_fn())
    flag = _scalar_tensor("cond", pred, "the predicate", "bool")
    known = _known(flag)
    if known is not None:
        return _results(true_fn() if known else false_fn())
    return _branch_node("cond", as_value(flag), [true_fn, false_fn], ["true_fn", "false_fn"])


def switch(index, branches, *operands):
    """Applies exactly one of the `branches` given by `index`.

    Args:
        index: An integer scalar indicating which branch function to apply; out of range, the nearest one.
        branches: A sequence of functions to be applied, with results of one structure, shape and dtype.
        operands: Inputs to whichever branch is applied.

    Returns:
        The outputs of `branch(*operands)` for the branch that was selected based on `index`.

    Example:

    >>> float(switch(1, [lambda x, y: x + y, lambda x, y: x - y], 5.0, 3.0))
    2.0
    """
    branches = list(branches)
    if not branches:
        raise ArgumentError("switch: there is no branch to choose.", got="branches=[]", expected="at least one callable")
    for number, branch in enumerate(branches):
        _callable("switch", **{f"branches[{number}]": branch})
    place = _scalar_tensor("switch", index, "the index", "int32")
    operands = _results(operands)
    known = _known(place)
    if known is not None:
        return _results(branches[min(max(int(known), 0), len(branches) - 1)](*operands))
    functions = [(lambda b=b: b(*operands)) for b in branches]
    names = [f"branch{i}" for i in range(len(branches))]
    return _results(functions[0]()) if len(functions) == 1 else _branch_node("switch", as_value(place), functions, names)


# ---- loops ----------------------------------------------------------------------------------------------------------


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


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    """While loop implementation.

    Args:
        cond: A callable that represents the termination condition of the loop. Must accept a `loop_vars` like structure as an
            argument and return a boolean scalar.
        body: A callable that represents the loop body. Must accept a `loop_vars` like structure as an argument and return
            values of the same structure, shapes and dtypes.
        loop_vars: An arbitrary nested structure of tensor state to persist across loop iterations.
        maximum_iterations: Optional maximum number of iterations of the while loop to run. Compiled loops need it for gradients.

    Returns:
        A list/tuple of tensors, has the same shape and dtype as `loop_vars`.

    Example:

    >>> i = while_loop(lambda i: i < 10, lambda i: (i + 1,), (0,))
    >>> int(i[0])
    10
    """
    _callable("while_loop", cond=cond, body=body)
    is_tuple = isinstance(loop_vars, (tuple, list))
    state = _tensors(tuple(loop_vars) if is_tuple else (loop_vars,))
    limit, counter = _limit(maximum_iterations)
    specs = [t.spec for t in tree.flatten(state)]

    def step(*values):
        result = body(*values)
        result = tuple(result) if is_tuple and isinstance(result, (tuple, list)) else (result,)
        return _fitted_all("while_loop", result, state, specs, *_CARRY)

    if _is_traced(state) or counter is not None:
        leaves = _while_node(cond, step, state, specs, limit, counter)
        final = tree.pack_sequence_as(state, leaves)
    else:
        final, steps = state, 0
        while (limit is None or steps < limit) and _decision(cond(*final)):
            final = tree.pack_sequence_as(state, step(*final))
            steps += 1
    return final if is_tuple else final[0]


def _limit(maximum):
    """(limit known now, limit known when the graph runs)."""
    if maximum is None:
        return None, None
    if isinstance(maximum, Dim):
        return None, as_tensor(maximum)
    known = _known(maximum)
    return (None, _scalar_tensor("while_loop", maximum, "maximum_iterations", "int32")) if known is None else (int(known), None)


def _decision(x) -> bool:
    return bool(_scalar_tensor("while_loop", x, "the condition", "bool").array)


def _while_node(cond, step, state, specs, limit, counter):
    if counter is not None:  # counted like any other loop variable
        start = _wrap(as_value(np.int32(0)))
        inner_cond, inner_step = cond, step
        pack = state

        def cond(values):
            steps, *leaves = values
            go = _scalar_tensor("while_loop", inner_cond(*tree.pack_sequence_as(pack, leaves)), "the condition", "bool")
            return prim.logical_and(prim.less(steps, counter), go)

        def step(values):
            steps, *leaves = values
            return [prim.add(steps, np.int32(1)), *inner_step(*tree.pack_sequence_as(pack, leaves))]

        leaves = [start, *tree.flatten(state)]
        return _while_node(cond, step, (leaves,), [start.spec, *specs], None, None)[1:]
    condition = subtrace(
        lambda *leaves: _scalar_tensor("while_loop", cond(*tree.pack_sequence_as(state, leaves)), "the condition", "bool"),
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
    operands = [*_values(tree.flatten(state)), *before, *captures]
    if not body.outputs:
        return []
    attrs = {"carries": len(body.outputs), "limit": limit}
    finals = make_node("while_loop", operands, attrs, subgraphs=graphs).outputs
    for variable, value in zip(variables, finals[len(specs) :]):
        variable.assign(_wrap(value))
    return [_wrap(v) for v in finals[: len(specs)]]


def fori_loop(lower, upper, body_fun, init_val):
    """For loop implementation.

    Args:
        lower: The initial value of the loop variable.
        upper: The upper bound of the loop variable.
        body_fun: A callable that represents the loop body. Must take two arguments: the loop variable and the loop state. The
            loop state should be updated and returned by this function.
        init_val: The initial value of the loop state.

    Returns:
        The final state after the loop. Gradients flow through it where the bounds are known when the graph is built, or are sizes.

    Example:

    >>> int(fori_loop(0, 10, lambda i, s: s + i, 0))
    45
    """
    _callable("fori_loop", body_fun=body_fun)
    bounds = [b if isinstance(b, Dim) else _known(b) for b in (lower, upper)]
    init = _tensors(init_val)
    specs = [t.spec for t in tree.flatten(init)]
    if None in [b if isinstance(b, Dim) else None if b is None else 0 for b in bounds]:
        first, last = (_scalar_tensor("fori_loop", b, "a bound", "int32") for b in (lower, upper))
        return while_loop(lambda i, _: i < last, lambda i, s: (i + 1, body_fun(i, s)), (first, init))[1]
    dtype = next((as_tensor(b).dtype for b in (lower, upper) if is_tensor(b) and is_integer(as_tensor(b).dtype)), "int32")
    first, last = (b if isinstance(b, Dim) else int(b) for b in bounds)
    if not _is_traced(init) and not isinstance(first, Dim) and not isinstance(last, Dim):
        state = init
        for i in range(first, last):
            new = body_fun(Tensor(i, dtype), state)
            state = tree.pack_sequence_as(init, _fitted_all("fori_loop", new, init, specs, *_CARRY))
        return state
    count = dim_max(last - first, 0)
    numbers = prim.add(_iota((count,), 0, dtype, like=_wrap(as_value(np.int32(0)))), Tensor(0, dtype) + as_tensor(first))

    def body(leaves, rows):
        new = body_fun(rows[0], tree.pack_sequence_as(init, leaves))
        return _fitted_all("fori_loop", new, init, specs, *_CARRY), []

    finals, _ = scan_node(body, _values(tree.flatten(init)), [as_value(numbers)], count, False)
    return tree.pack_sequence_as(init, finals)


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
        variable.assign(_wrap(value))
    values = iter(stacked)
    return [_wrap(v) for v in finals[:n]], tree.map_structure(lambda y: None if y is None else _wrap(next(values)), found[0])


def scan(f, init, xs=None, length=None, reverse=False, unroll=1):
    """Scan a function over leading array axes while carrying along state.

    Args:
        f: Callable defines the logic for each loop iteration. This accepts two arguments where the first is a value of the loop
            carry and the second is a slice of `xs` along its leading axis. This callable returns a pair where the first
            represents a new value for the loop carry and the second represents a slice of the output (None for no output).
        init: The initial loop carry value. This can be a scalar, tensor, or any nested structure. It must match the structure of
            the first element returned by `f`.
        xs: Optional value to scan along its leading axis. This can be a tensor or any nested structure. If `xs` is not provided,
            you must specify `length` to define the number of loop iterations. Defaults to `None`.
        length: Optional integer specifying the number of loop iterations. If `length` is not provided, it defaults to the sizes
            of leading axis of the arrays in `xs`. Defaults to `None`.
        reverse: Optional boolean specifying whether to run the scan iteration forward or in reverse, equivalent to reversing the
            leading axes of the arrays in both `xs` and in `ys`.
        unroll: Accepted for compatibility; loops are never unrolled, and a step costs well under a microsecond.

    Returns:
        A pair where the first element represents the final loop carry value and the second element represents the stacked
        outputs of `f` when scanned over the leading axis of the inputs.

    Example:

    >>> total, sums = scan(lambda c, x: (c + x, c + x), 0, Tensor([1, 2, 3, 4, 5]))
    >>> int(total), sums.tolist()
    (15, [1, 3, 6, 10, 15])
    """
    _callable("scan", f=f)
    if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
        raise ArgumentError(
            f"`unroll` must be an positive integer or boolean. Received: unroll={unroll}",
            got=repr(unroll),
            expected="True, False or an int of at least 1",
        )
    if xs is None and length is None:
        raise ArgumentError("Got no `xs` to scan over and `length` not provided.", mend="pass xs, or length=...")
    init = _tensors(init)
    rows = [] if xs is None else [as_tensor(x) for x in tree.flatten(xs)]
    count = _length("scan", rows, length)
    specs = [t.spec for t in tree.flatten(init)]

    def body(carries, slices):
        packed = None if xs is None else tree.pack_sequence_as(xs, slices)
        result = f(tree.pack_sequence_as(init, carries), packed)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise ArgumentError(
                "scan: `f` must return a pair.", got=type(result).__name__, expected="(new carry, output)", mend="return (carry, None)"
            )
        return _fitted_all("scan", result[0], init, specs, *_CARRY), _results(result[1])

    if _is_traced(init, rows) or isinstance(count, Dim):
        finals, ys = scan_node(body, _values(tree.flatten(init)), _values(rows), count, reverse)
    else:
        finals, ys = _scan_eagerly(body, tree.flatten(init), rows, count, reverse)
    return tree.pack_sequence_as(init, finals), ys


def _length(op, rows, length):
    sizes = []
    for x in rows:
        if not x.spec.shape:
            raise ShapeError(f"{op}: a scalar has no leading axis.", got=str(x.spec), expected="rank 1 or more", mend="pass stacked values")
        sizes.append(x.spec.shape[0])
    if length is not None:
        known = length if isinstance(length, Dim) else _known(length)
        if known is None:
            raise ArgumentError(
                f"{op}: `length` must be known when the graph is built.", got=repr(length), mend="use ops.while_loop, or a size of a tensor"
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


def _scan_eagerly(body, state, rows, length, reverse):
    results = []
    for i in reversed(range(length)) if reverse else range(length):
        state, ys = body(list(state), [x[i] for x in rows])
        results.append(ys)
    if not results:
        specs = [t.spec for t in state] + [TensorSpec(x.spec.shape[1:], x.dtype) for x in rows]
        structure = subtrace(lambda *leaves: body(list(leaves[: len(state)]), list(leaves[len(state) :])), specs).structure[1]
        empty = tree.map_structure(lambda v: None if v is None else filled(0, (0, *v.shape), v.dtype), structure)
        return state, empty
    results = results[::-1] if reverse else results
    return state, tree.map_structure(lambda *ys: None if ys[0] is None else stack(list(ys)), *results)


def map(f, xs):
    """Map a function over leading array axes.

    Args:
        f: Callable defines the function to apply element-wise over the first axis or axes of `xs`.
        xs: Values over which to map along the leading axis.

    Returns:
        Mapped values.

    Example:

    >>> map(lambda x: x * x, Tensor([0, 1, 2, 3])).tolist()
    [0, 1, 4, 9]
    """
    return _map("map", f, xs)


def _map(op, f, xs):
    _callable(op, f=f)
    rows = [as_tensor(x) for x in tree.flatten(xs)]
    if not rows:
        raise ArgumentError(f"{op}: there is nothing to map over.", got=repr(xs), expected="a tensor or a structure of tensors")
    count = _length(op, rows, None)

    def body(_, slices):
        return [], _results(f(tree.pack_sequence_as(xs, slices)))

    if _is_traced(rows):
        return scan_node(body, [], _values(rows), count, False)[1]
    return _scan_eagerly(body, [], rows, count, False)[1]


def vectorized_map(function, elements):
    """Parallel map of `function` on axis 0 of tensor(s) `elements`.

    Here it is `map`: one loop over the elements, whose steps cost well under a microsecond besides the work in them. Where
    `function` does little, write it for whole batches instead: ops broadcast.

    Args:
        function: Callable, applied to each element along axis 0.
        elements: A tensor, or a structure of tensors with one leading axis.

    Returns:
        The results, stacked.

    Example:

    >>> vectorized_map(lambda x: x * 2, Tensor([0, 1, 2])).tolist()
    [0, 2, 4]
    """
    return _map("vectorized_map", function, elements)


def associative_scan(f, elems, reverse=False, axis=0):
    """Performs a scan with an associative binary operation, in a number of steps that is the logarithm of the length.

    Args:
        f: A Python callable implementing an associative binary operation with signature `r = f(a, b)`. It must satisfy the
            equation `f(a, f(b, c)) == f(f(a, b), c)`, and is applied to whole stretches along `axis` at once.
        elems: A (possibly nested Python tree structure of) array(s), each with an `axis` dimension of size `num_elems`.
        reverse: A boolean stating if the scan should be reversed with respect to the `axis` dimension.
        axis: an integer identifying the axis over which the scan should occur.

    Returns:
        Arrays of the same shape and structure as `elems`: `[a, f(a, b), f(f(a, b), c), ...]`. Where the length is known only
        when the graph runs, one element comes after the other.

    Example:

    >>> associative_scan(lambda a, b: a + b, Tensor([0, 1, 2, 3, 4])).tolist()
    [0, 1, 3, 6, 10]
    """
    _callable("associative_scan", f=f)
    tensors = [as_tensor(e) for e in tree.flatten(elems)]
    axes = [normalize_axis("associative_scan", axis, t.ndim) for t in tensors]
    lengths = [t.spec.shape[a] for t, a in zip(tensors, axes)]
    if len(set(lengths)) != 1:
        raise ShapeError(
            f"Array inputs to associative_scan must have the same first dimension. (saw: {[t.shape for t in tensors]})",
            got=", ".join(str(t.spec) for t in tensors),
            expected=f"one size along axis {axis}",
        )
    specs = [t.spec for t in tensors]
    mend = "return values with the structure, shapes and dtypes of the arguments"

    def combined(a, b):
        wanted = [x.spec for x in a]
        result = f(tree.pack_sequence_as(elems, a), tree.pack_sequence_as(elems, b))
        return _fitted_all("associative_scan", result, elems, wanted, "arguments and results of `f`", mend)

    if isinstance(lengths[0], Dim):
        return tree.pack_sequence_as(elems, _one_by_one(combined, tensors, axes, lengths[0], reverse))
    tensors = [flip(t, a) for t, a in zip(tensors, axes)] if reverse else tensors
    done = _by_halves(combined, tensors, axes)
    done = [prim.reshape(t, shape=s.shape) if t.spec.shape != s.shape else t for t, s in zip(done, specs)]
    return tree.pack_sequence_as(elems, [flip(t, a) for t, a in zip(done, axes)] if reverse else done)


def _every_other(x, axis, start):
    size = x.spec.shape[axis]
    count = (size - start + 1) // 2
    return cut(x, axis, start, start + 2 * (count - 1) + 1 if count else start, 2)


def _by_halves(combined, tensors, axes):
    size = tensors[0].spec.shape[axes[0]]
    if size < 2:
        return tensors
    even = [_every_other(t, a, 0) for t, a in zip(tensors, axes)]
    odd = [_every_other(t, a, 1) for t, a in zip(tensors, axes)]
    half = size // 2
    pairs = combined([cut(t, a, 0, half) for t, a in zip(even, axes)], odd)
    odd_done = _by_halves(combined, pairs, axes)  # sums up to each odd place
    more = (size + 1) // 2 - 1
    firsts = [cut(t, a, 0, 1) for t, a in zip(tensors, axes)]
    if more:
        later = combined([cut(t, a, 0, more) for t, a in zip(odd_done, axes)], [cut(t, a, 1, more + 1) for t, a in zip(even, axes)])
        firsts = [concatenate([x, y], axis=a) for x, y, a in zip(firsts, later, axes)]
    return [_interleaved(x, y, a) for x, y, a in zip(firsts, odd_done, axes)]


def _interleaved(even, odd, axis):
    size = odd.spec.shape[axis]
    shape = even.spec.shape
    both = stack([cut(even, axis, 0, size), odd], axis=axis + 1)
    both = prim.reshape(both, shape=(*shape[:axis], 2 * size, *shape[axis + 1 :]))
    return both if shape[axis] == size else concatenate([both, cut(even, axis, size, size + 1)], axis=axis)


def _one_by_one(combined, tensors, axes, length, reverse):
    rows = [moveaxis(t, a, 0) for t, a in zip(tensors, axes)]

    def body(carries, slices):
        started, *before = carries
        now = [prim.reshape(x, shape=(*x.spec.shape[:a], 1, *x.spec.shape[a:])) for x, a in zip(slices, axes)]
        result = cond(started, lambda: combined(before, now), lambda: now)
        flat = [prim.reshape(r, shape=x.spec.shape) for r, x in zip(result, slices)]
        return [_wrap(as_value(np.bool_(True))), *result], flat

    zeros = [filled(0, (*t.spec.shape[:a], 1, *t.spec.shape[a + 1 :]), t.dtype) for t, a in zip(tensors, axes)]
    state = [as_value(np.bool_(False)), *_values(zeros)]
    _, ys = scan_node(body, state, _values(rows), length, reverse)
    return [moveaxis(y, 0, a) for y, a in zip(ys, axes)]
