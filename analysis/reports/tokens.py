"""Tokens with the largest ‖P_x‖₂ in each layer: what AoT P-Tuning does to which words (the paper's section C)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.typing import ColorType

from analysis import fonts, style
from analysis.figures import GREYS
from analysis.reports._section import DEFAULT, Options, Picture, Section, heading, slug
from analysis.tables import Cell, Table, printed
from analysis.tokens import COLUMNS

TITLE = "Tokens that P moves most"
POSITION = 350
PAPER = ("table-7", "table-8", "table-9", "table-10")
NEEDS_RUNS = False

_KEY = ["backbone", "task", "method"]
_SPECIAL, _UNSEEN = "*", "†"
_MOST_LAYERS = 8  # that a table or figure shows, from the first to the last; the file has all
_IN_FIGURE = 12  # tokens of a layer
_SIGNS = 13  # of a token that has room in its box
_INTRO = (
    "The row of P that belongs to a token is added to its hidden state before each layer, so its length says how much "
    "the method moves that token there. Names and pronouns for a task on coreference, verbs for one on causes: that "
    "is what the paper finds (section C, Tables 7 to 10). A token that never occurs in the train split has a row all "
    "the same, which follows from the others."
)
_NOTE = (
    f"Before each layer the tokens with the largest Euclidean norm of their row, the largest first. {_SPECIAL} special"
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """The rows of the file of ``aot tokens``; none where none was given."""
    return pd.DataFrame(columns=COLUMNS) if options.tokens is None else options.tokens


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``tokens.csv``, where there are any."""
    return {} if data.empty else {"tokens": data}


def render(data: pd.DataFrame) -> Section | None:
    """A figure and a table per backbone, task and AoT method; ``None`` without tokens."""
    blocks: list[Table | Picture] = []
    for (backbone, task, method), rows in _cells(data):
        shown = rows[rows["layer"].isin(layers(rows))]
        blocks += [_picture(backbone, task, method, shown), _table(backbone, task, method, shown)]
    return Section(TITLE, _INTRO, tuple(blocks)) if blocks else None


def layers(rows: pd.DataFrame) -> list[int]:
    """The layers that are shown: all, or eight from the first to the last at even distances."""
    known = sorted(rows["layer"].unique())
    if len(known) <= _MOST_LAYERS:
        return known
    return [known[i] for i in np.linspace(0, len(known) - 1, _MOST_LAYERS).round().astype(int)]


def _cells(data: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    known = dict(iter(data.groupby(_KEY)))
    for backbone in style.backbones(data["backbone"]):
        for task in style.tasks(data["task"]):
            for method in style.methods(data["method"]):
                if (backbone, task, method) in known:
                    yield (backbone, task, method), known[backbone, task, method]


def _place(backbone: str, task: str) -> tuple[str, str]:
    return task.split("/")[0], backbone


def _title(backbone: str, task: str, method: str) -> str:
    return f"{style.method(method)} on {style.task(task)}, {heading(*_place(backbone, task))}"


def _token(row: dict) -> str:
    """The token with what is to be known of it: ``*`` special, ``†`` never in the train split."""
    return row["token"] + _SPECIAL * bool(row["special"]) + _UNSEEN * (row["seen"] is False)


def _table(backbone: str, task: str, method: str, rows: pd.DataFrame) -> Table:
    body = []
    for layer, own in rows.groupby("layer"):
        tokens = ", ".join(map(_token, own.to_dict("records")))
        norms = f"{printed(own['norm'].max(), 2)} … {printed(own['norm'].min(), 2)}"
        body.append((Cell(str(layer)), Cell(tokens), Cell(norms)))
    seen = " ones of the tokenizer." if rows["seen"].isna().all() else " ones; † never in the train split."
    return Table(
        name=slug("tokens", task, backbone, method),
        title=f"Tokens with the largest norms: {_title(backbone, task, method)}",
        columns=("Layer", "Tokens x with the largest ‖P_x‖₂", "‖P_x‖₂"),
        rows=tuple(body),
        notes=(_NOTE + seen,),
        left=2,
        folded=True,
        place=_place(backbone, task),
    )


def _picture(backbone: str, task: str, method: str, rows: pd.DataFrame) -> Picture:
    """A heat map: a column for each layer, its tokens from the top, coloured by their norms."""
    rows = rows[rows["rank"] <= _IN_FIGURE]
    shown, ranks = layers(rows), int(rows["rank"].max())
    top = float(rows["norm"].max()) or 1.0
    color = to_rgb(style.look(method).color)
    figure, (axis,) = style.panels(1, "Layer", "Rank", width=1.05 * len(shown) + 0.6, height=0.24 * ranks + 0.3)
    for row in rows.to_dict("records"):
        x, y, strength = shown.index(row["layer"]), row["rank"] - 1, row["norm"] / top
        share = 0.05 + 0.85 * strength  # of the method's colour, which a dark page has another one for
        box = axis.add_patch(Rectangle((x, y), 1, 1, facecolor=(*color, share), linewidth=0))
        text = _token(row)
        style.mark(box, method, (f"{text}, layer {row['layer']}: {printed(row['norm'], 3)}",))
        if not fonts.can_set(text):
            text = _token({**row, "token": f"id {row['token_id']}"})
        short = text if len(text) <= _SIGNS else f"{text[: _SIGNS - 1]}…"
        ground = tuple(1 - share * (1 - part) for part in color)
        ink = max("#ffffff", GREYS["ink"], key=lambda words: _contrast(words, ground))
        axis.text(x + 0.5, y + 0.5, short, ha="center", va="center", fontsize=7, color=ink, parse_math=False)
    axis.grid(False)
    axis.set(xlim=(0, len(shown)), ylim=(ranks, 0), title=_title(backbone, task, method))
    axis.set_xticks(np.arange(len(shown)) + 0.5, [str(layer) for layer in shown])
    axis.set_yticks(np.arange(ranks) + 0.5, [str(rank + 1) for rank in range(ranks)])
    title = (
        f"Tokens with the largest norms, darkest at {printed(top, 2)}, of {_title(backbone, task, method)}. "
        f"{_SPECIAL} special, {_UNSEEN} never in the train split"
    )
    return Picture(slug("tokens", task, backbone, method), title, figure, _place(backbone, task))


def _contrast(words: ColorType, ground: ColorType) -> float:
    """How well words are read on a ground, from 1 to 21 (WCAG 2)."""
    dark, light = sorted(
        sum(
            share * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
            for share, part in zip((0.2126, 0.7152, 0.0722), to_rgb(color), strict=True)
        )
        for color in (words, ground)
    )
    return (light + 0.05) / (dark + 0.05)
