"""How much seeds matter: every seed's score of the best assignments, and the deviations in one table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import chi2

from analysis import style
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, slug
from analysis.selection import CELL, assignments, best_assignments, is_scored
from analysis.tables import Cell, Table, printed

TITLE = "Variance over seeds"
POSITION = 160
_INTRO = (
    "Each dot is one seed of a cell's best assignment, the bar its median. A wide row is a method whose result "
    "depends on luck; compare it with the distance between methods before believing a ranking."
)


@dataclass(frozen=True)
class Seeds:
    """``scores``: a row per seed of every winner; ``deviations``: a row per benchmark, backbone and method."""

    scores: pd.DataFrame
    deviations: pd.DataFrame


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Seeds:
    """Seeds' scores of winners, and mean and largest deviations where there are two seeds or more."""
    table = assignments(frame)
    winners = best_assignments(table).dropna(subset="median")
    scores = frame[is_scored(frame)].merge(winners[[*CELL, "assignment_id"]], on=[*CELL, "assignment_id"])
    key = ["benchmark", "backbone", "method"]
    deviations = table.groupby(key).agg(mean_all=("std", "mean"), n_assignments=("std", "count"))
    own = winners.groupby(key).agg(mean_best=("std", "mean"), largest_best=("std", "max"), n_tasks=("std", "count"))
    return Seeds(scores[[*CELL, "seed", "score"]], own.join(deviations).reset_index())


def render(data: Seeds) -> Section | None:
    """A figure and a table per benchmark and backbone; ``None`` where every assignment has one seed."""
    blocks: list[Table | Picture] = []
    several = data.deviations[data.deviations["n_assignments"] > 0]
    for benchmark, backbone, rows in groups(several):
        own = data.scores[(data.scores["benchmark"] == benchmark) & (data.scores["backbone"] == backbone)]
        per_seeds = int(own.groupby(CELL)["score"].size().median())
        blocks += [_picture(benchmark, backbone, own), _table(benchmark, backbone, rows, per_seeds)]
    return Section(TITLE, _INTRO, tuple(blocks)) if blocks else None


def _uncertain(seeds: int) -> str:
    """Between which multiples of a deviation of so many seeds the true one is: the chi-square interval of 95 %."""
    lower, upper = np.sqrt((seeds - 1) / chi2.ppf([0.975, 0.025], seeds - 1))
    return (
        f"A deviation of {seeds} seeds is itself uncertain: of normal scores the true one is {lower:.1f} to "
        f"{upper:.1f} times it in 95 % of cases."
    )


def _table(benchmark: str, backbone: str, rows: pd.DataFrame, per_seeds: int) -> Table:
    found = {row["method"]: row for row in rows.to_dict("records")}
    body = []
    for method in style.methods(found):
        row = found[method]
        numbers = (
            printed(row["mean_best"]),
            printed(row["largest_best"]),
            printed(row["mean_all"]),
            f"{row['n_assignments']:,}",
        )
        body.append((Cell(style.method(method)), *(Cell(text) for text in numbers)))
    columns = (
        "Method",
        "Mean, best assignments",
        "Largest, best assignments",
        "Mean, all assignments",
        "Assignments with 2+ seeds",
    )
    title = f"{heading(benchmark, backbone)}: standard deviation over seeds, in points"
    notes = (_uncertain(per_seeds),) if per_seeds > 1 else ()
    place = (benchmark, backbone)
    return Table(slug("deviations", benchmark, backbone), title, columns, tuple(body), notes, place=place)


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame) -> Picture:
    tasks, methods = style.tasks(rows["task"]), style.methods(rows["method"])
    figure, axes = style.panels(len(tasks), "Score", "", height=0.26 * len(methods) + 0.75)
    for i, (axis, task) in enumerate(zip(axes, tasks, strict=True)):
        _panel(axis, rows[rows["task"] == task], methods)
        axis.set_title(style.task(task))
        columns = round(figure.get_size_inches()[0] / 2.75)
        axis.set_yticks(range(len(methods)), [style.method(m) for m in methods] if i % columns == 0 else [])
    return Picture(
        slug("seeds", benchmark, backbone),
        f"{heading(benchmark, backbone)}: every seed of the best assignments",
        figure,
        place=(benchmark, backbone),
    )


def _panel(axis: Axes, rows: pd.DataFrame, methods: list[str]) -> None:
    for place, method in enumerate(methods):
        scores, look = rows.loc[rows["method"] == method, "score"].sort_values().to_numpy(), style.look(method)
        if not len(scores):
            continue
        shift = np.linspace(-0.16, 0.16, len(scores)) if len(scores) > 1 else np.zeros(1)
        (bar,) = axis.plot([np.median(scores)] * 2, [place - 0.34, place + 0.34], color=look.color, lw=2, zorder=2)
        dots = axis.scatter(scores, place + shift, s=16, color=look.color, alpha=0.75, lw=0, zorder=3)
        style.mark(bar, method)
        style.mark(dots, method, [f"{style.method(method)}: {score:.2f}" for score in scores])
    axis.set_ylim(len(methods) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
