"""The published numbers beside ours, as tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from analysis import style
from analysis.published import match, published
from analysis.reports._section import groups, heading, slug
from analysis.selection import mean
from analysis.tables import EMPTY, Cell, Table, median_std, printed, rounded


@dataclass(frozen=True)
class PaperComparison:
    """One benchmark and backbone of ours.

    ``ours`` and ``theirs`` have a row per (backbone,) method and task, with the task's ``key``; ``theirs`` holds the
    ``match`` alone, or all of the paper's backbones where none is ours (``match`` is then ``None``), on the tasks that
    we have. ``macros`` holds the paper's macros by backbone and method: the published one where we have all its tasks,
    else the mean of its medians on those we have.
    """

    benchmark: str
    backbone: str
    match: str | None
    ours: pd.DataFrame
    theirs: pd.DataFrame
    macros: dict[tuple[str, str], float]


def comparisons(winners: pd.DataFrame) -> list[PaperComparison]:
    """A comparison for each benchmark and backbone of ours whose benchmark the paper has."""
    results, macros = published()
    found = []
    for benchmark, backbone, ours in groups(winners.dropna(subset="median")):
        theirs = results[results["benchmark"] == benchmark]
        if theirs.empty:
            continue
        same = match(backbone, benchmark)
        if same is not None:
            theirs = theirs[theirs["backbone"] == same]
        ours, theirs = (part.assign(key=part["task"].map(style.plain)) for part in (ours, theirs))
        shared = theirs[theirs["key"].isin(ours["key"])]
        if shared.empty:
            continue
        total = macros[macros["benchmark"] == benchmark].set_index(["backbone", "method"])["macro"].to_dict()
        if len(shared) < len(theirs):  # the published macro is over all tasks
            total = shared.groupby(["backbone", "method"])["median"].agg(lambda medians: mean(list(medians))).to_dict()
        found.append(PaperComparison(benchmark, backbone, same, ours, shared, total))
    return found


@dataclass(frozen=True)
class _Line:
    """One row of the table: ``values`` by task key as (median, std); ``macro`` over so many ``tasks``."""

    source: str
    values: dict[str, tuple[float, float]]
    macro: float
    tasks: int
    difference: bool = False

    def cells(self, keys: list[str]) -> list[Cell]:
        if self.difference:
            texts = [printed(self.values[k][0], sign=True) if k in self.values else EMPTY for k in keys]
        else:
            texts = [median_std(*self.values[k]) if k in self.values else EMPTY for k in keys]
        macro = printed(self.macro, sign=self.difference)
        if macro != EMPTY and self.tasks < len(keys):
            macro += f" ({self.tasks}/{len(keys)})"
        return [Cell(self.source), *map(Cell, texts), Cell(macro)]


def table(comparison: PaperComparison) -> Table:
    every = pd.concat([comparison.theirs, comparison.ours])
    names = dict(zip(every["key"], every["task"], strict=True))
    keys = [style.plain(task) for task in style.tasks(names.values())]
    rows: list[tuple[Cell, ...]] = []
    rules = set()
    for method in style.methods(every["method"]):
        mine = _values(comparison.ours, comparison.backbone, method)
        for i, line in enumerate(_lines(comparison, method, mine)):
            rows.append((Cell(style.method(method) if i == 0 else ""), *line.cells(keys)))
        rules.add(len(rows) - 1)
    columns = ("Method", "Source", *(style.task(names[key]) for key in keys), "Macro")
    beside = "the paper" if comparison.match else "other backbones of the paper"
    title = f"{heading(comparison.benchmark, comparison.backbone)} beside {beside}"
    name = slug("paper", comparison.benchmark, comparison.backbone)
    place = (comparison.benchmark, comparison.backbone)
    return Table(name, title, columns, tuple(rows), (), frozenset(rules), 2, place=place)


def _lines(comparison: PaperComparison, method: str, mine: dict[str, tuple[float, float]]) -> list[_Line]:
    """Ours, then the paper's and the difference; or ours and every backbone of the paper's, each with its own macro."""
    if comparison.match is None:
        others = sorted(comparison.theirs["backbone"].unique(), key=list(style.BACKBONES).index)
        lines = [_Line("ours", mine, _mean(mine), len(mine))]
        for backbone in others:
            values = _values(comparison.theirs, backbone, method)
            lines.append(
                _Line(f"paper, {style.backbone(backbone)}", values, _macro(comparison, backbone, method), len(values))
            )
        return lines
    paper = _values(comparison.theirs, comparison.match, method)
    common = [key for key in mine if key in paper]
    ours = _mean({key: mine[key] for key in common or mine})
    theirs = _macro(comparison, comparison.match, method)
    if common and len(common) < len(paper):
        theirs = _mean({key: paper[key] for key in common})
    gaps = {key: (_gap(mine[key][0], paper[key][0]), math.nan) for key in common}
    between = _gap(ours, theirs) if common else math.nan
    both = len(common)
    return [
        _Line("ours", mine, ours, both or len(mine)),
        _Line("paper", paper, theirs, both or len(paper)),
        _Line("difference", gaps, between, both, difference=True),
    ]


def _gap(ours: float, theirs: float) -> float:
    """The difference of what is printed, so that the table adds up."""
    return float(rounded(ours) - rounded(theirs))


def _values(cells: pd.DataFrame, backbone: str, method: str) -> dict[str, tuple[float, float]]:
    rows = cells[(cells["backbone"] == backbone) & (cells["method"] == method)]
    return {row["key"]: (row["median"], row["std"]) for row in rows.to_dict("records")}


def _macro(comparison: PaperComparison, backbone: str, method: str) -> float:
    return comparison.macros.get((backbone, method), math.nan)


def _mean(values: dict[str, tuple[float, float]]) -> float:
    return mean([median for median, _ in values.values()])
