"""Stores that are away, locked or damaged while a study runs: everything arrives in the end, and once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.drivers import assert_nothing_lost, count, in_mlflow, lines, ray_address, start, through_an_outage
from helpers.servers import mlflow_server, running, until
from helpers.stub_study import TRAIN, copy_database, write_study

from search import study
from search.tune import tuner
from search.tune.view import View

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("ray_two_cpus")]


def run(path: Path, capfd: pytest.CaptureFixture[str]) -> tuple[tuner.Outcome, list[str]]:
    """The study, run in this process; what it said on standard error."""
    capfd.readouterr()
    outcome = tuner.run(study.load(path), view=View(), train=TRAIN)
    return outcome, capfd.readouterr().err.splitlines()


def test_the_mlflow_server_is_stopped_and_started_again(tmp_path: Path) -> None:
    copy_database(tmp_path)
    server = mlflow_server(tmp_path, f"sqlite:///{tmp_path}/runs/mlflow.db")
    uri = f"http://127.0.0.1:{server.port}"
    path = write_study(tmp_path, {"seconds": 0.4}, seeds=[0, 1, 2, 3, 4, 5], tracking=uri)
    hold = tmp_path / "runs" / "stub" / "hold"
    with running(server):
        driver = start(path, address=ray_address())
        try:
            until(lambda: lines(path) >= 2)
            said = through_an_outage(driver, path, hold, server.stop, server.start)
        finally:
            driver.kill()
        assert_told_once(said, uri)
        assert_nothing_lost(path)


def assert_told_once(said: list[str], uri: str) -> None:
    """One line when MLflow goes, one when it is back. On a very busy machine a request may time out besides."""
    away = count(said, f"MLflow at {uri} cannot be written (", "; the journal keeps every result")
    assert away == count(said, f"MLflow at {uri} is back; everything in the journal is there now")
    assert 1 <= away <= 3


def test_the_mlflow_server_is_away_to_the_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The journal keeps what the next run sends, which trains nothing again."""
    copy_database(tmp_path)
    server = mlflow_server(tmp_path, f"sqlite:///{tmp_path}/runs/mlflow.db")
    uri = f"http://127.0.0.1:{server.port}"
    path = write_study(tmp_path, tracking=uri)
    outcome, said = run(path, capfd)
    assert outcome == tuner.Outcome(finished=4)
    assert count(said, f"MLflow at {uri} cannot be read (", "; the journal alone says what is finished") == 1
    assert count(said, f"MLflow at {uri} cannot be written (") == 1
    assert count(said, "some results are in the journal alone; the next aot run of this study sends them") == 1
    with running(server):
        outcome, said = run(path, capfd)
        assert outcome == tuner.Outcome(skipped=4)
        assert_nothing_lost(path)


def test_sqlite_is_locked_by_another_process(tmp_path: Path) -> None:
    path = write_study(tmp_path, {"seconds": 0.3}, seeds=[0, 1, 2, 3, 4, 5])
    hold = tmp_path / "runs" / "stub" / "hold"
    driver = start(path, address=ray_address())
    try:
        until(lambda: lines(path) >= 1)
        with sqlite3.connect(tmp_path / "runs" / "mlflow.db", timeout=60) as other:
            # Let go when the writer has given up waiting: later than MLflow's own patience, however long that is.
            said = through_an_outage(driver, path, hold, lambda: other.execute("BEGIN EXCLUSIVE"), other.rollback)
    finally:
        driver.kill()
    database = f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert count(said, f"MLflow at {database} cannot be written (", "database is locked); the journal keeps every") >= 1
    assert_told_once(said, database)
    assert_nothing_lost(path)


def cut_off(content: bytes) -> bytes:
    return content[: -len(content.splitlines()[-1]) // 2]


def garbage_in_the_middle(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    lines[1] = lines[1][:50] + b"\xff\x00" + lines[1][60:]
    return b"".join(lines)


def nothing(content: bytes) -> bytes:
    return b""


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut off": (cut_off, " bytes) and is removed; its trial runs again if MLflow does not"),
    "damaged in the middle": (garbage_in_the_middle, "are damaged and left out ("),
    "empty": (nothing, "journal"),  # of which nothing is said
}


@pytest.mark.parametrize(
    ("damage", "mlflow_knows"), [("cut off", False), ("damaged in the middle", False), ("empty", True)]
)
def test_a_damaged_journal(tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: str, mlflow_knows: bool) -> None:
    """What MLflow has is not trained again; what nobody has any more is, with the same result."""
    path = write_study(tmp_path)
    journal = tmp_path / "runs" / "stub" / "journal.jsonl"
    change, words = DAMAGES[damage]
    assert run(path, capfd)[0] == tuner.Outcome(finished=4)
    before = in_mlflow(study.load(path))
    journal.write_bytes(change(journal.read_bytes()))
    if not mlflow_knows:
        (tmp_path / "runs" / "mlflow.db").unlink()
        copy_database(tmp_path)
    lost = {"cut off": 1, "damaged in the middle": 1, "empty": 4}[damage]
    outcome, said = run(path, capfd)
    again = 0 if mlflow_knows else lost
    assert outcome == tuner.Outcome(finished=again, skipped=4 - again)
    assert count(said, words) == (damage != "empty")
    assert in_mlflow(study.load(path)) == before
