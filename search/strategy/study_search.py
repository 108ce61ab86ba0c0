"""The search of a whole study: its cells, which of them has the next pack, when its budget of trials is spent, and the
confirmation of what it selects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from search.strategy.cell_search import CellSearch, Ending, Proposal, final_statuses
from search.strategy.confirmation import ROLE, CellConfirmation, recorded
from search.strategy.work import Work, longest_first
from search.study import Study, fresh_seeds
from search.tracking.records import TrialRecord
from trainables.trial import CellKey, Pack, Trial


class StudySearch:
    """Hands out the packs of a study and hears how their trials ended.

    ``records``: how trials of earlier runs ended, by trial id. ``proposals``: what earlier runs asked adaptive samplers
    for, cell by cell; ``on_proposal`` is told what this one asks for. ``settled``: as in ``CellSearch``.

    ``confirmations``: of each cell, where the study has any; their packs come when no cell has one, as soon as the
    search of their own cell is over. ``recorded``: the trials on fresh seeds that are known, by
    assignment (``confirmation.recorded``).
    """

    def __init__(
        self,
        study: Study,
        records: Mapping[str, TrialRecord],
        proposals: Iterable[tuple[CellKey, Proposal]] = (),
        on_proposal: Callable[[CellKey, Proposal], None] = lambda cell, proposal: None,
        *,
        settled: bool = False,
    ) -> None:
        before = {i: Ending(r.status, r.score, r.trainable_parameters) for i, r in records.items()}
        adaptive = study.search.strategy == "tpe"
        earlier = _by_cell(records, proposals) if adaptive else {}
        self.study = study
        self.cells: dict[CellKey, CellSearch] = {}
        for backbone in study.backbones:
            for task in study.tasks:
                for method in study.methods:
                    key = CellKey(backbone.name, task.name, method)
                    own = (before, earlier.get(key, ()), on_proposal)
                    self.cells[key] = CellSearch(study, backbone, task, method, *own, settled=settled)
        self.recorded = recorded(study, records)
        confirmed = self.cells if study.confirm else {}
        self.confirmations = {key: CellConfirmation(study, cell, before) for key, cell in confirmed.items()}
        self.budget_is_spent = False
        self._adaptive = adaptive
        self._longest_first = longest_first(study)
        self._work: Work | None = None
        self._allowed = self._trials_allowed(records)

    def _trials_allowed(self, records: Mapping[str, TrialRecord]) -> int | None:
        """What the budget leaves after the trials of earlier runs; None where it sets no number."""
        allowed = self.study.search.budget.trials
        if allowed is None:
            return None
        final = final_statuses(self.study)
        own = {trial_id for cell in self.cells.values() for trial_id in cell.trials}
        ended = {trial_id for trial_id, record in records.items() if record.status in final}
        fresh = fresh_seeds(self.study)
        named = {i for i in ended if records[i].cell in self.cells and records[i].seed not in fresh}
        return allowed - len((own & ended) | named)

    @property
    def total(self) -> int:
        """Trials of the search, at most."""
        return sum(cell.total for cell in self.cells.values())

    @property
    def left(self) -> int:
        """Trials of the search that are still to be handed out, at most."""
        return sum(cell.left for cell in self.cells.values())

    @property
    def to_confirm(self) -> int:
        """Confirmation trials that are still to be handed out, at most."""
        return sum(one.left for one in self.confirmations.values())

    @property
    def confirmed(self) -> int:
        """Confirmation trials of the winners, as far as these are known, that are handed out or have ended."""
        return sum(one.total - one.left for one in self.confirmations.values())

    @property
    def unfinished(self) -> bool:
        """Whether there are trials without an end."""
        searching = any(cell.out or cell.left for cell in self.cells.values())
        return searching or any(one.out or one.left for one in self.confirmations.values())

    @property
    def waiting(self) -> int:
        """Packs that could be handed out now, about: one for each assignment that an adaptive search may ask for."""
        confirming = sum(len(one.pending) for one in self.confirmations.values())
        if self._allowed is not None and self._allowed <= 0:
            return confirming
        return confirming + sum(len(cell.pending) + cell.unasked for cell in self.cells.values())

    def next(self) -> Pack | None:
        """The next pack. The longest first, so that the last ones do not leave devices idle, and of packs of equal work
        the first in the file, so that a worker keeps its backbone and data.

        Where the order decides what is trained, it is the file's (``longest_first``). An adaptive search takes the cell
        with the fewest trials in training: it learns most that way. Where no cell has a pack, one that confirms one of
        those whose search is over. None where there is none before others have ended, or none any more.
        """
        if (pack := self._next_of_search()) is not None:
            return pack
        return next(filter(None, (one.next() for one in self.confirmations.values())), None)

    def next_like(self, pack: Pack) -> Pack | None:
        """A pack that waits and can be trained along with ``pack``, in the same worker; None where there is none.

        Where the order of packs decides what is trained, it is the next one of all or none; a budget of trials hands
        out its last ones in their own packs.
        """
        first = pack.trials[0]
        if self.confirms(first):
            return self.confirmations[first.cell].next_like(pack)
        cell = self.cells[first.cell]
        if self._longest_first:
            return cell.next_like(pack, first_only=False)
        waiting = next((one.first for one in self._in_order() if one.first is not None), None)
        if waiting is None or waiting is not cell.first:
            return None
        if self._allowed is not None and self._allowed < len(waiting.trials):
            return None
        found = cell.next_like(pack, first_only=True)
        if self._allowed is not None and found is not None:
            self._allowed -= len(found.trials)
        return found

    def _next_of_search(self) -> Pack | None:
        if self._allowed is not None and self._allowed <= 0:
            self.budget_is_spent = self.budget_is_spent or self.left > 0
            return None
        for cell in self._in_order():
            if (pack := cell.next(self._allowed)) is not None:
                if self._allowed is not None:
                    self._allowed -= len(pack.trials)
                return pack
        return None

    def _in_order(self) -> list[CellSearch]:
        """The cells, as they are asked for a pack."""
        cells = list(self.cells.values())
        if self._adaptive:
            return sorted(cells, key=lambda cell: len(cell.out))
        waiting = [(cell, cell.first) for cell in cells if cell.first is not None]
        if not self._longest_first or len(waiting) < 2:
            return cells
        if self._work is None:
            self._work = Work(self.study)  # not before it is needed: it looks at texts
            if self.study.search.strategy == "grid" and self.study.search.early_stopping is None:
                # Of a random search that is not over, what was drawn first is a sample; early stopping compares trials.
                for cell, _ in waiting:
                    cell.longest_first(self._work)
            return self._in_order()
        work = self._work
        return [max(waiting, key=lambda one: work(one[1]))[0]]

    def origin(self, trial: Trial) -> dict[str, str]:
        """See ``CellSearch.origin``; a confirmation trial has its ``role`` in it."""
        if not self.confirms(trial):
            return self.cells[trial.cell].origin(trial)
        strategy = {"strategy": "tpe"} if self._adaptive else {}
        return {**strategy, "role": ROLE}

    def confirms(self, trial: Trial) -> bool:
        """Whether it is a trial of a confirmation, and none of the search."""
        return trial.id not in self.cells[trial.cell].trials

    def compared(self, trial: Trial) -> bool:
        """See ``CellSearch.compared``; a confirmation trial is trained to its end."""
        return not self.confirms(trial) and self.cells[trial.cell].compared(trial)

    def tell(self, trial: Trial, status: str, score: float | None, trainable_parameters: int | None = None) -> None:
        """How a trial ended. Of those of a confirmation no cell hears."""
        if self.confirms(trial):
            self.confirmations[trial.cell].tell(trial)
        else:
            self.cells[trial.cell].tell(trial, Ending(status, score, trainable_parameters))


def _by_cell(
    records: Mapping[str, TrialRecord], proposals: Iterable[tuple[CellKey, Proposal]]
) -> dict[CellKey, list[Proposal]]:
    """What was asked for, as it was asked for; and what only the store knows of, one by one."""
    found: dict[CellKey, list[Proposal]] = {}
    for cell, proposal in proposals:
        found.setdefault(cell, []).append(proposal)
    seen = set()
    for record in records.values():
        if record.assignment_id not in seen:
            seen.add(record.assignment_id)
            found.setdefault(record.cell, []).append([(record.assignment_id, dict(record.hyperparameters))])
    return found
