"""Every function of Keras's operation modules exists, with an equal signature."""

import importlib
import inspect
import json
from pathlib import Path

import pytest

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "keras_signatures.json").read_text())
MODULES = ("ops", "ops.numpy", "ops.nn", "ops.linalg", "ops.image", "random")
# (module, name) -> why we do not have it. A name that is there must not stand here.
MISSING = {}
CASES = [(module, name) for module in MODULES for name in GOLDEN[module] if (module, name) not in MISSING]


def _describe(thing):
    signature = inspect.signature(thing)
    return [
        [p.name, p.kind.name, None if p.default is inspect.Parameter.empty else repr(p.default)]
        for p in signature.parameters.values()
    ]


@pytest.mark.parametrize(("module", "name"), CASES)
def test_signature(module, name):
    thing = getattr(importlib.import_module(f"graphkeras.{module}"), name)
    assert _describe(thing) == GOLDEN[module][name]


def test_missing_names_are_really_missing():
    there = [(m, n) for m, n in MISSING if hasattr(importlib.import_module(f"graphkeras.{m}"), n)]
    assert there == []
    assert all(name in GOLDEN[module] for module, name in MISSING)


@pytest.mark.parametrize("module", MODULES)
def test_public_names_are_those_of_keras(module):
    names = set(importlib.import_module(f"graphkeras.{module}").__all__)
    known = GOLDEN["ops"] if module.startswith("ops") else GOLDEN[module]
    assert names - {"image"} - set(GOLDEN[module]) <= set(known)


@pytest.mark.parametrize("module", MODULES)
def test_every_function_says_what_it_does(module):
    names = [n for m, n in CASES if m == module]
    assert [n for n in names if not inspect.getdoc(getattr(importlib.import_module(f"graphkeras.{module}"), n))] == []
