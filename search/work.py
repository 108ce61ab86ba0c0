"""The search of a whole study: its cells, which of them has the next pack, and when its budget of trials is spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from search.cells import Batch, CellName, CellSearch, Ending, cell_of, final_statuses
from search.known import Known
from search.study import Study
from trainables.trial import Pack, Trial


class Work:
    """Hands out the packs of a study and hears how their trials ended.

    ``known``: what earlier runs say, by trial id. ``asked``: what they asked adaptive samplers for, cell by cell;
    ``on_ask`` is told what this one asks for.
    """

    def __init__(
        self,
        study: Study,
        known: Mapping[str, Known],
        asked: Iterable[tuple[CellName, Batch]] = (),
        on_ask: Callable[[CellName, Batch], None] = lambda cell, batch: None,
    ) -> None:
        before = {trial_id: Ending(k.status, k.score) for trial_id, k in known.items()}
        batches = _batches(known, asked) if study.search.strategy == "tpe" else {}
        self.study = study
        self.cells = {
            (backbone.name, task.name, method): CellSearch(
                study, backbone, task, method, before, batches.get((backbone.name, task.name, method), ()), on_ask
            )
            for backbone in study.backbones
            for task in study.tasks
            for method in study.methods
        }
        self.budget_is_spent = False
        self._adaptive = study.search.strategy == "tpe"
        final = final_statuses(study)
        self._allowed = study.search.budget.trials
        if self._allowed is not None:
            own = {trial_id for cell in self.cells.values() for trial_id in cell.trials}
            ended = {trial_id for trial_id, k in known.items() if k.status in final}
            named = {trial_id for trial_id in ended if known[trial_id].cell in self.cells}
            self._allowed -= len((own & ended) | named)

    @property
    def unfinished(self) -> bool:
        """Whether there are trials without an end."""
        return any(cell.out or cell.pending or cell.undecided for cell in self.cells.values())

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
            self.budget_is_spent = self.budget_is_spent or any(c.pending or c.undecided for c in self.cells.values())
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
        return self.cells[cell_of(trial)].origin(trial)

    def compared(self, trial: Trial) -> bool:
        """See ``CellSearch.compared``."""
        return self.cells[cell_of(trial)].compared(trial)

    def tell(self, trial: Trial, status: str, score: float | None) -> None:
        """How a trial ended."""
        self.cells[cell_of(trial)].tell(trial, status, score)


def _batches(known: Mapping[str, Known], asked: Iterable[tuple[CellName, Batch]]) -> dict[CellName, list[Batch]]:
    """What was asked for, as it was asked for; and what only the store knows of, one by one."""
    batches: dict[CellName, list[Batch]] = {}
    for cell, batch in asked:
        batches.setdefault(cell, []).append(batch)
    seen = set()
    for trial in known.values():
        if trial.assignment_id not in seen:
            seen.add(trial.assignment_id)
            batches.setdefault(trial.cell, []).append([(trial.assignment_id, dict(trial.hyperparameters))])
    return batches
