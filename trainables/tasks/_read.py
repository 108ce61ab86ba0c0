"""How rows are read: from the hub, from files, or from a generator, into columns."""

from __future__ import annotations

import csv
import importlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.tasks._source import DataError, Files, Generated, Hub, Split, UnreachableError

_HALF = re.compile("[\ud800-\udfff]")

#: How a file is read, by the end of its name.
ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


@dataclass(frozen=True)
class RawSplit:
    """The columns of one split that were asked for.

    ``place`` says where it was read; ``names`` holds the label names of columns of class ids.
    """

    place: str
    columns: dict[str, list[Any]]
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def take(self, rows: Iterable[int]) -> RawSplit:
        """Some of the rows, by their indices; what ``at`` says counts them anew."""
        rows = list(rows)
        return RawSplit(self.place, {c: [values[i] for i in rows] for c, values in self.columns.items()}, self.names)

    def at(self, row: int, column: str, problem: str, step: str) -> str:
        """The text of an error about one cell; ``row`` counts from 1."""
        return f"{self.place}, row {row} (data rows counted from 1), column {column!r}: {problem}; {step}"


def read(source: Hub | Files | Generated, split: Split, columns: Sequence[str]) -> RawSplit:
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
    return RawSplit(place, {c: [v for t in tables for v in t.columns[c]] for c in columns}, tables[0].names)


def _read_file(path: Path, columns: tuple[str, ...]) -> RawSplit:
    ending = path.suffix.lower()
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise DataError(f"a data file must be a file, but {path} is none; correct the path")
    if ending not in ENDINGS:
        raise DataError(f"a data file must end in one of {', '.join(ENDINGS)}, but got {path}; rename or convert it")
    try:
        if ending == ".parquet":
            return _read_parquet(path, columns)
        if ending in (".csv", ".tsv"):
            return _pick(str(path), _read_delimited(path, "\t" if ending == ".tsv" else ","), columns)
        return _pick(str(path), _read_json_lines(path), columns)
    except OSError as error:
        raise DataError(
            f"cannot read the data file {path}: {error.strerror or error}; correct the path or create it"
        ) from error
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
                        f"{path}, row {row} (data rows counted from 1; line {reader.line_num} of the file) has "
                        f"{len(cells)} cells where the header has {len(header)}; "
                        "put cells that hold a delimiter or a quote into quotes"
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
            except (ValueError, RecursionError) as error:  # also of numbers and nesting that Python has limits for
                hint = "write one JSON object per line"
                raise DataError(f"{path}, line {number} is not JSON: {error}; {hint}") from error
            if "\\u" in line and _HALF.search(json.dumps(row, ensure_ascii=False)):
                raise DataError(f"{path}, line {number} has half a character (a lone surrogate); write it whole")
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number} must be a JSON object, but is {line.strip()[:60]}; one per row")
            yield row


def _pick(place: str, rows: Iterable[dict[str, Any]], columns: tuple[str, ...]) -> RawSplit:
    picked: dict[str, list[Any]] = {c: [] for c in columns}
    known: dict[str, None] = {}
    for row in rows:
        known.update(dict.fromkeys(row))
        for column, values in picked.items():
            values.append(row.get(column))
    _check_columns(place, columns, tuple(known), empty=not known)
    return RawSplit(place, picked)


def _check_columns(place: str, columns: tuple[str, ...], known: Sequence[str], *, empty: bool) -> None:
    if empty:
        raise DataError(f"{place} has no rows; give it at least one")
    if missing := [c for c in columns if c not in known]:
        raise DataError(
            f"{place} has no column {', '.join(map(repr, missing))}; its columns are {', '.join(map(repr, known))}: "
            "correct the names in the task, or the file"
        )


def _read_parquet(path: Path, columns: tuple[str, ...]) -> RawSplit:
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


def _read_hub(source: Hub, split: Split, columns: tuple[str, ...]) -> RawSplit:
    from datasets import load_dataset

    from trainables import hub

    wanted = getattr(source, split)
    place = f"{source.id} on the hub (config {source.config or 'default'}, split {wanted})"
    try:
        with hub.spared():
            data = load_dataset(source.id, source.config, split=wanted, revision=source.revision)
    except (OSError, ValueError, RuntimeError) as error:
        hint = "give the task files instead of the hub"
        if source.folder:
            hint = f"set data_dir in the study, or AOT_DATA_DIR, to a folder that has {source.folder}/{wanted}.parquet"
        kind = DataError if hub.reachable() else UnreachableError
        raise kind(f"cannot load {place}: {error}; check the name and the network, or {hint}") from error
    if not hub.reachable():
        _check_cached(place, source.revision, data)
    _check_columns(place, columns, data.column_names, empty=len(data) == 0)
    table = data.select_columns(list(columns)).with_format("arrow")[:]
    return _from_arrow(place, table, data.features, columns)


def _check_cached(place: str, revision: str | None, data: Any) -> None:
    """Where the hub does not answer, the library gives whatever it read last, whichever revision is meant."""
    found = Path(data.cache_files[0]["filename"]).parent.name if data.cache_files else revision
    if revision not in (None, found):
        raise UnreachableError(
            f"{place} is meant at revision {revision}, but was last read at commit {found}, and the hub does not "
            "answer; connect to it, or name that commit as the revision"
        )


def _from_arrow(place: str, table: Any, features: Any, columns: tuple[str, ...]) -> RawSplit:
    from datasets import ClassLabel

    if table.num_rows == 0:
        raise DataError(f"{place} has no rows; give it at least one")
    names = {c: tuple(features[c].names) for c in columns if isinstance(features[c], ClassLabel)}
    return RawSplit(place, {c: _values(table.column(c)) for c in columns}, names)


def _values(column: Any) -> list[Any]:
    """A column of Arrow as Python values; texts by a way that takes a quarter of the time."""
    from pyarrow import types

    texts = types.is_string(column.type) or types.is_large_string(column.type)
    values: list[Any] = column.to_numpy(zero_copy_only=False).tolist() if texts else column.to_pylist()
    return values
