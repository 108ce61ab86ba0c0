"""Bands of Expected Validation Performance that were tried and do not cover, or say nothing (``_rates_tried_evp.py``).

Each takes sorted medians ``(r, N)`` of ``r`` studies and gives the lower and the upper end at ``n``, ``(r,)`` each; the
estimate is the U-statistic. A deviation that is zero gives a band of no width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import t as student

from analysis import evp
from analysis._evp_band import levels

Ends = tuple[np.ndarray, np.ndarray]
Band = Callable[[np.ndarray, int, np.random.Generator], Ends]
TAIL = 0.025
RESAMPLES = 200
BEST = 100.0  # of the scale


def estimate(x: np.ndarray, n: int) -> np.ndarray:
    """The U-statistic of sorted ``x (…, N)``: ``(…,)``."""
    return x @ evp.weights(x.shape[-1], np.array([n]), "u")[:, 0]


def jackknife(x: np.ndarray, n: int) -> np.ndarray:
    """By how much the estimate moves when each of the sorted values is left out, about their mean: ``(…, N)``."""
    size = x.shape[-1]
    w = evp.weights(size - 1, np.array([n]), "u")[:, 0]
    zero = np.zeros((*x.shape[:-1], 1))
    below = np.concatenate([zero, np.cumsum(x[..., :-1] * w, axis=-1)], axis=-1)  # of those before the one left out
    above = np.concatenate([np.cumsum((x[..., 1:] * w)[..., ::-1], axis=-1)[..., ::-1], zero], axis=-1)
    left_out = below + above
    return left_out - left_out.mean(axis=-1, keepdims=True)


def _error(moves: np.ndarray) -> np.ndarray:
    size = moves.shape[-1]
    return np.sqrt((size - 1) / size * (moves**2).sum(axis=-1))


def percentile(x: np.ndarray, n: int, draw: np.random.Generator) -> Ends:
    """Assignments with replacement, as in Dodge et al. (2019)."""
    again = estimate(_again(x, draw), n)
    lower, upper = np.quantile(again, [TAIL, 1 - TAIL], axis=1)
    return lower, upper


def _again(x: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Bootstrap samples, sorted: ``(r, RESAMPLES, N)``."""
    pick = np.sort(draw.integers(x.shape[1], size=(len(x), RESAMPLES, x.shape[1])), axis=2)  # x is sorted
    return np.asarray(np.take_along_axis(x[:, None, :], pick, axis=2))


def jackknife_t(x: np.ndarray, n: int, draw: np.random.Generator) -> Ends:
    """Student's t with N − 1 degrees of freedom."""
    middle, half = estimate(x, n), student.ppf(1 - TAIL, x.shape[1] - 1) * _error(jackknife(x, n))
    return middle - half, middle + half


def satterthwaite(x: np.ndarray, n: int, draw: np.random.Generator) -> Ends:
    """Student's t with as many degrees of freedom as values carry the error."""
    moves = jackknife(x, n)
    middle, half = estimate(x, n), _quantile(moves) * _error(moves)
    return middle - half, middle + half


def _quantile(moves: np.ndarray) -> np.ndarray:
    squares, fourths = (moves**2).sum(axis=-1), (moves**4).sum(axis=-1)
    freedom = np.divide(squares**2, fourths, out=np.ones_like(squares), where=fourths > 0)
    return np.asarray(student.ppf(1 - TAIL, np.maximum(freedom, 1.0)))


def log_scale(x: np.ndarray, n: int, draw: np.random.Generator) -> Ends:
    """The same of the logarithm of what is missing to 100."""
    moves, missing = jackknife(x, n), np.maximum(BEST - estimate(x, n), 1e-9)
    factor = np.exp(_quantile(moves) * _error(moves) / missing)
    return BEST - missing * factor, BEST - missing / factor


def bootstrap_t(x: np.ndarray, n: int, draw: np.random.Generator) -> Ends:
    """The estimate's error in units of the jackknife's, over bootstrap samples; those of equal values are left out."""
    again, middle = _again(x, draw), estimate(x, n)
    error = _error(jackknife(again, n))
    known = error > 1e-12
    ratio = np.where(known, (estimate(again, n) - middle[:, None]) / np.where(known, error, 1.0), np.nan)
    ratio[~known.any(axis=1)] = 0.0
    low, high = np.nanquantile(ratio, [TAIL, 1 - TAIL], axis=1)
    own = _error(jackknife(x, n))
    return middle - high * own, middle - low * own


def whole_scale(x: np.ndarray, n: int, draw: np.random.Generator) -> Ends:
    """Ordered uniform numbers, as in ``analysis/_evp_band.py``, with 0 and 100 in the outer gaps."""
    return _uniforms(x, n, np.zeros(len(x)), np.full(len(x), BEST))


def short_reach(x: np.ndarray, n: int, draw: np.random.Generator) -> Ends:
    """The same with half the distance from the median to the ends."""
    middle = np.median(x, axis=1)
    return _uniforms(x, n, x[:, 0] - (middle - x[:, 0]) / 2, np.minimum(BEST, x[:, -1] + (x[:, -1] - middle) / 2))


def _uniforms(x: np.ndarray, n: int, bottom: np.ndarray, top: np.ndarray) -> Ends:
    inside = (x[:, 1:] + x[:, :-1]) / 2
    low = np.column_stack([bottom, inside, x[:, -1]])
    high = np.column_stack([x[:, 0], inside, top])
    below = levels(x.shape[1]) ** n  # (samples, N): of the best of n draws, below each value
    mass = np.diff(np.column_stack([np.zeros(len(below)), below, np.ones(len(below))]), axis=1)
    return np.quantile(low @ mass.T, TAIL, axis=1), np.quantile(high @ mass.T, 1 - TAIL, axis=1)


BANDS: dict[str, Band] = {
    "percentile bootstrap": percentile,
    "jackknife, t": jackknife_t,
    "jackknife, Satterthwaite": satterthwaite,
    "jackknife, log scale": log_scale,
    "bootstrap-t": bootstrap_t,
    "ordered uniforms, 0 and 100": whole_scale,
    "ordered uniforms, short reach": short_reach,
}
