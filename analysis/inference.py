"""How sure is a number? Intervals for what seeds that took no part in the choice say, with the choice repeated inside.

Pure functions of arrays. What is estimated is always of *the assignment that the search chose, on fresh seeds*. Scores
of fresh seeds come in two ways (:mod:`analysis.estimates`): from seeds trained after the choice, or by leaving each one
out in turn, choosing by the others, and scoring that choice on the seed left out. Measures are those of rliable
(Agarwal et al. 2021, https://arxiv.org/abs/2108.13264); its percentile bootstrap is not used, since over five seeds it
does not cover. ``benchmarks/_rates_inference.py`` measures how often each interval here holds the truth.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import stats

from common.selection import DIGITS

LEVEL = 0.95
#: What intervals and tests say of a difference that is not shown: it was not, or no scores could have shown it.
NOT_SHOWN: Final = "not shown"
IMPOSSIBLE: Final = "could not have been shown"
#: Variance of the median of n standard normals, from n = 1.
_MEDIAN = (1.0, 0.5, 0.4487, 0.2982, 0.2868, 0.2148, 0.2104, 0.1682, 0.1661, 0.1384, 0.1372)
#: By how much scores that were held out in turn vary more than independent ones, for shares and for interquartile
#: means: they share the seeds by which they were chosen. Found by simulation, as :func:`median_inflation` was.
HELD_OUT = 2.0
HELD_OUT_MIDDLE = 2.25
LEAST_TASKS = 5  # for an interquartile mean: the middle half of fewer tasks is one task or two
_LEAST_SHARE = 0.5  # of the largest variance that a probability of improvement can have


def leave_one_out(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each seed's score of the assignment that all other seeds choose.

    ``scores (c, a, s)``: of c cells, a assignments in the order in which ties are decided, and s seeds, two or more;
    NaN where there is none. The choice is the rule of :mod:`common.selection`: the highest median of the other s - 1
    seeds, among the assignments that have all of them.

    Returns ``fresh (c, s)``, NaN where no choice is possible or the chosen one has no score for that seed; and
    ``spread (c,)``, the mean over seeds of the chosen assignments' variances over all their seeds.
    """
    cells, _, seeds = scores.shape
    count = np.isfinite(scores).sum(axis=2)
    centered = scores - (np.nansum(scores, axis=2) / np.maximum(count, 1))[:, :, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        variances = np.where(count > 1, np.nansum(centered**2, axis=2) / (count - 1), np.nan)  # (c, a)
    fresh, spreads = np.full((cells, seeds), np.nan), np.full((cells, seeds), np.nan)
    each = np.arange(cells)
    for seed in range(seeds):
        medians = np.median(np.delete(scores, seed, axis=2), axis=2)  # NaN where one is missing
        medians = np.where(np.isfinite(medians), np.round(medians, DIGITS), -np.inf)
        chosen = medians.argmax(axis=1)  # the first of those that tie
        known = np.isfinite(medians[each, chosen])
        fresh[:, seed] = np.where(known, scores[each, chosen, seed], np.nan)
        spreads[:, seed] = np.where(known, variances[each, chosen], np.nan)
    total, known = np.nansum(spreads, axis=1), np.isfinite(spreads).sum(axis=1)
    return fresh, np.where(known > 0, total / np.maximum(known, 1), np.nan)


def median_variance(n: np.ndarray) -> np.ndarray:
    """Variance of the median of n independent normal scores, in units of the variance of one."""
    n = np.asarray(n, dtype=int)
    table = np.array((np.nan, *_MEDIAN))
    return np.where(n < len(table), table[np.minimum(n, len(table) - 1)], np.pi / (2 * np.maximum(n, 1) + 2))


def median_inflation(seeds: np.ndarray) -> np.ndarray:
    """By how much the median of scores held out in turn varies more than that of independent ones: 2(s - 1)/s.

    They are not independent: each seed takes part in the choices for all others. Found by simulation; without it the
    interval misses twice as often as it says.
    """
    return 2 * (seeds - 1) / seeds


def mean_interval(
    values: np.ndarray, variances: np.ndarray, df: np.ndarray, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of independent estimates over the last axis, and its t interval: ``mean, lower, upper``.

    ``variances`` are those of the estimates, each with ``df`` degrees of freedom, joined as Welch and Satterthwaite do.
    Estimates may be weighted by giving them so and dividing the variances. The ends are NaN where a variance is unknown
    or all are zero: equal scores say nothing of how unequal they could be.
    """
    n = values.shape[-1]
    error, joint = joined(variances, df)
    mean, half = values.mean(axis=-1), stats.t.ppf((1 + level) / 2, joint) * error / n
    return mean, mean - half, mean + half


def joined(variances: np.ndarray, df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of the sum of independent estimates over the last axis, and its degrees of freedom (Welch and
    Satterthwaite); both NaN where a variance is unknown or all are zero."""
    total = variances.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = total**2 / (variances**2 / df).sum(axis=-1)
    return np.sqrt(np.where(total > 0, total, np.nan)), np.where(total > 0, freedom, np.nan)


def improvement(left: np.ndarray, right: np.ndarray, inflation: float = 1.0) -> tuple[np.ndarray, ...]:
    """Probability that a score of ``left`` is above one of ``right`` on the same task, the mean over tasks; ties half.

    ``left (..., t, n)`` and ``right (..., t, m)``: scores of t tasks. Returns ``probability, lower, upper``. The
    variance on a task is that of Brunner and Munzel (2000), and at least half of the largest that such a probability
    can have (Birnbaum and Klose 1957), reckoned with one more pair of scores that is as good as tied: where all scores
    of one side are above the other's it would be zero.
    """
    n, m = left.shape[-1], right.shape[-1]
    pairs = np.sign(left[..., :, None] - right[..., None, :]) / 2 + 0.5  # (..., t, n, m)
    shares = pairs.mean(axis=(-2, -1))
    fewer = min(n, m)
    careful = (shares * fewer**2 + 0.5 * fewer) / (fewer**2 + fewer)
    largest = careful * (1 - careful) / fewer
    if fewer > 1:
        own = pairs.mean(axis=-1).var(axis=-1, ddof=1) / n + pairs.mean(axis=-2).var(axis=-1, ddof=1) / m
        variances = np.maximum(own, _LEAST_SHARE * largest)
    else:
        variances = largest
    df = np.full(variances.shape, max(n + m - 2, 1))
    mean, lower, upper = mean_interval(shares, inflation * variances, df)
    return mean, np.clip(lower, 0, 1), np.clip(upper, 0, 1)


def interquartile_mean(
    scores: np.ndarray, inflation: float = 1.0, collapsing: np.ndarray | float = 0.0
) -> tuple[np.ndarray, ...]:
    """Mean of the middle half of all scores, every task alike: ``iqm, lower, upper`` of ``scores (..., t, n)``.

    The interval is a t interval over the winsorized scores of each task (Tukey and McLaughlin 1963), joined as those of
    a mean: only seeds are random, tasks are the ones that they are. NaN ends with one seed. Where a share ``collapsing
    (...)`` of runs falls below the middle half, a score varies by that at least, seen in these or not.
    """
    *_, tasks, seeds = scores.shape
    flat = np.sort(scores.reshape(*scores.shape[:-2], tasks * seeds), axis=-1)
    place = np.arange(tasks * seeds + 1) / (tasks * seeds)
    weights = np.diff(np.clip(place, 0.25, 0.75)) / 0.5
    iqm = (flat * weights).sum(axis=-1)
    inside = np.flatnonzero(weights > 0)
    low, high = flat[..., inside[0], None, None], flat[..., inside[-1], None, None]
    if seeds == 1:
        return iqm, np.full(iqm.shape, np.nan), np.full(iqm.shape, np.nan)
    middle = np.clip(scores, low, high) / 0.5
    falls = np.asarray(collapsing * (1 - np.asarray(collapsing)))[..., None]
    least = falls * (middle.mean(axis=-1) - low[..., 0] / 0.5) ** 2
    variances = np.maximum(inflation * middle.var(axis=-1, ddof=1), least) / seeds
    mean, _, upper = mean_interval(middle.mean(axis=-1), variances, np.full(variances.shape, seeds - 1))
    return iqm, iqm - (upper - mean), iqm + (upper - mean)


def profile(
    scores: np.ndarray, thresholds: np.ndarray, inflation: float = 1.0, collapsing: np.ndarray | float = 0.0
) -> tuple[np.ndarray, ...]:
    """Performance profile: the share of scores above each threshold, every task alike, and a pointwise 95 % band.

    ``scores (..., t, n)``, ``thresholds (k,)``. Returns ``share, lower, upper (..., k)``. The band is Wilson's (1927),
    of as many scores as have the variance that the shares within tasks give: tasks differ, so it is less than that of a
    common share, and where within each task all are above or all below it is set to what one task could give. Where a
    share ``collapsing (...)`` of runs falls below every threshold, a score above varies by that at least.
    """
    *_, tasks, seeds = scores.shape
    shares = (scores[..., None] > thresholds).mean(axis=-2)  # (..., t, k)
    share = shares.mean(axis=-2)
    total, common = tasks * seeds / inflation, share * (1 - share)
    falls = np.asarray(collapsing * (1 - np.asarray(collapsing)))[..., None, None]
    variances = np.maximum(inflation * shares * (1 - shares) / max(seeds - 1, 1), shares * falls / seeds)
    within = variances.sum(axis=-2) / tasks**2
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = np.nan_to_num(within * total / common, nan=0.0, posinf=1.0)
    n = total / np.clip(effect, 1 / tasks, 1.0)
    z = stats.norm.ppf((1 + LEVEL) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(common / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return share, middle - half, middle + half
