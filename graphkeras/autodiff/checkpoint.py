"""Rematerialisation: what a function computes on its way is not kept for its gradient, but computed again there.

- In a trace the function becomes a `checkpoint` node with a sub-graph. Its gradient puts the sub-graph's nodes into the backward
  graph a second time, on operands behind barriers that wait for the cotangents: so they run late, and are never merged with
  those of the forward computation. The pass `inline_checkpoints` takes the forward node apart when gradients have been formed.
- Eagerly a tape records one op, whose gradient calls the function again with the variables as they were.

Random numbers are the same both times, for they are functions of a key, and the key is a value like any other.
"""

import contextvars
import functools

import numpy as np

from graphkeras.autodiff.reverse import CONTROL, Record, backpropagate, differentiable, graph_records, value_key
from graphkeras.autodiff.tape import GradientTape
from graphkeras.ir.node import Value, next_id
from graphkeras.ir.registry import make_node
from graphkeras.ops.calls import one_operation
from graphkeras.ops.control_nodes import is_traced, require_callable, values_of, wrap
from graphkeras.ops.custom import PullBack
from graphkeras.trace import (
    StatelessScope,
    SymbolicTensor,
    Tensor,
    apply,
    as_tensor,
    as_value,
    not_recording,
    prim,
    recorders,
    start_recording,
    tree,
)
from graphkeras.trace.subgraph import close, rebuilt, subtrace


def checkpoint(f):
    """Makes a function whose gradient computes it again, instead of keeping what it computed on its way.

    That trades time (the function runs twice) for memory: of a chain of n equal steps, each of them checkpointed, only what
    stands between the steps is kept. Values and gradients are the same to the bit; only what the function reads of a variable
    behind its own write of it passes no gradient to that variable. In a functional model the function is one operation, which
    layers that it calls do not become part of.

    Args:
        f: a function (or layer) of tensors and other arguments. It must compute the same when it is called again: randomness comes
            from seed generators, which are given back what they held.

    Returns:
        A function of the same arguments.

    Example:

    >>> import graphkeras as keras
    >>> square = checkpoint(lambda x: x * x)
    >>> x = keras.ops.convert_to_tensor(3.0)
    >>> with keras.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = square(x)
    >>> float(y), float(tape.gradient(y, x))
    (9.0, 6.0)
    """
    require_callable("checkpoint", f=f)

    def run(*args, **kwargs):
        if is_traced(args, kwargs):
            return _traced(f, args, kwargs)
        if recorders():
            return _recorded(f, args, kwargs)
        return f(*args, **kwargs)

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        return one_operation(run, "Checkpoint", args, kwargs)

    return wrapped


# ---- in a trace -----------------------------------------------------------------------------------------------------


def _is_operand(x) -> bool:
    return isinstance(x, (Tensor, SymbolicTensor, np.ndarray, Value))


def _traced(f, args, kwargs):
    operands = [x for x in tree.flatten((args, kwargs)) if _is_operand(x)]
    tensors = [as_tensor(x) for x in operands]

    def body(*placeholders):
        for inner, outer in zip(placeholders, operands):
            inner._keras_mask = getattr(outer, "_keras_mask", None)
        own = iter(placeholders)
        inner_args, inner_kwargs = tree.map_structure(lambda x: next(own) if _is_operand(x) else x, (args, kwargs))
        return f(*inner_args, **inner_kwargs)

    trace = subtrace(body, [t.spec for t in tensors], getattr(f, "__name__", "").strip("<>") or type(f).__name__)
    variables = trace.scope.written()
    trace.outputs += [trace.scope.current(v) for v in variables]
    if not trace.outputs:
        return trace.structure
    graphs, captures = close([trace])
    values = iter(make_node("checkpoint", [*values_of(tensors), *captures], subgraphs=graphs).outputs)
    result = tree.map_structure(lambda leaf: None if leaf is None else wrap(next(values)), trace.structure)
    for variable in variables:
        variable.assign(wrap(next(values)))
    return result


def _gradient(record: Record, cts, wanted):
    (body,) = record.subgraphs
    found = [(output, as_value(ct)) for output, ct in zip(body.outputs, cts) if ct is not None]
    awaited = [ct for _, ct in found]
    operands = [Value(make_node("recompute_barrier", [as_value(t), *awaited])) for t in record.inputs]
    start = next_id()
    outputs = rebuilt([output for output, _ in found], dict(zip(body.inputs, operands)))
    seeds: dict = {}
    for output, ct in zip(outputs, awaited):
        key, ct = value_key(output), wrap(ct)
        seeds[key] = ct if key not in seeds else prim.add(seeds[key], ct)
    records = [r for r in graph_records(outputs) if r.output_keys[0][0] > start]
    keys = [value_key(v) for v in operands]
    pulled = backpropagate(records, seeds, [key for key, want in zip(keys, wanted) if want])
    return [pulled.get(key) for key in keys]


CONTROL["checkpoint"] = _gradient


# ---- eagerly --------------------------------------------------------------------------------------------------------


class _Listener:
    """Finds out what a function reads: tensors that it did not make itself, and variables with their values at the beginning."""

    def __init__(self):
        self.outside: dict[int, Tensor] = {}
        self.variables: dict[int, tuple] = {}
        self._made: dict[int, Tensor] = {}  # held, so that no other tensor gets one of these ids

    def record(self, op, attrs, inputs, outputs):
        self.outside.update((id(t), t) for t in inputs if id(t) not in self._made)
        self._made.update((id(t), t) for t in outputs)

    def saw_variable(self, variable, tensor):
        self.variables.setdefault(id(variable), (variable, tensor))

    def watches(self, tensor) -> bool:
        return True


class _AsBefore(StatelessScope):
    """Variables read as they did; no gradient flows through a write, just as without the scope."""

    def add_update(self, update):
        variable, value = update
        known = id(variable) in self.state_mapping
        super().add_update((variable, prim.stop_gradient(value) if known and differentiable(value.dtype) else value))


def _leaves(result):
    return [as_tensor(leaf) for leaf in tree.flatten(result) if leaf is not None]


def _recorded(f, args, kwargs):
    listener, context = _Listener(), contextvars.copy_context()
    with not_recording():
        start_recording(listener)
        result = f(*args, **kwargs)
    for recorder in recorders():
        for variable, tensor in listener.variables.values():
            recorder.saw_variable(variable, tensor)
    candidates = {**listener.outside, **{id(t): t for _, t in listener.variables.values()}}
    candidates.update((id(t), t) for t in _leaves(result) if id(t) not in listener._made)
    sources = [t for t in candidates.values() if differentiable(t.dtype) and any(r.watches(t) for r in recorders())]
    if not sources:
        return result

    def again(listening):
        with not_recording():
            for recorder in listening:
                start_recording(recorder)
            with GradientTape(watch_accessed_variables=False) as tape, _AsBefore(listener.variables.values()):
                tape.watch(sources)
                return tape, _leaves(f(*args, **kwargs))

    def pull_back(*cts):
        tape, outputs = context.copy().run(again, recorders())
        pairs = [(y, ct) for y, ct in zip(outputs, cts) if differentiable(y.dtype)]
        return tape.gradient([y for y, _ in pairs], sources, output_gradients=[ct for _, ct in pairs])

    outputs = _leaves(result)
    handed = apply("custom_gradient", *sources, *outputs, inputs=len(sources), pull_back=PullBack(pull_back))
    handed = iter(handed if isinstance(handed, tuple) else (handed,))
    return tree.map_structure(lambda leaf: None if leaf is None else next(handed), result)


__all__ = ["checkpoint"]
