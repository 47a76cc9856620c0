"""The memory map of a program as a picture: the arena from left to right, the rows of the program from top to bottom."""

import html
from pathlib import Path

from graphkeras.visualization.render import checked

_WIDTH, _ROW, _LEFT, _TOP, _RIGHT, _BOTTOM = 900, 22, 190, 64, 120, 40
_FILLS = ("#9ecae1", "#a1d99b", "#fdae6b", "#bcbddc", "#fdd0a2", "#c7e9c0", "#dadaeb", "#fc9272", "#d9d9d9", "#c6dbef")
_LETTER = 6.2  # pixels per letter of 10 px type
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))


def draw_memory(program, *arrays, sizes=None, to_file="memory.svg") -> str:
    """Draws where the intermediate arrays of a program lie, and while which of its kernels they live.

    Each box is an array: its width is its bytes, its place from left to right its offset in the arena, its height the rows of
    the program's table in which it lives. Boxes of one colour are made by one fusion group. The bars at the right
    show how much of the arena is in use in each row. Pointing at a box shows its node and where that comes from.

    Args:
        program: a `Program`, for example `f.program(x)` of a `graphkeras.function`.
        *arrays: arguments (or anything with a shape) whose sizes are meant; or
        sizes: symbol -> size.
        to_file: name of an SVG file.

    Returns:
        The name of the file.

    Example:

    >>> draw_memory(f.program(x), x, to_file="memory.svg")   # doctest: +SKIP
    """
    checked("to_file", Path(to_file).suffix[1:].lower(), ("svg",))
    Path(to_file).write_text(memory_svg(program.memory_map(*arrays, sizes=sizes)), encoding="utf-8")
    return str(to_file)


def memory_svg(memory) -> str:
    """A `MemoryMap` as the text of an SVG picture."""
    rows = len(memory.rows)
    height = _TOP + rows * _ROW + _BOTTOM
    scale = _WIDTH / max(memory.arena_bytes, 1)
    peak = max(memory.live_bytes, default=0)
    bound = ", ".join(f"{name} = {size}" for name, size in sorted(memory.sizes.items()))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + _RIGHT}" height="{height}" '
        f'viewBox="0 0 {_LEFT + _WIDTH + _RIGHT} {height}" font-family="Helvetica, Arial, sans-serif" font-size="10">',
        f'<rect width="{_LEFT + _WIDTH + _RIGHT}" height="{height}" fill="white"/>',
        _text(_LEFT, 20, f"{memory.name}{f' ({bound})' if bound else ''}: arena of {_amount(memory.arena_bytes)}", size=14),
        _text(
            _LEFT, 36,
            f"{len(memory.places)} arrays, {_amount(memory.sum_bytes)} in all; at most {_amount(peak)} alive at once", fill="#555",
        ),
    ]  # fmt: skip
    for row, name in enumerate(memory.rows):
        y = _TOP + row * _ROW
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{_WIDTH}" height="{_ROW}" fill="{"#f7f7f7" if row % 2 else "#ffffff"}"/>')
        parts.append(_text(_LEFT - 8, y + 15, _cut(f"{row}  {name}", 29), anchor="end"))
        used = (_RIGHT - 56) * memory.live_bytes[row] / max(peak, 1)
        parts.append(f'<rect x="{_LEFT + _WIDTH + 6}" y="{y + 5}" width="{used:.1f}" height="{_ROW - 10}" fill="#bbb"/>')
        parts.append(_text(_LEFT + _WIDTH + 10 + used, y + 15, _amount(memory.live_bytes[row]), fill="#555"))
    for place in memory.places:
        parts += _box(place, scale)
    base = _TOP + rows * _ROW
    for i in range(5):
        x = _LEFT + _WIDTH * i / 4
        parts.append(f'<line x1="{x}" y1="{_TOP - 6}" x2="{x}" y2="{base + 4}" stroke="#ccc"/>')
        parts.append(_text(x, base + 18, _amount(memory.arena_bytes * i // 4), anchor="middle", fill="#555"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(place, scale):
    x, width = _LEFT + place.offset * scale, max(place.nbytes * scale, 1.0)
    y, height = _TOP + place.first * _ROW + 1, (place.last - place.first + 1) * _ROW - 2
    dashes = ' stroke-dasharray="3,2"' if place.takes_over else ""
    title = f"{place.name}\n{place.nbytes:,} bytes at {place.offset:,}, group {place.group}, rows {place.first} to {place.last}"
    yield (
        f"<g><title>{html.escape(title + (chr(10) + place.origin if place.origin else ''))}</title>"
        f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{height}" rx="2" fill="{_FILLS[place.group % len(_FILLS)]}" '
        f'fill-opacity="0.9" stroke="#444" stroke-width="0.6"{dashes}/>'
    )
    letters = int((width - 6) / _LETTER)
    if letters >= 3:
        yield _text(x + 4, y + 14, _cut(place.name, letters))
    yield "</g>"


def _text(x, y, text, anchor="start", fill="#000", size=10):
    return f'<text x="{x:.2f}" y="{y}" text-anchor="{anchor}" fill="{fill}" font-size="{size}">{html.escape(text)}</text>'


def _cut(text, letters):
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _amount(nbytes):
    """Bytes for people.

    >>> _amount(100), _amount(1536), _amount(3 << 20)
    ('100 B', '1.5 KiB', '3 MiB')
    """
    size, unit = next(((size, unit) for size, unit in _UNITS if nbytes >= size), _UNITS[-1])
    return f"{nbytes / size:.1f}".removesuffix(".0") + f" {unit}"
