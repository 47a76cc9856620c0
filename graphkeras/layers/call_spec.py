"""The arguments of one layer call, by name, and the shapes `build()` gets from them."""

import functools
import inspect

from graphkeras.ir.errors import ArgumentError
from graphkeras.trace import tree
from graphkeras.trace.base import TensorBase


@functools.cache
def signature_of(function):
    """The signature of a method, without `self`."""
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def is_tensor_structure(value) -> bool:
    """True for a tensor, or a nested structure that holds one and nothing but tensors and Nones."""
    if isinstance(value, TensorBase):
        return True
    if not isinstance(value, (list, tuple, dict)):
        return False
    leaves = tree.flatten(value)
    return any(isinstance(x, TensorBase) for x in leaves) and all(x is None or isinstance(x, TensorBase) for x in leaves)


class CallSpec:
    """Arguments of a call bound to the names of `call()`.

    Args:
        layer: the layer that is called.
        args, kwargs: its arguments.

    Attributes:
        given: arguments that were passed, by name.
        values: the same with the defaults of the signature, by name.
        tensors: those that are tensors or structures of tensors.
        first: value of the first argument, None where there is none.
    """

    def __init__(self, layer, args, kwargs):
        signature = signature_of(type(layer).call)
        bound_kwargs = kwargs
        if "training" in kwargs and "training" not in signature.parameters:
            # Every layer may be called with `training`; those without the argument pass it on to the layers inside.
            bound_kwargs = {k: v for k, v in kwargs.items() if k != "training"}
        try:
            bound = signature.bind(*args, **bound_kwargs)
        except TypeError as error:
            raise CallArgumentError(
                f"Layer '{layer.name}' ({type(layer).__name__}) was called with arguments that do not fit call(): {error}",
                got=f"{len(args)} positional arguments and keywords {sorted(bound_kwargs)}",
                expected=f"call{signature}",
                mend="pass the tensors first and every option by its name",
            ) from None
        self.given = dict(bound.arguments)
        for name, parameter in signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD and name in self.given:
                self.given.update(self.given.pop(name))
        if "training" in kwargs:
            self.given["training"] = kwargs["training"]
        bound.apply_defaults()
        self.values = {**bound.arguments, **self.given}
        self.parameters = signature.parameters
        self.tensors = {name: value for name, value in self.values.items() if is_tensor_structure(value)}
        self.first = next(iter(bound.arguments.values()), None)


class CallArgumentError(ArgumentError, TypeError):
    """A layer was called with arguments that its `call()` does not take."""


def shape_of(x):
    """The Keras shape of a tensor, None for None."""
    return None if x is None else tuple(x.shape)


def build_arguments(layer, spec: CallSpec) -> dict:
    """The keyword arguments for `layer.build`: one shape, or `<argument>_shape` for each argument build asks for."""
    shapes = {f"{name}_shape": tree.map_structure(shape_of, value) for name, value in spec.tensors.items()}
    wanted = list(signature_of(type(layer).build).parameters.values())
    if not wanted:
        return {}
    named = [p for p in wanted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if len(named) == 1:
        name = named[0].name
        if name in shapes:
            return {name: shapes[name]}
        first = next((v for v in spec.tensors.values()), spec.first)
        return {name: tree.map_structure(shape_of, first) if is_tensor_structure(first) else None}
    arguments = {}
    for parameter in named:
        name = parameter.name
        if name in shapes:
            arguments[name] = shapes[name]
        elif not name.endswith("_shape") or name[: -len("_shape")] not in spec.parameters:
            raise ArgumentError(
                "For a `build()` method with more than one argument, all arguments should have a `_shape` suffix and match an "
                f"argument from `call()`. E.g. `build(self, foo_shape, bar_shape)`. For layer '{layer.name}', expected `call()` to "
                f"have argument `{name.removesuffix('_shape')}`.",
                got=f"build() with arguments {[p.name for p in named]}",
                expected=f"names among {[f'{p}_shape' for p in spec.parameters]}",
                mend="rename the arguments of build()",
            )
        elif parameter.default is inspect.Parameter.empty:
            arguments[name] = None
    return arguments


__all__ = ["CallArgumentError", "CallSpec", "build_arguments", "is_tensor_structure", "shape_of", "signature_of"]
