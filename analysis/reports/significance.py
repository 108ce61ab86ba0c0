"""Is the difference real? Tests of every method against the best one, over tasks and over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import significance, style
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, slug
from analysis.selection import assignments, best_assignments
from analysis.tables import EMPTY, Cell, Table, p_value, printed

TITLE = "Is the difference real?"
POSITION = 120
LEVEL = 0.05
_INTRO = (
    "Every method is set against the best one (fine-tuning apart), first on all tasks together, then on each task. "
    "Over tasks: Wilcoxon's signed-rank test on the differences of medians. Over seeds: permutation tests on the "
    "scores of the two best assignments, in each task. Tests are two-sided; bold is below 0.05 after correction for"
    " the number of comparisons (Holm). With few tasks or seeds no difference, however large, can get there, so it "
    "is said what was possible. The best method was picked on the same scores, which flatters its lead; nothing "
    "here corrects for that."
)


@dataclass(frozen=True)
class Significance:
    """The two tables of :mod:`analysis.significance`."""

    over_tasks: pd.DataFrame
    over_seeds: pd.DataFrame


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Significance:
    """Both families of tests."""
    winners = best_assignments(assignments(frame))
    return Significance(significance.over_tasks(frame, winners), significance.over_seeds(frame, winners))


def exports(data: Significance) -> dict[str, pd.DataFrame]:
    """``significance_tasks.csv`` and ``significance_seeds.csv``."""
    return {"significance_tasks": data.over_tasks, "significance_seeds": data.over_seeds}


def render(data: Significance) -> Section | None:
    """Per benchmark and backbone: a row per method over tasks, and a grid of methods and tasks over seeds."""
    blocks: list[Table | str] = []
    for benchmark, backbone, rows in groups(data.over_tasks):
        if rows["n_tasks"].max() > 1:
            blocks.append(_over_tasks(benchmark, backbone, rows))
    for benchmark, backbone, rows in groups(data.over_seeds):
        if (rows["p_least"] < 1).any():
            blocks.append(_over_seeds(benchmark, backbone, rows))
    return Section(TITLE, _INTRO, tuple(blocks)) if blocks else None


def _over_tasks(benchmark: str, backbone: str, table: pd.DataFrame) -> Table:
    by_method = {row["method"]: row for row in table.to_dict("records")}
    rows = []
    for method in style.methods(by_method):
        row = by_method[method]
        interval = f"{printed(row['lower'], sign=True)} to {printed(row['upper'], sign=True)}"
        texts = (
            style.method(method),
            printed(row["difference"], sign=True),
            f"{row['wins']} / {row['ties']} / {row['losses']}",
            EMPTY if pd.isna(row["lower"]) else interval,
        )
        over_tasks = Cell(p_value(row["p_holm"]), "best" if row["p_holm"] < LEVEL else "")
        least = Cell(p_value(row["p_least_holm"]))
        over_seeds = Cell(p_value(row["p_seeds_holm"]), "best" if row["p_seeds_holm"] < LEVEL else "")
        rows.append((*map(Cell, texts), Cell(str(row["n_tasks"])), over_tasks, least, over_seeds))
    columns = (
        *("Method", "Mean difference", "Better / equal / worse", "95 % interval", "Tasks"),
        *("p over tasks", "Least possible p over tasks", "p over seeds"),
    )
    note = (
        "Differences in points, method minus the best; the interval is a bootstrap over tasks, given from five tasks. "
        "p over tasks: would it hold on other tasks? The least possible is what this comparison would have got by "
        "going one way on every task. p over seeds: would it hold on these tasks with other seeds? All after Holm."
    )
    reference = style.method(table["reference"].iloc[0])
    title = f"{heading(benchmark, backbone)}: each method against {reference}, on all tasks"
    return Table(slug("significance-tasks", benchmark, backbone), title, columns, tuple(rows), (note,))


def _over_seeds(benchmark: str, backbone: str, table: pd.DataFrame) -> Table:
    cells = {(row["method"], row["task"]): row for row in table.to_dict("records")}
    reference = dict(zip(table["task"], table["reference"], strict=True))
    tasks = style.tasks(reference)
    rows = []
    for method in style.methods({*table["method"], *table["reference"]}):
        row = [Cell(style.method(method))]
        for task in tasks:
            found = cells.get((method, task))
            if method == reference[task]:
                row.append(Cell("best"))
            elif found is None:
                row.append(Cell(EMPTY))
            else:
                text = f"{printed(found['difference'], sign=True)} ({p_value(found['p'])})"
                row.append(Cell(text, "best" if found["p_holm"] < LEVEL else ""))
        rows.append(tuple(row))
    sizes = {f"{min(a, b)} against {max(a, b)}" for a, b in zip(table["n_reference"], table["n_method"], strict=True)}
    families = table.groupby("task")["p_least"].agg(["min", "size"])
    possible = (families["min"] * families["size"] < LEVEL).sum()
    note = (
        "Difference of medians from the task's best method, and in parentheses p for that comparison alone; bold where "
        f"it is below {LEVEL} after Holm in the task. Seeds compared: {', '.join(sorted(sizes))}. With so many seeds "
        f"and methods the clearest comparison could be bold on {possible} of {len(families)} tasks."
    )
    title = f"{heading(benchmark, backbone)}: each method against the task's best, over seeds"
    columns = ("Method", *(style.task(t) for t in tasks))
    return Table(slug("significance-seeds", benchmark, backbone), title, columns, tuple(rows), (note,))
