"""Objects become configs (plain dictionaries, Keras's form) and configs become objects."""

import contextvars
import importlib
import inspect
import types
import warnings

import numpy as np

from graphkeras.ir.dtypes import dtype_name, numpy_dtype
from graphkeras.ir.errors import ArgumentError, UnknownNameError
from graphkeras.saving.object_registration import CustomObjectScope, get_registered_name, get_registered_object
from graphkeras.trace import SymbolicTensor, Tensor, Variable

_PLAIN = (str, int, float, bool)
# Where built-in functions named in a config are looked for.
_FUNCTION_MODULES = ("activations", "losses", "metrics", "initializers", "regularizers", "constraints", "ops")
# Public folders whose classes may be built from a config; others (datasets, utils ...) never are.
_CLASS_MODULES = (
    "activations", "constraints", "dtype_policies", "initializers", "layers", "losses", "metrics", "models", "ops", "optimizers",
    "optimizers.schedules", "random", "regularizers",
)  # fmt: skip
_safe_mode: contextvars.ContextVar[bool | None] = contextvars.ContextVar("graphkeras_safe_mode", default=None)
_settings = {"unsafe": False}


class SafeModeScope:
    """Inside the scope, reading Python lambdas from configs is refused (True) or allowed (False)."""

    def __init__(self, safe_mode=True):
        self.safe_mode = safe_mode

    def __enter__(self):
        self._token = _safe_mode.set(self.safe_mode)

    def __exit__(self, *args):
        _safe_mode.reset(self._token)


def enable_unsafe_deserialization():
    """Allows configs with Python lambdas everywhere: only for configs that you trust."""
    _settings["unsafe"] = True


def in_safe_mode():
    """Whether lambdas in configs are refused here; None where nothing was said."""
    return False if _settings["unsafe"] else _safe_mode.get()


def public_module(cls) -> str | None:
    """The module a built-in class has in configs, such as "keras.layers"; None for classes of other packages."""
    parts = cls.__module__.split(".")
    if parts[0] != "graphkeras":
        return None
    if parts[1] in ("models", "dtype_policies", "trace"):
        return "keras" if cls.__name__ in ("Sequential", "Model", "DTypePolicy", "Variable") else f"keras.src.{'.'.join(parts[1:])}"
    return "keras.optimizers.schedules" if parts[1:3] == ["optimizers", "schedules"] else f"keras.{parts[1]}"


def serialize_keras_object(obj):
    """The config of an object.

    Args:
        obj: a layer, model, initializer, function, tensor, or nested lists, tuples and dictionaries of them.

    Returns:
        A dictionary of plain values that `deserialize_keras_object` reads.

    Example:

    >>> from graphkeras.initializers import Constant
    >>> serialize_keras_object(Constant(0.5))["config"]
    {'value': 0.5}
    """
    if obj is None or isinstance(obj, _PLAIN):
        return obj
    if isinstance(obj, list):
        return [serialize_keras_object(x) for x in obj]
    if isinstance(obj, tuple):
        return tuple(serialize_keras_object(x) for x in obj)
    if isinstance(obj, dict):
        return serialize_dict(obj)
    special = _serialize_special(obj)
    if special is not None:
        return special["plain"] if "plain" in special else special
    if isinstance(obj, types.FunctionType) or inspect.isbuiltin(obj):
        return _serialize_function(obj)
    return _serialize_instance(obj)


def serialize_dict(obj):
    """A dictionary with its values serialized."""
    return {key: serialize_keras_object(value) for key, value in obj.items()}


def _serialize_special(obj):
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if isinstance(obj, slice):
        return {
            "class_name": "__slice__",
            "config": {k: serialize_keras_object(getattr(obj, k)) for k in ("start", "stop", "step")},
        }
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, SymbolicTensor):
        history = obj._keras_history
        history = [history.operation.name, history.node_index, history.tensor_index] if history else None
        return {"class_name": "__keras_tensor__", "config": {"shape": obj.shape, "dtype": obj.dtype, "keras_history": history}}
    if isinstance(obj, (Tensor, Variable)):
        return {"class_name": "__tensor__", "config": {"value": obj.numpy().tolist(), "dtype": obj.dtype}}
    if isinstance(obj, np.ndarray) and obj.ndim:
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": dtype_name(obj.dtype)}}
    if isinstance(obj, (np.ndarray, np.generic)):
        return {"plain": obj.item()}
    if isinstance(obj, (np.dtype, type)) and not inspect.isclass(getattr(obj, "get_config", None)):
        if isinstance(obj, np.dtype) or issubclass(obj, np.generic):
            return {"plain": dtype_name(obj)}
    if isinstance(obj, types.FunctionType) and obj.__name__ == "<lambda>":
        warnings.warn(
            "The object being serialized includes a `lambda`. This is unsafe: whoever reads it back runs its code, and has to "
            "pass `safe_mode=False`. Use named functions instead.",
            stacklevel=4,
        )
        from graphkeras.saving.function_code import dump_function

        return {"class_name": "__lambda__", "config": {"value": dump_function(obj)}}
    return None


def _serialize_function(function):
    name = get_registered_name(function)
    module = "builtins" if (function.__module__ or "").startswith("graphkeras") else function.__module__
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _serialize_instance(obj):
    cls = type(obj)
    if inspect.isclass(obj) or not hasattr(obj, "get_config"):
        raise ArgumentError(
            f"Cannot serialize object {obj!r} of type {cls}.",
            got=f"an object of class {cls.__name__}",
            expected="an object with a `get_config()` method, or a function",
            mend="write get_config(), which returns the arguments of __init__ as a dictionary",
        )
    inner = obj.get_config()
    if not isinstance(inner, dict):
        raise ArgumentError(
            f"The `get_config()` method of {obj!r} should return a dict.", got=f"{inner!r} of type {type(inner)}", expected="a dict"
        )
    inner = serialize_dict(inner)
    module = public_module(cls)
    registered = None
    if module is None:
        module = None if cls.__module__ == "__main__" else cls.__module__
        registered = get_registered_name(cls)
    elif module.startswith("keras.src"):
        registered = cls.__name__
    config = {"module": module, "class_name": cls.__name__, "config": inner, "registered_name": registered}
    build = obj.get_build_config() if hasattr(obj, "get_build_config") else None
    if build is not None:
        config["build_config"] = serialize_dict(build)
    compiled = obj.get_compile_config() if hasattr(obj, "get_compile_config") else None
    if compiled is not None:
        config["compile_config"] = serialize_dict(compiled)
    return config


def deserialize_keras_object(config, custom_objects=None, safe_mode=True, **kwargs):
    """The object of a config.

    Args:
        config: what `serialize_keras_object` returned.
        custom_objects: dictionary of names and classes or functions that the config may name.
        safe_mode: whether Python lambdas are refused. Only switch it off for configs that you trust.

    Returns:
        The object.

    Example:

    >>> from graphkeras.initializers import Constant
    >>> deserialize_keras_object(serialize_keras_object(Constant(0.5))).value
    0.5
    """
    module_objects = kwargs.pop("module_objects", None)
    said = in_safe_mode()
    safe_mode = said if said is not None else safe_mode
    if config is None or isinstance(config, (int, float, bool)):
        return config
    if isinstance(config, (list, tuple)):
        return type(config)(deserialize_keras_object(x, custom_objects, safe_mode) for x in config)
    if isinstance(config, str):
        found = get_registered_object(config, custom_objects, module_objects)
        if found is None:
            return config
        return found() if inspect.isclass(found) else found
    if not isinstance(config, dict):
        raise ArgumentError(
            f"Could not parse config: {config}", got=f"an object of type {type(config)}", expected="a config dictionary"
        )
    if "class_name" not in config or "config" not in config:
        return {key: deserialize_keras_object(value, custom_objects, safe_mode) for key, value in config.items()}
    if config["class_name"].startswith("__"):
        return _deserialize_special(config, custom_objects, safe_mode)
    if config["class_name"] == "function":
        return _find(config["config"], config, custom_objects, module_objects, function=True)
    return _deserialize_instance(config, custom_objects, module_objects, safe_mode)


def _deserialize_special(config, custom_objects, safe_mode):
    kind, inner = config["class_name"], config["config"]
    if kind == "__keras_tensor__":
        return SymbolicTensor(inner["shape"], dtype=inner["dtype"])
    if kind == "__tensor__":
        return Tensor(inner["value"], inner["dtype"])
    if kind == "__numpy__":
        return np.array(inner["value"], dtype=numpy_dtype(inner["dtype"]))
    if kind == "__bytes__":
        return inner["value"].encode("utf-8")
    if kind == "__ellipsis__":
        return Ellipsis
    if kind == "__slice__":
        return slice(*(deserialize_keras_object(inner[k], custom_objects, safe_mode) for k in ("start", "stop", "step")))
    if kind == "__lambda__":
        if safe_mode:
            raise ArgumentError(
                "Requested the deserialization of a Python lambda, which may run arbitrary code and is disallowed by default.",
                got="a config with a `lambda`",
                expected="named functions",
                mend="if you trust the source, pass `safe_mode=False` or call config.enable_unsafe_deserialization()",
            )
        from graphkeras.saving.function_code import load_function

        return load_function(inner["value"])
    raise UnknownNameError(f"Unknown kind of config '{kind}'.", got=kind, expected="__tensor__, __numpy__, __slice__, ...")


def _deserialize_instance(config, custom_objects, module_objects, safe_mode):
    name, inner = config["class_name"], config["config"] or {}
    cls = _find(name, config, custom_objects, module_objects, function=False)
    if isinstance(cls, types.FunctionType):
        return cls
    if not hasattr(cls, "from_config"):
        raise ArgumentError(
            f"Unable to reconstruct an instance of '{name}' because the class is missing a `from_config()` method.",
            got=f"class {cls!r}",
            expected="a class with from_config()",
        )
    with CustomObjectScope(custom_objects), SafeModeScope(safe_mode):
        try:
            instance = cls.from_config(inner)
        except TypeError as error:
            raise ArgumentError(
                f"{cls} could not be deserialized properly: {error}",
                got=f"config={inner}",
                expected="a config whose entries are arguments of __init__",
                mend="deserialize objects that get_config() returns (layers, models, ...) in the class's own from_config()",
            ) from error
        build_config = config.get("build_config")
        if build_config and not instance.built:
            instance.build_from_config(build_config)
        compile_config = config.get("compile_config")
        if compile_config:
            instance.compile_from_config(compile_config)
    return instance


def _find(name, config, custom_objects, module_objects, function):
    kind = "function" if function else "class"
    key = name if function else config.get("registered_name") or name
    found = get_registered_object(key, custom_objects, module_objects)
    if found is None and key != name:
        found = get_registered_object(name, custom_objects, module_objects)
    if found is None:
        module = config.get("module") or ""
        if module == "builtins" and function:
            found = _first(name, _FUNCTION_MODULES)
        elif module.split(".")[0] in ("keras", "graphkeras"):
            found = _builtin(module, name)
        elif not module and not function:
            found = _first(name, _CLASS_MODULES)
    if found is not None:
        return found
    raise UnknownNameError(
        f"Could not locate {kind} '{name}'.",
        got=f"module={config.get('module')!r}, registered_name={config.get('registered_name')!r}",
        expected=f"a built-in, or a {kind} that was registered before",
        mend="decorate it with @keras.saving.register_keras_serializable(), import it before loading, or pass custom_objects",
    )


def _first(name, modules):
    for module in modules:
        found = _public_attribute(module, name)
        if found is not None:
            return found
    return None


def _builtin(module, name):
    parts = [p for p in module.split(".")[1:] if p != "src"]
    if not parts:
        return _first(name, _CLASS_MODULES)
    if parts[0] not in _CLASS_MODULES:
        return None
    return _public_attribute(".".join(parts[:2]) if parts[:2] == ["optimizers", "schedules"] else parts[0], name)


def _public_attribute(module, name):
    try:
        found = getattr(importlib.import_module(f"graphkeras.{module}"), name, None)
    except ModuleNotFoundError:
        return None
    return found if callable(found) else None
