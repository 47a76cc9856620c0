"""Gradients made shorter."""

from graphkeras import ops


def clip_by_norm(gradient, norm):
    """The gradient, made shorter where its norm is above `norm`."""
    squared = ops.sum(ops.square(gradient))
    positive = squared > 0.0
    length = ops.where(positive, ops.sqrt(ops.where(positive, squared, ops.ones_like(squared))), squared)
    return gradient * norm / ops.maximum(length, norm)


def clip_by_global_norm(grads, norm):
    """All gradients, made shorter by one factor where their common norm is above `norm`; NaN where the norm is not finite."""
    total = None
    for gradient in grads:
        squared = ops.sum(ops.square(gradient))
        total = squared if total is None else total + squared
    length = ops.sqrt(total)
    scale = norm * ops.minimum(1.0 / length, 1.0 / norm) + (length - length)
    return [gradient * scale for gradient in grads]
