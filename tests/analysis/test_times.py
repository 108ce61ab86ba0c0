"""Times in the unit that fits, and the reports that print them: of a demo of seconds as of a search of days."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis import times
from analysis.frame import tidy
from analysis.reports import Options, budget, failures, pareto, stability
from analysis.reports._section import Picture
from analysis.tables import Table


@pytest.mark.parametrize(
    ("seconds", "name", "count"),
    [
        (0.25, "second", "0.250"), (59.9, "second", "59.9"), (255, "minute", "4.25"), (3_600, "hour", "1.00"),
        (99 * 3_600, "hour", "99.0"),
        (4.5 * 86_400, "day", "4.50"), (1_234 * 86_400, "day", "1,234"), (0, "second", "0"),
        (math.nan, "second", "—"),
    ],
)  # fmt: skip
def test_the_unit_that_fits(seconds: float, name: str, count: str) -> None:
    unit = times.unit(seconds)
    assert (unit.name, unit.count(seconds)) == (name, count)


def test_what_is_little_in_a_unit_keeps_three_digits() -> None:
    assert times.HOUR.count(15) == "0.00417"
    assert times.significant(-12.345) == "-12.3"


def runs(seconds: float | None) -> pd.DataFrame:
    """Two methods on one task, ten assignments of each with one seed, each trial of so many seconds."""
    rows = [
        {
            "study": "s", "benchmark": "demo", "backbone": "b", "task": "demo/t", "method": method, "seed": 0,
            "assignment_id": f"{method}{i}", "trial_id": f"{method}{i}", "status": "finished", "score": score + i % 5,
            "best_epoch": 1, "epochs": 2, "trainable_parameters": count, "seconds": seconds, "hp.learning_rate": i,
        }
        for method, score, count in (("lora", 70, 10), ("bitfit", 60, 5))
        for i in range(10)
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("seconds", "whole", "part", "unit"),
    [(0.4, "8.00", "4.00", "second"), (36, "12.0", "6.00", "minute"), (72_000, "16.7", "8.33", "day")],
)
def test_every_report_prints_device_time_in_the_unit_that_fits(
    seconds: float, whole: str, part: str, unit: str
) -> None:
    frame = runs(seconds)
    (answer,) = failures.answers(failures.compute(frame))
    assert answer.text == f"{whole} {unit}s of training in all: LoRA {part}, BitFit {part}."
    (table,) = failures.render(failures.compute(frame)).blocks
    assert isinstance(table, Table)
    assert table.columns[-1] == f"{unit.title()}s in all"
    assert [row[-1].text for row in table.rows] == [part, part, whole]

    for section, column in (
        (pareto.render(pareto.compute(frame)), f"Device-{unit}s of the search"),
        (stability.render(stability.compute(frame)), f"Device-{unit}s in all"),
    ):
        assert section is not None
        table = next(block for block in section.blocks if isinstance(block, Table))
        assert [row[table.columns.index(column)].text for row in table.rows] == [part, part]

    section = budget.render(budget.compute(frame, Options(price=36.0)))
    (axis,) = next(block for block in section.blocks if isinstance(block, Picture)).figure.axes
    assert axis.get_xlabel() == f"Device-{unit}s"
    half, size = 5 * seconds, times.unit(5 * seconds).seconds  # of a random search
    assert max(line.get_xdata().max() for line in axis.lines) == pytest.approx(half / size)
    picture = next(block for block in section.blocks if isinstance(block, Picture)).figure
    picture.draw_without_rendering()
    (above,) = axis.child_axes
    assert np.divide(above.get_xlim(), axis.get_xlim()) == pytest.approx(0.01 * size), "36 an hour"


def test_a_time_that_nobody_knows_is_no_nought() -> None:
    data = failures.compute(runs(None))
    assert failures.answers(data) == []
    (table,) = failures.render(data).blocks
    assert isinstance(table, Table)
    assert [row[-1].text for row in table.rows] == ["—", "—", "—"]
