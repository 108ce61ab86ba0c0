"""The winner's curse, measured: what the search reports beside what fresh seeds say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from analysis import estimates, inference, style
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, plural, slug
from analysis.selection import CELL, is_scored
from analysis.tables import EMPTY, Cell, Table, printed

TITLE = "What the results are worth on fresh seeds"
POSITION = 105
SEEDS = 5  # what a confirmation would train, as many as the paper has
_INTRO = (
    "A best assignment is the best of many on the same dev scores, so its score is too high by luck: the winner's "
    "curse, the larger the more assignments a method had. Seeds that took no part in the choice tell by how much. "
    "Confirmed: trained for that, after the choice. Held out: each search seed left out in turn, the choice made by "
    "the others and scored on it. Where runs collapse now and then and fresh seeds are fewer than search seeds, the "
    "difference holds that as well."
)


@dataclass(frozen=True)
class Confirmation:
    """``macros`` per method and ``cells``, as :mod:`analysis.estimates` has them.

    ``lost``: confirmation trials of winners that have no score; ``others``: those of assignments that are not selected.
    """

    macros: pd.DataFrame
    cells: pd.DataFrame
    lost: int = 0
    others: int = 0


#: Beside intervals of winners that were confirmed on too few seeds (benchmarks/_rates_inference.py).
UNSAFE = (
    "Confirmed on one or two seeds, a median is a mean, which one collapsed run moves: where 2 to 5 % of runs "
    "collapse, the interval misses the truth in 12 to 16 of 100 cases and not in 5. Confirm on three seeds or more."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Confirmation:
    """Selected and fresh scores, per method and per cell."""
    found = estimates.estimates(frame, options.confirmation)
    return Confirmation(estimates.macros(found), found.cells, *_left_out(found.cells, options.confirmation))


def _left_out(cells: pd.DataFrame, confirmation: pd.DataFrame | None) -> tuple[int, int]:
    """How many confirmation trials of the winners have no score, and how many are of other assignments."""
    if confirmation is None:
        return 0, 0
    keys = [*CELL, "assignment_id"]
    own = pd.MultiIndex.from_frame(confirmation[keys]).isin(pd.MultiIndex.from_frame(cells[keys]))
    return int((own & ~is_scored(confirmation)).sum()), int((~own).sum())


def has_unsafe(cells: pd.DataFrame) -> bool:
    """Whether a winner was confirmed on so few seeds that one collapsed run moves its median."""
    return bool(((cells["kind"] == "confirmed") & (cells["n_fresh"] < inference.SAFE_SEEDS)).any())


def exports(data: Confirmation) -> dict[str, pd.DataFrame]:
    """``fresh.csv`` and ``fresh_macro.csv``."""
    return {"fresh": data.cells, "fresh_macro": data.macros}


def render(data: Confirmation) -> Section | None:
    """What is measured and what estimated, then per benchmark and backbone a table per method and one per cell."""
    if data.cells.empty:
        return None
    blocks: list[Table | str] = [_basis(data)]
    for benchmark, backbone, rows in groups(data.macros):
        if rows["fresh"].notna().any():
            blocks.append(_macros(benchmark, backbone, rows))
    for benchmark, backbone, rows in groups(data.cells[data.cells["kind"] != ""]):
        blocks.append(_cells(benchmark, backbone, rows))
    return Section(TITLE, _INTRO, tuple(blocks))


def _basis(data: Confirmation) -> str:
    cells = data.cells
    kinds = cells["kind"].value_counts()
    confirmed, held, none = (int(kinds.get(kind, 0)) for kind in ("confirmed", "held out", ""))
    parts = [f"{confirmed:,} of {plural(len(cells), 'best assignment')} are confirmed on fresh seeds"]
    if held:
        parts.append(f"{held:,} are estimated by holding out search seeds")
    if none:
        why = "they have one, lost some, or were cut short by their scores"
        parts.append(f"of {none:,} nothing can be said, for want of seeds: {why}")
    text = "; ".join(parts) + "."
    if left := held + none:
        text += (
            f" To measure the others: aot run STUDY --confirm {SEEDS}, which is {plural(left * SEEDS, 'trial')} "
            f"({SEEDS} seeds of {plural(left, 'best assignment')})."
        )
    if data.lost:
        text += f" {plural(data.lost, 'confirmation trial')} of best assignments gave no score, and no number here."
    if data.others:
        text += f" {plural(data.others, 'confirmation trial')} of assignments that are not the best are passed over."
    if has_unsafe(cells):
        text += f" {UNSAFE}"
    return text


def _interval(lower: float, upper: float, sign: bool = False) -> str:
    return EMPTY if math.isnan(lower) else f"{printed(lower, sign=sign)} to {printed(upper, sign=sign)}"


def _macros(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    found = {row["method"]: row for row in rows.to_dict("records")}
    body = []
    for method in style.methods(found):
        row = found[method]
        basis = (
            "confirmed" if row["n_confirmed"] == row["n_tasks"] else "held out" if not row["n_confirmed"] else "both"
        )
        body.append((
            Cell(style.method(method)),
            Cell(basis if not math.isnan(row["fresh"]) else EMPTY),
            Cell(printed(row["selected"])),
            Cell(printed(row["fresh"])),
            Cell(_interval(row["lower"], row["upper"])),
            Cell(printed(row["curse"], sign=True)),
            Cell(_interval(row["curse_lower"], row["curse_upper"], sign=True)),
            Cell(f"{row['n_tasks']}"),
        ))  # fmt: skip
    columns = (
        *("Method", "Basis", "As selected", "On fresh seeds", "95 % interval"),
        *("Too high by", "95 % interval of it", "Tasks"),
    )
    note = (
        "Means over tasks of medians over seeds. The interval is for the chosen assignments on fresh seeds of these "
        "tasks; where there is none, seeds are too few to tell. Held out, a choice by one seed less is judged."
    )
    title = f"{heading(benchmark, backbone)}: macro as selected and on fresh seeds"
    return Table(slug("fresh-macro", benchmark, backbone), title, columns, tuple(body), (note,), left=2,
                 place=(benchmark, backbone))  # fmt: skip


def _cells(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    found = {(row["task"], row["method"]): row for row in rows.to_dict("records")}
    body = []
    for task in style.tasks(rows["task"]):
        for method in style.methods(m for t, m in found if t == task):
            row = found[task, method]
            names = (style.task(task), style.method(method), row["kind"])
            scores = (printed(row["selected"]), printed(row["fresh"]))
            curse = printed(row["selected"] - row["fresh"], sign=True)
            body.append(tuple(map(Cell, (*names, *scores, curse, f"{row['n_seeds']}", f"{row['n_fresh']}"))))
    columns = ("Task", "Method", "Basis", "As selected", "On fresh seeds", "Too high by", "Search seeds", "Fresh seeds")
    title = f"{heading(benchmark, backbone)}: every best assignment as selected and on fresh seeds"
    return Table(slug("fresh-cells", benchmark, backbone), title, columns, tuple(body), left=3, folded=True,
                 place=(benchmark, backbone))  # fmt: skip
