"""From a study to what it will train, counted: cells, assignments, trials and packs, what is finished. Pure; no Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from search.strategy.cell_search import Proposal
from search.strategy.confirmation import has_score
from search.strategy.packing import on_device
from search.strategy.study_search import StudySearch
from search.study import Study, combinations, spec_if_known
from search.tracking.records import TrialRecord
from trainables import methods
from trainables.pack_sizes import PackSizes
from trainables.trial import CellKey, Pack, Trial

_CONFIRMATION = ("total", "finished", "pending", "undecided", "recorded", "others")


@dataclass(frozen=True)
class ConfirmationPlan:
    """The trials that confirm the winner of a cell, on fresh seeds: ``total`` of them, at most.

    ``winner``: the assignment, by its id, and ``packs`` of its trials that are still to be trained; while the search of
    the cell is not over there is none, and all trials are ``undecided``. ``recorded``: trials with a score, on whatever
    fresh seeds, of the assignment that is selected by the scores so far; ``others``: those of other assignments.
    """

    total: int = 0
    packs: tuple[Pack, ...] = ()
    undecided: int = 0
    winner: str | None = None
    recorded: int = 0
    others: int = 0

    @property
    def pending(self) -> int:
        """Trials that are still to be trained, at most."""
        return sum(len(pack.trials) for pack in self.packs) + self.undecided

    @property
    def finished(self) -> int:
        """Trials that need no training any more."""
        return self.total - self.pending


@dataclass(frozen=True)
class CellPlan:
    """One (backbone, task, method): its trials, and the packs of those that are still to be trained.

    ``undecided``: at most so many trials come to them, as the scores of others will tell; ``assignments`` counts
    theirs. ``epochs``: the most that one of them trains. ``unmeasured``: packs whose size is found only when they are
    trained. Of the ``confirmation`` nothing is in these numbers.
    """

    key: CellKey
    assignments: int
    trials: tuple[Trial, ...]
    packs: tuple[Pack, ...]
    undecided: int
    epochs: int
    confirmation: ConfirmationPlan = ConfirmationPlan()
    unmeasured: int = 0

    @property
    def largest(self) -> int:
        """Members of its largest pack, as it is planned; 0 without any."""
        return max((len(pack.planned) for pack in self.packs), default=0)

    @property
    def pending(self) -> int:
        """Trials that are still to be trained, at most."""
        return sum(len(pack.trials) for pack in self.packs) + self.undecided

    @property
    def total(self) -> int:
        """Trials of the cell, at most."""
        return len(self.trials) + self.undecided

    @property
    def finished(self) -> int:
        """Trials that need no training any more."""
        return self.total - self.pending


@dataclass(frozen=True)
class Plan:
    """All that a study will train, cell by cell in the order of the file: backbones, then tasks, then methods.

    ``trials`` and ``packs`` are those that are decided on.
    """

    study: str
    cells: tuple[CellPlan, ...]

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial, finished or not."""
        return tuple(trial for cell in self.cells for trial in cell.trials)

    @cached_property
    def packs(self) -> tuple[Pack, ...]:
        """The packs that are still to be trained."""
        return tuple(pack for cell in self.cells for pack in cell.packs)

    @property
    def total(self) -> int:
        """Trials of the study, at most."""
        return sum(cell.total for cell in self.cells)

    @property
    def pending(self) -> int:
        """Trials that are still to be trained, at most."""
        return sum(cell.pending for cell in self.cells)

    @property
    def counts(self) -> dict[str, int]:
        """How much there is of everything; ``epochs_at_most`` if no trial that is pending stops early.

        ``undecided`` of the trials depend on the scores of others: they may be fewer. Those that confirm winners are
        counted apart (``confirmation_counts``).
        """
        return {
            "cells": len(self.cells),
            "assignments": sum(cell.assignments for cell in self.cells),
            "trials": self.total,
            "finished": sum(cell.finished for cell in self.cells),
            "pending": self.pending,
            "undecided": sum(cell.undecided for cell in self.cells),
            "packs": len(self.packs),
            "epochs_at_most": sum(self._epochs(cell) for cell in self.cells),
        }

    @property
    def confirmation_counts(self) -> dict[str, int]:
        """The trials that confirm winners, by the names of ``ConfirmationPlan``."""
        own = [cell.confirmation for cell in self.cells]
        return {name: sum(getattr(one, name) for one in own) for name in _CONFIRMATION}

    def _epochs(self, cell: CellPlan) -> int:
        decided = sum(trial.protocol.epochs for pack in cell.packs for trial in pack.trials)
        return decided + cell.undecided * cell.epochs

    def to_json(self) -> dict[str, Any]:
        """Plain values: the study, the counts, and a row per cell."""
        rows = [
            {
                **cell.key._asdict(),
                "assignments": cell.assignments,
                "trials": cell.total,
                "finished": cell.finished,
                "pending": cell.pending,
                "undecided": cell.undecided,
                "packs": len(cell.packs),
                "largest_pack": cell.largest,
                "unmeasured_packs": cell.unmeasured,
                "confirmation": {name: getattr(cell.confirmation, name) for name in _CONFIRMATION},
            }
            for cell in self.cells
        ]
        return {"study": self.study, "counts": self.counts, "confirmation": self.confirmation_counts, "cells": rows}


def plan(
    study: Study,
    records: Mapping[str, TrialRecord] | None = None,
    proposals: Iterable[tuple[CellKey, Proposal]] = (),
    device: str = "",
) -> Plan:
    """What ``study`` (loaded with ``bind``) will train; ``records`` and ``proposals``: those of earlier runs.

    ``device``: ``cpu``, or the name of the GPU that will train it; empty where it is not known.
    """
    return of_search(StudySearch(study, records or {}, proposals), device)


def of_search(search: StudySearch, device: str = "") -> Plan:
    """What is decided on in a search that may be on its way, counted. Packs are those in which the ``device`` trains,
    by what is known of it."""
    sized = _Sized(search.study, device or ("gpu" if search.study.resources.gpus else "cpu"))
    cells = []
    for key, cell in search.cells.items():
        packs, unmeasured = sized(cell.pending)
        trials, decided = tuple(cell.trials.values()), (packs, cell.undecided)
        confirmation = _confirmation(search, key, sized)
        cells.append(CellPlan(key, cell.assignments, trials, *decided, cell.protocol.epochs, confirmation, unmeasured))
    return Plan(search.study.name, tuple(cells))


class _Sized:
    """Packs as a device trains them, and how many of these have a size that is yet to be measured."""

    def __init__(self, study: Study, device: str) -> None:
        self._study, self._device, self._sizes = study, device, PackSizes(Path(study.cache_dir))

    def __call__(self, packs: Iterable[Pack]) -> tuple[tuple[Pack, ...], int]:
        found: list[Pack] = []
        unmeasured = 0
        for pack in packs:
            own, unknown = on_device(self._study, pack, self._sizes, self._device)
            found += own
            unmeasured += len(own) * unknown
        return tuple(found), unmeasured


def _confirmation(search: StudySearch, key: CellKey, sized: _Sized) -> ConfirmationPlan:
    """Of one cell, also where none is asked for but an earlier run had one."""
    one, cell = search.confirmations.get(key), search.cells[key]
    own = {trial.assignment_id for trial in cell.trials.values()} & search.recorded.keys() if search.recorded else set()
    scored = {name: sum(map(has_score, search.recorded[name].values())) for name in own}
    recorded = scored.pop(cell.best_assignment() or "", 0) if scored else 0
    others = sum(scored.values())
    if one is None:
        return ConfirmationPlan(recorded=recorded, others=others)
    packs, _ = sized(one.pending)
    return ConfirmationPlan(one.total, packs, one.undecided, one.winner, recorded, others)


@dataclass(frozen=True)
class Size:
    """Trainable parameters of a method with one set of its own hyperparameters, on one backbone.

    ``parameters``: without the head; ``None`` where the backbone's sizes are unknown without a network. ``heads``: the
    parameters of the classification head for each number of outputs among the study's tasks.
    """

    backbone: str
    method: str
    hyperparameters: dict[str, Any]
    parameters: int | None
    heads: dict[int, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "heads": {str(outputs): count for outputs, count in self.heads.items()}}


def _own_hyperparameters(study: Study, cell: CellPlan) -> Iterator[dict[str, Any]]:
    """Of the trials of a cell; where they are yet to be chosen, of the values they are chosen from."""
    yield from (trial.method_config for trial in cell.trials)
    if study.search.strategy == "tpe":
        config = methods.get(cell.key.method).Config
        own = {n: grid for n, grid in study.grids(cell.key.task, cell.key.method).items() if n in config.model_fields}
        yield from (config(**values).model_dump() for values in combinations(own))


def sizes(study: Study, plan: Plan) -> list[Size]:
    """The trainable parameters of every method and rank of the plan, each once; of a range, those of its ends."""
    found: dict[tuple[Any, ...], Size] = {}
    specs = {backbone.name: spec_if_known(backbone) for backbone in study.backbones}
    outputs = sorted({task.outputs for task in study.tasks})
    for cell in plan.cells:
        for own in _own_hyperparameters(study, cell):
            key = (cell.key.backbone, cell.key.method, *own.items())
            if key in found:
                continue
            spec = specs[cell.key.backbone]
            kind = methods.get(cell.key.method)
            count = None if spec is None else kind(kind.Config(**own), spec).count()
            heads = {} if spec is None else {n: n * (spec.width + 1) for n in outputs}
            found[key] = Size(cell.key.backbone, cell.key.method, own, count, heads)
    return sorted(found.values(), key=lambda size: [b.name for b in study.backbones].index(size.backbone))
