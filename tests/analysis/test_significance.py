"""The tests against scipy and by hand, and how often they call luck a difference."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis import significance
from analysis.selection import assignments, best_assignments
from analysis.significance import holm, permutation, signed_rank, stratified_permutation


def stream() -> np.random.Generator:
    return np.random.default_rng(0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
    assert math.isnan(holm([math.nan, 0.02])[0])
    assert holm([math.nan, 0.02])[1] == 0.02


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-50, 50).filter(bool), min_size=1, max_size=9, unique_by=abs))
def test_signed_rank_is_scipys_exact_test(values: list[int]) -> None:
    p, least = signed_rank(np.array(values, dtype=float), stream())
    assert p == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)
    assert least == 2 / 2 ** len(values)
    assert p >= least


def test_signed_rank_with_ties_and_zeros_by_hand() -> None:
    # Ranks 1.5, 1.5, 3 and their signed sum 3: of the 8 sums (6, 3, 3, 0 and their negatives) 6 are as far out.
    assert signed_rank(np.array([0.0, 1.0, -1.0, 2.0]), stream()) == (6 / 8, 0.25)
    assert signed_rank(np.zeros(4), stream()) == (1.0, 1.0)


def test_many_tasks_are_sampled() -> None:
    values = np.random.default_rng(3).normal(0.4, 1, size=30)
    assert signed_rank(values, stream())[0] == pytest.approx(stats.wilcoxon(values).pvalue, abs=0.02)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=2, max_size=5), st.lists(st.integers(0, 20), min_size=2, max_size=5))
def test_permutation_is_scipys(left: list[int], right: list[int]) -> None:
    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return abs(np.mean(a) - np.mean(b))

    p, least = permutation(np.array(left, float), np.array(right, float), stream())
    exact = stats.permutation_test((left, right), distance, n_resamples=np.inf, alternative="greater")
    assert p == pytest.approx(exact.pvalue)
    assert p >= least - 1e-12


def test_permutation_least_p() -> None:
    assert permutation(np.arange(5.0), np.arange(5.0) + 10, stream()) == pytest.approx((2 / 252, 2 / 252))
    assert permutation(np.arange(2.0), np.arange(3.0) + 10, stream()) == pytest.approx((1 / 10, 1 / 10))
    assert permutation(np.array([1.0]), np.array([2.0]), stream()) == (1.0, 1.0)


def test_stratified_with_one_task_is_the_permutation_test() -> None:
    left, right = np.array([1.0, 2.0, 3.0, 4.5]), np.array([2.5, 4.0, 5.0, 6.0])
    exact, _ = permutation(left, right, stream())
    assert stratified_permutation([(left, right)], stream()) == pytest.approx(exact, abs=0.02)


def test_stratified_sees_what_no_single_task_can() -> None:
    draw = np.random.default_rng(5)
    pairs = [(draw.normal(size=3), draw.normal(size=3) + 1.5) for _ in range(8)]
    assert min(permutation(a, b, stream())[0] for a, b in pairs) >= 0.1
    assert stratified_permutation(pairs, stream()) < 0.01


def test_stratified_calls_luck_a_difference_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(6)
    p = [
        stratified_permutation([(draw.normal(size=3), draw.normal(size=3)) for _ in range(3)], np.random.default_rng(i))
        for i in range(200)
    ]
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.1


def test_over_tasks_compares_every_method_with_the_best(frame: pd.DataFrame) -> None:
    winners = best_assignments(assignments(frame))
    table = significance.over_tasks(frame, winners)
    assert list(table.columns) == significance.OVER_TASKS
    assert len(table) == 7
    assert table["reference"].nunique() == 1
    assert table["reference"].iloc[0] not in {"fine_tuning", *table["method"]}
    medians = winners.pivot(index="task", columns="method", values="median")
    row = table.set_index("method").loc["p_tuning_v1"]
    assert row["difference"] == pytest.approx((medians["p_tuning_v1"] - medians[row["reference"]]).mean())
    assert (row["wins"], row["ties"], row["losses"], row["n_tasks"]) == (0, 0, 3, 3)
    assert math.isnan(row["lower"])  # three tasks are too few for an interval
    assert row["p"] == row["p_least"] == 0.25
    assert (table["p_least_holm"] <= table["p_holm"] + 1e-12).all()
    assert row["p_seeds"] < 0.001


def test_over_seeds_names_the_tasks_best_and_its_own_limit(make_runs: Callable) -> None:
    frame = make_runs(methods=("fine_tuning", "lora", "p_tuning_v1"), tasks=("rte",), seeds=5)
    table = significance.over_seeds(frame, best_assignments(assignments(frame)))
    assert list(table.columns) == significance.OVER_SEEDS
    assert table["method"].tolist() == ["fine_tuning", "p_tuning_v1"]
    assert table["p_least"].unique() == pytest.approx([2 / 252])
    row = table.iloc[1]
    assert (row["p"], row["p_holm"]) == pytest.approx((2 / 252, 4 / 252))
    assert row["difference"] < -3


def test_one_seed_has_no_test_over_seeds(make_runs: Callable) -> None:
    frame = make_runs(methods=("lora", "bitfit"), tasks=("rte", "cola"), seeds=1)
    winners = best_assignments(assignments(frame))
    assert significance.over_tasks(frame, winners)["p_seeds"].isna().all()
    assert (significance.over_seeds(frame, winners)["p"] == 1).all()


def test_nothing_to_compare(make_runs: Callable) -> None:
    for methods in (("fine_tuning",), ("lora",)):
        frame = make_runs(methods=methods, tasks=("rte",), seeds=2)
        winners = best_assignments(assignments(frame))
        assert significance.over_tasks(frame, winners).empty
        assert significance.over_seeds(frame, winners).empty
