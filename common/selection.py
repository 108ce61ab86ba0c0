"""Which assignment of a cell is the best: one rule for the reports, for MLflow's summaries and for replays.

    best_assignment(candidates(seeds, planned))

A seed of an assignment is a trial. Statistics use those with a score that are ``finished`` or ``diverged`` (a diverged
trial keeps the best score that it reached).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum, inf, isfinite, sqrt
from statistics import median

COUNTED = ("finished", "diverged")
DIGITS = 9  # medians that agree this far are tied; floating-point noise lies below


@dataclass(frozen=True, slots=True)
class Seed:
    """What the rule needs to know of a trial. ``promoted``: its assignment got it for the score of its first seed."""

    assignment_id: str
    status: str
    score: float | None
    trainable_parameters: float | None
    promoted: bool = False

    @property
    def counts(self) -> bool:
        """Whether statistics use it."""
        return self.score is not None and self.status in COUNTED


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the rule looks at in an assignment.

    ``median`` and ``std`` (sample deviation) over the seeds with a score that counts, in percent; ``None`` where there
    is none, which for the deviation is so with one seed. ``trials`` are all its trials, whatever became of them, and
    ``seeds`` those with a score that counts. ``promoted``: it got all seeds for its first. ``cut_short``: an adaptive
    search pruned one of its seeds. ``complete``: every seed that was planned has a score that counts.
    """

    assignment_id: str
    median: float | None
    std: float | None
    trainable_parameters: float | None
    trials: int
    seeds: int
    promoted: bool = False
    cut_short: bool = False
    complete: bool = True


def candidates(seeds: Iterable[Seed], planned: int | None = None) -> list[Candidate]:
    """The assignments of one cell, from all its trials.

    ``planned``: seeds that an assignment is to have; ``None`` where nobody knows: then as many as any of them got, or
    as any that was promoted got, where some were.
    """
    own: dict[str, list[Seed]] = {}
    for seed in seeds:
        own.setdefault(seed.assignment_id, []).append(seed)
    if not planned:
        given = [trials for trials in own.values() if any(trial.promoted for trial in trials)] or own.values()
        planned = max(map(len, given), default=0)
    return [_candidate(assignment_id, trials, planned) for assignment_id, trials in own.items()]


def _candidate(assignment_id: str, trials: list[Seed], planned: int) -> Candidate:
    scores = [trial.score for trial in trials if trial.counts and trial.score is not None]
    sizes = [trial.trainable_parameters for trial in trials if trial.trainable_parameters is not None]
    cut_short = any(trial.status == "pruned" for trial in trials)
    return Candidate(
        assignment_id,
        median(scores) if scores else None,
        _std(scores) if len(scores) > 1 else None,
        max(sizes, default=None),
        len(trials),
        len(scores),
        promoted=any(trial.promoted for trial in trials),
        cut_short=cut_short,
        complete=len(scores) >= planned and not cut_short,
    )


def _std(values: list[float]) -> float:
    """The sample standard deviation, the same to the last bit in whatever order the values come."""
    mean = fsum(values) / len(values)
    return sqrt(fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def best_assignment(candidates: Iterable[Candidate]) -> str | None:
    """The id of the best assignment of a cell, ``None`` where none has a score.

    One with all its seeds, where there is any; where none has them, one of those with the most, so that a lucky single
    seed wins over nothing but single seeds. Of these the highest median. Ties go to fewer trainable parameters (an
    unknown number loses), then to the smaller id: never by the deviation, or the one that is reported would be the
    least of several, and too small. An adaptive search gives assignments unequal chances: where none has all its seeds,
    one that was not promoted when others were, or of which a seed was cut short, is chosen only where there is no
    other.
    """
    candidates = list(candidates)
    all_seeds = max((c.trials for c in candidates if c.promoted), default=0)

    def rank(candidate: Candidate) -> tuple[bool, bool, int, float, float, str]:
        unequal = candidate.trials < all_seeds or candidate.cut_short
        seeds = 0 if candidate.complete else -candidate.seeds
        size = inf if candidate.trainable_parameters is None else candidate.trainable_parameters
        assert candidate.median is not None
        return not candidate.complete, unequal, seeds, -round(candidate.median, DIGITS), size, candidate.assignment_id

    best = min((c for c in candidates if c.median is not None and isfinite(c.median)), key=rank, default=None)
    return best.assignment_id if best else None
