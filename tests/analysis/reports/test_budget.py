"""What a budget buys: curves, prices, and crossings in words that the numbers carry."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.frame import tidy
from analysis.reports import Options, budget
from analysis.reports._section import Picture
from analysis.tables import Table
from analysis.times import HOUR, significant


def two_methods(noise: float = 0.1) -> pd.DataFrame:
    """LoRA steady near 78, FC AoT from 70 to 80: a grid of 6 × 5 assignments and three seeds each, an hour each."""
    rows = []
    for method, low, high in (("lora", 77.5, 78.1), ("aot_fc", 70.0, 80.0)):
        for i, center in enumerate(np.linspace(low, high, 30)):
            for seed, shift in enumerate((-noise, 0.0, noise)):
                rows.append({
                    "study": "s", "benchmark": "glue", "backbone": "roberta-base", "task": "glue/rte", "method": method,
                    "assignment_id": f"{method}{i}", "trial_id": f"{method}{i}-{seed}", "seed": seed,
                    "status": "finished", "score": center + shift, "best_epoch": 1, "epochs": 2,
                    "trainable_parameters": 10, "seconds": 1200.0, "hp.learning_rate": i % 6, "hp.rank": i // 6,
                })  # fmt: skip
    return tidy(pd.DataFrame(rows))


def texts(frame: pd.DataFrame, price: float | None = None) -> list[str]:
    section = budget.render(budget.compute(frame, Options(price=price)))
    return [block for block in section.blocks if isinstance(block, str)]


def test_a_crossing_in_words_is_that_of_the_table() -> None:
    data = budget.compute(two_methods())
    (row,) = data.crossings.to_dict("records")
    lower, upper = (significant(row[name]) for name in ("lower", "upper"))
    words = (
        f"GLUE · RoBERTa-Base: Up to {lower} device-hours LoRA leads, from {upper} on FC AoT P-Tuning; between them "
        "nobody can tell."
    )
    assert texts(two_methods()) == [words]
    (table,) = [block for block in budget.render(data).blocks if isinstance(block, Table)]
    assert [cell.text for cell in table.rows[0]] == [
        "LoRA", "FC AoT P-Tuning", *(significant(row[name]) for name in ("hours", "lower", "upper")),
    ]  # fmt: skip
    assert table.place == ("glue", "roberta-base")


def test_where_nothing_is_sure_no_sentence_says_so() -> None:
    assert texts(two_methods(noise=8.0)) == []
    assert len(budget.compute(two_methods(noise=8.0)).crossings) == 1


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        (3.0, np.nan, "Up to 3.00 device-hours LoRA leads BitFit; beyond, nobody can tell."),
        (np.nan, 9.0, "From 9.00 device-hours on BitFit leads LoRA; below, nobody can tell."),
    ],
)
def test_a_crossing_that_is_sure_on_one_side(lower: float, upper: float, words: str) -> None:
    assert budget._sentence({"first": "lora", "later": "bitfit", "lower": lower, "upper": upper}, HOUR) == words


def test_hours_are_the_seconds_of_all_seeds_and_the_price_is_theirs() -> None:
    data = budget.compute(two_methods(), Options(price=2.5))
    for task in ("macro", "glue/rte"):
        own = data.curves[(data.curves["task"] == task) & (data.curves["method"] == "lora")]
        assert own["hours"].iloc[[0, -1]].tolist() == pytest.approx([1.0, 30.0]), "three seeds of 20 minutes"
        assert own["price"].tolist() == pytest.approx((2.5 * own["hours"]).tolist())
        assert own["expected"].iloc[-1] == pytest.approx(78.1)
    section = budget.render(data)
    (picture,) = [block for block in section.blocks if isinstance(block, Picture)]
    (above,) = picture.figure.axes[0].child_axes
    assert above.get_xlabel() == "Price"
    assert "at 2.5 an hour" in section.intro
    assert budget.compute(two_methods()).curves["price"].isna().all()


def test_failed_trials_have_cost_their_time(make_runs: Callable[..., pd.DataFrame]) -> None:
    frame = two_methods()
    lost = frame["assignment_id"].isin([f"lora{i}" for i in range(0, 30, 2)])
    failed = tidy(frame.assign(status=frame["status"].where(~lost, "failed"), score=frame["score"].where(~lost)))
    ends = [budget.compute(f).curves.query("method == 'lora'")["hours"].max() for f in (frame, failed)]
    assert ends == pytest.approx([30.0, 30.0])
    dropped = budget.compute(failed, Options(failures="drop")).curves.query("method == 'lora'")
    assert dropped["hours"].max() == pytest.approx(15.0)


def test_without_seconds_it_says_so() -> None:
    frame = two_methods()
    none = tidy(frame.assign(seconds=np.nan))
    assert texts(none) == ["GLUE · RoBERTa-Base: nothing is known of the time that trials took: LoRA, FC AoT P-Tuning."]
    some = tidy(frame.assign(seconds=frame["seconds"].where(frame["seed"] > 0)))
    hours = budget.compute(some).curves["hours"].max()
    assert hours == pytest.approx(30.0), "a trial without counts with the mean of its cell"
