"""Names under which custom classes and functions are found again when a config is read."""

import contextvars
import inspect

from graphkeras.ir.errors import ArgumentError

_CUSTOM_OBJECTS: dict[str, object] = {}
_CUSTOM_NAMES: dict[object, str] = {}
_scopes: contextvars.ContextVar[tuple[dict, ...]] = contextvars.ContextVar("graphkeras_custom_objects", default=())


class CustomObjectScope:
    """Inside the scope, configs may name the given classes and functions.

    Args:
        custom_objects: dictionary of names and objects.

    Example:

    >>> def double(x):
    ...     return 2 * x
    >>> with CustomObjectScope({"double": double}):
    ...     get_registered_object("double") is double
    True
    """

    def __init__(self, custom_objects):
        self.custom_objects = custom_objects or {}
        self._tokens = []

    def __enter__(self):
        self._tokens.append(_scopes.set((*_scopes.get(), dict(self.custom_objects))))
        return self

    def __exit__(self, *args):
        _scopes.reset(self._tokens.pop())


custom_object_scope = CustomObjectScope


def get_custom_objects():
    """The global dictionary of custom objects; what is put into it is found when configs are read."""
    return _CUSTOM_OBJECTS


def register_keras_serializable(package="Custom", name=None):
    """Decorator that registers a class or function, so that configs that name it can be read.

    Args:
        package: package of the name.
        name: name; by default that of the object. The registered name is `"package>name"`.

    Example:

    >>> @register_keras_serializable(package="docs")
    ... class Scale:
    ...     def get_config(self):
    ...         return {}
    >>> get_registered_name(Scale)
    'docs>Scale'
    """

    def decorator(arg):
        if inspect.isclass(arg) and not hasattr(arg, "get_config"):
            raise ArgumentError(
                "Cannot register a class that does not have a get_config() method.",
                got=f"class {arg.__name__}",
                expected="a class with get_config()",
                mend="write get_config(), which returns the arguments of __init__ as a dictionary",
            )
        registered_name = f"{package}>{name if name is not None else arg.__name__}"
        _CUSTOM_OBJECTS[registered_name] = arg
        _CUSTOM_NAMES[arg] = registered_name
        return arg

    return decorator


def get_registered_name(obj):
    """The registered name of a class or function, or its own name where it was not registered."""
    return _CUSTOM_NAMES.get(obj, getattr(obj, "__name__", None))


def get_registered_object(name, custom_objects=None, module_objects=None):
    """The class or function of a registered name, or None."""
    for scope in reversed(_scopes.get()):
        if name in scope:
            return scope[name]
    for table in (_CUSTOM_OBJECTS, custom_objects, module_objects):
        if table and name in table:
            return table[name]
    return None
