"""How much slower, and how sure that is: the median of paired ratios and an interval that assumes no distribution."""

from __future__ import annotations

import math

import numpy as np

#: With fewer pairs the least and the greatest ratio hold the median less often than in 95 % of cases.
LEAST_PAIRS = 6
LEVEL = 0.95


def interval(ratios: np.ndarray) -> tuple[float, float, float]:
    """The median of ``ratios`` (pairs,) and an interval that holds the true median in at least 95 % of cases.

    The ends are order statistics: of ``n`` ratios, the number that lie below the true median is binomial with
    probability 1/2, whatever their distribution. Taken are the ``r``-th from below and from above with the greatest
    ``r`` for which that leaves at most 5 %. Ratios that are no integers have ties of no consequence.

    Raises ValueError for fewer than ``LEAST_PAIRS``.
    """
    n = len(ratios)
    if n < LEAST_PAIRS:
        raise ValueError(f"an interval takes at least {LEAST_PAIRS} pairs, but there are {n}; evaluate more often")
    ordered = np.sort(ratios)
    r = rank(n)
    return float(np.median(ordered)), float(ordered[r - 1]), float(ordered[n - r])


def rank(n: int) -> int:
    """The greatest ``r`` with ``2 P(B <= r - 1) <= 0.05`` for ``B`` binomial of ``n`` and 1/2; 0 where there is none.

    In whole numbers, so that no rounding decides.
    """
    below, r = 0, 0
    while 2 * (below + math.comb(n, r)) * 20 <= 2**n:  # 20 = 1 / (1 - LEVEL)
        below += math.comb(n, r)
        r += 1
    return r
