"""A figure as inline SVG for the page: small, coloured by the page's style sheet, its points with their values.

matplotlib's own SVG carries fixed colours, a style sheet that leaks into the page around it, glyphs as paths and six
decimals. A renderer of our own is shorter than what would turn that into this: colours of methods and the greys of
:mod:`analysis.figures` become classes, so that a page can be dark; text stays text; what ``style.mark`` marked becomes
a group with ``data-method``, its points (``data-at``) and what they say (``data-tips``).
"""

from __future__ import annotations

import html
import math
import re
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter

from analysis import figures, names
from analysis._svg_renderer import LONG, SIZE, SLOTS, Renderer, number
from analysis.looks import DARK

_APART = 3.0  # points across, between two of a long curve that say their values


def style_sheet() -> tuple[str, str]:
    """The colours of figures as CSS declarations for light and for dark pages, as ``--m0`` and so on for methods."""
    light = "".join(f"--{SLOTS[color]}:{color};" for color in DARK)
    return light, "".join(f"--{SLOTS[color]}:{dark};" for color, dark in DARK.items())


def rules() -> str:
    """What gives each class of a figure its colour: ``s-…`` for strokes, ``f-…`` for what is filled."""
    return "".join(
        f".fig .s-{slot}{{stroke:var(--{slot})}}.fig .f-{slot}{{fill:var(--{slot})}}" for slot in SLOTS.values()
    )


def color(method: str) -> str:
    """The CSS value of a method's colour, for whatever else the page draws."""
    return f"var(--{SLOTS[names.look(method).color]})"


def to_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as one ``svg`` element. ``name`` begins its ids and differs among the figures of a page."""
    dpi, figure.dpi = figure.dpi, 72  # so that a unit is a point
    marked = figures.marked(figure)
    try:
        renderer = Renderer(figure, name)
        figures.arrange(figure, renderer)
        for i, (artist, (method, hover)) in enumerate(marked.items()):
            artist.set_gid(str(i))
            renderer.groups[str(i)] = _group(artist, method, hover, renderer.height)
        figure.draw(renderer)
    finally:
        figure.dpi = dpi
        for artist, (method, _) in marked.items():
            artist.set_gid(f"method:{method}")
    wide, high = (number(side) for side in (renderer.width, renderer.height))
    size = f'viewBox="0 0 {wide} {high}" style="{_widths(renderer.width)}"'
    return (
        f'<svg class="fig" {size} font-size="{SIZE}" role="group" tabindex="0" aria-label="{html.escape(title)}">'
        + "".join(renderer.out)
        + "</svg>"
    )


# --- points and what they say ----------------------------------------------------------------------------------------


def _group(artist: Artist, method: str, hover: tuple[str, ...], height: float) -> str:
    """The tag that opens a method's group, with its points in the figure and their texts."""
    label = html.escape(names.method(method))
    tag = f'<g data-method="{html.escape(method)}" data-label="{label}"'
    at, said = _points(artist)
    texts = list(hover) * (len(at) if len(hover) == 1 else 1) or said
    if len(texts) != len(at):
        return tag + ">"
    seen = np.flatnonzero(np.isfinite(at).all(axis=1))
    if not len(seen):
        return tag + ">"
    curve = isinstance(artist, Line2D) and artist.get_linestyle() not in ("None", "none", "", " ")
    if curve and len(at) > LONG:
        seen = seen[_apart(at[seen])]
    own = re.compile(re.escape(names.method(method)) + r"[:,] ")  # which the page says above each text
    words = "|".join(own.sub("", texts[i].replace("|", "/"), count=1) for i in seen)
    tag += f' data-tips="{html.escape(words)}"'
    if curve and len(at) <= LONG:
        return tag + ">"  # its points are those of its path
    return f'{tag} data-at="{";".join(f"{number(at[i][0])},{number(height - at[i][1])}" for i in seen)}">'


def _apart(at: np.ndarray) -> np.ndarray:
    """Which points of a curve (points x 2) to keep so that neighbours are about ``_APART`` from each other along it."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(at, axis=0).T))])
    kept = np.unique(along // _APART, return_index=True)[1]
    return np.union1d(kept, [len(at) - 1])


def _points(artist: Artist) -> tuple[np.ndarray, list[str]]:
    """Where the artist's points are on the canvas (points x 2), and what they say for want of better."""
    if isinstance(artist, Line2D):
        data, transform = np.asarray(artist.get_xydata(), float), artist.get_transform()
    elif isinstance(artist, PathCollection):
        data, transform = np.ma.filled(artist.get_offsets(), np.nan), artist.get_offset_transform()
    elif isinstance(artist, Rectangle):
        box = artist.get_bbox()
        data, transform = np.array([[(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]]), artist.axes.transData  # type: ignore[union-attr]
    else:
        return np.empty((0, 2)), []
    said = [f"{_value(artist.axes.xaxis, x)}: {_value(artist.axes.yaxis, y)}" for x, y in data]  # type: ignore[union-attr]
    return transform.transform(data), said


def _value(axis: Any, value: float) -> str:
    """A coordinate in short: 12, 84.31, 1.2e-05, 20M; the name that the axis has for it where it has names."""
    formatter = axis.get_major_formatter()
    if isinstance(formatter, FixedFormatter) and value in (places := list(axis.get_majorticklocs())):
        return formatter.seq[places.index(value)]
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if math.isfinite(value) and abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.3g}{unit}"
    return f"{value:.4g}"


def _widths(points: float) -> str:
    """As large as in print where there is room, and never so small that its words cannot be read."""
    return f"max-width:{points * 4 / 3:.0f}px;min-width:{min(points, 900.0):.0f}px"
