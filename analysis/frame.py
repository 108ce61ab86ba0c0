"""Runs as one tidy frame: a row per trial, failures included.

The schema is the one of ``aot export`` and ``aot report --runs``: the columns of ``COLUMNS``, then one column
``hp.NAME`` per hyperparameter, then those of ``OPTIONAL`` that are known. Every frame, wherever it comes from, passes
through :func:`tidy`, so that CSV, parquet and a study's own records give the same frame for the same runs, to the last
bit of every score.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from analysis._columns import (
    ADAPTIVE,
    COLUMNS,
    HYPERPARAMETER,
    OPTIONAL,
    PLANNED,
    PROTOCOL,
    PROVENANCE,
    SHARES,
    STATUSES,
    known,
    typed,
)

__all__ = [
    "ADAPTIVE", "COLUMNS", "HYPERPARAMETER", "OPTIONAL", "PLANNED", "PROTOCOL", "PROVENANCE", "SHARES", "STATUSES",
    "FrameError", "from_columns", "from_rows", "hyperparameters", "read", "tidy", "write",
]  # fmt: skip

_SHOWN = 25  # problems printed in a message; all of them stand in FrameError.problems


class FrameError(ValueError):
    """Runs that cannot be read as a frame. ``problems`` holds every fault found, not only the first."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        shown = [f"  - {problem}" for problem in problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            shown.append(f"  - … and {len(problems) - _SHOWN} more")
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{source}: {count}", *shown]))


def hyperparameters(frame: pd.DataFrame) -> list[str]:
    """The ``hp.NAME`` columns of a frame, in its order."""
    return [column for column in frame.columns if column.startswith(HYPERPARAMETER)]


def tidy(raw: pd.DataFrame, source: str = "runs", lines: list[int] | None = None) -> pd.DataFrame:
    """A validated frame with fixed types from one with any types.

    Text columns become ``str``, counts nullable ``Int64``, ``score`` (percent), ``seconds`` and shares ``float64``,
    ``in_study`` ``boolean``; a hyperparameter column becomes ``Int64``, ``float64`` or ``boolean`` where all its values
    agree, and ``str`` where they do not. Columns outside the schema are kept as they are. ``lines`` gives the line of
    each row in its file.

    Raises FrameError with all problems: the row (counted from 1), column, value, rule and known values of each.
    """
    where = [f"row {i + 1}" if lines is None else f"row {i + 1} (line {lines[i]})" for i in range(len(raw))]
    duplicated = sorted({str(c) for c in raw.columns[raw.columns.duplicated()]})
    missing = [c for c in COLUMNS if c not in raw.columns]
    problems = [f"column {c!r} occurs more than once; keep one" for c in duplicated]
    problems += [f"column {c!r} is missing; a runs file has the columns {', '.join(COLUMNS)}" for c in missing]
    raw = raw.loc[:, ~raw.columns.duplicated()]
    columns = {name: typed(str(name), raw[name], where, problems) for name in raw.columns if known(name)}
    columns |= {name: raw[name].reset_index(drop=True) for name in raw.columns if not known(name)}
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(raw)))
    problems += _faults_between_rows(frame, where)
    if problems:
        raise FrameError(source, problems)
    optional = [name for name in OPTIONAL if name in frame.columns]
    others = [name for name in raw.columns if not known(name)]
    return frame[[*COLUMNS, *hyperparameters(frame), *optional, *others]]


def from_rows(rows: Iterable[Mapping[str, Any]], source: str = "runs") -> pd.DataFrame:
    """The frame of rows, a mapping of columns to values each, sorted by cell, assignment and seed.

    Raises FrameError as :func:`tidy` does.
    """
    listed = list(rows)
    names = {name: None for row in listed for name in row}
    return from_columns([{name: [row.get(name) for row in listed] for name in names}], source)


def from_columns(tables: Sequence[Mapping[str, Sequence[Any]]], source: str = "runs") -> pd.DataFrame:
    """As :func:`from_rows`, of tables that are one below the other, a mapping of columns to their values each."""
    lengths = [len(next(iter(table.values()), ())) for table in tables]
    parts = [(table, length) for table, length in zip(tables, lengths, strict=True) if length]
    names = dict.fromkeys(name for table, _ in parts for name in table)
    whole = {name: [v for table, length in parts for v in table.get(name, [None] * length)] for name in names}
    raw = pd.DataFrame(whole) if whole else pd.DataFrame(columns=list(COLUMNS))
    own = sorted(hyperparameters(raw))
    raw = raw[[c for c in raw.columns if c not in own] + own]
    return tidy(raw, source).sort_values([*COLUMNS[1:6], "seed"], ignore_index=True)


def _faults_between_rows(frame: pd.DataFrame, where: list[str]) -> Iterator[str]:
    """What is wrong with a row as a whole, or with two rows together."""
    if {"status", "score"} <= set(frame.columns):
        for i in np.flatnonzero((frame["status"] == "finished") & frame["score"].isna()):
            yield f"{where[i]}, column 'score': a finished trial has a score, but the cell is empty or no number"
    if "trial_id" in frame:
        named = frame["trial_id"] != ""
        for trial_id, rows in (
            frame[named & frame.duplicated("trial_id", keep=False)].groupby("trial_id").groups.items()
        ):
            yield f"column 'trial_id': {trial_id!r} stands in {_list(rows, where)}; a trial has one row"
    key = ["benchmark", "backbone", "task", "method", "assignment_id", "seed"]
    if {*key, "trial_id"} <= set(frame.columns):
        twice = frame[
            frame["seed"].notna() & ~frame.duplicated("trial_id", keep=False) & frame.duplicated(key, keep=False)
        ]
        for values, rows in twice.groupby(key).groups.items():
            name = f"assignment {values[4]!r} with seed {values[5]} on {values[2]}"
            yield f"column 'seed': {name} stands in {_list(rows, where)}; an assignment and a seed are one trial"


def _list(rows: Any, where: list[str]) -> str:
    return " and ".join(where[i] for i in rows)


# --- files -----------------------------------------------------------------------------------------------------------


def read(path: str | Path) -> pd.DataFrame:
    """The frame of a ``.csv`` or ``.parquet`` file. Raises FrameError as :func:`tidy` does, or if it cannot be read."""
    path = Path(path)
    load = _by_extension(path, {".csv": _read_csv, ".parquet": _read_parquet})
    if not path.is_file():
        raise FrameError(str(path), ["there is no such file; write one with: aot export STUDY --out FILE"])
    raw, lines = load(path)
    return tidy(raw, str(path), lines)


def write(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a frame as ``.csv`` or ``.parquet``, whole or not at all. Reading it gives the same frame, bit for bit."""
    path = Path(path)
    save = _by_extension(path, {
        ".csv": lambda target: frame.to_csv(target, index=False),
        ".parquet": lambda target: frame.to_parquet(target, index=False),
    })  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    try:
        save(Path(name))
        Path(name).chmod(0o644)  # a temporary file is private, an export is not
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


_T = TypeVar("_T")


def _by_extension(path: Path, actions: Mapping[str, Callable[[Path], _T]]) -> Callable[[Path], _T]:
    try:
        return actions[path.suffix.lower()]
    except KeyError:
        known = " or ".join(actions)
        raise FrameError(str(path), [f"the file's extension is {path.suffix!r}; it must be {known}"]) from None


def _read_csv(path: Path) -> tuple[pd.DataFrame, list[int]]:
    """Cells as text, nothing guessed: a task named ``null`` stays a name, an empty cell is an empty text."""
    problems: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    problems.append(f"line {reader.line_num} has {len(row)} values; the header names {len(header)}")
                    continue
                rows.append(row)
                lines.append(reader.line_num)
    except (csv.Error, UnicodeDecodeError) as error:
        raise FrameError(str(path), [f"this is not a CSV file in UTF-8: {error}"]) from error
    if problems:
        raise FrameError(str(path), problems)
    return pd.DataFrame(rows, columns=pd.Index(header, dtype=object), dtype=object), lines


def _read_parquet(path: Path) -> tuple[pd.DataFrame, None]:
    try:
        return pd.read_parquet(path), None
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise FrameError(str(path), [f"this is not a parquet file: {error}"]) from error
