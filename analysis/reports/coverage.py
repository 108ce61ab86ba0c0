"""What of the study has been trained: planned, finished, diverged, failed, lost, and not yet run."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import style
from analysis.coverage import COLUMNS, CONFIRMATION, is_whole, of_frame, progress
from analysis.frame import STATUSES
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, plural, slug
from analysis.tables import EMPTY, Cell, Table

TITLE = "What is trained"
POSITION = 5
_COUNTED = ("planned", *STATUSES, "lost", "not_run")
_HEADS = ("Planned", "Finished", "Diverged", "Failed", "Pruned", "Lost", "Not run")


@dataclass(frozen=True)
class Coverage:
    """``cells``: a row per cell that is planned; ``elsewhere``: trials planned in cells that are not among them."""

    cells: pd.DataFrame
    elsewhere: int


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Coverage:
    """What the study says of itself; else what can be told from its trials."""
    cells, elsewhere = (options.coverage, 0) if options.coverage is not None else of_frame(frame)
    return Coverage(pd.DataFrame(columns=list(COLUMNS)) if cells is None else cells, elsewhere)


def exports(data: Coverage) -> dict[str, pd.DataFrame]:
    """``coverage.csv``, where anybody knows what was planned."""
    return {"coverage": data.cells[[*COLUMNS, *_confirmation(data.cells)]]} if len(data.cells) else {}


def _confirmation(cells: pd.DataFrame) -> list[str]:
    """The columns of trials on fresh seeds, where the study asks for any."""
    return list(CONFIRMATION) if set(CONFIRMATION) <= set(cells.columns) and cells["to_confirm"].any() else []


def render(data: Coverage) -> Section | None:
    """A table per benchmark and backbone, and one of the cells that are not whole; nothing where nobody knows."""
    if not len(data.cells):
        return None
    words = [progress(data.cells, data.elsewhere)]
    if data.elsewhere:
        words.append(f"{plural(data.elsewhere, 'trial')} of these are planned in cells that do not stand here.")
    if not is_whole(data.cells, data.elsewhere):
        words.append("The next aot run trains those without a result.")
    if data.cells["lost"].fillna(0).any():
        words.append("Lost: the result was written down once, and is gone from the journal and from MLflow.")
    if data.cells["not_run"].fillna(0).any() or data.elsewhere:
        words.append("Not run: no result was ever written down; nothing was lost there.")
    if _confirmation(data.cells):
        asked, confirmed = (int(data.cells[name].sum()) for name in CONFIRMATION)
        words.append(
            f"Besides, {confirmed:,} of {plural(asked, 'trial')} on fresh seeds, to confirm the choices, have a score."
        )
    blocks = [_by_method(*group) for group in groups(data.cells)]
    part = data.cells[data.cells[["failed", "lost", "not_run"]].fillna(0).sum(axis=1) > 0]
    blocks += [_by_cell(*group) for group in groups(part)]
    return Section(TITLE, " ".join(words), tuple(blocks))


def _by_method(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    sums = rows.groupby("method")[list(_COUNTED)].sum()
    body = [(Cell(style.method(m)), *_numbers(sums.loc[m])) for m in style.methods(rows["method"])]
    body.append((Cell("All"), *_numbers(sums.sum())))
    title = f"{heading(benchmark, backbone)}: trials that are planned, and what became of them"
    name = slug("coverage", benchmark, backbone)
    return Table(name, title, ("Method", *_HEADS), tuple(body), (), frozenset({len(body) - 2}),
                 place=(benchmark, backbone))  # fmt: skip


def _by_cell(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    found = {(row["task"], row["method"]): row for _, row in rows.iterrows()}
    body: list[tuple[Cell, ...]] = []
    rules = set()
    for task in style.tasks(rows["task"]):
        for i, method in enumerate(m for m in style.methods(rows["method"]) if (task, m) in found):
            row = found[task, method]
            whole = EMPTY if pd.isna(row["complete"]) else f"{row['complete']:,} of {row['assignments']:,}"
            place = (Cell(style.task(task) if not i else ""), Cell(style.method(method)))
            body.append((*place, *_numbers(row), Cell(whole)))
        rules.add(len(body) - 1)
    title = f"{heading(benchmark, backbone)}: cells that are not whole"
    columns = ("Task", "Method", *_HEADS, "Assignments with all seeds")
    name = slug("missing", benchmark, backbone)
    return Table(name, title, columns, tuple(body), (), frozenset(rules - {len(body) - 1}), 2, True,
                 (benchmark, backbone))  # fmt: skip


def _numbers(row: pd.Series) -> list[Cell]:
    return [Cell(f"{int(row[name]):,}" if row.notna()[name] else EMPTY) for name in _COUNTED]
