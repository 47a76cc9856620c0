"""Keras's names for rematerialisation: `remat`, and a scope that layers remember."""

import contextvars
import functools
import math
from collections import namedtuple

from graphkeras.autodiff.checkpoint import checkpoint
from graphkeras.ir.errors import ArgumentError
from graphkeras.ops.control_nodes import is_traced
from graphkeras.trace import current_scope, tree

MODES = ("full", "activations", "larger_than", "list_of_layers", None)
RematMode = namedtuple("RematMode", ["mode", "output_size_threshold", "layer_names"])
_scopes: contextvars.ContextVar[tuple] = contextvars.ContextVar("graphkeras_remat_scopes", default=())


def remat(f):
    """Applies rematerialization to a function or layer: its gradient computes again what it needs, instead of keeping it.

    Args:
        f: A callable.

    Returns:
        A callable of the same arguments, with the same values and gradients; see `graphkeras.autodiff.checkpoint`. A layer that is
        called so while a functional model is built becomes a layer of the model, as if it was made in a `RematScope`.

    Example:

    >>> import graphkeras as keras
    >>> step = remat(lambda x: keras.ops.tanh(x) * 2.0)
    >>> float(step(keras.ops.convert_to_tensor(0.0)))
    0.0
    """
    again = checkpoint(f)
    if not hasattr(f, "_remat_mode"):
        return again

    @functools.wraps(f.__call__)
    def layer(*args, **kwargs):
        if current_scope() is None and is_traced(args, kwargs):  # a model is being built, and it must know its layers
            object.__setattr__(f, "_remat_mode", RematMode("full", 0, []))
            return f(*args, **kwargs)
        return again(*args, **kwargs)

    return layer


class RematScope:
    """A context in which layers that are made are set to be computed again for their gradients.

    Args:
        mode: "full": all layers; "activations": the activations of layers that have one; "larger_than": layers with more than
            `output_size_threshold` output elements (sizes that are not known count as 1); "list_of_layers": the layers named in
            `layer_names`; None: none.
        output_size_threshold: for "larger_than".
        layer_names: for "list_of_layers".

    Raises:
        ArgumentError: for another mode.

    Example:

    >>> import graphkeras as keras
    >>> with RematScope(mode="full"):
    ...     layer = keras.layers.Dense(2)
    >>> layer(keras.ops.ones((1, 3))).shape
    (1, 2)
    """

    def __init__(self, mode="full", output_size_threshold=1024, layer_names=None):
        if mode not in MODES:
            raise ArgumentError(
                f"Invalid mode '{mode}'. Supported modes are: 'full', 'activations', 'larger_than', 'list_of_layers', or None.",
                got=f"mode={mode!r}",
                expected="one of " + ", ".join(map(repr, MODES)),
                mend="see the docstring of RematScope",
            )
        self.mode = mode
        self.output_size_threshold = output_size_threshold
        self.layer_names = layer_names or []
        self._tokens = []

    def __enter__(self):
        self._tokens.append(_scopes.set((*_scopes.get(), self)))
        return self

    def __exit__(self, *exc):
        _scopes.reset(self._tokens.pop())


def get_current_remat_mode() -> RematMode | None:
    """What the innermost `RematScope` asks for; None outside of all."""
    scopes = _scopes.get()
    if not scopes:
        return None
    scope = scopes[-1]
    return RematMode(scope.mode, scope.output_size_threshold, scope.layer_names)


def rematerialized_call(layer, call, mode: RematMode, args, kwargs):
    """The `call` of a layer as the scope that the layer was made in wants it."""
    if mode.mode == "full" or (mode.mode == "list_of_layers" and layer.name in mode.layer_names):
        return checkpoint(call)
    if mode.mode == "activations" and getattr(layer, "activation", None) is not None:
        return _with_activation(layer, call)
    if mode.mode == "larger_than":
        outputs = tree.flatten(layer.compute_output_spec(*args, **kwargs))
        if sum(math.prod(d or 1 for d in y.shape) for y in outputs) > mode.output_size_threshold:
            return checkpoint(call)
    return call


def _with_activation(layer, call):
    @functools.wraps(call)
    def wrapped(*args, **kwargs):
        activation = layer.activation
        object.__setattr__(layer, "activation", checkpoint(activation))
        try:
            return call(*args, **kwargs)
        finally:
            object.__setattr__(layer, "activation", activation)

    return wrapped


__all__ = ["RematMode", "RematScope", "get_current_remat_mode", "remat", "rematerialized_call"]
