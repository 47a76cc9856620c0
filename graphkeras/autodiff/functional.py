"""Derivatives of functions: `grad`, `value_and_grad`, `vjp` and `jvp`."""

from graphkeras.autodiff.tape import GradientTape
from graphkeras.ir.errors import ArgumentError, GradientError, ShapeError
from graphkeras.trace import Tensor, Variable, as_tensor, prim, tree


def _own(x):
    """A tensor with an identity of its own: one that is used elsewhere, too, must not be mistaken for this argument."""
    if isinstance(x, Variable):
        return x
    tensor = as_tensor(x)
    return Tensor.wrap(tensor.array) if isinstance(tensor, Tensor) else prim.identity(tensor)


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
                args[position] = tree.map_structure(_own, args[position])
                tape.watch(args[position])
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


def vjp(fn, *primals, has_aux=False):
    """The value of a function and the function that pulls cotangents of it back to its arguments.

    Args:
        fn: a function of tensors that returns a tensor or a nested structure of them (a pair of that and anything, with `has_aux`).
        *primals: tensors, arrays or nested structures of them.
        has_aux: whether `fn` returns a pair.

    Returns:
        `(value, pull_back)`, or `(value, pull_back, aux)`. `pull_back(cotangents)` takes the structure of the value and returns a
        tuple with one entry per argument; it may be called several times.

    Example:

    >>> value, pull_back = vjp(lambda x, y: x * y, 3.0, 4.0)
    >>> [float(ct) for ct in pull_back(10.0)]
    [40.0, 30.0]
    """
    primals = [tree.map_structure(_own, p) for p in primals]
    with GradientTape(persistent=True) as tape:
        tape.watch(primals)
        result = fn(*primals)
    value = tree.map_structure(as_tensor, result[0] if has_aux else result)

    def pull_back(cotangents):
        cts = tree.map_structure(lambda v, ct: _like(ct, v, "cotangent"), value, cotangents)
        return tuple(tape.gradient(value, primals, output_gradients=cts, unconnected_gradients="zero"))

    return (value, pull_back, result[1]) if has_aux else (value, pull_back)


def _like(tensor, other, what):
    tensor = as_tensor(tensor)
    tensor = tensor if tensor.dtype == other.dtype else prim.cast(tensor, dtype=other.dtype)
    if tensor.spec.shape != other.spec.shape:
        raise ShapeError(
            f"A {what} has another shape than the tensor it belongs to.", got=f"{tensor.spec}", expected=f"{other.spec}"
        )
    return tensor


def jvp(fun, primals, tangents, has_aux=False):
    """The value of a function and its directional derivative.

    The derivative is that of the pull-back, which is linear, by its cotangent: two reverse passes and no forward rules.

    Args:
        fun: a function of tensors that returns a tensor or a nested structure of them (with `has_aux`, a pair of that and
            anything).
        primals: list or tuple of arguments.
        tangents: list or tuple of directions, in the structure of `primals`.
        has_aux: whether `fun` returns a pair.

    Returns:
        `(value, tangent)`, or `(value, tangent, aux)`.

    Raises:
        ArgumentError: where primals and tangents are no lists or tuples of one length.

    Example:

    >>> value, slope = jvp(lambda x: x * x, (3.0,), (2.0,))
    >>> float(value), float(slope)
    (9.0, 12.0)
    """
    if not isinstance(primals, (list, tuple)) or not isinstance(tangents, (list, tuple)) or len(primals) != len(tangents):
        raise ArgumentError(
            "`primals` and `tangents` must be lists or tuples of one length.",
            got=f"{type(primals).__name__} and {type(tangents).__name__}",
            expected="one tangent per primal",
        )
    primals = [tree.map_structure(_own, p) for p in primals]
    with GradientTape(persistent=True) as outer:
        with GradientTape() as inner:
            inner.watch(primals)
            result = fun(*primals)
        value = tree.map_structure(as_tensor, result[0] if has_aux else result)
        probes = tree.map_structure(lambda v: _own(prim.broadcast_to(Tensor(0, dtype=v.dtype), shape=v.spec.shape)), value)
        outer.watch(probes)
        pulled = inner.gradient(value, primals, output_gradients=probes)
    pairs = [
        (p, _like(t, x, "tangent"))
        for p, t, x in zip(tree.flatten(pulled), tree.flatten(list(tangents)), tree.flatten(primals), strict=True)
        if p is not None
    ]
    slopes = outer.gradient([p for p, _ in pairs], probes, output_gradients=[t for _, t in pairs], unconnected_gradients="zero")
    return (value, slopes, result[1]) if has_aux else (value, slopes)

