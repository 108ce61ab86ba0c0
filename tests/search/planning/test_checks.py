"""What ``aot plan`` finds out about resources, storage and tracking, without making anything."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import forget_clusters
from helpers.ports import free_port
from helpers.small_study import write_study
from typer.testing import CliRunner

from search.cli import app
from search.planning import checks
from search.planning.place import Place
from search.study import Resources, load

runner = CliRunner()
CPUS = [{"CPU": 2.0}]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_clusters(monkeypatch, tmp_path)


@pytest.fixture
def listener() -> Iterator[int]:
    """A port at which something takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def plan(path: Path) -> tuple[int, dict[str, Any], dict[str, dict[str, Any]], str]:
    """Exit code, what is printed as JSON, its checks by what they looked at, and the words."""
    done = runner.invoke(app, ["plan", str(path), "--json"])
    told = json.loads(done.stdout)
    return done.exit_code, told, {check["what"]: check for check in told["checks"]}, done.stderr


def test_all_is_well_and_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path.with_name(f"{tmp_path.name}-home")))  # what was found out may be kept there
    code, _, found, _ = plan(write_study(tmp_path))
    assert code == 0
    assert {what: check["ok"] for what, check in found.items()} == dict.fromkeys(
        ("resources", "storage", "tracking"), True
    )
    assert [p.name for p in tmp_path.iterdir()] == ["small.yaml"]


def test_what_gpu_auto_comes_to_is_told(tmp_path: Path) -> None:
    import torch

    gpus = torch.cuda.device_count()
    _, told, _, words = plan(write_study(tmp_path))
    assert told["resources"]["gpu"] == float(bool(gpus))
    assert ("each pack takes one" if gpus else "no GPU here: packs train on CPU cores") in words
    assert told["counts"]["packs"] == (3 if gpus else 12)


def test_a_storage_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("no folder")
    code, told, found, words = plan(write_study(tmp_path))
    assert code == 2
    assert told["counts"]["trials"] == 12, "the plan is shown all the same"
    assert found["storage"]["refused"]
    assert f"storage: {tmp_path / 'runs'} is a file, and must be a folder; correct that, or `storage`" in words


def test_a_storage_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    of = load(write_study(tmp_path, storage=str(closed / "runs")), offline=True)
    words = as_nobody(lambda: f"{checks.storage(of).refused} {checks.storage(of).words}")
    assert words.startswith("True the folder ")
    assert words.endswith(" cannot be written; correct that, or `storage` in the study")


def as_nobody(ask: Callable[[], str]) -> str:
    """What is answered to somebody who is not root, for whom every folder can be written."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        if os.geteuid() == 0:
            os.setuid(65_534)
        try:
            os.write(writing, ask().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def test_a_remote_storage_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, found, words = plan(write_study(tmp_path, storage="nosuchstore://bucket/runs"))
    assert code == 0, "where the study runs it may be there"
    assert not found["storage"]["ok"]
    assert "storage: nosuchstore://bucket/runs cannot be read from here" in words


@pytest.mark.parametrize(
    ("scheme", "masked"),
    [("http://who:secret@127.0.0.1:{}", "http://***@127.0.0.1:{}"), ("mysql://who:secret@127.0.0.1:{}/db", "")],
)
def test_a_tracking_server_that_is_away_is_told_without_its_password(tmp_path: Path, scheme: str, masked: str) -> None:
    port = free_port()
    code, _, found, words = plan(write_study(tmp_path, tracking=scheme.format(port)))
    assert code == 0, "the journal keeps what MLflow misses"
    assert not found["tracking"]["ok"]
    assert f"tracking: MLflow at {masked.format(port)}" in words
    assert "no answer" in words
    assert "secret" not in words + json.dumps(found)


def test_a_tracking_server_that_says_nothing_is_not_waited_for(
    tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "SECONDS", 0.5)
    code, _, found, _ = plan(write_study(tmp_path, tracking=f"http://127.0.0.1:{listener}"))
    assert code == 0
    assert "no answer (ReadTimeout)" in found["tracking"]["words"]


def test_a_database_that_is_a_folder_is_told(tmp_path: Path) -> None:
    code, _, found, _ = plan(write_study(tmp_path, tracking=f"sqlite:///{tmp_path}"))
    assert code == 0
    assert "is no file that can be written" in found["tracking"]["words"]


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (
            {"cpu": 64},
            "a pack takes 64 CPUs, but this machine has 2 CPUs and no GPU; lower resources.cpu, or aot submit",
        ),
        ({"gpu": 1}, "a pack takes 1 CPU, 1 GPU, but this machine has 2 CPUs and no GPU; lower resources.gpu, or aot"),
        ({"cpu": 64, "gpu": 2}, "lower resources.cpu and resources.gpu, or aot submit"),
    ],
)
def test_a_pack_that_this_machine_cannot_take(tmp_path: Path, resources: dict[str, Any], words: str) -> None:
    check = checks.resources(load(write_study(tmp_path, resources=resources), offline=True), CPUS, "here")
    assert (check.ok, check.refused) == (False, False)
    assert words in check.words


class TestPlace:
    def test_auto_takes_the_gpus_that_are_there(self) -> None:
        place = Place([{"CPU": 8.0, "GPU": 4.0}], "here", ["X"] * 4)
        assert place.words(Resources()) == "4 GPUs here (4 X): each pack takes one"
        settled = place.decide(Resources())
        assert (settled.gpu, place.devices(settled)) == (1.0, 4)
        assert place.words(Resources(gpu=0)) == "4 GPUs here will be idle: resources.gpu is 0"
        assert (place.words(Resources(gpu=2)), place.decide(Resources(gpu=2)).gpu) == ("", 2)

    def test_a_cluster_without_workers_does_not_tell_yet(self) -> None:
        place = Place([{"CPU": 0.0}], "on the cluster")
        assert place.words(Resources()).startswith("no room for a pack on the cluster yet")
        assert not Place([{"CPU": 2.0}], "here").words(Resources(cpu=64))
        assert (place.decide(Resources()).gpu, place.devices(Resources(gpu=0))) == (0.0, 1)


@pytest.mark.parametrize("password", ["hunter/2xyz", "hunter#2xyz", "hunter:2xyz", "hunter%2F2xyz", "hunter?2xyz"])
def test_the_host_of_a_database_is_found_behind_any_password(tmp_path: Path, password: str) -> None:
    """A password with a / is one for the database, and was taken for a port."""
    found = checks.tracking(
        load(write_study(tmp_path, tracking=f"postgresql://bob:{password}@127.0.0.1:1/db"), bind=False)
    )
    assert "Connection refused" in found.words, found.words
    assert "2xyz" not in found.words


def test_an_address_that_is_none_of_a_database_is_told(tmp_path: Path) -> None:
    found = checks.tracking(load(write_study(tmp_path, tracking="postgresql://bob:hunter2xyz/h/db"), bind=False))
    assert not found.ok
    assert "no address of a database" in found.words
    assert "2xyz" not in found.words
