"""Nested structures of lists, tuples, named tuples and dicts (in the order of their sorted keys); None is a leaf."""

import itertools
import operator
from collections.abc import Callable, Mapping, Sequence

from graphkeras.ir.errors import ArgumentError


def is_nested(structure) -> bool:
    """True for lists, tuples and dicts."""
    return isinstance(structure, (list, tuple, Mapping))


def _sorted_keys(structure: Mapping):
    try:
        return sorted(structure)
    except TypeError:
        return sorted(structure, key=str)


def flatten(structure) -> list:
    """The leaves in a fixed order.

    >>> flatten({"b": 1, "a": [2, (3,)]})
    [2, 3, 1]
    """
    if isinstance(structure, Mapping):
        return [leaf for key in _sorted_keys(structure) for leaf in flatten(structure[key])]
    if isinstance(structure, (list, tuple)):
        return [leaf for item in structure for leaf in flatten(item)]
    return [structure]


def _rebuild(structure, items):
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*items)
    return tuple(items) if isinstance(structure, tuple) else list(items)


def map_structure(function: Callable, structure, *others):
    """The structure with `function` applied to its leaves (and to the leaves of others of the same structure)."""
    if isinstance(structure, Mapping):
        for other in others:
            if not isinstance(other, Mapping) or set(other) != set(structure):
                _mismatch(structure, other)
        items = {key: map_structure(function, structure[key], *(o[key] for o in others)) for key in _sorted_keys(structure)}
        return type(structure)((key, items[key]) for key in structure)
    if isinstance(structure, (list, tuple)):
        for other in others:
            if not isinstance(other, (list, tuple)) or len(other) != len(structure):
                _mismatch(structure, other)
        return _rebuild(structure, [map_structure(function, *items) for items in zip(structure, *others, strict=True)])
    return function(structure, *others)


def _mismatch(structure, other):
    raise ArgumentError(
        "Two structures differ.",
        got=f"{_outline(other)}",
        expected=f"{_outline(structure)}",
        mend="pass nested lists, tuples and dicts of the same form",
    )


def _outline(structure):
    if isinstance(structure, Mapping):
        return "{" + ", ".join(f"{k!r}: {_outline(structure[k])}" for k in _sorted_keys(structure)) + "}"
    if isinstance(structure, (list, tuple)):
        return ("[%s]" if isinstance(structure, list) else "(%s)") % ", ".join(map(_outline, structure))
    return "."


def assert_same_structure(a, b) -> None:
    """Raises ArgumentError where two structures differ."""
    map_structure(lambda x, y: None, a, b)


def pack_sequence_as(structure, flat_sequence):
    """The structure with its leaves replaced, in the order of `flatten`.

    >>> pack_sequence_as({"b": 0, "a": [0]}, [1, 2])
    {'b': 2, 'a': [1]}
    """
    flat_sequence = list(flat_sequence)
    expected = len(flatten(structure))
    if len(flat_sequence) != expected:
        raise ArgumentError(
            "The flat sequence does not fit the structure.",
            got=f"{len(flat_sequence)} leaves",
            expected=f"{expected} leaves",
        )
    leaves = iter(flat_sequence)
    return map_structure(lambda _: next(leaves), structure)


def packer(structure) -> Callable[[Sequence], object]:
    """A quick `pack_sequence_as` for one structure: a function from its leaves but the Nones, flat, to the structure.

    >>> packer({"b": 0, "a": [0, None]})([1, 2])
    {'b': 2, 'a': [1, None]}
    """
    return _packer(structure, itertools.count())


def _packer(structure, places):
    if structure is None:
        return lambda values: None
    if isinstance(structure, Mapping):
        items = {key: _packer(structure[key], places) for key in _sorted_keys(structure)}
        ordered = [(key, items[key]) for key in structure]
        if type(structure) is dict:
            return lambda values: {key: item(values) for key, item in ordered}
        return lambda values: type(structure)((key, item(values)) for key, item in ordered)
    if isinstance(structure, (list, tuple)):
        items = [_packer(item, places) for item in structure]
        return lambda values: _rebuild(structure, [item(values) for item in items])
    return operator.itemgetter(next(places))


def map_shape_structure(function: Callable, structure):
    """Like `map_structure`, where a tuple or list of ints and Nones is a leaf (a shape)."""
    if isinstance(structure, (list, tuple)) and all(e is None or isinstance(e, int) for e in structure):
        return function(tuple(structure))
    if isinstance(structure, Mapping):
        return {key: map_shape_structure(function, value) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        return _rebuild(structure, [map_shape_structure(function, item) for item in structure])
    raise ArgumentError("A structure of shapes holds something else.", got=repr(structure), expected="tuples of ints and None")
