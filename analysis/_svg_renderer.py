"""What matplotlib draws as SVG, small: paths in tenths of a point, text as text, colours as classes of the page."""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
from PIL import Image

from analysis import figures
from analysis.looks import DARK

SLOTS = {color: f"m{i}" for i, color in enumerate(DARK)} | {color: name for name, color in figures.GREYS.items()}
#: Points: of most words; of a curve from which it is drawn, and says its values, as finely as the eye can tell.
SIZE, LONG = "8", 40
_LETTERS: dict[Any, str] = {Path.MOVETO: "M", Path.LINETO: "l", Path.CURVE3: "q", Path.CURVE4: "c", Path.CLOSEPOLY: "z"}
_POINTS = {"l": 1, "q": 2, "c": 3}
_LARGE = 30  # points across, of no marker
_POWER = re.compile(r"\$\\mathdefault\{10\^\{([-\d]+)\}\}\$")  # how matplotlib names the ticks of log axes
_ANCHORS = {"left": "", "center": ' text-anchor="middle"', "right": ' text-anchor="end"'}
_FINE = 0.2  # points across: by how far a long curve may be off


def number(value: float) -> str:
    """A length in points as SVG has it: ``12``, ``3.4``."""
    return f"{value:.1f}".removesuffix(".0")


class Renderer(RendererBase):
    """What matplotlib draws, as strings in ``out``. Its units are points, its origin is above left."""

    def __init__(self, figure: Figure, name: str) -> None:
        super().__init__()
        self.width, self.height = (float(side) * 72 for side in figure.get_size_inches())
        self.name, self.out = name, list[str]()
        self.groups: dict[str, str] = {}  # the tags of artists by their ids
        self._open: list[bool] = []
        self._ids: dict[str, str] = {}
        self._flip = Affine2D().scale(1, -1).translate(0, self.height)

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self.width, self.height

    def points_to_pixels(self, points: Any) -> Any:
        return points

    def open_group(self, s: str, gid: str | None = None) -> None:
        tag = ""
        if gid in self.groups:
            tag = self.groups[gid]
        elif gid and gid.startswith("legend:"):
            tag = f'<g data-legend="{html.escape(gid.removeprefix("legend:"))}">'
        self.out.append(tag)
        self._open.append(bool(tag))

    def close_group(self, s: str) -> None:
        self.out.append("</g>" if self._open.pop() else "")

    def draw_path(self, gc: GraphicsContextBase, path: Path, transform: Any, rgbFace: Any = None) -> None:  # noqa: N803
        filled = rgbFace is not None and (len(rgbFace) < 4 or rgbFace[3] > 0)
        stroked = gc.get_linewidth() > 0 and gc.get_rgb()[3] > 0
        if filled or stroked:
            shape = _shape(_drawn(path, transform + self._flip))
            if shape:
                self.out.append(f'<path d="{shape}"{self._clip(gc, path, transform)}{self._paint(gc, rgbFace)}/>')

    def draw_markers(
        self,
        gc: GraphicsContextBase,
        marker_path: Path,
        marker_trans: Any,
        path: Path,
        trans: Any,
        rgbFace: Any = None,  # noqa: N803
    ) -> None:
        if (
            np.ptp(marker_trans.transform(marker_path.vertices), axis=0).max() > _LARGE
        ):  # no marker: a collection of one, such as a band
            for x, y in trans.transform(path.vertices):
                self.draw_path(gc, marker_path, marker_trans + Affine2D().translate(x, y), rgbFace)
            return
        shape = _shape(marker_path.cleaned(marker_trans + Affine2D().scale(1, -1)), digits=2)
        if shape not in self._ids:
            self._ids[shape] = f"{self.name}-{len(self._ids)}"
            self.out.append(f'<defs><path id="{self._ids[shape]}" d="{shape}"/></defs>')
        at = (trans + self._flip).transform(path.vertices)
        box = gc.get_clip_rectangle()
        if box is not None:
            low, high = self.height - box.y1, self.height - box.y0
            at = at[(at[:, 0] > box.x0 - 1) & (at[:, 0] < box.x1 + 1) & (at[:, 1] > low - 1) & (at[:, 1] < high + 1)]
        uses = (f'<use href="#{self._ids[shape]}" x="{number(x)}" y="{number(y)}"/>' for x, y in at)
        self.out.append(f"<g{self._paint(gc, rgbFace)}>{''.join(uses)}</g>")

    def draw_image(self, gc: GraphicsContextBase, x: float, y: float, im: Any, transform: Any = None) -> None:
        file = io.BytesIO()
        Image.fromarray(im[::-1]).save(file, "png")
        data = base64.b64encode(file.getvalue()).decode()
        height, width = im.shape[:2]
        place = f'x="{number(x)}" y="{number(self.height - y - height)}" width="{width}" height="{height}"'
        self.out.append(f'<image {place} href="data:image/png;base64,{data}"/>')

    def draw_text(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: Any,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        power = _POWER.fullmatch(s) if ismath else None
        if ismath and not power:
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)  # as paths
            return
        text = f'10<tspan dy="-0.4em" font-size="70%">{power[1].replace("-", "−")}</tspan>' if power else html.escape(s)
        anchor, turn = "", ""
        if angle:  # about the middle of the text, as its width on the page is another
            width = self.get_text_width_height_descent(s, prop, False)[0]
            x += width / 2 * math.cos(math.radians(angle))
            y -= width / 2 * math.sin(math.radians(angle))
            anchor = _ANCHORS["center"]
            turn = f' transform="rotate({number(-angle)} {number(x)} {number(y)})"'
        elif mtext is not None:
            x = mtext.get_transform().transform(mtext.get_unitless_position())[0]
            anchor = _ANCHORS[mtext.get_horizontalalignment()]
        weight = ' font-weight="bold"' if str(prop.get_weight()) in ("bold", "700", "800", "900") else ""
        paint = self._color(gc.get_rgb())
        place, size = f'x="{number(x)}" y="{number(y)}"', number(prop.get_size_in_points())
        if size != SIZE:
            place += f' font-size="{size}"'
        self.out.append(f"<text {place}{anchor}{turn}{weight}{paint}>{text}</text>")

    def _paint(self, gc: GraphicsContextBase, face: Any) -> str:
        """Attributes for stroke and fill."""
        rgb, width = gc.get_rgb(), gc.get_linewidth()
        stroked, filled = bool(width > 0 and rgb[3] > 0), bool(face is not None and (len(face) < 4 or face[3] > 0))
        kinds = [(rgb, "s")] * stroked + [(face, "f")] * filled
        slots = [f"{kind}-{SLOTS[to_hex(shade)]}" for shade, kind in kinds if to_hex(shade) in SLOTS]
        text = f' class="{" ".join(slots)}"' if slots else ""
        text += "".join(
            f' {"stroke" if kind == "s" else "fill"}="{to_hex(shade)}"'
            for shade, kind in kinds
            if to_hex(shade) not in SLOTS
        )
        if stroked:
            text += f' stroke-width="{number(width)}"' + (f' stroke-opacity="{rgb[3]:.2g}"' if rgb[3] < 1 else "")
            dashes: Any = gc.get_dashes()[1]
            if dashes is not None:
                text += f' stroke-dasharray="{" ".join(map(number, dashes))}"'
        if filled and len(face) > 3 and face[3] < 1:
            text += f' fill-opacity="{face[3]:.2g}"'
        return text

    def _color(self, rgb: Any) -> str:
        """The colour of a text; white on a dark patch stays white."""
        shade = to_hex(rgb)
        faded = f' fill-opacity="{rgb[3]:.2g}"' if rgb[3] < 1 else ""
        if shade == figures.GREYS["ink"]:
            return faded  # as all text is, unless it says otherwise
        known = shade in SLOTS and shade != figures.GREYS["card"]
        return (f' class="f-{SLOTS[shade]}"' if known else f' style="fill:{shade}"') + faded

    def _clip(self, gc: GraphicsContextBase, path: Path, transform: Any) -> str:
        """The attribute that cuts what is drawn to its panel; empty where all of it is inside."""
        box = gc.get_clip_rectangle()
        if box is None:
            return ""
        at = transform.transform(path.vertices)
        (left, low), (right, high) = np.nanmin(at, axis=0), np.nanmax(at, axis=0)
        if left >= box.x0 - 1 and right <= box.x1 + 1 and low >= box.y0 - 1 and high <= box.y1 + 1:
            return ""
        place = f'x="{number(box.x0)}" y="{number(self.height - box.y1)}"'
        shape = f'<rect {place} width="{number(box.width)}" height="{number(box.height)}"/>'
        if shape not in self._ids:
            self._ids[shape] = f"{self.name}-{len(self._ids)}"
            self.out.append(f'<clipPath id="{self._ids[shape]}">{shape}</clipPath>')
        return f' clip-path="url(#{self._ids[shape]})"'


def _drawn(path: Path, transform: Any) -> Path:
    """The path on the canvas, a long one of straight lines without the vertices that nobody could tell."""
    straight = path.codes is None or np.isin(path.codes, (Path.MOVETO, Path.LINETO, Path.CLOSEPOLY)).all()
    if len(np.asarray(path.vertices)) <= LONG or not straight:
        return path.cleaned(transform, remove_nans=True, simplify=False)
    long = Path(path.vertices, path.codes)
    long.simplify_threshold = _FINE
    return long.cleaned(transform, remove_nans=True, simplify=True)


def _shape(path: Path, digits: int = 1) -> str:
    """A path's ``d``, to a tenth of a point; none for one without vertices. Points after the first of a line are
    relative to the one before, in whole tenths, so that nothing adds up."""
    unit = 10**digits
    at = np.round(np.asarray(path.vertices) * unit).astype(int).tolist()
    parts: list[str] = []
    last, here, start = "", [0, 0], [0, 0]  # of a curve, its points are relative to where it begins
    codes: list[int] = path.codes.tolist()  # type: ignore[union-attr]
    left = 0
    for point, code in zip(at, codes, strict=True):
        if code == Path.STOP:
            break
        letter = _LETTERS[code]
        if letter in "Mz":
            parts.append("z" if letter == "z" else f"M{_pair(point, unit)}")
            here = start if letter == "z" else point
            start = here
        else:
            left = (left or _POINTS[letter]) - 1
            pair = _pair([point[0] - here[0], point[1] - here[1]], unit)
            parts.append(letter + pair if letter != last else pair if pair[0] == "-" else f" {pair}")
            here = here if left else point
        last = letter
    return "".join(parts)


def _pair(point: Sequence[int], unit: int) -> str:
    """Two coordinates: ``3.4-.5``."""
    x, y = (f"{value / unit:g}".replace("0.", ".", 1) if abs(value) < unit else f"{value / unit:g}" for value in point)
    return f"{x}{y}" if y[0] == "-" else f"{x} {y}"
