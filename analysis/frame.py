"""Runs as one tidy frame: a row per trial, failures included. The only file of the analysis that knows MLflow.

The schema is the one of ``aot export`` and ``aot report --runs``: the columns of ``COLUMNS``, then one column
``hp.NAME`` per hyperparameter. Every frame, wherever it comes from, passes through :func:`tidy`, so that CSV, parquet
and MLflow give the same frame for the same runs, to the last bit of every score.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from analysis._values import hyperparameter_series, number
from common.uris import masked_in

STATUSES = ("finished", "diverged", "failed", "pruned")
_TEXT = ("study", "benchmark", "backbone", "task", "method", "assignment_id", "trial_id")
_WHOLE = ("seed", "best_epoch", "epochs", "trainable_parameters")
_REAL = ("score", "seconds")
COLUMNS = (
    *("study", "benchmark", "backbone", "task", "method", "assignment_id", "trial_id", "seed", "status", "score"),
    *("best_epoch", "epochs", "trainable_parameters", "seconds"),
)
#: How an adaptive search came to a trial, in frames that have such trials; see ``analysis/selection.py``.
ADAPTIVE = ("strategy", "promotion")
HYPERPARAMETER = "hp."
_SHOWN = 25  # problems printed in a message; all of them stand in FrameError.problems
_PAGE = 1000  # runs per request to MLflow
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


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

    Text columns become ``str``, counts nullable ``Int64``, ``score`` (percent) and ``seconds`` ``float64``; a
    hyperparameter column becomes ``Int64``, ``float64`` or ``boolean`` where all its values agree, and ``str`` where
    they do not. Columns outside the schema are kept as they are. ``lines`` gives the line of each row in its file.

    Raises FrameError with all problems: the row (counted from 1), column, value, rule and known values of each.
    """
    where = [f"row {i + 1}" if lines is None else f"row {i + 1} (line {lines[i]})" for i in range(len(raw))]
    duplicated = sorted({str(c) for c in raw.columns[raw.columns.duplicated()]})
    missing = [c for c in COLUMNS if c not in raw.columns]
    problems = [f"column {c!r} occurs more than once; keep one" for c in duplicated]
    problems += [f"column {c!r} is missing; a runs file has the columns {', '.join(COLUMNS)}" for c in missing]
    raw = raw.loc[:, ~raw.columns.duplicated()]
    columns: dict[str, Any] = {}
    for column in raw.columns:
        values = raw[column].tolist()
        if column in _TEXT:
            columns[column] = pd.array(list(_texts(column, values, where, problems)), dtype="str")
        elif column == "status":
            columns[column] = pd.array(list(_statuses(values, where, problems)), dtype="str")
        elif column in _WHOLE:
            parsed = list(_numbers(column, values, where, problems))
            columns[column] = pd.array([pd.NA if v is None else int(v) for v in parsed], dtype="Int64")
        elif column in _REAL:
            parsed = list(_numbers(column, values, where, problems))
            columns[column] = np.array([np.nan if v is None else v for v in parsed], dtype="float64")
        elif column in ADAPTIVE:
            columns[column] = pd.array(["" if v is None or v != v else str(v) for v in values], dtype="str")
        elif column.startswith(HYPERPARAMETER):
            columns[column] = hyperparameter_series(values)
        else:
            columns[column] = raw[column].reset_index(drop=True)
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(raw)))
    problems += _faults_between_rows(frame, where)
    if problems:
        raise FrameError(source, problems)
    rest = [c for c in frame.columns if c not in COLUMNS]
    return frame[[*COLUMNS, *[c for c in rest if c.startswith(HYPERPARAMETER)],
                  *[c for c in rest if not c.startswith(HYPERPARAMETER)]]]  # fmt: skip


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


# --- MLflow ----------------------------------------------------------------------------------------------------------


def from_mlflow(tracking_uri: str, study: str) -> pd.DataFrame:
    """Every trial of a study that has ended, the newest run of each, sorted by cell, assignment and seed.

    Raises FrameError where the store cannot be read, the study is not there, or a run breaks the schema.
    """
    source = f"study {study!r} in {masked_in(tracking_uri)}"
    database = tracking_uri.removeprefix("sqlite:///")
    if database != tracking_uri and not Path(database).exists():  # MLflow would create an empty one
        step = (
            "run the study first (aot run STUDY), or set MLFLOW_TRACKING_URI to the MLflow of the cluster where it ran"
        )
        raise FrameError(source, [f"there is no file {database}; {step}"])
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # seconds to import, and only this function needs it
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    newest: dict[str, dict[str, Any]] = {}
    try:
        for run in _ended(MlflowClient(tracking_uri=tracking_uri), study, source):
            newest.setdefault(run.data.tags.get("aot.trial_id", run.info.run_id), _row(run.data, study))
    except (MlflowException, SQLAlchemyError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise FrameError(source, [f"MLflow cannot be read: {masked_in(lines[0])}"]) from None
    raw = pd.DataFrame(list(newest.values()), columns=None if newest else list(COLUMNS))
    keys = ["benchmark", "backbone", "task", "method", "assignment_id", "seed"]
    return tidy(raw, source).sort_values(keys, ignore_index=True)


def _ended(client: Any, study: str, source: str) -> Iterator[Any]:
    """The study's trial runs that have ended, newest first. One that is being written has no status, or is running."""
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        names = ", ".join(sorted(e.name for e in client.search_experiments())) or "none"
        raise FrameError(source, [f"the store has no experiment {study!r}; known: {names}"])
    order, token = ["attributes.start_time DESC"], None
    while True:
        page = client.search_runs(
            [experiment.experiment_id], "tags.`aot.kind` = 'trial'", max_results=_PAGE, order_by=order, page_token=token
        )
        yield from (r for r in page if "aot.status" in r.data.tags and r.info.status in ("FINISHED", "FAILED"))
        token = page.token
        if not token:
            return


def _row(data: Any, study: str) -> dict[str, Any]:
    tags, metrics = data.tags, data.metrics
    names = ("benchmark", "backbone", "task", "method", "assignment_id", "trial_id", "status")
    row: dict[str, Any] = {"study": tags.get("aot.study", study)}
    row |= {name: tags.get(f"aot.{name}") for name in names}
    row["seed"] = data.params.get("seed")
    row |= {name: metrics.get(name) for name in ("score", "best_epoch", "epochs", "trainable_parameters", "seconds")}
    row |= {name: tags[f"aot.{name}"] for name in ADAPTIVE if tags.get(f"aot.{name}")}
    own = {k: v for k, v in data.params.items() if k != "seed" and not k.startswith("protocol.")}
    return row | {f"{HYPERPARAMETER}{name}": own[name] for name in sorted(own)}
