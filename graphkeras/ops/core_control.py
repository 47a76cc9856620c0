"""Control flow, as in `keras.ops.core`: eagerly plain Python, in a trace nodes with sub-graphs that are never unrolled."""

import numpy as np

from graphkeras.ir.dims import Dim, dim_max
from graphkeras.ir.dtypes import is_integer
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ir.spec import TensorSpec
from graphkeras.ops.control_nodes import (
    CARRY,
    branch_node,
    common_length,
    fitted_all,
    is_traced,
    known_array,
    require_callable,
    results_of,
    scalar_tensor,
    scan_node,
    tensors_of,
    values_of,
    while_node,
    wrap,
)
from graphkeras.ops.inference import normalize_axis
from graphkeras.ops.numpy_join import concatenate, stack
from graphkeras.ops.numpy_shape import cut, flip, moveaxis
from graphkeras.ops.sources import filled
from graphkeras.ops.sources import iota as _iota
from graphkeras.trace import Tensor, as_tensor, as_value, prim, tree
from graphkeras.trace.dispatch import is_tensor
from graphkeras.trace.subgraph import subtrace


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
    require_callable("cond", true_fn=true_fn, false_fn=false_fn)
    if isinstance(pred, (bool, np.bool_)):
        return results_of(true_fn() if pred else false_fn())
    flag = scalar_tensor("cond", pred, "the predicate", "bool")
    known = known_array(flag)
    if known is not None:
        return results_of(true_fn() if known else false_fn())
    return branch_node("cond", as_value(flag), [true_fn, false_fn], ["true_fn", "false_fn"])


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
        require_callable("switch", **{f"branches[{number}]": branch})
    place = scalar_tensor("switch", index, "the index", "int32")
    operands = results_of(operands)
    known = known_array(place)
    if known is not None:
        return results_of(branches[min(max(int(known), 0), len(branches) - 1)](*operands))
    functions = [(lambda b=b: b(*operands)) for b in branches]
    names = [f"branch{i}" for i in range(len(branches))]
    return results_of(functions[0]()) if len(functions) == 1 else branch_node("switch", as_value(place), functions, names)


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
    require_callable("while_loop", cond=cond, body=body)
    is_tuple = isinstance(loop_vars, (tuple, list))
    state = tensors_of(tuple(loop_vars) if is_tuple else (loop_vars,))
    limit, counter = _limit(maximum_iterations)
    specs = [t.spec for t in tree.flatten(state)]

    def step(*values):
        result = body(*values)
        result = tuple(result) if is_tuple and isinstance(result, (tuple, list)) else (result,)
        return fitted_all("while_loop", result, state, specs, *CARRY)

    if is_traced(state) or counter is not None:
        leaves = while_node(cond, step, state, specs, limit, counter)
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
    known = known_array(maximum)
    return (None, scalar_tensor("while_loop", maximum, "maximum_iterations", "int32")) if known is None else (int(known), None)


def _decision(x) -> bool:
    return bool(scalar_tensor("while_loop", x, "the condition", "bool").array)


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
    require_callable("fori_loop", body_fun=body_fun)
    bounds = [b if isinstance(b, Dim) else known_array(b) for b in (lower, upper)]
    init = tensors_of(init_val)
    specs = [t.spec for t in tree.flatten(init)]
    if None in [b if isinstance(b, Dim) else None if b is None else 0 for b in bounds]:
        first, last = (scalar_tensor("fori_loop", b, "a bound", "int32") for b in (lower, upper))
        return while_loop(lambda i, _: i < last, lambda i, s: (i + 1, body_fun(i, s)), (first, init))[1]
    dtype = next((as_tensor(b).dtype for b in (lower, upper) if is_tensor(b) and is_integer(as_tensor(b).dtype)), "int32")
    first, last = (b if isinstance(b, Dim) else int(b) for b in bounds)
    if not is_traced(init) and not isinstance(first, Dim) and not isinstance(last, Dim):
        state = init
        for i in range(first, last):
            new = body_fun(Tensor(i, dtype), state)
            state = tree.pack_sequence_as(init, fitted_all("fori_loop", new, init, specs, *CARRY))
        return state
    count = dim_max(last - first, 0)
    numbers = prim.add(_iota((count,), 0, dtype, like=wrap(as_value(np.int32(0)))), Tensor(0, dtype) + as_tensor(first))

    def body(leaves, rows):
        new = body_fun(rows[0], tree.pack_sequence_as(init, leaves))
        return fitted_all("fori_loop", new, init, specs, *CARRY), []

    finals, _ = scan_node(body, values_of(tree.flatten(init)), [as_value(numbers)], count, False)
    return tree.pack_sequence_as(init, finals)


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
    require_callable("scan", f=f)
    if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
        raise ArgumentError(
            f"`unroll` must be an positive integer or boolean. Received: unroll={unroll}",
            got=repr(unroll),
            expected="True, False or an int of at least 1",
        )
    if xs is None and length is None:
        raise ArgumentError("Got no `xs` to scan over and `length` not provided.", mend="pass xs, or length=...")
    init = tensors_of(init)
    rows = [] if xs is None else [as_tensor(x) for x in tree.flatten(xs)]
    count = common_length("scan", rows, length)
    specs = [t.spec for t in tree.flatten(init)]

    def body(carries, slices):
        packed = None if xs is None else tree.pack_sequence_as(xs, slices)
        result = f(tree.pack_sequence_as(init, carries), packed)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise ArgumentError(
                "scan: `f` must return a pair.", got=type(result).__name__, expected="(carry, output)", mend="return (carry, None)"
            )
        return fitted_all("scan", result[0], init, specs, *CARRY), results_of(result[1])

    if is_traced(init, rows) or isinstance(count, Dim):
        finals, ys = scan_node(body, values_of(tree.flatten(init)), values_of(rows), count, reverse)
    else:
        finals, ys = _scan_eagerly(body, tree.flatten(init), rows, count, reverse)
    return tree.pack_sequence_as(init, finals), ys


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


def run_again(node, tensors, attrs, run):
    """A control node on other tensors, eager or symbolic ones.

    Args:
        node: what was traced once.
        tensors: its operands now.
        attrs: its attributes, with the sizes of now.
        run: `(node, tensors) -> tensors` for the nodes of its sub-graphs.

    Returns:
        A tuple of tensors.
    """

    def called(graph, operands):
        values = dict(zip(graph.inputs, operands))
        for inner in graph.nodes:
            values.update(zip(inner.outputs, run(inner, [values[v] for v in inner.inputs])))
        return tuple(values[v] for v in graph.outputs)

    if node.op == "checkpoint":  # what it means for gradients is the caller's to say
        return called(node.subgraphs[0], tensors)
    count = attrs["carries"] if "carries" in attrs else 1
    first, rest = tuple(tensors[:count]), tensors[count:]
    if node.op == "cond":
        return cond(first[0], *((lambda g=g: called(g, rest)) for g in node.subgraphs))
    if node.op == "switch":
        return switch(first[0], [(lambda g=g: called(g, rest)) for g in node.subgraphs])
    if node.op == "while_loop":
        go, body = node.subgraphs
        return while_loop(lambda *s: called(go, [*s, *rest])[0], lambda *s: called(body, [*s, *rest]), first, attrs["limit"])
    rows, captures = rest[: attrs["xs"]], rest[attrs["xs"] :]

    def step(carries, slices):
        results = called(node.subgraphs[0], [*carries, *(slices or ()), *captures])
        return results[:count], (tuple(results[k] for k in attrs["history"]), results[count:])

    finals, (after, ys) = scan(step, first, tuple(rows) or None, attrs["length"], attrs["reverse"])
    starts = [prim.reshape(first[k], shape=(1, *first[k].spec.shape)) for k in attrs["history"]]
    histories = [concatenate([a, s] if attrs["reverse"] else [s, a]) for s, a in zip(starts, after)]
    return (*finals, *histories, *ys)


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
    require_callable("map", f=f)
    rows = [as_tensor(x) for x in tree.flatten(xs)]
    if not rows:
        raise ArgumentError("map: there is nothing to map over.", got=repr(xs), expected="a tensor or a structure of tensors")
    count = common_length("map", rows, None)

    def body(_, slices):
        return [], results_of(f(tree.pack_sequence_as(xs, slices)))

    if is_traced(rows):
        return scan_node(body, [], values_of(rows), count, False)[1]
    return _scan_eagerly(body, [], rows, count, False)[1]


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
    require_callable("associative_scan", f=f)
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
        return fitted_all("associative_scan", result, elems, wanted, "arguments and results of `f`", mend)

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
        return [wrap(as_value(np.bool_(True))), *result], flat

    zeros = [filled(0, (*t.spec.shape[:a], 1, *t.spec.shape[a + 1 :]), t.dtype) for t, a in zip(tensors, axes)]
    state = [as_value(np.bool_(False)), *values_of(zeros)]
    _, ys = scan_node(body, state, values_of(rows), length, reverse)
    return [moveaxis(y, 0, a) for y, a in zip(ys, axes)]
