"""What a task makes of its rows, in one digest: which data it is, whatever it is kept in."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from trainables.tasks._source import SPLITS, DataError, Files
from trainables.tasks._task import Task
from trainables.tasks._text import Texts, render


def content(task: Task) -> tuple[str, tuple[int, int]]:
    """The digest of both splits of a task as text, and their rows (train, dev).

    Remembered in the process as long as the files are the same by size and time.

    Raises:
        DataError: the data cannot be used as it is.
    """
    source = task.source
    names = (*source.train, *source.dev) if isinstance(source, Files) else ()
    return _content(task, tuple(map(_stamp, names)))


@lru_cache(maxsize=64)
def _content(task: Task, stamps: tuple[tuple[str, int, int], ...]) -> tuple[str, tuple[int, int]]:
    train, dev = (render(task, split) for split in SPLITS)
    return digest_of(train, dev), (len(train.labels), len(dev.labels))


def _stamp(name: str) -> tuple[str, int, int]:
    try:
        state = Path(name).stat()
    except OSError as error:
        raise DataError(f"cannot read the data file {name}: {error.strerror}; correct the path or create it") from error
    return name, state.st_size, state.st_mtime_ns


def digest_of(train: Texts, dev: Texts) -> str:
    """16 hexadecimal digits of the SHA-256 of all texts and label ids, in order.

    That is all that training sees of the data. So a file's format, its compression, the columns that the task does not
    read, the columns' names and whether a label was written ``0``, ``"0"`` or as a name do not count: where they make
    no other text and no other label id, they make no other result. Half a second for MNLI's 392,702 rows.
    """
    total = hashlib.sha256()
    for texts in (train, dev):
        for segment in (texts.first, texts.second or []):
            # With the lengths, no text can be taken for the end of the one before.
            total.update(np.array([len(segment), *map(len, segment)], dtype="<i8").tobytes())
            total.update("".join(segment).encode("utf-8", "surrogatepass"))
        labels = texts.labels + 0  # -0.0 is 0.0
        total.update(labels.astype(labels.dtype.newbyteorder("<")).tobytes())
    return total.hexdigest()[:16]
