"""What Tune asks for: the next pack, and whether the search is to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ray.tune import Stopper
from ray.tune.search import Searcher

from search.errors import RunError
from search.strategy.budget import Spending
from search.strategy.pack_limits import PackLimits
from search.strategy.study_search import StudySearch
from search.tune.trainable import PackJob
from trainables.trial import Pack

#: Packs that wait for a place in Tune, so that no worker does.
MAX_PENDING = 4


class PackSearcher(Searcher):
    """Hands the packs of a study to Tune, those that come back first; at most ``limit`` at once.

    Packs that are known to be too large are handed out in parts.
    """

    def __init__(self, search: StudySearch, job: PackJob, limits: PackLimits, limit: int = MAX_PENDING) -> None:
        super().__init__()
        self._search, self._job, self._limits = search, job, limits
        self._first: list[Pack] = []
        self._out: dict[str, Pack] = {}
        self.limit = limit
        self.yields = False  # whether to end when nothing is in training, for another study's turn
        self.yielded = False
        self._handed_out = False

    @property
    def wanted(self) -> int:
        """How many packs could be in training if there were room."""
        return len(self._out) + len(self._first) + self._search.waiting

    def suggest(self, trial_id: str) -> Any:
        if self._out and len(self._out) >= self.limit:
            return None
        if not self._out and self.yields and self._handed_out:
            self.yielded = True
            return Searcher.FINISHED
        try:
            pack = self._first.pop() if self._first else self._search.next()
        except OSError as error:
            raise RunError(f"assignments cannot be written down: {error}; make room, then start again") from error
        if pack is None:
            return None if self._out else Searcher.FINISHED
        first = self.first_of(pack)
        self._out[trial_id] = first
        self._handed_out = True
        return {"job": replace(self._job, pack=first)}

    def begin(self) -> None:
        """Tune begins, perhaps again: a turn of this study."""
        self.yields = self.yielded = self._handed_out = False

    def put_first(self, packs: Sequence[Pack]) -> None:
        """Packs to be handed out next."""
        self._first.extend(reversed(packs))

    def first_of(self, pack: Pack) -> Pack:
        """``pack``, or where it is too large the first part of it; the others are handed out next."""
        first, *others = self._limits.fitting(pack)
        self.put_first(others)
        return first

    def split(self, pack: Pack, reason: str, *, whole_shape: bool) -> None:
        """Hand a pack out again in parts, as ``PackLimits.remember`` says of it. OSError where that cannot be kept."""
        self._limits.remember(pack, reason, whole_shape=whole_shape)
        self.put_first(self._limits.fitting(pack))

    def hold(self, pack: Pack, most: int) -> None:
        """Hand a pack out again in parts of so many members, and others like it."""
        self._limits.hold(pack, most)
        self.put_first(self._limits.fitting(pack))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._out.pop(trial_id, None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal says what is left to do."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see ``save``."""


class UntilSpent(Stopper):
    """Ends Tune when the budget is spent; what is in training stays where its last checkpoint is."""

    def __init__(self, spending: Spending) -> None:
        self._spending = spending

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return bool(self._spending.exceeded())
