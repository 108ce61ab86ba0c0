"""How sensitive a method is to its learning rate: the best median at each, over its other hyperparameters."""

from __future__ import annotations

import pandas as pd
from matplotlib.ticker import NullLocator

from analysis import style
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, slug
from analysis.selection import CELL, assignments, with_all_seeds

TITLE = "Sensitivity to the learning rate"
POSITION = 240
_COLUMN = "hp.learning_rate"
_INTRO = (
    "The best median score at each learning rate, over a method's other hyperparameters. A curve that is highest at "
    "the edge of the grid says that the grid was too small; a steep one that the method needs tuning."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``benchmark, backbone, task, method, learning_rate, median``; empty where the frame holds no learning rates."""
    columns = [*CELL, "learning_rate", "median"]
    if _COLUMN not in frame or not pd.api.types.is_numeric_dtype(frame[_COLUMN]):
        return pd.DataFrame(columns=columns)
    table = assignments(frame).rename(columns={_COLUMN: "learning_rate"}).dropna(subset=["learning_rate", "median"])
    return with_all_seeds(table, columns[:-1]).groupby(columns[:-1], as_index=False)["median"].max()


def render(data: pd.DataFrame) -> Section | None:
    """A figure per benchmark and backbone, a panel per task; ``None`` where every method had one learning rate."""
    blocks = tuple(
        _picture(*group) for group in groups(data) if group[2].groupby(CELL)["learning_rate"].nunique().max() > 1
    )
    return Section(TITLE, _INTRO, blocks) if blocks else None


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame) -> Picture:
    tasks = style.tasks(rows["task"])
    figure, axes = style.panels(len(tasks), "Learning rate", "Best median score")
    for axis, task in zip(axes, tasks, strict=True):
        here = rows[rows["task"] == task]
        for method in style.methods(here["method"]):
            own, look = here[here["method"] == method].sort_values("learning_rate"), style.look(method)
            (line,) = axis.plot(
                own["learning_rate"], own["median"], color=look.color, ls=look.line, marker=look.marker, zorder=3
            )
            style.mark(line, method)
        axis.set_xscale("log")
        rates = sorted(here["learning_rate"].unique())
        if len(rates) <= 5:  # a grid: say its values
            axis.set_xticks(rates, [f"{rate:.0e}".replace("e-0", "e-") for rate in rates])
            axis.xaxis.set_minor_locator(NullLocator())
        axis.set_title(style.task(task))
    style.legend(figure, rows["method"])
    title = f"{heading(benchmark, backbone)}: best median score at each learning rate"
    return Picture(slug("learning-rate", benchmark, backbone), title, figure, (benchmark, backbone))
