"""`draw_graph`: a picture of an IR graph, with fusion groups as clusters.

What an op does shows in its colour and, for prints without colour, in its outline: contractions are drawn bold, views
dashed, composites with a double line, state as cylinders, sources as ellipses.
"""

import os
from collections.abc import Mapping

from graphkeras.ir.errors import ArgumentError
from graphkeras.ir.registry import REGISTRY
from graphkeras.ir.text import ValueNames, attr_text, scalar_text, spec_text
from graphkeras.visualization.render import RANK_DIRECTIONS, checked, new_digraph, safe_text, write

FONT = "Helvetica"
INK, FAINT, PAPER = "#1a1a1a", "#57606a", "#fbfbfb"
END_STYLE = {"fillcolor": "#30363d", "color": "#30363d", "fontcolor": "#ffffff", "fontsize": "12"}

# Kind of op -> (word in the legend, fill, line, further attributes). Hues of Okabe and Ito, which readers with any colour
# vision tell apart; the fills are light, so that black text stays legible.
STYLES = {
    "contraction": ("contraction", "#bfe6d6", "#00664b", {"penwidth": "2.4"}),
    "elementwise": ("elementwise", "#d3e8f8", "#0a659e", {}),
    "reduction": ("reduction", "#fde3b4", "#a86a00", {}),
    "view": ("view", "#f4f4f4", "#7a7a7a", {"style": "filled,rounded,dashed"}),
    "index": ("indexing", "#f9f3b0", "#857a00", {}),
    "composite": ("composite", "#f1d9e8", "#97416f", {"style": "filled", "peripheries": "2"}),
    "state": ("state", "#f8d2be", "#a84300", {"style": "filled", "shape": "cylinder"}),
    "control": ("control flow", "#ded8f0", "#55458f", {"style": "filled", "shape": "hexagon"}),
    "host": ("host call", "#ffffff", "#1a1a1a", {"style": "filled,rounded,dotted"}),
    "source": ("source", "#ececec", "#6b6b6b", {"style": "filled", "shape": "ellipse", "margin": "0.04,0.02"}),
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ATTRIBUTE_LINES = 4
ATTRIBUTE_WIDTH = 36  # characters


def draw_graph(graph, to_file=None, groups=None, show_specs=True, show_attrs=True, legend=True, rankdir="TB", dpi=150):
    """Draws an IR graph.

    A number such as `%3` is the one that `print(graph)` shows. What has no inputs (constants, mostly) is drawn once for each
    use, so that a constant does not pull its users together.

    Args:
        graph: a `graphkeras.ir.Graph`.
        to_file: file name; its ending chooses the format: `.png`, `.svg`, `.pdf`, `.jpg`, or `.dot` for the source. None
            writes nothing.
        groups: clusters to draw: a sequence of objects with `.name` and `.nodes` (such as the fusion groups of a schedule),
            a mapping from node to group name, or `"layer"` for the layers that the nodes come from. None draws none.
        show_specs: whether arrows carry dtype and shape of their values.
        show_attrs: whether boxes show the attributes of their ops.
        legend: whether the picture explains its colours.
        rankdir: `"TB"` for a vertical picture, `"LR"` for a horizontal one; also `"BT"` and `"RL"`.
        dpi: resolution in dots per inch.

    Returns:
        A `graphviz.Digraph`; its `.source` depends on the graph and the arguments alone.

    Raises:
        ArgumentError: (a `ValueError`) an argument has a value that is not allowed, or `groups` names a node that is not in
            the graph, or one node twice.
    """
    checked("rankdir", rankdir, RANK_DIRECTIONS)
    dot = new_digraph(
        None, rankdir=rankdir, dpi=dpi, nodesep=0.3, ranksep=0.4, fontname=FONT, labelloc="t", labeljust="l"
    )
    dot.attr("node", shape="box", style="filled,rounded", fontname=FONT, fontsize="13", fontcolor=INK, margin="0.14,0.07")
    dot.attr("edge", fontname=FONT, fontsize="9", fontcolor=FAINT, color="#4a4a4a", arrowsize="0.7")
    drawing = _Drawing(show_specs, show_attrs)
    drawing.add(dot, graph, _clusters(graph, groups), "n")
    dot.attr(label=_title(graph.name, sorted(drawing.kinds, key=list(STYLES).index) if legend else ()))
    if to_file is not None:
        write(dot.source, os.fspath(to_file))
    return dot


class _Drawing:
    """Puts one graph, and the graphs inside its control-flow nodes, into a DOT graph."""

    def __init__(self, show_specs, show_attrs):
        self.show_specs, self.show_attrs = show_specs, show_attrs
        self.kinds = set()

    def add(self, dot, graph, clusters, prefix):
        """Adds `graph`, whose DOT names start with `prefix`; `clusters` are pairs (name, nodes)."""
        texts = ValueNames(graph)
        names = {node.id: f"{prefix}{i}" for i, node in enumerate(graph.nodes)}
        for i, value in enumerate(graph.inputs):
            names[value.node.id] = f"{prefix}in{i}"
            self._add_end(dot, f"{prefix}in{i}", value.node.attrs["name"], value)

        home, inner = {}, []
        for i, (label, nodes) in enumerate(clusters):
            cluster = _new_cluster(f"{prefix}{i}", label, color="#8c959f", fillcolor=PAPER)
            home.update((node.id, cluster) for node in nodes)
            inner.append(cluster)
        for node in graph.nodes:
            if _has_inputs(node):
                place = home.get(node.id, dot)
                self._add_node(place, node, names[node.id], texts)
                for position, value in enumerate(node.inputs):
                    source = self._source(place, value, names, texts, f"{names[node.id]}c{position}")
                    self._add_edge(dot, source, names[node.id], value, position if len(node.inputs) > 1 else None)
        for cluster in inner:
            dot.subgraph(cluster)

        for i, value in enumerate(graph.outputs):
            source = self._source(dot, value, names, texts, f"{prefix}outc{i}")
            self._add_end(dot, f"{prefix}out{i}", f"output {i}" if len(graph.outputs) > 1 else "output", value)
            self._add_edge(dot, source, f"{prefix}out{i}", value, None)
        for node in graph.nodes:
            for i, inside in enumerate(node.subgraphs):
                self._add_subgraph(dot, names[node.id], f"{names[node.id]}s{i}_", inside)

    def _source(self, place, value, names, texts, copy_name):
        """DOT name of the box that an arrow starts from; makes the box where it is one for each use."""
        if value.node.id in texts.inputs or _has_inputs(value.node):
            return names[value.node.id]
        self._add_node(place, value.node, copy_name, texts)
        return copy_name

    def _add_subgraph(self, dot, owner, prefix, graph):
        cluster = _new_cluster(prefix, graph.name, color=STYLES["control"][2], fillcolor="#f7f5fc")
        self.add(cluster, graph, [], prefix)
        dot.subgraph(cluster)
        first = f"{prefix}in0" if graph.inputs else f"{prefix}out0"
        dot.edge(owner, first, style="dotted", arrowhead="none", color=STYLES["control"][2])

    def _add_node(self, place, node, name, texts):
        kind = REGISTRY[node.op].kind if node.op in REGISTRY else "host"
        self.kinds.add(kind)
        _, fill, line, further = STYLES[kind]
        attrs = dict(node.attrs)
        variable, scalar = attrs.pop("variable", None), scalar_text(node)
        if scalar is not None:
            first, small = f"<b>{safe_text(scalar)}</b>", []
        elif variable is not None:
            first, small = f"<b>@{safe_text(variable.name)}</b>", [f"{node.op} %{texts.numbers[node.id]}"]
        else:
            number = f'<font point-size="9" color="{FAINT}">%{texts.numbers[node.id]}</font>'
            first, small = f"<b>{safe_text(node.op)}</b> {number}", []
        if self.show_attrs and scalar is None:
            facts = [f"{name}={attr_text(value, 4)}" for name, value in attrs.items()]
            if len(facts) > ATTRIBUTE_LINES:
                facts[ATTRIBUTE_LINES - 1 :] = [f"+ {len(facts) - ATTRIBUTE_LINES + 1} more"]
            small += facts
        lines = [first, *(f'<font point-size="9">{safe_text(text, ATTRIBUTE_WIDTH)}</font>' for text in small)]
        place.node(name, label=f"<{'<br/>'.join(lines)}>", fillcolor=fill, color=line, **further)

    def _add_end(self, dot, name, label, value):
        spec = f'<br/><font point-size="9">{safe_text(spec_text(value.spec))}</font>'
        dot.node(name, label=f"<<b>{safe_text(label) or 'input'}</b>{spec}>", **END_STYLE)

    def _add_edge(self, dot, source, target, value, position):
        """An arrow. A letter tells which input of its target it is, `.1` which output of its source, where there are several."""
        parts = [] if position is None else [f"<b>{LETTERS[position] if position < len(LETTERS) else position}</b>"]
        if len(value.node.specs) > 1:
            parts.append(f".{value.index}")
        if self.show_specs and scalar_text(value.node) is None:
            parts.append(safe_text(spec_text(value.spec)))
        dot.edge(source, target, **({"label": f"<&nbsp;{' '.join(parts)}>"} if parts else {}))


def _has_inputs(node):
    return bool(node.inputs or node.effects)


def _new_cluster(name, label, **colors):
    cluster = new_digraph(f"cluster_{name}")
    label = f"<<b>{safe_text(label) or 'group'}</b>>"
    cluster.attr(
        label=label, labeljust="l", style="filled,rounded", penwidth="1.3", margin="12",
        fontname=FONT, fontsize="11", fontcolor=FAINT, **colors,
    )  # fmt: skip
    return cluster


def _title(name, kinds):
    title = f'<font point-size="16"><b>{safe_text(name) or "graph"}</b></font>'
    cells = [f'<td border="0" align="left">{title}</td>']
    for kind in kinds:
        word, fill, line, _ = STYLES[kind]
        cells.append(f'<td bgcolor="{fill}" color="{line}"><font point-size="10">{word}</font></td>')
    table = '<table border="0" cellborder="1" cellspacing="6" cellpadding="4" style="rounded">'
    return f"<{table}<tr>{''.join(cells)}</tr></table>>"


def _clusters(graph, groups):
    """Pairs (name, nodes) of the clusters to draw, checked against the graph."""
    if groups is None:
        return []
    if isinstance(groups, str):
        checked("groups", groups, ("layer",))
        groups = {node: node.origin.layer for node in graph.nodes if node.origin.layer}
    if isinstance(groups, Mapping):
        by_name = {}
        for node, name in groups.items():
            by_name.setdefault(name, []).append(node)
        pairs = list(by_name.items())
    else:
        pairs = [(group.name, list(group.nodes)) for group in groups]
    known = {node.id for node in graph.nodes}
    taken = {}
    for name, nodes in pairs:
        for node in nodes:
            if node.id not in known or node.id in taken:
                second = f" and in group '{taken[node.id]}'" if node.id in taken else ""
                raise ArgumentError(
                    "draw_graph: the groups do not fit the graph.",
                    got=f"{node!r} in group '{name}'{second}",
                    expected=f"nodes of graph '{graph.name}', each in one group at most",
                    where="graphkeras.visualization.draw_graph",
                    mend="pass groups that were made from this very graph",
                )
            taken[node.id] = name
    return [(name, nodes) for name, nodes in pairs if nodes]
