"""pad_sequences: lists of different lengths as one array."""

import numpy as np

from graphkeras.ir.errors import ArgumentError, DataError


def pad_sequences(sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre", value=0.0):
    """Pads or cuts sequences to one length.

    Args:
        sequences: list of sequences.
        maxlen: the length, by default that of the longest.
        dtype: dtype of the array.
        padding: "pre" or "post": where values are added.
        truncating: "pre" or "post": where values are cut off.
        value: value that is added.

    Returns:
        Array of shape `(len(sequences), maxlen, ...)`.

    Example:

    >>> pad_sequences([[1], [2, 3]]).tolist()
    [[0, 1], [2, 3]]
    """
    for name, choice in (("padding", padding), ("truncating", truncating)):
        if choice not in ("pre", "post"):
            raise ArgumentError(f"Invalid `{name}` argument.", got=f"{name}={choice!r}", expected="'pre' or 'post'")
    if not all(hasattr(s, "__len__") for s in sequences):
        raise DataError("`sequences` must be a list of iterables.", got=repr(sequences)[:60], expected="a list of lists")
    if isinstance(value, str) and not np.issubdtype(dtype, np.str_) and dtype is not object:
        raise ArgumentError(
            "A value to pad with does not fit the dtype.", got=f"value={value!r}, dtype={dtype}", mend="pass dtype=object"
        )
    lengths = [len(s) for s in sequences]
    maxlen = max(lengths, default=0) if maxlen is None else maxlen
    sample = next((np.asarray(s).shape[1:] for s in sequences if len(s)), ())
    result = np.full((len(sequences), maxlen, *sample), value, dtype=dtype)
    for row, sequence in zip(result, sequences):
        if not len(sequence) or not maxlen:
            continue
        kept = np.asarray(sequence[-maxlen:] if truncating == "pre" else sequence[:maxlen], dtype=dtype)
        if kept.shape[1:] != sample:
            raise DataError(
                "Shape of samples is different from expected shape.",
                got=f"a sample of shape {kept.shape[1:]}",
                expected=f"shape {sample}",
            )
        if padding == "post":
            row[: len(kept)] = kept
        else:
            row[-len(kept) :] = kept
    return result
