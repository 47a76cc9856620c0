"""TerminateOnNaN: ends training when the loss is not a number."""

import math

from graphkeras.callbacks.callback import Callback
from graphkeras.callbacks.progress_bar import write


class TerminateOnNaN(Callback):
    """Ends training when the loss is NaN or infinite.

    Args:
        raise_error: whether it raises RuntimeError rather than ending quietly.

    Example:

    >>> TerminateOnNaN().on_batch_end(0, {"loss": 1.0})
    """

    def __init__(self, raise_error=False):
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}. Terminating training immediately."
            )
        write(f"Batch {batch}: Invalid loss, terminating training\n")
        self.model.stop_training = True
