"""Variable: state that outlives a call. Programs read and write its buffer in place."""

import contextvars
import itertools
import math
import threading
from contextlib import contextmanager

import numpy as np

from graphkeras.ir.dtypes import dtype_name, is_float, numpy_dtype
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace.base import TensorBase
from graphkeras.trace.dispatch import apply, as_value, convert_to_tensor
from graphkeras.trace.naming import auto_name, current_path
from graphkeras.trace.recorders import not_recording, recorders
from graphkeras.trace.scope import current_scope, tracing
from graphkeras.trace.settings import floatx
from graphkeras.trace.stateless import get_stateless_scope, suspended
from graphkeras.trace.symbolic import SymbolicTensor
from graphkeras.trace.tensor import Tensor

_autocast: contextvars.ContextVar[str | None] = contextvars.ContextVar("graphkeras_autocast", default=None)
ALIGNMENT = 64
LARGE = 3 << 20
"""Bytes from which an array lies on huge pages: the page that it leaves in part unused must not outweigh it."""
HUGE_PAGE, _PAGE = 1 << 21, 1 << 12
_PLACES, _LINES_APART = 64, 9
_turns = itertools.count()


def aligned_empty(shape, dtype) -> np.ndarray:
    """An uninitialised C-contiguous array whose first byte lies on a cache line.

    NumPy asks the system for huge pages for what it allocates from 4 MB on. A large array begins near the start of one, so that it has
    them from its first element to its last, and each some lines further in another page: an optimizer walks a variable, its gradient and
    its moments together, and what lies at equal places of pages meets in the same sets of the cache and the same banks of memory.
    """
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    alignment, place = ALIGNMENT, 0
    if nbytes >= LARGE:
        alignment, place = HUGE_PAGE, next(_turns) % _PLACES * (_PAGE + _LINES_APART * ALIGNMENT)
    raw = np.empty(nbytes + alignment + place, np.uint8)
    start = -raw.ctypes.data % alignment + place
    return raw[start : start + nbytes].view(dtype).reshape(shape)


@contextmanager
def outside():
    """Leaves traces, tapes and stateless scopes for a while: what runs inside happens at once and for real."""
    with tracing(None), not_recording(), suspended():
        yield


@contextmanager
def autocast_scope(dtype: str | None):
    """Float variables that allow it are read as `dtype` inside (None: as they are)."""
    token = _autocast.set(dtype)
    try:
        yield
    finally:
        _autocast.reset(token)


def autocast_dtype() -> str | None:
    """What float variables are read as here; None as they are."""
    return _autocast.get()


_changes = itertools.count(1)
_last_change = 0


def note_structure_change() -> None:
    """Says that variables, or what holds them, are no longer those that they were."""
    global _last_change
    _last_change = next(_changes)


def structure_version() -> int:
    """A number that grows whenever a variable is made, begins or ceases to be trainable, or is added to a layer or taken from one."""
    return _last_change


class Variable(TensorBase):
    """A tensor whose value can be changed.

    Args:
        initializer: a callable `(shape, dtype=...)`, or an initial value.
        shape: shape, needed for a callable.
        dtype: Keras dtype name; by default that of the value where it has one, else floatx.
        trainable: whether optimizers change it.
        autocast: whether reads are cast inside a layer of a mixed-precision policy.
        aggregation: kept for compatibility with Keras: "none", "mean", "sum" or "only_first_replica".
        synchronization: kept for compatibility with Keras.
        name: name without '/'; made automatically where None.

    Example:

    >>> v = Variable([1.0, 2.0], name="v")
    >>> _ = v.assign_add([1.0, 1.0])
    >>> v.numpy().tolist()
    [2.0, 3.0]
    """

    def __init__(
        self,
        initializer,
        shape=None,
        dtype=None,
        trainable=True,
        autocast=True,
        aggregation="none",
        synchronization="auto",
        name=None,
    ):
        name = name or auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ArgumentError("A variable's name must be a string without '/'.", got=f"name={name!r}", mend="choose another name")
        if aggregation not in (None, "none", "mean", "sum", "only_first_replica"):
            raise ArgumentError(
                "Invalid value for argument `aggregation`.",
                got=repr(aggregation),
                expected="None, 'none', 'mean', 'sum' or 'only_first_replica'",
            )
        self._name = name
        parent = current_path()
        self._path = f"{parent}/{name}" if parent else name
        self._trainable = bool(trainable)
        self._autocast = bool(autocast)
        self._aggregation = aggregation or "none"
        self._synchronization = synchronization
        self._regularizer = None
        self._constraint = None
        self.overwrite_with_gradient = False
        self._lock = threading.Lock()
        if callable(initializer) and not isinstance(initializer, TensorBase):
            if shape is None:
                raise ArgumentError(
                    "When creating a Variable from an initializer, the `shape` argument should be specified.",
                    got=f"initializer={initializer!r} and shape=None",
                    mend="pass shape=(...)",
                )
            self._dtype = dtype_name(dtype) if dtype is not None else floatx()
            shape = tuple(int(d) for d in shape)
            with outside():
                value = initializer(shape, dtype=self._dtype)
        else:
            value = initializer
            if dtype is None:
                dtype = getattr(initializer, "dtype", None)
            self._dtype = dtype_name(dtype) if dtype is not None else floatx()
        with outside():
            array = self._as_array(value)
        if shape is not None and array.shape != tuple(shape):
            raise ShapeError(
                f"Variable '{name}': the initial value has another shape.",
                got=f"value of shape {array.shape}",
                expected=f"shape {tuple(shape)}",
            )
        self._adopt(array)
        note_structure_change()

    def _as_array(self, value) -> np.ndarray:
        value = value.value if isinstance(value, Variable) else value
        if isinstance(value, SymbolicTensor):
            value.numpy()
        source = value.array if isinstance(value, Tensor) else Tensor(value).array
        array = aligned_empty(source.shape, numpy_dtype(self._dtype))
        np.copyto(array, source, casting="unsafe")
        return array

    def _adopt(self, array: np.ndarray) -> None:
        self._array = array
        self.address = array.ctypes.data
        self._shared = False

    def buffer(self) -> np.ndarray:
        """The array that holds the value, for reading: C-contiguous, on a cache line."""
        return self._array

    def writable_buffer(self) -> np.ndarray:
        """The array that holds the value, for writing in place: nobody else sees it change."""
        if self._shared:
            with self._lock:
                array = aligned_empty(self._array.shape, self._array.dtype)
                np.copyto(array, self._array)
                self._adopt(array)
        return self._array

    @property
    def value(self) -> Tensor | SymbolicTensor:
        """The value: a symbolic tensor inside a trace, else an eager tensor that later writes do not change."""
        stateless = get_stateless_scope()
        scope = current_scope()
        tensor = stateless.get_current_value(self) if stateless is not None else None
        if tensor is None:
            if scope is not None:
                tensor = SymbolicTensor.wrap(scope.read(self))
            else:
                self._shared = True
                tensor = Tensor.wrap(self._array)
        for recorder in recorders():
            recorder.saw_variable(self, tensor)
        dtype = _autocast.get()
        if dtype is not None and self._autocast and dtype != self._dtype and is_float(self._dtype):
            return apply("cast", tensor, dtype=dtype)
        return tensor

    def assign(self, value):
        """Sets the value (cast to the variable's dtype) and returns it.

        Raises:
            ShapeError: where the shape differs from the variable's.
        """
        scope, stateless = current_scope(), get_stateless_scope()
        if stateless is not None:
            tensor = self.as_value_of(value)
            stateless.add_update((self, tensor))
            return tensor
        if scope is None:
            array = self._as_array(value)
            if array.shape != self.shape:
                self._wrong_shape(array.shape)
            self._adopt(array)
            return self.value
        tensor = self.as_value_of(value)
        scope.assign(self, as_value(tensor))
        return tensor

    def assign_zeros(self) -> None:
        """Sets all elements to zero. Other than `assign` it returns nothing, so that the buffer may stay where it is."""
        if current_scope() is not None or get_stateless_scope() is not None:
            self.assign(np.zeros(self.shape, numpy_dtype(self._dtype)))
            return
        if self._shared:
            self._adopt(aligned_empty(self._array.shape, self._array.dtype))
        self._array.fill(0)

    def as_value_of(self, value) -> Tensor | SymbolicTensor:
        """`value` as a tensor of this variable's dtype; raises ShapeError where it has another shape."""
        tensor = convert_to_tensor(value, self._dtype)
        if tensor.spec.shape != self.shape:
            self._wrong_shape(tensor.spec.keras_shape)
        return tensor

    def _wrong_shape(self, shape):
        raise ShapeError(
            "The shape of the target variable and the shape of the target value in `variable.assign(value)` must match.",
            got=f"a value of shape {shape} for variable '{self.path}'",
            expected=f"shape {self.shape}",
            mend="reshape the value, or build the layer for another shape",
        )

    def assign_add(self, value):
        """Adds to the value."""
        return self.assign(apply("add", self._uncast(), convert_to_tensor(value, self._dtype)))

    def assign_sub(self, value):
        """Subtracts from the value."""
        return self.assign(apply("subtract", self._uncast(), convert_to_tensor(value, self._dtype)))

    def _uncast(self):
        with autocast_scope(None):
            return self.value

    def numpy(self) -> np.ndarray:
        """A copy of the value as a NumPy array."""
        return self._uncast().numpy()

    @property
    def shape(self) -> tuple:
        return self._array.shape

    @property
    def dtype(self) -> str:
        """The dtype reads have (the mixed-precision one inside an autocasting layer)."""
        dtype = _autocast.get()
        return dtype if dtype is not None and self._autocast and is_float(self._dtype) else self._dtype

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self._array.shape, self._dtype)

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def name(self) -> str:
        return self._name

    @property
    def path(self) -> str:
        return self._path

    @path.setter
    def path(self, path: str):
        self._path = path

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = bool(value)
        note_structure_change()

    @property
    def aggregation(self):
        return self._aggregation

    @property
    def synchronization(self):
        return self._synchronization

    @property
    def regularizer(self):
        return self._regularizer

    @regularizer.setter
    def regularizer(self, value):
        if value is not None and not callable(value):
            raise ArgumentError("A regularizer must be callable.", got=repr(value), expected="a callable or None")
        self._regularizer = value

    @property
    def constraint(self):
        return self._constraint

    @constraint.setter
    def constraint(self, value):
        if value is not None and not callable(value):
            raise ArgumentError("A constraint must be callable.", got=repr(value), expected="a callable or None")
        self._constraint = value

    def __array__(self, dtype=None, copy=None):
        return self.value.__array__(dtype, copy)

    def __float__(self):
        return float(self.value)

    def __int__(self):
        return int(self.value)

    def __bool__(self):
        return bool(self.value)

    def __index__(self):
        return self.value.__index__()

    def __len__(self):
        return len(self.value)

    def __iter__(self):
        return iter(self.value)

    def __format__(self, spec):
        return format(self.value, spec)

    def __deepcopy__(self, memo):
        copy = Variable(self._array, dtype=self._dtype, trainable=self._trainable, autocast=self._autocast, name=self._name)
        copy._path, copy._regularizer, copy._constraint = self._path, self._regularizer, self._constraint
        memo[id(self)] = copy
        return copy

    def __repr__(self):
        shown = ""
        if current_scope() is None:
            shown = f", value={np.array2string(self._array, separator=', ', threshold=20)}"
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}{shown}>"
