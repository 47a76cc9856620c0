"""Steps: `train_step`, `test_step` and `predict_step` of a model, run op by op or traced once and compiled."""

import inspect
import sys
import warnings

import numpy as np

from graphkeras.data.arrays import names_of
from graphkeras.debug import flags
from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import LoweringError, TraceError
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace import BATCH, Tensor, Variable, convert_to_tensor, trace_call, tree
from graphkeras.trace.over_samples import over_samples
from graphkeras.trace.variable import structure_version
from graphkeras.training.checks import check_features

_METHODS = {"train": "train_step", "test": "test_step", "predict": "predict_step"}


def takes_state(function) -> bool:
    """True for a step in JAX style: `(self, state, data)`, which returns its result and the new state."""
    parameters = inspect.signature(function).parameters.values()
    needed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(needed) == 2


def state_variables(model, mode) -> list[list[Variable]]:
    """The groups of variables whose values are the `state` of a step in JAX style."""
    groups = [model.trainable_variables, model.non_trainable_variables]
    if mode == "train":
        groups.append(model.optimizer.variables)
    if mode != "predict":
        groups.append(model.metrics_variables)
    return groups


def call_step(model, mode, data):
    """Runs a step of a model on one batch, in either style; returns logs, or outputs for "predict"."""
    step = getattr(model, _METHODS[mode])
    if not takes_state(step):
        return step(data)
    groups = state_variables(model, mode)
    state = tuple([v.value for v in group] for group in groups)
    result, new = step(state, data)
    if mode == "predict" and len(new) != len(groups):
        groups = [model.non_trainable_variables]
        new = (new,)
    for group, values in zip(groups, new):
        for variable, value in zip(group, values):
            variable.assign(value)
    return result


class CompiledStep:
    """A step traced for one structure, dtypes and sizes (but not the batch's) of its data; for batches, or for whole data sets that it
    looks its batches up in (see `trace.over_samples`).

    Args:
        compiled: the graph of forward, loss, metrics, backward and optimizer, and its program.
        structure: what the step returned, with graph values as leaves.

    Attributes:
        program: runs the step.
    """

    def __init__(self, compiled, structure):
        self.compiled, self.structure = compiled, structure
        self.program = compiled.program
        self._packer = tree.packer(structure)

    @property
    def graph(self):
        """The joint graph after all passes."""
        return self.compiled.graph

    @property
    def reports(self):
        """What the passes did."""
        return self.compiled.reports

    def report(self) -> str:
        """Text: where the program came from, what each pass did and took, which fusions were declined."""
        return self.compiled.report()

    def packed(self, outputs):
        """The program's outputs in the structure that the step returned."""
        return self._packer(outputs)

    def __call__(self, leaves):
        return self.packed(self.program(*leaves))


class Step:
    """One of the steps of a model.

    Args:
        model: the model.
        mode: "train", "test" or "predict".

    Attributes:
        compiled: the traced steps so far, newest last.
    """

    def __init__(self, model, mode):
        self.model, self.mode = model, mode
        self._cache: dict = {}
        self._quick_key = self._known_key = None
        self._untraceable = False

    @property
    def compiled(self) -> list[CompiledStep]:
        return list(self._cache.values())

    def prepared(self, data, is_whole: bool = False) -> CompiledStep | None:
        """The compiled step for a batch like this one, or None where steps of this model run op by op.

        Args:
            data: a batch as nested arrays; the size of the first axes does not matter.
            is_whole: True for a step that takes the whole data set, and says which samples it uses.

        Raises:
            DataError: for inputs that do not have the shapes the model takes.
        """
        execution = flags.EXECUTION.value
        if self.model.run_eagerly or execution == "eager" or self._untraceable:
            check_features(self.model, data)
            return None
        leaves = leaves_of(data)
        form = (is_whole, *((a.dtype.str, a.shape[1:]) for a in leaves))
        key = ((execution, flags.choice()), _outline(data), form, self._state_key())
        found = self._cache.get(key)
        if found is None:
            check_features(self.model, data)
            try:
                found = self._compile(data, leaves, is_whole, execution, self._why(key))
            except (TraceError, LoweringError) as error:
                self._untraceable = True
                _warn_of_eager(self.model, self.mode, error)
                return None
            # Tracing may have built layers and metrics, which are part of the key.
            self._cache[(*key[:3], self._state_key())] = found
        return found

    def _why(self, key) -> str:
        """Why the traces so far do not serve a key."""
        if not self._cache:
            return "first batch"
        parts = (
            "execution mode or flags", "structure of the data", "dtypes or shapes of the data, or whole data for batches",
            "trained variables, optimizer or learning rate",
        )  # fmt: skip
        last = next(reversed(self._cache))
        return "other " + ", other ".join(part for part, new, old in zip(parts, key, last) if new != old)

    def _state_key(self):
        """What of the model's state is baked into a trace: which variables are trained, and a learning rate that is code."""
        model = self.model
        if self.mode != "train":
            return len(model._layers)
        optimizer = getattr(model, "optimizer", None)
        rate = getattr(optimizer, "_learning_rate", None)
        rate = None if isinstance(rate, Variable) else id(rate)
        quick = (structure_version(), id(optimizer), rate, *map(id, model._layers))
        if quick != self._quick_key:  # only then is there a reason to walk all variables
            self._known_key = (tuple((id(v), v.trainable) for v in model.variables), id(optimizer), rate)
            self._quick_key = quick
        return self._known_key

    def _compile(self, data, leaves, is_whole, execution, why):
        from graphkeras.runtime import program_cache
        from graphkeras.runtime.epoch import batch_sources
        from graphkeras.runtime.native_loop import prepare_cold_start
        from graphkeras.training import step_cache

        fuse, known = execution != "strict", step_cache.StepKey(self.model, self.mode, data, is_whole, execution)
        trace = self._tracer(data, leaves, is_whole)
        found = step_cache.find(known, fuse, lambda: trace()[0])
        if found is not None:
            return CompiledStep(found.compiled, found.structure)
        prepare_cold_start(batch_sources if is_whole else list)
        if flags.EXPLAIN_RECOMPILE:
            print(f"graphkeras: {_METHODS[self.mode]} of '{self.model.name}' is traced: {why}", file=sys.stderr)
        if takes_state(getattr(self.model, _METHODS[self.mode])):
            self.model._symbolic_build(data)
        with known.watched():
            graph, structure = trace()
        compiled = program_cache.compiled(graph, fuse=fuse)
        step_cache.keep(known, compiled, structure)
        return CompiledStep(compiled, structure)

    def _tracer(self, data, leaves, is_whole):
        """A function that traces the step for data of this form, and keeps none of it."""
        model, mode = self.model, self.mode
        specs = [TensorSpec((BATCH, *a.shape[1:]), dtype_name(a.dtype)) for a in leaves]
        form = tree.map_structure(lambda leaf: None if leaf is None else 0, data)
        names = _input_names(data)

        def step(*tensors):
            return call_step(model, mode, with_leaves(form, tensors))

        def trace():
            graph, structure = trace_call(step, specs, names, f"{mode}_step")
            return over_samples(graph) if is_whole else graph, structure

        return trace

    def eager(self, data):
        """Runs the step op by op on one batch of arrays; results are arrays in the structure that the step returned."""
        data = with_leaves(data, [Tensor.wrap(a) for a in leaves_of(data)])
        result = call_step(self.model, self.mode, data)
        return tree.map_structure(lambda leaf: None if leaf is None else np.asarray(convert_to_tensor(leaf)), result)

    def __call__(self, data):
        """Runs the step on one batch of arrays, compiled where that is possible."""
        compiled = self.prepared(data)
        return self.eager(data) if compiled is None else compiled(leaves_of(data))


def leaves_of(data) -> list[np.ndarray]:
    """The arrays of a batch, flat, without the Nones."""
    return [leaf for leaf in tree.flatten(data) if leaf is not None]


def with_leaves(data, leaves):
    """The batch with other leaves in place of its arrays."""
    values = iter(leaves)
    return tree.map_structure(lambda leaf: None if leaf is None else next(values), data)


def _outline(data):
    if isinstance(data, dict):
        return ("dict", tuple((key, _outline(data[key])) for key in sorted(data, key=str)))
    if isinstance(data, (list, tuple)):
        return (type(data).__name__, tuple(map(_outline, data)))
    return None if data is None else "."


def _input_names(data) -> list[str]:
    parts = zip(("x", "y", "sample_weight"), data) if isinstance(data, tuple) else [("x", data)]
    names = []
    for part, structure in parts:
        for name, leaf in zip(names_of(structure, part), tree.flatten(structure)):
            if leaf is not None:
                names.append("".join(c if c.isalnum() or c == "_" else "_" for c in name).strip("_"))
    return [name if names.index(name) == i else f"{name}_{i}" for i, name in enumerate(names)]


def _warn_of_eager(model, mode, error):
    warnings.warn(
        f"Model '{model.name}': its {_METHODS[mode]} cannot be compiled and runs op by op, which is slow.\n"
        f"  reason:   {error.summary}\n  where:    {error.where}\n"
        f"  mend:     {error.mend or 'pass run_eagerly=True to compile() if that is what you want'}",
        stacklevel=6,
    )
