"""`model_to_dot` and `plot_model`, with the arguments and the look of Keras."""

import os

from graphkeras.ir.errors import ArgumentError
from graphkeras.visualization.model_graph import read_model
from graphkeras.visualization.render import RANK_DIRECTIONS, SPLINES, checked, new_digraph, notebook_image, safe_text, write

FONT = "Helvetica"
TRAINABLE, FROZEN = "forestgreen", "firebrick"


def model_to_dot(
    model,
    show_shapes=False,
    show_dtype=False,
    show_layer_names=True,
    rankdir="TB",
    expand_nested=False,
    dpi=200,
    subgraph=False,
    show_layer_activations=False,
    show_trainable=False,
    splines="ortho",
    **kwargs,
):
    """Converts a model to DOT, the language of Graphviz.

    Args:
        model: a built model. A subclassed model is drawn as one box.
        show_shapes: whether to show input and output shapes.
        show_dtype: whether to show output dtypes.
        show_layer_names: whether to show layer names beside their classes.
        rankdir: `"TB"` for a vertical picture, `"LR"` for a horizontal one; also `"BT"` and `"RL"`.
        expand_nested: whether to open nested models up into clusters.
        dpi: resolution in dots per inch.
        subgraph: whether to return the model as a cluster, to be put into another graph.
        show_layer_activations: whether to show the activation of layers that have one.
        show_trainable: whether to show if the weights of a layer are trained.
        splines: how arrows are drawn: `"ortho"` (right angles), `"curved"`, `"polyline"`, `"spline"` or `"line"`.

    Returns:
        A `graphviz.Digraph`; its `.source` depends on the model alone.

    Raises:
        ArgumentError: (a `ValueError`) the model is not built, or an argument is unknown or has a value that is not allowed.
    """
    _refuse(kwargs)
    checked("rankdir", rankdir, RANK_DIRECTIONS)
    checked("splines", splines, SPLINES)
    graph = read_model(model, expand_nested)
    show = {
        "names": show_layer_names,
        "activations": show_layer_activations,
        "dtype": show_dtype,
        "shapes": show_shapes,
        "trainable": show_trainable,
    }
    if subgraph:
        dot = new_digraph("cluster", **_cluster_attributes(graph.name))
    else:
        dot = new_digraph(None, rankdir=rankdir, dpi=dpi, splines=splines, nodesep=0.4, ranksep=0.45, fontname=FONT)
    dot.attr("node", shape="plain", fontname=FONT)
    dot.attr("edge", penwidth="2")
    _add_boxes(dot, graph, show, ())
    for source, target in graph.edges:
        dot.edge(_id(source), _id(target))
    return dot


def plot_model(
    model,
    to_file="model.png",
    show_shapes=False,
    show_dtype=False,
    show_layer_names=False,
    rankdir="TB",
    expand_nested=False,
    dpi=200,
    show_layer_activations=False,
    show_trainable=False,
    splines="ortho",
    **kwargs,
):
    """Draws a model into a file. Needs no Graphviz on the system.

    Args:
        model: a built model. A subclassed model is drawn as one box.
        to_file: file name; its ending chooses the format: `.png` (also without an ending), `.svg`, `.pdf`, `.jpg`, or
            `.dot` for the source.
        show_shapes: whether to show input and output shapes.
        show_dtype: whether to show output dtypes.
        show_layer_names: whether to show layer names beside their classes.
        rankdir: `"TB"` for a vertical picture, `"LR"` for a horizontal one; also `"BT"` and `"RL"`.
        expand_nested: whether to open nested models up into clusters.
        dpi: resolution in dots per inch.
        show_layer_activations: whether to show the activation of layers that have one.
        show_trainable: whether to show if the weights of a layer are trained.
        splines: how arrows are drawn: `"ortho"` (right angles), `"curved"`, `"polyline"`, `"spline"` or `"line"`.

    Returns:
        An image object in a notebook, which shows it; None elsewhere.

    Raises:
        ArgumentError: (a `ValueError`) the model is not built, or an argument is unknown or has a value that is not allowed.

    Example:

    ```python
    model = keras.Model(inputs=inputs, outputs=outputs)
    keras.utils.plot_model(model, to_file="model.png", show_shapes=True)
    ```
    """
    dot = model_to_dot(
        model,
        show_shapes=show_shapes,
        show_dtype=show_dtype,
        show_layer_names=show_layer_names,
        rankdir=rankdir,
        expand_nested=expand_nested,
        dpi=dpi,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
        splines=splines,
        **kwargs,
    )
    to_file = os.fspath(to_file)
    write(dot.source, to_file)
    return notebook_image(to_file)


def _refuse(kwargs):
    """Keras took `layer_range` once and accepts None for it still; any other name is a slip."""
    unknown = {name: value for name, value in kwargs.items() if name != "layer_range" or value is not None}
    if unknown:
        raise ArgumentError(
            "plot_model: unrecognized keyword arguments.",
            got=", ".join(f"{name}={value!r}" for name, value in unknown.items()),
            expected="the arguments of keras.utils.plot_model",
            where="graphkeras.visualization",
            mend="leave them out",
        )


def _cluster_attributes(name):
    return {
        "label": f"<<b>{safe_text(name) or 'model'}</b>>",
        "labeljust": "l",
        "style": "dashed,rounded",
        "color": "#555555",
        "fontname": FONT,
        "margin": "16",
    }


def _id(path):
    return "n" + "_".join(map(str, path))


def _add_boxes(dot, graph, show, path):
    for i, box in enumerate(graph.boxes):
        here = (*path, i)
        if box.children is None:
            dot.node(_id(here), label=_label(box, show))
        else:
            with dot.subgraph(name="cluster_" + _id(here)) as cluster:
                cluster.attr(**_cluster_attributes(box.name))
                _add_boxes(cluster, box.children, show, here)


def _label(box, show):
    """The table of one box: a black title, then a line for the activation, then one cell for each fact asked for."""
    cells = []
    if show["shapes"]:
        if box.kind != "InputLayer":
            cells.append(_fact("Input shape", box.input_shapes))
        cells.append(_fact("Output shape", box.output_shapes))
    if show["dtype"]:
        cells.append(_fact("Output dtype", box.dtypes))
    if show["trainable"] and box.trainable is not None:
        color, text = (TRAINABLE, "Trainable") if box.trainable else (FROZEN, "Non-trainable")
        cells.append(
            f'<td bgcolor="{color}"><font point-size="14" color="white"><b>{text}</b></font></td>'
        )
    span = max(1, len(cells))
    kind, name = safe_text(box.kind), safe_text(box.name)
    title = f"<b>{name}</b> ({kind})" if show["names"] and name else f"<b>{kind}</b>"
    rows = [f'<td colspan="{span}" bgcolor="black"><font point-size="16" color="white">{title}</font></td>']
    if show["activations"] and box.activation is not None:
        activation = f'Activation: <b>{safe_text(box.activation) or "?"}</b>'
        rows.append(f'<td colspan="{span}" bgcolor="white"><font point-size="14">{activation}</font></td>')
    if cells:
        rows.append("".join(cells))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<<table border="0" cellborder="1" cellspacing="2" bgcolor="black" cellpadding="10">{body}</table>>'


def _fact(what, value):
    return f'<td bgcolor="white"><font point-size="14">{what}: <b>{safe_text(value, 200) or "?"}</b></font></td>'
