"""A study's runs from the tables of MLflow's database, SQLite or PostgreSQL, which are only read.

Importing MLflow takes seconds, asking it 1.6 ms per run, and it would create a database that is not there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import TYPE_CHECKING, Any

from search._words import batched
from search.tracking.mlflow_access import CONNECT_SECONDS

if TYPE_CHECKING:  # importing it takes a third of a second
    from sqlalchemy import Connection, Engine

Values = dict[str, Any]
Points = Mapping[str, Collection[tuple[int, float, int]]]
RUNS_AT_ONCE = 1_000
_HEADS = """
    SELECT runs.run_uuid, runs.status, runs.lifecycle_stage, runs.end_time, trial.value, record.value, status.value
    FROM runs JOIN experiments ON experiments.experiment_id = runs.experiment_id
    JOIN tags AS kind ON kind.run_uuid = runs.run_uuid AND kind.key = 'aot.kind' AND kind.value = 'trial'
    LEFT JOIN tags AS trial ON trial.run_uuid = runs.run_uuid AND trial.key = 'aot.trial_id'
    LEFT JOIN tags AS record ON record.run_uuid = runs.run_uuid AND record.key = 'aot.record'
    LEFT JOIN tags AS status ON status.run_uuid = runs.run_uuid AND status.key = 'aot.status'
    WHERE experiments.name = :study ORDER BY runs.start_time
"""
_VALUES = "SELECT run_uuid, key, value FROM {} WHERE run_uuid IN :runs"
_ACTIVE = """
    SELECT run_uuid, status FROM runs WHERE experiment_id = :experiment AND lifecycle_stage = 'active'
    ORDER BY start_time DESC, run_uuid
"""
_SOME_OF_ALL = """
    SELECT own.run_uuid, own.key, own.value FROM {} AS own JOIN runs ON runs.run_uuid = own.run_uuid
    WHERE runs.experiment_id = :experiment AND runs.lifecycle_stage = 'active' AND own.key IN :keys
"""
_POINTS = """
    SELECT run_uuid, key, step, value, timestamp, is_nan FROM metrics
    WHERE run_uuid IN :runs AND key IN ('dev_score', 'train_loss')
"""


@dataclass(frozen=True)
class Head:
    """A run, by what tells that it has changed. ``mark``: of a trial that is logged again it is another one.

    ``whole``: it was brought to its end and is not deleted. ``ended``: in milliseconds since 1970.
    """

    run_id: str
    trial_id: str
    mark: str
    whole: bool
    ended: int | None


def has_tables(tracking: str) -> bool:
    """Whether the store at this URI is a database that this module reads."""
    return tracking.startswith(("sqlite:///", "postgresql"))


@contextmanager
def opened(tracking: str) -> Iterator[Connection]:
    """A connection that only reads. Raises what ``mlflow_access.translated`` translates."""
    engine = _engine(tracking)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection  # each query for itself: one that reads for a minute would keep the writer of a file waiting


def _engine(tracking: str) -> Engine:
    import sqlite3

    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    if (file := tracking.removeprefix("sqlite:///")) == tracking:
        return create_engine(tracking, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS})
    uri = f"{Path(file).absolute().as_uri()}?mode=ro"
    return create_engine("sqlite://", poolclass=NullPool, creator=lambda: sqlite3.connect(uri, uri=True))


def heads(connection: Connection, study: str) -> list[Head]:
    """Every run of a trial, the oldest first."""
    from sqlalchemy import text

    found = []
    for run, status, stage, end, trial, record, ending in connection.execute(text(_HEADS), {"study": study}):
        ended = stage == "active" and status in ("FINISHED", "FAILED")
        whole = bool(ended and trial and record and ending)
        found.append(Head(run, trial or "", f"{status} {end} {record} {ending}", whole, end))
    return found


def active(
    connection: Connection, experiment_id: str, tags: Collection[str], metrics: Collection[str]
) -> Iterator[tuple[str, str, Values, Values]]:
    """Id, status, and of these tags and metrics those that it has, of every run that is not deleted, the newest first:
    what ``search_runs`` says of them, which takes 1.6 ms per run."""
    from sqlalchemy import bindparam, text

    own = {"experiment": int(experiment_id)}
    found: list[dict[str, Values]] = []
    for table, keys in (("tags", tags), ("latest_metrics", metrics)):
        query = text(_SOME_OF_ALL.format(table)).bindparams(bindparam("keys", expanding=True))
        of_table: dict[str, Values] = {}
        for run, key, value in connection.execute(query, {**own, "keys": list(keys)}):
            of_table.setdefault(run, {})[intern(key)] = value
        found.append(of_table)
    for run, status in connection.execute(text(_ACTIVE), own):
        yield run, status, found[0].get(run, {}), found[1].get(run, {})


def values(connection: Connection, runs: Iterable[Head]) -> Iterator[tuple[Head, Values, Values, Values]]:
    """Tags, params and latest metrics of runs; one that was removed a moment ago has none."""
    for own in batched(runs, RUNS_AT_ONCE):
        ids = [run.run_id for run in own]
        tags, params, metrics = (_values(connection, name, ids) for name in ("tags", "params", "latest_metrics"))
        for run in own:
            yield run, tags[run.run_id], params[run.run_id], metrics[run.run_id]


def _values(connection: Connection, table: str, ids: list[str]) -> dict[str, Values]:
    """Keys and values of some runs, by the id of the run."""
    found: dict[str, Values] = {run: {} for run in ids}
    for run, key, value in connection.execute(_with_ids(_VALUES.format(table)), {"runs": ids}):
        found[run][intern(key)] = value
    return found


def points(connection: Connection, runs: Iterable[Head]) -> Iterator[tuple[Head, Points]]:
    """``(epoch, value, milliseconds)`` of what is logged epoch by epoch, run by run and metric by metric."""
    for own in batched(runs, RUNS_AT_ONCE):
        ids = [run.run_id for run in own]
        found: dict[str, dict[str, list[tuple[int, float, int]]]] = {run: {} for run in ids}
        for run, key, step, value, time, is_nan in connection.execute(_with_ids(_POINTS), {"runs": ids}):
            found[run].setdefault(key, []).append((step, float("nan") if is_nan else value, time))
        yield from ((run, found[run.run_id]) for run in own)


def _with_ids(query: str) -> Any:
    from sqlalchemy import bindparam, text

    return text(query).bindparams(bindparam("runs", expanding=True))
