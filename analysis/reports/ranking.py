"""Which method is first, and would it be again? The critical-difference diagram, and ranks in resampled studies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import ranking, style
from analysis.evidence import evidence
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, slug
from analysis.selection import APART
from analysis.tables import EMPTY, Cell, Table, printed

TITLE = "Would the ranking hold?"
POSITION = 140
_INTRO = (
    "First the mean rank of each method over the tasks, on seeds that chose nothing; methods that a bar joins are "
    "not told apart. Then the study is made again many times from its own trials, each time with other seeds (a random "
    "half of them chooses the best assignments, the rest score them), other assignments (equally many of every method) "
    "or other tasks (scored by seeds that did not choose), and the methods are ranked by their macro scores. So "
    "nobody is first for having had more assignments. The shares say how far the ranking leans on what was drawn; they "
    "are no probabilities of being the best, which the intervals of Method against method tell of. "
    "Fine-tuning is not ranked."
)
_NAMES = {"seeds": "Other seeds", "assignments": "Other assignments", "tasks": "Other tasks"}


@dataclass(frozen=True)
class Ranking:
    """The tables of :mod:`analysis.ranking`; ``left_out``: methods that lack a task, by benchmark and backbone."""

    mean_ranks: pd.DataFrame
    stability: pd.DataFrame
    left_out: dict[tuple[str, str], tuple[str, ...]]


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Ranking:
    """Mean ranks on the evidence, and ranks in studies resampled from the search."""
    table = ranking.stability(frame)
    left_out = {}
    for benchmark, backbone, rows in groups(frame[frame["method"] != APART]):
        own = table[(table["benchmark"] == benchmark) & (table["backbone"] == backbone)]
        left_out[benchmark, backbone] = tuple(sorted(set(rows["method"]) - set(own["method"])))
    return Ranking(ranking.mean_ranks(evidence(frame, options.confirmation)), table, left_out)


def exports(data: Ranking) -> dict[str, pd.DataFrame]:
    """``mean_ranks.csv`` and ``rank_stability.csv``."""
    return {"mean_ranks": data.mean_ranks, "rank_stability": data.stability}


def render(data: Ranking) -> Section | None:
    """Per benchmark and backbone a diagram, a figure of ranks and a table; ``None`` where there is nothing to rank."""
    diagrams = {(benchmark, backbone): rows for benchmark, backbone, rows in groups(data.mean_ranks)}
    blocks: list[Table | Picture | str] = []
    for benchmark, backbone, rows in groups(data.stability):
        own = diagrams.get((benchmark, backbone))
        if own is not None:
            blocks.append(_diagram(benchmark, backbone, own))
            if math.isinf(own["critical"].iloc[0]):
                blocks.append(_hopeless(benchmark, backbone, own))
        blocks.append(_picture(benchmark, backbone, rows))
        blocks.append(_table(benchmark, backbone, rows, own, data.left_out.get((benchmark, backbone), ())))
    return Section(TITLE, _INTRO, tuple(blocks)) if blocks else None


def _hopeless(benchmark: str, backbone: str, rows: pd.DataFrame) -> str:
    n_tasks, n_methods = rows["n_tasks"].iloc[0], rows["n_methods"].iloc[0]
    return (
        f"{heading(benchmark, backbone)}: {n_tasks} tasks cannot tell {n_methods} methods apart by their ranks, "
        "whatever the scores: one that is first and one that is last on every task would be that by chance too often."
    )


def _diagram(benchmark: str, backbone: str, rows: pd.DataFrame) -> Picture:
    ranks, names = rows["mean_rank"].to_numpy(), rows["method"].tolist()
    critical = float(rows["critical"].iloc[0])
    figure, (axis,) = style.panels(1, "Mean rank (1 is best)", "", width=6.4, height=0.27 * len(names) + 0.7)
    for i, (name, rank) in enumerate(zip(names, ranks, strict=True)):
        look = style.look(name)
        (line,) = axis.plot([rank], [i], color=look.color, marker=look.marker, ls="", ms=7, zorder=3)
        style.mark(line, name, [f"mean rank {printed(rank, 2)} over {rows['n_tasks'].iloc[0]} tasks"])
    for i, (first, last) in enumerate(ranking.together(ranks, critical)):
        place = len(names) + 0.3 + 0.25 * i
        axis.plot([place, place], [first - 0.2, last + 0.2], color="#666666", lw=3, solid_capstyle="butt", zorder=2)
    axis.set_yticks(range(len(names)), [style.method(name) for name in names])
    axis.set_xticks(range(1, len(names) + 1))
    axis.set_ylim(len(names) - 0.5, -0.6)
    axis.set_xlim(0.8, len(names) + 1.6)
    axis.tick_params(axis="y", length=0)
    if math.isinf(critical):
        axis.set_title("No difference of mean ranks could be told from chance")
    else:
        axis.set_title(f"A difference of {printed(critical, 2)} or more tells two methods apart")
    title = f"{heading(benchmark, backbone)}: mean ranks over tasks; a bar joins methods that are not told apart"
    return Picture(slug("mean-ranks", benchmark, backbone), title, figure, place=(benchmark, backbone))


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame) -> Picture:
    kinds = [kind for kind in ranking.RESAMPLED if (rows["resampled"] == kind).any()]
    methods = style.methods(rows["method"])
    figure, axes = style.panels(len(kinds), "Rank", "", height=0.28 * len(methods) + 0.75, columns=3)
    for i, (axis, kind) in enumerate(zip(axes, kinds, strict=True)):
        _panel(axis, rows[rows["resampled"] == kind], methods)
        axis.set_title(_NAMES[kind])
        axis.set_yticks(range(len(methods)), [style.method(m) for m in methods] if i == 0 else [])
    title = f"{heading(benchmark, backbone)}: how often each method has each rank (areas), in resampled studies"
    return Picture(slug("rank-stability", benchmark, backbone), title, figure, place=(benchmark, backbone))


def _panel(axis: Axes, rows: pd.DataFrame, methods: list[str]) -> None:
    for place, method in enumerate(methods):
        own = rows[(rows["method"] == method) & (rows["share"] > 0)]
        dots = axis.scatter(
            own["rank"], np.full(len(own), place), s=170 * own["share"], color=style.look(method).color, lw=0, zorder=3
        )
        hover = [
            f"rank {rank}: {printed(100 * share)} %" for rank, share in zip(own["rank"], own["share"], strict=True)
        ]
        style.mark(dots, method, hover)
    axis.set_xticks(range(1, len(methods) + 1))
    axis.set_xlim(0.4, len(methods) + 0.6)
    axis.set_ylim(len(methods) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)


def _table(
    benchmark: str, backbone: str, rows: pd.DataFrame, diagram: pd.DataFrame | None, left_out: tuple[str, ...]
) -> Table:
    kinds = [kind for kind in ranking.RESAMPLED if (rows["resampled"] == kind).any()]
    means = {} if diagram is None else dict(zip(diagram["method"], diagram["mean_rank"], strict=True))
    body = []
    for method in style.methods(rows["method"]):
        cells = [Cell(style.method(method)), Cell(printed(means[method], 2) if method in means else EMPTY)]
        for kind in kinds:
            own = rows[(rows["method"] == method) & (rows["resampled"] == kind)].sort_values("rank")
            shares = own["share"].to_numpy()
            first, last = (int(np.searchsorted(np.cumsum(shares), q - 1e-9)) + 1 for q in (0.05, 0.95))
            cells += [
                Cell(f"{printed(100 * shares[0], 0)} %"),
                Cell(str(first) if first == last else f"{first} to {last}"),
            ]
        body.append(tuple(cells))
    columns = ["Method", "Mean rank"]
    for kind in kinds:
        columns += [f"First, {_NAMES[kind].lower()}", f"Ranks, {_NAMES[kind].lower()}"]
    notes = [
        f"Of {ranking.STUDIES:,} resampled studies each: the share in which a method is first, and its ranks from the "
        "5th to the 95th percentile. Other assignments: of every method half as many as the one with the fewest has."
    ]
    if left_out:
        notes.append(f"Without a score on every task, and so not ranked: {', '.join(map(style.method, left_out))}.")
    title = f"{heading(benchmark, backbone)}: how often each method is first"
    name = slug("how-often-first", benchmark, backbone)
    return Table(name, title, tuple(columns), tuple(body), tuple(notes), place=(benchmark, backbone))
