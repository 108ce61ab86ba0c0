"""Answers on dev that trials kept: read for a report, and copied beside exported rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from common import predictions
from search.cli._shared import fail, load, say
from trainables.checkpoint import PREDICTIONS, Storage

if TYPE_CHECKING:
    from analysis.predictions import Predictions

Reader = Callable[[str], "Predictions | None"]

_ENDING = ".npz"


class _Folder:
    """A folder of files of answers, ``TRIAL.npz``; what is in it is listed when it is first asked for.

    A store that does not answer is told once, and has none from then on.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage, self._name = storage, name
        self._there: frozenset[str] | None = None

    def content(self, trial_id: str) -> bytes | None:
        """The file of a trial; None where there is none."""
        try:
            if self._there is None:
                self._there = frozenset(self._storage.names(self._name))
            return self._storage.read(self.path(trial_id)) if self.path(trial_id) in self._there else None
        except OSError as error:
            self._there = frozenset()
            say(f"{error}; the answers on dev that are kept there are left out")
            return None

    def path(self, trial_id: str) -> str:
        return f"{self._name}/{trial_id}{_ENDING}"

    def shown(self, trial_id: str) -> str:
        return self._storage.shown(self.path(trial_id))


def reader(studies: Iterable[Path], folder: Path | None = None, without: Collection[str] = ()) -> Reader:
    """A trial's answers, by its id: from a ``folder`` that ``copy`` filled, or from the storages of these studies.

    ``without``: ids of trials that have no score; what is kept under their names is of an earlier training. What is
    damaged is told, and counts as not kept.
    """
    from analysis.predictions import Predictions

    if folder is not None and not folder.is_dir():
        what = f"{folder} is a file" if folder.exists() else f"there is no {folder}"
        fail(f"--predictions must be a folder that aot export --predictions filled, but {what}")
    places = [] if folder is None else [_in(folder)]
    places += [_Folder(Storage(load(path, bind=False, offline=True).folder), PREDICTIONS) for path in studies]

    def read(trial_id: str) -> Predictions | None:
        for place in () if trial_id in without else places:
            content = place.content(trial_id)
            if content is None:
                continue
            try:
                return Predictions(*predictions.from_bytes(content))
            except ValueError as error:
                say(f"{place.shown(trial_id)} is {error}; it is left out")
        return None

    return read


def copy(trial_ids: Iterable[str], study: Path, folder: Path) -> int:
    """Put the files of a study's trials that have a score into a folder; how many there were."""
    kept = _Folder(Storage(load(study, bind=False, offline=True).folder), PREDICTIONS)
    target, copied = Storage(str(folder.absolute().parent)), 0
    for trial_id in trial_ids:
        content = kept.content(trial_id)
        if content is not None:
            try:
                target.write(_in(folder).path(trial_id), content)
            except OSError as error:
                fail(str(error))
            copied += 1
    return copied


def _in(folder: Path) -> _Folder:
    whole = folder.absolute()
    return _Folder(Storage(str(whole.parent)), whole.name)
