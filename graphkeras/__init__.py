"""graphkeras: the Keras 3 API on a graph compiler of its own.

Names are imported when they are first used, so that `import graphkeras` is quick.
"""

import importlib

__version__ = "0.1.0"

# Public names and the modules they come from. A module without a list of names is public itself.
_MODULES = (
    "activations", "autodiff", "backend", "callbacks", "config", "constraints", "data", "datasets", "debug", "dtype_policies",
    "initializers", "layers", "losses", "metrics", "models", "ops", "optimizers", "random", "regularizers", "saving", "tf",
    "utils", "visualization",
)  # fmt: skip
_NAMES = {
    "DTypePolicy": "dtype_policies",
    "FloatDTypePolicy": "dtype_policies",
    "GradientTape": "autodiff",
    "Initializer": "initializers",
    "Input": "layers",
    "InputSpec": "layers",
    "KerasTensor": "trace",
    "Layer": "layers",
    "Loss": "losses",
    "Metric": "metrics",
    "Model": "models",
    "Optimizer": "optimizers",
    "Regularizer": "regularizers",
    "RematScope": "autodiff",
    "Sequential": "models",
    "SymbolicTensor": "trace",
    "Tensor": "trace",
    "Variable": "trace",
    "function": "runtime.function",
    "grad": "autodiff",
    "install_as_keras": "keras_alias",
    "name_scope": "trace.naming",
    "remat": "autodiff",
    "tree": "trace",
    "value_and_grad": "autodiff",
}


def version():
    """The version of graphkeras."""
    return __version__


def __getattr__(name):
    if name in _NAMES:
        value = getattr(importlib.import_module(f"graphkeras.{_NAMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"graphkeras.{name}")
    else:
        raise AttributeError(f"module 'graphkeras' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_NAMES, *_MODULES})


__all__ = [*_MODULES, *_NAMES, "version"]
