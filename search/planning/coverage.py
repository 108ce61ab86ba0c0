"""What of a study is trained: its own trials as rows for a report, those of other versions of it, what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from search.planning.plan import CellPlan, Plan, of_search
from search.planning.rows import Rows, Told, rows
from search.strategy.cell_search import Proposal, final_statuses
from search.strategy.confirmation import ROLE
from search.strategy.study_search import StudySearch
from search.study import Study, fresh_seeds
from search.tracking.records import Known, TrialRecord
from trainables.trial import CellKey, digest

ENDINGS = ("finished", "diverged", "failed", "pruned")
SEARCH = "search"  # the role of a trial that is none of a confirmation
_CONFIRMATION = ("to_confirm", "confirmed")


@dataclass(frozen=True)
class Coverage:
    """A study and what is known of its trials, as plain values.

    ``own``: a row per trial that the study names and that has ended, with the columns of the runs file; ``others``: the
    same of trials that it does not name as it stands. ``cells``: a row per cell that is planned, with the columns of
    ``analysis/coverage.py``, and of the trials that confirm what is selected there how many the study asks for
    (``to_confirm``) and how many have a score (``confirmed``); its other numbers are of the search alone. ``unsent``:
    results of the study that are in the journal and not in MLflow. ``away``: what MLflow holds beside the journal is
    not known.
    """

    study: str
    own: Rows
    others: Rows
    cells: list[dict[str, Any]] = field(default_factory=list)
    unsent: int = 0
    away: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """The sums over the cells."""
        names = ("planned", "undecided", *ENDINGS, "lost", "not_run", "assignments", "complete", *_CONFIRMATION)
        return {name: sum(cell[name] for cell in self.cells) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the trials themselves."""
        more = {"others": len(self.others), "not_in_mlflow": self.unsent, "mlflow_away": self.away}
        return {"study": self.study, **more, "counts": self.counts, "cells": self.cells}


def coverage(study: Study, known: Known, proposals: Iterable[tuple[CellKey, Proposal]] = ()) -> Coverage:
    """What of ``study`` (loaded with ``bind``) is trained; ``proposals`` are those of earlier runs."""
    search = StudySearch(study, known.records, proposals, settled=True)
    planned = of_search(search)
    taken = final_statuses(study) | {"failed"}  # one that an earlier search cut short may yet be trained to its end
    records = {trial_id: record for trial_id, record in known.records.items() if record.status in taken}
    own: dict[str, Told] = {}
    strategy = "tpe" if study.search.strategy == "tpe" else ""
    for cell in planned.cells:
        place, draws = _place(study, planned, cell), _draws(study, cell)
        told: dict[tuple[str, str], dict[str, Any]] = {}  # of an assignment, of its first seed or a later one
        for trial in cell.trials:
            if trial.id in records:
                origin = search.cells[cell.key].origin(trial)  # as the study stands
                one = trial.assignment_id, origin.get("promotion", "")
                if one not in told:
                    way = {"strategy": "", "promotion": "", **origin, "role": SEARCH, "draw": draws.get(one[0])}
                    told[one] = place | way
                own[trial.id] = trial.id, records[trial.id], told[one]
        for assignment_id in dict.fromkeys(trial.assignment_id for trial in cell.trials):
            fresh = {"strategy": strategy, "promotion": "", "role": ROLE, "draw": draws.get(assignment_id)}
            for trial_id, record in search.recorded.get(assignment_id, {}).items():
                own[trial_id] = trial_id, record, place | fresh
    others = _of_others(study, {i: r for i, r in known.records.items() if i not in own}, in_study=False)
    cells = [_counted(study, cell, records, known.lost) for cell in planned.cells]
    mine = rows(study.name, list(own.values()))
    return Coverage(study.name, mine, others, cells, len(known.unsent & own.keys()), known.away)


def unchecked(study: Study, known: Known) -> Coverage:
    """All trials that anybody knows of, where nobody can tell which of them the study names: it is not bound."""
    others = _of_others(study, known.records, in_study=None)
    return Coverage(study.name, rows(study.name, []), others, [], len(known.unsent), known.away)


def _of_others(study: Study, records: Mapping[str, TrialRecord], *, in_study: bool | None) -> Rows:
    """Rows of trials of which the study does not say, as it stands, how they came about."""
    metrics, fresh = {task.name: task.metric for task in study.tasks}, fresh_seeds(study)
    told: list[Told] = []
    for trial_id, record in records.items():
        confirmed = record.search.get("role") == ROLE and record.seed not in study.seeds
        role = ROLE if confirmed or record.seed in fresh else SEARCH
        more = {"in_study": in_study, "role": role, "metric": metrics.get(record.cell.task, "")}
        told.append((trial_id, record, more))
    return rows(study.name, told)


def _place(study: Study, planned: Plan, cell: CellPlan) -> dict[str, Any]:
    """What the trials of a cell have in common. Its names are the study's: it may have called them otherwise before."""
    benchmark = _benchmark(study, cell.key.task)
    backbone = next(one for one in study.backbones if one.name == cell.key.backbone)
    task = next(one for one in study.tasks if one.name == cell.key.task)
    return {
        "in_study": True,
        "benchmark": benchmark,
        "metric": task.metric,
        "backbone_hash": digest(backbone.identity) if backbone.pinned else "",
        "data_hash": digest(task.identity()) if task.source.digest else "",
        **cell.key._asdict(),
        "planned_seeds": len(study.seeds),
        "planned_in_cell": cell.total,
        "planned_tasks": sum(task.benchmark == benchmark for task in study.tasks),
        "planned_in_study": planned.total,
    }


def _draws(study: Study, cell: CellPlan) -> dict[str, int]:
    """The place of every assignment in a random search, counted from 1; nothing in another one."""
    drawn = dict.fromkeys(trial.assignment_id for trial in cell.trials) if study.search.strategy == "random" else {}
    return {assignment_id: i for i, assignment_id in enumerate(drawn, start=1)}


def _benchmark(study: Study, task: str) -> str:
    return next(one.benchmark for one in study.tasks if one.name == task)


def _counted(
    study: Study, cell: CellPlan, records: Mapping[str, TrialRecord], missing: Container[str]
) -> dict[str, Any]:
    """A cell's row: how many of its trials ended how, and how many did not."""
    own = {trial.id: records[trial.id] for trial in cell.trials if trial.id in records}
    counted = Counter(record.status for record in own.values())
    ended = {status: counted[status] for status in ENDINGS}
    lost = sum(trial.id in missing for trial in cell.trials)
    seeds: dict[str, int] = {}
    for record in own.values():
        if record.score is not None and record.status in ("finished", "diverged"):
            seeds[record.assignment_id] = seeds.get(record.assignment_id, 0) + 1
    return {
        "benchmark": _benchmark(study, cell.key.task),
        **cell.key._asdict(),
        "planned": cell.total,
        "undecided": cell.undecided,
        **ended,
        "lost": lost,
        "not_run": cell.total - len(own) - lost,
        "assignments": cell.assignments,
        "complete": sum(count >= len(study.seeds) for count in seeds.values()),
        "to_confirm": cell.confirmation.total,
        "confirmed": cell.confirmation.recorded,
    }
