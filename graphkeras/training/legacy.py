"""`compiled_loss` and `compiled_metrics` of older versions of Keras, as custom train steps still use them."""

import warnings

from graphkeras.trace import convert_to_tensor, tree

_warned: set[str] = set()


def _warn_once(name, instead):
    if name not in _warned:
        _warned.add(name)
        warnings.warn(f"`model.{name}` is of an older version of Keras. Instead, use {instead}.", DeprecationWarning, stacklevel=4)


class CompiledLoss:
    """Calling it gives the total loss and updates the mean that is shown as "loss", weighted by the size of the batch."""

    def __init__(self, model):
        self._model = model

    def __call__(self, y, y_pred, sample_weight=None, regularization_losses=None):
        _warn_once("compiled_loss", "`model.compute_loss(x, y, y_pred, sample_weight)`")
        model = self._model
        loss = model._compile_loss(y, y_pred, sample_weight)
        for extra in regularization_losses or ():
            loss = loss + extra
        batch = tree.flatten(y_pred)[0].spec.shape[0]
        model._loss_tracker.update_state(loss, sample_weight=convert_to_tensor(batch, model._loss_tracker.dtype))
        return loss

    @property
    def metrics(self):
        """The means that are updated."""
        return [self._model._loss_tracker, *self._model._compile_loss.metrics]


class CompiledMetrics:
    """The metrics given to `compile`, without the mean of the loss."""

    def __init__(self, model):
        self._model = model

    def update_state(self, y, y_pred, sample_weight=None):
        _warn_once("compiled_metrics", "`metric.update_state(y, y_pred)` for each of `model.metrics`")
        if self._model._compile_metrics is not None:
            self._model._compile_metrics.update_state(y, y_pred, sample_weight)

    @property
    def metrics(self):
        """The metrics one by one."""
        return [] if self._model._compile_metrics is None else self._model._compile_metrics.metrics
