"""Pictures of IR graphs: boxes, arrows and clusters in the DOT source, and files of every format."""

import re
import xml.etree.ElementTree
from types import SimpleNamespace

import pytest

from graphkeras.ir.errors import ArgumentError
from graphkeras.ir.graph import Graph
from graphkeras.ir.node import Attrs, Node, Value
from graphkeras.visualization import draw_graph, graph_dot
from graphkeras.visualization.render import write
from tests.visualization import graphs


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    monkeypatch.setattr(graph_dot, "REGISTRY", graphs.REGISTRY)


def labels(dot):
    """DOT name -> text of each box, with " | " between lines."""
    found = re.findall(r"^\s*(n\w+) \[.*?label=<(.*?)>(?: \w+=|\])", dot.source, re.MULTILINE)
    return {name: re.sub("<.*?>", "", label.replace("<br/>", " | ")) for name, label in found}


def arrows(dot):
    titles = {name: text.split(" | ")[0] for name, text in labels(dot).items()}
    return [(titles[a], titles[b]) for a, b in re.findall(r"^\s*(n\w+) -> (n\w+)", dot.source, re.MULTILINE)]


def test_boxes_show_op_number_and_attributes():
    graph, _ = graphs.train_step()
    got = list(labels(draw_graph(graph)).values())
    for text in [
        "images | u8[batch,28,28]",
        "cast %0 | dtype=&quot;float32&quot;",
        "reshape %2 | shape=(batch, 784)",
        "@dense/kernel | read_variable %3",
        "matmul %4",
        "crossentropy %12 | axis=-1 | from_logits=true",
        "@head/bias | assign_variable %17",
        "output 0 | f32[]",
        "output 1 | b1[batch,512]",
    ]:
        assert text in got


def test_numbers_are_those_of_the_text_form():
    graph, _ = graphs.train_step()
    for text in labels(draw_graph(graph)).values():
        found = re.match(r"(\w+) (%\d+)", text)
        if found:
            assert re.search(rf"{found[2]}: .* = {found[1]}\(", str(graph))


def test_a_constant_is_drawn_once_for_each_use():
    graph, _ = graphs.train_step()
    dot = draw_graph(graph)
    assert list(labels(dot).values()).count("0.0") == 2
    assert [target for source, target in arrows(dot) if source == "0.0"] == ["maximum %7", "greater %18"]


def test_every_use_is_one_arrow():
    x = graphs.argument("x", graphs.spec(3))
    square = graphs.value("multiply", x, x, spec=graphs.spec(3))
    dot = draw_graph(Graph("square", [x], [square]))
    assert arrows(dot) == [("x", "multiply %0"), ("x", "multiply %0"), ("multiply %0", "output")]
    assert re.findall(r"<b>([ab])</b> f32\[3\]", dot.source) == ["a", "b"]


def test_arrows_tell_outputs_apart():
    x = graphs.argument("x", graphs.spec(4))
    both = Node("split", (x,), Attrs({}), (graphs.spec(2), graphs.spec(2)))
    total = graphs.value("add", Value(both, 0), Value(both, 1), spec=graphs.spec(2))
    source = draw_graph(Graph("halves", [x], [total])).source
    assert re.findall(r"<b>([ab])</b> (\.\d) f32\[2\]", source) == [("a", ".0"), ("b", ".1")]


def test_specs_and_attributes_and_legend_can_be_left_out():
    graph, _ = graphs.train_step()
    bare = draw_graph(graph, show_specs=False, show_attrs=False, legend=False).source
    full = draw_graph(graph).source
    assert "f32[batch,512]" not in bare and "f32[batch,512]" in full
    assert "from_logits" not in bare and "from_logits" in full
    assert "contraction" not in bare and "contraction" in full
    assert "@dense/kernel" in bare and "read_variable" in bare


def test_the_legend_names_only_the_kinds_in_the_picture():
    legend = re.search(r"label=<<table.*?</table>>", draw_graph(graphs.loop()).source)[0]
    assert re.findall(r'size="10">([\w ]+)<', legend) == ["elementwise", "control flow", "source"]


def test_kinds_differ_in_colour_and_outline():
    fills = [fill for _, fill, _, _ in graph_dot.STYLES.values()]
    assert len(set(fills)) == len(fills)
    outlines = [tuple(sorted(further.items())) for _, _, _, further in graph_dot.STYLES.values() if further]
    assert len(set(outlines)) == len(outlines)


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("kind", graph_dot.STYLES)
def test_text_and_outline_stand_out_from_the_fill(kind):
    """Contrast ratios of the accessibility guidelines: 7 for small text, 4.5 for faint text, 3 for lines."""
    _, fill, line, _ = graph_dot.STYLES[kind]

    def contrast(color):
        return (luminance(fill) + 0.05) / (luminance(color) + 0.05)

    assert contrast(graph_dot.INK) > 7 and contrast(graph_dot.FAINT) > 4.5 and contrast(line) > 3


def test_the_styles_cover_every_kind_of_op():
    from graphkeras.ir.registry import KINDS

    assert set(graph_dot.STYLES) == set(KINDS)


def clusters(source):
    """Label -> DOT names of the boxes inside, for clusters without clusters in them."""
    found = re.findall(r"subgraph cluster_\w+ \{(.*?)^\t\}", source, re.MULTILINE | re.DOTALL)
    return {re.search(r"label=<<b>(.*?)</b>>", text)[1]: re.findall(r"^\s*(n\w+) \[", text, re.MULTILINE) for text in found}


def test_groups_become_clusters():
    graph, groups = graphs.train_step()
    dot = draw_graph(graph, groups=groups)
    texts = labels(dot)
    got = {name: [texts[box].split(" ")[0] for box in inside] for name, inside in clusters(dot.source).items()}
    assert got == {
        "rescale and flatten": ["cast", "multiply", "0.003921569", "reshape"],
        "matmul + bias + relu": ["matmul", "add", "maximum", "0.0", "greater", "0.0"],
        "matmul + bias": ["matmul", "add"],
    }
    assert arrows(dot) and sorted(arrows(dot)) == sorted(arrows(draw_graph(graph)))


def test_groups_as_a_mapping_and_by_layer():
    graph, groups = graphs.train_step()
    mapping = {node: group.name for group in groups for node in group.nodes}
    assert set(clusters(draw_graph(graph, groups=mapping).source)) == {group.name for group in groups}
    assert set(clusters(draw_graph(graph, groups="layer").source)) == {"rescaling", "flatten", "dense", "head"}


def test_groups_that_do_not_fit_are_refused():
    graph, groups = graphs.train_step()
    with pytest.raises(ArgumentError, match="do not fit"):
        draw_graph(graphs.train_step()[0], groups=groups)
    with pytest.raises(ArgumentError, match="and in group 'first'"):
        draw_graph(graph, groups=[SimpleNamespace(name=name, nodes=graph.nodes[:1]) for name in ("first", "second")])
    with pytest.raises(ArgumentError, match="groups"):
        draw_graph(graph, groups="layers")


def test_control_flow_shows_its_body():
    dot = draw_graph(graphs.loop())
    assert "<b>body</b>" in dot.source
    inside = {("carry", "add %0"), ("1.0", "add %0"), ("add %0", "output")}
    assert set(arrows(dot)) == inside | {("x", "while_loop %0"), ("while_loop %0", "output"), ("while_loop %0", "carry")}
    assert re.search(r"n0 -> n0s0_in0 \[.*style=dotted", dot.source)


@pytest.mark.parametrize("name", ['"', "<b>", "a\\Nb", "x\ny", "&", "漢", ""])
def test_any_name_is_drawn(name, tmp_path):
    x = graphs.argument(name, graphs.spec(3))
    y = graphs.value("add", x, graphs.variable(name, 3), spec=graphs.spec(3), layer=name, note=name)
    graph = Graph(name, [x], [y])
    draw_graph(graph, tmp_path / "g.svg", groups=[SimpleNamespace(name=name, nodes=[y.node])])
    text = "".join(xml.etree.ElementTree.parse(tmp_path / "g.svg").getroot().itertext())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    assert text.count(shown) >= 4 and f"@{shown}" in text


def test_source_is_deterministic():
    (first, groups), (second, others) = graphs.train_step(), graphs.train_step()
    assert draw_graph(first, groups=groups).source == draw_graph(second, groups=others).source


def test_files_of_every_format(tmp_path):
    graph, groups = graphs.train_step()
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml", "jpg": b"\xff\xd8\xff"}
    for ending, start in starts.items():
        draw_graph(graph, tmp_path / f"g.{ending}", groups=groups)
        assert (tmp_path / f"g.{ending}").read_bytes().startswith(start)
    dot = draw_graph(graph, tmp_path / "g.dot")
    assert (tmp_path / "g.dot").read_text("utf-8") == dot.source
    write(dot.source, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes()[:4] == b"\x89PNG"


def test_without_a_file_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw_graph(graphs.loop())
    assert list(tmp_path.iterdir()) == []
