"""What became of the trials and what they cost, by backbone and method."""

from __future__ import annotations

import pandas as pd

from analysis import style, times
from analysis.frame import STATUSES
from analysis.reports._section import DEFAULT, QUESTIONS, Answer, Options, Section, slug
from analysis.tables import Cell, Table, printed

TITLE = "Trials and cost"
POSITION = 410
_INTRO = (
    "Every trial by how it ended. Failed trials have no number; a diverged one met a loss that was not finite and"
    " counts with the best score it had reached; a pruned one was cut short by an adaptive search and enters no "
    "statistic. Seconds are each trial's share of the time of the pack it trained in."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """Per backbone and method: trials by status, median epochs and seconds of a trial, hours in all."""
    table = frame.assign(**{status: frame["status"] == status for status in STATUSES}, no_score=frame["score"].isna())
    return table.groupby(["backbone", "method"]).agg(
        trials=("trial_id", "size"),
        **{status: (status, "sum") for status in STATUSES},
        no_score=("no_score", "sum"),
        median_epochs=("epochs", "median"),
        median_seconds=("seconds", "median"),
        hours=("seconds", lambda seconds: seconds.sum(min_count=1) / 3600),
    ).reset_index()  # fmt: skip


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``trials.csv``."""
    return {"trials": data}


def render(data: pd.DataFrame) -> Section:
    """One table per backbone with a row of totals."""
    found = dict(iter(data.groupby("backbone")))
    return Section(TITLE, _INTRO, tuple(_table(backbone, found[backbone]) for backbone in style.backbones(found)))


def answers(data: pd.DataFrame) -> list[Answer]:
    """What training took, in all and by method."""
    seconds = 3_600 * data.groupby("method")["hours"].sum(min_count=1).dropna()
    total = seconds.sum()
    if not total:
        return []
    fits = times.unit(total)
    parts = [f"{style.method(method)} {fits.count(seconds[method])}" for method in style.methods(seconds.index)]
    return [Answer(QUESTIONS[2], f"{fits.count(total)} {fits.name}s of training in all: {', '.join(parts)}.")]


def _table(backbone: str, rows: pd.DataFrame) -> Table:
    found = {row["method"]: row for row in rows.to_dict("records")}
    counted = ("trials", *STATUSES, "no_score")
    body, seconds = [], 3_600 * rows["hours"].sum(min_count=1)
    fits = times.unit(seconds)
    for method in style.methods(found):
        row = found[method]
        numbers = [f"{row[name]:,}" for name in counted]
        median = "" if pd.isna(row["median_seconds"]) else times.significant(row["median_seconds"])
        numbers += [_number(row["median_epochs"], 0), median, fits.count(3_600 * row["hours"])]
        body.append((Cell(style.method(method)), *(Cell(text) for text in numbers)))
    total = [f"{rows[name].sum():,}" for name in counted] + ["", "", fits.count(seconds)]
    body.append((Cell("All"), *(Cell(text) for text in total)))
    columns = (
        "Method",
        "Trials",
        *(s.title() for s in STATUSES),
        "Without score",
        "Median epochs",
        "Median seconds",
        f"{fits.name.title()}s in all",
    )
    name, title = slug("trials", backbone), f"{style.backbone(backbone)}: trials by status, and time"
    return Table(name, title, columns, tuple(body), (), frozenset({len(body) - 2}), totals=1)


def _number(value: object, digits: int) -> str:
    return "" if pd.isna(value) else printed(float(value), digits)  # type: ignore[arg-type]
