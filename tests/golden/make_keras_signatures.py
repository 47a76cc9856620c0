"""Writes keras_signatures.json: the signature of every public callable of Keras, as the tests compare ours with them.

Needs Keras with a backend (extra `oracle`):  python tests/golden/make_keras_signatures.py
"""

import inspect
import json
from pathlib import Path

import keras

MODULES = (
    "ops", "ops.numpy", "ops.nn", "ops.linalg", "ops.image", "random", "layers", "losses", "metrics", "optimizers",
    "optimizers.schedules", "callbacks", "initializers", "activations", "regularizers", "constraints", "utils", "models",
)  # fmt: skip


def describe(thing):
    """The parameters as [name, kind, default] (repr of the default, null where there is none)."""
    signature = inspect.signature(thing)
    return [
        [p.name, p.kind.name, None if p.default is inspect.Parameter.empty else repr(p.default)]
        for p in signature.parameters.values()
    ]


def module_of(path):
    module = keras
    for part in path.split("."):
        module = getattr(module, part)
    return module


def main():
    found = {"version": keras.__version__}
    for path in MODULES:
        names = {}
        module = module_of(path)
        for name in sorted(dir(module)):
            thing = getattr(module, name)
            if name.startswith("_") or not callable(thing):
                continue
            try:
                names[name] = describe(thing)
            except (TypeError, ValueError):
                names[name] = None
        found[path] = names
    Path(__file__).with_name("keras_signatures.json").write_text(json.dumps(found, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
