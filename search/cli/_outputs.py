"""Where a command may write: told before it works for minutes, and no folder is made where nobody asked for one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from search.cli._shared import fail


def check_file(path: Path, option: str, extensions: Sequence[str]) -> None:
    """End the command where ``path``, which ``option`` names, cannot become such a file or be replaced."""
    if path.is_dir():
        fail(f"{option} must be a file, but {path} is a folder; name a file in it, such as {path / 'runs.csv'}")
    if path.suffix.lower() not in extensions:
        fail(f"{option} must be a file that ends in {' or '.join(extensions)}, but got {path}")
    _check_parent(path, option)
    if path.exists() and not os.access(path, os.W_OK):
        fail(f"{option} must be a file that can be written, but {path} cannot; name another one")


def check_folder(path: Path, option: str) -> None:
    """End the command where ``path``, which ``option`` names, cannot become a folder or take files."""
    if not path.exists():
        _check_parent(path, option)
    elif not path.is_dir():
        fail(f"{option} must be a folder, but {path} is a file; name another one")
    elif not os.access(path, os.W_OK | os.X_OK):
        fail(f"{option} must be a folder that can be written, but {path} cannot; name another one")


def _check_parent(path: Path, option: str) -> None:
    parent = path.absolute().parent
    if parent.exists() and not parent.is_dir():
        fail(f"{option} must lie in a folder, but {parent} is a file; name another place")
    if not parent.exists():
        fail(f"{option} must lie in a folder that exists, but there is no {parent}; make it with: mkdir -p {parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        fail(f"{option} must lie in a folder that can be written, but {parent} cannot; name another place")
