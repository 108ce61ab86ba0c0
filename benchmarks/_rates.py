"""How often a statistic is right on runs whose truth is known: what ``benchmarks/statistics.py`` prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Rate:
    """Of ``repeats`` simulated studies, the share in which something was so: an interval that held the truth, a test
    that rejected. ``nominal``: what it says of itself; ``None`` where there is no such number, as for a power."""

    what: str
    design: str
    nominal: float | None
    measured: float
    repeats: int

    @property
    def error(self) -> float:
        """Standard error of ``measured``."""
        return sqrt(self.measured * (1 - self.measured) / self.repeats)


#: A file of checks offers ``rates(repeats, seed)``.
Rates = Callable[[int, int], list[Rate]]
