"""What a wrong learning rate, rank or prompt length costs: the best median at each value, beside the cell's best."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analysis import style
from analysis.frame import HYPERPARAMETER, hyperparameters
from analysis.reports._section import DEFAULT, Options, Picture, Section, groups, heading, hyperparameter_text, slug
from analysis.selection import CELL, assignments, with_all_seeds
from analysis.tables import Cell, Table, printed

TITLE = "Sensitivity to learning rate and size"
POSITION = 240
_INTRO = (
    "The best median score at each learning rate and at each rank or prompt length, over a method's other "
    "hyperparameters, in points below the best of its cell, as a mean over tasks: what one loses by fixing that value. "
    "A steep curve is a method that needs tuning; one that is highest at an end says that the search was too narrow. "
    "A point stands where the value was tried on all tasks of the method."
)
_SIZES = ("rank", "prompt_length")
MANY = 12  # values of a grid; more were drawn at random, and are put into bins
BINS = 6
COLUMNS = [*CELL, "hyperparameter", "value", "n_assignments", "median", "loss"]
_WORDS = {"learning_rate": "Learning rate", "prompt_length": "Prompt length p", "rank": "Rank r"}


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``COLUMNS``: the best ``median`` at each ``value`` of a cell, and what it lacks to the best of all (``loss``).

    Learning rates, and the hyperparameters that a method's size depends on, where a cell has two values or more. Of
    more than ``MANY`` values of a method, drawn at random, ``value`` is the middle of a bin.
    """
    table = assignments(frame).dropna(subset="median")
    known = {size for info in options.methods.values() for size in info.sizes} | set(_SIZES)
    names = [n for n in ("learning_rate", *sorted(known, key=lambda n: (n not in _SIZES, n))) if _is_number(table, n)]
    parts = [_of_one(table, name) for name in names]
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def _is_number(table: pd.DataFrame, name: str) -> bool:
    column = HYPERPARAMETER + name
    numeric = column in hyperparameters(table) and pd.api.types.is_numeric_dtype(table[column])
    return numeric and not pd.api.types.is_bool_dtype(table[column])


def _of_one(table: pd.DataFrame, name: str) -> pd.DataFrame:
    own = table.dropna(subset=HYPERPARAMETER + name).copy()
    own["value"] = own[HYPERPARAMETER + name].astype(float)
    keys = [own[key] for key in ("benchmark", "backbone", "method")]
    many = own["value"].groupby(keys).transform("nunique") > MANY
    if many.any():
        own.loc[many, "value"] = own[many].groupby(["benchmark", "backbone", "method"])["value"].transform(_binned)
    own = own[own["value"].groupby([own[key] for key in CELL]).transform("nunique") > 1]
    own["best"] = with_all_seeds(own, CELL).groupby(CELL)["median"].max().reindex(own.set_index(CELL).index).to_numpy()
    at = with_all_seeds(own, [*CELL, "value"]).groupby([*CELL, "value"])
    found = at.agg(median=("median", "max"), best=("best", "first"), n_assignments=("median", "size")).reset_index()
    # Where a value has no assignment with all its seeds, one with fewer stands for it and may be above the cell's best.
    return found.assign(hyperparameter=name, loss=found["best"] - found["median"])


def _binned(values: pd.Series) -> pd.Series:
    """The middle of each value's bin, of ``BINS`` alike; on a log scale where the values span a factor of ten."""
    least, most = values.min(), values.max()
    log = least > 0 and most / least >= 10
    edges = np.geomspace(least, most, BINS + 1) if log else np.linspace(least, most, BINS + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)
    middles = np.sqrt(edges[:-1] * edges[1:]) if log else (edges[:-1] + edges[1:]) / 2
    return pd.Series(middles[place], index=values.index)


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``sensitivity.csv``."""
    return {"sensitivity": data}


def means(data: pd.DataFrame) -> pd.DataFrame:
    """Means over tasks of the loss at each value that was tried on all tasks of a method."""
    keys = ["benchmark", "backbone", "method", "hyperparameter"]
    tasks = data.groupby(keys)["task"].nunique().rename("tasks")
    found = data.groupby([*keys, "value"]).agg(loss=("loss", "mean"), n=("task", "size")).reset_index()
    found = found.join(tasks, on=keys)
    return found[found["n"] == found["tasks"]].drop(columns="n")


def render(data: pd.DataFrame) -> Section | None:
    """Per benchmark and backbone a figure and a folded table; ``None`` where every method had one value of each."""
    blocks: list[Table | Picture] = []
    curves = {(benchmark, backbone): rows for benchmark, backbone, rows in groups(means(data))}
    for benchmark, backbone, rows in groups(data):
        if (benchmark, backbone) in curves:
            blocks.append(_picture(benchmark, backbone, curves[benchmark, backbone]))
        blocks.append(_table(benchmark, backbone, rows))
    return Section(TITLE, _INTRO, tuple(blocks)) if blocks else None


def _words(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " ").capitalize())


def _picture(benchmark: str, backbone: str, rows: pd.DataFrame) -> Picture:
    names = list(dict.fromkeys(rows["hyperparameter"]))
    order = [*_WORDS, *sorted(set(names) - set(_WORDS))]
    names.sort(key=order.index)
    figure, axes = style.panels(len(names), "Value", "Points against the best")
    for axis, name in zip(axes, names, strict=True):
        _panel(axis, rows[rows["hyperparameter"] == name])
        axis.set_title(_words(name))
    style.legend(figure, rows["method"])
    title = (
        f"{heading(benchmark, backbone)}: what is lost at each learning rate, rank and prompt length, mean over tasks"
    )
    return Picture(slug("sensitivity", benchmark, backbone), title, figure, (benchmark, backbone))


def _panel(axis: Axes, rows: pd.DataFrame) -> None:
    for method in style.methods(rows["method"]):
        own, look = rows[rows["method"] == method].sort_values("value"), style.look(method)
        (line,) = axis.plot(own["value"], -own["loss"], color=look.color, ls=look.line, marker=look.marker, zorder=3)
        texts = (
            f"{style.method(method)} at {v:g}: {printed(-x)}" for v, x in zip(own["value"], own["loss"], strict=True)
        )
        style.mark(line, method, list(texts))
    if (rows["value"] > 0).all():
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(numticks=5))
        values = sorted(rows["value"].unique())
        if len(values) <= 4:  # say them
            axis.set_xticks(values)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("e-0", "e-")))
        axis.xaxis.set_minor_locator(NullLocator())


def _table(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    found = {key: own.sort_values("value") for key, own in rows.groupby(["task", "method", "hyperparameter"])}
    body: list[tuple[Cell, ...]] = []
    rules = set()
    for task in style.tasks(rows["task"]):
        first = True
        for method in style.methods(m for t, m, _ in found if t == task):
            for name in (n for t, m, n in found if (t, m) == (task, method)):
                own = found[task, method, name]
                texts = (
                    style.task(task) if first else "", style.method(method), _words(name),
                    _at(own.loc[own["loss"].idxmin(), "value"]), printed(own["loss"].max() - own["loss"].min()),
                    _losses(own[["value", "loss"]].itertuples(index=False, name=None)),
                )  # fmt: skip
                body.append(tuple(map(Cell, texts)))
                first = False
        rules.add(len(body) - 1)
    columns = ("Task", "Method", "Hyperparameter", "Best at", "Most lost", "Points lost at each value")
    note = "In points of the best median at that value, from the least value to the greatest."
    title = f"{heading(benchmark, backbone)}: sensitivity of each task"
    return Table(slug("sensitivity-tasks", benchmark, backbone), title, columns, tuple(body), (note,),
                 frozenset(rules - {len(body) - 1}), 3, True, (benchmark, backbone))  # fmt: skip


def _at(value: float) -> str:
    return hyperparameter_text(float(f"{value:.3g}"))


def _losses(points: Iterable[tuple[float, float]]) -> str:
    """``0.0001: 2.1, 0.001: 0.0``."""
    return ", ".join(f"{_at(value)}: {printed(loss)}" for value, loss in points)
