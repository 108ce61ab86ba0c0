"""Scores that took no part in the choice: by hand, by brute force, and unbiased in simulation."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.evidence import COLUMNS, evidence
from analysis.frame import tidy


def trials(scores: dict[str, list[float | None]], **changes: object) -> pd.DataFrame:
    """A cell of assignments, the scores of its seeds each; ``None`` for one that failed."""
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "b", "task": "glue/rte", "method": "lora",
            "assignment_id": name, "trial_id": f"{name}{seed}{changes.get('role', '')}{changes.get('task', '')}",
            "seed": seed + int(10 * (changes.get("role") == "confirmation")),
            "status": "failed" if score is None else "finished", "score": score, "best_epoch": 1, "epochs": 1,
            "trainable_parameters": 10, "seconds": 1.0,
        } | changes
        for name, own in scores.items()
        for seed, score in enumerate(own)
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows))


def found(frame: pd.DataFrame, confirmation: pd.DataFrame | None = None) -> list[tuple]:
    table = evidence(frame, confirmation)
    assert list(table.columns) == COLUMNS
    return list(table[["assignment_id", "seed", "score", "kind"]].itertuples(index=False, name=None))


def test_the_winner_of_the_first_seeds_is_scored_on_the_others() -> None:
    """By the median of three: a has 70, b 71, whatever comes after."""
    frame = trials({"a": [60.0, 70.0, 80.0, 99.0, 99.0], "b": [71.0, 71.0, 71.0, 50.0, 51.0]})
    assert found(frame) == [("b", 3, 50.0, "held out"), ("b", 4, 51.0, "held out")]
    assert found(frame[frame["seed"] < 2]) == [("b", 1, 71.0, "held out")]
    assert found(frame[frame["seed"] < 1]) == []


def test_only_assignments_with_all_choosing_seeds_are_chosen_from() -> None:
    frame = trials({"a": [90.0, None, 1.0], "b": [70.0, 70.0, None], "c": [60.0, 60.0, 60.0]})
    assert found(frame) == [], "b is chosen, and has no other score: choosing c for that would look at the third seed"
    assert found(trials({"a": [90.0, None, 1.0], "b": [70.0, 70.0, 69.0]})) == [("b", 2, 69.0, "held out")]


def test_ties_go_to_fewer_parameters_and_then_to_the_smaller_id() -> None:
    frame = trials({"a": [70.0, 1.0], "b": [70.0, 2.0], "c": [70.0, 3.0]})
    assert found(frame)[0][0] == "a"
    frame["trainable_parameters"] = frame["assignment_id"].map({"a": 10, "b": 9, "c": 9}).astype("Int64")
    assert found(frame)[0][0] == "b"
    frame["trainable_parameters"] = frame["assignment_id"].map({"a": 10, "b": pd.NA, "c": 11}).astype("Int64")
    assert found(frame)[0][0] == "a"


def test_a_cell_with_a_pruned_trial_has_no_seeds_to_hold_out() -> None:
    frame = trials({"a": [70.0, 1.0], "b": [60.0, 2.0]})
    frame.loc[3, "status"] = "pruned"
    assert found(frame) == []
    fresh = trials({"a": [65.0]}, role="confirmation")
    assert found(frame, fresh) == [("a", 10, 65.0, "confirmed")]


def test_confirmation_counts_for_the_winner_of_all_seeds_alone_and_comes_first() -> None:
    frame = trials({"a": [60.0, 70.0, 80.0], "b": [75.0, 75.0, 50.0]})  # b by all three
    other = trials({"a": [50.0, 40.0]}, task="glue/cola")
    fresh = trials({"a": [1.0, 2.0], "b": [66.0, None, 67.0]}, role="confirmation")
    both = found(pd.concat([frame, other], ignore_index=True), fresh)
    assert both == [("a", 1, 40.0, "held out"), ("b", 10, 66.0, "confirmed"), ("b", 12, 67.0, "confirmed")]
    lost = trials({"b": [None], "a": [1.0]}, role="confirmation")
    assert {row[3] for row in found(frame, lost)} == {"held out"}, "a winner without a confirmed score is estimated"


def test_brute_force_on_generated_runs(make_runs: Callable[..., pd.DataFrame]) -> None:
    frame = make_runs(losses=0.2, seeds=4)
    table = evidence(frame)
    seen = 0
    for cell, own in frame[frame["score"].notna()].groupby(["benchmark", "backbone", "task", "method"]):
        seeds = sorted(own["seed"].unique())
        chosen, held = seeds[: -(-len(seeds) // 2)], seeds[-(-len(seeds) // 2) :]
        scores = {name: rows.set_index("seed")["score"] for name, rows in own.groupby("assignment_id")}
        medians = {a: statistics.median(s[chosen]) for a, s in scores.items() if set(chosen) <= set(s.index)}
        best = max(medians, key=lambda name: medians[name])
        expected = [scores[best][seed] for seed in held if seed in scores[best].index]
        rows = table[(table[["benchmark", "backbone", "task", "method"]] == cell).all(axis=1)]
        assert rows["score"].tolist() == expected
        seen += len(expected)
    assert seen == len(table) > 20


@pytest.mark.parametrize("kind", ["held out", "confirmed"])
def test_the_mean_is_unbiased_where_the_selected_median_is_not(kind: str) -> None:
    """400 cells of 20 assignments that all have the mean 70: the best median is above it, these scores are not."""
    draw = np.random.default_rng(1)
    cells = [
        trials({f"{i:02}": draw.normal(70, 2, 5).tolist() for i in range(20)}, task=f"glue/{c}") for c in range(400)
    ]
    frame = pd.concat(cells, ignore_index=True)
    fresh = None
    if kind == "confirmed":
        fresh = frame.assign(score=draw.normal(70, 2, len(frame)), seed=frame["seed"] + 10)
    table = evidence(frame, fresh)
    assert set(table["kind"]) == {kind}
    error = 2 / np.sqrt(len(table))
    assert abs(table["score"].mean() - 70) < 3 * error
    medians = frame.groupby(["task", "assignment_id"])["score"].median().groupby("task").max()
    assert medians.mean() > 70 + 10 * error
