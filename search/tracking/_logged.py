"""A study's trials as MLflow has them: from the tables of a database, of any other store through MLflow.

Of many runs in a database, what they hold is kept in a file (``_cache.py``), and the database is asked for what tells
that a run has changed (``_listed.py``). A server has no such question: it sends a run whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from common.uris import masked
from search._words import Say, progress
from search.tracking import _cache, _listed, _tables
from search.tracking._record import TEXT_SHARES, TrialRecord
from search.tracking._tables import Head, Points
from search.tracking.mlflow_access import AwayError, cell_of, client, is_empty, translated

#: So many runs are read as fast from a database as from a file, and kept in none.
FEW = 500


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
    read = _in_tables if _tables.has_tables(tracking) else _in_mlflow
    try:
        with translated(study, tracking, "READ"):
            return read(tracking, study, say, curves, written)
    except AwayError as error:
        say(f"MLflow at {masked(tracking)} cannot be read ({error}); the journal alone says what is finished")
        return None


# --- SQLite and PostgreSQL: from their tables ------------------------------------------------------------------------


def _in_tables(tracking: str, study: str, say: Say, curves: bool, written: Collection[str]) -> Logged:
    if is_empty(tracking):
        return Logged()
    heads = _listed.heads(tracking, study, _cache.place(study, tracking, "listed"), FEW)
    whole = [head for head in heads if head.whole]
    runs = _whole_runs(tracking, _cache.place(study, tracking), whole, say)
    if curves:
        asked = [head for head in whole if head.run_id in runs and head.trial_id not in written]
        with _tables.opened(tracking) as connection:
            drawn = _tables.points(connection, asked)
            for head, points in progress(drawn, len(asked), "reading curves from MLflow", say):
                record = runs[head.run_id]
                runs[head.run_id] = replace(record, history=tuple(_curve(points, record.seconds, record.epochs)))
    records = {head.trial_id: runs[head.run_id] for head in whole if head.run_id in runs}  # of several the last counts
    return Logged(records, frozenset(head.trial_id for head in heads) - records.keys())


def _whole_runs(tracking: str, kept_in: Path, heads: list[Head], say: Say) -> dict[str, TrialRecord]:
    """What runs hold, by their ids and without curves: as it was kept of those that have not changed, else read."""
    kept = _cache.read(kept_in) if len(heads) > FEW else {}
    found = {head.run_id: kept[head.run_id] for head in heads if kept.get(head.run_id, ("",))[0] == head.mark}
    asked = [head for head in heads if head.run_id not in found]
    if asked:
        with _tables.opened(tracking) as connection:
            told = progress(_tables.values(connection, asked), len(asked), "reading trials from MLflow", say)
            for head, tags, params, metrics in told:
                if "aot.status" in tags:  # else it was removed a moment ago
                    found[head.run_id] = head.mark, _of_run(head.run_id, head.ended, tags, params, metrics, {})
    if len(asked) > FEW:
        _cache.write(kept_in, found)
    return {run: record for run, (_, record) in found.items()}


# --- any other store: through MLflow ---------------------------------------------------------------------------------


def _in_mlflow(tracking: str, study: str, say: Say, curves: bool, written: Collection[str]) -> Logged:
    from search.tracking.mlflow_writer import search_runs

    store = client(tracking)
    experiment = store.get_experiment_by_name(study)
    if experiment is None:
        return Logged()
    runs = list(search_runs(store, experiment.experiment_id, "tags.`aot.kind` = 'trial'", deleted=True))
    ended = [run for run in reversed(runs) if _has_ended(run.info)]  # the oldest first
    asked = [run.info.run_id for run in ended if curves and run.data.tags.get("aot.trial_id") not in written]
    points = {run_id: _histories(store, run_id) for run_id in asked}  # two requests each
    records, begun = {}, {run.data.tags.get("aot.trial_id", "") for run in runs}
    for run in ended:  # of several runs of a trial the last one counts
        tags, params, metrics = run.data.tags, run.data.params, run.data.metrics
        if "aot.status" in tags and "aot.record" in tags:  # else it was not brought to its end
            run_id, end = run.info.run_id, run.info.end_time
            records[tags["aot.trial_id"]] = _of_run(run_id, end, tags, params, metrics, points.get(run_id, {}))
    return Logged(records, frozenset(begun - records.keys()))


def _has_ended(info: Any) -> bool:
    return info.lifecycle_stage == "active" and info.status in ("FINISHED", "FAILED")


def _histories(client: Any, run_id: str) -> dict[str, list[tuple[int, float, int]]]:
    names = ("dev_score", "train_loss")
    return {n: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run_id, n)] for n in names}


# --- both ------------------------------------------------------------------------------------------------------------


def _of_run(
    run_id: str,
    ended: int | None,
    tags: Mapping[str, str],
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    points: Points,
) -> TrialRecord:
    """A trial from its run, as ``mlflow_writer.py`` wrote it. ``ended``: milliseconds since 1970."""
    details = json.loads(tags.get("aot.details", "{}"))
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
        pack_size=details.get("pack_size"),
        device=details.get("device", ""),
        git_commit=details.get("commit", ""),
        result_version=details.get("result_version"),
        majority=metrics.get("majority"),
        versions=details.get("versions", {}),
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
