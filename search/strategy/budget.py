"""What a search has spent, against what it may spend (``search.budget`` of a study)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from search.study import Budget, Resources

FILE_NAME = "unfinished.json"


class Spending:
    """Device-hours and wall time of a study. A pack's seconds are shared by its members, so that those of the members
    add up to the device's; an epoch that is trained twice counts once.

    ``ended``: the seconds of trials of earlier runs, by trial id. What trials had taken that were still in training
    when a run ended is in a file in ``folder``: the budget is that of all runs together.
    """

    def __init__(
        self,
        budget: Budget,
        resources: Resources,
        folder: Path,
        ended: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = budget
        self._devices = resources.gpus or resources.cpu
        self._kind = "GPU" if resources.gpus else "CPU"
        self._path = folder / FILE_NAME
        self._written = self._read()
        ended = ended or {}
        self._open = {i: seconds for i, seconds in self._written.items() if seconds > ended.get(i, 0.0)}
        self._seconds = {**ended, **self._open}
        self._sum = sum(self._seconds.values())
        self._clock, self._started = clock, clock()

    @property
    def device_hours(self) -> float:
        return self._sum * self._devices / 3_600

    def trial(self, trial_id: str, seconds: float, *, ended: bool = False) -> None:
        """A trial has taken so many seconds by now, those of earlier runs included; never fewer than before."""
        more = seconds - self._seconds.get(trial_id, 0.0)
        if more > 0:
            self._seconds[trial_id] = seconds
            self._sum += more
        if ended:  # the journal knows it
            self._open.pop(trial_id, None)
        else:
            self._open[trial_id] = self._seconds.get(trial_id, seconds)

    def exceeded(self) -> str:
        """The part of the budget that is spent, for people; empty while there is some left."""
        hours, limit = (self._clock() - self._started) / 3_600, self._budget.hours
        if limit is not None and hours >= limit:
            return f"{limit:g} hours are over (search.budget.hours)"
        if self._budget.device_hours is not None and self.device_hours >= self._budget.device_hours:
            return f"{self._budget.device_hours:g} {self._kind} hours are spent (search.budget.device_hours)"
        return ""

    def save(self) -> None:
        """Write down what the trials in training have taken, if that is news. A full disk is told by the journal."""
        if self._open == self._written:
            return
        temporary = self._path.with_suffix(".new")
        with suppress(OSError):
            temporary.write_text(json.dumps(self._open))
            os.replace(temporary, self._path)
            self._written = dict(self._open)

    def _read(self) -> dict[str, float]:
        """By trial id; nothing where there is no such file, or where it is damaged."""
        try:
            return {str(i): float(seconds) for i, seconds in json.loads(self._path.read_text()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
