"""Loss: the base of all losses, and how losses of single samples become one number."""

import numpy as np

from graphkeras import ops
from graphkeras.ir.dims import Dim
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.trace import convert_to_tensor, settings, tree
from graphkeras.trace.naming import auto_name

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


class Loss:
    """Base class of losses.

    Args:
        name: name of the loss; made from the class's where None.
        reduction: "sum_over_batch_size" or "mean" (sum divided by the number of losses), "sum", "mean_with_sample_weight" (sum
            divided by the sum of the sample weights), "none" or None (the losses as they are).
        dtype: dtype of the computation; floatx where None. A dtype policy stands for its compute dtype.

    Example:

    >>> class Squared(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return ops.mean(ops.square(y_pred - y_true), axis=-1)
    >>> float(Squared()([[0.0, 1.0]], [[1.0, 1.0]]))
    0.5
    """

    # Class labels stay integers, so that they are checked and looked up as what they are.
    _integer_targets = False

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        self.name = name or auto_name(type(self).__name__)
        self.reduction = standardize_reduction(reduction)
        self._dtype = getattr(dtype, "compute_dtype", dtype) or settings.floatx()

    @property
    def dtype(self) -> str:
        return self._dtype

    def __call__(self, y_true, y_pred, sample_weight=None):
        mask = mask_of(y_pred)
        y_pred = map_tensors(lambda x: convert_to_tensor(x, self.dtype), y_pred)
        y_true = map_tensors(self._target, y_true)
        losses = self.call(y_true, y_pred)
        own_mask = self._valid(y_true, y_pred)
        if own_mask is not None:
            mask = own_mask if mask is None else ops.logical_and(mask, own_mask)
        return reduce_weighted_values(losses, sample_weight, mask, self.reduction, self.dtype)

    def _target(self, x):
        tensor = convert_to_tensor(x)
        if self._integer_targets and "int" in tensor.dtype:
            return tensor
        return convert_to_tensor(tensor, self.dtype)

    def _valid(self, y_true, y_pred):
        """A mask of the losses that count, or None where all do."""
        return None

    def call(self, y_true, y_pred):
        """The losses of the samples; to be written by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not define call(y_true, y_pred).")

    def get_config(self):
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def _obj_type(self):
        return "Loss"


def is_list_of_numbers(value) -> bool:
    """True for nested lists of numbers, which stand for one tensor; False for structures of tensors."""
    while isinstance(value, (list, tuple)) and len(value):
        value = value[0]
    return isinstance(value, (int, float, np.generic))


def map_tensors(function, structure):
    """The structure with `function` applied to its tensors; nested lists of numbers are one tensor."""
    return function(structure) if is_list_of_numbers(structure) else tree.map_structure(function, structure)


def mask_of(x):
    """The mask that travels with a tensor, or None."""
    from graphkeras.layers.masks import get_mask

    return None if tree.is_nested(x) else get_mask(x)


def standardize_reduction(reduction):
    """The reduction, where it is one of those that exist."""
    if reduction not in REDUCTIONS:
        raise ArgumentError(
            "Invalid value for argument `reduction`.",
            got=f"reduction={reduction!r}",
            expected=f"one of {REDUCTIONS}",
        )
    return reduction


def squeeze_or_expand_to_same_rank(x1, x2, expand_rank_1=True):
    """Removes or adds a last axis of size 1 where the ranks differ by one, so that (N,) and (N, 1) never broadcast to (N, N)."""
    rank1, rank2 = len(x1.shape), len(x2.shape)
    if rank1 == rank2 + 1 and x1.shape[-1] == 1:
        if rank2 == 1 and expand_rank_1:
            return x1, ops.expand_dims(x2, axis=-1)
        return ops.squeeze(x1, axis=-1), x2
    if rank2 == rank1 + 1 and x2.shape[-1] == 1:
        if rank1 == 1 and expand_rank_1:
            return ops.expand_dims(x1, axis=-1), x2
        return x1, ops.squeeze(x2, axis=-1)
    return x1, x2


def number_of_elements(x, dtype):
    """The number of elements of a tensor, as a scalar tensor or number of this dtype."""
    size = x.spec.size
    return convert_to_tensor(size, dtype) if isinstance(size, Dim) else float(size)


def divide_or_zero(x, y):
    """x / y, and 0 where y is 0."""
    y = convert_to_tensor(y, x.dtype)
    zero = convert_to_tensor(0.0, x.dtype)
    one = convert_to_tensor(1.0, x.dtype)
    empty = ops.equal(y, zero)
    return ops.where(empty, zero, ops.divide(x, ops.where(empty, one, y)))


def mask_weights(sample_weight, mask, dtype, reduction):
    """Sample weights that leave out what a mask hides, scaled so that a mean is one over the visible entries."""
    if mask is None:
        return sample_weight
    visible = ops.cast(mask, dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        total = convert_to_tensor(number_of_elements(visible, dtype), dtype)
        visible = ops.multiply(visible, divide_or_zero(total, ops.sum(visible)))
    if sample_weight is None:
        return visible
    visible, sample_weight = squeeze_or_expand_to_same_rank(visible, ops.cast(sample_weight, dtype))
    return ops.multiply(sample_weight, visible)


def reduce_weighted_values(values, sample_weight=None, mask=None, reduction="sum_over_batch_size", dtype=None):
    """Losses of samples, weighted, masked and reduced."""
    reduction = standardize_reduction(reduction)
    values = convert_to_tensor(values, dtype)
    dtype = values.dtype
    if sample_weight is not None:
        sample_weight = convert_to_tensor(sample_weight, dtype)
    weights = mask_weights(sample_weight, mask, dtype, reduction)
    if weights is not None:
        values, weights = squeeze_or_expand_to_same_rank(values, weights)
        values = _weighted(values, weights)
    if reduction in (None, "none") or values.ndim == 0 or values.shape == (0,):
        return values
    total = ops.sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and weights is not None:
        return divide_or_zero(total, ops.sum(weights))
    count = number_of_elements(values, dtype)
    # The number of losses is known to be positive unless it is a size that only the program knows.
    if isinstance(count, float):
        return ops.divide(total, convert_to_tensor(count, dtype)) if count else total
    return divide_or_zero(total, count)


def _weighted(values, weights):
    # A loss that is one number for the whole batch is scaled by the weights of its samples.
    if (values.ndim and weights.ndim > values.ndim) or any(
        w != v and w != 1 and isinstance(w, int) and isinstance(v, int) for w, v in zip(weights.shape[::-1], values.shape[::-1])
    ):
        raise ShapeError(
            "The sample weights do not fit the losses.",
            got=f"sample weights of shape {weights.shape} for losses of shape {values.shape}",
            expected="one weight per sample, or a shape that broadcasts to that of the losses",
            mend="pass sample_weight with shape (number of samples,)",
        )
    return ops.multiply(values, weights)
