"""Stores that fail, are away or are killed, and what a killed run left behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.entries import problems, result, trial
from helpers.servers import mlflow_server, running, until
from helpers.stub_study import logged
from mlflow import MlflowClient

from search.errors import RefusedError, StudyBusyError
from search.tracking import journal
from search.tracking.journal import Entry, Journal
from search.tracking.records import read_records
from search.tracking.store import Store


@pytest.mark.cluster
class TestFaults:
    def test_a_database_that_cannot_be_read(self, tmp_path: Path, said: list[str]) -> None:
        (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
        assert read_records("s", str(tmp_path), f"sqlite:///{tmp_path}/mlflow.db", said.append) == {}
        assert "cannot be read" in said[0]

    def test_one_driver_at_a_time(self, store: Callable[..., Store]) -> None:
        with store():
            busy = f"study 'stub' is being run by process {os.getpid()} on {socket.gethostname()} since .*; wait until"
            with pytest.raises(StudyBusyError, match=busy):
                store().open()
        store().open().close()

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        folder = tmp_path / "file" / "stub"
        words = rf"study 'stub' cannot be kept in {folder} \(Not a directory\); .*`storage` in the study"
        with pytest.raises(RefusedError, match=words):
            Store("stub", str(folder), f"sqlite:///{tmp_path}/mlflow.db", pytest.fail).open()

    def test_what_a_killed_run_left_behind(self, tmp_path: Path, store: Callable[..., Store], said: list[str]) -> None:
        """In the journal but not in MLflow, in MLflow by half, and in MLflow but deleted since."""
        trials = [trial(seed) for seed in range(3)]
        folder = tmp_path / "runs" / "stub"
        book = Journal(folder, pytest.fail)
        book.append([Entry.of("stub", t, result(t), {}, "") for t in trials])
        book.close()
        client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
        experiment = client.create_experiment("stub")
        half = client.create_run(experiment, tags={"aot.kind": "trial", "aot.trial_id": trials[0].id}).info.run_id
        client.log_metric(half, "dev_score", 58.0, step=1)
        with store() as opened:
            assert opened.records().keys() == {t.id for t in trials}
        runs = logged(tmp_path)
        assert {t.id: 1 for t in trials} == {trial_id: len(found) for trial_id, found in runs.items()}
        assert runs[trials[0].id][0]["id"] == half
        assert {found[0]["run"] for found in runs.values()} == {"FINISHED"}

        client.delete_run(runs[trials[1].id][0]["id"])
        with store() as opened:
            opened.records()
        assert set(logged(tmp_path)) == {t.id for t in trials}
        assert problems(said) == []

    def test_a_summary_that_a_killed_writer_did_not_write(
        self, tmp_path: Path, store: Callable[..., Store], said: list[str]
    ) -> None:
        """All trials are in MLflow, but not what the cell's run says of them: the next run sees to it."""
        trials = [trial(seed) for seed in range(3)]
        with store() as opened:
            opened.record([(t, result(t)) for t in trials])
        client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
        experiment = client.get_experiment_by_name("stub").experiment_id
        (cell,) = client.search_runs([experiment], "tags.`aot.kind` = 'cell'")
        client.log_metric(cell.info.run_id, "n_trials", 1.0, step=3)
        marker = tmp_path / "runs" / "stub" / journal.UNSENT_NAME
        assert not marker.exists(), "a writer that ends well leaves nothing to do"
        with store() as opened:
            opened.records()
        assert client.get_run(cell.info.run_id).data.metrics["n_trials"] == 1, "nobody looks without a reason"
        marker.touch()
        with store() as opened:
            opened.records()
        assert client.get_run(cell.info.run_id).data.metrics["n_trials"] == 3
        assert not marker.exists()

    def test_a_writer_that_is_killed_is_started_again(
        self, tmp_path: Path, store: Callable[..., Store], said: list[str]
    ) -> None:
        trials = [trial(seed) for seed in range(30)]
        with store() as opened:
            opened.record([(t, result(t)) for t in trials[:-1]])
            process = opened._writer._process
            until(lambda: 3 < len(logged(tmp_path, missing_ok=True)) < 29)
            process.kill()
            process.wait()
            opened.record([(trials[-1], result(trials[-1]))])
        runs = logged(tmp_path)
        assert {trial_id: len(found) for trial_id, found in runs.items()} == {t.id: 1 for t in trials}
        assert {(found[0]["run"], found[0]["metrics"]["score"]) for found in runs.values()} == {("FINISHED", 60.0)}
        assert ["is started again" in line for line in problems(said)] == [True]

    def test_a_server_that_is_away_for_a_while(
        self, tmp_path: Path, store: Callable[..., Store], said: list[str]
    ) -> None:
        server = mlflow_server(tmp_path, f"sqlite:///{tmp_path}/runs/mlflow.db")
        uri = f"http://user:geheim@127.0.0.1:{server.port}"
        trials = [trial(seed) for seed in range(3)]
        with store(uri) as opened:
            assert opened.records() == {}
            opened.record([(trials[0], result(trials[0]))])
        assert "cannot be read" in said[0]
        assert ["cannot be written" in line for line in problems(said)] == [False, True, False], "it is said once"
        assert "the next aot run of this study sends them" in said[-1]
        assert not any("geheim" in line for line in said)

        said.clear()
        with store(uri) as opened:
            opened.record([(trials[1], result(trials[1]))])
            until(lambda: any("cannot be written" in line for line in said))
            with running(server):
                until(lambda: any("is back" in line for line in said))
                opened.record([(trials[2], result(trials[2]))])
                assert opened.records().keys() == {t.id for t in trials}
                opened.close()
        assert [t.id for t in trials if len(logged(tmp_path)[t.id]) == 1] == [t.id for t in trials]
