"""Drivers that are killed, interrupted and started twice, as processes of their own: nothing lost, nothing twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from helpers.drivers import assert_nothing_lost, count, in_journal, lines, ray_address, start
from helpers.servers import until
from helpers.stub_study import TRAIN, write_study

from search import study
from search.tune import tuner
from search.tune.view import View

pytestmark = [pytest.mark.timeout(900), pytest.mark.cluster]


#: Ray's own, without work: they look for their cluster for a minute before they go.
AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}


def alive(processes: list[psutil.Process]) -> set[str]:
    """The titles of those that have not ended."""
    titles = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                titles.add(process.cmdline()[0].strip() if process.cmdline() else process.name())
    return titles


@pytest.fixture(scope="module")
def left_behind() -> Iterator[list[psutil.Process]]:
    """What drivers that were killed had started: all of it must be gone after the tests of this file."""
    processes: list[psutil.Process] = []
    yield processes
    until(lambda: not alive(processes))


@pytest.mark.usefixtures("ray_two_cpus")
def test_a_study_whose_drivers_do_not_live_long(tmp_path: Path, left_behind: list[psutil.Process]) -> None:
    seeds = list(range(12))
    path = write_study(tmp_path, {"seconds": 0.3}, seeds=seeds)
    hold = tmp_path / "runs" / "stub" / "hold"
    # The first driver is killed in the middle of trials; a second one beside it is turned away.
    first = start(path)
    try:
        until(lambda: lines(path) >= 2)
        hold.touch()  # so that there is something left, however slow the machine
        second = start(path)
        children = [p for p in psutil.Process(first.pid).children(recursive=True) if "mlflow_process" not in str(p)]
        _, errors = second.communicate(timeout=300)
        assert second.returncode == 2
        assert errors.startswith(f"study 'stub' is being run by process {first.pid} on ")
        assert errors.count("\n") == 1
    finally:
        first.kill()
        hold.unlink(missing_ok=True)
        first.communicate()
    left_behind += children
    done = lines(path)
    assert 2 <= done < 24
    until(lambda: alive(children) <= AGENTS)
    with open(tmp_path / "runs" / "stub" / "journal.jsonl", "ab") as file:
        file.write(b'{"time": 1, "study": "st')  # it was killed while it wrote

    # The third is interrupted, by Ctrl-C.
    third = start(path)
    try:
        until(lambda: lines(path) >= done + 2)
        third.send_signal(signal.SIGINT)
        _, errors = third.communicate(timeout=300)
    finally:
        third.kill()
    assert third.returncode == 130
    assert (
        count(errors.splitlines(), "was cut off (24 bytes) and is removed; its trial runs again if MLflow does not")
        == 1
    )
    done = lines(path)
    assert done < 24

    # The last one trains what is missing.
    write_study(tmp_path, {}, seeds=seeds)
    outcome = tuner.run(study.load(path), view=View(), train=TRAIN)
    assert outcome == tuner.Outcome(finished=24 - done, skipped=done)
    assert_nothing_lost(path)


@pytest.mark.usefixtures("ray_two_cpus")
@pytest.mark.parametrize(("moment", "kept"), [("append", 2), ("appended", 3)])
def test_a_driver_that_dies_while_it_writes_a_result_down(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], moment: str, kept: int
) -> None:
    """In the middle of a line of the journal, and between the journal and MLflow."""
    path = write_study(tmp_path, seeds=[0, 1, 2])
    driver = start(path, address=ray_address(), die=moment)
    driver.communicate(timeout=300)
    assert driver.returncode == -signal.SIGKILL
    assert len(in_journal(study.load(path))) == kept

    outcome = tuner.run(study.load(path), view=View(), train=TRAIN)
    assert outcome == tuner.Outcome(finished=6 - kept, skipped=kept)
    assert_nothing_lost(path)
    said = capfd.readouterr().err.splitlines()
    assert count(said, " bytes) and is removed; its trial runs again if MLflow does not") == (
        1 if moment == "append" else 0
    )
