"""A study's trials as MLflow has them: a SQLite file from its own tables, any other store through MLflow."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from common.uris import masked
from search._words import Say
from search.tracking._record import TEXT_SHARES, TrialRecord
from search.tracking.mlflow_access import AwayError, cell_of, client, is_empty, translated


@dataclass(frozen=True)
class Logged:
    """``records``: the trials whose run has ended, by id. ``begun``: ids of runs without a result, or deleted."""

    records: dict[str, TrialRecord] = field(default_factory=dict)
    begun: frozenset[str] = frozenset()

    def lacks(self, trial_id: str, record: TrialRecord) -> bool:
        """Whether what the journal says of a trial is not there."""
        return trial_id not in self.records or self.records[trial_id].entry_digest != record.entry_digest


def logged(
    study: str, tracking: str, say: Say, *, curves: bool = False, written: Collection[str] = ()
) -> Logged | None:
    """Every trial that MLflow has a run of; None where it does not answer, which ``say`` hears of.

    ``curves``: of all trials but the ``written`` ones, which the journal has.
    """
    database = tracking.removeprefix("sqlite:///")
    if database != tracking:
        return _in_sqlite(Path(database), study, say, curves, written)
    return _in_mlflow(tracking, study, say, curves, written)


# --- SQLite: from its tables; importing MLflow takes seconds, asking it 1.6 ms per run, and it would create the file

_ALL = """
    SELECT runs.run_uuid FROM runs JOIN experiments USING (experiment_id)
    JOIN tags AS kind ON kind.run_uuid = runs.run_uuid AND kind.key = 'aot.kind' AND kind.value = 'trial'
    WHERE experiments.name = ?
"""
_ENDED = "runs.lifecycle_stage = 'active' AND runs.status IN ('FINISHED', 'FAILED')"
_RUNS = f"{_ALL} AND {_ENDED}"


def _in_sqlite(database: Path, study: str, say: Say, curves: bool, written: Collection[str]) -> Logged | None:
    if not database.exists():
        return Logged()
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = _rows(connection, study)
            missing = curves and any(row["tags"].get("aot.trial_id") not in written for row in rows.values())
            points = _points(connection, study) if missing else {}
            query = f"SELECT value FROM tags WHERE key = 'aot.trial_id' AND run_uuid IN ({_ALL} AND NOT ({_ENDED}))"
            begun = [trial_id for (trial_id,) in connection.execute(query, (study,))]
    except sqlite3.Error as error:
        say(f"{database} cannot be read ({error}); the journal alone says what is finished")
        return None
    parts = (
        (i, row["ended"], row["tags"], row["params"], row["metrics"], points.get(i, {})) for i, row in rows.items()
    )
    return _logged(parts, begun)


def _rows(connection: sqlite3.Connection, study: str) -> dict[str, dict[str, Any]]:
    """End, tags, params and latest metrics of every run that has ended, by run id, the oldest first."""
    rows: dict[str, dict[str, Any]] = {}
    query = f"SELECT run_uuid, end_time FROM runs WHERE run_uuid IN ({_RUNS}) ORDER BY start_time"
    for run, ended in connection.execute(query, (study,)):
        rows[run] = {"ended": ended, "tags": {}, "params": {}, "metrics": {}}
    for kind, table in (("tags", "tags"), ("params", "params"), ("metrics", "latest_metrics")):
        query = f"SELECT run_uuid, key, value FROM {table} WHERE run_uuid IN ({_RUNS})"
        for run, key, value in connection.execute(query, (study,)):
            if run in rows:  # another one may have ended between two queries
                rows[run][kind][key] = value
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


def _in_mlflow(tracking: str, study: str, say: Say, curves: bool, written: Collection[str]) -> Logged | None:
    from search.tracking.mlflow_writer import search_runs

    try:
        with translated(study, tracking, "READ"):
            if is_empty(tracking):
                return Logged()
            store = client(tracking)
            experiment = store.get_experiment_by_name(study)
            if experiment is None:
                return Logged()
            runs = list(search_runs(store, experiment.experiment_id, "tags.`aot.kind` = 'trial'", deleted=True))
            ended = [run for run in reversed(runs) if _has_ended(run.info)]  # the oldest first
            asked = [run.info.run_id for run in ended if curves and run.data.tags.get("aot.trial_id") not in written]
            points = {run_id: _histories(store, run_id) for run_id in asked}  # two requests each
    except AwayError as error:
        say(f"MLflow at {masked(tracking)} cannot be read ({error}); the journal alone says what is finished")
        return None
    begun = [run.data.tags.get("aot.trial_id", "") for run in runs if not _has_ended(run.info)]
    named = ((run.info.run_id, run.info.end_time, run.data) for run in ended)
    parts = ((i, end, data.tags, data.params, data.metrics, points.get(i, {})) for i, end, data in named)
    return _logged(parts, begun)


def _has_ended(info: Any) -> bool:
    return info.lifecycle_stage == "active" and info.status in ("FINISHED", "FAILED")


def _histories(client: Any, run_id: str) -> dict[str, list[tuple[int, float, int]]]:
    names = ("dev_score", "train_loss")
    return {n: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run_id, n)] for n in names}


# --- both ------------------------------------------------------------------------------------------------------------


Points = Mapping[str, Collection[tuple[int, float, int]]]


#: Its id, its end in milliseconds since 1970, tags, params, latest metrics, points.
Run = tuple[str, int | None, Mapping[str, str], Mapping[str, str], Mapping[str, float], Points]


def _logged(runs: Iterable[Run], begun: Iterable[str]) -> Logged:
    """Of several runs of a trial the last one counts; a run that was not brought to its end has but begun."""
    records, without = {}, set(begun)
    for run in runs:
        tags = run[2]
        if "aot.status" in tags and "aot.record" in tags:
            records[tags["aot.trial_id"]] = _of_run(run)
        else:
            without.add(tags.get("aot.trial_id", ""))
    return Logged(records, frozenset(without - records.keys()))


def _of_run(run: Run) -> TrialRecord:
    """A trial from its run, as ``mlflow_writer.py`` wrote it."""
    run_id, ended, tags, params, metrics, points = run
    own = {k: v for k, v in params.items() if k != "seed" and not k.startswith("protocol.")}
    protocol = {k.removeprefix("protocol."): _value(v) for k, v in params.items() if k.startswith("protocol.")}
    seconds = metrics.get("seconds", 0.0)
    return TrialRecord(
        status=tags["aot.status"],
        entry_digest=tags["aot.record"],
        cell=cell_of(tags),
        assignment_id=tags["aot.assignment_id"],
        seed=int(params["seed"]),
        hyperparameters={name: _value(text) for name, text in own.items()},
        score=metrics.get("score"),
        seconds=seconds,
        epochs=int(metrics.get("epochs", 0)),
        trainable_parameters=_whole(metrics.get("trainable_parameters")),
        history=tuple(_curve(points, seconds, int(metrics.get("epochs", 0)))),
        benchmark=tags["aot.benchmark"],
        best_epoch=_whole(metrics.get("best_epoch")),
        protocol=protocol,
        search={name: tags[f"aot.{name}"] for name in ("strategy", "promotion", "role") if tags.get(f"aot.{name}")},
        text={name: metrics[name] for name in TEXT_SHARES if name in metrics},
        pack_size=_whole(tags.get("aot.pack_size")),
        device=tags.get("aot.device", ""),
        git_commit=tags.get("aot.git_commit", ""),
        result_version=_whole(tags.get("aot.result_version")),
        majority=metrics.get("majority"),
        versions=json.loads(tags.get("aot.versions") or "{}"),
        reason=tags.get("aot.reason", ""),
        ended=None if ended is None else ended // 1_000,
        run_id=run_id,
    )


def _whole(value: float | str | None) -> int | None:
    return int(value) if value not in (None, "") else None


def _latest(points: Collection[tuple[int, float, int]]) -> dict[int, tuple[float, int]]:
    """Value and time of each step. A trial that was trained again has both its curves in one run: the later counts."""
    return {step: (value, time) for step, value, time in sorted(points, key=lambda point: point[2])}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _curve(points: Points, seconds: float, epochs: int) -> Iterator[tuple[int, float, float, float]]:
    """The epochs of a run. MLflow keeps the times; the first one is as long as the others leave of the sum."""
    losses = {step: value for step, (value, _) in _latest(points.get("train_loss", ())).items()}
    scores = [(step, *point) for step, point in sorted(_latest(points.get("dev_score", ())).items()) if step <= epochs]
    lengths = [(after[2] - before[2]) / 1_000 for before, after in pairwise(scores)]
    first = max(0.0, seconds - sum(lengths))
    for (step, value, _), length in zip(scores, [first, *lengths], strict=False):
        yield step, value, losses.get(step, float("nan")), length
