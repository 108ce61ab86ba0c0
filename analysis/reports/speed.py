"""Inference time over the plain model's: the paper's Figures 4 and 9, from what ``aot speed`` measured."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis import style, timings
from analysis.reports import _speed_figures, _speed_tables
from analysis.reports._section import DEFAULT, QUESTIONS, Answer, Options, Picture, Section, slug
from analysis.selection import APART
from analysis.tables import Table, printed
from analysis.timings import Timings

TITLE = "Inference time"
POSITION = 207
PAPER = ("figure-4", "figure-9")
#: It can be reported without a run.
NEEDS_RUNS = False
#: The sequence length of the paper's Figure 4; the other lengths are those of Figure 9.
FIGURE_4 = 384
_INTRO = (
    "The time of an evaluation over that of the plain model, which is fine-tuning's: 1.1 takes a tenth longer. Both "
    "are evaluated in turn in one process on the same batch, and the number is the median of the ratios of such pairs; "
    "its interval holds the true median in 95 % of cases, whatever the distribution. Weights are random, which "
    "computes as fast. Methods that are fused have filled marks, unfused ones hollow ones."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> Timings | None:
    """The points of the files that were given, ``None`` without any; the frame plays no part."""
    return options.speed


def exports(data: Timings | None) -> dict[str, pd.DataFrame]:
    """``speed.csv``: the points, with a file's columns; ``device`` with the precision."""
    return {} if data is None else {"speed": data.table}


def answers(data: Timings | None) -> list[Answer]:
    """Per device and backbone, the ratios of AoT with fused rows beside the slowest and fastest of the others."""
    told = []
    for device, backbone, rows in _places(data):
        own = timings.as_in_the_paper(rows)
        fused = own[own["rows"] != ""]
        left = [APART, *fused["method"]]
        others = own[(own["variant"] != "fused") & ~own["method"].isin(left)]
        if fused.empty:
            continue
        text = (
            f"{style.backbone(backbone)} on {device}: with fused AoT an evaluation takes {_between(fused)} of the "
            "plain model's time, by batch and length"
        )
        beside = f"; with the other methods, unfused, {_between(others)}." if len(others) else "."
        told.append(Answer(QUESTIONS[2], text + beside))
    return told


def _between(rows: pd.DataFrame) -> str:
    least, most = printed(rows["ratio"].min(), 2), printed(rows["ratio"].max(), 2)
    return least if least == most else f"{least} to {most}"


def _places(data: Timings | None) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """``device, backbone, points`` for each pair that occurs, small backbones first."""
    for device in [] if data is None else data.devices:
        own = data.table[data.table["device"] == device]  # type: ignore[union-attr]
        for backbone in style.backbones(own["backbone"]):
            yield device, backbone, own[own["backbone"] == backbone]


def render(data: Timings | None) -> Section | None:
    """Per device: how it was measured, Figures 4 and 9, the paper's numbers, and the tables of each backbone."""
    if data is None:
        return None
    blocks: list[Table | Picture | str] = []
    for device in data.devices:
        own = data.table[data.table["device"] == device]
        setup = data.setups.get(device)
        blocks.append(_speed_tables.measured_on(device, setup))
        points = timings.as_in_the_paper(own)
        lengths = sorted(points["length"].unique())
        longest = FIGURE_4 if FIGURE_4 in lengths else lengths[-1]
        for number, chosen in ((4, [longest]), (9, [length for length in lengths if length != longest])):
            if chosen:
                rows = points[points["length"].isin(chosen)]
                what = f"Inference time over the plain model's on {device}, {_tokens(chosen)}"
                title = f"{what} (Figure {number} of the paper)"
                name = slug("speed", f"figure {number}", device)
                blocks.append(Picture(name, title, _speed_figures.figure(rows)))
        blocks += filter(None, [_speed_tables.beside_the_paper(device, own)])
        for _, backbone, rows in (place for place in _places(data) if place[0] == device):
            blocks += _speed_tables.times(device, backbone, timings.as_in_the_paper(rows))
            blocks += filter(None, [_speed_tables.left_out(device, backbone, rows, setup)])
    return Section(TITLE, _INTRO, tuple(blocks))


def _tokens(lengths: list[int]) -> str:
    return f"sequences of {', '.join(map(str, lengths[:-1]))}{' and ' if lengths[1:] else ''}{lengths[-1]} tokens"
