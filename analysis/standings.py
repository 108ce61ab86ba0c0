"""Macro scores in a glance: the bars of a report's first screen."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import names
from analysis.reports._section import groups
from analysis.selection import APART, assignments, best_assignments, macro_scores


@dataclass(frozen=True)
class Standing:
    """A method's macro score on one benchmark and backbone; ``apart``: it takes no rank, as fine-tuning."""

    method: str
    macro: float
    apart: bool


def standings(frame: pd.DataFrame) -> dict[tuple[str, str], tuple[Standing, ...]]:
    """By benchmark and backbone, the methods that have every task, the best first."""
    found = {}
    table = macro_scores(best_assignments(assignments(frame)))
    for benchmark, backbone, rows in groups(table[table["complete"]]):
        order = names.methods(rows["method"])
        lines = [Standing(row["method"], row["macro"], row["method"] == APART) for row in rows.to_dict("records")]
        lines.sort(key=lambda line: (-round(line.macro, 9), order.index(line.method)))
        found[benchmark, backbone] = tuple(lines)
    return found
