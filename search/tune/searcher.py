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
from search.tune.running import RunningPack
from search.tune.trainable import PackJob
from trainables.trial import Pack

#: Packs that wait for a place in Tune, so that no worker does.
MAX_PENDING = 4

#: Packs that a worker trains by turns, at most. More would fill its places better (``benchmarks/refill.py``), but those
#: that wait their turn take memory, and the last packs of a study should spread.
MOST_ALONG = 3


class PackSearcher(Searcher):
    """Hands the packs of a study to Tune, those that come back first; at most ``limit`` at once.

    Packs that are known to be too large are handed out in parts. ``places``: packs of this study that are trained at
    once. ``fills``: whether workers are given more packs (``along``).
    """

    def __init__(self, search: StudySearch, job: PackJob, limits: PackLimits, limit: int = MAX_PENDING) -> None:
        super().__init__()
        self._search, self._job, self._limits = search, job, limits
        self._first: list[Pack] = []
        self._out: dict[str, PackJob] = {}
        self._started: set[str] = set()  # of those that are out, the ones that had a worker
        self._apart: set[str] = set()  # groups of packs that failed in company
        self.limit, self.places, self.fills = limit, 1, True
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
        pack = self._next()
        if pack is None:
            return None if self._out else Searcher.FINISHED
        self._out[trial_id] = replace(self._job, packs=(pack,))
        self._handed_out = True
        return {"job": self._out[trial_id]}

    def _next(self) -> Pack | None:
        try:
            pack = self._first.pop() if self._first else self._search.next()
        except OSError as error:
            raise RunError(f"assignments cannot be written down: {error}; make room, then start again") from error
        return None if pack is None else self.first_of(pack)

    def started(self, trial_id: str) -> tuple[Pack, ...]:
        """What a worker trains that Tune has found for a pack: that one, or the first part of it where it was found too
        large meanwhile; where another worker took it, the next one; nothing where there is none."""
        self._started.add(trial_id)
        packs = self._out[trial_id].packs
        pack = self.first_of(packs[0]) if packs else self._next()
        return () if pack is None else (pack,)

    def along(self, running: RunningPack) -> list[Pack]:
        """Hand out packs that a worker trains along with what it trains: as many as ``packs_along`` says.

        A pack that failed in company is trained alone.
        """
        host, places = running.packs[0], max(len(pack.planned) for pack in running.packs)
        if not self.fills or host.group in self._apart:
            return []
        waiting = sum(bool(job.packs) for job in self._unstarted) + len(self._first) + self._search.waiting
        number = packs_along(len(running.left), places, waiting, self.places)
        return [self.first_of(pack) for _ in range(number) if (pack := self._like(host)) is not None]

    def _like(self, host: Pack) -> Pack | None:
        """A pack of the same shape: one that came back, one that is not handed out, one that waits in Tune."""
        for pack in reversed(self._first):
            if self._goes_with(pack, host):
                self._first.remove(pack)
                return pack
        if (found := self._search.next_like(host)) is not None:
            return found
        for job in self._unstarted:
            if job.packs and self._goes_with(job.packs[0], host):
                (pack,), job.packs = job.packs, ()
                return pack
        return None

    def _goes_with(self, pack: Pack, host: Pack) -> bool:
        return pack.shape_id == host.shape_id and pack.group not in self._apart

    @property
    def _unstarted(self) -> list[PackJob]:
        return [job for trial_id, job in self._out.items() if trial_id not in self._started]

    def begin(self) -> None:
        """Tune begins, perhaps again: a turn of this study."""
        self.yields = self.yielded = self._handed_out = False

    def put_first(self, packs: Sequence[Pack]) -> None:
        """Packs to be handed out next."""
        self._first.extend(reversed(packs))

    def put_apart(self, packs: Sequence[Pack]) -> None:
        """The same for packs that failed in company: each is trained alone, which shows who is at fault."""
        self._apart.update(pack.group for pack in packs)
        self.put_first(packs)

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
        self._started.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal says what is left to do."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see ``save``."""


def packs_along(members: int, places: int, waiting: int, workers: int) -> int:
    """How many more packs a worker may have that trains so many ``members``, of which ``places`` have a place at once.

    None before all members have a place: packs that come together fill the places better than one by one, as they are
    in the same epochs from the beginning. And the last packs are for workers without any: of those that are ``waiting``
    each other one of the ``workers`` must find as many as this one may have beside its own.
    """
    if places == 1 or members > places:
        return 0
    return max(0, min(MOST_ALONG - 1, waiting - (MOST_ALONG - 1) * (workers - 1)))


class UntilSpent(Stopper):
    """Ends Tune when the budget is spent; what is in training stays where its last checkpoint is."""

    def __init__(self, spending: Spending) -> None:
        self._spending = spending

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return bool(self._spending.exceeded())
