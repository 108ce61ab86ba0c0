"""Where one method's expected macro overtakes another's as device-hours are spent, and how surely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from analysis.courses import Course
from analysis.selection import APART

#: ``first`` leads up to ``hours``, where ``later`` overtakes it. ``first`` leads for sure up to ``lower``, ``later``
#: from ``upper`` on; empty where nowhere.
COLUMNS = ["benchmark", "backbone", "task", "first", "later", "hours", "lower", "upper"]
#: Of the interval of a difference at one budget. Over all budgets a lead between equals is then claimed in fewer than
#: 5 % of studies (benchmarks/_rates_evp.py); with 95 % it would be in twice as many (benchmarks/_rates_tried_evp.py).
LEVEL = 0.99
_POINTS = 64


def budgets(courses: Sequence[Course], points: int = _POINTS) -> np.ndarray:
    """Device-hours, evenly on a log axis, over the span of all courses: ``(points,)``."""
    spans = [course.span for course in courses]
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    return np.geomspace(first, max(first, last), points)


def find(courses: Sequence[Course]) -> pd.DataFrame:
    """The crossings of every two of the courses, ``COLUMNS``. The courses are of one benchmark, backbone and task.

    At each budget one leads for sure where the 99 % interval of the difference is on its side; each pair by itself.
    Fine-tuning takes no part, nor does a method whose trials have no seconds.
    """
    able = [course for course in courses if course.method != APART and course.is_timed]
    rows: list[tuple[object, ...]] = []
    if len(able) > 1:
        hours = budgets(able)
        at = {course.method: _on(course, hours) for course in able}
        for one, other in combinations(able, 2):
            place = one.benchmark, one.backbone, one.task
            for leads, point, lower, upper in _pair(hours, at[one.method], at[other.method]):
                names = (one.method, other.method) if leads else (other.method, one.method)
                rows.append((*place, *names, point, lower, upper))
    return pd.DataFrame(rows, columns=COLUMNS)


_Curves = tuple[np.ndarray, np.ndarray, np.ndarray]


def _on(course: Course, hours: np.ndarray) -> _Curves:
    """A course at all budgets, NaN outside of its span."""
    expected, low, high = course.within(hours)
    outside = (hours < course.span[0] * (1 - 1e-9)) | (hours > course.span[1] * (1 + 1e-9))
    return tuple(np.where(outside if a.ndim == 1 else outside[:, None], np.nan, a) for a in (expected, low, high))  # type: ignore[return-value]


def _pair(hours: np.ndarray, one: _Curves, other: _Curves) -> Iterator[tuple[bool, float, float, float]]:
    """For each crossing whether ``one`` leads before it, the point, and the two ends between which nobody can tell."""
    difference = one[0] - other[0]
    both = np.flatnonzero(~np.isnan(difference))
    if len(both) < 2:
        return
    hours, difference = hours[both], difference[both]
    sure = leads(tuple(a[both] for a in one), tuple(a[both] for a in other))  # type: ignore[arg-type]
    known = [-1, *np.flatnonzero(sure), len(sure)]
    for before, after in pairwise(known):
        inside = difference[max(before, 0) : min(after, len(sure) - 1) + 1]
        if inside[0] * inside[-1] < 0:
            turn = max(before, 0) + np.flatnonzero(np.sign(inside[:-1]) * np.sign(inside[1:]) <= 0)[-1]
            share = difference[turn] / (difference[turn] - difference[turn + 1])
            point = float(np.exp(np.interp(share, [0, 1], np.log(hours[turn : turn + 2]))))
            yield (
                bool(inside[0] > 0),
                point,
                float(hours[before]) if before >= 0 else np.nan,
                float(hours[after]) if after < len(sure) else np.nan,
            )


def leads(one: _Curves, other: _Curves, level: float = LEVEL) -> np.ndarray:
    """1 where ``one`` leads for sure, −1 where ``other`` does, else 0: ``(h,)``, of curves as ``Course.within``."""
    tail = (1 - level) / 2
    least = np.quantile(one[1] - other[2], tail, axis=1)
    most = np.quantile(one[2] - other[1], 1 - tail, axis=1)
    shift = one[0] - other[0]
    return np.where((least > 0) & (shift > 0), 1, np.where((most < 0) & (shift < 0), -1, 0))
