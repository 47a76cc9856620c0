"""The one way from a call of an op to its record: symbolic inputs make a node, eager inputs are computed at once."""

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.errors import ArgumentError
from graphkeras.ir.node import ConstantArray, Value, VariableRef
from graphkeras.ir.registry import DEFAULTS, make_node, op_def
from graphkeras.ir.spec import TensorSpec
from graphkeras.trace.base import TensorBase
from graphkeras.trace.recorders import became_constant, recorders
from graphkeras.trace.stateless import in_stateless_scope
from graphkeras.trace.symbolic import SymbolicTensor
from graphkeras.trace.tensor import Tensor, as_array


def is_tensor(x) -> bool:
    """True for eager and symbolic tensors and variables."""
    return isinstance(x, TensorBase)


def as_tensor(x) -> Tensor | SymbolicTensor:
    """`x` as an eager or symbolic tensor, with no change of dtype. A variable is read."""
    if type(x) is Tensor or type(x) is SymbolicTensor:
        return x
    if isinstance(x, (Tensor, SymbolicTensor)):
        return x
    if isinstance(x, TensorBase):  # a variable: the only other kind of tensor
        value = x.value
        if type(value) is Tensor:
            value._source = x  # so that a functional model that is being built outside a trace reads it anew each time
        return value
    if isinstance(x, Value):
        return SymbolicTensor.wrap(x)
    if isinstance(x, Dim):
        return SymbolicTensor.wrap(Value(make_node("dim", (), {"size": x})))
    if isinstance(x, (list, tuple)) and any(map(_holds_tensor, x)):
        return _stack(x)
    return Tensor.wrap(as_array(x))


def _holds_tensor(x) -> bool:
    return is_tensor(x) or isinstance(x, (Value, Dim)) or (isinstance(x, (list, tuple)) and any(map(_holds_tensor, x)))


def _stack(items):
    parts = [as_tensor(item) for item in items]
    dtype = next(p.dtype for p, item in zip(parts, items, strict=True) if _holds_tensor(item))
    parts = [p if p.dtype == dtype else apply("cast", p, dtype=dtype) for p in parts]
    return apply("concatenate", *(apply("reshape", p, shape=(1, *p.spec.shape)) for p in parts), axis=0)


def as_value(x) -> Value:
    """`x` as a value of a graph; eager tensors become constants, variables are read when the graph runs."""
    tensor = as_tensor(x)
    source = getattr(tensor, "_source", None)
    if source is not None and not in_stateless_scope():
        return Value(make_node("read_variable", (), {"variable": VariableRef(source.path, source.spec, source)}))
    if isinstance(tensor, SymbolicTensor):
        return tensor.value
    node = make_node("constant", (), {"value": ConstantArray(tensor.array)})
    became_constant(node, tensor)
    return Value(node)


def _has_dim(attrs) -> bool:
    return any(isinstance(v, Dim) or (type(v) is tuple and any(isinstance(d, Dim) for d in v)) for v in attrs.values())


def apply(op: str, *inputs, **attrs):
    """Calls an op.

    Args:
        op: name of a registered op.
        *inputs: tensors, variables, or what `as_tensor` takes.
        **attrs: attributes of the op.

    Returns:
        One tensor, or a tuple of them for an op with several outputs: symbolic where any input (or size in `attrs`) is symbolic.
    """
    if op == "read_variable":
        return as_tensor(attrs["variable"].variable)
    if op in DEFAULTS:
        attrs = {**DEFAULTS[op], **attrs}
    for x in inputs:
        if type(x) is not Tensor:
            break
    else:
        if _all_plain(attrs):
            return _eager(op, inputs, attrs, cached=True)
    tensors = [as_tensor(x) for x in inputs]
    if any(type(t) is SymbolicTensor for t in tensors) or _has_dim(attrs):
        node = make_node(op, [as_value(t) for t in tensors], attrs)
        outputs = tuple(SymbolicTensor.wrap(v) for v in node.outputs)
        return outputs if len(outputs) > 1 else outputs[0]
    return _eager(op, tensors, attrs)


_PLAIN = {int, float, bool, str, type(None)}
# Calls that inference has accepted: op, dtypes and shapes of the inputs, and plain attributes -> whether there is a single output.
_accepted: dict[tuple, bool] = {}
_MOST_ACCEPTED = 10_000


def _all_plain(attrs) -> bool:
    """True where attributes are numbers, strings and tuples of them: no sizes, no objects that must not be kept alive."""
    for value in attrs.values():
        kind = type(value)
        if kind not in _PLAIN and not (kind is tuple and all(type(v) in _PLAIN for v in value)):
            return False
    return True


def _has_one_output(record, tensors, attrs) -> bool:
    """Runs inference on eager inputs, which raises the errors of a wrong call."""
    return isinstance(record.infer(*(t.spec for t in tensors), **attrs), TensorSpec)


def _eager(op, tensors, attrs, cached=False):
    record = op_def(op)
    if cached:
        key = (op, *[(t._array.dtype, t._array.shape) for t in tensors], *[(k, type(v), v) for k, v in attrs.items()])
        single = _accepted.get(key)
        if single is None:
            if len(_accepted) >= _MOST_ACCEPTED:
                _accepted.clear()
            single = _accepted[key] = _has_one_output(record, tensors, attrs)
    else:
        single = _has_one_output(record, tensors, attrs)
    if record.eager is None:
        return record.expand(*tensors, **attrs)
    arrays = record.eager(*[t._array for t in tensors], **attrs)
    if single:
        result = Tensor.wrap(arrays if isinstance(arrays, np.ndarray) else np.asarray(arrays))
        outputs = (result,)
    else:
        outputs = tuple([Tensor.wrap(np.asarray(a)) for a in arrays])
        result = outputs if len(outputs) > 1 else outputs[0]
    for recorder in recorders():
        recorder.record(op, attrs, tensors, outputs)
    return result


class _Primitives:
    """`prim.add(x, y)` is `apply("add", x, y)`."""

    def __getattr__(self, name):
        op_def(name)

        def call(*inputs, **attrs):
            return apply(name, *inputs, **attrs)

        call.__name__ = name
        setattr(self, name, call)
        return call


prim = _Primitives()


def convert_to_tensor(x, dtype: str | None = None) -> Tensor | SymbolicTensor:
    """`x` as a tensor, cast to `dtype` where one is given."""
    if dtype is not None and type(x) is not Tensor and not _holds_tensor(x):
        return Tensor.wrap(as_array(x, dtype))
    tensor = as_tensor(x)
    return tensor if dtype is None or tensor.dtype == dtype else apply("cast", tensor, dtype=dtype)


def static_array(x, what: str) -> np.ndarray:
    """The elements of an eager tensor, array or constant; an error that names `what` for a symbolic tensor."""
    if isinstance(x, SymbolicTensor):
        if x.value.node.op == "constant":
            return x.value.node.attrs["value"].array
        raise ArgumentError(f"{what} must be known when the graph is built.", got=repr(x), expected="a number or an eager tensor")
    return as_tensor(x).array
