"""`get` of a family of classes (initializers, regularizers, constraints): from a name, config, class or object."""

import inspect

from graphkeras.ir.errors import UnknownNameError
from graphkeras.saving.serialization_lib import deserialize_keras_object
from graphkeras.trace.naming import to_snake_case


def named(classes, **aliases) -> dict:
    """The classes under their own names, their names in snake case, and aliases."""
    table = {}
    for cls in classes:
        table[cls.__name__] = cls
        table[to_snake_case(cls.__name__)] = cls
    return {**table, **aliases}


def get_object(kind: str, identifier, table: dict):
    """The object that a config, a name in `table`, a class or a callable stands for.

    Args:
        kind: what the error calls it, e.g. "regularizer".
        identifier: config, name, class, callable or None (returned as it is).
        table: dictionary of names and classes.
    """
    if identifier is None:
        return None
    obj = identifier
    if isinstance(identifier, dict):
        obj = deserialize_keras_object(identifier, module_objects=table)
    elif isinstance(identifier, str):
        found = table.get(identifier)
        obj = found if found is not None else deserialize_keras_object(identifier)
    if inspect.isclass(obj):
        obj = obj()
    if callable(obj):
        return obj
    known = ", ".join(sorted(name for name in table if name.islower()))
    raise UnknownNameError(
        f"Could not interpret {kind} identifier: {identifier}",
        got=repr(identifier),
        expected=f"one of {known}; or an object, a config or a callable",
        mend=f"check the spelling, or register a {kind} of your own with @keras.saving.register_keras_serializable()",
    )
