"""Which assignments were promoted: after the first seed, only the best of a cell got the others."""

from __future__ import annotations

import pandas as pd

from analysis import style
from analysis.frame import HYPERPARAMETER, hyperparameters
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, hyperparameter_text, slug
from analysis.selection import CELL, assignments, best_assignments
from analysis.tables import EMPTY, Cell, Table, median_std, printed

TITLE = "Promoted assignments"
POSITION = 420
_INTRO = (
    "The search gave every assignment its first seed, and the other seeds to the best of each cell by that score. The "
    "first score chose them, so it flatters them; median and deviation are over all their seeds. The assignment behind "
    "the results is marked with an asterisk."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """A row per assignment of the cells with promotion: its first score, and what became of it.

    ``first`` in percent, ``promoted``, ``selected``, and the columns of ``selection.assignments``.
    """
    table = assignments(frame)
    after_promotion = table["promoted"].groupby([table[name] for name in CELL]).transform("any")
    rows = table[after_promotion]
    firsts = frame[frame.get("promotion", "") == "first"] if "promotion" in frame else frame.iloc[:0]
    first = firsts.set_index([*CELL, "assignment_id"])["score"].rename("first")
    first = first.groupby(level=first.index.names).first()
    winners = set(best_assignments(table)["assignment_id"].dropna())
    return rows.join(first, on=[*CELL, "assignment_id"]).assign(selected=rows["assignment_id"].isin(winners))


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``promotion.csv``, where there was any."""
    columns = [*CELL, "assignment_id", "first", "promoted", "selected", "median", "std", "n_seeds"]
    return {"promotion": data[[*columns, *hyperparameters(data)]]} if len(data) else {}


def render(data: pd.DataFrame) -> Section | None:
    """A folded table per benchmark and backbone with the assignments that were promoted; nothing without any."""
    if not len(data):
        return None
    return Section(TITLE, _INTRO, tuple(_table(*group) for group in groups(data)))


def _table(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    promoted = rows[rows["promoted"]]
    names = [name for name in hyperparameters(rows) if promoted[name].notna().any()]
    body: list[tuple[Cell, ...]] = []
    rules = set()
    for task in style.tasks(rows["task"]):
        for method in style.methods(promoted.loc[promoted["task"] == task, "method"]):
            cell = rows[(rows["task"] == task) & (rows["method"] == method)]
            chosen = cell[cell["promoted"]].sort_values("first", ascending=False)
            for i, row in enumerate(chosen.to_dict("records")):
                place = (style.task(task), style.method(method), f"{len(chosen)} of {len(cell)}") if not i else [""] * 3
                body.append((
                    *(Cell(text) for text in place), *(Cell(hyperparameter_text(row[name])) for name in names),
                    Cell(printed(row["first"]) or EMPTY),
                    Cell(median_std(row["median"], row["std"]), "", "*" if row["selected"] else ""),
                ))  # fmt: skip
        rules.add(len(body) - 1)
    labels = [name.removeprefix(HYPERPARAMETER).replace("_", " ") for name in names]
    columns = ("Task", "Method", "Promoted", *labels, "First seed", "All seeds")
    title = f"{heading(benchmark, backbone)}: promoted assignments"
    lines = frozenset(rules - {len(body) - 1})
    return Table(slug("promotion", benchmark, backbone), title, columns, tuple(body), (), lines, 2, folded=True)
