"""The most epochs and the patience on each task: the paper's Table 6."""

from __future__ import annotations

import pandas as pd

from analysis import style
from analysis.reports._section import DEFAULT, Options, Section
from analysis.tables import EMPTY, Cell, Table

TITLE = "Epochs and patience"
POSITION = 330
PAPER = ("table-6",)
_INTRO = (
    "After at most so many epochs a trial ends, or once its dev score has not risen for as many epochs as the patience "
    "says. Tasks with the same limits stand together."
)
LIMITS = {"max_epochs": "Epochs", "patience": "Patience"}


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``benchmark, backbone, task, max_epochs, patience``: a row per task with the limits seen, a list each."""
    told = frame[["benchmark", "backbone", "task"]].assign(
        **{name: frame[name] if name in frame else pd.array([pd.NA] * len(frame), dtype="Int64") for name in LIMITS}
    )
    keys = ["benchmark", "backbone", "task"]
    distinct = told.drop_duplicates()
    return distinct.groupby(keys)[list(LIMITS)].agg(lambda values: sorted(set(values.dropna()))).reset_index()


def render(data: pd.DataFrame) -> Section:
    """One table with a column per group of tasks; in words what the runs do not tell."""
    told = data[data["max_epochs"].map(len) > 0]
    blocks: list[Table | str] = [_table(told)] if len(told) else []
    for name, limit in LIMITS.items():
        tasks = data.loc[data[name].map(len) == 0, "task"]
        if len(tasks):
            whose = ", ".join(dict.fromkeys(style.task(task) for task in tasks))
            blocks.append(
                f"These runs tell no limit of {limit.lower()} for {whose}; aot export of their study writes it."
            )
    return Section(TITLE, _INTRO, tuple(blocks))


_Column = tuple[str, str, str]  # tasks, epochs and patience


def _table(data: pd.DataFrame) -> Table:
    """The columns of each benchmark; of each of its backbones where they differ in the limits."""
    columns: list[_Column] = []
    for benchmark, rows in data.groupby("benchmark"):
        layouts: dict[tuple[_Column, ...], list[str]] = {}
        for backbone, own in rows.groupby("backbone"):
            layouts.setdefault(_columns(own), []).append(style.backbone(str(backbone)))
        for layout, backbones in layouts.items():
            whose = style.benchmark(str(benchmark)) + (f" ({', '.join(backbones)})" if len(layouts) > 1 else "")
            columns += [(f"{whose}: {tasks}", epochs, patience) for tasks, epochs, patience in layout]
    head, epochs, patience = zip(*columns, strict=True)
    body = tuple((Cell(name), *map(Cell, cells)) for name, cells in (("Epochs", epochs), ("Patience", patience)))
    return Table("epochs", "Epochs at most, and patience", ("", *head), body)


def _columns(rows: pd.DataFrame) -> tuple[_Column, ...]:
    """The groups of tasks of one benchmark and backbone that have the same limits, the largest last, as the others."""
    limits: dict[tuple[str, str], list[str]] = {}
    by_task = rows.set_index("task")
    for task in style.tasks(by_task.index):
        epochs, patience = (_printed(by_task.at[task, name]) for name in LIMITS)
        limits.setdefault((epochs, patience), []).append(style.task(task))
    *smaller, (largest, most) = sorted(limits.items(), key=lambda item: len(item[1]))
    names = "all tasks" if not smaller else "other tasks" if len(most) > 1 else most[0]
    return (*((", ".join(tasks), *values) for values, tasks in smaller), (names, *largest))


def _printed(values: list[int]) -> str:
    return ", ".join(f"{value:,}" for value in values) or EMPTY
