"""The hyperparameters of every best assignment: what to use next time."""

from __future__ import annotations

import pandas as pd

from analysis import style
from analysis.frame import HYPERPARAMETER, hyperparameters
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, hyperparameter_text, slug
from analysis.selection import assignments, best_assignments
from analysis.tables import Cell, Table, median_std

TITLE = "Best hyperparameters"
POSITION = 260
_INTRO = "The assignment behind each entry of the results: its hyperparameters, size, and how many it was chosen from."


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """The rows of selection.best_assignments that have a score, with their hyperparameters."""
    return best_assignments(assignments(frame)).dropna(subset="median")


def render(data: pd.DataFrame) -> Section | None:
    """A folded table per benchmark and backbone, ordered by task and method."""
    blocks = tuple(_table(*group) for group in groups(data))
    return Section(TITLE, _INTRO, blocks) if blocks else None


def _table(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    names = [c for c in hyperparameters(rows) if rows[c].notna().any()]
    found = {(row["task"], row["method"]): row for row in rows.to_dict("records")}
    order = [(t, m) for t in style.tasks(rows["task"]) for m in style.methods(rows["method"]) if (t, m) in found]
    body, rules = [], set()
    for i, key in enumerate(order):
        row = found[key]
        count = row["trainable_parameters"]
        first = i == 0 or order[i - 1][0] != key[0]
        if first and i:
            rules.add(i - 1)
        body.append((
            Cell(style.task(key[0]) if first else ""), Cell(style.method(key[1])),
            Cell(median_std(row["median"], row["std"])),
            *(Cell(hyperparameter_text(row[name])) for name in names),
            Cell("" if pd.isna(count) else f"{int(count):,}"),
            Cell(f"{row['n_scored_assignments']:,}"),
        ))  # fmt: skip
    labels = [name.removeprefix(HYPERPARAMETER).replace("_", " ") for name in names]
    columns = ("Task", "Method", "Score", *labels, "Trainable parameters", "Chosen from")
    title = f"{heading(benchmark, backbone)}: best assignments"
    return Table(
        slug("winners", benchmark, backbone), title, columns, tuple(body), (), frozenset(rules), 2, folded=True
    )
