"""Which method is better, by how much, how surely: every method against the reference on seeds that chose nothing."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import estimates, exact, inference, style
from analysis.collapses import MOST_SEEDS
from analysis.inference import IMPOSSIBLE, NOT_SHOWN
from analysis.planned import planned
from analysis.references import NO_SEED, UNCOMPARED, uncompared
from analysis.reports import confirmation
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, plural, slug
from analysis.selection import APART
from analysis.tables import EMPTY, Cell, Table, printed

TITLE = "Method against method"
POSITION = 110
_INTRO = (
    "By how many points each method is above the reference, on seeds that took no part in choosing its assignments: "
    "confirmation seeds where there are any, else each search seed left out in turn. So a method gains nothing by "
    "having had more assignments to choose from. Thick bars hold the truth in 95 % of cases each, thin ones for all "
    "comparisons with the reference together; a difference is shown where the thin bar leaves out zero. This is the "
    "report's answer to which method is better: the first page repeats it, and the tests below add what needs no "
    "assumption and what the design could have shown. Beside it: how likely a fresh run beats one of the reference on "
    "the same task. Both are about other seeds on these tasks, not about other tasks."
)


@dataclass(frozen=True)
class Comparison:
    """``differences`` of :mod:`analysis.estimates`, and the points within which methods count as equal.

    ``uncompared``: of :mod:`analysis.references`. ``unsafe``: whose intervals are not shown, and why, in words.
    """

    differences: pd.DataFrame
    margin: float
    uncompared: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=UNCOMPARED))
    unsafe: str = ""


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Comparison:
    """Every method against ``options.against`` or the best."""
    found = estimates.estimates(frame, options.confirmation)
    plan = planned(options.against, frame["method"])
    left = uncompared(found.cells, found.macros, plan)
    return Comparison(estimates.differences(found, plan), options.margin, left, confirmation.unsafe(found.collapses))


def exports(data: Comparison) -> dict[str, pd.DataFrame]:
    """``differences.csv``."""
    verdicts = [verdict(row, data.margin) for row in data.differences.to_dict("records")]
    return {"differences": data.differences.assign(verdict=verdicts)}


def verdict(row: dict[str, Any], margin: float) -> str:
    """``better``, ``worse``, ``equal`` (within the margin), ``not shown``, or ``could not have been shown`` (no seeds
    tell how much scores vary, or runs collapse too often for so few): of the comparison of a method with the reference,
    all comparisons of the family together; of fine-tuning, that one alone."""
    lower, upper = ends(row)
    if math.isnan(lower):
        return IMPOSSIBLE
    if lower > 0:
        return "better"
    if upper < 0:
        return "worse"
    return "equal" if -margin < lower and upper < margin else NOT_SHOWN


def ends(row: dict[str, Any]) -> tuple[float, float]:
    """The interval by which a comparison is judged."""
    return (row["lower"], row["upper"]) if row["method"] == APART else (row["lower_all"], row["upper_all"])


def detectable(row: dict[str, Any], seeds: int | None = None) -> float:
    """Points that are shown in 80 of 100 cases, as noisy as scores were; NaN where no interval could be given.

    ``seeds``: with so many fresh ones per cell, the variance falling as that of a median and degrees of freedom rising.
    """
    error, df, own = row["error"], row["df"], row["n_seeds"]
    if math.isnan(error):
        return math.nan
    if seeds is not None:
        fewer, more = (float(inference.median_variance(np.array(n))) for n in (own, seeds))
        error, df = error * math.sqrt(more / fewer), df * (seeds - 1) / max(own - 1, 1)
    level = 1 - inference.LEVEL
    return exact.t_effect(round(df, 1), level if row["method"] == APART else level / row["comparisons"]) * error


def seeds_needed(row: dict[str, Any]) -> int | None:
    """Fresh seeds per cell with which a difference as large as the one seen is shown in 80 of 100 cases, more than
    there are; ``None`` if too many."""
    more = range(row["n_seeds"] + 1, MOST_SEEDS + 1)
    place = bisect_left(more, -abs(row["difference"]), key=lambda seeds: -detectable(row, seeds))
    return more[place] if place < len(more) else None


def render(data: Comparison) -> Section | None:
    """Per benchmark and backbone: words, a forest plot and its table."""
    blocks: list[Table | Picture | str] = [left_out(rows) for _, _, rows in groups(data.uncompared)]
    for benchmark, backbone, table in groups(data.differences):
        rows = {row["method"]: row for row in table.to_dict("records")}
        blocks.append(f"{heading(benchmark, backbone)}: {words(rows, data.margin)}")
        if table["lower"].notna().any():
            blocks.append(_picture(benchmark, backbone, rows))
        blocks.append(_table(benchmark, backbone, rows, data.margin))
    if blocks and data.unsafe:
        blocks.append(data.unsafe)
    return Section(TITLE, _INTRO, tuple(blocks)) if blocks else None


def left_out(rows: pd.DataFrame) -> str:
    """Which methods of a benchmark and backbone are not compared, why, and what it would take."""
    records = rows.to_dict("records")
    first, sentences = records[0], []
    for row in records:
        if row["is_reference"]:
            name = style.method(row["method"])
            instead = f"the others are compared with {style.method(row['reference'])}"
            sentences.append(
                f"{name} has the highest macro in the results and cannot be compared: {row['reason']}. So {instead}, "
                "the best that can be."
                if row["reference"]
                else f"Nothing is compared with {name}: {row['reason']}."
            )
    for reason, others in rows[~rows["is_reference"].astype(bool)].groupby("reason")["method"]:
        names = ", ".join(style.method(method) for method in style.methods(others))
        sentences.append(f"Not compared: {names}; {reason.replace('it has', 'they have').replace('of it', 'of them')}.")
    if NO_SEED in set(rows["reason"]):
        sentences.append(f"Two search seeds or more would do, or aot run STUDY --confirm {confirmation.SEEDS}.")
    return f"{heading(first['benchmark'], first['backbone'])}: {' '.join(sentences)}"


def words(rows: dict[str, dict], margin: float) -> str:
    """What is established against the reference, what is not, and what could not have been, in sentences."""
    said: dict[str, list[str]] = {}
    collapsing: dict[str, list[str]] = {}  # by the seeds that would be needed
    for method in style.methods(rows):
        row = rows[method]
        name, gap = style.method(method), printed(row["difference"], sign=True)
        kind = verdict(row, margin)
        if kind == NOT_SHOWN:
            needed = seeds_needed(row)
            more = f"about {needed}" if needed else f"more than {MOST_SEEDS}"
            said.setdefault(kind, []).append(f"{name} ({gap}, would need {more} fresh seeds per cell)")
        elif kind == IMPOSSIBLE and not pd.isna(row["safe_seeds"]):
            collapsing.setdefault(confirmation.seeds(row["safe_seeds"]), []).append(f"{name} ({gap})")
        else:
            said.setdefault(kind, []).append(f"{name} ({gap})")
    reference = style.method(next(iter(rows.values()))["reference"])
    sentences = []
    if better := said.get("better"):
        sentences.append(f"Shown to be better than {reference}: {', '.join(better)}.")
    if worse := said.get("worse"):
        sentences.append(f"Shown to be worse than {reference}: {', '.join(worse)}.")
    if equal := said.get("equal"):
        sentences.append(f"Equal to it in practice, within {printed(margin)} points: {', '.join(equal)}.")
    if unknown := said.get(NOT_SHOWN):
        limits = {
            printed(detectable(row)): detectable(row) for row in rows.values() if verdict(row, margin) == NOT_SHOWN
        }
        found = " to ".join(dict.fromkeys(f(limits, key=limits.__getitem__) for f in (min, max)))
        sentences.append(
            f"Not shown to differ from {reference}: {', '.join(unknown)}. That is no sign of equality: "
            f"differences of {found} points would have been found in 80 of 100 cases."
        )
    if none := said.get(IMPOSSIBLE):
        sentences.append(
            f"No difference could have been shown, as no seeds tell how much scores vary: {', '.join(none)}."
        )
    for fresh, names in collapsing.items():
        sentences.append(
            f"No difference could have been shown, as runs may collapse, without {fresh}: {', '.join(names)}."
        )
    return " ".join(sentences)


def _interval(lower: float, upper: float, digits: int = 1, sign: bool = True) -> str:
    if math.isnan(lower):
        return EMPTY
    return f"{printed(lower, digits, sign)} to {printed(upper, digits, sign)}"


def _table(benchmark: str, backbone: str, rows: dict[str, dict], margin: float) -> Table:
    body = []
    for method in style.methods(rows):
        row = rows[method]
        better = printed(row["improvement"], 2)
        if not math.isnan(row["improvement_lower"]):
            better += f" ({_interval(row['improvement_lower'], row['improvement_upper'], 2, sign=False)})"
        body.append((
            Cell(style.method(method)),
            Cell(verdict(row, margin)),
            Cell(printed(row["difference"], sign=True)),
            Cell(_interval(row["lower"], row["upper"])),
            Cell(_interval(row["lower_all"], row["upper_all"])),
            Cell(EMPTY if math.isnan(detectable(row)) else printed(detectable(row))),
            Cell(better),
            Cell(f"{row['n_tasks']}"),
            Cell(f"{row['n_confirmed']}"),
            Cell(f"{row['n_seeds']}"),
        ))  # fmt: skip
    first = next(iter(rows.values()))
    columns = (
        *("Method", "Verdict", "Difference", "95 % interval", "95 % for all together"),
        *("Found in 80 of 100 cases", "Beats a run of it", "Tasks", "of them confirmed", "Fresh seeds"),
    )
    compared = plural(int(first["comparisons"]), "comparison")
    if first["comparisons"] > sum(method != APART for method in rows):
        compared += " (all pairs, as the scores that are compared also found the best)"
    note = (
        f"Points, method minus {style.method(first['reference'])}, mean over tasks. Together: {compared}, without "
        f"fine-tuning, which is judged alone. Equal: the interval lies within {printed(margin)} points. Found in 80 of "
        "100 cases: the difference that would have been, as noisy as scores are. Beats a run of it: the probability "
        "that a fresh run is above a fresh run of the reference on the same task."
    )
    title = f"{heading(benchmark, backbone)}: each method against {style.method(first['reference'])} on fresh seeds"
    return Table(slug("differences", benchmark, backbone), title, columns, tuple(body), (note,), left=2,
                 place=(benchmark, backbone))  # fmt: skip


def _picture(benchmark: str, backbone: str, rows: dict[str, dict]) -> Picture:
    """Differences on the left, probabilities of improvement on the right; fine-tuning below a line."""
    methods = [m for m in style.methods(rows) if m != APART] + [m for m in rows if m == APART]
    figure, (left, right) = style.panels(2, "", "", width=3.9, height=0.3 * len(methods) + 0.9)
    reference = style.method(next(iter(rows.values()))["reference"])
    for place, method in enumerate(methods):
        row = rows[method]
        hover = f"{style.method(method)}: {printed(row['difference'], sign=True)}"
        if not math.isnan(row["lower"]):
            hover += f" ({_interval(row['lower'], row['upper'])})"
        _bar(left, method, place, row["difference"], (row["lower"], row["upper"]), hover,
             (row["lower_all"], row["upper_all"]))  # fmt: skip
        _bar(right, method, place, row["improvement"], (row["improvement_lower"], row["improvement_upper"]),
             f"{style.method(method)}: {printed(row['improvement'], 2)}")  # fmt: skip
    for axis, middle, title in ((left, 0, f"Points above {reference}"), (right, 0.5, f"Beats a run of {reference}")):
        axis.axvline(middle, color="#999999", lw=1, zorder=1)
        if methods[-1] == APART and len(methods) > 1:
            axis.axhline(len(methods) - 1.5, color="#cccccc", lw=0.8, ls=":", zorder=1)
        axis.set_title(title)
        axis.set_ylim(len(methods) - 0.4, -0.6)
        axis.grid(visible=False, axis="y")
        axis.tick_params(axis="y", length=0)
        axis.set_yticks(range(len(methods)), [style.method(m) for m in methods] if axis is left else [])
    right.set_xlim(-0.02, 1.02)
    title = f"{heading(benchmark, backbone)}: difference from {reference} on fresh seeds, and probability to beat it"
    return Picture(slug("comparison", benchmark, backbone), title, figure, place=(benchmark, backbone))


def _bar(
    axis: Axes, method: str, place: int, value: float, thick: tuple[float, float], hover: str,
    thin: tuple[float, float] = (math.nan, math.nan),
) -> None:  # fmt: skip
    look = style.look(method)
    for ends_, width in ((thin, 1.0), (thick, 3.0)):
        if not math.isnan(ends_[0]):
            (line,) = axis.plot(ends_, [place, place], color=look.color, lw=width, solid_capstyle="butt", zorder=2)
            style.mark(line, method)
    (point,) = axis.plot([value], [place], color=look.color, marker=look.marker, ms=6, ls="", mec="white", mew=0.6,
                         zorder=3)  # fmt: skip
    style.mark(point, method, [hover])
