"""History: what `fit` returns."""

from graphkeras.callbacks.callback import Callback


class History(Callback):
    """Records the logs of all epochs.

    Attributes:
        epoch: numbers of the epochs.
        history: dict of lists, one entry per epoch.

    Example:

    >>> h = History()
    >>> h.on_train_begin()
    >>> h.on_epoch_end(0, {"loss": 1.0})
    >>> h.history
    {'loss': [1.0]}
    """

    def __init__(self):
        super().__init__()
        self.history = {}

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        # The newest history is the model's, where one callback is used for several models.
        if self.model is not None:
            self.model.history = self
