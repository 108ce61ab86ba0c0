"""Where rows come from: the hub, files, or a generator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

_MOST_LISTED = 30  # names in an error

Split = Literal["train", "dev"]
SPLITS: tuple[Split, ...] = ("train", "dev")


class DataError(ValueError):
    """Data that cannot be used as it is. The message names the file, the column and the row, and the next step."""


class UnreachableError(DataError):
    """Data of the hub, which does not answer, that is not in its cache either: it may be sound."""


@dataclass(frozen=True)
class Hub:
    """A dataset on the Hugging Face hub. ``train`` and ``dev`` are names of its splits.

    ``folder`` is the dataset's place in a data folder, such as ``glue/rte`` with ``train.parquet`` in it; empty: none.
    ``digest`` and ``rows`` (train, dev), of every kind of source, say what ``trainables.tasks.resolve`` read there.
    """

    id: str
    config: str | None = None
    revision: str | None = None
    train: str = "train"
    dev: str = "validation"
    folder: str = ""
    digest: str = ""
    rows: tuple[int, int] | None = None

    def identity(self) -> list[Any]:
        return ["hub", self.id, self.config, self.revision, self.train, self.dev]


@dataclass(frozen=True)
class Files:
    """Files on disk, each split in one or more; CSV, TSV, JSON lines or parquet."""

    train: tuple[str, ...]
    dev: tuple[str, ...]
    digest: str = ""
    rows: tuple[int, int] | None = None

    def identity(self) -> list[Any]:
        return ["files", self.digest or [list(self.train), list(self.dev)]]


@dataclass(frozen=True)
class Generated:
    """Rows made by ``rows(name, split)`` of a module of this folder; ``version`` stands for what it makes."""

    module: str
    name: str
    version: int
    digest: str = ""
    rows: tuple[int, int] | None = None

    def identity(self) -> list[Any]:
        return ["generated", self.module, self.name, self.version]


def find(data_dir: Path, source: Hub) -> Files:
    """The files of a hub dataset in a data folder: ``train.parquet``, or the hub's ``train-00000-of-00001.parquet``.

    Raises:
        DataError: the folder or a split is not there.
    """
    folder = data_dir / source.folder
    if not folder.is_dir():
        here = _listing(data_dir, "*/*/") if data_dir.is_dir() else "the data folder itself does not exist"
        raise DataError(
            f"no folder {source.folder!r} in the data folder {data_dir} ({here}); "
            f"put {source.train}.parquet and {source.dev}.parquet there, or leave data_dir out to use the hub"
        )

    def files(split: str) -> tuple[str, ...]:
        whole = folder / f"{split}.parquet"
        found = [whole] if whole.is_file() else sorted(folder.glob(f"{split}-?????-of-?????.parquet"))
        if not found:
            raise DataError(
                f"no split {split!r} in {folder} ({_listing(folder, '*')}); put {split}.parquet there, "
                "or leave data_dir out to use the hub"
            )
        return tuple(str(f.resolve()) for f in found)

    return Files(files(source.train), files(source.dev))


def _listing(folder: Path, pattern: str) -> str:
    """What a folder has of a kind; of another kind, where it has none of that."""
    for kind in (pattern, "*"):
        if found := sorted(str(f.relative_to(folder)) for f in folder.glob(kind)):
            more = f" and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
            lacking = "" if kind == pattern else "no folders of tasks, but "
            return f"it has {lacking}{', '.join(found[:_MOST_LISTED])}{more}"
    return "it is empty"


def pinned(source: Hub) -> Hub:
    """The same dataset at the commit that its revision stands for now, which workers then load.

    Unchanged where neither the hub nor its cache on this machine can tell.

    Raises:
        DataError: the hub has no such dataset or revision.
    """
    from trainables import hub  # takes a while to import, and most tasks are not from there

    try:
        return replace(source, revision=hub.commit("dataset", source.id, source.revision) or source.revision)
    except ValueError as error:
        raise DataError(str(error)) from error
