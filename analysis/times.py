"""Times and device-times in the unit that fits, to three significant digits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.tables import EMPTY, printed

_DIGITS = 3  # significant ones


@dataclass(frozen=True)
class Unit:
    """A unit of time by its name in the singular, the ``seconds`` in it, and those from which it fits."""

    name: str
    seconds: int
    least: int

    @property
    def hours(self) -> float:
        """Hours in one of it."""
        return self.seconds / 3_600

    def count(self, seconds: float) -> str:
        """How many of it so many seconds are, as printed: ``4.25``; a dash where the time is not known."""
        return significant(seconds / self.seconds)


DAY, HOUR, MINUTE, SECOND = (
    Unit("day", 86_400, 360_000),  # a hundred hours: devices are paid by the hour
    Unit("hour", 3_600, 3_600), Unit("minute", 60, 60), Unit("second", 1, 0),
)  # fmt: skip


def unit(seconds: float) -> Unit:
    """The unit that fits a time; the second where the time is not known."""
    return next((unit for unit in (DAY, HOUR, MINUTE) if seconds >= unit.least), SECOND)


def significant(value: float) -> str:
    """A number to three significant digits, every digit before the point kept: ``0.00417``, ``4.25``, ``1,234``."""
    if not math.isfinite(value):
        return EMPTY
    if value == 0:
        return "0"
    return printed(value, max(0, _DIGITS - 1 - math.floor(math.log10(abs(value)))))
