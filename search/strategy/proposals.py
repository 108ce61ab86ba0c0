"""What an adaptive search proposed, on disk: a search that is started again goes on with the same assignments.

Grid and random follow from the study alone; TPE's proposals follow from the order in which scores came in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import lines
from search._words import Say
from search.strategy.cell_search import Proposal
from trainables.trial import CellKey

FILE_NAME = "asked.jsonl"


class ProposalLog:
    """A file with a line per proposal; needs the study's lock to be held."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.path = folder / FILE_NAME
        self._say = say

    def __iter__(self) -> Iterator[tuple[CellKey, Proposal]]:
        """Every proposal so far, in order. A line that cannot be read is told and left out: TPE proposes others."""
        return lines.read(self.path, _proposal, self._damaged)

    def _damaged(self, number: int) -> None:
        self._say(f"line {number} of {self.path} is damaged and left out; other assignments take its place")

    def append(self, cell: CellKey, proposal: Proposal) -> None:
        """Write a proposal down; it is on disk when this returns. OSError where the disk takes none."""
        batch = [{"id": i, "hyperparameters": assignment} for i, assignment in proposal]
        lines.append(self.path, {"cell": cell, "batch": batch})


def _proposal(values: Any) -> tuple[CellKey, Proposal]:
    backbone, task, method = values["cell"]
    batch = [(one["id"], dict(one["hyperparameters"])) for one in values["batch"]]
    return CellKey(backbone, task, method), batch
