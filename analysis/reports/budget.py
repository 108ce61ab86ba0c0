"""What a budget buys: the expected macro against device-hours and money, and where methods overtake each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analysis import courses, crossings, evp, style, times
from analysis._evp_band import LEVEL
from analysis.courses import MACRO
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, slug
from analysis.reports.evp import limits, tasks_of
from analysis.tables import Cell, Table, printed
from analysis.times import Unit

TITLE = "What a budget buys"
POSITION = 220
COLUMNS = ["benchmark", "backbone", "task", "method", "hours", "expected", "lower", "upper", "price", "kind"]
_POINTS = 16  # budgets per curve
_SENTENCES = 8
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


@dataclass(frozen=True)
class Budget:
    """``curves``: the rows of ``budget.csv``, the macro's task reads ``macro``; ``crossings``: of ``crossings.csv``.

    ``untimed``: methods, by benchmark and backbone, of which some trials have no seconds.
    """

    curves: pd.DataFrame
    crossings: pd.DataFrame
    untimed: dict[tuple[str, str], list[str]]
    price: float | None


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Budget:
    """The expected best within device-hours, of every cell and of the macro, and where macros cross."""
    found, _ = evp.cells(frame, options.failures)
    single, macro = courses.of_cells(found, tasks_of(frame), options.estimator)
    rows = [_course(course, options.price) for course in [*macro, *single] if course.is_timed]
    crossed, untimed = [], {}
    for place in sorted({(course.benchmark, course.backbone) for course in macro}):
        own = [course for course in macro if (course.benchmark, course.backbone) == place]
        crossed.append(crossings.find(own))
        missing = style.methods(course.method for course in own if not course.is_timed)
        if missing:
            untimed[place] = missing
    return Budget(
        pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=COLUMNS),
        pd.concat(crossed, ignore_index=True) if crossed else pd.DataFrame(columns=crossings.COLUMNS),
        untimed,
        options.price,
    )


def _course(course: courses.Course, price: float | None) -> pd.DataFrame:
    hours = np.unique(crossings.budgets([course], _POINTS))
    expected, low, high = course.within(hours)
    lower, upper = np.quantile(low, _TAILS[0], axis=1), np.quantile(high, _TAILS[1], axis=1)
    return pd.DataFrame({
        "benchmark": course.benchmark, "backbone": course.backbone, "task": course.task, "method": course.method,
        "hours": hours, "expected": expected, "lower": np.minimum(lower, expected),
        "upper": np.maximum(upper, expected), "price": np.nan if price is None else hours * price, "kind": course.kind,
    })[COLUMNS]  # fmt: skip


def exports(data: Budget) -> dict[str, pd.DataFrame]:
    """``budget.csv`` and ``crossings.csv``."""
    return {"budget": data.curves, "crossings": data.crossings}


def render(data: Budget) -> Section:
    """A figure per benchmark and backbone, the crossings in words and in a table."""
    macro = data.curves[data.curves["task"] == MACRO]
    money = "" if data.price is None else f"; the upper axis is their price at {data.price:g} an hour"
    intro = (
        "The macro score to expect when assignments are tried in random order, as many on each task, against the "
        "device-hours that their trials took, all seeds together, each trial with its share of its pack's time"
        f"{money}. A search that has failed trials has paid for them. A curve starts where every order has tried an "
        "assignment on each task, and ends where the assignments tell no more: at the whole of a grid, at half of a "
        "random search. Bands are as for Expected Validation Performance. One method leads another for sure where the "
        "99 % interval of their difference is on its side, so that between two equals a lead is claimed in fewer than "
        "5 % of studies; that is said of each pair by itself, and fine-tuning takes no part."
    )
    blocks: list[Table | Picture | str] = []
    for benchmark, backbone, rows in groups(macro):
        fits = times.unit(3_600 * rows["hours"].max())
        blocks.append(_picture(benchmark, backbone, rows, data.price, fits))
        found = _rows(data.crossings, benchmark, backbone)
        sure = " ".join(_sentence(row, fits) for row in _certain(found))
        blocks += [f"{heading(benchmark, backbone)}: {sure}"] if sure else []
        blocks += [_table(benchmark, backbone, found, data.price, fits)] if found else []
    blocks += [
        f"{heading(*place)}: nothing is known of the time that trials took: {', '.join(map(style.method, names))}."
        for place, names in data.untimed.items()
    ]
    if not blocks:
        blocks.append("No method has an expected validation performance on every task of a benchmark.")
    return Section(TITLE, intro, tuple(blocks))


def _rows(table: pd.DataFrame, benchmark: str, backbone: str) -> list[dict[str, Any]]:
    own = table[(table["benchmark"] == benchmark) & (table["backbone"] == backbone)]
    return own.sort_values("hours").to_dict("records")


def _certain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Crossings of which something is sure on either side, those sure on both first."""
    known = [row for row in rows if not (pd.isna(row["lower"]) and pd.isna(row["upper"]))]
    return sorted(known, key=lambda row: bool(pd.isna(row["lower"])) + bool(pd.isna(row["upper"])))[:_SENTENCES]


def _sentence(row: dict[str, Any], fits: Unit) -> str:
    """``Up to 3.10 device-hours LoRA leads, from 9.20 on FC AoT P-Tuning; between them nobody can tell.``"""
    first, later = style.method(str(row["first"])), style.method(str(row["later"]))
    lower, upper = (fits.count(3_600 * row[name]) for name in ("lower", "upper"))
    if pd.isna(row["upper"]):
        return f"Up to {lower} device-{fits.name}s {first} leads {later}; beyond, nobody can tell."
    if pd.isna(row["lower"]):
        return f"From {upper} device-{fits.name}s on {later} leads {first}; below, nobody can tell."
    return f"Up to {lower} device-{fits.name}s {first} leads, from {upper} on {later}; between them nobody can tell."


def _table(benchmark: str, backbone: str, rows: list[dict[str, Any]], price: float | None, fits: Unit) -> Table:
    columns = ("Leads at first", "Leads later", "Crossing", "First surely up to", "Later surely from")
    shown = [
        (
            *(Cell(style.method(str(row[name]))) for name in ("first", "later")),
            *(Cell(fits.count(3_600 * row[name])) for name in ("hours", "lower", "upper")),
            *([Cell(times.significant(row["hours"] * price))] if price is not None else []),
        )
        for row in rows
    ]
    return Table(
        slug("crossings", benchmark, backbone),
        f"{heading(benchmark, backbone)}: where the expected macro of one method overtakes another's, in "
        f"device-{fits.name}s",
        (*columns, *([] if price is None else ["Crossing, price"])),
        tuple(shown),
        notes=("— where neither leads for sure within the time that both curves span.",),
        left=2,
        folded=len(shown) > 6,
        place=(benchmark, backbone),
    )


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame, price: float | None, fits: Unit) -> Picture:
    rows = rows.assign(time=rows["hours"] / fits.hours)
    figure, (axis,) = style.panels(1, f"Device-{fits.name}s", "Expected macro score", width=5.6, height=3.2)
    for method in style.methods(rows["method"]):
        own, look = rows[rows["method"] == method].sort_values("time"), style.look(method)
        style.mark(
            axis.fill_between(own["time"], own["lower"], own["upper"], color=look.color, alpha=0.09, lw=0), method
        )
        (drawn,) = axis.plot(own["time"], own["expected"], color=look.color, ls=look.line, marker=look.marker, ms=4,
                             markevery=max(1, len(own) // 5), zorder=3)  # fmt: skip
        style.mark(drawn, method, _hover(own, price, fits))
    axis.set_title("Macro")
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda time, _: f"{time:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_ylim(*limits(rows, "time"))
    if price:
        above = axis.secondary_xaxis("top", functions=_exchange(price * fits.hours))
        above.set_xlabel("Price")
        above.xaxis.set_major_formatter(FuncFormatter(lambda money, _: f"{money:g}"))
        above.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
        above.xaxis.set_minor_locator(NullLocator())
    style.legend(figure, rows["method"])
    title = f"{heading(benchmark, backbone)}: expected macro score against the device-{fits.name}s of the search"
    return Picture(slug("budget", benchmark, backbone), title, figure, (benchmark, backbone))


def _exchange(price: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Time to money and back; the price is that of one unit of the time."""
    return lambda time: time * price, lambda money: money / price


def _hover(rows: pd.DataFrame, price: float | None, fits: Unit) -> list[str]:
    return [
        f"{fits.count(3_600 * hours)} {fits.name}s"
        f"{'' if price is None else f', {times.significant(hours * price)}'}: {printed(expected)}"
        + ("" if np.isnan(lower) else f" ({printed(lower)} to {printed(upper)})")
        for hours, expected, lower, upper in rows[["hours", "expected", "lower", "upper"]].itertuples(index=False)
    ]
