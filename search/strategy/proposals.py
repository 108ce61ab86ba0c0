"""What an adaptive search proposed, on disk: a search that is started again goes on with the same assignments.

Grid and random follow from the study alone; TPE's proposals follow from the order in which scores came in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

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
        if not self.path.exists():
            return
        for number, line in enumerate(self.path.read_bytes().splitlines(), start=1):
            try:
                values = json.loads(line)
                backbone, task, method = values["cell"]
                yield (
                    CellKey(backbone, task, method),
                    [(one["id"], dict(one["hyperparameters"])) for one in values["batch"]],
                )
            except (KeyError, TypeError, ValueError):
                self._say(f"line {number} of {self.path} is damaged and left out; other assignments take its place")

    def append(self, cell: CellKey, proposal: Proposal) -> None:
        """Write a proposal down; it is on disk when this returns. OSError where the disk takes none."""
        values = {"cell": cell, "batch": [{"id": i, "hyperparameters": assignment} for i, assignment in proposal]}
        line = json.dumps(values, separators=(",", ":")).encode() + b"\n"
        with open(self.path, "a+b") as file:
            if file.tell() and not self._ends_with_a_line():
                line = b"\n" + line  # after a driver that was killed while it wrote
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _ends_with_a_line(self) -> bool:
        with open(self.path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
