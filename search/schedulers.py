"""When a pack stops, as Tune sees it: the stopping rule of ``trainables/patience.py``, member by member."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.trainable import Report
from trainables.patience import Patience
from trainables.trial import Epoch, Pack


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


class PatienceScheduler(FIFOScheduler):
    """First come, first served; a Tune trial stops when every member of its pack has ended.

    Its trials have a ``Job`` in their configuration and a ``Report`` in their results. The loop of ``trainables`` stops
    by the same rule on its own, which frees a member's place in the pack; this holds also for a loop that does not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._packs: dict[str, PackPatience] = {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        patience = self._packs.get(trial.trial_id)
        if patience is None:
            patience = self._packs[trial.trial_id] = PackPatience(trial.config["job"].pack)
        report: Report = result["report"]
        ended = patience.update(report.epochs, [r.trial_id for r in report.results])
        return TrialScheduler.STOP if ended else TrialScheduler.CONTINUE

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self._packs.pop(trial.trial_id, None)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self._packs.pop(trial.trial_id, None)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The worker died; its pack may go on, so what it reached is kept."""
