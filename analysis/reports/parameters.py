"""Score against trainable parameters, per task and for the macro score: the paper's Figures 3, 5 and 7."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analysis import style
from analysis.frame import HYPERPARAMETER, hyperparameters
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, slug
from analysis.selection import APART, assignments, mean

TITLE = "Score against trainable parameters"
POSITION = 40
MACRO = ""  # in the place of a task
_TRAINING = frozenset(HYPERPARAMETER + name for name in ("learning_rate", "batch_size", "dropout", "alpha"))
_INTRO = (
    "The best median score at each size of a method (rank or prompt length), over its other hyperparameters; the "
    "classification head is counted. In the macro panel each size is tuned per task and averaged over tasks, where it "
    "was run on all of them. Fine-tuning is the dashed line; its size is the backbone's."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """A row per point: ``benchmark, backbone, task, method, parameters, median``; ``MACRO`` is a task here."""
    table = assignments(frame).dropna(subset=["median", "trainable_parameters"])
    table["parameters"] = table["trainable_parameters"].astype(float)
    cell = ["benchmark", "backbone", "task", "method"]
    per_task = table.groupby([*cell, "parameters"], as_index=False)["median"].max()
    sizes = [name for name in hyperparameters(frame) if name not in _TRAINING]
    if sizes:
        table["size"] = (
            table[sizes].astype(object).apply(lambda row: repr(["" if pd.isna(v) else v for v in row]), axis=1)
        )
    else:  # a file without hyperparameters: the i-th smallest count of one task is the i-th of another
        table["size"] = table.groupby(cell)["parameters"].rank(method="dense")
    best = table.groupby([*cell, "size"], as_index=False).agg(
        median=("median", "max"), parameters=("parameters", "min")
    )
    rows = []
    for (benchmark, backbone), group in best.groupby(["benchmark", "backbone"]):
        known = group["task"].nunique()
        for (method, _), own in group.groupby(["method", "size"]):
            if len(own) == known > 1:
                point = {"benchmark": benchmark, "backbone": backbone, "task": MACRO, "method": method}
                rows.append(point | {"parameters": own["parameters"].mean(), "median": mean(own["median"].tolist())})
    return pd.concat(
        [per_task, pd.DataFrame(rows, columns=per_task.columns).astype(per_task.dtypes)], ignore_index=True
    )


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``parameters.csv``; the task of macro points reads ``macro``."""
    return {"parameters": data.assign(task=data["task"].replace(MACRO, "macro"))}


def render(data: pd.DataFrame) -> Section | None:
    """A figure per benchmark and backbone: the macro panel first, then one per task."""
    blocks = tuple(_picture(*group) for group in groups(data))
    return Section(TITLE, _INTRO, blocks) if blocks else None


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame) -> Picture:
    tasks = ([MACRO] if (rows["task"] == MACRO).any() else []) + style.tasks(rows.loc[rows["task"] != MACRO, "task"])
    figure, axes = style.panels(len(tasks), "Trainable parameters", "Best median score")
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, rows[rows["task"] == task])
        axis.set_title("Macro" if task == MACRO else style.task(task))
    style.legend(figure, rows["method"], unmarked={APART})
    return Picture(
        slug("parameters", benchmark, backbone),
        f"{heading(benchmark, backbone)}: score against trainable parameters",
        figure,
    )


def _panel(axis: Axes, rows: pd.DataFrame) -> None:
    for method in style.methods(rows["method"]):
        own, look = rows[rows["method"] == method].sort_values("parameters"), style.look(method)
        if method == APART:
            axis.axhline(own["median"].max(), color=look.color, ls=look.line, lw=1.3, zorder=2)
        else:
            axis.plot(own["parameters"], own["median"], color=look.color, ls=look.line, marker=look.marker, zorder=3)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(numticks=6))
    axis.xaxis.set_major_formatter(FuncFormatter(_short))
    axis.xaxis.set_minor_locator(NullLocator())


def _short(count: float, _: int) -> str:
    """``1k``, ``20M``."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:g}{unit}"
    return f"{count:g}"
