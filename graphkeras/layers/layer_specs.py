"""Shapes and dtypes of a layer's outputs."""

from graphkeras.ir.dtypes import is_float
from graphkeras.layers.call_spec import CallSpec, signature_of
from graphkeras.layers.symbolic_call import in_throw_away_trace
from graphkeras.trace import SymbolicTensor, tree


class LayerSpecs:
    """The part of `Layer` that is about the specs of its inputs and outputs."""

    def _says_output_shape(self):
        """True for classes outside this package that state their output shape: their `call` need not be traced then."""
        for base in type(self).__mro__:
            if base.__module__.startswith("graphkeras."):
                return False
            if "compute_output_shape" in base.__dict__ or "compute_output_spec" in base.__dict__:
                return True
        return False

    def compute_output_spec(self, *args, **kwargs):
        """Symbolic tensors with the shapes and dtypes of the outputs for symbolic inputs."""
        if type(self).compute_output_shape is not LayerSpecs.compute_output_shape and self._says_output_shape():
            shapes = build_arguments_of_shape(self, args, kwargs)
            return tree.map_shape_structure(lambda s: SymbolicTensor(s, self.compute_dtype), self.compute_output_shape(**shapes))
        return in_throw_away_trace(lambda: self.call(*args, **kwargs))

    def compute_output_shape(self, *args, **kwargs):
        """The shapes of the outputs for shapes of the inputs; by default found by tracing `call`."""
        dtype = self.compute_dtype if is_float(self.compute_dtype) else None

        def stand_in(shape):
            return SymbolicTensor(shape, dtype or "float32")

        arguments = [tree.map_shape_structure(stand_in, shape) for shape in (*args, *kwargs.values())]
        outputs = in_throw_away_trace(lambda: self(*arguments))
        return tree.map_structure(lambda x: tuple(x.shape), outputs)

    def _first_node(self, what):
        if not self._inbound_nodes:
            raise AttributeError(f"The layer {self.name} has never been called and thus has no defined {what}.")
        return self._inbound_nodes[0]

    @property
    def input(self):
        """The symbolic input of the first symbolic call: a tensor, or a list of them."""
        tensors = self._first_node("input").input_tensors
        return tensors[0] if len(tensors) == 1 else list(tensors)

    @property
    def output(self):
        """The symbolic output of the first symbolic call: a tensor, or a list of them."""
        tensors = self._first_node("output").output_tensors
        return tensors[0] if len(tensors) == 1 else list(tensors)


def build_arguments_of_shape(layer, args, kwargs):
    """The keyword arguments for `compute_output_shape` that belong to tensors."""
    spec = CallSpec(layer, args, kwargs)
    shapes = {f"{name}_shape": tree.map_structure(lambda x: tuple(x.shape), value) for name, value in spec.tensors.items()}
    wanted = signature_of(type(layer).compute_output_shape).parameters
    if len(wanted) == 1:
        return {next(iter(wanted)): next(iter(shapes.values()))}
    return {name: shape for name, shape in shapes.items() if name in wanted}
