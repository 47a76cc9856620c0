"""Tables of box-drawing characters, of a given width."""

import re


def text_table(header, rows, alignment, widths, total):
    """The lines of a table.

    Args:
        header: text of each column's head.
        rows: lists of texts. What does not fit is broken between words; a longer word ends in "…".
        alignment: "left", "right" or "center" for each column.
        widths: wished width of each column in characters, borders left out.
        total: width of the whole table.

    Example:

    >>> print("\\n".join(text_table(["a", "b"], [["x", "1"]], ["left", "right"], [4, 4], 11)))
    ┏━━━━┳━━━━┓
    ┃ a  ┃  b ┃
    ┡━━━━╇━━━━┩
    │ x  │  1 │
    └────┴────┘
    """
    widths = _fitted([w + 2 for w in widths], total - len(widths) - 1)

    def rule(left, line, cross, right):
        return left + cross.join(line * w for w in widths) + right

    def cells(texts, border):
        wrapped = [_wrapped(text, w - 2) for text, w in zip(texts, widths)]
        height = max(map(len, wrapped))
        for i in range(height):
            parts = (_aligned(lines[i] if i < len(lines) else "", w - 2, a) for lines, w, a in zip(wrapped, widths, alignment))
            yield border + border.join(f" {part} " for part in parts) + border

    lines = [rule("┏", "━", "┳", "┓"), *cells(header, "┃"), rule("┡", "━", "╇", "┩")]
    for index, row in enumerate(rows):
        if index:
            lines.append(rule("├", "─", "┼", "┤"))
        lines += cells(row, "│")
    return [*lines, rule("└", "─", "┴", "┘")]


def _fitted(widths, total):
    """The widths with what is too much (or missing) spread evenly over the columns."""
    excess = sum(widths) - total
    fitted = []
    for index, width in enumerate(widths):
        share = round(excess / (len(widths) - index))
        fitted.append(max(3, width - share))
        excess -= share
    return fitted


def _wrapped(text, width):
    lines = [""]
    for word in re.findall(r"\s*\S+\s*", text):
        if lines[-1] and len(lines[-1]) + len(word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    lines = [line.rstrip() for line in lines]
    return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]


def _aligned(text, width, alignment):
    if alignment == "right":
        return text.rjust(width)
    if alignment == "center":
        spare = width - len(text)
        return " " * (spare // 2) + text + " " * (spare - spare // 2)
    return text.ljust(width)
