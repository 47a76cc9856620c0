"""Einstein summation by transpositions and one batched matrix product per pair of operands."""

import string

from graphkeras.ir.dims import size as _size_of
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.inference import broadcast_dim
from graphkeras.ops.numpy_diagonal import diagonal
from graphkeras.ops.numpy_linear import matmul
from graphkeras.ops.numpy_reduce import sum as reduce_sum
from graphkeras.ops.numpy_shape import moveaxis, reshape
from graphkeras.ops.promotion import promote
from graphkeras.trace import as_tensor, prim


def einsum(subscripts, *operands, **kwargs):
    """Evaluates the Einstein summation convention on the operands.

    Args:
        subscripts: Subscripts for summation, e.g. `"ij,jk->ik"`; `...` stands for leading axes that are broadcast.
        *operands: The operands, brought to one dtype.

    Returns:
        The result of the summation.

    Raises:
        ArgumentError: where subscripts and operands do not fit.

    Example:

    >>> einsum("ij,jk->ik", [[1, 2]], [[3], [4]]).tolist()
    [[11]]
    """
    if kwargs:
        raise ArgumentError(f"einsum: unknown arguments {', '.join(kwargs)}.", got=str(kwargs), expected="subscripts and operands")
    tensors = promote(*map(as_tensor, operands))
    labels, output = _parse(subscripts, tensors)
    terms = [_traced(t, names) for t, names in zip(tensors, labels)]
    while len(terms) > 1:
        first, second, *rest = terms
        needed = set(output).union(*(names for _, names in rest))
        terms = [_contract(first, second, needed), *rest]
    tensor, names = terms[0]
    summed = [i for i, n in enumerate(names) if n not in output]
    tensor, names = reduce_sum(tensor, tuple(summed)) if summed else tensor, [n for n in names if n in output]
    return _ordered(tensor, names, output)


def _parse(subscripts, tensors):
    """Labels of every operand and of the output, with `...` replaced by letters of its own."""
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    parts = inputs.split(",")
    if len(parts) != len(tensors):
        raise ArgumentError(
            f"einsum: {len(parts)} terms for {len(tensors)} operands.",
            got=repr(subscripts),
            expected="one term per operand",
            mend="separate terms by commas",
        )
    spare = [c for c in string.ascii_letters if c not in text]
    hidden = max((t.ndim - len(p.replace("...", "")) for t, p in zip(tensors, parts) if "..." in p), default=0)
    dots = "".join(spare[:hidden])
    labels = []
    for tensor, part in zip(tensors, parts):
        count = tensor.ndim - len(part.replace("...", ""))
        part = part.replace("...", dots[hidden - count :] if count > 0 else "") if "..." in part else part
        if len(part) != tensor.ndim or not part.isalpha() and part:
            raise ArgumentError(
                f"einsum: term '{part}' does not fit rank {tensor.ndim}.",
                got=f"{subscripts!r} with operand {tensor.spec}",
                expected="one letter per axis",
            )
        labels.append(part)
    if arrow:
        output = output.replace("...", dots)
    else:
        seen = "".join(labels)
        output = dots + "".join(sorted(c for c in set(seen) if seen.count(c) == 1 and c not in dots))
    if len(set(output)) != len(output) or not set(output) <= set("".join(labels)):
        raise ArgumentError(
            f"einsum: output '{output}' repeats a label or names one that no operand has.",
            got=repr(subscripts),
            expected="labels of operands, each once",
            mend="leave out what is summed over; every other label stands behind '->' once",
        )
    return labels, output


def _traced(tensor, names):
    """A repeated label within one operand takes the diagonal."""
    names = list(names)
    for label in dict.fromkeys(names):
        while names.count(label) > 1:
            first = names.index(label)
            second = names.index(label, first + 1)
            tensor = diagonal(tensor, 0, first, second)
            names = [n for i, n in enumerate(names) if i not in (first, second)] + [label]
    return tensor, names


def _contract(first, second, needed):
    (a, left), (b, right) = first, second
    # Labels that nobody else needs are summed before the product.
    for_sum = [i for i, n in enumerate(left) if n not in right and n not in needed]
    a, left = (reduce_sum(a, tuple(for_sum)), [n for n in left if n in right or n in needed]) if for_sum else (a, left)
    for_sum = [i for i, n in enumerate(right) if n not in left and n not in needed]
    b, right = (reduce_sum(b, tuple(for_sum)), [n for n in right if n in left or n in needed]) if for_sum else (b, right)
    batch = [n for n in left if n in right and n in needed]
    inner = [n for n in left if n in right and n not in needed]
    rows = [n for n in left if n not in right]
    columns = [n for n in right if n not in left]
    sizes = {}
    for tensor, names in ((a, left), (b, right)):
        for n, d in zip(names, tensor.spec.shape):
            sizes[n] = broadcast_dim(sizes.get(n, 1), d)
            if sizes[n] is None:
                raise ArgumentError(
                    f"einsum: label '{n}' has two sizes.",
                    got=f"{a.spec} ({''.join(left)}) and {b.spec} ({''.join(right)})",
                    expected="equal sizes",
                )
    pick = lambda names: tuple(sizes[n] for n in names)
    a = _spread(_ordered(a, left, [*batch, *rows, *inner]), pick([*batch, *rows, *inner]))
    b = _spread(_ordered(b, right, [*batch, *inner, *columns]), pick([*batch, *inner, *columns]))
    a = reshape(a, (*pick(batch), _size_of(pick(rows)), _size_of(pick(inner))))
    b = reshape(b, (*pick(batch), _size_of(pick(inner)), _size_of(pick(columns))))
    return reshape(matmul(a, b), (*pick(batch), *pick(rows), *pick(columns))), [*batch, *rows, *columns]


def _spread(tensor, shape):
    return tensor if tensor.spec.shape == shape else prim.broadcast_to(tensor, shape=shape)


def _ordered(tensor, names, wanted):
    return moveaxis(tensor, tuple(list(names).index(n) for n in wanted), tuple(range(len(wanted)))) if wanted else tensor
