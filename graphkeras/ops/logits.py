"""Which tensor an activation was computed from, so that a loss can use the logits behind a softmax or sigmoid."""

import warnings

from graphkeras.trace import SymbolicTensor, Tensor


def remember_logits(output, logits):
    """Notes that an eager tensor was computed from these logits; a graph knows it by itself."""
    if type(output) is Tensor and type(logits) is Tensor:
        output._logits = logits
    return output


def logits_behind(output, op, from_logits, function):
    """The tensor from which a loss is computed, and whether it is logits.

    As in Keras on TensorFlow, probabilities that come straight from a softmax or sigmoid are replaced by its input, which keeps
    the loss of a confident wrong answer, and its gradient, from vanishing.

    Args:
        output: predictions.
        op: "softmax" over the last axis, or "sigmoid".
        from_logits: what the caller says.
        function: name for the warning.
    """
    behind = None
    if isinstance(output, SymbolicTensor):
        node = output.value.node
        last_axis = op != "softmax" or node.attrs.get("axes") == (len(output.spec.shape) - 1,)
        if node.op == op and last_axis:
            behind = SymbolicTensor.wrap(node.inputs[0])
    else:
        behind = getattr(output, "_logits", None)
    if behind is None:
        return output, from_logits
    if from_logits:
        warnings.warn(
            f'"`{function}` received `from_logits=True`, but the `output` argument was produced by a {op.capitalize()} activation '
            "and thus does not represent logits. Was this intended?",
            stacklevel=3,
        )
    return behind, True
