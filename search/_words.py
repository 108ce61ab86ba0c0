"""Packs, what they take and how long, in words for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import track
from rich.text import Text

from common.words import shown

if TYPE_CHECKING:
    from trainables.trial import Pack

#: A table that must fit into less would lose columns.
TABLE_COLUMNS = 80

#: Takes a line for people.
Say = Callable[[str], None]
#: So many trials are read before anybody wonders.
WORTH_A_WORD = 5_000

T = TypeVar("T")


def batched(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """The values in lists of ``size``; the last one may be shorter."""
    left = iter(values)
    while own := list(islice(left, size)):
        yield own


def progress(values: Iterable[T], total: int, what: str, say: Say) -> Iterable[T]:
    """The same values; of many, a bar on stderr follows them, or a line is said where that is no terminal."""
    if total < WORTH_A_WORD:
        return values
    console = Console(stderr=True)
    if not console.is_terminal:
        say(f"{what}: {total:,}")
        return values
    return track(values, what, total, console=console, transient=True)


def plain(*cells: str) -> list[Text]:
    """Cells of a table as they are, where ``[small]`` in a name would be taken for a style and left out."""
    return [Text(shown(cell)) for cell in cells]


def wide_console() -> Console:
    """Standard output for tables. A narrower terminal than this breaks their lines, which loses nothing."""
    console = Console()
    return console if console.width >= TABLE_COLUMNS else Console(width=TABLE_COLUMNS)


def named(pack: Pack) -> str:
    """``a pack of 3 trials of BACKBONE, TASK, METHOD``."""
    first = pack.trials[0]
    return f"a pack of {trials(len(pack.trials))} of {first.backbone.name}, {first.task.name}, {first.method}"


def trials(number: int) -> str:
    """``1 trial``, ``2,000 trials``."""
    return "1 trial" if number == 1 else f"{number:,} trials"


def packs(number: int) -> str:
    """``1 pack``, ``2 packs``."""
    return "1 pack" if number == 1 else f"{number} packs"


def amount(cpu: float, gpu: float) -> str:
    """What one pack takes: ``2 CPUs, 1 GPU``."""
    amounts = [(cpu, "CPU")] + [(gpu, "GPU")] * bool(gpu)
    return ", ".join(f"{number:g} {unit}{'s' if number > 1 else ''}" for number, unit in amounts)


def duration(seconds: float) -> str:
    """Seconds for people: ``42 s``, ``3 min 05 s``, ``2 h 07 min``, ``3 d 4 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"
