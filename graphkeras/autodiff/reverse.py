"""Reverse mode: the cotangents of values, from the cotangents of what was computed with them.

A computation is a list of `Record`s in the order in which it ran: nodes of a graph, or the eager ops a tape has seen. The
vjp rules are the same for both; for symbolic tensors they add nodes, so the result is again a graph, and again differentiable.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import COMPLEX, is_float
from graphkeras.ir.errors import GradientError
from graphkeras.ir.graph import reachable
from graphkeras.ir.node import Value
from graphkeras.ir.origin import Origin, origin_scope
from graphkeras.ir.registry import NoGradient, op_def
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace import SymbolicTensor, Tensor, prim


@dataclass(frozen=True, slots=True)
class Record:
    """One op that ran: its name and attributes, the tensors, and a key for each of them."""

    op: str
    attrs: Mapping[str, Any]
    inputs: tuple
    outputs: tuple
    input_keys: tuple[Hashable, ...]
    output_keys: tuple[Hashable, ...]
    origin: Origin | None = None
    subgraphs: tuple = ()


CONTROL: dict[str, Callable] = {}
"""Rules of ops with sub-graphs: `(record, cotangents, which inputs want one) -> contributions`; filled by `autodiff.control`."""


def differentiable(dtype: str) -> bool:
    """True for dtypes that gradients exist for."""
    return is_float(dtype) or dtype in COMPLEX


def value_key(value: Value) -> tuple[int, int]:
    """The key of a value of a graph."""
    return (value.node.id, value.index)


def graph_records(targets: Sequence[Value]) -> list[Record]:
    """Records of all nodes the targets depend on."""
    return [
        Record(
            node.op,
            node.attrs,
            tuple(map(SymbolicTensor.wrap, node.inputs)),
            tuple(map(SymbolicTensor.wrap, node.outputs)),
            tuple(map(value_key, node.inputs)),
            tuple(map(value_key, node.outputs)),
            node.origin,
            node.subgraphs,
        )
        for node in reachable(t.node for t in targets)
    ]


def unbroadcast(ct, spec: TensorSpec):
    """Sums a cotangent down to the shape of the value it belongs to.

    NumPy's broadcasting repeats a value along new leading axes and along axes of size 1; the cotangents of the copies add up.
    """
    shape = ct.spec.shape
    if shape == spec.shape:
        return ct
    extra = len(shape) - len(spec.shape)
    if extra < 0:
        return prim.broadcast_to(ct, shape=spec.shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, (own, got) in enumerate(zip(spec.shape, shape[extra:], strict=True)) if own == 1 and got != 1
    )
    if axes:
        ct = prim.reduce_sum(ct, axes=axes, keepdims=False)
    if _same_up_to_names(ct.spec.shape, spec.shape):
        return ct
    if len(ct.spec.shape) == len(spec.shape):
        return prim.broadcast_to(ct, shape=spec.shape)
    return prim.reshape(ct, shape=spec.shape)


def _same_up_to_names(shape, other) -> bool:
    """Different size symbols that were assumed equal by broadcasting count as the same."""
    return len(shape) == len(other) and all(
        a == b or (isinstance(a, Dim) and b != 1) or (isinstance(b, Dim) and a != 1) for a, b in zip(shape, other, strict=True)
    )


def dependents(records: Sequence[Record], sources: Iterable[Hashable]) -> set:
    """Keys of all values that depend on the sources through differentiable values, and through no barrier."""
    reached = set(sources)
    for record in records:
        rule = op_def(record.op).vjp
        if isinstance(rule, NoGradient) and rule.zero:
            continue
        if any(key in reached for key in record.input_keys):
            reached.update(
                key for key, out in zip(record.output_keys, record.outputs, strict=True) if differentiable(out.dtype)
            )
    return reached


def backpropagate(records: Sequence[Record], cotangents: Mapping[Hashable, Any], sources: Sequence[Hashable]) -> dict:
    """Pulls cotangents of targets back to sources.

    Args:
        records: the computation, in order.
        cotangents: cotangent tensor for each target's key.
        sources: keys of the values whose cotangents are wanted.

    Returns:
        A dict with the cotangent of each source that the targets depend on.

    Raises:
        GradientError: where the only way leads through an op that has no gradient.
    """
    wanted = set(sources)
    active = dependents(records, wanted)
    known = dict(cotangents)
    for record in reversed(records):
        cts = [known.get(key) for key in record.output_keys]
        if all(ct is None for ct in cts) or not any(key in active for key in record.input_keys):
            continue
        rule = CONTROL.get(record.op) or op_def(record.op).vjp
        if isinstance(rule, NoGradient):
            if rule.zero:
                continue
            raise GradientError(
                f"{record.op} has no gradient: {rule.reason}.",
                got=f"{record.op}({', '.join(str(t.spec) for t in record.inputs)})",
                expected="ops with a gradient between the target and the sources",
                where=str(record.origin) if record.origin else "",
                mend="use ops.stop_gradient where no gradient should flow, or another op",
            )
        with origin_scope(record.origin or Origin(), f"gradient of {record.op}"):
            if record.subgraphs:
                asked = [key in active and differentiable(t.dtype) for key, t in zip(record.input_keys, record.inputs)]
                pulled = rule(record, cts, asked)
            else:
                pulled = rule(cts[0] if len(cts) == 1 else tuple(cts), *record.inputs, *record.outputs, **record.attrs)
            for key, tensor, contribution in zip(record.input_keys, record.inputs, pulled, strict=True):
                if contribution is None or key not in active or not differentiable(tensor.dtype):
                    continue
                contribution = unbroadcast(contribution, tensor.spec)
                known[key] = contribution if key not in known else prim.add(known[key], contribution)
        for key in record.output_keys:
            if key not in wanted:
                known.pop(key, None)
    return {key: known[key] for key in wanted if key in known}


def ones_like(tensor):
    """A tensor of ones with the shape and dtype of another."""
    one = Tensor(1, dtype=tensor.dtype)
    return prim.broadcast_to(one, shape=tensor.spec.shape) if tensor.spec.shape else one


def gradients(targets: Sequence[SymbolicTensor], sources: Sequence[SymbolicTensor], cotangents: Sequence | None = None) -> list:
    """Symbolic gradients of (the sum of) targets.

    Args:
        targets: symbolic tensors.
        sources: symbolic tensors.
        cotangents: one per target; ones where None.

    Returns:
        One symbolic tensor per source, or None where no target depends on it.
    """
    records = graph_records([t.value for t in targets])
    seeds: dict = {}
    for target, ct in zip(targets, cotangents or [None] * len(targets), strict=True):
        ct = ones_like(target) if ct is None else ct
        key = value_key(target.value)
        seeds[key] = ct if key not in seeds else prim.add(seeds[key], ct)
    keys = [value_key(s.value) for s in sources]
    found = backpropagate(records, seeds, keys)
    return [found.get(key) for key in keys]
