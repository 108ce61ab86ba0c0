"""Bands of expected validation performance: against exact distributions, brute force, and truths that are known."""

import numpy as np
import pytest
from helpers.assignments import cell
from scipy import stats

from analysis import _evp_band, evp, inference
from analysis._evp_band import RESAMPLES, gaps, half_widths, levels, resampled, thinned
from analysis._evp_cells import Values


def of_medians(medians: np.ndarray) -> Values:
    """A random search of which nothing is known but the medians ``(N,)``."""
    ordered, nothing = np.sort(np.asarray(medians, dtype=float)), np.full(len(medians), np.nan)
    lowest = float(ordered[0])
    return Values(("", "", "", ""), "sample", ordered, nothing, np.ones(len(ordered)), nothing, lowest=lowest)


def test_levels_are_ordered_uniform_numbers() -> None:
    """The i-th of N has the distribution Beta(i, N + 1 − i)."""
    drawn = levels(7)
    assert drawn.shape == (RESAMPLES, 7)
    assert (np.diff(drawn, axis=1) > 0).all()
    for i in range(7):
        assert stats.kstest(drawn[:, i], stats.beta(i + 1, 7 - i).cdf).pvalue > 1e-3


def test_curves_drawn_anew_are_the_mean_maximum_of_draws_from_the_gaps() -> None:
    """Each is ``Σ worth_i (u_{i+1}^n − u_i^n)``: n draws that each fall into gap i with its probability."""
    values = of_medians(np.random.default_rng(0).normal(80, 3, 9))
    ((draws, low, high),) = resampled([values])
    assert draws.tolist() == [1, 2, 3, 4]
    edges = np.hstack([np.zeros((RESAMPLES, 1)), levels(9), np.ones((RESAMPLES, 1))])
    for worth, curves in zip(gaps(values), (low, high), strict=True):
        exact = np.stack([(np.diff(edges**n, axis=1) * worth).sum(axis=1) for n in draws])
        assert np.sort(curves, axis=1) == pytest.approx(np.sort(exact, axis=1), abs=1e-9)
    draw = np.random.default_rng(1)  # of one set of levels, by brute force
    probabilities = np.diff(edges[0])
    worth = gaps(values)[0]
    maxima = worth[draw.choice(10, size=(200_000, 3), p=probabilities).max(axis=1)]
    assert (np.diff(edges[0] ** 3) * worth).sum() == pytest.approx(maxima.mean(), abs=0.05)


def test_gaps_hold_the_values_and_reach_beyond_them() -> None:
    low, high = gaps(of_medians(np.array([70.0, 80.0, 82.0, 84.0, 90.0])))
    assert low[1:-1].tolist() == high[1:-1].tolist() == [75.0, 81.0, 83.0, 87.0]
    assert (low[-1], high[0]) == (90.0, 70.0)
    assert high[-1] == 100.0, "no more than all right"
    assert gaps(of_medians(np.array([70.0, 80.0, 82.0, 84.0, 85.0])))[1][-1] == 85 + (1 + 4 / 5) * (85 - 82)
    assert low[0] == 70 - (1 + 10 / 5) * (82 - 70)
    known = gaps(cell(np.array([[70.0], [80.0], [82.0], [84.0], [90.0]]), "sample", chance=True, floor=50.0))
    assert known[0][0] == pytest.approx(70 - (1 / 2 + 2 / 5) * (70 - 50)), "halfway to chance and further"
    below = gaps(cell(np.array([[40.0], [80.0], [82.0], [84.0], [90.0]]), "sample", chance=True, floor=50.0))
    assert below[0][0] == 40.0, "or the worst, where that is below chance"
    others = gaps(cell(np.array([[70.0], [80.0], [82.0], [84.0], [90.0]]), "sample", lowest=-40.0))
    assert others[0][0] == 15.0, "halfway to the lowest score on the task"


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("kind", ["sample", "grid"])
def test_below_five_assignments_there_is_no_band(size: int, kind: str) -> None:
    table = evp.of_cells([cell(np.random.default_rng(2).normal(80, 3, (size, 3)), kind)])  # type: ignore[arg-type]
    assert table[["lower", "upper"]].isna().all(axis=None)
    assert table["expected"].notna().all()


def test_a_long_search_is_thinned_and_its_band_hardly_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    values = cell(np.random.default_rng(3).normal(80, 3, (80, 2)), "sample")
    few = evp.of_cells([values]).dropna()
    assert len(thinned(40)) < 40
    monkeypatch.setattr(_evp_band, "_MOST", 1000)
    every = evp.of_cells([values]).dropna()
    np.testing.assert_allclose(few[["lower", "upper"]], every[["lower", "upper"]], atol=0.06)


def test_cells_of_unequal_sizes_together_are_as_each_alone() -> None:
    draw = np.random.default_rng(4)
    cells = [cell(draw.normal(80, 3, (size, 2)), "sample", str(i)) for i, size in enumerate((9, 30, 9, 3))]
    for values, together in zip(cells, resampled(cells), strict=True):
        (alone,) = resampled([values])
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, other)


def test_cells_err_independently() -> None:
    scores = np.random.default_rng(5).normal(80, 3, (20, 2))
    (_, one, _), (_, other, _) = resampled([cell(scores, "sample", name) for name in ("one", "other")])
    assert np.sort(one[0]) == pytest.approx(np.sort(other[0])), "the same band"
    assert abs(np.corrcoef(one[0], other[0])[0, 1]) < 0.12


# --- grids -----------------------------------------------------------------------------------------------------------


def test_at_one_assignment_of_two_seeds_a_grids_band_is_students() -> None:
    """n = 1 is the mean of N medians of two, which are means: with equal variances the pooled t interval."""
    scores = np.array([[80.0, 81.0], [70.0, 71.0], [60.0, 61.0], [85.0, 86.0], [50.0, 51.0]])
    values = cell(scores, "grid")
    pooled = stats.t.ppf(0.975, 5) * np.sqrt(0.5 / 2 / 5)
    assert half_widths(values, evp.weights(5, np.array([1]), "u"))[0] == pytest.approx(pooled)


@pytest.mark.parametrize("seeds", range(1, 11))
def test_the_variance_of_a_median_of_normal_scores(seeds: int) -> None:
    drawn = np.median(np.random.default_rng(seeds).normal(size=(400_000, seeds)), axis=1)
    assert drawn.var() == pytest.approx(float(inference.median_variance(np.array(seeds))), rel=0.01)


def test_at_the_end_of_a_grid_stands_its_best_with_the_noise_of_its_seeds() -> None:
    scores = np.random.default_rng(7).normal(60, 0.5, (12, 3)) + np.arange(12)[:, None]
    table = evp.of_cells([cell(scores, "grid")])
    best = np.median(scores, axis=1).argmax()
    half = stats.t.ppf(0.975, 2) * np.sqrt(1.3460 / 3) * scores[best].std(ddof=1)
    last = table.iloc[-1]
    assert (last["expected"], last["upper"]) == pytest.approx((np.median(scores[best]), last["expected"] + half))


def test_a_grid_of_one_seed_has_no_band() -> None:
    table = evp.of_cells([cell(np.random.default_rng(8).normal(80, 3, (12, 1)), "grid")])
    assert table[["lower", "upper"]].isna().all(axis=None)


# --- coverage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 12, 40])
@pytest.mark.parametrize(
    "shape",
    [
        lambda d, s: d.normal(80, 3, s),
        lambda d, s: 88 - d.exponential(5, s),
        lambda d, s: 86 - 3 * d.normal(size=s) ** 2,
    ],
    ids=["normal", "exponential", "learning rate"],
)
def test_the_band_of_a_sample_holds_the_truth(shape, size: int) -> None:  # type: ignore[no-untyped-def]
    """In 300 studies, at n = 1, N/4 and N/2; benchmarks/statistics.py has the figures."""
    draw = np.random.default_rng(9)
    draws = np.unique([1, max(1, size // 4), size // 2])
    truth = evp.expected_best(shape(draw, (300_000,)), "v", draws)
    cells = [cell(own[:, None], "sample", str(i)) for i, own in enumerate(shape(draw, (300, size)))]
    held = np.zeros(len(draws))
    for drawn in resampled(cells):
        lower, upper = _evp_band.band(*drawn, draws)
        held += (lower <= truth) & (truth <= upper)
    assert (held / 300 > 0.9).all(), held / 300
