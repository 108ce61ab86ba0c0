"""The numbers of single reports against hand-made runs."""

import pandas as pd
import pytest

from analysis.frame import tidy
from analysis.reports import failures, learning_rate, parameters, scale, seeds


def rows(*trials: tuple) -> pd.DataFrame:
    """(task, method, rank, learning rate, parameters, score per seed), failed where a score is None."""
    found = []
    for task, method, rank, rate, count, *scores in trials:
        for seed, score in enumerate(scores):
            found.append({
                "study": "s", "benchmark": "glue", "backbone": "b", "task": task, "method": method,
                "assignment_id": f"{rank}-{rate}", "trial_id": f"{task}{method}{rank}{rate}{seed}", "seed": seed,
                "status": "failed" if score is None else "finished", "score": score, "best_epoch": None, "epochs": 4,
                "trainable_parameters": count, "seconds": 1800.0, "hp.rank": rank, "hp.learning_rate": rate,
            })  # fmt: skip
    return tidy(pd.DataFrame(found))


FRAME = rows(
    ("glue/rte", "lora", 2, 1e-3, 100, 60.0, 62.0),
    ("glue/rte", "lora", 2, 1e-4, 100, 65.0, 67.0),
    ("glue/rte", "lora", 8, 1e-3, 400, 70.0, 70.0),
    ("glue/mnli", "lora", 2, 1e-3, 101, 80.0, 84.0),
    ("glue/mnli", "lora", 8, 1e-3, 401, None, None),
)


def test_best_median_at_each_size_and_macro_over_all_tasks() -> None:
    table = parameters.compute(FRAME)
    points = {(r["task"], r["parameters"]): r["median"] for r in table.to_dict("records")}
    # Rank 8 failed on MNLI, so it has no macro point; counts differ by the heads, so sizes are matched by rank.
    assert points == {
        ("glue/rte", 100.0): 66.0,
        ("glue/rte", 400.0): 70.0,
        ("glue/mnli", 101.0): 82.0,
        (parameters.MACRO, 100.5): 74.0,
    }


def test_sizes_are_matched_by_order_where_there_are_no_hyperparameters() -> None:
    frame = tidy(FRAME.drop(columns=["hp.rank", "hp.learning_rate"]))
    table = parameters.compute(frame)
    assert table[table["task"] == parameters.MACRO][["parameters", "median"]].values.tolist() == [[100.5, 74.0]]


def test_best_median_at_each_learning_rate() -> None:
    table = learning_rate.compute(FRAME).set_index(["task", "learning_rate"])["median"].to_dict()
    assert table == {("glue/rte", 1e-3): 70.0, ("glue/rte", 1e-4): 66.0, ("glue/mnli", 1e-3): 82.0}


def test_deviations_of_winners_and_of_all() -> None:
    (row,) = seeds.compute(FRAME).deviations.to_dict("records")
    root = 2**0.5
    assert row["mean_best"] == pytest.approx((0 + 2 * root) / 2)
    assert row["largest_best"] == pytest.approx(2 * root)
    assert row["mean_all"] == pytest.approx((root + root + 0 + 2 * root) / 4)
    assert row["n_assignments"] == 4


def test_trials_and_hours() -> None:
    (row,) = failures.compute(FRAME).to_dict("records")
    assert (row["trials"], row["finished"], row["failed"], row["no_score"], row["hours"]) == (10, 8, 2, 2, 5.0)


def test_backbones_are_ordered_by_size() -> None:
    small = rows(("glue/rte", "fine_tuning", None, 1e-4, 10, 60.0)).assign(backbone="z-small")
    large = rows(("glue/rte", "fine_tuning", None, 1e-4, 99, 70.0)).assign(backbone="a-large")
    table = scale.compute(pd.concat([large, small]))
    assert table["backbone"].tolist() == ["z-small", "a-large"]
    assert table["macro"].tolist() == [60.0, 70.0]
    assert scale.compute(large).empty
