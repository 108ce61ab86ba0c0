"""All scores and not one number: performance profiles and interquartile means, on seeds that chose nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import estimates, shares, style
from analysis.inference import LEAST_TASKS
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, slug
from analysis.tables import EMPTY, Cell, Table, printed

TITLE = "Performance profiles"
POSITION = 150
_INTRO = (
    "The share of scores, over tasks and fresh seeds of the best assignments, that lie above each threshold, with a "
    "95 % band at each threshold for itself (rliable). A curve that is above another everywhere is a method that is "
    "better for every demand; where they cross, it depends on what is asked. The interquartile mean is that of the "
    "middle half of the scores: easy and hard tasks do not decide it, nor does one collapsed run. Scores are "
    "percentages as they are; tasks are not set to one scale."
)
_NOTE = (
    "Interval and bands allow for as many runs to collapse as did in the whole search, seen in these seeds or not; so "
    "they are wider than these scores alone would make them."
)


@dataclass(frozen=True)
class Profiles:
    """``profiles`` and ``means`` of :mod:`analysis.shares`."""

    profiles: pd.DataFrame
    means: pd.DataFrame


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Profiles:
    """Both, of methods that have fresh scores on all tasks."""
    found = estimates.estimates(frame, options.confirmation)
    return Profiles(shares.profiles(found), shares.interquartile_means(found))


def exports(data: Profiles) -> dict[str, pd.DataFrame]:
    """``profiles.csv`` and ``interquartile_means.csv``."""
    return {"profiles": data.profiles, "interquartile_means": data.means}


def render(data: Profiles) -> Section | None:
    """A figure per benchmark and backbone, and a table where there are tasks enough for an interquartile mean."""
    blocks: list[Table | Picture | str] = []
    for benchmark, backbone, rows in groups(data.profiles):
        blocks.append(_picture(benchmark, backbone, rows))
        means = data.means[(data.means["benchmark"] == benchmark) & (data.means["backbone"] == backbone)]
        if len(means):
            blocks.append(_table(benchmark, backbone, means))
    if blocks and data.means.empty:
        blocks.append(
            f"Under {LEAST_TASKS} tasks there is no interquartile mean: the middle half would be a task or two."
        )
    return Section(TITLE, _INTRO, tuple(blocks)) if blocks else None


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame) -> Picture:
    figure, (axis,) = style.panels(1, "Threshold, percent", "Share of scores above", width=6.4, height=3.2)
    methods = style.methods(rows["method"])
    for method in methods:
        own, look = rows[rows["method"] == method], style.look(method)
        thresholds = own["threshold"].to_numpy()
        band = axis.fill_between(
            thresholds, own["lower"], own["upper"], color=look.color, alpha=0.05, lw=0, step="post"
        )
        style.mark(band, method)
        (line,) = axis.plot(thresholds, own["share"], color=look.color, ls=look.line, drawstyle="steps-post")
        hover = [
            f"{style.method(method)}: {100 * s:.0f} % above {printed(t)}"
            for t, s in zip(thresholds, own["share"], strict=True)
        ]
        style.mark(line, method, hover)
    axis.set_ylim(-0.02, 1.02)
    axis.set_title(heading(benchmark, backbone))
    style.legend(figure, methods, unmarked=methods)
    title = f"{heading(benchmark, backbone)}: share of scores on fresh seeds above a threshold"
    return Picture(slug("profiles", benchmark, backbone), title, figure, place=(benchmark, backbone))


def _table(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    found = {row["method"]: row for row in rows.to_dict("records")}
    body = []
    for method in style.methods(found):
        row = found[method]
        interval = EMPTY if pd.isna(row["lower"]) else f"{printed(row['lower'])} to {printed(row['upper'])}"
        texts = (style.method(method), printed(row["iqm"]), interval, f"{row['n_tasks']}", f"{row['n_seeds']}")
        body.append(tuple(map(Cell, texts)))
    columns = ("Method", "Interquartile mean", "95 % interval", "Tasks", "Fresh seeds")
    title = f"{heading(benchmark, backbone)}: interquartile mean of scores on fresh seeds"
    return Table(slug("iqm", benchmark, backbone), title, columns, tuple(body), (_NOTE,), place=(benchmark, backbone))
