"""Studies on a real cluster: a head and two workers as three Ray nodes, with token authentication."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers.commands import forget_clusters, refused, runner
from helpers.films import write_study
from helpers.ray_nodes import Nodes

from search.cli import app
from search.jobs import _upload, submit

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.cluster


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_clusters(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    """A head and two workers, as three Ray nodes with a token."""
    nodes = Nodes()
    try:
        nodes.start_head()
        nodes.start_workers(2)
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture
def client(cluster: Nodes, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """The cluster, with its token and address where the commands look for them."""
    monkeypatch.setenv("HOME", str(cluster.home))
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", cluster.url)
    return cluster


def test_a_study_is_planned_for_the_cluster_that_is_named(client: Nodes, tmp_path: Path) -> None:
    """Two nodes of one CPU: one GPU more, or one CPU, is not to be had there."""
    told = runner.invoke(app, ["plan", str(write_study(tmp_path)), "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["resources"]["words"] == "no GPU on the cluster: packs train on CPU cores"
    assert json.loads(told.stdout)["checks"][0]["words"] == "a pack takes 1 CPU; 2 at once find room on the cluster"
    told = runner.invoke(app, ["plan", str(write_study(tmp_path, resources={"cpu": 2}))])
    assert told.exit_code == 0, told.output
    assert "resources: a pack takes 2 CPUs, and no node on the cluster has room for it; it waits" in told.stderr


def test_without_the_right_token_nothing_is_told(
    cluster: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ("list", "--address", cluster.url)
    words = refused(*ask)
    assert f"{cluster.url} wants a token, and none was found here; put the cluster's token into ~/.ray/auth" in words
    assert "wants a token" in refused("submit", write_study(tmp_path), *ask[1:])
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    words = refused(*ask)
    assert "refuses the token from the variable RAY_AUTH_TOKEN; put" in words
    assert "refuses the token" in refused("logs", "-f", "x", *ask[1:])
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert "none was sent, for RAY_AUTH_MODE is not token here; export RAY_AUTH_MODE=token" in refused(*ask)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nothing"))
    assert "nothing cannot be read (No such file or directory)" in refused(*ask)
    (tmp_path / "two").write_text(f"{cluster.token}\nhush")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "two"))
    words = refused(*ask)
    assert "must be one word" in words
    assert cluster.token not in words
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(cluster.token_file))
    assert runner.invoke(app, list(ask)).exit_code == 0


def test_a_job_that_is_not_there(client: Nodes) -> None:
    for command in ("status", "logs", "stop"):
        words = refused(command, "aot-nothing")
        assert words.startswith(f"no job 'aot-nothing' on the cluster at {client.url}; ")
        assert words.count("\n") == 1


def test_a_study_with_large_files_is_not_sent(client: Nodes, tmp_path: Path) -> None:
    path = write_study(tmp_path, study="large")
    with open(tmp_path / "data" / "train.csv", "r+b") as file:
        file.truncate(_upload.MAX_BYTES + 1)
    assert refused("submit", path).startswith("files beside a study travel with it up to 50 MB, but ")
    assert "large" not in {job["study"] for job in told("list")}


@pytest.mark.timeout(900)
def test_a_study_is_submitted_watched_stopped_and_finished(client: Nodes, tmp_path: Path) -> None:
    long = {"max_length": 16, "epochs": 100, "patience": 100}  # it is to run while others are refused
    path = write_study(tmp_path, protocol=long)
    journal = client.home / "aot-search" / "runs" / "films" / "journal.jsonl"

    done = runner.invoke(app, ["submit", str(path), "--confirm", "1"])
    assert done.exit_code == 0, done.stderr
    first = done.stdout.strip()
    assert first.startswith("aot-films-")
    assert re.search(r"sending \d+ files, [01]\.\d MB", done.stderr), "the code alone"
    assert f"aot logs -f {first}" in done.stderr
    until(lambda: "6 to train, then " in runner.invoke(app, ["logs", first]).stdout)
    assert told("status", first)["status"] == "running"

    watch_for_a_while(first, client)

    # While it runs, nobody else may: neither a second submission nor a driver on the head.
    assert f"study 'films' is running as {first}; stop that first: aot stop {first}" in refused("submit", path)
    second = run("run", path, "--address", f"127.0.0.1:{client.port}", nodes=client, cwd=client.home / "aot-search")
    assert second.returncode == 2, second.stderr
    assert "study 'films' is being run by process " in second.stderr

    secret_is_nowhere(client)

    until(lambda: lines(journal) >= 1)
    stopped = runner.invoke(app, ["stop", first])
    assert (stopped.exit_code, stopped.stdout) == (0, "stopped\n"), stopped.stderr
    before = trials(journal)
    assert 1 <= len(before) < 6
    log = runner.invoke(app, ["logs", first]).stdout
    assert "films: 6 trials in 1 cells; 6 to train" in log
    words = (
        r"stopped: [1-5] of 6 trials are done, and 0 of 1 that confirm what is selected\. "
        r"What is finished is kept; go on with: aot submit STUDY --confirm 1\n"
    )
    assert re.search(words, log)
    assert set(logged(client)) == set(before)  # MLflow took in the last results
    assert "it was over before" in runner.invoke(app, ["stop", first]).stderr

    done = run("submit", path, "--follow", nodes=client)
    assert done.returncode == 0, done.stderr
    last, log = done.stdout.split("\n", 1)
    assert f"6 trials in 1 cells, {len(before)} of them done before; {6 - len(before)} to train" in log
    assert f"{6 - len(before)} finished, 0 diverged, 0 failed; {len(before)} were done before" in log
    assert len(trials(journal)) == len(set(trials(journal))) == 6
    assert sorted(logged(client)) == sorted(trials(journal))

    jobs = {job["job"]: job for job in told("list")}
    assert (jobs[first]["status"], jobs[last]["status"]) == ("stopped", "succeeded")
    assert list(jobs) == [last, first]
    assert "succeeded" in runner.invoke(app, ["list"]).stdout
    secret_is_nowhere(client)


@pytest.mark.timeout(300)
def test_a_study_that_fails_on_the_cluster_says_why(client: Nodes, tmp_path: Path) -> None:
    files = {"train": "/nowhere/train.csv", "dev": "/nowhere/dev.csv"}
    path = write_study(tmp_path, study="absent", tasks=[{"name": "mine/films", "files": files, "text": "text"}])
    done = runner.invoke(app, ["submit", str(path), "--follow"])
    assert done.exit_code == 1, done.stderr
    job, log = done.stdout.split("\n", 1)
    assert "/nowhere/train.csv" in log
    last = done.stderr.splitlines()[-1]
    assert last.startswith("failed after ")
    assert "/nowhere/train.csv" in last, "the reason, and not only that there is one"
    assert last.endswith(f"; see all with aot logs {job}, then submit again")


def run(*arguments: str | Path, nodes: Nodes, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user types it."""
    environment = {**nodes.environment, "RAY_API_SERVER_ADDRESS": nodes.url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "search.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400, check=False)


def watch_for_a_while(job: str, nodes: Nodes) -> None:
    """Ctrl-C ends the watching, not the job."""
    command = [sys.executable, "-m", "search.cli", "logs", "-f", job, "--address", nodes.url]
    environment = {**nodes.environment, "PYTHONPATH": str(ROOT)}
    watch = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where these tests run in the background of a shell, their children would ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert watch.stdout is not None
    assert any("6 to train" in line for line in iter(watch.stdout.readline, ""))
    watch.send_signal(signal.SIGINT)
    _, words = watch.communicate(timeout=60)
    assert (watch.returncode, words.count("\n")) == (130, 1), words
    there = f"{job} --address {nodes.url}"
    assert f"the job goes on; watch it again with: aot logs -f {there}; stop it with: aot stop {there}\n" in words
    assert told("status", job)["status"] == "running"


def told(*arguments: str) -> Any:
    done = runner.invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def until(condition: Any, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def trials(journal: Path) -> list[str]:
    return [json.loads(line)["trial_id"] for line in journal.read_bytes().splitlines()]


def logged(nodes: Nodes) -> list[str]:
    """The trials of ended runs in MLflow's database."""
    query = """SELECT id.value FROM runs JOIN tags AS id ON id.run_uuid = runs.run_uuid AND id.key = 'aot.trial_id'
               WHERE runs.status = 'FINISHED'"""
    with sqlite3.connect(f"file:{nodes.home}/aot-search/runs/mlflow.db?mode=ro", uri=True) as connection:
        return [row[0] for row in connection.execute(query)]


def secret_is_nowhere(nodes: Nodes) -> None:
    """The token is in no process's arguments, no log, no store, and not in what the cluster tells of its jobs."""
    for process in psutil.process_iter(["cmdline"]):
        assert nodes.token not in " ".join(process.info["cmdline"] or [])
    secret = nodes.token.encode()
    for file in nodes.folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and file != nodes.token_file:
            assert secret not in file.read_bytes(), file
    for job in submit.connect().client.list_jobs():
        assert nodes.token not in repr(job)
