"""Packs in training, as the driver sees them."""

from __future__ import annotations

from collections.abc import Iterable

from search.schedulers import PackPatience
from search.trainable import Report
from trainables.trial import Epoch, Pack, Result, Status, Trial


class Running:
    """A pack in training, as the driver sees it: which members still have no result, and what they reached."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self._patience = PackPatience(pack)
        self.left: dict[str, Trial] = {t.id: t for t in pack.trials}
        self._history: dict[str, dict[int, Epoch]] = {t.id: {} for t in pack.trials}

    def news(self, report: Report) -> list[tuple[str, Epoch]]:
        """The epochs of a report that no report before it told of: how far the pack got on."""
        return [(trial_id, e) for trial_id, e in report.reached if e.epoch not in self._history[trial_id]]

    def update(self, report: Report) -> list[tuple[Trial, Result]]:
        """Take in a report; gives the results that are new. Those of before a worker's death come again."""
        self._patience.update(report.reached)
        for trial_id, epoch in report.reached:
            self._history[trial_id][epoch.epoch] = epoch
        return [(self.left.pop(r.trial_id), r) for r in report.results if r.trial_id in self.left]

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
            ended = score is not None and trial_id in self._patience.ended
            how: Status = "finished" if ended else status
            closed.append((trial, Result(trial_id, how, score, epoch, history, None, "" if ended else reason)))
        self.left = {}
        return closed
