"""Fresh seeds: those on which the winner of a cell is trained once more, after its search (``confirm`` of a study).

They are the whole numbers from ``FIRST_FRESH_SEED`` on, without the study's own seeds. A trial of a study's assignment
on one of them is a confirmation trial, on one of the study's own seeds a trial of the search: what a trial is follows
from the study as it stands. Its id does not depend on it.
"""

from __future__ import annotations

import itertools

from search.study._model import MOST_FRESH_SEEDS, Study

FIRST_FRESH_SEED = 1000


def confirmation_seeds(study: Study, k: int | None = None) -> tuple[int, ...]:
    """The first ``k`` fresh seeds of a study; ``None``: as many as its ``confirm`` says. A larger ``k`` only adds."""
    fresh = (seed for seed in itertools.count(FIRST_FRESH_SEED) if seed not in study.seeds)
    return tuple(itertools.islice(fresh, study.confirm if k is None else k))


def fresh_seeds(study: Study) -> frozenset[int]:
    """Every seed that a confirmation of this study may have had, whatever its ``confirm`` says now."""
    return frozenset(confirmation_seeds(study, MOST_FRESH_SEEDS))
