"""Which trials a study names as it stands, on disk beside its journal: a cell's summary in MLflow speaks of no others.

The journal and MLflow keep the results of every version of a study. The driver knows which of them count now; the
writer to MLflow is another process, and may outlive the driver.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from trainables.trial import CellKey
from trainables.whole_files import replacing

FILE_NAME = "named.json"


@dataclass(frozen=True)
class Named:
    """``trials``: their ids, as far as they are decided on; ``planned``: how many a cell has, at most; ``seeds``: how
    many an assignment has. ``since``: the journal's lines from this byte on are of the study's trials, whatever their
    ids: an adaptive search decides on them as it goes.
    """

    trials: frozenset[str]
    planned: Mapping[CellKey, int]
    seeds: int
    since: int = 0

    def same(self, other: Named | None) -> bool:
        """Whether both name the same trials."""
        return other is not None and replace(other, since=self.since) == self

    def write(self, folder: Path) -> None:
        """Whole or not at all. OSError where the disk takes none."""
        values = {
            "since": self.since,
            "seeds": self.seeds,
            "planned": [[*cell, count] for cell, count in self.planned.items()],
            "trials": sorted(self.trials),
        }
        with replacing(folder / FILE_NAME) as new:
            new.write_text(json.dumps(values))

    @classmethod
    def read(cls, folder: Path) -> Named | None:
        """What was written last; None where nothing was, or it cannot be read."""
        try:
            values = json.loads((folder / FILE_NAME).read_bytes())
            planned = {CellKey(*cell): count for *cell, count in values["planned"]}
            return cls(frozenset(values["trials"]), planned, values["seeds"], values["since"])
        except (OSError, KeyError, TypeError, ValueError):
            return None
