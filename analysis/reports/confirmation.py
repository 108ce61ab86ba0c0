"""The winner's curse, measured: what the search reports beside what fresh seeds say."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pandas as pd

from analysis import estimates, style
from analysis.collapses import MOST_SEEDS
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
    ``collapses``: as there.
    """

    macros: pd.DataFrame
    cells: pd.DataFrame
    lost: int = 0
    others: int = 0
    collapses: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["too_often"]))


_MARK = "¶"  # where collapsing runs leave no interval


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Confirmation:
    """Selected and fresh scores, per method and per cell."""
    found = estimates.estimates(frame, options.confirmation)
    left_out = _left_out(found.cells, options.confirmation)
    return Confirmation(estimates.macros(found), found.cells, *left_out, found.collapses)


def _left_out(cells: pd.DataFrame, confirmation: pd.DataFrame | None) -> tuple[int, int]:
    """How many confirmation trials of the winners have no score, and how many are of other assignments."""
    if confirmation is None:
        return 0, 0
    keys = [*CELL, "assignment_id"]
    own = pd.MultiIndex.from_frame(confirmation[keys]).isin(pd.MultiIndex.from_frame(cells[keys]))
    return int((own & ~is_scored(confirmation)).sum()), int((~own).sum())


def unsafe(collapses: pd.DataFrame) -> str:
    """Whose intervals are not shown since runs collapse, and what is needed; empty where none is held back."""
    alike: dict[tuple[str, str], list[str]] = {}  # by place and by what is needed: what was seen of each method
    for row in collapses[collapses["too_often"].astype(bool)].to_dict("records"):
        seen = f"{row['collapsed']:,} of {row['runs']:,}" if row["collapsed"] else f"none of {row['runs']:,}"
        place = heading(row["benchmark"], row["backbone"])
        alike.setdefault((place, seeds(row["needed"])), []).append(f"{style.method(row['method'])} ({seen})")
    if not alike:
        return ""
    told = [f"On {place} {needed} would be needed: {', '.join(names)}." for (place, needed), names in alike.items()]
    return (
        "A median of few seeds may be that of runs that collapsed, which so few need not show, and an interval would "
        f"not hold. {' '.join(told)} In parentheses, how many runs collapsed, of those of assignments like the best: "
        "they ended further below their median than eight times what runs typically do. None of few does not rule it "
        "out."
    )


def seeds(needed: int) -> str:
    """``3 fresh seeds per cell``."""
    number = f"more than {MOST_SEEDS}" if needed > MOST_SEEDS else f"{needed}"
    return f"{number} fresh seed{'' if needed == 1 else 's'} per cell"


def exports(data: Confirmation) -> dict[str, pd.DataFrame]:
    """``fresh.csv``, ``fresh_macro.csv`` and ``collapses.csv``."""
    return {
        "fresh": data.cells.drop(columns="lowest"),
        "fresh_macro": data.macros,
        "collapses": data.collapses,
    }


def render(data: Confirmation) -> Section | None:
    """What is measured and what estimated, then per benchmark and backbone a table per method and one per cell."""
    if data.cells.empty:
        return None
    blocks: list[Table | str] = [_basis(data)]
    for benchmark, backbone, rows in groups(data.macros):
        if rows["fresh"].notna().any():
            blocks.append(_macros(benchmark, backbone, rows, _held_back(data.collapses, benchmark, backbone)))
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
    return f"{text} {unsafe(data.collapses)}".strip()


def _interval(lower: float, upper: float, sign: bool = False) -> str:
    return EMPTY if math.isnan(lower) else f"{printed(lower, sign=sign)} to {printed(upper, sign=sign)}"


def _held_back(collapses: pd.DataFrame, benchmark: str, backbone: str) -> set[str]:
    """The methods there whose intervals are not shown."""
    rows = collapses[collapses["too_often"].astype(bool)].to_dict("records")
    return {row["method"] for row in rows if (row["benchmark"], row["backbone"]) == (benchmark, backbone)}


def _macros(benchmark: str, backbone: str, rows: pd.DataFrame, held_back: set[str]) -> Table:
    found = {row["method"]: row for row in rows.to_dict("records")}
    body = []
    for method in style.methods(found):
        row = found[method]
        basis = (
            "confirmed" if row["n_confirmed"] == row["n_tasks"] else "held out" if not row["n_confirmed"] else "both"
        )
        sign = _MARK if method in held_back else ""
        body.append((
            Cell(style.method(method)),
            Cell(basis if not math.isnan(row["fresh"]) else EMPTY),
            Cell(printed(row["selected"])),
            Cell(printed(row["fresh"])),
            Cell(_interval(row["lower"], row["upper"]), "", sign),
            Cell(printed(row["curse"], sign=True)),
            Cell(_interval(row["curse_lower"], row["curse_upper"], sign=True), "", sign),
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
    notes = (note, *([f"{_MARK} Runs may collapse: with so few seeds none would hold."] if held_back else []))
    title = f"{heading(benchmark, backbone)}: macro as selected and on fresh seeds"
    return Table(slug("fresh-macro", benchmark, backbone), title, columns, tuple(body), notes, left=2,
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
