"""The memory map of a program: which array lies where in the arena, and how long it lives."""

from dataclasses import dataclass

from graphkeras.ir.node import Value
from graphkeras.runtime.frame import buffers, stretches
from graphkeras.runtime.memory import plan, rounded

_SHOWN_NAME = 44


@dataclass(frozen=True)
class Place:
    """An array of the arena.

    Attributes:
        name: its node and spec, or the name of a temporary.
        origin: where its node comes from.
        offset, nbytes: where it lies; whole cache lines.
        first, last: rows of the program's table between which it lives, both included.
        group: number of the group that makes it.
        takes_over: whether it was written over an operand that ended there.
    """

    name: str
    origin: str
    offset: int
    nbytes: int
    first: int
    last: int
    group: int
    takes_over: bool


@dataclass(frozen=True)
class MemoryMap:
    """What `Program.memory_map` returns; `str` of it is a table.

    Attributes:
        name: of the program.
        places: arrays by offset.
        rows: names of the kernels in the rows of the program's table; several where updates are bundled.
        arena_bytes: size of the arena.
        live_bytes: for each row the bytes of the arrays alive in it.
        sizes: symbol -> size.
    """

    name: str
    places: tuple[Place, ...]
    rows: tuple[str, ...]
    arena_bytes: int
    live_bytes: tuple[int, ...]
    sizes: dict

    @property
    def sum_bytes(self) -> int:
        """Bytes of all arrays if none shared its place with another."""
        return sum(place.nbytes for place in self.places)

    def __str__(self):
        bound = ", ".join(f"{name} = {size}" for name, size in sorted(self.sizes.items()))
        lines = [
            f"memory of {self.name}{f' at {bound}' if bound else ''}: {len(self.places)} arrays of {self.sum_bytes:,} bytes "
            f"in {self.arena_bytes:,} bytes; at most {max(self.live_bytes, default=0):,} alive at once",
            f"{'offset':>12} {'bytes':>12}  {'rows':<9} {'group':>5}  array",
        ]
        for place in self.places:
            name = place.name if len(place.name) <= _SHOWN_NAME else place.name[: _SHOWN_NAME - 1] + "…"
            rows = f"{place.first}-{place.last}" if place.last > place.first else str(place.first)
            notes = (" (over an operand)" if place.takes_over else "") + (f"  {place.origin}" if place.origin else "")
            lines.append(f"{place.offset:>12,} {place.nbytes:>12,}  {rows:<9} {place.group:>5}  {name}{notes}")
        return "\n".join(lines)


def memory_map(program, sizes: dict[str, int]) -> MemoryMap:
    """The map of a program for given sizes (symbol -> size)."""
    found = buffers(program, sizes)
    offsets, arena = plan(found)
    rows = [[kernel for kernel in kernels if not kernel.called] for kernels in stretches(program)]
    makers = {}
    for kernel in program.lowered:
        for value in kernel.group.outputs:
            makers.setdefault(value, kernel.group.index)
    heirs = {offsets[b.key]: b.first for b in found if b.over is not None}
    places = []
    for buffer in sorted(found, key=lambda b: (offsets[b.key], b.first)):
        source = buffer.key
        is_value = isinstance(source, Value)
        name = f"{source!r} {source.node.op} {source.spec}" if is_value else str(getattr(source, "name", source))
        places.append(
            Place(
                name=name,
                origin=" ".join(str(source.node.origin).split()) if is_value else "",
                offset=offsets[source],
                nbytes=rounded(max(buffer.nbytes, 1)),
                first=buffer.first,
                last=buffer.last,
                group=makers.get(source, rows[buffer.first][0].group.index),
                takes_over=buffer.over is not None and heirs.get(offsets[source]) == buffer.first
                and offsets.get(buffer.over) == offsets[source],
            )
        )  # fmt: skip
    live = [0] * len(rows)
    for row in range(len(rows)):
        taken = {(p.offset, p.nbytes) for p in places if p.first <= row <= p.last}  # heirs share their place for one row
        live[row] = sum(nbytes for _, nbytes in taken)
    names = tuple(" ".join(kernel.name for kernel in row) for row in rows)
    return MemoryMap(program.name, tuple(places), names, arena, tuple(live), dict(sizes))
