"""Axes rearranged by a pattern of their names, as in `keras.ops`."""

import re

from graphkeras.ir.dims import Dim
from graphkeras.ir.dims import size as _size_of
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.numpy_shape import reshape, transpose
from graphkeras.trace import as_tensor


def _groups(side):
    """The names of each axis of one side of a pattern: `b (h w)` is [["b"], ["h", "w"]]."""
    return [found.strip("()").split() for found in re.findall(r"\w+|\([\w\s]*\)", side)]


def rearrange(tensor, pattern, **axes_lengths):
    """Reorders, splits and joins axes, in the notation of einops.

    Args:
        tensor: Input tensor.
        pattern: Names of its axes, `->`, and names of the axes of the result. Parentheses stand for one axis made of several.
        **axes_lengths: Sizes of axes in parentheses on the left; one of each group may be left out.

    Returns:
        The rearranged tensor.

    Raises:
        ArgumentError: where the pattern does not fit the tensor, or its two sides do not name the same axes.

    Example:

    >>> rearrange([[1, 2, 3, 4]], "b (h w) -> b w h", h=2).tolist()
    [[[1, 3], [2, 4]]]
    """
    tensor = as_tensor(tensor)
    sides = re.split(r"\s*->\s*", pattern.strip())
    if len(sides) != 2:
        raise ArgumentError(
            f"rearrange: {pattern!r} has no two sides.", got=repr(pattern), expected="a pattern such as 'b h w -> b (h w)'"
        )
    left, right = map(_groups, sides)
    names, wanted = [n for group in left for n in group], [n for group in right for n in group]
    if sorted(names) != sorted(wanted) or len(set(names)) != len(names):
        raise ArgumentError(
            "rearrange: the two sides must name the same axes, each once.", got=repr(pattern), expected=f"{names} on both sides"
        )
    if len(left) != tensor.ndim:
        raise ArgumentError(
            f"rearrange: the left side has {len(left)} axes.", got=f"{pattern!r} for {tensor.spec}", expected=f"{tensor.ndim} axes"
        )
    sizes = _sizes(left, tensor, axes_lengths, pattern)
    split = reshape(tensor, tuple(sizes[n] for n in names))
    moved = transpose(split, [names.index(n) for n in wanted])
    return reshape(moved, tuple(_size_of(sizes[n] for n in group) for group in right))


def _sizes(groups, tensor, lengths, pattern):
    """The size of every named axis."""
    unknown = set(lengths) - {n for group in groups for n in group}
    if unknown:
        raise ArgumentError(
            f"rearrange: {sorted(unknown)} are not in the pattern.",
            got=f"{pattern!r} with {lengths}",
            expected="names on the left side",
        )
    sizes = {}
    for group, size in zip(groups, tensor.spec.shape, strict=True):
        given = {n: lengths[n] for n in group if n in lengths}
        missing = [n for n in group if n not in lengths]
        if len(missing) > 1:
            raise ArgumentError(
                f"rearrange: the sizes of {missing} are not known.",
                got=repr(pattern),
                expected="at most one size left out per group",
            )
        product = _size_of(given.values())
        fits = size % product == 0 if missing else size == product
        if not isinstance(size, Dim) and not isinstance(product, Dim) and not fits:
            raise ShapeError(
                f"rearrange: an axis of size {size} does not split into {' * '.join(map(str, given.values())) or 1}.",
                got=f"{pattern!r} with {lengths} for {tensor.spec}",
                expected="sizes whose product is the size of the axis",
            )
        sizes.update(given)
        if missing:
            sizes[missing[0]] = size // product
    return sizes
