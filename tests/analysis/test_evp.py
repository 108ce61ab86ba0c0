"""Both estimators of expected validation performance, against the enumeration of every draw."""

import math
from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import evp
from analysis.frame import tidy

VALUES = st.lists(st.floats(0, 100, allow_nan=False).map(lambda x: round(x, 2)), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(VALUES)
def test_v_statistic_is_the_mean_maximum_over_all_draws_with_replacement(values: list[float]) -> None:
    size = min(len(values), 4)
    expected = [np.mean([max(draw) for draw in product(values, repeat=n)]) for n in range(1, size + 1)]
    assert evp.expected_best(np.array(values), "v")[:size] == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(VALUES)
def test_u_statistic_is_the_mean_maximum_over_all_subsets(values: list[float]) -> None:
    expected = [np.mean([max(draw) for draw in combinations(values, n)]) for n in range(1, len(values) + 1)]
    assert evp.expected_best(np.array(values), "u") == pytest.approx(expected)


def test_by_hand() -> None:
    values = np.array([3.0, 1.0])
    assert evp.expected_best(values, "v").tolist() == [2.0, 2.5]  # (1 + 3 + 3 + 3) / 4
    assert evp.expected_best(values, "u").tolist() == [2.0, 3.0]


@pytest.mark.parametrize("size", [1, 2, 40, 2000])
@pytest.mark.parametrize("estimator", ["v", "u"])
def test_weights_sum_to_one_and_stay_finite(size: int, estimator: evp.Estimator) -> None:
    draws = np.unique(np.linspace(1, size, 7).astype(int))
    weights = evp.weights(size, draws, estimator)
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    assert weights.sum(axis=0) == pytest.approx(1.0, abs=1e-9)


def test_u_weights_are_the_binomials() -> None:
    weights = evp.weights(30, np.arange(1, 31), "u")
    exact = [[math.comb(i - 1, n - 1) / math.comb(30, n) for n in range(1, 31)] for i in range(1, 31)]
    assert weights == pytest.approx(np.array(exact), rel=1e-12, abs=1e-15)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(3, 50))
    whole = evp.expected_best(values)
    monkeypatch.setattr(evp, "_CHUNK", 60)
    assert evp.expected_best(values) == pytest.approx(whole, rel=1e-13)


@pytest.mark.parametrize("estimator", ["v", "u"])
def test_a_curve_rises_within_the_values_and_its_band_holds_it(estimator: evp.Estimator) -> None:
    values = np.random.default_rng(1).normal(80, 3, size=40)
    table = evp.curve(values, estimator, "cell")
    assert table["n"].tolist() == list(range(1, 41))
    assert table["expected"].is_monotonic_increasing
    assert table["expected"][0] == pytest.approx(values.mean())
    assert (table["lower"] <= table["expected"] + 1e-9).all()
    assert (table["upper"] <= values.max() + 1e-9).all()
    if estimator == "u":
        assert table["expected"].iloc[-1] == pytest.approx(values.max())


def test_the_band_is_the_bootstraps_percentiles() -> None:
    values = np.random.default_rng(2).normal(80, 3, size=60)
    first = evp.curve(values, "v", "x").iloc[0]
    half = 1.96 * values.std() / math.sqrt(60)  # n = 1 is the mean, whose bootstrap is nearly normal
    assert first["upper"] - first["lower"] == pytest.approx(2 * half, rel=0.1)


def test_a_cells_band_does_not_depend_on_other_cells(frame: pd.DataFrame) -> None:
    alone = evp.curves(tidy(frame[frame["method"] == "lora"]))[0]
    every = evp.curves(frame)[0]
    pd.testing.assert_frame_equal(alone, every[every["method"] == "lora"].reset_index(drop=True))


def test_each_cell_draws_from_a_stream_of_its_own() -> None:
    """Two cells with the same medians: the same curve, and bands that do not err together."""
    values = np.random.default_rng(4).normal(80, 3, size=20)
    first, second, again = (evp.curve(values, "v", name) for name in ("glue|lora", "glue|bitfit", "glue|lora"))
    pd.testing.assert_frame_equal(first, again)
    assert first["expected"].equals(second["expected"])
    assert not np.isclose(first["lower"], second["lower"], atol=1e-9).any()


def test_values_are_medians_over_seeds(frame: pd.DataFrame) -> None:
    cell = frame[(frame["method"] == "aot_fc") & (frame["task"] == "glue/rte") & (frame["status"] != "failed")]
    medians = cell.groupby("assignment_id")["score"].median()
    table = evp.curves(frame)[0]
    row = table[(table["method"] == "aot_fc") & (table["task"] == "glue/rte")].iloc[0]
    assert row["expected"] == pytest.approx(medians.mean())


def test_cells_cut_short_or_without_scores_are_refused_with_the_reason(make_runs: Callable) -> None:
    frame = make_runs(methods=("lora", "bitfit", "adapters"), tasks=("rte",), seeds=1)
    lora, bitfit = (frame["method"] == m for m in ("lora", "bitfit"))
    frame.loc[lora & (frame["hp.learning_rate"] == 1e-4), "status"] = "pruned"
    frame.loc[bitfit, ["status", "score"]] = ["failed", np.nan]
    table, refused = evp.curves(frame)
    assert table["method"].unique().tolist() == ["adapters"]
    assert {cell[3]: why for cell, why in refused.items()} == {
        "lora": "3 of 12 trials were cut short by an adaptive search",
        "bitfit": "no trial has a score",
    }


def test_assignments_that_scores_chose_are_refused_with_the_reason(make_runs: Callable) -> None:
    frame = make_runs(methods=("lora", "bitfit", "adapters"), tasks=("rte",), seeds=2)
    lora, bitfit = (frame["method"] == m for m in ("lora", "bitfit"))
    frame["strategy"] = np.where(lora, "tpe", "")
    frame["promotion"] = np.where(bitfit, np.where(frame["seed"] == 0, "first", "promoted"), "")
    few = bitfit & (frame["seed"] > 0) & (frame["hp.learning_rate"] != 1e-4)
    table, refused = evp.curves(tidy(frame[~few]))
    assert table["method"].unique().tolist() == ["adapters"]
    reasons = {cell[3]: why for cell, why in refused.items()}
    assert "are no random sample but TPE's" in reasons["lora"]
    assert "were promoted to more seeds" in reasons["bitfit"]


def test_the_part_of_a_grid_that_is_trained_first_is_refused(make_runs: Callable) -> None:
    frame = make_runs(methods=("lora", "bitfit"), tasks=("rte",), seeds=2)
    planned = frame.groupby("method")["trial_id"].transform("size")
    frame = tidy(frame.assign(planned_in_cell=planned, planned_seeds=2))
    assert evp.curves(frame)[1] == {}
    lora = frame.index[frame["method"] == "lora"]
    table, refused = evp.curves(tidy(frame.drop(lora[5:])))
    assert table["method"].unique().tolist() == ["bitfit"]
    (why,) = refused.values()
    first = f"only 5 of {len(lora)} trials of the grid have ended"
    assert why == f"{first}, in the order of the file, which is no random sample"
    assert evp.curves(tidy(frame.drop(lora[5:]).drop(columns="planned_in_cell")))[1] == {}, "nobody knows of a plan"


def test_of_a_random_search_that_has_not_ended_the_first_whole_draws_are_the_sample(make_runs: Callable) -> None:
    frame = make_runs(methods=("lora",), tasks=("rte",), seeds=2)
    order = {name: i for i, name in enumerate(frame["assignment_id"].unique(), start=1)}
    frame = frame.assign(planned_in_cell=len(frame), planned_seeds=2, draw=frame["assignment_id"].map(order))
    part = tidy(frame[~((frame["draw"] == 4) & (frame["seed"] == 1))])  # a later one has ended before it
    table, refused = evp.curves(part)
    assert refused == {}
    medians = frame[frame["draw"] < 4].groupby("assignment_id")["score"].median().to_numpy()
    np.testing.assert_allclose(table["expected"], evp.expected_best(medians))
    first = tidy(part[(part["draw"] > 1) | (part["seed"] == 0)])
    assert "the first assignment drawn lacks a seed" in next(iter(evp.curves(first)[1].values()))
    assert len(evp.curves(tidy(frame))[0]) == len(order), "with an end, all of them"


def test_wrong_requests_are_told() -> None:
    with pytest.raises(ValueError, match="'v' or 'u', but is 'w'"):
        evp.weights(3, np.array([1]), "w")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 to 3, but spans 1 to 4"):
        evp.weights(3, np.array([1, 4]), "u")
