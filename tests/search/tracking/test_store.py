"""Results on their way into real MLflow stores: SQLite, and a server that is away for a while."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.entries import HYPERPARAMETERS, problems, result, trial
from helpers.stub_study import logged
from mlflow import MlflowClient

from search._provenance import versions
from search.tracking.journal import UNSENT_NAME, Entry
from search.tracking.records import read_records
from search.tracking.store import Store
from trainables.trial import RESULT_VERSION, Epoch

ROOT = Path(__file__).parents[3]


@pytest.mark.cluster
class TestStore:
    def test_a_trial_in_mlflow(self, tmp_path: Path, store: Callable[..., Store], said: list[str]) -> None:
        """Names and places of everything, as the reports read them; in step with docs and ``analysis/frame.py``."""
        one, other = trial(), trial(1)
        with store() as opened:
            assert opened.records() == {}
            text = {"train_cut": 0.64, "dev_cut": 0.73, "train_unknown": 0.0, "dev_unknown": 0.01}
            opened.record(
                [
                    (one, replace(result(one), text=text, majority=52.7)),
                    (other, result(other, None, "failed", "ValueError: why")),
                ]
            )
        assert problems(said) == []
        runs = logged(tmp_path)
        (run,) = runs[one.id]
        tags = run["tags"]
        assert (run["run"], tags["aot.status"]) == ("FINISHED", "finished")
        assert tags["aot.kind"] == "trial"
        assert len([name for name in tags if not name.startswith("mlflow.")]) == 10, "few enough to look at"
        assert (tags["aot.benchmark"], tags["aot.task"], tags["aot.method"]) == ("glue", "glue/rte", "bitfit")
        assert (tags["aot.backbone"], tags["aot.assignment_id"]) == ("tiny", one.assignment_id)
        assert set(versions()) == {"python", "torch", "transformers", "ray", "aot-search"}
        assert {"score": 60.0, "best_epoch": 3.0, "epochs": 3.0, "seconds": 6.0}.items() <= run["metrics"].items()
        assert run["metrics"]["trainable_parameters"] == 100
        assert run["metrics"]["dev_accuracy"] == 0.5
        assert text.items() <= run["metrics"].items()
        assert run["metrics"]["majority"] == 52.7
        assert {k: run["params"][k] for k in ("seed", *HYPERPARAMETERS)} == {
            "seed": "0", "learning_rate": "0.001", "batch_size": "16", "a": "null", "deep": "true", "kind": "x",
        }  # fmt: skip
        assert run["params"]["protocol.patience"] == "2"
        details = json.loads(tags["aot.details"])
        found = details["pack_size"], details["device"], details["result_version"]
        assert found == (4, "cpu", RESULT_VERSION)
        assert details["versions"] == versions()
        history = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db").get_metric_history(run["id"], "dev_score")
        assert [(point.step, point.value) for point in history] == [(1, 58.0), (2, 59.0), (3, 60.0)]
        (failed,) = runs[other.id]
        assert (failed["run"], failed["tags"]["aot.status"]) == ("FAILED", "failed")
        assert failed["tags"]["aot.reason"] == "ValueError: why"
        assert "score" not in failed["metrics"]

    def test_the_writer_ends_while_the_caller_does_other_things(
        self, tmp_path: Path, store: Callable[..., Store], said: list[str]
    ) -> None:
        one = trial()
        with store() as opened:
            opened.expect_no_more()  # no writer yet
            opened.record([(one, result(one))])
            opened.expect_no_more()
            end = time.monotonic() + 120
            while (tmp_path / "runs" / "stub" / UNSENT_NAME).exists() or not logged(tmp_path, missing_ok=True):
                assert time.monotonic() < end
                time.sleep(0.2)
        assert set(logged(tmp_path)) == {one.id}
        assert problems(said) == []

    def test_what_is_known(self, tmp_path: Path, store: Callable[..., Store]) -> None:
        """The journal and MLflow tell the same of each trial, down to the curve."""
        trials = [trial(seed) for seed in range(4)]
        ends = ("finished", "diverged", "pruned", "failed")
        lines = (52.7, 0.0, 52.7, None)
        with store() as opened:
            opened.record(
                [
                    (t, replace(result(t, 50.0, status), majority=line))
                    for t, status, line in zip(trials, ends, lines, strict=True)
                ]
            )
        uri = f"sqlite:///{tmp_path}/runs/mlflow.db"
        folder = tmp_path / "runs" / "stub"
        written = read_records("stub", str(folder), uri, pytest.fail)
        assert [written[t.id].status for t in trials] == list(ends)
        assert [written[t.id].majority for t in trials] == list(lines)
        first = written[trials[0].id]
        assert (first.cell, first.seed, first.score) == (("tiny", "glue/rte", "bitfit"), 0, 50.0)
        assert first.hyperparameters == dict(HYPERPARAMETERS)
        assert first.assignment_id == trials[0].assignment_id
        (folder / "journal.jsonl").rename(tmp_path / "aside")
        by_mlflow = read_records("stub", str(folder), uri, pytest.fail, curves=True)
        assert {i: replace(k, history=()) for i, k in by_mlflow.items()} == {
            i: replace(k, history=()) for i, k in written.items()
        }, "MLflow alone knows it"
        for i, k in by_mlflow.items():
            assert k.history == tuple(pytest.approx(point, abs=2e-3) for point in written[i].history)
        assert not read_records("stub", str(folder), uri, pytest.fail)[trials[0].id].history, "curves on request"
        assert read_records("other", str(folder), uri, pytest.fail) == {}
        (tmp_path / "aside").rename(folder / "journal.jsonl")
        Path(tmp_path / "runs" / "mlflow.db").unlink()
        alone = read_records("stub", str(folder), uri, pytest.fail)
        assert alone == {i: replace(k, run_id="") for i, k in written.items()}, "the journal alone knows it"
        assert not (tmp_path / "runs" / "mlflow.db").exists(), "asking creates nothing"

    def test_curves_are_asked_for_where_the_journal_has_none(
        self, tmp_path: Path, store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trials = [trial(seed) for seed in range(3)]
        with store() as opened:
            opened.record([(t, result(t)) for t in trials])
        asked: list[str] = []
        ask = MlflowClient.get_metric_history

        def counted(client: MlflowClient, run_id: str, name: str) -> Any:
            asked.append(name)
            return ask(client, run_id, name)

        monkeypatch.setattr(MlflowClient, "get_metric_history", counted)
        folder = tmp_path / "runs" / "stub"
        lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
        for left, requests in ((3, 0), (2, 2), (0, 8)):
            (folder / "journal.jsonl").write_bytes(b"".join(lines[:left]))
            for uri in ("sqlite+pysqlite", "sqlite"):  # by MLflow, and from the database itself
                found = read_records(
                    "stub", str(folder), f"{uri}:///{tmp_path}/runs/mlflow.db", pytest.fail, curves=True
                )
                assert {i: len(k.history) for i, k in found.items()} == {t.id: 3 for t in trials}
            assert len(asked) == requests

    def test_the_curve_of_a_trial_that_was_trained_again_is_the_later_one(
        self, tmp_path: Path, store: Callable[..., Store]
    ) -> None:
        one = trial()
        early = replace(result(one, 50.0, "failed"), history=tuple(Epoch(n, 40.0, 1.0, 1.0) for n in (1, 2, 3, 4)))
        with store() as opened:
            opened.record([(one, early)])
        with store() as opened:
            opened.record([(one, result(one))])
        (tmp_path / "runs" / "stub" / "journal.jsonl").unlink()
        found = read_records(
            "stub", str(tmp_path / "runs" / "stub"), f"sqlite:///{tmp_path}/runs/mlflow.db", pytest.fail, curves=True
        )
        assert [point[:2] for point in found[one.id].history] == [(1, 58.0), (2, 59.0), (3, 60.0)]

    def test_where_nothing_is_there_nothing_is_made(self, tmp_path: Path) -> None:
        assert read_records("s", str(tmp_path / "runs" / "s"), f"sqlite:///{tmp_path}/mlflow.db", pytest.fail) == {}
        assert list(tmp_path.iterdir()) == []

    def test_the_origin_of_a_trial(self, tmp_path: Path, store: Callable[..., Store]) -> None:
        one = trial()
        with store() as opened:
            opened.record([(one, result(one))], lambda _: {"strategy": "tpe", "promotion": "first"})
        (run,) = logged(tmp_path)[one.id]
        assert (run["tags"]["aot.strategy"], run["tags"]["aot.promotion"]) == ("tpe", "first")
        assert b'"search":{' in (tmp_path / "runs" / "stub" / "journal.jsonl").read_bytes()
        assert b"search" not in Entry.of("stub", one, result(one), {}, "").line(), "plain lines stay as they were"

    def test_a_summary_speaks_of_the_trials_that_the_study_names(
        self, tmp_path: Path, store: Callable[..., Store], said: list[str]
    ) -> None:
        """One trial of an earlier version scored best; then a study without it, and then one without the cell."""
        old, *trials = [trial(seed, rate) for rate, seed in ((9e-3, 0), (1e-3, 0), (1e-3, 1))]
        client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")

        def summary() -> tuple[dict[str, float], str]:
            experiment = client.get_experiment_by_name("stub").experiment_id
            (run,) = client.search_runs([experiment], "tags.`aot.kind` = 'cell'")
            return run.data.metrics, run.data.tags["aot.best_assignment_id"]

        with store() as opened:
            opened.records()
            opened.name([old.id], {old.cell: 1}, 1)
            opened.record([(old, result(old, 99.0))])
        assert summary()[0]["best_median"] == 99
        with store() as opened:
            opened.records()
            opened.name([t.id for t in trials], {old.cell: 4}, 2)
            opened.record([(t, result(t, 60.0 + t.seed)) for t in trials])
        metrics, best = summary()
        assert (metrics["n_trials"], metrics["n_planned"], metrics["n_finished"]) == (2, 4, 2)
        assert (metrics["best_median"], metrics["best_seeds"]) == (60.5, 2)
        assert best == trials[0].assignment_id
        with store() as opened:
            opened.records()
            opened.name([trials[1].id], {old.cell: 1}, 2)
        assert summary()[0]["best_median"] == 61, "there was nothing to train, and still it was told"
        with store() as opened:
            opened.records()
            opened.name([], {}, 2)
        metrics, best = summary()
        assert (metrics["n_trials"], metrics["n_planned"], best) == (0, 0, "")
        assert metrics["best_median"] != metrics["best_median"], "MLflow forgets no metric"
        assert problems(said) == []

    def test_trials_that_an_adaptive_search_decides_on_later_are_the_studys(
        self, tmp_path: Path, store: Callable[..., Store]
    ) -> None:
        old, new = trial(0), trial(1)
        with store() as opened:
            opened.records()
            opened.record([(old, result(old))])
        with store() as opened:
            opened.records()
            opened.name([], {old.cell: 3}, 1)
            opened.record([(new, result(new, 50.0))])
        client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
        (run,) = client.search_runs([client.get_experiment_by_name("stub").experiment_id], "tags.`aot.kind` = 'cell'")
        assert (run.data.metrics["n_trials"], run.data.metrics["best_median"]) == (1, 50)

    def test_of_two_runs_of_a_trial_the_later_one_counts(self, tmp_path: Path, store: Callable[..., Store]) -> None:
        """A request that seemed to fail and was carried out leaves two; the order of their ids says nothing."""
        one = trial()
        with store() as opened:
            opened.record([(one, result(one))])
        folder = tmp_path / "runs" / "stub"
        (folder / "journal.jsonl").unlink()
        client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
        (run,) = logged(tmp_path)[one.id]
        for start, score in ((10**13, 80.0), (1, 20.0)):
            again = client.create_run(client.get_run(run["id"]).info.experiment_id, start, run["tags"]).info.run_id
            for name, value in run["params"].items():
                client.log_param(again, name, value)
            client.log_metric(again, "score", score)
            client.set_terminated(again)
        for uri in ("sqlite+pysqlite", "sqlite"):
            found = read_records("stub", str(folder), f"{uri}:///{tmp_path}/runs/mlflow.db", pytest.fail)
            assert {i: r.score for i, r in found.items()} == {one.id: 80.0}


def test_the_writer_is_ready_soon() -> None:
    """It starts with every run, and needs nothing of what training needs."""
    heavy = {"torch", "transformers", "datasets", "ray", "pandas"}
    code = f"import sys, search.tracking.mlflow_process; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
