"""Where the runs of a report come from: studies, runs files, or both, as one frame; and whether they have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from search._words import Say
from search.cli._shared import load, say

if TYPE_CHECKING:  # pandas takes time to import
    from pandas import DataFrame

RUNS = (".csv", ".parquet")


@dataclass(frozen=True)
class Runs:
    """Trials, and what is known beside them.

    ``planned``: what of each cell is trained (``analysis.coverage.COLUMNS``), ``None`` where the frame alone tells.
    ``notes``: what else to know of where they come from. ``texts``: the text of each study's file, by its name.
    ``tracking``: the address of the one study's experiment in MLflow's UI.
    """

    frame: DataFrame
    planned: DataFrame | None = None
    notes: Sequence[str] = ()
    texts: dict[str, str] = field(default_factory=dict)
    tracking: str | None = None

    def same_as(self, other: Runs | None) -> bool:
        """Whether a report of the other one would say the same."""
        if other is None or self._beside != other._beside or not self._told.equals(other._told):
            return False
        return self.planned.equals(other.planned) if self.planned is not None else other.planned is None

    @property
    def _told(self) -> DataFrame:
        """What a report depends on: its numbers lead to their trials by a search, not by the ids of runs in MLflow."""
        return self.frame.drop(columns="run_id", errors="ignore")

    @property
    def _beside(self) -> tuple[object, ...]:
        """What it says beside the trials."""
        return list(self.notes), self.texts, self.tracking


def gather(studies: Sequence[Path], files: Sequence[Path], *, tell: Say = say, empty: bool = False) -> Runs:
    """The runs of all of them. ``empty``: also where a study has none yet; else the command ends with what to do.

    Raises FrameError where a file cannot be read, or where they cannot stand in one report (``analysis.joined``).
    """
    from analysis import frame, joined

    studies, files = _apart(studies), _apart(files)
    several = len(studies) + len(files) > 1
    parts = [_of_study(path, tell, empty or several, several) for path in studies]
    parts += [Runs(frame.read(path)) for path in files]
    names = list(map(str, (*studies, *files)))
    together = joined.join(list(zip(names, (part.frame for part in parts), strict=True)))
    planned = joined.summed([part.planned for part in parts], [part.frame for part in parts])
    texts = {name: text for part in parts for name, text in part.texts.items()}
    tracking = parts[0].tracking if not several else None  # a link has one experiment
    return Runs(together, planned, [note for part in parts for note in part.notes], texts, tracking)


def _apart(paths: Sequence[Path]) -> list[Path]:
    """The paths without those that name a file again: what is planned would count twice."""
    return list({path.resolve(): path for path in reversed(paths)}.values())[::-1]


def _of_study(path: Path, tell: Say, empty: bool, several: bool) -> Runs:
    """The trials of a study; with its name before each note, where it is one of ``several``."""
    from pandas import DataFrame

    from analysis import frame
    from analysis.coverage import COLUMNS, CONFIRMATION
    from search.cli._runs import coverage_of, notes
    from search.tracking.mlflow_access import page_of

    found = coverage_of(path, tell=tell, empty=empty)
    table = frame.from_columns([found.own.columns, found.others.columns], f"study {found.study!r}")
    told = [f"{found.study}: {note}" if several else note for note in notes(found)]
    if not found.own:
        told.append(f"{found.study}: no trial of it has a result yet.")
    study = load(path, bind=False, offline=True)
    page = None if several or found.away else page_of(found.study, study.tracking)
    return Runs(table, DataFrame(found.cells, columns=[*COLUMNS, *CONFIRMATION]), told, {found.study: study.text}, page)


def state(studies: Sequence[Path], files: Sequence[Path]) -> object:
    """What changes whenever the runs do, at the cost of a few looks at files; ``None`` where only reading them tells.

    It does not change by itself, so runs that were read after it need not be read again while it is the same.
    """
    from search.tracking.journal import local_folder

    watched = list(files)
    for path in studies:
        study = load(path, bind=False, offline=True)
        database = study.tracking.removeprefix("sqlite:///")
        if database == study.tracking:
            return None
        folder = local_folder(study.folder)
        watched += [path, Path(database), Path(f"{database}-wal"), *sorted(folder.glob("*.jsonl"))]
    return [(str(path), *_stamp(path)) for path in watched]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return -1, -1
    return found.st_mtime_ns, found.st_size
