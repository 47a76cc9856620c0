"""What the texts of the two attention kernels share: the numbers their loops are cut by, scratch, copies, products, what hides scores.

Lanes run along queries: a block of scores has a row of `line` queries for each key. So maxima, sums and logarithms of all queries of
a block are vectors that no lane needs another one for, keys and values are read as they lie, and only the block's own queries,
cotangents and results are transposed.
"""

from math import prod

from graphkeras.lowering.cpu.simd_types import strip_shapes
from graphkeras.lowering.cpu.target import LANES
from graphkeras.ops.nn_attention_records import MASKED

PANEL = 48
"""Queries of a block: whole vectors, and products over them long enough for what they add to."""
KEYS = 240
"""Most keys of a block: its scores for a panel of queries stay near. Whole strips."""
STRIP = 12
"""Height that all strips of a product divide, but for the last ones."""
_SQUARE = -(-KEYS // LANES) * LANES
_BYTES = {"f32": 4, "f64": 8}
_NAMES = {"f32": "float32", "f64": "float64"}
_FAINT = {"f32": -87.0, "f64": -708.0}  # exponentials below are no normal numbers: shares of less than 1e-37
_SIZES = ("batch", "heads", "rows", "keys", "width", "depth")


def row_blocks(rows) -> int:
    """Blocks of queries of a head."""
    return -(-rows // PANEL)


def areas(op, staged) -> dict[str, tuple]:
    """Areas of a kernel's scratch: the factors of their sizes in elements.

    Args:
        op: "attention" or "attention_gradient".
        staged: which of "bias" and "mask" are transposed, as their elements differ from query to query.
    """
    found = {"qs": (PANEL, "wide"), "qt": ("wide", PANEL), "k": ("long", "wide"), "values": ("long", "deep"), "s": (KEYS + STRIP, PANEL)}
    if op == "attention":
        found |= {"o": ("deeper", PANEL), "ys": (PANEL, "deep"), "top": (PANEL,), "sum": (PANEL,)}
    else:
        found |= {"z": (KEYS + STRIP, PANEL), "o": ("wider", PANEL), "ys": (PANEL, "wide"), "gs": (PANEL, "deep")}
        found |= {"gt": ("deep", PANEL), "dk": ("long", "wide"), "dv": ("long", "deep")}
    for name in staged:
        found[f"{name}_s"] = (_SQUARE, PANEL)
    return found | ({"stage": (PANEL, _SQUARE)} if staged else {})


def scratch_bytes(op, dtype, staged, keys, width, depth) -> int:
    """Scratch of a thread."""
    wide, deep = (-(-size // LANES) * LANES for size in (width, depth))
    named = {"wide": wide, "deep": deep, "wider": wide + STRIP, "deeper": deep + STRIP, "long": keys + STRIP}
    return _BYTES[dtype] * sum(prod(named.get(f, f) for f in factors) for factors in areas(op, staged).values())


def indented(text, depth=1):
    return "".join("    " * depth + line + "\n" for line in text.splitlines())


def whole(body, dtype) -> str:
    """Canonical source from a kernel's body, in which `T` stands for the dtype."""
    text = "def kernel(args, lo, hi, scratch):\n" + indented(body)
    return "".join(line + "\n" for line in text.replace("_T(", f"_{dtype}(").splitlines() if line.strip())


def head(dtype, names, op, forms) -> str:
    """Arguments, numbers and areas of the scratch."""
    lines, at = [], 1
    for name in names:
        lines.append(f"{name}_at = ptr_{'b1' if name == 'mask' else 'T'}(args[{at}])" if name in forms else f"{name}_at = args[{at}]")
        lines += [f"{name}_{axis} = args[{at + i}]" for i, axis in enumerate(("batch", "row", "head"), 1)]
        at += 4
        if name in forms:
            lines.append(f"{name}_key = args[{at}]")
            at += 1
    for name in ("y", "lse") if op == "attention" else ("dq", "dk_to", "dv_to"):
        lines.append(f"{name} = args[{at}]")
        at += 1
    for name in _SIZES:
        lines.append(f"{name} = args[{at}]")
        at += 1
    lines += [f"scale = bits_T(args[{at}])", "zero = const_T(0)", "one = const_T(1)"]
    lines += [f"hidden = const_T({MASKED[_NAMES[dtype]]!r})", f"faint = const_T({_FAINT[dtype]})"]
    lines += [f"{word} = {value}" for word, value in (
        ("ITEM", _BYTES[dtype]), ("STRIP", STRIP), ("PANEL", PANEL), ("SQUARE", _SQUARE),
    )]  # fmt: skip
    lines += ["wide = (width + LANES - 1) // LANES * LANES", "deep = (depth + LANES - 1) // LANES * LANES"]
    lines += ["wider = wide + STRIP", "deeper = deep + STRIP", "long = keys + STRIP", "blocks = (rows + PANEL - 1) // PANEL"]
    lines.append(f"parts = max(1, (keys + {KEYS} - 1) // {KEYS})")
    lines.append("BLOCK = ((keys + parts - 1) // parts + STRIP - 1) // STRIP * STRIP")
    place, found = "scratch", areas(op, staged(forms))
    for name, factors in found.items():
        lines.append(f"{name} = {place}")
        place = f"{name} + {' * '.join(map(str, factors))} * ITEM"
    lines += [f"{name}_p = ptr_T({name})" for name in found]
    return "\n".join(lines) + "\n"


def staged(forms) -> tuple:
    """Names among `forms` whose elements differ from query to query."""
    return tuple(name for name, form in forms.items() if form != "same")


# ---- products -------------------------------------------------------------------------------------------------------


def product(dtype, rows, columns, k, a, a_row, a_step, b, b_step, c, c_row, onto, fetched=()) -> str:
    """c (+)= a @ b in strips; `a` and `c` have room for a whole last strip.

    What `fetched` names (see `near`) is fetched meanwhile, spread over all strips, for memory takes few requests at a time.
    """
    arrays = [near(name) for name in fetched]

    def strips(kinds):
        (tall, vectors), (low, _) = (strip_shapes(dtype, LANES)[kind] for kind in kinds)
        calls = [f"strip_{kind}_T(pa, {a_row}, {a_step}, pb, {b_step}, {k}, pc, {c_row}, {onto})\n" for kind in kinds]
        lower = f"left <= {2 * low}" if tall > 2 * low else f"left <= {low} or left == {2 * low}"
        starts = "".join(f"at{x} = {first}\n" for x, (*_, first, _) in enumerate(arrays))
        fetches = ""
        for x, (place, row, *_) in enumerate(arrays):
            fetches += f"""\
stop = min(at{x} + step{x}, last{x})
while at{x} < stop:
    prefetch({place} + (at{x} * {row} + jp) * ITEM)
    at{x} += 1
"""
        return f"""\
{starts}i = 0
while i < {rows}:
    left = {rows} - i
{indented(fetches)}
    pa = ptr_T({a} + i * {a_row} * ITEM)
    pc = ptr_T({c} + (i * {c_row} + jp) * ITEM)
    if {lower}:
{indented(calls[1], 2)}
        i += {low}
    else:
{indented(calls[0], 2)}
        i += {tall}
jp += {vectors} * LANES
"""

    kinds = _strip_kinds(dtype)
    body = strips(kinds[-1])
    if len(kinds) > 1:
        body = f"if {columns} - jp > LANES:\n{indented(strips(kinds[0]))}else:\n{indented(body)}"
    steps = ""
    for x, (*_, first, end) in enumerate(arrays):
        steps += f"last{x} = {end}\nstep{x} = (({end} - {first}) * {STRIP} + {rows} - 1) // {rows}\n"
    return f"{steps}jp = 0\nwhile jp < {columns}:\n    pb = ptr_T({b} + jp * ITEM)\n{indented(body)}"


def _strip_kinds(dtype) -> list[tuple[str, str]]:
    """Names of strips, tall and low, for many columns, then those for the last vector of them; the latter alone where they are best for
    short sums."""
    if dtype == "f64":
        return [("tall", "low")]
    narrow = ("narrow", "narrow_low")
    return [narrow] if LANES == 16 else [("tall", "low"), narrow]


# ---- copies ---------------------------------------------------------------------------------------------------------


def vectors(body, end, start="0") -> str:
    """`body(lanes)` for vectors j .. `end`, the last of them with fewer lanes."""
    text = f"j = {start}\nwhile j + LANES <= {end}:\n{indented(body(None))}    j += LANES\n"
    return text + f"if j < {end}:\n    m = {end} - j\n" + indented(body("m"))


def load(pointer, place, lanes, dtype="T") -> str:
    return f"load_{dtype}({pointer}, {place})" if lanes is None else f"loadn_{dtype}({pointer}, {place}, {lanes})"


def store(pointer, place, value, lanes) -> str:
    return f"store_T({pointer}, {place}, {value})\n" if lanes is None else f"storen_T({pointer}, {place}, {value}, {lanes})\n"


def fill(target, source, row, source_row, count, columns, end, value="v") -> str:
    """`count` rows into scratch, each filled up with zeros to whole vectors, and zeros for the rows from there to `end`."""
    copied = lambda lanes: f"v = {load(source, f'i * {source_row} + j', lanes)}\nstore_T({target}, i * {row} + j, {value})\n"
    return f"for i in range({count}):\n{indented(vectors(copied, columns))}" + clear(target, f"{end} * {row}", f"{count} * {row}")


def clear(target, end, start="0") -> str:
    return f"j = {start}\nwhile j < {end}:\n    store_T({target}, j, zero)\n    j += LANES\n"


def give(target, source, row, target_row, count, columns, value="v") -> str:
    """Rows from scratch into an array."""
    copied = lambda lanes: f"v = load_T({source}, i * {row} + j)\n" + store(target, f"i * {target_row} + j", value, lanes)
    return f"for i in range({count}):\n" + indented(vectors(copied, columns))


def turned(source, row, rows, target, target_row, columns) -> str:
    """target[j, i] = source[i, j]; both have room for whole squares of LANES."""
    return f"""\
i = 0
while i < {rows}:
    j = 0
    while j < {columns}:
        transpose_T({source}, i * {row} + j, {row}, {target}, j * {target_row} + i, {target_row})
        j += LANES
    i += LANES
"""


def keys_and_values() -> str:
    """Rows of keys and values of head h of sample b, with zeros behind for strips that reach further."""
    found = ""
    for letter, area, row, size in (("k", "k_p", "wide", "width"), ("v", "values_p", "deep", "depth")):
        found += f"source = ptr_T({letter}_at + (b * {letter}_batch + h * {letter}_head) * ITEM)\n"
        found += fill(area, "source", row, f"{letter}_row", "keys", size, "long")
    return found


def queries(letter, row, turned_row, size, value) -> str:
    """The block's rows of queries (or cotangents), as they lie and transposed."""
    found = f"source = ptr_T({letter}_at + (b * {letter}_batch + r0 * {letter}_row + h * {letter}_head) * ITEM)\n"
    found += fill(f"{letter}s_p", "source", row, f"{letter}_row", "count", size, "line", value)
    return found + turned(f"{letter}s_p", row, "line", f"{letter}t_p", turned_row, row)


def ahead(letters, outputs) -> str:
    """Addresses `near_x` of rows that products fetch meanwhile, see `near`: of what the next head reads, and of the results of this one.

    Args:
        letters: of "k", "v", "q" and "g".
        outputs: (name, length, size) of arrays of shape (batch, length, heads, size).
    """
    text = "after_b = (pair + 1) // heads\nafter_h = pair + 1 - after_b * heads\n"
    for x in letters:
        text += f"near_{x} = {x}_at + (after_b * {x}_batch + after_h * {x}_head) * ITEM\n"
    for name, length, size in outputs:
        text += f"near_{name} = {name} + (b * {length} * heads + h) * {size} * ITEM\n"
    return text


def near(name) -> tuple:
    """(address, distance, first, end) of the rows of an array that a block's products fetch: of keys and values, and their gradients, a
    share; of queries, cotangents and results those that have the same place as the block's."""
    row = f"{name}_row" if len(name) == 1 and name != "y" else f"heads * {'width' if name in ('dq', 'dk_to') else 'depth'}"
    return (f"near_{name}", row, *(_SHARE if name in ("k", "v", "dk_to", "dv_to") else ("r0", "r1")))


_SHARE = ("keys * block // blocks", "keys * (block + 1) // blocks")


ROWS = """\
r0 = block * PANEL
r1 = min(rows, r0 + PANEL)
count = r1 - r0
line = min(PANEL, (count + LANES - 1) // LANES * LANES)
"""
"""Queries of a block, and how many of its lanes take part: whole vectors."""


def key_blocks(body, skips) -> str:
    """`body` for each block of keys c0 .. c0 + n that some query of the block sees."""
    end = "min(keys, (r1 + STRIP - 1) // STRIP * STRIP)" if skips else "keys"  # whole strips, or they would reach into seen keys
    return f"c0 = 0\nwhile c0 < {end}:\n    n = min(BLOCK, {end} - c0)\n" + indented(body + "c0 += BLOCK\n")


# ---- scores ---------------------------------------------------------------------------------------------------------


def stage(forms) -> str:
    """Bias and mask of the block, with lanes along queries; masks as numbers."""
    text = ""
    for name in staged(forms):
        dtype = "b1" if name == "mask" else "T"

        def read(lanes, name=name, dtype=dtype):
            form = forms[name]
            at = f"{name}_row0 + j"
            if form == "dense":
                return load(f"{name}_at", at, lanes, dtype)
            if form == "rows":
                return f"splat_{dtype}({name}_at, {name}_row0)"
            return f"loads_{dtype}({name}_at, {name}_row0 + j * {name}_key, {name}_key, {lanes or 'LANES'})"

        def copied(lanes, name=name, read=read):
            value = f"select({read(lanes)}, one, zero)" if name == "mask" else read(lanes)
            return f"v = {value}\nstore_T(stage_p, i * SQUARE + j, v)\n"

        row0 = f"{name}_row0 = b * {name}_batch + h * {name}_head + (r0 + i) * {name}_row + c0 * {name}_key\n"
        text += f"for i in range(count):\n{indented(row0 + vectors(copied, 'n'))}"
        text += turned("stage_p", "SQUARE", "line", f"{name}_s_p", "line", "n")
    for name, form in forms.items():
        if form == "same":
            text += f"{name}_row0 = b * {name}_batch + h * {name}_head + c0 * {name}_key\n"
    return text


def scores(forms, causal) -> str:
    """The score `x` of queries v .. of key j, and `seen` where something may hide it."""
    text = "x = load_T(s_p, j * line + v)\n"
    if "bias" in forms:
        same = forms["bias"] == "same"
        text += f"x = add(x, {'splat_T(bias_at, bias_row0 + j * bias_key)' if same else 'load_T(bias_s_p, j * line + v)'})\n"
    seen = []
    if "mask" in forms:
        same = forms["mask"] == "same"
        seen.append("splat_b1(mask_at, mask_row0 + j * mask_key)" if same else "ne(load_T(mask_s_p, j * line + v), zero)")
    if causal:
        seen.append("not_(firstn(max(c0 + j - r0 - v, 0)))")
    if seen:
        text += f"seen = {seen[0] if len(seen) == 1 else f'and_({seen[0]}, {seen[1]})'}\n"
    return text


def each_key(body, causal) -> str:
    """`body(causal)` for all keys of the block; those in front of the block's queries are seen by order, at least."""
    run = lambda causal, end: f"while j < {end}:\n{indented(body(causal) + 'j += 1')}"
    if not causal:
        return "j = 0\n" + run(False, "n")
    return "j = 0\nplain = min(n, max(r0 + 1 - c0, 0))\n" + run(False, "plain") + run(True, "n")
