"""What a run comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # with Ray Tune
    from search.tune.trainable import FailureKind


@dataclass(frozen=True)
class Outcome:
    """How many trials ended how in this run; ``skipped`` had ended before it. ``stopped``: the budget that is spent.

    ``confirmed`` counts the trials that confirm a winner and did not fail, of this run, ``confirmed_before`` those of
    earlier ones, and ``unconfirmed`` the cells whose search is not over or has selected nothing; the others are of the
    search, but for ``failed``, which are of both. ``reasons``: of the trials that failed, by the kind of failure.
    """

    finished: int = 0
    diverged: int = 0
    failed: int = 0
    pruned: int = 0
    skipped: int = 0
    confirmed: int = 0
    confirmed_before: int = 0
    unconfirmed: int = 0
    stopped: str = ""
    reasons: Mapping[FailureKind, Sequence[str]] = field(default_factory=dict, compare=False)
