"""The CSV as it grows: a point is on disk when it is measured, and one that is there is not measured again."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.speed import COLUMNS, Measured, Point, Setup, SpeedFileError, line, read, read_setup, setup_path, setup_text

_HEAD = (",".join(COLUMNS) + "\n").encode()


class SpeedFile:
    """An open file of inference times; ``done``: the points that it holds."""

    def __init__(self, path: Path, descriptor: int, setup: Setup, done: set[Point]) -> None:
        self.path, self.setup, self.done = path, setup, done
        self._descriptor = descriptor

    def add(self, measured: Measured) -> None:
        """Write a point; it is on disk when this returns."""
        os.write(self._descriptor, line(measured).encode())
        os.fsync(self._descriptor)
        self.done.add(measured.point)

    def know(self, backbone: str, facts: Mapping[str, Any]) -> None:
        """Add what is known of a backbone to the setup."""
        before = dict(self.setup.backbones.get(backbone, {}))
        together = {**before.get("bytes_per_task", {}), **facts.get("bytes_per_task", {})}
        told = {**before, **facts, "bytes_per_task": together}
        self.setup = replace(self.setup, backbones={**self.setup.backbones, backbone: told})
        _write(self.path, self.setup)


@contextmanager
def opened(path: Path, device: str, settings: Mapping[str, Any], say: Callable[[str], None]) -> Iterator[SpeedFile]:
    """The file ``path``, new or to be continued, for this process alone.

    A last line that was cut off while it was written is removed; its point is measured again.
    Raises SpeedFileError where another process writes to it, it is damaged, it was measured on another device or with
    other settings, or nothing says with which; OSError where it cannot be written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SpeedFileError(f"another aot speed writes to {path}; wait for it, or give another file") from error
        if _whole_lines(path, descriptor, say):
            setup, done = _to_continue(path, device, settings)
        else:
            setup, done = Setup({"device": device, **settings}), set()
            _write(path, setup)
            os.write(descriptor, _HEAD)
        yield SpeedFile(path, descriptor, setup, done)
    finally:
        os.close(descriptor)


def _whole_lines(path: Path, descriptor: int, say: Callable[[str], None]) -> bool:
    """Cut off a last line without an end, where the file is one of these at all; whether anything is left."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        if not (content.startswith(_HEAD) or _HEAD.startswith(content)):
            read(path)  # which refuses it
        os.ftruncate(descriptor, whole)
        say(f"the last line of {path} was cut off while it was written; its point is measured again")
    return whole > 0


def _to_continue(path: Path, device: str, settings: Mapping[str, Any]) -> tuple[Setup, set[Point]]:
    """What the file holds, where it was measured as it is to go on."""
    measured, setup = read(path), read_setup(path)
    if setup is None:
        raise SpeedFileError(
            f"{path} can be continued where {setup_path(path).name} beside it says how it was measured, but there is "
            "none; give another file"
        )
    for name, now in {"device": device, **settings}.items():
        before = setup.settings.get(name)
        if before != now:
            raise SpeedFileError(
                f"{path} was measured with {name} {_shown(before)}, which cannot be mixed with {_shown(now)}; give "
                "another file, or measure as before"
            )
    return setup, {one.point for one in measured}


def _shown(value: object) -> str:
    return str(value) if value is not None else "not set"


def _write(path: Path, setup: Setup) -> None:
    """Put the setup beside the CSV, whole or not at all."""
    beside = setup_path(path)
    fresh = beside.with_name(f".{beside.name}.new")
    fresh.write_text(setup_text(setup), encoding="utf-8")
    fresh.replace(beside)
