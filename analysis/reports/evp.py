"""Expected Validation Performance, for the macro score and per task: the paper's Figures 6 and 8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis import courses, evp, style
from analysis._evp_band import informative
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, plural, slug
from analysis.tables import printed

TITLE = "Expected Validation Performance"
POSITION = 210
PAPER = ("figure-6", "figure-8")
MACRO_COLUMNS = ["benchmark", "backbone", "method", "n", "expected", "lower", "upper", "estimator", "n_tasks", "kind"]
_NAMES = {"v": "V-statistic (Dodge et al. 2019)", "u": "U-statistic (Tang et al. 2020)"}
_KINDS = {
    "sample": "Of a random search the band is for n new draws from the search space, assignments and seeds together, "
    "and ends at half of the assignments; beyond, dotted, the estimate comes to the best one that was found and tells "
    "of no other search.",
    "grid": "Of a grid the curve is for n of its own assignments tried in random order, the band holds the noise of "
    "seeds alone, and at the end stands the best of the whole grid.",
}


@dataclass(frozen=True)
class Evp:
    """``curves``: the rows of ``evp.csv``; ``macro``: those of ``evp_macro.csv``; ``refused``: why a cell has none.

    ``floors``: by benchmark, backbone and task what failed trials count with, and whether that is the task's chance.
    """

    curves: pd.DataFrame
    macro: pd.DataFrame
    refused: dict[tuple[str, ...], str]
    floors: dict[tuple[str, str, str], tuple[float, bool]]
    options: Options


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Evp:
    """The curve of every cell and the macro's of every method, by the estimator asked for."""
    found, refused = evp.cells(frame, options.failures)
    _, macro = courses.of_cells(found, tasks_of(frame), options.estimator)
    floors = {values.cell[:3]: (values.floor, values.chance) for values in found if values.n_floor}
    return Evp(evp.of_cells(found, options.estimator), _macro_table(macro, options.estimator), refused, floors, options)


def tasks_of(frame: pd.DataFrame) -> dict[tuple[str, str], int]:
    """How many tasks each benchmark and backbone has: as planned, or that occur for any method."""
    places = frame.groupby(["benchmark", "backbone"])
    known = places["task"].nunique()
    planned = places["planned_tasks"].max().fillna(0) if "planned_tasks" in frame else known
    return {(str(b), str(k)): int(n) for (b, k), n in np.maximum(known, planned.astype(int)).items()}


def _macro_table(macro: list[courses.Course], estimator: evp.Estimator) -> pd.DataFrame:
    parts = []
    for course in macro:
        lower, upper = course.band()
        parts.append(pd.DataFrame({
            "benchmark": course.benchmark, "backbone": course.backbone, "method": course.method,
            "n": np.arange(1, len(course.expected) + 1), "expected": course.expected,
            "lower": np.fmin(lower, course.expected), "upper": np.fmax(upper, course.expected),
            "estimator": estimator, "n_tasks": len(course.cells), "kind": course.kind,
        }).assign(lower=lambda t, own=lower: t["lower"].where(~np.isnan(own)),
                  upper=lambda t, own=upper: t["upper"].where(~np.isnan(own))))  # fmt: skip
    return pd.concat(parts, ignore_index=True)[MACRO_COLUMNS] if parts else pd.DataFrame(columns=MACRO_COLUMNS)


def exports(data: Evp) -> dict[str, pd.DataFrame]:
    """``evp.csv`` and ``evp_macro.csv``."""
    return {"evp": data.curves, "evp_macro": data.macro}


def render(data: Evp) -> Section:
    """A figure per benchmark and backbone, the macro's panel first, and the refusals in words."""
    kinds = [words for kind, words in _KINDS.items() if (data.curves["kind"] == kind).any()]
    intro = " ".join([
        "The score to expect, in percent, from the best of n assignments when n are tried (on each task, for the "
        f"macro): how much search a method needs. Estimator: {_NAMES[data.options.estimator]}, on each assignment's "
        "median over seeds. Bands are to hold the truth in 95 % of studies; there is none below five assignments.",
        *kinds,
        "A curve that starts far below the others enters from below.",
    ])  # fmt: skip
    blocks: list[Picture | str] = []
    for benchmark, backbone, rows in groups(data.curves):
        if rows["n"].max() > 1:
            macro = data.macro[(data.macro["benchmark"] == benchmark) & (data.macro["backbone"] == backbone)]
            blocks.append(_picture(benchmark, backbone, rows, macro))
        else:
            blocks.append(f"{heading(benchmark, backbone)}: no curves, as every method had one assignment.")
        blocks += _failures(data, rows)
    reasons: dict[str, list[str]] = {}
    for (benchmark, backbone, task, method), reason in data.refused.items():
        name = f"{style.method(method)} on {style.task(task)} ({heading(benchmark, backbone)})"
        reasons.setdefault(reason, []).append(name)
    blocks += [
        f"Not estimated ({plural(len(cells), 'cell')}): {reason}: {'; '.join(cells)}."
        for reason, cells in reasons.items()
    ]
    return Section(TITLE, intro, tuple(blocks))


def _failures(data: Evp, rows: pd.DataFrame) -> list[str]:
    """How many assignments count with the floor for a trial that failed, and what it is on each task."""
    cells = rows.drop_duplicates(["task", "method"])
    lost = cells[cells["n_floor"] > 0]
    if lost.empty:
        return []
    told = []
    for task in style.tasks(lost["task"]):
        floor, chance = data.floors[(*rows.iloc[0][["benchmark", "backbone"]], task)]
        own = lost[lost["task"] == task].set_index("method")["n_floor"]
        counts = ", ".join(f"{style.method(m)} {own[m]}" for m in style.methods(own.index))
        told.append(f"{style.task(task)} (floor {printed(floor)}{'' if chance else ', chance is not known'}): {counts}")
    total, place = plural(int(lost["n_floor"].sum()), "assignment"), heading(*rows.iloc[0][["benchmark", "backbone"]])
    return [
        f"{place}: {total} of {int(cells['n_assignments'].sum()):,} have a seed that failed, or diverged without a "
        f"score; it counts with the floor in their median. {'; '.join(told)}."
    ]


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame, macro: pd.DataFrame) -> Picture:
    tasks = style.tasks(rows["task"])
    shown = [(style.task(task), rows[rows["task"] == task]) for task in tasks]
    if len(tasks) > 1 and len(macro):
        shown.insert(0, ("Macro", macro.assign(n_assignments=macro.groupby("method")["n"].transform("max"))))
    figure, axes = style.panels(len(shown), "Assignments tried", "Expected best score")
    for axis, (title, own) in zip(axes, shown, strict=True):
        _panel(axis, own)
        axis.set_title(title)
    style.legend(figure, rows["method"])
    title = f"{heading(benchmark, backbone)}: expected best score against the number of assignments tried"
    return Picture(slug("evp", benchmark, backbone), title, figure, (benchmark, backbone))


def _panel(axis: Axes, rows: pd.DataFrame) -> None:
    for method in style.methods(rows["method"]):
        own, look = rows[rows["method"] == method].sort_values("n"), style.look(method)
        limit = informative(own["kind"].iloc[0], int(own["n_assignments"].iloc[0]))
        solid, beyond = own[own["n"] <= limit], own[own["n"] >= limit]
        band = axis.fill_between(solid["n"], solid["lower"], solid["upper"], color=look.color, alpha=0.09, lw=0)
        style.mark(band, method)
        for part, line in ((solid, look.line), (beyond, ":")):
            if line != ":" or len(part) > 1:
                (drawn,) = axis.plot(part["n"], part["expected"], color=look.color, ls=line, marker=look.marker, ms=4,
                                     markevery=_ticks(len(part)), zorder=3)  # fmt: skip
                style.mark(drawn, method, _hover(part))
    axis.set_ylim(*limits(rows))
    log_axis(axis, int(rows["n"].max()))


def _hover(rows: pd.DataFrame) -> list[str]:
    return [
        f"n = {n}: {printed(expected)}" + ("" if np.isnan(lower) else f" ({printed(lower)} to {printed(upper)})")
        for n, expected, lower, upper in rows[["n", "expected", "lower", "upper"]].itertuples(index=False)
    ]


def log_axis(axis: Axes, last: int) -> None:
    """A log axis of whole numbers from 1 to ``last``."""
    ticks = [step * 10**power for power in range(len(str(last))) for step in (1, 2, 5) if step * 10**power <= last]
    axis.set_xscale("log")
    axis.set_xlim(0.9, max(last, 2) * 1.1)
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
    axis.xaxis.set_minor_locator(NullLocator())


def _ticks(size: int) -> list[int]:
    """Where markers stand: at most five, evenly on a log axis, the first and the last among them."""
    return sorted({round(i) - 1 for i in np.geomspace(1, size, min(size, 5))})


def limits(rows: pd.DataFrame, along: str = "n") -> tuple[float, float]:
    """Every curve's end in view, and the start of most: one that starts far below must not flatten all others."""
    ordered = rows.sort_values(along).groupby("method")["expected"]
    ends, starts = ordered.last(), ordered.first()
    top, bottom = ends.max(), min(ends.min(), starts.quantile(0.3))
    margin = max(0.08 * (top - bottom), 0.2)
    return bottom - margin, top + margin
