"""Results on their way from the driver to MLflow: journal first, and one writer for a study.

    with Store(study.name, study.folder, study.tracking, say) as store:
        done = store.finished()
        store.record([(trial, result), ...])      # on disk when this returns; MLflow follows in its own process

The driver alone writes. A result is in the journal before anything else happens to it; a process beside the driver
(``search/mlflow_process.py``) brings the journal into MLflow, also what an earlier run left unsent.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO

from search import journal
from search.journal import ENDED, Entry, Journal, Lock, Say, StudyBusyError, local_folder
from trainables.trial import Result, Trial

ROOT = Path(__file__).parents[1]
LOG_NAME = "mlflow.log"
RESTARTS = 3  # of a writer that died

#: A server that is away is to be noticed within seconds; the process keeps trying by itself.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class Store:
    """What is known of a study's trials, and where new results go. Holds the study's lock while it is open."""

    def __init__(self, study: str, folder: str, tracking: str, say: Say) -> None:
        self.study, self.tracking, self.say = study, tracking, say
        self.folder = local_folder(folder)
        self._lock = Lock(self.folder / journal.LOCK_NAME)
        self._journal: Journal | None = None
        self._writer: _Writer | None = None

    def open(self) -> Store:
        """Take the study; raises StudyBusyError, which names the process that holds it, where another one does."""
        if not self._lock.acquire():
            raise StudyBusyError(
                f"study {self.study!r} is being run by {self._lock.holder()}; "
                "wait until it ends, or stop it with Ctrl-C or kill, and start again"
            )
        try:
            self._journal = Journal(self.folder, self.say)
            self._writer = _Writer(self.study, self.folder, self.tracking, self.say)
        except BaseException:
            self.close()
            raise
        return self

    def finished(self) -> set[str]:
        """Ids of the trials that need no training any more."""
        return _finished(self.study, self.folder, self.tracking, self.say)

    def record(self, results: Iterable[tuple[Trial, Result]]) -> None:
        """Write results to the journal; they are on disk when this returns. OSError where the disk takes none."""
        if self._journal is None or self._writer is None:
            raise RuntimeError(f"the store of study {self.study!r} is not open: call open() first")
        entries = [Entry.of(self.study, trial, result, versions(), git_commit()) for trial, result in results]
        self._journal.append(entries)
        self._writer.keep_alive()

    def close(self) -> None:
        """Wait until MLflow has everything, or is found to be away, and let the study go."""
        if self._writer is not None:
            self._writer.close()
        if self._journal is not None:
            self._journal.close()
        self._writer = self._journal = None
        self._lock.release()

    def __enter__(self) -> Store:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()


class _Writer:
    """The process that fills MLflow. It is asked for nothing: it reads the journal."""

    def __init__(self, study: str, folder: Path, tracking: str, say: Say) -> None:
        self._settings = json.dumps({"folder": str(folder), "tracking": tracking, "study": study})
        self._log = folder / LOG_NAME
        self._say = say
        self._restarts = 0
        self._start()

    def _start(self) -> None:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "search.mlflow_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,  # Ctrl-C is for the driver; the writer ends when its input does
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._settings + "\n")  # not an argument: a URI may hold a password
        self._process.stdin.flush()
        self._listener = threading.Thread(target=_listen, args=(self._process.stdout, self._say), daemon=True)
        self._listener.start()

    def keep_alive(self) -> None:
        """Start the process again if it died; the journal has what it did not send."""
        if self._process.poll() is None or self._restarts >= RESTARTS:
            return
        self._restarts += 1
        again = "is started again" if self._restarts < RESTARTS else "is started for the last time"
        self._say(f"the MLflow writer stopped (see {self._log}) and {again}; the journal keeps every result")
        self._start()

    def close(self) -> None:
        """Let it finish. What it could not send stays in the journal, and ``say`` hears of it."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died; its exit code says so
            self._process.stdin.close()
        code = self._process.wait()
        self._listener.join()
        if code == 3:
            self._say("some results are in the journal alone; the next aot run of this study sends them to MLflow")
        elif code != 0:
            self._say(f"the MLflow writer failed (see {self._log}); the next aot run sends what it did not")


def _listen(messages: IO[str], say: Say) -> None:
    for line in messages:
        say(json.loads(line)["say"])


def finished(study: str, folder: str, tracking: str, say: Say) -> set[str]:
    """Ids of the trials of a study that need no training any more, by its journal or by MLflow.

    Nothing is created: where there is neither journal nor database, nothing is finished. A server that does not answer
    is told to ``say``, and the journal counts alone.
    """
    return _finished(study, local_folder(folder), tracking, say)


def _finished(study: str, folder: Path, tracking: str, say: Say) -> set[str]:
    latest = {entry.trial_id: entry.status for _, _, entry in journal.read(folder / journal.FILE_NAME, say)}
    ended = {trial_id for trial_id, status in latest.items() if status in ENDED}
    database = tracking.removeprefix("sqlite:///")
    if database != tracking:
        return ended | _ended_in_sqlite(Path(database), study, say)
    return ended | _ended_in_mlflow(tracking, study, say)


def _ended_in_sqlite(database: Path, study: str, say: Say) -> set[str]:
    """From the tables: importing MLflow takes seconds, asking it 1.6 ms per run, and it would create the file."""
    if not database.exists():
        return set()
    query = """
        SELECT id.value FROM runs JOIN experiments USING (experiment_id)
        JOIN tags AS id ON id.run_uuid = runs.run_uuid AND id.key = 'aot.trial_id'
        JOIN tags AS status ON status.run_uuid = runs.run_uuid AND status.key = 'aot.status'
        WHERE experiments.name = ? AND runs.lifecycle_stage = 'active' AND runs.status = 'FINISHED'
        AND status.value IN ('finished', 'diverged', 'pruned')
    """
    try:
        connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        try:
            return {row[0] for row in connection.execute(query, (study,))}
        finally:
            connection.close()
    except sqlite3.Error as error:
        say(f"{database} cannot be read ({error}); the journal alone says what is finished")
        return set()


def _ended_in_mlflow(tracking: str, study: str, say: Say) -> set[str]:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    from search.mlflow_process import masked
    from search.mlflow_writer import search_runs

    try:
        client = MlflowClient(tracking_uri=tracking)
        experiment = client.get_experiment_by_name(study)
        if experiment is None:
            return set()
        condition = "tags.`aot.kind` = 'trial' AND attributes.status = 'FINISHED'"
        runs = search_runs(client, experiment.experiment_id, condition)
        return {run.data.tags["aot.trial_id"] for run in runs if run.data.tags.get("aot.status") in ENDED}
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        say(f"MLflow at {masked(tracking)} cannot be read ({reason}); the journal alone says what is finished")
        return set()


@cache
def versions() -> dict[str, str]:
    """Versions of what determines results; without importing any of it."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("torch", "transformers", "ray", "aot-search"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@cache
def git_commit() -> str:
    """The commit of this code; empty where it is no checkout."""
    try:
        command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
