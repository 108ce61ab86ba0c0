"""A finished grid played again under another strategy: what it would have cost, and what it would have selected.

    outcome = replay(study, records, Search(strategy="tpe", n=8), places=4)

Nothing is trained. The cells, samplers, promotion and comparison rules are those of a real search; only the clock and
the curves are recorded ones. Every trial is a pack of its own here: a pack's seconds are shared by its members, so the
device-seconds add up to the same, while the wall time is that of packs of one.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from statistics import median
from typing import Any

from common.selection import Seed
from search.strategy.cell_search import CellSearch
from search.strategy.comparison import comparisons
from search.strategy.confirmation import has_score, recorded
from search.strategy.study_search import StudySearch
from search.study import EarlyStopping, Range, Search, Study
from search.tracking._summary import Summary
from search.tracking.records import TrialRecord
from trainables.trial import CellKey, Trial


class ReplayError(ValueError):
    """The recorded runs are no full grid, so that a strategy might ask for what nobody trained."""


@dataclass(frozen=True)
class Choice:
    """What a strategy selects in one cell, and what the full grid says of it.

    ``score``: the median over all seeds of the selected assignment, ``best`` that of the grid's own choice, in percent;
    None where the strategy selected nothing. ``hyperparameters``: those of the selected assignment; ``confirmed``: its
    median over the ``fresh_seeds`` on which it was confirmed, None where it was not.
    """

    cell: CellKey
    assignment_id: str | None
    score: float | None
    best: float
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    confirmed: float | None = None
    fresh_seeds: int = 0

    @property
    def regret(self) -> float:
        """Points lost against the full grid; where nothing was selected, all of them."""
        return self.best - (self.score or 0.0)


@dataclass(frozen=True)
class Replay:
    """``seconds`` of devices, ``wall_seconds`` on ``places`` of them; trials by how far they came."""

    trials: int
    pruned: int
    epochs: int
    seconds: float
    wall_seconds: float
    places: int
    choices: tuple[Choice, ...]

    @property
    def regret(self) -> float:
        """Mean over cells of the points lost against the full grid."""
        return sum(choice.regret for choice in self.choices) / len(self.choices)

    @property
    def confirmed(self) -> float | None:
        """Mean over the cells of the confirmed medians of what was selected; None where one of them is not known."""
        found = [choice.confirmed for choice in self.choices if choice.confirmed is not None]
        return sum(found) / len(found) if found and len(found) == len(self.choices) else None

    @property
    def worst(self) -> float:
        """The most points lost in a cell."""
        return max(choice.regret for choice in self.choices)

    def to_json(self) -> dict[str, Any]:
        """Plain values, the selections included."""
        numbers = {name: getattr(self, name) for name in ("regret", "worst", "agreeing", "confirmed")}
        return {**asdict(self), **numbers}

    @property
    def agreeing(self) -> int:
        """Cells whose selected assignment is as good as the grid's."""
        return sum(choice.regret <= 1e-9 for choice in self.choices)


def replay(study: Study, records: Mapping[str, TrialRecord], settings: Search, places: int = 1) -> Replay:
    """Play a search with these ``settings`` on the recorded trials of ``study``'s full grid, ``places`` trials at once.

    Raises:
        ReplayError: a trial of the grid has no result, or a hyperparameter has a range in place of a list.
    """
    curves = _grid(study, records)
    resources = study.resources.model_copy(update={"pack_tokens": 0})
    plain = {"search": settings, "resources": resources, "confirm": 0}
    player, fresh = _Player(study.model_copy(update=plain), records), recorded(study, records)
    wall = player.play(places)
    full = {key: _summary(cell, curves) for key, cell in player.search.cells.items()}
    choices = []
    for key, seen in player.seen.items():
        chosen, best = seen.best_assignment(), full[key].best_assignment()
        medians = full[key].medians_over_seeds()
        if best is None:
            continue  # no trial of the cell reached a score: nothing to lose
        values = next((k.hyperparameters for k in records.values() if k.assignment_id == chosen), {})
        scores = [r.score for r in fresh.get(chosen or "", {}).values() if has_score(r) and r.score is not None]
        confirmed = (median(scores) if scores else None, len(scores))
        choices.append(Choice(key, chosen, medians.get(chosen) if chosen else None, medians[best], values, *confirmed))
    pruned = sum(score.status == "pruned" for seen in player.seen.values() for score in seen.scores.values())
    trials = sum(len(seen.scores) for seen in player.seen.values())
    return Replay(trials, pruned, player.epochs, player.seconds, wall, places, tuple(choices))


def _grid(study: Study, records: Mapping[str, TrialRecord]) -> dict[CellKey, list[tuple[str, TrialRecord]]]:
    """The recorded trials of every cell; all of them must be there, with their curves."""
    for task in study.tasks:
        for method in study.methods:
            ranges = [name for name, grid in study.grids(task.name, method).items() if isinstance(grid, Range)]
            if ranges:
                raise ReplayError(f"{method} on {task.name} has a range for {', '.join(ranges)}; a replay needs a grid")
    whole = _whole(study)
    found: dict[CellKey, list[tuple[str, TrialRecord]]] = {}
    missing = []
    for key, cell in whole.cells.items():
        for trial_id in cell.trials:
            recorded = records.get(trial_id)
            if recorded and (recorded.status == "failed" or (recorded.history and recorded.status != "pruned")):
                found.setdefault(key, []).append((trial_id, recorded))
            else:
                missing.append(f"{trial_id} ({', '.join(key)})")
    if missing:
        total = sum(len(cell.trials) for cell in whole.cells.values())
        number = len(others(study, records))
        hint = f" (it has {number} other trials: is data_dir or AOT_DATA_DIR as it was?)" if number else ""
        raise ReplayError(
            f"{len(missing)} of {total} trials of the grid of study {study.name!r} have no recorded curve, such as "
            f"{missing[0]}{hint}; train them first: aot run, with search.strategy: grid"
        )
    return found


def _whole(study: Study) -> StudySearch:
    """The full grid of a study."""
    return StudySearch(study.model_copy(update={"search": Search(), "confirm": 0}), {})


def others(study: Study, records: Mapping[str, TrialRecord]) -> set[str]:
    """Ids of the trials that are none of the study's full grid, and confirm none of its assignments."""
    trials = [trial for cell in _whole(study).cells.values() for trial in cell.trials.values()]
    assignments = {trial.assignment_id for trial in trials}
    fresh = {i for name, own in recorded(study, records).items() if name in assignments for i in own}
    return records.keys() - {trial.id for trial in trials} - fresh


def _summary(cell: CellSearch, curves: Mapping[CellKey, Sequence[tuple[str, TrialRecord]]]) -> Summary:
    return Summary({i: Seed(k.assignment_id, k.status, k.score, k.trainable_parameters) for i, k in curves[cell.key]})


class _Player:
    """The clock, the places, and the trials on them."""

    def __init__(self, study: Study, records: Mapping[str, TrialRecord]) -> None:
        self.search = StudySearch(study, {})
        self.seen = {key: Summary() for key in self.search.cells}
        self.epochs = 0
        self.seconds = 0.0
        self._records = records
        self._comparisons = comparisons(self.search, {})

    def play(self, places: int) -> float:
        """To the end; the seconds that it takes."""
        order = itertools.count()
        running: list[tuple[float, int, Trial, int]] = []  # end of an epoch, tie-breaker, trial, index of the epoch
        now = 0.0
        while True:
            while len(running) < places and (pack := self.search.next()) is not None:
                (trial,) = pack.trials
                if not self._curve(trial):  # it failed before its first epoch, at no cost
                    self._told(trial, self._records[trial.id].status, None)
                    continue
                heapq.heappush(running, (now + self._curve(trial)[0][3], next(order), trial, 0))
            if not running:
                return now
            now, _, trial, index = heapq.heappop(running)
            if self._ends(trial, index):
                continue
            heapq.heappush(running, (now + self._curve(trial)[index + 1][3], next(order), trial, index + 1))

    def _curve(self, trial: Trial) -> Sequence[tuple[int, float, float, float]]:
        return self._records[trial.id].history

    def _ends(self, trial: Trial, index: int) -> bool:
        """An epoch has ended: says whether the trial ends with it, as recorded or because it fell behind."""
        recorded, curve = self._records[trial.id], self._curve(trial)
        epoch, score, _, seconds = curve[index]
        self.epochs += 1
        self.seconds += seconds
        comparison = self._comparisons.get(trial.cell)
        behind = comparison is not None and self.search.compared(trial) and comparison.update(trial.id, epoch, score)
        if index + 1 == len(curve):
            self._told(trial, recorded.status, recorded.score)
        elif behind:
            best = max((s for _, s, _, _ in curve[: index + 1] if s == s), default=-inf)
            self._told(trial, "pruned", best if best > -inf else None)
        else:
            return False
        return True

    def _told(self, trial: Trial, status: str, score: float | None) -> None:
        promoted = self.search.origin(trial).get("promotion") == "promoted"
        size = self._records[trial.id].trainable_parameters
        self.seen[trial.cell].scores[trial.id] = Seed(trial.assignment_id, status, score, size, promoted)
        self.search.tell(trial, status, score)


def repeated(
    study: Study, records: Mapping[str, TrialRecord], settings: Search, places: int, repeats: int
) -> list[Replay]:
    """The same search with so many search seeds; once where no seed plays a part."""
    seeds = range(settings.seed, settings.seed + repeats) if settings.strategy != "grid" else [settings.seed]
    return [replay(study, records, settings.model_copy(update={"seed": seed}), places) for seed in seeds]


def usual(assignments: int) -> list[Search]:
    """Strategies worth comparing on a grid of so many assignments per cell: cheaper and cheaper."""
    asha, by_median = EarlyStopping(rule="asha"), EarlyStopping(rule="median")
    half = max(1, math.ceil(assignments / 2))
    rules = [Search(early_stopping=by_median), Search(early_stopping=asha)]
    promoting = [Search(promote=part) for part in (0.5, 0.25)]
    random = [Search(strategy="random", n=half, promote=part) for part in (None, 0.25)]
    tpe = [Search(strategy="tpe", n=half, promote=part) for part in (None, 0.25)]
    return [Search(), *rules, *promoting, *random, *tpe, tpe[-1].model_copy(update={"early_stopping": asha})]
