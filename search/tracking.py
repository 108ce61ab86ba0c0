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
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO

from search import journal
from search.journal import ENDED, Entry, Journal, Lock, Say, StudyBusyError, local_folder
from search.mlflow_process import masked, told
from trainables.trial import Result, Trial

ROOT = Path(__file__).parents[1]
LOG_NAME = "mlflow.log"
SECONDS_WITHOUT_A_WORD = 5
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
        """Ids of the trials that need no training any more.

        What the journal holds and MLflow lacks, after a run that was killed, is on its way when this returns.
        """
        if self._writer is None:
            raise RuntimeError(f"the store of study {self.study!r} is not open: call open() first")
        written, logged = _journal(self.folder, self.say), _logged(self.study, self.tracking, self.say)
        if written and (logged is None or any(logged.get(i) != known for i, known in written.items())):
            self._writer.keep_alive()
        return _ended(written, logged or {})

    def expect_results(self) -> None:
        """Have the MLflow writer ready, and hear of what is wrong with MLflow, before the first result comes."""
        if self._writer is not None:
            self._writer.keep_alive()

    def record(self, results: Iterable[tuple[Trial, Result]]) -> None:
        """Write results to the journal; they are on disk when this returns. OSError where the disk takes none."""
        if self._journal is None or self._writer is None:
            raise RuntimeError(f"the store of study {self.study!r} is not open: call open() first")
        entries = [Entry.of(self.study, trial, result, versions(), git_commit()) for trial, result in results]
        self._journal.append(entries)
        self._writer.keep_alive()

    def close(self) -> None:
        """Wait until MLflow has everything, or is found to be away, and let the study go."""
        try:
            if self._writer is not None:
                self._writer.close()
            if self._journal is not None:
                self._journal.close()
        finally:
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
        self._starts = 0
        self._process: subprocess.Popen[str] | None = None

    def _start(self) -> None:
        self._starts += 1
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
        """Start the process when there is something to send, and again if it died; the journal has what it did not."""
        if self._process is None:
            self._start()
        elif self._process.poll() is not None and self._starts <= RESTARTS:
            self._say(f"the MLflow writer stopped (see {self._log}) and is started again; nothing is lost")
            self._start()

    def close(self) -> None:
        """Let it finish. What it could not send stays in the journal, and ``say`` hears of it."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died; its exit code says so
            self._process.stdin.close()
        try:
            code = self._process.wait(SECONDS_WITHOUT_A_WORD)
        except subprocess.TimeoutExpired:
            self._say("MLflow is taking in the last results; Ctrl-C leaves that to a process in the background")
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
    return _ended(_journal(local_folder(folder), say), _logged(study, tracking, say) or {})


@dataclass(frozen=True)
class Known:
    """What a trial's line in the journal, or its run in MLflow, says; ``record`` names the line (``Entry.digest``)."""

    status: str
    record: str


def _journal(folder: Path, say: Say) -> dict[str, Known]:
    """The latest line of every trial, by trial id."""
    entries = journal.read(folder / journal.FILE_NAME, say)
    return {entry.trial_id: Known(entry.status, entry.digest) for _, _, entry in entries}


def _ended(*sources: dict[str, Known]) -> set[str]:
    return {trial_id for source in sources for trial_id, known in source.items() if known.status in ENDED}


def _logged(study: str, tracking: str, say: Say) -> dict[str, Known] | None:
    """Every trial whose run in MLflow has ended, by trial id; None where MLflow does not answer."""
    database = tracking.removeprefix("sqlite:///")
    if database != tracking:
        return _logged_in_sqlite(Path(database), study, say)
    return _logged_in_mlflow(tracking, study, say)


def _logged_in_sqlite(database: Path, study: str, say: Say) -> dict[str, Known] | None:
    """From the tables: importing MLflow takes seconds, asking it 1.6 ms per run, and it would create the file."""
    if not database.exists():
        return {}
    query = """
        SELECT id.value, status.value, record.value FROM runs JOIN experiments USING (experiment_id)
        JOIN tags AS id ON id.run_uuid = runs.run_uuid AND id.key = 'aot.trial_id'
        JOIN tags AS status ON status.run_uuid = runs.run_uuid AND status.key = 'aot.status'
        JOIN tags AS record ON record.run_uuid = runs.run_uuid AND record.key = 'aot.record'
        WHERE experiments.name = ? AND runs.lifecycle_stage = 'active' AND runs.status IN ('FINISHED', 'FAILED')
    """
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return {trial_id: Known(status, record) for trial_id, status, record in connection.execute(query, (study,))}
    except sqlite3.Error as error:
        say(f"{database} cannot be read ({error}); the journal alone says what is finished")
        return None


def _logged_in_mlflow(tracking: str, study: str, say: Say) -> dict[str, Known] | None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    from search.mlflow_writer import search_runs

    try:
        client = MlflowClient(tracking_uri=tracking)
        experiment = client.get_experiment_by_name(study)
        if experiment is None:
            return {}
        runs = search_runs(client, experiment.experiment_id, "tags.`aot.kind` = 'trial'")
        tags = [run.data.tags for run in runs if run.info.status in ("FINISHED", "FAILED")]
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        reason = told(error, tracking)
        say(f"MLflow at {masked(tracking)} cannot be read ({reason}); the journal alone says what is finished")
        return None
    return {t["aot.trial_id"]: Known(t["aot.status"], t.get("aot.record", "")) for t in tags if "aot.status" in t}


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
