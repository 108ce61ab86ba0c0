"""The files that a study names relative to itself: what has to travel with it to another machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search.study import _document
from search.study._places import home, is_folder


def relative_files(path: Path) -> list[Path]:
    """Data files, backbone folders and the data folder that a valid study names relative to its file, absolute.

    What it names by an absolute path is left out: it is expected to be the same everywhere.
    """
    folder = path.absolute().parent
    found: list[Path] = []
    for name in _named(_document.read(path).data, folder):
        written = home(name)
        place = Path(os.path.normpath(folder / written))
        if not written.is_absolute() and place not in found:
            found.append(place)
    return found


def stores(path: Path) -> dict[str, str]:
    """``tracking`` and ``storage`` where a valid study names them itself; not those of this machine's variables."""
    data = _document.read(path).data
    return {key: str(data[key]) for key in ("tracking", "storage") if data.get(key)}


def _named(data: dict[str, Any], folder: Path) -> Iterator[str]:
    for task in data["tasks"]:
        splits = task.get("files", {}) if isinstance(task, dict) else {}
        for files in splits.values():
            yield from [files] if isinstance(files, str) else files
    for backbone in data["backbones"]:
        source = backbone["source"] if isinstance(backbone, dict) else backbone
        if is_folder(folder / source) or source.startswith(("./", "../")):  # else a hub id or a package
            yield source
    if data.get("data_dir"):
        yield data["data_dir"]
