"""What a run shows while it goes on: a live table in a terminal, plain lines elsewhere. Words go to stderr."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from common.words import shown
from search.tune.board import NOTHING, Board, CellState, Confirming
from trainables.trial import CellKey, Epoch, Pack, Result, Trial

NARROW = 64  # columns of a terminal; on fewer, names are cut and what is running stands in the line below alone
COLUMNS_OF_NUMBERS = 22  # of a narrow table, and between its columns
ROWS_AROUND_TABLE = 6  # title, head, rule, two lines below, the prompt


class View:
    """Shows a run on ``console``, standard error by default.

    ``seconds``: between two plain lines, where the console is no terminal.
    """

    def __init__(self, console: Console | None = None, seconds: float = 15.0) -> None:
        self.console = console or Console(stderr=True)
        self.board = Board()
        self._seconds = seconds
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        self._last = time.monotonic()
        self._lock = threading.RLock()  # the live view draws in a thread of its own

    def say(self, text: str) -> None:
        """One line for people, above the live view."""
        with self._lock:
            self.console.print(Text(shown(text)), soft_wrap=True)

    def start(
        self,
        study: str,
        cells: Mapping[CellKey, CellState],
        confirming: Confirming | None = None,
        *,
        at_most: bool = False,
    ) -> None:
        """Show what is to be done; ``at_most``: there may be fewer trials, as the scores of others will tell."""
        self.board.start(cells, confirming, at_most=at_most)
        total, done = self.board.total, self.board.done
        confirmed, to_confirm = self.board.to_confirm
        then = f", then {to_confirm - confirmed} that confirm what is selected" if to_confirm > confirmed else ""
        before = f", {done} of them done before" if done else ""
        most = "at most " if at_most else ""
        self.say(f"{study}: {most}{total} trials in {len(cells)} cells{before}; {total - done} to train{then}")
        if (total - done or then) and self.console.is_terminal:
            self._live = Live(get_renderable=self.render, console=self.console, refresh_per_second=4, transient=True)
            self._live.start()

    def phase(self, words: str) -> None:
        """What the run is at while nothing is in training yet, such as ``starting Ray``."""
        with self._lock:
            self.board.phase = words
        if self._live is None:
            self.say(words)

    def places(self, places: int) -> None:
        """The number of packs that are trained at once."""
        self.board.places = places

    def started(self, pack: Pack) -> None:
        with self._lock:
            self.board.started(pack)

    def epochs(self, pack: Pack, epochs: Iterable[tuple[str, Epoch]]) -> None:
        with self._lock:
            self.board.epochs(pack, epochs)
        self.tick()

    def result(self, trial: Trial, result: Result) -> None:
        with self._lock:
            cell = self.board.result(trial, result)
        if result.status in ("failed", "diverged"):
            rate = f"lr {trial.learning_rate:g}, seed {trial.seed}"
            self.say(f"{result.status}: {trial.cell} ({rate}, trial {trial.id}): {result.reason}")
        if cell.left == 0 and self._live is None:
            failed = f", {cell.failed} failed" if cell.failed else ""
            if self.board.confirms(trial):
                self.say(f"{trial.cell}: what is selected is confirmed on {cell.total} fresh seeds{failed}")
            else:
                self.say(f"{trial.cell}: all {cell.total} trials done{failed}, best {score(cell.best)}")
        self.tick()

    def ended(self, pack: Pack) -> None:
        with self._lock:
            self.board.ended(pack)

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self.board.phase = ""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tick(self) -> None:
        """Where the console is no terminal: the line of the whole run, if it is time for the next one."""
        if self._live is None and time.monotonic() - self._last >= self._seconds:
            self._last = time.monotonic()
            self.say(self.board.line())

    def render(self) -> Any:
        """The live view: the cells that fit, those in training first, and the line of the whole run."""
        with self._lock:
            rows, hidden = self._rows(max(4, self.console.height - ROWS_AROUND_TABLE))
            table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
            several = len({key[0] for key in self.board.cells}) > 1
            names = (("backbone",) if several else ()) + ("task", "method")
            narrow = self.console.width < NARROW
            for name in names:
                most = (self.console.width - COLUMNS_OF_NUMBERS) // len(names) if narrow else None
                table.add_column(name, no_wrap=True, max_width=most)
            confirming = self.board.confirming.cells
            wide = ("confirmed",) if confirming else ()
            for name in ("done", "best") if narrow else ("done", *wide, "running", "failed", "best"):
                table.add_column(name, justify="right")
            for key, cell in rows:
                own = confirming.get(key, NOTHING)
                running, failed = cell.running + own.running, cell.failed + own.failed
                confirmed = (f"{own.ended}/{own.total}",) if confirming else ()
                between = () if narrow else (*confirmed, running or "", failed or "")
                numbers = (f"{cell.ended}/{cell.total}", *between, score(cell.best))
                style = "red" if failed else "dim" if not cell.left and not own.left else ""
                table.add_row(*map(Text, (*key[0 if several else 1 :], *map(str, numbers))), style=style)
            more = [Text(f"and {hidden} more cells", style="dim")] if hidden else []
            line = Text(self.board.line(), style="bold")
            if self.board.phase:
                self._spinner.update(text=line)
            return Group(table, *more, self._spinner if self.board.phase else line)

    def _rows(self, room: int) -> tuple[list[tuple[CellKey, CellState]], int]:
        cells = list(self.board.cells.items())
        if len(cells) <= room:
            return cells, 0
        own = self.board.confirming.cells
        both = {key: (cell, own.get(key, NOTHING)) for key, cell in cells}
        urgency = sorted(
            cells,
            key=lambda c: tuple(not any(getattr(s, n) for s in both[c[0]]) for n in ("running", "failed", "left")),
        )
        keep = {key for key, _ in urgency[: room - 1]}
        return [(key, cell) for key, cell in cells if key in keep], len(cells) - len(keep)


def score(value: float | None) -> str:
    """A score in percent, or a dash."""
    return "–" if value is None else f"{value:.2f}"
