"""The commands that run a study or show its runs, as processes: exit codes, what they print where, and Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.families import save_tiny
from helpers.ports import free_port
from helpers.small_study import write_study
from typer.testing import CliRunner

from search.cli import app

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.cluster

runner = CliRunner()


def aot(*arguments: str | Path | int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "search.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, minilm: Any) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A study of two trials, run by the command."""
    folder = tmp_path_factory.mktemp("trained")
    path = write_study(
        folder,
        backbones=[{"source": minilm.source, "name": "minilm"}],
        methods={"bitfit": {}},
        defaults={"batch_size": 8, "learning_rate": 1e-3},
        protocol={"max_length": 8, "epochs": 2, "train_rows": 16, "dev_rows": 8},
    )
    return path, aot("run", path)


def test_run_trains_everything_once(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    path, first = trained
    assert first.returncode == 0, first.stderr
    assert first.stdout == ""
    assert "2 finished, 0 diverged, 0 failed; 0 were done before" in first.stderr
    warned = [line for line in first.stderr.splitlines() if line.startswith("WARNING demo/sentiment, ")]
    assert "WARNING demo/sentiment, dev, minilm: 100 % of the sequences are cut at 8 tokens, on the right" in warned[1]
    journal = (path.parent / "runs" / "small" / "journal.jsonl").read_text().splitlines()
    assert {json.loads(line)["text"]["dev_cut"] for line in journal} == {1.0}
    again = runner.invoke(app, ["run", str(path)])
    assert again.exit_code == 0, again.stderr
    assert "0 finished, 0 diverged, 0 failed; 2 were done before" in again.stderr
    told = json.loads(runner.invoke(app, ["plan", str(path), "--json"]).stdout)
    assert (told["counts"]["finished"], told["counts"]["packs"]) == (2, 0)


def test_what_was_run_is_exported_and_reported(
    trained: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    path, _ = trained
    out = tmp_path / "runs.parquet"
    done = runner.invoke(app, ["export", str(path), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(out)
    runs = pd.read_parquet(out)
    assert sorted(runs["seed"]) == [0, 1]
    assert set(runs["status"]) == {"finished"}
    done = runner.invoke(app, ["report", str(path), "--out", str(tmp_path / "report")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "report" / "report.html").is_file()


def test_a_confirmation_is_really_trained(
    trained: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    shutil.copytree(trained[0].parent, tmp_path / "copy")
    path = tmp_path / "copy" / "small.yaml"
    path.write_text(path.read_text().replace(str(trained[0].parent), str(path.parent)))
    planned = runner.invoke(app, ["plan", str(path), "--confirm", "1"], env={"COLUMNS": "120"})
    assert (
        "Confirmation of each cell's selected assignment on seed 1000: 1 trial, 0 finished, 1 to train"
        in planned.stdout
    )
    assert "Confirmation, 1 trial: about " in planned.stdout
    done = aot("run", path, "--confirm", 1)
    assert done.returncode == 0, done.stderr
    assert "1 trial confirmed what is selected; 0 were done before" in done.stderr
    (line,) = [line for line in (path.parent / "runs/small/journal.jsonl").read_text().splitlines() if "role" in line]
    entry = json.loads(line)
    assert (entry["search"], entry["seed"], entry["status"]) == ({"role": "confirmation"}, 1000, "finished")


def page(address: str, server: subprocess.Popen[str]) -> str:
    """What a server shows, as soon as it does."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.5)
    return ""


def test_ui_takes_a_port_that_is_free_and_ends_without_a_traceback(
    trained: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Port 5000 is taken, by this test or somebody else; Ctrl-C goes to all processes of the terminal."""
    path, _ = trained
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", 5000)))
        command = [sys.executable, "-m", "search.cli", "ui", str(path)]
        server = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert server.stdout is not None
        try:
            address = server.stdout.readline().strip()
            shown = page(address, server)
        finally:
            os.killpg(server.pid, signal.SIGINT)
            _, words = server.communicate(timeout=60)
    taken = re.search(r"port 5000 on 127.0.0.1 is taken; using (\d+)", words)
    assert taken, words
    runs = rf"http://127\.0\.0\.1:{taken[1]}/#/experiments/\d+/runs\?workflowType=machine_learning&viewStateShareKey=results"
    assert re.fullmatch(runs, address), "the study's own runs"
    assert "MLflow" in shown
    assert server.returncode == 130
    assert "Traceback" not in words
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(taken[1])), 5)


def test_a_port_that_was_asked_for_is_not_exchanged(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    path, _ = trained
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = runner.invoke(app, ["ui", str(path), "--port", str(port)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"port {port} on 127.0.0.1 cannot be had (Address already in use); the next free one: --port " in done.stderr


def test_ui_tells_when_the_server_ends_by_itself(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE alembic_version (version_num)")
        other.execute("INSERT INTO alembic_version VALUES ('of another program')")
    done = aot("ui", "--tracking", f"sqlite:///{tmp_path / 'other.db'}", "--port", free_port())
    assert (done.returncode, done.stdout) == (1, "")
    assert "the server ended by itself, with exit code 1" in done.stderr


def test_runs_are_exported_to_standard_output(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    path, _ = trained
    done = aot("export", path, "--out", "-")
    assert done.returncode == 0, done.stderr
    runs = pd.read_csv(io.StringIO(done.stdout))
    assert sorted(runs["seed"]) == [0, 1]
    assert "2 trials written" in done.stderr


@pytest.mark.usefixtures("ray_two_cpus")
def test_a_failed_trial_gives_exit_code_1(tmp_path: Path) -> None:
    broken = save_tiny("bert", tmp_path / "broken", layers=1)
    (broken / "model.safetensors").write_bytes(b"no weights")  # found when a worker loads them
    path = write_study(
        tmp_path,
        backbones=["broken"],
        methods={"bitfit": {}},
        defaults={"batch_size": 8, "learning_rate": 1e-3},
        seeds=1,
    )
    done = runner.invoke(app, ["run", str(path)])
    assert done.exit_code == 1, done.stderr
    assert "0 finished, 0 diverged, 1 failed" in done.stderr
    assert "1 failed and would fail again as they are: ValueError: cannot load safetensors weights" in done.stderr
    assert f"Correct what it names, then: aot run {path}" in done.stderr


def test_ctrl_c_gives_exit_code_130_and_keeps_the_study(tmp_path: Path, minilm: Any) -> None:
    path = write_study(
        tmp_path,
        backbones=[{"source": minilm.source, "name": "minilm"}],
        protocol={"max_length": 32, "epochs": 500, "patience": 500, "train_rows": 64, "dev_rows": 8},
    )
    command = [sys.executable, "-m", "search.cli", "run", str(path)]
    environment = {**os.environ, "COLUMNS": "120"}
    run = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    )
    assert run.stderr is not None
    try:
        assert "12 trials in 2 cells" in run.stderr.readline()
        assert any("running" in line for line in iter(run.stderr.readline, ""))
        run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
        assert run.wait(90) == 130, rest
        assert f"stopped: 0 of 12 trials are done. What is finished is kept; go on with: aot run {path}" in rest
    finally:
        run.kill()
