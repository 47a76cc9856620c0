"""What belongs around the methods that make the weights of layers."""

import functools
import inspect

from graphkeras.ir.errors import ArgumentError
from graphkeras.layers.call_context import open_name_scope
from graphkeras.trace.naming import current_path


def whole_build(build):
    """`build` with what belongs around it: the name scope, the record of the shapes, and the lock."""
    if getattr(build, "_is_whole", False):
        return build

    signature = inspect.signature(build)
    own = next(iter(signature.parameters))

    @functools.wraps(build)
    def whole(self, *args, **kwargs):
        if self.__dict__.get("_building"):
            return build(self, *args, **kwargs)  # super().build(...)
        self._lock_free_init()
        self._building = True
        try:
            with open_name_scope(self):
                if self._path is None:
                    self._path = current_path()
                build(self, *args, **kwargs)
        finally:
            self._building = False
        shapes = dict(signature.bind(self, *args, **kwargs).arguments)
        del shapes[own]
        self._set_build_shapes(shapes)
        self._finish_build()

    whole._is_whole = True
    return whole


def name_by_keyword(add_weight):
    """`add_weight` that tells users of Keras 2, where the name came first, what to write."""

    @functools.wraps(add_weight)
    def checked(self, *args, **kwargs):
        if args and isinstance(args[0], str):
            raise ArgumentError(
                "`name` must be passed as a keyword argument.",
                got=f"add_weight({args[0]!r}, ...)",
                expected="the shape as first argument",
                mend=f"write add_weight(shape=..., name={args[0]!r})",
            )
        if args and "shape" in kwargs:
            raise ArgumentError(
                "`shape` was passed both positionally and as a keyword argument.",
                got=f"add_weight({args[0]!r}, shape={kwargs['shape']!r}, ...)",
                expected="the shape once",
            )
        return add_weight(self, *args, **kwargs)

    return checked
