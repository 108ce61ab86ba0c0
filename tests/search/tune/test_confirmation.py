"""Confirmation with the real Ray and MLflow: killed and resumed, more seeds, what is logged; a stub trains."""

from __future__ import annotations

import signal
from pathlib import Path
from statistics import median

import pandas as pd
import pytest
from helpers.drivers import in_journal, ray_address, start, undisturbed
from helpers.stub_study import TRAIN, logged, write_study
from mlflow import MlflowClient
from rich.console import Console
from typer.testing import CliRunner

from search import study
from search.cli import app
from search.planning.plan import plan
from search.tune import tuner
from search.tune.tuner import Outcome
from search.tune.view import View


def run(path: Path) -> tuple[Outcome, str]:
    console = Console(record=True, width=250, file=open("/dev/null", "w"))  # noqa: SIM115
    outcome = tuner.run(study.load(path), view=View(console, seconds=0), train=TRAIN)
    return outcome, console.export_text(clear=False)


def exported(path: Path) -> pd.DataFrame:
    out = path.parent / "runs.csv"
    done = CliRunner().invoke(app, ["export", str(path), "--out", str(out)])
    assert done.exit_code == 0, done.output
    return pd.read_csv(out)


def summary(folder: Path) -> dict[str, float]:
    client = MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("stub").experiment_id
    (cell,) = client.search_runs([experiment], "tags.`aot.kind` = 'cell'")
    return cell.data.metrics


@pytest.mark.usefixtures("ray_two_cpus")
def test_a_confirmation_from_a_driver_that_is_killed_to_the_report(tmp_path: Path) -> None:
    path = write_study(tmp_path, seeds=[0], confirm=2)
    driver = start(path, address=ray_address(), die="append")  # in the middle of its third result
    driver.communicate(timeout=300)
    assert driver.returncode == -signal.SIGKILL
    searched = {trial.id: undisturbed(trial) for trial in plan(study.load(path)).trials}
    assert in_journal(study.load(path)).keys() == searched.keys(), "the search was over, the confirmation begun"

    outcome, text = run(path)
    assert outcome == Outcome(skipped=2, confirmed=2)
    assert "2 trials in 1 cells, 2 of them done before; 0 to train, then 2 that confirm what is selected" in text
    assert "minilm · demo/sentiment · bitfit: what is selected is confirmed on 2 fresh seeds" in text
    outcome, _ = run(write_study(tmp_path, seeds=[0], confirm=3))
    assert outcome == Outcome(skipped=2, confirmed=1, confirmed_before=2)
    outcome, _ = run(write_study(tmp_path, seeds=[0]))
    assert outcome == Outcome(skipped=2), "it is not asked for any more"

    runs = {trial_id: one for trial_id, (one,) in logged(tmp_path).items()}
    fresh = {i: one for i, one in runs.items() if one["tags"].get("aot.role") == "confirmation"}
    assert runs.keys() - fresh.keys() == searched.keys()
    assert sorted(one["params"]["seed"] for one in fresh.values()) == ["1000", "1001", "1002"]
    best = max(searched.values(), key=lambda result: result.score or 0.0)
    assert {one["tags"]["aot.assignment_id"] for one in fresh.values()} == {
        runs[best.trial_id]["tags"]["aot.assignment_id"]
    }
    metrics = summary(tmp_path)
    assert (metrics["n_trials"], metrics["n_planned"], metrics["best_seeds"]) == (2, 2, 1)
    assert metrics["best_median"] == best.score
    assert metrics["confirmed_seeds"] == 3
    assert metrics["confirmed_median"] == median(one["metrics"]["score"] for one in fresh.values())

    table = exported(path)
    assert dict(zip(table["trial_id"], table["role"], strict=True)) == {
        **dict.fromkeys(searched, "search"), **dict.fromkeys(fresh, "confirmation"),
    }  # fmt: skip
    assert set(table["in_study"]) == {True}
    assert set(table["planned_in_cell"]) == {2}
    assert dict(zip(table["trial_id"], table["run_id"], strict=True)) == {i: one["id"] for i, one in runs.items()}
    (tmp_path / "runs" / "stub" / "journal.jsonl").rename(tmp_path / "aside")
    pd.testing.assert_frame_equal(exported(path), table, check_exact=True)
    done = CliRunner().invoke(app, ["report", str(path), "--out", str(tmp_path / "report")])
    assert done.exit_code == 0, done.output
    assert "other versions" not in done.output
    results = pd.read_csv(tmp_path / "report" / "tables" / "results.csv")
    assert (results["median"].tolist(), results["n_seeds"].tolist()) == ([best.score], [1])


@pytest.mark.usefixtures("ray_two_cpus")
def test_what_fails_in_a_confirmation_is_told_and_trained_again(tmp_path: Path) -> None:
    path = write_study(tmp_path, defaults={"learning_rate": [1e-3], "batch_size": [16]}, seeds=[0])
    assert run(path)[0] == Outcome(finished=1)
    path = write_study(
        tmp_path, {"fails": 1e-3}, defaults={"learning_rate": [1e-3], "batch_size": [16]}, seeds=[0], confirm=2
    )
    outcome, _ = run(path)
    assert outcome == Outcome(failed=2, skipped=1)
    assert outcome.reasons == {"lasting": ["ValueError: the stub was asked to fail"] * 2}
    (tmp_path / "runs" / "stub" / "stub.json").write_text("{}")
    assert run(path)[0] == Outcome(skipped=1, confirmed=2)
