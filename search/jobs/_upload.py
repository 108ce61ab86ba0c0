"""What goes to a cluster with a study: the code, the study file, and small files that it names beside itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from search._provenance import COMMIT_NAME, ROOT, git_commit
from search.study import relative_files

PACKAGES = ("search", "trainables", "analysis", "common")
STUDY_FOLDER = "study"
MAX_BYTES = 50 * 2**20

_SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


class UploadError(RuntimeError):
    """A study names files that cannot travel with it."""


def stage(study: Path, folder: Path) -> tuple[str, int, int]:
    """Copy into ``folder`` all that a cluster needs; the study's path in it, the number of files, and their bytes.

    Raises:
        UploadError: a file that the study names is not there, or they are too large together.
    """
    beside = relative_files(study)
    _check(study, beside)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=_SKIPPED)
    (folder / COMMIT_NAME).write_text(git_commit())
    # Relative names stay right, also those that begin with "..": the common folder of all becomes STUDY_FOLDER.
    base = Path(os.path.commonpath([study.absolute().parent, *(path.parent for path in beside)]))
    target = folder / STUDY_FOLDER
    for path in beside:
        if path.is_dir():  # is there also where nothing in it travels
            (target / path.relative_to(base)).mkdir(parents=True, exist_ok=True)
        for file in _files(path):
            place = target / file.relative_to(base)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    copy = target / study.absolute().relative_to(base)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(study, copy)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return str(copy.relative_to(folder)), len(files), sum(path.stat().st_size for path in files)


def _check(study: Path, beside: list[Path]) -> None:
    elsewhere = "or put it where every node of the cluster sees it, and name it by its absolute path"
    sizes: dict[Path, int] = {}
    for path in beside:
        if not path.exists():
            raise UploadError(f"{study} names {path}, which does not exist; correct the path, {elsewhere}")
        sizes[path] = 0
        for file in _files(path):
            sizes[path] += file.stat().st_size
            if sum(sizes.values()) > MAX_BYTES:  # how much more there is may take long to find out
                largest = max(sizes, key=lambda path: sizes[path])
                raise UploadError(
                    f"files beside a study travel with it up to {MAX_BYTES >> 20} MB, but {study} names more, "
                    f"{sizes[largest] >> 20} MB at least in {largest}; leave it out, {elsewhere} "
                    "(data sets: AOT_DATA_DIR there)"
                )


def _files(path: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """What travels of a file or folder: links are followed, but not back to a folder ``above``; hidden files stay."""
    if path.is_file():
        yield path
    elif path.is_dir() and (real := path.resolve()) not in above:
        names = os.listdir(path)
        for name in sorted(set(names) - _SKIPPED(str(path), names)):
            yield from _files(path / name, above | {real})
