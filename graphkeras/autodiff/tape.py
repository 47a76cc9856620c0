"""GradientTape: remembers what was computed, and differentiates it; eagerly and inside a trace alike."""

from graphkeras.autodiff.reverse import Record, backpropagate, differentiable, graph_records, ones_like, value_key
from graphkeras.ir.errors import ArgumentError, GradientError
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

    def __enter__(self):
        if self._recording:
            raise ArgumentError("The tape is already recording.", mend="leave its `with` block before entering it again")
        self._recording = True
        start_recording(self)
        return self

    def __exit__(self, *exc):
        stop_recording(self)
        self._recording = False

    def stop_recording(self):
        """A context in which this tape does not listen."""
        return not_recording(self)

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
            raise GradientError(
                "A non-persistent GradientTape can only be used to compute one set of gradients (or jacobians).",
                mend="create it with GradientTape(persistent=True)",
            )
        self._used = True
        targets = [as_tensor(t) for t in tree.flatten(target)]
        cts = [None] * len(targets) if output_gradients is None else tree.flatten(output_gradients)
        flat = tree.flatten(sources)
        if self._recording and not self._persistent:
            stop_recording(self)
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
        records = [*self._records, *graph_records(symbolic)] if symbolic else list(self._records)
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
