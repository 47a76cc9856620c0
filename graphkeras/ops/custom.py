"""Functions that bring a gradient of their own, as in `keras.ops`."""

import functools
import inspect

from graphkeras.ir.errors import GradientError
from graphkeras.ir.registry import Sample, register_op
from graphkeras.ir.samples import any_dtype, any_shape, uniform
from graphkeras.trace import apply, as_tensor, prim, tree


class PullBack:
    """How cotangents of the outputs of one call become cotangents of its inputs: the function that the user returned."""

    __slots__ = ("function",)

    def __init__(self, function):
        self.function = function

    def __call__(self, cotangents, inputs):
        parameters = inspect.signature(self.function).parameters
        upstream = parameters.get("upstream")
        if upstream is None or upstream.kind is not upstream.KEYWORD_ONLY or upstream.default is not upstream.empty:
            return tree.flatten(self.function(*cotangents))
        takes_inputs = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
        given = cotangents[0] if len(cotangents) == 1 else tuple(cotangents)
        return tree.flatten(self.function(*(inputs if takes_inputs else ()), upstream=given))

    def __repr__(self):
        return f"<gradient {getattr(self.function, '__name__', 'function')}>"


def _pass_through(values, inputs):
    return values[inputs:] if len(values) - inputs > 1 else values[inputs]


def _vjp(ct, *values, inputs, pull_back):
    if pull_back is None:
        return (*(None for _ in range(inputs)), *(ct if isinstance(ct, tuple) else (ct,)))
    outputs = (len(values) - inputs) // 2
    found = values[inputs + outputs :]
    cts = ct if isinstance(ct, tuple) else (ct,)
    cts = [
        prim.broadcast_to(prim.cast(0.0, dtype=y.dtype), shape=y.spec.shape) if c is None else c
        for c, y in zip(cts, found, strict=True)
    ]
    pulled = pull_back(cts, values[:inputs])
    if len(pulled) != inputs:
        raise GradientError(
            f"custom_gradient: the gradient function returned {len(pulled)} tensors for {inputs} inputs.",
            got=f"{len(pulled)} tensors",
            expected=f"{inputs}, one for each input",
        )
    return (*(None if p is None else as_tensor(p) for p in pulled), *(None for _ in range(outputs)))


register_op(
    "custom_gradient",
    kind="composite",
    infer=lambda *specs, inputs, pull_back: _pass_through(specs, inputs),
    eager=lambda *arrays, inputs, pull_back: _pass_through(arrays, inputs),
    vjp=_vjp,
    expand=lambda *tensors, inputs, pull_back: _pass_through(tuple(prim.identity(t) for t in tensors), inputs),
    cost=lambda *specs, outputs, inputs, pull_back: 0,
    samples=[Sample((uniform((2, 3)), uniform((4,))), {"inputs": 1, "pull_back": None})],
    vary=lambda rng: Sample(
        (uniform(any_shape(rng), dtype=any_dtype(rng)), uniform(any_shape(rng), dtype=any_dtype(rng))),
        {"inputs": 1, "pull_back": None},
    ),
)


def custom_gradient(f):
    """Decorator for a function that defines its own gradient.

    Args:
        f: Function of tensors that returns a pair: its output (or a nested structure of outputs), and a function from the
            cotangents of the outputs to those of the inputs, a tensor or a tuple of them. That function is called as
            `grad(*upstream)`, or as `grad(*args, upstream=upstream)` where `upstream` is a keyword that must be given.

    Returns:
        A function of tensors that returns the output alone.

    Example:

    >>> @custom_gradient
    ... def clipped(x):
    ...     return x * x, lambda upstream: upstream * 100.0
    >>> clipped(as_tensor(3.0)).item()
    9.0
    """

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        inputs = [as_tensor(x) for x in tree.flatten(args)]
        own = iter([prim.stop_gradient(x) for x in inputs])
        output, gradient = f(*tree.map_structure(lambda _: next(own), args), **kwargs)
        results = [as_tensor(y) for y in tree.flatten(output)]
        handed = apply("custom_gradient", *inputs, *results, inputs=len(inputs), pull_back=PullBack(gradient))
        return tree.pack_sequence_as(output, list(handed) if isinstance(handed, tuple) else [handed])

    return wrapped
