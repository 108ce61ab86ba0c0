"""The front of score, size and cost, against enumeration and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from analysis.frame import tidy
from analysis.reports import pareto
from analysis.reports._section import Picture


def frame(*methods: tuple, tasks: tuple[str, ...] = ("glue/rte", "glue/cola"), **values: object) -> pd.DataFrame:
    """(method, score, parameters, hours of its search)"""
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "b", "task": task, "method": method, "assignment_id": "a",
            "trial_id": f"{task}-{method}", "seed": 0, "status": "finished", "score": score, "best_epoch": 1,
            "epochs": 2, "trainable_parameters": count,
            "seconds": None if hours is None else hours * 3600 / len(tasks), **values,
        }
        for method, score, count, hours in methods
        for task in tasks
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows))


def front(runs: pd.DataFrame) -> dict[str, str]:
    return pareto.compute(runs).set_index("method")["beaten_by"].to_dict()


def test_what_another_one_beats_in_everything_is_not_on_the_front() -> None:
    runs = frame(("lora", 80, 100, 5), ("bitfit", 70, 10, 5), ("aot_fc", 79, 200, 6), ("fine_tuning", 90, 10**6, 9))
    assert front(runs) == {"lora": "", "bitfit": "", "aot_fc": "lora", "fine_tuning": ""}


def test_equals_do_not_beat_one_another_and_one_that_is_cheaper_does() -> None:
    assert front(frame(("lora", 80, 100, 5), ("bitfit", 80, 100, 5))) == {"lora": "", "bitfit": ""}
    assert front(frame(("lora", 80, 100, 5), ("bitfit", 80, 100, 4))) == {"lora": "bitfit", "bitfit": ""}


@pytest.mark.parametrize("seed", range(5))
def test_against_enumeration(seed: int) -> None:
    draw = np.random.default_rng(seed)
    names = [f"m{i}" for i in range(10)]
    found = {name: tuple(int(v) for v in draw.integers(1, 8, 3)) for name in names}
    beaten = set()
    for a, b in itertools.permutations(names, 2):
        (x, p, h), (y, q, g) = found[a], found[b]
        if x >= y and p <= q and h <= g and (x, -p, -h) != (y, -q, -g):
            beaten.add(b)
    table = pareto.compute(frame(*((name, *found[name]) for name in names)))
    assert set(table.loc[~table["front"], "method"]) == beaten


def test_the_numbers_and_a_cost_that_nobody_knows() -> None:
    runs = frame(("lora", 80, 100, None), ("bitfit", 70, 10, None))
    (lora,) = pareto.compute(runs).query("method == 'lora'").to_dict("records")
    assert (lora["macro"], lora["parameters"], lora["unfinished"]) == (80.0, 100.0, 0)
    assert np.isnan(lora["hours"])
    section = pareto.render(pareto.compute(runs))
    assert section is not None
    picture, table = section.blocks
    assert isinstance(picture, Picture)
    assert [axis.get_title() for axis in picture.figure.axes] == ["Trained parameters"]
    assert [row[4].text for row in table.rows] == ["—", "—"]


def test_hours_are_those_of_the_whole_search_its_failed_trials_included() -> None:
    runs = frame(("lora", 80, 100, 5), ("bitfit", 70, 10, 5))
    lost = runs[runs["method"] == "lora"].assign(
        assignment_id="b", status="failed", score=np.nan, trial_id=["x", "y"], seconds=3600.0
    )
    table = pareto.compute(tidy(pd.concat([runs, lost]))).set_index("method")
    assert table["hours"].to_dict() == pytest.approx({"lora": 7.0, "bitfit": 5.0})


def test_a_method_without_a_score_on_every_task_is_left_out_and_an_unfinished_search_is_marked() -> None:
    runs = frame(("lora", 80, 100, 5), ("bitfit", 70, 10, 5), ("aot_fc", 75, 50, 4), planned_in_cell=2)
    runs = runs[(runs["method"] != "aot_fc") | (runs["task"] == "glue/rte")]
    section = pareto.render(pareto.compute(tidy(runs)))
    assert section is not None
    _, table = section.blocks
    assert [row[0].text for row in table.rows] == ["LoRA", "BitFit"]
    assert [row[4].text + row[4].signs for row in table.rows] == ["5.00§", "5.00§"]


def test_the_first_screen_says_which_methods_are_on_the_front() -> None:
    runs = frame(("lora", 80, 100, 5), ("bitfit", 70, 10, 5), ("aot_fc", 79, 200, 6))
    (answer,) = pareto.answers(pareto.compute(runs))
    assert (answer.question, answer.place) == ("At what cost?", ("glue", "b"))
    assert answer.text == (
        "GLUE · b: as the numbers stand, none of LoRA and BitFit is beaten by another in score, trained parameters and "
        "device-time of the search at once."
    )
    untimed = frame(("lora", 80, 100, None), ("bitfit", 70, 10, 4), planned_in_cell=2)
    (answer,) = pareto.answers(pareto.compute(untimed))
    assert answer.text == (
        "GLUE · b: as the numbers stand, no method is beaten by another in score and trained parameters at once. Not "
        "all of these searches have ended."
    )
    assert pareto.answers(pareto.compute(frame(("lora", 80, 100, 5)))) == [], "there is nothing to compare"
    assert pareto.answers(pareto.compute(frame(("lora", 80, None, None), ("bitfit", 70, 10, None)))) == []
