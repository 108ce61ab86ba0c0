"""Figures: their grid of panels, the legend, what belongs to which method, and room for all of it.

Figures are plain ``matplotlib.figure.Figure`` objects: no pyplot, no global state, no screen. Room is made by
:func:`arrange`, once and by measure: matplotlib's own layout draws every figure twice to find it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal
from weakref import WeakKeyDictionary, WeakSet

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import names

DPI = 160
#: Greys of figures, by what they are; the page has a light and a dark value for each.
GREYS = {"ink": "#333333", "soft": "#666666", "line": "#b0b0b0", "grid": "#e8e8e8", "card": "#ffffff"}
RC: dict[Any, Any] = {
    "axes.edgecolor": GREYS["line"], "axes.labelcolor": GREYS["ink"], "axes.labelsize": 9, "axes.titlesize": 10,
    "axes.titleweight": "normal", "axes.titley": 1.0, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": GREYS["grid"], "grid.linewidth": 0.8, "text.color": GREYS["ink"],
    "xtick.color": GREYS["soft"], "ytick.color": GREYS["soft"],
    "xtick.labelcolor": GREYS["ink"], "ytick.labelcolor": GREYS["ink"], "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.frameon": False, "legend.fontsize": 9, "lines.linewidth": 1.7, "lines.markersize": 5,
    "figure.facecolor": "white", "savefig.facecolor": "white", "pdf.fonttype": 42, "font.size": 9,
}  # fmt: skip
_PAD, _ROW = 0.08, 0.22  # inches: between neighbours, and of a row of the legend
_HOVER: WeakKeyDictionary[Artist, tuple[str, ...]] = WeakKeyDictionary()
_ARRANGED: WeakSet[Figure] = WeakSet()
_LEGEND: WeakKeyDictionary[Figure, int] = WeakKeyDictionary()  # rows


def panels(
    count: int, x: str, y: str, *, width: float = 2.75, height: float = 2.25, columns: int = 4
) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels, up to ``columns`` a row, with room for a legend below. Sizes in inches per panel.

    ``x`` and ``y`` name the axes, once: under the lowest panel of each column and beside the first of each row.
    """
    columns = _columns(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(width * columns, 5.6), height * rows + 0.75), dpi=DPI)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for i, axis in enumerate(axes):
        axis.set_visible(i < count)
        if i % columns == 0:
            axis.set_ylabel(y)
        if i + columns >= count:
            axis.set_xlabel(x)
    return figure, axes[:count]


def _columns(count: int, most: int) -> int:
    """As many columns as leave the fewest panels empty: 8 are 4 + 4, 6 are 3 + 3, 5 are 3 + 2."""
    return min(range(min(most, count), max(1, most - 2), -1), key=lambda c: (-(-count // c), -count % c), default=count)


def legend(figure: Figure, methods: Iterable[str], unmarked: Collection[str] = ()) -> None:
    """One legend of methods for the whole figure, below its panels; ``unmarked`` ones are drawn without markers."""
    shown = names.methods(methods)
    if not shown:
        return
    handles = []
    for name in shown:
        look = names.look(name)
        marker = "" if name in unmarked else look.marker
        handles.append(Line2D([], [], color=look.color, marker=marker, ls=look.line, label=names.method(name)))
    wide = max(2, int(figure.get_size_inches()[0] / 1.6))
    rows = _LEGEND[figure] = -(-len(handles) // wide)
    place: Literal["lower center", "outside lower center"]
    place = "lower center" if figure.get_layout_engine() is None else "outside lower center"
    made = figure.legend(
        handles=handles, loc=place, ncols=-(-len(handles) // rows), columnspacing=1.4, handlelength=2.2, borderpad=0.1
    )
    for parts in (made.get_lines(), made.get_texts()):
        for part, name in zip(parts, shown, strict=True):
            part.set_gid(f"legend:{name}")


def mark(artist: Artist, method: str, hover: Sequence[str] = ()) -> None:
    """Say which method something drawn belongs to, and what each of its points says under the pointer.

    The page hides and shows what is so marked by its legend. Everything that a figure draws of a method is marked.
    Without ``hover`` the points of lines and scatters say their coordinates.
    """
    artist.set_gid(f"method:{method}")
    _HOVER[artist] = tuple(hover)


def marked(figure: Figure) -> Mapping[Artist, tuple[str, tuple[str, ...]]]:
    """What :func:`mark` said: method and hover texts of each artist of the figure."""
    found = [(artist, hover) for artist, hover in _HOVER.items() if artist.get_figure(root=True) is figure]
    return {artist: (str(artist.get_gid()).removeprefix("method:"), hover) for artist, hover in found}


def arrange(figure: Figure, renderer: RendererBase) -> None:
    """Give panels, their names and the legend the room that they take, by measure; once, whoever asks again.

    A figure with a layout engine of its own keeps that.
    """
    if figure in _ARRANGED:
        return
    _ARRANGED.add(figure)
    if figure.get_layout_engine() is not None:
        figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]
        figure.set_layout_engine("none")
        return
    width, height = figure.get_size_inches()
    below = _ROW * _LEGEND.get(figure, 0)
    figure.subplots_adjust(0.7 / width, (0.5 + below) / height, 1 - 0.1 / width, 1 - 0.3 / height, 0.25, 0.3)
    grid = [axis for axis in figure.axes if axis.get_visible() and axis.get_subplotspec() is not None]
    if not grid:
        return
    guessed = grid[0].bbox.width
    far = _make_room(figure, grid, renderer)
    if abs(grid[0].bbox.width / guessed - 1) > 0.15:  # far from the guess: names below may now reach over the panels
        far = _make_room(figure, grid, renderer)
    for axis, (x, y) in far.items():  # fixed, as matplotlib measures all ticks again for each of them in every drawing
        box = axis.bbox
        if axis.xaxis.get_label_position() == "bottom":
            axis.xaxis.set_label_coords(0.5, -x / box.height)
        if axis.yaxis.get_label_position() == "left":
            axis.yaxis.set_label_coords(-y / box.width, 0.5)


def _make_room(figure: Figure, grid: Sequence[Axes], renderer: RendererBase) -> dict[Axes, tuple[float, float]]:
    """Set margins and gaps by what panels take now; returns how far their labels are from them, in pixels."""
    width, height = figure.get_size_inches()
    rows, columns = grid[0].get_subplotspec().get_topmost_subplotspec().get_gridspec().get_geometry()  # type: ignore[union-attr]
    sides = _overhang(grid, renderer)
    far = {axis: _label_distances(axis) for axis in grid}
    left, right = sides["left", 0] + _PAD, sides["right", columns] + _PAD
    below = _ROW * _LEGEND.get(figure, 0)
    top, bottom = sides["top", 0] + _PAD, max(sides["bottom", i] for i in range(1, rows + 1)) + below + _PAD
    between = max((sides["left", i] + sides["right", i] for i in range(1, columns)), default=0) + _PAD
    above = max((sides["top", i] + sides["bottom", i] for i in range(1, rows)), default=0) + _PAD
    wide = (width - left - right - between * (columns - 1)) / columns
    high = (height - top - bottom - above * (rows - 1)) / rows
    figure.subplots_adjust(
        left / width, bottom / height, 1 - right / width, 1 - top / height, between / wide, above / high
    )
    return far


def _overhang(grid: Sequence[Axes], renderer: RendererBase) -> Mapping[tuple[str, int], float]:
    """Inches that panels take beside their own box: on the left and right of each column line, above and below each
    row line of their grid."""
    sides: dict[tuple[str, int], float] = defaultdict(float)
    for axis in grid:
        spec = axis.get_subplotspec().get_topmost_subplotspec()  # type: ignore[union-attr]
        inner, outer = axis.bbox, axis.get_tightbbox(renderer)
        assert outer is not None
        for side, line, over in (
            ("left", spec.colspan.start, inner.x0 - outer.x0),
            ("right", spec.colspan.stop, outer.x1 - inner.x1),
            ("top", spec.rowspan.start, outer.y1 - inner.y1),
            ("bottom", spec.rowspan.stop, inner.y0 - outer.y0),
        ):
            sides[side, line] = max(sides[side, line], over / axis.get_figure(root=True).dpi)  # type: ignore[union-attr]
    return sides


def _label_distances(axis: Axes) -> tuple[float, float]:
    """How far below the panel its x label begins, and how far to the left its y label ends, in pixels."""
    return axis.bbox.y0 - axis.xaxis.label.get_position()[1], axis.bbox.x0 - axis.yaxis.label.get_position()[0]
