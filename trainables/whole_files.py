"""Local files that are written whole or not at all, whoever is killed and whoever else writes beside."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: How the folders begin in which files are written before they take their place.
UNFINISHED = ".writing-"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The path of a new file; when the block ends, what was written there takes the place of ``path`` and is on disk.

    It lies in a folder of its own beside ``path``, which this process holds locked. Folders of writers that were
    killed are removed by the next writer of the same file on the same host: the system lets go of a dead one's lock,
    but a lock is not seen by other hosts on every file system (``sweep``).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{UNFINISHED}{socket.gethostname()}-{path.name}-"
    with _locked_folder(path.parent, prefix) as own:
        new = own / path.name
        yield new
        _to_disk(new)
        os.replace(new, path)
    for folder in path.parent.glob(f"{glob.escape(prefix)}*"):
        _remove_if_abandoned(folder)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As ``replacing``, of a folder of files: what was there before is whole until then, and gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{UNFINISHED}{socket.gethostname()}-{path.name}-"
    with _locked_folder(path.parent, prefix) as own:
        new = own / path.name
        new.mkdir()
        yield new
        for written in (*new.iterdir(), new):
            _to_disk(written)
        if path.exists():
            os.replace(path, own / "before")
        os.replace(new, path)
    for folder in path.parent.glob(f"{glob.escape(prefix)}*"):
        _remove_if_abandoned(folder)


def sweep(folder: Path) -> None:
    """Remove what writers on any host left behind in ``folder``. Nobody may be writing there."""
    for unfinished in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked_folder(parent: Path, prefix: str) -> Iterator[Path]:
    own, handle = _make_locked(parent, prefix)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(handle)


def _make_locked(parent: Path, prefix: str) -> tuple[Path, int]:
    while True:
        own = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        handle = os.open(own, os.O_RDONLY)
        with suppress(OSError):  # no locks on folders here, then nobody else gets one either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if own.exists():  # another writer may have taken it for abandoned before it was locked
            return own, handle
        os.close(handle)


def _remove_if_abandoned(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its writer is alive, or there are no locks here
        return
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)
