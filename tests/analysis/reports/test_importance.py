"""Importances of searches in which it is known what matters."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.frame import tidy
from analysis.reports import importance

RATES, RANKS, SIZES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), (2, 4, 8, 16), (16, 32)


def frame(score, tasks: int = 4, rates=RATES, noise: float = 0.3) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    rows = []
    for task in range(tasks):
        for rate, rank, size in itertools.product(rates, RANKS, SIZES):
            rows.append({
                "study": "s", "benchmark": "glue", "backbone": "b", "task": f"glue/{task}", "method": "lora",
                "assignment_id": f"{rate}-{rank}-{size}", "trial_id": f"{task}-{rate}-{rank}-{size}", "seed": 0,
                "status": "finished", "score": 70 + score(rate, rank, size, task) + draw.normal(0, noise),
                "best_epoch": 1, "epochs": 2, "trainable_parameters": 5, "seconds": 1.0, "hp.learning_rate": rate,
                "hp.rank": rank, "hp.batch_size": size, "hp.alpha": 1,
            })  # fmt: skip
    return tidy(pd.DataFrame(rows))


def by_rate(rate: float, rank: int, size: int, task: int) -> float:
    return -3 * abs(np.log10(rate / 1e-3))


def means(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby("hyperparameter")[["importance", "by_chance"]].mean()


def test_what_decides_has_nearly_all_of_it() -> None:
    table = importance.compute(frame(by_rate))
    assert set(table["hyperparameter"]) == {"learning_rate", "rank", "batch_size"}, "one that does not vary has none"
    assert means(table).at["learning_rate", "importance"] > 0.9
    assert table.groupby("task")["importance"].sum().tolist() == pytest.approx([1.0] * 4)


def test_it_decides_also_where_the_best_value_is_another_one_on_each_task() -> None:
    table = importance.compute(frame(lambda rate, rank, size, task: 5.0 * (rate == RATES[task]), noise=0.1))
    assert means(table).at["learning_rate", "importance"] > 0.85


def test_where_nothing_decides_importances_are_those_of_shuffled_scores() -> None:
    table = means(importance.compute(frame(lambda *_: 0.0, tasks=24)))
    assert (table["importance"] - table["by_chance"]).abs().max() < 0.15


def test_only_what_is_above_chance_is_bold() -> None:
    section = importance.render(importance.compute(frame(by_rate)))
    assert section is not None
    (table,) = section.blocks
    (row,) = table.rows
    assert table.columns[1] == "Learning rate", "the most important first"
    assert [cell.mark for cell in row[1:4]] == ["best", "", ""]
    assert row[4].text == "4"


def test_values_drawn_from_a_range() -> None:
    rates = tuple(10 ** np.random.default_rng(1).uniform(-4, -2, 20))
    table = importance.compute(frame(by_rate, rates=rates))
    assert means(table).at["learning_rate", "importance"] > 0.8


def test_cells_with_few_assignments_or_one_hyperparameter_have_none() -> None:
    runs = frame(by_rate)
    assert importance.compute(runs.groupby("task").head(importance.LEAST - 1)).empty
    assert not importance.compute(runs.groupby("task").head(importance.LEAST)).empty
    one = runs[(runs["hp.rank"] == 2) & (runs["hp.batch_size"] == 16)]
    assert importance.compute(pd.concat([one, one.assign(**{"hp.learning_rate": one["hp.learning_rate"] * 7})])).empty


def test_the_same_runs_give_the_same_numbers_in_any_order() -> None:
    runs = frame(by_rate)
    again = importance.compute(runs.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(importance.compute(runs), again)


def test_optuna_is_imported_only_where_it_is_asked() -> None:
    script = "import sys, analysis.reports.importance; print('optuna' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
