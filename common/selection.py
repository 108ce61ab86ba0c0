"""Which assignment of a cell is the best: one rule for the reports, for MLflow's summaries and for replays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, isfinite

DIGITS = 9  # medians or deviations that agree this far are tied; floating-point noise lies below


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the rule looks at in an assignment.

    ``median`` and ``std`` (sample deviation) over the seeds with a score that counts, in percent; ``None`` where there
    is none, which for the deviation is so with one seed. ``trials`` are all its trials, whatever became of them.
    ``promoted``: it got all seeds for its first. ``cut_short``: an adaptive search pruned one of its seeds.
    """

    assignment_id: str
    median: float | None
    std: float | None
    trainable_parameters: float | None
    trials: int
    promoted: bool = False
    cut_short: bool = False


def best_assignment(candidates: Iterable[Candidate]) -> str | None:
    """The id of the best assignment of a cell, ``None`` where none has a score.

    Highest median; ties go to the smaller deviation (one seed has none and loses to any), then to fewer trainable
    parameters (an unknown number loses), then to the smaller id. An adaptive search gives assignments unequal chances:
    after a promotion only those with all seeds can be chosen, and one of which a seed was cut short only where there is
    no other. The number of seeds behind a median takes no other part.
    """
    candidates = list(candidates)
    all_seeds = max((c.trials for c in candidates if c.promoted), default=0)

    def rank(candidate: Candidate) -> tuple[bool, float, float, float, str]:
        unequal = candidate.trials < all_seeds or candidate.cut_short
        std = inf if candidate.std is None else round(candidate.std, DIGITS)
        size = inf if candidate.trainable_parameters is None else candidate.trainable_parameters
        assert candidate.median is not None
        return unequal, -round(candidate.median, DIGITS), std, size, candidate.assignment_id

    best = min((c for c in candidates if c.median is not None and isfinite(c.median)), key=rank, default=None)
    return best.assignment_id if best else None
