"""Score, size and cost at once: which methods are worth a look, whatever one pays for."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analysis import style, times, timings
from analysis.reports._section import (
    DEFAULT,
    QUESTIONS,
    Answer,
    Options,
    Picture,
    Section,
    groups,
    heading,
    listed,
    slug,
)
from analysis.selection import assignments, best_assignments, macro_scores
from analysis.tables import EMPTY, Cell, Table, printed
from analysis.times import Unit

TITLE = "Score, size and cost"
POSITION = 205
_KEY = ["benchmark", "backbone", "method"]
#: What a method costs, each to be small: the column, and what it is. The last two are known where inference was timed.
COSTS = {
    "parameters": "trained parameters",
    "hours": "device-time of the search",
    "slowdown": "inference time over the plain model's",
    "bytes_per_task": "bytes for one more task",
}
_OF_SEARCH = ("parameters", "hours")
COLUMNS = [*_KEY, "macro", *COSTS, "unfinished", "front", "beaten_by"]
_INTRO = (
    "Macro score against what it takes: the parameters that the best assignments train, as a mean over tasks, and the "
    "device-time of the whole search of that method, its failed trials included. A method is on the front (ringed) if "
    "no other is at least as good in all of them and better in one; the table names one that is. Scores are as they "
    "stand: where two differ by less than seeds alone can do, the front is no verdict. The time depends on how many "
    "assignments a method was given. Methods without a score on every task are left out."
)

_TIMED = (
    " Inference is timed by aot speed, of each method in the form in which most tasks are served together (fused rows "
    "of P, other methods unfused), as the geometric mean over batches and lengths; beside it, what one more task takes."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``COLUMNS``, a row per method with a complete macro; ``hours`` is NaN where no trial has seconds.

    ``unfinished``: trials of its search that have not ended. ``beaten_by``: the best method by macro that is at least
    as good in everything, empty for one on the ``front``. A cost that is not known of all methods does not count.
    """
    winners = best_assignments(assignments(frame))
    macros = macro_scores(winners)
    table = macros[macros["complete"]].drop(columns=["n_tasks", "complete"])
    sizes = winners.assign(parameters=winners["trainable_parameters"].astype(float)).groupby(_KEY)
    hours = frame.groupby(_KEY)["seconds"].sum(min_count=1).rename("hours") / 3600
    known = sizes.agg(parameters=("parameters", "mean"), unfinished=("n_missing", "sum"))
    table = table.join(known, on=_KEY).join(hours, on=_KEY)
    table = _with_inference(table, options)
    parts = [rows.assign(beaten_by=_beaten_by(rows)) for _, rows in table.groupby(["benchmark", "backbone"])]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    found = pd.concat(parts, ignore_index=True)
    return found.assign(front=found["beaten_by"] == "")[COLUMNS]


def _with_inference(table: pd.DataFrame, options: Options) -> pd.DataFrame:
    """The table with ``slowdown`` and ``bytes_per_task``, NaN where inference was not timed."""
    if options.speed is None:
        return table.assign(slowdown=np.nan, bytes_per_task=np.nan)
    return table.merge(timings.costs(options.speed, table["backbone"]), "left", on=["backbone", "method"])


def _known(rows: pd.DataFrame) -> list[str]:
    """The costs that are known of all these methods."""
    return [name for name in COSTS if rows[name].notna().all()]


def _beaten_by(rows: pd.DataFrame) -> list[str]:
    """For each method the best one that is at least as good in all and better in one."""
    known = _known(rows)
    values = np.column_stack([-rows["macro"], *(rows[name] for name in known)])
    least, names = values[:, None, :], rows["method"].tolist()
    beats: np.ndarray = np.all(least <= values, axis=2) & np.any(least < values, axis=2)  # [i, j]: i beats j
    order = sorted(range(len(names)), key=lambda i: (values[i, 0], names[i]))
    return [next((names[i] for i in order if beats[i, j]), "") for j in range(len(names))]


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``pareto.csv``."""
    return {"pareto": data}


def answers(data: pd.DataFrame) -> list[Answer]:
    """Per benchmark and backbone, which methods are on the front; nothing where no cost is known."""
    told = []
    for benchmark, backbone, rows in groups(data):
        known = _known(rows)
        if len(rows) < 2 or not known:
            continue
        front = style.methods(rows.loc[rows["front"], "method"])
        which = "no method" if len(front) == len(rows) else f"none of {listed(map(style.method, front))}"
        text = (
            f"{heading(benchmark, backbone)}: as the numbers stand, {which} is beaten by another in "
            f"{listed(['score', *(COSTS[name] for name in known)])} at once."
        )
        unfinished = " Not all of these searches have ended." if rows["unfinished"].any() else ""
        told.append(Answer(QUESTIONS[2], text + unfinished, (benchmark, backbone)))
    return told


def render(data: pd.DataFrame) -> Section | None:
    """A figure and a table per benchmark and backbone; ``None`` without two complete methods anywhere."""
    blocks: list[Table | Picture] = []
    for benchmark, backbone, rows in groups(data):
        costs = [name for name in COSTS if (rows[name] > 0).any()]
        if len(rows) > 1 and costs:
            fits = times.unit(3_600 * rows["hours"].max())
            blocks += [_picture(benchmark, backbone, rows, costs, fits), _table(benchmark, backbone, rows, fits)]
    timed = _TIMED if data["slowdown"].notna().any() else ""
    return Section(TITLE, _INTRO + timed, tuple(blocks)) if blocks else None


def _name(cost: str, fits: Unit) -> str:
    """What stands above a column and below an axis."""
    return f"Device-{fits.name}s of the search" if cost == "hours" else COSTS[cost].capitalize()


def _table(benchmark: str, backbone: str, rows: pd.DataFrame, fits: Unit) -> Table:
    found = {row["method"]: row for row in rows.to_dict("records")}
    timed = [cost for cost in COSTS if cost not in _OF_SEARCH and rows[cost].notna().any()]
    body = []
    for method in style.methods(found):
        row = found[method]
        front = "on the front" if row["front"] else f"no: {style.method(row['beaten_by'])}"
        parameters = EMPTY if np.isnan(row["parameters"]) else f"{row['parameters']:,.0f}"
        spent = Cell(fits.count(3_600 * row["hours"]), "", "§" if row["unfinished"] else "")
        costs = (Cell(parameters), spent, *(Cell(_timed(cost, row[cost])) for cost in timed))
        body.append((Cell(style.method(method)), Cell(front), Cell(printed(row["macro"])), *costs))
    columns = ("Method", "Front", "Macro", *(_name(cost, fits) for cost in (*_OF_SEARCH, *timed)))
    notes = ("§ The search of this method has not ended: it will take more.",) if rows["unfinished"].any() else ()
    title = f"{heading(benchmark, backbone)}: macro score, trained parameters and device-{fits.name}s"
    return Table(slug("front", benchmark, backbone), title, columns, tuple(body), notes, left=2,
                 place=(benchmark, backbone))  # fmt: skip


def _timed(cost: str, value: float) -> str:
    """A cost of inference in a table."""
    if np.isnan(value):
        return EMPTY
    return printed(value, 2) if cost == "slowdown" else _short(value)


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame, costs: list[str], fits: Unit) -> Picture:
    figure, axes = style.panels(len(costs), "", "Macro score", width=4.2, height=2.9, columns=2)
    shown = rows.assign(hours=rows["hours"] / fits.hours)
    for axis, cost in zip(axes, costs, strict=True):
        _panel(axis, shown, cost, _name(cost, fits))
        axis.set_title(_name(cost, fits))
    style.legend(figure, rows["method"])
    timed = ", the search's cost and inference" if len(costs) > len(_OF_SEARCH) else " and search cost"
    title = f"{heading(benchmark, backbone)}: macro score against trained parameters{timed}; ringed: the front"
    return Picture(slug("pareto", benchmark, backbone), title, figure, (benchmark, backbone))


def _panel(axis: Axes, rows: pd.DataFrame, cost: str, name: str) -> None:
    """A point for each method, with what it is called; a ring where it is on the front."""
    found = {row["method"]: row for row in rows[rows[cost] > 0].to_dict("records")}
    for method in style.methods(found):
        row, look = found[method], style.look(method)
        x, y = row[cost], row["macro"]
        (dot,) = axis.plot([x], [y], color=look.color, marker=look.marker, ls=look.line, ms=6, zorder=3)
        style.mark(dot, method, [f"{style.method(method)}: {printed(y)}, {_short(x)} {name.lower()}"])
        word = axis.annotate(style.method(method), (x, y), (9, -2.5), textcoords="offset points", fontsize=8)
        style.mark(word, method)
        if row["front"]:
            (ring,) = axis.plot([x], [y], marker="o", ms=12, mfc="none", mec=look.color, mew=1.1, ls="", zorder=2)
            style.mark(ring, method)
    values = [row[cost] for row in found.values()]
    least, most = min(values), max(values)
    axis.margins(y=0.12)
    if cost == "slowdown":  # within a factor of two or so
        axis.set_xlim(least - 0.05 * (most - least + 0.1), most + 0.4 * (most - least + 0.1))
        return
    axis.set_xscale("log")
    span = max(most / least, 1.5)
    axis.set_xlim(least / span**0.1, most * span**0.45)  # names stand to the right of their points
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 100 else (1,), numticks=8))
    axis.xaxis.set_major_formatter(FuncFormatter(_short))
    axis.xaxis.set_minor_locator(NullLocator())


def _short(value: float, _: int = 0) -> str:
    """``1k``, ``20M``, ``0.5``."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"
