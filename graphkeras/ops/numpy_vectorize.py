"""A function of single elements made one of whole tensors, as in `keras.ops.numpy`."""

import re

from graphkeras.ir.dims import size as _size_of
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.inference import broadcast_shapes
from graphkeras.ops.numpy_shape import broadcast_to, reshape
from graphkeras.ops.vectorized import vectorized_map
from graphkeras.trace import as_tensor, tree

_AXES = r"\((?:\w+(?:,\w+)*)?\)"
_SIGNATURE = re.compile(rf"{_AXES}(?:,{_AXES})*->{_AXES}(?:,{_AXES})*")


def vectorize(pyfunc, *, excluded=None, signature=None):
    """Turns a function of scalars into one of tensors.

    The function is traced once, and runs on all elements at once (see `vectorized_map`).

    Args:
        pyfunc: Callable of tensors.
        excluded: Positions of arguments that are passed on as they are.
        signature: Axes that belong to a single call, e.g. `"(m,n),(n)->(m)"`; by default the function takes and returns scalars.

    Returns:
        A function whose tensor arguments broadcast against each other along the other axes.

    Example:

    >>> vectorize(lambda a, b: a + b)([1, 2, 3, 4], 2).tolist()
    [3, 4, 5, 6]
    """
    if not callable(pyfunc):
        raise ArgumentError("Expected argument `pyfunc` to be a callable.", got=repr(pyfunc), expected="a callable")
    excluded = set(excluded or ())
    if any(type(e) is not int or e < 0 for e in excluded):
        raise ArgumentError("vectorize: `excluded` holds positions.", got=repr(excluded), expected="non-negative integers")
    ranks = None if signature is None else _ranks(signature)

    def vectorized(*args):
        places = [i for i in range(len(args)) if i not in excluded]
        tensors = [as_tensor(args[i]) for i in places]
        cores = [()] * len(places) if ranks is None else ranks
        if len(cores) != len(places):
            raise ArgumentError(
                f"vectorize: the signature names {len(cores)} arguments.", got=f"{len(places)} arguments", expected=signature
            )
        _check_cores(tensors, cores, signature)
        loops = [t.spec.shape[: t.ndim - len(core)] for t, core in zip(tensors, cores, strict=True)]
        outer = broadcast_shapes("vectorize", loops) if loops else ()

        def call(parts):
            full = list(args)
            for place, part in zip(places, parts, strict=True):
                full[place] = part
            return pyfunc(*full)

        if not outer:
            return call(tensors)
        rows = [
            reshape(
                broadcast_to(t, (*outer, *t.spec.shape[t.ndim - len(core) :])),
                (_size_of(outer), *t.spec.shape[t.ndim - len(core) :]),
            )
            for t, core in zip(tensors, cores, strict=True)
        ]
        return tree.map_structure(lambda y: reshape(y, (*outer, *y.spec.shape[1:])), vectorized_map(call, rows))

    return vectorized


def _ranks(signature):
    """The names of the core axes of each input."""
    text = re.sub(r"\s+", "", signature)
    if not _SIGNATURE.fullmatch(text):
        raise ArgumentError(f"vectorize: {signature!r} is no signature.", got=repr(signature), expected="e.g. '(m,n),(n)->(m)'")
    return [tuple(filter(None, group.split(","))) for group in re.findall(r"\(([^)]*)\)", text.split("->")[0])]


def _check_cores(tensors, cores, signature):
    sizes = {}
    for tensor, core in zip(tensors, cores, strict=True):
        if tensor.ndim < len(core):
            raise ShapeError(
                "vectorize: an argument has too few axes.", got=str(tensor.spec), expected=f"axes {core} of {signature}"
            )
        for name, size in zip(core, tensor.spec.shape[tensor.ndim - len(core) :], strict=True):
            known = sizes.setdefault(name, size)
            if isinstance(known, int) and isinstance(size, int) and known != size:
                raise ShapeError(
                    f"vectorize: axis {name} has two sizes, {known} and {size}.", got=str(tensor.spec), expected=signature
                )
