"""The PDF writer: a well-formed file with the text and the strokes of the layout."""

import json
import re
import zlib

import pytest

from graphkeras.visualization import pdf
from graphkeras.visualization.render import render


def page(content):
    """The drawing operators of the page, after the file's structure has been checked."""
    assert content.startswith(b"%PDF-1.4\n") and content.endswith(b"%%EOF\n")
    start = int(re.search(rb"startxref\n(\d+)", content)[1])
    table = re.match(rb"xref\n0 (\d+)\n0000000000 65535 f \n((?:\d{10} 00000 n \n)*)", content[start:])
    offsets = [int(line[:10]) for line in table[2].splitlines()]
    assert int(table[1]) == len(offsets) + 1
    for number, offset in enumerate(offsets, 1):
        assert content[offset:].startswith(b"%d 0 obj\n" % number)
    body = content[offsets[3] :]
    length, stream = re.match(rb"4 0 obj\n<< /Length (\d+) /Filter /FlateDecode >>\nstream\n", body), None
    stream = body[length.end() :][: int(length[1])]
    return zlib.decompress(stream).decode("ascii")


def shown(drawing):
    return [bytes.fromhex(text).decode("cp1252") for text in re.findall(r"<([0-9a-f]*)> Tj", drawing)]


def test_text_fonts_and_colors():
    drawing = page(render('digraph { a [label=<plain <b>bold</b> <i>it</i>>, fontname=Helvetica, fontcolor="#ff0000"] }', "pdf"))
    assert [text.strip() for text in shown(drawing) if text.strip()] == ["plain", "bold", "it"]
    assert "/Helvetica 14.00 Tf" in drawing and "/Helvetica-Bold 14.00 Tf" in drawing and "/Helvetica-Oblique" in drawing
    assert "1 0 0 rg" in drawing


def test_characters_outside_of_the_base_fonts_become_question_marks():
    assert shown(page(render('digraph { a [label="é λ (x) \\\\ end"] }', "pdf"))) == ["é ? (x) \\ end"]


def test_every_arrow_has_a_line_and_a_head():
    drawing = page(render("digraph { splines=ortho; a -> b -> c }", "pdf"))
    assert drawing.count("\nh B") == 2 and len(re.findall(r" c\nS", drawing)) == 2


def test_dashes_widths_and_every_outline():
    nodes = "a [style=dashed penwidth=3]; b [shape=cylinder style=filled fillcolor=red]; c [shape=box]"
    drawing = page(render(f"digraph {{ {nodes}; a -> b [style=dotted] }}", "pdf"))
    assert "[5 3] 0 d" in drawing and "[1 3] 0 d" in drawing and "3.00 w" in drawing and "1 0 0 rg" in drawing
    assert drawing.count("q") == drawing.count("Q")


def test_page_has_the_size_of_the_picture_up_to_the_limit():
    small = pdf.from_layout(json.dumps({"bb": "0,0,100,50"}).encode())
    assert b"/MediaBox [0 0 108.00 58.00]" in small
    large = pdf.from_layout(json.dumps({"bb": "0,0,143992,100"}).encode())
    assert b"/MediaBox [0 0 14400.00 10.80]" in large and "0.1 0 0 0.1" in page(large)


@pytest.mark.parametrize(
    "color, expected",
    [("#000000", (True, "0 0 0")), ("#ff000080", (True, "1 0.498 0.498")), ("#fffffe00", (False, "1 1 1"))],
)
def test_transparency_is_laid_on_white(color, expected):
    assert pdf._color(color) == expected
