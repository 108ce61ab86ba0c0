"""Winners at the edge of what was tried: known grids, and how many there are where nothing matters."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from analysis.frame import tidy
from analysis.reports import winners


def frame(
    scores: dict[str, Sequence[float]], values: Sequence[float] = (1, 2, 3), name: str = "rank", method: str = "lora"
) -> pd.DataFrame:
    """The score of each value, by task."""
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "b", "task": task, "method": method,
            "assignment_id": f"{value}", "trial_id": f"{method}-{task}-{value}", "seed": 0, "status": "finished",
            "score": score, "best_epoch": 1, "epochs": 2, "trainable_parameters": 5, "seconds": 1.0,
            f"hp.{name}": value,
        }
        for task, own in scores.items()
        for value, score in zip(values, own, strict=True)
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows))


def edges(runs: pd.DataFrame) -> dict[str, str]:
    return winners.compute(runs).edges.set_index("task")["edge"].to_dict()


def test_the_least_and_the_greatest_value_are_edges() -> None:
    runs = frame({"glue/rte": [9, 1, 1], "glue/cola": [1, 9, 1], "glue/mnli": [1, 1, 9]})
    assert edges(runs) == {"glue/rte": "min", "glue/cola": "", "glue/mnli": "max"}


def test_of_two_values_none_is_an_edge() -> None:
    assert edges(frame({"glue/rte": [9, 1]}, values=(1, 2))) == {}


def test_what_failed_was_tried() -> None:
    """The greatest value has no score, and the one below it is no edge."""
    runs = frame({"glue/rte": [1, 2, 9, 1]}, values=(1, 2, 3, 4))
    runs.loc[runs["hp.rank"] == 4, ["status", "score"]] = ["failed", None]
    assert edges(runs) == {"glue/rte": ""}


def test_texts_and_truths_have_no_edges() -> None:
    assert edges(frame({"glue/rte": [9, 1, 1]}, values=("a", "b", "c"))) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(("best", "edge"), [(0, "min"), (1, "min"), (2, ""), (27, ""), (28, "max"), (29, "max")])
def test_drawn_values_have_edges_of_a_twentieth_of_their_range(best: int, edge: str) -> None:
    """Thirty on a log scale: the second lies 3.4 % in, the third 6.9 %."""
    rates = np.geomspace(1e-5, 1e-2, 30)
    runs = frame({"glue/rte": [float(i == best) for i in range(30)]}, values=rates, name="learning_rate")
    assert edges(runs) == {"glue/rte": edge}


def test_in_words_and_in_the_tables() -> None:
    tasks = {f"glue/{i}": [9, 1, 1, 1, 1, 1, 1, 1] for i in range(9)} | {"glue/x": [1, 1, 9, 1, 1, 1, 1, 1]}
    section = winners.render(winners.compute(frame(tasks, values=range(1, 9))))
    assert section is not None
    words, by_name, table = section.blocks
    assert words == (
        "9 of 10 winners lie at an edge of what was tried, in one hyperparameter or more; about 3 would if no value "
        "were better than another. More than chance explains lie there in rank: the search space may be too narrow."
    )
    assert [[cell.text for cell in row] for row in by_name.rows] == [["rank", "10", "9", "0", "90", "25"]]
    assert [row[3].text + row[3].signs for row in table.rows] == ["1min"] * 9 + ["3"]
    assert table.folded


def test_what_chance_gives_is_no_sign_of_a_narrow_search() -> None:
    """Two grids of three and four values and scores of noise: 1 - (1/3)(1/2) = 5/6 of winners are at an edge."""
    draw = np.random.default_rng(0)
    rows = []
    for task, (rate, rank) in itertools.product(range(120), itertools.product((1e-4, 1e-3, 1e-2), (2, 4, 8, 16))):
        own = frame({f"glue/{task}": [draw.normal(70)]}, values=(rate,), name="learning_rate").iloc[0].to_dict()
        name = f"{rate}-{rank}"
        rows.append(own | {"hp.rank": rank, "assignment_id": name, "trial_id": f"{task}-{name}"})
    data = winners.compute(tidy(pd.DataFrame(rows)))
    section = winners.render(data)
    assert section is not None
    at = data.edges.assign(at=data.edges["edge"] != "").groupby("task")["at"].any()
    assert at.mean() == pytest.approx(5 / 6, abs=0.1)
    assert f"{at.sum()} of 120 winners lie at an edge" in section.blocks[0]
    assert "about 100 would if no value were better" in section.blocks[0]
    assert section.blocks[0].endswith("That many say nothing of the search space.")
