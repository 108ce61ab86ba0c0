"""Drivers as processes of their own, with the stub for training; and what a study must have come to in the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from helpers.servers import until
from helpers.stub_training import epoch_of, result_of

from search import study
from search.planning.plan import plan
from search.study import Study
from search.tracking import journal
from trainables.trial import Result, Trial

TESTS = Path(__file__).parents[1]

#: What a table says of a trial: status, score, best epoch, epochs.
Row = tuple[str, float | None, int | None, int]


def start(
    path: Path, *, address: str | None = None, die: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """``aot run`` with the stub, in a session of its own; ``die``: see ``helpers.stub_study.die``."""
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    return subprocess.Popen(
        [sys.executable, "-m", "helpers.stub_study", str(path), address or "", die],
        env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def hear(driver: subprocess.Popen[str], words: str) -> list[str]:
    """What it says on standard error, up to the line with these words."""
    assert driver.stderr is not None
    said: list[str] = []
    while not said or words not in said[-1]:
        line = driver.stderr.readline()
        assert line, f"it ended without {words!r}: {said}"
        said.append(line.rstrip())
    return said


def through_an_outage(
    driver: subprocess.Popen[str], path: Path, hold: Path, away: Callable[[], object], back: Callable[[], object]
) -> list[str]:
    """MLflow goes away and comes back while a driver is at work: what it says from then to its end, which it reaches.

    The search goes on meanwhile; ``hold`` keeps it from its end until MLflow is back (``stub_training``).
    """
    away()
    before = lines(path)
    until(lambda: lines(path) >= before + 2)
    hold.touch()
    said = hear(driver, "cannot be written")
    back()
    said += hear(driver, "is back")
    hold.unlink()
    said += driver.communicate(timeout=300)[1].splitlines()
    assert driver.returncode == 0
    return said


def aot(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The ``aot`` command, with its words."""
    command = [sys.executable, "-m", "search.cli", *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": str(TESTS.parent), **(environment or {})}
    return subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def ray_address() -> str:
    """Of the Ray to which this process is connected; a driver starts faster on it than with one of its own."""
    import ray

    return ray.get_runtime_context().gcs_address


def lines(path: Path) -> int:
    """Of the journal beside the study, so far."""
    return sum(file.read_bytes().count(b"\n") for file in (path.parent / "runs").glob(f"*/{journal.FILE_NAME}"))


def count(said: list[str], *words: str) -> int:
    """Lines in which all of these words stand."""
    return sum(all(word in line for word in words) for line in said)


def undisturbed(trial: Trial) -> Result:
    """What the stub gives for the trial when nothing happens to it."""
    history = []
    while (result := result_of(trial, history, {})) is None:
        history.append(epoch_of(trial, len(history) + 1, {}))
    return result


def expected(of: Study) -> dict[str, Row]:
    """The table of a study with the stub to which nothing happens."""
    results = (undisturbed(trial) for trial in plan(of).trials)
    return {r.trial_id: (r.status, r.score, r.best_epoch, r.epochs) for r in results}


def in_journal(of: Study) -> dict[str, Row]:
    """The table by the journal; each trial must have one line that counts, and none twice."""
    rows: dict[str, Row] = {}
    for _, _, entry in journal.read(journal.local_folder(of.folder) / journal.FILE_NAME, lambda _: None):
        assert entry.trial_id not in rows, f"trial {entry.trial_id} is written down twice"
        rows[entry.trial_id] = (entry.status, entry.score, entry.best_epoch, len(entry.history))
    return rows


def in_mlflow(of: Study) -> dict[str, Row]:
    """The table by MLflow, as the reports read it; each trial must have one run."""
    from search.tracking.mlflow_access import client
    from search.tracking.mlflow_writer import search_runs
    from search.tracking.records import logged

    store = client(of.tracking)
    experiment = store.get_experiment_by_name(of.name)
    assert experiment is not None
    runs = list(search_runs(store, experiment.experiment_id, "tags.`aot.kind` = 'trial'"))
    ids = [run.data.tags["aot.trial_id"] for run in runs]
    assert len(ids) == len(set(ids)), "a trial has two runs"
    found = logged(of.name, of.tracking, lambda _: None)
    assert found is not None
    return {i: (r.status, r.score, r.best_epoch, r.epochs) for i, r in found.records.items()}


def assert_nothing_lost(path: Path) -> None:
    """The study's tables, by its journal and by MLflow, are those of an undisturbed run."""
    of = study.load(path)
    assert in_journal(of) == expected(of)
    assert in_mlflow(of) == expected(of)
