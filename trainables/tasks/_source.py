"""Where rows come from: the hub, files, or a generator."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

Split = Literal["train", "dev"]
SPLITS: tuple[Split, ...] = ("train", "dev")


class DataError(ValueError):
    """Data that cannot be used as it is. The message names the file, the column and the row, and the next step."""


@dataclass(frozen=True)
class Hub:
    """A dataset on the Hugging Face hub. ``train`` and ``dev`` are names of its splits.

    ``folder`` is the dataset's place in a data folder, such as ``glue/rte`` with ``train.parquet`` in it; empty: none.
    """

    id: str
    config: str | None = None
    revision: str | None = None
    train: str = "train"
    dev: str = "validation"
    folder: str = ""

    def identity(self) -> list[Any]:
        return ["hub", self.id, self.config, self.revision, self.train, self.dev]


@dataclass(frozen=True)
class Files:
    """Files on disk, each split in one or more; CSV, TSV, JSON lines or parquet. ``digest`` is of their content."""

    train: tuple[str, ...]
    dev: tuple[str, ...]
    digest: str = ""

    def identity(self) -> list[Any]:
        return ["files", self.digest or [list(self.train), list(self.dev)]]


@dataclass(frozen=True)
class Generated:
    """Rows made by ``rows(name, split)`` of a module of this folder; ``version`` stands for what it makes."""

    module: str
    name: str
    version: int

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
    found = sorted(str(f.relative_to(folder)) for f in folder.glob(pattern))
    return f"it has {', '.join(found)}" if found else "it is empty"


def with_digest(source: Files) -> Files:
    """The same files with a digest of their content.

    Raises:
        DataError: a file does not exist or cannot be read.
    """
    digest = hashlib.sha256()
    for split in (source.train, source.dev):
        for name in split:
            digest.update(Path(name).suffix.encode() + _content_digest(name))
        digest.update(b"/")
    return replace(source, digest=digest.hexdigest()[:16])


def _content_digest(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"cannot read the data file {name}: {error.strerror}; correct the path or create it") from error
