"""What the runs of a study held when they were last read, in a parquet file, so that no store is asked for it again.

The store says which of it still counts: a run's record is used where its ``mark`` is the same there as here. The file
is thrown away where it is damaged or of another version of the code, and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from common.uris import masked
from search.tracking._record import TrialRecord
from trainables.trial import CellKey
from trainables.whole_files import replacing

#: Raised where a column means something else than before; new fields of a record are noticed without it.
FORMAT = 1
_PLAIN = {"str", "int", "float", "str | None", "int | None", "float | None"}
#: Fields of a record as they are kept: plain ones as they are, others as JSON. Curves are left in the store.
_FIELDS = {field.name: str(field.type) for field in fields(TrialRecord) if field.name != "history"}
_VERSION = hashlib.sha256(json.dumps([FORMAT, _FIELDS]).encode()).hexdigest()

#: What was read of a run: its mark (``_tables.Head``), and what it holds.
Read = tuple[str, TrialRecord]


def place(study: str, tracking: str, kind: str = "logged") -> Path:
    """The file of a study's runs in a store, or of another ``kind``. By another password it is the same store."""
    named = hashlib.sha256(json.dumps([study, masked(tracking)]).encode()).hexdigest()[:16]
    return Path.home() / ".cache" / "aot-search" / kind / f"{named}.parquet"


def read(path: Path) -> dict[str, Read]:
    """What was read of each run, by its id; nothing where there is no file that fits."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if (file.schema_arrow.metadata or {}).get(b"aot") != _VERSION.encode():
                return {}
            columns = {name: column.to_pylist() for name, column in _columns(file.read())}
        kept = [_values(kind, columns[name]) for name, kind in _FIELDS.items()]
        marks = zip(columns["mark"], map(_record, zip(*kept, strict=True)), strict=True)
        return dict(zip(columns["run"], marks, strict=True))
    except (OSError, ValueError, KeyError, TypeError):  # pyarrow's errors are of these
        return {}


def write(path: Path, runs: Mapping[str, Read]) -> None:
    """Whole or not at all, and not where the disk takes none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    marks, records = zip(*runs.values(), strict=True)
    columns: dict[str, list[Any]] = {"run": list(runs), "mark": list(marks)}
    for name, kind in _FIELDS.items():
        values = [getattr(record, name) for record in records]
        columns[name] = values if kind in _PLAIN else [json.dumps(value) for value in values]
    table = pa.table({name: pa.array(values, _type(name)) for name, values in columns.items()})
    with suppress(OSError), replacing(path) as new:
        pq.write_table(table.replace_schema_metadata({"aot": _VERSION}), new, write_page_checksum=True)


def _type(name: str) -> Any:
    import pyarrow as pa

    kind = _FIELDS.get(name, "str").removesuffix(" | None")
    return {"int": pa.int64(), "float": pa.float64()}.get(kind, pa.string())


def _columns(table: Any) -> Any:
    return zip(table.column_names, table.columns, strict=True)


def _values(kind: str, column: list[Any]) -> list[Any]:
    """A field's values; those that are equal are one object, as most trials share their protocol."""
    if kind in _PLAIN:
        return column
    known: dict[str, Any] = {text: json.loads(text) for text in set(column)}
    if kind == "CellKey":
        known = {text: CellKey(*cell) for text, cell in known.items()}
    return [known[text] for text in column]


def _record(values: tuple[Any, ...]) -> TrialRecord:
    """A record of its fields in their order. Setting 25 of a frozen class one by one takes four times as long."""
    record = object.__new__(TrialRecord)
    vars(record).update(zip(_FIELDS, values, strict=True), history=())
    return record
