"""A file of JSON lines that is only ever added to. Several processes of a host may add at once: a line is one write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def read(path: Path, parse: Callable[[Any], T], damaged: Callable[[int], None]) -> Iterator[T]:
    """Every line, parsed, none where there is no file; ``damaged`` hears the number, from 1, of each that cannot be."""
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            value = parse(json.loads(line))
        except (KeyError, TypeError, ValueError):
            damaged(number)
        else:
            yield value


def append(path: Path, values: Any) -> None:
    """Add a line; it is on disk when this returns. OSError where the disk takes none."""
    line = json.dumps(values, separators=(",", ":")).encode() + b"\n"
    with open(path, "a+b") as file:
        if file.tell() and not _ends_with_a_line(path):
            line = b"\n" + line  # after a driver that was killed while it wrote
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _ends_with_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
