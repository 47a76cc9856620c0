"""CompileLoss: the losses given to `compile`, one per output, as one loss."""

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
from graphkeras.training.outputs import Outputs

_BY_KIND = {
    "binary": binary_crossentropy,
    "sparse": sparse_categorical_crossentropy,
    "categorical": categorical_crossentropy,
}


class OutputLoss(NamedTuple):
    """The loss of one output.

    Args:
        index: number of the output, flat.
        loss: the loss.
        weight: its weight in the sum, or None.
        name: name in the history, without "_loss".
    """

    index: int
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
        loss: as given to `compile`: one for all outputs, a list, a dict from names of outputs, or their structure.
        loss_weights: factors, in the form of `loss`; a float for a single output.
        reduction: kept for compatibility.
        output_names: names of the model's outputs, or None.

    Attributes:
        metrics: with several outputs, a mean per loss.
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

    def build(self, y_true, y_pred):
        """Matches the losses to the outputs; targets and predictions may be symbolic."""
        self._outputs = outputs = Outputs(y_pred, self.output_names)
        given = outputs.flat(self._user_loss, "loss", partial=isinstance(y_pred, dict))
        weights = self._user_loss_weights
        weights = [None] * outputs.count if weights is None else outputs.flat(weights, "loss_weights", partial=True)
        used = [index for index, identifier in enumerate(given) if identifier is not None]
        self._used = used
        flat_true, flat_pred = self._targets(y_true), tree.flatten(y_pred)
        self.losses = []
        for index in used:
            loss = loss_for(given[index], flat_true[index], flat_pred[index])
            name = outputs.names[index] or loss.name
            self.losses.append(OutputLoss(index, loss, weights[index], name))
        if len(self.losses) > 1:
            self.metrics = [Mean(name=f"{entry.name}_loss") for entry in self.losses]
        self.classes = self._numbers_of_classes(flat_pred)
        self.built = True

    def _numbers_of_classes(self, flat_pred):
        """For losses of class numbers: (number of output, number of classes, label that is ignored)."""
        found = []
        for entry in self.losses:
            fn = getattr(entry.loss, "fn", None)
            if isinstance(entry.loss, SparseCategoricalCrossentropy) or fn is sparse_categorical_crossentropy:
                size = flat_pred[entry.index].shape[getattr(entry.loss, "axis", -1)]
                found.append((entry.index, size, getattr(entry.loss, "ignore_class", None)))
        return found

    def flat_targets(self, y_true) -> list:
        """Targets in the flat order of the outputs, None for outputs without a loss."""
        return self._targets(y_true)

    def _targets(self, y_true):
        outputs = self._outputs
        if not tree.is_nested(y_true):
            if outputs.count != 1 and len(self._used) != 1:
                raise self._target_error(y_true)
            entries = [y_true]
        elif isinstance(y_true, dict):
            names = outputs.names if None not in outputs.names else outputs.model_names
            wanted = [names[i] for i in self._used] if names else []
            if names and set(wanted) <= set(y_true):
                return [y_true.get(name) for name in names]
            entries = tree.flatten(y_true)
        else:
            entries = tree.flatten(y_true)
        if len(entries) == outputs.count:
            return entries
        if len(entries) == len(self._used):
            flat = [None] * outputs.count
            for index, entry in zip(self._used, entries):
                flat[index] = entry
            return flat
        raise self._target_error(y_true)

    def _target_error(self, y_true):
        got = tree.map_structure(lambda _: "*", y_true)
        expected = tree.map_structure(lambda _: "*", self._outputs.structure)
        return ArgumentError(
            "y_true and y_pred have different structures.",
            got=f"y_true: {got}",
            expected=f"y_pred: {expected}",
            mend="pass targets as the model returns outputs: a list with one array per output, or a dict from their names",
        )

    def __call__(self, y_true, y_pred, sample_weight=None):
        return self.call(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred, sample_weight=None):
        if not self.built:
            self.build(y_true, y_pred)
        flat_true, flat_pred = self._targets(y_true), tree.flatten(y_pred)
        if sample_weight is None or not tree.is_nested(sample_weight):
            weights = [sample_weight] * len(flat_pred)
        else:
            weights = self._targets(sample_weight)
        total = None
        for number, (index, loss, factor, _) in enumerate(self.losses):
            value = ops.cast(loss(flat_true[index], flat_pred[index], weights[index]), self.dtype)
            if self.metrics:
                batch = tree.flatten(flat_pred[index])[0].spec.shape[0]
                self.metrics[number].update_state(value, sample_weight=convert_to_tensor(batch, self.dtype))
            if factor is not None:
                value = ops.multiply(value, float(factor))
            total = value if total is None else ops.add(total, value)
        return total

    def get_config(self):
        raise NotImplementedError("The container of the losses given to compile() has no config of its own.")
