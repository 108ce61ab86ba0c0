"""How things look and what they are called: colours and markers by method, names, orders, sizes of figures.

A method has the same colour and marker in every figure of every report. The colours stay apart for readers with
protanopia and deuteranopia, and the markers differ as well. Figures are plain ``matplotlib.figure.Figure`` objects: no
pyplot, no global state, no screen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D


@dataclass(frozen=True)
class Look:
    """One method's name in print, colour, marker and line."""

    label: str
    color: str
    marker: str
    line: str = "-"


METHODS: dict[str, Look] = {
    "fine_tuning": Look("Fine-Tuning", "#4d4d4d", "X", (0, (4, 2))),  # type: ignore[arg-type]
    "adapters": Look("Adapters", "#332288", "s"),
    "lora": Look("LoRA", "#3d8fd1", "D"),
    "bitfit": Look("BitFit", "#aa3377", "p"),
    "p_tuning_v1": Look("P-Tuning v1", "#d9a514", "v"),
    "p_tuning_v2": Look("P-Tuning v2", "#d1602b", "^"),
    "aot_kronecker": Look("Kron. AoT P-Tuning", "#5fc4b0", "h"),
    "aot_fc": Look("FC AoT P-Tuning", "#0b7a4b", "o"),
}
_OTHERS = (("#8c564b", "P"), ("#e377c2", "*"), ("#7f7f7f", "<"), ("#bcbd22", ">"), ("#17202a", "d"), ("#ff9896", "8"))
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


@contextmanager
def context() -> Iterator[None]:
    """Within it, figures are made and saved in the project's style; outside nothing changes."""
    with mpl.rc_context(_RC):
        yield


# --- names and orders ------------------------------------------------------------------------------------------------


def look(method: str) -> Look:
    """A method's look. One that this file does not know gets a free colour and marker, the same in every report."""
    if method in METHODS:
        return METHODS[method]
    color, marker = _OTHERS[sum(method.encode()) % len(_OTHERS)]
    return Look(method.replace("_", " ").title(), color, marker)


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
    """A method's name in print."""
    return look(name).label


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
                label=style.label,
            )
        )
    if handles:
        wide = max(2, int(figure.get_size_inches()[0] / 1.6))
        rows = -(-len(handles) // wide)
        figure.legend(handles=handles, loc="outside lower center", ncols=-(-len(handles) // rows), columnspacing=1.4,
                      handlelength=2.2)  # fmt: skip
