"""CompileMetrics: the metrics given to `compile`, with the names they have in the history."""

from collections.abc import Mapping

from graphkeras import metrics as metrics_module
from graphkeras.ir.errors import ArgumentError
from graphkeras.metrics import BinaryAccuracy, CategoricalAccuracy, MeanMetricWrapper, Metric, SparseCategoricalAccuracy
from graphkeras.trace import tree
from graphkeras.training.kinds import kind_of_labels, name_of
from graphkeras.training.outputs import Outputs, short

_ACCURACIES = {"binary": BinaryAccuracy, "sparse": SparseCategoricalAccuracy, "categorical": CategoricalAccuracy}


def metric_for(identifier, y_true, y_pred) -> Metric:
    """The metric an identifier stands for; "accuracy" and "acc" are resolved by the shapes."""
    if identifier is None:
        raise ArgumentError("Expected metric, received `None`.", got="None in a list of metrics", mend="leave it out")
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        return _ACCURACIES[kind_of_labels(y_true, y_pred)](name=identifier)
    metric = metrics_module.get(identifier)
    name = identifier if isinstance(identifier, str) else name_of(metric)
    if not isinstance(metric, Metric):
        metric = MeanMetricWrapper(metric)
    metric.name = name
    return metric


class CompileMetrics(Metric):
    """All metrics given to `compile`.

    Args:
        metrics, weighted_metrics: as given to `compile`: a list for a single output; for several a list with one entry (a
            metric or list of them) per output, or a dict from names of outputs.
        name: name of the container.
        output_names: names of the model's outputs, or None.
    """

    def __init__(self, metrics, weighted_metrics, name="compile_metrics", output_names=None):
        super().__init__(name=name)
        for argument, value in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if value and not isinstance(value, (list, tuple, dict)):
                raise ArgumentError(
                    f"Expected `{argument}` argument to be a list, tuple, or dict.",
                    got=f"{argument}={value!r} of type {type(value).__name__}",
                    mend=f"pass {argument}=[{value!r}]",
                )
            for identifier in tree.flatten(value):
                if isinstance(identifier, str) and identifier.lower() not in ("accuracy", "acc"):
                    metrics_module.get(identifier)  # names that do not exist are told of now, not in the first step
        self._given = (metrics, weighted_metrics)
        self.output_names = output_names
        self._entries: list[tuple[int, str | None, Metric, bool]] = []  # output, its name, metric, whether it is weighted
        self.built = False

    @property
    def metrics(self) -> list[Metric]:
        """The metrics one by one; none before the first batch."""
        return [metric for _, _, metric, _ in self._entries]

    @property
    def variables(self):
        return [v for metric in self.metrics for v in metric.variables]

    def build(self, y_true, y_pred):
        """Matches the metrics to the outputs; targets and predictions may be symbolic."""
        self._outputs = outputs = Outputs(y_pred, self.output_names)
        flat_true, flat_pred = self._flat(y_true), tree.flatten(y_pred)
        entries = []
        for argument, given, weighted in zip(("metrics", "weighted_metrics"), self._given, (False, True)):
            if not given:
                continue
            if outputs.count == 1:
                per_output, names = [tree.flatten(given)], [None]
            else:
                per_output, names = self._per_output(given, argument), outputs.names
            for index, (listed, name) in enumerate(zip(per_output, names)):
                if listed is None:
                    continue
                for identifier in listed if isinstance(listed, (list, tuple)) else [listed]:
                    entries.append((index, name, metric_for(identifier, flat_true[index], flat_pred[index]), weighted))
        self._entries = entries
        self.built = True

    def _per_output(self, given, argument):
        """The metrics of each output, flat: a metric, a list of them, or None."""
        outputs = self._outputs
        if outputs.is_flat and isinstance(given, (list, tuple)) and len(given) == outputs.count:
            return list(given)
        if isinstance(given, Mapping):
            for names in (outputs.key_names, outputs.model_names):
                if names and set(given) <= set(names):
                    return [given.get(name) for name in names]
        found: list = []
        if _collect(given, outputs.structure, found):
            return found
        raise ArgumentError(
            f"Invalid `{argument}`: it does not match the outputs of the model.",
            got=f"{argument}={short(given)}",
            expected=f"the structure {outputs.described()}, with a metric or a list of metrics for each output",
            mend="pass a list with one entry per output, or a dict from names of outputs",
        )

    def _flat(self, y):
        outputs = self._outputs
        if isinstance(y, Mapping):
            entries = outputs.by_name(y, range(outputs.count))
            if entries is not None:
                return entries
        flat = tree.flatten(y)
        return flat * outputs.count if len(flat) == 1 and outputs.count > 1 else flat

    def update_state(self, y_true, y_pred, sample_weight=None):
        if not self.built:
            self.build(y_true, y_pred)
        flat_true, flat_pred = self._flat(y_true), tree.flatten(y_pred)
        weights = [None] * len(flat_pred) if sample_weight is None else self._flat(sample_weight)
        for index, _, metric, weighted in self._entries:
            if weighted:
                metric.update_state(flat_true[index], flat_pred[index], weights[index])
            else:
                metric.update_state(flat_true[index], flat_pred[index])

    def reset_state(self):
        for metric in self.metrics:
            metric.reset_state()

    def result(self):
        """The results by the names they have in the history."""
        if not self.built:
            raise ArgumentError("Cannot get result() since the metric has not yet been built.", mend="update it first")
        results, seen = {}, {}
        for _, output, metric, weighted in self._entries:
            prefix = f"{output}_" if output else ""
            name = prefix + metric.name
            if weighted and name in seen:
                name = f"{prefix}weighted_{metric.name}"
            if name in seen:
                seen[name] += 1
                name = f"{name}_{seen[name] - 1}"
            else:
                seen[name] = 1
            results[name] = metric.result()
        return results

    def get_config(self):
        raise NotImplementedError("The container of the metrics given to compile() has no config of its own.")


def _collect(given, structure, found) -> bool:
    """Appends what is given for each output, flat; False where `given` does not start like the structure of the outputs."""
    if isinstance(structure, Mapping):
        fits = isinstance(given, Mapping) and set(given) == set(structure)
        return fits and all(_collect(given[key], structure[key], found) for key in sorted(structure))
    if isinstance(structure, (list, tuple)):
        fits = isinstance(given, (list, tuple)) and len(given) == len(structure)
        return fits and all(_collect(item, part, found) for item, part in zip(given, structure))
    found.append(given)
    return not isinstance(given, Mapping)
