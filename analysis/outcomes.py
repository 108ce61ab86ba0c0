"""Does a statement about two macro scores hold? By their difference and the noise that seeds put into it.

The score of a task is a median over k seeds. Its standard error is √(c_k)·std, with c_k the variance of the median of
k draws of a standard normal distribution; that of a macro over T tasks is √(Σ se²)/T, and that of a difference of two
macros the root of their squares' sum. Its 95 % interval uses Student's t with Welch and Satterthwaite's degrees of
freedom. It holds the noise of seeds alone: not that assignments were chosen by the same scores, nor that of tasks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from scipy import stats

from analysis.tables import printed

Verdict = Literal["holds", "holds in the numbers", "does not hold", "does not hold in the numbers", "cannot be said"]
HOLDS: Verdict = "holds"
NUMBERS: Verdict = "holds in the numbers"
FAILS: Verdict = "does not hold"
NUMBERS_FAIL: Verdict = "does not hold in the numbers"
UNKNOWN: Verdict = "cannot be said"

LEVEL = 0.95
_REASONS = 2  # that are told of several alike
#: Variance of the median of k draws of a standard normal distribution (order statistics, by integration); π/2k after.
_MEDIAN = {1: 1.0, 2: 0.5, 3: 0.44867, 4: 0.29825, 5: 0.28683, 6: 0.21471, 7: 0.21045, 8: 0.16818, 9: 0.16610}


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
    """What cannot be said, and why."""
    return Outcome(UNKNOWN, reason)


@dataclass(frozen=True)
class Macro:
    """A macro score, in points: its parts' variances over seeds and their degrees of freedom, a pair per task.

    ``parts`` is empty where a task has one seed: then nobody knows how noisy it is.
    """

    name: str
    value: float
    parts: tuple[tuple[float, int], ...] = ()


def macro(name: str, rows: pd.DataFrame) -> Macro:
    """The macro of the rows, one per task with ``median``, ``std`` and ``n_seeds``."""
    tasks = len(rows)
    value = math.fsum(rows["median"]) / tasks
    if rows["std"].isna().any():
        return Macro(name, value)
    seeds = rows["n_seeds"].astype(int).tolist()
    variances = [median_variance(k) * std**2 / tasks**2 for k, std in zip(seeds, rows["std"], strict=True)]
    return Macro(name, value, tuple((v, k - 1) for v, k in zip(variances, seeds, strict=True)))


def median_variance(seeds: int) -> float:
    """The variance of the median of so many draws of a standard normal distribution."""
    return _MEDIAN.get(seeds, math.pi / (2 * seeds))


def gap(one: Macro, other: Macro) -> tuple[float, float]:
    """``one`` minus ``other``, and half the width of the 95 % interval; NaN where the noise is not known."""
    value = one.value - other.value
    if not one.parts or not other.parts:
        return value, math.nan
    return value, _half((*one.parts, *other.parts))


def _half(parts: Sequence[tuple[float, int]]) -> float:
    total = math.fsum(variance for variance, _ in parts)
    if total == 0:
        return 0.0
    freedom = total**2 / math.fsum(variance**2 / df for variance, df in parts)
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(total)


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
    return unknown(f"within noise: {told(one, other)}")


def told(one: Macro, other: Macro) -> str:
    """``FC AoT 84.7, LoRA 84.8: −0.1 ± 0.4``."""
    value, half = gap(one, other)
    noise = "one seed each, noise unknown" if math.isnan(half) else f"± {printed(half)}"
    return (
        f"{one.name} {printed(one.value)}, {other.name} {printed(other.value)}: {printed(value, sign=True)} ({noise})"
    )


def all_of(outcomes: Sequence[Outcome]) -> Outcome:
    """They hold together: no more certain than the least certain one, and the reasons of those that decide."""
    order = (FAILS, NUMBERS_FAIL, UNKNOWN, NUMBERS, HOLDS)
    worst = min((outcome.verdict for outcome in outcomes), key=order.index)
    reasons = list(dict.fromkeys(outcome.reason for outcome in outcomes if outcome.verdict == worst))
    more = [f"and {len(reasons) - _REASONS} more alike"] if len(reasons) > _REASONS else []
    return Outcome(worst, "; ".join([*reasons[:_REASONS], *more]))


def mostly(successes: int, trials: int, what: str) -> Outcome:
    """More than half of the untied trials succeed, by an exact sign test."""
    reason = f"{what} {successes} of {trials}"
    if not trials:
        return unknown(f"{what}: nothing to compare")
    test = stats.binomtest(successes, trials)
    if test.pvalue >= 1 - LEVEL:
        return unknown(f"{reason}, which chance alone can do (sign test, p = {printed(test.pvalue, 3)})")
    return Outcome(HOLDS if successes > trials / 2 else FAILS, reason)
