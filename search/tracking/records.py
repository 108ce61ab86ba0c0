"""What is known of a study's trials before any is trained: from its journal, and from MLflow.

The journal counts where both know a trial. Nothing is created: where there is neither journal nor database, nothing is
known.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from common.uris import masked
from search._words import Say
from search.tracking import journal
from search.tracking.journal import Entry, local_folder
from search.tracking.mlflow_access import AwayError, cell_of, client, translated
from trainables.trial import CellKey

Curve = tuple[tuple[int, float, float, float], ...]  # epoch, score, train_loss, seconds


@dataclass(frozen=True)
class TrialRecord:
    """How a trial ended, by the journal or by MLflow. ``entry_digest`` names its line in the journal.

    ``seconds`` are the trial's own, of a pack those of the whole divided by its members. ``history`` holds what it
    reached in each epoch; it is empty where MLflow was not asked for it.
    """

    status: str
    entry_digest: str
    cell: CellKey
    assignment_id: str
    seed: int
    hyperparameters: Mapping[str, Any]
    score: float | None = None
    seconds: float = 0.0
    epochs: int = 0
    trainable_parameters: int | None = None
    history: Curve = field(default=(), repr=False)

    @classmethod
    def of(cls, entry: Entry) -> TrialRecord:
        """What a line of the journal says."""
        return cls(
            entry.status, entry.digest, entry.cell, entry.assignment_id, entry.seed, entry.hyperparameters,
            entry.score, entry.seconds, len(entry.history), entry.trainable_parameters, entry.history,
        )  # fmt: skip


def read_records(study: str, folder: str, tracking: str, say: Say, *, curves: bool = False) -> dict[str, TrialRecord]:
    """Everything that is known of a study's trials that ended, by trial id.

    ``curves``: with what each reached epoch by epoch, also where only MLflow knows it. A server that does not answer is
    told to ``say``, and the journal counts alone. Raises RefusedError where a server does not let this user read.
    """
    written = in_journal(local_folder(folder), say)
    return (logged(study, tracking, say, curves=curves, written=written) or {}) | written


def in_journal(folder: Path, say: Say) -> dict[str, TrialRecord]:
    """The latest line of every trial, by trial id."""
    return {entry.trial_id: TrialRecord.of(entry) for _, _, entry in journal.read(folder / journal.FILE_NAME, say)}


def logged(
    study: str, tracking: str, say: Say, *, curves: bool = False, written: Collection[str] = ()
) -> dict[str, TrialRecord] | None:
    """Every trial whose run in MLflow has ended, by trial id; None where it does not answer, which ``say`` hears of.

    ``curves``: of all trials but the ``written`` ones, which the journal has.
    """
    database = tracking.removeprefix("sqlite:///")
    if database != tracking:
        return _in_sqlite(Path(database), study, say, curves, written)
    return _in_mlflow(tracking, study, say, curves, written)


# --- SQLite: from its tables; importing MLflow takes seconds, asking it 1.6 ms per run, and it would create the file

_RUNS = """
    SELECT runs.run_uuid FROM runs JOIN experiments USING (experiment_id)
    JOIN tags AS kind ON kind.run_uuid = runs.run_uuid AND kind.key = 'aot.kind' AND kind.value = 'trial'
    WHERE experiments.name = ? AND runs.lifecycle_stage = 'active' AND runs.status IN ('FINISHED', 'FAILED')
"""


def _in_sqlite(
    database: Path, study: str, say: Say, curves: bool, written: Collection[str]
) -> dict[str, TrialRecord] | None:
    if not database.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = _rows(connection, study)
            missing = curves and any(row["tags"].get("aot.trial_id") not in written for row in rows.values())
            points = _points(connection, study) if missing else {}
    except sqlite3.Error as error:
        say(f"{database} cannot be read ({error}); the journal alone says what is finished")
        return None
    found = (_of_run(row["tags"], row["params"], row["metrics"], points.get(run, {})) for run, row in rows.items())
    return dict(pair for pair in found if pair)


def _rows(connection: sqlite3.Connection, study: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Tags, params and latest metrics of every run, by run id."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for kind, table in (("tags", "tags"), ("params", "params"), ("metrics", "latest_metrics")):
        query = f"SELECT run_uuid, key, value FROM {table} WHERE run_uuid IN ({_RUNS})"
        for run, key, value in connection.execute(query, (study,)):
            rows.setdefault(run, {"tags": {}, "params": {}, "metrics": {}})[kind][key] = value
    return rows


def _points(connection: sqlite3.Connection, study: str) -> dict[str, dict[str, list[tuple[int, float, int]]]]:
    """``(epoch, value, milliseconds)`` of what is logged epoch by epoch, by run id and metric."""
    query = f"""SELECT run_uuid, key, step, value, timestamp, is_nan FROM metrics
                WHERE key IN ('dev_score', 'train_loss') AND run_uuid IN ({_RUNS})"""
    points: dict[str, dict[str, list[tuple[int, float, int]]]] = {}
    for run, key, step, value, timestamp, is_nan in connection.execute(query, (study,)):
        reached = float("nan") if is_nan else value
        points.setdefault(run, {}).setdefault(key, []).append((step, reached, timestamp))
    return points


# --- any other store: through MLflow ---------------------------------------------------------------------------------


def _in_mlflow(
    tracking: str, study: str, say: Say, curves: bool, written: Collection[str]
) -> dict[str, TrialRecord] | None:
    from search.tracking.mlflow_writer import search_runs

    try:
        with translated(study, tracking, "READ"):
            store = client(tracking)
            experiment = store.get_experiment_by_name(study)
            if experiment is None:
                return {}
            ended = [
                run
                for run in search_runs(store, experiment.experiment_id, "tags.`aot.kind` = 'trial'")
                if run.info.status in ("FINISHED", "FAILED")
            ]
            asked = [run.info.run_id for run in ended if curves and run.data.tags.get("aot.trial_id") not in written]
            points = {run_id: _histories(store, run_id) for run_id in asked}  # two requests each
    except AwayError as error:
        say(f"MLflow at {masked(tracking)} cannot be read ({error}); the journal alone says what is finished")
        return None
    found = (_of_run(r.data.tags, r.data.params, r.data.metrics, points.get(r.info.run_id, {})) for r in ended)
    return dict(pair for pair in found if pair)


def _histories(client: Any, run_id: str) -> dict[str, list[tuple[int, float, int]]]:
    names = ("dev_score", "train_loss")
    return {n: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run_id, n)] for n in names}


# --- both ------------------------------------------------------------------------------------------------------------


def _of_run(
    tags: Mapping[str, str],
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    points: Mapping[str, Collection[tuple[int, float, int]]],
) -> tuple[str, TrialRecord] | None:
    """A trial from its run, as ``mlflow_writer.py`` wrote it; None where that was not brought to its end."""
    if "aot.status" not in tags or "aot.record" not in tags:
        return None
    own = {k: v for k, v in params.items() if k != "seed" and not k.startswith("protocol.")}
    seconds = metrics.get("seconds", 0.0)
    return tags["aot.trial_id"], TrialRecord(
        status=tags["aot.status"],
        entry_digest=tags["aot.record"],
        cell=cell_of(tags),
        assignment_id=tags["aot.assignment_id"],
        seed=int(params["seed"]),
        hyperparameters={name: _value(text) for name, text in own.items()},
        score=metrics.get("score"),
        seconds=seconds,
        epochs=int(metrics.get("epochs", 0)),
        trainable_parameters=int(size) if (size := metrics.get("trainable_parameters")) is not None else None,
        history=tuple(_curve(points, seconds, int(metrics.get("epochs", 0)))),
    )


def _latest(points: Collection[tuple[int, float, int]]) -> dict[int, tuple[float, int]]:
    """Value and time of each step. A trial that was trained again has both its curves in one run: the later counts."""
    return {step: (value, time) for step, value, time in sorted(points, key=lambda point: point[2])}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _curve(
    points: Mapping[str, Collection[tuple[int, float, int]]], seconds: float, epochs: int
) -> Iterator[tuple[int, float, float, float]]:
    """The epochs of a run. MLflow keeps the times; the first one is as long as the others leave of the sum."""
    losses = {step: value for step, (value, _) in _latest(points.get("train_loss", ())).items()}
    scores = [(step, *point) for step, point in sorted(_latest(points.get("dev_score", ())).items()) if step <= epochs]
    lengths = [(after[2] - before[2]) / 1_000 for before, after in pairwise(scores)]
    first = max(0.0, seconds - sum(lengths))
    for (step, value, _), length in zip(scores, [first, *lengths], strict=False):
        yield step, value, losses.get(step, float("nan")), length
