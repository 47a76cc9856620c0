"""CallbackList: calls all callbacks of a run."""

from graphkeras.callbacks.callback import Callback, wants_batches
from graphkeras.callbacks.history import History
from graphkeras.callbacks.progbar_logger import ProgbarLogger
from graphkeras.trace import tree


def floats(logs) -> dict:
    """Logs as a dict of plain floats in the order of their names; dicts inside become part of it, other values stay."""
    flat = {}
    for name, value in (logs or {}).items():
        if isinstance(value, dict):
            flat.update(floats(value))
        else:
            try:
                flat[name] = float(value)
            except (TypeError, ValueError):
                flat[name] = value
    return {name: flat[name] for name in sorted(flat)}


class CallbackList(Callback):
    """Container that passes every hook on to its callbacks, in their order.

    Args:
        callbacks: callbacks, or nested lists of them.
        add_history: whether a `History` is added where there is none.
        add_progbar: whether a `ProgbarLogger` is added where there is none.
        model: the model they belong to.
        **params: handed to `set_params`: `verbose`, `epochs`, `steps`.
    """

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        super().__init__()
        self.callbacks = tree.flatten(callbacks) if callbacks else []
        self._history = next((c for c in self.callbacks if isinstance(c, History)), None)
        self._progbar = next((c for c in self.callbacks if isinstance(c, ProgbarLogger)), None)
        if self._history is None and add_history:
            self._history = History()
            self.callbacks.append(self._history)
        if self._progbar is None and add_progbar:
            self._progbar = ProgbarLogger()
            self.callbacks.append(self._progbar)
        self.set_model(model)
        self.set_params(params)

    @property
    def progress(self) -> ProgbarLogger | None:
        """The callback that shows the progress, where there is one."""
        return self._progbar

    def wants_batches(self, mode: str) -> bool:
        """Whether a callback other than the progress bar does anything at the batches of "train", "test" or "predict"."""
        return any(wants_batches(c, mode) for c in self.callbacks if type(c) is not ProgbarLogger)

    def append(self, callback):
        """Adds a callback."""
        self.callbacks.append(callback)

    def set_params(self, params):
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def set_model(self, model):
        if model is None:
            return
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def _each(self, hook, *args, logs):
        logs = floats(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(*args, logs)

    def on_batch_begin(self, batch, logs=None):
        self._each("on_batch_begin", batch, logs=logs)

    def on_batch_end(self, batch, logs=None):
        self._each("on_batch_end", batch, logs=logs)

    def on_epoch_begin(self, epoch, logs=None):
        self._each("on_epoch_begin", epoch, logs=logs)

    def on_epoch_end(self, epoch, logs=None):
        self._each("on_epoch_end", epoch, logs=logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._each("on_train_batch_begin", batch, logs=logs)

    def on_train_batch_end(self, batch, logs=None):
        self._each("on_train_batch_end", batch, logs=logs)

    def on_test_batch_begin(self, batch, logs=None):
        self._each("on_test_batch_begin", batch, logs=logs)

    def on_test_batch_end(self, batch, logs=None):
        self._each("on_test_batch_end", batch, logs=logs)

    def on_predict_batch_begin(self, batch, logs=None):
        self._each("on_predict_batch_begin", batch, logs=logs)

    def on_predict_batch_end(self, batch, logs=None):
        self._each("on_predict_batch_end", batch, logs=logs)

    def on_train_begin(self, logs=None):
        self._each("on_train_begin", logs=logs)

    def on_train_end(self, logs=None):
        self._each("on_train_end", logs=logs)

    def on_test_begin(self, logs=None):
        self._each("on_test_begin", logs=logs)

    def on_test_end(self, logs=None):
        self._each("on_test_end", logs=logs)

    def on_predict_begin(self, logs=None):
        self._each("on_predict_begin", logs=logs)

    def on_predict_end(self, logs=None):
        self._each("on_predict_end", logs=logs)
