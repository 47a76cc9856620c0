import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import graphkeras as keras
from graphkeras import ops
from graphkeras.ir.errors import ArgumentError
from graphkeras.runtime.memory_map import MemoryMap, Place
from graphkeras.visualization import draw_memory
from graphkeras.visualization.memory import memory_svg

SVG = "{http://www.w3.org/2000/svg}"
PLACES = (
    Place("<a> & b", "layer 'x'", 0, 1024, 0, 1, 0, False),
    Place("c", "", 1024, 3072, 1, 2, 1, True),
)
MEMORY = MemoryMap("f", PLACES, ("k0", "k1", "k2"), 4096, (1024, 4096, 3072), {"batch": 3})


def test_boxes_are_as_wide_as_bytes_and_as_high_as_lives():
    root = ElementTree.fromstring(memory_svg(MEMORY))
    groups = root.findall(f"{SVG}g")
    assert [g.find(f"{SVG}title").text.splitlines()[0] for g in groups] == ["<a> & b", "c"]
    first, second = (g.find(f"{SVG}rect").attrib for g in groups)
    assert float(second["width"]) == pytest.approx(3 * float(first["width"]))
    assert float(second["x"]) == pytest.approx(float(first["x"]) + float(first["width"]))
    assert float(second["y"]) > float(first["y"]) and second["height"] == first["height"]
    assert "stroke-dasharray" in second and "stroke-dasharray" not in first
    words = [t.text for t in root.iter(f"{SVG}text")]
    assert any("f (batch = 3): arena of 4 KiB" in word for word in words) and "0  k0" in words


def test_a_program_without_intermediate_arrays():
    ElementTree.fromstring(memory_svg(MemoryMap("f", (), ("k0",), 0, (0,), {})))


def test_the_memory_of_a_function(tmp_path):
    f = keras.function(lambda x: ops.softmax(ops.matmul(ops.tanh(x), ops.transpose(x))))
    x = np.ones((8, 16), "float32")
    path = draw_memory(f.program(x), x, to_file=str(tmp_path / "memory.svg"))
    assert len(ElementTree.parse(path).getroot().findall(f"{SVG}g")) == len(f.program(x).memory_map(x).places) > 0
    with pytest.raises(ArgumentError, match="to_file"):
        draw_memory(f.program(x), x, to_file=str(tmp_path / "memory.png"))
