"""Score against trainable parameters, per task and for the macro score: the paper's Figures 5 and 7."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analysis import style
from analysis.frame import HYPERPARAMETER, hyperparameters
from analysis.reports._section import DEFAULT, MethodInfo, Options, Picture, Section, groups, heading, slug
from analysis.selection import APART, CELL, assignments, mean, with_all_seeds

TITLE = "Score against trainable parameters"
POSITION = 230
PAPER = ("figure-5", "figure-7")
MACRO = ""  # in the place of a task
_INTRO = (
    "The best median score at each size of a method (rank or prompt length), over its other hyperparameters; the "
    "classification head is counted, and all that a method trains, also what no token reaches (rows of Kronecker AoT "
    "P-Tuning where a·b is above the vocabulary). In the macro panel each size is tuned per task and averaged over "
    "tasks, where it was run on all of them. Fine-tuning is the dashed line; its size is the backbone's."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """A row per point: ``benchmark, backbone, task, method, parameters, median``; ``MACRO`` is a task here."""
    table = assignments(frame).dropna(subset=["median", "trainable_parameters"])
    table["parameters"] = table["trainable_parameters"].astype(float)
    table["size"] = _sizes(table, options.methods)
    by_count, by_size = [*CELL, "parameters"], [*CELL, "size"]
    per_task = with_all_seeds(table, by_count).groupby(by_count, as_index=False)["median"].max()
    tuned = (
        with_all_seeds(table, by_size)
        .groupby(by_size, as_index=False)
        .agg(median=("median", "max"), parameters=("parameters", "min"))
    )
    rows = []
    for (benchmark, backbone), group in tuned.groupby(["benchmark", "backbone"]):
        known = group["task"].nunique()
        for (method, _), own in group.groupby(["method", "size"]):
            if len(own) == known > 1:
                point = {"benchmark": benchmark, "backbone": backbone, "task": MACRO, "method": method}
                rows.append(point | {"parameters": own["parameters"].mean(), "median": mean(own["median"].tolist())})
    return pd.concat(
        [per_task, pd.DataFrame(rows, columns=per_task.columns).astype(per_task.dtypes)], ignore_index=True
    )


def _sizes(table: pd.DataFrame, methods: Mapping[str, MethodInfo]) -> list[str]:
    """For each assignment, what its size is called on all tasks: heads differ, so counts do too.

    These are the hyperparameters that the method's count depends on. Where a method is not known, or the frame has none
    of them, the i-th smallest count of one task is the i-th of another.
    """
    by_count = table.groupby(CELL)["parameters"].rank(method="dense").map("{:09.0f}".format)
    own = {name: {HYPERPARAMETER + size for size in info.sizes} for name, info in methods.items()}
    columns = [c for c in hyperparameters(table) if any(c in sizes for sizes in own.values())]
    known = {name for name, sizes in own.items() if not sizes or sizes & set(columns)}
    # A place for every column, also for those of other methods: the text sorts the points of parameters.csv.
    return [
        repr([v if c in own[method] and not pd.isna(v) else "" for c, v in zip(columns, values, strict=True)])
        if method in known
        else count
        for method, count, *values in zip(
            table["method"], by_count, *(table[c].astype(object) for c in columns), strict=True
        )
    ]


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
        place=(benchmark, backbone),
    )


def _panel(axis: Axes, rows: pd.DataFrame) -> None:
    for method in style.methods(rows["method"]):
        own, look = rows[rows["method"] == method].sort_values("parameters"), style.look(method)
        if method == APART:
            line = axis.axhline(own["median"].max(), color=look.color, ls=look.line, lw=1.3, zorder=2)
            style.mark(line, method, [f"{style.method(method)}: {own['median'].max():.1f}"])
        else:
            points = own["parameters"], own["median"]
            (line,) = axis.plot(*points, color=look.color, ls=look.line, marker=look.marker, zorder=3)
            names = (f"{style.method(method)}, {_short(n, 0)}: {m:.1f}" for n, m in zip(*points, strict=True))
            style.mark(line, method, list(names))
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=_steps(axis), numticks=6))
    axis.xaxis.set_major_formatter(FuncFormatter(_short))
    axis.xaxis.set_minor_locator(NullLocator())


def _steps(axis: Axes) -> tuple[float, ...]:
    """Where ticks stand in each power of ten: also between, where fewer than two powers are in view."""
    low, high = axis.get_xlim()
    return (1.0,) if high >= 100 * low else (1.0, 2.0, 5.0)


def _short(count: float, _: int) -> str:
    """``1k``, ``20M``."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:.3g}{unit}"
    return f"{count:g}"
