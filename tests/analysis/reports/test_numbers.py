"""The numbers of single reports against hand-made runs."""

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from analysis.frame import tidy
from analysis.reports import MethodInfo, Options, failures, parameters, scale, seeds

ROOT = Path(__file__).parents[3]


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


OPTIONS = Options(methods={"lora": MethodInfo("LoRA", ("rank",)), "aot": MethodInfo("AoT", ("rank", "a"))})


def macro_points(frame: pd.DataFrame, options: Options) -> list[tuple[float, float]]:
    table = parameters.compute(frame, options)
    return list(
        table.loc[table["task"] == parameters.MACRO, ["parameters", "median"]].itertuples(index=False, name=None)
    )


def test_sizes_are_matched_by_the_methods_own_hyperparameters() -> None:
    """Rank 2 failed on MNLI: the smallest count there is that of rank 8."""
    frame = rows(
        ("glue/rte", "lora", 2, 1e-3, 100, 60.0),
        ("glue/rte", "lora", 8, 1e-3, 400, 70.0),
        ("glue/mnli", "lora", 2, 1e-3, 101, None),
        ("glue/mnli", "lora", 8, 1e-3, 401, 80.0),
    )
    assert macro_points(frame, OPTIONS) == [(400.5, 75.0)]
    assert macro_points(frame.assign(method="unknown"), OPTIONS) == [(250.5, 70.0)], "by their order"
    assert macro_points(frame.drop(columns="hp.rank"), OPTIONS) == [(250.5, 70.0)]


def test_every_hyperparameter_that_a_count_depends_on_makes_a_size_and_no_other() -> None:
    frame = rows(
        ("glue/rte", "aot", 2, 1e-3, 100, 60.0),
        ("glue/rte", "aot", 2, 1e-4, 100, 70.0),
        ("glue/mnli", "aot", 2, 1e-3, 101, 80.0),
        ("glue/mnli", "aot", 2, 1e-4, 101, 50.0),
    )
    by_rate = frame["hp.learning_rate"].map({1e-3: 4, 1e-4: 6})
    assert macro_points(frame.assign(**{"hp.scale": by_rate}), OPTIONS) == [(100.5, 75.0)], "each task at its best"
    assert macro_points(frame.assign(**{"hp.a": by_rate}), OPTIONS) == [(100.5, 70.0), (100.5, 60.0)]


def test_sizes_stand_in_the_order_of_their_text(make_runs: Callable, methods: dict[str, MethodInfo]) -> None:
    """So that a published table, written again, changes only where a number does."""
    frame = make_runs(methods=("lora", "p_tuning_v2"), tasks=("rte", "cola"), seeds=1)
    frame["hp.rank"] = frame["hp.rank"].replace({2: 1})
    frame["hp.prompt_length"] = frame["hp.prompt_length"].replace({20: 50})
    counts = [round(count) - 1538 for count, _ in macro_points(frame, Options(methods=methods))]
    assert counts == [37_000 * unit for unit in (2, 16, 64)] + [18_432 * unit for unit in (100, 20, 5)]


def test_the_published_points_come_out_again(methods: dict[str, MethodInfo]) -> None:
    """Each published point of a task as one trial, with the hyperparameters of the published study."""
    published = (ROOT / "docs/results/real_small/tables/parameters.csv").read_text()
    grids = yaml.safe_load((ROOT / "studies/real_small.yaml").read_text())["methods"]
    points = pd.read_csv(io.StringIO(published)).query("task != 'macro'")
    found = [
        (row["task"], row["method"], grids[row["method"]].get("rank"), 1e-3, row["parameters"], row["median"])
        for row in points.to_dict("records")
    ]
    frame = rows(*found).assign(benchmark=points["benchmark"].tolist(), backbone="minilm")
    prompts = frame["method"].map(lambda name: grids[name].get("prompt_length"))
    table = parameters.exports(
        parameters.compute(frame.assign(**{"hp.prompt_length": prompts}), Options(methods=methods))
    )
    assert table["parameters"].to_csv(index=False) == published


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
    assert scale.compute(large)["macro"].tolist() == [70.0]
