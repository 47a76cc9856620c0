"""Stochastic gradient descent and its momentum."""

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError
from graphkeras.optimizers.optimizer import Optimizer


class SGD(Optimizer):
    """Gradient descent, with momentum where wanted.

    w -= lr * g without momentum; with it m = momentum * m - lr * g and w += m, or w += momentum * m - lr * g with `nesterov`.

    Args:
        learning_rate: see `Optimizer`.
        momentum: float in [0, 1].
        nesterov: whether the gradient is taken ahead of the momentum.
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> SGD(0.1).apply([v.value], [v])
    >>> round(float(v[0]), 4)
    0.9
    """

    def __init__(
        self,
        learning_rate=0.01,
        momentum=0.0,
        nesterov=False,
        weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        **kwargs,
    ):
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )  # fmt: skip
        if not isinstance(momentum, float) or not 0 <= momentum <= 1:
            raise ArgumentError("`momentum` must be a float between [0, 1].", got=f"momentum={momentum!r}")
        self.momentum, self.nesterov = momentum, nesterov

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum") if self.momentum else []

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        step = ops.cast(gradient, variable.dtype) * rate
        if not self.momentum:
            self.assign_sub(variable, step)
            return
        momentum = self.momentums[self._get_variable_index(variable)]
        self.assign(momentum, momentum * self.momentum - step)
        self.assign_add(variable, momentum * self.momentum - step if self.nesterov else momentum)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
