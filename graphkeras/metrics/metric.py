"""Metric: state that is updated batch by batch and read as a result."""

from graphkeras.ir.errors import ArgumentError
from graphkeras.saving.pickling import Pickled
from graphkeras.trace import (
    StatelessScope,
    SymbolicTensor,
    TraceScope,
    Variable,
    convert_to_tensor,
    current_scope,
    settings,
    tracing,
    tree,
)
from graphkeras.trace.naming import auto_name, name_scope


class Metric(Pickled):
    """Base class of metrics.

    Args:
        dtype: dtype of the computation and the result; floatx where None. A dtype policy stands for its compute dtype.
        name: name of the metric, as it appears in the history; made from the class's where None.

    Example:

    >>> from graphkeras import ops
    >>> class Count(Metric):
    ...     def __init__(self, name="count", **kwargs):
    ...         super().__init__(name=name, **kwargs)
    ...         self.total = self.add_weight(name="total", initializer="zeros")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.total.assign_add(ops.sum(ops.ones_like(ops.cast(y_true, "float32"))))
    ...     def result(self):
    ...         return self.total
    >>> count = Count()
    >>> float(count([1, 2, 3], [1, 2, 3]))
    3.0
    """

    def __init__(self, dtype=None, name=None):
        self.name = name or auto_name(type(self).__name__)
        self._dtype = getattr(dtype, "compute_dtype", dtype) or settings.floatx()
        self._variables: list[Variable] = []
        self._metrics: list[Metric] = []

    def __setattr__(self, name, value):
        if name not in ("_variables", "_metrics") and "_metrics" in self.__dict__:
            if isinstance(value, Variable):
                self._track(self._variables, value)
            elif isinstance(value, Metric):
                self._track(self._metrics, value)
            elif isinstance(value, (list, tuple)):
                for item in value:
                    if isinstance(item, Metric):
                        self._track(self._metrics, item)
                    elif isinstance(item, Variable):
                        self._track(self._variables, item)
        super().__setattr__(name, value)

    @staticmethod
    def _track(store, item):
        if not any(item is other for other in store):
            store.append(item)

    def _check_initialized(self):
        if "_metrics" not in self.__dict__:
            raise RuntimeError(
                f"{type(self).__name__}: you forgot to call `super().__init__()` in the `__init__()` method. Go add it!"
            )

    @property
    def dtype(self) -> str:
        return self._dtype

    @property
    def variables(self) -> list[Variable]:
        """The metric's variables, those of metrics inside it behind its own."""
        variables = list(self._variables)
        for metric in self._metrics:
            variables.extend(metric.variables)
        return variables

    def add_variable(self, shape, initializer, dtype=None, aggregation="sum", name=None):
        """A new variable that belongs to the metric."""
        from graphkeras import initializers

        self._check_initialized()
        with name_scope(self.name.replace("/", ">")):
            variable = Variable(
                initializer=initializers.get(initializer),
                shape=shape,
                dtype=dtype,
                trainable=False,
                aggregation=aggregation,
                synchronization="on_read",
                name=name,
            )
        self._track(self._variables, variable)
        return variable

    def add_weight(self, shape=(), initializer=None, dtype=None, name=None):
        """A new variable that belongs to the metric: a scalar of zeros unless said otherwise."""
        return self.add_variable(shape=shape, initializer=initializer or "zeros", dtype=dtype, name=name)

    def update_state(self, *args, **kwargs):
        """Takes in a batch; to be written by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not define update_state().")

    def result(self):
        """The value so far: a scalar tensor, or a dict of them; to be written by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not define result().")

    def reset_state(self):
        """Sets all variables to zero."""
        for variable in self.variables:
            variable.assign_zeros()

    def __call__(self, *args, **kwargs):
        self._check_initialized()
        if current_scope() is None and any(isinstance(x, SymbolicTensor) for x in tree.flatten((args, kwargs))):
            # Without values only shapes and dtypes can be told; the state stays as it is.
            with tracing(TraceScope()):
                result = tree.map_structure(convert_to_tensor, self._updated(args, kwargs))
            return tree.map_structure(lambda t: SymbolicTensor(t.shape, t.dtype), result)
        return self._updated(args, kwargs)

    def _updated(self, args, kwargs):
        self.update_state(*args, **kwargs)
        return self.result()

    def _mapping(self, metric_variables):
        if len(metric_variables) != len(self.variables):
            raise ArgumentError(
                f"Argument `metric_variables` must be a list of tensors, one for each of {type(self).__name__}().variables.",
                got=f"{len(metric_variables)} tensors",
                expected=f"{len(self.variables)} tensors",
            )
        return list(zip(self.variables, metric_variables))

    def _values_in(self, scope):
        values = [scope.get_current_value(v) for v in self.variables]
        return [v.value if value is None else value for v, value in zip(self.variables, values)]

    def stateless_update_state(self, metric_variables, *args, **kwargs):
        """The values the variables have after `update_state`, when they had `metric_variables` before."""
        with StatelessScope(self._mapping(metric_variables)) as scope:
            self.update_state(*args, **kwargs)
        return self._values_in(scope)

    def stateless_result(self, metric_variables):
        """The result for these values of the variables."""
        with StatelessScope(self._mapping(metric_variables)):
            return convert_to_result(self.result())

    def stateless_reset_state(self):
        """The values the variables have after `reset_state`."""
        with StatelessScope() as scope:
            self.reset_state()
        return self._values_in(scope)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def _obj_type(self):
        return "Metric"

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def convert_to_result(result):
    """A result as tensors: variables are read."""
    if isinstance(result, dict):
        return {name: convert_to_result(value) for name, value in result.items()}
    return convert_to_tensor(result)
