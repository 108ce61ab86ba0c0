"""Packs in training, as the driver sees them: when their members end, what they reached, who has no result yet."""

from __future__ import annotations

import math
from collections.abc import Iterable

from search.tune.trainable import PackReport
from trainables.patience import Patience
from trainables.trial import Epoch, Pack, Result, Status, Trial


class PackPatience:
    """The stopping rule for the members of a pack. It ends a member in the same epoch as the training loop does."""

    def __init__(self, *packs: Pack) -> None:
        self._limits: dict[str, int] = {}
        self._patience: dict[str, Patience] = {}
        self._seen: dict[str, int] = {}
        self.ended: set[str] = set()
        for pack in packs:
            self.add(pack)

    def add(self, pack: Pack) -> None:
        """Members that are trained along."""
        for trial in pack.trials:
            self._limits[trial.id], self._seen[trial.id] = trial.protocol.epochs, 0
            self._patience[trial.id] = Patience(trial.protocol.patience)

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
    """What a worker trains: a pack, or several along with it; which members have no result, and what they reached.

    ``patience`` is the driver's only one for these packs: Tune's scheduler and whoever writes results down share it.
    """

    def __init__(self, *packs: Pack) -> None:
        self.packs: list[Pack] = []
        self.patience = PackPatience()
        self.left: dict[str, Trial] = {}
        self._history: dict[str, dict[int, Epoch]] = {}
        self._told: dict[str, int] = {}  # by trial id, the furthest epoch that was told of
        self._furthest = (0, 0)  # epoch that is closed, steps of the next one
        for pack in packs:
            self.add(pack)

    def add(self, pack: Pack) -> None:
        """A pack that is trained, along with the others from now on."""
        self.packs.append(pack)
        self.patience.add(pack)
        self.left |= {t.id: t for t in pack.trials}
        self._history |= {t.id: {} for t in pack.trials}

    def ends_with(self, report: PackReport) -> bool:
        """Whether every member has ended with this report."""
        return self.patience.update(report.reached, [result.trial_id for result in report.results])

    def news(self, report: PackReport) -> list[tuple[str, Epoch]]:
        """The epochs of a report that no report before it told of."""
        return [(trial_id, e) for trial_id, e in report.reached if e.epoch not in self._history[trial_id]]

    def got_on(self, report: PackReport) -> bool:
        """Whether a member is further than in all reports before: an epoch, or steps that a checkpoint holds."""
        reached = max([report.resumed, *((epoch.epoch, 0) for _, epoch in report.reached)])
        news = [(i, e.epoch) for i, e in report.reached if e.epoch > self._told.get(i, 0)]
        self._told |= news
        further, self._furthest = reached > self._furthest, max(reached, self._furthest)
        return further or bool(news)

    def update(self, report: PackReport) -> list[tuple[Trial, Result]]:
        """Take in a report; gives the results that are new. Those of before a worker's death come again."""
        self.patience.update(report.reached)
        for trial_id, epoch in report.reached:
            self._history[trial_id][epoch.epoch] = epoch
        return [(self.left.pop(r.trial_id), r) for r in report.results if r.trial_id in self.left]

    def rests(self) -> list[Pack]:
        """The members without a result, each in its pack; none of a pack of which all have one."""
        ended = {t.id for pack in self.packs for t in pack.trials} - set(self.left)
        return [rest for pack in self.packs if (rest := pack.without(ended)) is not None]

    def seconds(self, epochs: Iterable[tuple[str, Epoch]]) -> dict[str, float]:
        """What the members of these epochs have taken by now, earlier runs included; an epoch that comes again counts
        once."""
        return {i: sum(e.seconds for e in self._history[i].values()) for i in {trial_id for trial_id, _ in epochs}}

    def close(self, status: Status, reason: str) -> list[tuple[Trial, Result]]:
        """Results of the members that are left, with what they had reached.

        A member that the stopping rule has ended is ``finished``, whatever ``status`` says of the others.
        """
        sizes = {trial.id: len(pack.trials) for pack in self.packs for trial in pack.trials}
        closed = []
        for trial_id, trial in self.left.items():
            history = tuple(self._history[trial_id][n] for n in sorted(self._history[trial_id]))
            best = max((e for e in history if e.score == e.score), key=lambda e: e.score, default=None)
            score, epoch = (best.score, best.epoch) if best else (None, None)
            ended = score is not None and trial_id in self.patience.ended
            how: Status = "finished" if ended else status
            why, size = "" if ended else reason, sizes[trial_id]
            closed.append((trial, Result(trial_id, how, score, epoch, history, None, why, pack_size=size)))
        self.left = {}
        return closed
