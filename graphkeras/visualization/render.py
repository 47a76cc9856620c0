"""From DOT source to a file: text made safe for labels, the `dot` program found, the picture written.

The `graphviz-pure` wheel brings a `dot` program with fonts of its own, so the same source gives the same bytes on every
machine. A system's `dot` is used only where that wheel is missing.
"""

import functools
import html
import shutil
import sys
from pathlib import Path

from graphkeras.ir.errors import ArgumentError, GraphKerasError
from graphkeras.visualization import pdf

TEXT_FORMATS = ("dot", "gv")
FORMATS = ("png", "svg", "pdf", "jpg", "jpeg", *TEXT_FORMATS)
RANK_DIRECTIONS = ("TB", "LR", "BT", "RL")
SPLINES = ("ortho", "curved", "polyline", "spline", "line")


class RenderError(GraphKerasError, RuntimeError):
    """A picture could not be laid out or drawn."""


def safe_text(text, limit=80):
    """Any text as one line of an HTML-like label: markup is escaped, control characters are spelled out, and a longer
    text than `limit` characters keeps its two ends.

    Example:

    >>> safe_text('a<b> & "c"' + chr(10))
    'a&lt;b&gt; &amp; &quot;c&quot;\\\\\\\\n'
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
    if len(text) > limit:
        text = text[: limit // 2] + "\u2026" + text[len(text) - limit // 2 + 1 :]
    return html.escape(text).replace("\\", "\\\\")  # Graphviz gives \N and its like a meaning even in these labels


@functools.cache
def dot_program():
    """Path of the program that lays graphs out."""
    import importlib.metadata

    try:
        for file in importlib.metadata.files("graphviz-pure") or ():
            path = Path(file.locate()).resolve()
            if path.stem == "graphviz-pure" and path.parent.name in ("bin", "Scripts") and path.is_file():
                return str(path)
    except importlib.metadata.PackageNotFoundError:
        pass
    found = shutil.which("graphviz-pure") or shutil.which("dot")
    if found is None:
        raise RenderError(
            "no program to lay out graphs was found.",
            got="neither the package 'graphviz-pure' nor a 'dot' program on the PATH",
            expected="one of them",
            where="graphkeras.visualization",
            mend="pip install graphviz-pure, or write to a .dot file and draw it elsewhere",
        )
    return found


def new_digraph(name, **graph_attributes):
    """An empty `graphviz.Digraph` whose own `render()` and notebook display work too, with or without a system `dot`."""
    import graphviz

    if shutil.which("dot") is None:
        graphviz.backend.dot_command.DOT_BINARY = dot_program()
    return graphviz.Digraph(name, graph_attr={k: str(v) for k, v in graph_attributes.items()})


def checked(argument, value, allowed):
    """`value`, if it is one of the allowed ones."""
    if value not in allowed:
        raise ArgumentError(
            f"`{argument}` has a value that is not allowed.",
            got=repr(value),
            expected="one of " + ", ".join(map(repr, allowed)),
            where="graphkeras.visualization",
            mend=f"pass one of these as `{argument}`",
        )
    return value


def file_format(to_file):
    """The picture format that a file name asks for: its ending, or PNG where it has none."""
    return checked("to_file", Path(to_file).suffix[1:].lower() or "png", FORMATS)


def render(source, format):
    """DOT source as the bytes of a picture.

    Args:
        source: DOT text.
        format: one of `FORMATS`. PDF pages are drawn with the fonts every reader has, as vectors.

    Returns:
        Bytes.
    """
    if format in TEXT_FORMATS:
        return source.encode("utf-8")
    if format == "pdf":
        return pdf.from_layout(_run_dot(source, "json"))
    return _run_dot(source, format)


def write(source, to_file):
    """Draws DOT source into a file; the ending of its name chooses the format."""
    content = render(source, file_format(to_file))
    Path(to_file).write_bytes(content)


def notebook_image(to_file):
    """What a notebook shows for the file, or None outside of notebooks."""
    if "IPython" not in sys.modules or file_format(to_file) in ("pdf", *TEXT_FORMATS):
        return None
    from IPython import display

    return display.SVG(filename=str(to_file)) if file_format(to_file) == "svg" else display.Image(filename=str(to_file))


def _run_dot(source, format):
    import subprocess

    program = dot_program()
    done = subprocess.run([program, "-Kdot", f"-T{format}"], input=source.encode("utf-8"), capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise RenderError(
            "the graph could not be laid out.",
            got=f"exit status {done.returncode}: {done.stderr.decode('utf-8', 'replace').strip()[-500:]}",
            expected=f"a picture in the format {format}",
            where=program,
            mend="try splines='spline', or write to a .dot file and look at the source",
        )
    return done.stdout
