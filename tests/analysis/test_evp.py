"""Both estimators of expected validation performance, against the enumeration of every draw."""

import math
from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from helpers.assignments import cell
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import evp
from analysis._evp_cells import Kind
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


@pytest.mark.parametrize("kind", ["sample", "grid"])
@pytest.mark.parametrize("estimator", ["v", "u"])
def test_a_curve_and_its_band_rise(kind: Kind, estimator: evp.Estimator) -> None:
    values = cell(np.random.default_rng(1).normal(80, 3, size=(40, 3)), kind)
    table = evp.of_cells([values], estimator)
    assert table["n"].tolist() == list(range(1, 41))
    assert table["expected"].is_monotonic_increasing
    assert table["expected"][0] == pytest.approx(values.medians.mean())
    banded = table.dropna(subset=["lower", "upper"])
    assert banded["n"].max() == (40 if kind == "grid" else 20), "of a sample, up to half of it"
    assert (banded["lower"] <= banded["expected"]).all()
    assert (banded["expected"] <= banded["upper"]).all()
    if estimator == "u":
        assert table["expected"].iloc[-1] == pytest.approx(values.medians.max())
    if kind == "sample":
        assert banded["lower"].is_monotonic_increasing
        assert banded["upper"].is_monotonic_increasing
        assert banded["upper"].max() <= 100


def test_a_cells_band_does_not_depend_on_other_cells(frame: pd.DataFrame) -> None:
    alone = evp.curves(tidy(frame[frame["method"] == "lora"]))[0]
    every = evp.curves(frame)[0]
    pd.testing.assert_frame_equal(alone, every[every["method"] == "lora"].reset_index(drop=True))


def test_values_are_medians_over_seeds(frame: pd.DataFrame) -> None:
    cell = frame[(frame["method"] == "aot_fc") & (frame["task"] == "glue/rte") & (frame["status"] != "failed")]
    medians = cell.groupby("assignment_id")["score"].median()
    table = evp.curves(frame, failures="drop")[0]
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
    assert why == f"{first}, which are no random sample"
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


# --- failures --------------------------------------------------------------------------------------------------------


def lost(frame: pd.DataFrame, which: pd.Series) -> pd.DataFrame:
    """The frame with some of its trials failed."""
    status, score = frame["status"].where(~which, "failed"), frame["score"].where(~which)
    return tidy(frame.assign(status=status, score=score))


def random_search(scores: np.ndarray, majority: float | None = None) -> pd.DataFrame:
    """Runs of one method on one task, ``(N, seeds)``, drawn at random."""
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "b", "task": "glue/rte", "method": "lora", "epochs": 3,
            "assignment_id": f"a{i:03d}", "trial_id": f"a{i:03d}-{seed}", "seed": seed, "status": "finished",
            "score": score, "best_epoch": 1, "trainable_parameters": 1, "seconds": 60.0, "draw": i + 1,
            "majority": majority,
        }
        for i, own in enumerate(scores)
        for seed, score in enumerate(own)
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows))


@pytest.mark.parametrize("majority", [None, 50.0])
def test_failing_the_worst_assignments_lowers_the_curve(majority: float | None) -> None:
    scores = 88 - np.random.default_rng(6).exponential(9, size=(40, 1)).clip(0, 37) + np.zeros((40, 5))
    frame = random_search(scores, majority)
    worst = frame["assignment_id"].isin([f"a{i:03d}" for i in np.argsort(scores[:, 0])[:30]])
    before, after, dropped = (
        evp.curves(runs, failures=how)[0]  # type: ignore[arg-type]
        for runs, how in ((frame, "floor"), (lost(frame, worst), "floor"), (lost(frame, worst), "drop"))
    )
    assert after["expected"][0] < before["expected"][0] < dropped["expected"][0]
    assert (after["expected"] <= before["expected"] + 1e-9).all()
    assert (after["n_floor"].unique(), after["n_assignments"].unique()) == (30, 40)
    assert after["expected"][0] == pytest.approx((30 * (majority or 0) + np.sort(scores[:, 0])[30:].sum()) / 40)
    assert (dropped["n_floor"].unique(), dropped["n_assignments"].unique()) == (0, 10)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_failing_trials_never_raises_the_curve(data: st.DataObject) -> None:
    """Of scores that are not below chance; chance is known or not."""
    majority = data.draw(st.sampled_from([None, 30.0]))
    shape = data.draw(st.tuples(st.integers(2, 6), st.integers(1, 3)))
    scores = np.array(
        data.draw(st.lists(st.floats(30, 100), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    )
    frame = random_search(scores.reshape(shape), majority)
    which = data.draw(st.sets(st.sampled_from(frame["trial_id"].tolist()), max_size=len(frame) - 1))
    before, after = (evp.curves(f)[0] for f in (frame, lost(frame, frame["trial_id"].isin(which))))
    assert (after["expected"].to_numpy() <= before["expected"].to_numpy() + 1e-9).all()


@settings(max_examples=20, deadline=None)
@given(st.permutations(list(range(12))))
def test_the_order_of_rows_and_names_of_assignments_do_not_matter(order: list[int]) -> None:
    scores = np.random.default_rng(8).normal(80, 3, size=(12, 2))
    one = evp.curves(random_search(scores))[0]
    other = evp.curves(random_search(scores[order]).sample(frac=1, random_state=1))[0]
    pd.testing.assert_frame_equal(one, other, rtol=1e-12)


def test_a_trial_that_diverged_keeps_its_score_and_counts_with_the_floor_where_it_has_none() -> None:
    frame = random_search(np.full((6, 1), 80.0), majority=50.0)
    frame.loc[0, "status"] = "diverged"
    frame.loc[1, ["status", "score"]] = ["diverged", np.nan]
    table = evp.curves(frame)[0]
    assert table["expected"][0] == pytest.approx((5 * 80 + 50) / 6)
    assert table["n_floor"].unique() == [1]


def test_without_chance_the_floor_is_nothing_or_the_lowest_score_below() -> None:
    frame = random_search(np.array([[-5.0], [20.0], [40.0], [60.0]]))
    (values,), _ = evp.cells(lost(frame, frame["trial_id"] == "a003-0"))
    assert (values.floor, values.chance, values.medians.tolist()) == (-5.0, False, [-5.0, -5.0, 20.0, 40.0])
    with pytest.raises(ValueError, match="'drop', but is 'ignore'"):
        evp.cells(frame, "ignore")  # type: ignore[arg-type]


# --- samples and grids -----------------------------------------------------------------------------------------------


def kinds(frame: pd.DataFrame) -> set[str]:
    return set(evp.curves(tidy(frame))[0]["kind"])


def test_what_is_a_grid(make_runs: Callable) -> None:
    grid = make_runs(methods=("lora", "bitfit"), tasks=("rte",), seeds=2)
    assert kinds(grid) == {"grid"}, "every combination occurs, and LoRA varies two"
    assert kinds(grid[grid["method"] == "bitfit"]) == {"sample"}, "four learning rates alone may have been drawn"
    whole = {"planned_in_cell": grid.groupby("method")["trial_id"].transform("size")}
    assert kinds(grid[grid["method"] == "bitfit"].assign(**whole)) == {"grid"}, "its study says so"
    assert kinds(grid.drop(columns=[c for c in grid if c.startswith("hp.")])) == {"sample"}
    assert kinds(grid.assign(draw=grid.groupby("method")["assignment_id"].transform(lambda s: pd.factorize(s)[0] + 1),
                             **whole)) == {"sample"}  # fmt: skip
    assert kinds(grid[grid["assignment_id"] != grid["assignment_id"].iloc[0]]) == {"sample"}, "a hole in it"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.sampled_from(["sample", "grid"]), st.booleans())
def test_more_assignments_never_lower_the_curve_or_a_samples_band(
    scores: list[float], kind: Kind, chance: bool
) -> None:
    table = evp.of_cells([cell(np.array(scores)[:, None] + np.array([0.0, 0.1]), kind, chance=chance, floor=50.0)])
    assert (table["expected"].diff().dropna() >= -1e-9).all()
    banded = table.dropna()
    assert len(banded) == (0 if len(scores) < 5 else len(scores) if kind == "grid" else len(scores) // 2)
    assert ((banded["lower"] <= banded["expected"]) & (banded["expected"] <= banded["upper"])).all()
    if kind == "sample":
        assert (banded[["lower", "upper"]].diff().dropna() >= -1e-9).all(axis=None)
