"""Expected Validation Performance per task: the paper's Figures 6 and 8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis import evp, style
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, plural, slug

TITLE = "Expected Validation Performance"
POSITION = 210
PAPER = ("figure-6", "figure-8")
_NAMES = {"v": "V-statistic (Dodge et al. 2019)", "u": "U-statistic (Tang et al. 2020)"}


@dataclass(frozen=True)
class Evp:
    """``curves``: the rows of ``evp.csv``; ``refused``: why a cell has none."""

    curves: pd.DataFrame
    refused: dict[tuple[str, ...], str]
    estimator: evp.Estimator


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Evp:
    """The curve of every cell, by the estimator asked for."""
    return Evp(*evp.curves(frame, options.estimator), options.estimator)


def exports(data: Evp) -> dict[str, pd.DataFrame]:
    """``evp.csv``."""
    return {"evp": data.curves}


def render(data: Evp) -> Section:
    """A figure per benchmark and backbone with a panel per task, and the refusals in words."""
    intro = (
        "The score to expect, in percent, from the best of n assignments when n are tried: how much search a method "
        f"needs. Estimator: {_NAMES[data.estimator]}, on each assignment's median over seeds. The band is a 95 % "
        "bootstrap over assignments. A curve ends at the number of assignments its method had; one that starts far "
        "below the others enters from below."
    )
    blocks: list[Picture | str] = []
    for benchmark, backbone, rows in groups(data.curves):
        if rows["n"].max() > 1:
            blocks.append(_picture(benchmark, backbone, rows))
        else:
            blocks.append(f"{heading(benchmark, backbone)}: no curves, as every method had one assignment.")
    reasons: dict[str, list[str]] = {}
    for (benchmark, backbone, task, method), reason in data.refused.items():
        name = f"{style.method(method)} on {style.task(task)} ({heading(benchmark, backbone)})"
        reasons.setdefault(reason, []).append(name)
    blocks += [
        f"Not estimated ({plural(len(cells), 'cell')}): {reason}: {'; '.join(cells)}."
        for reason, cells in reasons.items()
    ]
    return Section(TITLE, intro, tuple(blocks))


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame) -> Picture:
    tasks = style.tasks(rows["task"])
    figure, axes = style.panels(len(tasks), "Assignments tried", "Expected best score")
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, rows[rows["task"] == task])
        axis.set_title(style.task(task))
    style.legend(figure, rows["method"])
    title = f"{heading(benchmark, backbone)}: expected best score against the number of assignments tried"
    return Picture(slug("evp", benchmark, backbone), title, figure)


def _panel(axis: Axes, rows: pd.DataFrame) -> None:
    methods = style.methods(rows["method"])
    for method in methods:
        own, look = rows[rows["method"] == method], style.look(method)
        axis.fill_between(own["n"], own["lower"], own["upper"], color=look.color, alpha=0.09, lw=0)
        axis.plot(own["n"], own["expected"], color=look.color, ls=look.line, marker=look.marker, ms=4,
                  markevery=_ticks(len(own)), zorder=3)  # fmt: skip
    axis.set_ylim(*_limits(rows))
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))


def _ticks(size: int) -> list[int]:
    """Where markers stand: at most five, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, size - 1, min(size, 5))})


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Every curve's end in view, and the start of most: one that starts far below must not flatten all others."""
    ordered = rows.sort_values("n").groupby("method")["expected"]
    ends, starts = ordered.last(), ordered.first()
    top, bottom = ends.max(), min(ends.min(), starts.quantile(0.3))
    margin = max(0.08 * (top - bottom), 0.2)
    return bottom - margin, top + margin
