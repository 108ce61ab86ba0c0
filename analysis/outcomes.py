"""Does a statement about two macro scores hold? By the 95 % interval of their difference on fresh seeds.

The macros are those of :mod:`analysis.estimates`: of the chosen assignments on seeds that took no part in the choice,
so a method gains nothing by having had more assignments, and the interval is the one of every comparison in a report.
It is about other seeds on these tasks, not about other tasks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from analysis.inference import IMPOSSIBLE, LEVEL, NOT_SHOWN, joined
from analysis.tables import printed

Verdict = Literal[
    "holds", "holds in the numbers", "does not hold", "does not hold in the numbers", "not shown",
    "could not have been shown",
]  # fmt: skip
HOLDS: Verdict = "holds"
NUMBERS: Verdict = "holds in the numbers"
FAILS: Verdict = "does not hold"
NUMBERS_FAIL: Verdict = "does not hold in the numbers"
#: What decides nothing: an interval that leaves it open, and runs from which nothing could have been shown.
OPEN = (NOT_SHOWN, IMPOSSIBLE)


@dataclass(frozen=True)
class Outcome:
    """A verdict and what it rests on, in words."""

    verdict: Verdict
    reason: str

    @property
    def holds(self) -> bool:
        """Whether it holds, with certainty over seeds or in the numbers alone."""
        return self.verdict in (HOLDS, NUMBERS)


def unknown(reason: str) -> Outcome:
    """What could not have been shown, and why."""
    return Outcome(IMPOSSIBLE, reason)


@dataclass(frozen=True)
class Macro:
    """A macro score on fresh seeds, in points: its parts' variances and their degrees of freedom, a pair per task.

    ``parts`` is empty where a task has no fresh seed or nothing tells its spread; the value is then that of the
    results.
    """

    name: str
    value: float
    parts: tuple[tuple[float, float], ...] = ()


def macro(name: str, rows: pd.DataFrame) -> Macro:
    """The macro of the rows, one per task, of :class:`analysis.estimates.Estimates`' ``cells``.

    On fresh seeds where every task has some; without noise where their variance is not known or held back.
    """
    tasks = len(rows)
    if rows["fresh"].isna().any():
        return Macro(name, math.fsum(rows["selected"]) / tasks)
    if rows["variance"].isna().any():
        return Macro(name, math.fsum(rows["fresh"]) / tasks)
    parts = zip(rows["variance"] / tasks**2, rows["df"], strict=True)
    return Macro(name, math.fsum(rows["fresh"]) / tasks, tuple((float(v), float(df)) for v, df in parts))


def gap(one: Macro, other: Macro) -> tuple[float, float]:
    """``one`` minus ``other``, and half the width of the 95 % interval; NaN where the noise is not known."""
    value = one.value - other.value
    if not one.parts or not other.parts:
        return value, math.nan
    return value, _half((*one.parts, *other.parts))


def _half(parts: Sequence[tuple[float, float]]) -> float:
    error, freedom = joined(*np.array(parts).T)
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom) * error)


def above(one: Macro, other: Macro, by: float = 0.0) -> Outcome:
    """``one`` is higher than ``other``, by more than ``by`` points."""
    value, half = gap(one, other)
    if math.isnan(half):
        return Outcome(NUMBERS if value > by else NUMBERS_FAIL, told(one, other))
    return _judged(value - half > by, value + half < by, one, other)


def at_least(one: Macro, other: Macro, margin: float) -> Outcome:
    """``one`` is at most ``margin`` points below ``other``."""
    return above(one, other, -margin)


def on_par(one: Macro, other: Macro, margin: float) -> Outcome:
    """The two are within ``margin`` points of each other."""
    value, half = gap(one, other)
    if math.isnan(half):
        return Outcome(NUMBERS if abs(value) <= margin else NUMBERS_FAIL, told(one, other))
    return _judged(abs(value) + half < margin, abs(value) - half > margin, one, other)


def _judged(surely: bool, never: bool, one: Macro, other: Macro) -> Outcome:
    if surely or never:
        return Outcome(HOLDS if surely else FAILS, told(one, other))
    return Outcome(NOT_SHOWN, told(one, other))


def told(one: Macro, other: Macro) -> str:
    """``FC AoT 84.7, LoRA 84.8: −0.1 ± 0.4``."""
    value, half = gap(one, other)
    noise = "noise unknown" if math.isnan(half) else f"± {printed(half)}"
    return (
        f"{one.name} {printed(one.value)}, {other.name} {printed(other.value)}: {printed(value, sign=True)} ({noise})"
    )


def all_of(outcomes: Sequence[Outcome]) -> Outcome:
    """They hold together: no more certain than the least certain one, and the first reason of those that decide."""
    order = (FAILS, NUMBERS_FAIL, IMPOSSIBLE, NOT_SHOWN, NUMBERS, HOLDS)
    worst = min((outcome.verdict for outcome in outcomes), key=order.index)
    reasons = list(dict.fromkeys(outcome.reason for outcome in outcomes if outcome.verdict == worst))
    more = [f"and {len(reasons) - 1} more alike"] if len(reasons) > 1 else []
    return Outcome(worst, "; ".join([reasons[0], *more]))


def mostly(successes: int, trials: int, what: str) -> Outcome:
    """More than half of the untied trials succeed, by an exact sign test."""
    reason = f"{what} {successes} of {trials}"
    if not trials:
        return unknown(f"{what}: nothing to compare")
    if 2.0 ** (1 - trials) >= 1 - LEVEL:
        return unknown(f"{reason} (sign test, least p = {printed(2.0 ** (1 - trials), 3)})")
    test = stats.binomtest(successes, trials)
    if test.pvalue >= 1 - LEVEL:
        return Outcome(NOT_SHOWN, f"{reason} (sign test, p = {printed(test.pvalue, 3)})")
    return Outcome(HOLDS if successes > trials / 2 else FAILS, reason)
