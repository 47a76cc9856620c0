"""Losses between probabilities: cross-entropies and their relatives."""

import warnings

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError
from graphkeras.losses.wrapper import BuiltInLoss
from graphkeras.trace import convert_to_tensor, settings


def _checked_axis(axis):
    if isinstance(axis, bool):
        raise ArgumentError("`axis` must be of type `int`.", got=f"axis={axis} of type {type(axis)}", expected="an int, e.g. -1")


def _warn_of_single_class(name, y_pred):
    if y_pred.shape[-1] == 1:
        warnings.warn(
            f"In loss {name}, expected y_pred.shape to be (batch_size, num_classes) with num_classes > 1. "
            f"Received: y_pred.shape={y_pred.shape}. Consider using 'binary_crossentropy' if you only have 2 classes.",
            SyntaxWarning,
            stacklevel=4,
        )


def _smoothed(y_true, label_smoothing):
    if not label_smoothing:
        return y_true
    classes = y_true.spec.shape[-1]
    share = label_smoothing / classes if isinstance(classes, int) else label_smoothing / convert_to_tensor(classes, y_true.dtype)
    return y_true * (1.0 - label_smoothing) + share


def _smoothed_binary(y_true, label_smoothing):
    return y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing if label_smoothing else y_true


def _pair(y_true, y_pred):
    y_pred = convert_to_tensor(y_pred)
    return convert_to_tensor(y_true, y_pred.dtype), y_pred


def kl_divergence(y_true, y_pred):
    """Sum over the last axis of y_true * log(y_true / y_pred), both clipped to [epsilon, 1]."""
    y_true, y_pred = _pair(y_true, y_pred)
    y_true = ops.clip(y_true, settings.epsilon(), 1.0)
    y_pred = ops.clip(y_pred, settings.epsilon(), 1.0)
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


def poisson(y_true, y_pred):
    """Mean over the last axis of y_pred - y_true * log(y_pred + epsilon)."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(y_pred - y_true * ops.log(y_pred + settings.epsilon()), axis=-1)


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """Cross-entropy between target probabilities (they need not sum to 1) and predictions along an axis."""
    _checked_axis(axis)
    y_true, y_pred = _pair(y_true, y_pred)
    _warn_of_single_class("categorical_crossentropy", y_pred)
    return ops.categorical_crossentropy(_smoothed(y_true, label_smoothing), y_pred, from_logits=from_logits, axis=axis)


def categorical_focal_crossentropy(
    y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):
    """Categorical cross-entropy weighted by alpha * (1 - probability)^gamma."""
    _checked_axis(axis)
    y_true, y_pred = _pair(y_true, y_pred)
    _warn_of_single_class("categorical_focal_crossentropy", y_pred)
    y_true = _smoothed(y_true, label_smoothing)
    if from_logits:
        y_pred = ops.softmax(y_pred, axis=axis)
    output = y_pred / ops.sum(y_pred, axis=axis, keepdims=True)
    output = ops.clip(output, settings.epsilon(), 1.0 - settings.epsilon())
    weight = ops.power(1.0 - output, gamma) * alpha
    return ops.sum(weight * (-y_true * ops.log(output)), axis=axis)


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """Cross-entropy between class numbers and predictions along an axis; 0 where the label is `ignore_class`.

    Raises:
        DataError: for a label outside [0, number of classes); the label and its index are named.
    """
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true)
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = ops.squeeze(y_true, axis=axis)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)
    valid = ops.not_equal(y_true, convert_to_tensor(ignore_class, y_true.dtype))
    y_true = ops.where(valid, y_true, convert_to_tensor(0, y_true.dtype))
    zero = convert_to_tensor(0.0, y_pred.dtype)
    y_pred = ops.where(ops.expand_dims(valid, axis), y_pred, zero)
    losses = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)
    return ops.where(valid, losses, zero)


sparse_categorical_crossentropy._integer_targets = True


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """Mean over an axis of the cross-entropy between target probabilities and predicted ones."""
    y_true, y_pred = _pair(y_true, y_pred)
    y_true = _smoothed_binary(y_true, label_smoothing)
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits=from_logits), axis=axis)


def binary_focal_crossentropy(
    y_true,
    y_pred,
    apply_class_balancing=False,
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
    axis=-1,
):
    """Binary cross-entropy weighted by (1 - probability of the right answer)^gamma."""
    y_true, y_pred = _pair(y_true, y_pred)
    y_true = _smoothed_binary(y_true, label_smoothing)
    if from_logits:
        y_pred = ops.sigmoid(y_pred)
    right = y_true * y_pred + (1.0 - y_true) * (1.0 - y_pred)
    losses = ops.power(1.0 - right, gamma) * ops.binary_crossentropy(y_true, y_pred, from_logits=False)
    if apply_class_balancing:
        losses = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * losses
    return ops.mean(losses, axis=axis)


class KLDivergence(BuiltInLoss):
    """Kullback-Leibler divergence of predictions from targets.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:

    >>> round(float(KLDivergence()([[0.5, 0.5]], [[0.5, 0.5]])), 4)
    0.0
    """

    def __init__(self, reduction="sum_over_batch_size", name="kl_divergence", dtype=None):
        super().__init__(kl_divergence, reduction, name, dtype)


class Poisson(BuiltInLoss):
    """Poisson loss. Arguments as for `KLDivergence`.

    Example:

    >>> round(float(Poisson()([[0.0, 1.0]], [[1.0, 1.0]])), 4)
    1.0
    """

    def __init__(self, reduction="sum_over_batch_size", name="poisson", dtype=None):
        super().__init__(poisson, reduction, name, dtype)


class BinaryCrossentropy(BuiltInLoss):
    """Cross-entropy of yes/no answers.

    Args:
        from_logits: whether predictions are logits rather than probabilities.
        label_smoothing: 0 to 1: how far labels are moved towards 0.5.
        axis: axis that is averaged over.
        reduction, name, dtype: see `Loss`.

    Example:

    >>> round(float(BinaryCrossentropy()([[0.0], [1.0]], [[0.5], [0.5]])), 4)
    0.6931
    """

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="binary_crossentropy",
        dtype=None,
    ):
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis
        arguments = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(binary_crossentropy, reduction, name, dtype, **arguments)


class BinaryFocalCrossentropy(BuiltInLoss):
    """Binary cross-entropy that gives more weight to hard samples.

    Args:
        apply_class_balancing: whether class 1 gets the weight `alpha` and class 0 `1 - alpha`.
        alpha: weight of class 1.
        gamma: exponent of the focus.
        from_logits, label_smoothing, axis: as for `BinaryCrossentropy`.
        reduction, name, dtype: see `Loss`.

    Example:

    >>> round(float(BinaryFocalCrossentropy()([[1.0]], [[0.5]])), 4)
    0.1733
    """

    def __init__(
        self,
        apply_class_balancing=False,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="binary_focal_crossentropy",
        dtype=None,
    ):
        self.apply_class_balancing, self.alpha, self.gamma = apply_class_balancing, alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis
        super().__init__(
            binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalCrossentropy(BuiltInLoss):
    """Cross-entropy of target probabilities, one per class.

    Args:
        from_logits: whether predictions are logits rather than probabilities.
        label_smoothing: 0 to 1: how far targets are moved towards equal shares.
        axis: axis of the classes.
        reduction, name, dtype: see `Loss`.

    Example:

    >>> round(float(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    def __init__(
        self,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="categorical_crossentropy",
        dtype=None,
    ):
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis
        arguments = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(categorical_crossentropy, reduction, name, dtype, **arguments)


class CategoricalFocalCrossentropy(BuiltInLoss):
    """Categorical cross-entropy that gives more weight to hard samples.

    Args:
        alpha: weight of all classes.
        gamma: exponent of the focus.
        from_logits, label_smoothing, axis: as for `CategoricalCrossentropy`.
        reduction, name, dtype: see `Loss`.

    Example:

    >>> round(float(CategoricalFocalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.0433
    """

    def __init__(
        self,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction="sum_over_batch_size",
        name="categorical_focal_crossentropy",
        dtype=None,
    ):
        self.alpha, self.gamma = alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis
        super().__init__(
            categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(BuiltInLoss):
    """Cross-entropy of class numbers.

    Args:
        from_logits: whether predictions are logits rather than probabilities.
        ignore_class: label of samples that do not count, or None.
        reduction: see `Loss`.
        axis: axis of the classes.
        name, dtype: see `Loss`.

    Example:

    >>> round(float(SparseCategoricalCrossentropy()([1, 0], [[0.5, 0.5], [0.5, 0.5]])), 4)
    0.6931
    """

    def __init__(
        self,
        from_logits=False,
        ignore_class=None,
        reduction="sum_over_batch_size",
        axis=-1,
        name="sparse_categorical_crossentropy",
        dtype=None,
    ):
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis
        arguments = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}
        super().__init__(sparse_categorical_crossentropy, reduction, name, dtype, **arguments)

    def _valid(self, y_true, y_pred):
        if self.ignore_class is None:
            return None
        if y_true.ndim == y_pred.ndim and y_true.shape[self.axis] == 1:
            y_true = ops.squeeze(y_true, axis=self.axis)
        return ops.not_equal(y_true, convert_to_tensor(self.ignore_class, y_true.dtype))
