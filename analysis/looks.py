"""What a method looks like: a colour for light pages and one for dark ones, a marker, a line.

Both palettes were found by search: of colours with a contrast of 3:1 on the page that they are for, those farthest
from each other as readers of every kind see them (tests/analysis/test_style.py has the distances).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.seeds import seed_of

Line = str | tuple[float, tuple[float, ...]]  # as matplotlib has it: a name, or an offset and lengths in points

#: Every colour of a method on a light page, with the one that stands for it on a dark page.
DARK = {
    "#4d4d4d": "#787878", "#332288": "#4b69e1", "#3d8fd1": "#96b4d2", "#aa3377": "#ff69b4",
    "#c38700": "#c3a500", "#d1602b": "#c35a0f", "#5a9678": "#96f096", "#0b7a4b": "#3c965a",
    "#2d4be1": "#c387ff", "#960000": "#e14b4b", "#c369ff": "#c3b4ff", "#004b00": "#c3f069",
    "#ff3c78": "#f09696", "#690f5a": "#b44b96", "#b487a5": "#ffd2e1", "#781eb4": "#b45ac3",
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """One method's colour, marker and line."""

    color: str
    marker: str
    line: Line = "-"

    @property
    def dark(self) -> str:
        """The colour on a dark page."""
        return DARK[self.color]


#: The paper's methods, in the order of its tables.
METHODS: dict[str, Look] = {
    "fine_tuning": Look("#4d4d4d", "X", (0, (4, 2))),
    "adapters": Look("#332288", "s"),
    "lora": Look("#3d8fd1", "D"),
    "bitfit": Look("#aa3377", "p"),
    "p_tuning_v1": Look("#c38700", "v"),
    "p_tuning_v2": Look("#d1602b", "^"),
    "aot_kronecker": Look("#5a9678", "h"),
    "aot_fc": Look("#0b7a4b", "o"),
}
#: What other methods look like.
_COLORS = tuple(color for color in DARK if color not in {look.color for look in METHODS.values()})
_MARKERS = ("P", "*", "<", ">", "d", "8", "x", "+")
_LINES: tuple[Line, ...] = ((0, (7, 2, 1.5, 2)), ":")  # while each has a colour of its own, and when there are more


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
