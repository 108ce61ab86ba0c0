"""Tests for few numbers: exact distributions under the null hypothesis, their floors, and what they could have found.

Three tests. *Exchange*: seeds' scores change places between two methods within each task, every way counted.
*Signed rank*: Wilcoxon's, on differences over tasks, by its exact distribution, ties in rank included. *Signs*: each
example's difference in correctness changes its sign; with one model on each side that is McNemar's exact test. Of each
test: how small its p could get (``least_*``), and the smallest difference that it finds in 80 of 100 cases
(``detectable_*``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy import optimize, signal, stats

LEVEL = 0.05
POWER = 0.8
DRAWS = 20_000  # where the ways are too many to count
_COUNTED = 400_000  # ways counted in each of two halves of the tasks, which meet in the middle
_SIMULATED = 2_000  # samples behind a detectable difference, of up to so many exchanges
_DIGITS = 9  # differences that agree this far are equal
_SLACK = 1e-9

Pairs = Sequence[tuple[np.ndarray, np.ndarray]]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: family-wise error over all comparisons given, in their order; NaN stays NaN."""
    known = [i for i in np.argsort(p_values, kind="stable") if not math.isnan(p_values[i])]
    adjusted = [math.nan] * len(p_values)
    running = 0.0
    for rank, i in enumerate(known):
        running = max(running, min(1.0, (len(known) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


# --- seeds -----------------------------------------------------------------------------------------------------------


def exchange(pairs: Pairs, stream: np.random.Generator) -> float:
    """Two-sided p that two methods' mean scores differ by their seeds alone.

    ``pairs`` holds the seeds' scores of both methods on each task, ``(n_left,)`` and ``(n_right,)``. The statistic is
    the mean over tasks of the difference of means. Seeds are not paired across methods: the same seed starts different
    weights. Every exchange is counted where one half of the tasks has up to 400,000, else ``DRAWS`` are drawn.
    """
    return min(1.0, sum(_beyond(pairs, abs(difference(pairs)), stream)))


def difference(pairs: Pairs) -> float:
    """The mean over tasks of the difference of the seeds' means, left minus right."""
    return math.fsum(float(left.mean() - right.mean()) for left, right in pairs) / len(pairs)


def least_exchange(sizes: Iterable[tuple[int, int]]) -> float:
    """The least p that :func:`exchange` can give for so many seeds, left and right, on each task."""
    sizes = list(sizes)
    ways = math.prod(math.comb(a + b, a) for a, b in sizes)
    mirrored = all(a == b for a, b in sizes)  # then each exchange has one that is as far out on the other side
    least = (2 if mirrored and ways > 1 else 1) / ways
    return least if _countable(sizes) else max(least, 1 / (DRAWS + 1))


def needed_seeds(n_tasks: int, comparisons: int, level: float = LEVEL) -> int:
    """Seeds of each method with which the clearest of so many comparisons gets below ``level`` after Holm."""
    return next(n for n in range(1, 100) if comparisons * least_exchange([(n, n)] * n_tasks) < level)


def _beyond(pairs: Pairs, bound: float, stream: np.random.Generator) -> tuple[float, float]:
    """Shares of all exchanges whose statistic is at least ``bound``, and at most ``-bound``."""
    bound -= _SLACK
    if not _countable([(len(a), len(b)) for a, b in pairs]):
        drawn = sum(_drawn(a, b, stream) for a, b in pairs) / len(pairs)
        return (np.sum(drawn >= bound) + 1) / (DRAWS + 1), (np.sum(drawn <= -bound) + 1) / (DRAWS + 1)
    halves = [np.zeros(1), np.zeros(1)]
    for part in sorted((_exchanged(a, b) / len(pairs) for a, b in pairs), key=len, reverse=True):
        halves.sort(key=len)
        halves[0] = np.add.outer(halves[0], part).ravel()
    first, second = np.sort(halves[0]), np.sort(halves[1])
    ways = float(len(first)) * len(second)
    above = len(first) * len(second) - np.searchsorted(second, bound - first).sum()
    below = np.searchsorted(second, -bound - first, side="right").sum()
    return above / ways, below / ways


def _countable(sizes: Sequence[tuple[int, int]]) -> bool:
    halves = [1, 1]
    for ways in sorted((math.comb(a + b, a) for a, b in sizes), reverse=True):
        halves.sort()
        halves[0] *= ways
    return max(halves) <= _COUNTED


@lru_cache(maxsize=32)
def _ways(left: int, right: int) -> np.ndarray:
    """All choices of ``left`` of the pooled scores, ``(ways, left)``."""
    return np.array(list(combinations(range(left + right), left)))


def _exchanged(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The difference of means in every exchange of one task, ``(ways,)``."""
    pooled = np.concatenate([left, right])
    sums = pooled[_ways(len(left), len(right))].sum(axis=1)
    return sums * (1 / len(left) + 1 / len(right)) - pooled.sum() / len(right)


def _drawn(left: np.ndarray, right: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """The same in ``DRAWS`` exchanges, drawn."""
    if math.comb(len(left) + len(right), len(left)) <= _COUNTED:
        return stream.choice(_exchanged(left, right), size=DRAWS)
    pooled, n = np.concatenate([left, right]), len(left)
    shuffled = pooled[np.argsort(stream.random((DRAWS, len(pooled))), axis=1)]
    return shuffled[:, :n].mean(axis=1) - shuffled[:, n:].mean(axis=1)


# --- tasks -----------------------------------------------------------------------------------------------------------


def signed_rank(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, exact for any number of differences; zeros are left out."""
    above, below = _signed_rank_tails(differences)
    return min(1.0, 2 * min(above, below))


def least_signed_rank(n_tasks: int) -> float:
    """The least p that :func:`signed_rank` can give for so many tasks."""
    return min(1.0, 2.0 ** (1 - n_tasks))


def needed_tasks(comparisons: int, level: float = LEVEL) -> int:
    """Tasks with which the clearest of so many comparisons gets below ``level`` after Holm."""
    return next(n for n in range(1, 100) if comparisons * least_signed_rank(n) < level)


def typical_difference(differences: np.ndarray, level: float = LEVEL) -> tuple[float, float, float]:
    """The Hodges-Lehmann estimate that belongs to the signed-rank test, and the interval that the test inverts to.

    The median of the means of all pairs of differences (each with itself as well); the interval holds what the test
    would not reject, NaN under six differences, where none of 95 % exists.
    """
    n = len(differences)
    rows, columns = np.triu_indices(n)
    means = np.sort((differences[rows] + differences[columns]) / 2)
    cumulative = np.cumsum(_signed_rank_law(tuple(2 * np.arange(1, n + 1))))[::2]  # of the sum of positive ranks
    outside = int(np.searchsorted(cumulative, level / 2, side="right"))
    if outside == 0:
        return float(np.median(means)), math.nan, math.nan
    return float(np.median(means)), float(means[outside - 1]), float(means[-outside])


def _signed_rank_tails(differences: np.ndarray) -> tuple[float, float]:
    """Probabilities of a sum of positive ranks at least, and at most, as large as seen."""
    differences = np.round(differences, _DIGITS)
    differences = differences[differences != 0]
    if len(differences) == 0:
        return 1.0, 1.0
    ranks = np.round(2 * stats.rankdata(np.abs(differences))).astype(int)  # doubled: ties share a half
    law, positive = _signed_rank_law(tuple(np.sort(ranks))), int(ranks[differences > 0].sum())
    return float(law[positive:].sum()), float(law[: positive + 1].sum())


@lru_cache(maxsize=256)
def _signed_rank_law(ranks: tuple[int, ...]) -> np.ndarray:
    """Probabilities of each sum of the ranks that chance makes positive, from 0 to the sum of all."""
    law = np.zeros(sum(ranks) + 1)
    law[0] = 1.0
    for rank in ranks:
        law[rank:] = (law[rank:] + law[:-rank]) / 2
        law[:rank] /= 2
    return law


# --- examples --------------------------------------------------------------------------------------------------------


def signs(differences: np.ndarray) -> tuple[float, int]:
    """Whether whole-numbered differences ``(n_examples,)`` are symmetric about zero, by their sum; exact.

    Each may change its sign. Where all are -1, 0 or 1 this is McNemar's exact test. Returns the two-sided p, and the
    largest sum, either way, that is not rejected at ``LEVEL``: the p of what lies further is below it.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if len(sizes) == 0:
        return 1.0, 0
    law = np.ones(1)  # of the sum of those that are positive
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        own = np.zeros(size * count + 1)
        own[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        law = signal.fftconvolve(law, own) if min(len(law), len(own)) > 64 else np.convolve(law, own)
    beyond = 2 * np.cumsum(np.clip(law, 0, None)[::-1])[::-1]  # p of a sum of positive ones that is as large
    positive, total = int(differences[differences > 0].sum()), len(law) - 1
    p = min(1.0, max(float(beyond[max(positive, total - positive)]), 2.0 ** (1 - int(counts.sum()))))
    possible = np.flatnonzero((beyond >= LEVEL) & (law > 1e-15))
    return p, 2 * int(possible[-1]) - total


# --- what could have been found --------------------------------------------------------------------------------------


def detectable_exchange(pairs: Pairs, comparisons: int) -> float:
    """Points that :func:`exchange` finds in 80 of 100 cases at 5 % over so many comparisons.

    From the deviations over seeds that were seen, taken as normal. NaN where no difference could be found, or no
    deviation is known.
    """
    sizes = [(len(a), len(b)) for a, b in pairs]
    free = np.array([a + b - 2 for a, b in sizes])
    if comparisons * least_exchange(sizes) >= LEVEL or free.sum() == 0:
        return math.nan
    squares = np.array([((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum() for a, b in pairs])
    variances = np.where(free > 0, squares / np.maximum(free, 1), squares.sum() / free.sum())
    if len(pairs) == 1 and math.comb(sum(sizes[0]), sizes[0][0]) <= _SIMULATED:
        return float(_exchange_effect(*sizes[0], LEVEL / comparisons) * math.sqrt(variances[0]))
    error = math.sqrt(sum(v * (1 / a + 1 / b) for v, (a, b) in zip(variances, sizes, strict=True))) / len(pairs)
    return t_effect(int(free.sum()), LEVEL / comparisons) * error


def detectable_signed_rank(differences: np.ndarray, comparisons: int) -> float:
    """Points that :func:`signed_rank` finds in 80 of 100 cases, from the deviation over tasks; NaN as above."""
    n = len(differences)
    if comparisons * least_signed_rank(n) >= LEVEL:
        return math.nan
    return _signed_rank_effect(n, LEVEL / comparisons) * float(np.std(differences, ddof=1))


@lru_cache(maxsize=256)
def t_effect(free: float, level: float) -> float:
    """Effect, in standard errors, that a t-test of so many degrees of freedom finds with ``POWER``."""
    critical = stats.t.isf(level / 2, free)
    root = optimize.brentq(lambda effect: stats.nct.sf(critical, free, effect) - POWER, 0, 3 * critical + 5)
    return float(root)


@lru_cache(maxsize=256)
def _exchange_effect(left: int, right: int, level: float) -> float:
    """Effect, in deviations, that the exchange test on one task finds with ``POWER``."""
    noise = np.random.default_rng(left * 100 + right).normal(size=(_SIMULATED, left + right))
    chosen = np.zeros((left + right, math.comb(left + right, left)))
    chosen[_ways(left, right).T, np.arange(chosen.shape[1])] = 1

    def power(effect: float) -> float:
        scores = noise + effect * (np.arange(left + right) < left)
        far = np.abs(scores @ chosen - left * scores.mean(axis=1, keepdims=True))  # first column: as it was observed
        return float(((far >= far[:, :1] - _SLACK).mean(axis=1) < level).mean())

    return _smallest(power)


@lru_cache(maxsize=256)
def _signed_rank_effect(n: int, level: float) -> float:
    """Effect, in deviations, that the signed-rank test finds with ``POWER``."""
    noise = np.random.default_rng(n).normal(size=(_SIMULATED, n))
    tails = np.cumsum(_signed_rank_law(tuple(2 * np.arange(1, n + 1)))[::-2])[::-1]  # of sums from 0 up, undoubled

    def power(effect: float) -> float:
        shifted = noise + effect
        positive = np.where(shifted > 0, stats.rankdata(np.abs(shifted), axis=1), 0).sum(axis=1).astype(int)
        return float((2 * tails[np.maximum(positive, n * (n + 1) // 2 - positive)] < level).mean())

    return _smallest(power)


def _smallest(power: Callable[[float], float]) -> float:
    """Where a power reaches ``POWER``, by halving."""
    low, high = 0.0, 40.0
    while high - low > 0.005:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high
