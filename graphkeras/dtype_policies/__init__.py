"""Dtype policies of layers."""

from graphkeras.dtype_policies.dtype_policy import DTypePolicy, FloatDTypePolicy, dtype_policy, set_dtype_policy
from graphkeras.ir.dtypes import dtype_name
from graphkeras.ir.errors import DTypeError, UnknownNameError


def serialize(dtype_policy):
    """The config of a policy, as a dictionary."""
    from graphkeras.saving import serialize_keras_object

    return serialize_keras_object(dtype_policy)


def deserialize(config, custom_objects=None):
    """The policy of a config."""
    from graphkeras.saving import deserialize_keras_object

    return deserialize_keras_object(config, custom_objects=custom_objects)


def get(identifier):
    """A policy from a policy, its name, a dtype or a config; None means the global policy."""
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return DTypePolicy(identifier)
    try:
        return DTypePolicy(dtype_name(identifier))
    except DTypeError:
        raise UnknownNameError(
            "Cannot interpret `dtype` argument.",
            got=f"dtype={identifier!r} (of type {type(identifier)})",
            expected="a dtype name, an instance of `DTypePolicy` or its config",
        ) from None


__all__ = ["DTypePolicy", "FloatDTypePolicy", "deserialize", "dtype_policy", "get", "serialize", "set_dtype_policy"]
