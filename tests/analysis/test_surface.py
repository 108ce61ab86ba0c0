"""What others read of the analysis: the columns of every file for machines, as ``surface.txt`` beside this has them.

A column that appears or goes is a change for whoever reads these files: change the list on purpose, docs/reports.md
where it names the column, and CHANGELOG.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from helpers.stub_study import copy_database
from typer.testing import CliRunner

from analysis.frame import tidy
from analysis.report import write_report
from search.cli import app

STUDY = """
study: surface
backbones: [{source: FacebookAI/roberta-base, name: base}]
tasks: [demo/sentiment]
methods: {lora: {rank: 2}}
defaults: {batch_size: 16, learning_rate: 1.0e-3}
seeds: 1
"""


def frozen() -> dict[str, list[str]]:
    """The columns by file; ``hp.NAME`` stands for one column per hyperparameter."""
    lines = (Path(__file__).parent / "surface.txt").read_text().splitlines()
    return {name: columns.split() for name, columns in (line.split(":") for line in lines)}


def columns(table: pd.DataFrame) -> list[str]:
    """The columns of a table, those of all hyperparameters as one."""
    return list(dict.fromkeys("hp.NAME" if name.startswith("hp.") else name for name in table.columns))


def test_the_columns_of_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``aot export`` on a store of one trial, which an adaptive search proposed and promoted."""
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy_database(tmp_path)
    study = tmp_path / "surface.yaml"
    study.write_text(STUDY + f"storage: {tmp_path / 'runs'}\n")
    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    names = ("benchmark", "backbone", "task", "method", "assignment_id", "trial_id")
    tags = {f"aot.{name}": name for name in names} | {"aot.kind": "trial", "aot.study": "surface"}
    tags |= {
        "aot.status": "finished",
        "aot.strategy": "tpe",
        "aot.promotion": "promoted",
        "aot.reason": "",
        "mine": "x",
    }
    run = client.create_run(client.create_experiment("surface"), tags=tags).info.run_id
    for name, value in {"seed": 0, "learning_rate": 1e-3, "rank": 2, "protocol.epochs": 3}.items():
        client.log_param(run, name, value)
    for name in ("score", "best_epoch", "epochs", "trainable_parameters", "seconds", "dev_score", "train_loss"):
        client.log_metric(run, name, 1.0)
    client.set_terminated(run)
    done = CliRunner().invoke(app, ["export", str(study), "--out", str(tmp_path / "runs.csv")])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "runs.csv")
    assert columns(table) == frozen()["runs.csv"]
    assert [name for name in table.columns if name.startswith("hp.")] == ["hp.learning_rate", "hp.rank"]


def test_the_columns_of_every_table_of_a_report(make_runs: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
    """On runs that have something for every report: several seeds, a promotion, a backbone of the paper's."""
    frame = make_runs(methods=("fine_tuning", "lora"), tasks=("rte", "cola"), seeds=2)
    frame = tidy(frame.assign(promotion=frame["seed"].map({0: "first", 1: "promoted"})))
    write_report(frame, tmp_path, paper=True)
    written = {path.name: columns(pd.read_csv(path)) for path in (tmp_path / "tables").glob("*.csv")}
    assert written == {name: listed for name, listed in frozen().items() if name != "runs.csv"}
