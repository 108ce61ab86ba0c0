"""Confirmation: the winner of a cell on fresh seeds, which took no part in its choice.

The score by which an assignment is selected is a lucky one; that of the same assignment on other seeds is not. A cell
is confirmed when its search is over: the winner is that of the reports (``common/selection.py``) over the search's own
trials. Confirmation trials are told to no sampler, no promotion and no early stopping, and the search's budget of
trials does not count them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from search.strategy.cell_search import CellSearch, Ending
from search.strategy.packing import pack_size, packs, taken_like
from search.study import Study, confirmation_seeds, fresh_seeds
from search.tracking.records import TrialRecord
from trainables.trial import Pack, Trial

ROLE = "confirmation"  # of a trial; that of the others is ``search``

#: What needs no further training. What an earlier search cut short does: a confirmation is trained to its end.
_FINAL = ("finished", "diverged")


class CellConfirmation:
    """The confirmation of one cell, decided on as soon as the search of the cell is over.

    ``before``: how trials ended in earlier runs, by trial id. ``trials`` holds those that are decided on.
    """

    def __init__(self, study: Study, cell: CellSearch, before: Mapping[str, Ending]) -> None:
        self.cell = cell
        self.out: set[str] = set()
        self.trials: dict[str, Trial] = {}
        self._seeds = confirmation_seeds(study)
        self._size = pack_size(study, cell.task, cell.method)
        self._before = before
        self._queue: deque[Pack] = deque()
        self._winner: str | None = None
        self._begun = False

    @property
    def winner(self) -> str | None:
        """The id of the assignment that is confirmed; None before the search is over, and where none has a score."""
        self._begin_if_due()
        return self._winner

    @property
    def pending(self) -> tuple[Pack, ...]:
        """Packs that are decided on and not handed out."""
        self._begin_if_due()
        return tuple(self._queue)

    @property
    def undecided(self) -> int:
        """At most so many trials are still to be decided on."""
        self._begin_if_due()
        return 0 if self._begun else len(self._seeds)

    @property
    def total(self) -> int:
        """Trials of the confirmation, at most; none of a cell whose search has selected nothing."""
        return self.undecided + len(self.trials)

    @property
    def left(self) -> int:
        """Trials that are still to be handed out, at most."""
        return sum(len(pack.trials) for pack in self.pending) + self.undecided

    def next(self) -> Pack | None:
        """The next pack to train; None where there is none, or none before the search of the cell is over."""
        self._begin_if_due()
        if not self._queue:
            return None
        pack = self._queue.popleft()
        self.out.update(trial.id for trial in pack.trials)
        return pack

    def next_like(self, pack: Pack) -> Pack | None:
        """Hand out a pack that waits and can be trained along with one of this confirmation."""
        found = taken_like(self._queue, pack, first_only=False)
        if found is not None:
            self.out.update(trial.id for trial in found.trials)
        return found

    def tell(self, trial: Trial) -> None:
        """A trial that was handed out has ended."""
        self.out.discard(trial.id)

    def _begin_if_due(self) -> None:
        if self._begun or not self._seeds or not self.cell.over:
            return
        self._begun = True
        self._winner = self.cell.best_assignment()
        won = next((trial for trial in self.cell.trials.values() if trial.assignment_id == self._winner), None)
        if won is None:
            return
        trials = won.on(self._seeds)
        self.trials = {trial.id: trial for trial in trials}
        before = {trial.id: self._before[trial.id].status for trial in trials if trial.id in self._before}
        ended = {trial_id for trial_id, status in before.items() if status in _FINAL}
        cut = {trial_id for trial_id, status in before.items() if status == "pruned"}
        self._queue.extend(packs(trials, self._size, ended, cut))


def has_score(record: TrialRecord) -> bool:
    """Whether statistics use it."""
    return Ending(record.status, record.score).counts


def recorded(study: Study, records: Mapping[str, TrialRecord]) -> dict[str, dict[str, TrialRecord]]:
    """The trials on fresh seeds that are known and were trained to their end or failed, by assignment id and trial id.

    Of assignments of other versions of the study, too: an assignment's id holds all of a trial but its seed.
    """
    fresh = fresh_seeds(study)
    found: dict[str, dict[str, TrialRecord]] = {}
    for trial_id, record in records.items():
        if record.seed in fresh and record.status != "pruned":
            found.setdefault(record.assignment_id, {})[trial_id] = record
    return found
