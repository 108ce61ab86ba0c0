"""Median ± deviation of every method on every task, and the macro score: the layout of the paper's Tables 2 and 3."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import style
from analysis.devsets import TASK, devsets
from analysis.links import runs_of
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, slug, span
from analysis.selection import APART, CELL, assignments, best_assignments, macro_scores
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
    "numbers, among entries with all their seeds that are above the majority class; fine-tuning trains everything and "
    "stands apart, unmarked. Scores are on the split the assignments were chosen on, so they flatter methods with many "
    "assignments. Below the methods stands what the best constant answer scores, on how many examples all of it is "
    "measured, and the standard error that so many give the best score of the column: other examples would move it by "
    "as much, whatever the seeds."
)
_LOST = ("failed", "diverged", "pruned")


@dataclass(frozen=True)
class Results:
    """``winners``: a row per cell (selection.best_assignments) with ``own_failed``, ``own_diverged``, ``own_pruned``
    and ``own_trials`` of the chosen assignment alone, and ``bar``, what its score must exceed to beat a constant
    answer, and ``link``, where MLflow shows its trials, if anywhere; ``macro``: a row per benchmark, backbone and
    method; ``devsets``: a row per benchmark, backbone and task.
    """

    winners: pd.DataFrame
    macro: pd.DataFrame
    devsets: pd.DataFrame


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Results:
    """The best assignment of every cell, the macro scores, and the dev sets."""
    table = assignments(frame)
    own = table.loc[table["selected"], [*CELL, "n_trials", *(f"n_{name}" for name in _LOST)]]
    own = own.rename(columns={"n_trials": "own_trials"} | {f"n_{name}": f"own_{name}" for name in _LOST})
    winners = best_assignments(table).merge(own, on=CELL, how="left")
    dev = devsets(frame, table, options.predictions)
    winners = winners.merge(dev[[*TASK, "bar"]], on=TASK, how="left")
    names = ["backbone", "task", "method", "assignment_id"]
    winners["link"] = [runs_of(options.tracking, *row) for row in winners[names].fillna("").itertuples(index=False)]
    return Results(winners, macro_scores(winners), dev)


def exports(data: Results) -> dict[str, pd.DataFrame]:
    """``results.csv``, ``macro.csv`` and ``devsets.csv``."""
    return {"results": data.winners[_RESULTS], "macro": data.macro, "devsets": data.devsets}


def render(data: Results) -> Section:
    """One table per benchmark and backbone, and a folded one of the cells with trials that were lost or not run."""
    blocks: list[Table] = []
    for benchmark, backbone, rows in groups(data.winners):
        macros, dev = (
            table[(table["benchmark"] == benchmark) & (table["backbone"] == backbone)]
            for table in (data.macro, data.devsets)
        )
        blocks.append(_table(benchmark, backbone, rows, macros, dev))
        hurt = rows[_is_hurt(rows)]
        if len(hurt):
            blocks.append(_counts(benchmark, backbone, hurt))
    return Section(TITLE, _INTRO, tuple(blocks))


def _is_hurt(winners: pd.DataFrame) -> pd.Series:
    return winners[["n_failed", "n_diverged", "n_pruned", "n_missing", "fewer_seeds"]].astype(int).sum(axis=1) > 0


def _table(benchmark: str, backbone: str, winners: pd.DataFrame, macros: pd.DataFrame, dev: pd.DataFrame) -> Table:
    methods, tasks = style.methods(winners["method"]), style.tasks(winners["task"])
    cells = {(row["method"], row["task"]): row for row in winners.to_dict("records")}
    totals = {row["method"]: row for row in macros.to_dict("records")}
    ranked = [m for m in methods if m != APART]
    grid: dict[tuple[str, str], Cell] = {}
    for task in tasks:
        won = dict(zip(ranked, marks([_ranked(cells.get((m, task))) for m in ranked]), strict=True))
        for method in methods:
            grid[method, task] = _cell(cells.get((method, task)), won.get(method, ""))
    few = set(winners.loc[winners["fewer_seeds"], "method"])
    complete = [totals[m]["macro"] if totals[m]["complete"] and m not in few else None for m in ranked]
    won = dict(zip(ranked, marks(complete), strict=True))
    planned = max(len(tasks), int(winners["planned_tasks"].fillna(0).max()))
    statuses = ["failed", "diverged", *(["pruned"] if winners["n_pruned"].any() else [])]
    rows = []
    for method in methods:
        own = winners[winners["method"] == method]
        lost = " / ".join(f"{own[f'n_{status}'].sum():,}" for status in statuses)
        total = _macro(totals[method], own, planned, won.get(method, ""))
        rows.append((Cell(style.method(method)), *(grid[method, task] for task in tasks), total, Cell(lost)))
    below = _of_devsets(tasks, dev)
    rules = {len(methods) - 1} if below else set()
    if methods[0] == APART and len(methods) > 1:
        rules.add(0)
    seeds = span(winners.loc[winners["n_seeds"] > 0, "n_seeds"], "seed")
    return Table(
        slug("results", benchmark, backbone),
        f"{heading(benchmark, backbone)}: median ± standard deviation over {seeds}",
        ("Method", *(style.task(t) for t in tasks), "Macro", " / ".join(statuses).capitalize()),
        (*rows, *below),
        tuple(_notes(winners, macros, dev)),
        frozenset(rules),
        place=(benchmark, backbone),
        totals=len(below),
    )


def _ranked(row: dict | None) -> float | None:
    """The median that takes part in the marks: that of an assignment with all its seeds, above the majority class."""
    return None if row is None or row["fewer_seeds"] or row["median"] <= row["bar"] else row["median"]


def _cell(row: dict | None, mark: Mark) -> Cell:
    if row is None:
        return Cell(EMPTY)
    signs = "†" if row["own_failed"] > 0 or row["own_diverged"] > 0 else ""
    signs += "‡" if row["fewer_seeds"] else ""
    signs += "§" if row["n_missing"] else ""
    signs += "=" if row["median"] <= row["bar"] else ""
    return Cell(median_std(row["median"], row["std"]), mark, signs, row["link"])


def _macro(total: dict, own: pd.DataFrame, planned: int, mark: Mark) -> Cell:
    text = printed(total["macro"])
    if text == EMPTY:
        return Cell(text)
    if not total["complete"]:
        text += f" ({total['n_tasks']}/{planned})"
    return Cell(text, mark, ("‡" if own["fewer_seeds"].any() else "") + ("§" if own["n_missing"].any() else ""))


def _of_devsets(tasks: list[str], dev: pd.DataFrame) -> list[tuple[Cell, ...]]:
    """The rows below the methods: the majority class, the examples, and the standard error of the best score."""
    found = {row["task"]: row for row in dev.to_dict("records")}
    majority = [printed(found[task]["majority"]) for task in tasks]
    sizes = [EMPTY if pd.isna(n := found[task]["n_dev"]) else f"{n:,}" for task in tasks]
    errors = [printed(found[task]["standard_error"]) for task in tasks]
    macro = pd.Series([found[task]["majority"] for task in tasks]).mean(skipna=False)
    lines = (
        ("Majority class", majority, printed(macro)),
        ("Dev examples", sizes, ""),
        ("Standard error", [text if text == EMPTY else f"± {text}" for text in errors], ""),
    )
    return [
        (Cell(name), *map(Cell, texts), Cell(last), Cell(""))
        for name, texts, last in lines
        if any(text != EMPTY for text in texts)
    ]


def _notes(winners: pd.DataFrame, macros: pd.DataFrame, dev: pd.DataFrame) -> list[str]:
    """The signs under the table, each with what it stands for."""
    notes = []
    if (winners[["own_failed", "own_diverged"]].fillna(0) > 0).any(axis=None):
        notes.append(
            "† Of the chosen assignment itself, seeds failed (no number) or diverged (their best score counts)."
        )
    if winners["fewer_seeds"].any():
        notes.append(
            f"‡ No assignment of the cell has a score for all planned seeds{_why(winners)}: luck weighs more, so the "
            "entry and its macro are not ranked."
        )
    if winners["n_missing"].any():
        notes.append("§ Only a part of the cell's trials has ended: another assignment may win, the macro change.")
    if (winners["median"] <= winners["bar"]).any():
        notes.append(
            "= Not above the majority class by more than one standard error (of an accuracy, at the majority's score; "
            "of other metrics, not above it): no better than a constant answer, and not ranked."
        )
    promoted = winners[winners["n_promoted"] > 0]
    if len(promoted):
        several = span(promoted["n_promoted"], "assignment")
        notes.append(f"Promotion: after the first seed only the best got the others ({several} per cell).")
    if (~macros["complete"] & (macros["n_tasks"] > 0)).any():
        notes.append("A macro followed by (k/n) is over k of the n tasks and is not ranked.")
    assumed = dev[~dev["counted"] & dev["n_dev"].notna()]
    if len(assumed):
        names = (
            "" if len(assumed) == len(dev) else " of " + ", ".join(style.task(t) for t in style.tasks(assumed["task"]))
        )
        notes.append(
            f"Dev examples{names} as published, within the rows that the protocol allows: no answers were kept."
        )
    silent = dev[dev["standard_error"].isna() & dev["best"].notna() & (dev["metric"] != "")]
    if len(silent) and dev["standard_error"].notna().any():
        names = ", ".join(style.task(task) for task in style.tasks(silent["task"]))
        notes.append(
            f"No standard error of {names}: of other metrics than accuracy it takes answers, and none were kept."
        )
    return notes


def _why(winners: pd.DataFrame) -> str:
    """What became of the seeds that the chosen assignments lack."""
    few = winners[winners["fewer_seeds"]]
    never = int((few["seeds_given"] - few["own_trials"]).clip(lower=0).sum())
    cut = int(few["own_pruned"].sum())
    lost = int((few["own_trials"] - few["n_seeds"]).sum()) - cut
    counts = ((lost, "lost"), (cut, "cut short"), (never, "not run yet"))
    parts = [f"{count:,} {'was' if count == 1 else 'were'} {what}" for count, what in counts if count]
    return f" ({', '.join(parts)})" if parts else ""


def _counts(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    """What was lost or not run in each cell: of all its trials, and of the chosen assignment."""
    found = {(row["task"], row["method"]): row for row in rows.to_dict("records")}
    pruned = ("pruned",) if rows["n_pruned"].any() else ()
    body, rules = [], set()
    for task in style.tasks(rows["task"]):
        for i, method in enumerate(style.methods(m for t, m in found if t == task)):
            row = found[task, method]
            planned = row["n_trials"] if pd.isna(row["planned_in_cell"]) else row["planned_in_cell"]
            texts = [
                f"{row['n_trials']:,} of {planned:,}",
                *(f"{row[f'n_{s}']:,}" for s in ("failed", "diverged", *pruned)),
            ]
            seeds = EMPTY if pd.isna(row["median"]) else f"{row['n_seeds']} of {row['seeds_given']}"
            place = (style.task(task) if not i else "", style.method(method))
            body.append(tuple(map(Cell, (*place, *texts, seeds, _of_the_chosen(row)))))
        rules.add(len(body) - 1)
    counted = ("Ended", "Failed", "Diverged", *(status.capitalize() for status in pruned))
    columns = ("Task", "Method", *counted, "Seeds of the chosen", "Its lost seeds")
    title = f"{heading(benchmark, backbone)}: cells with trials that were lost or not run"
    lines = frozenset(rules - {len(body) - 1})
    return Table(
        slug("lost", benchmark, backbone), title, columns, tuple(body), (), lines, 2, True, (benchmark, backbone)
    )


def _of_the_chosen(row: dict) -> str:
    """``1 failed, 2 not run``; a diverged seed with a score is among the seeds all the same."""
    if pd.isna(row["median"]):
        return ""
    counts = [(int(row[f"own_{name}"]), name) for name in _LOST]
    counts.append((max(0, row["seeds_given"] - int(row["own_trials"])), "not run"))
    return ", ".join(f"{count} {name}" for count, name in counts if count)
