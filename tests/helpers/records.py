"""What a store would know of trials that ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from search.tracking.records import TrialRecord
from trainables.trial import Trial


def record_of(trial: Trial, score: float | None = 50.0, status: str = "finished", seconds: float = 1.0) -> TrialRecord:
    place = (trial.cell, trial.assignment_id, trial.seed, trial.hyperparameters)
    return TrialRecord(status, trial.id, *place, score, seconds, 1, 100, ((1, score or 0.0, 0.5, seconds),))


def ended(trials: Iterable[Trial], scores: Mapping[str, float] | None = None) -> dict[str, TrialRecord]:
    """Finished trials, by id, with the scores given by trial id."""
    return {trial.id: record_of(trial, (scores or {}).get(trial.id, 50.0)) for trial in trials}
