"""The tests against scipy, by enumeration and by hand; their floors; and how often they call luck a difference."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis import exact
from analysis.exact import exchange, holm, signed_rank, signs


def stream() -> np.random.Generator:
    return np.random.default_rng(0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
    assert math.isnan(holm([math.nan, 0.02])[0])
    assert holm([math.nan, 0.02])[1] == 0.02


# --- seeds -----------------------------------------------------------------------------------------------------------

SCORES = st.lists(st.integers(0, 20), min_size=2, max_size=5)


def by_enumeration(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The exchange test with nothing clever: every split of every task, one by one."""
    every = []
    for left, right in pairs:
        pooled = [*left, *right]
        splits = [set(chosen) for chosen in combinations(range(len(pooled)), len(left))]
        every.append([
            np.mean([v for i, v in enumerate(pooled) if i in s])
            - np.mean([v for i, v in enumerate(pooled) if i not in s])
            for s in splits
        ])  # fmt: skip
    observed = abs(sum(np.mean(left) - np.mean(right) for left, right in pairs))
    return float(np.mean([abs(sum(values)) >= observed - 1e-9 for values in product(*every)]))


@settings(max_examples=20, deadline=None)
@given(SCORES, SCORES)
def test_exchange_on_one_task_is_scipys_permutation_test(left: list[int], right: list[int]) -> None:
    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return abs(np.mean(a) - np.mean(b))

    expected = stats.permutation_test((left, right), distance, n_resamples=np.inf, alternative="greater").pvalue
    p = exchange([(np.array(left, float), np.array(right, float))], stream())
    assert p == pytest.approx(expected)
    assert p >= exact.least_exchange([(len(left), len(right))]) - 1e-12


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(SCORES.map(lambda x: x[:3]), SCORES.map(lambda x: x[:2])), min_size=2, max_size=3))
def test_exchange_over_tasks_counts_every_way(tasks: list[tuple[list[int], list[int]]]) -> None:
    pairs = [(np.array(left, float), np.array(right, float)) for left, right in tasks]
    assert exchange(pairs, stream()) == pytest.approx(by_enumeration(pairs))


def test_two_tasks_of_two_seeds_have_36_ways() -> None:
    """0.375 is impossible there: p is a multiple of 1/36, at least 2/36, and after Holm over 7 comparisons 0.389."""
    draw = np.random.default_rng(1)
    found = {exchange([(draw.normal(size=2), draw.normal(size=2)) for _ in range(2)], stream()) for _ in range(60)}
    assert all(round(36 * p) == pytest.approx(36 * p) for p in found)
    assert min(found) == pytest.approx(2 / 36)
    assert exact.least_exchange([(2, 2), (2, 2)]) == pytest.approx(2 / 36)
    assert holm([2 / 36] * 7)[0] == pytest.approx(0.389, abs=5e-4)


def test_eight_tasks_meet_in_the_middle() -> None:
    """20^8 ways are counted, those of ten seeds a task are drawn; both as scipy draws them."""
    draw = np.random.default_rng(5)
    for size in (3, 5):
        pairs = [(draw.normal(size=size), draw.normal(size=size) + 0.4) for _ in range(8)]
        signed = np.array([[a.mean(), b.mean()] for a, b in pairs])
        observed = abs((signed[:, 0] - signed[:, 1]).sum())
        pooled = np.array([np.concatenate(pair) for pair in pairs])
        shuffled = draw.permuted(np.broadcast_to(pooled, (20_000, *pooled.shape)), axis=2)
        sums = (shuffled[..., :size].mean(axis=2) - shuffled[..., size:].mean(axis=2)).sum(axis=1)
        p = exchange(pairs, stream())
        assert p == pytest.approx(np.mean(np.abs(sums) >= observed), abs=0.01)
    assert exact.least_exchange([(3, 3)] * 8) == pytest.approx(2 / 20**8)
    assert exact.least_exchange([(5, 5)] * 8) == 1 / (exact.DRAWS + 1)


def test_the_least_p_is_reached() -> None:
    assert exchange([(np.arange(5.0), np.arange(5.0) + 10)], stream()) == pytest.approx(2 / 252)
    assert exact.least_exchange([(5, 5)]) == pytest.approx(2 / 252)
    assert exchange([(np.arange(2.0), np.arange(3.0) + 10)], stream()) == pytest.approx(1 / 10)
    assert exact.least_exchange([(2, 3)]) == pytest.approx(1 / 10)
    assert exact.least_exchange([(1, 1)]) == exchange([(np.array([1.0]), np.array([2.0]))], stream()) == 1.0


def test_how_many_seeds_and_tasks_would_be_needed() -> None:
    # One comparison: 2/20 with three seeds, 2/70 with four. Six: 12/252 with five. Eight tasks: 2/2^8 with one.
    assert [exact.needed_seeds(1, m) for m in (1, 6, 7)] == [4, 5, 6]
    assert exact.needed_seeds(2, 1) == 3
    assert exact.needed_seeds(8, 6) == 1
    # 2^(1-6) = 0.031; seven tasks and 1/64 for three; 6/128 with eight, 7/128 is above 0.05.
    assert [exact.needed_tasks(m) for m in (1, 3, 6, 7)] == [6, 7, 8, 9]


def test_seeds_that_are_equal_call_luck_a_difference_about_as_often_as_they_say() -> None:
    draw = np.random.default_rng(6)
    p = [exchange([(draw.normal(size=3), draw.normal(size=3)) for _ in range(4)], stream()) for _ in range(600)]
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.07


@pytest.mark.parametrize("tasks", [1, 6])
def test_a_detectable_difference_over_seeds_is_found_in_80_of_100_cases(tasks: int) -> None:
    draw = np.random.default_rng(8)
    base = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) / np.std([-1, -0.5, 0, 0.5, 1], ddof=1)  # a deviation of one
    effect = exact.detectable_exchange([(base, base)] * tasks, 2)
    found = [
        2 * exchange([(draw.normal(size=5) + effect, draw.normal(size=5)) for _ in range(tasks)], stream()) < 0.05
        for _ in range(300)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.07)
    assert math.isnan(exact.detectable_exchange([(base[:2], base[:2])] * tasks, 1)) == (tasks == 1)


# --- tasks -----------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-50, 50).filter(bool), min_size=1, max_size=9, unique_by=abs))
def test_signed_rank_is_scipys_exact_test(values: list[int]) -> None:
    p = signed_rank(np.array(values, dtype=float))
    assert p == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)
    assert p >= exact.least_signed_rank(len(values)) - 1e-12


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8))
def test_signed_rank_with_ties_counts_every_sign(values: list[int]) -> None:
    found = np.array([v for v in values if v], dtype=float)
    ranks = stats.rankdata(np.abs(found))
    sums = [abs(np.dot(s, ranks)) for s in product((-1, 1), repeat=len(found))]
    expected = np.mean([s >= abs(np.sum(np.sign(found) * ranks)) - 1e-9 for s in sums]) if len(found) else 1.0
    assert signed_rank(np.array(values, dtype=float)) == pytest.approx(expected)


def test_signed_rank_of_many_tasks_is_exact() -> None:
    values = np.random.default_rng(3).normal(0.4, 1, size=30)
    assert signed_rank(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=6, max_size=10, unique=True))
def test_the_interval_holds_what_the_test_does_not_reject(values: list[int]) -> None:
    """Any shift within it is not rejected, any outside of it is."""
    found = np.array(values, dtype=float)
    typical, lower, upper = exact.typical_difference(found)
    assert lower <= typical <= upper
    for shift, inside in ((lower - 0.123, False), (lower + 0.123, True), (upper - 0.123, True), (upper + 0.123, False)):
        if lower + 0.2 < upper:
            assert (signed_rank(found - shift) > 0.05) == inside


def test_the_typical_difference_by_hand() -> None:
    # The means of pairs of 0, 1, 5: 0, 0.5, 1, 2.5, 3, 5; three tasks have no interval.
    typical, lower, upper = exact.typical_difference(np.array([0.0, 1.0, 5.0]))
    assert typical == 1.75
    assert math.isnan(lower)
    assert math.isnan(upper)


def test_a_detectable_difference_over_tasks_is_found_in_80_of_100_cases() -> None:
    draw = np.random.default_rng(9)
    base = np.linspace(-1, 1, 8) / np.std(np.linspace(-1, 1, 8), ddof=1)
    effect = exact.detectable_signed_rank(base, 2)
    found = [2 * signed_rank(draw.normal(size=8) + effect) < 0.05 for _ in range(500)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)
    assert math.isnan(exact.detectable_signed_rank(base[:5], 1))


# --- examples --------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 30))
def test_one_model_on_each_side_is_mcnemars_exact_test(wins: int, losses: int, ties: int) -> None:
    differences = np.array([1] * wins + [-1] * losses + [0] * ties)
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert signs(differences)[0] == pytest.approx(expected, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=10))
def test_signs_count_every_sign(values: list[int]) -> None:
    found = [v for v in values if v]
    every = [abs(np.dot(s, found)) for s in product((-1, 1), repeat=len(found))] if found else [0]
    p, reach = signs(np.array(values))
    assert p == pytest.approx(np.mean([s >= abs(sum(found)) for s in every]))
    assert reach == max(size for size in every if np.mean([s >= size for s in every]) >= 0.05), "by the same test"


def test_signs_of_thousands_of_examples() -> None:
    draw = np.random.default_rng(2)
    values = draw.integers(-5, 6, size=9_815) + (draw.random(9_815) < 0.02)
    z = values.sum() / math.sqrt((values.astype(float) ** 2).sum())
    assert signs(values)[0] == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.02)
