"""Random calls of control flow for the generic tests: a function of tensors that makes one node, and its inputs."""

from graphkeras.ir.registry import Sample
from graphkeras.ir.samples import any_dtype, any_shape, any_size, booleans, flip, integers, uniform
from graphkeras.ops import core_control
from graphkeras.trace import prim

_DTYPES = ("float32", "float64")


def cond(rng):
    """Two branches with two results each, over captures of broadcast shapes."""
    shape, dtype = any_shape(rng, most=100), any_dtype(rng, _DTYPES)

    def call(pred, x, y):
        return tuple(core_control.cond(pred, lambda: (prim.sin(x) * y, x), lambda: (x * x - y, prim.exp(y))))

    return Sample((booleans(()), uniform(shape, dtype=dtype), uniform(shape, dtype=dtype)), call=call)


def switch(rng):
    """Three branches; an index beyond them takes the nearest one."""
    shape, dtype = any_shape(rng, most=100), any_dtype(rng, _DTYPES)
    branches = [lambda x, y: x + y, lambda x, y: prim.tanh(x) * y, lambda x, y: x - prim.cos(y)]
    call = lambda index, x, y: core_control.switch(index, branches, x, y)
    return Sample((integers((), -1, 4), uniform(shape, dtype=dtype), uniform(shape, dtype=dtype)), call=call)


def while_loop(rng):
    """As many steps as an input says, none among them."""
    shape, dtype = any_shape(rng, most=100), any_dtype(rng, _DTYPES)

    def call(count, x, y):
        step = lambda i, s: (i + 1, prim.tanh(s * y) + x)
        return tuple(core_control.while_loop(lambda i, s: prim.less(i, count), step, (count * 0, x), maximum_iterations=6))

    return Sample((integers((), 0, 6), uniform(shape, dtype=dtype), uniform(shape, dtype=dtype)), call=call)


def scan(rng):
    """Rows of any number, zero among them, forwards or backwards; one carry, a capture, and results per row."""
    shape, dtype, length, reverse = any_shape(rng, 0, 2, most=40), any_dtype(rng, _DTYPES), any_size(rng, most=9), flip(rng)

    def call(x, rows, weight):
        step = lambda carry, row: (prim.tanh(carry * weight + row), carry * row)
        return tuple(core_control.scan(step, x, rows, length=length, reverse=reverse))

    return Sample((uniform(shape, dtype=dtype), uniform((length, *shape), dtype=dtype), uniform((), dtype=dtype)), call=call)


def checkpoint(rng):
    """A function that is computed again for its gradient; two results, a capture."""
    from graphkeras.autodiff import checkpoint as recomputed  # gradients stand above ops

    shape, dtype = any_shape(rng, most=100), any_dtype(rng, _DTYPES)
    call = lambda x, y: recomputed(lambda x: (prim.tanh(x) * y, prim.sin(x * x)))(x)
    return Sample((uniform(shape, dtype=dtype), uniform(shape, dtype=dtype)), call=call)
