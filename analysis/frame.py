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
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    columns = {name: _column(str(name), raw[name].tolist(), where, problems) for name in raw.columns if _known(name)}
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
    raw = pd.DataFrame(list(rows))
    names = sorted(hyperparameters(raw))
    raw = raw[[c for c in raw.columns if c not in names] + names] if len(raw) else pd.DataFrame(columns=list(COLUMNS))
    return tidy(raw, source).sort_values([*COLUMNS[1:6], "seed"], ignore_index=True)


def _known(column: object) -> bool:
    return column in COLUMNS or column in OPTIONAL or str(column).startswith(HYPERPARAMETER)


def _column(column: str, values: list[Any], where: list[str], problems: list[str]) -> Any:
    """A column of the schema with its type."""
    if column in _TEXT:
        return pd.array(list(_texts(column, values, where, problems)), dtype="str")
    if column in _TEXT_OR_NONE:
        return pd.array(["" if v is None or v is pd.NA or v != v else str(v) for v in values], dtype="str")
    if column == "status":
        return pd.array(list(_statuses(values, where, problems)), dtype="str")
    if column == "in_study":
        return pd.array(list(_truths(column, values, where, problems)), dtype="boolean")
    if column.startswith(HYPERPARAMETER):
        return hyperparameter_series(values)
    parsed = list(_numbers(column, values, where, problems))
    if column in _WHOLE:
        return pd.array([pd.NA if v is None else int(v) for v in parsed], dtype="Int64")
    return np.array([np.nan if v is None else v for v in parsed], dtype="float64")


def _texts(column: str, values: list[Any], where: list[str], problems: list[str]) -> Iterator[str]:
    for value, row in zip(values, where, strict=True):
        text = "" if value is None or value is pd.NA or value != value else str(value).strip()
        if not text:
            problems.append(f"{row}, column {column!r}: the value is empty; every trial has a {column}")
        yield text


def _statuses(values: list[Any], where: list[str], problems: list[str]) -> Iterator[str]:
    known = ", ".join(STATUSES)
    for value, row in zip(values, where, strict=True):
        if not isinstance(value, str) or value not in STATUSES:
            problems.append(f"{row}, column 'status': {value!r} is not a status; known: {known}")
        yield str(value)


def _truths(column: str, values: list[Any], where: list[str], problems: list[str]) -> Iterator[bool | Any]:
    for value, row in zip(values, where, strict=True):
        parsed = truth(value)
        if parsed is None:
            problems.append(f"{row}, column {column!r}: {value!r} is neither true nor false; it may be empty")
        yield parsed


def _numbers(column: str, values: list[Any], where: list[str], problems: list[str]) -> Iterator[float | int | None]:
    """Finite numbers, ``None`` where a cell is empty; whole and not negative where the column counts something."""
    for value, row in zip(values, where, strict=True):
        rule = ""
        try:
            parsed = number(value)
        except ValueError:
            parsed, rule = None, f"{value!r} is not a number"
        if parsed is None and not rule and column == "seed":
            rule = "the value is empty; every trial has a seed"
        if parsed is not None:
            if not np.isfinite(float(parsed)):
                rule = f"{value!r} is not finite; leave the cell empty where there is no {column}"
            elif column in _WHOLE and parsed != int(parsed):
                rule = f"{value!r} is not a whole number"
            elif column not in ("score", "seed") and parsed < 0:
                rule = f"{value!r} is negative"
        if rule:
            problems.append(f"{row}, column {column!r}: {rule}")
        yield None if rule else parsed


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
