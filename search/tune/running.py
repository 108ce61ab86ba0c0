"""A pack in training, as the driver sees it: when its members end, what they reached, and who has no result yet."""

from __future__ import annotations

import math
from collections.abc import Iterable

from search.tune.trainable import PackReport
from trainables.patience import Patience
from trainables.trial import Epoch, Pack, Result, Status, Trial


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


class RunningPack:
    """A pack in training: which members still have no result, and what they reached.

    ``patience`` is the driver's only one for this pack: Tune's scheduler and whoever writes results down share it.
    """

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.patience = PackPatience(pack)
        self.left: dict[str, Trial] = {t.id: t for t in pack.trials}
        self._history: dict[str, dict[int, Epoch]] = {t.id: {} for t in pack.trials}
        self._furthest = (0, 0)  # epoch that is closed, steps of the next one

    def ends_with(self, report: PackReport) -> bool:
        """Whether every member has ended with this report."""
        return self.patience.update(report.reached, [result.trial_id for result in report.results])

    def news(self, report: PackReport) -> list[tuple[str, Epoch]]:
        """The epochs of a report that no report before it told of."""
        return [(trial_id, e) for trial_id, e in report.reached if e.epoch not in self._history[trial_id]]

    def got_on(self, report: PackReport) -> bool:
        """Whether the pack is further than in all reports before: an epoch, or steps that a checkpoint holds."""
        reached = max([report.resumed, *((epoch.epoch, 0) for _, epoch in report.reached)])
        further, self._furthest = reached > self._furthest, max(reached, self._furthest)
        return further

    def update(self, report: PackReport) -> list[tuple[Trial, Result]]:
        """Take in a report; gives the results that are new. Those of before a worker's death come again."""
        self.patience.update(report.reached)
        for trial_id, epoch in report.reached:
            self._history[trial_id][epoch.epoch] = epoch
        return [(self.left.pop(r.trial_id), r) for r in report.results if r.trial_id in self.left]

    def rest(self) -> Pack | None:
        """The members without a result, in the same pack; None where all have one."""
        return self.pack.without({t.id for t in self.pack.trials} - set(self.left))

    def seconds(self, epochs: Iterable[tuple[str, Epoch]]) -> dict[str, float]:
        """What the members of these epochs have taken by now, earlier runs included; an epoch that comes again counts
        once."""
        return {i: sum(e.seconds for e in self._history[i].values()) for i in {trial_id for trial_id, _ in epochs}}

    def close(self, status: Status, reason: str) -> list[tuple[Trial, Result]]:
        """Results of the members that are left, with what they had reached.

        A member that the stopping rule has ended is ``finished``, whatever ``status`` says of the others.
        """
        closed = []
        for trial_id, trial in self.left.items():
            history = tuple(self._history[trial_id][n] for n in sorted(self._history[trial_id]))
            best = max((e for e in history if e.score == e.score), key=lambda e: e.score, default=None)
            score, epoch = (best.score, best.epoch) if best else (None, None)
            ended = score is not None and trial_id in self.patience.ended
            how: Status = "finished" if ended else status
            why, size = "" if ended else reason, len(self.pack.trials)
            closed.append((trial, Result(trial_id, how, score, epoch, history, None, why, pack_size=size)))
        self.left = {}
        return closed
