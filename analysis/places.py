"""One benchmark and backbone of ours, with what the paper's conclusions are tested on there."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis import estimates, style
from analysis.outcomes import Macro, macro
from analysis.published import match, published
from analysis.reports._section import Options
from analysis.reports.size import sized
from analysis.selection import CELL, assignments, best_assignments

FC, V2 = "aot_fc", "p_tuning_v2"


@dataclass(frozen=True)
class Place:
    """One benchmark and backbone of ours. ``paper``: the paper's backbone that it is, empty where it is none.

    ``winners``: the best assignment of every cell with a score; ``every``: all assignments. ``fresh``: what fresh seeds
    say of the winners (``cells`` of :class:`analysis.estimates.Estimates`), ``sizes``: the same of each p or r by
    itself, ``sign`` and ``size``. ``tasks``: those that were run. ``margin``: points within which two macros are on
    par.
    """

    benchmark: str
    backbone: str
    paper: str
    winners: pd.DataFrame
    every: pd.DataFrame
    fresh: pd.DataFrame
    sizes: pd.DataFrame
    tasks: frozenset[str]
    margin: float

    def has(self, *methods: str) -> bool:
        """Whether each of the methods has a score on every task."""
        return all(self._complete(self.winners[self.winners["method"] == method]) for method in methods)

    def macro(self, method: str) -> Macro:
        """The macro of a method's best assignments on fresh seeds."""
        return macro(style.method(method), self.fresh[self.fresh["method"] == method])

    def best(self, *methods: str) -> Macro:
        """The macro of the one with the highest in the results: by fresh seeds it would be too high by luck."""
        results = self.fresh.groupby("method")["selected"].mean()
        return self.macro(max(methods, key=lambda name: (results[name], name)))

    def by_size(self, method: str) -> list[Macro]:
        """The macro at each p or r that every task has, the smallest first; each is tuned as a method is."""
        own = self.sizes[self.sizes["sized"] == method]
        return [
            macro(f"{style.method(method)} at {rows['sign'].iloc[0]} = {size:g}", rows)
            for size, rows in own.groupby("size")
            if self._complete(rows)
        ]

    def _complete(self, rows: pd.DataFrame) -> bool:
        return bool(len(rows)) and set(rows["task"]) == self.tasks


def places(frame: pd.DataFrame, options: Options) -> list[Place]:
    """Every benchmark and backbone whose benchmark the paper has."""
    every = assignments(frame)
    winners = best_assignments(every).dropna(subset="median")
    fresh, sizes = estimates.estimates(frame, options.confirmation).cells, _of_sizes(frame, every)
    of_paper = set(published()[0]["benchmark"])
    found = []
    for (benchmark, backbone), rows in every.groupby(["benchmark", "backbone"]):
        if benchmark in of_paper:
            own = [t[(t["benchmark"] == benchmark) & (t["backbone"] == backbone)] for t in (winners, fresh, sizes)]
            paper, tasks = match(backbone, benchmark) or "", frozenset(rows["task"])
            found.append(Place(benchmark, backbone, paper, own[0], rows, own[1], own[2], tasks, options.margin))
    return found


def _of_sizes(frame: pd.DataFrame, every: pd.DataFrame) -> pd.DataFrame:
    """What held-out seeds say of each p and r of P-Tuning v2 and FC AoT, as if each were a method (``sized``)."""
    known = sized(every[every["method"].isin([V2, FC])])[[*CELL, "assignment_id", "sign", "size"]]
    own = frame.merge(known, on=[*CELL, "assignment_id"])
    if own.empty:
        return pd.DataFrame(columns=[*CELL, "sized", "sign", "size"])
    own = own.assign(sized=own["method"], method=own["method"] + "@" + own["size"].astype(str))
    names = own.drop_duplicates("method")[["method", "sized", "sign", "size"]]
    return estimates.estimates(own.drop(columns=["sized", "sign", "size"])).cells.merge(names, on="method")
