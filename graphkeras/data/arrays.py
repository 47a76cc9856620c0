"""What users pass as data becomes NumPy arrays, checked before anything is trained."""

import numpy as np

from graphkeras.ir.dtypes import numpy_dtype
from graphkeras.ir.errors import ArgumentError, DataError
from graphkeras.losses.loss import is_list_of_numbers
from graphkeras.trace import settings, tree
from graphkeras.trace.base import TensorBase

_PARTS = ("x", "y", "sample_weight")


def to_array(value, what: str = "x") -> np.ndarray:
    """An array as models take it: floats become floatx, integers and booleans stay, complex numbers too.

    Args:
        value: array, tensor, data frame, or list of numbers.
        what: name for error messages.

    Raises:
        DataError: for object arrays, strings of numbers, ragged lists.
    """
    if isinstance(value, TensorBase):
        value = value.numpy()
    elif hasattr(value, "to_numpy"):  # pandas; a series is a column
        value = value.to_numpy()
        value = value.reshape(-1, 1) if value.ndim == 1 else value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise _not_numbers(what, f"{type(value).__name__}: {error}") from None
    if array.dtype.hasobject:
        kinds = sorted({type(item).__name__ for item in array.reshape(-1)[:100]})
        raise _not_numbers(what, f"an object array of shape {array.shape} that holds {', '.join(kinds)}")
    if array.dtype.kind in "USMm":
        raise _not_numbers(what, f"dtype {array.dtype}, shape {array.shape}")
    if array.ndim == 0:
        raise DataError(
            f"{what} is a single number.",
            got=f"{what} = {array[()]!r} of shape ()",
            expected="an array whose first axis counts the samples",
            mend=f"pass {what} with shape (samples, ...)",
        )
    if array.dtype.kind == "f" and array.dtype != numpy_dtype(settings.floatx()):
        array = array.astype(numpy_dtype(settings.floatx()))
    elif not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def _not_numbers(what, got):
    return DataError(
        f"{what} cannot be used as data: it does not hold numbers.",
        got=got,
        expected="numbers or booleans of one dtype, in rows of equal lengths",
        mend="convert it first, e.g. np.array(values, dtype='float32'); pad sequences to one length; encode strings as numbers",
    )


def names_of(structure, part: str) -> list[str]:
    """A name per leaf, in the order of `tree.flatten`: x, x[0], x['title'] ..."""
    if isinstance(structure, dict):
        ordered = tree.flatten({key: key for key in structure})
        return [name for key in ordered for name in names_of(structure[key], f"{part}[{key!r}]")]
    if isinstance(structure, (list, tuple)):
        return [name for i, item in enumerate(structure) for name in names_of(item, f"{part}[{i}]")]
    return [part]


def is_array_like(value) -> bool:
    """True for arrays, tensors, data frames, and lists of numbers."""
    return isinstance(value, (np.ndarray, TensorBase)) or hasattr(value, "to_numpy") or hasattr(value, "__array__")


def arrays_of(structure, part: str):
    """The structure with arrays as leaves; a nested list of numbers is one array. None stays: an optional input left out.

    Args:
        structure: array, or nested lists, tuples and dicts of arrays.
        part: "x", "y" or "sample_weight", for error messages.
    """
    if structure is None:
        return None
    if isinstance(structure, dict):
        return {key: arrays_of(value, f"{part}[{key!r}]") for key, value in structure.items()}
    if isinstance(structure, (list, tuple)) and not is_list_of_numbers(structure):
        if not structure:
            raise DataError(
                f"{part} is empty.", got=f"{part}={structure!r}", expected="at least one sample", mend="check how the data is read"
            )
        items = [arrays_of(value, f"{part}[{i}]") for i, value in enumerate(structure)]
        return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)
    return to_array(structure, part)


def number_of_samples(x, y=None, sample_weight=None) -> int:
    """The number of samples of arrays that have to agree in it.

    Raises:
        DataError: where they do not (both are named), or where there is no sample.
    """
    named = [
        (name, array)
        for part, value in zip(_PARTS, (x, y, sample_weight))
        if value is not None
        for name, array in zip(names_of(value, part), tree.flatten(value))
        if array is not None
    ]
    if not named:
        raise DataError("There is no data.", got=f"x={x!r}", expected="at least one array", mend="pass x (and y)")
    first_name, first = named[0]
    for name, array in named[1:]:
        if len(array) != len(first):
            raise DataError(
                f"Data cardinality is ambiguous: {first_name} and {name} have different numbers of samples.",
                got=", ".join(f"{n}: {a.shape}" for n, a in named),
                expected=f"{len(first)} samples in {name}, as in {first_name}",
                mend="make sure all arrays contain the same number of samples (the size of their first axes)",
            )
    if not len(first):
        raise DataError(
            "The data is empty.",
            got=", ".join(f"{n}: {a.shape}" for n, a in named),
            expected="at least one sample",
            mend="check how the data is read and split",
        )
    return len(first)


def class_weight_to_sample_weights(y, class_weight) -> np.ndarray:
    """One weight per sample, by its class.

    Args:
        y: class numbers, one-hot rows, or a column of class numbers.
        class_weight: dict from class number to weight; 1 for classes it does not have.
    """
    if tree.is_nested(y) and not is_list_of_numbers(y):
        raise ArgumentError(
            "`class_weight` is only supported for Models with a single output.",
            got=f"targets in a {type(y).__name__}",
            mend="pass sample_weight, one array per output",
        )
    labels = to_array(y, "y")
    if labels.ndim > 1:
        labels = np.argmax(labels, axis=-1) if labels.shape[-1] != 1 else labels[..., 0]
    labels = np.round(labels).astype(np.int64).reshape(len(labels), -1)[:, 0]
    classes, places = np.unique(labels, return_inverse=True)
    weights = np.array([class_weight.get(int(c), 1.0) for c in classes], numpy_dtype(settings.floatx()))
    return weights[places]


def train_validation_split(x, y, sample_weight, validation_split: float):
    """The first part of the arrays for training and the rest for validation, unshuffled.

    Returns:
        Two triples (x, y, sample_weight).
    """
    if not 0 < validation_split < 1:
        raise ArgumentError("validation_split must lie between 0 and 1.", got=f"validation_split={validation_split}")
    count = number_of_samples(x, y, sample_weight)
    first = int(count * (1.0 - validation_split))
    if first == 0 or first == count:
        raise ArgumentError(
            f"Training data contains {count} samples, which is not sufficient to split it into a validation and training set "
            f"as specified by `validation_split={validation_split}`.",
            got=f"{count} samples",
            expected="at least one sample on each side of the split",
            mend="provide more data, or a different value for the `validation_split` argument",
        )

    def part(structure, which):
        return None if structure is None else tree.map_structure(lambda a: None if a is None else a[which], structure)

    return tuple(tuple(part(s, which) for s in (x, y, sample_weight)) for which in (slice(None, first), slice(first, None)))
