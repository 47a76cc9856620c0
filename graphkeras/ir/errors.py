"""Errors with four parts: what was got, what was expected, where, and how to mend it."""


class GraphKerasError(Exception):
    """Base of all errors that graphkeras raises on purpose.

    Args:
        summary: one line that says what is wrong.
        got: what was given (specs, values).
        expected: what would have been right.
        where: layer, node and the user's line; by default the origin that is current when the error is made.
        mend: what to do about it.
    """

    def __init__(self, summary: str, *, got: str = "", expected: str = "", where: str = "", mend: str = ""):
        if not where:
            from graphkeras.ir.origin import current_origin

            where = str(current_origin())
        self.summary, self.got, self.expected, self.where, self.mend = summary, got, expected, where, mend
        parts = [("got", got), ("expected", expected), ("where", where), ("mend", mend)]
        super().__init__("\n".join([summary] + [f"  {name + ':':<9} {text}" for name, text in parts if text]))


class ShapeError(GraphKerasError, ValueError):
    """Shapes do not fit."""


class DTypeError(GraphKerasError, TypeError, ValueError):
    """An element type is unknown or does not fit."""


class ArgumentError(GraphKerasError, ValueError):
    """An argument has a value that is not allowed."""


class UnknownNameError(GraphKerasError, ValueError):
    """A name (of a loss, layer, op ...) is not known."""


class TraceError(GraphKerasError, TypeError):
    """A symbolic tensor was used where a value is needed."""


class GraphError(GraphKerasError, ValueError):
    """A graph breaks the rules of the IR."""


class GradientError(GraphKerasError, ValueError):
    """A gradient does not exist or cannot be formed."""


class DataError(GraphKerasError, ValueError):
    """Training data, labels or indices are out of range, empty or of unequal lengths."""


class LoweringError(GraphKerasError, NotImplementedError):
    """An op has no compiled form for these inputs."""
