"""Which accuracy or cross-entropy is meant, by the shapes of targets and predictions."""

from graphkeras.trace.naming import to_snake_case


def kind_of_labels(y_true, y_pred) -> str:
    """"binary", "sparse" (class numbers) or "categorical" (one number per class)."""
    if y_pred.shape[-1] == 1:
        return "binary"
    classes = y_pred.shape[-1]
    rank_true, rank_pred = len(y_true.shape), len(y_pred.shape)
    column = rank_true > 0 and y_true.shape[-1] == 1 and (classes is None or classes > 1)
    return "sparse" if rank_true < rank_pred or column else "categorical"


def name_of(obj) -> str:
    """The name of a function or object, as it appears in the history: that of a function in snake case, "lambda" for a lambda.

    >>> name_of(lambda y_true, y_pred: y_true)
    'lambda'
    """
    return getattr(obj, "name", None) or to_snake_case(getattr(obj, "__name__", None) or type(obj).__name__)
