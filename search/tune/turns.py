"""This study among the others on a cluster: how many packs it may train at once, and when others have their turn."""

from __future__ import annotations

import math
import threading
import time

from search._words import amount, packs
from search.errors import StudyBusyError
from search.study import Study
from search.tune.connection import places
from search.tune.packs import PackFollower
from search.tune.schedulers import PatienceScheduler
from search.tune.searcher import MAX_PENDING, PackSearcher
from search.tune.sharing import BEAT_SECONDS, Sharing
from search.tune.view import View

#: How long a study that gave up its place waits for another one to take it.
TURN_SECONDS = 20.0


class Turns:
    """Keeps the searcher to this study's part of the cluster. Needs a connection to it.

    ``to_itself``: no other study can come to this cluster.
    """

    def __init__(
        self,
        study: Study,
        searcher: PackSearcher,
        scheduler: PatienceScheduler,
        follower: PackFollower,
        view: View,
        *,
        to_itself: bool,
    ) -> None:
        self._resources, self._adaptive = study.resources, study.search.strategy == "tpe"
        self._searcher, self._scheduler, self._follower, self._view = searcher, scheduler, follower, view
        self._to_itself = to_itself
        self._sharing = Sharing(study.name, study.resources)
        self._told: object = None  # what was last said of the cluster
        self._looked = -math.inf

    def claim(self) -> None:
        """Make sure that this is the only driver of its study. Raises StudyBusyError where it is not."""
        if not self._to_itself and (other := self._sharing.other_driver(self._view.say)):
            where = f"process {other.pid} on {other.host}"
            raise StudyBusyError(f"study {other.study!r} is being run here by {where}; stop that one first")

    def wait(self, interrupted: threading.Event) -> None:
        """Where there are more studies than places, each has one in turn, for a pack; the others take theirs now."""
        end = time.monotonic() + TURN_SECONDS
        while time.monotonic() < end:
            if interrupted.wait(BEAT_SECONDS):
                raise KeyboardInterrupt
            self._look()
            if self._sharing.alone or self._sharing.full:
                return

    def look(self) -> bool:
        """See how large the cluster is by now and who else is there, if that is due; says whether it was."""
        due = time.monotonic() - self._looked >= BEAT_SECONDS
        if due:
            self._looked = time.monotonic()
            self._look()
        return due

    def _look(self) -> None:
        there = places(self._resources)
        most = self._resources.concurrent_packs or math.inf
        share = self._sharing.limit(there, int(min(self._searcher.wanted, most)), len(self._follower.placed))
        waits = self._sharing.somebody_waits
        self._searcher.yields = waits and self._sharing.crowded
        self._scheduler.keep_idle_workers = self._searcher.fills = not waits
        self._searcher.limit = int(min(share + self._ahead(there, share), most))
        self._searcher.places = max(1, int(min(there, share, most)))
        self._view.places(self._searcher.places)
        self._view.tick()
        self._tell(there, share)

    def _ahead(self, there: int, share: int) -> int:
        """Packs beyond those that find room: they wait in Tune, so that no worker does, and an autoscaler sees them.

        They also take the place of a pack that ends before another study can. So there is none while another waits, and
        no more than a part of the places on a cluster that others may come to.
        """
        if not self._sharing.alone:
            return int(not self._sharing.somebody_waits and len(self._follower.running) <= share)
        if self._adaptive:
            return 1
        return MAX_PENDING if self._to_itself or not there else min(MAX_PENDING, max(1, there // 4))

    def _tell(self, there: int, share: int) -> None:
        """Say what changed since the last look."""
        state = (bool(there), *self._sharing.others)
        if state == self._told:
            return
        if not there:
            pack = amount(self._resources.cpu, self._resources.gpus)
            self._view.say(f"no node of the cluster has room for a pack ({pack}) yet")
        if self._sharing.others:
            names = ", ".join(self._sharing.others)
            self._view.say(f"the cluster is shared with {names}: at most {packs(share)} at once")
        elif self._told not in (None, (False,)):
            self._view.say("the cluster is this study's alone again")
        self._told = state

    def close(self) -> None:
        """Leave the cluster to the others."""
        self._sharing.close()
