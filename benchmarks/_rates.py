"""How often a statistic is right on runs whose truth is known: what ``benchmarks/statistics.py`` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np


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

    def __str__(self) -> str:
        nominal = "" if self.nominal is None else f"{100 * self.nominal:g} %"
        return _line(self.what, self.design, nominal, f"{100 * self.measured:5.1f} ± {100 * self.error:.1f} %")


@dataclass(frozen=True)
class Size:
    """The mean of something in points over simulated studies, such as a bias or the width of a band; ``error`` is its
    standard error."""

    what: str
    design: str
    measured: float
    error: float

    @classmethod
    def of(cls, what: str, design: str, values: np.ndarray) -> Size:
        """``values (r,)``: one per study."""
        return cls(what, design, float(values.mean()), float(values.std() / sqrt(values.size)))

    def __str__(self) -> str:
        return _line(self.what, self.design, "", f"{self.measured:5.2f} ± {self.error:.2f} points")


def _line(what: str, design: str, nominal: str, measured: str) -> str:
    return f"{what:<60} {design:<40} {nominal:>6} {measured}"


#: A file of checks offers ``rates(repeats, seed)``.
Rates = Callable[[int, int], Sequence[Rate | Size]]
