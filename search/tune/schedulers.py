"""When Tune stops a pack: patience (``running.py``), and comparison in its cell (``search/strategy/comparison.py``).

Patience looks at one trial alone and ends it as ``finished``; what a comparison cuts short is ``pruned``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.strategy.comparison import Comparison
from search.tune.running import RunningPack
from search.tune.trainable import PackReport
from trainables.trial import CellKey, Pack, Trial


class PatienceScheduler(FIFOScheduler):
    """First come, first served; a Tune trial stops when every member of its pack has ended.

    Its trials have a ``PackJob`` in their configuration and a ``PackReport`` in their results. The loop of
    ``trainables`` stops by the same rule on its own, which frees a member's place in the pack; this holds also for a
    loop that does not. ``comparisons``, by cell: members that fall behind others of their cell are cut short by their
    worker, which is told before it goes on. ``compared``: the trials to which that applies.

    ``running``: the packs in training, by Tune's trial id; ``PackFollower`` puts them in and takes them out.
    """

    def __init__(
        self,
        comparisons: Mapping[CellKey, Comparison],
        compared: Callable[[Trial], bool] = lambda trial: True,
    ) -> None:
        super().__init__()
        self.running: dict[str, RunningPack] = {}
        self._comparisons, self._compared = comparisons, compared
        self.keep_idle_workers = True  # Tune keeps one, and its place, for a pack that may come

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        running = self.running[trial.trial_id]
        report: PackReport = result["report"]
        if running.ends_with(report):
            return TrialScheduler.STOP
        behind = self.compare(running.packs, report) - running.patience.ended
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

    def compare(self, packs: Sequence[Pack], report: PackReport) -> set[str]:
        """Have the cell's rule take in a report of packs of the same cell; the ids of members that fall behind."""
        own = [trial for pack in packs for trial in pack.trials if self._compared(trial)]
        comparison = self._comparisons.get(own[0].cell) if own else None
        if comparison is None:
            return set()
        ids = {trial.id for trial in own}
        again = {i for i, e in report.earlier if i in ids and comparison.learn(i, e.epoch, e.score)}
        return again | {i for i, e in report.epochs if i in ids and comparison.update(i, e.epoch, e.score)}
