"""Results on their way from the driver to MLflow: journal first, and one writer for a study.

    with Store(study.name, study.folder, study.tracking, say) as store:
        before = store.records()
        store.record([(trial, result), ...])      # on disk when this returns; MLflow follows in its own process

The driver alone writes. A result is in the journal before anything else happens to it; a process beside the driver
(``search/tracking/mlflow_process.py``) brings the journal into MLflow, also what an earlier run left unsent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from search._provenance import ROOT, git_commit, versions
from search._words import Say
from search.errors import RefusedError, StudyBusyError
from search.tracking import about, journal, mlflow_access
from search.tracking.journal import Entry, Journal, local_folder
from search.tracking.lock import DRIVER, Lock
from search.tracking.named import Named
from search.tracking.records import TrialRecord, in_journal, logged
from trainables.trial import CellKey, Result, Trial

LOG_NAME = "mlflow.log"
SECONDS_WITHOUT_A_WORD = 5
RESTARTS = 3  # of a writer that died


Origin = Callable[[Trial], Mapping[str, str]]


class Store:
    """The records of a study's trials, and where new results go. Holds the study's lock while it is open."""

    def __init__(self, study: str, folder: str, tracking: str, say: Say) -> None:
        self.study, self.tracking, self.say = study, tracking, say
        self.folder = local_folder(folder)
        self._lock = Lock(self.folder / DRIVER)
        self._journal: Journal | None = None
        self._writer: _Writer | None = None
        self._known = False  # whether any trial has ended

    def open(self) -> Store:
        """Take the study.

        Raises:
            StudyBusyError: another process holds it; the error names that one.
            RefusedError: its folder here cannot be written or locked.
        """
        try:
            if not self._lock.acquire():
                raise StudyBusyError(
                    f"study {self.study!r} is being run by {self._lock.holder()}; "
                    "wait until it ends, or stop it with Ctrl-C or kill, and start again"
                )
            self._journal = Journal(self.folder, self.say)
        except OSError as error:
            self.close()
            what = f"the journal of study {self.study!r} cannot be kept in {self.folder} ({error.strerror or error})"
            needs = "it needs a folder that can be written and locked: correct that one, or `storage` in the study"
            raise RefusedError(f"{what}; {needs}") from error
        except BaseException:
            self.close()
            raise
        self._writer = _Writer(self.study, self.folder, self.tracking, self.say)
        return self

    def records(self, *, curves: bool = False) -> dict[str, TrialRecord]:
        """Every trial that ended, by id; ``curves`` as in ``read_records``.

        What the journal holds and MLflow lacks, after a run that was killed, is on its way when this returns.
        """
        if self._writer is None:
            raise RuntimeError(f"the store of study {self.study!r} is not open: call open() first")
        written = in_journal(self.folder, self.say)
        sent = logged(self.study, self.tracking, self.say, curves=curves, written=written)
        unsent = sent is None or any(sent.lacks(i, record) for i, record in written.items())
        if written and (unsent or (self.folder / journal.UNSENT_NAME).exists()):  # or a cell's summary
            self._writer.keep_alive()
        records = (sent.records if sent else {}) | written
        self._known = bool(records)
        return records

    def name(self, trials: Iterable[str], planned: Mapping[CellKey, int], seeds: int) -> None:
        """The trials that the study names as it stands: of these, and of what comes from now on, summaries speak.

        To be called after ``records``.

        ``planned``: how many each cell has, at most; ``seeds``: how many an assignment has. Where they are not those of
        the last run, summaries are on their way when this returns. RefusedError where the disk takes no file.
        """
        if self._journal is None or self._writer is None:
            raise RuntimeError(f"the store of study {self.study!r} is not open: call open() first")
        named = Named(frozenset(trials), planned, seeds, self._journal.path.stat().st_size)
        if named.same(Named.read(self.folder)):
            return
        try:
            named.write(self.folder)
        except OSError as error:
            raise RefusedError(f"{self.folder} cannot be written ({error.strerror or error}); make room") from error
        if self._known:  # else no summary speaks of any
            self._writer.keep_alive()

    def describe(self, text: str) -> None:
        """What people read of the study in MLflow, once it has a run. To be called after ``records``."""
        if self._writer is None:
            raise RuntimeError(f"the store of study {self.study!r} is not open: call open() first")
        if not about.changed(text, self.folder):
            return
        with suppress(OSError):  # a full disk is told of where a result is at stake
            about.write(text, self.folder)
        if self._known:
            self._writer.keep_alive()

    def expect_results(self) -> None:
        """Have the MLflow writer ready, and hear of what is wrong with MLflow, before the first result comes.

        Raises RefusedError where this user may not write there. A server that is away is no obstacle; the writer tells
        of it and keeps trying.
        """
        if not self.tracking.startswith("sqlite:"):  # of a file nobody asks who one is
            with suppress(mlflow_access.AwayError):
                mlflow_access.check_writable(self.study, self.tracking, self.folder)
        if self._writer is not None:
            self._writer.keep_alive()

    def record(self, results: Iterable[tuple[Trial, Result]], origin: Origin = lambda trial: {}) -> None:
        """Write results to the journal; they are on disk when this returns. OSError where the disk takes none.

        ``origin``: what a report must know of the search that a trial comes from (``Entry.search``).
        """
        if self._journal is None or self._writer is None:
            raise RuntimeError(f"the store of study {self.study!r} is not open: call open() first")
        entries = [
            Entry.of(self.study, trial, result, versions(), git_commit(), origin(trial)) for trial, result in results
        ]
        self._journal.append(entries)
        self._writer.keep_alive()

    def expect_no_more(self) -> None:
        """Let the MLflow writer come to its end while the caller does other things; ``close`` waits for it.

        What is recorded all the same is in the journal, and may be left for the next run to send.
        """
        if self._writer is not None:
            self._writer.let_finish()

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
                [sys.executable, "-m", "search.tracking.mlflow_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **mlflow_access.ENVIRONMENT, "PYTHONPATH": os.pathsep.join(paths)},
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
        code = self._finish()
        while code not in (0, 3) and self._starts <= RESTARTS:
            self.keep_alive()
            code = self._finish()
        if code == 3:
            self._say("some results are in the journal alone; the next aot run of this study sends them to MLflow")
        elif code != 0:
            self._say(f"the MLflow writer failed (see {self._log}); the next aot run sends what it did not")

    def let_finish(self) -> None:
        """Tell it that nothing more comes."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):  # it died; its exit code says so
                self._process.stdin.close()

    def _finish(self) -> int:
        """Its exit code, when it has been told that nothing more comes and has ended."""
        assert self._process is not None
        self.let_finish()
        try:
            code = self._process.wait(SECONDS_WITHOUT_A_WORD)
        except subprocess.TimeoutExpired:
            self._say("MLflow is taking in the last results; Ctrl-C leaves that to a process in the background")
            code = self._process.wait()
        self._listener.join()
        return code


def _listen(messages: IO[str], say: Say) -> None:
    for line in messages:
        say(json.loads(line)["say"])
