"""Callback: what happens at the beginnings and ends of training, epochs and batches."""

BATCH_HOOKS = {
    "train": ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}


class Callback:
    """Base class of callbacks. Hooks that a subclass does not override cost nothing.

    Attributes:
        params: dict with `verbose`, `epochs` and `steps`.
        model: the model that is trained.

    `logs` is a dict of floats: metrics so far. The names `on_batch_begin` and `on_batch_end` are those of older versions of
    Keras for the hooks around a training batch.

    Example:

    >>> class Losses(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, sorted(logs))
    >>> Losses().on_epoch_end(0, {"loss": 1.0})
    0 ['loss']
    """

    def __init__(self):
        self.params = None
        self._model = None

    @property
    def model(self):
        return getattr(self, "_model", None)

    def set_params(self, params):
        self.params = params

    def set_model(self, model):
        self._model = model

    def on_batch_begin(self, batch, logs=None):
        """Older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch, logs=None):
        """Older name of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch, logs=None):
        """Before an epoch of training."""

    def on_epoch_end(self, epoch, logs=None):
        """After an epoch of training and its validation."""

    def on_train_batch_begin(self, batch, logs=None):
        """Before a batch of training."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        """After a batch of training."""
        self.on_batch_end(batch, logs)

    def on_test_batch_begin(self, batch, logs=None):
        """Before a batch of evaluation."""

    def on_test_batch_end(self, batch, logs=None):
        """After a batch of evaluation."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Before a batch of prediction."""

    def on_predict_batch_end(self, batch, logs=None):
        """After a batch of prediction."""

    def on_train_begin(self, logs=None):
        """Before training."""

    def on_train_end(self, logs=None):
        """After training."""

    def on_test_begin(self, logs=None):
        """Before an evaluation, also the one of validation data within training."""

    def on_test_end(self, logs=None):
        """After an evaluation."""

    def on_predict_begin(self, logs=None):
        """Before predictions."""

    def on_predict_end(self, logs=None):
        """After predictions."""


def wants_batches(callback, mode: str) -> bool:
    """Whether a callback does anything at the batches of "train", "test" or "predict"."""
    for name in BATCH_HOOKS[mode]:
        hook = getattr(callback, name, None)
        if hook is not None and getattr(hook, "__func__", hook) is not getattr(Callback, name):
            return True
    return False
