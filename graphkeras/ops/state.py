"""Reads and writes of variables: a read sees the value before the program runs, writes take effect together at its end."""

from graphkeras.ir.errors import DTypeError, ShapeError
from graphkeras.ir.registry import NoGradient, register_op
from graphkeras.ops.inference import join_dim, show


def _no_flops(*specs, outputs, **attrs):
    return 0


def _assign_infer(value, *, variable):
    target = variable.spec
    if value.dtype != target.dtype:
        raise DTypeError(
            f"assign_variable: {variable.name} holds {target.dtype}, not {value.dtype}.",
            got=show([value]),
            expected=str(target),
            mend="cast the value to the variable's dtype",
        )
    if value.rank != target.rank or any(join_dim(a, b) is None for a, b in zip(value.shape, target.shape)):
        raise ShapeError(
            f"assign_variable: the value does not have the shape of {variable.name}.",
            got=show([value]),
            expected=str(target),
            mend="reshape or broadcast the value first",
        )
    return target


register_op(
    "read_variable",
    kind="state",
    infer=lambda *, variable: variable.spec,
    eager=lambda *, variable: variable.variable.buffer(),
    vjp=NoGradient("it has no inputs", zero=True),
    cost=_no_flops,
    effects=("read",),
)
register_op(
    "assign_variable",
    kind="state",
    infer=_assign_infer,
    vjp=NoGradient("writing a variable is not differentiable"),
    cost=_no_flops,
    effects=("write",),
)
