"""Pixels at computed places: maps of coordinates, affine and perspective transforms."""

import itertools

import numpy as np

from graphkeras.ir.dims import Dim
from graphkeras.ir.dtypes import INTEGERS, is_float, numpy_dtype
from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.ops.image.layout import Images, known_sizes, require_choice
from graphkeras.ops.inference import scalar_like
from graphkeras.ops.linalg import solve
from graphkeras.ops.numpy_join import stack
from graphkeras.ops.numpy_shape import cut, expand_dims
from graphkeras.ops.promotion import as_float
from graphkeras.ops.sources import iota
from graphkeras.trace import as_tensor, convert_to_tensor, prim

_INTERPOLATIONS = ("nearest", "bilinear")
_FILL_MODES = ("constant", "nearest", "wrap", "reflect")
_MAP_FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


def _int(value):
    return np.int32(value)


def _mirrored(index, size):
    """d c b | a b c d | c b a"""
    last = size - 1
    if last == 0:
        return index * _int(0)
    return prim.absolute(prim.remainder(index + _int(last), _int(2 * last)) - _int(last))


def _inside(index, size, mode):
    """Integer places brought inside [0, size)."""
    if mode == "wrap":
        return prim.remainder(index, _int(size))
    if mode == "mirror":
        return _mirrored(index, size)
    if mode == "reflect":  # c b a | a b c d | d c b
        return prim.floor_divide(_mirrored(index * _int(2) + _int(1), 2 * size + 1) - _int(1), _int(2))
    return prim.minimum(prim.maximum(index, _int(0)), _int(size - 1))


def _is_inside(index, size):
    return prim.logical_and(prim.greater_equal(index, _int(0)), prim.less(index, _int(size)))


def map_coordinates(inputs, coordinates, order, fill_mode="constant", fill_value=0):
    """Reads a tensor at places between its elements.

    Args:
        inputs: Input tensor of rank R.
        coordinates: Tensor (R, ...): the coordinates of each place, in elements.
        order: 0 reads the nearest element, 1 interpolates linearly.
        fill_mode: What lies beyond the border: "constant" (`fill_value`), "nearest" (the border's element), "wrap" (the other end),
            "mirror" (reflected at the border's element) or "reflect" (reflected at its edge).
        fill_value: Value of what lies beyond.

    Returns:
        Tensor of the shape and dtype of `inputs[0], coordinates[0]`; integers are rounded.

    Example:

    >>> map_coordinates([0.0, 10.0, 20.0], [[0.5, 1.0]], order=1).tolist()
    [5.0, 10.0]
    """
    x, places = as_tensor(inputs), as_float(coordinates)
    if places.ndim < 2:
        raise ShapeError("Invalid coordinates rank: expected at least rank 2.", got=str(places.spec), expected="(R, ...)")
    if places.spec.shape[0] != x.ndim:
        raise ShapeError(
            "First dim of `coordinates` must be the same as the rank of `inputs`.",
            got=f"inputs {x.spec}, coordinates {places.spec}",
        )
    require_choice("fill_mode", fill_mode, _MAP_FILL_MODES)
    if order not in (0, 1):
        raise ArgumentError("map_coordinates currently requires order<=1.", got=f"order={order!r}", expected="0 or 1")
    shape = places.spec.shape[1:]
    axes = [prim.reshape(cut(places, 0, i, i + 1), shape=shape) for i in range(x.ndim)]
    return _sampled(x, axes, order, fill_mode, fill_value)


def _sampled(x, axes, order, fill_mode, fill_value):
    """Elements of `x` at the places `axes`, one tensor of coordinates per axis."""
    if any(isinstance(d, Dim) for d in x.spec.shape):
        raise ShapeError("map_coordinates: needs sizes known when the graph is built.", got=str(x.spec), expected="fixed sizes")
    taps = [_taps(place, order) for place in axes]
    flat = prim.reshape(x, shape=(x.spec.size,))
    fill = np.asarray(fill_value, numpy_dtype(x.dtype))
    total = None
    for corner in itertools.product(*taps):
        index = known = weight = None
        for (place, factor), size in zip(corner, x.spec.shape):
            inside = _inside(place, size, fill_mode)
            index = inside if index is None else index * _int(size) + inside
            if fill_mode == "constant":
                valid = _is_inside(place, size)
                known = valid if known is None else prim.logical_and(known, valid)
            if factor is not None:
                weight = factor if weight is None else weight * factor
        value = prim.gather(flat, index, axis=0)
        value = value if known is None else prim.select(known, value, fill)
        if weight is None:
            return value
        part = prim.cast(value, dtype=weight.dtype) * weight
        total = part if total is None else total + part
    return prim.cast(prim.round(total) if x.dtype in INTEGERS else total, dtype=x.dtype)


def _taps(place, order):
    """(index, weight) of the elements that a place is made of."""
    if order == 0:
        return [(prim.cast(prim.round(place), dtype="int32"), None)]
    low = prim.floor(place)
    index, upper = prim.cast(low, dtype="int32"), place - low
    return [(index, scalar_like(1, place) - upper), (index + _int(1), upper)]


# ---- projective transforms ------------------------------------------------------------------------------------------


def _wrapped(place, size, mode):
    """Fractional places brought inside [0, size - 1], as TensorFlow's ImageProjectiveTransformV3 does it."""
    if mode == "constant":
        return place
    number = lambda v: scalar_like(v, place)
    whole = lambda v: prim.select(prim.less(v, number(0)), prim.ceil(v), prim.floor(v))
    last, below = size - 1, prim.less(place, number(0))
    above = prim.greater(place, number(last))
    if mode == "reflect" and size > 1:
        double = number(2 * size)
        low = prim.select(prim.less(place, -double), place + double * whole(-place / double), place)
        low = prim.select(prim.less(low, number(-size)), low + double, -low - number(1))
        high = place - double * whole(place / double)
        high = prim.select(prim.greater_equal(high, number(size)), double - high - number(1), high)
        place = prim.select(below, low, prim.select(above, high, place))
    elif mode == "wrap" and size > 1:
        low = place + number(size) * (whole(-place / number(last)) + number(1))
        high = place - number(size) * whole(place / number(last))
        place = prim.select(below, low, prim.select(above, high, place))
    return prim.minimum(prim.maximum(place, number(0)), number(last))


def _projected(images, transforms, interpolation, fill_mode, fill_value):
    """(N, H, W, C) images read at the places to which the (N, 8) or (1, 8) transforms send each pixel of the result."""
    height, width = known_sizes(images, "affine_transform")
    count, channels = images.spec.shape[0], images.spec.shape[-1]
    part = lambda i: prim.reshape(cut(transforms, 1, i, i + 1), shape=(transforms.spec.shape[0], 1, 1))
    a0, a1, a2, b0, b1, b2, c0, c1 = map(part, range(8))
    x = iota((1, 1, width), 2, transforms.dtype, like=transforms)
    y = iota((1, height, 1), 1, transforms.dtype, like=transforms)
    scale = c0 * x + c1 * y + scalar_like(1, transforms)
    nowhere = prim.equal(scale, scalar_like(0, scale))
    safe = prim.select(nowhere, scalar_like(1, scale), scale)
    rows = _wrapped((b0 * x + b1 * y + b2) / safe, height, fill_mode)
    columns = _wrapped((a0 * x + a1 * y + a2) / safe, width, fill_mode)
    flat = prim.reshape(images, shape=(count * (height * width), channels))
    first = iota((count, 1, 1), 0, "int32", like=images) * _int(height * width)
    fill = np.asarray(fill_value, numpy_dtype(images.dtype))

    def read(row, column):
        inside = prim.logical_and(_is_inside(row, height), _is_inside(column, width))
        index = _inside(row, height, "nearest") * _int(width) + _inside(column, width, "nearest") + first
        return prim.select(expand_dims(inside, -1), prim.gather(flat, index, axis=0), fill)

    if interpolation == "nearest":
        value = read(_half_away(rows), _half_away(columns))
    else:
        wide = images.dtype if is_float(images.dtype) else "float32"
        value = None
        for (row, above), (column, left) in itertools.product(_taps(rows, 1), _taps(columns, 1)):
            weight = prim.cast(expand_dims(above * left, -1), dtype=wide)
            corner = prim.cast(read(row, column), dtype=wide) * weight
            value = corner if value is None else value + corner
        value = prim.cast(value, dtype=images.dtype)
    return prim.select(expand_dims(nowhere, -1), fill, value)


def _half_away(place):
    """Rounded to the nearest integer, halves away from zero."""
    half = scalar_like(0.5, place)
    rounded = prim.floor(prim.absolute(place) + half)
    return prim.cast(prim.select(prim.less(place, scalar_like(0, place)), -rounded, rounded), dtype="int32")


def affine_transform(images, transform, interpolation="bilinear", fill_mode="constant", fill_value=0, data_format=None):
    """Applies projective transforms to images.

    Args:
        images: Image of rank 3 or batch of rank 4, of known height and width.
        transform: Tensor (8,) or (N, 8) of `a0, a1, a2, b0, b1, b2, c0, c1`: the pixel at (x, y) of the result is read at
            `((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k)` with `k = c0 x + c1 y + 1`.
        interpolation: "bilinear" or "nearest".
        fill_mode: What lies beyond the border: "constant" (`fill_value`), "nearest", "wrap" or "reflect".
        fill_value: Value of what lies beyond.
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Images of the same shape and dtype.

    Example:

    >>> image = np.arange(4.0, dtype="float32").reshape(2, 2, 1)
    >>> affine_transform(image, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0])[..., 0].tolist()
    [[1.0, 0.0], [3.0, 0.0]]
    """
    require_choice("interpolation", interpolation, _INTERPOLATIONS)
    require_choice("fill_mode", fill_mode, _FILL_MODES)
    frame, transform = Images(images, data_format), _exact(transform)
    if transform.ndim not in (1, 2) or transform.spec.shape[-1] != 8:
        raise ShapeError(
            "Invalid transform rank: expected rank 1 (single transform) or rank 2 (batch of transforms).", got=str(transform.spec),
            expected="(8,) or (N, 8)",
        )  # fmt: skip
    transform = expand_dims(transform, 0) if transform.ndim == 1 else transform
    return frame.restored(_projected(frame.tensor, transform, interpolation, fill_mode, fill_value))


def _exact(numbers):
    """As float32, or float64 where they are: half precision cannot tell the pixels of larger images apart."""
    numbers = as_tensor(numbers)
    return numbers if numbers.dtype == "float64" else convert_to_tensor(numbers, "float32")


def _homography(start, end):
    """(N, 8) transforms that send the end points to the start points: a linear system of 8 equations each."""
    coordinate = lambda points, i, k: prim.reshape(points[:, i, k], shape=(points.spec.shape[0],))
    rows, targets = [], []
    for i in range(4):
        x, y = coordinate(end, i, 0), coordinate(end, i, 1)
        one, zero = x * scalar_like(0, x) + scalar_like(1, x), x * scalar_like(0, x)
        for k, left in ((0, True), (1, False)):
            goal = coordinate(start, i, k)
            own, other = (x, y, one), (zero, zero, zero)
            rows.append(stack((*(own if left else other), *(other if left else own), -goal * x, -goal * y), axis=-1))
            targets.append(goal)
    return solve(stack(rows, axis=1), stack(targets, axis=-1))


def perspective_transform(images, start_points, end_points, interpolation="bilinear", fill_value=0, data_format=None):
    """Applies the perspective transforms that bring four points to four others.

    Args:
        images: Image of rank 3 or batch of rank 4, of known height and width.
        start_points: Tensor (4, 2) or (N, 4, 2) of (x, y) in the input.
        end_points: Tensor of the same shape: where they come to lie.
        interpolation: "bilinear" or "nearest".
        fill_value: Value of what lies beyond the border.
        data_format: "channels_last" or "channels_first"; that of the configuration by default.

    Returns:
        Images of the same shape and dtype.

    Raises:
        DataError: where three of the points lie on one line.

    Example:

    >>> corners = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    >>> perspective_transform(np.ones((2, 2, 1), "float32"), corners, corners).tolist()
    [[[1.0], [1.0]], [[1.0], [1.0]]]
    """
    require_choice("interpolation", interpolation, _INTERPOLATIONS)
    frame = Images(images, data_format)
    start, end = map(_exact, (start_points, end_points))
    for points in (start, end):
        if points.ndim not in (2, 3) or points.spec.shape[-2:] != (4, 2):
            raise ShapeError(
                "Invalid start_points or end_points shape: expected (4,2) for a single image or (N,4,2) for a batch.",
                got=f"start_points {start.spec}, end_points {end.spec}",
                expected="(4, 2) or (N, 4, 2)",
            )
    if start.spec.shape != end.spec.shape:
        raise ShapeError("start_points and end_points must have the same shape.", got=f"{start.spec}, {end.spec}")
    start, end = (expand_dims(p, 0) if p.ndim == 2 else p for p in (start, end))
    return frame.restored(_projected(frame.tensor, _homography(start, end), interpolation, "constant", fill_value))


def displaced(images, dx, dy, interpolation, fill_mode, fill_value):
    """(N, H, W, C) images read at places moved by (N, H, W) distances."""
    height, width = known_sizes(images, "elastic_transform")
    count, channels = images.spec.shape[0], images.spec.shape[-1]
    rows = iota((1, height, 1), 1, dy.dtype, like=dy) + dy
    columns = iota((1, 1, width), 2, dx.dtype, like=dx) + dx
    flat = prim.reshape(images, shape=(count * (height * width), channels))
    first = iota((count, 1, 1), 0, "int32", like=images) * _int(height * width)
    fill = np.asarray(fill_value, numpy_dtype(images.dtype))
    order = _INTERPOLATIONS.index(interpolation)
    total = None
    for (row, above), (column, left) in itertools.product(_taps(rows, order), _taps(columns, order)):
        index = _inside(row, height, fill_mode) * _int(width) + _inside(column, width, fill_mode) + first
        value = prim.gather(flat, index, axis=0)
        if fill_mode == "constant":
            inside = prim.logical_and(_is_inside(row, height), _is_inside(column, width))
            value = prim.select(expand_dims(inside, -1), value, fill)
        if above is None:
            return value
        part = prim.cast(value, dtype=above.dtype) * expand_dims(above * left, -1)
        total = part if total is None else total + part
    return prim.cast(prim.round(total) if images.dtype in INTEGERS else total, dtype=images.dtype)


__all__ = ["affine_transform", "displaced", "map_coordinates", "perspective_transform"]
