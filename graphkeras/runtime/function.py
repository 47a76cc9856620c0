"""`function`: a Python function of tensors, traced once per kind of arguments and run as one compiled program."""

import functools
import sys
import weakref
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import graphkeras.ops  # noqa: F401 - registers the ops
from graphkeras.debug import flags
from graphkeras.ir.dims import Dim, symbol
from graphkeras.ir.errors import ShapeError, TraceError
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import typed_key
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace import (
    SymbolicTensor,
    Tensor,
    Variable,
    current_scope,
    in_stateless_scope,
    recorders,
    trace_call,
    tree,
)
from graphkeras.trace.tensor import as_array

_KEPT_SHAPES = 64


@dataclass
class Trace:
    """One traced form of a function.

    Attributes:
        specs: specs of the tensor arguments, with symbols for sizes that may vary.
        traced: the graph as traced.
        reason: why it was traced.
        structure: nested structure of results with `Value` leaves.
        compiled: per execution mode what it was compiled to.
        pack: from a list of results to their structure.
    """

    specs: tuple[TensorSpec, ...]
    traced: Graph
    reason: str
    structure: Any
    compiled: dict = field(default_factory=dict)

    def __post_init__(self):
        self.pack = tree.packer(self.structure)
        self._passed = None

    @property
    def graph(self) -> Graph:
        """The graph after all passes."""
        return self._after_passes().graph

    @property
    def reports(self) -> list:
        """One report per pass."""
        return self._after_passes().reports

    def _after_passes(self):
        if self._passed is None:
            from graphkeras.runtime.program_cache import Compiled

            self._passed = next(iter(self.compiled.values()), None) or Compiled(self.traced, True)
        return self._passed

    def program(self, mode):
        """The program for an execution mode."""
        if mode not in self.compiled:
            from graphkeras.runtime import program_cache

            self.compiled[mode] = program_cache.compiled(self.traced, fuse=mode == "compiled")
        return self.compiled[mode].program


def _is_array(x) -> bool:
    return isinstance(x, Tensor) or (hasattr(x, "__array__") and not isinstance(x, Variable)) or hasattr(x, "__array_interface__")


def _arrays(args) -> list[np.ndarray] | None:
    """The arrays of arguments that are all arrays or eager tensors, else None."""
    found = []
    for x in args:
        if type(x) is Tensor:
            found.append(x.array)
        elif type(x) is np.ndarray:
            found.append(x)
        else:
            return None
    return found


def _structure_key(structure, by_identity: list):
    """A hashable key of everything but tensors; what is told apart by its identity alone is added to `by_identity`."""
    if isinstance(structure, Mapping):
        items = sorted(structure.items(), key=lambda item: (type(item[0]).__name__, str(item[0])))
        return ("dict", tuple((typed_key(k), _structure_key(v, by_identity)) for k, v in items))
    if isinstance(structure, (list, tuple)):
        return (type(structure), tuple(_structure_key(item, by_identity) for item in structure))
    if _is_array(structure):
        return "tensor"
    if isinstance(structure, Set):
        return (type(structure), frozenset(map(typed_key, structure)))
    key = typed_key(structure)
    if not isinstance(structure, Variable):
        try:
            hash(key)
        except TypeError:
            pass
        else:
            return (type(structure), key)
    by_identity.append(structure)
    return (type(structure), id(structure))


def _binds(specs, arrays) -> bool:
    """Whether arrays fit specs, each symbol standing for one size."""
    sizes: dict = {}
    for spec, array in zip(specs, arrays, strict=True):
        if len(spec.shape) != array.ndim:
            return False
        for dim, size in zip(spec.shape, array.shape, strict=True):
            if isinstance(dim, Dim):
                if sizes.setdefault(dim, size) != size:
                    return False
            elif dim != size:
                return False
    return True


class Function:
    """What `function` returns; see there.

    Attributes:
        python_function: the function as written.
        graph: graph of the newest trace, after all passes.
    """

    def __init__(self, python_function, name=None):
        functools.update_wrapper(self, python_function)
        self.python_function = python_function
        self.name = name or getattr(python_function, "__name__", "f").strip("<>")
        self._traces: dict[Any, list[Trace]] = {}
        self._quick: dict[tuple, tuple] = {}  # what calls with arrays and nothing else come to
        self._kept: list = []  # objects that keys name by identity, where their end cannot be noticed

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        attributes = getattr(instance, "__dict__", None)
        if attributes is None:
            raise TraceError(
                f"method '{self.name}' cannot keep its traces: instances of {type(instance).__name__} have no __dict__.",
                got=f"a class with __slots__ = {getattr(type(instance), '__slots__', ())!r}",
                expected="instances that can hold attributes",
                mend="add '__dict__' to __slots__, or make a function of the method in __init__",
            )
        slot = f"_function_{self.name}_{id(self):x}"  # a method and the one it overrides may both be functions
        bound = attributes.get(slot)
        if bound is None:
            bound = attributes[slot] = Function(functools.partial(self.python_function, instance), self.name)
        return bound

    def __getstate__(self):
        # A copy traces anew: its objects and variables are others.
        return {**self.__dict__, "_traces": {}, "_quick": {}, "_kept": []}

    @property
    def traces(self) -> list[Trace]:
        """All traces so far, oldest first."""
        return [t for group in list(self._traces.values()) for t in group]

    @property
    def graph(self) -> Graph:
        if not self.traces:
            raise TraceError(f"function '{self.name}' has not been called yet, so there is no graph.", mend="call it once")
        return self.traces[-1].graph

    def report(self) -> str:
        """Text: each trace with its reason and specs; where its programs came from; passes with their times; declined fusions."""
        lines = [f"function {self.name}: {len(self.traces)} trace(s)"]
        for trace in self.traces:
            specs = ", ".join(map(str, trace.specs))
            lines.append(f"  ({specs}): {trace.reason}; {len(trace.graph.nodes)} nodes")
            for made in trace.compiled.values():
                lines += [f"    {line}" for line in made.report().splitlines()]
        return "\n".join(lines)

    def program(self, *args, **kwargs):
        """The program that runs for these arguments, traced and compiled if it has not been; it is not run.

        Returns:
            A `Program`: its `.kernels` have `.source`, `.origins`, `.cost`, `.python()` and `.assembly()`.
        """
        mode = "compiled" if flags.EXECUTION.value == "eager" else flags.EXECUTION.value
        arrays = [x.array if isinstance(x, Tensor) else as_array(x) for x in tree.flatten((args, kwargs)) if _is_array(x)]
        return self._find(args, kwargs, arrays, mode).program(mode)

    def __call__(self, *args, **kwargs):
        mode = flags.EXECUTION.value
        direct = None if kwargs else _arrays(args)
        key = None
        if direct is not None and current_scope() is None and not recorders() and not in_stateless_scope():
            key = (mode, flags.choice(), *[(a.shape, a.dtype) for a in direct])
            known = self._quick.get(key)
            if known is not None:
                program, pack = known
                return pack([Tensor.wrap(array) for array in program(*direct)])
        leaves = tree.flatten((args, kwargs))
        # Inside another trace the ops simply join it; under a tape they run one by one, so that the tape can see them.
        symbolic = any(isinstance(x, SymbolicTensor) for x in leaves)
        if mode == "eager" or symbolic or current_scope() is not None or recorders() or in_stateless_scope():
            return self.python_function(*args, **kwargs)
        arrays = [x.array if isinstance(x, Tensor) else as_array(x) for x in leaves if _is_array(x)]
        trace = self._find(args, kwargs, arrays, mode)
        program = trace.program(mode)
        if key is not None and all(a is b for a, b in zip(arrays, direct)):
            if len(self._quick) >= _KEPT_SHAPES:
                self._quick.clear()
            self._quick[key] = (program, trace.pack)
        return trace.pack([Tensor.wrap(array) for array in program(*arrays)])

    def _find(self, args, kwargs, arrays, mode) -> Trace:
        by_identity: list = []
        key = (_structure_key((args, kwargs), by_identity), tuple((str(a.dtype), a.ndim) for a in arrays), flags.choice())
        group = self._traces.get(key)
        if group is None:
            group = self._traces[key] = []
            for item in by_identity:
                self._forget_with(item, key)
        for trace in group:
            if _binds(trace.specs, arrays):
                return trace
        from graphkeras.runtime.native_loop import prepare_cold_start

        prepare_cold_start()
        specs, reason = self._specs_for(group, arrays)
        if not group and len(self._traces) > 1:
            reason = "new structure, dtypes or ranks of the arguments, or other flags"
        try:
            trace = self._trace(args, kwargs, specs, reason)
            trace.program(mode)  # passes may find that sizes must be known, too
        except (ShapeError, TraceError):
            static = tuple(TensorSpec(a.shape, s.dtype) for a, s in zip(arrays, specs, strict=True))
            if static == specs:
                raise
            trace = self._trace(args, kwargs, static, reason + "; needs fixed sizes")
        group.append(trace)
        if flags.EXPLAIN_RECOMPILE:
            print(f"graphkeras: function '{self.name}' was traced ({', '.join(map(str, trace.specs))}): {trace.reason}", file=sys.stderr)
        return trace

    def _forget_with(self, item, key):
        """An identity may be given to another object after the end of this one: its traces end with it."""
        try:
            weakref.finalize(item, self._traces.pop, key, None).atexit = False
        except TypeError:
            self._kept.append(item)

    @staticmethod
    def _specs_for(group, arrays):
        """Sizes that are known to vary become symbols: at first the leading one, later each that differs from the last trace."""
        from graphkeras.ir.dtypes import dtype_name

        dtypes = [dtype_name(a.dtype) for a in arrays]
        if not group:
            leading = {a.shape[0] for a in arrays if a.ndim}
            vary = len(leading) == 1 and leading != {1}
            shapes = [((symbol("batch"), *a.shape[1:]) if vary and a.ndim else a.shape) for a in arrays]
            reason = "first call"
        else:
            last, symbols, shapes, changes = group[-1], {}, [], []
            for i, (spec, array) in enumerate(zip(last.specs, arrays, strict=True)):
                shape = []
                for axis, (dim, size) in enumerate(zip(spec.shape, array.shape, strict=True)):
                    if dim == size:
                        shape.append(size)
                        continue
                    shape.append(symbols.setdefault((dim, size), symbol(f"d{len(symbols)}")))
                    if not isinstance(dim, Dim):
                        changes.append(f"argument {i} axis {axis}: {dim} -> {size}")
                shapes.append(tuple(shape))
            reason = "sizes seen to vary: " + (", ".join(changes) or "sizes that were equal differ")
        return tuple(TensorSpec(tuple(s), d) for s, d in zip(shapes, dtypes, strict=True)), reason

    def _trace(self, args, kwargs, specs, reason) -> Trace:
        def call(*tensors):
            leaves = iter(tensors)
            call_args, call_kwargs = tree.map_structure(lambda x: next(leaves) if _is_array(x) else x, (args, kwargs))
            return self.python_function(*call_args, **call_kwargs)

        graph, structure = trace_call(call, specs, name=self.name)
        return Trace(specs, graph, reason, structure)


def function(fn=None, *, input_signature=None, jit_compile=None, reduce_retracing=None, autograph=None, name=None):
    """Compiles a function of tensors.

    The function is traced with symbolic tensors once per structure, dtypes and ranks of its arguments, and again where a size
    differs that was fixed so far; from then on that size may vary. Tensors and arrays are arguments of the program; other
    Python values are constants of the trace. Variables that it changes are updated in place. Under a `GradientTape` it runs
    op by op.

    Args:
        fn: the function; without it, a decorator is returned.
        input_signature, jit_compile, reduce_retracing, autograph: accepted for compatibility with `tf.function`; no effect.
        name: name of the graph.

    Returns:
        A callable with `.python_function`, `.graph`, `.traces` and `.report()`.

    Example:

    >>> import graphkeras as keras
    >>> @keras.function
    ... def double(x):
    ...     return x + x
    >>> double(keras.ops.convert_to_tensor([1.0, 2.0])).tolist()
    [2.0, 4.0]
    """
    if fn is None:
        return functools.partial(function, name=name)
    return Function(fn, name)
