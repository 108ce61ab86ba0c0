"""What a cell's parent run says of its trials."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median, stdev

from common.selection import Candidate, best_assignment


@dataclass(frozen=True)
class Score:
    """What a cell's summary needs to know of a trial."""

    assignment_id: str
    status: str
    score: float | None
    trainable_parameters: float | None
    promoted: bool = False


@dataclass
class Summary:
    """A cell: its trials by id, its parent run, and whether that run still has to hear of them."""

    scores: dict[str, Score] = field(default_factory=dict)
    run_id: str | None = None
    changed: bool = False

    def metrics(self) -> dict[str, float]:
        """Trials by status, and the best assignment's median, standard deviation and seeds."""
        values = list(self.scores.values())
        counts = {f"n_{s}": sum(v.status == s for v in values) for s in ("finished", "diverged", "failed", "pruned")}
        numbers: dict[str, float] = {"n_trials": len(values), **counts}
        if best := self.best_assignment():
            scores = self._scored()[best]
            numbers["best_median"], numbers["best_seeds"] = median(scores), len(scores)
            if len(scores) > 1:
                numbers["best_std"] = stdev(scores)
        return numbers

    def best_assignment(self) -> str | None:
        """The id of the best assignment, by the rule of the reports (``common/selection.py``)."""
        scored = self._scored()
        trials: dict[str, list[Score]] = {}
        for value in self.scores.values():
            trials.setdefault(value.assignment_id, []).append(value)
        return best_assignment(_candidate(name, own, scored.get(name, [])) for name, own in trials.items())

    def medians_over_seeds(self) -> dict[str, float]:
        """The median over seeds of every assignment with a score."""
        return {assignment: median(scores) for assignment, scores in self._scored().items()}

    def _scored(self) -> dict[str, list[float]]:
        scored: dict[str, list[float]] = {}
        for value in self.scores.values():
            if value.score is not None and value.status in ("finished", "diverged"):
                scored.setdefault(value.assignment_id, []).append(value.score)
        return scored


def _candidate(assignment_id: str, trials: list[Score], scores: list[float]) -> Candidate:
    """An assignment, from all its trials and the scores that count."""
    sizes = [trial.trainable_parameters for trial in trials if trial.trainable_parameters is not None]
    return Candidate(
        assignment_id,
        median(scores) if scores else None,
        stdev(scores) if len(scores) > 1 else None,
        max(sizes, default=None),
        len(trials),
        promoted=any(trial.promoted for trial in trials),
        cut_short=any(trial.status == "pruned" for trial in trials),
    )
