"""The state of a run: its trials by cell, of the search and of the confirmation, and what they leave to do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from search._words import duration
from trainables.trial import CellKey, Epoch, Pack, Result, Trial


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


NOTHING = CellState(0)


@dataclass(frozen=True)
class Confirming:
    """The confirmation of what is selected: its trials by cell, at most, and the seeds that tell them from others."""

    cells: Mapping[CellKey, CellState] = field(default_factory=dict)
    seeds: Collection[int] = ()


class Board:
    """The state of a run, without a way to show it. Seconds are those of ``clock``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._spent: dict[str, float] = {}  # by trial id, of those in training
        self.cells: dict[CellKey, CellState] = {}
        self.confirming = Confirming()
        self.places = 1
        self.at_most = False  # there may be fewer trials
        self.phase = ""  # what the run is at before the first pack is in training
        self.statuses: Counter[str] = Counter()

    def start(
        self, cells: Mapping[CellKey, CellState], confirming: Confirming | None = None, *, at_most: bool = False
    ) -> None:
        """The clock starts; ``cells``: what earlier runs have come to; ``at_most``: there may be fewer trials."""
        self.at_most = at_most
        self._started = self._clock()
        self.cells, self.confirming = dict(cells), confirming or Confirming()

    def _cell(self, trial: Trial) -> CellState:
        """Where a trial counts: in the search, or in the confirmation, of its cell."""
        return (self.confirming.cells if self.confirms(trial) else self.cells)[trial.cell]

    def confirms(self, trial: Trial) -> bool:
        """Whether it is a trial of a confirmation."""
        return trial.seed in self.confirming.seeds

    def started(self, pack: Pack) -> None:
        self.phase = ""
        self._cell(pack.trials[0]).running += len(pack.trials)
        self._spent.update(dict.fromkeys((t.id for t in pack.trials), 0.0))

    def epochs(self, pack: Pack, epochs: Iterable[tuple[str, Epoch]]) -> None:
        """Members' scores count as soon as they are reached."""
        cell = self._cell(pack.trials[0])
        for trial_id, epoch in epochs:
            if trial_id in self._spent:
                self._spent[trial_id] += epoch.seconds
            if epoch.score == epoch.score and (cell.best is None or epoch.score > cell.best):
                cell.best = epoch.score

    def result(self, trial: Trial, result: Result) -> CellState:
        cell = self._cell(trial)
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
                self._cell(trial).running -= 1

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
        return sum(cell.running for cell in self._all)

    @property
    def failed(self) -> int:
        return sum(cell.failed for cell in self._all)

    @property
    def to_confirm(self) -> tuple[int, int]:
        """Confirmation trials that are done, and all of them, at most."""
        own = self.confirming.cells.values()
        return sum(cell.ended + cell.failed for cell in own), sum(cell.total for cell in own)

    @property
    def _all(self) -> list[CellState]:
        return [*self.cells.values(), *self.confirming.cells.values()]

    def seconds_left(self) -> float | None:
        """From the mean seconds of trials that ended, of the same cell where there are any; None before the first."""
        total, number = (sum(cell.seconds[i] for cell in self._all) for i in (0, 1))
        if not number:
            return None
        work = 0.0
        for key, cell in (*self.cells.items(), *self.confirming.cells.items()):
            like = cell if cell.seconds[1] else self.cells[key]
            mean = like.seconds[0] / like.seconds[1] if like.seconds[1] else total / number
            work += cell.left * mean
        return max(0.0, work - sum(self._spent.values())) / self.places

    @property
    def reached(self) -> str:
        """How many trials are done, for people: ``3 of 12 trials are done, 1 of them failed``."""
        failed = f", {self.failed} of them failed" if self.failed else ""
        done, total = self.to_confirm
        confirmed = f", and {done} of {total} that confirm what is selected" if total else ""
        return f"{self.done} of {'at most ' if self.at_most else ''}{self.total} trials are done{confirmed}{failed}"

    def line(self) -> str:
        """The whole run in one line."""
        if self.phase:
            return f"{self.phase} · {duration(self.elapsed)} elapsed"
        left = self.seconds_left()
        confirmed, to_confirm = self.to_confirm
        parts = [f"{self.done}/{self.total} trials", f"{self.running} running"]
        if to_confirm:
            parts.insert(1, f"{confirmed}/{to_confirm} confirming")
        if self.failed:
            parts.append(f"{self.failed} failed")
        parts.append(f"{duration(self.elapsed)} elapsed")
        if left is not None and (self.done, confirmed) != (self.total, to_confirm):
            parts.append(f"about {duration(left)} left")
        return " · ".join(parts)
