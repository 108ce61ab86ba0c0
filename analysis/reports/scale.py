"""Macro score by the backbone's scale: the paper's Figure 1. Only where a benchmark was run on several backbones."""

from __future__ import annotations

import pandas as pd

from analysis import style
from analysis.reports._section import DEFAULT, Options, Picture, Section
from analysis.selection import APART, assignments, best_assignments, macro_scores

TITLE = "Macro score by backbone"
POSITION = 50
PAPER = ("figure-1",)
_INTRO = (
    "The macro score of each method on each backbone, the smallest backbone first (by the parameters that fine-tuning "
    "trains, where it was run). Only methods that have every task of a backbone are drawn."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``benchmark, backbone, size, method, macro`` of complete methods, for benchmarks on two backbones or more."""
    table = macro_scores(best_assignments(assignments(frame)))
    table = table[table["complete"]]
    tuned = frame[frame["method"] == APART].groupby("backbone")["trainable_parameters"].max()
    table = table.assign(size=table["backbone"].map(tuned).astype("Float64"))
    several = table.groupby("benchmark")["backbone"].transform("nunique") > 1
    columns = ["benchmark", "backbone", "size", "method", "macro"]
    return table.loc[several, columns].sort_values(["benchmark", "size", "backbone", "method"], ignore_index=True)


def render(data: pd.DataFrame) -> Section | None:
    """One figure with a panel per benchmark; ``None`` where no benchmark has two backbones."""
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
            style.mark(line, method)
        axis.set_xticks(range(len(places)), [style.backbone(name) for name in places])
        axis.set_xlim(-0.25, len(places) - 0.75)
        axis.set_title(style.benchmark(benchmark))
    style.legend(figure, data["method"])
    return Section(TITLE, _INTRO, (Picture("scale", "Macro score of each method by backbone", figure),))
