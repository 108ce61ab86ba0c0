"""What changed between two frames, row by row."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from analysis.diff import COLUMNS, diff, table
from analysis.frame import tidy
from analysis.tables import to_markdown


def frame(*cells: tuple[str, str, dict[float, list[float]]], **values: object) -> pd.DataFrame:
    """Cells as (task, method, scores of the seeds by learning rate)."""
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "x", "task": task, "method": method,
            "assignment_id": f"{rate}", "trial_id": f"{task}-{method}-{rate}-{seed}", "seed": seed,
            "status": "failed" if math.isnan(score) else "finished", "score": score, "best_epoch": 1, "epochs": 2,
            "trainable_parameters": 5, "seconds": 1.0, "hp.learning_rate": rate, **values,
        }
        for task, method, scores in cells
        for rate, seeds in scores.items()
        for seed, score in enumerate(seeds)
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows))


RTE, MRPC = "glue/rte", "glue/mrpc"


def changes(before: pd.DataFrame, after: pd.DataFrame) -> list[tuple]:
    """Each row without the benchmark, backbone and an empty difference."""
    found = diff(before, after)
    assert tuple(found.columns) == COLUMNS
    return [
        (row["what"], row["task"], row["method"], row["before"], row["after"], row["note"])
        for row in found.to_dict("records")
    ]


def test_nothing_changed_whatever_the_order_of_rows() -> None:
    runs = frame((RTE, "lora", {1e-3: [70, 71], 1e-4: [60, 61]}), (MRPC, "lora", {1e-3: [math.nan]}))
    assert changes(runs, runs.sample(frac=1, random_state=1)) == []


def test_another_winner() -> None:
    before = frame((RTE, "lora", {1e-3: [70, 72], 1e-4: [60, 61]}))
    after = frame((RTE, "lora", {1e-3: [70, 72], 1e-4: [80, 81]}))
    assert changes(before, after) == [
        ("winner", RTE, "lora", 71.0, 80.5, "learning_rate 0.001 → learning_rate 0.0001"),
        ("macro", "", "lora", 71.0, 80.5, ""),
    ]
    assert diff(before, after)["difference"].tolist() == [9.5, 9.5]


def test_another_median_of_the_same_winner_by_more_seeds() -> None:
    before, after = frame((RTE, "lora", {1e-3: [70, 72]})), frame((RTE, "lora", {1e-3: [70, 72, 75]}))
    assert changes(before, after) == [
        ("trials", "", "", 2, 3, "1 added, 0 gone"),
        ("status", "", "", 2, 3, "finished"),
        ("median", RTE, "lora", 71.0, 72.0, "2 → 3 seeds"),
        ("macro", "", "lora", 71.0, 72.0, ""),
    ]


def test_cells_that_came_and_went() -> None:
    before = frame((RTE, "lora", {1e-3: [70]}))
    after = frame((RTE, "bitfit", {1e-3: [60]}))
    assert changes(before, after) == [
        ("trials", "", "", 1, 1, "1 added, 1 gone"),
        ("cell added", RTE, "bitfit", "", 60.0, ""),
        ("cell gone", RTE, "lora", 70.0, "", ""),
        ("macro", "", "bitfit", "", 60.0, "0 → 1 tasks"),
        ("macro", "", "lora", 70.0, "", "1 → 0 tasks"),
    ]


def test_a_trial_that_failed_before() -> None:
    before = frame((RTE, "lora", {1e-3: [70, math.nan]}))
    after = frame((RTE, "lora", {1e-3: [70, 70]}))
    assert changes(before, after) == [
        ("status", "", "", 1, 2, "finished"),
        ("status", "", "", 1, 0, "failed"),
    ]


def test_another_protocol_on_a_task_of_both() -> None:
    before = frame((RTE, "lora", {1e-3: [70]}), max_length=128, patience=None)
    after = frame((RTE, "lora", {1e-3: [70]}), max_length=256, patience=5)
    assert changes(before, after) == [
        ("protocol", RTE, "", "128", "256", "max_length"),
        ("protocol", RTE, "", "none", "5", "patience"),
    ]
    assert changes(before, after.drop(columns=["max_length", "patience"])) == []


def test_only_what_the_study_names_and_what_the_search_is_made_of() -> None:
    runs = frame((RTE, "lora", {1e-3: [70], 1e-4: [80]}))
    marked = tidy(runs.assign(in_study=[True, False]))
    assert changes(runs.head(1), marked) == []
    assert changes(runs.head(1), tidy(runs.assign(role=["search", "confirmation"]))) == []


def test_the_table_for_people() -> None:
    before = frame((RTE, "lora", {1e-3: [70, 72], 1e-4: [60, 61]}), max_length=128)
    after = frame((RTE, "lora", {1e-3: [70, 72], 1e-4: [80, 81.25]}), (MRPC, "lora", {1e-3: [50]}), max_length=128)
    text = to_markdown(table(diff(before, after), "From a to b"))
    assert (
        "| winner | GLUE | x | RTE | LoRA | learning\\_rate 0.001 → learning\\_rate 0.0001 | 71.0 | 80.6 | +9.6 |"
        in text
    )
    assert "| trials |  |  |  |  | 1 added, 0 gone | 4 | 5 | +1 |" in text
    assert "| cell added | GLUE | x | MRPC | LoRA |  |  | 50.0 |  |" in text


@pytest.mark.parametrize("score", [math.nan, 70.0])
def test_a_cell_without_a_score(score: float) -> None:
    before, after = frame((RTE, "lora", {1e-3: [math.nan]})), frame((RTE, "lora", {1e-3: [score]}))
    whats = [row[0] for row in changes(before, after)]
    assert whats == ([] if math.isnan(score) else ["status", "status", "winner", "macro"])
