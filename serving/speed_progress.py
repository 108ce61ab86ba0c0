"""How far a measurement is, how long it will still take, and how long a point may take where time is short."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from common.speed import Measured, Point, form
from serving.speed_settings import Settings

#: What an evaluation takes beside its tokens, as so many tokens: on small inputs a device waits for the host.
_FIXED_TOKENS = 256


class Progress:
    """Says a line for each point, with the time that is left by what has been measured so far.

    ``deadline``: when all shall be measured, by ``clock``; None for as long as it takes.
    """

    def __init__(
        self,
        points: Sequence[Point],
        settings: Settings,
        parameters: Mapping[str, int],
        say: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._say, self._clock, self._begun = say, clock, clock()
        self._count, self._ended = len(points), 0
        self._pairs = {point: settings.evaluations_at(point.batch) for point in points}
        self._costs = {p: parameters[p.backbone] * float(p.batch * p.length + _FIXED_TOKENS) for p in points}
        self._work = sum(self._costs[point] * self._pairs[point] for point in points)
        self._worked = 0.0
        self._weights = sum(cost**0.5 for cost in self._costs.values())
        self.deadline: float | None = None

    def share(self, point: Point) -> float | None:
        """The seconds that a point may take, so that all are measured by the deadline; None without one.

        By the root of what an evaluation costs: cheap points are evaluated more often, but not for as long.
        """
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - self._clock()) * self._costs[point] ** 0.5 / self._weights

    def tick(self, index: int, pairs: int) -> None:
        """On a terminal, how far the point in hand is."""
        if sys.stderr.isatty():
            words = f"  evaluation {index} of {pairs}" if index < pairs else ""
            print(f"\r{words}\x1b[K", end="", file=sys.stderr, flush=True)

    def done(self, measured: Measured) -> None:
        """A point is measured."""
        numbers = f"{measured.ratio:.3f} [{measured.low:.3f}, {measured.high:.3f}] of the plain model's time"
        self._tell(measured.point, f"{numbers}, {measured.milliseconds:,.1f} ms")

    def missed(self, point: Point) -> None:
        """A point does not fit into memory."""
        self._tell(point, "does not fit into memory")

    def _tell(self, point: Point, words: str) -> None:
        self._ended += 1
        self._weights -= self._costs[point] ** 0.5
        self._worked += self._costs[point] * self._pairs[point]
        spent = self._clock() - self._begun
        left = spent * (self._work - self._worked) / self._worked
        if self.deadline is not None:
            left = min(left, max(0.0, self.deadline - self._clock()))
        name = form(point.method, point.variant, point.rows)
        tasks = f", {point.tasks} tasks" if point.tasks > 1 else ""
        place = f"{point.backbone} {point.batch} × {point.length}"
        rest = f"; {in_words(left)} left" if self._ended < self._count else ""
        self._say(f"{self._ended}/{self._count} {place}, {name}{tasks}: {words}{rest}")


def in_words(seconds: float) -> str:
    """``about 40 s``, ``about 12 min``, ``about 3.5 h``."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5_400 else f"about {seconds / 3_600:.1f} h"
