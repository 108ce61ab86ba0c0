"""Whether a file is still as it was seen: what tells is its stamp, and nobody needs to read it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

#: A file that was changed so short a while before might change again within one tick of its clock, unnoticed.
SETTLED_SECONDS = 5.0

#: Name, size, times of the content and of the entry (nanoseconds), and number; of no file the name and zeros.
Stamp = tuple[str, int, int, int, int]


def stamp(path: Path) -> Stamp:
    """The stamp of a file, which need not be there. Nobody can set the time of its entry (ctime) back."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return path.name, 0, 0, 0, 0
    return path.name, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino


def settled(stamps: Iterable[Stamp]) -> bool:
    """Whether files that have these stamps again are the same: none was changed just before they were taken."""
    latest = max((max(one[2], one[3]) for one in stamps), default=0)
    return time.time() - latest / 1e9 > SETTLED_SECONDS
