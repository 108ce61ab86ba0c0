"""What a run shows while it goes on: a live table in a terminal, plain lines elsewhere. Words go to stderr."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from trainables.trial import Epoch, Pack, Result, Trial

if TYPE_CHECKING:
    from search.plan import Plan

Key = tuple[str, str, str]  # backbone, task, method

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
        self.cells: dict[Key, CellState] = {}
        self.places = 1
        self.statuses: Counter[str] = Counter()

    def start(self, plan: Plan, scores: Mapping[str, float]) -> None:
        """``scores``: those of trials that ended before, in percent, by trial id."""
        self._started = self._clock()
        for cell in plan.cells:
            key = (cell.backbone, cell.task, cell.method)
            best = max((scores[trial.id] for trial in cell.trials if trial.id in scores), default=None)
            self.cells[key] = CellState(cell.total, ended=cell.finished, best=best)

    def started(self, pack: Pack) -> None:
        self.cells[key_of(pack.trials[0])].running += len(pack.trials)
        self._spent.update(dict.fromkeys((t.id for t in pack.trials), 0.0))

    def epochs(self, pack: Pack, epochs: Iterable[tuple[str, Epoch]]) -> None:
        """Members' scores count as soon as they are reached."""
        cell = self.cells[key_of(pack.trials[0])]
        for trial_id, epoch in epochs:
            if trial_id in self._spent:
                self._spent[trial_id] += epoch.seconds
            if epoch.score == epoch.score and (cell.best is None or epoch.score > cell.best):
                cell.best = epoch.score

    def result(self, trial: Trial, result: Result) -> CellState:
        cell = self.cells[key_of(trial)]
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
                self.cells[key_of(trial)].running -= 1

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

    def line(self) -> str:
        """The whole run in one line."""
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
        self._last = time.monotonic()
        self._lock = threading.RLock()  # the live view draws in a thread of its own

    def say(self, text: str) -> None:
        """One line for people, above the live view."""
        with self._lock:
            self.console.print(Text(text), soft_wrap=True)

    def start(self, plan: Plan, scores: Mapping[str, float]) -> None:
        """Show the work to be done; ``scores`` of trials that ended before, by trial id."""
        self.board.start(plan, scores)
        skipped = plan.total - plan.pending
        before = f", {skipped} of them done before" if skipped else ""
        most = "at most " if any(cell.undecided for cell in plan.cells) else ""
        self.say(f"{plan.study}: {most}{plan.total} trials in {len(plan.cells)} cells{before}; {plan.pending} to train")
        if plan.pending and self.console.is_terminal:
            self._live = Live(get_renderable=self.render, console=self.console, refresh_per_second=2, transient=True)
            self._live.start()

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
            self.say(f"{result.status}: {' · '.join(key_of(trial))} ({rate}, trial {trial.id}): {result.reason}")
        if cell.left == 0 and self._live is None:
            failed = f", {cell.failed} failed" if cell.failed else ""
            self.say(f"{' · '.join(key_of(trial))}: all {cell.total} trials done{failed}, best {score(cell.best)}")
        self.tick()

    def ended(self, pack: Pack) -> None:
        with self._lock:
            self.board.ended(pack)

    def stop(self) -> None:
        """Leave the terminal as it was."""
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
            shown, hidden = self._rows(max(4, self.console.height - ROWS_AROUND_TABLE))
            table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
            several = len({key[0] for key in self.board.cells}) > 1
            for name in (("backbone",) if several else ()) + ("task", "method"):
                table.add_column(name, no_wrap=True)
            for name in ("done", "running", "failed", "best"):
                table.add_column(name, justify="right")
            for key, cell in shown:
                numbers = (f"{cell.ended}/{cell.total}", cell.running or "", cell.failed or "", score(cell.best))
                style = "red" if cell.failed else "dim" if not cell.left else ""
                table.add_row(*key[0 if several else 1 :], *map(str, numbers), style=style)
            more = [Text(f"and {hidden} more cells", style="dim")] if hidden else []
            return Group(table, *more, Text(self.board.line(), style="bold"))

    def _rows(self, room: int) -> tuple[list[tuple[Key, CellState]], int]:
        cells = list(self.board.cells.items())
        if len(cells) <= room:
            return cells, 0
        urgency = sorted(cells, key=lambda c: (not c[1].running, not c[1].failed, not c[1].left))
        keep = {key for key, _ in urgency[: room - 1]}
        return [(key, cell) for key, cell in cells if key in keep], len(cells) - len(keep)


def key_of(trial: Trial) -> Key:
    return trial.backbone.name, trial.task.name, trial.method


def score(value: float | None) -> str:
    """A score in percent, or a dash."""
    return "–" if value is None else f"{value:.2f}"


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
