"""The state of a layer: its variables, weights, metrics and losses, and calls that leave them unchanged."""

import math
import weakref

import numpy as np

from graphkeras.ir.errors import ArgumentError, ShapeError
from graphkeras.trace import StatelessScope, current_scope, get_stateless_scope, tree
from graphkeras.trace.base import TensorBase


def _loss_home():
    """Where losses added now belong to: the stateless scope or trace that is open, None outside both."""
    stateless = get_stateless_scope()
    return current_scope() if stateless is None else stateless


def _unique(items):
    return list({id(item): item for item in items}.values())


class LayerState:
    """The part of `Layer` that is about its state."""

    @property
    def trainable(self):
        """Whether the weights of the layer are trained; setting it sets that of all layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        value = bool(value)
        self._trainable = value
        for variable in self._trainable_variables:
            variable.trainable = value
        for layer in self._layers:
            layer.trainable = value

    @property
    def variables(self):
        """All state of the layer and those inside it, random seeds included, without metrics."""
        own = [*self._trainable_variables, *self._non_trainable_variables, *(g.state for g in self._seed_generators)]
        return _unique(own + [v for layer in self._layers for v in layer.variables])

    @property
    def trainable_variables(self):
        """The variables that training changes."""
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self):
        """The variables that training does not change, random seeds included."""
        return [v for v in self.variables if not v.trainable] if self.trainable else self.variables

    @property
    def weights(self):
        """The weights of the layer and those inside it: `variables` without random seeds."""
        own = [*self._trainable_variables, *self._non_trainable_variables]
        return _unique(own + [w for layer in self._layers for w in layer.weights])

    @property
    def trainable_weights(self):
        """The weights that training changes."""
        return [w for w in self.weights if w.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self):
        """The weights that training does not change."""
        return [w for w in self.weights if not w.trainable] if self.trainable else self.weights

    @property
    def metrics(self):
        """The metrics held by the layer and those inside it."""
        return [*self._metrics, *(m for layer in self._layers for m in layer.metrics)]

    @property
    def metrics_variables(self):
        """The variables of `metrics`, in order."""
        return [v for metric in self.metrics for v in metric.variables]

    def count_params(self):
        """Number of elements of all weights.

        Raises:
            ArgumentError: before the layer is built.
        """
        if not self.built:
            raise ArgumentError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built.",
                got="a layer without weights yet",
                expected="a built layer",
                mend="call layer.build(input_shape), or call the layer on data first",
            )
        return sum(math.prod(w.shape) for w in self.weights)

    def get_weights(self):
        """The values of `weights`, as NumPy arrays."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights):
        """Sets the values of `weights` from arrays in the same order.

        Raises:
            ArgumentError: for another number of arrays.
            ShapeError: for an array of another shape; nothing is changed then.
        """
        own = self.weights
        if len(own) != len(weights):
            raise ArgumentError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of length {len(weights)}, "
                f"but the layer was expecting {len(own)} weights.",
                got=f"{len(weights)} arrays",
                expected=f"{len(own)} arrays: " + ", ".join(f"{w.name} {w.shape}" for w in own),
                mend="pass what get_weights() of a layer of the same form returned" if self.built else "build the layer first",
            )
        values = [value if hasattr(value, "shape") else np.asarray(value) for value in weights]
        for variable, value in zip(own, values):
            if tuple(variable.shape) != tuple(value.shape):
                raise ShapeError(
                    f"Layer {self.name} weight shape {variable.shape} is not compatible with provided weight shape {value.shape}.",
                    got=f"an array of shape {tuple(value.shape)} for '{variable.path}'",
                    expected=f"shape {variable.shape}",
                    mend="pass the arrays in the order of layer.weights",
                )
        for variable, value in zip(own, values):
            variable.assign(value)

    def save_own_variables(self, store):
        """Puts the values of the layer's own variables (not those of layers inside it) into a dictionary-like store."""
        for index, variable in enumerate([*self._trainable_variables, *self._non_trainable_variables]):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store):
        """Sets the layer's own variables from a store that `save_own_variables` filled."""
        own = [*self._trainable_variables, *self._non_trainable_variables]
        if len(store.keys()) != len(own):
            unbuilt = not own and not self.built
            raise ArgumentError(
                f"Layer '{self.name}' was never built and thus it doesn't have any variables, however the weights file lists "
                f"{len(store.keys())} variables for this layer."
                if unbuilt
                else f"Layer '{self.name}' expected {len(own)} variables, but received {len(store.keys())} during loading.",
                got=f"{len(store.keys())} arrays",
                expected=f"{len(own)} arrays: " + ", ".join(f"{v.name} {v.shape}" for v in own),
                mend="implement build_from_config(), or build the layer before loading"
                if unbuilt
                else "load weights of the same layer",
            )
        for index, variable in enumerate(own):
            variable.assign(np.asarray(store[str(index)]))

    def add_loss(self, loss):
        """Adds a scalar tensor, or a list of them, to `losses`; training adds it to the loss of the model."""
        for term in tree.flatten(loss):
            if not isinstance(term, TensorBase):
                raise ArgumentError(
                    "`add_loss()` can only be called from inside `build()` or `call()`, on a tensor input.",
                    got=f"loss={term!r} of type {type(term).__name__}",
                    expected="a scalar tensor",
                    mend="compute the loss with ops.* from the tensors of call()",
                )
            home = _loss_home()
            self._losses.append((None if home is None else weakref.ref(home), term))

    def _own_losses(self):
        """The losses added in the current trace, or eagerly where there is none."""
        here = _loss_home()
        return [loss for home, loss in self._losses if (home is None if here is None else home is not None and home() is here)]

    def _flat_layers(self):
        """This layer and all inside it, each once."""
        seen, stack = {}, [self]
        while stack:
            layer = stack.pop()
            if id(layer) not in seen:
                seen[id(layer)] = layer
                stack.extend(reversed(layer._layers))
        return list(seen.values())

    @property
    def losses(self):
        """Scalar losses of the last call of the layer (`add_loss`, activity regularizers) and of its weights' regularizers."""
        losses = [loss for layer in self._flat_layers() for loss in layer._own_losses()]
        return losses + [w.regularizer(w) for w in self.trainable_weights if w.regularizer is not None]

    def _clear_losses(self):
        """Forgets the losses of the current trace, and those of traces that are gone."""
        here = _loss_home()
        for layer in self._flat_layers():
            if layer._losses:
                layer._losses[:] = [
                    (home, loss)
                    for home, loss in layer._losses
                    if (home is not None and home() is not None if here is None else home is None or home() not in (None, here))
                ]

    def stateless_call(self, trainable_variables, non_trainable_variables, *args, return_losses=False, **kwargs):
        """Calls the layer with given values of its variables, and changes nothing.

        Args:
            trainable_variables: values in the order of `trainable_variables`.
            non_trainable_variables: values in the order of `non_trainable_variables`.
            *args, **kwargs: arguments of the call.
            return_losses: whether the list of losses is returned too.

        Returns:
            `(outputs, non_trainable_variables)` with the new values of the second, or with `return_losses` the losses behind them.
        """
        if not self.built:
            raise ArgumentError(
                f"To call stateless_call, {type(self).__name__} must be built (i.e. its variables must have been already created).",
                got=f"layer '{self.name}' without variables",
                expected="a built layer",
                mend="call it on some data first, or call build(input_shape)",
            )
        non_trainable = self.non_trainable_variables
        groups = [
            ("trainable", self.trainable_variables, trainable_variables),
            ("non_trainable", non_trainable, non_trainable_variables),
        ]
        for kind, variables, values in groups:
            if len(variables) != len(values):
                raise ArgumentError(
                    f"Argument `{kind}_variables` must be a list of tensors corresponding 1:1 to "
                    f"{type(self).__name__}().{kind}_variables.",
                    got=f"a list of length {len(values)}",
                    expected=f"{len(variables)} values",
                )
        mapping = [pair for _, variables, values in groups for pair in zip(variables, values)]
        with StatelessScope(state_mapping=mapping):
            outputs = self(*args, **kwargs)
            losses = self.losses if return_losses else None
            updated = [variable.value for variable in non_trainable]
        return (outputs, updated, losses) if return_losses else (outputs, updated)
