"""Checks of the data against model and losses, before anything is trained."""

import numpy as np

from graphkeras.data.arrays import names_of
from graphkeras.data.packing import unpack_x_y_sample_weight
from graphkeras.ir.errors import DataError
from graphkeras.trace import tree


def check_labels(compile_loss, data) -> None:
    """Raises DataError for class numbers that are NaN, not whole, or outside the classes that the predictions have.

    Args:
        compile_loss: the built `CompileLoss`, or None.
        data: all data or one batch, as nested arrays.
    """
    if compile_loss is None or not compile_loss.built or not compile_loss.classes:
        return
    _, y, _ = unpack_x_y_sample_weight(data)
    if y is None:
        return
    targets = compile_loss.flat_targets(y)
    names = names_of(y, "y")
    if len(names) != len(targets):
        names = [f"y[{i}]" for i in range(len(targets))]
    for index, classes, ignored in compile_loss.classes:
        labels = targets[index]
        if labels is not None and len(labels):
            _check(labels, names[index], classes, ignored)


def _check(labels, name, classes, ignored):
    if labels.dtype.kind == "f":
        bad = ~np.isfinite(labels)
        if bad.any():
            mend = "remove these samples, or fill in their labels"
            raise _error(labels, bad, name, "is not a class number", "whole numbers", mend)
        bad = labels != np.floor(labels)
        if bad.any():
            raise _error(
                labels, bad, name, "is not a class number", "whole numbers", "use categorical_crossentropy for probabilities"
            )
    if not isinstance(classes, int) or labels.dtype.kind not in "iuf":
        return
    # The usual case costs two passes over the labels and no memory.
    if ignored is None and labels.min() >= 0 and labels.max() < classes:
        return
    bad = (labels < 0) | (labels >= classes)
    if ignored is not None:
        bad &= labels != ignored
    if bad.any():
        raise _error(
            labels,
            bad,
            name,
            "is out of range",
            f"integers in [0, {classes}), for the model predicts {classes} classes",
            f"give the last layer {int(labels.max()) + 1} units, or number the classes from 0",
        )


def _error(labels, bad, name, what, expected, mend):
    position = np.unravel_index(int(np.argmax(bad)), bad.shape)
    place = ", ".join(map(str, position))
    return DataError(
        f"Label {labels[position]} {what}.",
        got=f"{name}[{place}] = {labels[position]} ({int(bad.sum())} such labels in {labels.size})",
        expected=expected,
        mend=mend,
    )


def check_features(model, data) -> None:
    """Raises DataError where inputs are left out or do not have the shapes the model was built for; names input and layer."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return
    x, _, _ = unpack_x_y_sample_weight(data)
    names = names_of(x, "x")
    arrays = tree.flatten(x)
    if isinstance(x, dict):
        by_name = {getattr(t, "name", None): t for t in tree.flatten(inputs)}
        pairs = [(f"x[{key!r}]", x[key], by_name[key]) for key in x if key in by_name and not tree.is_nested(x[key])]
    elif len(arrays) == len(tree.flatten(inputs)):
        pairs = list(zip(names, arrays, tree.flatten(inputs)))
    else:
        return
    for name, array, tensor in pairs:
        expected = tensor.shape
        if array is None:
            _check_optional(name, tensor, model)
            continue
        if len(expected) in (array.ndim + 1, array.ndim - 1) and (expected[-1] == 1 or array.shape[-1] == 1):
            continue  # the model adds or removes an axis of size 1
        fits = len(expected) == array.ndim and all(e is None or e == s for e, s in zip(expected[1:], array.shape[1:]))
        if not fits:
            shape = ("samples", *("any" if s is None else s for s in expected[1:]))
            raise DataError(
                f"{name} does not have the shape that model '{model.name}' takes.",
                got=f"{name} of shape {array.shape}",
                expected=f"shape ({', '.join(map(str, shape))}) for input '{getattr(tensor, 'name', name)}'",
                where=f"input layer '{getattr(tensor, 'name', name)}' of model '{model.name}'{_first_line()}",
                mend=f"reshape the data, or build the model for inputs of shape {array.shape[1:]}",
            )


def _check_optional(name, tensor, model):
    if not tensor._keras_history.operation.optional:
        raise DataError(
            f"The input '{tensor.name}' is not optional, but None was passed.",
            got=f"{name}=None for model '{model.name}'",
            expected="an array",
            mend="pass data for it, or make it with Input(..., optional=True)",
        )


def _first_line() -> str:
    from graphkeras.ir.origin import current_origin

    origin = current_origin()
    return f", called at {origin.file}:{origin.line}" if origin.file else ""
