"""The list of a study's runs in MLflow's tables; of a SQLite file it is kept as long as that file is the same.

To list 50,000 runs takes half a second, and SQLAlchemy a quarter of one to import.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from common.stamps import Stamp, settled, stamp
from search.tracking import _tables
from search.tracking._tables import Head
from trainables.whole_files import replacing

FORMAT = 1
_COLUMNS = ("run_id", "trial_id", "mark", "whole", "ended")


def heads(tracking: str, study: str, kept_in: Path, few: int) -> list[Head]:
    """Every run of a trial, the oldest first; more than ``few`` of them are kept. Raises as ``_tables.opened``."""
    seen = _stamps(tracking)
    if seen and (kept := _read(kept_in, seen)):
        return kept
    with _tables.opened(tracking) as connection:
        found = _tables.heads(connection, study)
    if seen and len(found) > few and settled(seen):
        _write(kept_in, seen, found)
    return found


def _stamps(tracking: str) -> list[Stamp]:
    """Of a SQLite file and of what stands beside it while it is written; empty for another database."""
    if (file := tracking.removeprefix("sqlite:///")) == tracking:
        return []
    return [stamp(Path(f"{file}{end}")) for end in ("", "-wal", "-journal")]


def _label(seen: list[Stamp]) -> bytes:
    return json.dumps([FORMAT, seen]).encode()


def _read(path: Path, seen: list[Stamp]) -> list[Head]:
    """What was kept of the file when it had these stamps; nothing where there is no such thing."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if (file.schema_arrow.metadata or {}).get(b"aot") != _label(seen):
                return []
            columns = file.read(list(_COLUMNS)).to_pydict()
    except (OSError, ValueError, KeyError, TypeError):  # pyarrow's errors are of these
        return []
    return list(map(Head, *(columns[name] for name in _COLUMNS)))


def _write(path: Path, seen: list[Stamp], found: list[Head]) -> None:
    """Whole or not at all, and not where the disk takes none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: [getattr(head, name) for head in found] for name in _COLUMNS})
    with suppress(OSError), replacing(path) as new:
        pq.write_table(table.replace_schema_metadata({"aot": _label(seen)}), new, write_page_checksum=True)
