"""One-hot codes and crossentropies, as in `keras.ops.nn`."""

from graphkeras.ir.dtypes import dtype_name, is_integer
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.inference import join_dim, normalize_axis
from graphkeras.ops.logits import logits_behind
from graphkeras.ops.numpy_binary import clip
from graphkeras.ops.numpy_reduce import max as reduce_max
from graphkeras.ops.numpy_reduce import mean
from graphkeras.ops.numpy_shape import moveaxis
from graphkeras.ops.numpy_unary import log10
from graphkeras.ops.promotion import as_float
from graphkeras.trace import as_tensor, convert_to_tensor, prim
from graphkeras.trace.settings import epsilon, floatx


def _dense_only(sparse):
    if sparse:
        raise ArgumentError("Sparse tensors are not supported.", got="sparse=True", expected="sparse=False", mend="leave sparse=False")


def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """Converts integer tensor `x` into a one-hot tensor.

    Args:
        x: Integer tensor.
        num_classes: Number of classes.
        axis: Position of the new class axis. Defaults to -1.
        dtype: Data type of the result; float32 by default.
        sparse: Kept for compatibility with Keras; must be `False`.

    Returns:
        Tensor with one more axis; indices out of range give zeros.

    Example:

    >>> one_hot([1, 0], 3).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    _dense_only(sparse)
    x = as_tensor(x)
    if not is_integer(x.dtype):
        x = prim.cast(x, dtype="int32")
    dtype = "float32" if dtype is None else dtype_name(dtype)
    return prim.one_hot(x, num_classes=int(num_classes), axis=normalize_axis("one_hot", axis, x.ndim + 1), dtype=dtype)


def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False, **kwargs):
    """Encodes integer labels as multi-hot vectors.

    Args:
        inputs: Integer tensor, one or more labels per row.
        num_classes: Number of classes.
        axis: Position of the class axis. Defaults to -1.
        dtype: Data type of the result; floatx by default.
        sparse: Kept for compatibility with Keras; must be `False`.

    Returns:
        Tensor with 1 at each label and 0 elsewhere.

    Example:

    >>> multi_hot([0, 2], 4).tolist()
    [1.0, 0.0, 1.0, 0.0]
    """
    num_classes = kwargs.pop("num_tokens", None) if num_classes is None else num_classes
    if num_classes is None or kwargs:
        raise ArgumentError(
            "Argument `num_classes` must be specified.",
            got=f"num_classes={num_classes}, {kwargs}",
            expected="an int",
            mend="pass num_classes=...",
        )
    inputs = as_tensor(inputs)
    codes = one_hot(inputs, num_classes, axis, floatx() if dtype is None else dtype, sparse)
    return reduce_max(codes, axis=1 if inputs.ndim > 1 else 0)


def _require_same_shapes(function, target, output):
    if target.ndim != output.ndim:
        raise ShapeError(
            f"{function}: arguments `target` and `output` must have the same rank (ndim).",
            got=f"target {target.spec}, output {output.spec}",
            expected="equal shapes",
            mend="use integer labels with the sparse loss, or reshape the targets",
        )
    if any(join_dim(a, b) is None for a, b in zip(target.spec.shape, output.spec.shape)):
        raise ShapeError(
            f"{function}: arguments `target` and `output` must have the same shape.",
            got=f"target {target.spec}, output {output.spec}",
            expected="equal shapes",
            mend="check the number of units of the last layer against the targets",
        )


def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """Computes categorical cross-entropy loss between target and output tensor.

    Args:
        target: Target probabilities, e.g. one-hot.
        output: Predictions of the same shape: probabilities, or logits.
        from_logits: Whether `output` is logits. Probabilities that come straight from a softmax are replaced by its input.
        axis: The class axis. Defaults to -1.

    Returns:
        Tensor without the class axis. Probabilities are scaled to sum 1 and clipped to `[epsilon, 1 - epsilon]`.

    Raises:
        ShapeError: where the shapes differ.

    Example:

    >>> [round(v, 5) for v in categorical_crossentropy([[0.0, 1.0]], [[0.2, 0.8]]).tolist()]
    [0.22314]
    """
    output = as_float(output)
    target = convert_to_tensor(target, output.dtype)
    if not target.ndim:
        raise ShapeError(
            "categorical_crossentropy: arguments `target` and `output` must be at least rank 1.",
            got=f"target {target.spec}, output {output.spec}",
            expected="a class axis",
        )
    _require_same_shapes("categorical_crossentropy", target, output)
    axis = normalize_axis("categorical_crossentropy", axis, output.ndim)
    logits, from_logits = logits_behind(output, "softmax", from_logits, "categorical_crossentropy")
    if from_logits:
        return prim.softmax_crossentropy(moveaxis(logits, axis, -1), moveaxis(target, axis, -1))
    output = output / prim.reduce_sum(output, axes=(axis,), keepdims=True)
    output = clip(output, epsilon(), 1.0 - epsilon())
    return -prim.reduce_sum(target * prim.log(output), axes=(axis,), keepdims=False)


def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """Computes sparse categorical cross-entropy loss: targets are class numbers.

    Args:
        target: Integer classes, without the class axis or with one of size 1.
        output: Predictions: probabilities, or logits.
        from_logits: Whether `output` is logits. Probabilities that come straight from a softmax are replaced by its input.
        axis: The class axis; only the last one.

    Returns:
        Tensor without the class axis. Probabilities are clipped to `[epsilon, 1 - epsilon]`.

    Raises:
        ShapeError: where the shapes do not fit.
        DataError: for a class out of range, when it runs.

    Example:

    >>> [round(v, 5) for v in sparse_categorical_crossentropy([1], [[0.2, 0.8]]).tolist()]
    [0.22314]
    """
    output = as_float(output)
    target = as_tensor(target)
    if not output.ndim or axis not in (-1, output.ndim - 1):
        raise ArgumentError(
            f"Only axis=-1 is currently supported. Received: axis={axis}",
            got=f"output {output.spec}, axis={axis}",
            expected="the last axis as class axis",
            mend="move the class axis to the end with ops.moveaxis",
        )
    if target.ndim == output.ndim and target.spec.shape[-1] == 1:
        target = prim.reshape(target, shape=target.spec.shape[:-1])
    if target.ndim != output.ndim - 1:
        raise ShapeError(
            "sparse_categorical_crossentropy: argument `output` must have rank (ndim) `target.ndim + 1`.",
            got=f"target {target.spec}, output {output.spec}",
            expected=f"targets of shape {output.spec.shape[:-1]}",
            mend="pass class numbers, not one-hot rows; those go with categorical_crossentropy",
        )
    if any(join_dim(a, b) is None for a, b in zip(target.spec.shape, output.spec.shape)):
        raise ShapeError(
            "sparse_categorical_crossentropy: `target` and `output` must have the same shape up until the last dimension.",
            got=f"target {target.spec}, output {output.spec}",
            expected=f"targets of shape {output.spec.shape[:-1]}",
            mend="pass class numbers, not one-hot rows; those go with categorical_crossentropy",
        )
    if not is_integer(target.dtype):
        target = prim.cast(target, dtype="int32")
    logits, from_logits = logits_behind(output, "softmax", from_logits, "sparse_categorical_crossentropy")
    if not from_logits:
        logits = prim.log(clip(output, epsilon(), 1.0 - epsilon()))
    return prim.sparse_softmax_crossentropy(logits, target)


def binary_crossentropy(target, output, from_logits=False):
    """Computes binary cross-entropy loss between target and output tensor.

    Args:
        target: Targets, 0 or 1 or between.
        output: Predictions of the same shape: probabilities, or logits.
        from_logits: Whether `output` is logits. Probabilities that come straight from a sigmoid are replaced by its input.

    Returns:
        Tensor of the same shape. Probabilities are clipped to `[epsilon, 1 - epsilon]`.

    Raises:
        ShapeError: where the shapes differ.

    Example:

    >>> [round(v, 5) for v in binary_crossentropy([0.0, 1.0], [0.1, 0.9]).tolist()]
    [0.10536, 0.10536]
    """
    output = as_float(output)
    target = convert_to_tensor(target, output.dtype)
    _require_same_shapes("binary_crossentropy", target, output)
    logits, from_logits = logits_behind(output, "sigmoid", from_logits, "binary_crossentropy")
    if from_logits:
        return prim.sigmoid_crossentropy(logits, target)
    output = clip(output, epsilon(), 1.0 - epsilon())
    return -(target * prim.log(output) + (1 - target) * prim.log(1 - output))


def psnr(x1, x2, max_val):
    """Peak signal-to-noise ratio of two signals, in decibel.

    Args:
        x1: First signal.
        x2: Second signal of the same shape.
        max_val: The largest possible value.

    Returns:
        A scalar.

    Example:

    >>> round(psnr([1.0, 2.0], [1.0, 3.0], 10.0).item(), 3)
    23.01
    """
    x1 = as_float(x1)
    x2 = convert_to_tensor(x2, x1.dtype)
    _require_same_shapes("psnr", x1, x2)
    error = mean(prim.square(x1 - x2))
    return 20 * log10(convert_to_tensor(max_val, x1.dtype)) - 10 * log10(error)
