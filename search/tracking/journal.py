"""The journal of a study: one line per result, on disk before anything else learns of it.

A result is final once its line is there. MLflow is filled from the journal (``mlflow_writer.py``), so a server that is
away loses nothing, and a driver that is killed has either the whole line or, at worst, a cut-off last one, whose trial
runs again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.words import shown
from search._words import Say
from search.errors import StudyBusyError
from trainables.trial import RESULT_VERSION, CellKey, Result, Trial

FILE_NAME = "journal.jsonl"
#: Fields of an entry that came later, and are left out of its line where they are empty.
_LATER = ("search", "pack_size", "device", "result_version", "text", "majority")
_TRIAL_ID = re.compile(rb'"trial_id":"([^"\\]+)"')
UNSENT_NAME = "mlflow.unsent"  # is there while a writer is at work, and stays where one died or left something unsent


def local_folder(folder: str) -> Path:
    """Where the journal of a study lies: its folder, or ``runs/NAME`` here where that is the URI of a remote store.

    Object stores cannot append to a file; there the journal stays with the driver.
    """
    parts = urlsplit(folder)
    if parts.scheme in ("", "file"):
        return Path(parts.path or folder)
    return Path("runs") / folder.rstrip("/").rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Entry:
    """A trial and how it ended; everything that the tracking store needs to know of it.

    ``time``: seconds since 1970 at which the result came. ``history``: ``[epoch, score, train_loss, seconds]`` each.
    ``search``: what a report must know of the search (``CellSearch.origin``); empty for a plain one. ``pack_size`` and
    ``device`` as in ``Result``; ``result_version`` is None in lines of before it was written down.
    """

    time: float
    study: str
    benchmark: str
    backbone: str
    task: str
    method: str
    assignment_id: str
    trial_id: str
    seed: int
    hyperparameters: Mapping[str, Any]
    protocol: Mapping[str, Any]
    status: str
    score: float | None
    best_epoch: int | None
    history: tuple[tuple[int, float, float, float], ...]
    trainable_parameters: int | None
    reason: str = ""
    weights: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    git_commit: str = ""
    search: Mapping[str, str] = field(default_factory=dict)
    text: Mapping[str, float] = field(default_factory=dict)  # shares of what was cut and unknown, see ``Result``
    pack_size: int | None = None
    device: str = ""
    result_version: int | None = None
    majority: float | None = None  # as in ``Result``

    @classmethod
    def of(
        cls,
        study: str,
        trial: Trial,
        result: Result,
        versions: Mapping[str, str],
        git_commit: str,
        search: Mapping[str, str] | None = None,
    ) -> Entry:
        """The entry of a result that has just come."""
        return cls(
            time=time.time(),
            study=study,
            benchmark=trial.task.benchmark,
            backbone=trial.backbone.name,
            task=trial.task.name,
            method=trial.method,
            assignment_id=trial.assignment_id,
            trial_id=trial.id,
            seed=trial.seed,
            hyperparameters=dict(trial.hyperparameters),
            protocol=asdict(trial.protocol),
            status=result.status,
            score=result.score,
            best_epoch=result.best_epoch,
            history=tuple((e.epoch, e.score, e.train_loss, e.seconds) for e in result.history),
            trainable_parameters=result.trainable_parameters,
            reason=shown(result.reason),
            weights=result.weights,
            metrics=dict(result.metrics),
            versions=versions,
            git_commit=git_commit,
            search=search or {},
            text=dict(result.text),
            pack_size=result.pack_size,
            device=result.device,
            result_version=RESULT_VERSION,
            majority=result.majority,
        )

    @property
    def cell(self) -> CellKey:
        return CellKey(self.backbone, self.task, self.method)

    @property
    def seconds(self) -> float:
        return sum(row[3] for row in self.history)

    @property
    def digest(self) -> str:
        """Tells this entry from an earlier or later one of the same trial."""
        return hashlib.sha256(self.line()).hexdigest()[:16]

    def line(self) -> bytes:
        """Strict JSON of the entry, with the end of the line; numbers that are not finite are written as text."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in _LATER:
            if values[name] in (None, "", {}):
                del values[name]  # a line of before there was such a thing stays as it ever was, and so does its digest
        try:
            return _json(values)
        except (TypeError, ValueError):  # a number that is not finite, or a mapping of another kind
            return _json(_written(values))

    @classmethod
    def read(cls, line: bytes) -> Entry:
        """The entry that a line holds. ValueError where it holds none."""
        try:
            values = json.loads(line)
            history = tuple((int(n), float(s), float(t), float(w)) for n, s, t, w in values.pop("history"))
            return cls(**values, history=history)
        except (AttributeError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a line of a journal: {error}") from error


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _written(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): _written(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(v) for v in value]
    return value


class Journal:
    """The journal file of one study, opened to be appended to; needs the study's lock to be held.

    A last line that was cut off is removed on opening, and ``say`` hears of it. StudyBusyError where another process
    has the file open: the study's lock may have been deleted by hand.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE_NAME
        self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115 - held until close
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise StudyBusyError(f"{self.path} is being written by another process; stop that one first") from None
        tail = _cut_off_tail(self.path)
        if not tail:
            return
        try:
            Entry.read(tail)
        except ValueError:
            self._file.truncate(self.path.stat().st_size - len(tail))
            say(
                f"the last line of {self.path} was cut off ({len(tail)} bytes) and is removed; "
                "its trial runs again if MLflow does not have it either"
            )
        else:
            self._write(b"\n")

    def append(self, entries: Iterable[Entry]) -> None:
        """Write the entries; they are on disk when this returns. OSError where they cannot be: then none is there."""
        self._write(b"".join(entry.line() for entry in entries))

    def _write(self, content: bytes) -> None:
        before = self.path.stat().st_size
        try:
            written = 0
            while written < len(content):
                written += self._file.write(content[written:]) or 0
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(before)  # no half line in front of the next one
            raise

    def close(self) -> None:
        self._file.close()


def _cut_off_tail(path: Path) -> bytes:
    """What stands behind the last end of a line."""
    with open(path, "rb") as file:
        end, tail = file.seek(0, os.SEEK_END), b""
        while end > 0 and b"\n" not in tail:
            start = max(0, end - 65_536)
            file.seek(start)
            tail, end = file.read(end - start) + tail, start
    return tail[tail.rfind(b"\n") + 1 :]


def read(path: Path, say: Say, start: int = 0, damaged: set[str] | None = None) -> Iterator[tuple[int, int, Entry]]:
    """Entries of a journal from byte ``start`` on, each with the bytes at which its line begins and ends.

    Damaged lines are told to ``say`` and left out, ``damaged`` takes the ids of their trials where these can be read; a
    last line that is not whole is not read. Nothing comes from a file that does not exist.
    """
    if not path.exists():
        return
    with open(path, "rb") as file:
        end = file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return  # still being written, or cut off
            begin, end = end, end + len(line)
            try:
                yield begin, end, Entry.read(line)
            except ValueError as error:
                if damaged is not None and (named := _TRIAL_ID.search(line)):
                    damaged.add(named[1].decode(errors="replace"))
                what = f"bytes {begin} to {end} of {path} are damaged and left out ({error})"
                say(f"{what}; their trial runs again if MLflow does not have it either")


def read_at(path: Path, begin: int) -> Entry:
    """The entry whose line begins at this byte."""
    with open(path, "rb") as file:
        file.seek(begin)
        return Entry.read(file.readline())
