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

from analysis._values import hyperparameter_series, number, truth

STATUSES = ("finished", "diverged", "failed", "pruned")
COLUMNS = (
    *("study", "benchmark", "backbone", "task", "method", "assignment_id", "trial_id", "seed", "status", "score"),
    *("best_epoch", "epochs", "trainable_parameters", "seconds"),
)
#: How an adaptive search came to a trial; see ``analysis/selection.py``.
ADAPTIVE = ("strategy", "promotion")
#: What the study plans: seeds of the assignment, trials of the cell, tasks of the benchmark, trials in all, at most.
PLANNED = ("planned_seeds", "planned_in_cell", "planned_tasks", "planned_in_study")
#: How a trial was trained, beside its hyperparameters.
PROTOCOL = ("max_length", "precision", "dropout", "max_epochs", "patience", "train_rows", "dev_rows")
#: Shares, of 0 to 1, of sequences that were cut and of tokens that the backbone does not know.
SHARES = ("train_cut", "dev_cut", "train_unknown", "dev_unknown")
#: Where a result comes from: the pack and device that made it, the code, the weights and rows, when (UTC, ISO 8601),
#: and the run that MLflow has of it. ``reason``: why it failed or diverged.
PROVENANCE = ("pack_size", "device", "commit", "result_version", "versions", "backbone_hash", "data_hash", "ended",
              "run_id", "reason")  # fmt: skip
#: What may be known of a trial beside ``COLUMNS``, in this order. ``role``: ``confirmation`` for a seed that took no
#: part in the choice of its assignment, else ``search`` or empty. ``in_study``: whether the study names the trial as it
#: stands, empty where nobody could tell. ``draw``: the place of its assignment in a random search, counted from 1.
#: ``metric``: the name of the task's; ``majority``: what it gives, in percent, for the best constant answer on the dev
#: split.
OPTIONAL = (*ADAPTIVE, "role", "in_study", *PLANNED, "draw", *PROTOCOL, *SHARES, "metric", "majority", *PROVENANCE)
_TEXT = ("study", "benchmark", "backbone", "task", "method", "assignment_id", "trial_id")
_TEXT_OR_NONE = (*ADAPTIVE, "role", "precision", "metric", "device", "commit", "versions", "backbone_hash", "data_hash",
                 "ended", "run_id", "reason")  # fmt: skip
_WHOLE = ("seed", "best_epoch", "epochs", "trainable_parameters", *PLANNED, "draw", "max_length", "max_epochs",
          "patience", "train_rows", "dev_rows", "pack_size", "result_version")  # fmt: skip
_REAL = ("score", "seconds", "dropout", *SHARES, "majority")
HYPERPARAMETER = "hp."
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
    columns = {name: _column(str(name), raw[name], where, problems) for name in raw.columns if _known(name)}
    columns |= {name: raw[name].reset_index(drop=True) for name in raw.columns if not _known(name)}
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(raw)))
    problems += _faults_between_rows(frame, where)
    if problems:
        raise FrameError(source, problems)
    optional = [name for name in OPTIONAL if name in frame.columns]
    others = [name for name in raw.columns if not _known(name)]
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


def _known(column: object) -> bool:
    return column in COLUMNS or column in OPTIONAL or str(column).startswith(HYPERPARAMETER)


def _column(column: str, raw: pd.Series, where: list[str], problems: list[str]) -> Any:
    """A column of the schema with its type. Every value is looked at once, however many rows have it."""
    if column in _WHOLE or column in _REAL:
        return _numbers(column, raw, where, problems)
    codes, values = _distinct(raw)
    if column.startswith(HYPERPARAMETER):
        return hyperparameter_series(values).take(codes)
    if column == "in_study":
        parsed = [truth(value) for value in values]
        _tell(column, raw, codes, [value is None for value in parsed], where, problems)
        return pd.array(parsed, dtype="boolean").take(codes)
    if column == "status":
        _tell(column, raw, codes, [value not in STATUSES for value in values], where, problems)
        return pd.array([str(value) for value in values], dtype="str").take(codes)
    texts = ["" if value is None or value is pd.NA or value != value else str(value) for value in values]
    if column in _TEXT:
        texts = [text.strip() for text in texts]
        _tell(column, raw, codes, [not text for text in texts], where, problems)
    return pd.array(texts, dtype="str").take(codes)


def _distinct(raw: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """The values of a column that differ, and for each row the place of its own among them.

    Of a column with values of several types every row is one of its own: 1, 1.0 and True are equal.
    """
    if raw.dtype == object and pd.api.types.infer_dtype(raw, skipna=True) not in ("string", "empty"):
        return np.arange(len(raw)), raw.tolist()
    codes, values = pd.factorize(raw, use_na_sentinel=False)
    return codes, values.tolist()


def _numbers(column: str, raw: pd.Series, where: list[str], problems: list[str]) -> Any:
    """Finite numbers, empty where a cell is; whole and not negative where the column counts something."""
    if raw.dtype != bool and pd.api.types.is_numeric_dtype(raw):
        reached = raw.to_numpy("float64", na_value=np.nan)
        plain = np.isfinite(reached) & (reached >= 0) & ((column in _REAL) | (reached == np.floor(reached)))
        plain |= np.isnan(reached) & (column != "seed")
        wrong = ~plain
        wrong[wrong] = [bool(_judged(column, value)[1]) for value in raw[wrong].tolist()]
        codes, numbers = np.arange(len(raw)), raw.mask(wrong) if wrong.any() else raw
    else:
        codes, values = _distinct(raw)
        judged = [_judged(column, value) for value in values]
        wrong = np.array([bool(fault) for _, fault in judged], dtype=bool)
        numbers = [pd.NA if value is None else value for value, _ in judged]
    _tell(column, raw, codes, wrong, where, problems)
    if column in _WHOLE:
        return pd.array(numbers, dtype="Int64").take(codes)
    return pd.array(numbers, dtype="Float64").to_numpy("float64", na_value=np.nan)[codes]


def _judged(column: str, value: Any) -> tuple[float | int | None, str]:
    """The number in a cell, ``None`` where it is empty or wrong, and what is wrong with it."""
    try:
        parsed = number(value)
    except ValueError:
        return None, f"{value!r} is not a number"
    if parsed is None:
        return None, "the value is empty; every trial has a seed" if column == "seed" else ""
    if not np.isfinite(float(parsed)):
        return None, f"{value!r} is not finite; leave the cell empty where there is no {column}"
    if column in _WHOLE and parsed != int(parsed):
        return None, f"{value!r} is not a whole number"
    if column not in ("score", "seed") and parsed < 0:
        return None, f"{value!r} is negative"
    return int(parsed) if column in _WHOLE else parsed, ""


def _tell(
    column: str, raw: pd.Series, codes: np.ndarray, wrong: Sequence[bool], where: list[str], problems: list[str]
) -> None:
    """Say what is wrong with each row whose value is: ``wrong`` of the values that ``codes`` are the places of."""
    for i in np.flatnonzero(np.asarray(wrong, dtype=bool)[codes]):
        problems.append(f"{where[i]}, column {column!r}: {_fault(column, raw.iloc[[i]].tolist()[0])}")


def _fault(column: str, value: Any) -> str:
    if column in _TEXT:
        return f"the value is empty; every trial has a {column}"
    if column == "status":
        return f"{value!r} is not a status; known: {', '.join(STATUSES)}"
    if column == "in_study":
        return f"{value!r} is neither true nor false; it may be empty"
    return _judged(column, value)[1]


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
