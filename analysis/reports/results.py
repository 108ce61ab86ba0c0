"""Median ± deviation of every method on every task, and the macro score: the layout of the paper's Tables 2 and 3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from analysis import style
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, slug, span
from analysis.selection import APART, assignments, best_assignments, macro_scores
from analysis.tables import EMPTY, Cell, Mark, Table, marks, median_std, printed

TITLE = "Results"
POSITION = 10
PAPER = ("table-2", "table-3")
_RESULTS = [
    "benchmark",
    "backbone",
    "method",
    "task",
    "median",
    "std",
    "n_seeds",
    "assignment_id",
    "n_assignments",
    "n_failed",
]
_INTRO = (
    "Each entry is the best assignment of that method on that task: the median of its score over seeds and the sample "
    "standard deviation. Macro is the mean of a row's medians. Bold is best and underlined second, by the printed "
    "numbers; fine-tuning trains everything and stands apart, unmarked. Scores are on the split the assignments were "
    "chosen on, so they flatter methods with many assignments."
)


@dataclass(frozen=True)
class Results:
    """``winners``: a row per cell (selection.best_assignments); ``macro``: a row per benchmark, backbone and method."""

    winners: pd.DataFrame
    macro: pd.DataFrame


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Results:
    """The best assignment of every cell and the macro scores."""
    winners = best_assignments(assignments(frame))
    return Results(winners, macro_scores(winners))


def exports(data: Results) -> dict[str, pd.DataFrame]:
    """``results.csv`` and ``macro.csv``."""
    return {"results": data.winners[_RESULTS], "macro": data.macro}


def render(data: Results) -> Section:
    """One table per benchmark and backbone."""
    blocks = tuple(
        _table(
            benchmark,
            backbone,
            rows,
            data.macro[(data.macro["benchmark"] == benchmark) & (data.macro["backbone"] == backbone)],
        )
        for benchmark, backbone, rows in groups(data.winners)
    )
    return Section(TITLE, _INTRO, blocks)


def _table(benchmark: str, backbone: str, winners: pd.DataFrame, macros: pd.DataFrame) -> Table:
    methods, tasks = style.methods(winners["method"]), style.tasks(winners["task"])
    cells = {(row["method"], row["task"]): row for row in winners.to_dict("records")}
    totals = {row["method"]: row for row in macros.to_dict("records")}
    ranked = [m for m in methods if m != APART]
    grid: dict[tuple[str, str], Cell] = {}
    for task in tasks:
        won = dict(
            zip(ranked, marks([cells[m, task]["median"] if (m, task) in cells else None for m in ranked]), strict=True)
        )
        for method in methods:
            grid[method, task] = _cell(cells.get((method, task)), won.get(method, ""))
    complete = [totals[m]["macro"] if totals[m]["complete"] else None for m in ranked]
    won = dict(zip(ranked, marks(complete), strict=True))
    statuses = ["failed", "diverged", *(["pruned"] if winners["n_pruned"].any() else [])]
    rows = []
    for method in methods:
        total = totals[method]
        text = printed(total["macro"])
        if not total["complete"] and text != EMPTY:
            text += f" ({total['n_tasks']}/{max(len(tasks), int(winners['planned_tasks'].fillna(0).max()))})"
        own = winners[winners["method"] == method]
        part = "§" if text != EMPTY and own["n_missing"].any() else ""
        lost = own[[f"n_{status}" for status in statuses]].sum()
        scores = (grid[method, task] for task in tasks)
        rows.append(
            (
                Cell(style.method(method)),
                *scores,
                Cell(text, won.get(method, ""), part),
                Cell(" / ".join(f"{n:,}" for n in lost)),
            )
        )
    seeds = span(winners.loc[winners["n_seeds"] > 0, "n_seeds"], "seed")
    return Table(
        slug("results", benchmark, backbone),
        f"{heading(benchmark, backbone)}: median ± standard deviation over {seeds}",
        ("Method", *(style.task(t) for t in tasks), "Macro", " / ".join(statuses).capitalize()),
        tuple(rows),
        tuple(_notes(winners, macros)),
        frozenset({0} if methods[0] == APART and len(methods) > 1 else ()),
        place=(benchmark, backbone),
    )


def _cell(row: dict | None, mark: Mark) -> Cell:
    if row is None:
        return Cell(EMPTY)
    signs = ("†" if row["n_failed"] + row["n_diverged"] else "") + ("‡" if row["fewer_seeds"] else "")
    signs += "§" if row["n_missing"] else ""
    return Cell(median_std(row["median"], row["std"]), mark, signs)


def _notes(winners: pd.DataFrame, macros: pd.DataFrame) -> list[str]:
    """The signs under the table, each with what it stands for."""
    notes = []
    hurt = _by_method(winners[winners["n_failed"] + winners["n_diverged"] > 0], _hurt)
    if hurt:
        notes.append(f"† Trials of the cell failed (no number) or diverged (their best score counts). {hurt}.")
    fewer = _by_method(winners[winners["fewer_seeds"]], lambda row: f"{row['n_seeds']} of {row['seeds_given']}")
    if fewer:
        notes.append(f"‡ The best assignment rests on fewer seeds than were planned: luck weighs more. {fewer}.")
    missing = _by_method(
        winners[winners["n_missing"] > 0], lambda row: f"{row['n_trials']} of {row['planned_in_cell']}"
    )
    if missing:
        notes.append(
            f"§ Only a part of the cell's trials has ended: another assignment may win, the macro change. {missing}."
        )
    promoted = _by_method(
        winners[winners["n_promoted"] > 0], lambda row: f"{row['n_promoted']} of {row['n_assignments']}"
    )
    if promoted:
        notes.append(
            "Promotion: after the first seed, only the best assignments got the others, and the entry is one of them. "
            f"{promoted}."
        )
    if (~macros["complete"] & (macros["n_tasks"] > 0)).any():
        notes.append("A macro followed by (k/n) is over k of the n tasks and is not ranked.")
    return notes


def _by_method(rows: pd.DataFrame, words: Callable[[dict], str]) -> str:
    """``LoRA: RTE 1 failed, CoLA 2 failed. BitFit: …``, in the table's order."""
    found = {(row["method"], row["task"]): words(row) for row in rows.to_dict("records")}
    parts = []
    for method in style.methods(rows["method"]):
        own = [f"{style.task(t)} {found[method, t]}" for t in style.tasks(rows["task"]) if (method, t) in found]
        parts.append(f"{style.method(method)}: {', '.join(own)}")
    return ". ".join(parts)


def _hurt(row: dict) -> str:
    return " + ".join(f"{row[f'n_{s}']} {s}" for s in ("failed", "diverged") if row[f"n_{s}"])
