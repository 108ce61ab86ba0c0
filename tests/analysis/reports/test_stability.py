"""Deviations, shares of trials that are lost and costs against hand arithmetic."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.frame import tidy
from analysis.reports import stability
from analysis.reports._section import Picture
from analysis.tables import Table


def frame(*trials: tuple, **values: object) -> pd.DataFrame:
    """(task, assignment, seed, status, score, seconds, best epoch)"""
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "b", "task": task, "method": "lora", "assignment_id": name,
            "trial_id": f"{task}-{name}-{seed}", "seed": seed, "status": status, "score": score, "best_epoch": best,
            "epochs": 10, "trainable_parameters": 5, "seconds": seconds, **values,
        }
        for task, name, seed, status, score, seconds, best in trials
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows))


FRAME = frame(
    ("glue/rte", "a", 0, "finished", 80.0, 3600.0, 5),
    ("glue/rte", "a", 1, "finished", 84.0, 7200.0, 6),
    ("glue/rte", "b", 0, "finished", 55.6, 3600.0, 1),  # below 52.7 + 3.0
    ("glue/rte", "b", 1, "diverged", 55.8, 3600.0, 1),  # above it
    ("glue/cola", "a", 0, "finished", 60.0, 3600.0, 8),
    ("glue/cola", "a", 1, "finished", 61.0, 3600.0, 9),
    ("glue/cola", "b", 0, "failed", None, 0.0, None),
    ("glue/cola", "b", 1, "diverged", 0.0, 3600.0, 1),
)
MAJORITY = {"majority": FRAME["task"].map({"glue/rte": 52.7, "glue/cola": 0.0})}


def only(runs: pd.DataFrame) -> dict:
    (row,) = stability.compute(runs).to_dict("records")
    return row


def test_deviations_of_winners_and_of_all_assignments() -> None:
    """Of the winners 2√2 and √½; of all with two seeds these and 0.1√2 as well."""
    row = only(FRAME)
    assert row["std_best"] == pytest.approx((8**0.5 + 0.5**0.5) / 2)
    assert row["std_all"] == pytest.approx(0.5**0.5)
    assert (row["n_best"], row["n_all"]) == (2, 3)


def test_shares_and_costs() -> None:
    row = only(FRAME.assign(**MAJORITY))
    assert (row["trials"], row["known"], row["at_chance"], row["diverged"], row["failed"]) == (8, 7, 2, 2, 1)
    assert (row["median_seconds"], row["hours"]) == (3600.0, 8.0)
    assert row["best_of_epochs"] == pytest.approx(0.5)


def test_where_the_majority_is_not_known_nothing_is_said_of_chance() -> None:
    row = only(FRAME)
    assert (row["known"], row["at_chance"]) == (0, 0)
    section = stability.render(stability.compute(FRAME))
    picture, table = section.blocks
    assert isinstance(picture, Picture)
    assert isinstance(table, Table)
    assert dict(zip(table.columns, (cell.text for cell in table.rows[0]), strict=True)) == {
        "Method": "LoRA", "Deviation, best": "1.77", "Deviation, all": "0.71", "At chance, %": "—",
        "Diverged, %": "25.0", "Failed, %": "12.5", "Device-seconds": "3,600", "Device-hours in all": "8.00",
        "Best epoch, % of epochs": "50", "Trials": "8",
    }  # fmt: skip
    assert len(picture.figure.axes[1].lines) == 2, "diverged and failed alone"
    assert picture.figure.axes[1].get_title() == "Diverged ×, failed |"
    (picture, _) = stability.render(stability.compute(FRAME.assign(**MAJORITY))).blocks
    assert picture.figure.axes[1].get_title() == "At chance ●, diverged ×, failed |"


def test_a_task_without_a_majority_counts_in_no_share_of_chance() -> None:
    row = only(FRAME.assign(majority=MAJORITY["majority"].where(FRAME["task"] == "glue/rte")))
    assert (row["known"], row["at_chance"]) == (4, 1)
