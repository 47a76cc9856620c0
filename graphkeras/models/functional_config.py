"""Configs of functional models, in Keras's form, and back."""

import inspect

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError, UnknownNameError
from graphkeras.ir.node import Value
from graphkeras.layers.op_call import OpCall, call_config, op_call, with_options
from graphkeras.models.op_operation import OpOperation, attr_from_config, bind_sizes, shape_config
from graphkeras.ops.calls import function_name_of
from graphkeras.saving.serialization_lib import deserialize_keras_object, serialize_keras_object
from graphkeras.trace import SymbolicTensor, Tensor, apply, as_tensor, tree

_IN_CORE = ("cast", "saturate_cast", "scatter", "scatter_update", "slice", "slice_update", "stop_gradient", "unstack")
_OP_MODULE = "graphkeras.models.op_operation"


def functional_config(model):
    """Name, layers with their calls, inputs and outputs of a functional model."""
    graph = model._graph
    histories, calls = {}, {}
    for step in graph.steps:
        if step.operation is not None:
            number = len(calls.setdefault(id(step.operation), []))
            calls[id(step.operation)].append(step)
            for index, value in enumerate(step.outputs):
                histories[value] = [step.operation.name, number, index]

    def tensor_config(value: Value):
        config = {"shape": value.spec.keras_shape, "dtype": value.spec.dtype, "keras_history": list(histories[value])}
        return {"class_name": "__keras_tensor__", "config": config}

    def argument_config(x):
        return tensor_config(x.value) if isinstance(x, SymbolicTensor) else serialize_keras_object(x)

    layers = []
    for operation in graph.operations:
        if isinstance(operation, OpOperation):
            config = _op_config(operation, tensor_config)
        elif isinstance(operation, OpCall):
            config = _call_config(operation, calls[id(operation)], argument_config)
        else:
            config = serialize_keras_object(operation)
            config["name"] = operation.name
            config["inbound_nodes"] = [
                {
                    "args": tuple(tree.map_structure(argument_config, step.call.args)),
                    "kwargs": tree.map_structure(argument_config, step.call.kwargs),
                }
                for step in calls[id(operation)]
                if step.node is not None
            ]
        layers.append(config)
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": layers,
        "input_layers": tree.map_structure(lambda x: list(histories[_graph_value(graph, x)]), graph.inputs_struct),
        "output_layers": tree.map_structure(lambda x: list(histories[x.value]), graph.outputs_struct),
    }


def _graph_value(graph, tensor):
    return graph._given[[x is tensor for x in graph.inputs].index(True)]


def _op_config(operation, tensor_config):
    node = operation.node

    def input_config(value):
        if value.node.op == "constant":
            array = value.node.attrs["value"]
            return {"class_name": "__tensor__", "config": {"value": array.array.tolist(), "dtype": array.spec.dtype}}
        return {**tensor_config(value), "sizes": shape_config(value)}

    return {
        "module": _OP_MODULE,
        "class_name": type(operation).__name__,
        "config": operation.get_config(),
        "registered_name": None,
        "name": operation.name,
        "inbound_nodes": [{"args": [input_config(v) for v in node.inputs], "kwargs": {}}],
    }


def _call_config(operation, steps, argument_config):
    """As Keras writes an operation: options are its own, operands those of its call."""
    name = function_name_of(type(operation).__name__)
    found, options = [], {}
    for step in steps:
        args, kwargs, options = call_config(operation.function, step.call.args, step.call.kwargs)
        found.append(
            {"args": tuple(tree.map_structure(argument_config, args)), "kwargs": tree.map_structure(argument_config, kwargs)}
        )
    return {
        "module": f"keras.src.ops.{_keras_module(name)}",
        "class_name": type(operation).__name__,
        "config": {**operation.get_config(), **tree.map_structure(serialize_keras_object, options)},
        "registered_name": None,
        "name": operation.name,
        "inbound_nodes": found,
    }


def _keras_module(name):
    places = {"numpy": ops.numpy, "nn": ops.nn, "linalg": ops.linalg, "image": ops.image}
    return next((place for place, module in places.items() if name in module.__all__), "core" if name in _IN_CORE else "math")


def functional_from_config(cls, config, custom_objects=None):
    """A new functional model of class `cls` from its config, written by graphkeras or Keras."""
    made: dict[tuple, SymbolicTensor] = {}
    operations: dict[str, object] = {}
    sizes: dict = {}
    pending = []
    for layer in config["layers"]:
        name = layer.get("name") or layer["config"]["name"]
        operations[name] = _operation(layer, custom_objects)
        outputs = getattr(operations[name], "_inbound_nodes", None)
        if outputs and not layer["inbound_nodes"]:
            made[(name, 0, 0)] = operations[name].output
        pending += [(name, number, layer, call) for number, call in enumerate(layer["inbound_nodes"])]
    while pending:
        waiting = []
        for entry in pending:
            if not _try_call(entry, operations, made, sizes, custom_objects):
                waiting.append(entry)
        if len(waiting) == len(pending):
            raise ArgumentError(
                "The config of a functional model names tensors that none of its layers makes.",
                got=f"calls of {sorted({entry[0] for entry in waiting})} with unknown inputs",
                expected="every `keras_history` to be an output of a call in `layers`",
                mend="write the config anew with model.get_config()",
            )
        pending = waiting

    def tensors(struct):
        if isinstance(struct, (list, tuple)) and len(struct) == 3 and isinstance(struct[0], str):
            return made[tuple(struct)]
        if isinstance(struct, dict):
            return {key: tensors(value) for key, value in struct.items()}
        return type(struct)(tensors(value) for value in struct)

    extra = {k: v for k, v in config.items() if k not in ("name", "trainable", "layers", "input_layers", "output_layers", "dtype")}
    model = cls(inputs=tensors(config["input_layers"]), outputs=tensors(config["output_layers"]), name=config.get("name"), **extra)
    model._trainable = bool(config.get("trainable", True))
    return model


def _operation(layer, custom_objects):
    module = layer.get("module") or ""
    if module == _OP_MODULE:
        return layer["config"]
    if module.startswith(("keras.src.ops", "keras.ops")) or module == "keras.src.activations.activations":
        function_name = function_name_of(layer["class_name"])
        function = next((f for m in (ops, ops.image, ops.linalg) if (f := getattr(m, function_name, None))), None)
        if function is None:
            raise UnknownNameError(
                f"The config uses the op {layer['class_name']}, which graphkeras.ops does not have.",
                got=f"{module}.{layer['class_name']}",
                expected="a function of graphkeras.ops",
                mend="build the model by its code; functions wrapped by remat have no config, layers made in a RematScope have",
            )
        parameters = inspect.signature(function).parameters
        options = {k: deserialize_keras_object(v) for k, v in layer["config"].items() if k in parameters and k != "name"}
        if "dtype" in options and not isinstance(options["dtype"], str):  # the policy of Keras's operation, no argument
            del options["dtype"]
        own = getattr(function, "__wrapped__", function)

        def call(*args, **kwargs):
            if function_name == "get_item" and isinstance(args[-1], list):  # JSON knows no tuples
                args = (*args[:-1], tuple(args[-1]))
            args, kwargs = with_options(own, args, kwargs, options)
            return op_call(own, layer["class_name"], args, kwargs, layer["config"].get("name"))

        return call
    return deserialize_keras_object(
        {k: v for k, v in layer.items() if k not in ("name", "inbound_nodes")}, custom_objects=custom_objects
    )


def _try_call(entry, operations, made, sizes, custom_objects):
    """Makes one call of the config, unless an input of it is not there yet."""
    name, number, layer, call = entry
    needed = [tuple(c["config"]["keras_history"]) for c in _tensor_configs(call)]
    if any(key not in made for key in needed):
        return False

    def argument(x):
        if isinstance(x, dict) and x.get("class_name") == "__keras_tensor__":
            tensor = made[tuple(x["config"]["keras_history"])]
            if "sizes" in x:
                bind_sizes(sizes, attr_from_config(x["sizes"], {}), tensor.spec.shape)
            return tensor
        if isinstance(x, dict) and "class_name" in x:
            return deserialize_keras_object(x, custom_objects=custom_objects)
        if isinstance(x, dict):
            return {key: argument(value) for key, value in x.items()}
        if isinstance(x, (list, tuple)):
            return type(x)(argument(value) for value in x)
        return x

    args, kwargs = [argument(x) for x in call["args"]], argument(call["kwargs"])
    operation = operations[name]
    if isinstance(operation, dict):
        tensors = [as_tensor(x) if isinstance(x, (SymbolicTensor, Tensor)) else x for x in args]
        outputs = apply(operation["op"], *tensors, **{k: attr_from_config(v, sizes) for k, v in operation["attrs"].items()})
    else:
        outputs = operation(*args, **kwargs)
    for index, tensor in enumerate(leaf for leaf in tree.flatten(outputs) if leaf is not None):
        made[(name, number, index)] = tensor
    return True


def _tensor_configs(x):
    if isinstance(x, dict):
        if x.get("class_name") == "__keras_tensor__":
            return [x]
        return [c for value in x.values() for c in _tensor_configs(value)]
    if isinstance(x, (list, tuple)):
        return [c for value in x for c in _tensor_configs(value)]
    return []
