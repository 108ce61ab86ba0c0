"""What a run shows while it goes on: a live table in a terminal, plain lines elsewhere. Words go to stderr."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from common.words import shown
from search._words import duration
from trainables.trial import CellKey, Epoch, Pack, Result, Trial

NARROW = 64  # columns of a terminal; on fewer, names are cut and what is running stands in the line below alone
COLUMNS_OF_NUMBERS = 22  # of a narrow table, and between its columns
ROWS_AROUND_TABLE = 6  # title, head, rule, two lines below, the prompt


@dataclass
class CellState:
    """A cell's trials: ``total`` in the study, ``ended`` before and in this run; ``best`` score in percent."""

    total: int
    ended: int = 0
    running: int = 0
    failed: int = 0
    best: float | None = None
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])  # sum over trials that ended, their number

    @property
    def left(self) -> int:
        return self.total - self.ended - self.failed


class Board:
    """The state of a run, without a way to show it. Seconds are those of ``clock``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._spent: dict[str, float] = {}  # by trial id, of those in training
        self.cells: dict[CellKey, CellState] = {}
        self.places = 1
        self.at_most = False  # there may be fewer trials
        self.phase = ""  # what the run is at before the first pack is in training
        self.statuses: Counter[str] = Counter()

    def start(self, cells: Mapping[CellKey, CellState], *, at_most: bool = False) -> None:
        """The clock starts; ``cells``: what earlier runs have come to; ``at_most``: there may be fewer trials."""
        self.at_most = at_most
        self._started = self._clock()
        self.cells = dict(cells)

    def started(self, pack: Pack) -> None:
        self.phase = ""
        self.cells[pack.trials[0].cell].running += len(pack.trials)
        self._spent.update(dict.fromkeys((t.id for t in pack.trials), 0.0))

    def epochs(self, pack: Pack, epochs: Iterable[tuple[str, Epoch]]) -> None:
        """Members' scores count as soon as they are reached."""
        cell = self.cells[pack.trials[0].cell]
        for trial_id, epoch in epochs:
            if trial_id in self._spent:
                self._spent[trial_id] += epoch.seconds
            if epoch.score == epoch.score and (cell.best is None or epoch.score > cell.best):
                cell.best = epoch.score

    def result(self, trial: Trial, result: Result) -> CellState:
        cell = self.cells[trial.cell]
        if self._spent.pop(trial.id, None) is not None:
            cell.running -= 1
        self.statuses[result.status] += 1
        if result.status == "failed":
            cell.failed += 1
        else:
            cell.ended += 1
            cell.seconds[0] += result.seconds
            cell.seconds[1] += 1
        return cell

    def ended(self, pack: Pack) -> None:
        """Members without a result, of a pack that is tried again, are no longer in training."""
        for trial in pack.trials:
            if self._spent.pop(trial.id, None) is not None:
                self.cells[trial.cell].running -= 1

    @property
    def elapsed(self) -> float:
        return self._clock() - self._started

    @property
    def total(self) -> int:
        return sum(cell.total for cell in self.cells.values())

    @property
    def done(self) -> int:
        return sum(cell.ended + cell.failed for cell in self.cells.values())

    @property
    def running(self) -> int:
        return sum(cell.running for cell in self.cells.values())

    @property
    def failed(self) -> int:
        return sum(cell.failed for cell in self.cells.values())

    def seconds_left(self) -> float | None:
        """From the mean seconds of trials that ended, of the same cell where there are any; None before the first."""
        total, number = (sum(cell.seconds[i] for cell in self.cells.values()) for i in (0, 1))
        if not number:
            return None
        work = 0.0
        for cell in self.cells.values():
            mean = cell.seconds[0] / cell.seconds[1] if cell.seconds[1] else total / number
            work += cell.left * mean
        return max(0.0, work - sum(self._spent.values())) / self.places

    @property
    def reached(self) -> str:
        """How many trials are done, for people: ``3 of 12 trials are done, 1 of them failed``."""
        failed = f", {self.failed} of them failed" if self.failed else ""
        return f"{self.done} of {'at most ' if self.at_most else ''}{self.total} trials are done{failed}"

    def line(self) -> str:
        """The whole run in one line."""
        if self.phase:
            return f"{self.phase} · {duration(self.elapsed)} elapsed"
        left = self.seconds_left()
        parts = [f"{self.done}/{self.total} trials", f"{self.running} running"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        parts.append(f"{duration(self.elapsed)} elapsed")
        if left is not None and self.done < self.total:
            parts.append(f"about {duration(left)} left")
        return " · ".join(parts)


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

    def start(self, study: str, cells: Mapping[CellKey, CellState], *, at_most: bool = False) -> None:
        """Show what is to be done; ``at_most``: there may be fewer trials, as the scores of others will tell."""
        self.board.start(cells, at_most=at_most)
        total, done = self.board.total, self.board.done
        before = f", {done} of them done before" if done else ""
        most = "at most " if at_most else ""
        self.say(f"{study}: {most}{total} trials in {len(cells)} cells{before}; {total - done} to train")
        if done < total and self.console.is_terminal:
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
            for name in ("done", "best") if narrow else ("done", "running", "failed", "best"):
                table.add_column(name, justify="right")
            for key, cell in rows:
                between = () if narrow else (cell.running or "", cell.failed or "")
                numbers = (f"{cell.ended}/{cell.total}", *between, score(cell.best))
                style = "red" if cell.failed else "dim" if not cell.left else ""
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
        urgency = sorted(cells, key=lambda c: (not c[1].running, not c[1].failed, not c[1].left))
        keep = {key for key, _ in urgency[: room - 1]}
        return [(key, cell) for key, cell in cells if key in keep], len(cells) - len(keep)


def score(value: float | None) -> str:
    """A score in percent, or a dash."""
    return "–" if value is None else f"{value:.2f}"
