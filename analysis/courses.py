"""How far a method's search gets as it goes on: the expected macro score by assignments tried and by device-hours.

A *course* is of one method on one task or on all tasks of a benchmark, where the same number of assignments is tried on
each and the macro is the mean of the expected bests. Device-hours are those that the trials took, each its share of
its pack's time. The expected best within some hours is the mean over random orders of the assignments, each with its
own cost, of the best one that has ended by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis import _evp_band
from analysis._evp_band import RESAMPLES, informative
from analysis._evp_cells import Kind, Values
from analysis.evp import Estimator, expected_best, weights
from common.seeds import seed_of

MACRO = "macro"  # in the place of a task
ORDERS = 256


@dataclass(frozen=True)
class Course:
    """``m`` is the number of assignments that every task has, ``limit`` that up to which they tell of the search.

    ``expected``, ``(m,)``: the expected best after n = 1 … m assignments (on each task), in percent. ``draws``,
    ``low`` and ``high``: what its band is made of, as :func:`analysis._evp_band.resampled` has it.
    """

    benchmark: str
    backbone: str
    task: str
    method: str
    kind: Kind
    limit: int
    expected: np.ndarray
    draws: np.ndarray
    low: np.ndarray
    high: np.ndarray
    cells: tuple[Values, ...]

    @property
    def is_timed(self) -> bool:
        """Whether it is known how long every assignment took."""
        return bool(np.isfinite(self.step) and self.orders[0][:, 0].min() > 0)

    def band(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end at n = 1 … m, NaN where there is none."""
        return _evp_band.band(self.draws, self.low, self.high, np.arange(1, len(self.expected) + 1))

    @cached_property
    def step(self) -> float:
        """Mean device-hours of an assignment, over all tasks together; NaN where the frame has no seconds."""
        return float(sum(values.hours.mean() for values in self.cells))

    @cached_property
    def orders(self) -> tuple[np.ndarray, np.ndarray]:
        """Of random orders: device-hours spent after each step, and the best by then, ``(ORDERS, m)`` each."""
        stream = np.random.default_rng(seed_of("|".join(["orders", *self.cells[0].cell, self.task])))
        shape = ORDERS, len(self.expected)
        hours, best = np.zeros(shape), np.zeros(shape)
        for values in self.cells:
            order = np.argsort(stream.random((ORDERS, values.size)), axis=1)[:, : shape[1]]
            hours += values.hours[order]
            best += np.maximum.accumulate(values.medians[order], axis=1) / len(self.cells)
        return np.cumsum(hours, axis=1), best

    @cached_property
    def span(self) -> tuple[float, float]:
        """Device-hours from which every order has tried an assignment, and up to which the values tell."""
        return float(self.orders[0][:, 0].max()), float(self.orders[0][:, self.limit - 1].mean())

    def within(self, hours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Expected best within each number of ``hours`` in ``span``, ``(h,)``, and the curves for the lower and the
        upper end of its band, ``(h, RESAMPLES)``; these are NaN where there is no band.

        The band is that of as many assignments as the hours pay for on average, moved to the mean over orders.
        """
        spent, best = self.orders
        ended = (spent[:, None, :] <= hours[:, None] * (1 + 1e-9)).sum(axis=2) - 1  # (ORDERS, h)
        expected = np.take_along_axis(best, np.maximum(ended, 0), axis=1).mean(axis=0)
        n = np.clip(hours / self.step, 1, self.limit)
        if not len(self.draws):
            return expected, *(np.full((len(hours), RESAMPLES), np.nan),) * 2
        moved = expected - np.interp(np.log(n), np.log(np.arange(1, len(self.expected) + 1)), self.expected)
        return expected, *(_at(self.draws, curves, n) + moved[:, None] for curves in (self.low, self.high))


def _at(draws: np.ndarray, curves: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Curves ``(m, RESAMPLES)`` known at ``draws``, between them on a log axis: ``(len(n), RESAMPLES)``."""
    place = np.interp(np.log(n), np.log(draws), np.arange(len(draws)))
    below = np.minimum(place.astype(int), max(0, len(draws) - 2))
    above = np.minimum(below + 1, len(draws) - 1)
    share = (place - below)[:, None]
    return curves[below] * (1 - share) + curves[above] * share


def of_cells(
    found: Sequence[Values], tasks: Mapping[tuple[str, str], int], estimator: Estimator = "u"
) -> tuple[list[Course], list[Course]]:
    """The course of every cell, and of every method on all tasks of a benchmark and backbone.

    ``tasks``: how many tasks each benchmark and backbone has; a method without a value on each has no macro.
    """
    single = _single(found, estimator)
    groups: dict[tuple[str, str, str], list[Course]] = {}
    for course in single:
        groups.setdefault((course.benchmark, course.backbone, course.method), []).append(course)
    return single, [_macro(own) for key, own in groups.items() if len(own) == tasks[key[:2]]]


def _single(found: Sequence[Values], estimator: Estimator) -> list[Course]:
    samples = iter(_evp_band.resampled([values for values in found if values.kind == "sample"]))
    courses = []
    for values in found:
        if values.kind == "sample":
            draws, low, high = next(samples)
        else:
            draws, low = _evp_band.resampled_grid(
                values, weights(values.size, np.arange(1, values.size + 1), estimator)
            )
            high = low
        expected, limit = expected_best(values.medians, estimator), informative(values.kind, values.size)
        courses.append(Course(*values.cell, values.kind, limit, expected, draws, low, high, (values,)))
    return courses


def _macro(own: Sequence[Course]) -> Course:
    """The mean of one method's courses over tasks; a single one is its own macro."""
    first, limit = own[0], min(course.limit for course in own)
    size = min(len(course.expected) for course in own)
    expected = np.mean([course.expected[:size] for course in own], axis=0)
    draws, low, high = np.empty(0, dtype=int), np.empty((0, RESAMPLES)), np.empty((0, RESAMPLES))
    if all(len(course.draws) for course in own):
        draws = _evp_band.thinned(limit)
        low, high = (
            np.mean([_at(course.draws, getattr(course, end), draws) for course in own], axis=0)
            for end in ("low", "high")
        )
    kind: Kind = "sample" if any(course.kind == "sample" for course in own) else "grid"
    cells = tuple(values for course in own for values in course.cells)
    return Course(first.benchmark, first.backbone, MACRO, first.method, kind, limit, expected, draws, low, high, cells)
