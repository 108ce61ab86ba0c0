"""Bands of Expected Validation Performance that hold the truth in 95 % of studies, or more.

**A sample.** With ``F`` the distribution of an assignment's median over seeds, the truth is ``T = ∫ x dF(x)^n``. Of N
draws, ``F(x_1) ≤ … ≤ F(x_N)`` are distributed as N ordered uniform numbers, whatever ``F`` is. Drawing these gives
``T``, once it is said what an assignment is worth on average in each of the N + 1 gaps between, below and above the
values: halfway inside; for the upper end of the band no gap's mass lies below ``x_1`` and that above lies at ``_reach``
above the best, for the lower end none lies above ``x_N`` and that below at a ``_reach`` below the worst. This is the
bound of Learned-Miller and Thomas (2019) for a mean, with ``F^n`` in the place of ``F``, and a reach in the place of
the ends of the scale, from which the bound would be valid and of no use. Seeds are in it: the medians have
their noise, and every draw would bring its own.

**A grid.** Its assignments are no draws, so only seeds are uncertain: ``Σ w_i² var(m_i)`` with the weights of the
estimator, and Student's quantile with Satterthwaite's degrees of freedom.

What covers and what did not: docs/statistics.md, ``benchmarks/_rates_evp.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from analysis._evp_cells import Kind, Values
from analysis.inference import median_variance
from common.seeds import seed_of

LEVEL = 0.95
LEAST = 5  # assignments without which there is no band
RESAMPLES = 1000
_MOST = 16  # numbers of draws for which a band is computed; between them it is interpolated
_TAIL = (1 - LEVEL) / 2


def informative(kind: Kind, size: int) -> int:
    """The largest ``n`` that ``size`` values tell of: N/2 of a sample, which holds two such searches; N of a grid.

    Beyond, the U-statistic of a sample comes to its maximum, a single value.
    """
    return size if kind == "grid" else max(1, size // 2)


def thinned(limit: int) -> np.ndarray:
    """1 … limit, or, where that is many, so many of them evenly on a log axis."""
    few = np.arange(1, limit + 1) if limit <= _MOST else np.geomspace(1, limit, _MOST).round().astype(int)
    return np.unique(few)


def band(draws: np.ndarray, low: np.ndarray, high: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end at each ``n`` of ``at``, from curves ``(m, RESAMPLES)`` at ``draws``; NaN above these."""
    lower, upper = np.full(len(at), np.nan), np.full(len(at), np.nan)
    if len(draws):
        known = at <= draws[-1]
        for end, curves, level in ((lower, low, _TAIL), (upper, high, 1 - _TAIL)):
            end[known] = np.interp(np.log(at[known]), np.log(draws), np.quantile(curves, level, axis=1))
    return lower, upper


def resampled(found: Sequence[Values]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each sample the ``n`` at which its curve was drawn anew, ``(m,)``, and the curves that the lower and the
    upper end of its band are quantiles of, ``(m, RESAMPLES)`` each. With fewer than five assignments ``m`` is 0.

    The order of the curves is that of the cell's own stream, so that those of two cells are independent.
    """
    nothing = np.empty(0, dtype=int), np.empty((0, RESAMPLES)), np.empty((0, RESAMPLES))
    drawn = [nothing] * len(found)
    for size in {values.size for values in found if values.size >= LEAST}:
        same = [i for i, values in enumerate(found) if values.size == size]
        draws = thinned(informative("sample", size))
        worth = np.stack([np.stack(gaps(found[i])) for i in same])  # (cells, 2, N + 1)
        last, steps = worth[..., -1], -np.diff(worth).reshape(2 * len(same), size)
        # Σ worth_i (u_{i+1}^n − u_i^n), summed by parts
        sums = np.stack([steps @ (levels(size) ** n).T for n in draws], axis=1)  # (2 · cells, m, RESAMPLES)
        curves = (sums + last.reshape(-1, 1, 1)).reshape(len(same), 2, len(draws), RESAMPLES)
        for place, i in enumerate(same):
            order = np.random.default_rng(_seed(found[i])).permutation(RESAMPLES)
            drawn[i] = draws, curves[place, 0][:, order], curves[place, 1][:, order]
    return drawn


@lru_cache(maxsize=64)
def levels(size: int) -> np.ndarray:
    """``size`` ordered uniform numbers: where the values of a sample stand in their distribution,
    ``(RESAMPLES, size)``."""
    return np.sort(np.random.default_rng(seed_of(f"evp|levels|{size}")).random((RESAMPLES, size)), axis=1)


def gaps(values: Values) -> tuple[np.ndarray, np.ndarray]:
    """What an assignment is worth in each of the N + 1 gaps, for the lower and the upper end of the band."""
    x = values.medians
    inside = (x[1:] + x[:-1]) / 2
    bottom, top = _reach(values)
    return np.concatenate([[bottom], inside, x[-1:]]), np.concatenate([x[:1], inside, [top]])


def _reach(values: Values) -> tuple[float, float]:
    """Where mass below the worst and above the best value is put.

    Both reach further where values are few. Above: the distance from median to best, up to 100. Below: halfway to
    chance; where that is not known, the distance from the median to the worst, or halfway to the lowest score on the
    task if that is lower.
    """
    x, size = values.medians, values.size
    middle, worst, best = float(np.median(x)), float(x[0]), float(x[-1])
    top = min(100.0, best + (1 + 4 / size) * (best - middle))
    if values.chance:
        share = min(1.0, 0.5 + 2 / size)
        return min(worst, worst - share * (worst - values.floor)), max(best, top)
    own = max(worst - (1 + 10 / size) * (middle - worst), min(values.floor, worst))
    return min(own, (worst + min(values.lowest, worst)) / 2), max(best, top)


def resampled_grid(values: Values, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`resampled` for a grid, by the weights ``(N, n)`` of its sorted values: ``n`` and the curves."""
    half = half_widths(values, weights)
    if np.isnan(half).any():
        return np.empty(0, dtype=int), np.empty((0, RESAMPLES))
    draws = thinned(values.size)
    even = norm.ppf((np.random.default_rng(_seed(values)).permutation(RESAMPLES) + 0.5) / RESAMPLES)
    middle, half = values.medians @ weights[:, draws - 1], half[draws - 1]
    return draws, middle[:, None] + np.outer(half, even / norm.ppf(1 - _TAIL))


def _seed(values: Values) -> int:
    return seed_of("evp|" + "|".join(values.cell))


def half_widths(values: Values, weights: np.ndarray) -> np.ndarray:
    """Half the band's width by the noise of seeds, for the weights ``(N, n)`` of the sorted values: ``(n,)``.

    NaN with fewer than five assignments or where none has two seeds; one with fewer gets the mean variance of the
    others. Whether a trial fails is not drawn again: the variances are of seeds that have a score.
    """
    known = values.seeds > 1
    if values.size < LEAST or not known.any():
        return np.full(weights.shape[1], np.nan)
    variances = np.where(known, values.variances, values.variances[known].mean())
    seeds = np.maximum(values.seeds.astype(int), 1)
    own = variances * median_variance(seeds)
    parts = weights**2 * own[:, None]  # (N, n)
    total = parts.sum(axis=0)
    spent = (parts**2 / np.maximum(seeds - 1, 1)[:, None]).sum(axis=0)
    freedom = np.divide(total**2, spent, out=np.ones_like(total), where=spent > 0)
    return student.ppf(1 - _TAIL, np.maximum(freedom, 1.0)) * np.sqrt(total)
