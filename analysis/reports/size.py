"""Macro score against the prompt length p or the rank r itself: the paper's Figure 3."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analysis import style
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, plural, slug
from analysis.selection import APART, CELL, assignments, mean, with_all_seeds

TITLE = "Macro score against prompt length and rank"
POSITION = 228
PAPER = ("figure-3",)
#: The hyperparameters that the axis shows, with the paper's sign of each.
SIZES = {"hp.prompt_length": "p", "hp.rank": "r"}
_INTRO = (
    "Each method at each prompt length p (P-Tuning) or rank r (the others): per task the best median over its other "
    "hyperparameters, then the mean over tasks, where that size was run on all of them. Fine-tuning, which has no "
    "size, is the dashed line. The sizes of two methods are not the same number of parameters: the figures against "
    "trainable parameters compare those. A size is tuned less than its method, so its macro is at most the method's."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``benchmark, backbone, method, sign, size, macro, n_tasks``: a row per method and size that all tasks have.

    ``sign`` is p or r, empty for fine-tuning, which has no ``size``.
    """
    table = sized(assignments(frame).dropna(subset="median"))
    by_size = [*CELL, "sign", "size"]
    best = with_all_seeds(table, by_size).groupby(by_size, as_index=False)["median"].max()
    place = ["benchmark", "backbone"]
    known = frame.groupby(place)["task"].nunique().rename("known").reset_index()
    macros = best.groupby([*place, "method", "sign", "size"], as_index=False)["median"].agg(
        macro=lambda medians: mean(medians.tolist()), n_tasks="size"
    )
    macros = macros.merge(known, on=place).assign(size=macros["size"].where(macros["sign"] != ""))
    return macros[macros["n_tasks"] == macros["known"]].drop(columns="known").reset_index(drop=True)


def sized(table: pd.DataFrame) -> pd.DataFrame:
    """The assignments that have a size, with its sign, and those of fine-tuning, with none and zero."""
    table = table.assign(sign="", size=0.0)
    for column, sign in SIZES.items():
        if column in table:
            size = pd.to_numeric(table[column], errors="coerce").astype(float)
            has = size.notna() & (table["sign"] == "") & (table["method"] != APART)
            table.loc[has, "sign"] = sign
            table.loc[has, "size"] = size[has]
    return table[(table["sign"] != "") | (table["method"] == APART)]


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``size.csv``: the points of the figure."""
    return {"size": data}


def render(data: pd.DataFrame) -> Section | None:
    """A figure per benchmark and backbone on which a method has a size."""
    sized = [group for group in groups(data) if group[2]["size"].notna().any()]
    return Section(TITLE, _INTRO, tuple(_picture(*group) for group in sized)) if sized else None


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame) -> Picture:
    figure, (axis,) = style.panels(1, "p or r", "Macro score", width=5.6, height=3.2)
    for method in style.methods(rows["method"]):
        _line(axis, method, rows[rows["method"] == method].sort_values("size"))
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_locator(LogLocator(base=2, numticks=12))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_title(f"{heading(benchmark, backbone)}, {plural(int(rows['n_tasks'].max()), 'task')}")
    style.legend(figure, rows["method"], unmarked={APART})
    title = f"{heading(benchmark, backbone)}: macro score against prompt length p or rank r"
    return Picture(slug("size", benchmark, backbone), title, figure, place=(benchmark, backbone))


def _line(axis: Axes, method: str, own: pd.DataFrame) -> None:
    look, name = style.look(method), style.method(method)
    if method == APART:
        line = axis.axhline(own["macro"].max(), color=look.color, ls=look.line, lw=1.3, zorder=2)
        style.mark(line, method, [f"{name}: {own['macro'].max():.1f}"])
    else:
        (line,) = axis.plot(own["size"], own["macro"], color=look.color, ls=look.line, marker=look.marker, zorder=3)
        points = own[["sign", "size", "macro"]].itertuples(index=False)
        style.mark(line, method, [f"{name}, {sign} = {size:g}: {macro:.1f}" for sign, size, macro in points])
