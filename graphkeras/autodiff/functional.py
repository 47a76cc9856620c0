"""Gradients of functions: `grad` and `value_and_grad`."""

from graphkeras.autodiff.tape import GradientTape
from graphkeras.ir.errors import GradientError
from graphkeras.trace import Tensor, Variable, as_tensor, tree


def value_and_grad(fn, argnums=0, has_aux=False):
    """A function that returns the value of `fn` and its gradient.

    Args:
        fn: a function that returns a scalar (or a pair of a scalar and anything, with `has_aux`).
        argnums: position, or positions, of the arguments to differentiate by: tensors, arrays, variables or nested structures.
        has_aux: whether `fn` returns a pair.

    Returns:
        A function of the same arguments that returns `(value, gradients)`, or `((value, aux), gradients)`.

    Raises:
        GradientError: where `fn` does not return a scalar.

    Example:

    >>> value, slope = value_and_grad(lambda x: x * x)(3.0)
    >>> float(value), float(slope)
    (9.0, 6.0)
    """
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def wrapped(*args, **kwargs):
        args = list(args)
        with GradientTape() as tape:
            for position in positions:
                leaves = [x if isinstance(x, Variable) else as_tensor(x) for x in tree.flatten(args[position])]
                # An array or tensor that is used elsewhere too must not be mistaken for this argument: give it an identity of its own.
                leaves = [Tensor.wrap(x.array) if isinstance(x, Tensor) else x for x in leaves]
                args[position] = tree.pack_sequence_as(args[position], leaves)
                tape.watch(leaves)
            result = fn(*args, **kwargs)
        value = as_tensor(result[0] if has_aux else result)
        if value.ndim:
            raise GradientError(
                "Gradients are of scalars.",
                got=f"{getattr(fn, '__name__', 'fn')} returned shape {value.shape}",
                expected="a tensor of rank 0",
                mend="reduce it, e.g. with ops.mean or ops.sum",
            )
        sources = [args[p] for p in positions]
        found = tape.gradient(value, sources, unconnected_gradients="zero")
        found = found[0] if isinstance(argnums, int) else tuple(found)
        return ((value, result[1]) if has_aux else value), found

    return wrapped


def grad(fn, argnums=0, has_aux=False):
    """A function that returns the gradient of `fn` (and its auxiliary result, with `has_aux`); see `value_and_grad`.

    Example:

    >>> float(grad(lambda x: x * x * x)(2.0))
    12.0
    """
    both = value_and_grad(fn, argnums, has_aux)

    def wrapped(*args, **kwargs):
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return wrapped
