"""The reports. The folder is the registry: every file here without a leading underscore is a part of ``aot report``.

A report is a module with four names, and may have more:

* ``TITLE``: its heading, and ``POSITION``: its place in the whole report, smallest first; ``PARTS`` says which numbers
  belong to which part;
* ``compute(frame, options) -> data``: the numbers, with no drawing;
* ``render(data) -> Section``: the words, tables and figures; ``None`` where there is nothing to show;
* ``exports(data) -> {stem: DataFrame}`` (optional): files for machines, written as ``tables/STEM.csv``;
* ``answers(data) -> [Answer]`` (optional): what it says to the ``QUESTIONS`` of the report's first screen;
* ``PAPER`` (optional): names of the paper's tables and figures that it is, such as ``("table-2", "table-3")``;
* ``NEEDS_RUNS`` (optional): false for one that can be made without a run, by what the options hold alone.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import pandas as pd

from analysis.reports._section import DEFAULT, QUESTIONS, Answer, MethodInfo, Options, Picture, Section

__all__ = [
    "DEFAULT", "PARTS", "QUESTIONS", "Answer", "MethodInfo", "Options", "Picture", "Report", "Section", "answers",
    "exports", "find", "get", "names", "needs_runs", "part",
]  # fmt: skip


#: The parts of the whole report, each with the first ``POSITION`` that belongs to it.
PARTS = {0: "Results", 100: "How sure", 200: "What to choose", 300: "The paper", 400: "How it was made"}


class Report(Protocol):
    """What every module in this folder offers."""

    TITLE: str
    POSITION: int

    def compute(self, frame: pd.DataFrame, options: Options = ...) -> Any: ...

    def render(self, data: Any) -> Section | None: ...


def names() -> list[str]:
    """The stems of the reports' files, in the order of the report."""
    found = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    return sorted(found, key=lambda name: (get(name).POSITION, name))


def get(name: str) -> Report:
    """The module of a report; ValueError names the known ones."""
    known = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    if name not in known:
        raise ValueError(f"unknown report {name!r}; known: {', '.join(known)}")
    return cast(Report, importlib.import_module(f"{__name__}.{name}"))


def exports(report: Report, data: Any) -> Mapping[str, pd.DataFrame]:
    """The tables for machines that a report offers, none for one that offers none."""
    offered = getattr(report, "exports", None)
    return offered(data) if offered else {}


def answers(report: Report, data: Any) -> Sequence[Answer]:
    """What a report says to the questions of the first screen, nothing for one that does not say."""
    offered = getattr(report, "answers", None)
    return offered(data) if offered else ()


def part(report: Report) -> str:
    """The part of the whole report that a report belongs to."""
    return PARTS[max(first for first in PARTS if first <= report.POSITION)]


def needs_runs(report: Report) -> bool:
    """Whether a report is of trials; else it is of what the options hold."""
    return getattr(report, "NEEDS_RUNS", True)


def paper_names(report: Report) -> tuple[str, ...]:
    """The paper's tables and figures that a report is, by their names there."""
    return getattr(report, "PAPER", ())


#: How people write a table or figure of the paper: ``Table 2``, ``fig. 3``, ``figure-3``.
_OF_PAPER = re.compile(r"(tab(?:le)?|fig(?:ure)?)\W*_*(\d+)")


def find(text: str) -> list[str]:
    """The reports that are meant: by a report's own name, or by a table or figure of the paper, however it is written.

    ValueError names what is known.
    """
    plain = text.strip().lower()
    if found := _OF_PAPER.fullmatch(plain):
        plain = f"{'table' if found[1].startswith('tab') else 'figure'}-{found[2]}"
    known = names()
    meant = [name for name in known if plain.replace("-", "_") == name or plain in paper_names(get(name))]
    if not meant:
        paper = sorted(
            {name for report in known for name in paper_names(get(report))},
            key=lambda name: (-ord(name[0]), int(name.rpartition("-")[2])),
        )
        raise ValueError(f"unknown report {text!r}; known: {', '.join(known)}; or of the paper: {', '.join(paper)}")
    return meant
