"""How names, configs, classes and callables become losses, metrics and optimizers."""

import difflib
import inspect
from collections.abc import Callable, Mapping

from graphkeras.ir.errors import ArgumentError, UnknownNameError


def close_names(name: str, known) -> str:
    """The known names that look like `name`, or the first few of all, as text."""
    by_lower = {k.lower(): k for k in sorted(known)}  # small letters win
    close = list(dict.fromkeys(by_lower[n] for n in difflib.get_close_matches(name.lower(), list(by_lower), n=5, cutoff=0.5)))
    if close:
        return "did you mean " + ", ".join(f"'{n}'" for n in close) + "?"
    return "one of " + ", ".join(f"'{n}'" for n in sorted(known)[:40])


def unknown_name(kind: str, name: str, known) -> UnknownNameError:
    """The error for a name that nothing is registered under."""
    return UnknownNameError(
        f"Unknown {kind}: '{name}'.",
        got=repr(name),
        expected=close_names(name, known),
        mend=f"correct the name, pass the {kind} itself, or register your own with register_keras_serializable",
    )


def resolve(identifier, known: Mapping, deserialize: Callable, kind: str):
    """What an identifier stands for: None, a name in `known` or registered by the user, a config, a class or an object."""
    if identifier is None:
        return None
    if isinstance(identifier, Mapping):
        found = deserialize(identifier)
    elif isinstance(identifier, str):
        found = known.get(identifier)
        if found is None:
            found = _registered(identifier)
        if found is None:
            raise unknown_name(kind, identifier, known)
    else:
        found = identifier
    if inspect.isclass(found):
        return found()
    if callable(found):
        return found
    raise ArgumentError(
        f"Could not interpret {kind} identifier: {identifier}",
        got=f"{identifier!r} of type {type(identifier).__name__}",
        expected=f"a name, a config, a callable or an object that is a {kind}",
    )


def _registered(name: str):
    from graphkeras.saving import get_registered_object

    return get_registered_object(name)
