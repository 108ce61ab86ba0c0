"""Tables of a study of which only a part is trained: a number over less than the others is marked as such."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from analysis.frame import tidy
from analysis.reports import paper, parameters, results, sensitivity
from analysis.reports._section import Options
from analysis.tables import Table


def row(table: Table, method: str) -> list[str]:
    """The texts and signs of a method's row."""
    (found,) = [cells for cells in table.rows if cells[0].text == method]
    return [cell.text + cell.signs for cell in found[1:]]


def test_the_macro_over_a_cell_of_which_a_part_has_ended_says_so(make_runs: Callable[..., pd.DataFrame]) -> None:
    frame = make_runs(methods=("lora", "bitfit"), tasks=("rte", "cola"), seeds=2)
    sizes = frame.groupby(["method", "task"])["trial_id"].transform("size")
    part = (frame["method"] == "lora") & (frame["task"] == "glue/rte")
    table, _ = results.render(results.compute(tidy(frame.assign(planned_in_cell=sizes + part)))).blocks
    assert isinstance(table, Table)
    *scores, macro, _ = row(table, "LoRA")
    assert ["§" in text for text in (*scores, macro)] == [True, False, True]
    assert not any("§" in text for text in row(table, "BitFit"))


def test_beside_the_paper_a_macro_over_fewer_tasks_is_told(make_runs: Callable[..., pd.DataFrame]) -> None:
    frame = make_runs(methods=("lora", "bitfit"), tasks=("rte", "cola"), seeds=2)
    part = tidy(frame[(frame["method"] == "bitfit") | (frame["task"] == "glue/rte")])
    for backbone, sources in (("roberta-base", ("ours", "paper", "difference")), ("other", ("ours",))):
        section = paper.render(paper.compute(part.assign(backbone=backbone), Options(paper=True)))
        assert section is not None
        table = section.blocks[-1]
        assert isinstance(table, Table)
        first = next(i for i, cells in enumerate(table.rows) if cells[0].text == "LoRA")
        told = {cells[1].text: cells[-1].text.endswith("(1/2)") for cells in table.rows[first : first + len(sources)]}
        assert told == dict.fromkeys(sources, True)
        assert not next(c for c in table.rows if c[0].text == "BitFit")[-1].text.endswith(")")


def test_a_curve_prefers_assignments_with_all_seeds_as_the_results_do(make_runs: Callable[..., pd.DataFrame]) -> None:
    """One of two assignments at each size and rate has a lucky seed and lacks the other."""
    frame = make_runs(methods=("lora",), tasks=("rte", "cola"), seeds=2)
    first = frame.drop_duplicates(["task", "hp.rank", "hp.learning_rate"])
    place = ["task", "hp.rank"]
    lucky = frame["assignment_id"].isin(first.drop_duplicates(place)["assignment_id"])
    frame = tidy(frame.assign(planned_seeds=2, score=frame["score"].mask(lucky, 99.0))[~(lucky & (frame["seed"] == 1))])
    points = parameters.compute(frame)
    assert set(points["task"]) == {parameters.MACRO, "glue/rte", "glue/cola"}
    assert points["median"].max() < 99
    table = sensitivity.compute(frame)
    by_rate = table[table["hyperparameter"] == "learning_rate"].set_index(["task", "value"])["median"]
    whole = frame[frame.groupby("assignment_id")["seed"].transform("size") == 2]
    assert set(by_rate[by_rate < 99].index) == set(zip(whole["task"], whole["hp.learning_rate"], strict=True))
