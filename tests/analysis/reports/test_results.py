"""Majority class, dev sets and their standard error; which entries are marked, and what is said of lost seeds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis.devsets import bar, devsets, standard_error
from analysis.frame import tidy
from analysis.predictions import Predictions
from analysis.reports import results
from analysis.reports._section import Options
from analysis.selection import assignments
from analysis.tables import Table


def frame(*cells: tuple[str, dict[str, list[float | None]]], task: str = "glue/rte", **values: object) -> pd.DataFrame:
    """Cells of a task as (method, scores of the seeds by assignment); failed where there is no score."""
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "b", "task": task, "method": method,
            "assignment_id": f"{method}-{name}", "trial_id": f"{task}-{method}-{name}-{seed}", "seed": seed,
            "status": "failed" if score is None else "finished", "score": score, "best_epoch": 1, "epochs": 2,
            "trainable_parameters": 5, "seconds": 1.0, **values,
        }
        for method, found in cells
        for name, scores in found.items()
        for seed, score in enumerate(scores)
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows))


def tables(runs: pd.DataFrame, options: Options | None = None) -> list[Table]:
    return list(results.render(results.compute(runs, options or Options())).blocks)


def rows(table: Table) -> dict[str, list[str]]:
    return {row[0].text: [cell.text + cell.signs for cell in row[1:]] for row in table.rows}


def marks(table: Table, column: int = 1) -> dict[str, str]:
    return {row[0].text: row[column].mark for row in table.rows}


RTE = {"metric": "accuracy", "majority": 52.7}


def test_the_lines_below_the_methods() -> None:
    """277 examples, the best score 75.0: sqrt(0.75 · 0.25 / 277) = 2.6 points."""
    (table,) = tables(frame(("lora", {"a": [75.0, 75.0]}), ("bitfit", {"a": [60.0, 62.0]}), **RTE))
    found = rows(table)
    assert [*found][-3:] == ["Majority class", "Dev examples", "Standard error"]
    assert found["Majority class"] == ["52.7", "52.7", ""]
    assert found["Dev examples"] == ["277", "", ""]
    assert found["Standard error"] == ["± 2.6", "", ""]
    assert any("as published" in note for note in table.notes)


def test_answers_that_were_kept_tell_how_many_examples_there_are() -> None:
    kept = Predictions("accuracy", np.zeros(100, int), np.zeros(100, int))
    (table,) = tables(frame(("lora", {"a": [75.0, 75.0]}), **RTE), Options(predictions=lambda trial_id: kept))
    assert rows(table)["Dev examples"][0] == "100"
    assert rows(table)["Standard error"][0] == "± 4.3"
    assert not any("as published" in note for note in table.notes)


def test_a_limit_on_rows_cuts_the_dev_set_and_an_unknown_one_has_no_line() -> None:
    runs = frame(("lora", {"a": [75.0]}), dev_rows=64)
    assert devsets(runs, assignments(runs))["n_dev"].tolist() == [64]
    (table,) = tables(frame(("lora", {"a": [75.0, 75.0]}), task="glue/mine"))
    assert [*rows(table)] == ["LoRA"]


@pytest.mark.parametrize(
    ("score", "n", "metric", "error"),
    [(50.0, 100, "accuracy", 5.0), (100.0, 100, "accuracy", 0.0), (90.0, 100, "accuracy_f1", math.nan)],
)
def test_the_binomial_standard_error(score: float, n: int, metric: str, error: float) -> None:
    assert standard_error(score, n, metric) == pytest.approx(error, nan_ok=True)


def test_the_standard_error_is_that_of_drawn_dev_sets() -> None:
    drawn = 100 * np.random.default_rng(0).binomial(277, 0.8, 20_000) / 277
    assert standard_error(80.0, 277, "accuracy") == pytest.approx(drawn.std(), rel=0.03)


def test_a_score_no_better_than_a_constant_answer_is_never_bold() -> None:
    """The bar is 52.7 + 3.0: 55.0 is the best of both and has a sign instead."""
    assert bar(52.7, 277, "accuracy") == pytest.approx(52.7 + 100 * math.sqrt(0.527 * 0.473 / 277))
    (table,) = tables(frame(("lora", {"a": [55.0, 55.0]}), ("bitfit", {"a": [51.0, 51.0]}), **RTE))
    assert marks(table) == dict.fromkeys(marks(table), "")
    assert rows(table)["LoRA"][0] == "55.0 ± 0.0="
    assert any(note.startswith("= Not above the majority class") for note in table.notes)
    (table,) = tables(frame(("lora", {"a": [56.0, 56.0]}), ("bitfit", {"a": [55.9, 55.9]}), **RTE))
    assert (marks(table)["LoRA"], marks(table)["BitFit"]) == ("best", "second")


def test_of_another_metric_the_majoritys_score_itself_is_the_bar() -> None:
    cells = (("lora", {"a": [0.0, 0.0]}), ("bitfit", {"a": [2.0, 2.0]}), ("aot_fc", {"a": [1.0, 1.0]}))
    (table,) = tables(frame(*cells, task="glue/cola", metric="matthews", majority=0.0))
    assert rows(table)["LoRA"][0] == "0.0 ± 0.0="
    assert (marks(table)["BitFit"], marks(table)["FC AoT P-Tuning"]) == ("best", "second")
    assert "Standard error" not in rows(table)


def test_a_lucky_single_seed_is_not_bold_before_assignments_with_all_seeds() -> None:
    runs = frame(
        ("lora", {"a": [90.0]}), ("bitfit", {"a": [70.0, 72.0]}), ("aot_fc", {"a": [60.0, 62.0]}), planned_seeds=2
    )
    table, counts = tables(runs)
    assert marks(table)["LoRA"] == ""
    assert (marks(table)["BitFit"], marks(table)["FC AoT P-Tuning"]) == ("best", "second")
    assert marks(table, 2)["LoRA"] == ""
    assert marks(table, 2)["BitFit"] == "best", "and so is its macro"
    assert rows(table)["LoRA"][:2] == ["90.0‡", "90.0‡"]
    (note,) = (note for note in table.notes if note.startswith("‡"))
    assert "(1 was not run yet)" in note
    assert rows_of(counts) == [["RTE", "LoRA", "1 of 1", "0", "0", "1 of 2", "1 not run"]]


def rows_of(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_seeds_that_were_lost_are_told_from_those_that_were_never_run() -> None:
    table, counts = tables(frame(("lora", {"a": [90.0, None]}), ("bitfit", {"a": [70.0]}), planned_seeds=3))
    (note,) = (note for note in table.notes if note.startswith("‡"))
    assert "(1 was lost, 3 were not run yet)" in note
    assert [row[-1] for row in rows_of(counts)] == ["1 failed, 1 not run", "2 not run"]


def test_a_seed_that_a_search_cut_short_was_not_lost() -> None:
    runs = frame(("lora", {"a": [90.0, 50.0]}), ("bitfit", {"a": [70.0, 71.0]}))
    runs.loc[1, "status"] = "pruned"
    table, counts = tables(runs)
    assert any("(1 was cut short)" in note for note in table.notes)
    assert rows_of(counts)[0][-1] == "1 pruned"


def test_the_dagger_stands_where_the_chosen_assignment_itself_lost_a_seed() -> None:
    """LoRA chose b, whose seeds are whole; the failed trial is another assignment's. BitFit has no other choice."""
    runs = frame(("lora", {"a": [60.0, None], "b": [70.0, 71.0]}), ("bitfit", {"a": [60.0, 61.0, None]}))
    runs.loc[runs["method"] == "bitfit", "status"] = ["finished", "diverged", "failed"]
    table, counts = tables(runs)
    assert rows(table)["LoRA"][0] == "70.5 ± 0.7"
    assert rows(table)["BitFit"][0] == "60.5 ± 0.7†‡"
    assert rows_of(counts) == [
        ["RTE", "LoRA", "4 of 4", "1", "0", "2 of 2", ""],
        ["", "BitFit", "3 of 3", "1", "1", "2 of 3", "1 failed, 1 diverged"],
    ]
    assert counts.folded


def test_notes_stay_short_whatever_was_lost() -> None:
    cells = [(method, {f"{i}": [60.0, None] for i in range(9)}) for method in ("lora", "bitfit", "aot_fc", "adapters")]
    runs = pd.concat([frame(*cells, task=f"glue/{name}") for name in ("rte", "cola", "mnli", "qqp", "sst-2")])
    table, counts = tables(tidy(runs))
    assert sum(map(len, table.notes)) < 500
    assert len(counts.rows) == 20


def test_a_number_leads_to_its_runs_where_a_server_is_known() -> None:
    runs = frame(("lora", {"a": [80.0, 81.0]}), ("bitfit", {"b": [70.0, 71.0]}))
    (table, *_) = results.render(results.compute(runs, Options(tracking="http://host:5000/#/experiments/3"))).blocks
    assert isinstance(table, Table)
    links = [row[1].link for row in table.rows[:2]]
    assert all(link.startswith("http://host:5000/#/experiments/3/runs?") for link in links)
    assert ["lora-a" in links[0], "bitfit-b" in links[1]] == [True, True]
    (plain, *_) = results.render(results.compute(runs)).blocks
    assert isinstance(plain, Table)
    assert plain.rows[0][1].link == ""
