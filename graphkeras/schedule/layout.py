"""Affine layouts: where the elements of a view lie in the array it is a view of, in elements, with symbolic sizes."""

from dataclasses import dataclass

from graphkeras.ir.dims import divide_exactly, size


def contiguous_strides(shape) -> tuple:
    """Row-major strides in elements."""
    strides, step = [], 1
    for dim in reversed(shape):
        strides.append(step)
        step = dim * step
    return tuple(reversed(strides))


def squeezed(shape) -> tuple:
    """The shape without axes of size 1."""
    return tuple(d for d in shape if d != 1)


def common_refinement(left, right):
    """The coarsest shape that both shapes come from by joining adjacent axes, or None.

    >>> common_refinement((6, 4), (2, 12))
    (2, 3, 4)
    """
    left, right = list(squeezed(left)), list(squeezed(right))
    fine = []
    while left and right:
        a, b = left[0], right[0]
        if a == b:
            fine.append(a)
            del left[0], right[0]
            continue
        rest = divide_exactly(a, b)
        if rest is not None:
            fine.append(b)
            left[0] = rest
            del right[0]
            continue
        rest = divide_exactly(b, a)
        if rest is None:
            return None
        fine.append(a)
        right[0] = rest
        del left[0]
    return None if left or right else tuple(fine)


def runs(shape, fine):
    """For each axis of `shape`, the slice of axes of `fine` that it is made of, or None where they do not match."""
    found, at = [], 0
    for dim in shape:
        start, product = at, 1
        while product != dim and at < len(fine):
            product = fine[at] * product
            at += 1
        if product != dim:
            return None
        found.append(slice(start, at))
    return found if at == len(fine) else None


def joined_axes(axes, layouts) -> tuple[list, list[list]]:
    """Adjacent axes joined where every layout (a tuple of strides) allows it: sizes, and per layout its strides.

    >>> joined_axes((2, 3, 4), [(12, 4, 1), (0, 4, 1)])
    ([2, 12], [[12, 1], [0, 1]])
    """
    sizes: list = []
    strides: list[list] = [[] for _ in layouts]
    for i, dim in enumerate(axes):
        if sizes and all(s[-1] == dim * layout[i] for s, layout in zip(strides, layouts)):
            sizes[-1] = dim * sizes[-1]
            for s, layout in zip(strides, layouts):
                s[-1] = layout[i]
        else:
            sizes.append(dim)
            for s, layout in zip(strides, layouts):
                s.append(layout[i])
    return sizes, strides


@dataclass(frozen=True)
class Layout:
    """Element [i, j, ...] of a view of `shape` lies at offset + i * strides[0] + j * strides[1] + ...

    Args:
        shape: sizes (int or Dim).
        strides: steps in elements (int or Dim), 0 along broadcast axes.
        offset: place of element [0, 0, ...].
    """

    shape: tuple
    strides: tuple
    offset: object = 0

    @classmethod
    def contiguous(cls, shape) -> "Layout":
        return cls(tuple(shape), contiguous_strides(shape))

    @property
    def is_contiguous(self) -> bool:
        """Row-major from offset 0, with no gaps."""
        if self.offset != 0:
            return False
        if any(d == 0 for d in self.shape):
            return True
        return all(d == 1 or s == c for d, s, c in zip(self.shape, self.strides, contiguous_strides(self.shape)))

    def transposed(self, perm) -> "Layout":
        return Layout(tuple(self.shape[p] for p in perm), tuple(self.strides[p] for p in perm), self.offset)

    def broadcast(self, shape) -> "Layout":
        """The view NumPy's broadcasting gives."""
        missing = len(shape) - len(self.shape)
        strides = [0] * missing
        for dim, stride, wanted in zip(self.shape, self.strides, shape[missing:]):
            strides.append(0 if dim == 1 and wanted != 1 else stride)
        return Layout(tuple(shape), tuple(strides), self.offset)

    def sliced(self, starts, steps, shape) -> "Layout":
        """The view from `starts` in `steps`, of the given shape."""
        offset = self.offset
        for start, stride in zip(starts, self.strides):
            offset = start * stride + offset
        return Layout(tuple(shape), tuple(step * stride for step, stride in zip(steps, self.strides)), offset)

    def reshaped(self, shape) -> "Layout | None":
        """The view as another shape, or None where no strides express it."""
        if self.is_contiguous:
            return Layout.contiguous(shape)
        if any(d == 0 for d in self.shape):
            return Layout(tuple(shape), contiguous_strides(shape), self.offset)
        fine = common_refinement(self.shape, shape)
        if fine is None:
            return self._merged(shape)
        split = self.split(fine)
        return split.joined(shape) if split is not None else None

    def _merged(self, shape):
        """Reshape by way of the fewest axes, for shapes that have no common refinement, e.g. (6, 4) -> (4, 6) of a slice."""
        merged = self.collapsed()
        fine = common_refinement(merged.shape, shape)
        if fine is None:
            return None
        return merged.split(fine).joined(shape)

    def collapsed(self) -> "Layout":
        """The same elements in the same order with adjacent axes joined where strides allow."""
        shape, strides = [], []
        for dim, stride in zip(self.shape, self.strides):
            if dim == 1:
                continue
            if shape and strides[-1] == dim * stride:
                shape[-1], strides[-1] = dim * shape[-1], stride
            else:
                shape.append(dim)
                strides.append(stride)
        return Layout(tuple(shape), tuple(strides), self.offset)

    def split(self, fine) -> "Layout | None":
        """The same elements as axes `fine`, a refinement of this shape; None where it is none."""
        kept = [(d, s) for d, s in zip(self.shape, self.strides) if d != 1]
        found = runs([d for d, _ in kept], fine)
        if found is None:
            return None
        strides = []
        for (_, stride), run in zip(kept, found):
            strides += [c * stride for c in contiguous_strides(fine[run])]
        return Layout(tuple(fine), tuple(strides), self.offset)

    def joined(self, shape) -> "Layout | None":
        """The same elements with runs of axes joined to `shape`; None where strides do not allow it."""
        kept = [d for d in shape if d != 1]
        found = runs(kept, self.shape)
        if found is None:
            return None
        strides = []
        for run in found:
            dims, steps = self.shape[run], self.strides[run]
            for i in range(len(dims) - 1):
                if steps[i] != dims[i + 1] * steps[i + 1]:
                    return None
            strides.append(steps[-1] if steps else 0)
        remaining = iter(strides)
        return Layout(tuple(shape), tuple(0 if d == 1 else next(remaining) for d in shape), self.offset)

    @property
    def size(self):
        return size(self.shape)
