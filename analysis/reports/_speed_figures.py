"""Inference time by the batch: a panel for each backbone and length, as in the paper's Figures 4 and 9."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style, timings
from analysis.figures import GREYS
from analysis.tables import printed

_WIDE = 0.8  # of the room between two batches, what the marks of one take


def figure(points: pd.DataFrame) -> Figure:
    """Ratios with their intervals; rows of panels are lengths, columns backbones."""
    backbones, lengths = style.backbones(points["backbone"]), sorted(points["length"].unique())
    places = [(backbone, length) for length in lengths for backbone in backbones]
    drawn = [
        (backbone, length, rows)
        for backbone, length in places
        if len(rows := points[(points["backbone"] == backbone) & (points["length"] == length)])
    ]
    columns = len(backbones) if len(drawn) == len(places) else 3
    made, axes = style.panels(len(drawn), "Batch size", "Time over the plain model's", width=4.2, height=2.7,
                              columns=columns)  # fmt: skip
    forms = timings.forms(points)
    for axis, (backbone, length, rows) in zip(axes, drawn, strict=True):
        axis.set_title(f"{style.backbone(backbone)}, {length} tokens")
        _panel(axis, rows, forms)
    style.legend(made, points["method"])
    return made


def _panel(axis: Axes, rows: pd.DataFrame, forms: list[tuple[str, str, str]]) -> None:
    """For each form of a method its ratio at each batch, side by side; a line where the plain model is."""
    batches = sorted(rows["batch"].unique())
    axis.axhline(1.0, color=GREYS["soft"], lw=0.9, ls=(0, (3, 3)), zorder=1)
    step = _WIDE / max(len(forms), 1)
    for i, (method, variant, place) in enumerate(forms):
        own = rows[(rows["method"] == method) & (rows["variant"] == variant) & (rows["rows"] == place)]
        look, name = style.look(method), named(method, variant, place)
        for point in own.to_dict("records"):
            x = batches.index(point["batch"]) + (i - (len(forms) - 1) / 2) * step
            (bar,) = axis.plot([x, x], [point["low"], point["high"]], color=look.color, lw=1.2, zorder=2)
            told = f"{name}: {interval(point)}, {printed(point['milliseconds'], 2)} ms"
            style.mark(bar, method, [told])
            fill = GREYS["card"] if variant == "unfused" else look.color
            shape: dict[str, Any] = {"marker": look.marker, "ls": look.line, "ms": 5, "mew": 1.1}
            (dot,) = axis.plot([x], [point["ratio"]], color=look.color, mfc=fill, zorder=3, **shape)
            style.mark(dot, method, [told])
    axis.set_xticks(range(len(batches)), [str(batch) for batch in batches])
    axis.set_xlim(-0.5, len(batches) - 0.5)
    axis.grid(False, axis="x")


def named(method: str, variant: str, place: str) -> str:
    """``FC AoT P-Tuning, fused, rows on the host``."""
    where = {"": "", "host": "rows on the host", "device": "rows on the device", "factors": "rows from factors"}[place]
    return ", ".join(filter(None, (style.method(method), variant, where)))


def interval(point: dict) -> str:
    """``1.013 [1.008, 1.020]``."""
    return f"{printed(point['ratio'], 3)} [{printed(point['low'], 3)}, {printed(point['high'], 3)}]"
