"""The op record: everything known about an operation, in one place, and the table of all of them."""

import difflib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from graphkeras.ir.dims import Dim, dim_symbols
from graphkeras.ir.errors import GraphError
from graphkeras.ir.node import Attrs, Node, Value
from graphkeras.ir.origin import Origin, current_origin
from graphkeras.ir.spec import TensorSpec

KINDS = (
    "source",  # no tensor inputs: input, constant, iota, dim, random bits of a key
    "elementwise",  # has a scalar `body`; inputs broadcast as in NumPy
    "reduction",  # attrs axes (sorted tuple of non-negative ints), keepdims
    "view",  # moves no data where strides can express it: reshape, transpose, broadcast_to, slice
    "contraction",  # matmul and convolutions
    "index",  # gather, scatter, concatenate, pad, sort: reads or writes at computed places
    "composite",  # has `expand`; stays one node until the pass expand_composites
    "state",  # reads or writes a variable
    "control",  # has sub-graphs
    "host",  # runs on the host through NumPy or SciPy, on one thread
)


@dataclass(frozen=True)
class NoGradient:
    """Says out loud that an op has no gradient.

    Args:
        reason: why, as it appears in the error.
        zero: True where the gradient is zero everywhere (comparisons, rounding): no error then.
    """

    reason: str
    zero: bool = False


ZERO_GRADIENT = NoGradient("its result does not change with small changes of its inputs", zero=True)


@dataclass(frozen=True)
class Sample:
    """Inputs and attributes on which generic tests run an op.

    Args:
        inputs: one entry per input: a callable `rng -> ndarray` (see `graphkeras.ir.samples`).
        attrs: attributes of the call.
        call: `(*tensors) -> tensors` where a call takes more than attributes: functions that become sub-graphs.
    """

    inputs: tuple
    attrs: dict = field(default_factory=dict)
    call: Callable | None = None


@dataclass(frozen=True)
class ErrorSample(Sample):
    """Inputs that must be refused at inference time.

    Args:
        raises: the error class.
        match: regular expression that its text must match.
    """

    raises: type = Exception
    match: str = ""


@dataclass(frozen=True)
class OpDef:
    """One op, one record.

    Args:
        name: name in the IR.
        kind: one of `KINDS`.
        infer: `(*specs, **attrs) -> TensorSpec | tuple of them`; raises four-part errors.
        eager: `(*arrays, **attrs) -> array | tuple`: the meaning, on NumPy arrays that `infer` accepted.
        vjp: `(ct, *inputs, *outputs, **attrs) -> one cotangent or None per input`, built from public ops, so that it works on
            symbolic and eager tensors; `ct` is a tuple where the op has several outputs (None for unused ones). Cotangents may
            have the broadcast shape: the caller sums them down. Or a `NoGradient`.
        body: for elementwise ops `(k, *scalars, **attrs) -> scalar`: written once against a handler `k`
            (`k.add`, `k.fma`, `k.exp`, ...); read by the CPU and CUDA lowerings, the cost model and NumPy checks.
        expand: for composites `(*tensors, **attrs) -> tensors`, in terms of other ops.
        batch: `(call, *tensors) -> tensors`, the op for many elements at once (see `graphkeras.ops.batching`), where it does not follow
            from the kind; or a string, why there is no such rule.
        lower: names of special lowerings per target for ops without body, e.g. `{"cpu": "gemm"}`.
        cost: `(*input specs, output specs, **attrs) -> FLOP` (int or Dim); None = one per output element.
        samples, errors: inputs for the generic tests.
        vary: `rng -> Sample`, random shapes, dtypes and attributes for the generic tests; elementwise ops, and ops of one input whose
            attributes are axes, need none.
        effects: effect names that every node of this op has.
        commutes: True where the two inputs may be exchanged.
        defaults: values of attributes that a call may leave out.
    """

    name: str
    kind: str
    infer: Callable
    eager: Callable | None = None
    vjp: Any = NoGradient("no rule has been written")
    body: Callable | None = None
    expand: Callable | None = None
    batch: Callable | str | None = None
    lower: dict = field(default_factory=dict)
    cost: Callable | None = None
    samples: Sequence = ()
    errors: Sequence = ()
    vary: Callable | None = None
    effects: frozenset = frozenset()
    commutes: bool = False
    defaults: dict = field(default_factory=dict)

    def flops(self, inputs, outputs, attrs) -> "int | Dim":
        """Floating-point operations of one run, for these specs."""
        if self.cost is not None:
            return self.cost(*inputs, outputs=outputs, **attrs)
        return outputs[0].size if self.kind in ("elementwise", "composite") else (inputs[0].size if self.kind == "reduction" else 0)


REGISTRY: dict[str, OpDef] = {}
DEFAULTS: dict[str, dict] = {}
"""The `defaults` of all ops that have some."""


def register_op(name: str, *, kind: str, effects=(), **fields) -> OpDef:
    """Adds one op to the registry. Raises GraphError for a name that is taken or an unknown kind."""
    if name in REGISTRY:
        raise GraphError(f"op '{name}' is registered twice.", mend="give the second one another name")
    if kind not in KINDS:
        raise GraphError(f"op '{name}': unknown kind '{kind}'.", expected="one of " + ", ".join(KINDS))
    record = OpDef(name=name, kind=kind, effects=frozenset(effects), **fields)
    REGISTRY[name] = record
    if record.defaults:
        DEFAULTS[name] = record.defaults
    return record


def op_def(name: str) -> OpDef:
    """The record of an op. Raises GraphError for an unknown name."""
    record = REGISTRY.get(name)
    if record is None:
        near = difflib.get_close_matches(name, REGISTRY)
        raise GraphError(
            f"op '{name}' is not registered.",
            got=name,
            expected=" or ".join(near) or "a name in graphkeras.ir.registry.REGISTRY",
            mend="correct the name, or import the module that registers the op",
        )
    return record


@cache
def _arity(body) -> int | None:
    kinds = [p.kind for p in inspect.signature(body).parameters.values()]
    positional = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) + kinds.count(inspect.Parameter.POSITIONAL_ONLY)
    return None if inspect.Parameter.VAR_POSITIONAL in kinds else positional - 1


def arity(name: str) -> int | None:
    """How many inputs an elementwise op takes, as its body says; None where only inference can tell."""
    body = op_def(name).body
    return None if body is None else _arity(body)


def infer_specs(name: str, specs: Sequence[TensorSpec], attrs, subgraphs=()) -> tuple[TensorSpec, ...]:
    """Output specs of an op for given input specs."""
    extra = {"subgraphs": subgraphs} if subgraphs else {}
    result = op_def(name).infer(*specs, **attrs, **extra)
    return result if isinstance(result, tuple) else (result,)


def make_node(op: str, inputs: Sequence[Value] = (), attrs=None, *, origin: Origin | None = None, subgraphs=()) -> Node:
    """A new node, with inferred specs and the current origin unless one is given."""
    record = op_def(op)
    attrs = attrs if attrs else {}
    if record.defaults:
        attrs = {**record.defaults, **attrs}
    attrs = attrs if isinstance(attrs, Attrs) else Attrs(attrs)
    specs = infer_specs(op, [v.spec for v in inputs], attrs, subgraphs)
    return Node(op, tuple(inputs), attrs, specs, current_origin() if origin is None else origin, record.effects, tuple(subgraphs))


def node_symbols(node: Node) -> frozenset[str]:
    """All size symbols that a node's specs and attributes mention."""
    return frozenset().union(*(dim_symbols(s.shape) for s in node.specs), *(dim_symbols(v) for v in node.attrs.values()))
