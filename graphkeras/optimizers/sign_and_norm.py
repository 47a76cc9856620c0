"""Optimizers that use the largest gradient, its sign, or factored squares."""

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError
from graphkeras.optimizers.optimizer import Optimizer


class Adamax(Optimizer):
    """Adam with the largest past gradient in place of the root of the mean of squares (Kingma and Ba, 2014).

    Args:
        learning_rate: see `Optimizer`.
        beta_1: how slowly the mean of gradients moves.
        beta_2: how slowly the largest gradient is forgotten.
        epsilon: added to the largest gradient.
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> Adamax().apply([v.value], [v])
    >>> bool(v[0] < 1.0)
    True
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
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
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._momentums, self._norms = self.add_optimizer_variables(var_list, ["momentum", "norm"])

    def _remaining(self, dtype):
        return 1.0 - ops.power(ops.cast(self.beta_1, dtype), ops.cast(self.iterations + 1, dtype))

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        gradient = ops.cast(gradient, dtype)
        index = self._get_variable_index(variable)
        momentum, norm = self._momentums[index], self._norms[index]
        remaining = self._once(("remaining", dtype), lambda: self._remaining(dtype))
        self.assign_add(momentum, (gradient - momentum) * (1 - self.beta_1))
        self.assign(norm, ops.maximum(self.beta_2 * norm, ops.abs(gradient)))
        self.assign_sub(variable, ops.cast(learning_rate, dtype) * momentum / (remaining * (norm + self.epsilon)))

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Lion(Optimizer):
    """Steps of one size, in the direction of the sign of the momentum (Chen et al., 2023).

    Args:
        learning_rate: see `Optimizer`.
        beta_1: weight of the momentum against the gradient in the sign, in (0, 1].
        beta_2: how slowly the momentum moves.
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> Lion().apply([v.value], [v])
    >>> bool(v[0] < 1.0)
    True
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.99,
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
        if beta_1 <= 0 or beta_1 > 1:
            raise ArgumentError(
                "Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer degenerates to SignSGD.",
                got=f"beta_1={beta_1}",
                expected="0 < beta_1 <= 1",
            )
        self.beta_1, self.beta_2 = beta_1, beta_2

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._momentums = self.add_optimizer_variables(var_list, "momentum")

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        gradient = ops.cast(gradient, dtype)
        momentum = self._momentums[self._get_variable_index(variable)]
        direction = ops.sign(momentum * self.beta_1 + gradient * (1.0 - self.beta_1))
        self.assign_sub(variable, ops.cast(learning_rate, dtype) * direction)
        self.assign(momentum, momentum * self.beta_2 + gradient * (1.0 - self.beta_2))

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}


class Adafactor(Optimizer):
    """Adam with the mean of squares of a matrix kept as a row and a column (Shazeer and Stern, 2018).

    Args:
        learning_rate: see `Optimizer`.
        beta_2_decay: exponent of the step number in the weight of the newest squares.
        epsilon_1: added to squared gradients.
        epsilon_2: least size of a variable in the size of its steps.
        clip_threshold: largest root mean square of a step.
        relative_step: whether the learning rate is at most one over the root of the step number.
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> Adafactor().apply([v.value], [v])
    >>> bool(v[0] < 1.0)
    True
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_2_decay=-0.8,
        epsilon_1=1e-30,
        epsilon_2=1e-3,
        clip_threshold=1.0,
        relative_step=True,
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
        self.beta_2_decay, self.epsilon_1, self.epsilon_2 = beta_2_decay, epsilon_1, epsilon_2
        self.clip_threshold, self.relative_step = clip_threshold, relative_step

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._rows, self._columns, self._velocities = [], [], []
        for variable in var_list:
            if variable.overwrite_with_gradient:
                self._rows.append(None)
                self._columns.append(None)
                self._velocities.append(None)
                continue
            shape = variable.shape
            factored = len(shape) >= 2
            row, column = (shape[:-1], (*shape[:-2], shape[-1])) if factored else ((), ())
            self._rows.append(self.add_variable(row, dtype=variable.dtype, name=variable.name))
            self._columns.append(self.add_variable(column, dtype=variable.dtype, name=variable.name))
            self._velocities.append(self.add_variable_from_reference(variable, "velocity"))

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        rate = ops.cast(learning_rate, dtype)
        gradient = ops.cast(gradient, dtype)
        index = self._get_variable_index(variable)
        row, column, velocity = self._rows[index], self._columns[index], self._velocities[index]
        step = ops.cast(self.iterations + 1, dtype)
        slow = 1.0 / ops.sqrt(step)
        rate = ops.minimum(rate, slow)
        size = lambda x: ops.sqrt(ops.mean(ops.square(x)))
        scaled_rate = ops.maximum(size(variable), self.epsilon_2) * rate
        old = 1.0 - ops.power(step, self.beta_2_decay)
        new = 1.0 - old
        squares = ops.square(gradient) + self.epsilon_1
        if len(variable.shape) >= 2:
            self.assign(row, old * row + new * ops.mean(squares, axis=-1))
            self.assign(column, old * column + new * ops.mean(squares, axis=-2))
            shares = row / ops.mean(row, axis=-1, keepdims=True)
            self.assign(velocity, ops.expand_dims(shares, -1) * ops.expand_dims(column, -2))
        else:
            self.assign(velocity, old * velocity + new * squares)
        change = gradient / ops.sqrt(velocity)
        change = change / ops.maximum(size(change) / self.clip_threshold, 1.0)
        self.assign_sub(variable, scaled_rate * change)

    def get_config(self):
        return {
            **super().get_config(),
            "beta_2_decay": self.beta_2_decay,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
        }
