"""A study's journal in MLflow: what is there already, and how an entry gets there.

A trial is one child run, found again by its tag ``aot.trial_id``. Its tags ``aot.status`` and ``aot.record`` are set
when everything else is there, and the run is ended last: a run whose writer died on the way is completed, not
repeated, and a failed trial that was trained again keeps its run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.selection import Seed
from search._words import Say
from search.tracking import _as_run, _tables, about, journal, mlflow_front
from search.tracking._record import MOST_OF_A_REASON
from search.tracking._summary import Summary
from search.tracking.journal import Entry
from search.tracking.mlflow_access import cell_of, client, open_experiment
from search.tracking.named import FILE_NAME, Named
from trainables.trial import CellKey

PAGE = 1_000  # runs per request
METRICS_PER_REQUEST = 900  # MLflow takes 1,000
#: What the writer knows of a run that is there already.
_TAGS = tuple(f"aot.{name}" for name in ("kind", "trial_id", "record", "status", "backbone", "task", "method",
                                         "assignment_id", "role", "promotion"))  # fmt: skip
_METRICS = ("score", "trainable_parameters")


@dataclass(frozen=True)
class Settings:
    """Where the journal is, and where it goes."""

    folder: str
    tracking: str
    study: str


@dataclass
class LoggedRun:
    """A trial's run in MLflow; ``entry_digest`` names the entry that it holds whole, if it does."""

    run_id: str
    entry_digest: str | None


class Writer:
    """Brings the journal's entries into one experiment."""

    def __init__(self, settings: Settings) -> None:
        self.folder = Path(settings.folder)
        self.path = self.folder / journal.FILE_NAME
        self.study, self.tracking = settings.study, settings.tracking
        self.client = client(settings.tracking)
        self.experiment_id = ""
        self._created = 0  # when the experiment was made, in milliseconds
        self.runs: dict[str, LoggedRun] = {}
        self.cells: dict[CellKey, Summary] = {}
        self.todo: dict[str, int] = {}  # trial id -> where its latest line begins
        self._begins: dict[str, int] = {}  # trial id -> the same, of every line of the search that was read
        self._named: Named | None = None
        self._ids: set[str] = set()  # of the trials that the study names
        self._stamp = 0
        self._about = 0
        self._end = 0
        self._uncertain = False

    def connect(self) -> None:
        """Find or make the experiment, and see which runs it has."""
        experiment = open_experiment(self.client, self.study, self.tracking, self.folder)
        self.experiment_id, self._created = experiment.experiment_id, experiment.creation_time or 0
        parents = list(self._search("tags.`aot.kind` = 'cell'"))
        self._learn_all()
        self._look_who_is_named()
        for run in parents:
            summary = self._cell(cell_of(run.data.tags))
            summary.run_id, summary.logged = run.info.run_id, dict(run.data.metrics)
            summary.changed = summary.differs()

    def _search(self, condition: str) -> Iterator[Any]:
        return search_runs(self.client, self.experiment_id, condition)

    def _learn_all(self) -> None:
        """From a database's tables; a server sends its runs page by page, whole."""
        if not _tables.has_tables(self.tracking):
            for run in self._search("tags.`aot.kind` = 'trial'"):
                self._learn(run.info.run_id, run.info.status, run.data.tags, run.data.metrics)
            return
        with _tables.opened(self.tracking) as connection:
            for run_id, status, tags, metrics in _tables.active(connection, self.experiment_id, _TAGS, _METRICS):
                if tags.get("aot.kind") == "trial":
                    self._learn(run_id, status, tags, metrics)

    def _learn(self, run_id: str, status: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        ended = status in ("FINISHED", "FAILED") and "aot.status" in tags
        self.runs[tags["aot.trial_id"]] = LoggedRun(run_id, tags.get("aot.record") if ended else None)
        if ended:
            summary = self._cell(cell_of(tags))
            if tags.get("aot.role") == "confirmation":
                summary.fresh.add(tags["aot.trial_id"])
            summary.scores[tags["aot.trial_id"]] = Seed(
                tags["aot.assignment_id"],
                tags["aot.status"],
                metrics.get("score"),
                metrics.get("trainable_parameters"),
                tags.get("aot.promotion") == "promoted",
            )

    def _cell(self, cell: CellKey) -> Summary:
        if cell not in self.cells:
            self.cells[cell] = Summary()
            self._tell_who_is_named(cell)
        return self.cells[cell]

    def read(self, say: Say) -> None:
        """See what is new in the journal; the latest line of a trial counts."""
        for begin, end, entry in journal.read(self.path, say, self._end):
            self._end = end
            confirms = entry.search.get("role") == "confirmation"
            if not confirms:
                self._begins[entry.trial_id] = begin
            if self._named and begin >= self._named.since and not confirms:
                self._ids.add(entry.trial_id)
            logged = self.runs.get(entry.trial_id)
            if logged and logged.entry_digest == entry.digest:
                self.todo.pop(entry.trial_id, None)
            else:
                self.todo[entry.trial_id] = begin
            promoted = entry.search.get("promotion") == "promoted"
            seed = Seed(entry.assignment_id, entry.status, entry.score, entry.trainable_parameters, promoted)
            summary = self._cell(entry.cell)
            if confirms:
                summary.fresh.add(entry.trial_id)
            if summary.scores.get(entry.trial_id) != seed:
                summary.scores[entry.trial_id], summary.changed = seed, True

    def send_one(self) -> None:
        """Bring the oldest waiting entry into MLflow; it stays waiting if that fails."""
        trial_id = next(iter(self.todo))
        entry = journal.read_at(self.path, self.todo[trial_id])
        if self._uncertain:  # a request before this one failed, and may have been carried out all the same
            for run in self._search(f"tags.`aot.trial_id` = '{trial_id}'"):
                self._learn(run.info.run_id, run.info.status, run.data.tags, run.data.metrics)
        self._uncertain = True
        self._log(entry)
        self._uncertain = False
        del self.todo[trial_id]

    def refuse(self) -> str:
        """Give up on the oldest waiting entry, of which MLflow says that it is not valid."""
        trial_id = next(iter(self.todo))
        del self.todo[trial_id]
        self._uncertain = False
        return trial_id

    def _log(self, entry: Entry) -> None:
        tags = {"mlflow.parentRunId": self._parent(entry), **_as_run.trial_tags(entry)}
        logged = self.runs.get(entry.trial_id)
        if logged is None:
            start = _as_run.milliseconds(entry.time - entry.seconds)
            run = self.client.create_run(self.experiment_id, start, tags, _as_run.trial_name(entry))
            logged, tags = LoggedRun(run.info.run_id, None), {}
            self.runs[entry.trial_id] = logged
        else:
            tags["aot.reason"] = ""  # it may have failed before
            if logged.entry_digest is not None:
                self.client.update_run(logged.run_id, status="RUNNING")
        logged.entry_digest = None
        self._log_values(logged.run_id, entry, tags)
        status = "FAILED" if entry.status == "failed" else "FINISHED"
        self.client.set_terminated(logged.run_id, status, _as_run.milliseconds(entry.time))
        logged.entry_digest = entry.digest

    def _log_values(self, run_id: str, entry: Entry, tags: dict[str, str]) -> None:
        """Metrics, params and tags; of one request MLflow takes the tags last, so the status comes after the rest."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(*point) for point in _as_run.metrics(entry)]
        while len(metrics) > METRICS_PER_REQUEST:
            self.client.log_batch(run_id, metrics=metrics[:METRICS_PER_REQUEST])
            del metrics[:METRICS_PER_REQUEST]
        params = [Param(name, value) for name, value in _as_run.params(entry).items()]
        details = json.dumps(_as_run.details(entry))
        tags |= {"aot.details": details, "aot.status": entry.status, "aot.record": entry.digest}
        if entry.reason:
            tags["aot.reason"] = entry.reason[:MOST_OF_A_REASON]
        self.client.log_batch(run_id, metrics, params, [RunTag(name, value) for name, value in tags.items()])

    def _parent(self, entry: Entry) -> str:
        summary = self._cell(entry.cell)
        if summary.run_id is None:
            tags = _as_run.cell_tags(entry, "cell")
            conditions = [f"tags.`{k}` = '{_quoted(v)}'" for k, v in tags.items()] if self._uncertain else []
            run = next(self._search(" AND ".join(conditions)), None) if conditions else None
            if run is None:
                name = f"{entry.method} · {entry.task} · {entry.backbone}"
                # Cells start with the study, so that they come before all trials where MLflow sorts by time.
                start = min(self._created, _as_run.milliseconds(entry.time - entry.seconds)) - 1
                run = self.client.create_run(self.experiment_id, start, tags, name)
            summary.run_id = run.info.run_id
        return summary.run_id

    def summarise(self) -> None:
        """Update the parent runs of the cells that changed, also because the study names other trials now."""
        from mlflow.entities import Metric, RunTag

        self._look_who_is_named()
        self._dress()
        for summary in self.cells.values():
            if not summary.changed or summary.run_id is None:
                continue
            # MLflow shows the metric of the largest step: all trials, as the number of the study's own may fall.
            now, step = _as_run.milliseconds(time.time()), len(summary.scores)
            numbers = summary.metrics()
            metrics = [Metric(name, float(value), now, step) for name, value in numbers.items()]
            tags = [RunTag("aot.best_assignment_id", summary.best_assignment() or "")]
            self.client.log_batch(summary.run_id, metrics=metrics, tags=tags)
            self.client.set_terminated(summary.run_id, "FINISHED", now)
            summary.logged |= numbers
            summary.changed = False

    def _dress(self) -> None:
        """What people see of the experiment follows what the driver says of the study."""
        file = self.folder / about.FILE_NAME
        stamp = file.stat().st_mtime_ns if file.exists() else -1
        if stamp != self._about:
            text = file.read_text(encoding="utf-8") if stamp > 0 else None
            mlflow_front.dress(self.client, self.client.get_experiment(self.experiment_id), text)
            self._about = stamp

    def _look_who_is_named(self) -> None:
        """The study may have been edited since a cell was summarised."""
        file = self.folder / FILE_NAME
        stamp = file.stat().st_mtime_ns if file.exists() else 0
        if stamp == self._stamp:
            return
        self._stamp, self._named = stamp, Named.read(self.folder)
        if self._named is None:
            return
        since = self._named.since
        self._ids = {*self._named.trials, *(trial_id for trial_id, begin in self._begins.items() if begin >= since)}
        for cell, summary in self.cells.items():
            self._tell_who_is_named(cell)
            summary.changed = summary.changed or summary.differs()

    def _tell_who_is_named(self, cell: CellKey) -> None:
        if self._named is not None:
            summary = self.cells[cell]
            summary.named, summary.seeds = self._ids, self._named.seeds
            summary.planned = self._named.planned.get(cell, 0)


def search_runs(client: Any, experiment_id: str, condition: str, *, deleted: bool = False) -> Iterator[Any]:
    """All runs of an experiment that meet a condition, page by page, the newest first; also the ``deleted`` ones."""
    from mlflow.entities import ViewType

    view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], condition, view, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _quoted(value: str) -> str:
    return value.replace("'", "''")
