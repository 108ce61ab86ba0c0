"""How things look and what they are called: colours and markers by method, names, orders, sizes of figures.

The paper's methods have the same colour, marker and line in every figure of every report; others get theirs from
:func:`looks`. The colours stay apart for readers with protanopia and deuteranopia, and the markers differ as well.
Figures are plain ``matplotlib.figure.Figure`` objects: no pyplot, no global state, no screen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.seeds import seed_of

Line = str | tuple[float, tuple[float, ...]]  # as matplotlib has it: a name, or an offset and lengths in points


@dataclass(frozen=True)
class Look:
    """One method's colour, marker and line."""

    color: str
    marker: str
    line: Line = "-"


#: The paper's methods, in the order of its tables.
METHODS: dict[str, Look] = {
    "fine_tuning": Look("#4d4d4d", "X", (0, (4, 2))),
    "adapters": Look("#332288", "s"),
    "lora": Look("#3d8fd1", "D"),
    "bitfit": Look("#aa3377", "p"),
    "p_tuning_v1": Look("#d9a514", "v"),
    "p_tuning_v2": Look("#d1602b", "^"),
    "aot_kronecker": Look("#5fc4b0", "h"),
    "aot_fc": Look("#0b7a4b", "o"),
}
#: What the paper's methods are called where nobody says; a method's own label counts before it.
LABELS = {
    "fine_tuning": "Fine-Tuning", "adapters": "Adapters", "lora": "LoRA", "bitfit": "BitFit",
    "p_tuning_v1": "P-Tuning v1", "p_tuning_v2": "P-Tuning v2",
    "aot_kronecker": "Kron. AoT P-Tuning", "aot_fc": "FC AoT P-Tuning",
}  # fmt: skip
#: What other methods look like. Found by search: of colours with a contrast of 3:1 on white, those farthest from each
#: other and from the above, as readers of every kind see them (tests/analysis/test_style.py has the distances).
_COLORS = ("#2d4be1", "#960000", "#c369ff", "#004b00", "#ff3c78", "#690f5a", "#b487a5", "#781eb4")
_MARKERS = ("P", "*", "<", ">", "d", "8", "x", "+")
_LINES: tuple[Line, ...] = ((0, (7, 2, 1.5, 2)), ":")  # while each has a colour of its own, and when there are more
BENCHMARKS = {"glue": "GLUE", "superglue": "SuperGLUE", "demo": "Demo"}
_TASKS = {
    "glue": ("STS-B", "SST-2", "RTE", "QQP", "QNLI", "MRPC", "MNLI", "CoLA"),  # in the order of the paper's tables
    "superglue": ("RTE", "COPA", "WSC", "WiC", "MultiRC", "CB", "BoolQ"),
}
BACKBONES = {
    "roberta-base": "RoBERTa-Base", "roberta-large": "RoBERTa-Large", "deberta-xl": "DeBERTa-XL",
    "minilm": "MiniLM", "all-minilm-l6-v2": "MiniLM-L6",
}  # fmt: skip

DPI = 160
_RC: dict[Any, Any] = {
    "axes.edgecolor": "#b0b0b0", "axes.labelcolor": "#333333", "axes.labelsize": 9, "axes.titlesize": 10,
    "axes.titleweight": "normal", "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e8e8e8", "grid.linewidth": 0.8,
    "xtick.color": "#666666", "ytick.color": "#666666",
    "xtick.labelcolor": "#333333", "ytick.labelcolor": "#333333", "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.frameon": False, "legend.fontsize": 9, "lines.linewidth": 1.7, "lines.markersize": 5,
    "figure.facecolor": "white", "savefig.facecolor": "white", "pdf.fonttype": 42, "font.size": 9,
}  # fmt: skip


@dataclass(frozen=True)
class _Shown:
    """What the methods of the report in hand are called and look like."""

    labels: Mapping[str, str]
    looks: Mapping[str, Look]


_NOTHING = _Shown({}, {})
_SHOWN = ContextVar("shown", default=_NOTHING)


@contextmanager
def context(labels: Mapping[str, str] | None = None, names: Iterable[str] = ()) -> Iterator[None]:
    """Within it, figures are made and saved in the project's style; outside nothing changes.

    ``labels`` are names in print by method; ``names`` are the methods that the report shows, with a label or without.
    No two of them look alike. Those with a label choose first, so that they look the same whatever else is shown.
    """
    labels = labels or {}
    token = _SHOWN.set(_Shown(labels, looks([*sorted(labels), *sorted(set(names))])))
    try:
        with mpl.rc_context(_RC):
            yield
    finally:
        _SHOWN.reset(token)


def mark(artist: Artist, method: str, hover: Sequence[str] = ()) -> None:
    """Say which method something drawn belongs to, and what each of its points says under the pointer.

    The page hides and shows what is so marked by its legend. Everything that a figure draws of a method is marked.
    """
    artist.set_gid(f"method:{method}")
    _HOVER[artist] = tuple(hover)


_HOVER: WeakKeyDictionary[Artist, tuple[str, ...]] = WeakKeyDictionary()


# --- names and orders ------------------------------------------------------------------------------------------------


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each method, no two alike.

    The paper's methods have theirs. Each other one has a first choice by its name, and takes the next free look where
    that is gone: the first eight all have colours of their own, up to 64 a pair of colour and marker. So a method's
    look depends on those before it in ``names`` alone, and a newcomer moves only those after it.
    """
    found = {name: METHODS[name] for name in names if name in METHODS}
    for name in names:
        if name not in found:
            choices = _choices(name)
            found[name] = next((choice for choice in choices if choice not in found.values()), choices[0])
    return found


def _choices(name: str) -> list[Look]:
    """The 64 looks that a method not of the paper can have, its first choice first; every eight have all colours."""
    count = len(_COLORS)
    first = seed_of(f"look|{name}") % count
    return [
        Look(_COLORS[i % count], _MARKERS[(i + turn) % count], _LINES[turn > 0])
        for turn in range(count)
        for i in range(first, first + count)
    ]


def look(method: str) -> Look:
    """A method's look in the report in hand; outside of one, its first choice."""
    shown = _SHOWN.get().looks
    return shown[method] if method in shown else looks([method])[method]


def methods(names: Iterable[str]) -> list[str]:
    """Methods in the order of the tables: the known ones first, others by name."""
    known = list(METHODS)
    return sorted(set(names), key=lambda name: (known.index(name) if name in METHODS else len(known), name))


def tasks(names: Iterable[str]) -> list[str]:
    """Tasks of one benchmark in the order of the paper's tables, others by name."""

    def place(name: str) -> tuple[int, str]:
        order = [plain(t) for t in _TASKS.get(name.split("/", maxsplit=1)[0], ())]
        short = plain(name.rsplit("/", maxsplit=1)[-1])
        return (order.index(short) if short in order else len(order), name)

    return sorted(set(names), key=place)


def method(name: str) -> str:
    """A method's name in print: its label in the report in hand, else the paper's, else made from its id."""
    shown = _SHOWN.get().labels
    return shown[name] if name in shown else LABELS.get(name, name.replace("_", " ").title())


def task(name: str) -> str:
    """A task's name in print, without its benchmark: ``glue/sst-2`` is SST-2."""
    benchmark, _, short = name.rpartition("/")
    known = {plain(t): t for t in _TASKS.get(benchmark, ())}
    return known.get(plain(short), short)


def benchmark(name: str) -> str:
    """A benchmark's name in print."""
    return BENCHMARKS.get(name, name)


def backbone(name: str) -> str:
    """A backbone's name in print."""
    return BACKBONES.get(name, name)


def plain(name: str) -> str:
    """A name without case and punctuation, to tell that ``sst2`` and ``SST-2`` are one."""
    return "".join(c for c in name.lower() if c.isalnum())


# --- figures ---------------------------------------------------------------------------------------------------------


def panels(
    count: int, x: str, y: str, *, width: float = 2.75, height: float = 2.25, columns: int = 4
) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels, up to ``columns`` a row, with room for a legend below. Sizes in inches per panel.

    ``x`` and ``y`` name the axes, once: under the lowest panel of each column and beside the first of each row.
    """
    columns = _columns(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(width * columns, 5.6), height * rows + 0.75), dpi=DPI, layout="constrained")
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


def legend(figure: Figure, names: Iterable[str], unmarked: Collection[str] = ()) -> None:
    """One legend of methods for the whole figure, below its panels; ``unmarked`` ones are drawn without markers."""
    handles = []
    for name in methods(names):
        style = look(name)
        handles.append(
            Line2D(
                [],
                [],
                color=style.color,
                marker="" if name in unmarked else style.marker,
                ls=style.line,
                label=method(name),
            )
        )
    if handles:
        wide = max(2, int(figure.get_size_inches()[0] / 1.6))
        rows = -(-len(handles) // wide)
        figure.legend(handles=handles, loc="outside lower center", ncols=-(-len(handles) // rows), columnspacing=1.4,
                      handlelength=2.2)  # fmt: skip
