"""Layers as configs, and configs as layers."""

import functools
import inspect
import warnings

from graphkeras import dtype_policies, regularizers
from graphkeras.ir.errors import ArgumentError
from graphkeras.layers.call_spec import signature_of
from graphkeras.trace import tree

_PLAIN = (str, int, float, bool, type(None))


class LayerConfig:
    """The part of `Layer` that is about its config."""

    def get_config(self):
        """The arguments of `__init__`, from which `from_config` makes the layer anew.

        A subclass that does not override it gets one made of what was passed to `__init__`, where these are plain values.
        """
        self._check_super_called()
        config = {"name": self.name, "trainable": self.trainable, "dtype": dtype_policies.serialize(self._dtype_policy)}
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        if not self._wants_auto_config():
            return config
        if self._auto_config is None:
            raise NotImplementedError(
                f"Object {type(self).__name__} was created by passing non-serializable argument values in `__init__()`, and "
                "therefore the object must override `get_config()` in order to be serializable. Please implement `get_config()`: "
                "it returns the arguments of __init__ as a dictionary."
            )
        takes = inspect.signature(type(self).__init__).parameters
        kept = config if takes_any(takes) else {name: value for name, value in config.items() if name in takes}
        return {**kept, **self._auto_config}

    def _wants_auto_config(self):
        """True where a class outside this package has an `__init__` of its own but no `get_config`."""
        for base in type(self).__mro__:
            if base.__module__.startswith("graphkeras."):
                return False
            if "get_config" in base.__dict__:
                return False
            if "__init__" in base.__dict__:
                return True
        return False

    @classmethod
    def from_config(cls, config):
        """A new layer from what `get_config` returned."""
        config = dict(config)
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = dtype_policies.deserialize(config["dtype"])
        try:
            return cls(**config)
        except TypeError as error:
            raise ArgumentError(
                f"Error when deserializing class '{cls.__name__}' using config={config}: {error}",
                got=f"entries {sorted(config)}",
                expected=f"{cls.__name__}{inspect.signature(cls.__init__)}",
                mend="let get_config() return exactly the arguments of __init__, or override from_config()",
            ) from error

    def get_build_config(self):
        """The shapes the layer was built with, None before."""
        shapes = self._build_shapes
        if shapes is None:
            return None
        return {"input_shape": next(iter(shapes.values()))} if len(shapes) == 1 else {"shapes_dict": shapes}

    def _classes_inside(self):
        found = {type(layer) for layer in self._flat_layers()}
        return [cls for cls in found if not cls.__module__.startswith("graphkeras.")]

    def _pickled_state(self):
        return self.get_build_config(), super()._pickled_state()

    def _restore_state(self, state):
        build, values = state
        if not self.built:
            self.build_from_config(build)
        super()._restore_state(values)

    def build_from_config(self, config):
        """Builds the layer with the shapes of `get_build_config`."""
        if not config:
            return
        as_shapes = functools.partial(tree.map_shape_structure, tuple)
        if "input_shape" in config:
            shape = config["input_shape"]
            self.build(shape if shape is None else as_shapes(shape))
        elif "shapes_dict" in config:
            self.build(**{name: shape if shape is None else as_shapes(shape) for name, shape in config["shapes_dict"].items()})


def takes_any(parameters):
    """True for a signature with **kwargs."""
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


def auto_config(cls, args, kwargs):
    """What was passed to `__init__`, by name, where these are plain values; else None."""
    names = signature_of(cls.__init__).parameters
    config = {**dict(zip(names, args)), **kwargs}
    if isinstance(config.get("dtype"), dtype_policies.DTypePolicy):
        config["dtype"] = dtype_policies.serialize(config["dtype"])
    return config if all(isinstance(v, _PLAIN) for v in tree.flatten(config)) else None


def shape_of_input(kwargs):
    """The batch shape that was given by one of the older arguments, which are taken out of `kwargs`; else None."""
    if "input_dim" in kwargs:
        kwargs["input_shape"] = (kwargs.pop("input_dim"),)
    batch_shape = kwargs.pop("batch_input_shape", None) or kwargs.pop("batch_shape", None)
    if "input_shape" in kwargs:
        shape = kwargs.pop("input_shape")
        if shape is not None:
            warnings.warn(
                "Do not pass an `input_shape`/`input_dim` argument to a layer. When using Sequential models, prefer using an "
                "`Input(shape)` object as the first layer in the model instead.",
                stacklevel=4,
            )
            batch_shape = (None, *shape)
    return None if batch_shape is None else tuple(batch_shape)
