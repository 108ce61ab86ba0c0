"""Where rows come from: the hub, files, or a generator; and how they are read."""

from __future__ import annotations

import csv
import hashlib
import importlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

Split = Literal["train", "dev"]

#: How a file is read, by the end of its name.
ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")

_FOLDER_HINT = "set data_dir in the study, or AOT_DATA_DIR, to a folder that has"


class DataError(ValueError):
    """Data that cannot be used as it is. The message names the file, the column and the row, and the next step."""


@dataclass(frozen=True)
class Hub:
    """A dataset on the Hugging Face hub. ``train`` and ``dev`` are names of its splits.

    ``folder`` is the dataset's place in a data folder, ``glue/rte`` with ``train.parquet`` and so on in it; empty: none.
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


@dataclass(frozen=True)
class Table:
    """The columns of one split that were asked for.

    ``place`` says where it was read; ``names`` holds the label names of columns of class ids.
    """

    place: str
    columns: dict[str, list[Any]]
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def at(self, row: int, column: str, problem: str, step: str) -> str:
        """The text of an error about one cell; ``row`` counts from 1."""
        return f"{self.place}, row {row} (data rows counted from 1), column {column!r}: {problem}; {step}"


def find(data_dir: Path, source: Hub) -> Files:
    """The files of a hub dataset in a data folder: ``<split>.parquet``, or the hub's ``<split>-00000-of-00001.parquet``.

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
            digest.update(_content_digest(name))
        digest.update(b"/")
    return replace(source, digest=digest.hexdigest()[:16])


def _content_digest(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"cannot read the data file {name}: {error.strerror}; correct the path or create it") from error


def read(source: Hub | Files | Generated, split: Split, columns: Sequence[str]) -> Table:
    """Some columns of one split.

    Raises:
        DataError: the file, the split or a column is missing, or a file is malformed.
    """
    columns = tuple(dict.fromkeys(columns))
    if isinstance(source, Generated):
        module = importlib.import_module(f"trainables.tasks.{source.module}")
        rows = module.rows(source.name, split)
        return _pick(f"generated {source.module}/{source.name}, split {split}", rows, columns)
    if isinstance(source, Hub):
        return _read_hub(source, split, columns)
    tables = [_read_file(Path(name), columns) for name in getattr(source, split)]
    if len(tables) == 1:
        return tables[0]
    place = f"{tables[0].place} and {len(tables) - 1} more"
    return Table(place, {c: [v for t in tables for v in t.columns[c]] for c in columns}, tables[0].names)


def _read_file(path: Path, columns: tuple[str, ...]) -> Table:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise DataError(f"a data file must end in one of {', '.join(ENDINGS)}, but got {path}; rename or convert it")
    try:
        if ending == ".parquet":
            return _read_parquet(path, columns)
        if ending in (".csv", ".tsv"):
            return _pick(str(path), _read_delimited(path, "\t" if ending == ".tsv" else ","), columns)
        return _pick(str(path), _read_json_lines(path), columns)
    except OSError as error:
        raise DataError(f"cannot read the data file {path}: {error}; correct the path or the file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error


def _read_delimited(path: Path, delimiter: str) -> Iterable[dict[str, Any]]:
    """Rows as strings, just as they are written: no cell is taken for a number or for a missing value."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(reader, None)
            if not header:
                raise DataError(f"{path} is empty; its first line must name the columns")
            if len(set(header)) < len(header):
                raise DataError(f"column names must be unique, but the header of {path} is {header}; rename one")
            for row, cells in enumerate((c for c in reader if c), start=1):
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}, row {row} (data rows counted from 1; line {reader.line_num} of the file) has {len(cells)} "
                        f"cells where the header has {len(header)}; put cells that hold a delimiter or a quote into quotes"
                    )
                yield dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise DataError(f"{path}, near line {reader.line_num}: {error}; check its quotes and delimiters") from error


def _read_json_lines(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                hint = "write one JSON object per line"
                raise DataError(f"{path}, line {number} is not JSON: {error}; {hint}") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number} must be a JSON object, but is {line.strip()[:60]}; one per row")
            yield row


def _pick(place: str, rows: Iterable[dict[str, Any]], columns: tuple[str, ...]) -> Table:
    picked: dict[str, list[Any]] = {c: [] for c in columns}
    known: dict[str, None] = {}
    for row in rows:
        known.update(dict.fromkeys(row))
        for column, values in picked.items():
            values.append(row.get(column))
    _check_columns(place, columns, tuple(known), empty=not known)
    return Table(place, picked)


def _check_columns(place: str, columns: tuple[str, ...], known: Sequence[str], *, empty: bool) -> None:
    if empty:
        raise DataError(f"{place} has no rows; give it at least one")
    if missing := [c for c in columns if c not in known]:
        raise DataError(
            f"{place} has no column {', '.join(map(repr, missing))}; its columns are {', '.join(map(repr, known))}: "
            "correct the names in the task, or the file"
        )


def _read_parquet(path: Path, columns: tuple[str, ...]) -> Table:
    import pyarrow
    from datasets import Features
    from pyarrow import parquet

    try:
        # Opened by hand: given a path, pyarrow takes folders named like key=value in it for columns.
        with path.open("rb") as file:
            schema = parquet.read_schema(file)
            _check_columns(str(path), columns, schema.names, empty=False)
            file.seek(0)
            table = parquet.read_table(file, columns=list(columns))
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path} is not a parquet file that can be read: {error}; make it anew") from error
    return _from_arrow(str(path), table, Features.from_arrow_schema(schema), columns)


def _read_hub(source: Hub, split: Split, columns: tuple[str, ...]) -> Table:
    from datasets import load_dataset

    wanted = getattr(source, split)
    place = f"{source.id} on the hub (config {source.config or 'default'}, split {wanted})"
    try:
        data = load_dataset(source.id, source.config, split=wanted, revision=source.revision)
    except (OSError, ValueError, RuntimeError) as error:
        hint = f"{_FOLDER_HINT} {source.folder}/{wanted}.parquet" if source.folder else "use files instead of the hub"
        raise DataError(f"cannot load {place}: {error}; check the name and the network, or {hint}") from error
    _check_columns(place, columns, data.column_names, empty=len(data) == 0)
    table = data.select_columns(list(columns)).with_format("arrow")[:]
    return _from_arrow(place, table, data.features, columns)


def _from_arrow(place: str, table: Any, features: Any, columns: tuple[str, ...]) -> Table:
    from datasets import ClassLabel

    if table.num_rows == 0:
        raise DataError(f"{place} has no rows; give it at least one")
    names = {c: tuple(features[c].names) for c in columns if isinstance(features[c], ClassLabel)}
    return Table(place, {c: table.column(c).to_pylist() for c in columns}, names)
