"""When a member of a pack stops, as Tune sees it: patience (``trainables/patience.py``), and comparison in its cell.

Patience looks at one trial alone and ends it as ``finished``. ASHA and the median rule are Ray Tune's; they compare
trials of one cell, and what they cut short is ``pruned``.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search.cells import CellName, cell_of, final_statuses
from search.known import Known
from search.study import EarlyStopping
from search.trainable import Report
from search.work import Work
from trainables.patience import Patience
from trainables.trial import Epoch, Pack, Trial


class PackPatience:
    """The stopping rule for the members of a pack. It ends a member in the same epoch as the training loop does."""

    def __init__(self, pack: Pack) -> None:
        self._limits = {t.id: t.protocol.epochs for t in pack.trials}
        self._patience = {t.id: Patience(t.protocol.patience) for t in pack.trials}
        self._seen = dict.fromkeys(self._limits, 0)
        self.ended: set[str] = set()

    def update(self, epochs: Iterable[tuple[str, Epoch]], results: Iterable[str] = ()) -> bool:
        """Take in what members reached, and the ids of those with a result; True when all members have ended.

        Epochs that come again, after a worker died and its pack went on from a checkpoint, count once.
        """
        self.ended.update(results)
        for trial_id, epoch in epochs:
            if epoch.epoch <= self._seen[trial_id]:
                continue
            self._seen[trial_id] = epoch.epoch
            diverged = not (math.isfinite(epoch.score) and math.isfinite(epoch.train_loss))
            if diverged or self._patience[trial_id].update(epoch.score) or epoch.epoch >= self._limits[trial_id]:
                self.ended.add(trial_id)
        return len(self.ended) == len(self._limits)


@dataclass(frozen=True)
class _Member:
    """What Tune's schedulers need to know of a trial: a name to tell it from others."""

    trial_id: str


class _MedianRule(MedianStoppingRule):
    """Ray's decisions for trials that report every epoch, without its search of all results for each of them."""

    def __init__(self, grace_epochs: int) -> None:
        super().__init__(time_attr="epoch", metric="score", mode="max", grace_period=grace_epochs)
        self._best: dict[_Member, float] = {}
        self._counted: Counter[_Member] = Counter()  # epochs since the grace period
        self._mean: dict[_Member, float] = defaultdict(float)  # over them
        self._means: dict[int, list[float]] = defaultdict(list)  # by epoch: of all that reached it, sorted

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        epoch, score = result["epoch"], result["score"]
        self._best[trial] = max(score, self._best.get(trial, -math.inf))
        if epoch < self._grace_period:
            return TrialScheduler.CONTINUE
        self._counted[trial] += 1
        self._mean[trial] += (score - self._mean[trial]) / self._counted[trial]
        others = self._means[epoch]
        middle = len(others) // 2
        enough = len(others) >= self._min_samples_required
        behind = enough and self._best[trial] < (others[middle] + others[~middle]) / 2
        insort(others, self._mean[trial])
        return TrialScheduler.STOP if behind else TrialScheduler.CONTINUE


class Comparison:
    """Ray Tune's ASHA or median rule over the trials of one cell, whatever packs they are trained in.

    ASHA (Li et al. 2020) compares the best scores so far at the same epoch, the median rule (Golovin et al. 2017) a
    trial's best score with the others' running means. ``epochs``: the most that a trial of the cell trains.
    """

    def __init__(self, rule: EarlyStopping, epochs: int) -> None:
        grace = min(rule.grace_epochs, epochs)
        self._rule: Any  # its trials are ours, not Tune's
        if rule.rule == "asha":
            self._rule = AsyncHyperBandScheduler(
                "epoch", "score", "max", max_t=epochs, grace_period=grace, reduction_factor=rule.reduction_factor
            )
        else:
            self._rule = _MedianRule(grace)
        self._epochs = epochs
        self._best: dict[str, float] = {}
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
        member = _Member(trial_id)
        if trial_id not in self._best:
            self._rule.on_trial_add(None, member)
        best = self._best[trial_id] = max(score, self._best.get(trial_id, -math.inf))
        shown = best if isinstance(self._rule, AsyncHyperBandScheduler) else score
        action = self._rule.on_trial_result(None, member, {"epoch": epoch, "score": shown})
        return bool(action == TrialScheduler.STOP)


def comparisons(work: Work, known: Mapping[str, Known]) -> dict[CellName, Comparison]:
    """The rule of each cell, told of the trials that ended before."""
    rule = work.study.search.early_stopping
    if rule is None:
        return {}
    rules = {name: Comparison(rule, cell.protocol.epochs) for name, cell in work.cells.items()}
    final = final_statuses(work.study)
    for name, cell in work.cells.items():
        for trial_id, trial in cell.trials.items():
            before = known.get(trial_id)
            if before is not None and before.status in final and work.compared(trial):
                for epoch, score, _, _ in before.history:
                    rules[name].learn(trial_id, epoch, score)
    return rules


class PatienceScheduler(FIFOScheduler):
    """First come, first served; a Tune trial stops when every member of its pack has ended.

    Its trials have a ``Job`` in their configuration and a ``Report`` in their results. The loop of ``trainables`` stops
    by the same rule on its own, which frees a member's place in the pack; this holds also for a loop that does not.
    ``comparisons``, by cell: members that fall behind others of their cell are cut short by their worker, which is told
    before it goes on. ``compared``: the trials to which that applies.
    """

    def __init__(
        self,
        comparisons: Mapping[CellName, Comparison] | None = None,
        compared: Callable[[Trial], bool] = lambda trial: True,
    ) -> None:
        super().__init__()
        self._compared = compared
        self.keep_idle_workers = True  # Tune keeps one, and its place, for a pack that may come
        self._packs: dict[str, PackPatience] = {}
        self._comparisons = comparisons or {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        pack: Pack = trial.config["job"].pack
        patience = self._packs.get(trial.trial_id)
        if patience is None:
            patience = self._packs[trial.trial_id] = PackPatience(pack)
        report: Report = result["report"]
        if patience.update(report.reached, [r.trial_id for r in report.results]):
            return TrialScheduler.STOP
        behind = self.compare(pack, report) - patience.ended
        if behind:
            # Tune has no public way to speak to a worker; the call is carried out before the next step.
            # A worker that died before it is found out here, as by any other task.
            failed = tune_controller._trial_task_failure
            tune_controller._schedule_trial_task(trial, "cut_short", (behind,), on_error=failed)
        return TrialScheduler.CONTINUE

    def choose_trial_to_run(self, tune_controller: Any, **options: Any) -> Any:
        """Tune asks this in every step: the moment to let go of a worker that another study waits for."""
        if not self.keep_idle_workers:
            tune_controller._cleanup_cached_actors(force_all=True)
        return super().choose_trial_to_run(tune_controller, **options)

    def compare(self, pack: Pack, report: Report) -> set[str]:
        """Have the cell's rule take in a report; the ids of members that fall behind."""
        comparison = self._comparisons.get(cell_of(pack.trials[0]))
        if comparison is None:
            return set()
        own = {trial.id for trial in pack.trials if self._compared(trial)}
        again = {i for i, e in report.earlier if i in own and comparison.learn(i, e.epoch, e.score)}
        return again | {i for i, e in report.epochs if i in own and comparison.update(i, e.epoch, e.score)}

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self._packs.pop(trial.trial_id, None)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self._packs.pop(trial.trial_id, None)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The worker died; its pack may go on, so what it reached is kept."""
