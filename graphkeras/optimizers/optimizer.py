"""Optimizer: the base of all optimizers. Everything it does is ops on variables, so that a step becomes part of the graph."""

import re
import warnings

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.optimizers.clipping import clip_by_global_norm, clip_by_norm
from graphkeras.optimizers.schedules.schedule import LearningRateSchedule
from graphkeras.saving.pickling import Pickled
from graphkeras.trace import StatelessScope, SymbolicTensor, Variable, convert_to_tensor, settings
from graphkeras.trace.naming import auto_name, name_scope


class Optimizer(Pickled):
    """Base class of optimizers.

    Args:
        learning_rate: a float, a `LearningRateSchedule`, or a callable without arguments.
        weight_decay: share of each weight that is taken away per step, times the learning rate; None for none.
        clipnorm: largest norm of the gradient of each variable.
        clipvalue: largest absolute value of gradients.
        global_clipnorm: largest norm of all gradients together.
        use_ema: whether a moving average of the weights is kept.
        ema_momentum: how slowly the average moves.
        ema_overwrite_frequency: after how many steps the weights are replaced by their average; None: at the end only.
        loss_scale_factor: the loss is multiplied by it and the gradients are divided by it.
        gradient_accumulation_steps: over how many steps gradients are averaged before the weights change.
        name: name of the optimizer; made from the class's where None.

    A subclass defines `build(variables)` (with `add_optimizer_variables`) and `update_step(gradient, variable, learning_rate)`.

    Example:

    >>> from graphkeras.optimizers import SGD
    >>> v = Variable([2.0])
    >>> SGD(learning_rate=0.5).apply([convert_to_tensor([1.0])], [v])
    >>> v.numpy().tolist()
    [1.5]
    """

    def __init__(
        self,
        learning_rate,
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
        self._variables: list[Variable] = []
        if kwargs.pop("decay", None) is not None:
            warnings.warn("Argument `decay` is no longer supported and will be ignored.", stacklevel=3)
        if kwargs:
            raise ArgumentError(
                f"Argument(s) not recognized: {kwargs}", got=str(sorted(kwargs)), expected="arguments of the optimizer"
            )
        self.name = name or auto_name(type(self).__name__)
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.use_ema, self.ema_momentum, self.ema_overwrite_frequency = use_ema, ema_momentum, ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self._check_arguments()
        self.built = False
        self._trainable_variables: list[Variable] = []
        self._indices: dict[int, int] = {}
        self._excluded: list[Variable] = []
        self._excluded_pattern = None
        self._step_scalars: dict | None = None
        self._iterations = self._scalar_variable(0, "int32", "iteration")
        if isinstance(learning_rate, LearningRateSchedule) or callable(learning_rate):
            self._learning_rate = learning_rate
        else:
            if not isinstance(learning_rate, float):
                raise ArgumentError(
                    "Argument `learning_rate` should be float, or an instance of LearningRateSchedule, or a callable.",
                    got=f"learning_rate={learning_rate!r}",
                    expected="a float, e.g. 0.001, a LearningRateSchedule, or a callable without arguments",
                )
            self._learning_rate = self._scalar_variable(learning_rate, settings.floatx(), "learning_rate")

    def _check_arguments(self):
        steps = self.gradient_accumulation_steps
        if steps and not steps >= 2:
            raise ArgumentError(
                "`gradient_accumulation_steps` must be an integer >= 2.", got=f"gradient_accumulation_steps={steps}"
            )
        if self.use_ema:
            if not 0 <= self.ema_momentum <= 1:
                raise ArgumentError("`ema_momentum` must be in the range [0, 1].", got=f"ema_momentum={self.ema_momentum}")
            frequency = self.ema_overwrite_frequency
            if frequency and (not isinstance(frequency, int) or frequency < 1):
                raise ArgumentError(
                    "`ema_overwrite_frequency` must be an integer >= 1 or None.", got=f"ema_overwrite_frequency={frequency}"
                )
        given = {n: getattr(self, n) for n in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, n) is not None}
        if len(given) > 1:
            raise ArgumentError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set.",
                got=", ".join(f"{n}={v}" for n, v in given.items()),
            )

    def __setattr__(self, name, value):
        if isinstance(value, Variable):
            if "_variables" not in self.__dict__:
                raise RuntimeError(
                    f"In optimizer '{type(self).__name__}', you forgot to call `super().__init__()` as the first statement "
                    "in the `__init__()` method. Go add it!"
                )
            self._track(value)
        super().__setattr__(name, value)

    def _track(self, variable):
        if not any(variable is v for v in self._variables):
            self._variables.append(variable)

    def _scalar_variable(self, value, dtype, name):
        with name_scope(self.name):
            return Variable(value, dtype=dtype, trainable=False, aggregation="only_first_replica", name=name)

    # State

    @property
    def variables(self) -> list[Variable]:
        """All variables of the optimizer: iterations, learning rate, then what `build` made."""
        return self._variables[:]

    @property
    def iterations(self):
        """Number of updates of the weights so far."""
        if self.gradient_accumulation_steps:
            return ops.floor_divide(self._iterations, self.gradient_accumulation_steps)
        return self._iterations

    @property
    def learning_rate(self):
        """The learning rate of the next step."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            return self._learning_rate(self._iterations)
        if isinstance(self._learning_rate, Variable):
            return self._learning_rate
        return self._learning_rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        if isinstance(learning_rate, LearningRateSchedule) or callable(learning_rate):
            self._variables[:] = [v for v in self._variables if v is not self._learning_rate]
            self._learning_rate = learning_rate
            return
        if not isinstance(self._learning_rate, Variable):
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` constructor argument, "
                "hence its learning rate is not settable. If you need the learning rate to be settable, you should "
                "instantiate the optimizer with a float `learning_rate` argument."
            )
        self._learning_rate.assign(learning_rate)

    def build(self, variables):
        """Makes the optimizer's variables for these model variables."""
        variables = list(variables)
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulators_of_gradients = self.add_optimizer_variables(variables, "gradient_accumulator")
        self._indices = {id(v): i for i, v in enumerate(variables)}
        self._trainable_variables = variables
        self.built = True

    def add_variable(self, shape, initializer="zeros", dtype=None, aggregation="none", layout=None, name=None):
        """A new variable that belongs to the optimizer."""
        from graphkeras import initializers

        with name_scope(self.name):
            variable = Variable(
                initializer=initializers.get(initializer),
                shape=shape,
                dtype=dtype,
                trainable=False,
                aggregation=aggregation,
                name=name,
            )
        self._track(variable)
        return variable

    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        """A new variable with the shape and dtype of a model variable, named after it."""
        path = reference_variable.path.replace("/", "_")
        return self.add_variable(
            reference_variable.shape, initializer, reference_variable.dtype, name=f"{path}_{name or 'var'}"
        )

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        """One new variable per model variable; with a list of names a tuple of lists of them."""
        names = [name] if isinstance(name, str) else list(name)
        starts = list(initializer) if isinstance(initializer, (list, tuple)) else [initializer] * len(names)
        if len(names) != len(starts):
            raise ArgumentError(
                "The number of names must match the number of initializers.", got=f"name={name!r}, initializer={initializer!r}"
            )
        made = tuple([] for _ in names)
        for variable in trainable_variables:
            for store, slot, start in zip(made, names, starts):
                skip = variable.overwrite_with_gradient
                store.append(None if skip else self.add_variable_from_reference(variable, slot, start))
        return made[0] if isinstance(name, str) else made

    def _get_variable_index(self, variable) -> int:
        return self._indices[id(variable)]

    # Steps

    def assign(self, variable, value):
        """Sets a variable."""
        variable.assign(value)

    def assign_add(self, variable, value):
        """Adds to a variable."""
        variable.assign_add(value)

    def assign_sub(self, variable, value):
        """Subtracts from a variable."""
        variable.assign_sub(value)

    def update_step(self, gradient, variable, learning_rate):
        """Changes one variable by its gradient; to be written by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not define update_step(gradient, variable, learning_rate).")

    def _once(self, name, compute):
        """A scalar that is the same for all variables of a step: computed for the first of them."""
        if self._step_scalars is None:
            return compute()
        if name not in self._step_scalars:
            self._step_scalars[name] = compute()
        return self._step_scalars[name]

    def apply_gradients(self, grads_and_vars):
        """Changes variables by their gradients, given as pairs; returns the number of iterations."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self._iterations

    def apply(self, grads, trainable_variables=None):
        """Changes variables by their gradients.

        Args:
            grads: gradients; None for a variable that has none, which is left alone with a warning.
            trainable_variables: the variables; those of `build` where None.
        """
        grads = list(grads)
        if not grads:
            return
        variables = self._variables_for(grads, trainable_variables)
        pairs = self._with_gradients(grads, variables)
        for gradient, variable in pairs:
            if variable.overwrite_with_gradient:
                variable.assign(gradient)
        pairs = [(g, v) for g, v in pairs if not v.overwrite_with_gradient]
        if pairs:
            grads, variables = [g for g, _ in pairs], [v for _, v in pairs]
            if self.loss_scale_factor is not None:
                grads = [g / self.loss_scale_factor for g in grads]
            self._apply(grads, variables)
            for variable in variables:
                if variable.constraint is not None:
                    variable.assign(variable.constraint(variable.value))
        self._iterations.assign_add(1)

    def _variables_for(self, grads, variables):
        if variables is None:
            if not self.built:
                raise ArgumentError(
                    "When passing `grads` without `variables`, the optimizer must already be built on a list of variables.",
                    got=f"{len(grads)} gradients for an optimizer that is not built",
                    mend="call `optimizer.build(trainable_variables)` first",
                )
            if len(grads) != len(self._trainable_variables):
                raise ArgumentError(
                    "When passing `grads` as a list of gradient tensors, there must be one for each variable.",
                    got=f"{len(grads)} gradients",
                    expected=f"{len(self._trainable_variables)} gradients",
                )
            return self._trainable_variables
        variables = list(variables)
        if not self.built:
            self.build(variables)
        for variable in variables:
            if id(variable) not in self._indices:
                raise ArgumentError(
                    f"Unknown variable: {variable.path}.",
                    got=f"variable '{variable.path}' of shape {variable.shape}",
                    expected="one of the variables this optimizer was built with",
                    mend="when working with a new set of variables, create a new optimizer (call compile() again)",
                )
        return variables

    def _with_gradients(self, grads, variables):
        pairs = [(g, v) for g, v in zip(grads, variables) if g is not None]
        if not pairs:
            raise ArgumentError(
                "No gradients provided for any variable.",
                got="None for each of " + ", ".join(v.path for v in variables),
                expected="a gradient for at least one variable",
                mend="compute the loss from these variables by differentiable ops",
            )
        missing = [v.path for g, v in zip(grads, variables) if g is None]
        if missing:
            warnings.warn(
                f"Gradients do not exist for variables {missing} when minimizing the loss. If using `model.compile()`, "
                "did you forget to provide a `loss` argument?",
                stacklevel=3,
            )
        return pairs

    def _apply(self, grads, variables):
        if self.gradient_accumulation_steps:
            self._accumulate_or_update(grads, variables)
        else:
            self._update(grads, variables)
        if self.use_ema:
            self._update_averages()

    def _update(self, grads, variables):
        grads = self._clip(grads)
        self._step_scalars = {}
        try:
            self._decay(variables)
            self._backend_update_step(grads, variables, self.learning_rate)
        finally:
            self._step_scalars = None

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        for gradient, variable in zip(grads, trainable_variables):
            self.update_step(gradient, variable, learning_rate)

    def _accumulate_or_update(self, grads, variables):
        steps = self.gradient_accumulation_steps
        updating = ops.equal(ops.mod(self._iterations + 1, steps), 0)
        sums = [self._accumulators_of_gradients[self._get_variable_index(v)] for v in variables]
        totals = [g + s for g, s in zip(grads, sums)]
        counted = [*sums, self._iterations]
        changing = [*variables, *(v for v in self._variables if not any(v is c for c in counted))]
        self._only_if(updating, lambda: self._update([t / steps for t in totals], variables), changing)
        for accumulator, total in zip(sums, totals):
            accumulator.assign(ops.where(updating, ops.zeros_like(total), total))

    @staticmethod
    def _only_if(condition, change, variables):
        """Runs `change` where the condition holds. In a trace the change is computed in any case, and kept only where it holds."""
        if not isinstance(condition, SymbolicTensor):
            if bool(condition):
                change()
            return
        before = [v.value for v in variables]
        change()
        for variable, old in zip(variables, before):
            new = variable.value
            if new is not old:
                variable.assign(ops.where(condition, new, old))

    def _update_averages(self):
        for variable, average in zip(self._trainable_variables, self._averages):
            if average is not None:
                later = convert_to_tensor(ops.not_equal(self.iterations, 0), variable.dtype)
                momentum = later * self.ema_momentum
                average.assign(momentum * average + (1.0 - momentum) * variable)
        if self.ema_overwrite_frequency:
            due = ops.equal(ops.mod(self.iterations + 1, self.ema_overwrite_frequency), 0)
            self._only_if(due, self._overwrite_with_averages, self._trainable_variables)

    def _overwrite_with_averages(self):
        for variable, average in zip(self._trainable_variables, self._averages):
            if average is not None:
                variable.assign(average.value)

    def finalize_variable_values(self, var_list):
        """Replaces the weights by their moving averages, where those are kept; done at the end of training."""
        if self.use_ema and self.built:
            self._overwrite_with_averages()

    # Gradients and weights

    def _clip(self, grads):
        if self.clipnorm and self.clipnorm > 0:
            return [clip_by_norm(g, self.clipnorm) for g in grads]
        if self.global_clipnorm and self.global_clipnorm > 0:
            return clip_by_global_norm(grads, self.global_clipnorm)
        if self.clipvalue and self.clipvalue > 0:
            return [ops.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        return grads

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Variables that weight decay leaves alone: given themselves, or by patterns that their names contain."""
        if self.built:
            raise ArgumentError("`exclude_from_weight_decay()` can only be configured before the optimizer is built.")
        self._excluded = list(var_list or ())
        self._excluded_pattern = re.compile("|".join(sorted(set(var_names)))) if var_names else None

    def _use_weight_decay(self, variable) -> bool:
        if any(variable is excluded for excluded in self._excluded):
            return False
        return self._excluded_pattern is None or self._excluded_pattern.search(variable.name) is None

    def _decay(self, variables):
        if self.weight_decay is None:
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                rate = convert_to_tensor(self.learning_rate, variable.dtype)
                variable.assign(variable - variable * self.weight_decay * rate)

    def scale_loss(self, loss):
        """The loss times the loss scale factor."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """The new values of model and optimizer variables, without changing either.

        Args:
            optimizer_variables: values of `optimizer.variables`.
            grads: gradients, one per model variable.
            trainable_variables: values of the model variables.

        Returns:
            Two lists: values of the model variables and of the optimizer's.
        """
        if not self.built:
            raise ArgumentError(
                f"To call `stateless_apply`, {type(self).__name__} must be built (i.e. its variables must have been created).",
                mend="call `optimizer.build(trainable_variables)` first",
            )
        for what, got, expected in (
            ("optimizer_variables", optimizer_variables, self._variables),
            ("trainable_variables", trainable_variables, self._trainable_variables),
        ):
            if len(got) != len(expected):
                raise ArgumentError(
                    f"Argument `{what}` must be a list of tensors, one for each variable.",
                    got=f"{len(got)} tensors",
                    expected=f"{len(expected)} tensors",
                )
        known = [*self._trainable_variables, *self._variables]
        values = [*trainable_variables, *optimizer_variables]
        with StatelessScope(state_mapping=list(zip(known, values))) as scope:
            self.apply(grads)
        new = [scope.get_current_value(v) for v in known]
        return new[: len(self._trainable_variables)], new[len(self._trainable_variables) :]

    # Saving

    def set_weights(self, weights):
        """Sets all variables of the optimizer."""
        if not self.built:
            raise ArgumentError(
                "You are calling `set_weights()` on an optimizer that has not yet been built.",
                mend="call `optimizer.build(trainable_variables)` first",
            )
        for variable, weight in zip(self._variables, weights):
            if tuple(variable.shape) != tuple(weight.shape):
                raise ShapeError(
                    f"Optimizer variable '{variable.path}' has another shape than the weight given for it.",
                    got=f"shape {tuple(weight.shape)}",
                    expected=f"shape {variable.shape}",
                )
            variable.assign(weight)

    def save_own_variables(self, store):
        """Writes the values of all variables into a mapping, under their numbers."""
        for i, variable in enumerate(self._variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store):
        """Reads what `save_own_variables` wrote; warns and does nothing where the number of variables differs."""
        if len(store.keys()) != len(self._variables):
            warnings.warn(
                f"Skipping variable loading for optimizer '{self.name}', because it has {len(self._variables)} variables "
                f"whereas the saved optimizer has {len(store.keys())} variables.",
                stacklevel=2,
            )
            return
        for i, variable in enumerate(self._variables):
            variable.assign(store[str(i)][()])

    def get_config(self):
        rate = self._learning_rate
        if isinstance(rate, Variable):
            # The shortest decimal that is this float of the variable's dtype, so that 0.001 is not 0.0010000000474974513.
            rate = float(str(rate.numpy()))
        else:
            from graphkeras.saving import serialize_keras_object

            rate = serialize_keras_object(rate)
        return {
            "name": self.name,
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if isinstance(config.get("learning_rate"), dict):
            from graphkeras.optimizers import schedules

            rate = schedules.deserialize(config["learning_rate"], custom_objects=custom_objects)
            config = {**config, "learning_rate": rate}
        return cls(**config)

    def __deepcopy__(self, memo):
        new = super().__deepcopy__(memo)
        new._indices = {id(v): i for i, v in enumerate(new._trainable_variables)}
        return new

    def _pickled_state(self):
        """None: the variables belong to those of a model, which pickles their values with its own."""

    def _restore_state(self, state):
        """The config says it all."""

    def _obj_type(self):
        return "Optimizer"
