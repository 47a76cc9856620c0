"""The command line: `python -m graphkeras cache stats|clear|path`."""

import argparse
import os
import sys
import time

from graphkeras.debug import flags

_UNITS = ("B", "kB", "MB", "GB")


def _amount(nbytes: int) -> str:
    """Bytes for people.

    >>> _amount(999), _amount(226645), _amount(512 << 20)
    ('999 B', '226.6 kB', '536.9 MB')
    """
    amount, unit = float(nbytes), 0
    while amount >= 999.95 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{nbytes} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def _age(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0, seconds):.0f} seconds ago"


def _folder() -> str | None:
    from graphkeras.runtime.cache import default_folder

    chosen = flags.CACHE.value
    return None if chosen == "off" else str(chosen or default_folder())


def _print_path(_):
    folder = _folder()
    print("none: GRAPHKERAS_CACHE is off" if folder is None else folder)


def _print_stats(_):
    from graphkeras.runtime.cache import get_cache

    folder = _folder()
    if folder is None or not os.path.isdir(folder):
        print(f"folder    {'none: GRAPHKERAS_CACHE is off' if folder is None else folder + ' (not made yet)'}\nentries   0")
        return 0
    cache = get_cache()
    stats = cache.stats()
    if stats.folder is None:  # the warning on stderr says why
        return 1
    newest, oldest = cache.times_of_use()
    print(f"folder    {stats.folder}")
    print(f"entries   {stats.entries}: {stats.kernels} kernels, {stats.programs} programs, {stats.steps} steps")
    print(f"bytes     {_amount(stats.bytes)} of at most {_amount(stats.max_bytes)} (GRAPHKERAS_CACHE_SIZE)")
    if stats.entries:
        now = time.time()
        print(f"used      last {_age(now - newest)}, least recently {_age(now - oldest)} (that entry goes first)")
    print("hits      counted by each process for itself: graphkeras.runtime.cache.stats()")
    return 0


def _clear(_):
    from graphkeras.runtime.cache import get_cache

    folder = _folder()
    if folder is None or not os.path.isdir(folder):
        print("removed 0 entries: there is no cache folder")
        return 0
    cache = get_cache()
    if cache.folder is None:
        return 1
    removed = cache.clear()
    print(f"removed {removed.entries} entries, {_amount(removed.bytes)}, from {folder}")
    if removed.left:
        print(f"{removed.left} files could not be removed", file=sys.stderr)
    return 1 if removed.left else 0


def main(arguments=None) -> int:
    """Runs a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m graphkeras", description="Commands of graphkeras.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    cache = commands.add_parser("cache", help="the cache of compiled kernels and programs", description="The cache on disk.")
    actions = cache.add_subparsers(dest="action", required=True, metavar="action")
    for name, function, text in (
        ("stats", _print_stats, "entries, bytes, bound and folder"),
        ("clear", _clear, "remove every entry, without asking, and say what was removed"),
        ("path", _print_path, "the folder"),
    ):
        actions.add_parser(name, help=text, description=text).set_defaults(run=function)
    chosen = parser.parse_args(arguments)
    return chosen.run(chosen) or 0


if __name__ == "__main__":
    sys.exit(main())
