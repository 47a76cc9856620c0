"""FunctionGraph: the operations between symbolic inputs and outputs, in order, and how to run them on other tensors."""

import collections

from graphkeras.ir.errors import ArgumentError, GraphError
from graphkeras.ir.node import Value
from graphkeras.ir.origin import call_site, replays
from graphkeras.layers.call_spec import signature_of
from graphkeras.layers.core.input_layer import InputLayer
from graphkeras.layers.masks import set_mask
from graphkeras.layers.op_call import OpCall
from graphkeras.models.op_operation import bind_sizes, op_operation, run_node
from graphkeras.trace import SymbolicTensor, Tensor, as_tensor, tree


class Step:
    """One node of the graph: a call of a layer, or an op.

    Attributes:
        node: the IR node, None for an input.
        operation: layer or `OpOperation`, None for a constant.
        call: the `CallNode` of a layer call or input.
        inputs: values it reads.
        outputs: values it makes.
    """

    def __init__(self, node, operation, call, inputs, outputs):
        self.node, self.operation, self.call, self.inputs, self.outputs = node, operation, call, inputs, outputs


class FunctionGraph:
    """What lies between inputs and outputs.

    Args:
        inputs: symbolic tensors, in any nested structure.
        outputs: symbolic tensors, in any nested structure.
        name: name of the model, for errors.

    Attributes:
        inputs, outputs: flat lists of symbolic tensors.
        operations: layers and ops, in Keras's order: from the inputs to the outputs.
        steps: all nodes in the order in which they run.
        depth_groups: the steps grouped by their distance from the outputs, the inputs first.
    """

    def __init__(self, inputs, outputs, name=""):
        self.name = name
        _require_symbolic("inputs", inputs)
        _require_symbolic("outputs", outputs)
        inputs, outputs = _unwrapped(inputs), _unwrapped(outputs)
        self._given = [x.value for x in tree.flatten(inputs)]
        if len(set(self._given)) != len(self._given):
            raise ArgumentError(
                "All `inputs` of a model must be different tensors.",
                got=", ".join(map(repr, tree.flatten(inputs))),
                expected="each tensor once",
                mend="make one Input per input of the model",
            )
        self.inputs_struct = tree.map_structure(_as_input, inputs)
        self.outputs_struct = outputs
        self.inputs = tree.flatten(self.inputs_struct)
        self.outputs = tree.flatten(outputs)
        self._find_steps()
        self._order_operations()

    @property
    def layers(self):
        """The layers among the operations."""
        return [op for op in self.operations if hasattr(op, "weights")]

    def edges(self):
        """(from operation, to operation) for each tensor an operation reads, with the output's index where there are several."""
        makers = {
            value: (step.operation, index, len(step.outputs)) for step in self.steps for index, value in enumerate(step.outputs)
        }
        result = []
        position = {id(op): i for i, op in enumerate(self.operations)}
        for step in sorted((s for s in self.steps if s.operation is not None), key=lambda s: position[id(s.operation)]):
            for value in step.inputs:
                operation, index, count = makers[value]
                if operation is not None:
                    result.append((operation, step.operation, index) if count > 1 else (operation, step.operation))
        return result

    def history(self, value: Value):
        """(operation, number of the call in this model, output index) of a value; None for a constant."""
        calls = collections.Counter()
        for step in self.steps:
            if step.operation is None:
                continue
            if value in step.outputs:
                return step.operation, calls[id(step.operation)], step.outputs.index(value)
            calls[id(step.operation)] += 1
        return None

    @replays
    def run(self, tensors, training=None, masks=None, call_operation=None):
        """Runs the operations on tensors in place of the inputs.

        Args:
            tensors: flat list, one per input.
            training: passed to layers that take it.
            masks: flat list of masks, or None.
            call_operation: what calls a layer: `(layer, args, kwargs) -> outputs`; by default the call itself.

        Returns:
            Tensors in the structure of the outputs.
        """
        env, sizes = {}, {}
        for value, tensor, mask in zip(self._given, tensors, masks or [None] * len(tensors)):
            env[value] = tensor
            if tensor is not None:
                bind_sizes(sizes, value.spec.shape, tensor.spec.shape)
                if mask is not None:
                    set_mask(tensor, mask)
        for step in self.steps:
            if step.node is None or step.outputs[0] in env:
                continue
            with call_site(step.node.origin):
                if step.call is None:
                    outputs = self._run_op(step, env, sizes)
                else:
                    args, kwargs = step.call.arguments(lambda tensor: env[tensor.value])
                    if training is not None and kwargs.get("training") is None and _takes_training(step.operation):
                        kwargs = {**kwargs, "training": training}
                    operation = step.operation
                    plain = call_operation is None or isinstance(operation, OpCall)
                    result = operation(*args, **kwargs) if plain else call_operation(operation, args, kwargs)
                    outputs = [leaf for leaf in tree.flatten(result) if leaf is not None]
            for value, tensor in zip(step.outputs, outputs):
                env[value] = tensor
                bind_sizes(sizes, value.spec.shape, as_tensor(tensor).spec.shape)
        return tree.map_structure(lambda x: env[x.value], self.outputs_struct)

    @staticmethod
    def _run_op(step, env, sizes):
        if step.operation is None:
            return (Tensor.wrap(step.node.attrs["value"].array),)
        return run_node(step.node, [env[v] for v in step.inputs], sizes)

    def _find_steps(self):
        """Walks back from the outputs; nodes come in the order of their creation, which is an order they can run in."""
        steps = {}
        for value, tensor in zip(self._given, self.inputs):
            layer = tensor._keras_history.operation
            steps[value] = Step(None, layer, layer._inbound_nodes[0], (), (value,))
        found, stack = {}, [t.value for t in reversed(self.outputs)]
        names = {}
        while stack:
            value = stack.pop()
            node = value.node
            if value in steps or node.id in found:
                continue
            if node.op == "input":
                _disconnected(node.attrs["name"], value, self.inputs, self.name)
            found[node.id] = node
            stack.extend(reversed(node.inputs))
        taken = {n.attrs["call"].operation.name for n in found.values() if n.op == "layer_call"}
        taken |= {t._keras_history.operation.name for t in self.inputs}
        self.steps = list(steps.values())
        for number in sorted(found):
            node = found[number]
            call = node.attrs["call"] if node.op == "layer_call" else None
            operation = None
            if call is not None:
                operation = call.operation
            elif node.op != "constant":
                operation = op_operation(node, _fresh(node.op, taken, names))
            self.steps.append(Step(node, operation, call, node.inputs, node.outputs))

    def _order_operations(self):
        """Keras's order: by distance from the outputs, the farthest first; ties in the order a walk from the outputs meets them."""
        makers = {value: step for step in self.steps for value in step.outputs}
        indices, finished, order = {}, set(), []

        def visit(root):
            stack = [(root, False)]
            while stack:
                step, done = stack.pop()
                if done:
                    order.append(step)
                    continue
                if id(step) in finished:
                    continue
                finished.add(id(step))
                if step.operation is not None:
                    indices.setdefault(id(step.operation), len(indices))
                stack.append((step, True))
                stack.extend((makers[v], False) for v in reversed(step.inputs))

        for tensor in self.outputs:
            visit(makers[tensor.value])
        depths, operation_depths = {}, {}
        for step in reversed(order):
            key = id(step.operation)
            depth = max(depths.setdefault(id(step), 0), operation_depths.get(key, 0) if step.operation is not None else 0)
            depths[id(step)] = depth
            if step.operation is not None:
                operation_depths[key] = depth
            for value in step.inputs:
                source = makers[value]
                depths[id(source)] = max(depth + 1, depths.get(id(source), 0))
        for step in self.steps:
            if step.node is None and id(step) not in depths:  # an input that no output depends on
                depths[id(step)] = operation_depths[id(step.operation)] = 0
                indices[id(step.operation)] = -1
        unique = {id(step.operation): step.operation for step in self.steps if step.operation is not None}
        self.operations = sorted(unique.values(), key=lambda op: (-operation_depths[id(op)], indices[id(op)]))
        groups = collections.defaultdict(list)
        for step in self.steps:
            if step.operation is not None:
                groups[depths[id(step)]].append(step)
        self.depth_groups = [groups[depth] for depth in sorted(groups, reverse=True)]
        counts = collections.Counter(op.name for op in self.operations)
        for name, count in counts.items():
            if count > 1:
                raise GraphError(
                    f'The name "{name}" is used {count} times in the model. All operation names should be unique.',
                    got=", ".join(repr(op) for op in self.operations if op.name == name),
                    expected="one operation per name",
                    mend="pass another name= to one of the layers",
                )


def _require_symbolic(what, structure):
    leaves = tree.flatten(structure)
    for x in leaves:
        if not isinstance(x, SymbolicTensor):
            raise ArgumentError(
                f"All `{what}` values must be KerasTensors.",
                got=f"{what} with {x!r} of type {type(x).__name__}",
                expected="symbolic tensors",
                mend="start from keras.Input(shape=...), and pass the outputs of layers called on it",
            )
    if not leaves:
        raise ArgumentError(f"A model needs at least one of `{what}`.", got=f"{what}={structure!r}", expected="symbolic tensors")


def _unwrapped(struct):
    """A list or tuple of one tensor stands for the tensor."""
    return struct[0] if isinstance(struct, (list, tuple)) and len(struct) == 1 and isinstance(struct[0], SymbolicTensor) else struct


def _as_input(tensor):
    """The tensor itself where it comes from an Input; else that of a new Input of the same shape."""
    history = tensor._keras_history
    if history is not None and isinstance(history.operation, InputLayer):
        return tensor
    return InputLayer(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name if history is None else None).output


def _disconnected(name, value, inputs, model):
    raise GraphError(
        "`inputs` not connected to `outputs`: an output of the model depends on an input that was not passed.",
        got=f"outputs that need the input '{name}' {value.spec}; inputs {[t.name for t in inputs]}"
        + (f" in model '{model}'" if model else ""),
        expected="every Input that the outputs depend on among `inputs`",
        mend=f"add '{name}' to the inputs of the model",
    )


def _fresh(name, taken, counts):
    while True:
        number = counts.get(name, 0)
        counts[name] = number + 1
        candidate = f"{name}_{number}" if number else name
        if candidate not in taken:
            taken.add(candidate)
            return candidate


def _takes_training(operation):
    return not isinstance(operation, OpCall) and "training" in signature_of(type(operation).call).parameters
