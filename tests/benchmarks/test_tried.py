"""What was tried and is not shown is implemented as it is named: against scipy, brute force and hand arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from analysis import evp, inference
from analysis._evp_band import half_widths, levels
from benchmarks import _bands, _rates_tried_evp
from benchmarks import _rates_evp as evp_simulation
from benchmarks import _rates_inference as simulation
from benchmarks import _rates_tried as tried

RUN = simulation.simulated(simulation.Design(tasks=3, assignments=4), 5, np.random.default_rng(0))


# --- intervals of a macro --------------------------------------------------------------------------------------------


def scipys_bootstrap(scores: np.ndarray, statistic: Callable[..., np.ndarray]) -> tuple[float, float]:
    """Its percentile interval."""
    found = stats.bootstrap(
        (scores,), statistic, vectorized=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    return found.low, found.high


def test_of_one_assignment_the_bootstrap_with_selection_is_scipys_of_the_median() -> None:
    run = simulation.simulated(simulation.Design(tasks=1, assignments=1), 2, np.random.default_rng(1))
    lower, upper = simulation.macro_bootstrap(run, np.random.default_rng(2), 20_000)
    for i, scores in enumerate(run.scores[:, 0, 0]):
        assert (lower[i], upper[i]) == pytest.approx(scipys_bootstrap(scores, np.median))


def test_the_bootstrap_with_selection_chooses_anew_in_every_sample() -> None:
    """One of the assignments is always ahead by its worst seed: the samples are its own, whatever the others are."""
    scores = np.array([[[[1.0, 2, 3, 4, 5], [11, 12, 13, 14, 15]]]])
    run = simulation.Simulated(scores, np.array([[13.0]]), scores[:, :, 1])
    alone = simulation.Simulated(scores[:, :, 1:], np.array([[13.0]]), scores[:, :, 1])
    both, one = (simulation.macro_bootstrap(r, np.random.default_rng(3), 5_000) for r in (run, alone))
    np.testing.assert_allclose(both, one)
    close = simulation.Simulated(np.repeat(scores[:, :, 1:], 30, axis=2), run.chosen, run.fresh)
    assert simulation.macro_bootstrap(close, np.random.default_rng(3), 500)[0] > 13, "the best of 30 medians"


def test_the_bootstrap_of_the_interquartile_mean_of_one_task_is_scipys() -> None:
    run = simulation.simulated(simulation.Design(tasks=1, assignments=1), 2, np.random.default_rng(1))
    _, lower, upper = simulation._bootstrapped_iqm(run, 5, np.random.default_rng(2))
    for i, scores in enumerate(run.fresh[:, 0, :5]):
        expected = scipys_bootstrap(scores, lambda own, axis: stats.trim_mean(own, 0.25, axis=axis))
        assert (lower[i], upper[i]) == pytest.approx(expected, abs=0.6)


def test_without_the_factor_the_interval_is_narrower_by_its_root() -> None:
    mean, lower, upper, _ = simulation.macro_held_out(RUN)
    plain = tried.not_inflated(RUN)
    np.testing.assert_allclose(plain[0], mean)
    np.testing.assert_allclose((upper - lower) / (plain[2] - plain[1]), np.sqrt(2 * 4 / 5))


def test_by_means_the_choice_is_the_same_and_the_scores_are_averaged() -> None:
    by_hand = []
    for task in RUN.scores[0]:
        fresh = []
        for seed in range(5):
            others = np.delete(task, seed, axis=1)
            fresh.append(task[np.median(others, axis=1).argmax(), seed])
        by_hand.append(np.mean(fresh))
    mean, lower, upper = (ends[0] for ends in tried.means(RUN))
    assert mean == pytest.approx(np.mean(by_hand))
    shown = simulation.macro_held_out(RUN)
    ratio = float(inference.median_variance(np.array(5)) * 5)
    assert (shown[2][0] - shown[1][0]) / (upper - lower) == pytest.approx(np.sqrt(ratio))


def test_halves_are_all_choices_of_three_seeds_scored_by_the_other_two() -> None:
    medians, variances = [], []
    for task in RUN.scores[0]:
        scored, spreads = [], []
        for chosen in combinations(range(5), 3):
            rest = [seed for seed in range(5) if seed not in chosen]
            best = max(task, key=lambda own: np.median(own[list(chosen)]))
            scored.append(np.median(best[rest]))
            spreads.append(np.var(best, ddof=1))
        medians.append(np.mean(scored))
        variances.append(np.mean(spreads) / 2)
    freedom = sum(variances) ** 2 / sum(v**2 / 4 for v in variances)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(sum(variances)) / 3
    found = np.array(tried.halves(RUN, 2))[:, 0]
    np.testing.assert_allclose(found, np.mean(medians) + np.array([0, -half, half]))


def test_walds_band_on_one_task_is_the_textbooks() -> None:
    share, lower, upper = tried.wald(np.array([[[60.0, 70.0, 80.0, 90.0]]]), np.array([65.0]))
    half = 1.959964 * np.sqrt(0.75 * 0.25 / 3)
    assert (share, lower, upper) == pytest.approx((0.75, 0.75 - half, 0.75 + half))


@pytest.mark.parametrize("comparisons", [7, 28])
def test_one_is_below_the_best_by_a_t_interval_of_the_familys_level(comparisons: int) -> None:
    """Two methods on one task, equal variances of 0.5 on four degrees each."""
    reach = stats.t.ppf(1 - 0.025 / comparisons, 8)
    variances = np.full((2, 1, 1), 0.5)
    for gap, expected in ((reach - 0.01, False), (reach + 0.01, True)):
        assert tried.far_from_best(np.array([[0.0], [gap]]), variances, 4, comparisons).tolist() == [expected]


def test_ties_of_the_best_median_are_of_unequal_deviation() -> None:
    scores = np.array([[[70.0, 80.0, 90.0], [79.0, 80.0, 81.0], [60.0, 60.0, 60.0]]])
    found = tried.deviations(scores)
    assert found["to the first"] == pytest.approx([10.0])
    assert found["to the smaller deviation"] == pytest.approx([1.0])


# --- tests -----------------------------------------------------------------------------------------------------------


def test_a_bootstrap_p_is_twice_the_smaller_tail() -> None:
    assert tried.bootstrap_p(np.array([-1.0, 1, 1, 1, 1, 1, 1, 1, 1])) == pytest.approx(2 * 2 / 10)
    assert tried.bootstrap_p(np.zeros(9)) == 1.0


def test_equivalence_over_seeds_by_all_exchanges() -> None:
    draw = np.random.default_rng(1)
    found = []
    for _ in range(40):
        left, right = draw.normal(0, 0.6, 4), draw.normal(0, 0.6, 4)
        one_sided = []
        for up, down in ((left + 1, right), (right + 1, left)):
            pooled = np.concatenate([up, down])
            every = [2 * np.mean(pooled[list(c)]) for c in combinations(range(8), 4)]
            one_sided.append(np.mean(np.array(every) >= 2 * up.mean() - 1e-9))
        expected = max(one_sided) < 0.05
        assert tried.equivalent_over_seeds([(left, right)], 1.0, draw) == expected
        found.append(expected)
    assert 0 < sum(found) < 40


def test_equivalence_over_tasks_is_scipys_in_both_directions() -> None:
    found = []
    for differences in np.random.default_rng(2).normal(0.4, 0.6, (40, 7)):
        p = [stats.wilcoxon(side * differences + 1, alternative="greater", method="exact").pvalue for side in (1, -1)]
        assert tried.equivalent_over_tasks(differences, 1.0) == (max(p) < 0.05)
        found.append(max(p) < 0.05)
    assert 0 < sum(found) < 40


# --- bands of EVP ----------------------------------------------------------------------------------------------------

DRAW = np.random.default_rng(3)
X = np.sort(DRAW.normal(80, 3, (1, 12)), axis=1)


def u_statistic(n: int) -> Callable[..., np.ndarray]:
    return lambda sample, axis=-1: evp.expected_best(np.moveaxis(sample, axis, -1), "u", np.array([n]))[..., 0]


@pytest.mark.parametrize("n", [1, 6])
def test_the_percentile_bootstrap_is_scipys(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bands, "RESAMPLES", 20_000)
    lower, upper = _bands.percentile(X, n, np.random.default_rng(4))
    expected = scipys_bootstrap(X[0], u_statistic(n))
    assert (lower[0], upper[0]) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("n", [1, 3, 6])
def test_the_jackknife_leaves_each_out(n: int) -> None:
    left_out = np.array([evp.expected_best(np.delete(X[0], i), "u", np.array([n]))[0] for i in range(12)])
    np.testing.assert_allclose(_bands.jackknife(X, n)[0], left_out - left_out.mean())


def test_at_one_assignment_the_jackknife_is_students_interval_of_the_mean() -> None:
    lower, upper = _bands.jackknife_t(X, 1, DRAW)
    expected = stats.ttest_1samp(X[0], 0).confidence_interval()
    assert (lower[0], upper[0]) == pytest.approx((expected.low, expected.high))


def test_degrees_of_freedom_are_as_many_as_values_carry_the_error() -> None:
    alike = np.array([[79.0] * 5 + [81.0] * 5])
    for x, freedom in ((alike, 10), (np.array([[80.0] * 9 + [90.0]]), 90**2 / (9 + 9**4))):
        half = stats.t.ppf(0.975, freedom) * x.std(ddof=1) / np.sqrt(10)
        lower, upper = _bands.satterthwaite(x, 1, DRAW)
        assert (upper[0] - lower[0]) / 2 == pytest.approx(half)


def test_on_a_log_scale_the_ends_are_as_many_times_nearer_and_further_from_100() -> None:
    (low,), (high,) = _bands.satterthwaite(X, 1, DRAW)
    (lower,), (upper,) = _bands.log_scale(X, 1, DRAW)
    middle = X.mean()
    assert (100 - lower) * (100 - upper) == pytest.approx((100 - middle) ** 2)
    assert np.log((100 - lower) / (100 - middle)) == pytest.approx((high - low) / 2 / (100 - middle))


def test_the_bootstrap_t_of_a_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bands, "RESAMPLES", 40_000)
    lower, upper = _bands.bootstrap_t(X, 1, np.random.default_rng(6))
    again = np.random.default_rng(7).choice(X[0], (40_000, 12))
    ratios = (again.mean(axis=1) - X.mean()) / (again.std(axis=1, ddof=1) / np.sqrt(12))
    low, high = X.mean() - np.quantile(ratios, [0.975, 0.025]) * X.std(ddof=1) / np.sqrt(12)
    assert (lower[0], upper[0]) == pytest.approx((low, high), abs=0.1)


@pytest.mark.parametrize("n", [1, 3])
def test_ordered_uniforms_are_a_sum_over_gaps(n: int) -> None:
    x = np.array([[60.0, 70.0, 74.0]])
    for band, bottom, top in ((_bands.whole_scale, 0.0, 100.0), (_bands.short_reach, 55.0, 76.0)):
        low, high = [], []
        for u in levels(3):
            edges = np.array([0.0, *u, 1.0]) ** n
            mass = np.diff(edges)
            low.append(mass @ [bottom, 65.0, 72.0, 74.0])
            high.append(mass @ [60.0, 65.0, 72.0, top])
        lower, upper = band(x, n, DRAW)
        assert (lower[0], upper[0]) == pytest.approx((np.quantile(low, 0.025), np.quantile(high, 0.975)))


def test_bands_are_cut_at_the_ends_of_the_scale_and_in_the_order_of_the_studies() -> None:
    x = np.sort(np.random.default_rng(8).normal(99, 3, (120, 6)), axis=1)
    lower, upper = _rates_tried_evp.within_scale(x, 1, _bands.jackknife_t, DRAW)
    whole = _bands.jackknife_t(x, 1, DRAW)
    np.testing.assert_allclose(lower, np.clip(whole[0], 0, 100))
    np.testing.assert_allclose(upper, np.clip(whole[1], 0, 100))
    assert (whole[1] > 100).any()


def test_one_variance_for_all_of_a_grid_is_the_pooled_interval_at_one_assignment() -> None:
    scores = np.random.default_rng(9).normal(80, 1, (6, 3))
    values = evp_simulation._values(scores, "grid", "x")
    weights = evp.weights(6, np.array([1, 3]), "u")
    expected = stats.t.ppf(0.975, 12) * np.sqrt(scores.var(axis=1, ddof=1).mean() * 0.4487 / 6)
    narrow = _rates_tried_evp.pooled(weights, values.variances, 3)
    assert narrow[0] == pytest.approx(expected)
    assert (narrow < half_widths(values, weights)).all()
