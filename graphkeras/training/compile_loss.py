"""CompileLoss: the losses given to `compile`, as one loss."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from graphkeras import losses, ops
from graphkeras.ir.errors import ArgumentError
from graphkeras.losses.probabilistic import (
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from graphkeras.metrics import Mean
from graphkeras.trace import convert_to_tensor, tree
from graphkeras.training.kinds import kind_of_labels, name_of
from graphkeras.training.outputs import Outputs, PathError, at, short, taken

_BY_KIND = {
    "binary": binary_crossentropy,
    "sparse": sparse_categorical_crossentropy,
    "categorical": categorical_crossentropy,
}


@dataclasses.dataclass(frozen=True)
class Given:
    """A loss as it was given to `compile`, with its weight; a leaf of the structure that is matched to the outputs."""

    loss: Any
    weight: Any = None


class OutputLoss(NamedTuple):
    """The loss of one output, or of a structure of outputs.

    Args:
        path: keys that lead to it from what the model returns.
        loss: the loss.
        weight: its weight in the sum, or None.
        name: name in the history, without "_loss".
    """

    path: tuple
    loss: losses.Loss
    weight: Any
    name: str


def loss_for(identifier, y_true, y_pred) -> losses.Loss:
    """The loss an identifier stands for; "crossentropy" and "ce" are resolved by the shapes."""
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        found = _BY_KIND[kind_of_labels(y_true, y_pred)]
    else:
        found = losses.get(identifier)
    if isinstance(found, losses.Loss):
        return found
    name = identifier if isinstance(identifier, str) else name_of(found)
    return losses.LossFunctionWrapper(found, name=name)


class CompileLoss(losses.Loss):
    """The sum of the losses of all outputs.

    Args:
        loss: as given to `compile`: one for all outputs; a list or dict (by the names of outputs) with an entry per output; or
            the structure of the outputs. An entry is a loss, None, or a list of losses of the same output; a loss at a place
            where the model returns a structure gets the structure.
        loss_weights: factors, in the form of `loss`; a float for a single output.
        reduction: kept for compatibility.
        output_names: names of the model's outputs, or None.

    Attributes:
        losses: the losses with their places, after `build`.
        metrics: with several losses, a mean per loss.
    """

    def __init__(self, loss, loss_weights=None, reduction="sum_over_batch_size", output_names=None):
        if loss_weights and not isinstance(loss_weights, (list, tuple, dict, float)):
            raise ArgumentError(
                "Expected `loss_weights` argument to be a float (single output case) or a list, tuple, or dict (multiple "
                "output case).",
                got=f"loss_weights={loss_weights!r} of type {type(loss_weights).__name__}",
            )
        super().__init__(name="compile_loss", reduction=reduction)
        self._user_loss, self._user_loss_weights, self.output_names = loss, loss_weights, output_names
        for identifier in tree.flatten(loss):
            if isinstance(identifier, str) and identifier.lower() not in ("crossentropy", "ce"):
                losses.get(identifier)  # names that do not exist are told of now, not in the first step
        self.metrics: list[Mean] = []
        self.losses: list[OutputLoss] = []
        self.built = False

    @property
    def variables(self):
        return [v for metric in self.metrics for v in metric.variables]

    # Matching losses to outputs

    def build(self, y_true, y_pred):
        """Matches the losses to the outputs; targets and predictions may be symbolic."""
        self._outputs = outputs = Outputs(y_pred, self.output_names)
        loss, weights = self._in_structure(self._user_loss), self._user_loss_weights
        if isinstance(weights, Mapping) and not isinstance(loss, Mapping) and set(weights) <= set(outputs.model_names):
            weights = [weights.get(name) for name in outputs.model_names]
        found: list[tuple] = []
        _match(_with_weights(loss, weights), self._outputs.structure, (), found)
        numbers = tree.pack_sequence_as(outputs.structure, range(outputs.count))
        self._used = sorted({number for path, _ in found for number in tree.flatten(at(numbers, path))})
        y_true = self._targets(y_true)
        self.losses, self.classes = [], []
        for path, given in found:
            prediction = at(y_pred, path)
            single = not tree.is_nested(prediction)
            loss = loss_for(given.loss, at(y_true, path), prediction)
            number = at(numbers, path) if single else None
            self.losses.append(OutputLoss(path, loss, given.weight, self._name(path, number, loss)))
            if single and _takes_class_numbers(loss):
                size = prediction.shape[getattr(loss, "axis", -1)]
                self.classes.append((number, size, getattr(loss, "ignore_class", None)))
        self.metrics = [Mean(name=f"{entry.name}_loss") for entry in self.losses] if len(self.losses) > 1 else []
        self.built = True

    def _in_structure(self, loss):
        """The losses in a structure that starts like the outputs: one loss becomes one per output, names become places."""
        outputs = self._outputs
        if not tree.is_nested(loss):
            return tree.map_structure(lambda _: loss, outputs.structure)
        if isinstance(loss, Mapping) and not isinstance(outputs.structure, Mapping):
            if set(loss) != set(outputs.model_names):
                raise ArgumentError(
                    f"Expected keys {outputs.model_names} in loss dict, but found loss.keys()={list(loss)}",
                    got=f"loss={short(loss)}",
                    expected=f"outputs {outputs.described()}",
                    mend="pass a loss, or None, for each output",
                )
            entries = [loss[name] for name in outputs.model_names]
            return entries if tree.is_nested(outputs.structure) else entries[0]
        return loss

    def _name(self, path, number, loss):
        """The name of a loss: keys of dicts on the way to it, and the name of the output, or of the loss where it has none."""
        if number is not None and (not path or isinstance(path[-1], int)):
            names = self._outputs.model_names
            path = (*path[:-1], names[number] if len(names) == self._outputs.count else loss.name)
        return "/".join(map(str, path)) or "_".join(map(str, self._outputs.names))

    def flat_targets(self, y_true) -> list:
        """Targets in the flat order of the outputs, None for outputs without a loss."""
        return tree.flatten(self._targets(y_true))

    def _targets(self, y_true):
        """Targets (or sample weights) in the structure of the outputs."""
        outputs = self._outputs
        if isinstance(y_true, Mapping):
            entries = outputs.by_name(y_true, self._used)
            if entries is not None:
                return tree.pack_sequence_as(outputs.structure, entries)
        try:
            return taken(outputs.structure, y_true)
        except LookupError:
            entries = tree.flatten(y_true)
        if len(entries) == outputs.count:
            return tree.pack_sequence_as(outputs.structure, entries)
        if len(entries) == len(self._used):
            flat = [None] * outputs.count
            for index, entry in zip(self._used, entries):
                flat[index] = entry
            return tree.pack_sequence_as(outputs.structure, flat)
        raise ArgumentError(
            "y_true and y_pred have different structures.",
            got=f"y_true: {tree.map_structure(lambda _: '*', y_true)}",
            expected=f"y_pred: {outputs.described()}",
            mend="pass targets as the model returns outputs: a list with one array per output, or a dict from their names",
        )

    # The loss of a batch

    def __call__(self, y_true, y_pred, sample_weight=None):
        return self.call(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred, sample_weight=None):
        if not self.built:
            self.build(y_true, y_pred)
        y_true = self._targets(y_true)
        y_pred = tree.pack_sequence_as(self._outputs.structure, tree.flatten(y_pred))
        nested_weights = tree.is_nested(sample_weight)
        if nested_weights:
            sample_weight = self._targets(sample_weight)
        total = None
        for number, (path, loss, factor, _) in enumerate(self.losses):
            prediction = at(y_pred, path)
            weight = at(sample_weight, path) if nested_weights else sample_weight
            value = ops.cast(loss(at(y_true, path), prediction, weight), self.dtype)
            if self.metrics:
                batch = convert_to_tensor(tree.flatten(prediction)[0]).spec.shape[0]
                self.metrics[number].update_state(value, sample_weight=convert_to_tensor(batch, self.dtype))
            if factor is not None:
                value = ops.multiply(value, convert_to_tensor(factor, self.dtype))
            total = value if total is None else ops.add(total, value)
        return total

    def get_config(self):
        raise NotImplementedError("The container of the losses given to compile() has no config of its own.")


def _takes_class_numbers(loss):
    return isinstance(loss, SparseCategoricalCrossentropy) or getattr(loss, "fn", None) is sparse_categorical_crossentropy


def _with_weights(loss, weights):
    """The losses with their weights: a structure of `Given`, and of None where there is no loss."""
    if weights is None:
        return tree.map_structure(lambda leaf: None if leaf is None else Given(leaf), loss)
    if isinstance(loss, Mapping) and isinstance(weights, Mapping) and set(weights) <= set(loss):
        return {key: _with_weights(entry, weights.get(key)) for key, entry in loss.items()}
    try:
        weights = taken(loss, weights)
    except LookupError:
        count, flat = len(tree.flatten(loss)), tree.flatten(weights)
        if len(flat) != count:
            raise ArgumentError(
                f"`loss_weights` must match the number of losses, got {count} losses and {len(flat)} weights.",
                got=f"loss_weights={short(weights)}",
                expected=f"the form of loss={short(loss)}",
            ) from None
        weights = tree.pack_sequence_as(loss, flat)
    return tree.map_structure(lambda leaf, weight: None if leaf is None else Given(leaf, weight), loss, weights)


def _match(given, structure, path, found):
    """Collects the pairs (path, Given) of all losses in `given`, which belongs to the outputs at `path`.

    Args:
        given: None, a `Given`, or a nested structure of them.
        structure: the structure of these outputs.
        path: keys that lead to them.
        found: list that receives the pairs.
    """
    listed = isinstance(given, (list, tuple))
    if listed and not any(map(tree.is_nested, given)) and len(given) == len(tree.flatten(structure)):
        given = tree.pack_sequence_as(structure, given)
    elif listed and not isinstance(structure, type(given)):
        for entry in given:
            _match(entry, structure, path, found)
        return
    if isinstance(given, Given):
        found.append((path, given))
        return
    if given is None:
        return
    if isinstance(given, Mapping):
        items, known = given.items(), list(structure) if isinstance(structure, Mapping) else []
    else:
        items, known = enumerate(given), list(range(len(structure))) if isinstance(structure, (list, tuple)) else []
        if len(known) != len(given):
            raise _mismatch(f"{len(given)} losses", f"{len(known)} entries, one per output", path)
    for key, entry in items:
        if key in known:
            _match(entry, structure[key], (*path, key), found)
        elif entry is not None:
            whose = "either the model's output (`y_pred`) or in the labels (`y_true`)" if known else "the model's output (`y_pred`)"
            raise PathError(
                f"The path: {(*path, key)} in the `loss` argument, can't be found in {whose}.",
                got=f"the key {key!r} in loss",
                expected=f"keys among {known}" if known else "the loss of a single output",
                mend="give the losses in the structure of the outputs",
            )


def _mismatch(got, expected, path):
    place = f" at {path}" if path else ""
    return ArgumentError(
        f"`loss` does not match the outputs of the model{place}.",
        got=got,
        expected=expected,
        mend="pass loss as a list with one entry per output, or as a dict from names of outputs",
    )
