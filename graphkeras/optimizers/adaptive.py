"""Optimizers that scale each weight's step by the size of its past gradients."""

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError
from graphkeras.optimizers.optimizer import Optimizer


class RMSprop(Optimizer):
    """Gradient divided by the root of a moving mean of its square (Hinton, 2012).

    Args:
        learning_rate: see `Optimizer`.
        rho: how slowly the mean of squares moves.
        momentum: momentum of the steps.
        epsilon: added to the mean of squares under the root.
        centered: whether the mean of gradients is taken out of the mean of squares.
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> RMSprop().apply([v.value], [v])
    >>> bool(v[0] < 1.0)
    True
    """

    def __init__(
        self,
        learning_rate=0.001,
        rho=0.9,
        momentum=0.0,
        epsilon=1e-7,
        centered=False,
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
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._velocities = self.add_optimizer_variables(var_list, "velocity")
        self._momentums = self.add_optimizer_variables(var_list, "momentum") if self.momentum > 0 else []
        self._average_gradients = self.add_optimizer_variables(var_list, "average_gradient") if self.centered else []

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        index = self._get_variable_index(variable)
        velocity = self._velocities[index]
        self.assign(velocity, self.rho * velocity + (1 - self.rho) * ops.square(gradient))
        squares = velocity.value
        if self.centered:
            average = self._average_gradients[index]
            self.assign(average, self.rho * average + (1 - self.rho) * gradient)
            squares = squares - ops.square(average)
        step = rate * gradient / ops.sqrt(squares + self.epsilon)
        if self.momentum > 0:
            momentum = self._momentums[index]
            self.assign(momentum, self.momentum * momentum + step)
            step = momentum.value
        self.assign_sub(variable, step)

    def get_config(self):
        own = {"rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon, "centered": self.centered}
        return {**super().get_config(), **own}


class Adagrad(Optimizer):
    """Gradient divided by the root of the sum of all its squares (Duchi et al., 2011).

    Args:
        learning_rate: see `Optimizer`.
        initial_accumulator_value: what the sum of squares starts at.
        epsilon: added to the sum of squares under the root.
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> Adagrad().apply([v.value], [v])
    >>> bool(v[0] < 1.0)
    True
    """

    def __init__(
        self,
        learning_rate=0.001,
        initial_accumulator_value=0.1,
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
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def build(self, var_list):
        if self.built:
            return
        from graphkeras import initializers

        super().build(var_list)
        start = initializers.Constant(self.initial_accumulator_value)
        self._accumulators = self.add_optimizer_variables(var_list, "accumulator", initializer=start)

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        accumulator = self._accumulators[self._get_variable_index(variable)]
        self.assign_add(accumulator, ops.square(gradient))
        self.assign_sub(variable, rate * gradient / ops.sqrt(accumulator + self.epsilon))

    def get_config(self):
        own = {"initial_accumulator_value": self.initial_accumulator_value, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


class Adadelta(Optimizer):
    """Steps as large as the root of the mean of past squared steps (Zeiler, 2012).

    Args:
        learning_rate: see `Optimizer`.
        rho: how slowly the means move.
        epsilon: added to the means under the roots.
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> Adadelta().apply([v.value], [v])
    >>> bool(v[0] < 1.0)
    True
    """

    def __init__(
        self,
        learning_rate=0.001,
        rho=0.95,
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
        self.rho, self.epsilon = rho, epsilon

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        names = ["accumulated_grad", "accumulated_delta_var"]
        self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(var_list, names)

    def update_step(self, grad, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        grad = ops.cast(grad, variable.dtype)
        index = self._get_variable_index(variable)
        squares, steps = self._accumulated_grads[index], self._accumulated_delta_vars[index]
        root = lambda x: ops.sqrt(x + self.epsilon)
        self.assign(squares, self.rho * squares + (1 - self.rho) * ops.square(grad))
        step = -(root(steps) * grad / root(squares))
        self.assign(steps, self.rho * steps + (1 - self.rho) * ops.square(step))
        self.assign_add(variable, rate * step)

    def get_config(self):
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}


class Ftrl(Optimizer):
    """Follow the regularized leader (McMahan et al., 2013).

    Args:
        learning_rate: see `Optimizer`.
        learning_rate_power: exponent of the sum of squares, at most 0.
        initial_accumulator_value: what the sum of squares starts at, at least 0.
        l1_regularization_strength, l2_regularization_strength: strengths of the penalties, at least 0.
        l2_shrinkage_regularization_strength: strength of the shrinkage of weights by their gradient, at least 0.
        beta: see the paper.
        **kwargs: the other arguments of `Optimizer`.

    Example:

    >>> from graphkeras.trace import Variable
    >>> v = Variable([1.0])
    >>> Ftrl().apply([v.value], [v])
    >>> bool(v[0] < 1.0)
    True
    """

    def __init__(
        self,
        learning_rate=0.001,
        learning_rate_power=-0.5,
        initial_accumulator_value=0.1,
        l1_regularization_strength=0.0,
        l2_regularization_strength=0.0,
        l2_shrinkage_regularization_strength=0.0,
        beta=0.0,
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
        if learning_rate_power > 0:
            raise ArgumentError(
                "`learning_rate_power` needs to be negative or zero.", got=f"learning_rate_power={learning_rate_power}"
            )
        for argument, value in (
            ("initial_accumulator_value", initial_accumulator_value),
            ("l1_regularization_strength", l1_regularization_strength),
            ("l2_regularization_strength", l2_regularization_strength),
            ("l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength),
        ):
            if value < 0.0:
                raise ArgumentError(f"`{argument}` needs to be positive or zero.", got=f"{argument}={value}")
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta

    def build(self, var_list):
        if self.built:
            return
        from graphkeras import initializers

        super().build(var_list)
        start = initializers.Constant(self.initial_accumulator_value)
        self._accumulators, self._linears = self.add_optimizer_variables(
            var_list, ["accumulator", "linear"], initializer=[start, "zeros"]
        )

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        index = self._get_variable_index(variable)
        squares, linear = self._accumulators[index], self._linears[index]
        power = lambda x: ops.power(x, -self.learning_rate_power)
        shrunk = gradient + 2 * self.l2_shrinkage_regularization_strength * variable
        new_squares = squares + ops.square(gradient)
        self.assign_add(linear, shrunk - (power(new_squares) - power(squares)) / rate * variable)
        penalty = self.l2_regularization_strength + self.beta / (2.0 * rate)
        quadratic = power(new_squares) / rate + 2 * penalty
        l1 = self.l1_regularization_strength
        self.assign(variable, (ops.clip(linear, -l1, l1) - linear) / quadratic)
        self.assign(squares, new_squares)

    def get_config(self):
        return {
            **super().get_config(),
            "learning_rate_power": self.learning_rate_power,
            "initial_accumulator_value": self.initial_accumulator_value,
            "l1_regularization_strength": self.l1_regularization_strength,
            "l2_regularization_strength": self.l2_regularization_strength,
            "l2_shrinkage_regularization_strength": self.l2_shrinkage_regularization_strength,
            "beta": self.beta,
        }
