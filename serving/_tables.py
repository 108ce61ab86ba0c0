"""Rows of text in files and streams, a chunk at a time: CSV, JSON lines and parquet, read and written."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows that are in memory at once.
CHUNK = 1_024
#: A cell of a CSV file may be a whole document.
_LONGEST_CELL = 100_000_000

FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet",
}  # fmt: skip
STDIO = Path("-")

Row = dict[str, Any]


class TableError(ValueError):
    """A file that cannot be read or written as a table of rows; it says what to do."""


class Unreadable(Exception):  # noqa: N818 - it stands in the place of a row, and is not raised
    """A row that cannot be read; ``values``: what there is of it."""

    def __init__(self, reason: str, values: Row | None = None) -> None:
        super().__init__(reason)
        self.reason, self.values = reason, values or {}


def format_of(path: Path) -> str:
    """By the end of a file's name; TableError names those that are known."""
    if (found := FORMATS.get(path.suffix.lower())) is None:
        raise TableError(f"{path}: a file of rows ends in {', '.join(FORMATS)}; rename it")
    return found


class Source:
    """A file, or standard input, whose format its first sign tells: ``{`` begins JSON lines, all else is CSV.

    ``columns``: in their order, where the format knows them; ``schema``: of parquet; ``total``: bytes, or None for a
    stream. ``position`` follows the reading.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.schema, self.columns = path, None, None
        self._raw: IO[bytes]
        try:
            self._raw = sys.stdin.buffer if path == STDIO else path.open("rb")
        except OSError as error:
            raise TableError(f"{path} cannot be read: {error.strerror}") from None
        self.total = None if path == STDIO else path.stat().st_size
        self.format = _sniffed(self._raw) if path == STDIO else format_of(path)
        self._bytes = 0

    schema: pa.Schema | None
    columns: list[str] | None

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._bytes

    def chunks(self) -> Iterator[list[Row | Unreadable]]:
        """All rows, at most ``CHUNK`` at a time. TableError where the file is no table from some place on."""
        try:
            yield from {"jsonl": self._lines, "parquet": self._parquet}.get(self.format, self._csv)()
        except (OSError, csv.Error, ValueError) as error:
            if isinstance(error, TableError):
                raise
            raise TableError(f"{self.path} cannot be read as {self.format}: {' '.join(str(error).split())}") from None

    def _text(self) -> Iterator[str]:
        """Lines; what is no UTF-8 in them stands as Python's lone surrogates, which ``_checked`` finds."""
        with io.TextIOWrapper(self._raw, "utf-8-sig", errors="surrogateescape", newline="") as text:
            for line in text:
                self._bytes += len(line) if line.isascii() else len(line.encode("utf-8", "surrogateescape"))
                yield line

    def _csv(self) -> Iterator[list[Row | Unreadable]]:
        csv.field_size_limit(_LONGEST_CELL)
        lines = csv.reader(self._text(), delimiter="\t" if self.format == "tsv" else ",")
        head = next(lines, None)
        if not head or len(set(head)) < len(head):
            what = "its first line must name the columns" if not head else "a column stands twice in its first line"
            raise TableError(f"{self.path}: {what}, but is {head or 'missing'}")
        self.columns = head
        rows = (_from_cells(head, cells) for cells in lines if cells)
        while chunk := list(islice(rows, CHUNK)):
            yield chunk

    def _lines(self) -> Iterator[list[Row | Unreadable]]:
        rows = (_from_json(line) for line in self._text() if line.strip())
        while chunk := list(islice(rows, CHUNK)):
            yield chunk

    def _parquet(self) -> Iterator[list[Row | Unreadable]]:
        import pyarrow.parquet as pq

        file = pq.ParquetFile(self._raw)
        self.schema, self.columns = file.schema_arrow, file.schema_arrow.names
        read = 0
        for batch in file.iter_batches(CHUNK):
            read += batch.num_rows
            self._bytes = (self.total or 0) * read // max(1, file.metadata.num_rows)
            yield batch.to_pylist()


def _sniffed(raw: IO[bytes]) -> str:
    start = raw.peek(64)[:64].lstrip(b"\xef\xbb\xbf \t\r\n")  # type: ignore[attr-defined]
    return "jsonl" if start.startswith(b"{") else "csv"


def _from_cells(head: Sequence[str], cells: Sequence[str]) -> Row | Unreadable:
    row = dict(zip(head, cells, strict=False))
    if len(cells) == len(head):
        return _checked(row)
    reason = f"the row has {len(cells)} values, but the first line names {len(head)} columns"
    return Unreadable(reason, {_clean(name): _clean(value) for name, value in row.items()})


def _from_json(line: str) -> Row | Unreadable:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Unreadable(f"the line is no JSON: {error}")
    return _checked(row) if isinstance(row, dict) else Unreadable("the line is no JSON object")


def _checked(row: Row) -> Row | Unreadable:
    """The row; where a text in it has signs that no file can hold, they are written out and the row is unreadable."""
    names = [name for name, value in row.items() if not (_encodable(name) and _encodable(value))]
    if not names:
        return row
    written = {_clean(name): _clean(value) for name, value in row.items()}
    return Unreadable(f"column {_clean(names[0])!r} is no text in UTF-8", written)


def _encodable(value: Any) -> bool:
    try:
        (value if isinstance(value, str) else str(value)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _clean(value: Any) -> Any:
    if _encodable(value):
        return value
    return (value if isinstance(value, str) else str(value)).encode("utf-8", "backslashreplace").decode()


class Sink(Protocol):
    """Where rows with their predictions go."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write a chunk. TableError where a row does not fit what was written before."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


class JsonLines:
    """One object a line; what is not there is left out."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            kept = {name: value for name, value in row.items() if value is not None}
            self._stream.write(json.dumps(kept, ensure_ascii=False, default=str) + "\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


class Csv:
    """CSV, or with tabs; the columns are those of the source, or of the first chunk."""

    def __init__(self, stream: IO[str], columns: Sequence[str] | None, added: Sequence[str], delimiter: str) -> None:
        self._stream, self._columns, self._added = stream, columns, added
        self._out = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        self._begun = False

    def write(self, rows: Sequence[Row]) -> None:
        names = _columns(rows, self._columns, self._added)
        if not self._begun:
            self._out.writerow(names)
            self._columns, self._begun = names, True
        self._out.writerows([_cell(row.get(name)) for name in names] for row in rows)
        self._stream.flush()

    def close(self) -> None:
        if not self._begun:
            self.write([])


class Parquet:
    """Parquet; the columns of the source keep their types, those of other formats are as in the first chunk."""

    def __init__(self, path: Path, schema: pa.Schema | None, columns: Sequence[str] | None, added: pa.Schema) -> None:
        self._path, self._schema, self._columns, self._added = path, schema, columns, added
        self._writer: Any = None

    def write(self, rows: Sequence[Row]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        own = [{name: value for name, value in row.items() if name not in self._added.names} for row in rows]
        try:
            if self._writer is None:
                schema = self._schema or self._inferred(own)
                fields = [field for field in schema if field.name not in self._added.names]
                self._writer = pq.ParquetWriter(self._path, pa.schema([*fields, *self._added]))
            schema = self._writer.schema
            _columns(rows, schema.names, ())
            plain = [{name: _flat(value, name, self._added.names) for name, value in row.items()} for row in rows]
            self._writer.write_table(pa.Table.from_pylist(plain, schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise TableError(f"a row does not fit the columns of those before it: {error}; write JSON lines") from None

    def _inferred(self, rows: Sequence[Row]) -> pa.Schema:
        import pyarrow as pa

        names = _columns(rows, self._columns, ())
        return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows]).schema

    def close(self) -> None:
        if self._writer is None:
            self.write([])
        self._writer.close()


def _columns(rows: Sequence[Row], known: Sequence[str] | None, added: Sequence[str]) -> list[str]:
    """``known``, or else the names in the rows, and ``added`` last; TableError where a row has one more."""
    found = dict.fromkeys(name for row in rows for name in row)
    if known is None:
        return [*(name for name in found if name not in added), *added]
    if more := [name for name in found if name not in known and name not in added]:
        raise TableError(f"a row has a column {more[0]!r} that those before it have not; write JSON lines")
    return [*(name for name in known if name not in added), *added]


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return {None: "", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else value


def _flat(value: Any, name: str, added: Sequence[str]) -> Any:
    return json.dumps(value, ensure_ascii=False) if name in added and isinstance(value, Mapping) else value
