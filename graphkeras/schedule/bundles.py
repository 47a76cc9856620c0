"""Bundles: updates of variables that are run together, as one row of the program's table.

A net of many small layers has many small updates, each too small to be shared among threads. Nothing waits for them, so they may
run later than their gradients allow, next to others of their kind; the runtime then lets threads take whole updates (`frame.py`).
What they read has to live until then: a bundle is closed when that comes to what a core's own cache holds.
"""

from graphkeras.ir.dims import Dim
from graphkeras.schedule.groups import Group, Refusal
from graphkeras.schedule.host import runs_on_host

BUNDLE_BYTES = 1 << 20
"""What the updates of one bundle move, together: half of the second-level cache is left to the kernels between them."""
UPDATE_BYTES = 1 << 16
"""An update that moves more takes long enough to be shared among threads by itself, and better right behind what it reads."""
_USUAL_SIZE = 128
"""Stands for sizes that are not known yet, such as that of the batch."""


def bundled(ordered: list[Group], waited_for: set[int], refusals: list[Refusal]) -> list[Group]:
    """The groups with small updates put off until a bundle of them is full; `group.bundle` is set for those that are in one.

    Args:
        ordered: groups in an order in which they can run, with their costs.
        waited_for: ids of groups that others depend on.
        refusals: gets those that are too large, with their reason.
    """
    result: list[Group] = []
    waiting: list[Group] = []
    numbers = iter(range(1, len(ordered) + 1))
    moved, last = 0, None

    def close():
        if len(waiting) > 1:
            number = next(numbers)
            for group in waiting:
                group.bundle = number
        result.extend(waiting)
        waiting.clear()

    for group in ordered:
        if not group.writes or id(group) in waited_for or group.nodes[0].subgraphs or runs_on_host(group.nodes[0]):
            result.append(group)
            continue
        nbytes, before, last = _usual(group.bytes), last, group
        if nbytes > UPDATE_BYTES:
            if before is not None:
                reason = f"an update of about {nbytes} bytes has a row of its own, not one in a bundle"
                refusals.append(Refusal(group.nodes[-1], before.nodes[-1], reason))
            result.append(group)
            continue
        if moved + nbytes > BUNDLE_BYTES:
            close()
            moved = 0
        moved += nbytes
        waiting.append(group)
    close()
    return result


def _usual(nbytes) -> int:
    return nbytes.evaluate(dict.fromkeys(nbytes.symbols(), _USUAL_SIZE)) if isinstance(nbytes, Dim) else int(nbytes)
