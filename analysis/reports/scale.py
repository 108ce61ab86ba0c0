"""Macro score by the backbone's scale: the paper's Figure 1."""

from __future__ import annotations

import pandas as pd

from analysis import style
from analysis.reports._section import DEFAULT, Options, Picture, Section
from analysis.selection import APART, assignments, best_assignments, macro_scores

TITLE = "Macro score by backbone"
POSITION = 50
PAPER = ("figure-1",)
_INTRO = (
    "The macro score of each method on each backbone, the smallest backbone first. Only methods that have every task "
    "of a backbone are drawn."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``benchmark, backbone, size, method, macro`` of complete methods, backbones in the order of their size.

    ``size``: the parameters that fine-tuning trains, empty where it was not run.
    """
    table = macro_scores(best_assignments(assignments(frame)))
    table = table[table["complete"]]
    tuned = frame[frame["method"] == APART].groupby("backbone")["trainable_parameters"].max()
    table = table.assign(size=table["backbone"].map(tuned).astype("Float64"))
    order = style.backbones(table["backbone"], tuned.dropna().to_dict())
    columns = ["benchmark", "backbone", "size", "method", "macro"]
    table = table.assign(place=table["backbone"].map(order.index))
    return table.sort_values(["benchmark", "place", "method"], ignore_index=True)[columns]


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``scale.csv``: the points of the figure."""
    return {"scale": data}


def render(data: pd.DataFrame) -> Section | None:
    """One figure with a panel per benchmark."""
    if data.empty:
        return None
    benchmarks = sorted(data["benchmark"].unique())
    figure, axes = style.panels(len(benchmarks), "", "Macro score", width=4.2, height=3.0, columns=2)
    for axis, benchmark in zip(axes, benchmarks, strict=True):
        rows = data[data["benchmark"] == benchmark]
        places = {name: i for i, name in enumerate(rows["backbone"].unique())}
        for method in style.methods(rows["method"]):
            own, look = rows[rows["method"] == method], style.look(method)
            (line,) = axis.plot(
                own["backbone"].map(places), own["macro"], color=look.color, ls=look.line, marker=look.marker, zorder=3
            )
            points = own[["backbone", "macro"]].itertuples(index=False)
            style.mark(line, method, [f"{style.method(method)}, {style.backbone(b)}: {m:.1f}" for b, m in points])
        axis.set_xticks(range(len(places)), [style.backbone(name) for name in places])
        axis.set_xlim(-0.25, len(places) - 0.75)
        axis.set_title(style.benchmark(benchmark))
    style.legend(figure, data["method"])
    return Section(TITLE, _INTRO, (Picture("scale", "Macro score of each method by backbone", figure),))
