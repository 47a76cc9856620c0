"""What a picture of a model shows, read from the model once and free of layers: boxes and the arrows between them."""

from dataclasses import dataclass

from graphkeras.ir.errors import ArgumentError


@dataclass(frozen=True)
class Box:
    """One layer or operation.

    Args:
        name: its name.
        kind: name of its class.
        input_shapes: its input shapes as text, "?" where it has no single one.
        output_shapes: its output shapes as text, "?" where it has no single one.
        dtypes: its output dtypes as text, "?" where unknown.
        activation: name of its activation, or None.
        trainable: whether its weights are trained, None where it has no weights.
        children: the `ModelGraph` inside it, None where it is not opened up.
    """

    name: str
    kind: str
    input_shapes: str = "?"
    output_shapes: str = "?"
    dtypes: str = "?"
    activation: str | None = None
    trainable: bool | None = None
    children: "ModelGraph | None" = None


@dataclass(frozen=True)
class ModelGraph:
    """Boxes of a model in order, and arrows.

    Args:
        name: name of the model.
        boxes: tuple of `Box`.
        edges: tuple of pairs of paths. A path is a tuple of positions: `(2,)` is the third box, `(2, 0)` the first box inside
            it. Both ends are boxes without children. No pair occurs twice.
        inputs: paths of the boxes where data enters, one per input of the model.
        outputs: paths of the boxes where data leaves, one per output of the model.
    """

    name: str
    boxes: tuple
    edges: tuple
    inputs: tuple
    outputs: tuple


def read_model(model, expand_nested=False):
    """Reads the graph of a built model.

    A functional model is one that has `operations` and `_edges()`: pairs (from operation, to operation), one per input of
    the second and in that order, with the output's index at the first as a third entry where it has several. A Sequential
    model has `layers`, drawn as a chain. Any other model is one box.

    Args:
        model: a built model.
        expand_nested: whether models inside the model are opened up.

    Returns:
        A `ModelGraph`.
    """
    if not model.built:
        raise ArgumentError(
            f"model '{model.name}' has not yet been built, so its graph is not known.",
            got="a model without input shapes",
            expected="a built model",
            where="graphkeras.visualization",
            mend="call model.build(input_shape) or call the model on a batch of data first",
        )
    return _read(model, expand_nested)


def _read(model, expand_nested):
    operations = _operations(model)
    if not operations:
        return ModelGraph(model.name, (_box(model),), (), ((0,),), ((0,),))
    boxes = tuple(_box(op, _read(op, True) if expand_nested and _operations(op) else None) for op in operations)

    def entrance(position, k=0):
        """Path of the box that takes the k-th input of the box at `position`."""
        inside = boxes[position].children
        return (position,) if inside is None else (position, *inside.inputs[min(k, len(inside.inputs) - 1)])

    def exit(position, k=0):
        inside = boxes[position].children
        return (position,) if inside is None else (position, *inside.outputs[min(k, len(inside.outputs) - 1)])

    if _is_functional(model):
        positions = {id(op): i for i, op in enumerate(operations)}
        seen = [0] * len(operations)
        links = []
        for source, target, *output in model._edges():
            to = positions[id(target)]
            links.append((exit(positions[id(source)], *output), entrance(to, seen[to])))
            seen[to] += 1
        makers = {id(tensor): (i, k) for i, op in enumerate(operations) for k, tensor in enumerate(_tensors(op, "output"))}
        inputs = tuple(entrance(*makers[id(tensor)]) for tensor in model.inputs)
        # The output of a layer that was called twice is no layer's one output; it leaves by the last box.
        outputs = tuple(exit(*makers.get(id(tensor), (len(boxes) - 1, 0))) for tensor in model.outputs)
    else:
        links = [(exit(i), entrance(i + 1)) for i in range(len(boxes) - 1)]
        inputs, outputs = (entrance(0),), (exit(len(boxes) - 1),)
    for i, box in enumerate(boxes):
        if box.children is not None:
            links += [((i, *source), (i, *target)) for source, target in box.children.edges]
    return ModelGraph(model.name, boxes, tuple(dict.fromkeys(links)), inputs, outputs)


def _is_functional(model):
    return hasattr(model, "_edges")


def _operations(model):
    """Operations of a functional or Sequential model, in order; None for anything else."""
    if _is_functional(model):
        return list(model.operations)
    if any(base.__name__ == "Sequential" for base in type(model).__mro__):
        return list(model.layers)
    return None


def _box(operation, children=None):
    weights = getattr(operation, "weights", None)
    return Box(
        name=operation.name,
        kind=type(operation).__name__,
        input_shapes=_text_of_each(operation, "input", "shape"),
        output_shapes=_text_of_each(operation, "output", "shape"),
        dtypes=_text_of_each(operation, "output", "dtype"),
        activation=_activation_name(getattr(operation, "activation", None)),
        trainable=bool(operation.trainable) if weights else None,
        children=children,
    )


def _activation_name(activation):
    if activation is None:
        return None
    return getattr(activation, "name", None) or getattr(activation, "__name__", None) or str(activation)


def _end(operation, end):
    """`operation.input` or `.output`; None where it was called several times, or never on symbolic tensors."""
    try:
        return getattr(operation, end)
    except (AttributeError, ValueError):
        return None


def _tensors(operation, end):
    structure = _end(operation, end)
    if isinstance(structure, dict):
        structure = list(structure.values())
    return structure if isinstance(structure, (list, tuple)) else [] if structure is None else [structure]


def _text_of_each(operation, end, attribute):
    structure = _end(operation, end)
    if structure is None:
        return "?"
    if isinstance(structure, dict):
        return ", ".join(f"{name}: {getattr(tensor, attribute)}" for name, tensor in structure.items())
    if isinstance(structure, (list, tuple)):
        return ", ".join(str(getattr(tensor, attribute)) for tensor in structure)
    return str(getattr(structure, attribute))
