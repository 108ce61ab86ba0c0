"""The formulas of intervals: by hand, by brute force, against scipy, and whether they hold the truth."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from scipy import stats

from analysis import inference
from benchmarks import _rates_inference as simulation


def test_each_seed_is_scored_by_the_choice_of_the_others() -> None:
    """By brute force, with scores missing and ties."""
    draw = np.random.default_rng(0)
    scores = draw.integers(60, 66, size=(200, 4, 5)).astype(float)
    scores[draw.random(scores.shape) < 0.1] = np.nan
    fresh, spread = inference.leave_one_out(scores)
    for cell, own in enumerate(scores):
        spreads = []
        for seed in range(5):
            others = [s for s in range(5) if s != seed]
            medians = [statistics.median(a[others]) if np.isfinite(a[others]).all() else -math.inf for a in own]
            best = medians.index(max(medians))
            if max(medians) == -math.inf:
                assert math.isnan(fresh[cell, seed])
                continue
            np.testing.assert_equal(fresh[cell, seed], own[best, seed])
            spreads.append(statistics.variance(own[best][np.isfinite(own[best])].tolist()))
        assert spread[cell] == pytest.approx(np.mean(spreads) if spreads else math.nan, nan_ok=True)


def test_with_one_assignment_nothing_is_chosen() -> None:
    scores = np.array([[[70.0, 72.0, 71.0]]])
    fresh, spread = inference.leave_one_out(scores)
    assert fresh.tolist() == [[70.0, 72.0, 71.0]]
    assert spread.tolist() == [1.0]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 9, 11, 12, 15, 20])
def test_the_variance_of_a_median_of_normal_scores(n: int) -> None:
    drawn = np.median(np.random.default_rng(n).normal(size=(200_000, n)), axis=1).var()
    assert inference.median_variance(np.array(n)) == pytest.approx(drawn, rel=0.04)


def test_the_interval_of_a_mean_is_welchs() -> None:
    """Of two tasks, weighted to be a difference: scipy's interval of two samples with unequal variances."""
    draw = np.random.default_rng(3)
    a, b = draw.normal(1, 1, 5), draw.normal(0, 3, 8)
    values = np.array([2 * a.mean(), -2 * b.mean()])
    variances = 4 * np.array([a.var(ddof=1) / 5, b.var(ddof=1) / 8])
    mean, lower, upper = inference.mean_interval(values, variances, np.array([4, 7]))
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (mean, lower, upper) == pytest.approx((a.mean() - b.mean(), expected.low, expected.high))


@pytest.mark.parametrize("variances", [[0.0, 0.0], [1.0, np.nan]])
def test_there_is_no_interval_where_nothing_tells_the_spread(variances: list[float]) -> None:
    mean, lower, upper = inference.mean_interval(np.array([1.0, 2.0]), np.array(variances), np.array([4, 4]))
    assert mean == 1.5
    assert math.isnan(lower)
    assert math.isnan(upper)


def test_the_probability_of_improvement_counts_pairs() -> None:
    """As rliable does: the Mann-Whitney statistic per task over the number of pairs, and the mean over tasks."""
    draw = np.random.default_rng(1)
    left, right = draw.integers(0, 6, (3, 5)).astype(float), draw.integers(0, 6, (3, 4)).astype(float)
    by_hand = np.mean([stats.mannwhitneyu(a, b).statistic / 20 for a, b in zip(left, right, strict=True)])
    pairs = [(x > y) + (x == y) / 2 for a, b in zip(left, right, strict=True) for x, y in itertools.product(a, b)]
    probability, lower, upper = inference.improvement(left, right)
    assert probability == pytest.approx(by_hand) == pytest.approx(np.mean(pairs))
    assert 0 <= lower < probability < upper <= 1
    certain, low, high = inference.improvement(left + 10, right)
    assert (certain, high) == (1, 1)
    assert low < 1, "five seeds that are all above do not make it sure"


def test_the_interquartile_mean_is_scipys_trimmed_mean() -> None:
    scores = np.random.default_rng(2).normal(70, 5, (8, 5))  # 40 scores: a quarter is ten
    iqm, lower, upper = inference.interquartile_mean(scores)
    assert iqm == pytest.approx(stats.trim_mean(scores.ravel(), 0.25))
    assert lower < iqm < upper
    collapsed = scores.copy()
    collapsed[0, 0] = 0
    assert abs(inference.interquartile_mean(collapsed)[0] - iqm) < 1
    assert math.isnan(inference.interquartile_mean(scores[:, :1])[1])


def test_a_profile_is_the_share_above() -> None:
    scores = np.array([[1.0, 2.0], [3.0, 4.0]])
    share, lower, upper = inference.profile(scores, np.array([0.0, 1.0, 2.5, 4.0]))
    assert share.tolist() == [1.0, 0.75, 0.5, 0.0]
    assert ((lower <= share + 1e-12) & (share <= upper + 1e-12)).all()
    assert lower[0] < 1
    assert upper[-1] > 0


# --- do they hold the truth? ----------------------------------------------------------------------------------------

REPEATS = 400


@pytest.mark.parametrize("assignments", [8, 40])
@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_intervals_of_macros_hold_the_truth_where_those_of_selected_scores_do_not(
    assignments: int, apart: float
) -> None:
    design = simulation.Design(assignments=assignments, apart=apart)
    run = simulation.simulated(design, REPEATS, np.random.default_rng(0))
    truth = run.truth(5)

    def covered(lower: np.ndarray, upper: np.ndarray) -> float:
        return float(np.mean((lower <= truth) & (truth <= upper)))

    assert covered(*simulation.macro_held_out(run)[1:3]) > 0.925
    assert covered(*simulation.macro_confirmed(run, 5)[1:3]) > 0.925
    assert covered(*simulation.macro_selected(run)[1:3]) < 0.8


def test_more_assignments_are_no_better_on_seeds_held_out() -> None:
    """Two methods of equal quality, 40 against 8 assignments: the selected gap is there, the corrected one is not."""
    draw = np.random.default_rng(1)
    many, few = (simulation.simulated(simulation.Design(assignments=a, apart=0.0), REPEATS, draw) for a in (40, 8))
    selected = (many.chosen - few.chosen).mean()
    held = simulation.macro_held_out(many)[0] - simulation.macro_held_out(few)[0]
    assert selected > 0.35
    assert abs(held.mean()) < 0.2 * selected
