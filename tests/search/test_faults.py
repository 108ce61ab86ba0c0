"""Drivers that are killed, interrupted and started twice, as processes of their own: nothing lost, nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from helpers.stub_study import TRAIN, logged, write_study
from helpers.stub_training import epoch_of, result_of

from analysis import frame
from search import study, tuner
from search.plan import plan
from search.view import View
from trainables.trial import Result, Trial

TESTS = Path(__file__).parents[1]


def start(path: Path) -> subprocess.Popen[str]:
    """``aot run`` with the stub, in a session of its own."""
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    return subprocess.Popen(
        [sys.executable, "-m", "helpers.stub_study", str(path)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def undisturbed(trial: Trial) -> Result:
    """What the trial gives when nothing happens to it."""
    history = []
    while (result := result_of(trial, history, {})) is None:
        history.append(epoch_of(trial, len(history) + 1, {}))
    return result


@pytest.mark.usefixtures("ray_two_cpus")
@pytest.mark.timeout(900)
def test_a_study_whose_drivers_do_not_live_long(tmp_path: Path) -> None:
    seeds = list(range(12))
    path = write_study(tmp_path, {"seconds": 1.0}, seeds=seeds)
    journal = tmp_path / "runs" / "stub" / "journal.jsonl"

    def lines() -> int:
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    # The first driver is killed in the middle of trials; a second one beside it is turned away.
    first = start(path)
    try:
        until(lambda: lines() >= 2)
        second = start(path)
        children = [p for p in psutil.Process(first.pid).children(recursive=True) if "mlflow_process" not in str(p)]
        _, errors = second.communicate(timeout=300)
        assert second.returncode == 1
        assert f"StudyBusyError: study 'stub' is being run by process {first.pid} on " in errors
    finally:
        first.kill()
        first.communicate()
    done = lines()
    assert 2 <= done < 24
    until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in children))
    with open(journal, "ab") as file:
        file.write(b'{"time": 1, "study": "st')  # it was killed while it wrote

    # The third is interrupted, by Ctrl-C.
    write_study(tmp_path, {"seconds": 0.5}, seeds=seeds)
    third = start(path)
    try:
        until(lambda: lines() >= done + 2)
        third.send_signal(signal.SIGINT)
        _, errors = third.communicate(timeout=300)
    finally:
        third.kill()
    assert third.returncode == 130
    assert errors.count("was cut off (24 bytes) and is removed; its trial runs again") == 1
    done = lines()
    assert done < 24

    # The last one trains what is missing.
    write_study(tmp_path, {}, seeds=seeds)
    trials = plan(study.load(path)).trials
    outcome = tuner.run(study.load(path), view=View(), train=TRAIN)
    assert outcome == tuner.Outcome(finished=24 - done, skipped=done)
    runs = logged(tmp_path)
    assert {trial_id: len(found) for trial_id, found in runs.items()} == {t.id: 1 for t in trials}
    rows = frame.from_mlflow(f"sqlite:///{tmp_path}/runs/mlflow.db", "stub").set_index("trial_id")
    for trial in trials:
        expected, row = undisturbed(trial), rows.loc[trial.id]
        assert (row["score"], row["best_epoch"]) == (expected.score, expected.best_epoch)
        assert row["epochs"] == expected.epochs
