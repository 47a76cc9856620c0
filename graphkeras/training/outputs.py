"""How what users give per output (losses, metrics, weights, targets) is matched to the outputs of a model."""

from graphkeras.ir.errors import ArgumentError
from graphkeras.trace import tree


class Outputs:
    """The outputs of a model, flat.

    Args:
        y_pred: what the model returned.
        output_names: names of the outputs of a functional model, in flat order, or None.

    Attributes:
        count: number of outputs.
        names: names in flat order; None where outputs have none.
    """

    def __init__(self, y_pred, output_names=None):
        self.structure = tree.map_structure(lambda _: None, y_pred)
        self.count = len(tree.flatten(y_pred))
        self.model_names = list(output_names or ())
        if isinstance(y_pred, dict) and len(y_pred) == self.count:
            self.names = tree.flatten({key: key for key in y_pred})
        elif len(self.model_names) == self.count:
            self.names = self.model_names
        else:
            self.names = [None] * self.count

    def flat(self, given, what: str, *, partial=False) -> list:
        """`given` as a list with one entry per output.

        Args:
            given: one entry (for all outputs), a list or tuple with one entry per output, a dict from names of outputs, or the
                structure of the outputs.
            what: name of the argument, for errors.
            partial: whether a dict may leave outputs out.
        """
        if not tree.is_nested(given):
            return [given] * self.count
        if isinstance(given, dict):
            names = self.names if None not in self.names else self.model_names
            if names and (set(given) == set(names) or (partial and set(given) <= set(names))):
                return [given.get(name) for name in names]
            expected = f"keys from {names}" if names else "a list: the outputs have no names"
            raise self._mismatch(given, what, f"the keys {list(given)}", expected)
        if len(given) == self.count:
            entries = list(given)
            if not any(tree.is_nested(entry) for entry in entries) or not tree.is_nested(self.structure):
                return entries
        flat = tree.flatten(given)
        if len(flat) == self.count:
            return flat
        raise self._mismatch(given, what, f"{len(given)} entries", f"{self.count} entries, one per output")

    def _mismatch(self, given, what, got, expected):
        names = ", ".join(map(str, self.names)) if None not in self.names else f"{self.count} without names"
        return ArgumentError(
            f"`{what}` does not match the outputs of the model.",
            got=f"{what}={_short(given)}: {got}",
            expected=f"{expected} (outputs: {names})",
            mend=f"pass {what} as a list with one entry per output, or as a dict from names of outputs",
        )


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
