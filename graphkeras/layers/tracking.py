"""Which sub-layers, variables, metrics and seed generators a layer holds, also inside lists, dicts and tuples."""

import contextvars
from collections import OrderedDict
from contextlib import contextmanager

from graphkeras.ir.errors import ArgumentError
from graphkeras.trace.variable import note_structure_change

_on: contextvars.ContextVar[bool] = contextvars.ContextVar("graphkeras_tracking", default=True)


@contextmanager
def not_tracking():
    """Attributes set inside are not tracked."""
    token = _on.set(False)
    try:
        yield
    finally:
        _on.reset(token)


class Tracker:
    """Sorts the attributes of a layer into stores.

    Args:
        stores: dictionary of store names to pairs (test function, list that receives the objects).
    """

    def __init__(self, stores):
        self.stores = stores
        self.lock_message = None

    def track(self, value):
        """Puts `value` into its store; containers come back as containers that track what is added to them later."""
        if not _on.get():
            return value
        for name, (belongs, store) in self.stores.items():
            if belongs(value):
                self._add(name, store, value)
                return value
        kind = type(value)
        if kind is tuple:
            return tuple(map(self.track, value))
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return kind(*map(self.track, value))
        if kind is list or kind is TrackedList:
            return TrackedList(value, self)
        if kind is OrderedDict or kind is TrackedOrderedDict:
            return TrackedOrderedDict(value, self)
        if kind is dict or kind is TrackedDict:
            return TrackedDict(value, self)
        if kind is set or kind is TrackedSet:
            return TrackedSet(value, self)
        return value

    def untrack(self, value):
        """Takes `value` out of its store."""
        for _, store in self.stores.values():
            store[:] = [kept for kept in store if kept is not value]
        note_structure_change()

    def _add(self, name, store, value):
        if any(kept is value for kept in store):
            return
        # Metrics may come later: custom train steps often make theirs in compile().
        if self.lock_message is not None and name != "metrics":
            raise ArgumentError(
                self.lock_message,
                got=f"a new {type(value).__name__} '{getattr(value, 'name', value)}'",
                expected="state that is made before the layer is built",
                mend="create all variables and sub-layers in __init__() or build()",
            )
        store.append(value)
        note_structure_change()


class TrackedList(list):
    """A list whose layers, variables ... belong to the layer that holds it."""

    def __init__(self, values=(), tracker=None):
        self.tracker = tracker
        super().__init__(self._tracked(v) for v in values)

    def _tracked(self, value):
        return value if self.tracker is None else self.tracker.track(value)

    def _untrack(self, value):
        if self.tracker is not None:
            self.tracker.untrack(value)

    def append(self, value):
        super().append(self._tracked(value))

    def insert(self, index, value):
        super().insert(index, self._tracked(value))

    def extend(self, values):
        super().extend([self._tracked(v) for v in values])

    def __iadd__(self, values):
        self.extend(values)
        return self

    def __setitem__(self, index, value):
        super().__setitem__(index, [self._tracked(v) for v in value] if isinstance(index, slice) else self._tracked(value))

    def remove(self, value):
        super().remove(value)
        self._untrack(value)

    def pop(self, index=-1):
        value = super().pop(index)
        self._untrack(value)
        return value

    def clear(self):
        for value in self:
            self._untrack(value)
        super().clear()

    def __delitem__(self, index):
        removed = self[index] if isinstance(index, slice) else [self[index]]
        super().__delitem__(index)
        for value in removed:
            self._untrack(value)

    def __reduce__(self):
        return list, (list(self),)


class TrackedDict(dict):
    """A dict whose layers, variables ... belong to the layer that holds it."""

    def __init__(self, values=(), tracker=None):
        self.tracker = tracker
        super().__init__()
        for key, value in dict(values).items():
            self[key] = value

    def __setitem__(self, key, value):
        super().__setitem__(key, value if self.tracker is None else self.tracker.track(value))

    def update(self, *args, **kwargs):
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key, default=None):
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key, *default):
        value = super().pop(key, *default)
        if self.tracker is not None:
            self.tracker.untrack(value)
        return value

    def popitem(self):
        key, value = super().popitem()
        if self.tracker is not None:
            self.tracker.untrack(value)
        return key, value

    def __delitem__(self, key):
        self.pop(key)

    def clear(self):
        for key in list(self):
            self.pop(key)

    def __reduce__(self):
        return dict, (dict(self),)


class TrackedOrderedDict(TrackedDict, OrderedDict):
    """An OrderedDict whose layers, variables ... belong to the layer that holds it."""


class TrackedSet(set):
    """A set whose layers, variables ... belong to the layer that holds it."""

    def __init__(self, values=(), tracker=None):
        self.tracker = tracker
        super().__init__()
        self.update(values)

    def add(self, value):
        super().add(value if self.tracker is None else self.tracker.track(value))

    def update(self, *others):
        for values in others:
            for value in values:
                self.add(value)

    def remove(self, value):
        super().remove(value)
        if self.tracker is not None:
            self.tracker.untrack(value)

    def discard(self, value):
        if value in self:
            self.remove(value)

    def pop(self):
        value = next(iter(self))
        self.remove(value)
        return value

    def clear(self):
        for value in list(self):
            self.remove(value)

    def __reduce__(self):
        return set, (set(self),)
