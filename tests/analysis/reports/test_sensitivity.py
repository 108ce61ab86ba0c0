"""What is lost at each learning rate and size, against hand arithmetic."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.frame import tidy
from analysis.reports import MethodInfo, Options, sensitivity
from analysis.tables import Table


def frame(*trials: tuple, method: str = "lora") -> pd.DataFrame:
    """(task, rank, learning rate, score)"""
    found = [
        {
            "study": "s", "benchmark": "glue", "backbone": "b", "task": task, "method": method,
            "assignment_id": f"{rank}-{rate}", "trial_id": f"{task}{rank}{rate}{method}", "seed": 0,
            "status": "finished", "score": score, "best_epoch": 1, "epochs": 4, "trainable_parameters": 9,
            "seconds": 1.0, "hp.rank": rank, "hp.learning_rate": rate,
        }
        for task, rank, rate, score in trials
    ]  # fmt: skip
    return tidy(pd.DataFrame(found))


FRAME = frame(
    ("glue/rte", 2, 1e-3, 61.0), ("glue/rte", 2, 1e-4, 66.0), ("glue/rte", 8, 1e-3, 70.0),
    ("glue/mnli", 2, 1e-3, 82.0), ("glue/mnli", 8, 1e-4, 80.0),
)  # fmt: skip


def losses(table: pd.DataFrame, name: str) -> dict:
    own = table[table["hyperparameter"] == name]
    return {(row["task"], row["value"]): row["loss"] for row in own.to_dict("records")}


def test_points_below_the_best_of_the_cell_at_each_value() -> None:
    table = sensitivity.compute(FRAME)
    assert losses(table, "learning_rate") == {
        ("glue/rte", 1e-3): 0.0, ("glue/rte", 1e-4): 4.0, ("glue/mnli", 1e-3): 0.0, ("glue/mnli", 1e-4): 2.0,
    }  # fmt: skip
    assert losses(table, "rank") == {
        ("glue/rte", 2.0): 4.0, ("glue/rte", 8.0): 0.0, ("glue/mnli", 2.0): 0.0, ("glue/mnli", 8.0): 2.0,
    }  # fmt: skip
    assert table.loc[table["hyperparameter"] == "learning_rate", "n_assignments"].tolist() == [1, 1, 1, 2]


def test_the_mean_is_over_tasks_that_all_have_the_value() -> None:
    more = pd.concat([FRAME, frame(("glue/rte", 2, 1e-2, 50.0))], ignore_index=True)
    table = sensitivity.means(sensitivity.compute(more))
    found = {(row["hyperparameter"], row["value"]): row["loss"] for row in table.to_dict("records")}
    assert found == {("learning_rate", 1e-4): 3.0, ("learning_rate", 1e-3): 0.0, ("rank", 2.0): 2.0, ("rank", 8.0): 1.0}


def test_of_a_hyperparameter_with_one_value_there_is_no_curve() -> None:
    table = sensitivity.compute(FRAME[FRAME["hp.rank"] == 2])
    assert set(zip(table["task"], table["hyperparameter"], strict=True)) == {("glue/rte", "learning_rate")}


def test_a_methods_own_sizes_have_curves_too() -> None:
    runs = FRAME.rename(columns={"hp.rank": "hp.a"})
    assert "a" not in set(sensitivity.compute(runs)["hyperparameter"])
    options = Options(methods={"lora": MethodInfo("LoRA", ("a",))})
    assert "a" in set(sensitivity.compute(runs, options)["hyperparameter"])


def test_values_drawn_at_random_are_put_into_bins() -> None:
    """On a log scale from 1e-5 to 1e-2, six bins of half a decade; each point is the best of its bin."""
    rates = [10 ** (-5 + 3 * i / 29) for i in range(30)]
    table = sensitivity.compute(frame(*(("glue/rte", 2, rate, 50.0 + i) for i, rate in enumerate(rates))))
    assert table["value"].tolist() == pytest.approx([10 ** (-4.75 + i / 2) for i in range(6)])
    assert table["n_assignments"].tolist() == [5] * 6
    assert table["median"].tolist() == [54.0, 59.0, 64.0, 69.0, 74.0, 79.0]


def test_the_folded_table_says_what_is_lost_on_each_task() -> None:
    section = sensitivity.render(sensitivity.compute(FRAME))
    assert section is not None
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    texts = [[cell.text for cell in row] for row in table.rows]
    assert texts[0] == ["RTE", "LoRA", "Learning rate", "0.001", "4.0", "0.0001: 4.0, 0.001: 0.0"]
    assert table.folded
    assert table.place == ("glue", "b")
