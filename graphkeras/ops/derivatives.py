"""Derivatives that `keras.ops` offers; they are made in `graphkeras.autodiff`."""


def jvp(fun, primals, tangents, has_aux=False):
    """The value of a function and its directional derivative.

    Args:
        fun: A function of tensors that returns a tensor or a nested structure of them (a pair of that and anything, with
            `has_aux`).
        primals: List or tuple of arguments.
        tangents: List or tuple of directions, in the structure of `primals`.
        has_aux: Whether `fun` returns a pair.

    Returns:
        `(value, tangent)`, or `(value, tangent, aux)`.

    Example:

    >>> value, slope = jvp(lambda x: x * x, (3.0,), (2.0,))
    >>> float(value), float(slope)
    (9.0, 12.0)
    """
    from graphkeras.autodiff import jvp as directional

    return directional(fun, primals, tangents, has_aux)
