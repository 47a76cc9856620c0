"""Steps without a trace: which program the step of a model is, found by the model's configuration.

The program cache knows programs by their traced graphs. Here the key is the model itself: its text (`description`), the data's form,
the settings, the sources of the whole package and what runs in their place (`runtime.loaded_code`). That says everything only where
all code is this package's own; every other model is traced, as is one whose trace does more than make a graph (a warning, a new
variable). The value names the program, what stands at the places of its variables, and the structure of what the step returns.
"""

import json
import re
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from typing import NamedTuple

from graphkeras.autodiff.remat import get_current_remat_mode
from graphkeras.data.packing import unpack_x_y_sample_weight
from graphkeras.dtype_policies import dtype_policy
from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import GraphKerasError
from graphkeras.ir.node import VariableRef
from graphkeras.ir.origin import layer_scope
from graphkeras.ir.spec import TensorSpec
from graphkeras.layers.call_context import open_name_scope
from graphkeras.runtime import program_cache
from graphkeras.runtime.cache import get_cache
from graphkeras.runtime.loaded_code import loaded_digest
from graphkeras.runtime.program_cache import Compiled, NoKey
from graphkeras.trace import SymbolicTensor, Variable, current_scope, get_stateless_scope, recorders, tree
from graphkeras.trace.naming import current_path
from graphkeras.trace.variable import autocast_dtype
from graphkeras.training.description import described

_HEXADECIMAL = re.compile("[0-9a-f]{64}")


class StepKey:
    """The key of a step, or why it has none.

    Attributes:
        key: 64 hexadecimal digits; empty where there is none.
        reason: why the step must be traced.
        state: all variables that the step may use.
    """

    def __init__(self, model, mode, data, is_whole, execution):
        self.key, self.reason, self.state = "", "", []
        self._model, self._mode = model, mode
        try:
            self._refuse()
            loaded = loaded_digest()
            _build(model, mode, data)
            self.state = self._variables()
            self.key = self._digest(data, (is_whole, execution), loaded)
        except NoKey as error:
            self.reason = str(error)

    def _refuse(self):
        from graphkeras.models import Functional, Sequential

        model, reason = self._model, program_cache.why_not()
        if not reason and type(model) not in (Functional, Sequential):
            reason = f"{type(model).__name__} is a class of its own"
        if not reason and self._mode == "train" and not type(model.optimizer).__module__.startswith("graphkeras."):
            reason = f"{type(model.optimizer).__name__} is a class of its own"
        if not reason and (current_scope() or get_stateless_scope() or recorders() or autocast_dtype() or get_current_remat_mode()):
            reason = "it is run inside another computation"
        if reason:
            raise NoKey(reason)

    def _variables(self):
        model = self._model
        groups = [model.variables]
        if self._mode != "predict":
            groups.append(model.metrics_variables)
        if self._mode == "train":
            groups.append(model.optimizer.variables)
        return list({id(v): v for group in groups for v in group}.values())

    def _digest(self, data, way, loaded):
        model = self._model
        form = tree.map_structure(lambda a: None if a is None else TensorSpec(a.shape[1:], dtype_name(a.dtype)), data)
        text = described(model, self._mode, (way, form, dtype_policy(), len(self.state)), self.state)
        parts = [program_cache.sources_state(), loaded, *program_cache.environment(), text]
        return program_cache.digest_of(parts)

    def is_whole(self) -> bool:
        """Whether the step uses the same variables as when the key was made."""
        return [id(v) for v in self._variables()] == [id(v) for v in self.state]

    @contextmanager
    def watched(self):
        """A context to trace in: a trace that warns must be made in every process, for its warnings."""
        if not self.key:
            yield
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for warning in caught:
            self.key, self.reason = "", "its trace warns"
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno, source=warning.source)


class FoundStep(NamedTuple):
    """A program that was found, and the structure of what its step returns (with zeros as leaves)."""

    compiled: Compiled
    structure: object


def find(step: StepKey, fuse: bool, trace: Callable) -> FoundStep | None:
    """The program of a step, if the caches have all of it.

    Args:
        step: its key.
        fuse: whether nodes are fused.
        trace: traces it, for those who look inside.
    """
    if not step.key:
        return None
    cache = get_cache()
    data = cache.get(step.key, kind="step")
    if data is None:
        step.reason = "no process has traced it before"
        return None
    try:
        entry = json.loads(data)
        program, digest = (_checked(entry[name], _HEXADECIMAL) for name in ("program", "graph"))
        variables = [_reference(step.state, *row) for row in entry["variables"]]
        structure = _decoded(entry["structure"])
        leaves = sum(leaf is not None for leaf in tree.flatten(structure))
        for op in entry["ops"]:
            program_cache.check_record(op)
    except NoKey as error:
        step.key, step.reason = "", str(error)
        return None
    except (GraphKerasError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        step.reason = "its entry was malformed"
        cache.reject(step.key, "step", f"is malformed ({type(error).__name__}: {error})")
        return None
    compiled = program_cache.found(program, variables, fuse, trace, digest)
    if compiled is None:
        step.reason = "its program or kernels are no longer there"
        return None
    if leaves != len(compiled.program.output_specs):
        step.reason = "its entry was malformed"
        cache.reject(step.key, "step", f"is malformed (it has places for {leaves} of {len(compiled.program.output_specs)} outputs)")
        return None
    return FoundStep(compiled, structure)


def keep(step: StepKey, compiled: Compiled, structure) -> None:
    """Puts a step that was traced into the cache, as soon as its program is there."""
    compiled.traced_for = step.reason
    if not step.key:
        return
    traced = compiled.traced
    places = {id(v): place for place, v in enumerate(step.state)}
    try:
        if not step.is_whole() or any(id(r.variable) not in places for r in traced.variables):
            raise NoKey("its trace makes variables")
        entry = {
            "variables": [[places[id(r.variable)], r.spec.dtype, list(r.spec.shape)] for r in traced.variables],
            "structure": _encoded(structure),
            "ops": sorted(program_cache.ops_of(traced)),
            "graph": program_cache.graph_digest(traced),
        }
    except NoKey as error:
        compiled.traced_for = str(error)
        return

    def put(program):
        if program_cache.sources_stand():
            payload = json.dumps({**entry, "program": program}).encode()
            get_cache().put(step.key, payload, {"name": traced.name}, kind="step")

    compiled.when_kept(put)


# ---- what a trace does besides making a graph ------------------------------------------------------------------------


def _build(model, mode, data):
    """Builds what the first trace of a step would build, in its order: the model, the losses, the optimizer, the metrics."""
    x, y, _ = unpack_x_y_sample_weight(data)
    with layer_scope(model.name), open_name_scope(model):
        if model._path is None:
            model._path = current_path()
        if not model.built and not tree.is_nested(x):
            model.build((None, *x.shape[1:]))
    if model._graph is None:
        raise NoKey("its layers are run one by one")
    outputs = model._graph.outputs_struct
    for tensor in (*tree.flatten(model._graph.inputs), *tree.flatten(outputs)):
        if tensor.shape[:1] != (None,) or None in tensor.shape[1:]:
            raise NoKey("its sizes are not all known, or that of the batch is")
    if mode == "predict":
        return
    if not model.compiled or y is None:
        raise NoKey("it is trained without targets")
    targets = tree.map_structure(_target, y)
    if model._compile_loss is not None and not model._compile_loss.built:
        model._compile_loss.build(targets, outputs)
    if mode == "train" and not model.optimizer.built:
        weights = model.trainable_weights
        if not weights:
            raise NoKey("it has no weights to train")
        model.optimizer.build(weights)
    if model._compile_metrics is not None and not model._compile_metrics.built:
        model._compile_metrics.build(targets, outputs)


def _target(array):
    return None if array is None else SymbolicTensor((None, *array.shape[1:]), dtype_name(array.dtype), name="target")


# ---- entries ---------------------------------------------------------------------------------------------------------


def _checked(text, pattern):
    if not pattern.fullmatch(text):
        raise ValueError(f"{text!r} is no key")
    return text


def _reference(state, place, dtype, shape):
    if type(place) is not int or not 0 <= place < len(state):
        raise ValueError(f"there is no variable {place!r}")
    variable: Variable = state[place]
    spec = TensorSpec(variable.shape, variable._dtype)
    if spec != TensorSpec(tuple(shape), dtype):
        raise ValueError(f"variable {place} is {spec}, not {dtype}{shape}")
    return VariableRef(f"{variable.path}:{place}", spec, variable)


def _encoded(structure):
    """A structure as JSON, with zeros in place of its leaves."""
    kind = type(structure)
    if structure is None:
        return None
    if kind is dict and all(type(key) is str for key in structure):
        return {"dict": [[key, _encoded(item)] for key, item in structure.items()]}
    if kind is list or kind is tuple:
        return {kind.__name__: [_encoded(item) for item in structure]}
    if tree.is_nested(structure):
        raise NoKey(f"its step returns a {kind.__name__}")
    return 0


def _decoded(text):
    if text is None or (type(text) is int and text == 0):
        return text
    if type(text) is not dict:
        raise TypeError(f"{text!r} is no structure")
    ((kind, items),) = text.items()
    if kind == "dict":
        if any(type(key) is not str for key, _ in items):
            raise TypeError("a key is no text")
        return {key: _decoded(item) for key, item in items}
    return {"list": list, "tuple": tuple}[kind](map(_decoded, items))
