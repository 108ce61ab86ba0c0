"""The published numbers beside ours: ``aot report --paper``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import style
from analysis.reports._section import Options, Section, slug
from analysis.selection import assignments, best, mean
from analysis.tables import EMPTY, Cell, Table, median_std, printed

TITLE = "Beside the paper"
POSITION = 15
FOLDER = Path(__file__).parents[1] / "paper"
_INTRO = (
    "Our numbers and the published ones (Tables 2 and 3 of Ahead-of-Time P-Tuning). Where a backbone of ours is one of the paper's, "
    "the difference is ours minus theirs, and the macros are over the tasks that both have. Otherwise the paper's "
    "backbones stand there for orientation only, without a difference."
)


@dataclass(frozen=True)
class Comparison:
    """One benchmark. ``ours`` and ``theirs`` have a row per backbone, method and task, with the task's ``key``.

    ``matches`` leads from our backbones to the paper's; ``macros`` holds the published macros by backbone and method.
    """

    benchmark: str
    ours: pd.DataFrame
    theirs: pd.DataFrame
    matches: dict[str, str]
    macros: dict[tuple[str, str], float]


def published() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The paper's results and macro scores, as ``analysis/paper/README.md`` describes them."""
    return pd.read_csv(FOLDER / "results.csv"), pd.read_csv(FOLDER / "macro.csv")


def compute(frame: pd.DataFrame, options: Options = Options()) -> list[Comparison]:  # noqa: B008 (frozen)
    """A comparison for each benchmark that the paper has too; nothing unless ``options.paper``."""
    if not options.paper:
        return []
    results, macros = published()
    winners = best(assignments(frame)).dropna(subset="median")
    comparisons = []
    for benchmark, ours in winners.groupby("benchmark"):
        theirs = results[results["benchmark"] == benchmark]
        if theirs.empty:
            continue
        known = {_backbone(name): name for name in theirs["backbone"].unique()}
        matches = {name: known[_backbone(name)] for name in ours["backbone"].unique() if _backbone(name) in known}
        if matches:
            theirs = theirs[theirs["backbone"].isin(matches.values())]
        columns = ["backbone", "method", "task", "median", "std"]
        own = macros[macros["benchmark"] == benchmark]
        totals = dict(zip(zip(own["backbone"], own["method"], strict=True), own["macro"], strict=True))
        ours, theirs = (part[columns].assign(key=part["task"].map(_key)) for part in (ours, theirs))
        comparisons.append(Comparison(str(benchmark), ours, theirs, matches, totals))
    return comparisons


def exports(data: list[Comparison]) -> dict[str, pd.DataFrame]:
    """``paper.csv``: a row per backbone, method and task that both have, with ``ours``, ``paper``, ``difference``."""
    parts = []
    for comparison in data:
        ours = comparison.ours.assign(paper_backbone=comparison.ours["backbone"].map(comparison.matches))
        ours = ours.dropna(subset="paper_backbone")
        theirs = comparison.theirs.rename(columns={"backbone": "paper_backbone", "median": "paper"})
        both = ours.merge(theirs[["paper_backbone", "method", "key", "paper"]], on=["paper_backbone", "method", "key"])
        both = both.rename(columns={"median": "ours"}).assign(benchmark=comparison.benchmark)
        parts.append(both.assign(difference=both["ours"] - both["paper"]))
    columns = ["benchmark", "backbone", "paper_backbone", "method", "task", "ours", "paper", "difference"]
    return {"paper": pd.concat(parts, ignore_index=True)[columns]} if parts else {}


def render(data: list[Comparison]) -> Section | None:
    """Per benchmark a table of methods and sources (ours, the paper's, difference) by tasks."""
    return Section(TITLE, _INTRO, tuple(_table(comparison) for comparison in data)) if data else None


@dataclass(frozen=True)
class _Line:
    """One row of the table: ``values`` by task key as (median, std)."""

    source: str
    values: dict[str, tuple[float, float]]
    macro: float
    difference: bool = False

    def cells(self, keys: list[str]) -> list[Cell]:
        if self.difference:
            texts = [printed(self.values[k][0], sign=True) if k in self.values else EMPTY for k in keys]
        else:
            texts = [median_std(*self.values[k]) if k in self.values else EMPTY for k in keys]
        return [Cell(self.source), *map(Cell, texts), Cell(printed(self.macro, sign=self.difference))]


def _table(comparison: Comparison) -> Table:
    every = pd.concat([comparison.theirs, comparison.ours])
    names = dict(zip(every["key"], every["task"], strict=True))
    keys = [_key(task) for task in style.tasks(names.values())]
    rows: list[tuple[Cell, ...]] = []
    rules = set()
    for method in style.methods(every["method"]):
        lines = _paired(comparison, method) if comparison.matches else _unpaired(comparison, method)
        for i, line in enumerate(lines):
            rows.append((Cell(style.method(method) if i == 0 else ""), *line.cells(keys)))
        rules.add(len(rows) - 1)
    columns = ("Method", "Source", *(style.task(names[key]) for key in keys), "Macro")
    title = f"{style.benchmark(comparison.benchmark)}: ours and the paper's"
    return Table(slug("paper", comparison.benchmark), title, columns, tuple(rows), (), frozenset(rules), 2)


def _paired(comparison: Comparison, method: str) -> list[_Line]:
    """Ours, the paper's and the difference for each backbone of ours that the paper has; ours alone for another."""
    lines = []
    for backbone in sorted(comparison.ours["backbone"].unique()):
        mine = _values(comparison.ours, backbone, method)
        name = f"ours, {style.backbone(backbone)}"
        other = comparison.matches.get(backbone)
        if other is None:
            lines.append(_Line(name, mine, _mean(mine)))
            continue
        paper = _values(comparison.theirs, other, method)
        common = [key for key in mine if key in paper]
        macro = _mean({key: mine[key] for key in common})
        whole = len(common) == len(paper)
        published_macro = comparison.macros[other, method] if whole and paper else _mean({k: paper[k] for k in common})
        gaps = {key: (mine[key][0] - paper[key][0], math.nan) for key in common}
        lines.append(_Line(name, mine, macro if common else _mean(mine)))
        lines.append(_Line(f"paper, {style.backbone(other)}", paper, published_macro))
        lines.append(_Line("difference", gaps, macro - published_macro, difference=True))
    return lines


def _unpaired(comparison: Comparison, method: str) -> list[_Line]:
    """Ours, then the paper's, where no backbone is shared: each with the mean over its own tasks."""
    lines = []
    for backbone in sorted(comparison.ours["backbone"].unique()):
        mine = _values(comparison.ours, backbone, method)
        lines.append(_Line(f"ours, {style.backbone(backbone)}", mine, _mean(mine)))
    for backbone in sorted(comparison.theirs["backbone"].unique(), key=list(style.BACKBONES).index):
        paper = _values(comparison.theirs, backbone, method)
        lines.append(_Line(f"paper, {style.backbone(backbone)}", paper, comparison.macros.get((backbone, method), math.nan)))
    return lines


def _values(table: pd.DataFrame, backbone: str, method: str) -> dict[str, tuple[float, float]]:
    rows = table[(table["backbone"] == backbone) & (table["method"] == method)]
    return {row["key"]: (row["median"], row["std"]) for row in rows.to_dict("records")}


def _mean(values: dict[str, tuple[float, float]]) -> float:
    return mean([median for median, _ in values.values()])


def _key(task: str) -> str:
    """A task whatever its spelling: ``glue/sst2`` and ``glue/sst-2`` are one."""
    return style.plain(task)


def _backbone(name: str) -> str:
    """A backbone whatever its spelling: ``microsoft/deberta-xlarge`` is DeBERTa-XL."""
    return style.plain(name.rsplit("/", maxsplit=1)[-1]).replace("xlarge", "xl")
