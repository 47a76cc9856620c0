"""SymbolicTensor (Keras's KerasTensor): stands for a value of a graph."""

from graphkeras.ir.dims import Dim, symbol
from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import TraceError
from graphkeras.ir.graph import input_node
from graphkeras.ir.node import Value
from graphkeras.ir.origin import current_origin
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace.base import TensorBase
from graphkeras.trace.naming import auto_name
from graphkeras.trace.scope import current_scope

BATCH = symbol("batch")
_OUTSIDE = "; values come from calling a model or function that is built of it (a tensor kept from a trace that has ended has none)"


class NoValueError(TraceError, ValueError):
    """A symbolic tensor was to become a number or an array: a ValueError, as in Keras."""


class NoIterationError(TraceError, NotImplementedError):
    """A symbolic tensor was iterated over: a NotImplementedError, as in Keras."""


def symbolic_shape(shape, prefix: str = "d") -> tuple:
    """A shape with sizes in place of None: the first one is `batch`, others get fresh symbols.

    >>> symbolic_shape((None, 3))
    (batch, 3)
    """
    result = []
    for axis, size in enumerate(shape):
        if size is None:
            result.append(BATCH if axis == 0 else symbol(auto_name(prefix)))
        else:
            result.append(size if isinstance(size, Dim) else int(size))
    return tuple(result)


class SymbolicTensor(TensorBase):
    """A value of a graph that is being built. It has a shape and a dtype, but no elements.

    Args:
        shape: tuple of ints and None (a size known only when the program runs).
        dtype: Keras dtype name.
        name: name of the placeholder that is made.

    Example:

    >>> x = SymbolicTensor((None, 3), name="x")
    >>> x.shape, x.dtype
    ((None, 3), 'float32')
    """

    __slots__ = ("__weakref__", "_keras_history", "_keras_mask", "_value", "name")

    def __init__(self, shape, dtype="float32", name=None):
        self.name = name or auto_name("keras_tensor")
        spec = TensorSpec(symbolic_shape(shape), dtype_name(dtype))
        self._value = Value(input_node(self.name, spec))
        self._keras_history = None
        self._keras_mask = None

    @classmethod
    def wrap(cls, value: Value, name: str | None = None) -> "SymbolicTensor":
        """The symbolic tensor of an existing value."""
        tensor = cls.__new__(cls)
        tensor._value = value
        tensor.name = name
        tensor._keras_history = None
        tensor._keras_mask = None
        return tensor

    @property
    def value(self) -> Value:
        """The value in the graph."""
        return self._value

    @property
    def spec(self) -> TensorSpec:
        return self._value.spec

    @property
    def shape(self) -> tuple:
        """The shape as Keras shows it, with None for sizes known only when the program runs."""
        return self._value.spec.keras_shape

    @property
    def dtype(self) -> str:
        return self._value.spec.dtype

    @property
    def ndim(self) -> int:
        return len(self._value.spec.shape)

    def _no_value(self, what: str, mend: str, kind: type = TraceError):
        raise kind(
            f"A symbolic tensor has no value, so {what} is not possible here.",
            got=f"{self!r} in {what}",
            expected="code that builds a graph: ops on tensors, no Python decisions on their values",
            where=str(current_origin()),
            mend=mend + ("; or run the model eagerly with run_eagerly=True" if current_scope() is not None else _OUTSIDE),
        )

    def __bool__(self):
        self._no_value(
            "bool() or `if`",
            "in place of `a if x > 0 else b` write ops.where(x > 0, a, b), or ops.cond(x > 0, lambda: a, lambda: b) "
            "where only one side should run; in place of `while`, ops.while_loop",
        )

    def __float__(self):
        self._no_value("float()", "keep it a tensor: ops take it as it is", NoValueError)

    def __int__(self):
        self._no_value("int()", "keep it a tensor, and cast it with ops.cast(x, 'int32')", NoValueError)

    def __index__(self):
        self._no_value("use as a Python index", "index tensors with it (x[i], ops.take), and count with ops.fori_loop or ops.scan")

    def __array__(self, dtype=None, copy=None):
        self._no_value(
            "a NumPy function", "use the function of the same name in graphkeras.ops, or write the code with ops.*", NoValueError
        )

    def numpy(self):
        self._no_value(".numpy()", "return it from the function, and look at the result", NoValueError)

    def __format__(self, spec):
        if spec:
            self._no_value("formatting as a number", "return it from the function, and print the result")
        return str(self)

    def __len__(self):
        if not self.ndim:
            raise TypeError("len() of a symbolic tensor of rank 0")
        if isinstance(self.spec.shape[0], Dim):
            self._no_value("len() over a size known only when the program runs", "use ops.shape(x)[0]")
        return self.spec.shape[0]

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a symbolic tensor of rank 0")
        if current_scope() is None:
            self._no_value("iteration", "use ops.unstack, ops.split or x[i]", NoIterationError)
        if isinstance(self.spec.shape[0], Dim):
            self._no_value(
                "iteration over a size known only when the program runs", "use ops.scan, ops.map or ops.vectorized_map", NoIterationError
            )
        return (self[i] for i in range(self.spec.shape[0]))

    def __repr__(self):
        name = f", name={self.name}" if self.name else ""
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}{name}>"


KerasTensor = SymbolicTensor
