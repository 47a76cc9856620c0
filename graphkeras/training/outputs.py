"""The outputs of a model, and how what users give per output (losses, metrics, weights, targets) is matched to them."""

from collections.abc import Mapping

from graphkeras.ir.errors import ArgumentError
from graphkeras.trace import tree


class Outputs:
    """The outputs of a model.

    Args:
        y_pred: what the model returned.
        output_names: names of the outputs of a functional model, in flat order, or None.

    Attributes:
        structure: `y_pred` with None as leaves.
        count: number of outputs.
        is_flat: whether it is one list, tuple or dict of outputs.
        model_names: names of the outputs of a functional model, flat; may be empty.
        names: names in flat order; None where outputs have none. The keys of a flat dict win over the model's names.
    """

    def __init__(self, y_pred, output_names=None):
        self.structure = tree.map_structure(lambda _: None, y_pred)
        self.count = len(tree.flatten(y_pred))
        self.model_names = list(output_names or ())
        self.is_flat = tree.is_nested(y_pred) and len(y_pred) == self.count
        if self.is_flat and isinstance(y_pred, Mapping):
            self.names = tree.flatten({key: key for key in y_pred})
        elif len(self.model_names) == self.count:
            self.names = self.model_names
        else:
            self.names = [None] * self.count

    @property
    def key_names(self) -> list[str]:
        """The names that a dict given for flat outputs uses; empty where outputs have none."""
        return [] if None in self.names or (self.count > 1 and not self.is_flat) else self.names

    def by_name(self, given: Mapping, wanted) -> list | None:
        """The entries of a dict in flat order, where its keys are names of outputs that include all `wanted`; else None."""
        for names in (self.key_names, self.model_names):
            if len(names) == self.count and {names[i] for i in wanted} <= set(given):
                return [given.get(name) for name in names]
        return None

    def described(self) -> str:
        """The structure and the names, for errors."""
        shown = tree.map_structure(lambda _: "*", self.structure)
        return f"{shown} (outputs: {self.model_names})" if self.model_names else str(shown)


class PathError(ArgumentError, KeyError):
    """A structure names a place that the outputs do not have."""

    __str__ = Exception.__str__  # KeyError would show the repr


def at(structure, path: tuple):
    """What stands at a path of keys in a nested structure."""
    for key in path:
        structure = structure[key]
    return structure


def taken(structure, given):
    """`given` in the containers of `structure`; keys that `structure` does not have are left out.

    Raises:
        LookupError: where it lacks a place.
    """
    if isinstance(structure, Mapping):
        if not isinstance(given, Mapping):
            raise LookupError
        return {key: taken(item, given[key]) for key, item in structure.items()}
    if isinstance(structure, (list, tuple)):
        if not isinstance(given, (list, tuple)) or len(given) != len(structure):
            raise LookupError
        items = [taken(item, value) for item, value in zip(structure, given)]
        return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)
    if tree.is_nested(given):
        raise LookupError
    return given


def short(value) -> str:
    """The repr, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
