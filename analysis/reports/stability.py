"""What one trial risks and costs: deviation over seeds, trials at chance, diverged or failed, seconds and epochs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import style, times
from analysis.devsets import TASK, devsets
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, slug
from analysis.selection import assignments, is_scored
from analysis.tables import EMPTY, Cell, Table, printed

TITLE = "Stability and cost of a trial"
POSITION = 270
_KEY = ["benchmark", "backbone", "method"]
_INTRO = (
    "What to expect of one more trial of a method, over all that it tried and all tasks. The deviation is that of an "
    "assignment over its seeds: the median over cells of the best assignments, and the median over all assignments. A "
    "trial is at chance if its score is not above the majority class by more than one standard error: it collapsed, or "
    "never learnt. It counts among those with a score of tasks whose majority is known; diverged and failed ones count "
    "among all trials. A search with bad learning rates has more of all three: a share is of this search, not of the "
    "method alone. Device-seconds are each trial's share of the time of its pack."
)
COLUMNS = [
    *_KEY, "trials", "std_best", "n_best", "std_all", "n_all", "at_chance", "known", "diverged", "failed",
    "median_seconds", "hours", "best_of_epochs",
]  # fmt: skip


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``COLUMNS``, a row per benchmark, backbone and method.

    Deviations in points with the number of assignments behind them, trials ``at_chance`` of those ``known``, medians of
    a trial, and the median of its best epoch as a share of the epochs that it was trained.
    """
    table = assignments(frame)
    limits = devsets(frame, table, options.predictions)
    found = frame.merge(limits[[*TASK, "bar"]], on=TASK, how="left")
    scored = is_scored(found) & found["bar"].notna()
    epochs, best = (found[name].astype("Float64").to_numpy(float, na_value=np.nan) for name in ("epochs", "best_epoch"))
    found = found.assign(
        known=scored,
        at_chance=scored & (found["score"] <= found["bar"]),
        diverged=found["status"] == "diverged",
        failed=found["status"] == "failed",
        share=best / np.where(epochs > 0, epochs, np.nan),
    )
    trials = found.groupby(_KEY).agg(
        trials=("trial_id", "size"),
        **{name: (name, "sum") for name in ("at_chance", "known", "diverged", "failed")},
        median_seconds=("seconds", "median"),
        hours=("seconds", lambda seconds: seconds.sum(min_count=1) / 3600),
        best_of_epochs=("share", "median"),
    )
    best = table[table["selected"]].groupby(_KEY)["std"].agg(std_best="median", n_best="count")
    every = table.groupby(_KEY)["std"].agg(std_all="median", n_all="count")
    return trials.join(best).join(every).reset_index()[COLUMNS].fillna({"n_best": 0}).astype({"n_best": int})


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``stability.csv``."""
    return {"stability": data}


def render(data: pd.DataFrame) -> Section:
    """A figure and a table per benchmark and backbone."""
    blocks: list[Table | Picture] = []
    for benchmark, backbone, rows in groups(data):
        if rows["std_best"].notna().any():
            blocks.append(_picture(benchmark, backbone, rows))
        blocks.append(_table(benchmark, backbone, rows))
    return Section(TITLE, _INTRO, tuple(blocks))


def _table(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    found = {row["method"]: row for row in rows.to_dict("records")}
    body, fits = [], times.unit(3_600 * rows["hours"].max())
    for method in style.methods(found):
        row = found[method]
        texts = (
            printed(row["std_best"], 2), printed(row["std_all"], 2), _share(row["at_chance"], row["known"]),
            _share(row["diverged"], row["trials"]), _share(row["failed"], row["trials"]),
            times.significant(row["median_seconds"]), fits.count(3_600 * row["hours"]),
            printed(100 * row["best_of_epochs"], 0),
            f"{row['trials']:,}",
        )  # fmt: skip
        body.append(tuple(map(Cell, (style.method(method), *texts))))
    columns = ("Method", "Deviation, best", "Deviation, all", "At chance, %", "Diverged, %", "Failed, %",
               "Device-seconds", f"Device-{fits.name}s in all", "Best epoch, % of epochs", "Trials")  # fmt: skip
    note = "Deviations in points, medians; device-seconds, and the best epoch's share, are medians of a trial."
    title = f"{heading(benchmark, backbone)}: stability over seeds, trials that are lost, and cost"
    name = slug("stability-methods", benchmark, backbone)
    return Table(name, title, columns, tuple(body), (note,), place=(benchmark, backbone))


def _share(count: int, total: int) -> str:
    return printed(100 * count / total) if total else EMPTY


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame) -> Picture:
    """Deviations beside the shares of trials that are lost, a method to a line."""
    methods = style.methods(rows["method"])
    found = rows.set_index("method")
    lost = pd.DataFrame({
        "at_chance": found["at_chance"] / found["known"].where(found["known"] > 0),
        "diverged": found["diverged"] / found["trials"],
        "failed": found["failed"] / found["trials"],
    })  # fmt: skip
    figure, axes = style.panels(2, "", "", width=3.2, height=0.24 * len(methods) + 0.7)
    _dots(axes[0], methods, found["std_best"], "median deviation over seeds, best assignments: {}", "o")
    axes[0].set_title("Deviation over seeds")
    axes[0].set_xlabel("Points")
    told = []
    for name, marker, sign in (("at_chance", "o", "●"), ("diverged", "x", "×"), ("failed", "|", "|")):
        words = name.replace("_", " ")
        _dots(axes[1], methods, 100 * lost[name], f"{{}} % {words}", marker)
        told += [f"{words} {sign}"] if lost[name].notna().any() else []
    axes[1].set_title(", ".join(told).capitalize())
    axes[1].set_xlabel("Percent of trials")
    for axis, names, most in (
        (axes[0], [style.method(method) for method in methods], found["std_best"].max()),
        (axes[1], [], 100 * np.nanmax(lost.to_numpy())),
    ):
        axis.set_yticks(range(len(methods)), names)
        axis.set_ylim(len(methods) - 0.5, -0.5)
        axis.set_xlim(-0.03 * (most or 1), 1.1 * (most or 1))
        axis.grid(visible=False, axis="y")
        axis.tick_params(axis="y", length=0)
    title = f"{heading(benchmark, backbone)}: deviation over seeds, and trials at chance, diverged or failed"
    return Picture(slug("stability", benchmark, backbone), title, figure, (benchmark, backbone))


def _dots(axis: Axes, methods: list[str], values: pd.Series, words: str, marker: str) -> None:
    for place, method in enumerate(methods):
        value = float(values[method])
        if not np.isfinite(value):
            continue
        (dot,) = axis.plot([value], [place], color=style.look(method).color, marker=marker, ls="", ms=6, zorder=3)
        style.mark(dot, method, [f"{style.method(method)}: {words.format(printed(value, 2))}"])
