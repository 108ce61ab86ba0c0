"""The values of each hyperparameter that were tried: the paper's Table 5."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from analysis import style
from analysis.frame import HYPERPARAMETER, hyperparameters
from analysis.reports._section import DEFAULT, Options, Section, hyperparameter_text, slug
from analysis.tables import Cell, Table

TITLE = "Hyperparameter ranges"
POSITION = 320
PAPER = ("table-5",)
_INTRO = (
    "The values of each hyperparameter that the trials have, those that failed among them: what was searched, as far "
    "as it has been run. Methods and tasks with the same values stand together."
)
#: The hyperparameters that come first, as in the paper, with what it calls them.
NAMES = {"batch_size": "batch size", "learning_rate": "learning rate", "prompt_length": "p", "rank": "r"}
MANY = 12  # values of a grid; more were drawn at random, and their ends and number say more


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``backbone, task, method, hyperparameter, values``: a row per cell and hyperparameter, ``values`` as text."""
    rows = []
    for column in hyperparameters(frame):
        seen = frame[["backbone", "task", "method", column]].dropna().drop_duplicates()
        for (backbone, task, method), own in seen.groupby(["backbone", "task", "method"])[column]:
            rows.append((backbone, task, method, column.removeprefix(HYPERPARAMETER), _values(own)))
    return pd.DataFrame(rows, columns=["backbone", "task", "method", "hyperparameter", "values"])


def _values(values: pd.Series) -> str:
    """``16, 64``; ``1e-05 to 0.005 (40 values)`` where there are many."""
    ordered = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    texts = [hyperparameter_text(value.item() if isinstance(value, np.generic) else value) for value in ordered]
    return ", ".join(texts) if len(texts) <= MANY else f"{texts[0]} to {texts[-1]} ({len(texts)} values)"


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``ranges.csv``: the values of every cell."""
    return {"ranges": data}


def render(data: pd.DataFrame) -> Section:
    """A table per set of backbones that were searched alike; in words where the runs have no hyperparameters."""
    if data.empty:
        return Section(TITLE, _INTRO, ("These runs have no hyperparameters (columns hp.NAME).",))
    tables: dict[tuple, list[str]] = {}
    for backbone, rows in data.groupby("backbone"):
        tables.setdefault(tuple(_rows(rows)), []).append(str(backbone))
    return Section(TITLE, _INTRO, tuple(_table(rows, backbones) for rows, backbones in tables.items()))


def _rows(data: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Methods, tasks, hyperparameter and values of one backbone, those of all methods and tasks first."""
    by_task = data.groupby(["hyperparameter", "values", "method"])["task"].agg(frozenset).reset_index()
    alike = by_task.groupby(["hyperparameter", "values", "task"])["method"].agg(frozenset).reset_index()
    tasks = frozenset(data["task"])
    having = data.groupby("hyperparameter")["method"].agg(frozenset)
    first = list(NAMES)

    def place(row: tuple) -> tuple:
        name, values, own, methods = row
        order = style.methods(data["method"]).index(style.methods(methods)[0])
        return (first.index(name) if name in first else len(first), name, -len(methods), order, -len(own), values)

    return [
        (_methods(methods, having[name], frozenset(data["method"])), _tasks(own, tasks), NAMES.get(name, name), values)
        for name, values, own, methods in sorted(alike.itertuples(index=False), key=place)
    ]


def _methods(methods: Collection[str], having: Collection[str], every: Collection[str]) -> str:
    if len(methods) == len(every) > 1:
        return "all methods"
    missing = style.methods(set(having) - set(methods))
    if len(having) == len(every) > 2 and len(missing) == 1:
        return f"all but {style.method(missing[0])}"
    return ", ".join(style.method(name) for name in style.methods(methods))


def _tasks(own: Collection[str], tasks: Collection[str]) -> str:
    missing = set(tasks) - set(own)
    if not missing:
        return "all tasks"
    if len(missing) < len(own) and len(tasks) > 2:
        return f"all but {_named(missing, tasks)}"
    return _named(own, tasks)


def _named(own: Collection[str], tasks: Collection[str]) -> str:
    """Tasks in print, in the order of their benchmarks; with the benchmark where the name alone is another's too."""
    shared = {style.task(task) for task in set(tasks) - set(own)}
    names = []
    for benchmark in sorted({task.rpartition("/")[0] for task in own}):
        for task in style.tasks(task for task in own if task.rpartition("/")[0] == benchmark):
            name = style.task(task)
            names.append(f"{style.benchmark(benchmark)} {name}" if name in shared else name)
    return ", ".join(dict.fromkeys(names))


def _table(rows: tuple[tuple[str, str, str, str], ...], backbones: list[str]) -> Table:
    names = ", ".join(style.backbone(name) for name in backbones)
    body = tuple(tuple(map(Cell, (parameter, methods, tasks, values))) for methods, tasks, parameter, values in rows)
    rules = frozenset(i for i in range(len(rows) - 1) if rows[i][2] != rows[i + 1][2])
    title = f"{names}: hyperparameters tried"
    return Table(slug("ranges", *backbones), title, ("Parameter", "Methods", "Tasks", "Range"), body, (), rules, 4)
