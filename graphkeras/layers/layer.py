"""Layer: state, and a computation on tensors that uses it."""

import inspect
import warnings

from graphkeras import constraints, dtype_policies, initializers, ops, regularizers
from graphkeras.autodiff.remat import get_current_remat_mode, rematerialized_call
from graphkeras.ir.dtypes import dtype_name, is_float
from graphkeras.ir.errors import ArgumentError
from graphkeras.ir.origin import layer_scope
from graphkeras.layers import op_call  # noqa: F401 - public ops on symbolic tensors become operations of models
from graphkeras.layers.building import name_by_keyword, whole_build
from graphkeras.layers.call_context import call_context, open_name_scope
from graphkeras.layers.call_spec import CallSpec, build_arguments
from graphkeras.layers.input_spec import assert_input_compatibility
from graphkeras.layers.layer_config import LayerConfig, auto_config, shape_of_input, takes_any
from graphkeras.layers.layer_specs import LayerSpecs
from graphkeras.layers.layer_state import LayerState
from graphkeras.layers.masks import get_mask, set_mask
from graphkeras.layers.symbolic_call import in_throw_away_trace, is_symbolic_call, record_call
from graphkeras.layers.tracking import Tracker, not_tracking
from graphkeras.random.seed import SeedGenerator
from graphkeras.saving.pickling import Pickled
from graphkeras.trace import SymbolicTensor, Tensor, Variable, autocast_scope, current_scope, tree
from graphkeras.trace.base import TensorBase
from graphkeras.trace.naming import auto_name, current_path

_LOCKED = (
    "You cannot add new elements of state (variables or sub-layers) to a layer that is already built. All state must be created "
    "in the `__init__()` method or in the `build()` method."
)
_PLAIN = (str, int, float, bool, type(None))


class InitNotCalledError(ArgumentError, RuntimeError):
    """A subclass's `__init__` did not call that of Layer."""


def _is_metric(x):
    return hasattr(type(x), "update_state") and hasattr(type(x), "reset_state")


class Layer(LayerState, LayerSpecs, LayerConfig, Pickled):
    """Base class of layers.

    Args:
        activity_regularizer: regularizer of the outputs.
        trainable: whether the weights are trained.
        dtype: dtype, or `DTypePolicy`, of computation and weights; by default the global policy.
        autocast: whether float inputs are cast to the dtype of computation.
        name: name, made from that of the class where None.
        input_shape, input_dim, batch_input_shape, input_dtype: a Sequential model whose first layer has one of these builds its
            input itself; better begin with an `Input`.

    Example:

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones")
    ...     def call(self, inputs):
    ...         return inputs * self.factor
    >>> layer = Scale()
    >>> layer(ops.ones((2, 3))).shape, len(layer.weights)
    ((2, 3), 1)
    """

    def __new__(cls, *args, **kwargs):
        instance = super().__new__(cls)
        object.__setattr__(instance, "_auto_config", auto_config(cls, args, kwargs))
        return instance

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = whole_build(cls.__dict__["build"])

    def __init__(self, *, activity_regularizer=None, trainable=True, dtype=None, autocast=True, name=None, **kwargs):
        self._lock_free_init()
        self._batch_input_shape = shape_of_input(kwargs)
        self._input_dtype_given = kwargs.pop("input_dtype", None)
        if kwargs:
            raise ArgumentError(
                f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}",
                got=", ".join(f"{k}={v!r}" for k, v in kwargs.items()),
                expected=f"{type(self).__name__}{inspect.signature(type(self).__init__)}",
                mend="check the spelling of the arguments",
            )
        if not isinstance(trainable, bool):
            raise ArgumentError(
                "Expected argument `trainable` to be a boolean.",
                got=f"trainable={trainable!r} (of type {type(trainable).__name__})",
                expected="True or False",
            )
        self.name = auto_name(type(self).__name__) if name is None else name
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self._dtype_policy = dtype_policies.get(dtype)
        self.autocast = autocast
        self._input_spec = None
        self._trainable = trainable
        object.__setattr__(self, "_remat_mode", get_current_remat_mode())
        self._supports_masking = any(base.__dict__.get("compute_mask") for base in type(self).__mro__[:-1] if base is not Layer)
        self._super_called = True

    def _lock_free_init(self):
        """Makes the stores that attributes are sorted into, once, even where attributes are set before `super().__init__()`."""
        if "_tracker" in self.__dict__:
            return
        attributes = {
            "_trainable_variables": [], "_non_trainable_variables": [], "_layers": [], "_metrics": [], "_seed_generators": [],
            "_losses": [], "_inbound_nodes": [], "_outbound_nodes": [], "built": False, "_building": False, "_build_shapes": None,
            "_path": None, "_trainable": True, "_convert_input_args": True, "_allow_non_tensor_positional_args": False,
        }  # fmt: skip
        for name, value in attributes.items():
            object.__setattr__(self, name, value)
        stores = {
            "trainable_variables": (lambda x: isinstance(x, Variable) and x.trainable, self._trainable_variables),
            "non_trainable_variables": (lambda x: isinstance(x, Variable) and not x.trainable, self._non_trainable_variables),
            "metrics": (_is_metric, self._metrics),
            "layers": (lambda x: isinstance(x, Layer) and not _is_metric(x), self._layers),
            "seed_generators": (lambda x: isinstance(x, SeedGenerator), self._seed_generators),
        }
        object.__setattr__(self, "_tracker", Tracker(stores))

    def __setattr__(self, name, value):
        if type(value) not in _PLAIN:
            self._lock_free_init()
            value = self._tracker.track(value)
        object.__setattr__(self, name, value)

    def __delattr__(self, name):
        value = self.__dict__.get(name)
        if value is not None and "_tracker" in self.__dict__:
            for held in tree.flatten(value):
                self._tracker.untrack(held)
        object.__delattr__(self, name)

    def _check_super_called(self):
        if not self.__dict__.get("_super_called"):
            raise InitNotCalledError(
                f"In layer '{type(self).__name__}', you forgot to call `super().__init__()` as the first statement in the "
                "`__init__()` method.",
                got=f"class {type(self).__name__}, whose __init__ did not run that of Layer",
                expected="super().__init__(**kwargs) as the first statement of __init__",
                mend="go add it",
            )

    # Names and dtypes

    @property
    def name(self):
        return self._name

    @name.setter
    def name(self, name):
        if not isinstance(name, str) or "/" in name:
            raise ArgumentError(
                "Argument `name` must be a string and cannot contain character `/`.", got=f"name={name!r} (of type {type(name)})"
            )
        self._name = name

    @property
    def path(self):
        """The name with those of the layers around it; None before the layer is built."""
        return self._path

    @property
    def dtype_policy(self):
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value):
        self._dtype_policy = dtype_policies.get(value)

    @property
    def dtype(self):
        """The dtype of the weights."""
        return self.variable_dtype

    @property
    def compute_dtype(self):
        """The dtype of the computation."""
        return self._dtype_policy.compute_dtype

    @property
    def variable_dtype(self):
        """The dtype of the weights."""
        return self._dtype_policy.variable_dtype

    @property
    def input_dtype(self):
        """The dtype float inputs are cast to."""
        return self.compute_dtype

    @property
    def input_spec(self):
        """`InputSpec`, or nested structure of them, that inputs are checked against."""
        return self._input_spec

    @input_spec.setter
    def input_spec(self, value):
        self._input_spec = value

    @property
    def supports_masking(self):
        """Whether the layer hands masks on."""
        return self._supports_masking

    @supports_masking.setter
    def supports_masking(self, value):
        self._supports_masking = value

    def compute_mask(self, inputs, previous_mask):
        """The mask of the outputs."""
        return previous_mask

    # Building

    @name_by_keyword
    def add_weight(
        self,
        shape=None,
        initializer=None,
        dtype=None,
        trainable=True,
        autocast=True,
        regularizer=None,
        constraint=None,
        aggregation="none",
        overwrite_with_gradient=False,
        name=None,
    ):
        """Adds a variable to the layer.

        Args:
            shape: shape; None means a scalar.
            initializer: initializer or name of one; by default "glorot_uniform" for floats, "zeros" for other dtypes.
            dtype: dtype; by default that of the policy.
            trainable: whether it is trained.
            autocast: whether reads are cast inside a layer of a mixed-precision policy.
            regularizer, constraint: of the weight, as objects or names.
            aggregation: kept for compatibility with Keras.
            overwrite_with_gradient: whether an optimizer replaces the value by its gradient.
            name: name of the variable.

        Returns:
            The `Variable`.
        """
        self._check_super_called()
        dtype = self.variable_dtype if dtype is None else dtype_name(dtype)
        if initializer is None:
            initializer = "glorot_uniform" if is_float(dtype) else "zeros"
        shape = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        if any(size is None for size in shape):
            raise ArgumentError(
                f"Layer '{self.name}': a weight needs a shape without None.",
                got=f"shape={shape}",
                expected="sizes that are known when the layer is built",
                mend="give the last axis of the input a size: Input(shape=(..., n)), or a layer before it that fixes the size",
            )
        with open_name_scope(self):
            variable = Variable(
                initializers.get(initializer),
                shape,
                dtype,
                trainable=trainable,
                autocast=autocast,
                aggregation=aggregation,
                name=name,
            )
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._tracker.track(variable)
        return variable

    def add_variable(
        self, shape, initializer, dtype=None, trainable=True, autocast=True, regularizer=None, constraint=None, name=None
    ):
        """Adds a variable to the layer: another name of `add_weight`."""
        return self.add_weight(
            shape, initializer, dtype, trainable, autocast, regularizer=regularizer, constraint=constraint, name=name
        )

    def build(self, input_shape):
        """Creates the weights. Layers with weights override it; it is called by itself before the first call."""
        self._check_super_called()
        if getattr(type(self).build, "_is_default", False):
            if any(not layer.built for layer in self._layers):
                warnings.warn(
                    f"`build()` was called on layer '{self.name}', however the layer does not have a `build()` method implemented "
                    "and it looks like it has unbuilt state. This will cause the layer to be marked as built, despite not being "
                    "actually built. Make sure to implement a proper `build()` method.",
                    stacklevel=2,
                )
            self._set_build_shapes({"input_shape": input_shape})
        self.built = True

    build._is_default = True

    def _set_build_shapes(self, shapes):
        with not_tracking():
            self._build_shapes = shapes

    def _build_at_init(self):
        """Marks a layer without weights as built."""
        self.built = True
        self._lock_state()

    def _lock_state(self):
        self._tracker.lock_message = _LOCKED

    def _finish_build(self):
        if not self._trainable:
            self.trainable = False  # the weights that were just made
        self.built = True
        self._lock_state()

    def _maybe_build(self, spec):
        if self.built:
            return
        if getattr(type(self).build, "_is_default", False):
            if spec.tensors:
                self._set_build_shapes(build_arguments(self, spec))
            self._lock_state()  # what call() would add now it would add anew in each trace
            return
        self.build(**build_arguments(self, spec))
        self.built = True

    # Calling

    def call(self, *args, **kwargs):
        """The computation. Subclasses override it."""
        raise NotImplementedError(f"Layer {type(self).__name__} does not have a `call` method implemented.")

    def __call__(self, *args, **kwargs):
        self._check_super_called()
        symbolic = current_scope() is None and is_symbolic_call(args, kwargs)
        given_args, given_kwargs = args, dict(kwargs)
        with layer_scope(self.name):
            if self._convert_input_args:
                args, kwargs = self._converted(args, kwargs)
            if not self._allow_non_tensor_positional_args:
                self._require_tensors(args)
            spec = CallSpec(self, args, kwargs)
            if self.input_spec is not None:
                assert_input_compatibility(self.input_spec, spec.first, self.name)
            with open_name_scope(self):
                if self._path is None:
                    self._path = current_path()
                with call_context(self) as context:
                    self._pass_training(context, spec, kwargs)
                    self._pass_masks(spec, kwargs)
                    if symbolic:
                        outputs = in_throw_away_trace(lambda: self._build_and_compute(spec, args, kwargs, symbolic))
                        outputs = record_call(self, given_args, given_kwargs, outputs)
                    else:
                        outputs = self._build_and_compute(spec, args, kwargs, symbolic)
        return outputs

    def _converted(self, args, kwargs):
        policy, dtype = self._dtype_policy, self.input_dtype
        if len(args) == 1 and not kwargs and isinstance(args[0], (Tensor, SymbolicTensor)) and args[0].dtype == dtype:
            return args, kwargs

        def convert(x):
            tensor = policy.convert_input(x, self.autocast, dtype)
            if tensor is not x and isinstance(x, TensorBase):
                set_mask(tensor, get_mask(x))
            return tensor

        return tree.map_structure(convert, args), dict(tree.map_structure(convert, kwargs))

    def _require_tensors(self, args):
        for x in tree.flatten(args):
            if x is not None and not isinstance(x, TensorBase):
                raise ArgumentError(
                    f"Only input tensors may be passed as positional arguments. The following argument value should be passed as a "
                    f"keyword argument: {x} (of type {type(x)})",
                    got=f"{type(x).__name__} {str(x)[:60]} for layer '{self.name}' ({type(self).__name__})",
                    expected="tensors or arrays",
                    mend="pass the output of a layer, not the layer itself; pass options by name",
                )

    def _pass_training(self, context, spec, kwargs):
        training = spec.given.get("training")
        if training is None:
            training = context.training
        if training is None:
            training = spec.values.get("training")
        context.training = training
        if "training" not in spec.parameters:
            if not takes_any(spec.parameters):
                kwargs.pop("training", None)
        elif training is not None:
            kwargs["training"] = training

    def _pass_masks(self, spec, kwargs):
        if len(spec.tensors) == 1:
            if "mask" in spec.parameters and spec.values.get("mask") is None:
                (inputs,) = spec.tensors.values()
                kwargs["mask"] = _masks(inputs)
            return
        for name, value in spec.tensors.items():
            mask_name = f"{name}_mask"
            if mask_name in spec.parameters and spec.values.get(mask_name) is None:
                kwargs[mask_name] = _masks(value)

    def _build_and_compute(self, spec, args, kwargs, symbolic):
        self._maybe_build(spec)
        if len(args) > 1 or kwargs:
            # What was filled in for arguments that were given by position as None must not be given twice.
            args, kwargs = _rebound(spec, args, kwargs)
        previous = kwargs.get("mask")
        if previous is None:
            previous = _masks(spec.first)
        cast = self.autocast and self.compute_dtype != self.variable_dtype and is_float(self.compute_dtype)
        with autocast_scope(self.compute_dtype if cast else None):
            if symbolic and self._says_output_shape():
                outputs = self.compute_output_spec(*args, **kwargs)
            else:
                mode = self._remat_mode
                call = self.call if mode is None else rematerialized_call(self, self.call, mode, args, kwargs)
                outputs = call(*args, **kwargs)
        if not self.built:
            self._finish_build()
        if self.activity_regularizer is not None:
            self._regularize(outputs)
        if self._supports_masking:
            self._set_masks(spec.first, outputs, previous)
        elif any(mask is not None for mask in tree.flatten(previous)):
            warnings.warn(
                f"Layer '{self.name}' (of type {type(self).__name__}) was passed an input with a mask attached to it. However, "
                "this layer does not support masking and will therefore destroy the mask information. Downstream layers will "
                "not see the mask.",
                stacklevel=4,
            )
        return outputs

    def _regularize(self, outputs):
        for output in tree.flatten(outputs):
            if isinstance(output, TensorBase):
                loss = self.activity_regularizer(output)
                if output.ndim:
                    # Divided by the batch size, so that its strength does not depend on it.
                    loss = ops.divide(loss, ops.maximum(ops.cast(ops.shape(output)[0], loss.dtype), 1.0))
                self.add_loss(loss)

    def _set_masks(self, inputs, outputs, previous):
        flat = tree.flatten(outputs)
        if all(get_mask(x) is not None for x in flat):
            return
        masks = self.compute_mask(inputs, previous)
        if masks is None:
            return
        for tensor, mask in zip(flat, tree.flatten(masks)):
            if mask is not None and get_mask(tensor) is None:
                set_mask(tensor, mask)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def __str__(self):
        return self.__repr__()


def _masks(structure):
    if isinstance(structure, (Tensor, SymbolicTensor)):
        return get_mask(structure)
    return tree.map_structure(lambda x: get_mask(x) if isinstance(x, TensorBase) else None, structure)


def _rebound(spec, args, kwargs):
    """The arguments with each name given once: what was filled in wins over a positional None."""
    names = [n for n, p in spec.parameters.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    clash = next((i for i, name in enumerate(names[: len(args)]) if name in kwargs), None)
    if clash is None:
        return args, kwargs
    return args[:clash], {**dict(zip(names[clash:], args[clash:])), **kwargs}
