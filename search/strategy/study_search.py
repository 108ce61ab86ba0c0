"""The search of a whole study: its cells, which of them has the next pack, and when its budget of trials is spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from search.strategy.cell_search import CellSearch, Ending, Proposal, final_statuses
from search.study import Study
from search.tracking.records import TrialRecord
from trainables.trial import CellKey, Pack, Trial


class StudySearch:
    """Hands out the packs of a study and hears how their trials ended.

    ``records``: how trials of earlier runs ended, by trial id. ``proposals``: what earlier runs asked adaptive samplers
    for, cell by cell; ``on_proposal`` is told what this one asks for.
    """

    def __init__(
        self,
        study: Study,
        records: Mapping[str, TrialRecord],
        proposals: Iterable[tuple[CellKey, Proposal]] = (),
        on_proposal: Callable[[CellKey, Proposal], None] = lambda cell, proposal: None,
    ) -> None:
        before = {trial_id: Ending(r.status, r.score) for trial_id, r in records.items()}
        adaptive = study.search.strategy == "tpe"
        earlier = _by_cell(records, proposals) if adaptive else {}
        self.study = study
        self.cells: dict[CellKey, CellSearch] = {}
        for backbone in study.backbones:
            for task in study.tasks:
                for method in study.methods:
                    key = CellKey(backbone.name, task.name, method)
                    own = (before, earlier.get(key, ()), on_proposal)
                    self.cells[key] = CellSearch(study, backbone, task, method, *own)
        self.budget_is_spent = False
        self._adaptive = adaptive
        self._allowed = self._trials_allowed(records)

    def _trials_allowed(self, records: Mapping[str, TrialRecord]) -> int | None:
        """What the budget leaves after the trials of earlier runs; None where it sets no number."""
        allowed = self.study.search.budget.trials
        if allowed is None:
            return None
        final = final_statuses(self.study)
        own = {trial_id for cell in self.cells.values() for trial_id in cell.trials}
        ended = {trial_id for trial_id, record in records.items() if record.status in final}
        named = {trial_id for trial_id in ended if records[trial_id].cell in self.cells}
        return allowed - len((own & ended) | named)

    @property
    def total(self) -> int:
        """Trials of the study, at most."""
        return sum(cell.total for cell in self.cells.values())

    @property
    def left(self) -> int:
        """Trials that are still to be handed out, at most."""
        return sum(cell.left for cell in self.cells.values())

    @property
    def unfinished(self) -> bool:
        """Whether there are trials without an end."""
        return any(cell.out or cell.left for cell in self.cells.values())

    @property
    def waiting(self) -> int:
        """Packs that could be handed out now, about: one for each assignment that an adaptive search may ask for."""
        if self._allowed is not None and self._allowed <= 0:
            return 0
        return sum(len(cell.pending) + cell.unasked for cell in self.cells.values())

    def next(self) -> Pack | None:
        """The next pack: of the first cell of the file that has one, so that a worker keeps its backbone and data.

        An adaptive search takes the cell with the fewest trials in training instead: it learns most that way.
        None where there is none before others have ended, or none any more.
        """
        if self._allowed is not None and self._allowed <= 0:
            self.budget_is_spent = self.budget_is_spent or self.left > 0
            return None
        cells = list(self.cells.values())
        if self._adaptive:
            cells.sort(key=lambda cell: len(cell.out))
        for cell in cells:
            if (pack := cell.next(self._allowed)) is not None:
                if self._allowed is not None:
                    self._allowed -= len(pack.trials)
                return pack
        return None

    def origin(self, trial: Trial) -> dict[str, str]:
        """See ``CellSearch.origin``."""
        return self.cells[trial.cell].origin(trial)

    def compared(self, trial: Trial) -> bool:
        """See ``CellSearch.compared``."""
        return self.cells[trial.cell].compared(trial)

    def tell(self, trial: Trial, status: str, score: float | None) -> None:
        """How a trial ended."""
        self.cells[trial.cell].tell(trial, status, score)


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
