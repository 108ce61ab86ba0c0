"""What a search has spent, against what it may spend (``search.budget`` of a study)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from search.known import Known
from search.study import Budget, Resources


class Spending:
    """Device-hours and wall time of a run. ``before``: the trials of earlier runs, whose device-hours count too.

    A pack's seconds are shared by its members, so that those of the members add up to the device's.
    """

    def __init__(
        self,
        budget: Budget,
        resources: Resources,
        before: Iterable[Known] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = budget
        self._devices = resources.gpu or resources.cpu
        self._kind = "GPU" if resources.gpu else "CPU"
        self._before = sum(known.seconds for known in before)
        self._seconds: dict[str, float] = {}
        self._sum = 0.0
        self._clock, self._started = clock, clock()

    @property
    def device_hours(self) -> float:
        return (self._before + self._sum) * self._devices / 3_600

    def trial(self, trial_id: str, seconds: float) -> None:
        """A trial has taken so many seconds by now; never fewer than were said before."""
        more = seconds - self._seconds.get(trial_id, 0.0)
        if more > 0:
            self._seconds[trial_id] = seconds
            self._sum += more

    def exceeded(self) -> str:
        """The part of the budget that is spent, for people; empty while there is some left."""
        hours, limit = (self._clock() - self._started) / 3_600, self._budget.hours
        if limit is not None and hours >= limit:
            return f"{limit:g} hours are over (search.budget.hours)"
        if self._budget.device_hours is not None and self.device_hours >= self._budget.device_hours:
            return f"{self._budget.device_hours:g} {self._kind} hours are spent (search.budget.device_hours)"
        return ""
