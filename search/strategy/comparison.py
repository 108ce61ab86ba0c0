"""Which trials of a cell are cut short because they fall behind the others: ASHA and the median rule.

Both decide as Ray Tune's schedulers of these names do, trial by trial and epoch by epoch (the tests hold them against
Ray's own), but need no Ray: a replay of recorded curves cuts as the search does.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from search.strategy.cell_search import final_statuses
from search.strategy.study_search import StudySearch
from search.study import EarlyStopping
from search.tracking.records import TrialRecord
from trainables.trial import CellKey

#: The median rule judges nobody by fewer others.
MEDIAN_SAMPLES = 3


class Rule(Protocol):
    """Compares trials that report every epoch, in order, with scores that are finite."""

    def falls_behind(self, trial_id: str, epoch: int, score: float) -> bool:
        """Take in what a trial reached in an epoch (percent); whether it falls behind by that."""
        ...


class SuccessiveHalving:
    """ASHA (Li et al. 2020, https://arxiv.org/abs/1810.05934) with one bracket.

    Rungs stand at ``grace_epochs * reduction_factor**k``. A trial that reaches one falls behind where its best score
    so far is not in the top ``1 / reduction_factor`` of those that reached it before.
    """

    def __init__(self, epochs: int, grace_epochs: int, reduction_factor: float) -> None:
        rungs = int(np.log(epochs / grace_epochs) / np.log(reduction_factor) + 1)
        milestones = [grace_epochs * reduction_factor**k for k in reversed(range(rungs))]
        self.rungs: list[tuple[float, dict[str, float]]] = [(epoch, {}) for epoch in milestones]
        self._epochs = epochs
        self._percentile = (1 - 1 / reduction_factor) * 100
        self._best: dict[str, float] = {}

    def falls_behind(self, trial_id: str, epoch: int, score: float) -> bool:
        best = self._best[trial_id] = max(score, self._best.get(trial_id, -math.inf))
        if epoch >= self._epochs:  # it has ended
            return False
        for milestone, reached in self.rungs:
            if epoch >= milestone and trial_id not in reached:
                behind = bool(reached) and best < np.percentile(list(reached.values()), self._percentile)
                reached[trial_id] = best
                return bool(behind)
        return False


class MedianRule:
    """The median stopping rule (Golovin et al. 2017, Vizier).

    A trial falls behind where its best score is below the median, over the others that reached the same epoch, of
    their running means since the grace period.
    """

    def __init__(self, grace_epochs: int) -> None:
        self._grace_epochs = grace_epochs
        self._best: dict[str, float] = {}
        self._counted: Counter[str] = Counter()  # epochs since the grace period
        self._mean: dict[str, float] = defaultdict(float)  # over them
        self._means: dict[int, list[float]] = defaultdict(list)  # by epoch: of all that reached it, sorted

    def falls_behind(self, trial_id: str, epoch: int, score: float) -> bool:
        best = self._best[trial_id] = max(score, self._best.get(trial_id, -math.inf))
        if epoch < self._grace_epochs:
            return False
        self._counted[trial_id] += 1
        self._mean[trial_id] += (score - self._mean[trial_id]) / self._counted[trial_id]
        others = self._means[epoch]
        middle = len(others) // 2
        behind = len(others) >= MEDIAN_SAMPLES and best < (others[middle] + others[~middle]) / 2
        insort(others, self._mean[trial_id])
        return behind


class Comparison:
    """A rule over the trials of one cell, whatever packs they are trained in.

    ``epochs``: the most that a trial of the cell trains.
    """

    def __init__(self, settings: EarlyStopping, epochs: int) -> None:
        grace = min(settings.grace_epochs, epochs)
        self.rule: Rule
        if settings.rule == "asha":
            self.rule = SuccessiveHalving(epochs, grace, settings.reduction_factor)
        else:
            self.rule = MedianRule(grace)
        self._epochs = epochs
        self._seen: dict[str, int] = {}
        self._cut: set[str] = set()

    def update(self, trial_id: str, epoch: int, score: float) -> bool:
        """Take in what a trial reached (percent); True where it falls behind and should be cut short.

        An epoch that comes again, of a pack that was started again, counts once.
        """
        if trial_id not in self._cut and self._falls_behind(trial_id, epoch, score) and epoch < self._epochs:
            self._cut.add(trial_id)
        return trial_id in self._cut

    def learn(self, trial_id: str, epoch: int, score: float) -> bool:
        """Take in what a trial reached before, which others are compared with; it is not judged again.

        True where it was found to fall behind, and not cut short since.
        """
        self._falls_behind(trial_id, epoch, score)
        return trial_id in self._cut

    def _falls_behind(self, trial_id: str, epoch: int, score: float) -> bool:
        if not math.isfinite(score) or epoch <= self._seen.get(trial_id, 0):
            return False
        self._seen[trial_id] = epoch
        return self.rule.falls_behind(trial_id, epoch, score)


def comparisons(search: StudySearch, records: Mapping[str, TrialRecord]) -> dict[CellKey, Comparison]:
    """The rule of each cell, told of the trials that ended before; none where the study cuts nothing short."""
    settings = search.study.search.early_stopping
    if settings is None:
        return {}
    final = final_statuses(search.study)
    rules = {}
    for key, cell in search.cells.items():
        rules[key] = Comparison(settings, cell.protocol.epochs)
        for trial_id, trial in cell.trials.items():
            before = records.get(trial_id)
            if before is not None and before.status in final and search.compared(trial):
                for epoch, score, _, _ in before.history:
                    rules[key].learn(trial_id, epoch, score)
    return rules
