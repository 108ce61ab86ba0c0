"""What a cell's parent run says of its trials."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from statistics import median, stdev

DIGITS = 9  # what agrees so far is tied; floating-point noise lies below


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
        if best := self.best():
            scores = self._scored()[best]
            numbers["best_median"], numbers["best_seeds"] = median(scores), len(scores)
            if len(scores) > 1:
                numbers["best_std"] = stdev(scores)
        return numbers

    def best(self) -> str | None:
        """The assignment of the highest median; of equal ones that of the smaller deviation, then fewer parameters.

        After a promotion it is one with all seeds; one of which a seed was cut short only where there is no other. The
        same rule as that of the reports (``analysis/selection.py``).
        """
        scored = self._scored()
        trials = Counter(v.assignment_id for v in self.scores.values())
        most = max((trials[v.assignment_id] for v in self.scores.values() if v.promoted), default=0)
        cut_short = {v.assignment_id for v in self.scores.values() if v.status == "pruned"}
        size: dict[str, float] = {}
        for value in self.scores.values():
            known = -inf if value.trainable_parameters is None else value.trainable_parameters
            size[value.assignment_id] = max(known, size.get(value.assignment_id, -inf))

        def rank(assignment: str) -> tuple[bool, float, float, float, str]:
            scores = scored[assignment]
            unequal = trials[assignment] < most or assignment in cut_short
            std = round(stdev(scores), DIGITS) if len(scores) > 1 else inf
            parameters = size[assignment] if size[assignment] > -inf else inf
            return unequal, -round(median(scores), DIGITS), std, parameters, assignment

        return min(scored, key=rank, default=None)

    def medians(self) -> dict[str, float]:
        """The median over seeds of every assignment with a score."""
        return {assignment: median(scores) for assignment, scores in self._scored().items()}

    def _scored(self) -> dict[str, list[float]]:
        scored: dict[str, list[float]] = {}
        for value in self.scores.values():
            if value.score is not None and value.status in ("finished", "diverged"):
                scored.setdefault(value.assignment_id, []).append(value.score)
        return scored
