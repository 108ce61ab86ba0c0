"""How a comparison that was tested stands in a grid of methods and tasks."""

from __future__ import annotations

from analysis.significance import IMPOSSIBLE, SHOWN
from analysis.tables import EMPTY, Cell, p_value, printed


def tested(row: dict | None) -> Cell:
    """The difference and its p, bold where it is shown; †: it could not have been, ‡: it stands outside the family."""
    if row is None:
        return Cell(EMPTY)
    text = f"{printed(row['difference'], sign=True)} ({p_value(row['p'])})"
    signs = "†" * (row["outcome"] == IMPOSSIBLE) + "‡" * (not row["family"])
    return Cell(text, "best" if row["outcome"] == SHOWN else "", signs)
