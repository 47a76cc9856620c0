"""Adam and its relatives: moving means of gradients and of their squares."""

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError
from graphkeras.optimizers.optimizer import Optimizer


class _TwoMoments(Optimizer):
    """Base: `_momentums` and `_velocities` are moving means of gradients and of their squares."""

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._momentums, self._velocities = self.add_optimizer_variables(var_list, ["momentum", "velocity"])

    def _step_number(self, dtype, ahead=1):
        return self._once(("step", ahead, dtype), lambda: ops.cast(self.iterations + ahead, dtype))

    def _remaining(self, beta, dtype):
        """1 - beta^t: how much of the weight of a moving mean that started at zero has been given out."""
        return self._once(("remaining", beta, dtype), lambda: 1.0 - ops.power(ops.cast(beta, dtype), self._step_number(dtype)))

    def _update_moments(self, gradient, variable):
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index], self._velocities[index]
        self.assign_add(momentum, (gradient - momentum) * (1 - self.beta_1))
        self.assign_add(velocity, (ops.square(gradient) - velocity) * (1 - self.beta_2))
        return momentum.value, velocity.value

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Adam(_TwoMoments):
    """Adaptive moments (Kingma and Ba, 2014).

    Args:
        learning_rate: see `Optimizer`.
        beta_1: how slowly the mean of gradients moves.
        beta_2: how slowly the mean of squares moves.
        epsilon: added to the root of the mean of squares.
        amsgrad: whether the largest mean of squares so far is used (Reddi et al., 2018).
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> Adam().apply([v.value], [v])
    >>> bool(v[0] < 1.0)
    True
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
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
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._velocity_hats = self.add_optimizer_variables(var_list, "velocity_hat") if self.amsgrad else []

    def _corrected_rate(self, learning_rate, dtype):
        rate = ops.cast(learning_rate, dtype)
        return rate * ops.sqrt(self._remaining(self.beta_2, dtype)) / self._remaining(self.beta_1, dtype)

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        rate = self._once(("rate", dtype), lambda: self._corrected_rate(learning_rate, dtype))
        momentum, velocity = self._update_moments(ops.cast(gradient, dtype), variable)
        if self.amsgrad:
            largest = self._velocity_hats[self._get_variable_index(variable)]
            self.assign(largest, ops.maximum(largest, velocity))
            velocity = largest.value
        self.assign_sub(variable, momentum * rate / (ops.sqrt(velocity) + self.epsilon))

    def get_config(self):
        return {**super().get_config(), "amsgrad": self.amsgrad}


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    Args:
        learning_rate: see `Optimizer`.
        weight_decay: see `Optimizer`.
        beta_1: how slowly the mean of gradients moves.
        beta_2: how slowly the mean of squares moves.
        epsilon: added to the root of the mean of squares.
        amsgrad: see `Adam`.
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> AdamW().apply([v.value], [v])
    >>> bool(v[0] < 1.0)
    True
    """

    def __init__(
        self,
        learning_rate=0.001,
        weight_decay=0.004,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
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
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
            ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )  # fmt: skip
        if self.weight_decay is None:
            raise ArgumentError("Argument `weight_decay` must be a float.", got="weight_decay=None")


class Nadam(_TwoMoments):
    """Adam with Nesterov momentum (Dozat, 2016).

    Args:
        learning_rate: see `Optimizer`.
        beta_1: how slowly the mean of gradients moves.
        beta_2: how slowly the mean of squares moves.
        epsilon: added to the root of the mean of squares.
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> Nadam().apply([v.value], [v])
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
        dtype = var_list[0].dtype if len(var_list) else None
        super().build(var_list)
        self._u_product = self.add_variable((), "ones", dtype, name="u_product")

    def _schedule(self, ahead, dtype):
        decayed = ops.power(ops.cast(0.96, dtype), self._step_number(dtype, ahead))
        return self.beta_1 * (1.0 - 0.5 * decayed)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        dtype = self._u_product.dtype
        self.assign(self._u_product, self._u_product * self._schedule(1, dtype))
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        gradient = ops.cast(gradient, dtype)
        now = self._once(("now", dtype), lambda: self._schedule(1, dtype))
        later = self._once(("later", dtype), lambda: self._schedule(2, dtype))
        product = ops.cast(self._u_product, dtype)
        rest_now = self._once(("rest now", dtype), lambda: 1.0 - product)
        rest_later = self._once(("rest later", dtype), lambda: 1.0 - product * later)
        momentum, velocity = self._update_moments(gradient, variable)
        ahead = later * momentum / rest_later + (1.0 - now) * gradient / rest_now
        squares = velocity / self._remaining(self.beta_2, dtype)
        self.assign_sub(variable, ahead * ops.cast(learning_rate, dtype) / (ops.sqrt(squares) + self.epsilon))


class Lamb(_TwoMoments):
    """Adam with steps as large as a layer's weights (You et al., 2019).

    Args:
        learning_rate: see `Optimizer`.
        beta_1: how slowly the mean of gradients moves.
        beta_2: how slowly the mean of squares moves.
        epsilon: added to the root of the mean of squares.
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> Lamb().apply([v.value], [v])
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

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        momentum, velocity = self._update_moments(ops.cast(gradient, dtype), variable)
        mean = momentum / self._remaining(self.beta_1, dtype)
        step = mean / (ops.sqrt(velocity / self._remaining(self.beta_2, dtype)) + self.epsilon)
        size_of_weights = ops.sqrt(ops.sum(ops.square(variable)))
        size_of_step = ops.sqrt(ops.sum(ops.square(step)))
        one = ops.ones_like(size_of_step)
        moved = size_of_step > 0.0
        ratio = ops.where(moved, size_of_weights / ops.where(moved, size_of_step, one), one)
        ratio = ops.where(size_of_weights > 0.0, ratio, one)
        self.assign_sub(variable, ratio * ops.cast(learning_rate, dtype) * step)
