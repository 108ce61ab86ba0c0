"""What an adaptive search asked for, on disk: a search that is started again goes on with the same assignments.

Grid and random follow from the study alone; TPE's proposals follow from the order in which scores came in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from search.cells import Batch, CellName
from search.journal import Say

FILE_NAME = "asked.jsonl"


class Asked:
    """A file with a line per batch of assignments that was asked for; needs the study's lock to be held."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.path = folder / FILE_NAME
        self._say = say

    def __iter__(self) -> Iterator[tuple[CellName, Batch]]:
        """Every batch so far, in order. A line that cannot be read is told and left out: TPE proposes others."""
        if not self.path.exists():
            return
        for number, line in enumerate(self.path.read_bytes().splitlines(), start=1):
            try:
                values = json.loads(line)
                backbone, task, method = values["cell"]
                yield (backbone, task, method), [(one["id"], dict(one["hyperparameters"])) for one in values["batch"]]
            except (KeyError, TypeError, ValueError):
                self._say(f"line {number} of {self.path} is damaged and left out; other assignments take its place")

    def append(self, cell: CellName, batch: Batch) -> None:
        """Write a batch down; it is on disk when this returns. OSError where the disk takes none."""
        values = {"cell": cell, "batch": [{"id": i, "hyperparameters": assignment} for i, assignment in batch]}
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
