"""Pictures of models: the boxes and arrows in the DOT source, text from users, and files of every format."""

import inspect
import re
import struct
import subprocess
import sys
import types
import xml.etree.ElementTree

import pytest

from graphkeras import utils
from graphkeras.ir.errors import ArgumentError
from graphkeras.visualization import model_to_dot, plot_model
from graphkeras.visualization.model_graph import read_model
from graphkeras.visualization.render import write
from tests.visualization import models


def boxes(dot):
    """DOT name -> title of each box."""
    found = re.findall(r'^\s*(n\S+) \[label=<.*?color="white">(.*?)</font>', dot.source, re.MULTILINE)
    return {name: re.sub("<.*?>", "", title) for name, title in found}


def arrows(dot):
    titles = boxes(dot)
    return [(titles[a], titles[b]) for a, b in re.findall(r"^\s*(n\S+) -> (n\S+)", dot.source, re.MULTILINE)]


def texts(dot, tmp_path):
    """All text of the drawn picture."""
    write(dot.source, tmp_path / "texts.svg")
    elements = xml.etree.ElementTree.parse(tmp_path / "texts.svg").iter("{http://www.w3.org/2000/svg}text")
    return "".join("".join(element.itertext()) for element in elements)


def test_utils_offers_the_same_functions():
    assert utils.plot_model is plot_model and utils.model_to_dot is model_to_dot


def test_signatures_are_those_of_keras():
    names = "model to_file show_shapes show_dtype show_layer_names rankdir expand_nested dpi"
    names += " show_layer_activations show_trainable splines"
    parameters = inspect.signature(plot_model).parameters
    assert list(parameters) == [*names.split(), "kwargs"]
    defaults = ["model.png", False, False, False, "TB", False, 200, False, False, "ortho"]
    assert [parameters[name].default for name in names.split()[1:]] == defaults
    parameters = inspect.signature(model_to_dot).parameters
    assert list(parameters)[1:8] == ["show_shapes", "show_dtype", "show_layer_names", "rankdir", "expand_nested", "dpi", "subgraph"]
    assert parameters["show_layer_names"].default is True


def test_functional_model_nodes_and_edges():
    dot = model_to_dot(models.multi_io())
    assert list(boxes(dot).values()) == [
        "title (InputLayer)",
        "text_body (InputLayer)",
        "tags (InputLayer)",
        "concatenate (Concatenate)",
        "dense_features (Dense)",
        "priority (Dense)",
        "department (Dense)",
    ]
    assert arrows(dot) == [
        ("title (InputLayer)", "concatenate (Concatenate)"),
        ("text_body (InputLayer)", "concatenate (Concatenate)"),
        ("tags (InputLayer)", "concatenate (Concatenate)"),
        ("concatenate (Concatenate)", "dense_features (Dense)"),
        ("dense_features (Dense)", "priority (Dense)"),
        ("dense_features (Dense)", "department (Dense)"),
    ]


def test_sequential_model_is_a_chain():
    dot = model_to_dot(models.stack())
    assert arrows(dot) == [("first (Dense)", "drop (Dropout)"), ("drop (Dropout)", "last (Dense)")]


def test_subclassed_model_is_one_box():
    assert list(boxes(model_to_dot(models.Subclassed("mine"))).values()) == ["mine (Subclassed)"]


def test_a_layer_used_twice_on_the_same_tensor_has_one_arrow():
    x = models.input_layer("x", 3)
    product = models.operation("Multiply", "square", [x.output, x.output], models.Tensor(None, 3))
    model = models.Functional("m", [x, product], [(x, product), (x, product)], [x.output], [product.output])
    assert arrows(model_to_dot(model)) == [("x (InputLayer)", "square (Multiply)")]


def test_names_are_left_out_on_demand():
    assert set(boxes(model_to_dot(models.stack(), show_layer_names=False)).values()) == {"Dense", "Dropout"}


def test_shapes_dtypes_activations_and_trainability(tmp_path):
    dot = model_to_dot(models.multi_io(), show_shapes=True, show_dtype=True, show_layer_activations=True, show_trainable=True)
    text = texts(dot, tmp_path)
    assert "Input shape: (None, 10000), (None, 10000), (None, 100)" in text
    assert text.count("Output dtype: ") == 7 and text.count("float32") == 7
    assert text.count("Input shape: ") == 4  # none for an InputLayer, as in Keras
    assert text.count("Activation: ") == 3 and text.count("relu") == 3
    assert len(re.findall("(?<!-)Trainable", text)) == 2 and text.count("Non-trainable") == 1
    assert "Output shape" not in texts(model_to_dot(models.multi_io()), tmp_path)


def test_a_layer_without_one_shape_shows_a_question_mark(tmp_path):
    class Shared(models.Operation):
        @property
        def input(self):
            raise ValueError("called twice")

        @input.setter
        def input(self, value):
            pass

    layer = Shared("shared", None, models.Tensor(None, 4))
    text = texts(model_to_dot(models.Sequential("m", [models.dense("d", 3, 4), layer]), show_shapes=True), tmp_path)
    assert "Input shape: ?Output shape: (None, 4)" in text


def test_nested_models_stay_closed_by_default():
    assert list(boxes(model_to_dot(models.nested())).values())[3:5] == ["routing (Functional)", "stack (Sequential)"]


def test_nested_models_open_into_clusters_with_arrows_to_the_right_boxes():
    dot = model_to_dot(models.nested(), expand_nested=True)
    assert re.findall(r"label=<<b>(\w+)</b>>", dot.source) == ["routing", "stack"]
    got = arrows(dot)
    for edge in [
        ("b (InputLayer)", "title (InputLayer)"),
        ("a (InputLayer)", "text_body (InputLayer)"),
        ("tags_in (InputLayer)", "tags (InputLayer)"),
        ("tags_in (InputLayer)", "first (Dense)"),
        ("priority (Dense)", "joined (Concatenate)"),
        ("department (Dense)", "joined (Concatenate)"),
        ("last (Dense)", "joined (Concatenate)"),
        ("dense_features (Dense)", "priority (Dense)"),
        ("first (Dense)", "drop (Dropout)"),
    ]:
        assert edge in got
    assert len(got) == 7 + 6 + 2
    assert not any("Functional" in title or "Sequential" in title for title in boxes(dot).values())


def test_source_is_deterministic():
    assert model_to_dot(models.nested(), expand_nested=True).source == model_to_dot(models.nested(), expand_nested=True).source


def test_rankdir_dpi_and_splines_reach_the_source():
    source = model_to_dot(models.stack(), rankdir="LR", dpi=77, splines="curved").source
    assert "rankdir=LR" in source and "dpi=77" in source and "splines=curved" in source


def test_subgraph_is_a_cluster():
    dot = model_to_dot(models.stack("inner"), subgraph=True)
    assert dot.name.startswith("cluster") and "<b>inner</b>" in dot.source


STRANGE = [
    'say "hi"', "back\\slash \\N \\n", "a<b>&amp;</b>", "<table>", "tab\tand\nline", "bell\x07", "ü λ 漢", "]; evil -> n0 [", "",
]  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_any_name_is_drawn_as_it_is(name, tmp_path):
    dot = model_to_dot(models.Sequential(name, [models.dense(name, 3, 4), models.dense("other", 4, 5)]))
    text = texts(dot, tmp_path)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    assert (f"{shown} (Dense)" if name else "Dense") in text
    assert len(boxes(dot)) == 2 and len(arrows(dot)) == 1


@pytest.mark.parametrize("name", STRANGE)
def test_any_name_of_a_nested_model_is_drawn(name, tmp_path):
    model = models.nested()
    model.operations[4].name = name
    text = texts(model_to_dot(model, expand_nested=True), tmp_path)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    assert (shown or "model") in text


def test_a_long_name_keeps_both_ends(tmp_path):
    text = texts(model_to_dot(models.Sequential("m", [models.dense("start" + "x" * 500 + "end", 3, 4)])), tmp_path)
    assert "start" in text and "end (Dense)" in text and len(text) < 200


def png_size(content):
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and content[-8:-4] == b"IEND"
    return struct.unpack(">II", content[16:24])


def test_png_grows_with_dpi(tmp_path):
    plot_model(models.multi_io(), tmp_path / "a.png", dpi=100)
    plot_model(models.multi_io(), tmp_path / "b.png", dpi=200)
    small, large = (png_size((tmp_path / name).read_bytes()) for name in ("a.png", "b.png"))
    assert small[0] > 300 and abs(large[0] - 2 * small[0]) <= 2 and abs(large[1] - 2 * small[1]) <= 2


def test_rankdir_turns_the_picture(tmp_path):
    sizes = {}
    for rankdir in ("TB", "LR"):
        plot_model(models.stack(), tmp_path / "m.png", rankdir=rankdir)
        sizes[rankdir] = png_size((tmp_path / "m.png").read_bytes())
    assert sizes["TB"][1] > sizes["TB"][0] and sizes["LR"][0] > sizes["LR"][1]


def test_a_name_without_ending_is_a_png(tmp_path):
    plot_model(models.stack(), str(tmp_path / "model"))
    png_size((tmp_path / "model").read_bytes())


def test_svg_jpg_and_source(tmp_path):
    plot_model(models.stack(), tmp_path / "m.SVG")
    assert xml.etree.ElementTree.parse(tmp_path / "m.SVG").getroot().tag.endswith("svg")
    plot_model(models.stack(), tmp_path / "m.jpg")
    assert (tmp_path / "m.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    plot_model(models.stack(), tmp_path / "m.dot", show_layer_names=True)
    assert (tmp_path / "m.dot").read_text("utf-8") == model_to_dot(models.stack()).source


def test_two_runs_write_the_same_bytes(tmp_path):
    for ending in ("png", "pdf", "svg"):
        plot_model(models.multi_io(), tmp_path / f"a.{ending}", show_shapes=True)
        plot_model(models.multi_io(), tmp_path / f"b.{ending}", show_shapes=True)
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ArgumentError, match="'png'"):
        plot_model(models.stack(), tmp_path / "model.xyz")
    assert list(tmp_path.iterdir()) == []


def test_an_unbuilt_model_is_refused():
    model = models.stack()
    model.built = False
    with pytest.raises(ValueError, match="not yet been built") as caught:
        model_to_dot(model)
    assert "mend:" in str(caught.value)
    with pytest.raises(ValueError, match="not yet been built"):
        read_model(model)


@pytest.mark.parametrize("wrong", [{"rankdir": "XY"}, {"splines": "wavy"}, {"layer_range": (0, 1)}, {"show_shape": True}])
def test_wrong_arguments_are_refused(wrong, tmp_path):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        plot_model(models.stack(), tmp_path / "m.png", **wrong)


def test_layer_range_none_is_accepted(tmp_path):
    assert plot_model(models.stack(), tmp_path / "m.png", layer_range=None) is None


def test_notebooks_get_an_image(tmp_path, monkeypatch):
    display = types.SimpleNamespace(Image=lambda filename: ("image", filename), SVG=lambda filename: ("svg", filename))
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=display))
    assert plot_model(models.stack(), tmp_path / "m.png") == ("image", str(tmp_path / "m.png"))
    assert plot_model(models.stack(), tmp_path / "m.svg") == ("svg", str(tmp_path / "m.svg"))
    assert plot_model(models.stack(), tmp_path / "m.pdf") is None


def test_no_system_dot_is_needed(tmp_path):
    """Also the returned object draws itself: `graphviz` is pointed at the program that came with the package."""
    code = (
        "from tests.visualization import models; from graphkeras.visualization import model_to_dot, plot_model\n"
        f"plot_model(models.stack(), {str(tmp_path / 'm.png')!r})\n"
        "print(model_to_dot(models.stack()).pipe('svg')[:5].decode())"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"PATH": "/nonexistent"}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "<?xml" and done.stderr == ""
    png_size((tmp_path / "m.png").read_bytes())
