"""GradientTape: remembers what was computed, and differentiates it; eagerly and inside a trace alike."""

import math
from contextlib import contextmanager

import numpy as np

from graphkeras.autodiff.reverse import Record, backpropagate, dependents, differentiable, graph_records, ones_like, value_key
from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.errors import ArgumentError, GradientError
from graphkeras.ir.node import next_id
from graphkeras.ir.origin import current_origin
from graphkeras.trace import (
    SymbolicTensor,
    Tensor,
    Variable,
    as_tensor,
    convert_to_tensor,
    not_recording,
    prim,
    start_recording,
    stop_recording,
    tree,
)


def _unit(tensor, i: int):
    """Zeros in the shape of a tensor of known sizes, with a one at flat place `i`."""
    unit = np.zeros(int(tensor.spec.size), numpy_dtype(tensor.dtype))
    unit[i] = 1
    return Tensor(unit.reshape(tensor.spec.shape))


def _stack(rows, shape):
    if any(row is None for row in rows):
        return None
    if not rows:
        return prim.broadcast_to(Tensor(0.0), shape=shape)
    return prim.reshape(prim.concatenate(*(prim.reshape(r, shape=(1, *r.spec.shape)) for r in rows), axis=0), shape=shape)


def _key(tensor):
    return value_key(tensor.value) if isinstance(tensor, SymbolicTensor) else id(tensor)


class GradientTape:
    """Records ops for automatic differentiation.

    Trainable variables are watched by themselves; other tensors after `watch`. Tapes nest, which gives gradients of gradients.

    Args:
        persistent: whether `gradient` may be called more than once.
        watch_accessed_variables: whether trainable variables that are read are watched.

    Example:

    >>> import graphkeras as keras
    >>> x = keras.ops.convert_to_tensor(3.0)
    >>> with GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = x * x
    >>> float(tape.gradient(y, x))
    6.0
    """

    def __init__(self, persistent=False, watch_accessed_variables=True):
        self._persistent = persistent
        self._watch_variables = watch_accessed_variables
        self._recording = False
        self._used = False
        self.reset()

    def reset(self) -> None:
        """Forgets everything recorded."""
        self._records: list[Record] = []
        self._watched: dict = {}  # key -> tensor, which also keeps eager tensors (and so their ids) alive
        self._reads: dict[int, list] = {}  # id of a variable -> tensors that stood for it
        self._heard: list[list] = [[next_id(), None]] if self._recording else []  # ids of symbolic nodes made while it listened

    def __enter__(self):
        if self._recording:
            raise ArgumentError("The tape is already recording.", mend="leave its `with` block before entering it again")
        self._recording = True
        self._listen()
        start_recording(self)
        return self

    def __exit__(self, *exc):
        stop_recording(self)
        self._turn_away()
        self._recording = False

    def _listen(self):
        self._heard.append([next_id(), None])

    def _turn_away(self):
        if self._heard and self._heard[-1][1] is None:
            self._heard[-1][1] = next_id()

    def _heard_node(self, number) -> bool:
        return any(first < number and (last is None or number < last) for first, last in self._heard)

    @contextmanager
    def stop_recording(self):
        """A context in which this tape does not listen."""
        self._turn_away()
        try:
            with not_recording(self):
                yield
        finally:
            if self._recording:
                self._listen()

    def watch(self, tensor) -> None:
        """Makes gradients with respect to a tensor, variable or nested structure of them available."""
        for item in tree.flatten(tensor):
            if isinstance(item, Variable):
                self.saw_variable(item, as_tensor(item), explicit=True)
            elif isinstance(item, (Tensor, SymbolicTensor)):
                if not differentiable(item.dtype):
                    raise GradientError(
                        "A tape can watch float tensors only.", got=repr(item), mend="cast it to a float dtype before watching it"
                    )
                self._watched[_key(item)] = item
            else:
                raise ArgumentError("A tape watches tensors and variables.", got=repr(item), expected="a tensor or variable")

    def watched_variables(self):
        """The variables that were read while the tape was recording."""
        return tuple(variable for variable, _ in self._reads.values())

    def saw_variable(self, variable, tensor, explicit=False) -> None:
        if not (explicit or (self._watch_variables and variable.trainable)) or not differentiable(tensor.dtype):
            return
        self._watched[_key(tensor)] = tensor
        self._reads.setdefault(id(variable), (variable, []))[1].append(tensor)

    def watches(self, tensor) -> bool:
        """Whether an eager tensor is watched, or was computed from what is."""
        return id(tensor) in self._watched

    def record(self, op, attrs, inputs, outputs) -> None:
        if not any(id(t) in self._watched for t in inputs):
            return
        keys = tuple(map(id, inputs))
        self._records.append(Record(op, attrs, tuple(inputs), outputs, keys, tuple(map(id, outputs)), current_origin()))
        self._watched.update((id(t), t) for t in outputs if differentiable(t.dtype))

    def gradient(self, target, sources, output_gradients=None, unconnected_gradients="none"):
        """Gradient of (the sum of) the targets with respect to the sources.

        Args:
            target: a tensor or nested structure of tensors.
            sources: a tensor, variable or nested structure of them.
            output_gradients: cotangents of the targets, in their structure; ones by default.
            unconnected_gradients: "none" or "zero": what stands for a source the target does not depend on.

        Returns:
            The gradients, in the structure of `sources`.

        Raises:
            GradientError: when called twice on a tape that is not persistent.
        """
        unconnected = getattr(unconnected_gradients, "value", unconnected_gradients)
        if unconnected not in ("none", "zero"):
            raise ArgumentError("Unknown unconnected_gradients.", got=repr(unconnected_gradients), expected="'none' or 'zero'")
        if self._used and not self._persistent:
            self._refuse_second_use()
        self._used = True
        targets = [as_tensor(t) for t in tree.flatten(target)]
        cts = [None] * len(targets) if output_gradients is None else tree.flatten(output_gradients)
        flat = tree.flatten(sources)
        if self._recording and not self._persistent:
            stop_recording(self)
            self._turn_away()
            self._recording = False
        guard = not_recording(self) if not self._recording else None
        if guard is not None:
            with guard:
                results = self._gradients(targets, cts, flat)
        else:
            results = self._gradients(targets, cts, flat)
        if unconnected == "zero":
            results = [self._zeros(s) if r is None else r for r, s in zip(results, flat, strict=True)]
        if not self._persistent:
            self.reset()
        return tree.pack_sequence_as(sources, results)

    def jacobian(self, target, sources, unconnected_gradients="none", parallel_iterations=None, experimental_use_pfor=True):
        """Derivatives of each element of the target with respect to the sources.

        Args:
            target: a tensor whose sizes are known.
            sources: a tensor, variable or nested structure of them.
            unconnected_gradients: "none" or "zero".
            parallel_iterations, experimental_use_pfor: kept for compatibility with TensorFlow.

        Returns:
            For each source a tensor of shape `target.shape + source.shape`, in the structure of `sources`.
        """
        target = as_tensor(target)
        if not target.spec.is_static:
            raise GradientError("A jacobian needs a target of known sizes.", got=f"{target.spec}", mend="use batch_jacobian")
        count = int(target.spec.size)
        flat = tree.flatten(sources)
        with self._kept():
            rows = [
                self.gradient(target, flat, output_gradients=_unit(target, i), unconnected_gradients=unconnected_gradients)
                for i in range(count)
            ]
        shapes = [as_tensor(s).spec.shape for s in flat]
        results = [_stack(column, target.spec.shape + shape) for column, shape in zip(zip(*rows, strict=True), shapes, strict=True)]
        return tree.pack_sequence_as(sources, results)

    def batch_jacobian(self, target, source, unconnected_gradients="none", parallel_iterations=None, experimental_use_pfor=True):
        """The jacobians of each sample: target[b] with respect to source[b].

        Args:
            target: a tensor (batch, ...) in which row b depends on row b of the source only; all sizes but the batch are known.
            source: a tensor (batch, ...).

        Returns:
            A tensor of shape `(batch,) + target.shape[1:] + source.shape[1:]`, or None where the target does not depend on it.
        """
        target, tensor = as_tensor(target), as_tensor(source)
        if target.spec.shape[:1] != tensor.spec.shape[:1] or not target.ndim or not tensor.ndim:
            raise GradientError(
                "Target and source need one batch.", got=f"{target.spec} and {tensor.spec}", expected="equal first axes"
            )
        batch, rest = target.spec.shape[0], target.spec.shape[1:]
        count = math.prod(rest)
        flat = prim.reshape(target, shape=(batch, count))
        columns = []
        with self._kept():
            for i in range(count):
                row = _unit(prim.slice(flat, starts=(0, 0), stops=(1, count), strides=(1, 1)), i)
                ct = prim.reshape(prim.broadcast_to(row, shape=(batch, count)), shape=target.spec.shape)
                columns.append(self.gradient(target, source, output_gradients=ct, unconnected_gradients=unconnected_gradients))
        if any(c is None for c in columns):
            return None
        shape = tensor.spec.shape[1:]
        columns = [prim.reshape(c, shape=(batch, 1, *shape)) for c in columns]
        return prim.reshape(prim.concatenate(*columns, axis=1), shape=(batch, *rest, *shape))

    @contextmanager
    def _kept(self):
        """Several gradients count as one use of the tape."""
        if self._used and not self._persistent:
            self._refuse_second_use()
        persistent, self._persistent = self._persistent, True
        try:
            yield
        finally:
            self._persistent = persistent
            if not persistent:
                self.reset()

    @staticmethod
    def _refuse_second_use():
        raise GradientError(
            "A non-persistent GradientTape can only be used to compute one set of gradients (or jacobians).",
            mend="create it with GradientTape(persistent=True)",
        )

    def _gradients(self, targets, cts, sources):
        seeds: dict = {}
        for target, ct in zip(targets, cts, strict=True):
            if not differentiable(target.dtype):
                raise GradientError(f"The target has dtype {target.dtype}.", expected="a float tensor", mend="cast the target")
            ct = ones_like(target) if ct is None else convert_to_tensor(ct, target.dtype)
            key = _key(target)
            seeds[key] = ct if key not in seeds else prim.add(seeds[key], ct)
        stand_ins = [self._stand_ins(s) for s in sources]
        keys = [[_key(t) for t in tensors] for tensors in stand_ins]
        symbolic = [t.value for t in targets if isinstance(t, SymbolicTensor)]
        records = list(self._records)
        if symbolic:
            records += [r for r in graph_records(symbolic) if self._heard_node(r.output_keys[0][0])]
            reached = dependents(records, self._watched)
            keys = [[k for k in group if k in reached] for group in keys]
        found = backpropagate(records, seeds, [k for group in keys for k in group])
        results = []
        for group in keys:
            total = None
            for key in dict.fromkeys(group):
                if key in found:
                    total = found[key] if total is None else prim.add(total, found[key])
            results.append(total)
        return results

    def _stand_ins(self, source):
        if isinstance(source, Variable):
            return self._reads.get(id(source), (source, []))[1]
        if isinstance(source, SymbolicTensor):
            return [source]
        if isinstance(source, Tensor):
            return [source] if id(source) in self._watched else []
        raise ArgumentError("A source must be a tensor or variable.", got=repr(source), expected="a tensor or variable")

    @staticmethod
    def _zeros(source):
        tensor = as_tensor(source)
        return prim.broadcast_to(Tensor(0, dtype=tensor.dtype), shape=tensor.spec.shape)
