"""One vector PDF page from a laid out graph (Graphviz's JSON form, whose `_draw_` lists are xdot operations).

Text is set in the base fonts that every PDF reader has, in the Windows-1252 character set; other characters become '?'.
The bytes depend on the layout alone: no date, no identifiers.
"""

import json
import zlib

PAD = 4  # points around the drawing, as in Graphviz's own output
LARGEST_PAGE = 14400  # points, the limit of PDF readers
CIRCLE = 0.5522847498  # control point of the Bezier curve nearest to a quarter of the unit circle
DASHES = {"dashed": "[5 3] 0 d", "dotted": "[1 3] 0 d", "solid": "[] 0 d"}
BOLD, ITALIC = 1, 2
FONTS = {
    "Helvetica": ("Helvetica", "Helvetica-Bold", "Helvetica-Oblique", "Helvetica-BoldOblique"),
    "Times": ("Times-Roman", "Times-Bold", "Times-Italic", "Times-BoldItalic"),
    "Courier": ("Courier", "Courier-Bold", "Courier-Oblique", "Courier-BoldOblique"),
}
FONT_NAMES = tuple(name for family in FONTS.values() for name in family)


def from_layout(layout):
    """A PDF file.

    Args:
        layout: bytes of Graphviz's `json` output.

    Returns:
        Bytes of the file.
    """
    graph = json.loads(layout)
    left, bottom, right, top = map(float, graph["bb"].split(","))
    width, height = right - left + 2 * PAD, top - bottom + 2 * PAD
    scale = min(1.0, LARGEST_PAGE / max(width, height))
    drawing = [f"{scale:.6g} 0 0 {scale:.6g} {(PAD - left) * scale:.2f} {(PAD - bottom) * scale:.2f} cm"]
    for item in (graph, *graph.get("objects", ()), *graph.get("edges", ())):
        for key in ("_draw_", "_hdraw_", "_tdraw_", "_ldraw_", "_hldraw_", "_tldraw_"):
            drawing += ["q", *_Pen().draw(item[key]), "Q"] if key in item else []
    return _file(width * scale, height * scale, "\n".join(drawing).encode("ascii"))


class _Pen:
    """Translates one list of xdot operations; pen and fill start black, as xdot says."""

    def __init__(self):
        self.fill_visible = self.pen_visible = True
        self.face, self.size, self.characteristics, self.text_color = "Helvetica", 14.0, 0, "0 0 0"

    def draw(self, operations):
        for operation in operations:
            yield from getattr(self, "op_" + KINDS[operation["op"]])(operation) if operation["op"] in KINDS else ()

    def op_pen_color(self, operation):
        self.pen_visible, self.text_color = _color(operation["color"])
        yield f"{self.text_color} RG"

    def op_fill_color(self, operation):
        self.fill_visible, color = _color(operation["color"])
        yield f"{color} rg"

    def op_style(self, operation):
        style = operation["style"]
        if style in DASHES:
            yield DASHES[style]
        elif style.startswith("setlinewidth("):
            yield f"{float(style[13:-1]):.2f} w"

    def op_font(self, operation):
        self.face, self.size = operation["face"], operation["size"]
        yield from ()

    def op_font_characteristics(self, operation):
        self.characteristics = operation["fontchar"]
        yield from ()

    def op_polygon(self, operation):
        yield from self.path(_lines(operation["points"]), closed=True, filled=operation["op"] == "P")

    def op_polyline(self, operation):
        yield from self.path(_lines(operation["points"]), closed=False, filled=False)

    def op_curve(self, operation):
        yield from self.path(_curve(operation["points"]), closed=False, filled=operation["op"] == "B")

    def op_ellipse(self, operation):
        x, y, a, b = operation["rect"]
        c, d = a * CIRCLE, b * CIRCLE
        points = [(x + a, y), (x + a, y + d), (x + c, y + b), (x, y + b), (x - c, y + b), (x - a, y + d), (x - a, y),
                  (x - a, y - d), (x - c, y - b), (x, y - b), (x + c, y - b), (x + a, y - d), (x + a, y)]  # fmt: skip
        yield from self.path(_curve(points), closed=True, filled=operation["op"] == "E")

    def op_text(self, operation):
        shift = {"l": 0.0, "c": 0.5, "r": 1.0}[operation["align"]]
        x, y = operation["pt"]
        text = operation["text"].replace("\\\\", "\\").encode("cp1252", "replace")  # the layout doubles backslashes
        yield f"q BT {self.text_color} rg /{self.font_name()} {self.size:.2f} Tf"
        yield f"1 0 0 1 {x - shift * operation['width']:.2f} {y:.2f} Tm <{text.hex()}> Tj ET Q"

    def font_name(self):
        family = next((family for family in FONTS if self.face.startswith(family)), "Helvetica")
        bold = bool(self.characteristics & BOLD) or "Bold" in self.face
        italic = bool(self.characteristics & ITALIC) or "Italic" in self.face or "Oblique" in self.face
        return FONTS[family][bold + 2 * italic]

    def path(self, steps, closed, filled):
        filled = filled and self.fill_visible
        paint = {(False, False): "n", (False, True): "S", (True, False): "f", (True, True): "B"}[filled, self.pen_visible]
        yield from steps
        yield f"h {paint}" if closed else paint


KINDS = {"c": "pen_color", "C": "fill_color", "S": "style", "F": "font", "t": "font_characteristics", "P": "polygon",
         "p": "polygon", "L": "polyline", "B": "curve", "b": "curve", "E": "ellipse", "e": "ellipse", "T": "text"}  # fmt: skip


def _color(text):
    """(visible, "r g b") of "#rrggbb" or "#rrggbbaa"; part transparency is laid on white paper."""
    red, green, blue, alpha = bytes.fromhex((text[1:] + "ff")[:8])
    mix = (255 - (255 - part) * alpha / 255 for part in (red, green, blue))
    return alpha > 0, " ".join(f"{part / 255:.4g}" for part in mix)


def _lines(points):
    return [f"{x:.2f} {y:.2f} {'l' if i else 'm'}" for i, (x, y) in enumerate(points)]


def _curve(points):
    (x, y), *rest = points
    triples = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    return [f"{x:.2f} {y:.2f} m", *(" ".join(f"{v:.2f}" for point in triple for v in point) + " c" for triple in triples)]


def _file(width, height, drawing):
    fonts = "".join(f"/{name} {5 + i} 0 R " for i, name in enumerate(FONT_NAMES))
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.2f} {height:.2f}] /Contents 4 0 R"
    packed = zlib.compress(drawing, 9)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"{page} /Resources << /Font << {fonts}>> >> >>".encode("ascii"),
        f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode("ascii") + packed + b"\nendstream",
        *(
            f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>".encode("ascii")
            for name in FONT_NAMES
        ),
    ]
    content, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start, count = len(content), len(objects) + 1
    content += b"xref\n0 %d\n0000000000 65535 f \n%b" % (count, table)
    content += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, start)
    return bytes(content)
