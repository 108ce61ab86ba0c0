"""The interval of the median, against enumeration, against scipy, and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from serving.speed_statistics import LEAST_PAIRS, interval, rank


@pytest.mark.parametrize("n", range(LEAST_PAIRS, 15))
def test_the_level_against_every_way_in_which_ratios_can_lie_about_the_median(n: int) -> None:
    """Each of n ratios is above or below the true median with probability 1/2: all 2^n ways are counted."""

    def held(r: int) -> float:
        below = [sum(way) for way in itertools.product((0, 1), repeat=n)]
        return float(np.mean([r <= count <= n - r for count in below]))

    r = rank(n)
    assert held(r) >= 0.95
    assert held(r + 1) < 0.95, "a narrower interval would do"


@pytest.mark.parametrize("n", [50, 99, 100, 300, 1000])
def test_the_rank_against_scipy(n: int) -> None:
    assert rank(n) == int(max(r for r in range(n // 2 + 1) if 2 * stats.binom.cdf(r - 1, n, 0.5) <= 0.05))


def test_by_hand() -> None:
    """Of six, the least and the greatest; of nine, the second from both ends (2 · 10/512 = 3.9 %)."""
    assert interval(np.array([1.3, 1.0, 1.1, 1.2, 1.5, 1.4])) == pytest.approx((1.25, 1.0, 1.5))
    assert interval(np.arange(9, 0, -1.0)) == (5.0, 2.0, 8.0)


def test_too_few_are_refused() -> None:
    assert rank(LEAST_PAIRS - 1) == 0
    with pytest.raises(ValueError, match="at least 6 pairs, but there are 5"):
        interval(np.ones(5))


def test_it_holds_the_median_of_a_skewed_distribution_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    held = [
        low <= 1 <= high
        for _, low, high in (interval(np.exp(draw.exponential(1, 30) - np.log(2))) for _ in range(2000))
    ]
    assert 0.95 <= np.mean(held) <= 0.98
