"""Pickling of layers, models, metrics and optimizers: as their class, config and values, without graphs and programs."""

import copy

from graphkeras.ir.errors import ArgumentError
from graphkeras.saving.object_registration import custom_object_scope


class Pickled:
    """Base of objects that are made from a config and hold variables.

    What is pickled is the class, the config and `_pickled_state()`; `copy.deepcopy` copies attribute by attribute as usual, so that
    classes which a config cannot name can be copied too.
    """

    def __reduce__(self):
        classes = {cls.__name__: cls for cls in map(_importable, self._classes_inside())}
        return _restored, (_importable(type(self)), self.get_config(), self._pickled_state(), classes)

    def __deepcopy__(self, memo):
        new = memo[id(self)] = object.__new__(type(self))
        for name, value in self._copied_attributes().items():
            object.__setattr__(new, name, copy.deepcopy(value, memo))
        return new

    def _classes_inside(self):
        """The classes of others that the config may name."""
        return ()

    def _copied_attributes(self):
        """The attributes that a deep copy copies."""
        return self.__dict__

    def _pickled_state(self):
        """What the config does not tell, for `_restore_state`."""
        return [variable.numpy() for variable in self.variables]

    def _restore_state(self, state):
        own = self.variables
        if len(own) != len(state):
            raise ArgumentError(
                f"{type(self).__name__} cannot be unpickled: made from its config it has another number of variables.",
                got=f"{len(own)} variables",
                expected=f"{len(state)} values",
                mend="let get_config() and build() make the same variables as before, or write get_build_config()",
            )
        for variable, value in zip(own, state):
            variable.assign(value)


def _importable(cls):
    """The class itself; for a model made by calling a subclass with (inputs, outputs), which has a class of its own, that subclass."""
    return getattr(cls, "_user_class", cls)


def _restored(cls, config, state, classes):
    with custom_object_scope(classes):
        obj = cls.from_config(config)
        obj._restore_state(state)
    return obj


__all__ = ["Pickled"]
