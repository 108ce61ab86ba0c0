"""What a cell's parent run says of its trials."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from math import nan
from statistics import median

from common.selection import Candidate, Seed, best_assignment, candidates

_BEST = ("best_median", "best_std", "best_seeds", "confirmed_median", "confirmed_seeds")


@dataclass
class Summary:
    """A cell: its trials by id, its parent run, and whether that run still has to hear of them.

    ``fresh``: ids of the trials that confirm an assignment; they are none of the search.
    ``named``: ids of the trials that the study names as it stands, of which alone the summary speaks; ``None``: all.
    ``planned``: how many these are, at most; ``seeds``: how many of an assignment. ``logged``: what the parent run
    says.
    """

    scores: dict[str, Seed] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    run_id: str | None = None
    changed: bool = False
    named: Container[str] | None = None
    planned: int | None = None
    seeds: int | None = None
    logged: dict[str, float] = field(default_factory=dict)

    def own(self) -> list[Seed]:
        """The trials of the study's search."""
        return [seed for trial_id, seed in self.scores.items() if self._searched(trial_id)]

    def _searched(self, trial_id: str) -> bool:
        return trial_id not in self.fresh if self.named is None else trial_id in self.named

    def metrics(self) -> dict[str, float]:
        """Trials by status, and the best assignment's median, standard deviation and seeds; its median and seeds among
        those that confirm it, where there are any.

        What the parent run says of a best assignment that there is no more becomes NaN: MLflow forgets no metric.
        """
        values = self.own()
        counts = {f"n_{s}": sum(v.status == s for v in values) for s in ("finished", "diverged", "failed", "pruned")}
        numbers: dict[str, float] = {"n_trials": len(values), **counts}
        if self.planned is not None:
            numbers["n_planned"] = self.planned
        found = {candidate.assignment_id: candidate for candidate in self._candidates()}
        if name := best_assignment(found.values()):
            best = found[name]
            told = zip(_BEST, (best.median, best.std, best.seeds, *self.confirmed(name)), strict=True)
            numbers |= {name: value for name, value in told if value is not None}
        return {name: nan for name in _BEST if name in self.logged} | numbers

    def confirmed(self, assignment_id: str) -> tuple[float | None, int | None]:
        """The median over the fresh seeds of an assignment, and their number; nothing where none has a score."""
        known = (seed for i, seed in self.scores.items() if i in self.fresh and not self._searched(i))
        scores = [s.score for s in known if s.counts and s.assignment_id == assignment_id and s.score is not None]
        return (median(scores), len(scores)) if scores else (None, None)

    def differs(self) -> bool:
        """Whether the parent run says something else."""
        return any(str(self.logged.get(name)) != str(float(value)) for name, value in self.metrics().items())

    def best_assignment(self) -> str | None:
        """The id of the best assignment, by the rule of the reports (``common/selection.py``)."""
        return best_assignment(self._candidates())

    def medians_over_seeds(self) -> dict[str, float]:
        """The median over seeds of every assignment with a score."""
        return {c.assignment_id: c.median for c in self._candidates() if c.median is not None}

    def _candidates(self) -> list[Candidate]:
        return candidates(self.own(), self.seeds)
