"""Paths of a study: what cannot be one is none, and where it writes a mistyped one is told and not made."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from search.study._collector import Collector


def is_folder(path: Path) -> bool:
    """Whether a folder is there; not where no file system takes such a path."""
    try:
        return path.is_dir()
    except OSError:
        return False


def home(written: str) -> Path:
    """The path with ``~`` and ``~USER`` written out, where there is such a user."""
    try:
        return Path(written).expanduser()
    except RuntimeError:
        return Path(written)


def unusable(place: str) -> str:
    """The rule that a path or URI breaks by itself, whatever is there; empty where it may be one."""
    try:
        parts = urlsplit(place)
        web = parts.scheme in ("http", "https")
        host = parts.hostname if web and parts.port != 0 else parts.netloc  # a port that is none raises
        if (path := _local(place)) is not None:
            path.exists()
    except (OSError, ValueError) as error:
        return f"cannot be a place: {getattr(error, 'strerror', None) or error}; correct it"
    if re.search(r"[\n\t]", place):
        return "must be on one line, without tabs; correct it"
    if "%00" in place:
        return "must hold no control characters, but has %00 in it; leave it out"
    if parts.scheme in ("", "file"):
        return ""
    if "://" not in place:
        return "needs :// after its kind, as in s3://BUCKET/FOLDER"
    if parts.scheme.startswith("sqlite") and path is None:
        return "must name a file, as in sqlite:///mlflow.db"
    if (web or parts.scheme in ("s3", "gs")) and (not host or " " in host):
        return f"must name a host or a bucket after {parts.scheme}://"
    return ""


def check_places(problems: Collector, storage: str, tracking: str | None) -> None:
    """Note a storage or database whose folder is not there; ``tracking``: ``None`` for the one in the storage."""
    named = "" if os.environ.get("AOT_STORAGE") is None else " (AOT_STORAGE counts where a study names none)"
    if not unusable(storage):
        _check(problems, "storage", _local(storage), named, made=True)
    database = None if tracking is None else _local(tracking)
    beside = database is not None and database.absolute().parent == _local(storage)  # made with the storage then
    if tracking is not None and not beside:
        _check(problems, "tracking", _local(tracking), "", made=tracking.startswith("file:"))


def _local(uri: str) -> Path | None:
    """The path of a folder, of a ``file:`` URI or of a SQLite database; ``None`` for what is elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme.partition("+")[0] == "sqlite":
        written = uri.partition(":///")[2].partition("?")[0]
        return Path(written) if written else None
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def _check(problems: Collector, key: str, path: Path | None, named: str, *, made: bool) -> None:
    """``made``: whether a folder is made there; it, and no more than it."""
    if path is None or ":memory:" in str(path):
        return
    try:
        if path.is_dir() if made else path.is_file():
            return
        if path.exists():
            problems.add((key,), f"must be a {'folder' if made else 'file'}, but {path} is none{named}", str(path))
        elif not path.parent.is_dir():
            rule = (
                f"the folder {path.parent} does not exist{named}; correct the path, or make it: mkdir -p {path.parent}"
            )
            problems.add((key,), rule, str(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        problems.add((key,), f"cannot be a path here: {reason}{named}; choose another", str(path))
